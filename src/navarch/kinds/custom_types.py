"""What a structural schema says to the type checker of expressions, and whether a rule of it is a good one.

Fields that a schema keeps without naming them are not seen by expressions.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules
"""

from __future__ import annotations

from navarch.cel.check import BOOL, BYTES, DOUBLE, DURATION, DYN, INT, STRING, TIMESTAMP, T, checked
from navarch.cel.kubernetes import program
from navarch.cel.syntax import SyntaxFault
from navarch.cel.values import Fault
from navarch.kinds.custom_schema import Structural
from navarch.objects.value import Document

_PLAIN = {"boolean": BOOL, "integer": INT, "number": DOUBLE, "string": STRING}
_FORMS = {"date-time": TIMESTAMP, "date": TIMESTAMP, "duration": DURATION, "byte": BYTES}
_RESOURCE = {
    "apiVersion": STRING,
    "kind": STRING,
    "metadata": T("object", fields={"name": STRING, "generateName": STRING}),
}


def type_of(node: Structural) -> T:
    """The type of the values at a node."""
    if node.int_or_string or not node.type:
        return DYN
    if node.type == "string":
        return _FORMS.get(node.schema.get("format") or "", STRING)
    if node.type == "array":
        return T("list", type_of(node.items) if node.items is not None else DYN)
    if node.type != "object":
        return _PLAIN.get(node.type, DYN)
    if node.additional is not None:
        return T("map", type_of(node.additional), STRING)
    fields = {name: type_of(below) for name, below in node.fields.items() if below.type or below.int_or_string}
    return T("object", fields={**fields, **_RESOURCE} if node.resource else fields)


def wrong(node: Structural, rule: Document, field: str) -> str:
    """Why the expression in a field of a rule at a node is none, "" for a good one."""
    self_type = type_of(node)
    old = T("optional_type", self_type) if rule.get("optionalOldSelf") else self_type
    wanted = "bool" if field == "rule" else "string"
    try:
        found = checked(rule[field], {"self": self_type, "oldSelf": old})
        program(rule[field])
    except (SyntaxFault, Fault) as fault:
        return f"compilation failed: {fault}"
    return "" if found.name in (wanted, "dyn") else f"must evaluate to a {wanted}"
