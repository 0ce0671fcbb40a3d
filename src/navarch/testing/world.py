"""The cluster of a simulation: its API server, its organs, each of which may crash and come back, and their fate."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta

from navarch.apiserver import routes
from navarch.apiserver.bootstrap import ensure_storage
from navarch.apiserver.call import User
from navarch.apiserver.core import Core
from navarch.base.clock import Ids, LoopClock
from navarch.base.errors import ApiError
from navarch.base.loop import SimulationLoop
from navarch.client.client import Client
from navarch.controllers import ALL, Controllers, Options, Setup
from navarch.kinds import NAMESPACE, SERVICEACCOUNT
from navarch.kinds.kind import Kind
from navarch.kinds.metrics import METERED
from navarch.kinds.registry import DEFAULT, Kinds
from navarch.objects.value import Document
from navarch.scheduler.scheduler import Scheduler
from navarch.testing.behaviour import Behaviour, Load
from navarch.testing.faults import (
    ApiErrors,
    ClockJump,
    Crash,
    Fault,
    LostWatches,
    MissedEvents,
    NodeLoss,
    SlowWatches,
    StaleView,
)
from navarch.testing.faultyclient import FaultyClient, Process
from navarch.testing.heartbeats import SimulatedHeartbeats
from navarch.testing.ledger import Ledger, WatchedStore
from navarch.testing.machine import Machine
from navarch.testing.nodes import SimulatedNodes
from navarch.testing.weather import Hold, Weather
from navarch.wire.message import Request, Response

ADMIN = User("simulation", groups=("system:masters",))
ORGANS = ("controllers", "scheduler", "nodes")
CLUSTER_CIDR = "10.200.0.0/22"
"""Four ranges for nodes that are only registered; simulated ones bring their own."""
UNUSED_TOKENS_S = 60
AFTER_CRASH_S = 1.0
AWAKE_S = 3.0
"""So long after a suspended machine woke up its nodes are heard again."""

ROOT_CA = """\
-----BEGIN CERTIFICATE-----
MIIBLDCB0qADAgECAgEBMAoGCCqGSM49BAMCMBQxEjAQBgNVBAMMCXNpbXVsYXRl
ZDAgFw0zMDAxMDEwMDAwMDBaGA8yMTMwMDEwMTAwMDAwMFowFDESMBAGA1UEAwwJ
c2ltdWxhdGVkMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEbqFAs7cHIZpzc4Kj
sxn4V+PY3I2ZT0Y9nfBuC+TmNxVmwiUi4N07afO+xqJFtVkmpA9uqoBkgV7kPNvs
TdMMqaMTMBEwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNJADBGAiEA+8w4
3UI0cGOKTL5s6gYNwhZOwaX6W6eDOikE1YYsd2gCIQDu9+HJwYkwJzQMSAdm90j9
13vzG3ixCVTXSi7jfj67Jg==
-----END CERTIFICATE-----
"""
"""Of a key that nobody has: it is only handed round."""


def _sign(request: bytes, usages: Collection[str], life: timedelta) -> bytes:
    return ROOT_CA.encode()


def _load(load: Load) -> float:
    """What all of them have to do together is two cores' work for the first minutes, and little later."""
    return (2.0 if load.age_s < 120.0 else 0.4) / load.replicas


BEHAVIOURS = (
    Behaviour(image="web:slow", ready_s=7.0, start_s=2.0),
    Behaviour(image="web:crash", runs_s=3.0, exit_code=1),
    Behaviour(image="web:lost", image_error="ErrImagePull"),
    Behaviour(image="web:busy", cpu=_load, ready_s=0.5),
    Behaviour(image="web:*", pull_s=0.4, ready_s=0.6, stop_s=1.5),
    Behaviour(image="job:long", runs_s=75.0, stop_s=0.5),
    Behaviour(image="job:fails", runs_s=2.0, exit_code=1),
    Behaviour(image="job:*", runs_s=4.0, stop_s=0.5),
)


