"""The schemas that another server publishes, as far as they are of its own group and version.

Its v3 documents are only named here and asked of it; its v2 document is kept, to be a part of ours. Of a server that
has the older form alone, a v3 document is made of it, which we serve in its stead.

Source: https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-interface-definition
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import orjson

from navarch.apiserver import openapi_convert
from navarch.apiserver.outgoing import Answered, Unreachable
from navarch.objects.value import Document

Ask = Callable[[str, str], Awaitable[Answered]]
"""(path, the ETag of what is known or "") -> the answer. Raises: Unreachable."""
Read = Callable[[bytes, str, bool], Awaitable["Parts"]]
"""`parts_of`, beside the loop where documents are large."""

GZIP_LEVEL, GZIP_WINDOW = 6, 31
REFERENCE = "#/definitions/"


@dataclass(frozen=True, slots=True)
class Parts:
    """What a v2 document was made into. digest: of the v2 document. v2: its part of ours, b"" for none. made: the v3
    document, packed with gzip, b"" for none. made_digest: of that."""

    digest: str = ""
    v2: bytes = b""
    made: bytes = b""
    made_digest: str = ""


@dataclass(frozen=True, slots=True)
class Documents:
    """v3: the address of its own v3 document, "" for none. legacy: it knows of no v3 documents. etag: of its v2
    document."""

    v3: str = ""
    legacy: bool = False
    parts: Parts = Parts()
    etag: str = ""

    async def again(self, path: str, ask: Ask, read: Read) -> Documents:
        """What is true now. path: `apis/{group}/{version}`. What cannot be read stays as it was."""
        found = self
        try:
            answer = await ask("/openapi/v3", "")
            if answer.status == 200:
                found = replace(found, v3=_address(answer.body, path), legacy=False)
            elif answer.status == 404:
                found = replace(found, v3="", legacy=True)
            if found.legacy != self.legacy:
                found = replace(found, parts=Parts(), etag="")
            answer = await ask("/openapi/v2", found.etag)
        except Unreachable:
            return found if found.legacy == self.legacy else self
        if answer.status == 404:
            return replace(found, parts=Parts(), etag="")
        if answer.status != 200:
            return found if found.legacy == self.legacy else self
        etag = next((value for name, value in answer.headers if name.lower() == "etag"), "")
        if found.parts.digest != digest_of(answer.body):
            found = replace(found, parts=await read(answer.body, path, found.legacy))
        return replace(found, etag=etag)


def digest_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest().upper()


def parts_of(body: bytes, path: str, legacy: bool) -> Parts:
    """path: `apis/{group}/{version}`. legacy: whether a v3 document is wanted."""
    digest, v2 = digest_of(body), part_of(body, f"/{path}")
    if not legacy:
        return Parts(digest, v2)
    try:
        made = orjson.dumps(openapi_convert.convert(orjson.loads(body)))
    except ValueError:
        return Parts(digest, v2)
    packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP_WINDOW)
    return Parts(digest, v2, packer.compress(made) + packer.flush(), digest_of(made))


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
        paths = _inlined(paths, document.get("parameters") or {})
        known = document.get("definitions") or {}
        return orjson.dumps({"paths": paths, "definitions": _needed(paths, known)}) if paths else b""
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return b""


def _inlined(paths: Document, shared: Document) -> Document:
    """The paths with shared parameters where they are used, for ours has none. Raises: ValueError: that would grow too
    large."""
    sizes = {name: len(orjson.dumps(one)) for name, one in shared.items()}
    left = openapi_convert.SIZE_MAX

    def whole(holder: Document) -> Document:
        nonlocal left
        if not holder.get("parameters"):
            return holder
        found = []
        for one in holder["parameters"]:
            name = str(one.get("$ref", "")).removeprefix(openapi_convert.SHARED)
            left -= sizes.get(name, 0)
            if left < 0:
                raise ValueError("shared parameters would make it too large")
            found.append(shared.get(name, one))
        return {**holder, "parameters": found}

    return {
        path: whole({key: whole(one) if key in openapi_convert.METHODS else one for key, one in item.items()})
        for path, item in paths.items()
    }


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
            if key == "$ref" and isinstance(inner, str) and inner.startswith(REFERENCE)
            else _renamed(inner, names)
            for key, inner in value.items()
        }
    return [_renamed(inner, names) for inner in value] if isinstance(value, list) else value
