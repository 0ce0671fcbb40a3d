"""The one path from what a client wrote to what is stored: default, own, admit, validate.

Pure but for what admission plugins reserve (given back through `Review.undo`). A write of any verb comes through
`prepared`; verbs differ only in how they come by the written document.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from navarch.apiserver import metadata, ownership, refusals
from navarch.apiserver.admission.review import Plugin, Review
from navarch.apiserver.options import Intent
from navarch.apiserver.state import State
from navarch.base.errors import Cause
from navarch.kinds.kind import Kind
from navarch.objects.value import Document, Draft


@dataclass(frozen=True, slots=True)
class Prepared:
    """document: what to store. same: it is what is stored already, and nothing needs to be written."""

    document: Document
    review: Review
    same: bool = False


async def created(state: State, plugins: Iterable[Plugin], intent: Intent, written: Document, name: str) -> Prepared:
    """A new object. written: decoded, without nulls, its namespace filled in. name: the generated one, or ""."""
    kind = intent.kind
    draft = Draft(written)
    metadata.begin(draft, kind, name, state.ids, state.clock.now())
    if kind.has_status and not kind.status_at_create:
        draft.remove("status")
    if kind.prepare:
        kind.prepare(draft, None)
    intent.judge.default(draft)
    if intent.verb != "apply":
        ownership.record(intent, draft, None, state.clock.now())
    review = Review(intent, draft, None, state)
    return await _admitted(plugins, review, written)


async def updated(
    state: State, plugins: Iterable[Plugin], intent: Intent, written: Document, old: Document
) -> Prepared:
    """A change of `old`. written: the whole new document, decoded, without nulls; `old` carries its resourceVersion."""
    draft = _scoped(intent, written, old)
    metadata.carry(draft, old)
    if not (intent.judge.defaults_spec and draft.document.get("spec") is old.get("spec")):
        intent.judge.default(draft)
    if intent.verb != "apply":
        ownership.record(intent, draft, old, state.clock.now())
    metadata.count(draft, intent.kind, old)
    if draft.document == old:
        return Prepared(old, Review(intent, draft, old, state), same=True)
    return await _admitted(plugins, Review(intent, draft, old, state), written)


def _scoped(intent: Intent, written: Document, old: Document) -> Draft:
    """The part of the written document that this (sub)resource takes, over what was stored."""
    kind, subresource = intent.kind, intent.subresource
    if subresource == "status":
        changed = {name: value for name, value in old.items() if name != "status"}
        if "status" in written:
            changed["status"] = written["status"]
        draft = Draft(changed)
        _keep_ownership(draft, written)
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


def _keep_ownership(draft: Draft, written: Document) -> None:
    """Field ownership is the one part of the metadata that a write to `status` changes."""
    owners = written.get("metadata", {}).get("managedFields")
    if owners is not None and owners != draft.get("metadata", "managedFields"):
        draft.set(owners, "metadata", "managedFields")


async def _admitted(plugins: Iterable[Plugin], review: Review, written: Document) -> Prepared:
    intent, old = review.intent, review.old
    chosen = tuple(plugins)
    try:
        for plugin in chosen:
            plugin.mutate(review)
            if plugin.concerns(review):
                review.alone = True
                await plugin.ask_mutate(review)
        new = review.draft.document
        causes = list(rules(intent.shown, intent.subresource, new, old))
        if causes:
            raise refusals.invalid(intent.shown, new["metadata"].get("name", ""), causes)
        for plugin in chosen:
            plugin.validate(review)
            if plugin.concerns(review):
                review.alone = True
                await plugin.ask_validate(review)
    except BaseException:
        review.give_back()
        raise
    return Prepared(new, review, same=new == old)


def rules(kind: Kind, subresource: str, new: Document, old: Document | None) -> Iterable[Cause]:
    """Every broken rule: of metadata, then of the kind."""
    yield from metadata.rules(kind, new, old)
    if not subresource:
        yield from kind.rules(new, old)
    elif subresource in kind.subresource_rules:
        yield from kind.subresource_rules[subresource](new, old)
