"""What monitors of devices are told over the socket: CPUs, devices of plugins, devices of claims."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import grpc
import pytest

from navarch.agent.allotments import Allotments
from navarch.agent.dra.claims import DeviceClaims
from navarch.agent.podresources import SOCKET, PodResources
from navarch.base.clock import SystemClock
from navarch.wire.cri import open_channel
from navarch.wire.podresources import API, SERVICE
from tests.unit.agent.cluster import World, ready
from tests.unit.agent.dra.lamps import allocate, create_claim, play, pod_with, result, serving, until
from tests.unit.agent.pods import pod
from tests.unit.agent.test_allotments import GPU, STATIC, asking, gpus
from tests.unit.agent.topology.test_cpus import MACHINE


async def ask(folder: Path, method: str, message: str, **fields: Any) -> Any:
    await until((folder / SOCKET).exists)
    channel = open_channel(folder / SOCKET)
    try:
        return await API.call(channel, SERVICE, method)(API.make(message, **fields), timeout=30, wait_for_ready=True)
    finally:
        await channel.close()


def test_cpus_and_devices_of_plugins_are_told_by_container(tmp_path: Path) -> None:
    async def scenario(folder: Path) -> None:
        allotments = Allotments(STATIC, MACHINE, gpus("a", "b", nodes={"a": 1}), tmp_path / "file")
        made = pod(asking(cpu="2", memory="1Gi", gpu="1"))
        await allotments.allot(made)
        clock, client = SystemClock(), None
        told = PodResources(lambda: [made], allotments, DeviceClaims(client), folder / "s", clock)  # type: ignore[arg-type]
        async with asyncio.TaskGroup() as group:
            running = group.create_task(told.run())
            [found] = (await ask(folder / "s", "List", "ListPodResourcesRequest")).pod_resources
            assert (found.name, found.namespace) == (made.metadata.name, made.metadata.namespace)
            [main] = found.containers
            assert (main.name, list(main.cpu_ids)) == ("main", [1, 5])
            [device] = main.devices
            assert (device.resource_name, list(device.device_ids)) == (GPU, ["a"])
            assert [node.ID for node in device.topology.nodes] == [1]
            whole = await ask(folder / "s", "GetAllocatableResources", "AllocatableResourcesRequest")
            assert list(whole.cpu_ids) == [1, 2, 3, 5, 6, 7]
            assert [list(one.device_ids) for one in whole.devices] == [["a"], ["b"]]
            assert not whole.devices[1].HasField("topology")
            running.cancel()

    with tempfile.TemporaryDirectory(prefix="pr", dir="/tmp") as folder:  # a socket's path is at most 107 bytes long
        asyncio.run(scenario(Path(folder)))


def test_devices_of_claims_are_told_by_the_request_that_a_container_uses() -> None:
    async def scene(world: World) -> None:
        await create_claim(world, "mine", "left", "right")
        await pod_with(world, "a", "mine", "left")
        await allocate(world, "mine", [result("lamp-1", "left"), result("lamp-2", "right")], "a")
        folder = world.config.paths.pod_resources
        async with serving(world), world.running(storage=None):
            await world.until("a", ready)
            key = {"pod_name": "a", "pod_namespace": "default"}
            found = (await ask(folder, "Get", "GetPodResourcesRequest", **key)).pod_resources
            [claim] = found.containers[0].dynamic_resources
            assert (claim.claim_namespace, claim.claim_name) == ("default", "mine")
            [lamp] = claim.claim_resources
            assert (lamp.driver_name, lamp.pool_name, lamp.device_name) == ("lamps.navarch.dev", "n1", "lamp-1")
            assert lamp.cdi_devices[0].name.startswith("lamps.navarch.dev/lamp=")
            assert list(found.containers[0].devices) == []
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await ask(folder, "Get", "GetPodResourcesRequest", pod_name="none", pod_namespace="default")
            assert failed.value.code() is grpc.StatusCode.UNKNOWN
            assert failed.value.details() == "pod none in namespace default not found"

    play(scene)
