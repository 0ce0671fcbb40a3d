"""All pods of the node: a worker for each, woken by the API server, the runtime, and the objects that pods refer to.

What the runtime or the disk holds of pods that the API server no longer has gets a worker too, which clears it away;
that can only be known once the list of the node's pods is complete.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from navarch.agent import admit, logs, resources
from navarch.agent.act import Tools
from navarch.agent.eviction import limits, ranking
from navarch.agent.eviction.ranking import Eviction
from navarch.agent.eviction.repeats import Repeats
from navarch.agent.facts import Failure, is_alive
from navarch.agent.leftovers import Leftovers
from navarch.agent.lookout import Lookout, Marks
from navarch.agent.runtime import PodOnNode
from navarch.agent.statics.file import hash_of
from navarch.agent.statics.source import StaticPods
from navarch.agent.vitals import Vitals
from navarch.agent.work import Work
from navarch.agent.worker import Worker, bugs
from navarch.base.clock import Ids
from navarch.base.errors import Retryable
from navarch.base.log import Log
from navarch.client.informer import Informer
from navarch.kinds.node import Node
from navarch.kinds.object import Object
from navarch.kinds.pod import Pod

_log = Log("agent")

AWAY_S = 1.0
ROTATION_S = 10.0


class Pods:
    """informer: of the pods of this node. node: its object. vitals: what is counted. abilities: of the machine.
    pressure: the conditions that the node has."""

    def __init__(
        self,
        tools: Tools,
        ids: Ids,
        informer: Informer,
        network_ready: Callable[[], bool],
        lookout: Lookout,
        vitals: Vitals,
        leftovers: Leftovers,
        allocatable: Mapping[str, str],
        node: Callable[[], Node | None],
        abilities: Callable[[], admit.Abilities],
        pressure: Callable[[], frozenset[str]] = frozenset,
        statics: StaticPods | None = None,
    ) -> None:
        self._tools = tools
        self._ids = ids
        self._informer = informer
        self._network_ready = network_ready
        self._lookout = lookout
        self._vitals = vitals
        self._leftovers = leftovers
        self._allocatable = allocatable
        self._node = node
        self._abilities = abilities
        self._pressure = pressure
        self._statics = statics
        self._workers: dict[str, Worker] = {}
        self._group: asyncio.TaskGroup | None = None
        self._seen: dict[str, PodOnNode] = {}
        self._burstable_milli = -1
        self._closed: admit.Refusal | None = None
        self._repeats = Repeats(tools.clock.now)
        self._complete = False
        """Whether the list of the node's pods is known."""
        self._deferred: set[str] = set()
        """Pods that wait for room to grow in."""

    def __len__(self) -> int:
        return len(self._workers)

    def refresh(self, uids: Iterable[str]) -> None:
        """Objects that these pods refer to have changed."""
        for uid in uids:
            if uid in self._workers:
                self._workers[uid].refresh()

    def rebind(self) -> None:
        """The CPUs that containers share have changed."""
        for worker in self._workers.values():
            worker.wake()

    def look_at(self, uids: Iterable[str]) -> None:
        """The runtime has told that something of these pods may have changed."""
        for uid in uids:
            if uid in self._workers:
                self._workers[uid].look()

    def marks(self) -> Marks:
        return {uid: worker.looks for uid, worker in self._workers.items() if worker.at_rest}

    async def compare(self, found: Mapping[str, PodOnNode], marks: Marks) -> list[str]:
        """See `lookout.Sights`."""
        different = []
        for uid, worker in list(self._workers.items()):
            if not worker.at_rest:
                worker.look()  # at once, if it was waiting for the runtime to answer again
            elif found.get(uid, PodOnNode(uid)) != worker.work.runtime:
                if marks.get(uid) == worker.looks:
                    different.append(uid)
                worker.look()
        self._seen = dict(found)
        await self._clear_up()
        await self._share_burstable()
        return different

    # what the node's shortages ask for

    def active(self) -> list[Pod]:
        """Those that run or are about to, and that nobody has evicted yet."""
        works = [worker.work for worker in self._workers.values()]
        return [work.pod for work in works if _is_active(work)]

    def evict(self, eviction: Eviction) -> None:
        if (worker := self._workers.get(eviction.uid)) is None:
            return
        if eviction.cause in limits.CAUSES and (owner := worker.work.pod.metadata.controller) is not None:
            self._repeats.note(owner.uid)
        worker.evict(eviction)

    def is_stopped(self, uid: str) -> bool:
        """Whether nothing of it runs or is about to, and its volumes are given back."""
        worker = self._workers.get(uid)
        if worker is None:
            return True
        idle = not (worker.work.busy or any(map(is_alive, worker.work.runtime.containers)))
        return idle and worker.work.cleaned

    def close(self, refusal: admit.Refusal | None) -> None:
        """Take no pods any more; None: take them again."""
        self._closed = refusal

    def is_over(self, uid: str) -> bool:
        worker = self._workers.get(uid)
        return worker is None or worker.work.gone or worker.work.pod.terminal

    def release(self) -> int:
        """Give up what is left of pods that have ended; returns of how many."""
        ended = [one for one in self._workers.values() if one.work.object is not None and one.work.pod.terminal]
        found = [one for one in ended if one.work.runtime.sandboxes or one.work.runtime.containers]
        for worker in found:
            worker.release()
        return len(found)

    def images_used(self) -> set[str]:
        """Ids and names of the images that pods of this node are, or will be, started from."""
        works = [worker.work for worker in self._workers.values()]
        ids = {image.id for work in works for image in work.images.values()}
        pods = [work.pod for work in works if work.object is not None and not work.pod.terminal]
        specs = [pod.spec for pod in pods]
        every = [one for spec in specs for one in (*spec.init_containers, *spec.containers, *spec.ephemeral_containers)]
        mounted = {one.image.reference for spec in specs for one in spec.volumes if one.image is not None}
        return ids | {one.image for one in every} | mounted

    # what has changed

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        newest = new if new is not None else old
        if newest is not None and hash_of(newest):
            if self._statics is not None:
                self._statics.mirrors.look(newest.key)
            return
        if new is not None:
            if new.uid in self._workers:
                self._workers[new.uid].update(new)
            else:
                self._employ(new.uid, new)
        if old is not None and (new is None or new.uid != old.uid) and old.uid in self._workers:
            self._workers[old.uid].gone()
        self._deferred &= self._workers.keys()
        for uid in self._deferred - {item.uid for item in (old, new) if item is not None}:
            self._workers[uid].wake()

    def employ_static(self, found: Object) -> None:
        self._employ(found.uid, found)

    def change_static(self, found: Object) -> None:
        if found.uid in self._workers:
            self._workers[found.uid].end(found)

    def _employ(self, uid: str, found: Object | None) -> None:
        """Give the pod a worker."""
        if self._group is None:
            return
        if (refused := self._refusal(found) if found is not None else None) is not None:
            self._vitals.rejected.add(refused[0])
        work = Work(
            uid=uid,
            object=found,
            namespace=found.namespace if found is not None else "",
            name=found.name if found is not None else "",
            runtime=self._seen.get(uid, PodOnNode(uid)),
            node_name=self._tools.config.node_name,
            node_ips=self._tools.config.node_ips,
            allocatable=self._allocatable,
            refused=refused,
            gone=found is None,
            tell_static=self._statics.told if self._statics is not None and uid in self._statics else None,
        )
        if found is not None and refused is None and not self._begun(found):
            self._hold_back(work, found)
        worker = self._workers[uid] = Worker(work, self._tools, self._ids, self._network_ready, self.crowding)
        self._group.create_task(self._run(uid, worker))

    def _hold_back(self, work: Work, found: Object) -> None:
        owner = found.view.metadata.controller
        until = self._repeats.held_until(owner.uid) if owner is not None else None
        if owner is None or until is None:
            return
        now = self._tools.clock.now()
        text = (
            f"back-off {(until - now).total_seconds():.0f}s starting the pod: "
            f"another of {owner.kind} {owner.name} was evicted from this node for what it held on the disk"
        )
        work.failures[("sandbox", "")] = Failure("EvictionBackOff", text, now, until)
        self._tools.recorder.event(found, "Warning", "BackOff", text)

    def _refusal(self, found: Object) -> admit.Refusal | None:
        """What was taken once, also by an agent before this one, is not refused afterwards."""
        pod: Pod = found.view
        if pod.terminal or self._begun(found):
            return None
        if self._closed is not None:
            return self._closed
        if (harm := ranking.refusal(pod, self._pressure()) or admit.refusal(pod, self._abilities())) is not None:
            return harm
        return admit.misfit(pod, self._node(), self._others(found.uid), self._allocatable)

    def _begun(self, found: Object) -> bool:
        return found.view.status.start_time is not None or found.uid in self._seen

    def _others(self, uid: str) -> list[Pod]:
        """The pods that the node has taken and that have not ended."""
        listed = [one for one in self._informer.list() if not hash_of(one)]
        statics = [one.work.object for one in self._workers.values() if one.work.tell_static is not None]
        found = (one for one in (*listed, *statics) if one is not None and one.uid != uid and not one.view.terminal)
        held = [self._held(one) for one in found]
        return [one for one in held if one is not None]

    def crowding(self, uid: str, pod: Pod) -> str:
        """Why the running pod must wait for what its spec asks for now; then it is asked again when others change."""
        found = admit.crowding(pod, self._others(uid), self._allocatable)
        (self._deferred.add if found else self._deferred.discard)(uid)
        return found

    def _held(self, found: Object) -> Pod | None:
        """A pod as what it takes of the node; None for one that was refused."""
        worker = self._workers.get(found.uid)
        if not self._took(found):
            return None
        agreed = worker is not None and worker.work.granted == found.view.metadata.generation
        return found.view if agreed else admit.as_given(found.view)

    def _took(self, found: Object) -> bool:
        worker = self._workers.get(found.uid)
        return self._begun(found) if worker is None else worker.work.refused is None

    async def _run(self, uid: str, worker: Worker) -> None:
        try:
            await worker.run()
        except* Exception as group:  # noqa: BLE001 - reported; the other pods' workers go on
            for bug in group.exceptions:
                bugs.report("pod worker", bug)
            await self._tools.clock.sleep(AWAY_S)
        finally:
            if self._workers.get(uid) is worker:
                del self._workers[uid]
            self._tools.references.forget(uid)
        if self._statics is not None and worker.work.tell_static is not None:
            self._statics.ended(uid)
            return
        found = self._informer.get(*worker.work.object.key) if worker.work.object is not None else None
        if found is not None and found.uid == uid:  # the worker gave up on a pod that is still there
            self._employ(uid, found)

    # the loop

    async def run(self, reachable: asyncio.Event) -> None:
        """Until cancelled. reachable: set once the API server knows the node; what comes from files does not wait."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                if self._statics is not None:
                    self._seen = dict(await self._lookout.first())
                    group.create_task(self._statics.run(self))
                    group.create_task(self._statics.mirrors.run())
                    self._look_out(group)
                    await self._statics.begun.wait()
                await reachable.wait()
                await self._informer.synced.wait()
                self._seen = dict(await self._lookout.first())
                self._informer.subscribe(self._on_pod)
                self._complete = True
                await self._clear_up()
                if self._statics is None:
                    self._look_out(group)
                if self._tools.config.log_bytes:
                    group.create_task(self._rotate_logs())
                await asyncio.get_running_loop().create_future()
            finally:
                self._group = None

    def _look_out(self, group: asyncio.TaskGroup) -> None:
        group.create_task(self._lookout.listen(self))
        group.create_task(self._lookout.relist(self))

    async def _clear_up(self) -> None:
        """See to it that nothing stays of pods that no longer exist."""
        if not self._complete or (self._statics is not None and not self._statics.complete):
            return  # whose pods they are is not known yet
        given = (*self._tools.allotments.pods(), *self._tools.claims.pods())
        for uid in dict.fromkeys([*self._seen, *await self._leftovers.uids(), *given]):
            if uid and uid not in self._workers:
                _log.info("found what is left of a pod that no longer exists", uid=uid)
                if uid in self._seen:
                    self._vitals.orphans.add()
                self._employ(uid, None)
        pods = self._seen.values()
        had = {box.id for pod in pods for box in pod.sandboxes} | {one.id for pod in pods for one in pod.containers}
        making = any(("sandbox", "") in worker.work.busy for worker in self._workers.values())
        await self._leftovers.clear(self._workers.__contains__, had, quiet=not making)

    async def _share_burstable(self) -> None:
        """Burstable pods together weigh what they ask for together."""
        total = 0
        for worker in self._workers.values():
            if worker.work.object is not None and resources.qos_class(worker.work.pod) == "Burstable":
                total += resources.pod_total(worker.work.pod, "cpu", limits=False)
        if total != self._burstable_milli and self._tools.cgroups.active:
            self._burstable_milli = total
            await asyncio.to_thread(self._tools.cgroups.share_burstable, total)

    async def _rotate_logs(self) -> None:
        while True:
            await self._tools.clock.sleep(ROTATION_S)
            running = [item for worker in self._workers.values() for item in worker.work.runtime.containers]
            try:
                await logs.rotate(self._tools.runtime, self._tools.clock, self._tools.config, running)
            except Retryable as error:
                _log.warning("logs not rotated", error=error)


def _is_active(work: Work) -> bool:
    if work.object is None or work.gone or work.refused is not None or work.evicted is not None:
        return False
    return not work.pod.terminal
