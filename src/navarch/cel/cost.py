"""What an expression costs at most, before it runs: by the largest values that a schema allows.

The counting is Kubernetes' own, so that what it refuses to define is refused here, and nothing else.

Source: https://kubernetes.io/docs/reference/using-api/cel/#estimated-cost-limits
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from navarch.cel.authorizer import COST as CHECK_COST
from navarch.cel.program import unescaped
from navarch.cel.syntax import Call, Const, Ident, Listed, Macro, Made, Mapped, Node, Select

MOST: Final = 2**63
LONGEST: Final = (3 << 20) - 2
"""Of a text in the largest request."""


@dataclass(frozen=True, slots=True)
class Size:
    """most: characters of a text, items of a list, entries of a map; 0 for what has no size, 1 for other values that an
    expression makes. item: of what a list or a map (which is keyed) holds."""

    most: int
    item: Size | None = None
    keyed: bool = False
    fields: Mapping[str, Size] = field(default_factory=dict)


ONE, UNKNOWN, KEY = Size(1), Size(LONGEST), Size(0)
Found = tuple[int, Size]
"""The cost, and the size of what comes out."""


def tenth(size: int) -> int:
    return -(-size // 10)


def quarter(size: int) -> int:
    return -(-size // 4)


def estimate(node: Node, names: Mapping[str, Size]) -> int:
    """names: the sizes of what is free in the expression."""
    return min(MOST, _cost(node, names)[0])


def _cost(node: Node, names: Mapping[str, Size]) -> Found:
    match node:
        case Const(value):
            return 0, Size(len(value)) if isinstance(value, str | bytes) else ONE
        case Ident(name):
            return 1, names.get(name, UNKNOWN)
        case Select(operand, name, test):
            cost, size = _cost(operand, names)
            return (max(0, cost - 1), ONE) if test else (cost + 1, size.fields.get(unescaped(name), UNKNOWN))
        case Listed(items):
            found = [_cost(item, names) for item, _ in items]
            largest = max((size for _, size in found), key=lambda size: size.most, default=ONE)
            return 10 + sum(cost for cost, _ in found), Size(len(items), largest)
        case Mapped(entries):
            both = [_cost(part, names)[0] for key, value, _ in entries for part in (key, value)]
            return 30 + sum(both), Size(len(entries), UNKNOWN, keyed=True)
        case Made(_, fields):
            return 40 + sum(_cost(value, names)[0] for _, value, _ in fields), ONE
        case Macro():
            return _macro(node, names)
        case Call():
            return _call(node, names)


def _call(node: Call, names: Mapping[str, Size]) -> Found:
    library = isinstance(node.target, Ident) and node.target.name not in names
    targets = () if node.target is None or library else (node.target,)
    found = [_cost(one, names) for one in (*targets, *node.args)]
    costs, sizes = [cost for cost, _ in found], [size for _, size in found]
    if node.name in ("_&&_", "_||_"):
        return sum(costs), ONE
    if node.name == "_?_:_":
        return costs[0] + max(costs[1:]), max(sizes[1:], key=lambda size: size.most)
    if node.name in ("_[_]", "_[?_]"):
        return sum(costs) + 1, sizes[0].item or UNKNOWN
    special = _CALLS.get(node.name)
    if special is None or not sizes:
        return sum(costs) + 1, sizes[0] if node.name in _KEEP and sizes else ONE
    cost, size = special(sizes)
    return sum(costs) + cost, size


_KEEP = ("dyn", "value", "orValue", "optional", "or", "slice", "distinct", "sort", "reverse", "of", "flatten", "first")
Rule = Callable[[list[Size]], Found]


def _equal(sizes: list[Size]) -> Found:
    return tenth(min(sizes[0].most, sizes[1].most)), ONE


def _ordered(sizes: list[Size]) -> Found:
    return max(1, tenth(min(sizes[0].most, sizes[1].most))), ONE


def _plus(sizes: list[Size]) -> Found:
    most = min(MOST, sizes[0].most + sizes[1].most)
    if most <= 2:
        return 1, Size(most, sizes[0].item)
    return tenth(most), Size(most, sizes[0].item or sizes[1].item)


def _contains(sizes: list[Size]) -> Found:
    return tenth(sizes[0].most) * tenth(sizes[1].most), ONE


def _matches(sizes: list[Size]) -> Found:
    return tenth(sizes[0].most + 1) * quarter(sizes[1].most), ONE


def _find(sizes: list[Size]) -> Found:
    return _matches(sizes)[0], sizes[0]


def _find_all(sizes: list[Size]) -> Found:
    return _matches(sizes)[0], Size(sizes[0].most, sizes[0])


def _walked(times: int) -> Rule:
    """A text read so often."""
    return lambda sizes: (times * tenth(sizes[0].most), Size(sizes[0].most))


def _split(sizes: list[Size]) -> Found:
    return 2 * tenth(sizes[0].most), Size(sizes[0].most, Size(sizes[0].most))


def _replace(sizes: list[Size]) -> Found:
    grown = max(1, sizes[2].most) if len(sizes) > 2 else 1
    return 2 * tenth(sizes[0].most), Size(min(MOST, sizes[0].most * grown))


def _join(sizes: list[Size]) -> Found:
    by = sizes[1].most if len(sizes) > 1 else 0
    item = sizes[0].item or ONE
    most = min(MOST, sizes[0].most * item.most + max(0, sizes[0].most - 1) * by)
    return tenth(most), Size(most)


def _searched(sizes: list[Size]) -> Found:
    """Every item is compared."""
    item = sizes[0].item or KEY
    return sizes[0].most * (1 + tenth(item.most)), item


def _position(sizes: list[Size]) -> Found:
    return (_searched(sizes)[0], ONE) if sizes[0].item is not None else (tenth(sizes[0].most), ONE)


def _product(sizes: list[Size]) -> Found:
    return min(MOST, sizes[0].most * sizes[1].most), ONE


_CALLS: Mapping[str, Rule] = {
    "_==_": _equal,
    "_!=_": _equal,
    **dict.fromkeys(("_<_", "_<=_", "_>_", "_>=_"), _ordered),
    "_+_": _plus,
    "@in": lambda sizes: (1 if sizes[1].keyed else max(1, sizes[1].most), ONE),
    **dict.fromkeys(("startsWith", "endsWith"), lambda sizes: (tenth(sizes[-1].most), ONE)),
    "contains": _contains,
    "matches": _matches,
    "find": _find,
    "findAll": _find_all,
    **dict.fromkeys(("lowerAscii", "upperAscii", "trim", "substring"), _walked(1)),
    "split": _split,
    "replace": _replace,
    "join": _join,
    **dict.fromkeys(("isSorted", "sum", "min", "max"), _searched),
    **dict.fromkeys(("indexOf", "lastIndexOf"), _position),
    **dict.fromkeys(("url", "ip", "cidr", "isURL", "isIP", "isCIDR"), _walked(1)),
    **dict.fromkeys(("quantity", "isQuantity", "semver", "isSemver", "validate"), _walked(1)),
    **dict.fromkeys(("bytes", "string"), _walked(1)),
    **dict.fromkeys(("intersects", "equivalent"), _product),
    "check": lambda sizes: (CHECK_COST * 10, ONE),
}


def _macro(node: Macro, names: Mapping[str, Size]) -> Found:
    cost, over = _cost(node.over, names)
    item = over.item or UNKNOWN
    if node.name == "bind":
        inner, size = _cost(node.bodies[0], {**names, node.names[0]: over})
        return cost + inner, size
    if node.name in ("optMap", "optFlatMap"):
        inner, size = _cost(node.bodies[0], {**names, node.names[0]: over})
        return cost + 2 + inner, size
    bound = (KEY, item) if len(node.names) == 2 else (KEY if over.keyed else item,)
    bodies = [_cost(body, {**names, **dict(zip(node.names, bound, strict=True))}) for body in node.bodies]
    spent = sum(one for one, _ in bodies)
    each, before, after = _ROUNDS[node.name]
    total = min(MOST, cost + before + over.most * (each + spent) + after)
    if node.name in ("map", "transformList", "transformMap"):
        return total, Size(over.most, bodies[-1][1])
    return (total, Size(over.most, bound[0])) if node.name == "filter" else (total, ONE)


_ROUNDS: Mapping[str, tuple[int, int, int]] = {
    "all": (3, 0, 1),
    "exists": (4, 0, 1),
    "exists_one": (2, 0, 2),
    "existsOne": (2, 0, 2),
    "map": (12, 10, 1),
    "transformList": (12, 10, 1),
    "filter": (13, 10, 1),
    "transformMap": (14, 30, 1),
}
"""What one round costs beyond the bodies, what the beginning, and what the end."""
