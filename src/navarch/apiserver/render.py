"""Objects, pages and watches in the form that a client accepts: as they are, as tables, or only their metadata."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import partial as bound

import orjson

from navarch.apiserver import reply, tables
from navarch.apiserver.call import Call
from navarch.apiserver.context import Context
from navarch.apiserver.options import WatchOptions
from navarch.apiserver.reply import JSON, META_VERSION, Form
from navarch.apiserver.state import face, faces
from navarch.apiserver.verb_read import Page
from navarch.apiserver.verb_watch import BOOKMARK_S, INITIAL_SLICE, Watch, batches, join
from navarch.apiserver.watchers import Frame
from navarch.base.errors import Expired
from navarch.client.client import EventType
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.wire.message import Response

INITIAL_EVENTS_END = "k8s.io/initial-events-end"


def one(context: Context, call: Call, kind: Kind, found: Object, form: Form, status: int = 200) -> Response:
    found = face(kind, found)
    if form.as_ == "Table":
        include = tables.include_of(call.request.param("includeObject"))
        row = tables.row(found, include, context.state.clock.now())
        body = b"%b%b]}" % (tables.head(found.kind, found.revision), row)
    elif form.as_:
        reply.check_partial(form, "PartialObjectMetadata")
        body = reply.partial(found)
    else:
        body = found.raw
    return reply.respond(body, form, status, call.warnings)


def many(context: Context, call: Call, kind: Kind, page: Page, form: Form) -> Response:
    items = faces(kind, page.items)
    tail = (page.revision, page.cont, page.remaining)
    if form.as_ == "Table":
        include = tables.include_of(call.request.param("includeObject"))
        row = bound(tables.row, include=include, now=context.state.clock.now())
        return reply.respond_list(tables.head(kind, *tail), items, row, form, call.warnings)
    if form.as_:
        reply.check_partial(form, "PartialObjectMetadataList")
        head = reply.list_head("PartialObjectMetadataList", META_VERSION, *tail)
        return reply.respond_list(head, items, reply.partial, form, call.warnings)
    head = reply.list_head(f"{kind.name}List", kind.api_version, *tail)
    return reply.respond_list(head, items, reply.raw, form, call.warnings)


def plain_event(type_: EventType, found: Object) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (type_.encode(), found.raw)


def partial_event(type_: EventType, found: Object) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (type_.encode(), reply.partial(found))


def error_event(error: Expired) -> bytes:
    return b'{"type":"ERROR","object":%b}\n' % orjson.dumps(error.status())


def bookmark(kind: Kind, revision: int, form: Form, ends_initial: bool = False) -> bytes:
    """A bookmark is an object of the watched kind (or of what it is shown as) that has nothing but a revision."""
    metadata: dict[str, object] = {"resourceVersion": str(revision)}
    if ends_initial:
        metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
    found: dict[str, object] = {"kind": kind.name, "apiVersion": kind.api_version, "metadata": metadata}
    if form.as_ == "Table":
        row = {"cells": [], "object": {**found, "kind": "PartialObjectMetadata", "apiVersion": META_VERSION}}
        found = {"kind": "Table", "apiVersion": META_VERSION, "metadata": {"resourceVersion": str(revision)}}
        found |= {"columnDefinitions": [], "rows": [row]}
    elif form.as_:
        found |= {"kind": "PartialObjectMetadata", "apiVersion": META_VERSION}
    return b'{"type":"BOOKMARK","object":%b}\n' % orjson.dumps(found)


def _frame(context: Context, call: Call, kind: Kind, form: Form) -> tuple[tuple[str, str], Frame]:
    """How events are framed, and the name under which watchers share that."""
    if form.as_ == "Table":
        include = tables.include_of(call.request.param("includeObject"))
        clock = context.state.clock
        return ("Table", include), lambda type_, found: tables.event(kind, type_, found, include, clock.now())
    return (("Partial", ""), partial_event) if form.as_ else (("", ""), plain_event)


async def events(context: Context, call: Call, kind: Kind, asked: WatchOptions, form: Form) -> Response:
    """The answer to a watch. From a revision that is gone it is 200 with an ERROR event, as upstream's."""
    name, frame = _frame(context, call, kind, form)
    headers = [("content-type", JSON), *reply.warning_headers(call.warnings)]
    try:
        watch = await join(context.state, kind, call.namespace, asked, name, frame)
    except Expired as expired:
        return Response(200, headers, _said(error_event(expired)))
    return Response(200, headers, _stream(context, kind, asked, form, watch))


async def _said(event: bytes) -> AsyncIterator[bytes]:
    yield event


async def _stream(context: Context, kind: Kind, asked: WatchOptions, form: Form, watch: Watch) -> AsyncIterator[bytes]:
    table = form.as_ == "Table"
    first: Sequence[bytes] = watch.first
    try:
        if table and first:
            first = [tables.with_definitions(kind, first[0]), *first[1:]]
            table = False
        for start in range(0, len(first), INITIAL_SLICE):
            yield b"".join(first[start : start + INITIAL_SLICE])
        watch.first = first = ()
        if watch.initial and asked.bookmarks:
            yield bookmark(kind, watch.revision, form, ends_initial=True)
        async for frames, revision in batches(
            context.state, watch, asked.timeout_s, BOOKMARK_S if asked.bookmarks else None
        ):
            if table and frames:
                frames[0] = tables.with_definitions(kind, frames[0])
                table = False
            if frames:
                yield b"".join(frames)
            elif asked.bookmarks:
                yield bookmark(kind, revision, form)
    finally:
        watch.watcher.leave()
