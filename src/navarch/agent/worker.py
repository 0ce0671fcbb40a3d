"""One task for each pod: it observes the runtime, plans, starts the steps, and writes the status when that has changed.

Steps run side by side as tasks of the worker's own group; each one that ends makes the worker look again. Nothing is
polled: a worker sleeps until its pod's object, its containers, a probe, a step or the plan's own `wake_at` wakes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from navarch.agent import logs
from navarch.agent.act import Actor, Tools
from navarch.agent.eviction.ranking import EVICTED, Eviction
from navarch.agent.facts import Facts, Failure, StepKey, has_exited, is_running
from navarch.agent.leaps import Leaps
from navarch.agent.plan import DEADLINE, Plan, delays_after, outcome, plan, plan_orphan
from navarch.agent.probes import PodProbes
from navarch.agent.resize import differing, given_whole
from navarch.agent.runtime import Container as Instance
from navarch.agent.runtime import PodOnNode, RuntimeAway, RuntimeFailure
from navarch.agent.specs import TERMINATION_POLICY
from navarch.agent.statics.file import with_status
from navarch.agent.status import status_of, status_patch, waits_for
from navarch.agent.steps import Finish, Step
from navarch.agent.timeline import CURRENT, TOTAL, Timeline, span, spent
from navarch.agent.work import Work
from navarch.base.backoff import delay_s
from navarch.base.clock import Ids
from navarch.base.errors import ApiError, Conflict, NotFound, Retryable
from navarch.base.log import Log
from navarch.base.tasks import BugReport
from navarch.kinds import POD
from navarch.kinds.object import Object
from navarch.kinds.pod import Pod
from navarch.kinds.podspec.container import Container
from navarch.objects.value import Document, dig

_log = Log("agent")
bugs = BugReport(_log)

RETRIES: dict[str, tuple[float, float]] = {
    "image": (10.0, 300.0),
    "volumes": (0.5, 120.0),
    "sandbox": (1.0, 30.0),
    "start": (1.0, 10.0),
    "claims": (0.5, 10.0),
    "unclaim": (0.5, 30.0),
}
"""By verb: the first wait after a failure, and the longest."""
OTHER_RETRIES = (0.2, 10.0)
TROUBLED_RETRIES = (0.25, 10.0)
"""The runtime or the API server did not answer."""


def _every_container(pod: Pod) -> Iterable[Container]:
    return (*pod.spec.init_containers, *pod.spec.containers)


class Worker:
    """removed: called once nothing is left to do for this pod, neither here nor on the API server."""

    def __init__(
        self,
        work: Work,
        tools: Tools,
        ids: Ids,
        network_ready: Callable[[], bool],
        crowding: Callable[[str, Pod], str],
    ) -> None:
        """crowding: see `Pods.crowding`."""
        self._crowding = crowding
        self.work = work
        self._tools = tools
        self._actor = Actor(tools)
        self._ids = ids
        self._network_ready = network_ready
        self._wake = asyncio.Event()
        self._wake.set()
        self._look = True
        self.looks = 0
        """How often it was told to look."""
        self._troubles = 0
        self._timeline = Timeline(tools.clock.monotonic(), over=work.object is None or bool(work.runtime.containers))
        self._leaps = Leaps(tools.clock)
        self._adopted = {item.id for item in work.runtime.containers}
        """Instances that ran before this worker: probed gently, and ready until a probe says otherwise."""
        if work.refused is not None:
            reason, message = work.refused
            self._actor.tell(work, "Warning", reason, message)

    # what others tell it

    def update(self, found: Object) -> None:
        """The object, or another revision of it."""
        before = self.work.object
        if before is not None and found.revision < before.revision:
            return
        self.work.object = found
        if before is not None and before is not found:
            self._take_changes(before.view, found.view)
        self._wake.set()

    def _take_changes(self, before: Pod, after: Pod) -> None:
        """What was made from the older revision, and must be made again."""
        old, new = before.metadata, after.metadata
        if after.terminating and old.deletion_grace_period_seconds != new.deletion_grace_period_seconds:
            self.work.deleted_at = self._tools.clock.now()
        if old.generation != new.generation:
            self.work.lookup = self.work.sandbox_spec = None
            images = {one.name: one.image for one in _every_container(before)}
            for one in _every_container(after):
                if images.get(one.name) != one.image:  # another image's failures say nothing about this one
                    for verb in ("image", "start"):
                        self.work.failures.pop((verb, one.name), None)
        if (old.labels, old.annotations) != (new.labels, new.annotations) and self.work.volumes_ready:
            self.work.stale = True

    def end(self, last: Object) -> None:
        """Its file is gone. last: it as if deleted; what has been found out about it meanwhile stays."""
        if self.work.object is not None:
            status = self.work.object.document().get("status") or {}
            self.update(with_status(last, status))

    def gone(self) -> None:
        """The API server no longer has the object."""
        self.work.gone = True
        self._wake.set()

    def look(self) -> None:
        """The runtime may have changed."""
        self._look = True
        self.looks += 1
        self._wake.set()

    @property
    def at_rest(self) -> bool:
        """Whether what it knows of the runtime should be how things are: nothing is under way."""
        return not self._look and not self.work.busy

    def wake(self) -> None:
        """Something that its plan looks at may have changed, but nothing in the runtime."""
        self._wake.set()

    def refresh(self) -> None:
        """An object that the pod's volumes are made from has changed."""
        self.work.stale = True
        for key in [key for key in self.work.failures if key[0] in ("volumes", "refresh", "start")]:
            del self.work.failures[key]
        self._wake.set()

    def evict(self, eviction: Eviction) -> None:
        """The node has to get rid of the pod."""
        self.work.evicted = eviction
        if eviction.reason == EVICTED:
            self._actor.tell(self.work, "Warning", EVICTED, eviction.message, annotations=eviction.notes)
        self._wake.set()

    def release(self) -> None:
        """What is left of a pod that has ended may go, though its object stays."""
        self.work.released = True
        self._wake.set()

    # the loop

    async def run(self) -> None:
        """Until nothing of the pod is left."""
        CURRENT.set(self._timeline)
        async with asyncio.TaskGroup() as group:
            probes = PodProbes(
                self._tools.runtime,
                self._tools.clock,
                self._ids,
                group,
                self._wake.set,
                lambda container, type, reason, text: self._actor.tell(self.work, type, reason, text, container),
                self._count,
            )
            while True:
                self._wake.clear()
                wake_at = await self._round(group, probes)
                if self.work.finished:
                    break
                await self._wait(wake_at)
            probes.keep_only(set())
        for key in [key for key in self._tools.probed if key[-1] == self.work.uid]:
            del self._tools.probed[key]
        if self.work.name:
            await self._tools.storage.remove_logs(self.work.namespace, self.work.name, self.work.uid)

    def _count(self, probe: str, result: str, container: str) -> None:
        self._tools.probed[probe, result, container, self.work.name, self.work.namespace, self.work.uid] += 1

    async def _wait(self, wake_at: datetime | None) -> None:
        if wake_at is None:
            await self._wake.wait()
            return
        try:
            async with asyncio.timeout(max(0.0, (wake_at - self._tools.clock.now()).total_seconds()) + 0.001):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _round(self, group: asyncio.TaskGroup, probes: PodProbes) -> datetime | None:
        """Look, tell, plan and start what is to be done; returns when to look again even if nothing happens."""
        now = self._tools.clock.now()
        if leap := self._leaps.since():
            self.work.shift(leap)
        try:
            if self._look:
                looks = self.looks
                await self._observe()
                self._look = self.looks != looks
            self._probe(probes)
            facts = self._weighed(self._facts(now, probes))
            planned = self._plan(facts)
            last = any(isinstance(step, Finish) for step in planned.steps)
            if not last:  # the write goes on while the steps do
                self._start(planned, group)
            if not self.work.gone and self.work.object is not None:
                await self._tell_status(facts)
            if last:
                self._start(planned, group)
        except (RuntimeFailure, ApiError, Retryable) as error:
            if not isinstance(error, RuntimeAway):  # that is said once for all pods
                _log.warning("pod is looked at again soon", pod=self._name(), error=error)
            self._look = True
            self._troubles += 1
            return now + timedelta(seconds=delay_s(self._troubles, *TROUBLED_RETRIES))
        except Exception as bug:  # noqa: BLE001 - reported; other pods go on, and this one is tried again
            bugs.report("pod worker", bug)
            return now + timedelta(seconds=OTHER_RETRIES[1])
        self._troubles = 0
        renew_at = self._tools.storage.renew_at(self.work.pod)
        later = renew_at if renew_at is not None and renew_at > now else None
        return _first(planned.wake_at, waits_for(facts), later)

    def _name(self) -> str:
        meta = self.work.pod.metadata
        return f"{meta.namespace}/{meta.name}" if self.work.object is not None else self.work.uid

    async def _observe(self) -> None:
        work = self.work
        with span("observe", self._tools.clock.monotonic):
            seen = await self._tools.runtime.observe(work.uid)
        work.runtime = seen.get(work.uid, PodOnNode(work.uid))
        if work.runtime.name:
            work.namespace, work.name = work.runtime.namespace, work.runtime.name
        if work.object is None:
            return
        now, known = self._tools.clock.now(), work.ended
        ends = [item for item in work.runtime.containers if has_exited(item)]
        # an end that lies ahead was noted before the clock was set back
        work.ended = {item.id: known.get(item.id) or min(now, item.finished_at or item.created_at) for item in ends}
        for item in work.runtime.containers:
            if has_exited(item) and item.id not in work.messages:
                work.messages[item.id] = self._last_words(item)
        present = {item.id for item in work.runtime.containers}
        work.messages = {key: text for key, text in work.messages.items() if key in present}
        work.resized = {key: amounts for key, amounts in work.resized.items() if key in present}
        work.bound = {key: cpus for key, cpus in work.bound.items() if key in present}

    def _last_words(self, ended: Instance) -> str:
        """What the container left in its termination message; failing that, if its spec says so, the end of its log."""
        text = self._tools.storage.termination_message(self.work.pod, ended.name, ended.attempt)
        policy = ended.annotations.get(TERMINATION_POLICY, "")
        if not text and policy == "FallbackToLogsOnError" and ended.exit_code and ended.log_path:
            return logs.tail_message(Path(ended.log_path))
        return text

    def _probe(self, probes: PodProbes) -> None:
        work = self.work
        running = set()
        probes.ending = work.pod.terminating
        if work.object is not None and not work.gone:
            ip = next(iter(work.around.pod_ips), "")
            containers = {one.name: one for one in (*work.pod.spec.containers, *work.pod.spec.init_containers)}
            for item in work.runtime.containers:
                container = containers.get(item.name)
                if is_running(item) and container is not None and ("start", item.name) not in work.busy:
                    running.add(item.id)
                    probes.watch(container, item, ip, item.id in self._adopted and self._was_ready(item.id))
        probes.keep_only(running)

    def _was_ready(self, container_id: str) -> bool:
        statuses = (*self.work.pod.status.container_statuses, *self.work.pod.status.init_container_statuses)
        return any(found.ready and found.container_id.endswith(container_id) for found in statuses)

    def _facts(self, now: datetime, probes: PodProbes) -> Facts:
        work = self.work
        renew_at = self._tools.storage.renew_at(work.pod)
        return Facts(
            now=now,
            runtime=work.runtime,
            node_ips=work.node_ips,
            health=probes.health,
            images={name: image.id for name, image in work.images.items()},
            volumes_ready=work.volumes_ready,
            stale=work.stale or (renew_at is not None and renew_at <= now),
            cleaned=work.cleaned,
            busy=frozenset(work.busy),
            failures=dict(work.failures),
            messages=work.messages,
            stopping=dict(work.stopping),
            ended=work.ended,
            deleted_at=work.deleted_at,
            ending_at=work.ending_at,
            delays=dict(work.delays),
            hooked=frozenset(work.hooked),
            longest_delay_s=self._tools.config.kubelet.max_container_restart_period_s,
            resized=dict(work.resized),
            given=given_whole(work.pod, work.given),
            allocatable=work.allocatable,
            network_ready=self._network_ready(),
            refused=work.refused,
            evicted=work.evicted,
            released=work.released,
            bound=dict(work.bound),
            **self._devices(),
        )

    def _devices(self) -> dict[str, Any]:
        """What is known of what the pod has to itself, as members of `Facts`."""
        work, tools = self.work, self._tools
        known = tools.allotments.facts(work.pod, refused=work.refused is not None) | tools.claims.facts(
            work.uid, work.pod
        )
        for name, told in tools.claims.healths(work.pod).items():
            devices = known.setdefault("devices", {})
            devices[name] = [*devices.get(name, ()), *told]
        return known

    def _weighed(self, facts: Facts) -> Facts:
        """Whether there is room for what a changed spec asks for: asked until there is, and not again afterwards."""
        work = self.work
        if work.object is None or not differing(work.pod, facts) or work.granted == work.pod.metadata.generation:
            return facts
        if crowded := self._crowding(work.uid, work.pod):
            return replace(facts, crowded=crowded)
        work.granted = work.pod.metadata.generation
        return facts

    def _plan(self, facts: Facts) -> Plan:
        if self.work.object is not None and not self.work.gone:
            planned = plan(self.work.pod, facts)
            if planned.ends and self.work.ending_at is None:
                self.work.ending_at = facts.now
                self._tell_end(facts)
            self.work.delays |= delays_after(self.work.pod, facts)
            return planned
        planned = plan_orphan(facts)
        if not planned.steps and not facts.busy and planned.wake_at is None:
            self.work.finished = True
        return planned

    def _tell_end(self, facts: Facts) -> None:
        """An event where it was the pod's own time that ended it: evictions and refusals have told of themselves."""
        ended = outcome(self.work.pod, facts)
        if ended is not None and ended[1] == DEADLINE and not self.work.pod.terminal:
            self._actor.tell(self.work, "Normal", DEADLINE, ended[2])

    def _start(self, planned: Plan, group: asyncio.TaskGroup) -> None:
        for step in planned.steps:
            self.work.busy.add(step.key)
            group.create_task(self._carry_out(step))

    async def _carry_out(self, step: Step) -> None:
        work, key = self.work, step.key
        _log.debug("step", pod=self._name(), step=step)
        try:
            await self._actor.carry_out(step, work)
        except (RuntimeFailure, ApiError, Retryable, OSError) as error:  # a full disk, say
            reason = "CreateContainerError" if key[0] == "start" else "Error"
            self._note(key, error, getattr(error, "reason", reason))
        except Exception as bug:  # noqa: BLE001 - reported, and noted as a failure of this step
            bugs.report(f"step {key[0]}", bug)
            self._note(key, bug, "InternalError")
        else:
            work.failures.pop(key, None)
            if key[0] == "start":
                work.failures.pop(("image", key[1]), None)
        finally:
            work.busy.discard(key)
            if key[0] == "stop":
                work.stopping.pop(key[1], None)
            self.look()

    def _note(self, key: StepKey, error: Exception, reason: str) -> None:
        now = self._tools.clock.now()
        before = self.work.failures.get(key)
        count = before.count + 1 if before is not None else 1
        first_s, longest_s = RETRIES.get(key[0], OTHER_RETRIES)
        retry_at = now + timedelta(seconds=delay_s(count - 1, first_s, longest_s))
        self.work.failures[key] = Failure(reason, str(error), now, retry_at, count)
        _log.info("step failed", pod=self._name(), step=" ".join(key).strip(), error=error)

    # the status

    async def _tell_status(self, facts: Facts) -> None:
        work = self.work
        found = work.object
        if found is None:
            return
        old: Document = found.document().get("status") or {}
        new = status_of(work.pod, old, facts)
        self._tell_backoffs(new)
        patch = status_patch(work.uid, old, new)
        if patch is None:
            return
        if work.tell_static is not None:
            self.update(with_status(found, new))
            work.tell_static(found, new)
            return
        try:
            with span("status", self._tools.clock.monotonic):
                written = await self._tools.client.patch(
                    POD, found.namespace, found.name, patch, type="strategic", subresource="status"
                )
            self.update(written)
            self._note_start(new)
        except (NotFound, Conflict):  # deleted meanwhile, perhaps made anew under the same name
            work.gone = True

    def _note_start(self, written: Document) -> None:
        """Where the time went, once the API server knows that the pod runs."""
        timeline = self._timeline
        if timeline.over or written.get("phase") != "Running":
            return
        timeline.over = True
        parts, vitals = spent(timeline, self._tools.clock.monotonic()), self._tools.vitals
        for part, seconds in parts.items():
            vitals.starts.observe(seconds, part)
        vitals.began.observe(parts[TOTAL])
        pod = self.work.pod
        if (created := pod.metadata.creation_timestamp) is not None:
            whole_s = max(0.0, (self._tools.clock.now() - created).total_seconds())
            vitals.created.observe(whole_s)
            if not pod.spec.init_containers:
                vitals.promised.observe(max(0.0, whole_s - parts.get("image", 0.0)))
        timeline.spans.clear()

    def _tell_backoffs(self, new: Document) -> None:
        """An event for each container that has just gone into back-off."""
        waiting: dict[str, str] = {}
        for key in ("initContainerStatuses", "containerStatuses"):
            for status in new.get(key) or ():
                reason = dig(status, "state", "waiting", "reason", default="")
                waiting[status["name"]] = reason
                if reason == self.work.status.get(status["name"]):
                    continue
                meta, name = self.work.pod.metadata, status["name"]
                if reason == "CrashLoopBackOff":
                    where = f"{meta.name}_{meta.namespace}({meta.uid})"
                    text = f"Back-off restarting failed container {name} in pod {where}"
                    self._actor.tell(self.work, "Warning", "BackOff", text, name)
                elif reason == "ImagePullBackOff":
                    text = f'Back-off pulling image "{status["image"]}"'
                    self._actor.tell(self.work, "Normal", "BackOff", text, name)
                    self._actor.tell(self.work, "Warning", "Failed", "Error: ImagePullBackOff", name)
        self.work.status = waiting


def _first(*moments: datetime | None) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)
