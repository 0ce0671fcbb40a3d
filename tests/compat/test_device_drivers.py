"""What drivers of devices published of a node that starts, or that they have left: taken away, and that alone."""

from __future__ import annotations

import asyncio

from navarch.agent.dra.drivers import Drivers
from navarch.base.clock import SystemClock
from navarch.client.http import HttpClient
from navarch.client.target import read_kubeconfig
from navarch.kinds import RESOURCESLICE
from navarch.testing.cluster import RunningCluster


def test_slices_of_a_node_go_when_its_agent_starts(whole: RunningCluster) -> None:
    async def scenario() -> None:
        client = HttpClient(read_kubeconfig(whole.kubeconfig), "test")
        for node in ("here", "there"):
            document = {
                "apiVersion": "resource.k8s.io/v1",
                "kind": "ResourceSlice",
                "metadata": {"name": f"{node}-lamps"},
                "spec": {
                    "driver": "lamps.example.com",
                    "nodeName": node,
                    "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
                    "devices": [{"name": "lamp-0"}],
                },
            }
            await client.create(RESOURCESLICE, document)
        drivers = Drivers(client, SystemClock(), "here")
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            running = group.create_task(drivers.run())
            while len(left := (await client.list(RESOURCESLICE, fields="spec.driver=lamps.example.com")).items) > 1:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            running.cancel()
        assert [one.name for one in left] == ["there-lamps"]
        await client.close()

    asyncio.run(scenario())
