"""MutatingAdmissionPolicy: writes are changed by what expressions in CEL make: configurations to apply, JSON patches.

What a policy adds belongs to no field manager, as upstream.

Source: https://kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from navarch.apiserver import decode
from navarch.apiserver.admission import matching, request
from navarch.apiserver.admission.conditions import Undecided
from navarch.apiserver.admission.expressions import Expression, Spending
from navarch.apiserver.admission.policies import Failure, Hooks, Invocation, Values, invocations
from navarch.apiserver.admission.review import Review
from navarch.apiserver.call import Authorizer
from navarch.apiserver.prepare import revised
from navarch.apiserver.state import State
from navarch.base.errors import ApiError, BadRequest, Cause, Forbidden
from navarch.cel import mutation
from navarch.cel.values import Fault
from navarch.kinds import MUTATINGADMISSIONPOLICY, MUTATINGADMISSIONPOLICYBINDING, SCALE
from navarch.kinds.kind import Kind
from navarch.kinds.schema import schema_for
from navarch.objects.apply_merge import check_items, merged
from navarch.objects.patch import Untrue, json_patch
from navarch.objects.shape import ANY, Shape
from navarch.objects.value import Document

NAME = "MutatingAdmissionPolicy"


class Denied(ApiError):
    code, reason = 403, "Invalid"


Key = tuple[str, str, str, str]
"""Policy, binding, and namespace and name of the parameters."""


@dataclass(slots=True)
class Memory:
    """Between rounds. open: those that may run again, since they ran. due: those of them that must, for somebody
    changed the object since. last: the object as the policies left it."""

    open: set[Key] = field(default_factory=set)
    due: set[Key] = field(default_factory=set)
    last: Document | None = None


@lru_cache(maxsize=4096)
def _expression(text: str) -> Expression:
    return Expression.of(text)


class Mutating:
    """The admission plugin. authorizer: asked for at each write that concerns a policy, for it is made late."""

    def __init__(self, state: State, authorizer: Callable[[], Authorizer | None]) -> None:
        self._hooks = Hooks(state, MUTATINGADMISSIONPOLICY, MUTATINGADMISSIONPOLICYBINDING)
        self._authorizer = authorizer

    def mutate(self, review: Review) -> None:
        """Raises: Denied, Forbidden, NotFound."""
        hooks = self._hooks.current()
        if not hooks:
            return
        review.alone = True
        if matching.exempt(review) or request.operation(review) == "DELETE":
            return
        failures: list[Failure] = []
        found = list(invocations(review, hooks, failures))
        if found:
            self._run(review, found, failures)
        refusing = [failure for failure in failures if failure.policy.fails]
        if refusing:
            raise _refused(review, refusing)

    def _run(self, review: Review, found: Sequence[Invocation], failures: list[Failure]) -> None:
        memory: Memory = review.memory.setdefault(NAME, Memory())
        if review.round and memory.last != review.draft.document:
            memory.due |= memory.open
        values = Values(review, self._authorizer())
        for one in found:
            key = _key(one)
            try:
                if not values.matches(one) or (review.round and key not in memory.due):
                    continue
            except Undecided as undecided:
                failures.append(Failure(one.policy, one.binding, str(undecided), Denied.reason))
                continue
            before = review.draft.document
            for change in one.policy.spec["mutations"]:
                try:
                    _mutate(review, one, change, values)
                except Fault as fault:
                    failures.append(Failure(one.policy, one.binding, str(fault), Denied.reason))
            if review.draft.document != before:
                memory.due |= memory.open
                review.again = True
            if one.policy.spec.get("reinvocationPolicy") == "IfNeeded":
                memory.open.add(key)
        memory.last = review.draft.document


def _key(one: Invocation) -> Key:
    meta = (one.param or {}).get("metadata") or {}
    return one.policy.name, one.binding.name, meta.get("namespace", ""), meta.get("name", "")


def _mutate(review: Review, one: Invocation, change: Document, values: Values) -> None:
    """Carry out one mutation. Raises: Fault."""
    spending, kind = Spending(), one.kind
    names = values.names(one, spending)
    present: Document = names["object"]
    if present is None:
        return
    body = SCALE if review.intent.subresource == "scale" else kind
    if change["patchType"] == "JSONPatch":
        wanted = mutation.operations(spending.run(_expression(change["jsonPatch"]["expression"]), names))
        made = _patched(body, present, wanted)
    else:
        text = change["applyConfiguration"]["expression"]
        try:
            made = applied(body, present, mutation.configuration(spending.run(_expression(text), names)))
        except BadRequest as error:
            raise Fault(f"error applying patch: {error.message}") from None
    if revised(review, kind, present, made):
        values.forget()


def _patched(kind: Kind, present: Document, wanted: list[Document]) -> Document:
    """Raises: Fault."""
    try:
        made = json_patch(present, wanted)
        return decode.of_kind(kind, made, "Strict", [])
    except Untrue:
        return present  # a test that fails leaves the object as it is
    except ApiError as error:
        raise Fault(f"JSONPath: {error.message}") from None


def applied(kind: Kind, present: Document, configuration: Document) -> Document:
    """The object with the configuration laid over it. Raises: BadRequest, Fault."""
    shape = schema_for(kind)
    head = {"apiVersion": kind.api_version, "kind": kind.name}
    wanted = decode.of_kind(kind, {**configuration, **head}, "Strict", [])
    atomic = _atomic(shape, wanted, "")
    if atomic:
        listed = ", ".join(atomic)
        raise Fault(
            f"error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {listed}"
        )
    check_items(shape, wanted)
    found: Document = merged(shape, present, wanted)
    return found


def _atomic(shape: Shape, value: Any, path: str) -> list[str]:
    """Where the value has objects, maps or lists that only can be replaced as a whole: what is left out would go."""
    if isinstance(value, dict):
        found = [path] if shape.atomic else []
        for key, below in value.items():
            found += _atomic(shape.child(key) or ANY, below, f"{path}.{key}")
        return found
    if isinstance(value, list) and shape.form == "list":
        found = [path] if shape.list_type == "atomic" or shape.atomic else []
        for index, below in enumerate(value):
            found += _atomic(shape.item or ANY, below, f"{path}[{index}]")
        return found
    return []


def _refused(review: Review, failures: Sequence[Failure]) -> ApiError:
    messages = [_told(one) for one in failures]
    kind = review.intent.kind
    sort = Denied if failures[0].reason else Forbidden
    causes = [Cause("", message) for message in messages]
    return sort(messages[0], group=kind.group, kind=kind.plural, name=review.intent.name, causes=causes)


def _told(failure: Failure) -> str:
    where = f" with binding '{failure.binding.name}'" if failure.binding is not None else ""
    return f"policy '{failure.policy.name}'{where} denied request: {failure.message}"
