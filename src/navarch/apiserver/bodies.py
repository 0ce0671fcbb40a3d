"""Request bodies: from bytes in a media type that we read to a document, or to an error that says where it is wrong."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from navarch.apiserver.negotiate import JSON, OFFERED, PROTOBUF, YAML
from navarch.apiserver.options import validation
from navarch.apiserver.refusals import unfit_patch
from navarch.base.errors import BadRequest, UnsupportedMediaType
from navarch.kinds.schema_duplicates import duplicates
from navarch.objects.value import Document
from navarch.wire import protobuf, yaml_text
from navarch.wire.message import Request

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_YAML = "application/apply-patch+yaml"
APPLY_CBOR = "application/apply-patch+cbor"
PATCHES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_YAML)
LARGE_BYTES = 65_536
"""YAML takes a second a megabyte: what is larger than this is read in a thread, while others are answered."""


def media_type(request: Request) -> str:
    """Of the body, without parameters; JSON when nothing is said."""
    return request.headers.get("content-type", "").split(";", 1)[0].strip().lower() or JSON


def parse_json(body: bytes) -> Any:
    """Raises: BadRequest, with the line."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(
            f"the body is not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}"
        ) from error


def parse_protobuf(body: bytes) -> Any:
    """Raises: BadRequest."""
    try:
        return protobuf.decode(body)
    except protobuf.Malformed as error:
        raise BadRequest(f"the body is not valid protobuf: {error}") from error


def parse(request: Request, warnings: list[str] | None = None) -> Any:
    """The body of anything but a PATCH. Raises: BadRequest, UnsupportedMediaType."""
    type_ = media_type(request)
    if type_ == JSON:
        return parse_json(request.body)
    if type_ == YAML:
        twice: list[str] = []
        found = _yaml(request, twice)
        _tell(request, twice, warnings)
        return found
    if type_ == PROTOBUF:
        return parse_protobuf(request.body)
    raise UnsupportedMediaType(
        f"the body of the request was in an unknown format - accepted media types include: {', '.join(OFFERED)}"
    )


def _tell(request: Request, faults: list[str], warnings: list[str] | None, *, patch: bool = False) -> None:
    """Of what a text says more than once, or to nobody: as the client wants to hear of it.

    Raises: BadRequest; Invalid, of a patch.
    """
    mode = validation(request, "patch" if patch else "create") if faults else "Ignore"
    if mode == "Strict" and patch:
        raise unfit_patch(request.body.decode("utf-8", "replace"), f"strict decoding error: {', '.join(faults)}")
    if mode == "Strict":
        raise BadRequest(f"strict decoding error: {', '.join(faults)}")
    if mode == "Warn" and warnings is not None:
        warnings.extend(faults)


def document(request: Request, warnings: list[str] | None = None) -> Document:
    """The body as one object. Raises: BadRequest, UnsupportedMediaType."""
    found = parse(request, warnings)
    if not isinstance(found, dict):
        raise BadRequest(f"the body must be one object, not {_json_type(found)}")
    return found


def optional_document(request: Request) -> Document | None:
    """The body as one object, None when there is none."""
    return document(request) if request.body else None


def _json_type(value: Any) -> str:
    if value is None:
        return "null or empty"
    names = {
        dict: "an object",
        list: "an array",
        str: "a string",
        bool: "a boolean",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), type(value).__name__)


def body(request: Request, warnings: list[str]) -> Document | bytes:
    """The body of a create or an update, JSON left as it is for the decoder. warnings: is told of doubled keys.

    Raises: BadRequest, UnsupportedMediaType.
    """
    if media_type(request) == JSON:
        if not request.body:
            raise BadRequest("the request has no body")
        return request.body
    return document(request, warnings)


def patch(request: Request, warnings: list[str]) -> tuple[str, Any]:
    """The media type and the patch. warnings: is told of doubled and unknown fields of the patch itself.

    Raises: BadRequest, UnsupportedMediaType.
    """
    type_ = media_type(request)
    if type_ not in PATCHES:
        raise UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: " + ", ".join(PATCHES)
        )
    if type_ == APPLY_YAML:
        found = _applied(request, warnings)
    else:
        found = parse_json(request.body)
        faults = [f'duplicate field "{path}"' for path in _doubled(request.body, found)]
        if type_ == JSON_PATCH:
            faults = [f"json patch {fault}" for fault in (*faults, *_unknown(found))]
        _tell(request, faults, warnings, patch=True)
    if type_ == JSON_PATCH:
        if not isinstance(found, list):
            raise BadRequest(f"a JSON patch must be an array of operations, not {_json_type(found)}")
    elif not isinstance(found, dict):
        raise BadRequest(f"the patch must be one object, not {_json_type(found)}")
    return type_, found


async def read_ahead(request: Request) -> None:
    """Read a large body of YAML, for `parse` and `patch` to find. Raises: BadRequest."""
    if media_type(request) in (YAML, APPLY_YAML) and not request.body.lstrip().startswith(b"{"):
        twice: list[str] = []
        request.parsed = (await asyncio.to_thread(yaml_text.parse, request.body, twice), twice)


def _yaml(request: Request, twice: list[str]) -> Any:
    if request.parsed is None:
        return yaml_text.parse(request.body, twice)
    found, told = request.parsed
    twice.extend(told)
    return found


def _applied(request: Request, warnings: list[str]) -> Any:
    """An applied document is YAML, which JSON is too; most clients send JSON, which is parsed much faster."""
    twice: list[str] = []
    try:
        found = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        found = _yaml(request, twice)
    else:
        if _doubled(request.body, found):
            found = _yaml(request, twice)
    _tell(request, twice, warnings)
    return found


def _doubled(raw: bytes, found: Any) -> list[str]:
    """A compact text that is no longer than its document has no room for a double. Raises: BadRequest."""
    try:
        return [] if len(orjson.dumps(found)) == len(raw.strip()) else duplicates(raw)
    except orjson.JSONEncodeError as error:
        raise BadRequest(f"the patch is nested too deep: {error}") from None


def _unknown(operations: Any) -> list[str]:
    return [
        f'unknown field "[{number}].{name}"'
        for number, operation in enumerate(operations if isinstance(operations, list) else ())
        for name in (operation if isinstance(operation, dict) else ())
        if name not in ("op", "path", "from", "value")
    ]
