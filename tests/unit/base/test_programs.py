"""Running other programs."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest

from navarch.base.programs import run


def test_what_it_is_given_and_what_it_says() -> None:
    script = """
import os, sys
sys.stderr.write(os.environ["WORD"] + os.environ["PATH"])
print(sys.stdin.read())
sys.exit(3)
"""
    ended = asyncio.run(run(sys.executable, "-c", script, timeout_s=60, given=b"given", environment={"WORD": "said:"}))
    assert ended.code == 3
    assert ended.output == b"given\n"
    assert ended.complaints.decode() == f"said:{os.environ['PATH']}"


def test_without_input_it_meets_the_end_of_it() -> None:
    ended = asyncio.run(run("cat", timeout_s=60))
    assert (ended.code, ended.output) == (0, b"")


def test_one_that_takes_too_long_is_killed(tmp_path: os.PathLike[str]) -> None:
    written = os.path.join(tmp_path, "pid")
    script = f"echo $$ > {written}; exec sleep 600"
    with pytest.raises(TimeoutError):
        asyncio.run(run("sh", "-c", script, timeout_s=0.5))
    if os.path.exists(written):
        with open(written) as file, pytest.raises(ProcessLookupError):
            os.kill(int(file.read()), 0)


def test_one_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError):
        asyncio.run(run("/nowhere/at-all", timeout_s=60))
