"""Tells when something in a folder comes, goes or is written, by the kernel's own word (inotify) and without polling.

Only that something happened is told: whoever is called looks for itself, and so cannot be misled by what was missed.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_CLOSE_WRITE, _ATTRIB, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x8, 0x4, 0x40, 0x80, 0x100, 0x200
_INTERESTING = _CLOSE_WRITE | _ATTRIB | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC
_ENOUGH_BYTES = 1 << 16


@contextmanager
def watched(folder: Path, changed: Callable[[], None]) -> Iterator[None]:
    """Call `changed` from the running loop whenever something directly in the folder has changed, while in here.

    The folder is made where it is not there. Raises: OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = _checked(libc.inotify_init1(_FLAGS), folder)
    loop = asyncio.get_running_loop()

    def drain() -> None:
        try:
            os.read(descriptor, _ENOUGH_BYTES)
        except BlockingIOError:  # somebody woke us for nothing
            return
        changed()

    try:
        _checked(libc.inotify_add_watch(descriptor, os.fsencode(folder), _INTERESTING), folder)
        loop.add_reader(descriptor, drain)
        yield
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _checked(result: int, folder: Path) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"inotify: {os.strerror(number)}", str(folder))
    return result
