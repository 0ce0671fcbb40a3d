"""From the text of an expression to its tree. Macros are nodes of their own: they bind names in what follows.

Source: https://github.com/google/cel-spec/blob/master/doc/langdef.md
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from typing import Any

LONGEST = 16 * 1024
DEEPEST = 100
MACROS: dict[str, tuple[int, ...]] = {
    "all": (2, 3),
    "exists": (2, 3),
    "exists_one": (2, 3),
    "existsOne": (2, 3),
    "map": (2, 3),
    "filter": (2,),
    "transformList": (3, 4),
    "transformMap": (3, 4),
    "optMap": (2,),
    "optFlatMap": (2,),
}
"""name -> how many arguments it may have, those that are bound included."""
_TWO_NAMES = ("transformList", "transformMap")
RESERVED = frozenset(
    (
        *("as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop"),
        *("package", "namespace", "return", "var", "void", "while"),
    )
)
_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
    |(?P<number>0x[0-9a-fA-F]+u?|(\d+\.\d+([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|\d+[eE][+-]?\d+)|\d+[uU]?)
    |(?P<text>(?:[bB][rR]?|[rR][bB]?)?(?:\"\"\"(?:[^\\]|\\.)*?\"\"\"|'''(?:[^\\]|\\.)*?'''
        |"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<quoted>`[A-Za-z0-9_.\-/ ]+`)
    |(?P<mark>\|\||&&|<=|>=|==|!=|[-+*/%<>!?:.,()\[\]{}])""",
    re.VERBOSE | re.DOTALL,
)


class SyntaxFault(ValueError):
    """The text is no expression; the message says where."""


@dataclass(frozen=True, slots=True)
class Const:
    value: Any
    unsigned: bool = False


@dataclass(frozen=True, slots=True)
class Ident:
    """at, here and below: where in the text it is said, -1 where that is not known."""

    name: str
    at: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class Select:
    """test: `has(…)` asks whether it is there. optional: `.?name`."""

    operand: Node
    name: str
    test: bool = False
    optional: bool = False
    at: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """Operators are calls of `_+_` and the like. target: None for functions that are no methods."""

    name: str
    target: Node | None
    args: tuple[Node, ...]
    at: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class Listed:
    """items: (expression, whether it is left out where it is an empty optional)."""

    items: tuple[tuple[Node, bool], ...]


@dataclass(frozen=True, slots=True)
class Mapped:
    entries: tuple[tuple[Node, Node, bool], ...]


@dataclass(frozen=True, slots=True)
class Macro:
    """names: those bound, one or two. bodies: what is evaluated for each."""

    name: str
    over: Node
    names: tuple[str, ...]
    bodies: tuple[Node, ...]
    at: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class Made:
    """`Object.spec{replicas: 1}`. type: the dotted name. fields: (name, value, whether it is an optional)."""

    type: str
    fields: tuple[tuple[str, Node, bool], ...]
    at: int = field(default=-1, compare=False)


Node = Const | Ident | Select | Call | Listed | Mapped | Macro | Made

_BINARY: tuple[tuple[str, ...], ...] = (
    ("||",),
    ("&&",),
    ("<", "<=", ">=", ">", "==", "!=", "in"),
    ("+", "-"),
    ("*", "/", "%"),
)


def located(text: str, at: int, what: str) -> str:
    """What is wrong at a place of the text, with that place shown."""
    start = text.rfind("\n", 0, at) + 1
    line = text[start:].partition("\n")[0]
    column = at - start
    return f"ERROR: <input>:{text.count(chr(10), 0, at) + 1}:{column + 1}: {what}\n | {line}\n | {'.' * column}^"


