"""`kubectl logs` on files of the runtime's format."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.agent.logread import LogOptions, LogReader, parse, tail_offset
from navarch.base.clock import SystemClock

LINES = (
    b"2026-01-01T00:00:01.000000001Z stdout F one\n"
    b"2026-01-01T00:00:02.000000001Z stderr F two\n"
    b"2026-01-01T00:00:03.000000001Z stdout P thr\n"
    b"2026-01-01T00:00:03.100000001Z stdout F ee\n"
    b"2026-01-01T00:00:04.000000001Z stdout F \n"
)


def read(path: Path, options: LogOptions) -> bytes:
    async def play() -> bytes:
        return b"".join([piece async for piece in LogReader(path, options, SystemClock()).read()])

    return asyncio.run(play())


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "0.log"
    path.write_bytes(LINES)
    return path


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (LogOptions(), b"one\ntwo\nthree\n\n"),
        (LogOptions(stream="stderr"), b"two\n"),
        (LogOptions(tail=1), b"\n"),
        (LogOptions(tail=2), b"ee\n\n"),
        (LogOptions(tail=0), b""),
        (LogOptions(tail=99), b"one\ntwo\nthree\n\n"),
        (LogOptions(limit_bytes=6), b"one\ntw"),
        (LogOptions(since=datetime(2026, 1, 1, 0, 0, 3, tzinfo=UTC)), b"three\n\n"),
        (
            LogOptions(timestamps=True, tail=3),
            b"2026-01-01T00:00:03.000000001Z three\n2026-01-01T00:00:04.000000001Z \n",
        ),
    ],
)
def test_options_select_what_is_shown(log: Path, options: LogOptions, shown: bytes) -> None:
    assert read(log, options) == shown


def test_a_file_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert read(tmp_path / "none", LogOptions()) == b""


def test_lines_cut_short_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"garbage\n" + LINES + b"2026-01-01T00:00:05Z stdout F not en")
    assert read(tmp_path / "log", LogOptions()) == b"one\ntwo\nthree\n\n"
    assert parse(b"a b c d") is None


def test_following_goes_over_a_rotation_and_ends_with_the_container(log: Path) -> None:
    async def play() -> bytes:
        runs = True

        async def running() -> bool:
            return runs

        reader = LogReader(log, LogOptions(follow=True, tail=1), SystemClock(), running)
        found = b""
        async for piece in reader.read():
            found += piece
            if piece == b"\n":
                log.rename(log.with_suffix(".1"))
                log.write_bytes(b"2026-01-01T00:00:06Z stdout F after rotation\n")
            elif b"rotation" in piece:
                with log.open("ab") as file:
                    file.write(b"2026-01-01T00:00:07Z stdout F last\n")
                runs = False
        return found

    async def in_time() -> bytes:
        async with asyncio.timeout(60):
            return await play()

    assert asyncio.run(in_time()) == b"\nafter rotation\nlast\n"


@given(
    texts=st.lists(st.binary(max_size=200).map(lambda b: b.replace(b"\n", b"")), max_size=30), lines=st.integers(0, 40)
)
def test_the_tail_begins_where_counting_lines_says(
    tmp_path_factory: pytest.TempPathFactory, texts: list[bytes], lines: int
) -> None:
    path = tmp_path_factory.mktemp("tail") / "log"
    path.write_bytes(b"".join(text + b"\n" for text in texts))
    with path.open("rb") as file:
        file.seek(tail_offset(file, lines))
        assert file.read() == b"".join(text + b"\n" for text in (texts[-lines:] if lines else []))
