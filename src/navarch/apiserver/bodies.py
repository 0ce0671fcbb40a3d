"""Request bodies: from bytes in a media type that we read to a document, or to an error that says where it is wrong."""

from __future__ import annotations

from collections.abc import Sequence
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
READ_AHEAD = (YAML, PROTOBUF, *PATCHES)


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
    if type_ in (YAML, PROTOBUF):
        found, twice = request.parsed or _read(request, type_)
        _tell(request, twice, warnings)
        return found
    raise UnsupportedMediaType(
        f"the body of the request was in an unknown format - accepted media types include: {', '.join(OFFERED)}"
    )


def _tell(request: Request, faults: Sequence[str], warnings: list[str] | None, *, patch: bool = False) -> None:
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
    found, faults = request.parsed or _read(request, type_)
    _tell(request, faults, warnings, patch=type_ != APPLY_YAML)
    if type_ == JSON_PATCH:
        if not isinstance(found, list):
            raise BadRequest(f"a JSON patch must be an array of operations, not {_json_type(found)}")
    elif not isinstance(found, dict):
        raise BadRequest(f"the patch must be one object, not {_json_type(found)}")
    return type_, found


def read_ahead(request: Request) -> None:
    """Read a body, for `parse` and `patch` to find; all but plain JSON, which is left to the decoder.

    Raises: BadRequest.
    """
    type_ = media_type(request)
    if type_ in READ_AHEAD:
        request.parsed = _read(request, type_)


def _read(request: Request, type_: str) -> tuple[Any, list[str]]:
    """The body, and what is wrong with it that may be forgiven. type_: one of `READ_AHEAD`. Raises: BadRequest."""
    if type_ == PROTOBUF:
        return parse_protobuf(request.body), []
    if type_ in (YAML, APPLY_YAML):
        return _yaml(request.body, type_)
    found = parse_json(request.body)
    faults = [f'duplicate field "{path}"' for path in _doubled(request.body, found)]
    if type_ == JSON_PATCH:
        faults = [f"json patch {fault}" for fault in (*faults, *_unknown(found))]
    return found, faults


def _yaml(body: bytes, type_: str) -> tuple[Any, list[str]]:
    """YAML, which JSON is too: most clients apply JSON, which is parsed much faster."""
    twice: list[str] = []
    if type_ == APPLY_YAML:
        try:
            found = orjson.loads(body)
        except orjson.JSONDecodeError:
            pass
        else:
            if not _doubled(body, found):
                return found, []
    return yaml_text.parse(body, twice), twice


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