def parse(text: str) -> Node:
    """Raises: SyntaxFault."""
    if len(text) > LONGEST:
        raise SyntaxFault(f"an expression may have at most {LONGEST} characters")
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str, int]] = []
        at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise SyntaxFault(self._where(at, f"token recognition error at: {text[at]!r}"))
            if match.lastgroup != "space":
                kind = "text" if match["text"] else "number" if match["number"] else str(match.lastgroup)
                self.tokens.append((kind, match[0], at))
            at = match.end()
        self.tokens.append(("end", "<EOF>", len(text)))
        self.at = 0
        self.depth = 0

    def _where(self, at: int, what: str) -> str:
        return located(self.text, at, f"Syntax error: {what}")

    @property
    def _here(self) -> int:
        return self.tokens[self.at][2]

    @property
    def _next(self) -> str:
        kind, text, _ = self.tokens[self.at]
        return text if kind == "mark" else ""

    def whole(self) -> Node:
        found = self._expression()
        if self.tokens[self.at][0] != "end":
            self._unexpected()
        return found

    def _unexpected(self) -> None:
        _, text, at = self.tokens[self.at]
        raise SyntaxFault(self._where(at, f"unexpected {text!r}"))

    def _take(self, mark: str) -> bool:
        kind, text, _ = self.tokens[self.at]
        if text == mark and (kind == "mark" or mark == "in"):
            self.at += 1
            return True
        return False

    def _want(self, mark: str) -> None:
        if not self._take(mark):
            self._unexpected()

    def _expression(self) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            raise SyntaxFault(self._where(self.tokens[self.at][2], "the expression is nested too deeply"))
        found = self._binary(0)
        at = self._here
        if self._take("?"):
            then = self._binary(0)
            self._want(":")
            found = Call("_?_:_", None, (found, then, self._expression()), at)
        self.depth -= 1
        return found

    def _binary(self, level: int) -> Node:
        if level == len(_BINARY):
            return self._unary()
        left = self._binary(level + 1)
        count = 0
        while True:
            at = self._here
            mark = next((one for one in _BINARY[level] if self._take(one)), None)
            if mark is None:
                return left
            count += 1
            if count > LONGEST // 64:
                raise SyntaxFault(self._where(self.tokens[self.at][2], "too many terms"))
            left = Call(f"_{mark}_" if mark != "in" else "@in", None, (left, self._binary(level + 1)), at)

    def _unary(self) -> Node:
        for mark, name in (("!", "!_"), ("-", "-_")):
            count, start = 0, self._here
            while self._take(mark):
                count += 1
            if count:
                kind, text, _ = self.tokens[self.at]
                if mark == "-" and count % 2 and kind == "number" and text[-1] not in "uU":
                    self.at += 1
                    return self._member(Const(-_number(text)))
                inner = self._member(self._primary())
                return Call(name, None, (inner,), start) if count % 2 else inner
        return self._member(self._primary())

    def _member(self, operand: Node) -> Node:
        while True:
            at = self._here
            if self._take("."):
                optional = self._take("?")
                kind, name, _ = self.tokens[self.at]
                if kind not in ("name", "quoted"):
                    self._unexpected()
                self.at += 1
                if kind == "name" and not optional and self._take("("):
                    operand = self._method(operand, name)
                else:
                    operand = Select(operand, name.strip("`"), optional=optional, at=at)
            elif self._take("["):
                name = "_[?_]" if self._take("?") else "_[_]"
                operand = Call(name, None, (operand, self._expression()), at)
                self._want("]")
            elif self._next == "{" and (type_ := dotted(operand)) is not None:
                operand = self._made(type_)
            else:
                return operand

    def _method(self, operand: Node, name: str) -> Node:
        at = self.tokens[self.at - 1][2]
        args = self._args(")")
        if name == "bind" and operand == Ident("cel") and len(args) == 3:
            if not isinstance(args[0], Ident):
                raise SyntaxFault(self._where(at, "cel.bind() variable names must be simple identifiers"))
            return Macro(name, args[1], (args[0].name,), args[2:], at)
        if name in MACROS and len(args) in MACROS[name]:
            count = 2 if name in _TWO_NAMES or (len(args) == 3 and name != "map") else 1
            names = []
            for one in args[:count]:
                if not isinstance(one, Ident):
                    raise SyntaxFault(self._where(at, f"argument must be a simple name in {name}()"))
                names.append(one.name)
            return Macro(name, operand, tuple(names), args[count:], at)
        return Call(name, operand, args, at)

    def _args(self, end: str) -> tuple[Node, ...]:
        found: list[Node] = []
        while not self._take(end):
            if found:
                self._want(",")
                if end != ")" and self._take(end):
                    break
            found.append(self._expression())
        return tuple(found)

    def _primary(self) -> Node:
        kind, text, at = self.tokens[self.at]
        self.at += 1
        if kind == "number":
            return Const(_number(text), text[-1] in "uU")
        if kind == "text":
            try:
                return Const(_text(text))
            except (ValueError, SyntaxError):
                raise SyntaxFault(self._where(at, f"bad literal {text}")) from None
        if kind == "name":
            return self._named(text, at)
        if text == "(":
            found = self._expression()
            self._want(")")
            return found
        if text == "[":
            return self._list()
        if text == "{":
            return self._map()
        if text == ".":
            return self._primary()
        self.at -= 1
        self._unexpected()
        raise AssertionError("unreachable")

    def _named(self, text: str, at: int) -> Node:
        if text in ("true", "false", "null"):
            return Const({"true": True, "false": False, "null": None}[text])
        if text in RESERVED or text == "in":
            raise SyntaxFault(self._where(at, f"reserved identifier: {text}"))
        opening = self._here
        if not self._take("("):
            return Ident(text, at)
        args = self._args(")")
        if text == "has":
            if len(args) != 1 or not isinstance(args[0], Select):
                raise SyntaxFault(self._where(at, "invalid argument to has() macro"))
            return Select(args[0].operand, args[0].name, test=True, at=args[0].at)
        return Call(text, None, args, opening)

    def _made(self, type_: str) -> Node:
        at = self._here
        self._want("{")
        fields: list[tuple[str, Node, bool]] = []
        while not self._take("}"):
            if fields:
                self._want(",")
                if self._take("}"):
                    break
            optional = self._take("?")
            kind, name, _ = self.tokens[self.at]
            if kind not in ("name", "quoted"):
                self._unexpected()
            self.at += 1
            self._want(":")
            fields.append((name.strip("`"), self._expression(), optional))
        return Made(type_, tuple(fields), at)

    def _list(self) -> Node:
        items: list[tuple[Node, bool]] = []
        while not self._take("]"):
            if items:
                self._want(",")
                if self._take("]"):
                    break
            optional = self._take("?")
            items.append((self._expression(), optional))
        return Listed(tuple(items))

    def _map(self) -> Node:
        entries: list[tuple[Node, Node, bool]] = []
        while not self._take("}"):
            if entries:
                self._want(",")
                if self._take("}"):
                    break
            optional = self._take("?")
            key = self._expression()
            self._want(":")
            entries.append((key, self._expression(), optional))
        return Mapped(tuple(entries))


