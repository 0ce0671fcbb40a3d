"""What one object takes of a namespace's quotas, and which quotas it is subject to: pure functions on documents.

Admission asks them before a write, the controller adds them up; both mean the same by construction.

Source: https://kubernetes.io/docs/concepts/policy/resource-quotas/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from navarch.base.clock import parse_rfc3339
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.kinds.podspec.totals import amounts, containers_total, summed
from navarch.kinds.quota import ResourceQuotaSpec, ScopedRequirement
from navarch.objects import quantity
from navarch.objects.value import Document, dig

Usage = dict[str, int]
"""Amounts in nano-units by the name that a quota's `hard` has for them."""

PLAIN = frozenset(
    (
        "configmaps",
        "persistentvolumeclaims",
        "pods",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "services",
    )
)
"""Kinds that `hard` names by their plural alone; every kind is counted as `count/<resource>` too."""
MUST_BE_SAID = frozenset(("cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"))
"""Where a quota has one of these, every container says how much it takes."""
PLAIN_REQUESTS = ("cpu", "memory", "ephemeral-storage")
LIMITED = ("cpu", "memory", "ephemeral-storage")
OVER = ("Succeeded", "Failed")
CLASS_SUFFIX = ".storageclass.storage.k8s.io/"
CLAIMS_OF_DEVICES, DEVICES_SUFFIX = "resourceclaims.resource.k8s.io", ".deviceclass.resource.k8s.io/devices"
DEVICES_MAX = 32
"""What one claim can have allocated at most."""
ATTRIBUTES_SUFFIX = ".volumeattributesclass.storage.k8s.io/"


def is_counted(kind: Kind) -> bool:
    """Events come and go by themselves and are nobody's to bound."""
    return kind.namespaced and kind.plural != "events"


def usage(kind: Kind, document: Document, now: datetime) -> Usage:
    """Everything that the object takes of whatever quota may name it."""
    found: Usage = {f"count/{kind.resource}": quantity.NANO}
    if kind.resource == CLAIMS_OF_DEVICES:
        found.update(_devices(document))
    if kind.group:
        return found
    if kind.plural == "pods":
        if not _is_over(document, now):
            found["pods"] = quantity.NANO
            found.update(_compute(pod_total(document, "requests"), pod_total(document, "limits")))
        return found
    if kind.plural in PLAIN:
        found[kind.plural] = quantity.NANO
    if kind.plural == "services":
        found.update(_service(document))
    elif kind.plural == "persistentvolumeclaims":
        found.update(_claim(document))
    return found


def _is_over(pod: Document, now: datetime) -> bool:
    """It ended, or should long be gone: what it had is free for others."""
    if dig(pod, "status", "phase") in OVER:
        return True
    deleted = dig(pod, "metadata", "deletionTimestamp")
    return bool(deleted) and now > parse_rfc3339(deleted) + timedelta(
        seconds=dig(pod, "metadata", "deletionGracePeriodSeconds") or 0
    )


def pod_total(pod: Document, side: str) -> Usage:
    """side: `requests` or `limits`. What the pod takes at its largest: its containers with the sidecars, or an init
    container with the sidecars before it; what the pod says of itself goes before that; and its overhead."""
    spec = pod.get("spec") or {}
    total = containers_total(spec, side)
    total.update(amounts(spec, side))
    overhead = {name: quantity.nano(value) for name, value in (spec.get("overhead") or {}).items()}
    if side == "limits":
        overhead = {name: amount for name, amount in overhead.items() if name in total}
    return summed((total, overhead))


def _compute(requests: Mapping[str, int], limits: Mapping[str, int]) -> Usage:
    found = {f"requests.{name}": amount for name, amount in requests.items()}
    plain = {n: a for n, a in requests.items() if n in PLAIN_REQUESTS or n.startswith("hugepages-")}
    return {**found, **plain, **{f"limits.{name}": amount for name, amount in limits.items() if name in LIMITED}}


def _service(service: Document) -> Usage:
    type_, ports = dig(service, "spec", "type"), dig(service, "spec", "ports") or ()
    taken = len(ports)
    if type_ == "LoadBalancer" and dig(service, "spec", "allocateLoadBalancerNodePorts") is False:
        taken = sum(bool(port.get("nodePort")) for port in ports)
    if type_ not in ("NodePort", "LoadBalancer"):
        taken = 0
    balanced = quantity.NANO if type_ == "LoadBalancer" else 0
    return {"services.nodeports": taken * quantity.NANO, "services.loadbalancers": balanced}


def _claim(claim: Document) -> Usage:
    asked = dig(claim, "spec", "resources", "requests", "storage")
    has = dig(claim, "status", "allocatedResources", "storage")
    storage = max((quantity.nano(amount) for amount in (asked, has) if amount is not None), default=0)
    found: Usage = {"requests.storage": storage}
    name = dig(claim, "spec", "storageClassName")
    if name:
        found[f"{name}{CLASS_SUFFIX}requests.storage"] = storage
        found[f"{name}{CLASS_SUFFIX}persistentvolumeclaims"] = quantity.NANO
    return found


def _devices(claim: Document) -> Usage:
    """Of every class as many as may be allocated: where there is a choice, the largest of each class."""
    found: Usage = {}
    for request in dig(claim, "spec", "devices", "requests", default=()):
        largest: Usage = {}
        for one in request.get("firstAvailable") or (request.get("exactly") or {},):
            name = f"{one.get('deviceClassName', '')}{DEVICES_SUFFIX}"
            mode = one.get("allocationMode", "ExactCount")
            number = {"ExactCount": one.get("count", 1), "All": DEVICES_MAX}.get(mode, 0)
            largest[name] = max(largest.get(name, 0), number * quantity.NANO)
        found = summed((found, largest))
    return found


