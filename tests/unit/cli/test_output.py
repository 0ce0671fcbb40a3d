"""How results look where no terminal is: aligned, one line a step, nothing that moves."""

from __future__ import annotations

import pytest

from navarch.app.machine import Say, Step
from navarch.cli import output


def test_a_table_is_aligned_and_has_no_trailing_space(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(["NAME", "STATUS"], [["server", "up"], ["a", "running"]])
    assert capsys.readouterr().out == "NAME     STATUS\nserver   up\na        running\n"


def test_every_step_has_its_line_and_the_first_that_fails_ends_them(capsys: pytest.CaptureFixture[str]) -> None:
    def works(say: Say) -> None:
        say("halfway")

    def fails(say: Say) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        output.play([Step("Short", works), Step("A longer one", fails), Step("Never", works)])
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 1
    assert said[0].startswith("- Short           0.0 s")


def test_an_error_is_marked_and_its_further_lines_are_indented(capsys: pytest.CaptureFixture[str]) -> None:
    output.error("first\nsecond")
    assert capsys.readouterr().err == "navarch: first\n         second\n"
