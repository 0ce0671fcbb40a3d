"""Request bodies: from bytes in a media type that we read to a document, or to an error that says where it is wrong."""

from __future__ import annotations

from typing import Any

import orjson
import yaml

from navarch.base.errors import BadRequest, UnsupportedMediaType
from navarch.objects.value import Document
from navarch.wire import protobuf
from navarch.wire.message import Request

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_YAML = "application/apply-patch+yaml"
APPLY_CBOR = "application/apply-patch+cbor"
PATCHES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_YAML)


def media_type(request: Request) -> str:
    """Of the body, without parameters; JSON when nothing is said."""
    return request.headers.get("content-type", "").split(";", 1)[0].strip().lower() or JSON


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML as JSON has it: times stay text, keys are text, and a key that stands twice is an error."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.value in seen:
                line = key.start_mark.line + 1
                raise yaml.constructor.ConstructorError(
                    None, None, f'line {line}: key "{key.value}" already set in map'
                )
            seen.add(key.value)
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return {key if isinstance(key, str) else _key(key): value for key, value in found.items()}


def _key(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in pairs if tag != "tag:yaml.org,2002:timestamp"]
    for first, pairs in _Loader.yaml_implicit_resolvers.items()
}


def parse_json(body: bytes) -> Any:
    """Raises: BadRequest, with the line."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(
            f"the body is not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}"
        ) from error


def parse_yaml(body: bytes) -> Any:
    """Raises: BadRequest, with the line."""
    try:
        return yaml.load(body, Loader=_Loader)  # the loader is a safe one
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise BadRequest(f"error converting YAML to JSON: yaml: {where}{error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise BadRequest(f"error converting YAML to JSON: yaml: {error}") from error


def parse_protobuf(body: bytes) -> Any:
    """Raises: BadRequest."""
    try:
        return protobuf.decode(body)
    except protobuf.Malformed as error:
        raise BadRequest(f"the body is not valid protobuf: {error}") from error


def parse(request: Request) -> Any:
    """The body of anything but a PATCH. Raises: BadRequest, UnsupportedMediaType."""
    type_ = media_type(request)
    if type_ == JSON:
        return parse_json(request.body)
    if type_ == YAML:
        return parse_yaml(request.body)
    if type_ == PROTOBUF:
        return parse_protobuf(request.body)
    raise UnsupportedMediaType(
        f"the body of the request was in an unknown format - accepted media types include: {JSON}, {YAML}, {PROTOBUF}"
    )


def document(request: Request) -> Document:
    """The body as one object. Raises: BadRequest, UnsupportedMediaType."""
    found = parse(request)
    if not isinstance(found, dict):
        raise BadRequest(f"the body must be one object, not {_json_type(found)}")
    return found


def optional_document(request: Request) -> Document | None:
    """The body as one object, None when there is none."""
    return document(request) if request.body else None


def _json_type(value: Any) -> str:
    if value is None:
        return "null or empty"
    names = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), type(value).__name__)


def body(request: Request) -> Document | bytes:
    """The body of a create or an update, JSON left as it is for the decoder.

    Raises: BadRequest, UnsupportedMediaType.
    """
    if media_type(request) == JSON:
        if not request.body:
            raise BadRequest("the request has no body")
        return request.body
    return document(request)


def patch(request: Request) -> tuple[str, Any]:
    """The media type and the patch. Raises: BadRequest, UnsupportedMediaType."""
    type_ = media_type(request)
    if type_ not in PATCHES:
        raise UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: " + ", ".join(PATCHES)
        )
    if type_ == APPLY_YAML:
        try:
            found = orjson.loads(request.body)
        except orjson.JSONDecodeError:
            found = parse_yaml(request.body)
    else:
        found = parse_json(request.body)
    if type_ == JSON_PATCH:
        if not isinstance(found, list):
            raise BadRequest(f"a JSON patch must be an array of operations, not {_json_type(found)}")
    elif not isinstance(found, dict):
        raise BadRequest(f"the patch must be one object, not {_json_type(found)}")
    return type_, found