def unsaid(pod: Document, hard: Iterable[str]) -> str:
    """What containers must say and do not, as `limits.cpu for: a,b; memory for: a`; "" where nothing is missing."""
    wanted = sorted(MUST_BE_SAID.intersection(hard))
    spec = pod.get("spec") or {}
    of_pod = _compute(amounts(spec, "requests"), amounts(spec, "limits"))
    missing: dict[str, list[str]] = {}
    for one in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        said = _compute(amounts(one, "requests"), amounts(one, "limits"))
        for name in wanted:
            if name not in said and name not in of_pod:
                missing.setdefault(name, []).append(one.get("name", ""))
    return "; ".join(f"{name} for: {','.join(sorted(found))}" for name, found in sorted(missing.items()))


@dataclass(frozen=True, slots=True)
class Traits:
    """What scopes ask of an object: of a pod, or the volume attributes classes of a claim; None: not its kind."""

    best_effort: bool | None = None
    terminating: bool | None = None
    priority_class: str | None = None
    crosses_namespaces: bool | None = None
    attributes_classes: tuple[str, ...] | None = None


def traits(kind: Kind, document: Document) -> Traits:
    if kind.group:
        return Traits()
    if kind.plural == "pods":
        return Traits(
            best_effort=is_best_effort(document),
            terminating=dig(document, "spec", "activeDeadlineSeconds") is not None,
            priority_class=dig(document, "spec", "priorityClassName") or "",
            crosses_namespaces=_crosses(document),
        )
    if kind.plural == "persistentvolumeclaims":
        named = (
            dig(document, "spec", "volumeAttributesClassName"),
            dig(document, "status", "currentVolumeAttributesClassName"),
            dig(document, "status", "modifyVolumeStatus", "targetVolumeAttributesClassName"),
        )
        return Traits(attributes_classes=tuple(name for name in named if name))
    return Traits()


@dataclass(frozen=True, slots=True)
class Share:
    """revision: of the object that this was read from, 0 where time alone may change it."""

    revision: int
    usage: Usage
    traits: Traits


def share(kind: Kind, document: Document, revision: int, now: datetime) -> Share:
    lasting = dig(document, "metadata", "deletionTimestamp") is None
    return Share(revision if lasting else 0, usage(kind, document, now), traits(kind, document))


class Shares:
    """What the objects of namespaces take, read again only where an object changed."""

    def __init__(self) -> None:
        self._known: dict[tuple[Kind, str], dict[str, Share]] = {}

    def of(self, kind: Kind, namespace: str, objects: Iterable[Object], now: datetime) -> Iterator[Share]:
        """objects: all of the kind that the namespace has."""
        known = self._known.get((kind, namespace), {})
        fresh: dict[str, Share] = {}
        for one in objects:
            found = known.get(one.name)
            if found is None or found.revision != one.revision:
                found = share(kind, one.document(), one.revision, now)
            fresh[one.name] = found
        self._known[kind, namespace] = fresh
        return iter(fresh.values())

    def forget(self, namespace: str) -> None:
        """Nothing is remembered of a namespace that has no quota."""
        if self._known:
            self._known = {key: found for key, found in self._known.items() if key[1] != namespace}


def is_best_effort(pod: Document) -> bool:
    known = dig(pod, "status", "qosClass")
    if known:
        return bool(known == "BestEffort")
    spec = pod.get("spec") or {}
    return not any(
        amount
        for one in (spec, *(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
        for side in ("requests", "limits")
        for name, amount in amounts(one, side).items()
        if name in ("cpu", "memory")
    )


def _crosses(pod: Document) -> bool:
    """Whether its (anti-)affinity looks at pods of other namespaces."""
    for side in ("podAffinity", "podAntiAffinity"):
        rules = dig(pod, "spec", "affinity", side) or {}
        terms: Sequence[Document] = rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        weighted = rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        for term in (*terms, *(one.get("podAffinityTerm") or {} for one in weighted)):
            if term.get("namespaces") or term.get("namespaceSelector") is not None:
                return True
    return False


def is_subject(spec: ResourceQuotaSpec, one: Traits) -> bool:
    """Whether the quota is about the object at all."""
    wanted = [ScopedRequirement(scope, "Exists") for scope in spec.scopes]
    if spec.scope_selector is not None:
        wanted += spec.scope_selector.match_expressions
    return all(_holds(found, one) for found in wanted)


def _holds(wanted: ScopedRequirement, one: Traits) -> bool:
    match wanted.scope_name:
        case "BestEffort":
            return one.best_effort is True
        case "NotBestEffort":
            return one.best_effort is False
        case "Terminating":
            return one.terminating is True
        case "NotTerminating":
            return one.terminating is False
        case "CrossNamespacePodAffinity":
            return one.crosses_namespaces is True
        case "PriorityClass":
            return one.priority_class is not None and _among(
                wanted, (one.priority_class,) if one.priority_class else ()
            )
        case "VolumeAttributesClass":
            return one.attributes_classes is not None and _among(wanted, one.attributes_classes)
    return False


def _among(wanted: ScopedRequirement, names: Sequence[str]) -> bool:
    match wanted.operator:
        case "In":
            return any(name in wanted.values for name in names)
        case "NotIn":
            return not any(name in wanted.values for name in names)
        case "Exists":
            return bool(names)
    return not names
