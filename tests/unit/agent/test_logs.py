"""Log files: rotated when large, kept in number, read from the end."""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from navarch.agent.config import AgentConfig, Paths
from navarch.agent.fake import FakeRuntime
from navarch.agent.logs import rotate, tail_message
from navarch.agent.runtime import ContainerState, RuntimeFailure
from navarch.base.clock import SeededIds, SystemClock
from tests.unit.agent.pods import START, instance


class TickingClock(SystemClock):
    def __init__(self) -> None:
        self.ticks = 0

    def now(self):  # type: ignore[no-untyped-def]
        self.ticks += 1
        return START + timedelta(seconds=self.ticks)


class Reopening(FakeRuntime):
    """Makes a new file as a runtime does."""

    path: Path
    broken = False

    async def reopen_log(self, container_id: str) -> None:
        if self.broken:
            raise RuntimeFailure("no")
        self.path.write_text("")


def config(tmp_path: Path) -> AgentConfig:
    return AgentConfig("n1", ("1.1.1.1",), Paths(tmp_path, tmp_path), log_bytes=10, log_files=3)


def test_a_large_log_is_set_aside_packed_and_finally_deleted(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    clock = TickingClock()
    runtime = Reopening(clock, SeededIds(1))
    runtime.path = path
    running = instance(log_path=str(path))

    async def run() -> None:
        path.write_text("short")
        assert await rotate(runtime, clock, config(tmp_path), [running]) == 0
        for number in range(5):
            path.write_text(f"log number {number}")
            assert await rotate(runtime, clock, config(tmp_path), [running]) == 1
            assert path.read_text() == ""

    asyncio.run(run())
    found = sorted(item.name for item in tmp_path.iterdir())
    assert found == ["0.log", "0.log.20260101-000004.gz", "0.log.20260101-000005"]
    assert gzip.decompress((tmp_path / found[1]).read_bytes()) == b"log number 3"


def test_a_runtime_that_does_not_reopen_gets_its_file_back(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_text("long enough to rotate")
    runtime = Reopening(SystemClock(), SeededIds(1))
    runtime.path, runtime.broken = path, True
    running = instance(log_path=str(path))
    assert asyncio.run(rotate(runtime, SystemClock(), config(tmp_path), [running])) == 0
    assert path.read_text() == "long enough to rotate"


def test_only_running_containers_with_a_log_are_looked_at(tmp_path: Path) -> None:
    runtime = FakeRuntime(SystemClock(), SeededIds(1))
    dead = instance(code=0, log_path=str(tmp_path / "x"))
    silent = replace(instance(log_path=str(tmp_path / "absent")), state=ContainerState.RUNNING)
    found = rotate(runtime, SystemClock(), config(tmp_path), [dead, silent, instance()])
    assert asyncio.run(found) == 0


def test_the_last_lines_are_read_without_their_headers(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_text("".join(f"2026-01-01T00:00:00Z stderr F line {number}\n" for number in range(200)))
    found = tail_message(path)
    assert found.endswith("line 198\nline 199\n")
    assert len(found.splitlines()) <= 80
    path.write_text("2026-01-01T00:00:00Z stderr F " + "x" * 5000 + "\n")
    assert len(tail_message(path).encode()) <= 2049
    assert tail_message(tmp_path / "absent") == ""
