"""Expressions as closures over a `Run`, which counts what they cost and stops them when they cost too much.

A unit of cost is about what one operation takes. Whatever looks at a whole text, list or map pays for its size, so that
the budget bounds the time, whatever the expression says.

Source: https://kubernetes.io/docs/reference/using-api/cel/#resource-constraints
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from navarch.cel import values
from navarch.cel.arithmetic import arithmetic
from navarch.cel.macros import MACROS
from navarch.cel.syntax import Call, Const, Ident, Listed, Macro, Made, Mapped, Node, Select, parse
from navarch.cel.values import NONE, Built, Fault, Optional, OverBudget, Type, UInt, is_number, unsigned, whole

BUDGET = 1_000_000
"""Of one evaluation, as in Kubernetes."""
TYPES = (
    *("bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type", "type", "optional_type"),
    *("google.protobuf.Timestamp", "google.protobuf.Duration"),
)


class Run:
    """One evaluation. names: the values of what is free in the expression, and of what macros bind."""

    __slots__ = ("left", "names")

    def __init__(self, names: dict[str, Any], budget: int) -> None:
        self.names = names
        self.left = budget

    def pay(self, cost: int) -> None:
        """Raises: OverBudget."""
        self.left -= cost
        if self.left < 0:
            raise OverBudget("operation cancelled: actual cost limit exceeded")


Step = Callable[[Run], Any]
Function = Callable[..., Any]
"""Takes the run and the arguments, a method's target first."""


class Program:
    """A compiled expression; it may be evaluated by several tasks at once."""

    __slots__ = ("_step", "text", "tree")

    def __init__(self, text: str, functions: Mapping[str, Function], methods: Mapping[str, Function]) -> None:
        """Raises: syntax.SyntaxFault; Fault, for functions that do not exist."""
        self.text = text
        self.tree = parse(text)
        self._step = _Compiler(functions, methods).step(self.tree)

    def run(self, names: Mapping[str, Any], budget: int = BUDGET) -> tuple[Any, int]:
        """The value and what it cost. Raises: Fault; OverBudget."""
        run = Run(dict(names), budget)
        try:
            found = self._step(run)
        except RecursionError:
            raise Fault("the values are nested too deeply") from None
        return found, budget - run.left


