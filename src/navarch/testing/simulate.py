"""A cluster on virtual time, a workload and faults by chance, and promises checked after every write.

One seed is one history, byte for byte: `python -m navarch.testing.simulate --seed 7` shows again what seed 7 showed.
Everything runs on `SimulationLoop`: no threads, no sockets, no real time.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from navarch.apiserver.call import User
from navarch.apiserver.core import Core
from navarch.base.clock import Ids, LoopClock, SeededIds
from navarch.base.errors import ApiError
from navarch.base.loop import SimulationLoop
from navarch.client.client import Client
from navarch.controllers import Controllers
from navarch.controllers.options import Options
from navarch.kinds import DEPLOYMENT, ENDPOINTSLICE, EVENT, NAMESPACE, NODE, POD, REPLICASET, SERVICEACCOUNT
from navarch.kinds.registry import DEFAULT
from navarch.scheduler.scheduler import Scheduler
from navarch.store.store import Change
from navarch.testing.behaviour import Behaviour
from navarch.testing.faults import (
    ApiErrors,
    Crash,
    Fault,
    FaultyClient,
    LostWatches,
    NodeLoss,
    SlowWatches,
    Weather,
    drawn,
)
from navarch.testing.heartbeats import SimulatedHeartbeats
from navarch.testing.machine import Machine
from navarch.testing.nodes import SimulatedNodes
from navarch.testing.promises import PROMISES, Broken, Follower, Ledger, WatchedStore, differs, replayed
from navarch.testing.workload import workload

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
ADMIN = User("simulation", groups=("system:masters",))
ORGANS = ("controllers", "scheduler", "nodes")
FOLLOWED = (POD, REPLICASET, DEPLOYMENT, EVENT, ENDPOINTSLICE)
QUIET_S = 900.0
"""How long after the last fault everything must be well."""

BEHAVIOURS = (
    Behaviour(image="web:slow", ready_s=7.0, start_s=2.0),
    Behaviour(image="web:crash", runs_s=3.0, exit_code=1),
    Behaviour(image="web:lost", image_error="ErrImagePull"),
    Behaviour(image="web:*", pull_s=0.4, ready_s=0.6, stop_s=1.5),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """digest: of the whole history (revision, key, value of every write)."""

    seed: int
    digest: str
    writes: int
    virtual_s: float
    faults: tuple[Fault, ...]


class _Judge:
    """Remembers the first broken promise. Who breaks it is an organ that would take the error for its own bug."""

    def __init__(self) -> None:
        self.what = ""
        self._broken = asyncio.Event()

    def condemn(self, what: str) -> None:
        self.what = self.what or what
        self._broken.set()

    async def watch(self) -> None:
        await self._broken.wait()
        raise Broken(self.what)


@dataclass(slots=True)
class _Organ:
    name: str
    make: Callable[[Client], Awaitable[None]]
    task: asyncio.Task[None] | None = None
    dying: bool = False


@dataclass(slots=True)
class _World:
    ids: Ids
    clock: LoopClock
    core: Core
    weather: Weather
    heartbeats: SimulatedHeartbeats
    ledger: Ledger
    group: asyncio.TaskGroup
    organs: dict[str, _Organ] = field(default_factory=dict)
    nodes: SimulatedNodes | None = None


def reproduction(seed: int, nodes: int, steps: int, faults: int) -> str:
    return f"python -m navarch.testing.simulate --seed {seed} --nodes {nodes} --steps {steps} --faults {faults}"


def simulate(seed: int, *, nodes: int = 4, steps: int = 30, faults: int = 8) -> Outcome:
    """Run one history.

    steps: changes that a user makes, over some minutes. faults: how many things go wrong meanwhile.

    Raises: Broken, with the one line that shows it again.
    """
    try:
        with asyncio.Runner(loop_factory=SimulationLoop) as runner:
            return runner.run(_history(seed, nodes, steps, faults))
    except* Broken as broken:
        first: BaseException = broken
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise Broken(f"{first}\n  to see it again: {reproduction(seed, nodes, steps, faults)}") from None


async def _history(seed: int, nodes: int, steps: int, number: int) -> Outcome:
    ids = SeededIds(seed)
    clock = LoopClock(EPOCH, asyncio.get_running_loop())
    ledger = Ledger()
    judge = _Judge()
    store = WatchedStore(lambda key, revision, value: _check(ledger, judge, clock, key, revision, value))
    core = Core(store, DEFAULT, clock, ids)
    await core.start()
    names = [f"node-{n}" for n in range(nodes)]
    length_s = steps * 10.0
    faults = drawn(ids, names, ORGANS, length_s, number)
    seen: list[Change] = []
    async with asyncio.TaskGroup() as group:
        world = _World(ids, clock, core, Weather(), SimulatedHeartbeats(clock), ledger, group)
        beside = [group.create_task(_follow(store, seen)), group.create_task(judge.watch())]
        _start_all(world)
        await _prepare(world, names)
        followers = [Follower(core.local(ADMIN, "simulation"), kind) for kind in FOLLOWED]
        beside += [group.create_task(follower.run()) for follower in followers]
        weather = group.create_task(_bring(world, faults))
        wanted = await workload(core.local(ADMIN, "simulation"), ids, clock, steps)
        await weather
        await clock.sleep(QUIET_S)
        _check_settled(world, wanted)
        for follower in followers:
            await follower.check()
        wrong = differs(replayed(seen), (await store.list("")).rows)
        if wrong:
            raise Broken(f"a watcher believes something else than a list about {wrong[:5]}")
        for organ in world.organs.values():
            if organ.task is not None:
                organ.task.cancel()
        for task in beside:
            task.cancel()
        virtual_s = clock.monotonic()
    await core.close()
    return Outcome(seed, ledger.digest, ledger.writes, virtual_s, faults)


def _check(ledger: Ledger, judge: _Judge, clock: LoopClock, key: str, revision: int, value: bytes | None) -> None:
    """Of every write."""
    old = ledger.objects.get(key)
    before = ledger.values.get(key)
    ledger.take(key, revision, value)
    new = ledger.objects.get(key)
    if before == value:
        judge.condemn(f"at {clock.monotonic():.3f} s: the write of {key} changed nothing")
    for promise in PROMISES:
        for what in promise(ledger, old, new):
            judge.condemn(f"at {clock.monotonic():.3f} s, revision {revision}: {what}")


async def _follow(store: WatchedStore, seen: list[Change]) -> None:
    async for batch in store.watch(1):
        seen.extend(batch)


# -- organs


def _start_all(world: _World) -> None:
    clock, ids = world.clock, world.ids
    options = Options(cluster_cidr="")

    async def controllers(client: Client) -> None:
        await Controllers(client, clock, ids, options, heartbeats=world.heartbeats).run()

    async def scheduler(client: Client) -> None:
        await Scheduler(client, clock, ids).run()

    async def nodes(client: Client) -> None:
        if world.nodes is None:
            world.nodes = SimulatedNodes(client, clock, world.heartbeats, BEHAVIOURS)
        else:
            world.nodes = world.nodes.successor(client)
        await world.nodes.run()

    for name, make in (("controllers", controllers), ("scheduler", scheduler), ("nodes", nodes)):
        organ = world.organs[name] = _Organ(name, make)
        world.group.create_task(_keep(world, organ))


async def _keep(world: _World, organ: _Organ) -> None:
    """Run the organ, and another in its place whenever it has crashed."""

    def crashed() -> None:
        organ.dying = True
        if organ.task is not None:
            organ.task.cancel()

    while True:
        inner = world.core.local(ADMIN, organ.name)
        client = FaultyClient(inner, world.weather, world.ids, world.clock, organ.name, crashed)
        async with asyncio.TaskGroup() as group:
            organ.task = group.create_task(_run(organ, client))
        if not organ.dying:
            return
        organ.dying = False
        await world.clock.sleep(1.0)


async def _run(organ: _Organ, client: Client) -> None:
    await organ.make(client)


# -- what happens


async def _prepare(world: _World, names: Sequence[str]) -> None:
    admin = world.core.local(ADMIN, "simulation")
    for name in ("default", "kube-system"):
        await admin.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "default"}}
    try:
        await admin.create(SERVICEACCOUNT, account)
    except ApiError as error:
        if error.code != 409:
            raise
    await world.clock.sleep(1.0)
    for number, name in enumerate(names):
        if world.nodes is not None:
            await world.nodes.add(name, Machine(cpu="4", zone=f"zone-{number % 3}"))


async def _bring(world: _World, faults: Sequence[Fault]) -> None:
    """All faults at their times; returns when the last has passed."""
    began = world.clock.monotonic()
    async with asyncio.TaskGroup() as group:
        for fault in faults:
            await world.clock.sleep(max(0.0, began + fault.at_s - world.clock.monotonic()))
            group.create_task(_strike(world, fault))


async def _strike(world: _World, fault: Fault) -> None:
    weather, clock = world.weather, world.clock
    match fault:
        case NodeLoss(node=name, for_s=for_s):
            if world.nodes is None or not world.heartbeats.alive(name):
                return
            world.nodes.fail(name)
            await clock.sleep(for_s)
            world.nodes.heal(name)
        case ApiErrors(for_s=for_s, share=share, lost_replies=lost):
            weather.share, weather.lost_replies = share, lost
            await clock.sleep(for_s)
            weather.share = 0.0
        case LostWatches(expired=expired):
            weather.expired = expired
            weather.epoch += 1
        case SlowWatches(for_s=for_s, delay_s=delay_s):
            weather.delay_s = delay_s
            await clock.sleep(for_s)
            weather.delay_s = 0.0
        case Crash(organ=organ, writes=writes):
            weather.crashing[organ] = writes


def _check_settled(world: _World, wanted_of: Mapping[str, int]) -> None:
    """When nothing has gone wrong for long, everything is as it was asked for."""
    reads = world.core.reads
    there = {found.name: found.view.spec.replicas for found in reads.list(DEPLOYMENT, "default")}
    if there != wanted_of:
        raise Broken(f"acknowledged were the deployments {dict(wanted_of)}, there are {there}")
    for node in reads.list(NODE):
        if not node.view.ready:
            raise Broken(f"node {node.name} was healed and is not ready")
    pods = reads.list(POD, "default")
    for deployment in reads.list(DEPLOYMENT, "default"):
        wanted = deployment.view.spec.replicas
        mine = [pod for pod in pods if pod.labels.get("app") == deployment.name]
        well = [pod for pod in mine if pod.view.ready and not pod.view.terminating]
        if len(mine) != wanted or len(well) != wanted:
            states = sorted(f"{pod.name} {pod.view.status.phase} on {pod.view.spec.node_name}" for pod in mine)
            raise Broken(f"deployment {deployment.name} wants {wanted} pods, {len(well)} are well of {states}")
    owned = {deployment.name for deployment in reads.list(DEPLOYMENT, "default")}
    lost = [pod.name for pod in pods if pod.labels.get("app") not in owned]
    if lost:
        raise Broken(f"pods outlived their deployments: {lost}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run simulated histories and check the promises.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1, help="how many seeds, from --seed on")
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--faults", type=int, default=8)
    asked = parser.parse_args(arguments)
    for seed in range(asked.seed, asked.seed + asked.count):
        try:
            outcome = simulate(seed, nodes=asked.nodes, steps=asked.steps, faults=asked.faults)
        except Broken as broken:
            print(f"seed {seed}: {broken}", file=sys.stderr)
            return 1
        print(f"seed {seed}: {outcome.digest} {outcome.writes} writes in {outcome.virtual_s:.0f} s of virtual time")
    return 0


if __name__ == "__main__":
    sys.exit(main())
