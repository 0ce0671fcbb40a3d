"""What the type checker makes of a policy, for each kind that it names: warnings, not refusals.

A policy may be written before the kinds that it is for are what it thinks they are; so what does not fit their schemas
is only told, in `status.typeChecking`.

Source: https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#type-checking
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from navarch.cel.check import BOOL, BYTES, DOUBLE, DYN, INT, STRING, TIMESTAMP, T, checked
from navarch.cel.syntax import SyntaxFault
from navarch.cel.values import Fault
from navarch.kinds import policy_expressions
from navarch.kinds.kind import Kind
from navarch.kinds.registry import Kinds
from navarch.kinds.schema import schema_for
from navarch.objects.shape import Shape
from navarch.objects.value import Document

MOST_KINDS = 10
_PLAIN: Mapping[str, T] = {
    "string": STRING,
    "integer": INT,
    "number": DOUBLE,
    "boolean": BOOL,
    "quantity": STRING,
    "time": TIMESTAMP,
    "micro-time": TIMESTAMP,
    "bytes": BYTES,
}


class _Fields(Mapping[str, T]):
    """The fields of a shape as types, made when they are asked for: shapes may contain themselves."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._made: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        if name not in self._made:
            self._made[name] = type_of(self._shape.fields[name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._shape.fields)

    def __len__(self) -> int:
        return len(self._shape.fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Fields) and other._shape is self._shape

    def __hash__(self) -> int:
        return hash(self._shape)


def type_of(shape: Shape) -> T:
    """The type of the values of a shape."""
    if shape.form == "object":
        return DYN if shape.open else T("object", fields=_Fields(shape))
    if shape.form in ("list", "map"):
        item = type_of(shape.item) if shape.item is not None else DYN
        return T("list", item) if shape.form == "list" else T("map", item, STRING)
    return _PLAIN.get(shape.form, DYN)


def matched(spec: Document, kinds: Kinds) -> Sequence[Kind]:
    """The built-in kinds that the policy's rules name one by one, at most `MOST_KINDS`."""
    found: dict[Kind, None] = {}
    for rule in (spec.get("matchConstraints") or {}).get("resourceRules") or ():
        groups, versions = rule.get("apiGroups") or (), rule.get("apiVersions") or ()
        for group in () if "*" in groups else groups:
            for version in () if "*" in versions else versions:
                for plural in rule.get("resources") or ():
                    kind = kinds.resource(group, version, plural)
                    if kind is not None and not kind.custom:
                        found[kind] = None
    return sorted(found, key=lambda kind: (kind.group, kind.name, kind.version))[:MOST_KINDS]


def warnings(spec: Document, kinds: Kinds) -> list[Document]:
    """`expressionWarnings` of a policy."""
    chosen = matched(spec, kinds)
    asked = spec.get("paramKind") or {}
    param_kind = kinds.named(asked.get("apiVersion", ""), asked.get("kind", ""))
    params = DYN if param_kind is None or param_kind.custom else type_of(schema_for(param_kind))
    found: list[Document] = []
    for index, validation in enumerate(spec.get("validations") or ()):
        for field in ("expression", "messageExpression"):
            told = [_told(spec, kind, params, validation[field]) for kind in chosen if validation.get(field)]
            if any(told):
                where = f"spec.validations[{index}].{field}"
                found.append({"fieldRef": where, "warning": "\n".join(filter(None, told))})
    return found


def _told(spec: Document, kind: Kind, params: T, text: str) -> str:
    known = policy_expressions.names(spec, object_type=type_of(schema_for(kind)), params=params)
    fields: dict[str, T] = {}
    for variable in spec.get("variables") or ():
        try:
            fields[variable["name"]] = checked(
                variable["expression"], {**known, "variables": T("object", fields=dict(fields))}
            )
        except (SyntaxFault, Fault):
            fields[variable["name"]] = DYN
    try:
        checked(text, {**known, "variables": T("object", fields=fields)})
    except (SyntaxFault, Fault) as fault:
        return f"{kind.group}/{kind.version}, Kind={kind.name}: {fault}\n"
    return ""
