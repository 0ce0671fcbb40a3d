"""Reading container logs: the runtime's line format, the options of `kubectl logs`, and following a file that grows.

A line of the file is `<RFC 3339 time> <stdout|stderr> <F|P> <text>`; P marks a piece of a line that goes on in the next
entry. Files are rotated by renaming, so a follower looks whether the name still leads to the file that it reads.

Source: https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from navarch.base.clock import Clock, parse_rfc3339

BLOCK_BYTES = 65_536
LOOK_S = 0.1
ASK_S = 1.0
"""How often a follower looks at the file, and how often it asks whether the container still runs."""


@dataclass(frozen=True, slots=True)
class LogOptions:
    """tail: None for all lines. limit_bytes: 0 for no limit. since: None for all. stream: "" for both."""

    follow: bool = False
    tail: int | None = None
    limit_bytes: int = 0
    since: datetime | None = None
    timestamps: bool = False
    stream: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """whole: False when the text goes on in the next entry. text: with its newline if `whole`."""

    time: str
    stream: str
    whole: bool
    text: bytes


def parse(line: bytes) -> Entry | None:
    """An entry of the runtime's format, None for what is none (a line cut short by a crash)."""
    parts = line.rstrip(b"\n").split(b" ", 3)
    if len(parts) < 3:
        return None
    time, stream, tags = (part.decode("latin-1") for part in parts[:3])
    if stream not in ("stdout", "stderr"):
        return None
    whole = "P" not in tags.split(":")
    text = parts[3] if len(parts) == 4 else b""
    return Entry(time, stream, whole, text + (b"\n" if whole else b""))


def is_since(entry: Entry, since: datetime) -> bool:
    """Whether the entry is from `since` or later (nanoseconds are cut to microseconds)."""
    text = entry.time
    fraction = text.partition(".")[2].rstrip("Z")
    if len(fraction) > 6 and fraction.isdigit():
        text = text.replace(fraction, fraction[:6])
    try:
        return parse_rfc3339(text) >= since
    except ValueError:
        return True


def tail_offset(file: BinaryIO, lines: int) -> int:
    """Where the last `lines` lines of the file begin, read from its end."""
    end = file.seek(0, os.SEEK_END)
    if lines <= 0:
        return end
    position, seen = end, 0
    while position > 0:
        size = min(BLOCK_BYTES, position)
        position -= size
        file.seek(position)
        block = file.read(size)
        at = len(block)
        while (at := block.rfind(b"\n", 0, at)) >= 0:
            if position + at + 1 < end:
                seen += 1
            if seen == lines:
                return position + at + 1
    return 0


class LogReader:
    """running: whether the container still writes; asked when the end of the file was reached."""

    def __init__(
        self, path: Path, options: LogOptions, clock: Clock, running: Callable[[], Awaitable[bool]] | None = None
    ) -> None:
        self._path = path
        self._options = options
        self._clock = clock
        self._running = running
        self._left = options.limit_bytes or None
        self._starts_line = True
        self._asked = float("-inf")
        self._answer = True

    async def read(self) -> AsyncIterator[bytes]:
        """What `kubectl logs` shows, in pieces of one or more lines. A file that is not there yet is empty."""
        file = self._open()
        while file is None:
            if not self._options.follow or not await self._goes_on():
                return
            await self._clock.sleep(LOOK_S)
            file = self._open()
        try:
            if self._options.tail is not None:
                file.seek(tail_offset(file, self._options.tail))
            waiting = b""
            while self._left != 0:
                block = file.read(BLOCK_BYTES)
                if block:
                    lines = (waiting + block).split(b"\n")
                    waiting = lines.pop()
                    if shown := self._show(lines):
                        yield shown
                    continue
                if not self._options.follow:
                    return
                fresh = self._rotated(file)
                if fresh is not None:
                    file.close()
                    file, waiting = fresh, b""
                    continue
                last_look = not await self._goes_on()
                await self._clock.sleep(LOOK_S)
                if last_look and file.tell() == os.fstat(file.fileno()).st_size and self._rotated(file) is None:
                    return
        finally:
            file.close()

    def _open(self) -> BinaryIO | None:
        try:
            return self._path.open("rb")
        except FileNotFoundError:
            return None

    def _rotated(self, file: BinaryIO) -> BinaryIO | None:
        """The new file, when the name leads to another one than `file` and `file` was read to its end."""
        fresh = self._open()
        if fresh is None:
            return None
        if os.fstat(fresh.fileno()).st_ino == os.fstat(file.fileno()).st_ino:
            fresh.close()
            return None
        return fresh

    async def _goes_on(self) -> bool:
        if self._running is not None and self._clock.monotonic() - self._asked >= ASK_S:
            self._asked = self._clock.monotonic()
            self._answer = await self._running()
        return self._answer

    def _show(self, lines: list[bytes]) -> bytes:
        options = self._options
        shown: list[bytes] = []
        for line in lines:
            entry = parse(line)
            if entry is None or (options.stream and entry.stream != options.stream):
                continue
            if options.since is not None and not is_since(entry, options.since):
                continue
            if options.timestamps and self._starts_line:
                shown.append(entry.time.encode() + b" ")
            self._starts_line = entry.whole
            shown.append(entry.text)
        data = b"".join(shown)
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        return data
