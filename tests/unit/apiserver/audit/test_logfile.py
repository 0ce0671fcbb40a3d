"""The file of the audit log: its queue, its batches, and the files that are put aside."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
from api_driver import HandClock

from navarch.apiserver.audit import logfile
from navarch.apiserver.audit.event import Entry, Record
from navarch.apiserver.audit.logfile import LogFile, Settings, backup_name, doomed
from navarch.apiserver.audit.policy import Level, Plan
from navarch.apiserver.call import Call, User
from navarch.wire.message import Request

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)


def entry(number: int = 0, body: bytes = b"") -> Entry:
    path = f"/version?{number}"
    call = Call(Request("GET", "/version", path, {}, body=body), User("jane"), "get", "/version")
    return Entry(Record(Plan(Level.METADATA), "id", call, call.user, NOW), "ResponseComplete", NOW, 200)


def written(path: Path) -> list[str]:
    return [orjson.loads(line)["requestURI"] for line in path.read_bytes().splitlines()]


def test_entries_are_written_in_order_while_it_runs_and_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "audit.log"

    async def scenario() -> None:
        log = LogFile(Settings(str(path)), HandClock())
        running = asyncio.create_task(log.run())
        for number in range(300):
            assert log.put(entry(number))
        async with asyncio.timeout(20):
            while not path.exists() or len(path.read_bytes().splitlines()) < 300:  # noqa: ASYNC110 - a thread writes it
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert log.put(entry(300))
        await log.close()

    asyncio.run(scenario())
    assert written(path) == [f"/version?{number}" for number in range(301)]
    assert path.stat().st_mode & 0o077 == 0


def test_what_does_not_fit_is_lost_and_counted(tmp_path: Path) -> None:
    async def scenario() -> None:
        log = LogFile(Settings(str(tmp_path / "audit.log")), HandClock())
        large = bytes(logfile.QUEUED_BYTES // 2)
        assert [log.put(entry(body=large)), log.put(entry(body=large))] == [True, False]
        assert log.lost == 1
        await log.close()
        assert log.put(entry(body=large)), "there is room again once it is written"
        await log.close()

    asyncio.run(scenario())


def test_a_full_file_is_put_aside_and_the_oldest_go(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"

    async def scenario() -> None:
        clock = HandClock()
        log = LogFile(Settings(str(path), size_bytes=700, backups=2), clock)
        for number in range(10):
            log.put(entry(number))
            await log.close()
            clock.turn(1)

    asyncio.run(scenario())
    found = sorted(one.name for one in tmp_path.iterdir())
    assert len(found) == 3
    assert found[-1] == "audit.log"
    last = [name for one in found for name in written(tmp_path / one)]
    assert last == [f"/version?{number}" for number in range(10 - len(last), 10)]


def test_a_disk_that_fails_loses_entries_and_nothing_else(tmp_path: Path) -> None:
    async def scenario() -> None:
        log = LogFile(Settings(str(tmp_path)), HandClock())  # a folder
        log.put(entry())
        await log.close()
        assert log.lost == 1

    asyncio.run(scenario())


def test_which_files_go() -> None:
    path = Path("/var/log/audit.log")
    names = [backup_name(path, NOW - timedelta(days=days)) for days in range(4)]
    assert names[0] == "audit-2026-01-02T03-04-05.678.log"
    others = ["audit.log", "audit-yesterday.log", "other-2026-01-02T03-04-05.678.log"]
    assert doomed(path, [*names, *others], Settings("", backups=2), NOW) == names[2:]
    assert doomed(path, [*names, *others], Settings("", backups=0), NOW) == []
    assert doomed(path, [*names, *others], Settings("", backups=0, age_days=1), NOW) == names[2:]
