"""Admission policies: those that are bound, compiled, and which of them a write concerns, with which parameters.

What is the same for both sorts of them. What they then do is in `policies_validating` and `policies_mutating`.

Source: https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from navarch.apiserver import refusals
from navarch.apiserver.admission import conditions
from navarch.apiserver.admission.expressions import Expression, Spending, Variables
from navarch.apiserver.admission.matching import Constraints
from navarch.apiserver.admission.request import namespace_of
from navarch.apiserver.admission.review import Review
from navarch.apiserver.call import Authorizer
from navarch.apiserver.state import State
from navarch.base.errors import NotFound
from navarch.kinds import NAMESPACE
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.objects import selector
from navarch.objects.value import Document, dig

HIDDEN = ("managedFields", "ownerReferences", "selfLink")
"""Of a namespace's metadata: not for expressions."""


class Misconfigured(Exception):
    """A policy or a binding cannot be used as it is; its failure policy says what comes of it."""


@dataclass(frozen=True, slots=True)
class Binding:
    """constraints: None narrows nothing."""

    name: str
    spec: Document
    constraints: Constraints | None


@dataclass(frozen=True, slots=True)
class Policy:
    """fails: what cannot be evaluated is refused. variables: by name, in their order."""

    name: str
    spec: Document
    constraints: Constraints
    conditions: tuple[Expression, ...]
    variables: Mapping[str, Expression]
    fails: bool

    @classmethod
    def of(cls, document: Document) -> Policy:
        spec: Document = document["spec"]
        return cls(
            document["metadata"]["name"],
            spec,
            Constraints.of(spec.get("matchConstraints") or {}),
            conditions.compiled(spec.get("matchConditions") or ()),
            {one["name"]: Expression.of(one["expression"], one["name"]) for one in spec.get("variables") or ()},
            spec.get("failurePolicy") != "Ignore",
        )


@dataclass(frozen=True, slots=True)
class Hook:
    """A policy that somebody bound."""

    policy: Policy
    bindings: tuple[Binding, ...]


@dataclass(frozen=True, slots=True)
class Invocation:
    """kind: as which the write matched. param: None where the policy has no parameters or the binding names none."""

    policy: Policy
    binding: Binding
    kind: Kind
    param: Document | None


@dataclass(frozen=True, slots=True)
class Failure:
    """binding: None where the policy itself is at fault. reason: "" for that of the sort of policy."""

    policy: Policy
    binding: Binding | None
    message: str
    reason: str = ""


class Hooks:
    """The bound policies as they are now, by name; compiled again only when they change."""

    def __init__(self, state: State, policies: Kind, bindings: Kind) -> None:
        self._state = state
        self._kinds = policies, bindings
        self._caches = state.cache(policies), state.cache(bindings)
        self._seen = (0, 0)
        self._hooks: tuple[Hook, ...] = ()
        self._compiled: dict[str, tuple[tuple[Any, ...], Policy]] = {}

    def current(self) -> tuple[Hook, ...]:
        policies, bindings = self._caches
        if self._seen != (policies.version, bindings.version):
            self._seen = (policies.version, bindings.version)
            self._hooks = tuple(self._made())
        return self._hooks

    def _made(self) -> Iterator[Hook]:
        bound: dict[str, list[Binding]] = {}
        for found in self._state.list(self._kinds[1]):
            spec: Document = found.document()["spec"]
            chosen = spec.get("matchResources")
            constraints = Constraints.of(chosen) if chosen else None
            bound.setdefault(spec["policyName"], []).append(Binding(found.name, spec, constraints))
        before, self._compiled = self._compiled, {}
        for found in self._state.list(self._kinds[0]):
            if found.name not in bound:
                continue
            known, policy = before.get(found.name, (None, None))
            key = (found.uid, dig(found.document(), "metadata", "generation"))
            if policy is None or known != key:
                policy = Policy.of(found.document())
            self._compiled[found.name] = (key, policy)
            yield Hook(policy, tuple(bound[found.name]))


