"""Files in place of the kernel's settings; what the kernel makes of them is seen by `tests/node/lifecycle`."""

from __future__ import annotations

from pathlib import Path

import pytest

from navarch.app import unwritten
from navarch.app.originals import Originals

BEFORE = {"vm/dirty_bytes": 0, "vm/dirty_background_bytes": 0, "vm/dirty_ratio": 20, "vm/dirty_background_ratio": 10}


@pytest.fixture
def settings(tmp_path: Path) -> Originals:
    (tmp_path / "sys/vm").mkdir(parents=True)
    for key, value in BEFORE.items():
        (tmp_path / "sys" / key).write_text(f"{value}\n")
    return Originals(tmp_path / "memory", tmp_path / "sys")


def values(settings: Originals) -> dict[str, int]:
    return {key: int((settings.root / key).read_text()) for key in BEFORE}


def forget_ratios(settings: Originals) -> None:
    """What the kernel does when the other is set."""
    settings.write(dict.fromkeys(unwritten.RATIOS.values(), "0"))


def test_it_is_bounded_and_later_as_before(settings: Originals) -> None:
    unwritten.bound(settings)
    assert {key: values(settings)[key] for key in unwritten.BOUNDS} == unwritten.BOUNDS
    forget_ratios(settings)
    unwritten.bound(settings)  # an `up` after a crash
    unwritten.restore(settings)
    assert {key: values(settings)[key] for key in unwritten.RATIOS.values()} == {
        "vm/dirty_ratio": 20,
        "vm/dirty_background_ratio": 10,
    }
    assert not settings.file.exists()


@pytest.mark.parametrize("key", unwritten.BOUNDS)
def test_a_choice_of_others_is_kept(settings: Originals, key: str) -> None:
    settings.write({key: "1000000"})
    before = values(settings)
    unwritten.bound(settings)
    unwritten.restore(settings)
    assert values(settings) == before


def test_what_others_have_chosen_meanwhile_stays(settings: Originals) -> None:
    unwritten.bound(settings)
    settings.write(dict.fromkeys(unwritten.BOUNDS, "1000000"))
    before = values(settings)
    unwritten.restore(settings)
    assert values(settings) == before
    assert not settings.file.exists()


def test_a_record_that_cannot_be_read_keeps_nobody_from_going_down(
    settings: Originals, caplog: pytest.LogCaptureFixture
) -> None:
    unwritten.bound(settings)
    forget_ratios(settings)
    settings.file.write_text("{")
    unwritten.restore(settings)
    assert "cannot be read" in caplog.text
    assert values(settings)["vm/dirty_ratio"] == 0
    assert not settings.file.exists()


def test_a_machine_without_these_settings_goes_on(tmp_path: Path) -> None:
    settings = Originals(tmp_path / "memory", tmp_path / "nowhere")
    unwritten.bound(settings)
    unwritten.restore(settings)
    assert not settings.file.exists()
