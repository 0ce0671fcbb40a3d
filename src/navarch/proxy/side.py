"""One address family of a node's proxy: what changed is compiled again, and the family's data plane is brought to it.

Where a cluster has both families, each has its own data plane, its own pace and its own troubles. What is compiled, and
who says that something changed, is `run`'s business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime

from navarch.base.backoff import delay_s
from navarch.base.clock import Clock
from navarch.base.errors import Retryable
from navarch.base.log import Log
from navarch.base.tasks import BugReport
from navarch.proxy.addresses import Family
from navarch.proxy.dataplane import Dataplane
from navarch.proxy.isolation import Isolation
from navarch.proxy.joining import Joiner
from navarch.proxy.rules import Node, Part, Rules

INTERVAL_S = 0.05
"""The least time between two transactions; the first after a pause is made at once."""
FIRST_DELAY_S, LONGEST_DELAY_S = 0.1, 2.0
"""Between tries while the kernel refuses: soon after it takes changes again it has them."""

log = Log("proxy")
bugs = BugReport(log)


class Side:
    """part: what a name stands for now, in the family of the node given. isolation: of this family's addresses."""

    def __init__(
        self,
        dataplane: Dataplane,
        node: Node,
        clock: Clock,
        part: Callable[[str, Node], Part | None],
        isolation: Callable[[Family], Isolation],
    ) -> None:
        self.node = node
        self.failing_since_s: float | None = None
        self.balanced: frozenset[str] = frozenset()
        """Addresses of load balancers, of this family, that are no node's own."""
        self.refused = 0
        """How many transactions failed."""
        self.updated: datetime = clock.now()
        self.settled = asyncio.Event()
        """Set once the data plane holds everything that was there at the beginning."""
        self._dataplane = dataplane
        self._clock = clock
        self._part = part
        self._isolation = isolation
        self._joiner = Joiner()
        self._dirty: set[str] = set()
        self._wake = asyncio.Event()
        self._warned = False
        self._asked = self._carried_out = 0
        self._progress = asyncio.Event()

    def mark(self, names: Iterable[str]) -> None:
        """These may have become something else."""
        self._dirty.update(names)
        self._wake.set()

    def wake(self) -> None:
        self._wake.set()

    def ask(self) -> int:
        """What is known by now is to be carried out; the number to ask `carried_out` for."""
        self._asked += 1
        self._wake.set()
        return self._asked

    async def carried_out(self, number: int) -> None:
        while self._carried_out < number:
            await self._progress.wait()

    async def run(self) -> None:
        """Until cancelled; the rules stay as they are then."""
        self._wake.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._mind())
            await self._follow()

    async def _follow(self) -> None:
        failures = 0
        while True:
            await self._wake.wait()
            self._wake.clear()
            asked = self._asked
            self._compile()
            rules = self._joiner.rules(self.node, self._isolation(self.node.family), self.balanced)
            self._warn_of_the_bridge(rules)
            try:
                await self._dataplane.replace(self._dataplane.current(), rules)
            except Retryable as error:
                self.refused += 1
                log.warning("the rules could not be changed, will be tried again", error=error)
                self._wake.set()
                if self.failing_since_s is None:
                    self.failing_since_s = self._clock.monotonic()
                await self._clock.sleep(delay_s(failures, FIRST_DELAY_S, LONGEST_DELAY_S))
                failures += 1
                continue
            failures = 0
            self.failing_since_s = None
            self.updated = self._clock.now()
            self.settled.set()
            self._carried_out = asked
            self._progress.set()
            self._progress = asyncio.Event()
            await self._clock.sleep(INTERVAL_S)

    def _warn_of_the_bridge(self, rules: Rules) -> None:
        if rules.isolation.profiles and not self.node.bridge_filtered and not self._warned:
            self._warned = True
            log.warning("network policies do not hold between pods of this node: load the kernel module br_netfilter")

    async def _mind(self) -> None:
        while True:
            await self._dataplane.disturbed()
            log.warning("somebody else changed the rules; they are written afresh")
            self._wake.set()
            await self._clock.sleep(FIRST_DELAY_S)

    def _compile(self) -> None:
        dirty, self._dirty = self._dirty, set()
        for name in dirty:
            try:
                part = self._part(name, self.node)
            except Exception as bug:  # noqa: BLE001 - reported; it keeps its old rules, and all others get their new ones
                bugs.report(name, bug)
                continue
            self._joiner.put(name, part)
