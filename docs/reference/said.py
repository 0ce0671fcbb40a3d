"""What the source says to users, read out of its syntax: events, the scheduler's reasons, metrics.

A text that is made at run time is shown with `…` for what is filled in.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parents[2] / "src" / "navarch"
GAP = "…"
TYPES = ("Normal", "Warning")
STANDS_FOR = {"step.reason": "Killing", "failure.reason": "ErrImagePull"}
"""Attributes that hold one word in all cases that occur."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True, order=True)
class Event:
    reason: str
    type: str
    message: str


@dataclass(frozen=True, slots=True, order=True)
class Metric:
    """type: `counter`, `gauge` or `histogram`."""

    name: str
    type: str
    labels: tuple[str, ...]
    help: str


class Reader:
    """One module and the function that is being read."""

    def __init__(self, path: Path) -> None:
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        self.name = ".".join(part for part in parts if part != "__init__")
        self.tree = ast.parse(path.read_text())

    def calls(self) -> Iterator[tuple[ast.Call, Function | None]]:
        """Each call with the innermost function around it."""
        yield from self._calls(self.tree, None)

    def _calls(self, node: ast.AST, inside: Function | None) -> Iterator[tuple[ast.Call, Function | None]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Call):
                yield child, inside
            yield from self._calls(child, child if isinstance(child, Function) else inside)

    def texts(self, node: ast.expr, inside: Function | None) -> list[str]:
        """All texts that an expression may stand for; [] where it comes from a caller."""
        match node:
            case ast.Constant(value=str(text)):
                return [text]
            case ast.JoinedStr(values=parts):
                return ["".join(self._part(part, inside) for part in parts)]
            case ast.IfExp(body=one, orelse=other):
                return [*self.texts(one, inside), *self.texts(other, inside)]
            case ast.Name():
                return self._named(node, inside)
            case ast.Attribute():
                text = ast.unparse(node)
                return [STANDS_FOR[text]] if text in STANDS_FOR else self._constant(text)
            case ast.Call(func=ast.Name(id="str")):
                return [GAP]
        return []

    def _part(self, part: ast.expr, inside: Function | None) -> str:
        if isinstance(part, ast.Constant):
            return str(part.value)
        known = self.texts(part.value, inside) if isinstance(part, ast.FormattedValue) else []
        return known[0] if len(known) == 1 else GAP

    def _named(self, node: ast.Name, inside: Function | None) -> list[str]:
        """By the last assignment before it, or as a constant of the module."""
        assigned = [
            found
            for found in ast.walk(inside or self.tree)
            if isinstance(found, ast.Assign) and found.lineno <= node.lineno and _is(found.targets[0], node.id)
        ]
        if not assigned:
            return self._constant(node.id)
        return self.texts(max(assigned, key=lambda found: found.lineno).value, inside)

    def _constant(self, text: str) -> list[str]:
        found: Any = importlib.import_module(self.name)
        for part in text.split("."):
            found = getattr(found, part, None)
        return [found] if isinstance(found, str) else []


def _is(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def readers(*rooms: str) -> Iterator[Reader]:
    for room in rooms:
        for path in sorted((SOURCE / room).rglob("*.py")):
            yield Reader(path)


def events(room: str) -> list[Event]:
    """Of an organ: everything it may tell by Event objects."""
    found: set[Event] = set()
    for reader in readers(room):
        for call, inside in reader.calls():
            name = ast.unparse(call.func).rpartition(".")[2]
            if name == "Event" and len(call.args) > 1:
                type_ = reader.texts(call.args[3], inside) if len(call.args) > 3 else ["Normal"]
                found.update(_events(reader, inside, type_, call.args[1], call.args[2]))
            elif name in ("warn", "_warn") and len(call.args) == 2:
                found.update(_events(reader, inside, ["Warning"], call.args[0], call.args[1]))
            elif name in ("event", "tell", "_tell"):
                at = next((i for i, each in enumerate(call.args) if _constant(each) in TYPES), None)
                if at is not None:
                    found.update(
                        _events(reader, inside, [_constant(call.args[at])], call.args[at + 1], call.args[at + 2])
                    )
    return sorted(found)


def _constant(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _events(
    reader: Reader, inside: Function | None, types: list[str], reason: ast.expr, message: ast.expr
) -> Iterator[Event]:
    for each in reader.texts(reason, inside):
        for text in reader.texts(message, inside) or [GAP]:
            yield Event(each, types[0], text.replace("{name}", GAP).replace("{error}", GAP))


def rejections() -> dict[str, list[str]]:
    """Function of a filter -> the reasons that it may give."""
    found: dict[str, list[str]] = {}
    for reader in readers("scheduler/filters"):
        for call, inside in reader.calls():
            if ast.unparse(call.func) == "Rejection" and inside is not None:
                known = found.setdefault(f"{reader.name}.{inside.name}", [])
                known += [text for text in reader.texts(call.args[0], inside) if text not in known]
    return found


def metrics() -> list[Metric]:
    found: set[Metric] = set()
    for reader in readers(
        "apiserver", "controllers", "scheduler", "client", "agent", "proxy", "dns", "app", "wire", "store"
    ):
        for call, inside in reader.calls():
            if not isinstance(call.func, ast.Attribute) or call.func.attr not in ("counter", "gauge", "histogram"):
                continue
            name, help_ = _constant(call.args[0]), _constant(call.args[1])
            labels = call.args[2] if len(call.args) > 2 else ast.Tuple(elts=[])
            if isinstance(labels, ast.Name):
                labels = next(
                    each.value
                    for each in ast.walk(inside or reader.tree)
                    if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == labels.id
                )
            type_ = call.func.attr
            suffix = "_total" if type_ == "counter" and not name.endswith("_total") else ""
            found.add(Metric(name + suffix, type_, tuple(ast.literal_eval(labels)), help_))
    return sorted(found)
