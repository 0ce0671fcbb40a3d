"""Objects, pages and watches in the form that a client accepts: as they are, as tables, or only their metadata."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import replace
from functools import partial as bound

from navarch.apiserver import packed, reply, tables
from navarch.apiserver.aside import LARGE_BYTES
from navarch.apiserver.call import Call
from navarch.apiserver.context import Context
from navarch.apiserver.conversion_review import ConversionFailed
from navarch.apiserver.negotiate import PROTOBUF, YAML, Form
from navarch.apiserver.options import WatchOptions
from navarch.apiserver.state import face, faces
from navarch.apiserver.verb_read import Page
from navarch.apiserver.verb_watch import BOOKMARK_S, INITIAL_SLICE, Body, Watch, batches, join
from navarch.apiserver.watchers import Frame
from navarch.base.errors import ApiError, Expired
from navarch.client.client import EventType
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.wire.message import Response
from navarch.wire.protobuf_encode import watch_frame

INITIAL_EVENTS_END = "k8s.io/initial-events-end"


def one(context: Context, call: Call, kind: Kind, found: Object, form: Form, status: int = 200) -> Response:
    found = face(kind, found)
    if form.as_ == "Table":
        include = tables.include_of(call.request.param("includeObject"))
        row = tables.row(found, include, context.state.clock.now(), form.meta)
        body = b"%b%b]}" % (tables.head(found.kind, found.revision, meta=form.meta), row)
    elif form.as_:
        reply.check_partial(form, "PartialObjectMetadata")
        body = reply.partial(found, form.meta)
    elif form.type == PROTOBUF:
        headers = [("content-type", PROTOBUF), *reply.warning_headers(call.warnings)]
        if found.packed is None and len(found.raw) > LARGE_BYTES:
            body_aside = context.state.packed.body_aside(found, context.state.aside)
            return Response(status, headers, body_aside, packable=True)
        return Response(status, headers, context.state.packed.body(found))
    else:
        body = found.raw
    if form.type == YAML and len(body) > LARGE_BYTES:
        headers = [("content-type", YAML), *reply.warning_headers(call.warnings)]
        return Response(status, headers, reply.yaml_aside(body, form, context.state.aside), packable=True)
    return reply.respond(body, form, status, call.warnings)


def many(context: Context, call: Call, kind: Kind, page: Page, form: Form) -> Response:
    items = faces(kind, page.items)
    tail = (page.revision, page.cont, page.remaining)
    if form.as_ == "Table":
        include = tables.include_of(call.request.param("includeObject"))
        row = bound(tables.row, include=include, now=context.state.clock.now(), meta=form.meta)
        head = tables.head(kind, *tail, meta=form.meta)
        if (order := kind.row_order) is not None:
            items = sorted(items, key=lambda one: order(one.document()))
        return reply.respond_list(head, items, row, form, call.warnings, context.state.aside)
    if form.as_:
        reply.check_partial(form, "PartialObjectMetadataList")
        named = (form.as_, form.meta)
    else:
        named = (f"{kind.name}List", kind.api_version)
    if form.type == PROTOBUF:
        metadata = reply.list_metadata(*tail)
        if form.as_:
            message = bound(packed.partial_message, form=form)
            return packed.respond_list(named, metadata, items, message, call.warnings)
        known = context.state.packed
        large = bound(known.message_aside, aside=context.state.aside)
        return packed.respond_list(named, metadata, items, known.message, call.warnings, large)
    write = bound(reply.partial, meta=form.meta) if form.as_ else reply.raw
    head = reply.list_head(named[0], named[1], *tail)
    return reply.respond_list(head, items, write, form, call.warnings, context.state.aside)


def plain_event(type_: EventType, found: Object) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (type_.encode(), found.raw)


def event(type_: str, body: bytes, form: Form) -> bytes:
    """One event around an object's whole body in the form."""
    if form.type == PROTOBUF:
        return watch_frame(type_, body)
    return b'{"type":"%b","object":%b}\n' % (type_.encode(), body)


def error_event(error: ApiError, form: Form) -> bytes:
    return event("ERROR", reply.written(error.status(), form), form)


def bookmark(kind: Kind, revision: int, form: Form, ends_initial: bool = False) -> bytes:
    """A bookmark is an object of the watched kind (or of what it is shown as) that has nothing but a revision."""
    metadata: dict[str, object] = {"resourceVersion": str(revision)}
    if ends_initial:
        metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
    found: dict[str, object] = {"kind": kind.name, "apiVersion": kind.api_version, "metadata": metadata}
    if form.as_ == "Table":
        row = {"cells": [], "object": {**found, "kind": "PartialObjectMetadata", "apiVersion": form.meta}}
        found = {"kind": "Table", "apiVersion": form.meta, "metadata": {"resourceVersion": str(revision)}}
        found |= {"columnDefinitions": [], "rows": [row]}
    elif form.as_:
        found |= {"kind": "PartialObjectMetadata", "apiVersion": form.meta}
    return event("BOOKMARK", reply.written(found, form), form)


def _frame(context: Context, call: Call, form: Form) -> tuple[tuple[str, ...], Frame]:
    """How events are framed, and the name under which watchers share that."""
    if form.as_ == "Table":
        include = tables.include_of(call.request.param("includeObject"))
        clock = context.state.clock
        name = ("Table", include, form.meta)
        return name, lambda type_, found: tables.event(type_, found, include, clock.now(), form.meta)
    if form.type == PROTOBUF and form.as_:
        return (form.as_, form.type), lambda type_, found: watch_frame(type_, packed.partial_body(found, form))
    if form.type == PROTOBUF:
        body = context.state.packed.body
        return (form.type,), lambda type_, found: watch_frame(type_, body(found))
    if form.as_:
        return (form.as_, form.meta), lambda type_, found: event(type_, reply.partial(found, form.meta), form)
    return PLAIN, plain_event


PLAIN = ("", "")


async def events(context: Context, call: Call, kind: Kind, asked: WatchOptions, form: Form) -> Response:
    """The answer to a watch. From a revision that is gone it is 200 with an ERROR event, as upstream's."""
    form = replace(form, pretty=False)
    name, frame = _frame(context, call, form)
    type_ = f"{form.type};stream=watch" if form.type == PROTOBUF else form.type
    headers = [("content-type", type_), *reply.warning_headers(call.warnings)]
    try:
        watch = await join(context.state, kind, call.namespace, asked, name, frame)
    except Expired as expired:
        return Response(200, headers, _said(error_event(expired, form)))
    return Response(200, headers, Body(_stream(context, kind, asked, form, watch), watch))


async def _said(event: bytes) -> AsyncIterator[bytes]:
    yield event


async def _stream(
    context: Context, kind: Kind, asked: WatchOptions, form: Form, watch: Watch
) -> AsyncGenerator[bytes, None]:
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
        watch.watcher.pipe = None if table else watch.push
        async for frames, revision in batches(
            context.state, watch, asked.timeout_s, BOOKMARK_S if asked.bookmarks else None
        ):
            if table and frames:
                frames[0] = tables.with_definitions(kind, frames[0])
                table = False
                watch.watcher.pipe = watch.push
            if frames:
                yield b"".join(frames)
            elif asked.bookmarks:
                yield bookmark(kind, revision, form)
    except ConversionFailed as failure:
        yield error_event(failure, form)
    finally:
        watch.watcher.leave()
