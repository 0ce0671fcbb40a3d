"""The three kinds of patch: JSON patch, JSON merge patch, and strategic merge patch (in `patch_strategic`).

All of them return a new document that shares every subtree which the patch does not touch with the old one; neither
the document nor the patch is ever changed.

Source: RFC 6902, RFC 7386,
https://kubernetes.io/docs/reference/using-api/api-concepts/#patch-and-apply
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import orjson

from navarch.base.errors import BadRequest, Invalid, TooLarge
from navarch.objects.patch_strategic import TOO_DEEP, strategic
from navarch.objects.value import ABSENT, Document

__all__ = ["MAX_OPERATIONS", "json_patch", "merge_patch", "strategic"]

MAX_OPERATIONS = 10_000
MAX_COPIED_BYTES = 3 * 1024 * 1024
"""What the copy operations of one patch may add up to, encoded: repeated copies grow a document exponentially."""


def merge_patch(document: Document, patch: Any) -> Document:
    """Objects are merged, null removes, everything else replaces (RFC 7386).

    Raises:
        BadRequest: the patch is no object (a document of the API cannot become something else).
    """
    if not isinstance(patch, dict):
        raise BadRequest("a merge patch must be a JSON object")
    try:
        merged: Document = _merged(document, patch)
    except RecursionError:
        raise BadRequest(TOO_DEEP) from None
    return merged


def _merged(value: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    base = value if isinstance(value, dict) else {}
    changed: Document | None = None
    for key, below in patch.items():
        old = base.get(key, ABSENT)
        if below is None:
            if old is not ABSENT:
                changed = dict(base) if changed is None else changed
                del changed[key]
            continue
        new = _merged(None if old is ABSENT else old, below)
        if old is ABSENT or (new is not old and not _same(new, old)):
            changed = dict(base) if changed is None else changed
            changed[key] = new
    if changed is not None:
        return changed
    return value if isinstance(value, dict) else {}


def json_patch(document: Document, operations: Any) -> Document:
    """Carry out the operations in order, all or none (RFC 6902).

    Raises:
        BadRequest: no list of operations.
        TooLarge: more than `MAX_OPERATIONS`, or copies that add up to too much.
        Invalid: an operation is malformed or does not apply.
    """
    if not isinstance(operations, Sequence) or isinstance(operations, str | bytes):
        raise BadRequest("a JSON patch must be a list of operations")
    if len(operations) > MAX_OPERATIONS:
        count = len(operations)
        raise TooLarge(f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {count}")
    editor = _Editor(document)
    try:
        for operation in operations:
            if not isinstance(operation, dict):
                raise BadRequest("an operation of a JSON patch must be an object")
            editor.apply(operation)
    except (RecursionError, orjson.JSONEncodeError):
        raise BadRequest(TOO_DEEP) from None
    if not isinstance(editor.document, dict):
        raise _refused("the patched document is no object")
    return editor.document


REFUSED = "the server rejected our request due to an error in our request"


class Untrue(Invalid):
    """What a `test` operation says is not so."""


def _refused(detail: str) -> Invalid:
    return Invalid(f"{REFUSED}: {detail}")


class _Missing(Exception):
    """Nothing stands at the path."""


class _Editor:
    """Applies operations to a document; each container on the way is copied once and then edited in place."""

    def __init__(self, document: Any) -> None:
        self.document = document
        self._mine: dict[int, Any] = {}
        self._copied_bytes = 0

    def apply(self, operation: Document) -> None:
        name = operation.get("op")
        verb = _VERBS.get(name) if isinstance(name, str) else None
        if verb is None:
            raise _refused(f"Unexpected kind: {name}")
        path = operation.get("path")
        if not isinstance(path, str):
            raise _refused(f"{name} operation has no path")
        try:
            verb(self, _steps(path), operation)
        except _Missing:
            raise _refused(f'{name} operation does not apply: doc is missing path: "{path}": missing value') from None

    def _add(self, path: list[str], operation: Document) -> None:
        self._put(path, _given(operation))

    def _remove(self, path: list[str], operation: Document) -> None:
        self._take(path)

    def _replace(self, path: list[str], operation: Document) -> None:
        value = _given(operation)
        if not path:
            self.document = value
            return
        container = self._container(path)
        key = _existing(container, path[-1])
        container[key] = value

    def _move(self, path: list[str], operation: Document) -> None:
        source = _source(operation)
        if path[: len(source)] == source and path != source:
            raise _refused(f"move operation does not apply: {operation['from']} cannot move into itself")
        self._put(path, self._take(source))

    def _copy(self, path: list[str], operation: Document) -> None:
        value = self._read(_source(operation))
        self._copied_bytes += len(orjson.dumps(value))
        if self._copied_bytes > MAX_COPIED_BYTES:
            raise TooLarge(
                f"Unable to complete the copy, the accumulated size increase of copy is {self._copied_bytes}, "
                f"exceeding the limit {MAX_COPIED_BYTES}"
            )
        self._mine.clear()  # the value now stands in two places, so no container below it is ours alone
        self._put(path, value)

    def _test(self, path: list[str], operation: Document) -> None:
        wanted = operation.get("value")
        try:
            found = self._read(path)
        except _Missing:
            found = None
        if not _same(found, wanted):
            raise Untrue(f"{REFUSED}: testing value {operation['path']} failed: test failed")

    def _read(self, path: list[str]) -> Any:
        here = self.document
        for step in path:
            here = here[_existing(here, step)]
        return here

    def _container(self, path: list[str]) -> Any:
        """The container that holds the last step, ours to change."""
        self.document = here = self._own(self.document)
        for step in path[:-1]:
            key = _existing(here, step)
            here[key] = here = self._own(here[key])
        return here

    def _own(self, container: Any) -> Any:
        if not isinstance(container, dict | list):
            raise _Missing
        if id(container) in self._mine:
            return container
        copied = container.copy()
        self._mine[id(copied)] = copied
        return copied

    def _put(self, path: list[str], value: Any) -> None:
        if not path:
            self.document = value
            return
        container, last = self._container(path), path[-1]
        if isinstance(container, dict):
            container[last] = value
        elif last == "-":
            container.append(value)
        else:
            container.insert(_index(last, len(container) + 1), value)

    def _take(self, path: list[str]) -> Any:
        if not path:
            raise _refused("remove operation does not apply: the whole document cannot be removed")
        container = self._container(path)
        return container.pop(_existing(container, path[-1]))


_VERBS: dict[str, Any] = {
    "add": _Editor._add,
    "remove": _Editor._remove,
    "replace": _Editor._replace,
    "move": _Editor._move,
    "copy": _Editor._copy,
    "test": _Editor._test,
}


def _steps(pointer: str) -> list[str]:
    """A JSON pointer (RFC 6901) as its unescaped steps."""
    if pointer == "":
        return []
    if not pointer.startswith("/"):
        raise _refused(f'path "{pointer}" must be empty or start with "/"')
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer[1:].split("/")]


def _given(operation: Document) -> Any:
    if "value" not in operation:
        raise _refused(f"{operation['op']} operation has no value")
    return operation["value"]


def _source(operation: Document) -> list[str]:
    source = operation.get("from")
    if not isinstance(source, str):
        raise _refused(f"{operation['op']} operation has no from")
    return _steps(source)


def _existing(container: Any, step: str) -> Any:
    """The key or index of something that is there."""
    if isinstance(container, dict):
        if step not in container:
            raise _Missing
        return step
    if isinstance(container, list):
        return _index(step, len(container))
    raise _Missing


_NUMBER = re.compile(r"[-+]?[0-9]{1,9}", re.ASCII).fullmatch


def _index(step: str, length: int) -> int:
    """A place in a list. As Kubernetes', and unlike the RFC's, it may be negative: it then counts from the end."""
    if not _NUMBER(step):
        raise _Missing
    index = int(step)
    if not -length <= index < length:
        raise _Missing
    return index % length


def _same(left: Any, right: Any) -> bool:
    """Equal as JSON: true is not 1."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return bool(left == right) and isinstance(left, bool) == isinstance(right, bool)
