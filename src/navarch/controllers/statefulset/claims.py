"""Who owns the claims of a StatefulSet's pods, which decides when they are deleted.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#persistentvolumeclaim-retention
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from navarch.controllers.controller import new_owner_reference
from navarch.controllers.plan import Create, Event, Patch
from navarch.controllers.statefulset.identity import claim_names, new_claims, ordinal_of, pod_name
from navarch.kinds import PERSISTENTVOLUMECLAIM
from navarch.kinds.object import Object
from navarch.kinds.statefulset_view import StatefulSet
from navarch.objects.meta import owner_references
from navarch.objects.value import Document

Claims = Mapping[str, Object]
"""By name, those of the StatefulSet's namespace that may matter."""


def missing(owner: Object, ordinal: int, claims: Claims) -> list[Create]:
    """What the pod's claims lack, to be made before the pod."""
    found: list[Create] = []
    for document in new_claims(owner, ordinal):
        if document["metadata"]["name"] not in claims:
            text = f"Pod {pod_name(owner, ordinal)} in StatefulSet {owner.name}"
            done = Event(owner, "SuccessfulCreate", f"create Claim {{name}} {text} success")
            refused = Event(
                owner, "FailedCreate", f"create Claim {{name}} for {text} failed error: {{error}}", "Warning"
            )
            found.append(Create(PERSISTENTVOLUMECLAIM, document, done, refused))
    return found


def going(owner: Object, ordinal: int, claims: Claims) -> Object | None:
    """A claim of the pod that is on its way out: it has to be gone first."""
    present = [claims[name] for name in claim_names(owner, ordinal).values() if name in claims]
    return next((claim for claim in present if claim.terminating), None)


def stale(owner: Object, ordinal: int, claims: Claims) -> bool:
    """Whether a claim goes with a pod that had the name before: it has to be gone first."""
    return any(
        reference.kind == "Pod" and reference.name == pod_name(owner, ordinal)
        for name in claim_names(owner, ordinal).values()
        if name in claims
        for reference in claims[name].view.metadata.owner_references
    )


def owned_as_wanted(owner: Object, pods: Sequence[Object], condemned: Sequence[Object], claims: Claims) -> list[Patch]:
    """Give the claims of `pods` (all that there are) the owners that the policy asks for."""
    doomed = {pod.uid for pod in condemned}
    found: list[Patch] = []
    for pod in pods:
        ordinal = ordinal_of(pod, owner)
        for name in claim_names(owner, ordinal).values() if ordinal is not None else ():
            claim = claims.get(name)
            if claim is not None and (changed := _owners(owner, pod, pod.uid in doomed, claim)) is not None:
                found.append(Patch(claim, {"metadata": {"ownerReferences": changed or None}}))
    return found


def _owners(owner: Object, pod: Object, condemned: bool, claim: Object) -> list[Document] | None:
    """None where they are right. Of a claim that somebody else controls, nothing here is an owner."""
    view: StatefulSet = owner.view
    policy = view.spec.persistent_volume_claim_retention_policy
    present = list(owner_references(claim.document()))
    ours = (owner.uid, pod.uid)
    wanted: list[Document] = []
    if any(reference.get("controller") and reference.get("uid") not in ours for reference in present):
        wanted = []
    elif policy.when_scaled == "Delete" and condemned:
        reference = new_owner_reference(pod)
        wanted = [{**reference, "apiVersion": "v1", "kind": "Pod"}]
    elif policy.when_deleted == "Delete":
        wanted = [new_owner_reference(owner)]
    found = [*(reference for reference in present if reference.get("uid") not in ours), *wanted]
    return None if found == present else found
