"""Which specs of Kubernetes' conformance suite our tests show: run it to write `docs/reference/conformance.md`.

A test says so by `@spec(NAME)`, once for each name that it shows; it is ours, the behaviour that it demands is theirs.
What no test shows stands in `not_shown.yaml`, each with its reason.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

Test = TypeVar("Test", bound=Callable[..., Any])
SUFFIX = " [Conformance]"
TESTS = Path(__file__).parents[2]
PAGE = TESTS.parent / "docs" / "reference" / "conformance.md"
NOT_SHOWN = Path(__file__).with_name("not_shown.yaml")
WHERE = ("compat", "node", "journeys")


def spec(name: str) -> Callable[[Test], Test]:
    """name: without the tag at its end that all of them have."""

    def mark(test: Test) -> Test:
        return test

    return mark


@dataclass(frozen=True, order=True)
class Shown:
    """name: the spec's whole name. test: path from `tests/`, and the function."""

    name: str
    file: str
    test: str


def shown() -> Iterator[Shown]:
    """Every mark in the tests' source."""
    files = sorted(file for folder in WHERE for file in (TESTS / folder).rglob("test_*.py"))
    for path in files:
        text = path.read_text()
        if "@spec(" not in text:
            continue
        tree = ast.parse(text)
        constants = {
            one.targets[0].id: one.value.value
            for one in tree.body
            if isinstance(one, ast.Assign)
            and isinstance(one.targets[0], ast.Name)
            and isinstance(one.value, ast.Constant)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for mark in node.decorator_list:
                    if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id == "spec":
                        name = _text(mark.args[0], constants) + SUFFIX
                        yield Shown(name, path.relative_to(TESTS).as_posix(), node.name)


def _text(node: ast.expr, constants: Mapping[str, Any]) -> str:
    """A text, the name of one, or several joined by `+`."""
    if isinstance(node, ast.BinOp):
        return _text(node.left, constants) + _text(node.right, constants)
    return str(constants[node.id] if isinstance(node, ast.Name) else ast.literal_eval(node))


def not_shown() -> dict[str, str]:
    """name -> why."""
    found = yaml.safe_load(NOT_SHOWN.read_text())
    return {name + SUFFIX: one["reason"] for one in found for name in one["specs"] or ()}


def forget_shown() -> None:
    """Take out of `not_shown.yaml` what a test shows by now."""
    names = {one.name for one in shown()}
    kept = []
    for line in NOT_SHOWN.read_text().splitlines(keepends=True):
        named = yaml.safe_load(line) if line.lstrip().startswith('- "') else None
        if named is None or named[0] + SUFFIX not in names:
            kept.append(line)
    NOT_SHOWN.write_text("".join(kept))


def group(name: str) -> str:
    found = re.match(r"\[(sig-[\w-]+)\]", name)
    assert found is not None, f"{name!r} names no group"
    return found[1]


def page() -> str:
    """The page, from the marks and the reasons."""
    tests: dict[str, list[Shown]] = defaultdict(list)
    for one in sorted(set(shown())):
        tests[one.name].append(one)
    reasons = {name: why for name, why in not_shown().items() if name not in tests}
    names = sorted({*tests, *reasons})
    groups = list(dict.fromkeys(group(name) for name in names))
    heads = [f"| {each} | {_count(tests, each)} | {_count(reasons, each)} |" for each in groups]
    heads += [f"| all | {len(tests)} | {len(reasons)} |"]
    parts = [
        "# Conformance",
        "Written by `tests/compat/conformance/conformance_specs.py` from the tests' marks. Change those, not this.",
        "The specs of the conformance suite of Kubernetes 1.36 by name, and for each the test of this project that "
        "shows the behaviour, or why there is none. The suite itself is not run: it needs images from registries, and "
        "machines. Tests under `compat` use simulated nodes, those under `node` real containers and the kernel, those "
        "under `node/hosts` three nodes, between which everything that they send crosses a network.",
        "\n".join(("| group | shown | not shown |", "|---|---|---|", *heads)),
    ]
    for each in groups:
        rows = ["| spec | shown by |", "|---|---|"]
        for name in (name for name in names if group(name) == each):
            said = name.removeprefix(f"[{each}] ").removesuffix(SUFFIX)
            rows.append(
                f"| {_plain(said)} | {_tests(tests[name]) if name in tests else f'*not shown*: {reasons[name]}'} |"
            )
        parts += [f"## {each}", "\n".join(rows)]
    return "\n\n".join(parts) + "\n"


def _count(names: Any, of: str) -> int:
    return sum(group(name) == of for name in names)


def _tests(found: list[Shown]) -> str:
    return "<br>".join(f"`{one.file}::{one.test}`" for one in found)


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[").replace("]", "\\]")


if __name__ == "__main__":
    forget_shown()
    PAGE.write_text(page())
