"""ResourceClaims of pods: made from templates, reserved for the pods that run with them, let go when those are done.

What devices a claim gets is decided elsewhere (by whoever writes `status.allocation`).

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from navarch.base.errors import NotFound
from navarch.client.client import Client
from navarch.controllers.controller import Cache, Controller, Watch, new_owner_reference
from navarch.controllers.options import Setup
from navarch.controllers.plan import Action, Apply, Create, Delete, Event, Patch, Plan
from navarch.kinds import POD, RESOURCECLAIM, RESOURCECLAIMTEMPLATE
from navarch.kinds.object import Object
from navarch.kinds.podspec.spec import PodResourceClaim
from navarch.objects.value import Document, dig

FOR_CLAIM = "resource.kubernetes.io/pod-claim-name"
"""The annotation that says which of its pod's claims a generated one is."""
FINALIZER = "resource.kubernetes.io/delete-protection"
MANAGER = "ResourceClaimController"
BASE_MAX = 57
RESERVED_MAX = 256
BY_CLAIM, BY_TEMPLATE = "resource-claim", "resource-claim-template"


@dataclass(frozen=True, slots=True)
class OfPod:
    """claims: those that it names and those that it owns, by name. templates: those that it names, by name."""

    pod: Object
    claims: dict[str, Object]
    templates: dict[str, Object]


@dataclass(frozen=True, slots=True)
class OfClaim:
    """pods: by name, those that it is reserved for or was made for, where they are known."""

    claim: Object
    pods: dict[str, Object]


Observed = OfPod | OfClaim


def controller(setup: Setup) -> Controller[Observed]:
    return Controller(
        name="resource-claim",
        watches=(
            Watch(POD, _keys_of_pod, _pod_matters, {BY_CLAIM: claim_index, BY_TEMPLATE: template_index}),
            Watch(RESOURCECLAIM, _keys_of_claim),
            Watch(RESOURCECLAIMTEMPLATE, _keys_of_template),
        ),
        observe=observe,
        confirm=confirm,
        plan=plan,
        component="resource_claim",
        account="resource-claim-controller",
    )


def _asks(pod: Object) -> bool:
    """Whether the pod names any claims. Most name none, which is seen without a view."""
    return pod.glance.resource_claims and bool(pod.view.spec.resource_claims)


def claim_names(pod: Object) -> list[str]:
    """Of the claims that it is known to run with."""
    if not _asks(pod):
        return []
    made = _made(pod)
    names = [one.resource_claim_name or made.get(one.name, "") for one in pod.view.spec.resource_claims]
    return [name for name in names if name]


def _made(pod: Object) -> dict[str, str]:
    """Claim of the pod's spec -> name of what was made for it, "" where none is needed."""
    return {one.name: one.resource_claim_name for one in pod.view.status.resource_claim_statuses}


def claim_index(pod: Object) -> Iterable[str]:
    return [f"{pod.namespace}/{name}" for name in claim_names(pod)]


def template_index(pod: Object) -> Iterable[str]:
    if not _asks(pod):
        return []
    named = [one.resource_claim_template_name for one in pod.view.spec.resource_claims]
    return [f"{pod.namespace}/{name}" for name in named if name]


def _keys_of_pod(cache: Cache, pod: Object) -> Iterable[Hashable]:
    if not _asks(pod):
        return ()
    names = dict.fromkeys([*claim_names(pod), *(found.name for found in cache[RESOURCECLAIM].owned_by(pod.uid))])
    return [("pod", *pod.key), *(("claim", pod.namespace, name) for name in names)]


def _pod_matters(old: Object, new: Object) -> bool:
    if not _asks(new):
        return False
    return _facts(old) != _facts(new)


def _facts(pod: Object) -> tuple[object, ...]:
    view = pod.view
    return (pod.uid, view.spec.node_name, view.terminal, view.terminating, view.status.resource_claim_statuses)


def _keys_of_claim(cache: Cache, claim: Object) -> Iterable[Hashable]:
    names = [pod.name for pod in cache[POD].by(BY_CLAIM, f"{claim.namespace}/{claim.name}")]
    owner = claim.view.metadata.controller
    if owner is not None and owner.kind == POD.name:
        names.append(owner.name)
    return [("claim", *claim.key), *(("pod", claim.namespace, name) for name in dict.fromkeys(names))]