class _Compiler:
    def __init__(self, functions: Mapping[str, Function], methods: Mapping[str, Function]) -> None:
        self._functions = functions
        self._methods = methods

    def step(self, node: Node) -> Step:
        match node:
            case Const(value, is_unsigned):
                fixed = unsigned(value) if is_unsigned else value
                if isinstance(fixed, int) and not isinstance(fixed, bool | UInt):
                    fixed = whole(fixed)
                return lambda run: fixed
            case Ident(name):
                return _ident(name)
            case Select():
                return self._select(node)
            case Call():
                return self._call(node)
            case Listed(items):
                return self._list([(self.step(item), optional) for item, optional in items])
            case Mapped(entries):
                return self._map([(self.step(key), self.step(value), opt) for key, value, opt in entries])
            case Made(type_, fields):
                return self._made(type_, [(unescaped(name), self.step(one), opt) for name, one, opt in fields])
            case Macro(name, over, names, bodies):
                return MACROS[name](self.step(over), names, [self.step(body) for body in bodies])

    def _list(self, items: list[tuple[Step, bool]]) -> Step:
        def step(run: Run) -> Any:
            run.pay(10 + len(items))
            found = []
            for item, optional in items:
                value = item(run)
                if not optional:
                    found.append(value)
                elif value.present:
                    found.append(value.value)
            return found

        return step

    def _map(self, entries: list[tuple[Step, Step, bool]]) -> Step:
        def step(run: Run) -> Any:
            run.pay(30 + len(entries))
            found: dict[Any, Any] = {}
            for key, value, optional in entries:
                name, one = key(run), value(run)
                if isinstance(name, float | list | dict) or name is None:
                    raise Fault("unsupported key type")
                if name in found:
                    raise Fault(f"Failed with repeated key: {name}")
                if not optional:
                    found[name] = one
                elif one.present:
                    found[name] = one.value
            return found

        return step

    def _made(self, type_: str, fields: list[tuple[str, Step, bool]]) -> Step:
        if type_ != "Object" and not type_.startswith("Object.") and type_ != "JSONPatch":
            raise Fault(f"undeclared reference to '{type_}' (in container '')")

        def step(run: Run) -> Any:
            run.pay(40 + len(fields))
            found = Built(type_)
            for name, make, optional in fields:
                value = make(run)
                if not optional:
                    found[name] = value
                elif value.present:
                    found[name] = value.value
            return found

        return step

    def _select(self, node: Select) -> Step:
        dotted = _dotted(node)
        if dotted in TYPES:
            named = Type(dotted)
            return lambda run: named
        if dotted in self._functions:  # a constant of a library
            return lambda run: self._functions[dotted](run)
        operand, name = self.step(node.operand), unescaped(node.name)

        def test(run: Run) -> bool:
            run.pay(1)
            value = operand(run)
            if isinstance(value, Optional):
                return value.present and isinstance(value.value, dict) and name in value.value
            if not isinstance(value, dict):
                raise Fault(f"no such key: {name}")
            return name in value

        def get(run: Run) -> Any:
            run.left -= 1
            if run.left < 0:
                run.pay(0)
            value = operand(run)
            if isinstance(value, dict):
                try:
                    return value[name]
                except KeyError:
                    raise Fault(f"no such key: {name}") from None
            if isinstance(value, Optional):
                return _maybe(value.value, name) if value.present else NONE
            found = getattr(value, "fields", None)
            if isinstance(found, dict) and name in found:
                return found[name]
            raise Fault(f"no such key: {name}" if value is not None else "no such overload")

        def optional(run: Run) -> Any:
            run.pay(1)
            value = operand(run)
            if isinstance(value, Optional):
                return _maybe(value.value, name) if value.present else NONE
            return _maybe(value, name)

        return test if node.test else optional if node.optional else get

    def _call(self, node: Call) -> Step:
        args = [self.step(arg) for arg in node.args]
        if node.target is None:
            special = _SPECIAL.get(node.name)
            if special is not None:
                return special(*args)
            return self._plain(self._functions.get(node.name), node.name, args)
        dotted = f"{_dotted(node.target)}.{node.name}"
        if dotted in self._functions:  # a function of a library: sets.contains(…)
            return self._plain(self._functions[dotted], dotted, args)
        return self._plain(self._methods.get(node.name), node.name, [self.step(node.target), *args])

    def _plain(self, function: Function | None, name: str, args: list[Step]) -> Step:
        if function is None:
            raise Fault(f"undeclared reference to '{name}' (in container '')")
        if len(args) == 1:
            (only,) = args

            def one(run: Run) -> Any:
                run.pay(1)
                try:
                    return function(run, only(run))
                except (TypeError, AttributeError):
                    raise Fault("no such overload") from None

            return one

        def step(run: Run) -> Any:
            run.pay(1)
            try:
                return function(run, *[arg(run) for arg in args])
            except (TypeError, AttributeError):
                raise Fault("no such overload") from None

        return step


def _dotted(node: Node | None) -> str:
    if isinstance(node, Ident):
        return node.name
    if isinstance(node, Select) and not node.test and not node.optional:
        return f"{_dotted(node.operand)}.{node.name}"
    return "?"


_ESCAPES = {"__underscores__": "__", "__dot__": ".", "__dash__": "-", "__slash__": "/"}


def unescaped(name: str) -> str:
    """The name of a field as documents have it: `__dot__` is a dot, `__in__` the reserved word."""
    if "__" not in name:
        return name
    word = re.fullmatch(r"__([a-z]+)__", name)
    if word and name not in _ESCAPES:
        return word[1]
    return re.sub("|".join(_ESCAPES), lambda match: _ESCAPES[match[0]], name)


def _ident(name: str) -> Step:
    named = Type(name) if name in TYPES else None

    def step(run: Run) -> Any:
        run.left -= 1
        if run.left < 0:
            run.pay(0)
        try:
            return run.names[name]
        except KeyError:
            if named is not None:
                return named
            raise Fault(f"undeclared reference to '{name}' (in container '')") from None

    return step


def _maybe(value: Any, key: Any) -> Optional:
    if isinstance(value, dict):
        return Optional(value[key]) if key in value else NONE
    if isinstance(value, list) and isinstance(key, int):
        return Optional(value[key]) if 0 <= key < len(value) else NONE
    return NONE


_PLAIN = (int, bool, float)


