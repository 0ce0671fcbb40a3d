"""patch and apply: what a client wants different, merged into what is stored.

The algorithms are those of `objects.patch` and `objects.apply`; here is which of them, on what, with which retries.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import orjson

from navarch.apiserver import bodies, decode, ownership
from navarch.apiserver.context import Context
from navarch.apiserver.options import Intent
from navarch.apiserver.refusals import conflict, unfit_patch
from navarch.apiserver.verb_create import addressed, create_decoded
from navarch.apiserver.verb_update import change
from navarch.base.errors import AlreadyExists, BadRequest, Invalid, UnsupportedMediaType
from navarch.kinds.object import Object
from navarch.kinds.schema import schema_for
from navarch.objects import patch as algorithms
from navarch.objects.patch_strategic import strategic
from navarch.objects.value import Document

CREATE_ATTEMPTS = 4


async def patch(context: Context, intent: Intent, media_type: str, wanted: Any) -> Object:
    """Raises: NotFound, Conflict, BadRequest (a patch that does not fit), Invalid."""

    def patched(stored: Document) -> Document:
        base = decode.shown(intent, stored)
        found = merged(intent, media_type, base, wanted)
        try:
            checked = decode.rechecked(intent, found, base)
        except BadRequest as error:
            raise _unfit(error, found) from None
        return addressed(intent, checked)

    return await change(context, intent, patched)


def _unfit(error: BadRequest, found: Document) -> BadRequest | Invalid:
    """A patch that makes an object which cannot be decoded is invalid; a body of that kind would be a bad request."""
    _, handled, rest = error.message.partition(" cannot be handled as a ")
    if not handled:
        return error
    return unfit_patch(orjson.dumps(found).decode(), rest.partition(": ")[2])


def merged(intent: Intent, media_type: str, stored: Document, wanted: Any) -> Document:
    """The stored document with the patch on it. Raises: BadRequest, Invalid, UnsupportedMediaType."""
    if media_type == bodies.JSON_PATCH:
        return algorithms.json_patch(stored, wanted)
    if media_type == bodies.MERGE_PATCH:
        return algorithms.merge_patch(stored, wanted)
    if media_type != bodies.STRATEGIC_PATCH:
        raise UnsupportedMediaType(f"{media_type} is no kind of patch that is known here")
    if intent.shown.custom:
        raise UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: "
            f"{bodies.JSON_PATCH}, {bodies.MERGE_PATCH}, {bodies.APPLY_YAML}"
        )
    return strategic(stored, wanted, schema_for(intent.shown))


async def apply(context: Context, intent: Intent, wanted: Document) -> tuple[Object, bool]:
    """Server-side apply; the object, and whether it was made. Raises: Conflict, with a cause for each owned field."""
    aside, wants = intent.aside, (intent.shown, wanted, intent.validation, intent.warnings)
    checked = addressed(intent, decode.of_kind(*wants) if aside is None else await aside.run(decode.of_kind, *wants))
    if checked.get("metadata", {}).get("managedFields"):
        raise BadRequest("metadata.managedFields must be nil")
    state = context.state
    for attempt in range(CREATE_ATTEMPTS):
        await state.feed.fresh()
        if intent.subresource or state.get(intent.kind, intent.namespace, intent.name) is not None:
            break
        try:
            return await _create(context, intent, checked), True
        except AlreadyExists:
            if attempt + 1 == CREATE_ATTEMPTS:
                raise
    now, known = state.clock.now(), ownership.Known()

    def merged_with(stored: Document) -> Document:
        return ownership.applied(intent, stored, checked, now, state.kinds, known)

    return await change(context, intent, merged_with), False


async def _create(context: Context, intent: Intent, checked: Document) -> Object:
    metadata = checked["metadata"]
    if metadata.get("uid"):
        uid = metadata["uid"]
        why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
        raise conflict(intent.kind, intent.name, why)
    named = {**checked, "metadata": {**metadata, "name": intent.name}}
    state = context.state
    first = partial(ownership.applied, intent, None, named, state.clock.now(), state.kinds, {})
    return await create_decoded(context, intent, first() if intent.aside is None else await intent.aside.run(first))
