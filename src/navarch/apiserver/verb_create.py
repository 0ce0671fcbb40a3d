"""create: a new object, under its own name or a generated one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import orjson

from navarch.apiserver import decode, metadata, prepare, refusals, stored
from navarch.apiserver.admission.review import give_back
from navarch.apiserver.context import Context
from navarch.apiserver.decode import Body
from navarch.apiserver.options import Intent
from navarch.apiserver.templates import Pattern, Sighting
from navarch.base.errors import AlreadyExists, ApiError, BadRequest, MethodNotAllowed, Retryable, Unavailable
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.objects.value import Document
from navarch.store.store import Overtaken, Stale

NAME_ATTEMPTS = 8
READY_ATTEMPTS = 10
DECISIONS = 16
"""How often a write is decided anew because another server was faster with what it was decided by."""


async def create(context: Context, intent: Intent, body: Body) -> Object:
    """Raises: AlreadyExists, BadRequest, Invalid, Forbidden, NotFound (the namespace)."""
    await _open(context, intent)
    sighting = context.templates.sighted(intent, body)
    if sighting is not None and sighting.pattern is not None:
        found = await _repeated(context, intent, sighting, sighting.pattern)
        if found is not None:
            return found
        sighting = None
    if intent.aside is not None:
        large = addressed(intent, await intent.aside.run(_read, intent, body))
        return await _named(context, intent, Written(large, body), sighting)
    parse = partial(_parsed, intent, body)
    return await _named(context, intent, Written(parse(), body, parse), sighting)


def _read(intent: Intent, body: Body) -> Document:
    """A large body; what cannot be stored is known before it is looked at any closer. Raises: BadRequest, TooLarge."""
    written = decode.decoded(intent, body)
    refusals.check_growth(orjson.dumps(written))
    return written


def _parsed(intent: Intent, body: Body) -> Document:
    return addressed(intent, decode.decoded(intent, body))


async def create_decoded(context: Context, intent: Intent, written: Document) -> Object:
    """The same for a document that is decoded already, in the version in which it is stored."""
    await _open(context, intent)
    return await _named(context, intent, Written(written, written), None)


class Written:
    """What a client wrote, parsed, and handed out once: a parsed document is large, and is best freed while the caches
    still have it, not after the disk was waited for. Should another try need it, it is parsed again."""

    __slots__ = ("_document", "_parse", "body", "name", "prefix")

    def __init__(self, document: Document, body: Body, parse: Callable[[], Document] | None = None) -> None:
        """parse: makes `document` once more of `body`; None for one that is kept."""
        self.body = body
        self._document: Document | None = document
        self._parse = parse
        self.name: str = document["metadata"].get("name", "")
        self.prefix: str = document["metadata"].get("generateName", "")

    def take(self, warnings: list[str]) -> Document:
        """warnings: of the request, which were told when it was parsed first."""
        found = self._document
        if self._parse is None:
            assert found is not None
            return found
        if found is None:
            told = len(warnings)
            found = self._parse()
            del warnings[told:]
        self._document = None
        return found


async def _open(context: Context, intent: Intent) -> None:
    if context.state.definitions.ending(intent.kind):
        raise MethodNotAllowed("create not allowed while custom resource definition is terminating")
    await context.state.feed.fresh()


async def _named(context: Context, intent: Intent, written: Written, sighting: Sighting | None) -> Object:
    if written.name or not written.prefix:
        intent.name = written.name
        return await _attempt(context, intent, written, "", sighting)
    for last in range(NAME_ATTEMPTS, 0, -1):
        intent.name = metadata.generated_name(written.prefix, context.state.ids)
        try:
            return await _attempt(context, intent, written, intent.name, sighting)
        except AlreadyExists:
            if last == 1:
                raise
    raise AssertionError("unreachable")


async def _repeated(context: Context, intent: Intent, sighting: Sighting, pattern: Pattern) -> Object | None:
    """Another pod of a known template; None where a generated name is taken or another server changed what it was
    decided by, which is for the long way to mend.

    Raises: AlreadyExists.
    """
    state = context.state
    intent.name = sighting.name or metadata.generated_name(sighting.prefix, state.ids)
    if state.get(intent.kind, intent.namespace, intent.name) is None:
        value = context.templates.filled(pattern, intent.name)
        try:
            guards = state.guards(intent.namespace, (), state.feed.revision)
            return await state.put_value(intent.kind, intent.namespace, intent.name, value, 0, guards)
        except Stale:
            pass  # as if it had been there before
        except Overtaken:
            return None
    if not sighting.name:
        return None
    raise refusals.already_exists(intent.kind, intent.name)


def addressed(intent: Intent, written: Document) -> Document:
    """The document with the namespace of the request, where it names none.

    Raises: BadRequest, when it names another than the request's.
    """
    found = written.get("metadata") or {}
    if not isinstance(found, dict):
        raise BadRequest("metadata must be an object")
    name, namespace = found.get("name", ""), found.get("namespace", "")
    if intent.name and name and name != intent.name:
        raise BadRequest(
            f"the name of the object ({name}) does not match the name on the URL ({intent.name})",
        )
    if not intent.kind.namespaced:
        return written if "metadata" in written else {**written, "metadata": found}
    if namespace and namespace != intent.namespace:
        raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")
    if namespace:
        return written
    return {**written, "metadata": {**found, "namespace": intent.namespace}}


async def ready(
    context: Context, intent: Intent, written: Document, name: str, leave: Callable[[], None] | None = None
) -> prepare.Prepared:
    """The prepared new object; waits a little for what admission expects to come (a default service account)."""
    for _ in range(READY_ATTEMPTS - 1):
        try:
            return await prepare.created(context.state, context.plugins, intent, written, name, leave)
        except Retryable as later:
            await context.state.clock.sleep(later.after_s)
    try:
        return await prepare.created(context.state, context.plugins, intent, written, name, leave)
    except Retryable as later:
        if isinstance(later.__cause__, ApiError):
            raise later.__cause__ from None
        raise


async def _attempt(context: Context, intent: Intent, written: Written, name: str, sighting: Sighting | None) -> Object:
    try:
        return await _decided(context, intent, written, name, sighting)
    except Overtaken:
        pass
    async with context.state.turns.of("decisions", intent.kind, intent.namespace) as turn:
        for _ in range(DECISIONS):
            await context.state.feed.fresh()
            try:
                return await _decided(context, intent, written, name, None, turn.leave)
            except Overtaken:
                continue
    raise Unavailable(f"other servers keep changing what {intent.kind.plural} are decided by", retry_after_s=1)


async def _decided(
    context: Context,
    intent: Intent,
    written: Written,
    name: str,
    sighting: Sighting | None,
    leave: Callable[[], None] | None = None,
) -> Object:
    """leave: ends the turn, without which others decide the same at this moment. Where servers share a store, what is
    decided behind a fence waits for its turn, so that it is overtaken by other servers only.

    Raises: Overtaken, AlreadyExists, and what `create` raises.
    """
    state = context.state
    at = state.feed.revision
    if intent.name and state.get(intent.kind, intent.namespace, intent.name) is not None:
        raise refusals.already_exists(intent.kind, intent.name)
    prepared = await ready(context, intent, written.take(intent.warnings), name, leave)
    if sighting is not None and isinstance(written.body, bytes):
        context.templates.learn(sighting, prepared.review, prepared.document, written.body)
    if intent.dry_run:
        prepared.review.give_back()
        return unsaved(intent.written, prepared.document)
    guards = state.guards(intent.namespace, prepared.review.fences, at)
    if guards and prepared.review.fences and leave is None:
        prepared.review.give_back()
        raise Overtaken(intent.kind.plural)
    undo = prepared.review.undo
    try:
        value = await state.encoded(intent.kind, prepared.document)
        del prepared
        return await state.put_value(intent.kind, intent.namespace, intent.name, value, 0, guards)
    except Stale:
        give_back(undo)
        raise refusals.already_exists(intent.kind, intent.name) from None
    except BaseException:
        give_back(undo)
        raise


def unsaved(kind: Kind, document: Document, revision: int = 0) -> Object:
    """What would have been stored. revision: of what is stored, 0 for nothing."""
    value = stored.encode(kind, document)
    return Object(kind, stored.splice(kind, value, revision) if revision else value)
