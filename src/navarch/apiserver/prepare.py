"""The one path from what a client wrote to what is stored: default, own, admit, validate.

Pure but for what admission plugins reserve (given back through `Review.undo`). A write of any verb comes through
`prepared`; verbs differ only in how they come by the written document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import orjson

from navarch.apiserver import decode, metadata, ownership, refusals
from navarch.apiserver.admission import namespaces
from navarch.apiserver.admission.review import Plugin, Review, Stages, Wait, stages
from navarch.apiserver.options import Intent
from navarch.apiserver.state import State
from navarch.base.errors import Cause
from navarch.kinds import SCALE
from navarch.kinds.kind import Kind
from navarch.objects.value import Document, Draft, dig


@dataclass(frozen=True, slots=True)
class Prepared:
    """document: what to store. same: it is what is stored already, and nothing needs to be written."""

    document: Document
    review: Review
    same: bool = False


async def created(
    state: State,
    plugins: Iterable[Plugin],
    intent: Intent,
    written: Document,
    name: str,
    leave: Callable[[], None] | None = None,
) -> Prepared:
    """A new object. written: decoded, without nulls, its namespace filled in. name: the generated one, or ""."""
    if intent.aside is None:
        draft = _begun(state, intent, written, name)
    else:
        draft = await intent.aside.run(_begun, state, intent, written, name)
    if intent.verb != "apply":
        await _own(state, intent, draft, None)
    return await _admitted(plugins, Review(intent, draft, None, state, generated=bool(name), leave=leave))


def _begun(state: State, intent: Intent, written: Document, name: str) -> Draft:
    """state: only what time it is, and for a uid. Raises: BadRequest, TooLarge."""
    kind = intent.kind
    draft = Draft(written)
    metadata.begin(draft, kind, name, state.ids, state.clock.now())
    if kind.has_status and not kind.status_at_create:
        draft.remove("status")
    if kind.prepare:
        kind.prepare(draft, None)
    intent.judge.default(draft)
    if intent.aside is not None:
        refusals.check_growth(orjson.dumps(draft.document))
    return draft


async def updated(
    state: State,
    plugins: Iterable[Plugin],
    intent: Intent,
    written: Document,
    old: Document,
    leave: Callable[[], None] | None = None,
) -> Prepared:
    """A change of `old`. written: the whole new document, decoded, without nulls; `old` carries its resourceVersion.
    leave: lets others pass who wait for their turn to write the object."""
    if intent.aside is None:
        draft = _changed(intent, written, old)
    else:
        draft = await intent.aside.run(_changed, intent, written, old)
    if intent.verb != "apply":
        await _own(state, intent, draft, old)
    metadata.count(draft, intent.kind, old, intent.subresource)
    review = Review(intent, draft, old, state, leave=leave)
    if draft.document == old and not any(plugin.concerns(review) for plugin in plugins):
        return Prepared(old, review, same=True)
    return await _admitted(plugins, review)


def _changed(intent: Intent, written: Document, old: Document) -> Draft:
    """Raises: TooLarge."""
    draft = _scoped(intent, written, old)
    metadata.carry(draft, old)
    if not (intent.judge.defaults_spec and draft.document.get("spec") is old.get("spec")):
        intent.judge.default(draft)
    if intent.aside is not None:
        refusals.check_growth(orjson.dumps(draft.document))
    return draft


async def _own(state: State, intent: Intent, draft: Draft, old: Document | None) -> None:
    """Note who changed what. Raises: ConversionFailed."""
    now, known = state.clock.now(), ownership.Known()
    if intent.kind.conversion is None and intent.aside is None:
        ownership.record(intent, draft, old, now, state.kinds, known)
        return
    record = partial(ownership.record, intent, draft, old, now, state.kinds, known)
    await ownership.converting(state.conversions, record, intent.aside)


async def deleted(plugins: Iterable[Plugin], review: Review) -> None:
    """What admission says to a deletion. Raises: ApiError."""
    for plugin in plugins:
        if plugin.concerns(review):
            await _asked(plugin.ask_mutate, review)
    for plugin in plugins:
        plugin.validate(review)
        if plugin.concerns(review):
            await _asked(plugin.ask_validate, review)


async def posted(state: State, plugins: Iterable[Plugin], intent: Intent, body: Kind, document: Document) -> Document:
    """What is sent to a subresource and stored nowhere (a Binding, the options of an exec), as admission leaves it.

    Raises: ApiError.
    """
    review = Review(intent, Draft(document), None, state, body=body)
    plugins = tuple(plugins)
    concerned = [plugin for plugin in plugins if plugin.concerns(review)]
    for plugin in concerned:
        await plugin.ask_mutate(review)
    if review.again:
        review.round = 1
        for plugin in concerned:
            await plugin.ask_mutate(review)
    for plugin in plugins:
        if plugin.bodies:
            plugin.validate(review)
    for plugin in concerned:
        await plugin.ask_validate(review)
    return review.draft.document


def revised(review: Review, kind: Kind, before: Document, after: Document) -> bool:
    """Take what somebody outside made of the object, as far as a client could have written it; whether it is
    another now. kind: as which both documents were shown.

    Raises: BadRequest, when it is none of the kind.
    """
    body = review.body or (SCALE if review.intent.subresource == "scale" else kind)
    found = decode.of_kind(body, after, "Ignore", []) if body.plural or body.group or body.shape else after
    if found == before:
        return False
    if review.body is not None:
        review.draft.document = found
        return True
    if body is SCALE:
        assert kind.scale is not None
        review.draft.set(dig(found, "spec", "replicas", default=0), *kind.scale[0].strip(".").split("."))
        return True
    return _taken(review, kind.to_stored(found) if kind.to_stored else found)


def _taken(review: Review, written: Document) -> bool:
    """Prepare the document anew, as its first writer's was."""
    intent, old, was = review.intent, review.old, review.draft.document
    if old is None:
        draft = Draft(written)
        for field in ("uid", "creationTimestamp", "generation", "name"):
            if field in was["metadata"]:
                draft.set(was["metadata"][field], "metadata", field)
        if intent.kind.has_status and not intent.kind.status_at_create:
            draft.remove("status")
        if intent.kind.prepare:
            intent.kind.prepare(draft, None)
        intent.judge.default(draft)
    else:
        draft = _scoped(intent, written, old)
        metadata.carry(draft, old)
        intent.judge.default(draft)
        metadata.count(draft, intent.kind, old, intent.subresource)
    review.draft = draft
    return draft.document != was


