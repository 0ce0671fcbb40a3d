"""Files in place of the kernel's settings; what the kernel makes of them is seen by `tests/node/lifecycle`."""

from __future__ import annotations

from pathlib import Path

import pytest

from navarch.app import unwritten

BEFORE = {"dirty_bytes": 0, "dirty_background_bytes": 0, "dirty_ratio": 20, "dirty_background_ratio": 10}


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    folder = tmp_path / "vm"
    folder.mkdir()
    for name, value in BEFORE.items():
        (folder / name).write_text(f"{value}\n")
    return folder


def values(settings: Path) -> dict[str, int]:
    return {name: int((settings / name).read_text()) for name in BEFORE}


def test_it_is_bounded_and_later_as_before(settings: Path, tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    unwritten.bound(memory, settings)
    assert {name: values(settings)[name] for name in unwritten.BOUNDS} == unwritten.BOUNDS
    unwritten.bound(memory, settings)  # an `up` after a crash
    for name in unwritten.RATIOS.values():
        (settings / name).write_text("0")  # what the kernel does when the other is set
    unwritten.restore(memory, settings)
    assert {name: values(settings)[name] for name in unwritten.RATIOS.values()} == {
        "dirty_ratio": 20,
        "dirty_background_ratio": 10,
    }
    assert not memory.exists()


@pytest.mark.parametrize("name", unwritten.BOUNDS)
def test_a_choice_of_others_is_kept(settings: Path, tmp_path: Path, name: str) -> None:
    (settings / name).write_text("1000000")
    before = values(settings)
    unwritten.bound(tmp_path / "memory", settings)
    unwritten.restore(tmp_path / "memory", settings)
    assert values(settings) == before


def test_what_others_have_chosen_meanwhile_stays(settings: Path, tmp_path: Path) -> None:
    unwritten.bound(tmp_path / "memory", settings)
    for name in unwritten.BOUNDS:
        (settings / name).write_text("1000000")
    before = values(settings)
    unwritten.restore(tmp_path / "memory", settings)
    assert values(settings) == before


def test_a_machine_without_these_settings_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    unwritten.bound(tmp_path / "memory", tmp_path / "nowhere")
    unwritten.restore(tmp_path / "memory", tmp_path / "nowhere")
    assert not (tmp_path / "memory").exists()