class _Served(Kinds):
    """The kinds that are served at the moment, as one process sees them: it dies, and is told of no more changes."""

    def __init__(self, live: Kinds) -> None:
        super().__init__(())
        self._live = live

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._live)

    def stored(self) -> tuple[Kind, ...]:
        return self._live.stored()


@dataclass(slots=True)
class _Organ:
    name: str
    make: Callable[[FaultyClient], Awaitable[None]]
    task: asyncio.Task[None] | None = None
    dying: bool = False


@dataclass(slots=True)
class World:
    """store: every write passes it. group: what all organs run in."""

    ids: Ids
    clock: LoopClock
    core: Core
    weather: Weather
    heartbeats: SimulatedHeartbeats
    ledger: Ledger
    group: asyncio.TaskGroup
    organs: dict[str, _Organ] = field(default_factory=dict)
    nodes: SimulatedNodes | None = None

    def user(self) -> Client:
        """For whoever uses the cluster: no fault concerns it."""
        return self.core.local(ADMIN, "simulation")


def new_core(store: WatchedStore, clock: LoopClock, ids: Ids) -> Core:
    """With what answers the questions of controllers: metrics, scales and reviews, all of which are allowed."""

    async def review(user: User, namespace: str, name: str, document: Document) -> Document:
        return document | {"status": {"allowed": True}}

    core = Core(
        store, DEFAULT.with_kinds(*METERED), clock, ids, answers={("subjectaccessreviews", ""): review}, simulated=True
    )

    async def front(request: Request) -> Response:
        return await core.handle(routes.parse(request, ADMIN))

    core.serve_front(front)
    return core


def controller_names(clock: LoopClock) -> tuple[str, ...]:
    """Of all controllers, in their order."""
    setup = Setup(clock, SimulatedHeartbeats(clock))
    return tuple(make(setup).name for make in ALL)


# -- organs


def start_all(world: World, victims: Sequence[str] = ()) -> None:
    """victims: controllers that run as organs of their own, with their own views, so that each can die alone."""
    clock, ids = world.clock, world.ids
    others = tuple(name for name in controller_names(clock) if name not in victims) if victims else ()

    def controllers(names: tuple[str, ...]) -> Callable[[FaultyClient], Awaitable[None]]:
        options = Options(
            controllers=names, cluster_cidr=CLUSTER_CIDR, root_ca=ROOT_CA, unused_tokens_s=UNUSED_TOKENS_S
        )

        async def run(client: FaultyClient) -> None:
            await Controllers(
                client,
                clock,
                ids,
                options,
                kinds=_Served(world.core.kinds),
                heartbeats=world.heartbeats,
                client_for=client.acting_as,
                sign=_sign,
            ).run()

        return run

    async def scheduler(client: FaultyClient) -> None:
        await Scheduler(client, clock, ids).run()

    async def nodes(client: FaultyClient) -> None:
        if world.nodes is None:
            world.nodes = SimulatedNodes(client, clock, world.heartbeats, BEHAVIOURS)
            world.core.measure_by(world.nodes)
        else:
            world.nodes = world.nodes.successor(client)
            world.core.measure_by(world.nodes)
        await world.nodes.run()

    organs = [("controllers", controllers(others)), ("scheduler", scheduler), ("nodes", nodes)]
    organs += [(name, controllers((name,))) for name in victims]
    for name, make in organs:
        organ = world.organs[name] = _Organ(name, make)
        world.group.create_task(_keep(world, organ))


def stop_all(world: World) -> None:
    for organ in world.organs.values():
        if organ.task is not None:
            organ.task.cancel()


async def _keep(world: World, organ: _Organ) -> None:
    """Run the organ, and another in its place whenever it has crashed."""

    def crashed() -> None:
        organ.dying = True
        if organ.task is not None:
            organ.task.cancel()

    while True:
        process = Process(organ.name, crashed)
        client = FaultyClient(world.core.local(ADMIN, organ.name), world.weather, world.ids, world.clock, process)
        async with asyncio.TaskGroup() as group:
            organ.task = group.create_task(_run(organ, client))
        if not organ.dying:
            return
        organ.dying = False
        await world.clock.sleep(AFTER_CRASH_S)


