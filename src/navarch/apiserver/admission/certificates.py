"""Who asks for a certificate, and when it was approved or denied: what the server knows and no client may say. And who
may never have one: `system:masters`, whom no rule binds.

Source: https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from navarch.apiserver import refusals
from navarch.apiserver.admission.review import Review
from navarch.base.clock import rfc3339
from navarch.base.signing import read_request
from navarch.kinds.certificates import GROUP
from navarch.objects.value import Document, dig

PLURAL = "certificatesigningrequests"
CLIENT = "kubernetes.io/kube-apiserver-client"
MASTERS = "system:masters"
SUBJECT = ("username", "uid", "groups", "extra")


def mutate(review: Review) -> None:
    if review.intent.verb == "delete":
        return
    if review.is_on(PLURAL, group=GROUP) and review.creates:
        _subject(review)
    elif review.is_on(PLURAL, "approval", "status", group=GROUP):
        _times(review)


def _subject(review: Review) -> None:
    user, draft = review.intent.user, review.draft
    extra = {key: list(values) for key, values in user.extra.items()}
    known: Document = {"username": user.name, "uid": user.uid, "groups": list(user.groups), "extra": extra}
    for field in SUBJECT:
        if known[field]:
            draft.set(known[field], "spec", field)
        else:
            draft.remove("spec", field)


def _times(review: Review) -> None:
    """A condition that says no time was written now; one that says what it said before has not changed."""
    draft, now = review.draft, rfc3339(review.state.clock.now())
    before: dict[Any, Document] = {one.get("type"): one for one in dig(review.old, "status", "conditions", default=())}
    for index in draft.each("status", "conditions"):
        where = ("status", "conditions", index)
        draft.default(now, *where, "lastUpdateTime")
        was = before.get(draft.get(*where, "type"), {})
        same = was.get("status") == draft.get(*where, "status")
        draft.default(was.get("lastTransitionTime", now) if same else now, *where, "lastTransitionTime")


def restrict(review: Review) -> None:
    """Raises: Forbidden: a client's certificate would make it one of `system:masters`."""
    if not (review.is_on(PLURAL, group=GROUP) and review.creates):
        return
    spec: Document = review.draft.get("spec") or {}
    if spec.get("signerName") != CLIENT:
        return
    kind, name = review.intent.kind, review.intent.name or review.draft.get("metadata", "name") or ""
    try:
        request = read_request(base64.b64decode(spec.get("request", ""), validate=True))
    except (binascii.Error, ValueError) as error:
        raise refusals.forbidden(kind, name, f"failed to parse CSR: {error}") from error
    if MASTERS in request.organizations:
        raise refusals.forbidden(kind, name, f"use of {CLIENT} signer with {MASTERS} group is not allowed")
