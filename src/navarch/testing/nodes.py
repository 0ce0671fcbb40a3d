"""All simulated nodes of a cluster as one organ: registers them, moves their pods along, lets them die and heal.

It does for every node what an agent does for one, minus the containers: `life` says what a pod's status is, this module
writes it when it is due. A node that is failed writes nothing and sends no sign of life; its pods stay as they were.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count

from navarch.apiserver.meter import NodeUsage
from navarch.base.clock import Clock
from navarch.base.errors import AlreadyExists, ApiError, Conflict, NotFound, Retryable, Unavailable
from navarch.base.log import Log
from navarch.base.tasks import BugReport, KeyQueue
from navarch.client.client import Client
from navarch.client.events import Events, Recorder
from navarch.client.informer import Informers, Key
from navarch.kinds import NODE, POD
from navarch.kinds.object import Object
from navarch.objects import condition
from navarch.objects.value import Document, dig
from navarch.testing.behaviour import DONE, JOB, WELL, Behaviour
from navarch.testing.heartbeats import SimulatedHeartbeats
from navarch.testing.life import NEVER, Choose, live, stopped
from navarch.testing.machine import (
    ONLY_IPV4,
    Addresses,
    Machine,
    node_address,
    node_in_families,
    plain,
    pod_in_families,
    ready_conditions,
)
from navarch.testing.usage import node_usage

WORKERS = 16
MOST_KEYS = 10_000_000
"""The queue is bounded by the pods and nodes that there are."""
RETRY_S = 1.0
VERSION = "v1.36.0"
NODE_NAME = b'"nodeName":'
"""In the bytes of every pod that was given a node."""

log = Log("testing.nodes")


@dataclass(slots=True)
class _Node:
    number: int
    addresses: Addresses
    recorder: Recorder
    alive: bool = True


@dataclass(slots=True)
class _Pod:
    """What is known of a pod on a node.

    told: revision of the last write; it is not looked at before that is seen. due_s: when its status changes by itself.
    """

    arrived: datetime
    told: int = 0
    due_s: float = 0.0
    failing: str = ""
    stopping: datetime | None = None


@dataclass(slots=True)
class _Alarms:
    """Keys to look at again, by time."""

    due: list[tuple[float, int, Key]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    order: count[int] = field(default_factory=count)

    def set(self, due_s: float, key: Key) -> None:
        heapq.heappush(self.due, (due_s, next(self.order), key))
        if self.due[0][2] == key:
            self.changed.set()


class SimulatedNodes:
    """behaviours: the first that concerns a container is its own; more can be put before them while it runs.

    informers: shared with others in the process, who then run them; made and run here when None.
    families: of the addresses that nodes and pods have.
    """

    def __init__(
        self,
        client: Client,
        clock: Clock,
        heartbeats: SimulatedHeartbeats,
        behaviours: Sequence[Behaviour] = (),
        *,
        informers: Informers | None = None,
        families: Sequence[str] = ONLY_IPV4,
    ) -> None:
        self._families = families
        self.behaviours = list(behaviours)
        self._client = client
        self._clock = clock
        self._heartbeats = heartbeats
        self._informers = informers or Informers(client, clock)
        self._own_informers = informers is None
        self._events = Events(client, clock)
        self._bugs = BugReport(log)
        self._queue: KeyQueue[Key] = KeyQueue(MOST_KEYS)
        self._alarms = _Alarms()
        self._numbers = count()
        self._nodes: dict[str, _Node] = {}
        self._known: dict[str, _Pod] = {}
        self._pods = self._informers.of(POD)
        self._pods.index("node", lambda pod: (pod.glance.node,))
        self._pods.subscribe(self._on_pod)
        self._informers.of(NODE).subscribe(self._on_node)

    # -- what tests do to nodes

    async def add(self, name: str, machine: Machine | None = None) -> None:
        """Register a node; one of that name that is there already is taken over."""
        machine = machine or Machine()
        number = next(self._numbers)
        status = machine.status(name, number, self._clock.now(), VERSION)
        document = node_in_families(machine.document(name, number) | {"status": status}, self._families)
        try:
            await self._client.create(NODE, document)
        except AlreadyExists:
            await self._client.patch(NODE, "", name, {"status": document["status"]}, subresource="status")
        self._nodes[name] = _Node(number, Addresses(number), self._events.of("kubelet", name))
        self.heal(name)

    def fail(self, name: str) -> None:
        """The node falls silent, as if its power were cut. Raises: NotFound."""
        self._node(name).alive = False
        self._heartbeats.silence(name)

    def heal(self, name: str) -> None:
        """The node is back, with its pods as they should be by now. Raises: NotFound."""
        self._node(name).alive = True
        self._heartbeats.revive(name)
        for pod in self._pods.by("node", name):
            if pod.uid in self._known:
                self._known[pod.uid].due_s = 0.0
            self._queue.add(pod.key)
        self._queue.add(("", name))

    def names(self) -> list[str]:
        return list(self._nodes)

    def behave(self, behaviour: Behaviour) -> None:
        """From now on, before all other behaviours; pods that are there follow it as if they always had."""
        self.behaviours.insert(0, behaviour)
        for known in self._known.values():
            known.due_s = 0.0
        for pod in self._pods.list():
            self._queue.add(pod.key)

    def _node(self, name: str) -> _Node:
        found = self._nodes.get(name)
        if found is None:
            raise NotFound(f'simulated node "{name}" not found', kind="nodes", name=name)
        return found

    async def measure(self, name: str) -> NodeUsage:
        """As `apiserver.meter.Meter`. Raises: Unavailable, when the node is not one of these or does not live."""
        node = self._nodes.get(name)
        if node is None or not node.alive:
            raise Unavailable(f"node {name} does not answer")

        def chosen(pod: Object, container: Document) -> Behaviour:
            return self._chooser(pod)(container, False)

        return node_usage(self._pods.by("node", name), self._pods.list(), chosen, self._clock.now())

    def successor(self, client: Client) -> SimulatedNodes:
        """Another organ for the same machines, after this one has crashed: it knows no pod."""
        made = SimulatedNodes(client, self._clock, self._heartbeats, self.behaviours, families=self._families)
        made._numbers = self._numbers
        for name, node in self._nodes.items():
            made._nodes[name] = _Node(node.number, Addresses(node.number), made._events.of("kubelet", name), node.alive)
        return made

    # -- the organ

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            if self._own_informers:
                group.create_task(self._informers.run())
            group.create_task(self._events.run())
            group.create_task(self._ring())
            for _ in range(WORKERS):
                group.create_task(self._work())

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        if old is not None and (new is None or new.uid != old.uid):
            self._known.pop(old.uid, None)
            before = self._nodes.get(old.view.spec.node_name)
            if before is not None:
                before.addresses.release(old.uid)
        if new is None or NODE_NAME not in new.raw:  # it has no node yet: no need to look closer
            return
        if (node := self._nodes.get(new.view.spec.node_name)) is None:
            return
        address = plain(new.view.status.pod_ip)
        if address and address != node_address(node.number):
            node.addresses.of(new.uid, address)  # given by the organ before this one
        self._queue.add(new.key)

    def _on_node(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            if old is not None and self._nodes.pop(old.name, None) is not None:
                self._heartbeats.forget(old.name)
        elif new.name in self._nodes:
            self._queue.add(("", new.name))

    async def _ring(self) -> None:
        alarms = self._alarms
        while True:
            alarms.changed.clear()
            now_s = self._clock.monotonic()
            while alarms.due and alarms.due[0][0] <= now_s:
                self._queue.add(heapq.heappop(alarms.due)[2])
            wait_s = alarms.due[0][0] - now_s if alarms.due else None
            try:
                async with asyncio.timeout(wait_s):
                    await alarms.changed.wait()
            except TimeoutError:
                continue

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                if key[0]:
                    await self._look_at_pod(key)
                else:
                    await self._look_at_node(key[1])
            except (ApiError, Retryable) as error:
                log.info("to be tried again", key="/".join(key), error=str(error))
                self._alarms.set(self._clock.monotonic() + RETRY_S, key)
            except Exception as bug:  # noqa: BLE001 - one pod's bug must not stop the others; reported
                self._bugs.report("simulated node", bug)
            finally:
                self._queue.done(key)

    async def _look_at_node(self, name: str) -> None:
        node, found = self._nodes.get(name), self._informers.of(NODE).get("", name)
        if node is None or found is None or not node.alive or found.view.ready:
            return
        conditions = dig(found.document(), "status", "conditions", default=[])
        for made in ready_conditions(self._clock.now()):
            conditions = condition.set(
                conditions, {k: v for k, v in made.items() if "Time" not in k}, self._clock.now()
            )
        await self._client.patch(NODE, "", name, {"status": {"conditions": conditions}}, subresource="status")

    async def _look_at_pod(self, key: Key) -> None:
        found = self._pods.get(*key)
        node = self._nodes.get(found.view.spec.node_name) if found is not None else None
        if found is None or node is None or not node.alive:
            return
        known = self._known.get(found.uid)
        if known is None:
            known = self._known[found.uid] = _Pod(self._arrival(found))
        if found.revision < known.told or self._as_told(found, known):
            return
        try:
            if found.view.terminating:
                await self._stop(found, known)
            elif not found.view.terminal:
                await self._go_on(found, known, node)
        except (NotFound, Conflict) as error:
            log.debug("the pod went away", key="/".join(key), error=str(error))

    def _as_told(self, pod: Object, known: _Pod) -> bool:
        """The pod is as the last write left it. That may have been somebody else's, had ours nothing to change: what
        others say that matters here is looked at."""
        if pod.revision != known.told or pod.view.terminating or pod.view.spec.readiness_gates:
            return False
        return self._clock.monotonic() < known.due_s

    def _arrival(self, pod: Object) -> datetime:
        """When the pod came: as its status has it, if a node of this name told so before."""
        began: datetime | None = pod.view.status.start_time
        return began if began is not None else self._clock.now()

    async def _go_on(self, pod: Object, known: _Pod, node: _Node) -> None:
        document, now = pod.document(), self._clock.now()
        host = node_address(node.number)
        network = bool(dig(document, "spec", "hostNetwork"))
        address = host if network else node.addresses.of(pod.uid, plain(dig(document, "status", "podIP", default="")))
        moment = live(document, self._chooser(pod), known.arrived, now, host, address)
        status = moment.status
        if self._families != ONLY_IPV4:
            status = pod_in_families(status, self._families)
        due_s = NEVER
        if moment.change_s != NEVER:
            wait_s = (known.arrived + timedelta(seconds=moment.change_s) - now).total_seconds()
            due_s = self._clock.monotonic() + max(wait_s, 0.0)
            self._alarms.set(due_s, pod.key)
        before = dig(document, "status", default={})
        if all(before.get(name) == value for name, value in status.items()):
            return
        patch = {"metadata": {"uid": pod.uid}, "status": status}
        written = await self._client.patch(POD, *pod.key, patch, type="strategic", subresource="status")
        known.told, known.due_s = written.revision, due_s
        self._complain(pod, known, node, moment.status)

    def _chooser(self, pod: Object) -> Choose:
        labels = pod.labels
        is_job = any(owner.kind == "Job" for owner in pod.view.metadata.owner_references)

        def choose(container: Document, init: bool) -> Behaviour:
            image, name = container.get("image", ""), container.get("name", "")
            found = next((b for b in self.behaviours if b.concerns(image, labels, name)), None)
            if found is None:
                found = DONE if init else JOB if is_job else WELL
            elif init and found.runs_s is None and not found.image_error and container.get("restartPolicy") != "Always":
                found = DONE
            return found

        return choose

    def _complain(self, pod: Object, known: _Pod, node: _Node, status: Document) -> None:
        """Tell of containers that newly fail, in the words of a node's agent."""
        failing = ""
        for container in (*status.get("initContainerStatuses", ()), *status["containerStatuses"]):
            waiting = dig(container, "state", "waiting", default={})
            if waiting.get("message"):
                failing = waiting["reason"]
                if failing != known.failing:
                    said = "BackOff" if failing in ("CrashLoopBackOff", "ImagePullBackOff") else "Failed"
                    text = f"{waiting['message']} (container {container['name']}, image {container['image']})"
                    node.recorder.event(pod, "Warning", said, text)
        known.failing = failing

    async def _stop(self, pod: Object, known: _Pod) -> None:
        now, view = self._clock.now(), pod.view
        if known.stopping is None:
            grace_s = view.metadata.deletion_grace_period_seconds or 0
            choose = self._chooser(pod)
            stop_s = max(choose(c, False).stop_s for c in dig(pod.document(), "spec", "containers"))
            known.stopping = now + timedelta(seconds=min(stop_s, grace_s))
        wait_s = (known.stopping - now).total_seconds()
        if wait_s > 0:
            self._alarms.set(self._clock.monotonic() + wait_s, pod.key)
            return
        if view.metadata.finalizers and not view.terminal:
            patch = {"metadata": {"uid": pod.uid}, "status": stopped(pod.document(), now)}
            await self._client.patch(POD, *pod.key, patch, type="strategic", subresource="status")
        await self._client.delete(POD, *pod.key, uid=pod.uid, grace_s=0)
