"""The scheduler: takes pods from the queue one by one, places them on the table, and has the result carried out.

Placing is one synchronous step, so each pod sees the ones placed before it (they are assumed to be where they will be).
Carrying out goes on beside it, by a fixed number of workers; what fails is forgotten and tried again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from navarch.base.clock import Clock, Ids
from navarch.base.errors import ApiError, Conflict, NotFound, Retryable
from navarch.base.log import Log
from navarch.base.metrics import Registry
from navarch.base.tasks import BugReport
from navarch.client.client import Client
from navarch.client.events import Events
from navarch.client.informer import Informers
from navarch.kinds.object import Object
from navarch.scheduler import cycle, disks, preempt
from navarch.scheduler.bind import NAME, Actor
from navarch.scheduler.cycle import Placement, Refusal
from navarch.scheduler.devices.stock import Given
from navarch.scheduler.disks import Needs
from navarch.scheduler.facts import PodFacts
from navarch.scheduler.filters import devices
from navarch.scheduler.filters.devices import DYNAMIC_RESOURCES
from navarch.scheduler.filters.volumes import VOLUME_BINDING
from navarch.scheduler.observe import Observed
from navarch.scheduler.preempt import Preemption
from navarch.scheduler.queue import Entry
from navarch.scheduler.reserve import Reservations

WORKERS = 32
"""Bindings under way at once: enough to fill a group commit."""

ROOM = 128
"""Decisions that wait for a worker; placing pauses when there are more."""

STRIDE = 16
"""Pods placed before others on the loop get their turn."""

log = Log("scheduler")


@dataclass(frozen=True, slots=True)
class Bind:
    """given: devices that the pod's claims get before."""

    entry: Entry
    node: str
    given: tuple[Given, ...] = ()


@dataclass(frozen=True, slots=True)
class Refuse:
    """preemption: to be carried out for the pod; None when nothing can be done. idle: a claim that keeps the pod from
    nodes, and that nobody uses."""

    pod: PodFacts
    message: str
    preemption: Preemption | None
    idle: Object | None = None


@dataclass(frozen=True, slots=True)
class Prepare:
    """The pod's place is known; its claims come first."""

    entry: Entry
    needs: Needs
    given: tuple[Given, ...] = ()


Act = Bind | Prepare | Refuse


