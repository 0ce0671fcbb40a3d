"""What the server's and the node's process have in common: settings, log, loop, signals, the exit code.

It imports neither of them, so that each process holds in memory only what is its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, cast

from navarch.app.layout import BadSettings, Layout, Settings, load_settings
from navarch.base import log
from navarch.base.errors import ApiError, Retryable
from navarch.wire.http import ListenError

COLLECT_AFTER = (20_000, 10, 20)
"""How many objects more there must be before the collector looks at the young ones; then how many such looks before it
looks at older ones. Python's own 700 has it look at everything that writes leave behind again and again, a third of the
CPU time of a write, to find next to nothing: almost all that we drop is freed by counting references."""


def settle() -> None:
    """To be called once everything is loaded: what is there stays, and the collector need not look at it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    give_back()


def settle_more() -> None:
    """To be called once what follows the start is there too: it stays as well. To look for garbage among so much would
    take longer than a client waits, so that nobody does."""
    gc.freeze()
    give_back()


def give_back() -> None:
    """Return what loading used and left behind to the system; glibc keeps it else, in case that it is wanted again."""
    with contextlib.suppress(AttributeError, OSError):  # another C library keeps its own house
        ctypes.CDLL(None).malloc_trim(0)


def stop_signals() -> asyncio.Event:
    """Set by SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def on_renewal(look: Callable[[], None]) -> None:
    """Call `look` at SIGHUP: somebody has made new certificates."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, look)


def run_process(argv: Sequence[str], play: Callable[[Layout, Settings], Coroutine[Any, Any, None]]) -> int:
    """The common frame of `python -m navarch.app.server DATA RUN` and its like; returns the exit code."""
    import uvloop

    layout = Layout(Path(argv[0]), Path(argv[1]))
    settings = load_settings(layout)
    if settings is None:
        print(f"navarch: {layout.settings} does not exist; `navarch up` makes it", file=sys.stderr)
        return 1
    log.configure(settings.log_level, cast(log.Format, settings.log_format))
    code = 0
    try:
        with contextlib.suppress(KeyboardInterrupt):
            uvloop.run(play(layout, settings))
    except* (BadSettings, ListenError, ApiError, Retryable) as problems:
        for problem in problems.exceptions:
            print(f"navarch: {problem}", file=sys.stderr)
        code = 1
    return code