def _number(text: str) -> int | float:
    text = text.rstrip("uU") if not text.startswith("0x") else text.rstrip("u")
    if text.startswith("0x"):
        return int(text, 16)
    return float(text) if any(mark in text for mark in ".eE") else int(text)


def _text(text: str) -> str | bytes:
    start = re.match(r"[bBrR]*", text)
    prefix = start[0].lower() if start else ""
    body = text[len(prefix) :]
    quote = body[:3] if body[:3] in ('"""', "'''") else body[0]
    if "r" in prefix:
        inner = body[len(quote) : -len(quote)]
        return inner.encode() if "b" in prefix else inner
    body = re.sub(r"\\([?`])", r"\1", body)
    if "b" in prefix:
        inner = body[len(quote) : -len(quote)]
        found: str = ast.literal_eval(quote + inner + quote)
        return b"".join(bytes([ord(one)]) if ord(one) < 256 and "\\" in inner else one.encode() for one in found)
    value: str = ast.literal_eval(body.replace("\\X", "\\x"))
    return value


def dotted(node: Node | None) -> str | None:
    """`a.b.c` where a node is no more than that."""
    if isinstance(node, Ident):
        return node.name
    if isinstance(node, Select) and not node.test and not node.optional:
        before = dotted(node.operand)
        return None if before is None else f"{before}.{node.name}"
    return None


def names(node: Node) -> set[str]:
    """Every free name of an expression (`self`, `oldSelf`), those that macros bind left out."""
    match node:
        case Const():
            return set()
        case Ident(name):
            return {name}
        case Select(operand):
            return names(operand)
        case Call(_, target, args):
            found = names(target) if target is not None else set()
            return found.union(*map(names, args)) if args else found
        case Listed(items):
            return set().union(*(names(item) for item, _ in items)) if items else set()
        case Mapped(entries):
            return set().union(*(names(key) | names(value) for key, value, _ in entries)) if entries else set()
        case Made(_, fields):
            return set().union(*(names(value) for _, value, _ in fields)) if fields else set()
        case Macro(_, over, bound, bodies):
            return names(over) | (set().union(*map(names, bodies)) - set(bound))
