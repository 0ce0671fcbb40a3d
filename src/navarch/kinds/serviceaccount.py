"""ServiceAccount: an identity for the processes in pods.

Source: https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/service-account-v1/
"""

from __future__ import annotations

from datetime import datetime

from navarch.kinds import warnings
from navarch.kinds.kind import Column, Kind
from navarch.kinds.podspec.spec import LocalReference
from navarch.kinds.reference import ObjectReference
from navarch.kinds.view import ObjectMeta, View
from navarch.objects.value import Document


class ServiceAccount(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    secrets: tuple[ObjectReference, ...] = ()
    image_pull_secrets: tuple[LocalReference, ...] = ()
    automount_service_account_token: bool | None = None


def _secrets(account: Document, now: datetime) -> int:
    return len(account.get("secrets") or ())


SERVICEACCOUNT = Kind(
    group="",
    version="v1",
    name="ServiceAccount",
    plural="serviceaccounts",
    short=("sa",),
    view=ServiceAccount,
    warn=warnings.service_account,
    subresources=("token",),
    counts_generation=False,
    columns=(Column("Secrets", _secrets, description="How many secrets it names."),),
)
