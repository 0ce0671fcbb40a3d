"""PersistentVolumeClaimResize and StorageObjectInUseProtection.

Claims grow only where their class lets them, and neither claims nor volumes go while they are in use.

Whether they are, and when they may go after all, is the protection controllers' to say.

Source: https://kubernetes.io/docs/concepts/storage/persistent-volumes/
"""

from __future__ import annotations

from collections.abc import Mapping

from navarch.apiserver import refusals
from navarch.apiserver.admission.review import Review
from navarch.kinds import PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, STORAGECLASS
from navarch.kinds.kind import Kind
from navarch.kinds.storage import CLASS_ANNOTATION, PV_PROTECTION, PVC_PROTECTION
from navarch.objects import quantity
from navarch.objects.value import dig

FINALIZERS: Mapping[Kind, str] = {PERSISTENTVOLUMECLAIM: PVC_PROTECTION, PERSISTENTVOLUME: PV_PROTECTION}


def protect(review: Review) -> None:
    """A new claim or volume bears the finalizer from its beginning."""
    finalizer = FINALIZERS.get(review.intent.kind)
    if finalizer is None or review.intent.subresource or not review.creates:
        return
    present = review.draft.get("metadata", "finalizers") or []
    if finalizer not in present:
        review.draft.set([*present, finalizer], "metadata", "finalizers")


def resize(review: Review) -> None:
    """Raises: Forbidden."""
    if not review.is_on("persistentvolumeclaims") or review.old is None or review.intent.verb == "delete":
        return
    new, old = (dig(one, "spec", "resources", "requests", "storage") for one in (review.draft.document, review.old))
    if new is None or old is None or quantity.compare(new, old) <= 0:
        return
    if dig(review.old, "status", "phase") != "Bound":
        why = "Only bound persistent volume claims can be expanded"
        raise refusals.forbidden(review.intent.kind, review.intent.name, why)
    annotations = dig(review.draft.document, "metadata", "annotations") or {}
    name = annotations.get(CLASS_ANNOTATION) or dig(review.draft.document, "spec", "storageClassName") or ""
    found = review.state.get(STORAGECLASS, "", name) if name else None
    if found is None or not found.view.allow_volume_expansion:
        why = (
            "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must "
            "support resize"
        )
        raise refusals.forbidden(review.intent.kind, review.intent.name, why)
