"""Whether the expressions of admission policies and webhooks are any: compiled and type-checked when they are written.

What they may read is known by name; of what types the objects are is not, for a policy may match many kinds.

Source: https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#validation-expression
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from navarch.cel.check import BOOL, DYN, INT, STRING, TIMESTAMP, T, checked
from navarch.cel.kubernetes import program
from navarch.cel.syntax import Const, Ident, Select, SyntaxFault, parse
from navarch.cel.values import Fault
from navarch.kinds.rules import Faults
from navarch.objects.value import Document


def _object(**fields: T) -> T:
    return T("object", fields=fields)


_STRINGS = T("map", STRING, STRING)
_KIND = _object(group=STRING, version=STRING, kind=STRING)
_RESOURCE = _object(group=STRING, version=STRING, resource=STRING)
REQUEST = _object(
    kind=_KIND,
    resource=_RESOURCE,
    subResource=STRING,
    requestKind=_KIND,
    requestResource=_RESOURCE,
    requestSubResource=STRING,
    name=STRING,
    namespace=STRING,
    operation=STRING,
    userInfo=_object(username=STRING, uid=STRING, groups=T("list", STRING), extra=T("map", T("list", STRING), STRING)),
    dryRun=BOOL,
    options=DYN,
)
NAMESPACE = _object(
    metadata=_object(
        name=STRING,
        generateName=STRING,
        namespace=STRING,
        labels=_STRINGS,
        annotations=_STRINGS,
        uid=STRING,
        creationTimestamp=TIMESTAMP,
        deletionTimestamp=TIMESTAMP,
        deletionGracePeriodSeconds=INT,
        generation=INT,
        resourceVersion=STRING,
        finalizers=T("list", STRING),
    ),
    spec=_object(finalizers=T("list", STRING)),
    status=_object(phase=STRING),
)
_RESOURCE_CHECK = T("kubernetes.authorization.ResourceCheck")
AUTHORIZER = T("kubernetes.authorization.Authorizer", fields={"requestResource": _RESOURCE_CHECK})
Names = Mapping[str, T]
MOST = 1_000
"""Expressions of one object, all together. Kubernetes has no such limit, and more time."""
CHECKED = ("validations", "auditAnnotations", "mutations")
OF_ALL: Names = {"object": DYN, "oldObject": DYN, "request": REQUEST, "namespaceObject": NAMESPACE}


def names(spec: Document, *, object_type: T = DYN, params: T = DYN) -> dict[str, T]:
    """What every expression of a policy may read, but for its variables."""
    found = {**OF_ALL, "object": object_type, "oldObject": object_type, "authorizer": AUTHORIZER}
    return {**found, "params": params} if spec.get("paramKind") else found


@lru_cache(maxsize=1024)
def _compiles(text: str) -> str:
    try:
        program(text)
    except (SyntaxFault, Fault) as fault:
        return str(fault)
    return ""


def typed(text: str, known: Names, wanted: tuple[str, ...]) -> tuple[T, str]:
    """The type of an expression, and what is wrong with it ("" for nothing). wanted: the names of good types, () for
    all of them."""
    try:
        found = checked(text, known)
    except (SyntaxFault, Fault) as fault:
        return DYN, f"compilation failed: {fault}"
    if why := _compiles(text):
        return DYN, f"compilation failed: ERROR: <input>:1:1: {why}"
    if not wanted or str(found) in wanted or (found.name == "dyn" and not _plainly_unknown(text)):
        return found, ""
    if wanted == ("bool",):
        return found, "must evaluate to bool"
    if len(wanted) == 1:
        return found, f"must evaluate to {wanted[0]}"
    return found, f"must evaluate to one of [{' '.join(wanted)}]"


def _plainly_unknown(text: str) -> bool:
    """A field of an object, of which nobody says of what type it is."""
    return isinstance(parse(text), Ident | Select | Const)


def check_conditions(faults: Faults, found: list[Document], path: str, spec: Document) -> None:
    """Of `matchConditions`. spec: the policy's; {} for a webhook."""
    known = names(spec)
    for index, condition in enumerate(found):
        text = condition.get("expression", "")
        if text.strip():
            _check(faults, f"{path}[{index}].expression", text, known, ("bool",))


def too_many(faults: Faults, path: str, count: int) -> bool:
    """Whether there are more expressions than may be, which is then told: each takes its time to be compiled."""
    if count > MOST:
        faults.too_many(path, count, MOST)
    return count > MOST


def check_policy(faults: Faults, spec: Document) -> None:
    """Of both sorts of policies."""
    lists = [spec.get(field) or () for field in ("matchConditions", "variables", *CHECKED)]
    if too_many(faults, "spec", sum(map(len, lists))):
        return
    check_conditions(faults, spec.get("matchConditions") or [], "spec.matchConditions", spec)
    known = names(spec)
    fields: dict[str, T] = {}
    for index, variable in enumerate(spec.get("variables") or ()):
        text, name = variable.get("expression", ""), variable.get("name", "")
        scope = {**known, "variables": T("object", fields=dict(fields))}
        fields[name] = _check(faults, f"spec.variables[{index}].expression", text, scope, ()) if text.strip() else DYN
    known["variables"] = T("object", fields=fields)
    said: Names = {name: type_ for name, type_ in known.items() if name != "authorizer"}
    for index, one in enumerate(spec.get("validations") or ()):
        at = f"spec.validations[{index}]"
        _given(faults, f"{at}.expression", one.get("expression"), known, ("bool",))
        _given(faults, f"{at}.messageExpression", one.get("messageExpression"), said, ("string",))
    for index, one in enumerate(spec.get("auditAnnotations") or ()):
        at = f"spec.auditAnnotations[{index}].valueExpression"
        _given(faults, at, one.get("valueExpression"), known, ("string", "null_type"))
    for index, one in enumerate(spec.get("mutations") or ()):
        at = f"spec.mutations[{index}]"
        _given(faults, f"{at}.applyConfiguration.expression", _below(one, "applyConfiguration"), known, ("Object",))
        _given(faults, f"{at}.jsonPatch.expression", _below(one, "jsonPatch"), known, ("list(JSONPatch)",))


def _below(mutation: Document, field: str) -> Any:
    return (mutation.get(field) or {}).get("expression")


def _given(faults: Faults, field: str, text: Any, known: Names, wanted: tuple[str, ...]) -> None:
    if text and text.strip():
        _check(faults, field, text, known, wanted)


def _check(faults: Faults, field: str, text: str, known: Names, wanted: tuple[str, ...]) -> T:
    found, why = typed(text, known, wanted)
    if why:
        faults.invalid(field, text, why)
    return found
