"""A cluster of given nodes lives through a given trace, on virtual time: what `navarch simulate` runs.

The control plane is the whole one, on `SimulationLoop`: no thread, no socket, no real time. One seed is one history.
What is drawn by chance, with faults in every organ and promises that are checked, is `simulate`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from navarch.apiserver.call import User
from navarch.app.control_plane import AUTHENTICATED, ControlPlane, Settings
from navarch.base.clock import LoopClock, SeededIds, rfc3339
from navarch.base.errors import AlreadyExists, ApiError, BadRequest, Forbidden, Retryable
from navarch.base.loop import SimulationLoop
from navarch.base.pki import new_key
from navarch.client.informer import Informers
from navarch.controllers.options import Options
from navarch.kinds import CUSTOMRESOURCEDEFINITION, NAMESPACE, NODE, POD, SERVICEACCOUNT
from navarch.kinds.kind import Kind
from navarch.kinds.metrics import METERED
from navarch.kinds.registry import DEFAULT
from navarch.objects.value import Document
from navarch.store.memory import MemoryStore
from navarch.testing import report
from navarch.testing.behaviour import Behaviour
from navarch.testing.fleet import Fleet
from navarch.testing.heartbeats import SimulatedHeartbeats
from navarch.testing.nodes import SimulatedNodes
from navarch.testing.recorder import Recorder
from navarch.testing.report import Report
from navarch.testing.trace import Apply, Cordon, Delete, Patch, Power, Step
from navarch.testing.wait import target

START = datetime(2030, 1, 1, tzinfo=UTC)
USER = User("kubernetes-admin", groups=("system:masters", AUTHENTICATED))
NODES_USER = User("system:simulated-nodes", groups=("system:masters", AUTHENTICATED))
MANAGER = "navarch-simulate"
SAMPLES = 240
READY_S = 60.0
APPEARS_S = 5.0
"""How long a namespace's account or a kind that was defined may take to be there."""
REGISTER_TOGETHER = 64


@dataclass(frozen=True, slots=True)
class Scenario:
    """steps: by time. length_s: when it ends."""

    fleet: Fleet
    steps: Sequence[Step]
    length_s: float
    seed: int = 0
    start: datetime = START
    behaviours: Sequence[Behaviour] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    at_s: float
    length_s: float
    pods: int
    pending: int


Tell = Callable[[Progress], None]


def play(scenario: Scenario, tell: Tell = lambda progress: None) -> Report:
    """tell: called now and then while virtual time passes.

    Raises: BadRequest, naming the line of the trace or manifest that the API refuses.
    """
    with asyncio.Runner(loop_factory=SimulationLoop) as runner:
        return runner.run(_history(scenario, tell))


async def _history(scenario: Scenario, tell: Tell) -> Report:
    run = _Run(scenario, tell)
    await run.control.start()
    try:
        return await run.through()
    finally:
        await run.control.close()


