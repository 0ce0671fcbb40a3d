"""What must hold of every write of a simulation, whatever it is about; the list of all promises stands below.

A promise looks at one write with the state before it. Those of single controllers are in `promises_apps`,
`promises_cluster` and `promises_upkeep`; what must be true in the end, when all is quiet, in `settled`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import msgspec

from navarch.objects.value import Document, dig
from navarch.scheduler.requests import PODS, amounts, effective
from navarch.scheduler.views import PodShape
from navarch.testing import promises_apps, promises_cluster, promises_issuer, promises_upkeep
from navarch.testing.ledger import Ledger, owners, terminating

Promise = Callable[[Ledger, Document | None, Document | None], Iterator[str]]
"""The ledger before a write, the object before and after it; yields what is wrong with it."""


def surge_of(deployment: Document) -> int:
    """How many pods there may be at most during a rollout, besides those asked for."""
    replicas = int(dig(deployment, "spec", "replicas", default=1))
    surge = dig(deployment, "spec", "strategy", "rollingUpdate", "maxSurge", default="25%")
    if isinstance(surge, str):
        return math.ceil(replicas * int(surge.rstrip("%")) / 100)
    return int(surge)


def surge_is_kept(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """No write to a ReplicaSet raises the sum over its Deployment's above replicas and surge, as its controller may
    have read them."""
    if new is None or new.get("kind") != "ReplicaSet" or not owners(new):
        return
    before = int(dig(old, "spec", "replicas", default=0)) if old else 0
    after = int(dig(new, "spec", "replicas", default=0))
    uid = owners(new)[0]["uid"]
    versions = ledger.versions(uid)
    if after <= before or not versions or dig(versions[0], "spec", "strategy", "type") == "Recreate":
        return
    if ledger.travelling:
        return  # what the other ReplicaSets have may have been read in the past
    deployment = versions[0]
    others = sum(
        int(dig(one, "spec", "replicas", default=0))
        for one in ledger.owned("ReplicaSet", deployment)
        if one["metadata"]["uid"] != new["metadata"]["uid"]
    )
    limit = max(int(dig(one, "spec", "replicas", default=1)) + surge_of(one) for one in versions)
    if others + after > limit:
        name = deployment["metadata"]["name"]
        yield f"surge of deployment {name}: {others + after} replicas asked for, {limit} allowed"


def bound_once(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """A pod that has a node keeps it."""
    if old is None or new is None or new.get("kind") != "Pod" or old["metadata"]["uid"] != new["metadata"]["uid"]:
        return
    before, after = dig(old, "spec", "nodeName"), dig(new, "spec", "nodeName")
    if before and before != after:
        yield f"pod {new['metadata']['name']} moved from {before} to {after}"


def _asked(pod: Document) -> dict[str, int]:
    shape = msgspec.convert(pod, PodShape)
    return effective(shape.spec) | {PODS: 1}


def nodes_have_room(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """A binding does not ask of a node more than it has."""
    if new is None or new.get("kind") != "Pod" or (old and dig(old, "spec", "nodeName")):
        return
    name = dig(new, "spec", "nodeName")
    node = ledger.named("Node", "", name) if name else None
    if node is None or ledger.travelling:
        return
    left = amounts(dig(node, "status", "allocatable", default={}))
    there = [
        pod
        for pod in ledger.of("Pod")
        if dig(pod, "spec", "nodeName") == name
        and dig(pod, "status", "phase") not in ("Succeeded", "Failed")
        and pod["metadata"]["uid"] != new["metadata"]["uid"]
    ]
    for pod in (*there, new):
        for resource, number in _asked(pod).items():
            left[resource] = left.get(resource, 0) - number
    for resource, number in left.items():
        if number < 0:
            yield f"node {name} is asked for {-number} {resource} more than it has, by pod {new['metadata']['name']}"


def controlled_once(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """No object has two owners that manage it."""
    if new is not None and sum(bool(owner.get("controller")) for owner in owners(new)) > 1:
        yield f"{new.get('kind')} {new['metadata'].get('name')} has two controllers"


def addresses_are_unique(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """No pod is given an address that another one has."""
    if new is None or new.get("kind") != "Pod" or dig(new, "spec", "hostNetwork"):
        return
    address = dig(new, "status", "podIP")
    if not address or (old and dig(old, "status", "podIP") == address):
        return
    for pod in ledger.of("Pod"):
        same = pod["metadata"]["uid"] != new["metadata"]["uid"] and dig(pod, "status", "podIP") == address
        if same and not dig(pod, "spec", "hostNetwork"):
            yield f"pods {pod['metadata']['name']} and {new['metadata']['name']} both have the address {address}"


def time_goes_on(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """What only grows never goes back, and what was decided stays so: generations, observed ones, the uid, deletion."""
    if old is None or new is None:
        return
    before, after = old["metadata"], new["metadata"]
    name = f"{new.get('kind')} {after.get('namespace', '')}/{after.get('name')}"
    if before.get("uid") != after.get("uid"):
        yield f"{name} changed its uid"
        return
    if after.get("generation", 0) < before.get("generation", 0):
        yield f"{name} went from generation {before['generation']} back to {after.get('generation')}"
    seen_before = dig(old, "status", "observedGeneration", default=0)
    seen = dig(new, "status", "observedGeneration", default=0)
    if seen < seen_before:
        yield f"{name} observed generation {seen_before}, and then {seen}"
    if "generation" in after and seen > after["generation"]:
        yield f"{name} observed generation {seen}, which is to come: it has {after['generation']}"
    if before.get("creationTimestamp") != after.get("creationTimestamp"):
        yield f"{name} was made at another time"
    if terminating(old) and not terminating(new):
        yield f"{name} was being deleted and is no more"
    if terminating(old) and set(after.get("finalizers", ())) - set(before.get("finalizers", ())):
        yield f"{name} got a finalizer while it was being deleted"


PROMISES: tuple[Promise, ...] = (
    time_goes_on,
    surge_is_kept,
    bound_once,
    nodes_have_room,
    controlled_once,
    addresses_are_unique,
    *promises_apps.PROMISES,
    *promises_cluster.PROMISES,
    *promises_upkeep.PROMISES,
    *promises_issuer.PROMISES,
)
