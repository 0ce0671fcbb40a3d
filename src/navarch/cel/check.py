"""Types of expressions, found before anything runs: a field that does not exist, an operator between wrong types.

What is not known for certain is `DYN`, which fits everywhere; so nothing is refused that could work.

Source: https://kubernetes.io/docs/reference/using-api/cel/#type-checking
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from navarch.cel import signatures
from navarch.cel.program import TYPES, unescaped
from navarch.cel.signatures import Overload
from navarch.cel.syntax import Call, Const, Ident, Listed, Macro, Made, Mapped, Node, Select, located, parse
from navarch.cel.syntax import dotted as _path
from navarch.cel.values import Fault, type_name


@dataclass(frozen=True, slots=True)
class T:
    """name: `string`, `list`, …; `object` has fields. item: of lists, maps (values) and optionals. key: of maps."""

    name: str
    item: T | None = None
    key: T | None = None
    fields: Mapping[str, T] = field(default_factory=dict)

    def __str__(self) -> str:
        if self.name == "map":
            return f"map({self.key or DYN}, {self.item or DYN})"
        return f"{self.name}({self.item})" if self.item is not None else self.name


DYN = T("dyn")
BIND = "cel.bind"
"""Among the names of those expressions alone that may bind names of their own: those that choose devices."""
BOOL, INT, DOUBLE, STRING, BYTES = T("bool"), T("int"), T("double"), T("string"), T("bytes")
TIMESTAMP, DURATION = T("google.protobuf.Timestamp"), T("google.protobuf.Duration")
_SCALARS = ("bool", "int", "uint", "double", "string", "bytes", TIMESTAMP.name, DURATION.name)
_NUMBERS = ("int", "uint", "double")
_TIMES = (TIMESTAMP.name, DURATION.name)
_ORDER = ("_<_", "_<=_", "_>_", "_>=_")


class Wrong(Fault):
    """at: where in the text, -1 where that is not known."""

    def __init__(self, why: str, at: int) -> None:
        super().__init__(why)
        self.at = at


def checked(text: str, names: Mapping[str, T]) -> T:
    """The type of what a text comes to. Raises: SyntaxFault; Fault, which says where."""
    try:
        return check(parse(text), names)
    except Wrong as wrong:
        raise Fault(located(text, wrong.at, str(wrong)) if wrong.at >= 0 else f"ERROR: {wrong}") from None


def check(node: Node, names: Mapping[str, T]) -> T:
    """The type of the expression's value. names: the types of what is free in it. Raises: Wrong."""
    try:
        return _check(node, names)
    except Wrong:
        raise
    except Fault as fault:
        raise Wrong(str(fault), getattr(node, "at", -1)) from None


def _check(node: Node, names: Mapping[str, T]) -> T:
    match node:
        case Const(value, unsigned):
            return T("uint") if unsigned else T(type_name(value))
        case Ident(name):
            if name in names:
                return names[name]
            if name in TYPES:
                return T("type")
            raise Fault(f"undeclared reference to '{name}' (in container '')")
        case Select():
            return _select(node, names)
        case Call():
            return _call(node, names)
        case Listed(items):
            found = [check(item, names) for item, _ in items]
            return T("list", DYN if any(optional for _, optional in items) else _joined(found))
        case Mapped(entries):
            keys = [check(key, names) for key, _, _ in entries]
            return T("map", _joined([check(value, names) for _, value, _ in entries]), _joined(keys))
        case Made(name, fields):
            for _, value, _ in fields:
                check(value, names)
            return T("JSONPatch" if name == "JSONPatch" else name)
        case Macro():
            return _macro(node, names)


def _joined(types: list[T]) -> T:
    return types[0] if types and all(one == types[0] for one in types) else DYN


def _select(node: Select, names: Mapping[str, T]) -> T:
    path = _path(node)
    if path is not None and path in TYPES and path.partition(".")[0] not in names:
        return T("type")
    operand = check(node.operand, names)
    optional = node.optional or operand.name == "optional_type"
    if operand.name == "optional_type":
        operand = operand.item or DYN
    found = DYN
    if operand.name == "object" or operand.fields:
        known = operand.fields.get(unescaped(node.name))
        if known is None:
            raise Fault(f"undefined field '{node.name}'")
        found = known
    elif operand.name == "map":
        found = operand.item or DYN
    elif operand.name in (*_SCALARS, "list"):
        raise Fault(f"type '{operand}' does not support field selection")
    return BOOL if node.test else T("optional_type", found) if optional else found


def _call(node: Call, names: Mapping[str, T]) -> T:
    args = [check(arg, names) for arg in node.args]
    if node.target is None:
        return _operator(node.name, args) or _function(signatures.FUNCTIONS, node.name, args, method=False)
    path = _path(node.target)
    if path in signatures.LIBRARIES and path not in names:
        return _function(signatures.FUNCTIONS, f"{path}.{node.name}", args, method=False)
    return _function(signatures.METHODS, node.name, [check(node.target, names), *args], method=True)


