"""Agents' certificates are approved without a person: who may ask for one is a permission.

Source: https://kubernetes.io/docs/reference/access-authn-authz/kubelet-tls-bootstrapping/#certificate-signing-request-approval
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from navarch.client.client import Client
from navarch.controllers.certificates.requests import (
    KUBELET_CLIENT,
    asked,
    conditions_of,
    has,
    issued,
    kubelet_client_fault,
    signer_of,
    usages_of,
)
from navarch.controllers.controller import Cache, Controller, Watch, own_key
from navarch.controllers.options import Setup
from navarch.controllers.plan import Patch, Plan
from navarch.kinds import CERTIFICATESIGNINGREQUEST, SUBJECTACCESSREVIEW
from navarch.kinds.certificates import GROUP
from navarch.kinds.object import Object
from navarch.objects.value import Document, dig

SELF, OTHER = "selfnodeclient", "nodeclient"
MESSAGES = {
    SELF: "Auto approving self kubelet client certificate after SubjectAccessReview.",
    OTHER: "Auto approving kubelet client certificate after SubjectAccessReview.",
}


@dataclass(frozen=True, slots=True)
class Observed:
    """permissions: each of them alone is enough. granted: the one that whoever asks has, "" for none."""

    request: Object
    permissions: tuple[str, ...]
    granted: str = ""


def controller(setup: Setup) -> Controller[Observed]:
    return Controller(
        name="certificate-approving",
        watches=(Watch(CERTIFICATESIGNINGREQUEST, own_key),),
        observe=observe,
        confirm=confirm,
        plan=plan,
        account="certificate-controller",
    )


def observe(cache: Cache, key: tuple[str, str]) -> Observed | None:
    found = cache[CERTIFICATESIGNINGREQUEST].get(*key)
    if found is None or issued(found) or has(found, "Approved", "Denied"):
        return None
    permissions = recognized(found)
    return Observed(found, permissions) if permissions else None


def recognized(found: Object) -> tuple[str, ...]:
    """Which permission would do for it; () for what a person has to decide."""
    if signer_of(found) != KUBELET_CLIENT:
        return ()
    request = asked(found)
    if request is None or kubelet_client_fault(request, usages_of(found)):
        return ()
    own = dig(found.document(), "spec", "username") == request.common_name
    return (SELF, OTHER) if own else (OTHER,)


async def confirm(client: Client, observed: Observed) -> Observed:
    """Ask what the requester may do."""
    for permission in observed.permissions:
        answer = await client.post(SUBJECTACCESSREVIEW, "", "", "", question(observed.request, permission))
        if dig(answer, "status", "allowed"):
            return replace(observed, granted=permission)
    return observed


def question(found: Object, permission: str) -> Document:
    """The SubjectAccessReview: may whoever made the request make such ones?"""
    spec: Document = found.document().get("spec") or {}
    attributes = {
        "group": GROUP,
        "resource": CERTIFICATESIGNINGREQUEST.plural,
        "verb": "create",
        "subresource": permission,
    }
    wanted: Document = {"user": spec.get("username", ""), "resourceAttributes": attributes}
    wanted |= {field: spec[field] for field in ("uid", "groups", "extra") if spec.get(field)}
    kind = SUBJECTACCESSREVIEW
    return {"apiVersion": kind.api_version, "kind": kind.name, "spec": wanted}


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    if not observed.granted:
        return Plan()
    approved = {
        "type": "Approved",
        "status": "True",
        "reason": "AutoApproved",
        "message": MESSAGES[observed.granted],
    }
    conditions = [*conditions_of(observed.request), approved]
    return Plan((Patch(observed.request, {"status": {"conditions": conditions}}, subresource="approval"),))
