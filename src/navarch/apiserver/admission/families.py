"""Which families of addresses a Service is of: what it asks for, as far as the cluster has it, else the first there is.

A Service of one family becomes one of both, and the other way, only when its policy, its families or its addresses say
so; that the cluster has got a second family changes no Service. The rules of the kind hold before any of this.

Source: https://kubernetes.io/docs/concepts/services-networking/dual-stack/
"""

from __future__ import annotations

from collections.abc import Sequence

from navarch.base.errors import Cause
from navarch.kinds.rules import Faults
from navarch.kinds.service_rules import cluster_addresses
from navarch.objects.value import Document, Draft

HEADLESS = "None"
ONE, PREFERRED, REQUIRED = "SingleStack", "PreferDualStack", "RequireDualStack"
OTHER = {"IPv4": "IPv6", "IPv6": "IPv4"}
SEVERAL = "must be 'RequireDualStack' or 'PreferDualStack' when multiple {} are specified"
LESS = "must be 'SingleStack' to release the secondary {}"


def family_of(address: str) -> str:
    return "IPv6" if ":" in address else "IPv4"


def stays_as_it_is(spec: Document, was: Document) -> bool:
    """Whether a Service that prefers two families still does and says nothing new: it keeps those that it has, whatever
    the cluster has meanwhile."""
    return (
        spec.get("type") == was.get("type") != "ExternalName"
        and spec.get("ipFamilyPolicy") == PREFERRED == was.get("ipFamilyPolicy", PREFERRED)
        and all(spec.get(field) == was.get(field) for field in ("clusterIPs", "ipFamilies"))
    )


def settle(draft: Draft, old: Document | None, configured: Sequence[str]) -> Sequence[Cause]:
    """Fill in policy and families of a Service that is no mere name; what is wrong with those asked for.

    configured: the cluster's families, its first one first.
    """
    was: Document = (old or {}).get("spec") or {}
    free = draft.get("spec", "clusterIP") == HEADLESS and not draft.get("spec", "selector")
    if draft.get("spec", "ipFamilyPolicy") is None:
        draft.set(was.get("ipFamilyPolicy") or (REQUIRED if free else ONE), "spec", "ipFamilyPolicy")
    faults = Faults()
    cluster_addresses(faults, draft.get("spec"), was)
    if faults.causes:
        return faults.causes
    if was:
        _fewer(faults, draft, was)
    _one_or_two(faults, draft)
    _infer(faults, draft, configured)
    if faults.causes:
        return faults.causes
    if not free:
        _check_configured(faults, draft, configured)
    if not faults.causes:
        _complete(draft, configured, always=free)
    return faults.causes


def _fewer(faults: Faults, draft: Draft, was: Document) -> None:
    """Who asks for one family and changes nothing else gives up the second; who gives it up must ask for one."""
    spec = draft.get("spec")
    policy = spec["ipFamilyPolicy"]
    for field, what in (("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")):
        now, before = spec.get(field) or [], was.get(field) or []
        if policy == ONE:
            if now == before and len(now) > 1:
                draft.set(now[:1], "spec", field)
        elif now and len(now) < len(before):
            faults.invalid("spec.ipFamilyPolicy", policy, LESS.format(what))


def _one_or_two(faults: Faults, draft: Draft) -> None:
    if draft.get("spec", "ipFamilyPolicy") != ONE:
        return
    for field, what in (("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")):
        if len(draft.get("spec", field) or ()) > 1:
            faults.invalid("spec.ipFamilyPolicy", ONE, SEVERAL.format(what))


def _infer(faults: Faults, draft: Draft, configured: Sequence[str]) -> None:
    """Families that follow from addresses."""
    addresses: list[str] = draft.get("spec", "clusterIPs") or []
    families = list(draft.get("spec", "ipFamilies") or ())
    if addresses == [HEADLESS]:
        return
    for index in range(len(families), len(addresses)):
        family = family_of(addresses[index])
        if family in configured:
            families.append(family)
        else:
            faults.invalid(f"spec.clusterIPs[{index}]", addresses, f"{family} is not configured on this cluster")
    if families and families != draft.get("spec", "ipFamilies"):
        draft.set(families, "spec", "ipFamilies")


def _check_configured(faults: Faults, draft: Draft, configured: Sequence[str]) -> None:
    policy = draft.get("spec", "ipFamilyPolicy")
    if policy == REQUIRED and len(configured) < len(OTHER):
        faults.invalid("spec.ipFamilyPolicy", policy, "this cluster is not configured for dual-stack services")
    for index, family in enumerate(draft.get("spec", "ipFamilies") or ()):
        if family not in configured:
            faults.invalid(f"spec.ipFamilies[{index}]", family, "not configured on this cluster")


def _complete(draft: Draft, configured: Sequence[str], *, always: bool) -> None:
    """The cluster's first family where none is asked for, and the other one where two are.

    always: whether both can be had on a cluster of one family, as endpoints that somebody else writes may be of any.
    """
    families = list(draft.get("spec", "ipFamilies") or configured[:1])
    several = draft.get("spec", "ipFamilyPolicy") != ONE and (always or len(configured) == len(OTHER))
    if several and len(families) == 1:
        families.append(OTHER[families[0]])
    if families != draft.get("spec", "ipFamilies"):
        draft.set(families, "spec", "ipFamilies")
