"""What clients are answered with: which form they accept, objects and lists in it, and Status objects for errors.

Where a request for a resource ends: an `ApiError` becomes an answer here.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-representations
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
import orjson
import yaml

from navarch.apiserver.routes import parse_accept
from navarch.base.errors import ApiError, NotAcceptable, Retryable, Unavailable
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.wire.message import Request, Response

JSON = "application/json"
YAML = "application/yaml"
PRETTY_AGENTS = ("curl", "Wget", "Mozilla/")
SLICE_OBJECTS = 256
WHOLE_BYTES = 1 << 20
META_VERSION = "meta.k8s.io/v1"


@dataclass(frozen=True, slots=True)
class Form:
    """How the client wants it. as_: "", Table, PartialObjectMetadata or PartialObjectMetadataList."""

    type: str = JSON
    as_: str = ""
    pretty: bool = False


@lru_cache(maxsize=256)
def _accepted(accept: str, transformed: bool = True) -> tuple[str, str]:
    """The first of an Accept header's media types that we can make: (type, as). Raises: NotAcceptable."""
    for type_, params in parse_accept(accept):
        if type_ in ("*/*", "application/*", ""):
            type_ = JSON
        if type_ not in (JSON, YAML):
            continue
        as_ = params.get("as", "")
        if not as_:
            return type_, ""
        known = as_ in ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
        if transformed and known and params.get("g") == "meta.k8s.io" and params.get("v") == "v1":
            return type_, as_
    raise NotAcceptable(f"only the following media types are accepted: {JSON}, {YAML}, {JSON};stream=watch")


def form_of(request: Request) -> Form:
    """Raises: NotAcceptable."""
    type_, as_ = _accepted(request.headers.get("accept", ""))
    asked = request.param("pretty")
    pretty = asked in ("1", "true") if asked else request.headers.get("user-agent", "").startswith(PRETTY_AGENTS)
    return Form(type_, as_, pretty)


def whole_form(request: Request, form: Form) -> Form:
    """For what has no tables and no metadata of its own. Raises: NotAcceptable, when the client takes nothing else."""
    if not form.as_:
        return form
    type_, _ = _accepted(request.headers.get("accept", ""), transformed=False)
    return Form(type_, "", form.pretty)


def written(value: Any, form: Form) -> bytes:
    """A document, or the bytes of one, in the form's media type."""
    if form.type == YAML:
        document = orjson.loads(value) if isinstance(value, bytes) else value
        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        return yaml.dump(document, Dumper=dumper, sort_keys=True, encoding="utf-8", allow_unicode=True) or b""
    if form.pretty:
        document = orjson.loads(value) if isinstance(value, bytes) else value
        return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    return value if isinstance(value, bytes) else orjson.dumps(value)


def respond(value: Any, form: Form, status: int = 200, warnings: Sequence[str] = ()) -> Response:
    return Response(status, [("content-type", form.type), *warning_headers(warnings)], written(value, form))


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
_PARTIAL = orjson.dumps({"kind": "PartialObjectMetadata", "apiVersion": META_VERSION})[:-1] + b',"metadata":'


def partial(found: Object) -> bytes:
    """The object as a `PartialObjectMetadata`."""
    return b"%b%b}" % (_PARTIAL, bytes(_decode_headed(found.raw).metadata))


def check_partial(form: Form, fitting: str) -> None:
    """Raises: NotAcceptable, when metadata of one object is asked of a list, or the other way round."""
    if form.as_ != fitting:
        what = "a list" if fitting.endswith("List") else "not a list"
        raise NotAcceptable(f"you requested {form.as_}, but the requested object is {what}")


def list_head(kind: str, api_version: str, revision: int, cont: str = "", remaining: int = 0) -> bytes:
    """A list up to and with the bracket that opens `items`."""
    metadata: dict[str, Any] = {"resourceVersion": str(revision)}
    if cont:
        metadata["continue"] = cont
    if remaining:
        metadata["remainingItemCount"] = remaining
    return orjson.dumps({"kind": kind, "apiVersion": api_version, "metadata": metadata})[:-1] + b',"items":['


def joined(head: bytes, items: Iterable[bytes], tail: bytes) -> bytes:
    return head + b",".join(items) + tail


async def slices(head: bytes, items: Sequence[Any], write: Any, tail: bytes) -> AsyncIterator[bytes]:
    """The same in pieces. write: makes bytes of one item."""
    yield head
    for start in range(0, len(items), SLICE_OBJECTS):
        piece = b",".join(write(item) for item in items[start : start + SLICE_OBJECTS])
        yield b"," + piece if start else piece
    yield tail


def respond_list(
    head: bytes, items: Sequence[Any], write: Any, form: Form, warnings: Sequence[str], tail: bytes = b"]}"
) -> Response:
    """A list: in one piece where it is small or must be rewritten as a whole, else streamed."""
    headers = [("content-type", form.type), *warning_headers(warnings)]
    if form.type == YAML or form.pretty or len(items) <= SLICE_OBJECTS:
        return Response(200, headers, written(joined(head, map(write, items), tail), form))
    return Response(200, headers, slices(head, items, write, tail))


def raw(found: Object) -> bytes:
    return found.raw
