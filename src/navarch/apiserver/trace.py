"""Where the time of a slow request went: told with it in the log, so that nobody has to guess.

Only what waits for others notes its steps: a webhook, the store, a turn, the thread for large work. A quick request
pays nothing, not even a beginning: steps are kept for the connection's task, and which of them are a request's is
found out by their time, once it was slow.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import ContextVar

WORTH_S = 0.005
"""Shorter steps explain nothing."""
MOST = 32
"""The steps that are told of one request: the last ones."""

_STEPS: ContextVar[deque[tuple[float, str, float]] | None] = ContextVar("request_steps", default=None)
"""When it ended (loop time), what it was, how long it took."""


def share() -> deque[tuple[float, str, float]]:
    """Call it before tasks are started whose steps are the request's too."""
    steps = _STEPS.get()
    if steps is None:
        steps = deque(maxlen=MOST)
        _STEPS.set(steps)
    return steps


def note(what: str, took_s: float) -> None:
    """A step that is over."""
    if took_s >= WORTH_S:
        share().append((asyncio.get_running_loop().time(), what, took_s))


def told(since: float) -> str:
    """The steps of a request that began then (loop time), in the order in which they ended:
    `webhook a.example 431 ms, store update 80 ms`."""
    steps = _STEPS.get() or ()
    return ", ".join(f"{what} {step_s * 1000:.0f} ms" for ended, what, step_s in steps if ended >= since)
