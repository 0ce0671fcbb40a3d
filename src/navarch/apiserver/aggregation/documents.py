"""The schemas that another server publishes, as far as they are of its own group and version.

Its v3 documents are only named here and asked of it; its v2 document is kept, to be a part of ours.

Source: https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-interface-definition
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import orjson

from navarch.apiserver.outgoing import Answered, Unreachable
from navarch.objects.value import Document

Ask = Callable[[str, str], Awaitable[Answered]]
"""(path, the ETag of what is known or "") -> the answer. Raises: Unreachable."""

REFERENCE = "#/definitions/"


@dataclass(frozen=True, slots=True)
class Documents:
    """v3: the address of its own v3 document, "" for none. v2: its part of a v2 document, as bytes, b"" for none."""

    v3: str = ""
    v2: bytes = b""
    etag: str = ""

    async def again(self, path: str, ask: Ask) -> Documents:
        """What is true now. path: `apis/{group}/{version}`. What cannot be read stays as it was."""
        found = self
        try:
            answer = await ask("/openapi/v3", "")
            if answer.status == 200:
                found = replace(found, v3=_address(answer.body, path))
            elif answer.status == 404:
                found = replace(found, v3="")
            answer = await ask("/openapi/v2", self.etag)
        except Unreachable:
            return found
        if answer.status == 404:
            return replace(found, v2=b"", etag="")
        if answer.status != 200:
            return found
        etag = next((value for name, value in answer.headers if name.lower() == "etag"), "")
        return replace(found, v2=part_of(answer.body, f"/{path}"), etag=etag)


def _address(body: bytes, path: str) -> str:
    """Only an address of the server itself is believed."""
    try:
        found = str(orjson.loads(body)["paths"][path]["serverRelativeURL"])
    except (ValueError, KeyError, TypeError):
        return ""
    return found if found.partition("?")[0] == f"/openapi/v3/{path}" else ""


def part_of(body: bytes, prefix: str) -> bytes:
    """The paths of a v2 document below `prefix`, with the definitions that they need; b"" for none that can be read."""
    try:
        document = orjson.loads(body)
        paths = {
            path: item for path, item in document["paths"].items() if path == prefix or path.startswith(f"{prefix}/")
        }
        known = document.get("definitions") or {}
        return orjson.dumps({"paths": paths, "definitions": _needed(paths, known)}) if paths else b""
    except (ValueError, KeyError, TypeError, AttributeError):
        return b""


def _needed(paths: Document, known: Document) -> Document:
    found: Document = {}
    left = list(_references(paths))
    while left:
        name = left.pop()
        if name not in found and name in known:
            found[name] = known[name]
            left.extend(_references(known[name]))
    return dict(sorted(found.items()))


def _references(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref" and isinstance(inner, str):
                yield inner.removeprefix(REFERENCE)
            else:
                yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def merged(document: Document, parts: Iterable[bytes]) -> Document:
    """A v2 document with the parts of others in it. A definition that is there with another content gets a number."""
    paths, definitions = dict(document["paths"]), dict(document["definitions"])
    for one in parts:
        part = orjson.loads(one)
        names: dict[str, str] = {}
        for name, content in part["definitions"].items():
            names[name] = _free(name, content, definitions)
        for name, content in part["definitions"].items():
            definitions.setdefault(names[name], _renamed(content, names))
        for path, item in part["paths"].items():
            paths.setdefault(path, _renamed(item, names))
    return {**document, "paths": paths, "definitions": definitions}


def _free(name: str, content: Any, taken: Document) -> str:
    found, number = name, 2
    while found in taken and taken[found] != content:
        found, number = f"{name}_v{number}", number + 1
    return found


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {
            key: REFERENCE + names.get(inner.removeprefix(REFERENCE), inner.removeprefix(REFERENCE))
            if key == "$ref" and isinstance(inner, str)
            else _renamed(inner, names)
            for key, inner in value.items()
        }
    return [_renamed(inner, names) for inner in value] if isinstance(value, list) else value
