"""Rules in CEL that a custom resource's schema holds (`x-kubernetes-validations`).

They run on values that fit the schema. One object may cost `BUDGET` in all, however many rules there are, and a large
one `BUDGET_BESIDE`; where that is used up the write is refused, so that no rule holds up the server.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from navarch.base import beside
from navarch.base.errors import Cause
from navarch.cel import values
from navarch.cel.kubernetes import program
from navarch.cel.program import BUDGET as OF_ONE_RULE
from navarch.cel.program import Program
from navarch.cel.syntax import names
from navarch.cel.values import Fault, OverBudget
from navarch.kinds.custom_schema import Structural
from navarch.kinds.custom_values import correlated, item_key
from navarch.objects.value import ABSENT, Document, Path, field_path

BUDGET = 1_000_000
"""A tenth of Kubernetes', whose engine is quicker: what `benchmarks/cel.py` shows to take less than half a second."""
BUDGET_BESIDE = 10_000_000
"""Kubernetes', for large objects: they are judged beside the loop, where nobody else waits for it."""
MESSAGES = {
    "FieldValueForbidden": "Forbidden",
    "FieldValueRequired": "Required value",
    "FieldValueDuplicate": "Duplicate value",
}
MESSAGE_LONGEST = 2048
SPENT = "validation failed due to running out of cost budget, no further validation rules will be run"


@dataclass(frozen=True, slots=True)
class Rule:
    """transition: it reads `oldSelf`, and holds only where there is one, unless `optional`."""

    program: Program
    text: str
    message: str
    worded: Program | None
    reason: str
    at: tuple[str, ...]
    transition: bool
    optional: bool


@dataclass(frozen=True, slots=True)
class Ruled:
    """One node of a schema at or below which there are rules."""

    node: Structural
    rules: tuple[Rule, ...]
    fields: dict[str, Ruled]
    additional: Ruled | None
    items: Ruled | None
    convert: Callable[[Any], Any] | None


def compiled(node: Structural) -> Ruled | None:
    """None where no rule is at or below. Raises: syntax.SyntaxFault, values.Fault."""
    fields = {name: found for name, below in node.fields.items() if (found := compiled(below)) is not None}
    additional = compiled(node.additional) if node.additional is not None else None
    items = compiled(node.items) if node.items is not None else None
    rules = tuple(_rule(one) for one in node.schema.get("x-kubernetes-validations") or ())
    if not (rules or fields or additional or items):
        return None
    return Ruled(node, rules, fields, additional, items, _converter(node) if rules else None)


def _rule(written: Document) -> Rule:
    text = written["rule"]
    made = program(text)
    worded = written.get("messageExpression") or ""
    path = str(written.get("fieldPath") or "").removeprefix(".")
    return Rule(
        made,
        text,
        str(written.get("message") or "").strip(),
        program(worded) if worded else None,
        written.get("reason") or "FieldValueInvalid",
        tuple(path.split(".")) if path else (),
        "oldSelf" in names(made.tree),
        bool(written.get("optionalOldSelf")),
    )


def causes(ruled: Ruled, new: Any, old: Any = ABSENT) -> Iterator[Cause]:
    """Every rule that does not hold."""
    spending = _Spending()
    try:
        yield from _node(ruled, new, old, (), spending)
    except OverBudget:
        yield Cause("FieldValueForbidden", f"Forbidden: {SPENT}", "")


class _Spending:
    def __init__(self) -> None:
        self.left = BUDGET_BESIDE if beside.here() else BUDGET

    def run(self, program_: Program, bound: dict[str, Any]) -> Any:
        """Raises: Fault; OverBudget."""
        found, cost = program_.run(bound, min(self.left, OF_ONE_RULE))
        self.left -= cost
        return found


def _node(ruled: Ruled, new: Any, old: Any, path: Path, spending: _Spending) -> Iterator[Cause]:
    if new is None or (old is not ABSENT and old == new):
        return
    if ruled.rules:
        yield from _held(ruled, new, old, path, spending)
    if isinstance(new, dict):
        before = old if isinstance(old, dict) else {}
        for name, one in new.items():
            below = ruled.fields.get(name) or ruled.additional
            if below is not None:
                yield from _node(below, one, before.get(name, ABSENT), (*path, name), spending)
    elif isinstance(new, list) and ruled.items is not None:
        known = correlated(ruled.node, old) if isinstance(old, list) else {}
        for i, one in enumerate(new):
            key = item_key(ruled.node, one)
            was = known.get(key, ABSENT) if key is not None else ABSENT
            yield from _node(ruled.items, one, was, (*path, i), spending)


def _held(ruled: Ruled, new: Any, old: Any, path: Path, spending: _Spending) -> Iterator[Cause]:
    convert = ruled.convert or _as_it_is
    bound = {"self": convert(new)}
    for rule in ruled.rules:
        if rule.transition:
            if rule.optional:
                bound["oldSelf"] = values.NONE if old is ABSENT else values.Optional(convert(old))
            elif old is ABSENT:
                continue
            else:
                bound["oldSelf"] = convert(old)
        where = field_path((*path, *rule.at))
        kind = _type_name(new)
        try:
            if spending.run(rule.program, bound) is True:
                continue
        except OverBudget:
            raise
        except Fault as fault:
            message = f'Invalid value: "{kind}": {fault} evaluating rule: {rule.message or rule.text}'
            yield Cause("FieldValueInvalid", message, where)
            continue
        text = _worded(rule, bound, spending)
        if rule.reason == "FieldValueInvalid":
            yield Cause(rule.reason, f'Invalid value: "{kind}": {text}', where)
        else:
            head = MESSAGES[rule.reason]
            yield Cause(rule.reason, f'{head}: "{kind}"' if "Duplicate" in head else f"{head}: {text}", where)


def _worded(rule: Rule, bound: dict[str, Any], spending: _Spending) -> str:
    """What a rule that does not hold says: by its expression, if that comes to a text of one line."""
    if rule.worded is not None:
        try:
            found = spending.run(rule.worded, bound)
        except OverBudget:
            raise
        except Fault:
            found = None
        if isinstance(found, str) and found.strip() and "\n" not in found and len(found) <= MESSAGE_LONGEST:
            return found.strip()
    return rule.message or f"failed rule: {rule.text.strip()}"


def _type_name(value: Any) -> str:
    match value:
        case dict():
            return "object"
        case list():
            return "array"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case _:
            return "string"


def _as_it_is(value: Any) -> Any:
    return value


def _converter(node: Structural) -> Callable[[Any], Any] | None:
    """From JSON's values to those that expressions know, where the schema says that they differ."""
    leaf = _leaf(node)
    if leaf is not None:
        return leaf
    fields = {name: made for name, below in node.fields.items() if (made := _converter(below)) is not None}
    additional = _converter(node.additional) if node.additional is not None else None
    items = _converter(node.items) if node.items is not None else None
    if items is not None:
        each = items
        return lambda value: [each(one) for one in value] if isinstance(value, list) else value
    if not fields and additional is None:
        return None

    def convert(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: (fields.get(key) or additional or _as_it_is)(one) for key, one in value.items()}

    return convert


def _leaf(node: Structural) -> Callable[[Any], Any] | None:
    form = node.schema.get("format")
    if node.type == "number":
        return lambda value: float(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if node.type != "string" or form not in ("date-time", "duration", "date", "byte"):
        return None

    def convert(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if form == "duration":
            return values.duration(value)
        if form == "byte":
            import base64

            return base64.b64decode(value)
        return values.timestamp(value if form == "date-time" else f"{value}T00:00:00Z")

    return convert
