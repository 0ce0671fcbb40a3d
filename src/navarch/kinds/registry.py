"""Finding a kind: by the resource in a path, or by the apiVersion and kind in a document."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from navarch.kinds import ALL, BODIES
from navarch.kinds.kind import Kind


class Kinds:
    """An immutable set of kinds. Iterating gives the resources in order, without the bodies of subresources."""

    __slots__ = ("_bodies", "_by_name", "_by_resource", "_faces", "_kinds", "version")

    def __init__(self, kinds: tuple[Kind, ...], bodies: tuple[Kind, ...] = ()) -> None:
        """Raises: ValueError, when two of them have the same resource or the same name."""
        self.version = 0
        """Goes up whenever the kinds change, which only those of `LiveKinds` do."""
        self._kinds = kinds
        self._bodies = bodies
        self._by_resource = {(kind.group, kind.version, kind.plural): kind for kind in kinds}
        self._by_name = {(kind.api_version, kind.name): kind for kind in (*kinds, *bodies)}
        if len(self._by_resource) != len(kinds) or len(self._by_name) != len(kinds) + len(bodies):
            raise ValueError("two kinds have the same resource, or the same name")
        self._faces: dict[Kind, tuple[Kind, ...]] = {}
        for kind in kinds:
            home = kind.stored_as or kind
            self._faces[home] = (*self._faces.get(home, ()), kind)

    def resource(self, group: str, version: str, plural: str) -> Kind | None:
        """The kind that `/apis/{group}/{version}/…/{plural}` serves."""
        return self._by_resource.get((group, version, plural))

    def named(self, api_version: str, name: str) -> Kind | None:
        """The kind of a document with that apiVersion and kind."""
        return self._by_name.get((api_version, name))

    def faces(self, stored: Kind) -> tuple[Kind, ...]:
        """Every kind as which the objects of a stored one are served, itself among them if it is."""
        return self._faces.get(stored, ())

    def groups(self) -> tuple[str, ...]:
        """The API groups in order, the core group ("") among them."""
        return tuple(dict.fromkeys(kind.group for kind in self._kinds))

    def stored(self) -> tuple[Kind, ...]:
        """The kinds that the store holds objects of: none that are only posted or told, one face of each object."""
        return tuple(dict.fromkeys(kind.stored_as or kind for kind in self._kinds if "create" in kind.verbs))

    def follow(self, follower: Callable[[], None]) -> None:
        """Call it, synchronously, after each change. These never change."""

    def with_kinds(self, *more: Kind) -> Kinds:
        """The same and `more`, in a new set."""
        return Kinds((*self._kinds, *more), self._bodies)

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)


class LiveKinds(Kinds):
    """The built-in kinds and those of custom resources, which come and go: `swap` replaces them all at once.

    Whoever holds it sees the present kinds; whoever must act when they change asks to be told by `follow`.
    """

    __slots__ = ("_built_in", "_followers")

    def __init__(self, built_in: Kinds) -> None:
        super().__init__(built_in._kinds, built_in._bodies)
        self._built_in = built_in
        self._followers: list[Callable[[], None]] = []

    def swap(self, custom: Iterable[Kind]) -> None:
        """Serve these besides what is built in. One whose resource or name is taken already is left out."""
        chosen: list[Kind] = []
        resources, names = set(self._built_in._by_resource), set(self._built_in._by_name)
        for kind in custom:
            resource, name = (kind.group, kind.version, kind.plural), (kind.api_version, kind.name)
            if resource not in resources and name not in names:
                chosen.append(kind)
                resources.add(resource)
                names.add(name)
        found = self._built_in.with_kinds(*chosen)
        self._kinds, self._by_resource, self._by_name = found._kinds, found._by_resource, found._by_name
        self._faces = found._faces
        self.version += 1
        for follower in self._followers:
            follower()

    def follow(self, follower: Callable[[], None]) -> None:
        """Call it, synchronously, after each change."""
        self._followers.append(follower)


DEFAULT = Kinds(ALL, BODIES)
