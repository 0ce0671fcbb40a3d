"""The laws of the house that no linter knows. Each test names every place that breaks its law."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "navarch"
MODULE_LINES = 500
FUNCTION_LINES = 60
FORBIDDEN_NAMES = re.compile(r"(^|_)(utils?|helpers?|common|manager|misc)(_|$)")
FORBIDDEN_CALLS = {
    *("datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time", "time.time_ns"),
    *("uuid.uuid4", "uuid.uuid1", "uuid4", "os.urandom"),
    *("random.random", "random.choice", "random.choices", "random.randint", "random.randrange", "random.shuffle"),
    *("random.Random", "secrets.token_bytes", "secrets.token_hex", "secrets.token_urlsafe"),
    *("asyncio.ensure_future", "asyncio.create_task", "loop.create_task"),
    *("copy.deepcopy", "deepcopy"),
}
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")


@dataclass(frozen=True)
class Module:
    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def room(self) -> str:
        return self.path.relative_to(SOURCE).parts[0]

    @cached_property
    def text(self) -> str:
        return self.path.read_text()

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    def __hash__(self) -> int:
        return hash(self.path)


@pytest.fixture(scope="module")
def modules() -> list[Module]:
    found = [Module(path) for path in sorted(SOURCE.rglob("*.py"))]
    assert len(found) > 20, "the source is not where the tests look for it"
    return found


def calls(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)


def test_modules_and_functions_are_small(modules: list[Module]) -> None:
    large = [f"{m.name}: {m.text.count(chr(10))} lines" for m in modules if m.text.count("\n") > MODULE_LINES]
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
                lines = node.end_lineno - node.lineno + 1
                if lines > FUNCTION_LINES:
                    large.append(f"{module.name}: {node.name} has {lines} lines")
    assert large == []


def test_every_module_says_why_it_exists(modules: list[Module]) -> None:
    assert [m.name for m in modules if not ast.get_docstring(m.tree)] == []


def test_names_say_what_a_thing_is(modules: list[Module]) -> None:
    vague = [m.name for m in modules if FORBIDDEN_NAMES.search(m.path.stem)]
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef) and (
                re.match(r"Base[A-Z]", node.name) or node.name.endswith(("Manager", "Helper"))
            ):
                vague.append(f"{module.name}: {node.name}")
    assert vague == []


def test_time_randomness_and_tasks_come_from_base(modules: list[Module]) -> None:
    found = [
        f"{module.name}:{line}: {name}"
        for module in modules
        if module.room != "base"
        for line, name in calls(module.tree)
        if name in FORBIDDEN_CALLS
    ]
    assert found == []


def test_nothing_is_left_unfinished(modules: list[Module]) -> None:
    found = [
        f"{module.name}:{number}: {line.strip()}"
        for module in modules
        for number, line in enumerate(module.text.splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert found == []


def test_no_exception_is_swallowed(modules: list[Module]) -> None:
    found = []
    for module in modules:
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.ExceptHandler):
                continue
            wide = node.type is None or ast.unparse(node.type) in ("Exception", "BaseException")
            silent = all(isinstance(step, ast.Pass | ast.Continue) for step in node.body)
            if wide and silent:
                found.append(f"{module.name}:{node.lineno}")
    assert found == []


def test_tests_kill_what_a_file_says_runs_by_one_function() -> None:
    """Which waits until it runs: the id of what does not is 0, and a signal to that ends the whole run."""
    wrong = []
    for file in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("os.kill", "os.killpg"):
                constants = {one.value for one in ast.walk(node.args[0]) if isinstance(one, ast.Constant)}
                if "pid" in constants:
                    wrong.append(f"{file.relative_to(ROOT)}:{node.lineno}: see `kill` of tests/node/real_cluster.py")
    assert wrong == []


def test_links_in_the_docs_lead_somewhere() -> None:
    broken = []
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert broken == []