def same(run: Run, a: Any, b: Any) -> bool:
    """Equality that pays for what it looks at."""
    if isinstance(a, list) and isinstance(b, list):
        run.pay(1 + 2 * min(len(a), len(b)))
        if len(a) != len(b):
            return False
        for x, y in zip(a, b, strict=True):
            if type(x) is type(y) and type(x) in _PLAIN:
                if x != y:
                    return False
            elif not same(run, x, y):
                return False
        return True
    if isinstance(a, dict) and isinstance(b, dict):
        run.pay(1 + 2 * min(len(a), len(b)))
        return len(a) == len(b) and all(key in b and same(run, value, b[key]) for key, value in a.items())
    if isinstance(a, str) and isinstance(b, str):
        run.pay(1 + min(len(a), len(b)) // 10)
    return values.equal(a, b)


# Operators that are not plain calls.


def _or(left: Step, right: Step) -> Step:
    """True wins over a fault on the other side."""

    def step(run: Run) -> bool:
        try:
            if _truth(left(run)):
                return True
        except OverBudget:
            raise
        except Fault:
            if _truth(right(run)):
                return True
            raise
        return _truth(right(run))

    return step


def _and(left: Step, right: Step) -> Step:
    def step(run: Run) -> bool:
        try:
            if not _truth(left(run)):
                return False
        except OverBudget:
            raise
        except Fault:
            if not _truth(right(run)):
                return False
            raise
        return _truth(right(run))

    return step


def _truth(value: Any) -> bool:
    if value is True or value is False:
        return bool(value)
    raise Fault("no such overload")


def _choice(condition: Step, then: Step, otherwise: Step) -> Step:
    return lambda run: then(run) if _truth(condition(run)) else otherwise(run)


def _equal(left: Step, right: Step) -> Step:
    def step(run: Run) -> bool:
        run.pay(1)
        return same(run, left(run), right(run))

    return step


def _unequal(left: Step, right: Step) -> Step:
    equal = _equal(left, right)
    return lambda run: not equal(run)


def _ordered(test: Callable[[int], bool]) -> Callable[[Step, Step], Step]:
    def make(left: Step, right: Step) -> Step:
        def step(run: Run) -> bool:
            a, b = left(run), right(run)
            run.pay(1 + min(len(a), len(b)) // 10 if isinstance(a, str) and isinstance(b, str) else 1)
            return test(values.compare(a, b))

        return step

    return make


def _within(left: Step, right: Step) -> Step:
    def step(run: Run) -> bool:
        value, where = left(run), right(run)
        run.pay(1)
        if isinstance(where, dict):
            return not isinstance(value, list | dict) and value in where
        if isinstance(where, list):
            run.pay(len(where))
            return any(same(run, value, one) for one in where)
        raise Fault("no such overload")

    return step


def _index(left: Step, right: Step) -> Step:
    def step(run: Run) -> Any:
        value, key = left(run), right(run)
        run.pay(1)
        if isinstance(value, Optional):
            return _maybe(value.value, key) if value.present else NONE
        if isinstance(value, dict) and not isinstance(key, list | dict):
            try:
                return value[key]  # maps of some libraries have something for every key
            except KeyError:
                raise Fault(f"no such key: {key}") from None
        if isinstance(value, list) and is_number(key) and key == int(key):
            if 0 <= key < len(value):
                return value[int(key)]
            raise Fault(f"index out of bounds: {key}")
        raise Fault("no such overload")

    return step


def _index_optional(left: Step, right: Step) -> Step:
    def step(run: Run) -> Optional:
        value, key = left(run), right(run)
        run.pay(1)
        if isinstance(value, Optional):
            value = value.value if value.present else None
        return _maybe(value, key)

    return step


def _not(inner: Step) -> Step:
    return lambda run: not _truth(inner(run))


def _minus(inner: Step) -> Step:
    def step(run: Run) -> Any:
        run.pay(1)
        value = inner(run)
        if isinstance(value, float | timedelta):
            return -value
        if isinstance(value, int) and not isinstance(value, bool | UInt):
            return whole(-value)
        raise Fault("no such overload")

    return step


_SPECIAL: dict[str, Callable[..., Step]] = {
    "_||_": _or,
    "_&&_": _and,
    "_?_:_": _choice,
    "_==_": _equal,
    "_!=_": _unequal,
    "_<_": _ordered(lambda order: order < 0),
    "_<=_": _ordered(lambda order: order <= 0),
    "_>_": _ordered(lambda order: order > 0),
    "_>=_": _ordered(lambda order: order >= 0),
    "@in": _within,
    "_[_]": _index,
    "_[?_]": _index_optional,
    "!_": _not,
    "-_": _minus,
    **{f"_{mark}_": arithmetic(mark) for mark in "+-*/%"},
}
