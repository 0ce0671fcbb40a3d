"""NamespaceLifecycle: nothing is made in a namespace that is not there or is going, and some namespaces never go.

Source: https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#namespacelifecycle
"""

from __future__ import annotations

from navarch.apiserver import refusals
from navarch.apiserver.admission.review import Review
from navarch.base.errors import Cause
from navarch.kinds import NAMESPACE

IMMORTAL = ("default", "kube-system", "kube-public")
ACCESS_REVIEWS = ("localsubjectaccessreviews",)


def admit(review: Review) -> None:
    """Raises: NotFound, Forbidden."""
    intent = review.intent
    if not review.creates or not intent.kind.namespaced or intent.kind.plural in ACCESS_REVIEWS:
        return
    namespace = review.state.get(NAMESPACE, "", intent.namespace)
    if namespace is None:
        raise refusals.not_found(NAMESPACE, intent.namespace)
    if namespace.view.metadata.deletion_timestamp is not None or namespace.view.status.phase == "Terminating":
        why = f"unable to create new content in namespace {intent.namespace} because it is being terminated"
        cause = Cause("NamespaceTerminating", f"namespace {intent.namespace} is being terminated", "metadata.namespace")
        raise refusals.forbidden(intent.kind, intent.name, why, [cause])


def keep(review: Review) -> None:
    """Raises: Forbidden."""
    intent = review.intent
    if intent.verb == "delete" and intent.kind is NAMESPACE and intent.name in IMMORTAL:
        raise refusals.forbidden(NAMESPACE, intent.name, "this namespace may not be deleted")
