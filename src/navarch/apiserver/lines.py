"""Where in a YAML body a field stands that an answer complains of: its line, added to what upstream says.

Only looked for when there is something to complain of.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from navarch.base.errors import ApiError
from navarch.wire.message import Request, Response

UNKNOWN = re.compile(r'unknown field \\?"([^"\\]+)\\?"')
TYPES = ("application/yaml", "application/apply-patch+yaml")

_Parser = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def is_yaml(request: Request) -> bool:
    return request.headers.get("content-type", "").startswith(TYPES)


def located(error: ApiError, request: Request) -> None:
    """Add the lines to what the error says. The body has been read as YAML before, so it can be read again."""
    if is_yaml(request) and "unknown field" in error.message:
        error.message = _with_lines(error.message, _lines(request.body))


def located_warnings(response: Response, request: Request) -> None:
    """Add the lines to the warnings of an answer."""
    if is_yaml(request) and any("unknown field" in value for name, value in response.headers if name == "warning"):
        lines = _lines(request.body)
        response.headers = [
            (name, _with_lines(value, lines) if name == "warning" else value) for name, value in response.headers
        ]


def _with_lines(text: str, lines: dict[str, int]) -> str:
    return UNKNOWN.sub(lambda found: f"{found[0]} (line {lines[found[1]]})" if found[1] in lines else found[0], text)


def _lines(body: bytes) -> dict[str, int]:
    """Path of each field -> the line of its key, 1 for the first."""
    try:
        return dict(_walk(yaml.compose(body, Loader=_Parser), ""))
    except yaml.YAMLError:
        return {}


def _walk(node: yaml.Node | None, path: str) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, below in node.value:
            here = f"{path}.{key.value}" if path else str(key.value)
            yield here, key.start_mark.line + 1
            if below.start_mark.line >= key.start_mark.line:  # an alias stands elsewhere, and is named there
                yield from _walk(below, here)
    elif isinstance(node, yaml.SequenceNode):
        for number, below in enumerate(node.value):
            yield from _walk(below, f"{path}[{number}]")