def invocations(review: Review, hooks: Sequence[Hook], failures: list[Failure]) -> Iterator[Invocation]:
    """What is to be evaluated for the write. failures: added to."""
    for hook in hooks:
        policy = hook.policy
        try:
            kind = policy.constraints.match(review)
            if kind is None:
                continue
            asked = policy.spec.get("paramKind")
            param_kind = _param_kind(review.state, asked) if asked else None
        except (Misconfigured, NotFound) as error:
            failures.append(Failure(policy, None, f"failed to configure policy: {error}"))
            continue
        for binding in hook.bindings:
            try:
                if binding.constraints is not None and binding.constraints.match(review) is None:
                    continue
                params = _params(review, param_kind, binding.spec.get("paramRef"))
            except (Misconfigured, NotFound) as error:
                failures.append(Failure(policy, binding, f"failed to configure binding: {error}"))
                continue
            for param in params:
                yield Invocation(policy, binding, kind, param)


def _param_kind(state: State, asked: Document) -> Kind:
    found = state.kinds.named(asked["apiVersion"], asked["kind"])
    if found is None or not found.verbs:
        group, _, version = asked["apiVersion"].rpartition("/")
        where = f"{group}/{version}, Kind={asked['kind']}"
        raise Misconfigured(f"failed to find resource referenced by paramKind: '{where}'")
    return found


def _params(review: Review, kind: Kind | None, reference: Document | None) -> Sequence[Document | None]:
    """Raises: Misconfigured."""
    if kind is None or reference is None:
        return (None,)
    namespace = reference.get("namespace", "")
    if namespace and not kind.namespaced:
        raise Misconfigured("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
    if kind.namespaced:
        namespace = namespace or namespace_of(review)
        if not namespace:
            raise Misconfigured(
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
            )
    found: Sequence[Object]
    if name := reference.get("name"):
        one = review.state.get(kind, namespace, name)
        found = () if one is None else (one,)
    else:
        chosen = selector.from_document(reference.get("selector") or {})
        found = [one for one in review.state.list(kind, namespace) if chosen.matches(one.labels)]
    if not found and reference.get("parameterNotFoundAction") == "Deny":
        raise Misconfigured("no params found for policy binding with `Deny` parameterNotFoundAction")
    return [one.document() for one in found]


def namespace_object(review: Review) -> Document | None:
    """The namespace that the object is in; None for what is in none, and for namespaces themselves.

    Raises: NotFound.
    """
    name = review.intent.namespace
    if not name or not review.intent.kind.namespaced:
        return None
    found = review.state.get(NAMESPACE, "", name)
    if found is None:
        raise refusals.not_found(NAMESPACE, name)
    document = found.document()
    metadata = {key: value for key, value in document["metadata"].items() if key not in HIDDEN}
    return {**document, "metadata": metadata}


class Values:
    """What expressions may read, made once for each kind as which a write is looked at."""

    def __init__(self, review: Review, authorizer: Authorizer | None) -> None:
        self._review = review
        self._authorizer = authorizer
        self._known: dict[Kind, dict[str, Any]] = {}
        self._namespace = namespace_object(review)

    def forget(self) -> None:
        """The object is another now."""
        self._known.clear()

    def matches(self, found: Invocation) -> bool:
        """Whether the policy's match conditions hold. Raises: conditions.Undecided."""
        if not found.policy.conditions:
            return True
        return conditions.match(found.policy.conditions, self._of(found), found.policy.fails)

    def names(self, found: Invocation, spending: Spending) -> dict[str, Any]:
        names = {**self._of(found), "namespaceObject": self._namespace}
        names["variables"] = Variables(found.policy.variables, names, spending)
        return names

    def _of(self, found: Invocation) -> dict[str, Any]:
        bound = self._known.get(found.kind)
        if bound is None:
            bound = self._known[found.kind] = conditions.bound(self._review, found.kind, self._authorizer)
        return {**bound, "params": found.param} if "paramKind" in found.policy.spec else bound
