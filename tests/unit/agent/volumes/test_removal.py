from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from navarch.agent.volumes import removal
from navarch.base.clock import SystemClock

KIB = 1024


class Pauses(SystemClock):
    """Take no time, and are counted."""

    def __init__(self) -> None:
        self.slept_s = 0.0

    async def sleep(self, seconds: float) -> None:
        self.slept_s += seconds


def remove(path: Path) -> float:
    """How long it pauses in all."""
    clock = Pauses()
    asyncio.run(removal.remove_tree(path, clock))
    return clock.slept_s


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "PIECE_BYTES", 8 * KIB)
    monkeypatch.setattr(removal, "PIECES", 20)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(0, 100 * KIB), max_size=5), depth=st.integers(0, 2))
def test_whatever_there_is_goes_within_its_time(tmp_path: Path, sizes: list[int], depth: int) -> None:
    top = tmp_path / "pod"
    folder = top.joinpath(*["inner"] * depth)
    folder.mkdir(parents=True)
    for number, size in enumerate(sizes):
        (folder / str(number)).write_bytes(b"x" * size)
    assert remove(top) <= (removal.PIECES + len(sizes) + 0.5) * removal.PAUSE_S
    assert not top.exists()


def test_large_files_are_shortened_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pod").mkdir()
    (tmp_path / "pod/large").write_bytes(b"x" * 30 * KIB)
    (tmp_path / "pod/small").write_bytes(b"x" * 8 * KIB)
    seen: list[tuple[str, int]] = []
    shorten = removal._shorten

    def watched(file: Path, left_bytes: int) -> None:
        seen.append((file.name, left_bytes))
        shorten(file, left_bytes)

    monkeypatch.setattr(removal, "_shorten", watched)
    remove(tmp_path / "pod")
    assert seen == [("large", 24 * KIB), ("large", 16 * KIB), ("large", 8 * KIB), ("large", 0)]


def test_what_lies_elsewhere_too_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "pod").mkdir()
    outside = tmp_path / "outside"
    outside.write_bytes(b"x" * 50 * KIB)
    (tmp_path / "pod/hard").hardlink_to(outside)
    (tmp_path / "pod/soft").symlink_to(outside)
    (tmp_path / "pod/folder").symlink_to(tmp_path)
    remove(tmp_path / "pod")
    assert outside.read_bytes() == b"x" * 50 * KIB


def test_files_with_holes_cost_what_they_hold(tmp_path: Path) -> None:
    (tmp_path / "pod").mkdir()
    with (tmp_path / "pod/sparse").open("wb") as file:
        file.truncate(1 << 40)
        file.write(b"x" * 16 * KIB)
    assert remove(tmp_path / "pod") < 1


def test_nothing_there_is_nothing_to_do(tmp_path: Path) -> None:
    assert remove(tmp_path / "none") == 0
