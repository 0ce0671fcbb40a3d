"""NodeRestriction: a node's agent changes its own node and its own pods, and not what would make it more than it is.

That a node reads and writes only objects of its own is the node authorizer's; here are the contents of its writes.

Source: https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction
"""

from __future__ import annotations

from navarch.apiserver import refusals
from navarch.apiserver.admission.accounts import MIRROR
from navarch.apiserver.admission.review import Review
from navarch.base.clock import rfc3339
from navarch.base.errors import Forbidden
from navarch.objects.value import dig

GROUP = "system:nodes"
PREFIX = "system:node:"
OWN_LABELS = frozenset(
    (
        "kubernetes.io/hostname",
        "kubernetes.io/arch",
        "kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "topology.k8s.aws/zone-id",
    )
)
OWN_LABEL_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")


def date_taints(review: Review) -> None:
    """Say since when a taint evicts, where its author does not: tolerations that end count from then."""
    if not review.is_on("nodes") or review.intent.verb == "delete":
        return
    draft, known = review.draft, {}
    for taint in dig(review.old or {}, "spec", "taints") or ():
        known[taint.get("key"), taint.get("value"), taint.get("effect")] = taint.get("timeAdded")
    for number in draft.each("spec", "taints"):
        taint = draft.get("spec", "taints", number)
        if taint.get("effect") == "NoExecute" and not taint.get("timeAdded"):
            before = known.get((taint.get("key"), taint.get("value"), taint.get("effect")))
            draft.set(before or rfc3339(review.state.clock.now()), "spec", "taints", number, "timeAdded")


def validate(review: Review) -> None:
    """Raises: Forbidden."""
    user = review.intent.user
    if GROUP not in user.groups or not user.name.startswith(PREFIX):
        return
    node = user.name.removeprefix(PREFIX)
    if review.is_on("pods", "") and review.intent.verb != "delete":
        _pod(review, node)
    elif review.is_on("pods", "status"):
        _same_labels(review, node)
    elif review.is_on("nodes", "", "status") and review.intent.verb != "delete":
        _node(review, node)


def _refuse(review: Review, why: str) -> Forbidden:
    return refusals.forbidden(review.intent.kind, review.intent.name, why)


def _pod(review: Review, node: str) -> None:
    new = review.draft.document
    if not review.creates:
        raise _refuse(review, f"node {node!r} may only update the status of pods")
    if MIRROR not in (dig(new, "metadata", "annotations") or {}):
        raise _refuse(review, f"pod does not have {MIRROR!r} annotation, node {node!r} can only create mirror pods")
    if dig(new, "spec", "nodeName") != node:
        raise _refuse(review, f"node {node!r} can only create pods with spec.nodeName set to itself")


def _same_labels(review: Review, node: str) -> None:
    new, old = review.draft.document, review.old or {}
    if dig(old, "spec", "nodeName") != node:
        raise _refuse(review, f"node {node!r} can only update pod status for pods with spec.nodeName set to itself")
    if dig(new, "metadata", "labels", default={}) != dig(old, "metadata", "labels", default={}):
        raise _refuse(review, f"node {node!r} cannot update labels through pod status")


def _node(review: Review, node: str) -> None:
    new, old = review.draft.document, review.old
    if dig(new, "metadata", "name") != node:
        raise _refuse(review, f"node {node!r} is not allowed to modify node {dig(new, 'metadata', 'name')!r}")
    if old is not None and dig(new, "spec", "taints") != dig(old, "spec", "taints"):
        raise _refuse(review, f"node {node!r} is not allowed to modify taints")
    labels, before = (dig(one or {}, "metadata", "labels", default={}) for one in (new, old))
    changed = sorted(key for key in {**labels, **before} if labels.get(key) != before.get(key))
    wrong = [key for key in changed if not _may_label(key)]
    if wrong:
        raise _refuse(review, f"is not allowed to modify labels: {', '.join(wrong)}")


def _may_label(key: str) -> bool:
    """Its own, and whatever is in nobody's domain."""
    domain = key.partition("/")[0] if "/" in key else ""
    if key in OWN_LABELS or domain.endswith(OWN_LABEL_DOMAINS):
        return True
    reserved = domain in ("kubernetes.io", "k8s.io") or domain.endswith((".kubernetes.io", ".k8s.io"))
    return not reserved
