"""Whether rules of a definition could cost too much on the largest objects that its schema allows.

Where the schema sets no bounds, the size of a request does.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#resource-use-by-validation-functions
"""

from __future__ import annotations

from dataclasses import dataclass

from navarch.cel import cost
from navarch.cel.cost import Size
from navarch.cel.syntax import SyntaxFault, parse
from navarch.kinds.custom_schema import Structural
from navarch.kinds.rules import Faults

OF_ONE = 10_000_000
OF_ALL = 100_000_000
LARGEST_REQUEST_BYTES = cost.LONGEST + 2
HINT = (
    "try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are "
    "declared"
)


_TEXT = Size(cost.LONGEST)
RESOURCE = {"apiVersion": _TEXT, "kind": _TEXT, "metadata": Size(0, fields={"name": _TEXT, "generateName": _TEXT})}


def size_of(node: Structural) -> tuple[Size, int]:
    """The largest value at a node, and how many bytes the smallest takes as JSON."""
    longest = cost.LONGEST
    if node.int_or_string:
        return Size(longest), 1
    match node.type:
        case "array":
            item, least = size_of(node.items) if node.items is not None else (Size(0), 2)
            return Size(_bound(node, "maxItems", longest // (least + 1)), item), 2
        case "object" if node.additional is not None:
            item, least = size_of(node.additional)
            return Size(_bound(node, "maxProperties", longest // (least + 6)), item, keyed=True), 2
        case "object":
            fields = {name: size_of(below) for name, below in node.fields.items()}
            needed = [name for name in node.schema.get("required") or () if "default" not in _schema(node, name)]
            least = 2 + sum(len(name) + fields[name][1] + 4 for name in needed if name in fields)
            sizes = {name: size for name, (size, _) in fields.items()}
            return Size(0, fields={**sizes, **RESOURCE} if node.resource else sizes), least
        case "string":
            return _text(node, longest)
        case "boolean":
            return Size(0), 4
    return Size(0), 1


def _schema(node: Structural, name: str) -> dict[str, object]:
    return node.fields[name].schema if name in node.fields else {}


def _bound(node: Structural, field: str, otherwise: int) -> int:
    given = node.schema.get(field)
    return otherwise if given is None else int(given)


def _text(node: Structural, longest: int) -> tuple[Size, int]:
    form, given = node.schema.get("format"), node.schema.get("maxLength")
    fixed = {"date": (12, 12), "date-time": (32, 21), "duration": (32, 3)}.get(form or "")
    if fixed is not None:
        return Size(fixed[0]), fixed[1]
    if given is not None:
        return Size(int(given) if form == "byte" else int(given) * 4), 2
    values = [one for one in node.schema.get("enum") or () if isinstance(one, str)]
    return Size(max(map(len, values)) if values else longest), 2


@dataclass(slots=True)
class _Costs:
    faults: Faults
    total: int = 0


def check_costs(faults: Faults, root: Structural, at: str) -> None:
    """at: the path of the schema."""
    costs = _Costs(faults)
    _node(costs, root, at, 1)
    if costs.total > OF_ALL:
        faults.forbidden(
            at,
            _exceeds(
                "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema", costs.total, OF_ALL
            ),
        )


def _node(costs: _Costs, node: Structural, at: str, times: int | None) -> None:
    """times: how many values there may be at the node; None where nothing says so."""
    for index, entry in enumerate(node.schema.get("x-kubernetes-validations") or ()):
        for field, what in (("rule", "estimated rule cost"), ("messageExpression", "estimated messageExpression cost")):
            if entry.get(field):
                _rule(costs, node, entry[field], f"{at}.x-kubernetes-validations[{index}].{field}", what, times)
    for name, below in node.fields.items():
        _node(costs, below, f"{at}.properties[{name}]", times)
    if node.items is not None:
        _node(costs, node.items, f"{at}.items", _times(times, node.schema.get("maxItems")))
    if node.additional is not None:
        bound = node.schema.get("maxProperties")
        _node(costs, node.additional, f"{at}.additionalProperties", _times(times, bound))


def _times(times: int | None, bound: int | None) -> int | None:
    return None if times is None or bound is None else times * bound


def _rule(costs: _Costs, node: Structural, text: str, at: str, what: str, times: int | None) -> None:
    size, least = size_of(node)
    try:
        each = cost.estimate(parse(text), {"self": size, "oldSelf": size})
    except SyntaxFault:
        return  # said already
    whole = each * (times if times is not None else LARGEST_REQUEST_BYTES // (least + 1))
    costs.total += whole
    if whole > OF_ONE:
        costs.faults.forbidden(at, _exceeds(what, whole, OF_ONE))


def _exceeds(what: str, found: int, limit: int) -> str:
    times = found / limit
    factor = "more than 100x" if times > 100 else f"{times:f}x" if times < 1.5 else f"{times:.1f}x"
    return f"{what} exceeds budget by factor of {factor} ({HINT})"
