"""Where the time of a pod's start goes: what the runtime and the API server took of it, and what is the agent's own.

Whoever asks somebody else opens a `span` around it; whose pod it was is known by the task that asks, since a worker and
its steps share a context. The rest of the time, in which nobody else was asked, is the agent's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

OWN, TOTAL = "agent", "total"
Span = tuple[str, float, float]
"""For what, and from when to when, in seconds of the monotonic clock."""


@dataclass(slots=True)
class Timeline:
    """Of one pod, from when its worker was made until the API server knew that it runs."""

    began_s: float
    spans: list[Span] = field(default_factory=list)
    over: bool = False


CURRENT: ContextVar[Timeline | None] = ContextVar("timeline", default=None)


@contextmanager
def span(part: str, now_s: Callable[[], float]) -> Iterator[None]:
    """Somebody else is asked for `part`, on behalf of the pod whose task this is."""
    timeline = CURRENT.get()
    if timeline is None or timeline.over:
        yield
        return
    began_s = now_s()
    try:
        yield
    finally:
        timeline.spans.append((part, began_s, now_s()))


def spent(timeline: Timeline, ended_s: float) -> Mapping[str, float]:
    """Seconds by part. `agent`: those in which nobody else was asked. Parts that overlap each count whole."""
    found = {TOTAL: ended_s - timeline.began_s}
    for part, began, ended in timeline.spans:
        found[part] = found.get(part, 0.0) + ended - began
    found[OWN] = found[TOTAL] - _covered(timeline, ended_s)
    return found


def _covered(timeline: Timeline, ended_s: float) -> float:
    """How long at least one span was open."""
    covered_s, until = 0.0, timeline.began_s
    for _, began, ended in sorted(timeline.spans, key=lambda one: one[1]):
        began, ended = max(began, until), min(ended, ended_s)
        if ended > began:
            covered_s += ended - began
            until = ended
    return covered_s
