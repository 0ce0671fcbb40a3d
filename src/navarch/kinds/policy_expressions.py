"""Whether the expressions of admission policies and webhooks are any: compiled and type-checked when they are written.

What they may read is known by name; of what types the objects are is not, for a policy may match many kinds.

Source: https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#validation-expression
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from navarch.cel.check import BIND, BOOL, DYN, INT, STRING, TIMESTAMP, T, checked
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
LISTS = ("matchConditions", "variables", "validations", "auditAnnotations", "mutations")
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


def check_condition(faults: Faults, field: str, text: str, spec: Document) -> None:
    """One of `matchConditions`. spec: the policy's; {} for a webhook."""
    _check(faults, field, text, names(spec), ("bool",))


DEVICE: Names = {
    BIND: DYN,
    "device": _object(
        driver=STRING,
        attributes=T("map", T("map", DYN, STRING), STRING),
        capacity=T("map", T("map", T("kubernetes.Quantity"), STRING), STRING),
        allowMultipleAllocations=BOOL,
    ),
}


def check_device(faults: Faults, field: str, text: str) -> None:
    """One by which claims and classes choose devices."""
    found, why = typed(text, DEVICE, ("bool",))
    if why:
        faults.invalid(field, text, f"{why} or the unknown type, not {found}" if why.startswith("must") else why)


def too_many(faults: Faults, path: str, count: int) -> bool:
    """Whether there are more expressions than may be, which is then told: each takes its time to be compiled."""
    if count > MOST:
        faults.too_many(path, count, MOST)
    return count > MOST


class Compiler:
    """The expressions of one policy of either sort, in the order in which they stand: each variable is known to those
    behind it. What is wrong goes into the `Faults` that are given."""

    def __init__(self, spec: Document) -> None:
        self._variables: dict[str, T] = {}
        self._known = {**names(spec), "variables": T("object", fields=self._variables)}
        self._said = {name: type_ for name, type_ in self._known.items() if name != "authorizer"}

    def check_variable(self, faults: Faults, field: str, name: str, text: str) -> None:
        self._variables[name] = _check(faults, field, text, self._known, ())

    def check(self, faults: Faults, field: str, text: str, wanted: tuple[str, ...]) -> None:
        """wanted: the names of good types."""
        _check(faults, field, text, self._known, wanted)

    def check_message(self, faults: Faults, field: str, text: str) -> None:
        """A message is made without asking the authorizer."""
        _check(faults, field, text, self._said, ("string",))


def _check(faults: Faults, field: str, text: str, known: Names, wanted: tuple[str, ...]) -> T:
    found, why = typed(text, known, wanted)
    if why:
        faults.invalid(field, text, why)
    return found
