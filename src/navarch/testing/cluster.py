"""A whole cluster in a `with` block: what `navarch.Cluster` is.

    with navarch.Cluster(nodes=3) as c:
        c.apply("web.yaml")
        c.wait("deployment/web", "Available")

Every controller and the scheduler run, nodes are simulated, nothing outside of the process is touched but a free port
on loopback and a temporary directory, and those only once `kubeconfig` is asked for. In `async with` it is awaited.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from navarch.apiserver.admission.extensions import Judge
from navarch.controllers.options import Options
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.testing.behaviour import Behaviour, behaviours_from_yaml
from navarch.testing.engine import NETWORKS, Engine, Plan
from navarch.testing.explain import event_lines, explain, troubles
from navarch.testing.faces import Awaited, Blocking
from navarch.testing.machine import ONLY_IPV4, Machine
from navarch.testing.manifests import Source, documents, kind_of
from navarch.testing.wait import Target, Until, holds, target, told

MANAGER = "navarch-library"
Nodes = int | Sequence[str] | Mapping[str, Machine]
Behaviours = str | Sequence[Behaviour]


class NotReached(AssertionError):
    """What was waited for did not come about; the message says what did."""


def _machines(nodes: Nodes, machine: Machine | None, zones: Sequence[str]) -> dict[str, Machine]:
    if isinstance(nodes, Mapping):
        return dict(nodes)
    names = [f"node-{number}" for number in range(nodes)] if isinstance(nodes, int) else list(nodes)
    made: dict[str, Machine] = {}
    for number, name in enumerate(names):
        zone = zones[number % len(zones)] if zones else ""
        made[name] = (machine or Machine()).in_zone(zone)
    return made


class Cluster:
    """Makes a cluster for as long as its block lasts.

    nodes: how many (`node-0`, …), their names, or name -> `Machine`. machine: what the others are made of.
    zones: nodes are dealt out over them. behaviours: how containers behave, in Python or YAML; without any, they
    start at once and run for ever. frozen: time stands but for `clock.advance`; else it goes with the machine's.
    families: of addresses, `IPv4`, `IPv6` or both, the first one first.
    port: of the API server, 0 for a free one. admission: plugins to ask about writes, by name (none that is installed
    is asked unless it is among them).
    """

    def __init__(
        self,
        nodes: Nodes = 1,
        *,
        machine: Machine | None = None,
        zones: Sequence[str] = (),
        behaviours: Behaviours = (),
        frozen: bool = False,
        port: int = 0,
        options: Options | None = None,
        admission: Mapping[str, Judge] | None = None,
        families: Sequence[str] = ONLY_IPV4,
    ) -> None:
        if not families or len(set(families)) < len(families) or not set(families) <= set(NETWORKS):
            raise ValueError(f"families are some of {', '.join(NETWORKS)}, each once, not {', '.join(families)!r}")
        self._plan = Plan(
            nodes=_machines(nodes, machine, zones),
            behaviours=behaviours_from_yaml(behaviours) if isinstance(behaviours, str) else tuple(behaviours),
            frozen=frozen,
            port=port,
            options=options or Options(cluster_cidr=""),
            judges=admission or {},
            families=tuple(families),
        )
        self._engine: Engine | None = None

    def _made(self) -> Engine:
        if self._engine is not None:
            raise RuntimeError("this cluster is in use already: make another")
        self._engine = Engine(self._plan)
        return self._engine

    def __enter__(self) -> RunningCluster:
        engine = self._made()
        engine.start()
        return RunningCluster(engine)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._engine is not None:
            self._engine.stop()
            self._engine = None

    async def __aenter__(self) -> RunningAsyncCluster:
        engine = self._made()
        await asyncio.to_thread(engine.start)
        return RunningAsyncCluster(engine)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._engine is not None:
            await asyncio.to_thread(self._engine.stop)
            self._engine = None


def _seconds(days: float, hours: float, minutes: float, seconds: float) -> float:
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if total < 0:
        raise ValueError("time does not go back")
    return total


class ClusterClock:
    """The cluster's time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def now(self) -> datetime:
        return self._engine.clock.now()

    def advance(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Let time pass at once, from timer to timer, until all that follows has happened. 0: wait for quiescence."""
        self._engine.call(self._engine.loop.advance(_seconds(days, hours, minutes, seconds)))


class AsyncClusterClock:
    """The cluster's time, awaited."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def now(self) -> datetime:
        return self._engine.clock.now()

    async def advance(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """As `ClusterClock.advance`."""
        await self._engine.ask(self._engine.loop.advance(_seconds(days, hours, minutes, seconds)))


class ClusterNodes:
    """The simulated machines. None of it blocks for longer than a request takes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def names(self) -> list[str]:
        """Of all nodes, in the order in which they came."""
        return self._engine.nodes.names()

    def add(self, name: str, machine: Machine | None = None) -> None:
        """One more node."""
        self._engine.call(self._engine.nodes.add(name, machine))

    def fail(self, name: str) -> None:
        """Cut its power. Raises: NotFound."""
        self._engine.call_plain(lambda: self._engine.nodes.fail(name))

    def heal(self, name: str) -> None:
        """Give it back. Raises: NotFound."""
        self._engine.call_plain(lambda: self._engine.nodes.heal(name))

    def behave(self, behaviour: Behaviour) -> None:
        """How containers behave from now on, before what was said earlier."""
        self._engine.call_plain(lambda: self._engine.nodes.behave(behaviour))


class _Running:
    """What both faces share."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.nodes = ClusterNodes(engine)

    @property
    def kubeconfig(self) -> Path:
        """A file that any client takes, as an administrator; gone when the block ends."""
        return self._engine.kubeconfig()

    def events(self, namespace: str = "") -> list[str]:
        """The newest events as lines, newest last."""
        return self._engine.call_plain(lambda: event_lines(self._engine.control.core.reads, namespace))

    def troubles(self) -> list[str]:
        """What is not as it should be, as lines: workloads, pods and why, nodes. Empty when all is well."""
        return self._engine.call_plain(lambda: troubles(self._engine.control.core.reads))

    def _target(self, what: str, namespace: str) -> Target:
        return target(self._engine.control.kinds, what, namespace)

    def _explained(self, wanted: Target, until: Until, waited: str) -> NotReached:
        reads = self._engine.control.core.reads
        story = self._engine.call_plain(lambda: explain(reads, wanted))
        return NotReached(f"{wanted.text} was not {told(until)!r} {waited}\n{story}")

    async def _wait(self, wanted: Target, until: Until, leap_s: float) -> Object | None:
        """On the cluster's loop. With `leap_s` time leaps, without it goes its way until the caller has enough."""
        engine = self._engine
        reads = engine.control.core.reads

        def now() -> bool:
            return holds(reads.get(wanted.kind, wanted.namespace, wanted.name), until)

        if leap_s:
            if not await engine.loop.advance_until(now, leap_s):
                raise TimeoutError
        elif not now():
            await self._watch(wanted, now)
        return reads.get(wanted.kind, wanted.namespace, wanted.name)

    async def _watch(self, wanted: Target, now: Callable[[], bool]) -> None:
        client, name = self._engine.client, f"metadata.name={wanted.name}"
        while True:
            listed = await client.list(wanted.kind, wanted.namespace, fields=name)
            if now():
                return
            async for _ in client.watch(wanted.kind, wanted.namespace, since=listed.revision, fields=name):
                if now():
                    return

    async def _apply(self, source: Source, namespace: str) -> list[Object]:
        made: list[Object] = []
        for document in documents(source):
            kind = kind_of(self._engine.control.kinds, document)
            made.append(await self._engine.client.apply(kind, _placed(kind, document, namespace), manager=MANAGER))
        return made

    async def _delete(self, source: Source, namespace: str) -> None:
        for document in reversed(documents(source)):
            kind = kind_of(self._engine.control.kinds, document)
            metadata = _placed(kind, document, namespace)["metadata"]
            await self._engine.client.delete(kind, metadata.get("namespace", ""), metadata["name"])


def _placed(kind: Kind, document: Mapping[str, Any], namespace: str) -> dict[str, Any]:
    metadata = dict(document.get("metadata") or {})
    if kind.namespaced:
        metadata.setdefault("namespace", namespace)
    return {**document, "metadata": metadata}


class RunningCluster(_Running):
    """Inside the `with` block."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.client = Blocking(engine, engine.client, engine.control.kinds)
        self.clock = ClusterClock(engine)

    @property
    def awaited(self) -> RunningAsyncCluster:
        """The same cluster for coroutines, on whatever asyncio loop they run."""
        return RunningAsyncCluster(self._engine)

    def apply(self, source: Source, *, namespace: str = "default") -> list[Object]:
        """A path, YAML text, or documents, by server-side apply. Raises: ApiError."""
        return self._engine.call(self._apply(source, namespace))

    def delete(self, source: Source, *, namespace: str = "default") -> None:
        """What `apply` took, in reverse order. Raises: ApiError."""
        self._engine.call(self._delete(source, namespace))

    def wait(
        self,
        what: str,
        until: Until = "exists",
        *,
        namespace: str = "default",
        timeout_s: float = 60.0,
        leap_s: float = 0.0,
    ) -> Object | None:
        """Until `what` (`deployment/web`) is `until`; None when that is "gone".

        timeout_s: of real time. leap_s: let the cluster's time leap that far at most instead of waiting.

        Raises: NotReached, with the events and states that explain why.
        """
        wanted = self._target(what, namespace)
        waiting = self._engine.submit(self._wait(wanted, until, leap_s))
        try:
            return self._engine.result(waiting, timeout_s)
        except (TimeoutError, FutureTimeout):
            waiting.cancel()
            waited = f"within {leap_s:g} s of the cluster's time" if leap_s else f"after {timeout_s:g} s"
            raise self._explained(wanted, until, waited) from None


class RunningAsyncCluster(_Running):
    """Inside the `async with` block."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.client = Awaited(engine, engine.client, engine.control.kinds)
        self.clock = AsyncClusterClock(engine)

    async def apply(self, source: Source, *, namespace: str = "default") -> list[Object]:
        """As `RunningCluster.apply`."""
        return await self._engine.ask(self._apply(source, namespace))

    async def delete(self, source: Source, *, namespace: str = "default") -> None:
        """As `RunningCluster.delete`."""
        await self._engine.ask(self._delete(source, namespace))

    async def wait(
        self,
        what: str,
        until: Until = "exists",
        *,
        namespace: str = "default",
        timeout_s: float = 60.0,
        leap_s: float = 0.0,
    ) -> Object | None:
        """As `RunningCluster.wait`."""
        wanted = self._target(what, namespace)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._engine.ask(self._wait(wanted, until, leap_s))
        except TimeoutError:
            waited = f"within {leap_s:g} s of the cluster's time" if leap_s else f"after {timeout_s:g} s"
            raise self._explained(wanted, until, waited) from None
