"""The laws of the docs: what they name is there, what they show is run, and one page stays one page."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "journeys"))
from shell import executed_by
from shell import name_of as name_in_docs

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "navarch"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
QUOTED = re.compile(r"`([^`\n]+)`")
EXECUTED = {"python", "sh"}
SHOWN = {"text", "mermaid", "yaml"}
ONE_PAGE_LINES = 100
DEFINED = r"^\s*(?:class|(?:async )?def) {0}\b|^\s*{0}(?:: | = )"


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_every_block_is_executed_or_says_that_it_is_only_shown() -> None:
    """`tests/journeys` and `tests/node` run the blocks of docs/; what is shown elsewhere must not look as if it did."""
    wrong = []
    for page in PAGES:
        run = page.is_relative_to(ROOT / "docs") or page.name == "README.md"
        for found in FENCE.finditer(page.read_text()):
            if found[1] not in SHOWN | (EXECUTED if run else set()):
                wrong.append(f"{name_of(page)}: a block of {found[1] or 'nothing'!r}")
    assert wrong == []


def test_a_page_that_leaves_its_blocks_to_a_test_is_played_by_it() -> None:
    """What such a page says of who executes it keeps the others from doing so."""
    left = {page: executed_by(page) for page in (ROOT / "docs").rglob("*.md") if executed_by(page)}
    assert left
    unplayed = [
        f"{name_of(page)} names {test}"
        for page, test in left.items()
        if not (ROOT / test).exists() or f'"{name_in_docs(page)}"' not in (ROOT / test).read_text()
    ]
    assert unplayed == []
    assert [name_of(page) for page in left if "```sh\n" not in page.read_text()] == []


def test_fences_are_closed() -> None:
    odd = [name_of(page) for page in PAGES if len(re.findall(r"^```", page.read_text(), re.MULTILINE)) % 2]
    assert odd == []


def is_there(named: str) -> bool:
    """A path from the root or from the package, with or without `.py`; a dotted module, or a name that one defines."""
    if "/" in named:
        return any(
            next(iter(base.glob(path)), None) is not None
            for base in (ROOT, SOURCE)
            for path in (named.rstrip("/"), f"{named}.py")
        )
    names = named.removeprefix("navarch.").split(".")
    at = SOURCE
    while names and (at / names[0]).is_dir():
        at /= names.pop(0)
    files = list(at.glob("*.py"))
    if names and (at / f"{names[0]}.py").exists():
        files = [at / f"{names.pop(0)}.py"]
    text = "\n".join(file.read_text() for file in files)
    return all(re.search(DEFINED.format(name), text, re.MULTILINE) for name in names)


ROOMS = sorted(path.name for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__")
PATH = re.compile(rf"(?:(?:src/navarch|tests|docs|benchmarks|examples)/[\w./*-]*|(?:{'|'.join(ROOMS)})/[\w./*-]*)")
MODULE = re.compile(rf"(?:navarch\.)?(?:{'|'.join(ROOMS)})(?:\.\w+)+")


def places(page: Path) -> Iterator[str]:
    """What a page names of the tree, in backquotes."""
    for found in QUOTED.finditer(prose(page)):
        if PATH.fullmatch(found[1]) or MODULE.fullmatch(found[1]):
            yield found[1]


@pytest.mark.parametrize(
    ("named", "there"),
    [
        ("src/navarch/kinds/kind.py", True),
        ("apiserver/chain", True),
        ("controllers/", True),
        ("controllers/plan.py", True),
        ("apiserver/verbs", False),
        ("store.store.Store", True),
        ("store.store.Shop", False),
        ("controllers.nothing", False),
        ("kinds.pod.view.Pod", True),
    ],
)
def test_what_counts_as_being_there(named: str, there: bool) -> None:
    assert PATH.fullmatch(named) or MODULE.fullmatch(named)
    assert is_there(named) is there


def test_what_the_docs_name_is_there() -> None:
    missing = [f"{name_of(page)}: {place}" for page in PAGES for place in places(page) if not is_there(place)]
    assert missing == []


def test_the_architecture_names_every_room_and_is_one_page() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    assert [room for room in ROOMS if f"`{room}/`" not in text] == []
    assert text.count("\n") <= ONE_PAGE_LINES
    first = re.findall(r"^\d\. `(src/navarch/[\w/]+\.py)`", text, re.MULTILINE)
    assert len(first) == 5, "five files to read first"


def test_every_folder_of_the_docs_can_be_found_from_the_readme() -> None:
    """By links, through whatever pages."""
    seen: set[Path] = set()
    todo = [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in seen or not page.exists():
            continue
        seen.add(page)
        if page.is_dir():
            todo += sorted(page.glob("*.md"))
        elif page.suffix == ".md":
            targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
            todo += [(page.parent / target).resolve() for target in targets if "://" not in target]
    lost = [name_of(page) for page in PAGES if page not in seen]
    assert lost == []


def test_the_floors_are_those_that_are_enforced() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    enforced = [room.strip() for layer in layers for room in layer.split("|")]
    shown = re.findall(r"^\|[^|]*\| `(\w+)/` \|", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE)
    assert shown == enforced


def test_every_dependency_has_its_reason() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    reasons = (ROOT / "docs" / "design" / "0004-dependencies.md").read_text()
    for group in (project["dependencies"], project["optional-dependencies"]["dev"]):
        names = [re.split(r"[<>=~\[]", dependency)[0] for dependency in group]
        assert [name for name in names if f"`{name}`" not in reasons] == []
