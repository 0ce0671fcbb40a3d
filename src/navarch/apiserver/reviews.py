"""Questions that are posted and answered at once: who is this, may they do that, a token please.

The core hands over what was posted to a resource that is not stored; the answer is the document with a status.

Source: https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/ and authorization-resources/
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from navarch.apiserver.authn.bootstraptokens import BootstrapTokens
from navarch.apiserver.authn.tokens import ServiceAccountTokens
from navarch.apiserver.authz.authorizer import RulesAuthorizer
from navarch.apiserver.authz.node import GROUP as NODES
from navarch.apiserver.authz.node import PREFIX as NODE_PREFIX
from navarch.apiserver.call import Attributes, Reads, User, user_info
from navarch.base.clock import Clock, rfc3339
from navarch.base.errors import BadRequest, Cause, Conflict, Forbidden, Invalid, NotFound, Unauthorized
from navarch.kinds import NODE, POD, SECRET, SERVICEACCOUNT
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.kinds.review import AccessReview, AccessReviewSpec, RulesReview, TokenRequest, TokenReview
from navarch.kinds.view import View
from navarch.objects.value import Document

Answer = Callable[[User, str, str, Document], Awaitable[Document]]
"""(who asks, namespace, name, what was posted) -> the answer."""

SHORTEST_S, LONGEST_S = 600, 1 << 32
BINDABLE: dict[str, Kind] = {"Pod": POD, "Secret": SECRET, "Node": NODE}

_View = TypeVar("_View", bound=View)


def read(document: Document, view: type[_View]) -> _View:
    """Raises: BadRequest: a field has another type."""
    try:
        return msgspec.convert(document, view)
    except msgspec.ValidationError as error:
        raise BadRequest(f"the object provided is unrecognized: {error}") from error


class Reviews:
    """Answers reviews and token requests from caches alone."""

    def __init__(self, reads: Reads, authorizer: RulesAuthorizer, tokens: ServiceAccountTokens, clock: Clock) -> None:
        self._reads = reads
        self._authorizer = authorizer
        self._tokens = tokens
        self._bootstrap = BootstrapTokens(reads, clock)
        self._clock = clock

    def answers(self) -> dict[tuple[str, str], Answer]:
        """By the plural and subresource that is posted to."""
        return {
            ("tokenreviews", ""): self._token_review,
            ("selfsubjectreviews", ""): self._self,
            ("subjectaccessreviews", ""): self._access,
            ("localsubjectaccessreviews", ""): self._local_access,
            ("selfsubjectaccessreviews", ""): self._own_access,
            ("selfsubjectrulesreviews", ""): self._own_rules,
            ("serviceaccounts", "token"): self._token,
        }

    async def _token_review(self, user: User, namespace: str, name: str, document: Document) -> Document:
        asked = read(document, TokenReview).spec
        if not asked.token:
            raise BadRequest("token is required for TokenReview in authentication")
        try:
            found, audiences = self._checked(asked.token, asked.audiences)
        except Unauthorized as error:
            return {**document, "status": {"user": {}, "error": error.message}}
        return {
            **document,
            "status": {"authenticated": True, "user": user_info(found), "audiences": list(audiences)},
        }

    def _checked(self, token: str, audiences: Sequence[str]) -> tuple[User, tuple[str, ...]]:
        """Whose it is, and for whom. Raises: Unauthorized."""
        if not self._bootstrap.mine(token):
            return self._tokens.check(token, audiences)
        if audiences and self._tokens.issuer not in audiences:
            raise Unauthorized("the token is for the API server only")
        return self._bootstrap.check(token), (self._tokens.issuer,)

    async def _self(self, user: User, namespace: str, name: str, document: Document) -> Document:
        metadata = {"creationTimestamp": rfc3339(self._clock.now())}
        return {**document, "metadata": metadata, "status": {"userInfo": user_info(user)}}

    async def _access(self, user: User, namespace: str, name: str, document: Document) -> Document:
        spec = self._spec(document, "SubjectAccessReview")
        return self._decided(_subject(spec), spec, document)

    async def _local_access(self, user: User, namespace: str, name: str, document: Document) -> Document:
        spec = self._spec(document, "LocalSubjectAccessReview")
        asked = spec.resource_attributes
        if asked is None:
            raise _invalid(
                "LocalSubjectAccessReview", "spec.nonResourceAttributes", "disallowed on this kind of request"
            )
        if asked.namespace != namespace:
            raise BadRequest(
                f"spec.resourceAttributes.namespace must match namespace: {namespace}, not {asked.namespace}"
            )
        return self._decided(_subject(spec), spec, document)

    async def _own_access(self, user: User, namespace: str, name: str, document: Document) -> Document:
        return self._decided(user, self._spec(document, "SelfSubjectAccessReview"), document)

    def _spec(self, document: Document, kind: str) -> AccessReviewSpec:
        """Raises: Invalid."""
        spec = read(document, AccessReview).spec
        if (spec.resource_attributes is None) == (spec.non_resource_attributes is None):
            raise _invalid(
                kind,
                "spec.resourceAttributes",
                "exactly one of nonResourceAttributes or resourceAttributes must be specified",
            )
        if not kind.startswith("Self") and not spec.user and not spec.groups:
            raise _invalid(kind, "spec.user", "at least one of user or group must be specified")
        return spec

    def _decided(self, user: User, spec: AccessReviewSpec, document: Document) -> Document:
        decision = self._authorizer.decide(_attributes(user, spec))
        status: Document = {"allowed": decision.allowed}
        if decision.reason:
            status["reason"] = decision.reason
        return {**document, "status": status}

    async def _own_rules(self, user: User, namespace: str, name: str, document: Document) -> Document:
        where = read(document, RulesReview).spec.namespace
        if not where:
            raise BadRequest("no namespace on request")
        resource_rules: list[Document] = []
        other_rules: list[Document] = []
        for rule in self._authorizer.rules_of(user, where):
            if rule.non_resource_urls:
                other_rules.append({"verbs": list(rule.verbs), "nonResourceURLs": list(rule.non_resource_urls)})
                continue
            told: Document = {
                "verbs": list(rule.verbs),
                "apiGroups": list(rule.api_groups),
                "resources": list(rule.resources),
            }
            if rule.resource_names:
                told["resourceNames"] = list(rule.resource_names)
            resource_rules.append(told)
        status = {"resourceRules": resource_rules, "nonResourceRules": other_rules, "incomplete": False}
        return {**document, "status": status}

    async def _token(self, user: User, namespace: str, name: str, document: Document) -> Document:
        """A token for a service account. Raises: NotFound, Invalid, Conflict, BadRequest, Forbidden."""
        account = self._reads.get(SERVICEACCOUNT, namespace, name)
        if account is None:
            raise _not_found(SERVICEACCOUNT, name)
        spec = read(document, TokenRequest).spec
        life_s = spec.expiration_seconds
        if life_s < SHORTEST_S:
            raise _invalid(
                "TokenRequest", "spec.expirationSeconds", "may not specify a duration less than 10 minutes", life_s
            )
        if life_s > LONGEST_S:
            raise _invalid(
                "TokenRequest", "spec.expirationSeconds", "may not specify a duration larger than 2^32 seconds", life_s
            )
        bound = self._bound(user, account, spec)
        token, expires = self._tokens.issue(account, audiences=spec.audiences, life_s=life_s, **bound)
        audiences = list(spec.audiences) or [self._tokens.issuer]
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "creationTimestamp": rfc3339(self._clock.now()),
            },
            "spec": {**(document.get("spec") or {}), "audiences": audiences, "expirationSeconds": life_s},
            "status": {
                "token": token,
                "expirationTimestamp": rfc3339(datetime.fromtimestamp(expires, UTC)),
            },
        }

    def _bound(self, user: User, account: Object, spec: Any) -> dict[str, Object]:
        """The object that the token is to be bound to (and the node of a pod), as `issue` takes them."""
        reference = spec.bound_object_ref
        of_node = user.name.removeprefix(NODE_PREFIX) if NODES in user.groups else ""
        if reference is None:
            if of_node:
                raise Forbidden("a node requests tokens only for its pods: the token must be bound to one")
            return {}
        kind = BINDABLE.get(reference.kind)
        if kind is None:
            raise BadRequest(f"cannot bind token to object of type {reference.api_version}, Kind={reference.kind}")
        found = self._reads.get(kind, account.namespace if kind.namespaced else "", reference.name)
        if found is None:
            raise _not_found(kind, reference.name)
        if reference.uid and reference.uid != found.uid:
            raise Conflict(
                f"the UID in the bound object reference ({reference.uid}) does not match the UID in record. "
                f"The object might have been deleted and then recreated",
                kind=kind.plural,
                name=reference.name,
            )
        if kind is not POD:
            if of_node:
                raise Forbidden("a node requests tokens only for its pods: the token must be bound to one")
            return {kind.one: found}
        return self._bound_pod(found, account, of_node)

    def _bound_pod(self, pod: Object, account: Object, of_node: str) -> dict[str, Object]:
        spec = pod.document().get("spec") or {}
        if spec.get("serviceAccountName", "default") != account.name:
            raise BadRequest(
                f"cannot bind token for serviceaccount {account.name!r} to pod running with different "
                f"serviceaccount name."
            )
        on = spec.get("nodeName", "")
        if of_node and of_node != on:
            raise Forbidden(f"node {of_node!r} requested a token bound to a pod scheduled on a different node")
        bound = {"pod": pod}
        node = self._reads.get(NODE, "", on) if on else None
        if node is not None:
            bound["node"] = node
        return bound


def _subject(spec: AccessReviewSpec) -> User:
    return User(spec.user, spec.uid, spec.groups, spec.extra)


def _attributes(user: User, spec: AccessReviewSpec) -> Attributes:
    if (path := spec.non_resource_attributes) is not None:
        return Attributes(user, path.verb, path=path.path, is_resource=False)
    asked = spec.resource_attributes
    assert asked is not None
    return Attributes(
        user, asked.verb, asked.group, asked.version, asked.resource, asked.subresource, asked.namespace, asked.name
    )


def _invalid(kind: str, field: str, why: str, value: object = None) -> Invalid:
    shown = "" if value is None else f"{value}: "
    group = "authentication.k8s.io" if kind.startswith("Token") else "authorization.k8s.io"
    message = f"Invalid value: {shown}{why}"
    return Invalid(
        f'{kind}.{group} "" is invalid: {field}: {message}',
        group=group,
        kind=kind,
        causes=[Cause("FieldValueInvalid", message, field)],
    )


def _not_found(kind: Kind, name: str) -> NotFound:
    return NotFound(f'{kind.resource} "{name}" not found', group=kind.group, kind=kind.plural, name=name)