def _keys_of_template(cache: Cache, template: Object) -> Iterable[Hashable]:
    return [("pod", *pod.key) for pod in cache[POD].by(BY_TEMPLATE, f"{template.namespace}/{template.name}")]


def observe(cache: Cache, key: tuple[str, str, str]) -> Observed | None:
    what, namespace, name = key
    if what == "claim":
        claim = cache[RESOURCECLAIM].get(namespace, name)
        if claim is None:
            return None
        found = {pod: cache[POD].get(namespace, pod) for pod in _pods_of(claim)}
        return OfClaim(claim, {name: pod for name, pod in found.items() if pod is not None})
    pod = cache[POD].get(namespace, name)
    if pod is None or pod.view.terminating or not pod.view.spec.resource_claims:
        return None
    claims = [cache[RESOURCECLAIM].get(namespace, one) for one in claim_names(pod)]
    known = [*claims, *cache[RESOURCECLAIM].owned_by(pod.uid)]
    wanted = [one.resource_claim_template_name for one in pod.view.spec.resource_claims]
    templates = [cache[RESOURCECLAIMTEMPLATE].get(namespace, one) for one in wanted if one]
    return OfPod(
        pod,
        {found.name: found for found in known if found is not None},
        {found.name: found for found in templates if found is not None},
    )


def _pods_of(claim: Object) -> list[str]:
    owner = claim.view.metadata.controller
    owners = [owner.name] if owner is not None and owner.kind == POD.name else []
    return list(dict.fromkeys([*(one["name"] for one in reserved_for(claim) if _is_pod(one)), *owners]))


def reserved_for(claim: Object) -> list[Document]:
    return list(dig(claim.document(), "status", "reservedFor", default=()))


def _is_pod(consumer: Document) -> bool:
    return not consumer.get("apiGroup") and consumer.get("resource") == "pods"


async def confirm(client: Client, observed: Observed) -> Observed:
    """A pod that the cache lacks may be about to come: none is written off before the API itself was asked."""
    if isinstance(observed, OfPod):
        return observed
    pods = dict(observed.pods)
    for one in reserved_for(observed.claim):
        if _is_pod(one) and one["name"] not in pods:
            try:
                pods[one["name"]] = await client.get(POD, observed.claim.namespace, one["name"])
            except NotFound:
                continue
    return replace(observed, pods=pods)


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    return _plan_pod(observed) if isinstance(observed, OfPod) else _plan_claim(observed)


# -- of a pod


def _plan_pod(observed: OfPod) -> Plan:
    """What is made has a name only then: the pod is told of it when the claim is seen."""
    pod, made = observed.pod, _made(observed.pod)
    actions: list[Action] = []
    known = dict(made)
    for one in pod.view.spec.resource_claims:
        if not one.resource_claim_template_name or made.get(one.name) == "":
            continue
        present = observed.claims.get(made.get(one.name, ""))
        if present is not None and _is_for(present, pod):
            continue
        orphan = next((found for found in observed.claims.values() if _is_made_for(found, pod, one)), None)
        if orphan is not None:
            known[one.name] = orphan.name
        elif template := observed.templates.get(one.resource_claim_template_name):
            actions.append(_new(pod, one, template))
        else:
            actions.append(_missing(pod, one))
    if known != made:
        actions.append(_told(pod, known))
    if pod.view.spec.node_name:
        actions += _reservations(pod, observed.claims)
    return Plan(tuple(actions))


def _is_for(claim: Object, pod: Object) -> bool:
    owner = claim.view.metadata.controller
    return owner is not None and owner.uid == pod.uid


def _is_made_for(claim: Object, pod: Object, one: PodResourceClaim) -> bool:
    return _is_for(claim, pod) and claim.view.metadata.annotations.get(FOR_CLAIM) == one.name


