"""What is found of pods that are gone, and what is taken away of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence, Set
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from navarch.agent.cgroups import Cgroups, Hierarchy
from navarch.agent.config import AgentConfig, Paths
from navarch.agent.leftovers import Leftovers
from navarch.agent.vitals import Vitals
from navarch.base.errors import Retryable

HERE, GONE = "11111111-aaaa", "22222222-bbbb"


class Disk:
    def __init__(self, *uids: str, broken: bool = False) -> None:
        self._uids, self._broken = uids, broken

    def pods(self) -> Sequence[str]:
        if self._broken:
            raise OSError(5, "Input/output error", "/pods")
        return self._uids


def leftovers(tmp_path: Path, disk: Disk, sweep: Any = None) -> tuple[Leftovers, Vitals]:
    config = AgentConfig("n1", ("192.0.2.7",), Paths(tmp_path / "agent", tmp_path / "logs"))
    groups = Cgroups("/pods", Hierarchy(None, {"cpu": tmp_path / "cpu", "memory": tmp_path / "memory"}))
    vitals = Vitals()
    tools: Any = SimpleNamespace(storage=disk, cgroups=groups, config=config)
    return Leftovers(tools, vitals, sweep), vitals


def test_pods_are_found_by_their_directories_and_by_their_groups(tmp_path: Path) -> None:
    (tmp_path / "cpu/pods/burstable" / f"pod{GONE}").mkdir(parents=True)
    (tmp_path / "memory/pods/burstable" / f"pod{GONE}").mkdir(parents=True)
    (tmp_path / "memory/pods" / f"pod{HERE}").mkdir(parents=True)
    found, _ = leftovers(tmp_path, Disk("33333333-cccc", HERE))
    assert sorted(asyncio.run(found.uids())) == [HERE, GONE, "33333333-cccc"]


def test_a_disk_that_cannot_be_listed_ends_nothing(tmp_path: Path) -> None:
    found, _ = leftovers(tmp_path, Disk(broken=True))
    assert list(asyncio.run(found.uids())) == []


def test_logs_of_pods_that_are_gone_are_removed_and_counted(tmp_path: Path) -> None:
    kept, old = tmp_path / "logs" / f"ns_web_{HERE}", tmp_path / "logs" / f"ns_old_{GONE}"
    for folder in (kept / "main", old / "main", tmp_path / "logs" / "something-else"):
        folder.mkdir(parents=True)
        (folder / "0.log").write_text("line\n")
    found, vitals = leftovers(tmp_path, Disk())
    asyncio.run(found.clear({HERE}.__contains__, (), quiet=True))
    assert kept.exists()
    assert not old.exists()
    assert (tmp_path / "logs" / "something-else").exists()
    assert vitals.cleared.present() == {("logs",): 1}


def test_networks_are_swept_with_the_sandboxes_that_there_are(tmp_path: Path) -> None:
    asked = []

    def sweep(sandboxes: Set[str], quiet: bool) -> list[str]:
        asked.append((sandboxes, quiet))
        if len(asked) > 1:
            raise Retryable("nft is busy")
        return ["cni-1234"]

    found, vitals = leftovers(tmp_path, Disk(), sweep)
    asyncio.run(found.clear(lambda uid: True, ["box"], quiet=True))
    asyncio.run(found.clear(lambda uid: True, ["box"], quiet=False))
    assert asked == [({"box"}, True), ({"box"}, False)]
    assert vitals.cleared.present() == {("sandbox",): 1}
