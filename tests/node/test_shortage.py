"""Limits on the disk and the removal of unused images, with real containers that really write."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest

from navarch.agent.agent import Agent
from navarch.agent.cgroups import Cgroups, find_hierarchy
from navarch.agent.config import AgentConfig, Paths
from navarch.agent.eviction.signals import MachineSignals
from navarch.agent.garbage.run import ImageCollector
from navarch.agent.imagefile import File, ImageConfig, write_archive
from navarch.agent.kubelet import KubeletConfig
from navarch.agent.kubelet import Threshold as Least
from navarch.agent.runtime import Image
from navarch.agent.shortage import Ground
from navarch.apiserver.call import ITSELF
from navarch.apiserver.core import Core
from navarch.app.pause import PAUSE_IMAGE
from navarch.base.clock import SeededIds, SystemClock
from navarch.kinds import NAMESPACE, POD, SERVICEACCOUNT
from navarch.kinds.registry import DEFAULT
from navarch.objects.value import Document
from navarch.store.memory import MemoryStore
from tests.node import containerd_fixture as fixture
from tests.unit.agent import cluster

pytestmark = pytest.mark.node

UNUSED = "navarch.test/unused:1"
LIMIT = {"limits": {"ephemeral-storage": "1Mi"}}
LIMITS = KubeletConfig(
    eviction_hard={"memory.available": Least(1)},
    volume_stats_agg_period_s=0.0,
    image_gc_high_threshold_percent=100,
    image_gc_low_threshold_percent=99,
)
FULL = KubeletConfig(image_gc_high_threshold_percent=1, image_gc_low_threshold_percent=0, image_minimum_gc_age_s=0.0)


def writer(line: str, **more: Any) -> Document:
    command = ["sh", "-c", f"trap 'exit 0' TERM; {line}; while true; do sleep 0.1; done"]
    return {"name": "main", "image": fixture.BUSYBOX, "imagePullPolicy": "IfNotPresent", "command": command, **more}


def fill(path: str, mib: int) -> str:
    return f"dd if=/dev/urandom of={path} bs=1048576 count={mib} 2>/dev/null"


EXPECTED = {
    "fills-its-volume": 'Usage of EmptyDir volume "data" exceeds the limit "1Mi". ',
    "fills-its-layer": "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ",
    "talks-too-much": "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ",
}


async def make_pods(world: cluster.World) -> None:
    volume = {"name": "data", "emptyDir": {"sizeLimit": "1Mi"}}
    mounted = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    await world.create_pod("fills-its-volume", writer(fill("/data/file", 3), **mounted), volumes=[volume])
    await world.create_pod("keeps-to-it", writer("echo well > /data/file", **mounted), volumes=[volume])
    await world.create_pod("fills-its-layer", writer(fill("/tmp/file", 3), resources=LIMIT))
    talk = "head -c 2500000 /dev/zero | tr '\\0' 'x' | fold -w 100"
    await world.create_pod("talks-too-much", writer(f"({talk})", resources=LIMIT))


async def limits(world: cluster.World, agent: Agent) -> None:
    """Whoever is over its limit goes, and says why; who keeps to it stays."""
    await make_pods(world)
    await world.until("keeps-to-it", cluster.ready)
    assert agent.shortage is not None
    async with asyncio.timeout(90):
        while True:
            await agent.shortage.evictor.round()
            found = {name: (await world.pod(name))["status"] for name in EXPECTED}
            if all(status.get("phase") == "Failed" for status in found.values()):
                break
            await asyncio.sleep(0.2)
    for name, message in EXPECTED.items():
        assert (found[name]["reason"], found[name]["message"]) == ("Evicted", message)
        assert found[name]["containerStatuses"][0]["state"]["terminated"]["exitCode"] in (0, 137)
    assert (await world.pod("keeps-to-it"))["status"]["phase"] == "Running"


async def images(world: cluster.World, machine: Any) -> None:
    """What nobody uses goes; what runs, and the image that every sandbox needs, stays."""
    write_archive(machine.directory / "unused.tar", [UNUSED], [{"x": File(b"x" * 100_000)}], ImageConfig())
    await machine.runtime.import_image(machine.directory / "unused.tar")
    told: list[tuple[str, str, str]] = []
    kept: list[str] = []

    async def note(images: Sequence[Image], listed_at: datetime) -> None:
        kept.extend(image.id for image in images)

    signals = MachineSignals(find_hierarchy(), machine.directory, machine.settings.root)
    collector = ImageCollector(
        FULL,
        machine.runtime,
        machine.clock,
        disk=lambda: signals().get("imagefs.available"),
        used=lambda: {PAUSE_IMAGE},
        tell=lambda *event: told.append(event),
        left=note,
    )
    await collector.round()
    left = {name for image in await machine.runtime.images() for name in image.names if "@" not in name}
    assert left == {PAUSE_IMAGE, fixture.BUSYBOX}
    assert sorted(kept) == sorted(image.id for image in await machine.runtime.images())
    assert [reason for _, reason, _ in told] == ["FreeDiskSpaceFailed"]


async def scenario() -> None:
    async with fixture.machine() as machine:
        core = Core(MemoryStore(), DEFAULT, SystemClock(), SeededIds(1))
        await core.start()
        client = core.local(ITSELF, "test")
        for name in ("default", "kube-node-lease"):
            await client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": "default"},
        }
        await client.create(SERVICEACCOUNT, account)
        paths = Paths(machine.directory / "agent", machine.directory / "logs")
        config = AgentConfig(cluster.NODE, ("192.0.2.7",), paths, cgroup_root=fixture.GROUP, kubelet=LIMITS)
        world: Any = cluster.World(core, client, machine.runtime, SystemClock(), config)  # type: ignore[arg-type]
        ground = Ground(machine.settings.root, frozenset((PAUSE_IMAGE,)))
        groups = Cgroups(fixture.GROUP)
        agent = Agent(client, machine.runtime, machine.clock, SeededIds(5), config, cgroups=groups, ground=ground)
        task = asyncio.get_running_loop().create_task(agent.run())
        try:
            await limits(world, agent)
            await images(world, machine)
            for name in ("keeps-to-it", *EXPECTED):
                await client.delete(POD, "default", name, grace_s=1)
            for name in ("keeps-to-it", *EXPECTED):
                await world.until_gone(name)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await core.close()


def test_limits_on_the_disk_are_kept_and_unused_images_removed() -> None:
    assert fixture.missing() == ""
    asyncio.run(scenario())
