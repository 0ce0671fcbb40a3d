"""Whether the present work is done beside the event loop, so that nobody waits for it but who asked for it.

Whoever gives work to a thread says so by `working`; whoever has a limit for the sake of everybody else may ask `here`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_BESIDE: ContextVar[bool] = ContextVar("beside_the_loop", default=False)


def here() -> bool:
    return _BESIDE.get()


@contextmanager
def working() -> Iterator[None]:
    token = _BESIDE.set(True)
    try:
        yield
    finally:
        _BESIDE.reset(token)
