"""A command on a terminal of its own, which this process holds the other end of."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import signal
import struct
import termios
import tty
from collections.abc import Sequence
from types import TracebackType


class Terminal:
    """Use as an asynchronous context; leaving it ends the command. Entering raises OSError."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = argv
        self._master = -1
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Terminal:
        self._master, slave = pty.openpty()
        try:
            tty.setraw(slave)
            os.set_blocking(self._master, False)
            self._process = await asyncio.create_subprocess_exec(
                *self._argv, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
            )
        except OSError:
            os.close(self._master)
            raise
        finally:
            os.close(slave)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._master)
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def read(self) -> bytes:
        """What it shows next; b"" once the command has closed it."""
        while True:
            try:
                return os.read(self._master, 1 << 15)
            except BlockingIOError:
                await self._ready(writing=False)
            except OSError:  # the other end is closed
                return b""

    async def write(self, data: bytes) -> None:
        """As if it were typed. What is typed after the end is lost."""
        while data:
            try:
                data = data[os.write(self._master, data) :]
            except BlockingIOError:
                await self._ready(writing=True)
            except OSError:  # the other end is closed
                return

    async def _ready(self, *, writing: bool) -> None:
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        watch, leave = (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
        watch(self._master, ready.set)
        try:
            await ready.wait()
        finally:
            leave(self._master)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGWINCH)

    async def wait(self) -> int:
        """The command's exit code."""
        assert self._process is not None
        return await self._process.wait()
