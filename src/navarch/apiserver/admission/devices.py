"""What the API server adds to what is said about devices, and who may have those that others use.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/#admin-access
"""

from __future__ import annotations

from navarch.apiserver import refusals
from navarch.apiserver.admission.review import Review
from navarch.base.clock import rfc3339
from navarch.base.errors import Cause
from navarch.kinds import NAMESPACE
from navarch.objects.value import dig

GROUP = "resource.k8s.io"
ADMIN_LABEL = "resource.kubernetes.io/admin-access"


def date_taints(review: Review) -> None:
    """Say since when a device is tainted, where its author does not: tolerations that end count from then."""
    if review.intent.verb == "delete":
        return
    draft, now = review.draft, rfc3339(review.state.clock.now())
    if review.is_on("devicetaintrules", group=GROUP):
        was = dig(review.old, "spec", "taint", default={})
        dated, effect = (draft.get("spec", "taint", field) for field in ("timeAdded", "effect"))
        another = bool(was) and effect != was.get("effect") and dated == was.get("timeAdded")
        if draft.has("spec", "taint") and (another or not dated):
            draft.set(now, "spec", "taint", "timeAdded")
    elif review.is_on("resourceslices", group=GROUP):
        for device in draft.each("spec", "devices"):
            for taint in draft.each("spec", "devices", device, "taints"):
                draft.default(now, "spec", "devices", device, "taints", taint, "timeAdded")


def validate(review: Review) -> None:
    """Raises: Invalid, when devices that others use are asked for in a namespace that is not an administrator's."""
    if review.intent.verb == "delete":
        return
    field = _asked(review)
    if not field:
        return
    found = review.state.get(NAMESPACE, "", review.namespace)
    labels = {} if found is None else dig(found.document(), "metadata", "labels", default={})
    if labels.get(ADMIN_LABEL) != "true":
        why = f"admin access to devices requires the `{ADMIN_LABEL}: true` label on the containing namespace"
        cause = Cause("FieldValueForbidden", f"Forbidden: {why}", field)
        raise refusals.invalid(review.intent.kind, review.intent.name, [cause])


def _asked(review: Review) -> str:
    """Where access that was not granted before is asked for, "" for nowhere."""
    new = review.draft.document
    if review.is_on("resourceclaims", "status", group=GROUP):
        path = ("status", "allocation", "devices", "results")
        if any(one.get("adminAccess") for one in dig(review.old, *path, default=())):
            return ""
        granted = [index for index, one in enumerate(dig(new, *path, default=())) if one.get("adminAccess")]
        return f"{'.'.join(path)}[{granted[0]}].adminAccess" if granted else ""
    if not review.creates:
        return ""
    above = ("spec", "spec") if review.intent.kind.plural == "resourceclaimtemplates" else ("spec",)
    for index, request in enumerate(dig(new, *above, "devices", "requests", default=())):
        if dig(request, "exactly", "adminAccess"):
            return f"spec.devices.requests[{index}].exactly.adminAccess"
    return ""