class _Run:
    """Made on the loop that it runs on."""

    def __init__(self, scenario: Scenario, tell: Tell) -> None:
        self.scenario = scenario
        self.tell = tell
        clock = self.clock = LoopClock(scenario.start, asyncio.get_running_loop())
        heartbeats = SimulatedHeartbeats(clock)
        settings = Settings(signing_key=new_key(), options=Options(cluster_cidr=""), simulated=True)
        self.control = ControlPlane(
            MemoryStore(),
            clock,
            SeededIds(scenario.seed),
            settings,
            kinds=DEFAULT.with_kinds(*METERED),
            heartbeats=heartbeats,
        )
        nodes_client = self.control.client(NODES_USER, "kubelet")
        self.informers = Informers(nodes_client, clock)
        self.nodes = SimulatedNodes(nodes_client, clock, heartbeats, scenario.behaviours, informers=self.informers)
        self.control.core.measure_by(self.nodes)
        self.recorder = Recorder(self.informers, clock)
        self.client = self.control.client(USER, MANAGER)
        self.began_s = 0.0
        self.refused: list[str] = []
        self.made_namespaces: list[str] = []

    async def through(self) -> Report:
        failure: BadRequest | None = None
        async with asyncio.TaskGroup() as group:
            ready = asyncio.Event()
            organs = [
                group.create_task(self.control.run(ready)),
                group.create_task(self.informers.run()),
                group.create_task(self.nodes.run()),
            ]
            await ready.wait()
            try:
                await self._prepare()
                await self._live()
            except BadRequest as error:
                failure = error
            for organ in organs:
                organ.cancel()
        if failure is not None:
            raise failure
        return await self._report()

    async def _prepare(self) -> None:
        await self._make(NAMESPACE, {"metadata": {"name": "default"}})
        await self._account("default")
        machines = list(self.scenario.fleet.machines.items())
        for begin in range(0, len(machines), REGISTER_TOGETHER):
            async with asyncio.TaskGroup() as group:
                for name, machine in machines[begin : begin + REGISTER_TOGETHER]:
                    group.create_task(self.nodes.add(name, machine))
        given = {name: len(machine.taints) for name, machine in machines}
        await self._until(
            lambda: all(
                node.view.ready and len(node.view.spec.taints) <= given.get(node.name, 0)
                for node in self.control.core.reads.list(NODE)
            ),
            READY_S,
        )
        for name in self.scenario.fleet.cordoned:
            await self.client.patch(NODE, "", name, {"spec": {"unschedulable": True}})
        await self.clock.sleep(1.0 - self.clock.now().microsecond / 1e6)  # objects tell their age in whole seconds
        self.began_s = self.clock.monotonic()
        self.recorder.begin()

    async def _until(self, holds: Callable[[], bool], patience_s: float) -> bool:
        deadline_s = self.clock.monotonic() + patience_s
        while not holds():
            if self.clock.monotonic() >= deadline_s:
                return False
            await self.clock.sleep(0.05)
        return True

    # -- the trace

    async def _live(self) -> None:
        """From step to step and sample to sample, to the end."""
        length_s = self.scenario.length_s
        steps = [step for step in self.scenario.steps if step.at_s <= length_s]
        moments = {length_s * number / SAMPLES for number in range(SAMPLES + 1)}
        following = iter([*steps, None])
        step = next(following)
        for moment_s in sorted(moments | {step.at_s for step in steps}):
            await self._pass_until(moment_s)
            if moment_s in moments:
                self._look(moment_s)
            while step is not None and step.at_s <= moment_s:
                await self._carry_out(step)
                step = next(following)
        self._look(length_s)

    async def _pass_until(self, at_s: float) -> None:
        await self.clock.sleep(max(0.0, self.began_s + at_s - self.clock.monotonic()))

    def _look(self, at_s: float) -> None:
        self.recorder.sample()
        self.tell(Progress(at_s, self.scenario.length_s, self.recorder.pods, self.recorder.pending))

    async def _carry_out(self, step: Step) -> None:
        """Raises: BadRequest, saying where."""
        try:
            match step.action:
                case Apply(document=document):
                    await self._apply(document)
                case Delete(target=text, namespace=namespace):
                    found = target(self.control.kinds, text, namespace)
                    await self.client.delete(found.kind, found.namespace, found.name, propagation="Background")
                case Patch(target=text, namespace=namespace, patch=patch):
                    found = target(self.control.kinds, text, namespace)
                    await self.client.patch(found.kind, found.namespace, found.name, patch)
                case Power(node=node, on=on):
                    (self.nodes.heal if on else self.nodes.fail)(node)
                case Cordon(node=node, unschedulable=unschedulable):
                    await self.client.patch(NODE, "", node, {"spec": {"unschedulable": unschedulable or None}})
        except Forbidden as error:
            self.refused.append(f"{step.where}, after {step.at_s:g} s: {error.message}")
        except (ApiError, Retryable) as error:
            raise BadRequest(f"{step.where}, after {step.at_s:g} s: {error}") from error

    async def _apply(self, document: Document) -> None:
        kind = await self._kind(document)
        metadata = dict(document["metadata"])
        if kind.namespaced:
            await self._namespace(metadata.setdefault("namespace", "default"))
        else:
            metadata.pop("namespace", None)
        whole = {**document, "metadata": metadata}
        if metadata.get("name"):
            await self.client.apply(kind, whole, manager=MANAGER, force=True)
        else:
            await self.client.create(kind, whole)
        if kind is NAMESPACE:
            await self._account(metadata["name"])

    async def _kind(self, document: Document) -> Kind:
        """Waits for one that is being defined. Raises: BadRequest."""
        version, name = document["apiVersion"], document["kind"]
        kinds = self.control.kinds
        if kinds.named(version, name) is None and self.control.core.reads.list(CUSTOMRESOURCEDEFINITION):
            await self._until(lambda: kinds.named(version, name) is not None, APPEARS_S)
        found = kinds.named(version, name)
        if found is None:
            raise BadRequest(f'no matches for kind "{name}" in version "{version}"')
        return found

    async def _namespace(self, name: str) -> None:
        """A namespace that no manifest brings is made: the question is where pods go, not who forgot what."""
        if self.control.core.reads.get(NAMESPACE, "", name) is None:
            self.made_namespaces.append(name)
            await self._make(NAMESPACE, {"metadata": {"name": name}})
            await self._account(name)

    async def _account(self, namespace: str) -> None:
        """Until pods may be made there."""
        reads = self.control.core.reads
        await self._until(lambda: reads.get(SERVICEACCOUNT, namespace, "default") is not None, APPEARS_S)

    async def _make(self, kind: Kind, document: Document) -> None:
        try:
            await self.client.create(kind, {"apiVersion": kind.api_version, "kind": kind.name, **document})
        except AlreadyExists:
            return

    # -- what came of it

    async def _report(self) -> Report:
        recorder = self.recorder
        pending, unwell = recorder.pending_and_unwell()
        nodes = self.informers.of(NODE)
        named = [found for name in self.nodes.names() if (found := nodes.get("", name)) is not None]
        notes = []
        if self.made_namespaces:
            notes.append(f"namespaces that no manifest brings were made: {', '.join(self.made_namespaces)}")
        late = sum(step.at_s > self.scenario.length_s for step in self.scenario.steps)
        if late:
            notes.append(
                f"left out, since they lie after the end: {late} of {len(self.scenario.steps)} steps of the trace"
            )
        return Report(
            seed=self.scenario.seed,
            start=rfc3339(self.scenario.start),
            seconds=self.scenario.length_s,
            writes=self.control.core.revision,
            nodes=report.nodes_of(named, self.informers.of(POD).list()),
            workloads=recorder.workloads(),
            pending=pending,
            unwell=unwell,
            events=recorder.events(),
            outages=recorder.outages(),
            refused=tuple(self.refused),
            notes=tuple(notes),
            samples=tuple(recorder.samples),
        )
