"""Which claims a pod runs with, which parts of them its containers use, and whether a claim may be used. Pure.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from navarch.base.errors import Retryable
from navarch.kinds.pod import Pod
from navarch.kinds.podspec.container import Container
from navarch.objects.value import Document, dig


class ClaimFailure(Retryable):
    """A pod's claims are not ready, or a driver did not do what it was asked; users read the message in an event."""


@dataclass(frozen=True, slots=True)
class Named:
    """A claim that the pod runs with. own: it was made for this pod, which must be seen before it is used."""

    name: str
    own: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """A claim that is to be prepared. drivers: those that have a device of it."""

    namespace: str
    name: str
    uid: str
    drivers: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str]:
        return (self.namespace, self.name)


def asks(pod: Pod) -> bool:
    """Whether the pod has any claims. Most have none."""
    return bool(pod.spec.resource_claims) or pod.status.extended_resource_claim_status is not None


def named(pod: Pod) -> list[Named]:
    """Each claim once; those that were not needed are left out. Raises: ClaimFailure."""
    made = {one.name: one.resource_claim_name for one in pod.status.resource_claim_statuses}
    found: dict[str, Named] = {}
    for claim in pod.spec.resource_claims:
        if claim.resource_claim_name:
            found.setdefault(claim.resource_claim_name, Named(claim.resource_claim_name, own=False))
        elif claim.name not in made:
            meta = pod.metadata
            raise ClaimFailure(f"Pod {meta.namespace}/{meta.name}: ResourceClaim not created yet")
        elif made[claim.name]:
            found.setdefault(made[claim.name], Named(made[claim.name], own=True))
    extended = pod.status.extended_resource_claim_status
    if extended is not None and extended.resource_claim_name:
        found.setdefault(extended.resource_claim_name, Named(extended.resource_claim_name, own=False))
    return list(found.values())


def uses(pod: Pod, container: Container) -> Iterator[tuple[str, str]]:
    """(claim, request of it that the container uses; "" for all). Claims that were not needed are left out."""
    made = {one.name: one.resource_claim_name for one in pod.status.resource_claim_statuses}
    claims = {one.name: one.resource_claim_name or made.get(one.name, "") for one in pod.spec.resource_claims}
    for use in container.resources.claims:
        if claims.get(use.name):
            yield claims[use.name], use.request
    extended = pod.status.extended_resource_claim_status
    if extended is not None:
        for mapping in extended.request_mappings:
            if mapping.container_name == container.name and mapping.resource_name in container.resources.requests:
                yield extended.resource_claim_name, mapping.request_name


def checked(pod: Pod, claim: Document, *, own: bool) -> Asked:
    """Raises: ClaimFailure, when the pod may not use the claim (yet)."""
    meta, uid, status = claim["metadata"], pod.metadata.uid, claim.get("status") or {}
    owners = [one for one in meta.get("ownerReferences") or () if one.get("controller")]
    if own and not any(one.get("uid") == uid for one in owners):
        where, whose = (f"{meta['namespace']}/{meta['name']}", f"{pod.metadata.namespace}/{pod.metadata.name}")
        raise ClaimFailure(f"ResourceClaim {where} was not created for Pod {whose} (Pod is not owner)")
    if not any(one.get("uid") == uid for one in status.get("reservedFor") or ()):
        whose = f"pod {pod.metadata.name} ({uid})"
        raise ClaimFailure(f"{whose} is not allowed to use ResourceClaim {meta['name']} ({meta['uid']})")
    if status.get("allocation") is None:
        raise ClaimFailure(f"ResourceClaim {meta['name']}: not allocated")
    results = dig(status, "allocation", "devices", "results", default=())
    drivers = tuple(dict.fromkeys(one["driver"] for one in results))
    return Asked(meta["namespace"], meta["name"], meta["uid"], drivers)
