"""A whole agent whose node runs short of memory and disk, on time that the test advances: what users see of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from navarch.agent.agent import Agent
from navarch.agent.cgroups import Cgroups, Hierarchy
from navarch.agent.config import AgentConfig, Paths
from navarch.agent.eviction.thresholds import Observation
from navarch.agent.fake import Behaviour, FakeRuntime
from navarch.agent.kubelet import KubeletConfig
from navarch.agent.kubelet import Threshold as Least
from navarch.agent.machine import SIMULATED
from navarch.agent.runtime import ContainerSpec
from navarch.agent.shortage import Ground
from navarch.agent.volumes.storage import NoStorage
from navarch.apiserver.call import ITSELF
from navarch.apiserver.core import Core
from navarch.base.clock import LoopClock, SeededIds
from navarch.base.loop import TurningLoop
from navarch.kinds import EVENT, NAMESPACE, NODE, POD, SERVICEACCOUNT
from navarch.kinds.registry import DEFAULT
from navarch.objects.value import Document
from navarch.store.memory import MemoryStore

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
MIB = 1 << 20
PLENTY = {name: Observation(900 * MIB, 1000 * MIB) for name in ("memory.available", "nodefs.available")}
PLENTY["imagefs.available"] = Observation(900 * MIB, 1000 * MIB)


class Signals:
    split = False

    def __init__(self) -> None:
        self.seen = dict(PLENTY)
        self.runtime: FakeRuntime | None = None
        self.looks_at_disks = 0

    def disks(self) -> dict[str, Observation]:
        self.looks_at_disks += 1
        return {name: seen for name, seen in self.seen.items() if name.endswith("fs.available")}

    def left(self, signal: str, mib: int) -> None:
        self.seen[signal] = Observation(mib * MIB, 1000 * MIB)

    def left_by(self, runtime: FakeRuntime) -> None:
        """Of memory: what its containers do not use."""
        self.runtime = runtime

    def __call__(self) -> dict[str, Observation]:
        if self.runtime is not None:
            running = [one.name for one in self.runtime.running()]
            self.left("memory.available", 1000 - sum(self.runtime.memory_bytes[name] // MIB for name in running))
        return self.seen


class World:
    def __init__(self, loop: TurningLoop, place: Path, kubelet: KubeletConfig) -> None:
        self.loop = loop
        self.clock = LoopClock(EPOCH, loop)
        self.runtime = FakeRuntime(self.clock, SeededIds(2), behave=_behave, images=("old:1",))
        self.core = Core(MemoryStore(), DEFAULT, self.clock, SeededIds(1))
        self.client = self.core.local(ITSELF, "test")
        self.signals = Signals()
        self.paths = Paths(place / "agent", place / "logs")
        self.config = AgentConfig("n1", ("192.0.2.7",), self.paths, log_bytes=0, kubelet=kubelet)

    def agent(self) -> Agent:
        stand_ins: dict[str, Any] = {
            "storage": NoStorage(),
            "machine": SIMULATED,
            "cgroups": Cgroups("", Hierarchy(None, {})),
            "ground": Ground(self.paths.root, frozenset(("pause:1",)), self.signals),
        }
        return Agent(self.client, self.runtime, self.clock, SeededIds(5), self.config, **stand_ins)

    async def make_pod(self, name: str, request: str = "", owner: str = "", **spec: Any) -> Document:
        container: Document = {"name": name, "image": "app:1"}
        if request:
            container["resources"] = {"requests": {"memory": request}}
        whole = {"nodeName": "n1", "automountServiceAccountToken": False, "containers": [container], **spec}
        meta: Document = {"name": name, "namespace": "default"}
        if owner:
            whose = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": f"uid-of-{owner}"}
            meta["ownerReferences"] = [{**whose, "controller": True}]
        made = await self.client.create(POD, {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": whole})
        return made.document()

    async def status(self, name: str) -> Document:
        found: Document = (await self.client.get(POD, "default", name)).document().get("status", {})
        return found

    async def phases(self) -> dict[str, str]:
        found = (await self.client.list(POD, "default")).items
        return {item.name: item.document()["status"]["phase"] for item in found}

    async def condition(self, kind: str) -> tuple[str, str]:
        found = (await self.client.get(NODE, "", "n1")).document()["status"]["conditions"]
        return next((one["status"], one["reason"]) for one in found if one["type"] == kind)

    async def events(self) -> list[tuple[str, str]]:
        found = [item.document() for item in (await self.client.list(EVENT, "default")).items]
        return [(one["reason"], one["message"]) for one in found]


def _behave(spec: ContainerSpec) -> Behaviour:
    return Behaviour(run_s=3.0) if spec.name == "task" else Behaviour()


async def _run(world: World) -> None:
    meta = {"name": "default"}
    for namespace in ({"name": "default"}, {"name": "kube-node-lease"}):
        await world.client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": namespace})
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {**meta, "namespace": "default"}}
    await world.client.create(SERVICEACCOUNT, account)
    await world.agent().run()


def play(place: Path, scenario: Callable[[World], Awaitable[None]], kubelet: KubeletConfig | None = None) -> None:
    """The agent runs for 20 s before the scenario begins."""
    loop = TurningLoop(frozen=True)

    async def run() -> None:
        world = World(loop, place, kubelet or KubeletConfig())
        await world.core.start()
        agent = loop.create_task(_run(world))
        try:
            await loop.advance(20)
            assert not agent.done()
            await scenario(world)
        finally:
            agent.cancel()
            await asyncio.gather(agent, return_exceptions=True)
            await world.core.close()

    try:
        loop.run_until_complete(run())
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def test_short_of_memory_one_pod_goes_at_a_time_and_users_are_told(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        for name, request in (("hog", ""), ("fair", "500Mi"), ("small", "")):
            await world.make_pod(name, request)
        await world.loop.advance(10)
        world.runtime.memory_bytes = {"hog": 500 * MIB, "fair": 400 * MIB, "small": 10 * MIB}
        world.signals.left_by(world.runtime)
        await world.loop.advance(12)
        assert await world.phases() == {"hog": "Failed", "fair": "Running", "small": "Running"}
        told = await world.status("hog")
        said = (
            "The node was low on resource: memory. Threshold quantity: 100Mi, available: 90Mi. "
            "Container hog was using 500Mi, request is 0, has larger consumption of memory. "
        )
        assert (told["reason"], told["message"]) == ("Evicted", said)
        mark = next(one for one in told["conditions"] if one["type"] == "DisruptionTarget")
        assert (mark["status"], mark["reason"]) == ("True", "TerminationByKubelet")
        assert ("Evicted", said) in await world.events()
        assert ("EvictionThresholdMet", "Attempting to reclaim memory") in await world.events()
        assert ("NodeHasInsufficientMemory", "Node n1 status is now: NodeHasInsufficientMemory") in await world.events()
        assert await world.condition("MemoryPressure") == ("True", "KubeletHasInsufficientMemory")
        await world.loop.advance(60)
        assert (await world.phases())["small"] == "Running"
        world.runtime.memory_bytes["fair"] = 895 * MIB
        await world.loop.advance(12)
        assert await world.phases() == {"hog": "Failed", "fair": "Failed", "small": "Running"}

    play(tmp_path, scenario)


def test_under_pressure_best_effort_pods_are_refused_until_it_is_over(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.signals.left("memory.available", 90)
        await world.loop.advance(12)
        await world.make_pod("light")
        await world.make_pod("asks", "10Mi")
        await world.make_pod("critical", priorityClassName="system-node-critical")
        await world.loop.advance(5)
        told = await world.status("light")
        assert (told["phase"], told["reason"]) == ("Failed", "Evicted")
        assert told["message"] == "Pod was rejected: The node had condition: [MemoryPressure]. "
        world.signals.left("memory.available", 900)
        await world.loop.advance(250)
        assert (await world.condition("MemoryPressure"))[0] == "True"
        await world.loop.advance(120)
        assert await world.condition("MemoryPressure") == ("False", "KubeletHasSufficientMemory")
        await world.make_pod("later")
        await world.loop.advance(5)
        assert (await world.phases())["later"] == "Running"

    play(tmp_path, scenario)


def test_short_of_disk_dead_containers_and_unused_images_go_before_any_pod(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.make_pod("task", restartPolicy="Never")
        await world.make_pod("web")
        await world.loop.advance(200)
        assert (await world.phases())["task"] == "Succeeded"
        before = await world.status("task")

        async def give_way(image_id: str) -> None:
            await FakeRuntime.remove_image(world.runtime, image_id)
            world.signals.left("nodefs.available", 500)

        world.runtime.remove_image = give_way  # type: ignore[method-assign]
        world.signals.left("nodefs.available", 50)
        await world.loop.advance(30)
        assert await world.phases() == {"task": "Succeeded", "web": "Running"}
        removed = [subject for verb, subject in world.runtime.calls if verb == "remove_image"]
        assert len(removed) == 1
        assert [image.names for image in await world.runtime.images()] == [("docker.io/library/app:1",)]
        assert {pod.name for pod in (await world.runtime.observe()).values()} == {"web"}
        after = await world.status("task")
        assert after["containerStatuses"] == before["containerStatuses"]
        assert await world.condition("DiskPressure") == ("True", "KubeletHasDiskPressure")

    play(tmp_path, scenario)


def test_an_empty_directory_over_its_limit_ends_its_pod_alone(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        volume = {"name": "data", "emptyDir": {"sizeLimit": "1Mi"}}
        made = await world.make_pod("full", volumes=[volume])
        await world.make_pod("other", volumes=[{"name": "data", "emptyDir": {}}])
        place = world.paths.volume(made["metadata"]["uid"], "data")
        place.mkdir(parents=True)
        (place / "file").write_bytes(b"x" * 2 * MIB)
        await world.loop.advance(75)
        told = await world.status("full")
        assert (told["phase"], told["reason"]) == ("Failed", "Evicted")
        assert told["message"] == 'Usage of EmptyDir volume "data" exceeds the limit "1Mi". '
        assert not [one for one in told["conditions"] if one["type"] == "DisruptionTarget"]
        assert await world.phases() == {"full": "Failed", "other": "Running"}
        assert await world.condition("DiskPressure") == ("False", "KubeletHasNoDiskPressure")

    play(tmp_path, scenario)


def test_a_disk_that_fills_up_fast_is_reason_to_look_sooner(tmp_path: Path) -> None:
    """The first look at limits comes with the first of all; the next would come a minute later."""

    async def scenario(world: World) -> None:
        made = await world.make_pod("full", volumes=[{"name": "data", "emptyDir": {"sizeLimit": "1Mi"}}])
        await world.loop.advance(11)
        place = world.paths.volume(made["metadata"]["uid"], "data")
        place.mkdir(parents=True)
        (place / "file").write_bytes(b"x" * 2 * MIB)
        world.signals.left("nodefs.available", 773)
        await world.loop.advance(5)
        assert await world.phases() == {"full": "Running"}
        world.signals.left("nodefs.available", 772)
        await world.loop.advance(2)
        assert await world.phases() == {"full": "Failed"}
        world.signals.left("nodefs.available", 900)
        made = await world.make_pod("again", volumes=[{"name": "data", "emptyDir": {"sizeLimit": "1Mi"}}])
        await world.loop.advance(3)
        place = world.paths.volume(made["metadata"]["uid"], "data")
        place.mkdir(parents=True, exist_ok=True)
        (place / "file").write_bytes(b"x" * 2 * MIB)
        world.signals.left("nodefs.available", 772)
        await world.loop.advance(2)
        assert await world.phases() == {"full": "Failed", "again": "Failed"}

    play(tmp_path, scenario)


def test_who_filled_the_disk_waits_ever_longer_to_begin_again(tmp_path: Path) -> None:
    async def fill(world: World, name: str) -> None:
        found = (await world.client.get(POD, "default", name)).document()
        place = world.paths.volume(found["metadata"]["uid"], "data")
        place.mkdir(parents=True, exist_ok=True)
        (place / "file").write_bytes(b"x" * 2 * MIB)
        while (await world.phases())[name] != "Failed":
            await world.loop.advance(1)

    async def scenario(world: World) -> None:
        volumes = [{"name": "data", "emptyDir": {"sizeLimit": "1Mi"}}]
        await world.make_pod("first", owner="filler", volumes=volumes)
        await world.loop.advance(5)
        await fill(world, "first")
        await world.make_pod("stranger", owner="other", volumes=volumes)
        await world.make_pod("second", owner="filler", volumes=volumes)
        await world.loop.advance(4)
        assert await world.phases() == {"first": "Failed", "stranger": "Running", "second": "Pending"}
        await world.loop.advance(8)
        assert (await world.phases())["second"] == "Running"
        await fill(world, "second")
        await world.make_pod("third", owner="filler", volumes=volumes)
        await world.loop.advance(14)
        assert (await world.phases())["third"] == "Pending"
        await world.loop.advance(8)
        assert (await world.phases())["third"] == "Running"
        told = [message for reason, message in await world.events() if reason == "BackOff"]
        assert len(told) == 2
        assert "another of ReplicaSet filler was evicted from this node for what it held on the disk" in told[0]

    play(tmp_path, scenario)


def test_without_limits_on_the_disk_it_is_not_looked_at_more_often(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.make_pod("web", volumes=[{"name": "data", "emptyDir": {}}])
        await world.loop.advance(40)
        assert await world.phases() == {"web": "Running"}
        assert world.signals.looks_at_disks == 0

    play(tmp_path, scenario)


def test_a_soft_threshold_lets_a_pod_stop_in_its_own_time(tmp_path: Path) -> None:
    kubelet = KubeletConfig(
        eviction_soft={"memory.available": Least(300 * MIB)},
        eviction_soft_grace_period_s={"memory.available": 60.0},
        eviction_max_pod_grace_period_s=20,
    )

    async def scenario(world: World) -> None:
        world.runtime.behave = lambda spec: Behaviour(stop_s=None)
        await world.make_pod("stubborn")
        await world.loop.advance(5)
        world.signals.left("memory.available", 200)
        await world.loop.advance(55)
        assert await world.condition("MemoryPressure") == ("True", "KubeletHasInsufficientMemory")
        assert await world.phases() == {"stubborn": "Running"}
        await world.loop.advance(25)
        assert await world.phases() == {"stubborn": "Running"}
        await world.loop.advance(20)
        assert await world.phases() == {"stubborn": "Failed"}

    play(tmp_path, scenario, kubelet)


def test_a_full_disk_of_images_loses_those_unused_longest(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.make_pod("web")
        world.signals.left("imagefs.available", 140)
        await world.loop.advance(310)
        assert [image.names for image in await world.runtime.images()] == [("docker.io/library/app:1",)]
        short = [message for reason, message in await world.events() if reason == "FreeDiskSpaceFailed"]
        assert short == [
            "Failed to garbage collect required amount of images. Attempted to free 62914560 bytes, "
            "but only found 1048576 bytes eligible to free."
        ]

    play(tmp_path, scenario, KubeletConfig(eviction_hard={}))
