"""Nothing acknowledged is ever lost: the server is killed, its power cut, its disk full or failing.

Each test has a twin on a server with a weakness planted, in which it must find a loss. CI plays a few cycles;
`.ci/soak` plays the full count.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from scenes import failing_syncs, full_disks, kills, power_cuts
from serverprocess import weak


def test_kill_9_under_load_loses_nothing(tmp_path: Path) -> None:
    assert kills(tmp_path, seed=1, cycles=4).wrong == []


def test_kills_find_a_store_that_acknowledges_before_it_commits(tmp_path: Path) -> None:
    """A kill that comes between two of its commits shows it: most do."""
    assert any(kills(tmp_path / f"{seed}", seed, cycles=2, program=weak("early")).wrong for seed in range(1, 6))


@pytest.mark.node
def test_power_loss_loses_nothing(tmp_path: Path) -> None:
    assert power_cuts(tmp_path, seed=1, cycles=3).wrong == []


@pytest.mark.node
def test_power_loss_finds_a_store_that_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    assert power_cuts(tmp_path, seed=1, cycles=1, program=weak("normal")).wrong != []


def test_a_failing_sync_refuses_writes_and_loses_nothing(tmp_path: Path) -> None:
    assert failing_syncs(tmp_path, 1, 2).wrong == []


def test_failing_syncs_find_a_store_that_ignores_them(tmp_path: Path) -> None:
    assert failing_syncs(tmp_path, 1, 2, "ignores").wrong != []


@pytest.mark.node
def test_a_full_disk_refuses_writes_and_recovers_without_restart(tmp_path: Path) -> None:
    assert full_disks(tmp_path, seed=1, cycles=2).wrong == []


@pytest.mark.node
@pytest.mark.parametrize("weakness", ["ignores", "refuses"])
def test_a_full_disk_finds_a_store_that_ignores_it_or_stays_refusing(tmp_path: Path, weakness: str) -> None:
    assert full_disks(tmp_path, seed=1, cycles=1, program=weak(weakness), patience_s=5).wrong != []
