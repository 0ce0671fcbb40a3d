"""ServiceAccount: every pod runs as one, and finds a token of it and the cluster's CA in a volume.

Source: https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/
"""

from __future__ import annotations

import base64
from collections.abc import Callable

from navarch.apiserver import refusals
from navarch.apiserver.admission.review import Review
from navarch.base.errors import Forbidden, Retryable
from navarch.kinds import CONFIGMAP, SERVICEACCOUNT
from navarch.kinds.object import Object
from navarch.kinds.secret import ACCOUNT_NAME, ACCOUNT_TOKEN
from navarch.kinds.serviceaccount import ServiceAccount
from navarch.objects.value import Document, dig

DEFAULT = "default"
MIRROR = "kubernetes.io/config.mirror"
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
ROOT_CA = "kube-root-ca.crt"
TOKEN_VOLUME = "kube-api-access-"
TOKEN_S = 3607
MODE = 0o644
SOON_S = 0.1
ACCOUNT_UID = "kubernetes.io/service-account.uid"

Issue = Callable[[Object, str], str]
"""(service account, name of a secret) -> the token that is valid while that secret holds it."""


def mutate(review: Review) -> None:
    """Raises: Forbidden (no such account), Retryable (the default one is not there yet)."""
    if not (review.is_on("pods") and review.creates):
        return
    draft = review.draft
    if MIRROR in (draft.get("metadata", "annotations") or {}):
        return
    name = draft.get("spec", "serviceAccountName") or draft.get("spec", "serviceAccount") or DEFAULT
    account = _account(review, name)
    for field in ("serviceAccountName", "serviceAccount"):
        if draft.get("spec", field) != name:
            draft.set(name, "spec", field)
    wanted = draft.get("spec", "automountServiceAccountToken")
    if wanted is None:
        wanted = account.automount_service_account_token
    if wanted is not False:
        _mount(review)
    if account.image_pull_secrets and not draft.get("spec", "imagePullSecrets"):
        secrets = [{"name": one.name} for one in account.image_pull_secrets]
        draft.set(secrets, "spec", "imagePullSecrets")


def _account(review: Review, name: str) -> ServiceAccount:
    found = review.state.get(SERVICEACCOUNT, review.namespace, name)
    if found is not None:
        account: ServiceAccount = found.view
        return account
    why = f'error looking up service account {review.namespace}/{name}: serviceaccount "{name}" not found'
    refusal: Forbidden = refusals.forbidden(review.intent.kind, review.intent.name, why)
    if name == DEFAULT:
        raise Retryable(why, after_s=SOON_S) from refusal  # its controller is about to make it
    raise refusal


def _mount(review: Review) -> None:
    spec: Document = review.draft.get("spec")
    filled = {field: spec[field] for field in ("containers", "initContainers") if spec.get(field)}
    if all(_has_token(container) for found in filled.values() for container in found):
        return
    suffix = review.state.ids.suffix()
    name = TOKEN_VOLUME + suffix
    review.picked.append((TOKEN_VOLUME, suffix))
    mount = {"name": name, "readOnly": True, "mountPath": MOUNT_PATH}
    for field, found in filled.items():
        filled[field] = [
            container
            if _has_token(container)
            else {**container, "volumeMounts": [*(container.get("volumeMounts") or ()), mount]}
            for container in found
        ]
    review.draft.set({**spec, **filled, "volumes": [*(spec.get("volumes") or ()), _volume(name)]}, "spec")


def _has_token(container: Document) -> bool:
    return any(mount.get("mountPath") == MOUNT_PATH for mount in container.get("volumeMounts") or ())


def _volume(name: str) -> Document:
    reference = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    sources = [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_S, "path": "token"}},
        {"configMap": {"name": ROOT_CA, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": reference}]}},
    ]
    return {"name": name, "projected": {"sources": sources, "defaultMode": MODE}}


def fill_token(issue: Callable[[], Issue | None]) -> Callable[[Review], None]:
    """A secret of the type for it holds a token of the account that its annotation names, as long as it stands."""

    def mutate(review: Review) -> None:
        draft, issuer = review.draft, issue()
        if not review.is_on("secrets") or review.intent.verb == "delete" or issuer is None:
            return
        if draft.get("type") != ACCOUNT_TOKEN or draft.get("data", "token"):
            return
        account = review.state.get(
            SERVICEACCOUNT, review.namespace, draft.get("metadata", "annotations", ACCOUNT_NAME) or ""
        )
        known = draft.get("metadata", "annotations", ACCOUNT_UID)
        if account is None or known not in (None, account.uid):
            return
        texts = {"token": issuer(account, draft.get("metadata", "name")), "namespace": review.namespace}
        root = review.state.get(CONFIGMAP, review.namespace, ROOT_CA)
        if root is not None:
            texts |= {"ca.crt": dig(root.document(), "data", "ca.crt", default="")}
        for key, text in texts.items():
            draft.set(base64.b64encode(text.encode()).decode(), "data", key)
        draft.set(account.uid, "metadata", "annotations", ACCOUNT_UID)

    return mutate


def validate(review: Review) -> None:
    """A mirror pod has no identity. Raises: Forbidden."""
    if not (review.is_on("pods") and review.creates):
        return
    document = review.draft.document
    if MIRROR in (dig(document, "metadata", "annotations") or {}) and dig(document, "spec", "serviceAccountName"):
        raise refusals.forbidden(
            review.intent.kind, review.intent.name, "a mirror pod may not reference service accounts"
        )