async def _run(organ: _Organ, client: FaultyClient) -> None:
    await organ.make(client)


def _kill(world: World, name: str) -> None:
    organ = world.organs[name]
    if organ.task is not None and not organ.task.done():
        organ.dying = True
        organ.task.cancel()


async def prepare(world: World, names: Sequence[str]) -> None:
    """The namespaces, the account and the nodes that there are from the beginning."""
    admin = world.user()
    for name in ("default", "kube-system", "kube-public"):
        await admin.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "default"}}
    try:
        await admin.create(SERVICEACCOUNT, account)
    except ApiError as error:
        if error.code != 409:
            raise
    await ensure_storage(admin)
    await world.clock.sleep(1.0)
    for number, name in enumerate(names):
        if world.nodes is not None:
            await world.nodes.add(name, Machine(cpu="4", zone=f"zone-{number % 3}"))


# -- what befalls them


async def bring(world: World, faults: Sequence[Fault]) -> None:
    """All faults at their times; returns when the last has passed."""
    began = world.clock.monotonic()
    async with asyncio.TaskGroup() as group:
        for fault in faults:
            await world.clock.sleep(max(0.0, began + fault.at_s - world.clock.monotonic()))
            group.create_task(_strike(world, fault))


async def _strike(world: World, fault: Fault) -> None:
    weather, clock = world.weather, world.clock
    with ExitStack() as stack:
        if not isinstance(fault, NodeLoss | Crash):
            stack.enter_context(weather.trouble())
        match fault:
            case NodeLoss(node=name, for_s=for_s):
                await _lose(world, name, for_s)
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
            case ClockJump(by_s=by_s, suspended=suspended):
                await _leap(world, by_s, suspended)
            case StaleView(organ=organ, for_s=for_s, restarted=restarted):
                await _hold_back(world, organ, for_s, restarted)
            case MissedEvents(organ=organ, for_s=for_s):
                await _hold(world, organ, for_s, Hold(lost=True))


async def _lose(world: World, name: str, for_s: float) -> None:
    if world.nodes is None or not world.heartbeats.alive(name):
        return
    world.nodes.fail(name)
    await world.clock.sleep(for_s)
    world.nodes.heal(name)


async def _leap(world: World, by_s: float, suspended: bool) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulationLoop)
    silent: list[str] = []
    if suspended and world.nodes is not None:
        silent = [name for name in world.nodes.names() if world.heartbeats.alive(name)]
        for name in silent:
            world.nodes.fail(name)
    loop.leap(by_s)
    await world.clock.sleep(AWAKE_S)
    if world.nodes is not None:
        for name in silent:
            world.nodes.heal(name)


async def _hold_back(world: World, organ: str, for_s: float, restarted: bool) -> None:
    """The nodes' organ stands for agents, which know from their runtimes what they run: it does not travel."""
    if not restarted or organ == "nodes":
        await _hold(world, organ, for_s, Hold())
        return
    user = world.user()
    lists = {kind: await user.list(kind) for kind in world.weather.listed.get(organ, ())}
    hold = Hold(lists=lists)
    world.group.create_task(_kill_later(world, organ, hold, for_s / 2))
    await _hold(world, organ, for_s, hold)
    world.weather.travelled_s = world.clock.monotonic()


async def _kill_later(world: World, organ: str, hold: Hold, after_s: float) -> None:
    await world.clock.sleep(after_s)
    if not hold.over.is_set():
        _kill(world, organ)


async def _hold(world: World, organ: str, for_s: float, hold: Hold) -> None:
    if organ in world.weather.holds:
        return
    world.weather.holds[organ] = hold
    await world.clock.sleep(for_s)
    del world.weather.holds[organ]
    hold.over.set()
