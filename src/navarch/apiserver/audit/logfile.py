"""The file that the audit log is written to: behind a bounded queue, in a thread, a new file when one is full.

Entries for which there is no room are lost, and counted: a disk that is slow does not hold up the server. Each is
written in one piece, so that whoever follows the file reads whole lines.

Source: https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/#log-backend
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from navarch.apiserver.audit.event import Entry, rendered
from navarch.base.clock import Clock
from navarch.base.log import Log

log = Log("apiserver.audit")

QUEUED = 10_000
QUEUED_BYTES = 64 << 20
BATCH = 200
STANDARD_OUTPUT = "-"


@dataclass(frozen=True, slots=True)
class Settings:
    """path: `-` for standard output. size_bytes: a larger file is put aside. backups: how many of those stay, 0 for
    all. age_days: how long they stay, 0 for ever."""

    path: str
    size_bytes: int = 100 << 20
    backups: int = 10
    age_days: int = 0


def backup_name(path: Path, now: datetime) -> str:
    return f"{path.stem}-{now.strftime('%Y-%m-%dT%H-%M-%S')}.{now.microsecond // 1000:03d}{path.suffix}"


def doomed(path: Path, names: Sequence[str], settings: Settings, now: datetime) -> list[str]:
    """Which of the names in the log's folder are backups that are too many or too old. Pure."""
    kept: list[tuple[datetime, str]] = []
    for name in names:
        if not name.startswith(f"{path.stem}-") or not name.endswith(path.suffix):
            continue
        stamp = name[len(path.stem) + 1 : len(name) - len(path.suffix)]
        try:
            kept.append((datetime.strptime(stamp, "%Y-%m-%dT%H-%M-%S.%f").replace(tzinfo=UTC), name))
        except ValueError:
            continue
    kept.sort(reverse=True)
    oldest = now - timedelta(days=settings.age_days) if settings.age_days else None
    return [
        name
        for index, (made, name) in enumerate(kept)
        if (settings.backups and index >= settings.backups) or (oldest is not None and made < oldest)
    ]


class LogFile:
    """An `auditor.Sink`. `run` writes until it is cancelled; `close` writes what is left."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._waiting: deque[Entry] = deque()
        self._waiting_bytes = 0
        self._some = asyncio.Event()
        self._file: int | None = None
        self._written_bytes = 0
        self.lost = 0
        """Entries for which there was no room, or no disk."""

    def put(self, entry: Entry) -> bool:
        size_bytes = entry.size_bytes
        if len(self._waiting) >= QUEUED or self._waiting_bytes + size_bytes > QUEUED_BYTES:
            self.lost += 1
            return False
        self._waiting.append(entry)
        self._waiting_bytes += size_bytes
        self._some.set()
        return True

    async def run(self) -> None:
        while True:
            await self._some.wait()
            await self._write_batch()

    async def close(self) -> None:
        while self._waiting:
            await self._write_batch()
        if self._file is not None and self._settings.path != STANDARD_OUTPUT:
            os.close(self._file)
        self._file = None

    async def _write_batch(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        self._waiting_bytes -= sum(entry.size_bytes for entry in batch)
        if not self._waiting:
            self._some.clear()
        try:
            await asyncio.shield(asyncio.to_thread(self._write, batch))
        except OSError as error:
            self.lost += len(batch)
            log.error("audit entries were lost", path=self._settings.path, entries=len(batch), why=error)

    def _write(self, batch: Sequence[Entry]) -> None:
        """Raises: OSError."""
        text = b"".join(rendered(entry) + b"\n" for entry in batch)
        descriptor = self._opened(len(text))
        view = memoryview(text)
        while view:
            written = os.write(descriptor, view)
            self._written_bytes += written
            view = view[written:]

    def _opened(self, size_bytes: int) -> int:
        if self._settings.path == STANDARD_OUTPUT:
            return 1
        path = Path(self._settings.path)
        if self._file is not None and self._written_bytes + size_bytes > self._settings.size_bytes:
            self._put_aside(path)
        if self._file is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and path.stat().st_size + size_bytes > self._settings.size_bytes:
                self._put_aside(path)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self._written_bytes = os.fstat(self._file).st_size
        return self._file

    def _put_aside(self, path: Path) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
        now = self._clock.now()
        os.replace(path, path.with_name(backup_name(path, now)))
        for name in doomed(path, sorted(os.listdir(path.parent)), self._settings, now):
            path.with_name(name).unlink(missing_ok=True)
