"""Files in place of the kernel's settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from navarch.app.originals import Originals


@pytest.fixture
def originals(tmp_path: Path) -> Originals:
    (tmp_path / "sys").mkdir()
    (tmp_path / "sys/a").write_text("1\n")
    (tmp_path / "sys/b").write_text("2\n")
    return Originals(tmp_path / "noted.json", tmp_path / "sys")


def test_what_was_noted_is_put_back(originals: Originals) -> None:
    originals.note({"a": "1", "b": "2"})
    originals.write({"a": "7", "b": "8"})
    originals.restore()
    assert (originals.read("a"), originals.read("b")) == ("1", "2")


def test_of_a_setting_that_was_noted_our_own_value_is_not(originals: Originals) -> None:
    originals.note({"a": "1"})
    originals.write({"a": "7"})
    again = Originals(originals.file, originals.root)  # after a crash
    again.note({"a": "7", "b": "2"})
    again.write({"b": "8"})
    again.restore()
    assert (again.read("a"), again.read("b")) == ("1", "2")


def test_only_what_is_asked_for_is_put_back(originals: Originals) -> None:
    originals.note({"a": "1", "b": "2"})
    originals.write({"a": "7", "b": "8"})
    originals.restore(["b"])
    assert (originals.read("a"), originals.read("b")) == ("7", "2")


def test_a_setting_that_has_gone_is_not_made(originals: Originals) -> None:
    """A module of the kernel was unloaded, say."""
    originals.note({"a": "1", "b": "2"})
    (originals.root / "a").unlink()
    originals.write({"b": "8"})
    originals.restore()
    assert originals.read("a") is None
    assert originals.read("b") == "2"


def test_where_nothing_was_noted_nothing_is_done(originals: Originals) -> None:
    originals.restore()
    assert (originals.read("a"), originals.read("b")) == ("1", "2")
    originals.note({})
    assert not originals.file.exists()


@pytest.mark.parametrize("damaged", ["", "{", "[1]", "\x00"])
def test_a_damaged_record_is_told_of(originals: Originals, damaged: str, caplog: pytest.LogCaptureFixture) -> None:
    originals.file.write_text(damaged)
    originals.restore()
    assert "will not be restored" in caplog.text
    assert (originals.read("a"), originals.read("b")) == ("1", "2")
