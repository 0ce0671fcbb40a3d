"""What the other controllers promise of every write: the garbage collector, budgets, volumes, quotas, namespaces, the
autoscaler."""

from __future__ import annotations

from collections.abc import Iterator

from navarch.objects import selector
from navarch.objects.value import Document, dig
from navarch.testing.ledger import Ledger, controller_uid, over, owners, ready, terminating

FOREGROUND = "foregroundDeletion"


def the_owned_live(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """The garbage collector deletes nothing that has an owner which lives and does not wait for it to go."""
    if old is None or ledger.actor != "generic-garbage-collector":
        return
    if terminating(old) or (new is not None and not terminating(new)):
        return
    for owner in owners(old):
        found = ledger.by_uid(owner["uid"])
        if found is None or FOREGROUND in found["metadata"].get("finalizers", ()):
            continue
        yield f"{old['kind']} {old['metadata']['name']} is deleted as garbage, its owner {owner['name']} lives"


def _wanted(budget: Document, expected: int) -> int:
    """How many pods have to be healthy."""
    spec = budget.get("spec") or {}

    def share(value: object) -> int:
        return -(-int(value.rstrip("%")) * expected // 100) if isinstance(value, str) else int(str(value))

    if "minAvailable" in spec:
        return share(spec["minAvailable"])
    return max(0, expected - share(spec["maxUnavailable"]))


def _asked_for(ledger: Ledger, namespace: str, labels: Document) -> int | None:
    """How many pods with these labels there are to be; None where nobody says. What a budget says of it may be old."""
    replicas = [
        int(dig(one, "spec", "replicas", default=1))
        for kind in ("Deployment", "StatefulSet")
        for one in ledger.of(kind, namespace)
        if selector.from_document(dig(one, "spec", "selector")).matches(labels)
    ]
    return sum(replicas) if replicas else None


def budgets_are_kept(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """No eviction takes a healthy pod where the budget has none to give: neither by what it says of itself, nor, when
    all can be seen, by counting. A share is one of what is asked for now: who scales down takes pods too, and the
    budget may not have heard of it."""
    if old is None or old.get("kind") != "Pod" or ledger.actor != "eviction" or terminating(old):
        return
    if (new is not None and not terminating(new)) or not ready(old) or over(old):
        return
    namespace, name = old["metadata"]["namespace"], old["metadata"]["name"]
    for budget in ledger.of("PodDisruptionBudget", namespace):
        matches = selector.from_document(dig(budget, "spec", "selector")).matches
        if not matches(old["metadata"].get("labels") or {}):
            continue
        versions = ledger.versions(budget["metadata"]["uid"])
        if not any(name in dig(one, "status", "disruptedPods", default={}) for one in versions):
            yield f"pod {name} is evicted, and its budget {budget['metadata']['name']} was not asked"
        pods = [
            pod
            for pod in ledger.of("Pod", namespace)
            if matches(pod["metadata"].get("labels") or {}) and pod["metadata"]["uid"] != old["metadata"]["uid"]
        ]
        healthy = sum(
            any(ready(one) and not terminating(one) for one in ledger.versions(pod["metadata"]["uid"])) for pod in pods
        )
        expected = min(int(dig(one, "status", "expectedPods", default=0)) for one in versions)
        asked = _asked_for(ledger, namespace, old["metadata"].get("labels") or {})
        expected = expected if asked is None else min(expected, asked)
        wanted = min(_wanted(one, expected) for one in versions)
        if healthy < wanted:
            yield f"pod {name} is evicted: {healthy} healthy pods are left, {wanted} are wanted"


def volumes_are_bound_once(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """A volume is one claim's, and stays so."""
    if new is None:
        return
    name = new["metadata"].get("name")
    if new.get("kind") == "PersistentVolume" and old is not None:
        before, after = dig(old, "spec", "claimRef", "uid"), dig(new, "spec", "claimRef", "uid")
        if before and after and before != after:
            yield f"volume {name} went from claim {before} to {after}"
    if new.get("kind") == "PersistentVolumeClaim":
        volume, was = dig(new, "spec", "volumeName"), dig(old or {}, "spec", "volumeName")
        if was and was != volume:
            yield f"claim {name} went from volume {was} to {volume}"
        if dig(new, "status", "phase") != "Bound" or dig(old or {}, "status", "phase") == "Bound":
            return
        bound = ledger.named("PersistentVolume", "", volume or "")
        if bound is None or dig(bound, "spec", "claimRef", "uid") != new["metadata"]["uid"]:
            yield f"claim {name} is bound to volume {volume}, which is not its own"


def protected_stay(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """No claim goes while a pod that runs or is to run names it; no volume while it is bound to a claim."""
    if old is None or new is not None:
        return
    namespace, name = old["metadata"].get("namespace", ""), old["metadata"]["name"]
    if old.get("kind") == "PersistentVolumeClaim":
        for pod in ledger.of("Pod", namespace):
            volumes = dig(pod, "spec", "volumes", default=())
            uses = any(dig(one, "persistentVolumeClaim", "claimName") == name for one in volumes)
            if uses and not over(pod) and dig(pod, "spec", "nodeName"):
                yield f"claim {name} is gone while pod {pod['metadata']['name']} uses it"


def quotas_are_kept(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """No pod is admitted beyond what a namespace may have."""
    if old is not None or new is None or new.get("kind") != "Pod":
        return
    namespace = new["metadata"]["namespace"]
    for quota in ledger.of("ResourceQuota", namespace):
        hard = dig(quota, "spec", "hard", "pods")
        there = sum(not over(pod) and not terminating(pod) for pod in ledger.of("Pod", namespace))
        if hard is not None and there + 1 > int(hard):
            yield f"pod {new['metadata']['name']} is number {there + 1} in {namespace}, which may have {hard}"


def nothing_is_left_behind(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """A namespace goes when it is empty."""
    if old is None or new is not None or old.get("kind") != "Namespace":
        return
    name = old["metadata"]["name"]
    left = [
        f"{one.get('kind')} {one['metadata']['name']}"
        for one in ledger.objects.values()
        if one["metadata"].get("namespace") == name and one.get("kind") != "Event"
    ]
    if left:
        yield f"namespace {name} is gone, and left {sorted(left)[:5]}"


def scales_stay_within(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """An autoscaler asks for no fewer and no more than it may."""
    if (
        old is None
        or new is None
        or ledger.actor != "horizontal-pod-autoscaler"
        or "replicas" not in (new.get("spec") or {})
    ):
        return
    before, after = old["spec"].get("replicas", 1), new["spec"]["replicas"]
    if before == after:
        return
    for scaler in ledger.of("HorizontalPodAutoscaler", new["metadata"].get("namespace", "")):
        if dig(scaler, "spec", "scaleTargetRef", "name") != new["metadata"]["name"]:
            continue
        versions = ledger.versions(scaler["metadata"]["uid"])
        least = min(int(dig(one, "spec", "minReplicas", default=1)) for one in versions)
        most = max(int(dig(one, "spec", "maxReplicas")) for one in versions)
        if not least <= after <= most:
            yield f"{new['metadata']['name']} is scaled to {after}, from {least} to {most} are allowed"


def claims_are_reserved(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """A claim that was made for a pod is that pod's alone."""
    if new is None or new.get("kind") != "ResourceClaim" or not controller_uid(new):
        return
    holders = {one.get("uid") for one in dig(new, "status", "reservedFor", default=())}
    if holders - {controller_uid(new)}:
        yield f"resource claim {new['metadata']['name']} is held by {sorted(map(str, holders))}"


def devices_are_held_once(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """A device is one claim's at a time: none that simulations ask for may be shared."""
    if new is None or new.get("kind") != "ResourceClaim" or dig(old or {}, "status", "allocation") is not None:
        return
    mine = _held(new)
    for other in ledger.of("ResourceClaim", new["metadata"].get("namespace", "")) if mine else ():
        if other["metadata"]["uid"] != new["metadata"]["uid"] and (both := mine & _held(other)):
            names = (new["metadata"]["name"], other["metadata"]["name"])
            yield f"resource claims {names[0]} and {names[1]} both have {sorted(both)}"


def _held(claim: Document) -> set[tuple[str, ...]]:
    results = dig(claim, "status", "allocation", "devices", "results", default=())
    return {(one["driver"], one["pool"], one["device"]) for one in results}


PROMISES = (
    the_owned_live,
    budgets_are_kept,
    volumes_are_bound_once,
    protected_stay,
    quotas_are_kept,
    nothing_is_left_behind,
    scales_stay_within,
    claims_are_reserved,
    devices_are_held_once,
)
