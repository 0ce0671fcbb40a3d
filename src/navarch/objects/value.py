"""Documents: JSON objects as plain dictionaries, read by path and edited copy-on-write.

A document is never changed in place once somebody else can see it. `Draft` gives the code that prepares one a way to
edit by path that copies only the containers on the way; everything untouched is shared with the original.
"""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]
Path = tuple[str | int, ...]

ABSENT: Any = object()


def dig(value: Any, *path: str | int, default: Any = None) -> Any:
    """What stands at `path` below `value`, or `default` where any step is missing or null.

    A number steps into a list, a name into an object.
    """
    for step in path:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return default
        if value is None:
            return default
    return value


def field_path(path: Path) -> str:
    """`("spec", "containers", 0, "name")` as Kubernetes writes it: `spec.containers[0].name`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


class Draft:
    """A document under preparation.

    `document` is at every moment a complete document that may be handed on; the one the draft was made from is never
    changed. Containers are copied once, on the first write below them.
    """

    __slots__ = ("_origin", "_owned", "document")

    def __init__(self, document: Document) -> None:
        self._origin = document
        self.document = document
        self._owned: dict[int, Any] = {}

    @property
    def changed(self) -> bool:
        """Whether anything was written (even a value equal to the old one)."""
        return self.document is not self._origin

    def get(self, *path: str | int, default: Any = None) -> Any:
        value: Any = self.document
        for step in path:  # as `dig`, which nearly all paths need no more of
            if not isinstance(value, dict):
                return dig(self.document, *path, default=default)
            value = value.get(step)
            if value is None:
                return default
        return value

    def has(self, *path: str | int) -> bool:
        return self.get(*path, default=ABSENT) is not ABSENT

    def set(self, value: Any, *path: str | int) -> None:
        """Write `value` at `path`, making the objects on the way that are missing.

        Raises:
            TypeError: a step of the path meets something that is neither object nor list.
        """
        self._container(path[:-1])[path[-1]] = value

    def default(self, value: Any, *path: str | int) -> None:
        """Write `value` at `path` unless something is there."""
        if not self.has(*path):
            self.set(value, *path)

    def remove(self, *path: str | int) -> None:
        """Take away what stands at `path`, if anything does (null counts as something)."""
        parent = dig(self.document, *path[:-1], default=ABSENT)
        last = path[-1]
        present = last in parent if isinstance(parent, dict) else isinstance(parent, list) and isinstance(last, int)
        if present:
            del self._container(path[:-1])[last]

    def each(self, *path: str | int) -> range:
        """The indices of the list at `path` (none if it is missing)."""
        found = self.get(*path)
        return range(len(found)) if isinstance(found, list) else range(0)

    def _own(self, container: Any) -> Any:
        if id(container) in self._owned:
            return container
        copied = container.copy()
        self._owned[id(copied)] = copied
        return copied

    def _container(self, path: Path) -> Any:
        self.document = here = self._own(self.document)
        for step in path:
            below = here.get(step) if isinstance(here, dict) else here[step]
            if below is None:
                below = {}
            if not isinstance(below, dict | list):
                raise TypeError(f"{field_path(path)}: {step!r} is {type(below).__name__}, not an object or a list")
            here[step] = below = self._own(below)
            here = below
        return here
