"""Runs one declared controller: from changes to keys, from keys to plans, from plans to writes.

The one runner for all. What it promises a plan: one key is looked at by one task at a time; a key is not planned
again until the cache of every kind that its last plan wrote shows that write; after a write of unknown outcome the
object is read from the API before anything else; what fails is tried again after a growing delay; nothing runs while
nothing changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

from navarch.base.clock import Clock
from navarch.base.errors import ApiError, Retryable
from navarch.base.log import Log
from navarch.base.metrics import Registry
from navarch.base.tasks import BugReport
from navarch.client.client import Client
from navarch.client.informer import Informer
from navarch.controllers.act import Act, Outcome, Unsure, Written
from navarch.controllers.alarms import Alarms
from navarch.controllers.controller import Cache, Controller, Watch
from navarch.controllers.queue import WorkQueue
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object

_log = Log("controllers")


class Counts:
    """The metrics of all runners of a process, each labelled with the controller's name."""

    def __init__(self, registry: Registry) -> None:
        self.plans = registry.counter("navarch_controller_plans", "Plans made.", ("controller",))
        self.writes = registry.counter("navarch_controller_writes", "Writes carried out.", ("controller",))
        self.retries = registry.counter("workqueue_retries", "Keys queued again after a failure.", ("name",))
        self.queues: dict[str, WorkQueue] = {}
        registry.counter("workqueue_adds", "Keys that were queued.", ("name",), self._of(lambda queue: queue.adds))
        registry.gauge("workqueue_depth", "Keys that wait.", ("name",), self._of(len))
        registry.gauge(
            "workqueue_unfinished_work_seconds",
            "How long all keys that are worked on have been, together.",
            ("name",),
            self._of(lambda queue: sum(queue.at_work_s())),
        )
        registry.gauge(
            "workqueue_longest_running_processor_seconds",
            "How long the key that was taken first has been worked on.",
            ("name",),
            self._of(lambda queue: max(queue.at_work_s(), default=0.0)),
        )
        self.waited_s = registry.histogram("workqueue_queue_duration_seconds", "How long keys waited.", ("name",))
        self.duration_s = registry.histogram("workqueue_work_duration_seconds", "Time for one key.", ("name",))
        self.bugs = BugReport(_log, registry.counter("navarch_controller_bugs", "Plans that raised.", ("controller",)))

    def _of(self, what: Callable[[WorkQueue], float]) -> Callable[[], dict[tuple[str, ...], float]]:
        return lambda: {(name,): what(queue) for name, queue in self.queues.items()}


