"""Which specs of Kubernetes' conformance suite these tests cover: run it to print them.

A test says so by `@spec(NAME)`, once for each name that it covers; it is ours, the behaviour that it demands is theirs.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

Test = TypeVar("Test", bound=Callable[..., Any])
SUFFIX = " [Conformance]"


def spec(name: str) -> Callable[[Test], Test]:
    """name: without the tag at its end that all of them have."""

    def mark(test: Test) -> Test:
        return test

    return mark


def covered() -> Iterator[tuple[str, str]]:
    """(the spec's whole name, file::test)."""
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef):
                continue
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id == "spec":
                    yield ast.literal_eval(mark.args[0]) + SUFFIX, f"{path.name}::{node.name}"


if __name__ == "__main__":
    found = sorted(covered())
    for name, test in found:
        print(f"{name}\n    {test}")
    print(f"{len({name for name, _ in found})} specs are covered")
