"""What clients are answered with: documents and lists in the form they accept, and Status objects for errors.

Where a request for a resource ends: an `ApiError` becomes an answer here.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-representations
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec
import orjson
import yaml

from navarch.apiserver.aside import LARGE_BYTES, Aside
from navarch.apiserver.negotiate import META_VERSION, PROTOBUF, YAML, Form
from navarch.base.errors import ApiError, NotAcceptable, Retryable, Unavailable
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.wire import protobuf_encode
from navarch.wire.message import Response

SLICE_OBJECTS = 256
SLICE_BYTES = 1 << 20
Write = Callable[[Object], bytes]


def written(value: Any, form: Form) -> bytes:
    """A document, or the bytes of one as JSON, in the form's media type.

    Raises: NotAcceptable, for a document that has no form in protobuf.
    """
    if form.type == PROTOBUF:
        document = orjson.loads(value) if isinstance(value, bytes) else value
        try:
            return protobuf_encode.encode(document)
        except LookupError as error:
            raise NotAcceptable(str(error)) from error
    if form.type == YAML:
        return _yaml(orjson.loads(value) if isinstance(value, bytes) else value)
    if form.pretty:
        document = orjson.loads(value) if isinstance(value, bytes) else value
        return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    return value if isinstance(value, bytes) else orjson.dumps(value)


def _yaml(value: Any) -> bytes:
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return yaml.dump(value, Dumper=dumper, sort_keys=True, encoding="utf-8", allow_unicode=True) or b""


async def yaml_aside(value: bytes, form: Form, aside: Aside) -> AsyncIterator[bytes]:
    """A large document: YAML takes a second a megabyte."""
    yield await aside.run(written, value, form)


def respond(value: Any, form: Form, status: int = 200, warnings: Sequence[str] = ()) -> Response:
    headers = [("content-type", form.type)]
    if warnings:
        headers += warning_headers(warnings)
    return Response(status, headers, written(value, form))


def warning_headers(warnings: Sequence[str]) -> list[tuple[str, str]]:
    """Source: RFC 9111 (and its predecessor's section on `Warning`): code 299, no agent, a quoted text."""
    found = []
    for text in dict.fromkeys(warnings):
        plain = "".join(c if c.isprintable() else " " for c in text).replace("\\", "\\\\").replace('"', '\\"')
        found.append(("warning", f'299 - "{plain}"'))
    return found


def failure(error: Exception, form: Form | None = None, warnings: Sequence[str] = ()) -> Response:
    """The answer to a request that is refused (ApiError) or that the world was not ready for (Retryable)."""
    if isinstance(error, Retryable):
        error = Unavailable(str(error), retry_after_s=max(1, round(error.after_s)))
    if not isinstance(error, ApiError):
        raise error
    found = respond(error.status(), form or Form(), error.code, warnings)
    if error.retry_after_s:
        found.headers = [*found.headers, ("retry-after", str(error.retry_after_s))]
    return found


def success(kind: Kind, name: str, uid: str) -> dict[str, Any]:
    """The Status of an object that was deleted."""
    details = {"name": name, "kind": kind.plural} | ({"group": kind.group} if kind.group else {})
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details | ({"uid": uid} if uid else {}),
    }


class _Headed(msgspec.Struct, gc=False):
    metadata: msgspec.Raw


_decode_headed = msgspec.json.Decoder(_Headed).decode


def partial(found: Object, meta: str = META_VERSION) -> bytes:
    """The object as a `PartialObjectMetadata` of that version, in JSON."""
    return b'{"kind":"PartialObjectMetadata","apiVersion":"%b","metadata":%b}' % (
        meta.encode(),
        bytes(_decode_headed(found.raw).metadata),
    )


def check_partial(form: Form, fitting: str) -> None:
    """Raises: NotAcceptable, when metadata of one object is asked of a list, or the other way round."""
    if form.as_ != fitting:
        what = "a list" if fitting.endswith("List") else "not a list"
        raise NotAcceptable(f"you requested {form.as_}, but the requested object is {what}")


