"""Lines to nodes: what follows when one of them ends, or comes to be.

A line is a connection to a node's agent on which nothing is said. The kernels at both ends keep asking each other
whether they are there, so that a host which is gone is known within four seconds, while an agent that is starved,
stopped or killed is not mistaken for one: its kernel answers. A host is out of reach once `ENOUGH` questions in a row
have no answer: those that the kernel asked on the line, and attempts to make it anew. A node whose host is out of
reach counts as silent as soon as a renewal of its lease is overdue, and not only after the whole grace.

This is the plan, which has neither sockets nor a clock. `Lines` is the seam to who has them; a cluster without (a
simulated one) goes by leases alone.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from ipaddress import ip_address
from typing import Protocol

from navarch.base.backoff import delay_s
from navarch.client.informer import Informer
from navarch.client.lease import RENEW_S
from navarch.kinds.object import Object
from navarch.objects.value import dig

QUESTION_S = 1.0
"""How long an answer may take. It is also how often the kernel asks on a line, in clusters of up to `MANY` nodes."""
MANY = 2000
"""For each more of them it asks a second less often: no more than so many questions are asked in a second."""
PROBES = 2
"""Questions without an answer after which the kernel gives a line up; the attempt to make it anew is one more."""
ENOUGH = 3
OVERDUE_S = RENEW_S + 0.25
"""A node that lives has renewed its lease again by then."""
LATELY_S = 60.0
"""Hosts that have been away for longer say nothing of whether this machine is cut off."""
STEADY_S = 10.0
"""A line that held for so long was not refused: an agent ends one on which nothing is said after half a minute."""
FIRST_PAUSE_S, LONGEST_PAUSE_S, LONGEST_AWAY_S = 0.25, 30.0, 2.0
"""Between attempts; the last: while a host is away to which there was a line."""
NOBODY = frozenset({errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN})
SOMEBODY = frozenset({errno.ECONNREFUSED, errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED, errno.EPROTO})


class Lines(Protocol):
    """Who keeps the lines, and knows whose host is out of reach."""

    def lost_at(self, node: str) -> datetime | None:
        """When its host was found to be out of reach; None while nothing speaks for that."""
        ...

    def listen(self, listener: Callable[[str], None]) -> None:
        """Have `listener` called with a node's name when `lost_at` has changed; until `run` ends."""
        ...

    def states(self) -> Mapping[tuple[str, ...], float]:
        """How many lines there are, by what becomes of them: `up` and `out-of-reach`."""
        ...

    async def run(self, nodes: Informer) -> None:
        """Keep a line to each of the nodes until cancelled."""
        ...


class News(Enum):
    UP = "the line is made"
    ENDED = "the host ended or refused it: there is a host"
    GIVEN_UP = "the kernel had no answer on the line"
    UNANSWERED = "an attempt had no answer"
    OWN_TROUBLE = "nothing can be told: no attempt was made"


@dataclass(frozen=True, slots=True)
class Line:
    """was_up: there was a line to this host before. unanswered: questions in a row; silent_since: when the first of
    them was missed. failures: attempts in a row of which no line came that held."""

    was_up: bool = False
    unanswered: int = 0
    silent_since: datetime | None = None
    failures: int = 0
    lost_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """Of the lines to other machines. hold: on which an answer came just now. silent: those on which none did, and
    those that are away since lately. Lines that were ended by their host, and are not made anew yet, are neither."""

    hold: int
    silent: int

    @property
    def cut_off(self) -> bool:
        """Whether it is rather this machine that is: not even half of them hold. Of a single line that is always so."""
        return self.hold < self.silent


def news_of(error: OSError | None, *, up: bool) -> News:
    """error: what the kernel ended the line or the attempt with, None for an end that the host announced. up: whether
    there was a line."""
    number = None if error is None else error.errno
    if number in NOBODY:
        return News.GIVEN_UP if up else News.UNANSWERED
    return News.ENDED if up or number in SOMEBODY else News.OWN_TROUBLE


def after(line: Line, news: News, now: datetime, count: Callable[[], Count], held_s: float = 0.0) -> Line:
    """count: asked only when a host may be out of reach; this line is among the silent ones then. held_s: for how long
    the line was there that ended.

    Whether a host is out of reach is decided once in a silence: a machine that was cut off itself does not say so of
    those that it reaches a little later than the first.
    """
    if news is News.UP:
        return Line(was_up=True, failures=line.failures)
    failures = 0 if held_s >= STEADY_S else line.failures + 1
    if news is News.ENDED:
        return Line(was_up=line.was_up, failures=failures)
    if news is News.OWN_TROUBLE:
        return replace(line, failures=failures)
    unanswered = line.unanswered + (PROBES if news is News.GIVEN_UP else 1)
    lost_at = line.lost_at
    if line.was_up and line.unanswered < ENOUGH <= unanswered and not count().cut_off:
        lost_at = now
    return Line(line.was_up, unanswered, line.silent_since or now, failures, lost_at)


def pause_s(line: Line) -> float:
    """How long to wait before the line is made anew."""
    if line.was_up and 0 < line.unanswered < ENOUGH:
        return 0.0
    return delay_s(max(0, line.failures - 1), FIRST_PAUSE_S, LONGEST_AWAY_S if line.unanswered else LONGEST_PAUSE_S)


def silent(line: Line, now: datetime) -> bool:
    """Of one that is not up."""
    return line.was_up and line.silent_since is not None and now - line.silent_since < timedelta(seconds=LATELY_S)


def holds(answered_s: float, every_s: int) -> bool:
    """Of one that is up. answered_s: how long ago an answer came. One question may have been lost on the way."""
    return answered_s < 2 * every_s + 0.5


def every_s(nodes: int) -> int:
    """How often a kernel asks, where there are so many."""
    return max(1, math.ceil(nodes / MANY))


def far_end(node: Object) -> tuple[str, int] | None:
    """The address and port of its agent; None for a node that has not said them."""
    status = node.document().get("status") or {}
    port = dig(status, "daemonEndpoints", "kubeletEndpoint", "Port", default=0)
    address = next((each.get("address") for each in status.get("addresses") or () if each["type"] == "InternalIP"), "")
    return (address, port) if 0 < port < 65536 and is_address(address) else None


def is_address(text: str) -> bool:
    """And no name, which somebody would have to be asked for."""
    try:
        return bool(ip_address(text))
    except ValueError:
        return False


def grace_s(lost_at: datetime | None, renewed: datetime | None, whole_s: float) -> float:
    """How long a node may be silent. renewed: when its lease last was. One whose renewals come although its host does
    not answer is heard on another way, and its leases alone decide."""
    if lost_at is None or renewed is None or renewed > lost_at:
        return whole_s
    return min(whole_s, OVERDUE_S)
