"""ValidatingAdmissionPolicy: writes that break a rule in CEL are refused, warned of, or noted.

Source: https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from navarch.apiserver import refusals
from navarch.apiserver.admission import matching
from navarch.apiserver.admission.conditions import Undecided
from navarch.apiserver.admission.expressions import Expression, Spending
from navarch.apiserver.admission.policies import Failure, Hooks, Invocation, Values, invocations
from navarch.apiserver.admission.review import Review
from navarch.apiserver.audit import notes
from navarch.apiserver.call import Authorizer
from navarch.apiserver.state import State
from navarch.base.errors import ApiError, Cause, Forbidden, Invalid, TooLarge, Unauthorized
from navarch.base.log import Log
from navarch.cel.values import Fault, OverBudget, type_name
from navarch.kinds import VALIDATINGADMISSIONPOLICY, VALIDATINGADMISSIONPOLICYBINDING
from navarch.objects.value import Document

MESSAGE_LONGEST_BYTES = 5 << 10
ANNOTATION_LONGEST = 10 << 10
ERRORS: Mapping[str, type[ApiError]] = {error.reason: error for error in (Forbidden, Invalid, TooLarge, Unauthorized)}
FAILURE = "validation.policy.admission.k8s.io/validation_failure"
log = Log("apiserver.admission")


@dataclass(frozen=True, slots=True)
class Denial:
    """reason: "" where it could not be evaluated. always: it refuses the write, whatever the binding says."""

    message: str
    reason: str = ""
    expression: int = 0
    always: bool = False


@lru_cache(maxsize=4096)
def _expression(text: str) -> Expression:
    return Expression.of(text)


class Validating:
    """The admission plugin. authorizer: asked for at each write that concerns a policy, for it is made late."""

    def __init__(self, state: State, authorizer: Callable[[], Authorizer | None]) -> None:
        self._hooks = Hooks(state, VALIDATINGADMISSIONPOLICY, VALIDATINGADMISSIONPOLICYBINDING)
        self._authorizer = authorizer

    def validate(self, review: Review) -> None:
        """Raises: Forbidden, Invalid, Unauthorized, TooLarge (as the policy says); NotFound."""
        hooks = self._hooks.current()
        if not hooks:
            return
        review.alone = True
        if matching.exempt(review):
            return
        misconfigured: list[Failure] = []
        found = list(invocations(review, hooks, misconfigured))
        denied = [failure for failure in misconfigured if failure.policy.fails]
        if found:
            values = Values(review, self._authorizer())
            for one in found:
                denied += _enforced(review, one, evaluated(one, values))
        if denied:
            raise _refused(review, denied[0])


def _enforced(review: Review, one: Invocation, denials: Iterator[Denial]) -> list[Failure]:
    """What the binding makes of what its policy denies: the denials that refuse the write."""
    actions = one.binding.spec.get("validationActions") or ()
    refusing: list[Failure] = []
    for denial in denials:
        if denial.always or "Deny" in actions:
            refusing.append(Failure(one.policy, one.binding, denial.message, denial.reason))
        if denial.always:
            continue
        if "Warn" in actions:
            said = f"Validation failed for ValidatingAdmissionPolicy '{one.policy.name}'"
            review.intent.warnings.append(f"{said} with binding '{one.binding.name}': {denial.message}")
        if "Audit" in actions:
            _note(review, FAILURE, orjson.dumps([_failed(one, denial)]).decode())
    return refusing


def _failed(one: Invocation, denial: Denial) -> Document:
    return {
        "message": denial.message,
        "policy": one.policy.name,
        "binding": one.binding.name,
        "expressionIndex": str(denial.expression),
        "validationActions": one.binding.spec.get("validationActions"),
    }


def _note(review: Review, key: str, value: str) -> None:
    intent = review.intent
    where = f"{intent.namespace}/{intent.name}" if intent.namespace else intent.name
    notes.note(key, value, resource=intent.kind.resource, object=where)


def evaluated(one: Invocation, values: Values) -> Iterator[Denial]:
    """What of the policy does not hold. What cannot be evaluated does not hold, unless failures are ignored."""
    try:
        if not values.matches(one):
            return
    except Undecided as undecided:
        yield Denial(str(undecided))
        return
    spending = Spending()
    names = values.names(one, spending)
    fails = one.policy.fails
    try:
        for index, validation in enumerate(one.policy.spec.get("validations") or ()):
            try:
                holds = spending.run(_expression(validation["expression"]), names)
            except OverBudget:
                raise
            except Fault as fault:
                if fails:
                    yield Denial(str(fault), expression=index)
                continue
            if holds is not True:
                message = _message(validation, names, spending)
                yield Denial(message, validation.get("reason") or "Invalid", index)
        yield from _annotated(one, names, spending)
    except OverBudget as spent:
        if fails:
            yield Denial(str(spent))


def _message(validation: Document, names: Mapping[str, Any], spending: Spending) -> str:
    """By its expression, if that comes to a text of one line; else the given one. Raises: OverBudget."""
    found: Any = None
    if text := validation.get("messageExpression"):
        known = {key: value for key, value in names.items() if key != "authorizer"}
        try:
            found = spending.run(_expression(text), known)
        except OverBudget:
            raise
        except Fault as fault:
            log.debug("message expression", error=fault)
    if isinstance(found, str):
        said: str = found.strip()
        if said and "\n" not in said and len(said.encode()) <= MESSAGE_LONGEST_BYTES:
            return said
    written = str(validation.get("message") or "").strip()
    return written or f"failed expression: {validation['expression'].strip()}"


def _annotated(one: Invocation, names: Mapping[str, Any], spending: Spending) -> Iterator[Denial]:
    """Note what the policy wants noted. Raises: OverBudget."""
    for annotation in one.policy.spec.get("auditAnnotations") or ():
        text = annotation["valueExpression"]
        wrong = ""
        try:
            value = spending.run(_expression(text), names)
        except OverBudget:
            raise
        except Fault as fault:
            wrong = str(fault)
        else:
            if isinstance(value, str):
                _annotate(f"{one.policy.name}/{annotation['key']}", value[:ANNOTATION_LONGEST])
            elif value is not None:
                wrong = (
                    f"valueExpression '{text}' resulted in unsupported return type: {type_name(value)}. "
                    "Return type must be either string or null."
                )
        if wrong and one.policy.fails:
            yield Denial(wrong, always=True)


def _annotate(key: str, value: str) -> None:
    """Several bindings of a policy may say each its own."""
    before = notes.present(key)
    if before is None:
        notes.note(key, value)
    elif value not in before.split(", "):
        notes.renote(key, f"{before}, {value}")


def _refused(review: Review, denied: Failure) -> ApiError:
    where = f" with binding '{denied.binding.name}'" if denied.binding is not None else ""
    message = f"ValidatingAdmissionPolicy '{denied.policy.name}'{where} denied request: {denied.message}"
    intent = review.intent
    told = refusals.forbidden(intent.kind, intent.name, message)
    error = ERRORS.get(denied.reason, Invalid)
    kind = intent.kind
    return error(told.message, group=kind.group, kind=kind.plural, name=intent.name, causes=[Cause("", message)])
