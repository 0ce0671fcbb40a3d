"""DefaultStorageClass and DefaultIngressClass: the class of what names none.

Source: https://kubernetes.io/docs/concepts/storage/storage-classes/#default-storageclass and
https://kubernetes.io/docs/concepts/services-networking/ingress/#default-ingress-class
"""

from __future__ import annotations

from navarch.apiserver import refusals
from navarch.apiserver.admission.review import Review
from navarch.kinds import INGRESSCLASS, STORAGECLASS
from navarch.kinds.object import Object
from navarch.kinds.storage import CLASS_ANNOTATION

INGRESS_DEFAULT = "ingressclass.kubernetes.io/is-default-class"
INGRESS_ANNOTATION = "kubernetes.io/ingress.class"


def storage(review: Review) -> None:
    """Of several default classes the newest is taken."""
    draft = review.draft
    if not (review.is_on("persistentvolumeclaims") and review.creates):
        return
    if draft.has("spec", "storageClassName") or draft.has("metadata", "annotations", CLASS_ANNOTATION):
        return
    defaults = [one for one in review.state.list(STORAGECLASS) if one.view.is_default]
    if defaults:
        draft.set(min(defaults, key=_newest_first).name, "spec", "storageClassName")


def ingress(review: Review) -> None:
    """Raises: Forbidden (several classes say that they are the default)."""
    draft = review.draft
    if not (review.is_on("ingresses", group="networking.k8s.io") and review.creates):
        return
    if draft.has("spec", "ingressClassName") or draft.has("metadata", "annotations", INGRESS_ANNOTATION):
        return
    classes = review.state.list(INGRESSCLASS)
    defaults = [one for one in classes if one.view.metadata.annotations.get(INGRESS_DEFAULT) == "true"]
    if len(defaults) > 1:
        why = f"{len(defaults)} default IngressClasses were found, only 1 allowed"
        raise refusals.forbidden(review.intent.kind, review.intent.name, why)
    if defaults:
        draft.set(defaults[0].name, "spec", "ingressClassName")


def _newest_first(one: Object) -> tuple[float, str]:
    made = one.view.metadata.creation_timestamp
    return (-made.timestamp() if made is not None else 0.0, one.name)
