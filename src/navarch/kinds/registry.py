"""Finding a kind: by the resource in a path, or by the apiVersion and kind in a document."""

from __future__ import annotations

from collections.abc import Iterator

from navarch.kinds import ALL, BODIES
from navarch.kinds.kind import Kind


class Kinds:
    """An immutable set of kinds. Iterating gives the resources in order, without the bodies of subresources."""

    __slots__ = ("_bodies", "_by_name", "_by_resource", "_kinds")

    def __init__(self, kinds: tuple[Kind, ...], bodies: tuple[Kind, ...] = ()) -> None:
        """Raises: ValueError, when two of them have the same resource or the same name."""
        self._kinds = kinds
        self._bodies = bodies
        self._by_resource = {(kind.group, kind.version, kind.plural): kind for kind in kinds}
        self._by_name = {(kind.api_version, kind.name): kind for kind in (*kinds, *bodies)}
        if len(self._by_resource) != len(kinds) or len(self._by_name) != len(kinds) + len(bodies):
            raise ValueError("two kinds have the same resource, or the same name")

    def resource(self, group: str, version: str, plural: str) -> Kind | None:
        """The kind that `/apis/{group}/{version}/…/{plural}` serves."""
        return self._by_resource.get((group, version, plural))

    def named(self, api_version: str, name: str) -> Kind | None:
        """The kind of a document with that apiVersion and kind."""
        return self._by_name.get((api_version, name))

    def groups(self) -> tuple[str, ...]:
        """The API groups in order, the core group ("") among them."""
        return tuple(dict.fromkeys(kind.group for kind in self._kinds))

    def stored(self) -> tuple[Kind, ...]:
        """The kinds that the store holds objects of: no reviews, and one face of each object."""
        return tuple(kind for kind in self._kinds if kind.verbs and kind.stored_as is None)

    def with_kinds(self, *more: Kind) -> Kinds:
        """The same and `more`, in a new set."""
        return Kinds((*self._kinds, *more), self._bodies)

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)


DEFAULT = Kinds(ALL, BODIES)
