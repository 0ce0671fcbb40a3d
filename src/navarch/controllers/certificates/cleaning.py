"""Requests that are over are removed: an hour after a decision, a day without one.

Source: https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#request-signing-process
"""

from __future__ import annotations

import base64
from datetime import datetime, timedelta

from navarch.base.clock import parse_rfc3339
from navarch.base.pki import expires
from navarch.controllers.certificates.requests import conditions_of, issued
from navarch.controllers.controller import Cache, Controller, Watch, own_key
from navarch.controllers.options import Setup
from navarch.controllers.plan import Delete, Plan
from navarch.kinds import CERTIFICATESIGNINGREQUEST
from navarch.kinds.object import Object
from navarch.objects.value import Document, dig

DECIDED_KEPT = timedelta(hours=1)
PENDING_KEPT = timedelta(hours=24)


def controller(setup: Setup) -> Controller[Object]:
    return Controller(
        name="certificate-cleaning",
        watches=(Watch(CERTIFICATESIGNINGREQUEST, own_key),),
        observe=observe,
        plan=plan,
        account="certificate-controller",
    )


def observe(cache: Cache, key: tuple[str, str]) -> Object | None:
    return cache[CERTIFICATESIGNINGREQUEST].get(*key)


def plan(found: Object, now: datetime) -> Plan:
    """Never raises."""
    if found.view.metadata.deletion_timestamp is not None:
        return Plan()
    ends = [end for end in (_end(found), _expiry(found)) if end is not None]
    if not ends:
        return Plan()
    left_s = (min(ends) - now).total_seconds()
    return Plan(requeue_after_s=left_s) if left_s > 0 else Plan((Delete(found, guarded=True),))


def _end(found: Object) -> datetime | None:
    """When it is of no more interest; None for what was approved and waits for its signer, or failed."""
    conditions = conditions_of(found)
    if not conditions:
        created = found.view.metadata.creation_timestamp
        return None if created is None else created + PENDING_KEPT
    ends = [
        at + DECIDED_KEPT
        for one in conditions
        if one.get("type") == "Denied" or (one.get("type") == "Approved" and issued(found))
        if (at := _updated(one)) is not None
    ]
    return min(ends, default=None)


def _updated(condition: Document) -> datetime | None:
    text = condition.get("lastUpdateTime")
    return None if not text else parse_rfc3339(text)


def _expiry(found: Object) -> datetime | None:
    """When its certificate ends; None where it has none that can be read."""
    certificate = dig(found.document(), "status", "certificate")
    if not certificate or not any(one.get("type") == "Approved" for one in conditions_of(found)):
        return None
    try:
        return expires(base64.b64decode(certificate))
    except ValueError:
        return None