def _scoped(intent: Intent, written: Document, old: Document) -> Draft:
    """The part of the written document that this (sub)resource takes, over what was stored."""
    kind, subresource = intent.kind, intent.subresource
    if subresource == "status":
        changed = {name: value for name, value in old.items() if name != "status"}
        if "status" in written:
            changed["status"] = written["status"]
        draft = Draft(changed)
        _take_metadata(draft, kind, written)
        if kind.prepare_status:
            kind.prepare_status(draft, old)
        return draft
    draft = Draft(written)
    if subresource in kind.subresource_prepare:
        kind.subresource_prepare[subresource](draft, old)
        return draft
    if kind.has_status and draft.get("status") != old.get("status"):
        if "status" in old:
            draft.set(old["status"], "status")
        else:
            draft.remove("status")
    if kind.prepare:
        kind.prepare(draft, old)
    return draft


def _take_metadata(draft: Draft, kind: Kind, written: Document) -> None:
    """What of the metadata a write to `status` changes: field ownership, and what the kind lets it."""
    given = written.get("metadata", {})
    owners = given.get("managedFields")
    if owners is not None and owners != draft.get("metadata", "managedFields"):
        draft.set(owners, "metadata", "managedFields")
    for field in metadata.changed_by_status(kind):
        value = given.get(field)
        if value and value != draft.get("metadata", field):
            draft.set(value, "metadata", field)


async def _admitted(plugins: Iterable[Plugin], review: Review) -> Prepared:
    intent, old = review.intent, review.old
    known = plugins if isinstance(plugins, tuple) else tuple(plugins)  # a copy would not remember its stages
    steps = stages(known, intent.kind, review.creates)
    try:
        await _mutated(steps, review)
        new = review.draft.document
        if intent.aside is None:
            _judged(intent, new, old)
        else:
            await intent.aside.run(_judged, intent, new, old)
            namespaces.admit(review)  # it may have begun to go meanwhile
        for plugin in steps.judging:
            plugin.validate(review)
            if plugin.concerns(review):
                await _asked(plugin.ask_validate, review)
    except BaseException:
        review.give_back()
        raise
    return Prepared(new, review, same=new == old)


def _judged(intent: Intent, new: Document, old: Document | None) -> None:
    """Warnings are added to the intent. Raises: Invalid."""
    causes = list(rules(intent.shown, intent.subresource, new, old))
    if causes:
        raise refusals.invalid(intent.shown, new["metadata"].get("name", ""), causes)
    if intent.shown.warn is not None and not intent.subresource:
        told = intent.shown.warn(new, old)
        intent.warnings.extend(one for one in dict.fromkeys(told) if one not in intent.warnings)


async def _mutated(steps: Stages, review: Review) -> None:
    """All that may change the object: a second time where somebody outside did, and what settles it once."""
    for number in (0, 1):
        review.round = number
        for plugin in steps.changing:
            plugin.mutate(review)
            if plugin.concerns(review):
                await _asked(plugin.ask_mutate, review)
        if not review.again:
            break
    for plugin in steps.settling:
        plugin.mutate(review)


async def _asked(ask: Wait, review: Review) -> None:
    review.alone = True
    if review.leave is not None:
        review.leave()
    await ask(review)


def rules(kind: Kind, subresource: str, new: Document, old: Document | None) -> Iterable[Cause]:
    """Every broken rule: of metadata, then of the kind."""
    yield from metadata.rules(kind, new, old)
    if not subresource:
        yield from kind.rules(new, old)
    elif subresource in kind.subresource_rules:
        yield from kind.subresource_rules[subresource](new, old)