class Scheduler:
    """One for a cluster (or the leader of several); `run` works until cancelled."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        ids: Ids,
        *,
        name: str = NAME,
        informers: Informers | None = None,
        registry: Registry | None = None,
    ) -> None:
        """informers: shared with others in the process, who then run them; made and run here when None."""
        self._clock = clock
        self._ids = ids
        self._work = asyncio.Event()
        registry = registry or Registry()
        self._name = name
        own = ("result", "profile")
        self._attempts = registry.counter("scheduler_schedule_attempts", "Tries to place a pod.", own)
        self._duration_s = registry.histogram("scheduler_scheduling_attempt_duration_seconds", "One try.", own)
        self._algorithm_s = registry.histogram("scheduler_scheduling_algorithm_duration_seconds", "Finding a node.")
        self._preempted = registry.counter("scheduler_preemption_attempts", "Tries to make room for a pod.")
        self._preempted.add(amount=0.0)
        self._bugs = BugReport(log, registry.counter("navarch_scheduler_bugs", "Steps that raised.", ("step",)))
        self._informers = informers or Informers(client, clock)
        self._own_informers = informers is None
        self._events = Events(client, clock)
        self._observed = Observed(self._informers, clock, self._work.set, name)
        registry.gauge(
            "scheduler_pending_pods", "Pods that wait for a node.", ("queue",), read=self._observed.queue.waiting
        )
        self._actor = Actor(client, clock, self._events.of(name))
        self._reservations = Reservations(client, clock, self._observed.table.devices)
        self._acts: asyncio.Queue[Act] = asyncio.Queue(ROOM)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            if self._own_informers:
                group.create_task(self._informers.run())
            group.create_task(self._events.run())
            await self._observed.synced()
            for _ in range(WORKERS):
                group.create_task(self._worker())
            group.create_task(self._loop())

    async def _loop(self) -> None:
        queue = self._observed.queue
        while True:
            self._work.clear()
            placed = 0
            while (entry := queue.pop(self._clock.monotonic())) is not None:
                act = None if self._held(entry) else self._timed(entry)
                if act is not None:
                    await self._acts.put(act)
                placed += 1
                if placed % STRIDE == 0:
                    await asyncio.sleep(0)
            await self._wait(queue.next_due_s())

    async def _wait(self, due_s: float | None) -> None:
        """Until there is news, or back-off or refusal of some pod ends."""
        try:
            async with asyncio.timeout(None if due_s is None else max(due_s - self._clock.monotonic(), 0.0)):
                await self._work.wait()
        except TimeoutError:
            return

    def _held(self, entry: Entry) -> bool:
        """Claims of devices are made for the pod first; that takes a moment, and nothing is told of it."""
        if not entry.pod.device_claims or not self._observed.table.devices.unmade(entry.pod):
            return False
        self._observed.queue.wait(entry, DYNAMIC_RESOURCES.name)
        return True

    def _timed(self, entry: Entry) -> Act | None:
        began = self._clock.monotonic()
        act = self._decide(entry)
        result = "error" if act is None else "scheduled" if isinstance(act, Bind | Prepare) else "unschedulable"
        self._attempts.add(result, self._name)
        self._duration_s.observe(self._clock.monotonic() - began, result, self._name)
        return act

    def _decide(self, entry: Entry) -> Act | None:
        """Place the pod and note the outcome in the table and the queue; what is left to do is returned."""
        observed, pod = self._observed, entry.pod
        try:
            began = self._clock.monotonic()
            result = self._place(pod)
            self._algorithm_s.observe(self._clock.monotonic() - began)
            if isinstance(result, Placement):
                given = self._given(pod, result.node) if pod.device_claims else ()
                needs = disks.needs(observed.table, pod, result.node) if pod.claims else None
                if needs is not None:
                    observed.queue.wait(entry, VOLUME_BINDING.name)
                    return Prepare(entry, needs, given)
                observed.assume(pod, result.node)
                return Bind(entry, result.node, given)
            idle, said = devices.unblock(observed.table, pod) if pod.device_claims else (None, "")
            made = "" if not result.nodes else preempt.plan(observed.table, pod, result, observed.disruption_budgets())
        except Exception as bug:  # noqa: BLE001 - one pod's bug must not stop the others; reported
            self._bugs.report("place", bug)
            observed.queue.retry(entry)
            return None
        observed.queue.refused(entry, result.rejected_by)
        if idle is not None:
            return Refuse(pod, result.message(said), None, idle)
        if isinstance(made, Preemption):
            return Refuse(pod, result.message(), made)
        return Refuse(pod, result.message(", ".join(one for one in (said, made) if one)), None)

    def _given(self, pod: PodFacts, node: str) -> tuple[Given, ...]:
        """The devices of its claims there, promised from now on."""
        table = self._observed.table
        facts = table.nodes[table.number[node]]
        if facts is None:
            return ()
        given = table.devices.given(pod, facts, self._clock.now(), self._ids.uid)
        table.devices.promise(pod.uid, given)
        return given

    def _place(self, pod: PodFacts) -> Placement | Refusal:
        """With the pods that room was made for already where they are to be, unless nothing else is left."""
        observed, table = self._observed, self._observed.table
        expected = observed.nominated_above(pod)
        for one in expected:
            table.add(one, one.nominated)
        try:
            return cycle.place(table, pod, self._ids.fraction(), observed.usual(pod))
        finally:
            for one in expected:
                table.remove(one.uid)

    async def _worker(self) -> None:
        while True:
            act = await self._acts.get()
            try:
                if isinstance(act, Bind):
                    await self._bind(act)
                elif isinstance(act, Prepare):
                    await self._prepare(act)
                else:
                    await self._refuse(act)
            except (ApiError, Retryable) as error:
                log.warning("a decision could not be carried out", error=str(error))
            except Exception as bug:  # noqa: BLE001 - one pod's bug must not stop the others; reported
                self._bugs.report("act", bug)

    async def _bind(self, act: Bind) -> None:
        pod = act.entry.pod
        found = self._observed.object_of(pod)
        try:
            if found is not None:
                await self._reservations.make(found, act.given)
                await self._actor.bind(found, act.node)
                return
        except (NotFound, Conflict) as error:
            log.info("not bound", namespace=pod.namespace, pod=pod.name, node=act.node, error=str(error))
        except asyncio.CancelledError:
            raise
        except BaseException:
            await self._give_back(act)
            raise
        await self._give_back(act)

    async def _prepare(self, act: Prepare) -> None:
        """It is placed again when its claims are bound: they keep it on the node that was chosen."""
        pod = act.entry.pod
        found = self._observed.object_of(pod)
        try:
            if found is not None:
                await self._reservations.make(found, act.given)
            await self._actor.prepare(act.needs)
        except (ApiError, Retryable) as error:
            log.info("claims not prepared", pod=pod.name, node=act.needs.node, error=str(error))
            await self._take_back(pod, act.given)
            self._observed.queue.retry(act.entry)
            self._work.set()

    async def _take_back(self, pod: PodFacts, given: tuple[Given, ...]) -> bool:
        """Whether the pod keeps what it was given."""
        if not given:
            return False
        bound = await self._reservations.undo(pod, given)
        self._observed.take_back(given, bound)
        return bound

    async def _give_back(self, act: Bind) -> None:
        """If the pod still waits it is tried again; the informer takes it out of the queue when it is gone."""
        if await self._take_back(act.entry.pod, act.given):
            return
        self._observed.forget(act.entry.pod)
        self._observed.queue.retry(act.entry)
        self._work.set()

    async def _refuse(self, act: Refuse) -> None:
        found = self._observed.object_of(act.pod)
        if found is None:
            return
        try:
            if act.idle is not None:
                await self._reservations.free(act.idle)
            if act.preemption is None:
                await self._actor.refuse(found, act.message)
            else:
                self._preempted.add()
                await self._actor.refuse(found, act.message, act.preemption.node)
                await self._actor.preempt(found, act.preemption)
        except NotFound:
            log.debug("the pod went away", namespace=act.pod.namespace, pod=act.pod.name)
