"""How a controller is declared: what it watches, which objects it looks at for a key, and its pure plan.

The runner does the rest. A declaration holds functions only; whatever differs between installations comes as `Options`
when it is made.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from navarch.client.client import Client
from navarch.client.informer import IndexFunction, Informer, Informers
from navarch.controllers.plan import Plan
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.kinds.registry import Kinds

Observed = TypeVar("Observed")


class Cache:
    """What a controller reads: the whole of each kind, by `cache[KIND]`."""

    def __init__(self, informers: Informers) -> None:
        self._informers = informers
        self._known: dict[Kind, Informer] = {}

    def __getitem__(self, kind: Kind) -> Informer:
        found = self._known.get(kind)
        if found is None:
            found = self._known[kind] = self._informers.of(kind)
        return found

    def drop(self, kind: Kind) -> None:
        """Let go of a kind that is served no longer."""
        self._known.pop(kind, None)
        self._informers.drop(kind)


Keys = Callable[[Cache, Object], Iterable[Hashable]]


@dataclass(frozen=True, slots=True)
class Watch:
    """keys: which keys a change of an object concerns; asked of the object before and after the change.

    changed: whether a change of (old, new) matters at all; not asked when one of them is missing.
    seldom: most objects concern no key; so `keys` is asked first, and `changed` where it found some.
    of_head: `keys` goes by nothing of an object but its name, labels, owners and whether it is terminating; so that
        before a change that leaves these as they were, it concerned the same keys.
    indexes: that the controller reads the kind by.
    """

    kind: Kind
    keys: Keys
    changed: Callable[[Object, Object], bool] | None = None
    indexes: Mapping[str, IndexFunction] = field(default_factory=dict)
    seldom: bool = False
    of_head: bool = False


@dataclass(frozen=True, slots=True)
class Controller(Generic[Observed]):
    """observe: collects from the cache what `plan` needs; None when there is nothing to do for the key.

    confirm: for the few that must ask the API itself before they act (is the owner really gone?); runs between the two.
    component: the source of its events. account: the service account in kube-system whose rights it acts with, as
    Kubernetes names it. listen: is handed the way to add keys for news that come by no watch. grows: is handed the ways
    to watch more, and to watch a kind no longer, while it runs.
    """

    name: str
    watches: tuple[Watch, ...]
    observe: Callable[[Cache, Any], Observed | None]
    plan: Callable[[Observed, datetime], Plan]
    confirm: Callable[[Client, Observed], Awaitable[Observed]] | None = None
    component: str = ""
    account: str = ""
    workers: int = 5
    listen: Callable[[Callable[[Hashable], None]], None] | None = None
    grows: Callable[[Callable[[Watch], None], Callable[[Kind], None]], None] | None = None


def custom_watches(
    kinds: Kinds, watch_of: Callable[[Kind], Watch | None]
) -> Callable[[Callable[[Watch], None], Callable[[Kind], None]], None]:
    """For `Controller.grows`: watch the custom resources that there are, as they come and go."""

    def grows(watch: Callable[[Watch], None], unwatch: Callable[[Kind], None]) -> None:
        watched: set[Kind] = set()

        def changed() -> None:
            present = {kind for kind in kinds.stored() if kind.custom}
            for kind in watched - present:
                unwatch(kind)
                watched.discard(kind)
            for kind in [kind for kind in kinds.stored() if kind in present - watched]:
                found = watch_of(kind)
                if found is not None:
                    watch(found)
                    watched.add(kind)

        kinds.follow(changed)
        changed()

    return grows


def own_key(cache: Cache, found: Object) -> Iterable[Hashable]:
    """The changed object is itself the key."""
    return (found.key,)


def controller_name(found: Object, owner: Kind) -> str:
    """The name of the `owner` that controls `found`, "" when none does."""
    reference = found.controller
    if reference is None or reference.kind != owner.name:
        return ""
    group = reference.api_version.rpartition("/")[0]
    return str(reference.name) if group == owner.group else ""


def controller_key(owner: Kind) -> Keys:
    """The `owner` that controls the changed object."""

    def keys(cache: Cache, found: Object) -> Iterable[Hashable]:
        name = controller_name(found, owner)
        return ((found.namespace, name),) if name else ()

    return keys


def new_owner_reference(owner: Object) -> dict[str, Any]:
    """What makes `owner` the controller of an object."""
    return {
        "apiVersion": owner.kind.api_version,
        "kind": owner.kind.name,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
