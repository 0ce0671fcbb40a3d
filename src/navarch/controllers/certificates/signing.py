"""What was approved is signed with the cluster's own key, by the rules of each of Kubernetes' signers.

The key itself is behind `Setup.sign`; where there is none, nothing is signed here. Signers of other names are others'.

Source: https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#kubernetes-signers
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from navarch.base.clock import rfc3339
from navarch.client.client import Client
from navarch.controllers.certificates.requests import (
    SIGNERS,
    asked,
    conditions_of,
    fault_of,
    has,
    issued,
    pem_of,
    signer_of,
    usages_of,
)
from navarch.controllers.controller import Cache, Controller, Watch, own_key
from navarch.controllers.options import Setup
from navarch.controllers.plan import Plan, Status
from navarch.kinds import CERTIFICATESIGNINGREQUEST
from navarch.kinds.object import Object
from navarch.objects.value import Document, dig

LEAST = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Observed:
    """fault: why it cannot be signed. certificate: PEM, once it is made."""

    request: Object
    fault: str = ""
    certificate: bytes = b""


def controller(setup: Setup) -> Controller[Observed]:
    sign = setup.sign
    longest = timedelta(seconds=setup.options.certificate_life_s)

    def observed(cache: Cache, key: tuple[str, str]) -> Observed | None:
        return None if sign is None else observe(cache, key)

    async def confirm(client: Client, seen: Observed) -> Observed:
        """Make the certificate: a new one each time, so that it is nothing for a plan."""
        if seen.fault or sign is None:
            return seen
        found = seen.request
        try:
            made = sign(pem_of(found), usages_of(found), life(found, longest))
        except ValueError as error:
            return replace(seen, fault=str(error))
        return replace(seen, certificate=made)

    return Controller(
        name="certificate-signing",
        watches=(Watch(CERTIFICATESIGNINGREQUEST, own_key),),
        observe=observed,
        confirm=confirm,
        plan=plan,
        account="certificate-controller",
    )


def observe(cache: Cache, key: tuple[str, str]) -> Observed | None:
    found = cache[CERTIFICATESIGNINGREQUEST].get(*key)
    return None if found is None else due(found)


def due(found: Object) -> Observed | None:
    """What is to be signed now, or is to be told that it never will; None for all else."""
    if issued(found) or not has(found, "Approved") or has(found, "Denied", "Failed"):
        return None
    signer = signer_of(found)
    request = asked(found) if signer in SIGNERS else None
    if request is None:
        return None
    return Observed(found, fault_of(signer, request, usages_of(found)))


def life(found: Object, longest: timedelta) -> timedelta:
    """For how long the certificate is to hold."""
    wanted_s = dig(found.document(), "spec", "expirationSeconds")
    if wanted_s is None:
        return longest
    return min(longest, max(LEAST, timedelta(seconds=wanted_s)))


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    found = observed.request
    status: Document = found.document().get("status") or {}
    if observed.fault:
        failed = {
            "type": "Failed",
            "status": "True",
            "reason": "SignerValidationFailure",
            "message": observed.fault,
            "lastUpdateTime": rfc3339(now),
        }
        return Plan(status=Status(found, {**status, "conditions": [*conditions_of(found), failed]}))
    if not observed.certificate:
        return Plan()
    text = base64.b64encode(observed.certificate).decode()
    return Plan(status=Status(found, {**status, "certificate": text}))
