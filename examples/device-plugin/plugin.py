"""A device plugin that offers copies of /dev/null, to see how devices get into containers.

    python plugin.py --count 2 --folder /var/lib/navarch/agent/device-plugins

It registers with the node, tells of its devices for as long as it runs, and registers again when the node's agent
starts anew. A real one would look for hardware where this one counts.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any

import grpc.aio

from navarch.wire.deviceplugin import API, HEALTHY, UNHEALTHY, VERSION


class DevicePlugin:
    """asked: what the node asked for, in order."""

    def __init__(self, folder: Path, resource: str = "example.com/null", count: int = 2) -> None:
        self.folder = folder
        self.resource = resource
        self.endpoint = resource.replace("/", "-") + ".sock"
        self.health = {f"null-{number}": HEALTHY for number in range(count)}
        self.nodes: dict[str, int] = {}
        self.asked: list[tuple[str, tuple[str, ...]]] = []
        self.refuse = ""
        self._changed = asyncio.Condition()
        self._server: Any = None

    async def set_health(self, device: str, healthy: bool) -> None:
        async with self._changed:
            self.health[device] = HEALTHY if healthy else UNHEALTHY
            self._changed.notify_all()

    async def start(self) -> None:
        """Serve, and tell the node about it."""
        (self.folder / self.endpoint).unlink(missing_ok=True)
        self._server = grpc.aio.server()
        methods = ("GetDevicePluginOptions", "ListAndWatch", "GetPreferredAllocation", "Allocate", "PreStartContainer")
        functions = {name: getattr(self, name) for name in methods}
        self._server.add_generic_rpc_handlers((API.handlers("DevicePlugin", functions),))
        self._server.add_insecure_port(f"unix://{self.folder / self.endpoint}")
        await self._server.start()
        async with grpc.aio.insecure_channel(f"unix://{self.folder / 'kubelet.sock'}") as node:
            request = API.make(
                "RegisterRequest",
                version=VERSION,
                endpoint=self.endpoint,
                resource_name=self.resource,
                options=self._options(),
            )
            await API.call(node, "Registration", "Register")(request, wait_for_ready=True, timeout=30)

    async def stop(self) -> None:
        await self._server.stop(None)

    def _options(self) -> Any:
        return API.make("DevicePluginOptions", pre_start_required=True, get_preferred_allocation_available=True)

    async def GetDevicePluginOptions(self, request: Any, context: Any) -> Any:
        return self._options()

    async def ListAndWatch(self, request: Any, context: Any) -> Any:
        while True:
            async with self._changed:
                told = [self._device(name, health) for name, health in self.health.items()]
            yield API.make("ListAndWatchResponse", devices=told)
            async with self._changed:
                await self._changed.wait()

    def _device(self, name: str, health: str) -> Any:
        nodes = [API.make("NUMANode", ID=self.nodes[name])] if name in self.nodes else []
        return API.make("Device", ID=name, health=health, topology=API.make("TopologyInfo", nodes=nodes))

    async def GetPreferredAllocation(self, request: Any, context: Any) -> Any:
        """The last ones, so that one sees who has chosen."""
        answers = []
        for each in request.container_requests:
            rest = sorted(set(each.available_device_ids) - set(each.must_include_device_ids), reverse=True)
            chosen = [*each.must_include_device_ids, *rest][: each.allocation_size]
            answers.append(API.make("ContainerPreferredAllocationResponse", device_ids=chosen))
        return API.make("PreferredAllocationResponse", container_responses=answers)

    async def Allocate(self, request: Any, context: Any) -> Any:
        if self.refuse:
            await context.abort(grpc.StatusCode.INTERNAL, self.refuse)
        answers = []
        for each in request.container_requests:
            names = tuple(each.devices_ids)
            self.asked.append(("Allocate", names))
            devices = [
                API.make("DeviceSpec", container_path=f"/dev/{name}", host_path="/dev/null", permissions="rw")
                for name in names
            ]
            answers.append(
                API.make(
                    "ContainerAllocateResponse",
                    envs={"NULL_DEVICES": ",".join(names)},
                    devices=devices,
                    annotations={"example.com/null": ",".join(names)},
                )
            )
        return API.make("AllocateResponse", container_responses=answers)

    async def PreStartContainer(self, request: Any, context: Any) -> Any:
        self.asked.append(("PreStartContainer", tuple(request.devices_ids)))
        return API.make("PreStartContainerResponse")


async def serve(folder: Path, resource: str, count: int) -> None:
    """Until interrupted. The node takes the socket away when it starts anew: then register again."""
    plugin = DevicePlugin(folder, resource, count)
    while True:
        await plugin.start()
        print(f"{count} devices of {resource} offered at {folder / plugin.endpoint}", flush=True)
        while (folder / plugin.endpoint).exists():  # noqa: ASYNC110 - a folder tells nobody
            await asyncio.sleep(1)
        await plugin.stop()


if __name__ == "__main__":
    words = argparse.ArgumentParser()
    words.add_argument("--folder", type=Path, default=Path("/var/lib/navarch/agent/device-plugins"))
    words.add_argument("--resource", default="example.com/null")
    words.add_argument("--count", type=int, default=2)
    given = words.parse_args()
    asyncio.run(serve(given.folder, given.resource, given.count))
