"""ResourceQuota: what of it is used, for people to see; admission counts for itself.

Source: https://kubernetes.io/docs/concepts/policy/resource-quotas/
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from navarch.controllers.controller import Cache, Controller, Watch, custom_watches, own_key
from navarch.controllers.options import Setup
from navarch.controllers.plan import Plan, Status, soonest
from navarch.kinds import PERSISTENTVOLUMECLAIM, POD, RESOURCEQUOTA, SERVICE
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.kinds.quota import ResourceQuota
from navarch.kinds.quota_usage import (
    CLAIMS_OF_DEVICES,
    CLASS_SUFFIX,
    DEVICES_SUFFIX,
    LIMITED,
    PLAIN,
    PLAIN_REQUESTS,
    Shares,
    is_counted,
    is_subject,
)
from navarch.kinds.registry import Kinds
from navarch.objects import quantity

OF_PODS = frozenset((*PLAIN_REQUESTS, *(f"limits.{name}" for name in LIMITED)))
OF_SERVICES = frozenset(("services.nodeports", "services.loadbalancers"))


@dataclass(frozen=True, slots=True)
class Observed:
    """used: what is taken of each resource that the quota bounds, in nano-units; of what nothing here can take there is
    nothing. over_s: until a pod that is being deleted should be gone."""

    quota: Object
    used: Mapping[str, int]
    over_s: float | None = None


def controller(setup: Setup) -> Controller[Observed]:
    watches = [Watch(RESOURCEQUOTA, keys)]
    watches += [watch_of(kind) for kind in setup.kinds.stored() if is_counted(kind) and kind is not RESOURCEQUOTA]

    def grown(kind: Kind) -> Watch | None:
        return watch_of(kind) if is_counted(kind) else None

    return Controller(
        name="resourcequota",
        watches=tuple(watches),
        observe=observer(setup.kinds, Shares(), setup.clock.now),
        plan=plan,
        account="resourcequota-controller",
        grows=custom_watches(setup.kinds, grown),
    )


def watch_of(kind: Kind) -> Watch:
    changed = CHANGES.get(kind, _never)
    return Watch(kind, keys, changed)


def keys(cache: Cache, found: Object) -> Iterable[Hashable]:
    """Every quota of the namespace; of those there are few, and most namespaces have none."""
    if found.kind is RESOURCEQUOTA:
        yield from own_key(cache, found)
    for quota in cache[RESOURCEQUOTA].list(found.namespace):
        if quota is not found:
            yield quota.key


def _never(old: Object, new: Object) -> bool:
    """Of most kinds it only counts how many there are."""
    return False


def _pod_changed(old: Object, new: Object) -> bool:
    a, b = old.glance, new.glance
    return bool(a.phase != b.phase or a.generation != b.generation or old.terminating != new.terminating)


def _always(old: Object, new: Object) -> bool:
    return True


CHANGES: Mapping[Kind, Callable[[Object, Object], bool]] = {
    POD: _pod_changed,
    SERVICE: _always,
    PERSISTENTVOLUMECLAIM: _always,
}
"""The kinds of which an update may change what they take."""


def observer(
    kinds: Kinds, shares: Shares, now: Callable[[], datetime]
) -> Callable[[Cache, tuple[str, str]], Observed | None]:
    def observe(cache: Cache, key: tuple[str, str]) -> Observed | None:
        found = cache[RESOURCEQUOTA].get(*key)
        if found is None:
            shares.forget(key[0])
            return None
        quota: ResourceQuota = found.view
        used = {name: 0 for name in quota.spec.hard if counted(kinds, (name,))}
        for kind in counted(kinds, used):
            for one in shares.of(kind, key[0], cache[kind].list(key[0]), now()):
                if is_subject(quota.spec, one.traits):
                    for name in used:
                        used[name] += one.usage.get(name, 0)
        return Observed(found, used, _over_s(cache, key[0], now()) if POD in counted(kinds, used) else None)

    return observe


def counted(kinds: Kinds, hard: Iterable[str]) -> list[Kind]:
    """The kinds of which some resource of a quota speaks, in the order of `kinds`."""
    named = {name.removeprefix("count/") for name in hard if name.startswith("count/")}
    plain = {name for name in hard if not name.startswith("count/")}
    found = []
    for kind in kinds.stored():
        if not is_counted(kind):
            continue
        mine = kind.resource in named or (not kind.group and kind.plural in plain & PLAIN)
        if kind is POD:
            mine = mine or any(_is_of_pods(name) for name in plain - PLAIN)
        elif kind is SERVICE:
            mine = mine or not OF_SERVICES.isdisjoint(plain)
        elif kind is PERSISTENTVOLUMECLAIM:
            mine = mine or any(_is_of_storage(name) for name in plain)
        elif kind.resource == CLAIMS_OF_DEVICES:
            mine = mine or any(name.endswith(DEVICES_SUFFIX) for name in plain)
        if mine:
            found.append(kind)
    return found


def _is_of_pods(name: str) -> bool:
    if name in OF_PODS or name.startswith("hugepages-"):
        return True
    return name.startswith("requests.") and not _is_of_storage(name)


def _is_of_storage(name: str) -> bool:
    return name == "requests.storage" or CLASS_SUFFIX in name


def _over_s(cache: Cache, namespace: str, now: datetime) -> float | None:
    ends = (
        pod.view.metadata.deletion_timestamp
        for pod in cache[POD].list(namespace)
        if pod.view.terminating and not pod.view.terminal
    )
    left = [(end - now).total_seconds() + 1 for end in ends if end is not None]
    return soonest(*(left_s for left_s in left if left_s > 0))


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    quota: ResourceQuota = observed.quota.view
    if quota.metadata.deletion_timestamp is not None:
        return Plan()
    hard = {name: quantity.canonical(value) for name, value in quota.spec.hard.items()}
    known = [name for name in hard if name in observed.used]
    used = {name: quantity.text(observed.used[name], quantity.style_of(hard[name])) for name in known}
    status = {"hard": hard, "used": used} if hard else {}
    return Plan(status=Status(observed.quota, status), requeue_after_s=observed.over_s)