def list_metadata(revision: int, cont: str = "", remaining: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = {"resourceVersion": str(revision)}
    if cont:
        found["continue"] = cont
    if remaining:
        found["remainingItemCount"] = remaining
    return found


def list_head(kind: str, api_version: str, revision: int, cont: str = "", remaining: int = 0) -> bytes:
    """A list up to and with the bracket that opens `items`."""
    metadata = list_metadata(revision, cont, remaining)
    return orjson.dumps({"kind": kind, "apiVersion": api_version, "metadata": metadata})[:-1] + b',"items":['


def joined(head: bytes, items: Iterable[bytes], tail: bytes) -> bytes:
    return head + b",".join(items) + tail


def pieces(items: Sequence[Object], most_bytes: int = SLICE_BYTES) -> Iterator[Sequence[Object]]:
    """The items in slices of not too many objects and bytes."""
    start = size = 0
    for number, one in enumerate(items, 1):
        size += len(one.raw)
        if size >= most_bytes or number - start >= SLICE_OBJECTS:
            yield items[start:number]
            start, size = number, 0
    if start < len(items):
        yield items[start:]


async def slices(head: bytes, items: Sequence[Object], write: Write, tail: bytes) -> AsyncIterator[bytes]:
    """The same in pieces. write: makes bytes of one item."""
    yield head
    separator = b""
    for piece in pieces(items):
        yield separator + b",".join(map(write, piece))
        separator = b","
    yield tail


async def _yaml_slices(
    head: bytes, items: Sequence[Object], write: Write, tail: bytes, aside: Aside
) -> AsyncIterator[bytes]:
    """As if it were written as a whole: fields in the order of their names, items at the margin."""
    around = orjson.loads(head + tail)
    name = "rows" if "rows" in around else "items"
    yield _yaml({key: value for key, value in around.items() if key < name}) + b"%b:\n" % name.encode()
    for piece in pieces(items, LARGE_BYTES):
        yield await aside.run(_yaml_items, piece, write)
    yield _yaml({key: value for key, value in around.items() if key > name})


def _yaml_items(items: Sequence[Object], write: Write) -> bytes:
    return _yaml([orjson.loads(write(item)) for item in items])


async def _pretty_slices(head: bytes, items: Sequence[Object], write: Write, tail: bytes) -> AsyncIterator[bytes]:
    """As if it were written as a whole: the list stands last, and its items are indented as deep as they are there."""
    around = written(head + tail, Form(pretty=True))
    before, _, after = around.rpartition(b"[]")
    yield before + b"["
    separator = b"\n    "
    for piece in pieces(items):
        texts = (orjson.dumps(orjson.loads(write(item)), option=orjson.OPT_INDENT_2) for item in piece)
        yield separator + b",\n    ".join(text.replace(b"\n", b"\n    ") for text in texts)
        separator = b",\n    "
    yield b"\n  ]" + after


def respond_list(
    head: bytes,
    items: Sequence[Object],
    write: Write,
    form: Form,
    warnings: Sequence[str],
    aside: Aside,
    tail: bytes = b"]}",
) -> Response:
    """A list: in one piece where it is small, else streamed."""
    headers = [("content-type", form.type), *warning_headers(warnings)]
    if len(items) <= SLICE_OBJECTS and not is_large(items, LARGE_BYTES if form.type == YAML else SLICE_BYTES):
        return Response(200, headers, written(joined(head, map(write, items), tail), form))
    if form.type == YAML:
        return Response(200, headers, _yaml_slices(head, items, write, tail, aside), packable=True)
    if form.pretty:
        return Response(200, headers, _pretty_slices(head, items, write, tail), packable=True)
    return Response(200, headers, slices(head, items, write, tail), packable=True)


def is_large(items: Sequence[Object], most_bytes: int) -> bool:
    return sum([len(one.raw) for one in items]) > most_bytes


def raw(found: Object) -> bytes:
    return found.raw
