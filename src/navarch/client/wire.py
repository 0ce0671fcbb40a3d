"""What the HTTP client makes of bytes: lists and watch events cut into objects without parsing them whole, and errors.

Pure; `http.py` does the talking.
"""

from __future__ import annotations

from typing import Any

import msgspec
import orjson

from navarch.base.errors import (
    BY_CODE_AND_REASON,
    ApiError,
    BadRequest,
    Cause,
    Conflict,
    Expired,
    Forbidden,
    GatewayTimeout,
    Internal,
    Invalid,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    StorageFull,
    TooLarge,
    TooMany,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
)
from navarch.client.client import ObjectList, WatchEvent
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object

BY_CODE: dict[int, type[ApiError]] = {
    error.code: error
    for error in (
        BadRequest,
        Unauthorized,
        Forbidden,
        NotFound,
        MethodNotAllowed,
        NotAcceptable,
        Conflict,
        Expired,
        TooLarge,
        UnsupportedMediaType,
        Invalid,
        TooMany,
        Internal,
        Unavailable,
        GatewayTimeout,
        StorageFull,
    )
}


class _ListMeta(msgspec.Struct, gc=False, rename={"revision": "resourceVersion", "cont": "continue"}):
    revision: str = "0"
    cont: str = ""


class _List(msgspec.Struct, gc=False):
    metadata: _ListMeta
    items: list[msgspec.Raw] = []


class _Event(msgspec.Struct, gc=False):
    type: str
    object: msgspec.Raw


class _Head(msgspec.Struct, gc=False):
    metadata: _ListMeta


_decode_list = msgspec.json.Decoder(_List).decode
_decode_event = msgspec.json.Decoder(_Event).decode
_decode_head = msgspec.json.Decoder(_Head).decode


def one(kind: Kind, raw: bytes) -> Object:
    """An object with its apiVersion and kind, which some servers leave out of the items of lists."""
    if raw.startswith(b'{"apiVersion"') or b'"apiVersion"' in raw[:200]:
        return Object(kind, raw)
    return Object.of(kind, {"apiVersion": kind.api_version, "kind": kind.name, **orjson.loads(raw)})


def many(kind: Kind, raw: bytes) -> ObjectList:
    found = _decode_list(raw)
    items = [one(kind, bytes(item)) for item in found.items]
    return ObjectList(items, int(found.metadata.revision or 0), found.metadata.cont)


def event(kind: Kind, line: bytes) -> WatchEvent:
    """One line of a watch. Raises: ApiError, when it says that the watch failed (Expired: list again)."""
    found = _decode_event(line)
    raw = bytes(found.object)
    if found.type == "ERROR":
        status = orjson.loads(raw)
        raise error_of(status.get("code", 500), raw)
    if found.type == "BOOKMARK":
        return WatchEvent("BOOKMARK", None, int(_decode_head(raw).metadata.revision or 0))
    shown = one(kind, raw)
    return WatchEvent(found.type, shown, shown.revision)  # type: ignore[arg-type]


def error_of(code: int, raw: bytes) -> ApiError:
    """The error that an answer tells of: a Status, or whatever a proxy on the way said."""
    try:
        status: Any = orjson.loads(raw)
    except orjson.JSONDecodeError:
        status = None
    if not isinstance(status, dict) or status.get("kind") != "Status":
        text = raw.decode(errors="replace")[:1000].strip() or f"the server answered {code} without a word"
        return BY_CODE.get(code, Internal)(text)
    details = status.get("details") or {}
    known = BY_CODE_AND_REASON.get((code, status.get("reason") or "")) or BY_CODE.get(code, Internal)
    return known(
        status.get("message") or "",
        group=details.get("group") or "",
        kind=details.get("kind") or "",
        name=details.get("name") or "",
        uid=details.get("uid") or "",
        causes=[
            Cause(cause.get("reason") or "", cause.get("message") or "", cause.get("field") or "")
            for cause in details.get("causes") or ()
        ],
        retry_after_s=details.get("retryAfterSeconds") or 0,
    )


def left(kind: Kind, raw: bytes) -> Object | None:
    """What the answer to a deletion says is still there: a Status means that it is gone, and so does an object that
    nothing holds any longer."""
    document = orjson.loads(raw)
    if document.get("kind") == "Status":
        return None
    metadata = document.get("metadata") or {}
    held = metadata.get("finalizers") or metadata.get("deletionGracePeriodSeconds")
    held = held or (kind.plural == "namespaces" and (document.get("spec") or {}).get("finalizers"))
    return one(kind, raw) if held else None