def _function(known: Mapping[str, Sequence[Overload]], name: str, args: list[T], method: bool) -> T:
    """What a call gives. Raises: Fault."""
    overloads = known.get(name)
    if overloads is None:
        raise Fault(f"undeclared reference to '{name}' (in container '')")
    found = [
        _resolved(one.gives, args)
        for one in overloads
        if one.least <= len(args) <= len(one.takes)
        and all(any(_fits(arg, type_) for type_ in types) for arg, types in zip(args, one.takes, strict=False))
    ]
    if not found:
        listed = ", ".join(map(str, args[1:] if method else args))
        raise Fault(f"found no matching overload for '{name}' applied to '{f'{args[0]}.' if method else ''}({listed})'")
    return _joined(found)


def _fits(type_: T, wanted: str) -> bool:
    if type_.name == "dyn" or wanted == "dyn":
        return True
    head, _, item = wanted.partition("<")
    if head == "map" and type_.name == "object":
        return True
    if head != type_.name:
        return False
    return not item or type_.item is None or _fits(type_.item, item[:-1])


def _resolved(gives: str, args: list[T]) -> T:
    """The type that a signature's words stand for, of these arguments."""
    if gives == "self":
        return args[0]
    if gives == "item":
        return (args[0].item or DYN) if args and args[0].name in ("list", "optional_type") else DYN
    head, _, item = gives.partition("<")
    if head == "optional_type" and item == "item>":
        of_list = bool(args) and args[0].name == "list"
        return T(head, (args[0].item or DYN) if of_list else args[0] if args else DYN)
    if not item:
        return T(head, DYN) if head in ("list", "optional_type") else DYN if head == "dyn" else T(head)
    return T(head, _resolved(item[:-1], args), STRING if head == "map" else None)


def _operator(name: str, args: list[T]) -> T | None:
    """What an operator gives; None for functions. Raises: Fault."""
    if name in ("_&&_", "_||_", "!_"):
        if any(one.name not in ("bool", "dyn") for one in args):
            raise _mismatch(name, args)
        return BOOL
    if name == "_?_:_":
        if args[0].name not in ("bool", "dyn"):
            raise _mismatch(name, args)
        return _joined(args[1:])
    if name in ("_==_", "_!=_") or name in _ORDER:
        return _compared(name, args)
    if name == "@in":
        if args[1].name in _SCALARS:
            raise _mismatch(name, args)
        return BOOL
    if name in ("_[_]", "_[?_]"):
        if args[0].name in _SCALARS:
            raise _mismatch(name, args)
        found = (args[0].item if args[0].name in ("list", "map") else None) or DYN
        return T("optional_type", found) if name == "_[?_]" else found
    if name == "-_":
        return args[0]
    if name.startswith("_") and len(name) == 3:
        return _arithmetic(name, args)
    return None


def _compared(name: str, args: list[T]) -> T:
    a, b = args
    if a.name in _SCALARS and b.name in _SCALARS and a.name != b.name:
        numbers = a.name in _NUMBERS and b.name in _NUMBERS
        if not (numbers and name in _ORDER):
            raise _mismatch(name, args)
    if {a.name, b.name} & {"list", "map", "object"} and {a.name, b.name} & set(_SCALARS):
        raise _mismatch(name, args)
    if name in _ORDER and {a.name, b.name} & {"list", "map", "object"}:
        raise _mismatch(name, args)
    return BOOL


def _arithmetic(name: str, args: list[T]) -> T:
    a, b = args
    if a.name == "dyn" or b.name == "dyn":
        return DYN
    if a.name in _TIMES and b.name in _TIMES:
        return DYN
    fits = a.name in _NUMBERS or (name == "_+_" and a.name in ("string", "bytes", "list"))
    if a.name != b.name or not fits:
        raise _mismatch(name, args)
    return a if a == b else T(a.name, DYN)


def _mismatch(name: str, args: list[T]) -> Fault:
    return Fault(f"found no matching overload for '{name}' applied to '({', '.join(map(str, args))})'")


def _macro(node: Macro, names: Mapping[str, T]) -> T:
    over = check(node.over, names)
    if node.name == "bind":
        if BIND not in names:
            raise Fault("undeclared reference to 'bind' (in container '')")
        return check(node.bodies[0], {**names, node.names[0]: over})
    if node.name in ("optMap", "optFlatMap"):
        inner = check(node.bodies[0], {**names, node.names[0]: over.item or DYN})
        return inner if node.name == "optFlatMap" else T("optional_type", inner)
    if over.name in (*_SCALARS, "object"):
        raise Fault(f"expression of type '{over}' cannot be range of a comprehension (must be list, map, or dynamic)")
    key = (over.key or DYN) if over.name == "map" else INT if over.name == "list" else DYN
    item = over.item or DYN
    bound = (key, item) if len(node.names) == 2 else (key if over.name == "map" else item,)
    scope = {**names, **dict(zip(node.names, bound, strict=True))}
    bodies = [check(body, scope) for body in node.bodies]
    tests = bodies[:-1] if node.name in ("map", "transformList", "transformMap") else bodies
    if any(one.name not in ("bool", "dyn") for one in tests):
        raise _mismatch(node.name, tests)
    match node.name:
        case "map" | "transformList":
            return T("list", bodies[-1])
        case "filter":
            return T("list", bound[0])
        case "transformMap":
            return T("map", bodies[-1], key)
    return BOOL
