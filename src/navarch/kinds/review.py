"""Questions that are posted and answered at once, never stored: who is this, may they do that, a token please.

Source: https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/ and authentication-resources/
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from navarch.base.errors import Cause
from navarch.kinds.kind import Column, Kind, Rules, no_rules
from navarch.kinds.reference import ObjectReference
from navarch.kinds.replicaset import current, desired
from navarch.kinds.rules import Faults
from navarch.kinds.view import ObjectMeta, View
from navarch.objects.value import Document, Draft, dig

AUTHENTICATION = "authentication.k8s.io"
AUTHORIZATION = "authorization.k8s.io"
HOUR_S = 3600
TOKEN_MIN_S = 600
TOKEN_MAX_S = 1 << 32


class TokenReviewSpec(View, frozen=True):
    token: str = ""
    audiences: tuple[str, ...] = ()


class TokenReview(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: TokenReviewSpec = TokenReviewSpec()


class BoundObjectReference(View, frozen=True):
    kind: str = ""
    api_version: str = ""
    name: str = ""
    uid: str = ""


class TokenRequestSpec(View, frozen=True):
    """bound_object_ref: the token dies with that pod, secret or node."""

    audiences: tuple[str, ...] = ()
    expiration_seconds: int = HOUR_S
    bound_object_ref: BoundObjectReference | None = None


class TokenRequest(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: TokenRequestSpec = TokenRequestSpec()


class ResourceAttributes(View, frozen=True):
    namespace: str = ""
    verb: str = ""
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""


class NonResourceAttributes(View, frozen=True):
    path: str = ""
    verb: str = ""


class AccessReviewSpec(View, frozen=True):
    """Exactly one of the two kinds of attributes is set. user, groups: "" and () where one asks about oneself."""

    resource_attributes: ResourceAttributes | None = None
    non_resource_attributes: NonResourceAttributes | None = None
    user: str = ""
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: dict[str, tuple[str, ...]] = {}


class AccessReview(View, frozen=True):
    """SubjectAccessReview, and its local and self forms."""

    metadata: ObjectMeta = ObjectMeta()
    spec: AccessReviewSpec = AccessReviewSpec()


class RulesReviewSpec(View, frozen=True):
    namespace: str = ""


class RulesReview(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: RulesReviewSpec = RulesReviewSpec()


class Binding(View, frozen=True):
    """target: the node."""

    metadata: ObjectMeta = ObjectMeta()
    target: ObjectReference = ObjectReference()


class ScaleSpec(View, frozen=True):
    replicas: int = 0


class ScaleStatus(View, frozen=True):
    replicas: int = 0
    selector: str = ""


class Scale(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: ScaleSpec = ScaleSpec()
    status: ScaleStatus = ScaleStatus()


def scale_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    faults.not_negative("spec.replicas", dig(new, "spec", "replicas"))
    return faults.causes


def binding_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    target: Document = new.get("target") or {}
    if target.get("kind", "") not in ("", "Node"):
        faults.unsupported("target.kind", target["kind"], ("Node", "<empty>"))
    if not target.get("name"):
        faults.required("target.name")
    return faults.causes


def token_request_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    expiration_s = dig(new, "spec", "expirationSeconds", default=HOUR_S)
    if expiration_s < TOKEN_MIN_S:
        faults.invalid("spec.expirationSeconds", expiration_s, "may not specify a duration less than 10 minutes")
    if expiration_s > TOKEN_MAX_S:
        detail = "may not specify a duration larger than 2^32 seconds"
        faults.invalid("spec.expirationSeconds", expiration_s, detail)
    return faults.causes


def default_token_request(draft: Draft) -> None:
    draft.default(HOUR_S, "spec", "expirationSeconds")


def _posted(
    group: str, name: str, plural: str, view: type[View], *, namespaced: bool = False, rules: Rules = no_rules
) -> Kind:
    return Kind(
        group=group, version="v1", name=name, plural=plural, namespaced=namespaced, view=view, rules=rules, verbs=()
    )


class SelfSubjectReview(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    status: msgspec.Raw = msgspec.Raw(b"{}")


TOKENREVIEW = _posted(AUTHENTICATION, "TokenReview", "tokenreviews", TokenReview)
SELFSUBJECTREVIEW = _posted(AUTHENTICATION, "SelfSubjectReview", "selfsubjectreviews", SelfSubjectReview)
SUBJECTACCESSREVIEW = _posted(AUTHORIZATION, "SubjectAccessReview", "subjectaccessreviews", AccessReview)
SELFSUBJECTACCESSREVIEW = _posted(AUTHORIZATION, "SelfSubjectAccessReview", "selfsubjectaccessreviews", AccessReview)
LOCALSUBJECTACCESSREVIEW = _posted(
    AUTHORIZATION, "LocalSubjectAccessReview", "localsubjectaccessreviews", AccessReview, namespaced=True
)
SELFSUBJECTRULESREVIEW = _posted(AUTHORIZATION, "SelfSubjectRulesReview", "selfsubjectrulesreviews", RulesReview)
BINDING = _posted("", "Binding", "bindings", Binding, namespaced=True, rules=binding_rules)

TOKENREQUEST = Kind(
    group=AUTHENTICATION,
    version="v1",
    name="TokenRequest",
    plural="",
    view=TokenRequest,
    default=default_token_request,
    rules=token_request_rules,
    verbs=(),
)
SCALE = Kind(
    group="autoscaling",
    version="v1",
    name="Scale",
    plural="",
    view=Scale,
    rules=scale_rules,
    verbs=(),
    columns=(
        Column("Desired", desired, type="integer", description="How many there should be."),
        Column("Available", current, type="integer", description="How many there are."),
    ),
)
