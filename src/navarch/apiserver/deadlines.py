"""How long a request may take: a minute, or less where the client says so.

One timer looks after all that are being answered, and only while there are any: most are done before a timer of their
own would have been set up.

Source: https://kubernetes.io/docs/reference/command-line-tools-reference/kube-apiserver/ (--request-timeout)
"""

from __future__ import annotations

import asyncio
import re

from navarch.base.errors import BadRequest, GatewayTimeout
from navarch.wire.message import Request

LONGEST_S = 60.0
LOOK_S = 2.0
UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = r"\d+\.?\d*|\.\d+"
_DURATION = re.compile(rf"[-+]?(?:(?:{_PART})(?:ns|us|µs|μs|ms|s|m|h))+", re.ASCII).fullmatch
_PARTS = re.compile(rf"({_PART})(ns|us|µs|μs|ms|s|m|h)", re.ASCII).findall


def duration_s(text: str) -> float:
    """Go's text for a duration (`1m30s`). Raises: ValueError."""
    if text in ("0", "+0", "-0"):
        return 0.0
    if not _DURATION(text):
        raise ValueError(f'time: invalid duration "{text}"')
    total = sum(float(number) * UNITS_S[unit] for number, unit in _PARTS(text))
    return -total if text.startswith("-") else total


def wanted_s(request: Request) -> float:
    """How long the client gives us, 0 when it does not say. Raises: BadRequest."""
    text = request.param("timeout") if request.query else ""
    if not text:
        return 0.0
    try:
        found = duration_s(text)
    except ValueError as error:
        raise BadRequest(f"invalid timeout specified in the request URL - {error}") from error
    return min(found, LONGEST_S) if found > 0 else 0.0


def too_late() -> GatewayTimeout:
    return GatewayTimeout("Timeout: request did not complete within the allotted timeout", retry_after_s=0)


class Deadlines:
    """`enter` and `leave` around each request, by the task that answers it. A request that is late is cancelled, and
    its task finds itself in `late`."""

    def __init__(self, longest_s: float = LONGEST_S, look_s: float = LOOK_S) -> None:
        self._longest_s = longest_s
        self._look_s = look_s
        self._looks = 0
        self._entered: dict[asyncio.Task[object], int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.late: set[asyncio.Task[object]] = set()

    def enter(self, task: asyncio.Task[object]) -> None:
        self._entered[task] = self._looks
        if self._timer is None:
            self._timer = task.get_loop().call_later(self._look_s, self._look)

    def leave(self, task: asyncio.Task[object]) -> None:
        self._entered.pop(task, None)

    def was_late(self, task: asyncio.Task[object]) -> bool:
        """Whether the cancellation that the task met was ours; asked once, and then it is no longer cancelled."""
        if task not in self.late:
            return False
        self.late.discard(task)
        return task.uncancel() == 0

    def _look(self) -> None:
        self._timer = None
        if not self._entered:
            return
        self._looks += 1
        for task, looks in list(self._entered.items()):
            if (self._looks - looks - 1) * self._look_s >= self._longest_s:  # it came at some time before the first
                del self._entered[task]
                self.late.add(task)
                task.cancel()
        if self._entered:
            self._timer = asyncio.get_running_loop().call_later(self._look_s, self._look)