def base_name(pod: str, claim: str) -> str:
    """Of a generated claim's name, both parts shortened alike where they are too long."""
    whole = f"{pod}-{claim}-"
    if len(whole) <= BASE_MAX:
        return whole
    first, second = (part[: len(part) * BASE_MAX // len(whole)] for part in (pod, claim))
    return f"{first}-{second}"


def _new(pod: Object, one: PodResourceClaim, template: Object) -> Create:
    inner: Document = template.document().get("spec") or {}
    given: Document = inner.get("metadata") or {}
    metadata: Document = {
        "generateName": base_name(pod.name, one.name),
        "namespace": pod.namespace,
        "annotations": {**(given.get("annotations") or {}), FOR_CLAIM: one.name},
        "ownerReferences": [new_owner_reference(pod)],
    }
    if given.get("labels"):
        metadata["labels"] = given["labels"]
    document = {
        "apiVersion": RESOURCECLAIM.api_version,
        "kind": RESOURCECLAIM.name,
        "metadata": metadata,
        "spec": inner.get("spec") or {},
    }
    said = f"PodResourceClaim {one.name}: create ResourceClaim : {{error}}"
    return Create(RESOURCECLAIM, document, refused=Event(pod, "FailedResourceClaimCreation", said, "Warning"))


def _missing(pod: Object, one: PodResourceClaim) -> Event:
    name = one.resource_claim_template_name
    why = f'resource claim template "{name}": {RESOURCECLAIMTEMPLATE.resource} "{name}" not found'
    return Event(pod, "FailedResourceClaimCreation", f"PodResourceClaim {one.name}: {why}", "Warning")


def _told(pod: Object, known: dict[str, str]) -> Apply:
    statuses = [{"name": name, **({"resourceClaimName": claim} if claim else {})} for name, claim in known.items()]
    document = {
        "apiVersion": POD.api_version,
        "kind": POD.name,
        "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
        "status": {"resourceClaimStatuses": statuses},
    }
    return Apply(POD, document, MANAGER, subresource="status")


def _reservations(pod: Object, claims: dict[str, Object]) -> Iterable[Action]:
    """For a pod that came to a node without the scheduler's reserving its claims."""
    generated = set(_made(pod).values())
    for name in claim_names(pod):
        claim = claims.get(name)
        if claim is None or (name in generated and not _is_for(claim, pod)):
            continue
        present = reserved_for(claim)
        taken = any(one.get("uid") == pod.uid for one in present)
        if taken or len(present) >= RESERVED_MAX or dig(claim.document(), "status", "allocation") is None:
            continue
        consumer = {"resource": "pods", "name": pod.name, "uid": pod.uid}
        yield Patch(claim, {"status": {"reservedFor": [*present, consumer]}}, subresource="status")


# -- of a claim


def is_done(pod: Object) -> bool:
    """No container of it runs, and none will."""
    return bool(pod.view.terminal or (pod.view.terminating and not pod.view.spec.node_name))


def _plan_claim(observed: OfClaim) -> Plan:
    claim, present = observed.claim, reserved_for(observed.claim)
    valid = [one for one in present if not _is_pod(one) or _still_wants(one, observed.pods)]
    finalizers = claim.view.metadata.finalizers
    allocated = dig(claim.document(), "status", "allocation") is not None
    over = not valid and (bool(present) or claim.view.metadata.deletion_timestamp is not None)
    actions: list[Action] = []
    if over and FINALIZER in finalizers:
        if allocated or present:
            actions.append(_status(claim, {"reservedFor": None, "allocation": None}))
        left = [name for name in finalizers if name != FINALIZER]
        actions.append(Patch(claim, {"metadata": {"finalizers": left or None}}))
    elif len(valid) < len(present):
        actions.append(_status(claim, {"reservedFor": valid or None}))
    if not valid and claim.view.metadata.deletion_timestamp is None and _owner_is_done(claim, observed.pods):
        actions.append(Delete(claim))
    return Plan(tuple(actions))


def _status(claim: Object, changes: Document) -> Patch:
    return Patch(claim, {"status": changes}, subresource="status")


def _still_wants(consumer: Document, pods: dict[str, Object]) -> bool:
    pod = pods.get(consumer["name"])
    return pod is not None and pod.uid == consumer.get("uid") and not is_done(pod)


def _owner_is_done(claim: Object, pods: dict[str, Object]) -> bool:
    """Whether it was made for a pod that needs it no more; of pods that are gone the garbage collector thinks."""
    owner = claim.view.metadata.controller
    if owner is None or owner.kind != POD.name:
        return False
    pod = pods.get(owner.name)
    return pod is not None and (pod.uid != owner.uid or is_done(pod))