class Runner:
    """`attach` before the informers run, then `run`."""

    def __init__(
        self,
        controller: Controller[Any],
        cache: Cache,
        client: Client,
        clock: Clock,
        alarms: Alarms,
        act: Act,
        counts: Counts,
        reads: Client | None = None,
    ) -> None:
        """client: the controller's own. reads: one that may list everything that the caches hold, where it may not."""
        self.controller = controller
        self.name = controller.name
        self._counts = counts
        self.queue = counts.queues[controller.name] = WorkQueue(controller.name, alarms, clock.monotonic)
        counts.retries.values.setdefault((controller.name,), 0.0)
        self._cache = cache
        self._client = client
        self._reads = reads or client
        self._clock = clock
        self._act = act
        self._informers: dict[Kind, Informer] = {watch.kind: cache[watch.kind] for watch in controller.watches}
        self._unseen: dict[Hashable, list[Written]] = {}
        self._unsure: dict[Hashable, list[Unsure]] = {}

    def attach(self) -> None:
        """Listen to the informers."""
        for watch in self.controller.watches:
            self._watch(watch)
        if self.controller.grows is not None:
            self.controller.grows(self._watch, self._unwatch)
        if self.controller.listen is not None:
            self.controller.listen(self.queue.add)

    def _watch(self, watch: Watch) -> None:
        informer = self._informers[watch.kind] = self._cache[watch.kind]
        for name, function in watch.indexes.items():
            informer.index(name, function)
        informer.subscribe(self._handler(watch))
        informer.on_relist(partial(self._relisted, informer))

    def _unwatch(self, kind: Kind) -> None:
        self._informers.pop(kind, None)
        self._cache.drop(kind)

    @property
    def idle(self) -> bool:
        """Nothing to do until something changes or an alarm rings."""
        return self.queue.idle

    async def run(self) -> None:
        """Until cancelled."""
        for informer in self._informers.values():
            await informer.synced.wait()
        async with asyncio.TaskGroup() as group:
            for _ in range(self.controller.workers):
                group.create_task(self._work())

    def _handler(self, watch: Watch) -> Callable[[Object | None, Object | None], None]:
        cache, queue, keys, changed = self._cache, self.queue, watch.keys, watch.changed

        def asked(old: Object, new: Object | None) -> bool:
            """Whether `keys` must be asked about the object before the change too."""
            return new is None or not watch.of_head or not _same_head(old, new)

        def handle_seldom(old: Object | None, new: Object | None) -> None:
            concerned = [] if new is None else [*keys(cache, new)]
            if old is not None and asked(old, new):
                concerned += keys(cache, old)
            if not concerned:
                return
            if old is not None and new is not None and changed is not None and not changed(old, new):
                return
            for key in concerned:
                queue.add(key)

        def handle(old: Object | None, new: Object | None) -> None:
            if old is not None and new is not None and changed is not None and not changed(old, new):
                return
            if new is not None:
                for key in keys(cache, new):
                    queue.add(key)
            if old is not None and asked(old, new):
                for key in keys(cache, old):
                    queue.add(key)

        return handle_seldom if watch.seldom else handle

    async def _work(self) -> None:
        while True:
            key, waited_s = await self.queue.get()
            self._counts.waited_s.observe(waited_s, self.name)
            try:
                await self._look_at(key)
            except (ApiError, Retryable) as error:
                _log.warning("not done, will be tried again", controller=self.name, key=key, error=error)
                self._retry(key, _wanted_delay_s(error))
            except Exception as bug:  # noqa: BLE001 - reported with its traceback; other keys go on
                self._counts.bugs.report(self.name, bug)
                self._retry(key)
            finally:
                self._counts.duration_s.observe(self.queue.done(key), self.name)

    def _retry(self, key: Hashable, at_least_s: float = 0.0) -> None:
        self._counts.retries.add(self.name)
        self.queue.retry(key, at_least_s)

    async def _look_at(self, key: Hashable) -> None:
        if key in self._unsure:
            await self._make_sure(key)
        if key in self._unseen and not self._has_seen(key):
            return
        observed = self.controller.observe(self._cache, key)
        if observed is not None and self.controller.confirm is not None:
            observed = await self.controller.confirm(self._client, observed)
        if observed is None:
            self.queue.cancel(key)
            self.queue.succeeded(key)
            return
        plan = self.controller.plan(observed, self._clock.now())
        self._counts.plans.add(self.name)
        outcome = await self._act.carry_out(plan)
        self._remember(key, outcome)
        if outcome.failures or outcome.again:
            wanted = max((_wanted_delay_s(failure.error) for failure in outcome.failures), default=0.0)
            self._retry(key, wanted)
            return
        self.queue.succeeded(key)
        if plan.requeue_after_s is None:
            self.queue.cancel(key)
        else:
            self.queue.add_after(key, plan.requeue_after_s)

    def _remember(self, key: Hashable, outcome: Outcome) -> None:
        if outcome.writes:
            self._counts.writes.add(self.name, amount=outcome.writes)
        for failure in outcome.failures:
            _log.info("refused", controller=self.name, key=key, error=failure.error)
        unseen = [written for written in outcome.written if written.kind in self._informers]
        if unseen:
            self._unseen[key] = unseen
        unsure = [target for target in outcome.unsure if target.kind in self._informers]
        if unsure:
            self._unsure[key] = unsure

    def _relisted(self, informer: Informer) -> None:
        """Whoever made what was gone again before the cache saw it is told by nobody else."""
        for key, unseen in self._unseen.items():
            for written in unseen:
                if written.kind is informer.kind and written.revision and informer.get(*written.key) is None:
                    self.queue.add(key)

    def _has_seen(self, key: Hashable) -> bool:
        """Whether the caches show the key's own writes; if not, it is queued for when they do."""
        add = partial(self.queue.add, key)
        for written in self._unseen[key]:
            informer = self._informers.get(written.kind)
            if informer is None:
                continue  # the kind is served no longer
            if written.revision:
                if not informer.has_reached(written.revision):
                    informer.when_reached(written.revision, add)
                    return False
            elif not informer.has_lost(written.key, written.uid):
                informer.when_lost(written.key, written.uid, add)
                return False
        del self._unseen[key]
        return True

    async def _make_sure(self, key: Hashable) -> None:
        """Read what is unsure, by lists, as the caches do; the key then waits until they show it.

        Raises: ApiError, Retryable, when the API cannot be asked; the key stays unsure.
        """
        found: list[Written] = []
        for target in self._unsure[key]:
            namespace, name = target.key
            listing = await self._reads.list(target.kind, namespace, fields=f"metadata.name={name}")
            informer = self._informers.get(target.kind)
            cached = None if informer is None else informer.get(namespace, name)
            for present in listing.items:
                found.append(Written(target.kind, target.key, present.uid, present.revision))
            if not listing.items and cached is not None:
                found.append(Written(target.kind, target.key, cached.uid))
        del self._unsure[key]
        self._unseen.setdefault(key, []).extend(found)


def _same_head(old: Object, new: Object) -> bool:
    """Equal labels and owners are mostly the same ones; if not, it is found out otherwise."""
    return old.labels is new.labels and old.references is new.references and old.terminating == new.terminating


def _wanted_delay_s(error: Exception) -> float:
    return max(float(getattr(error, "after_s", 0.0)), float(getattr(error, "retry_after_s", 0)))
