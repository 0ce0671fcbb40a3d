"""A driver of devices in one file: lamps that this machine is said to have, given to pods that claim them.

Run it beside the agent of a node (as root):

    python driver.py --kubeconfig ~/.kube/config --count 3

It publishes its lamps in a ResourceSlice, with a colour and a number each, and registers with the node's agent. When a
pod's claim was given lamps, the agent asks it to prepare them: it describes each for the runtime (CDI) with a variable
and a file that say which lamp it is, and takes the description away when the pod is gone. A real driver would set up
hardware where this one writes files. What it prepared lies on the disk, so it can be killed and started at any moment.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio

from navarch.base.clock import Clock, SystemClock
from navarch.base.errors import AlreadyExists, ApiError, NotFound, Retryable
from navarch.client.client import Client
from navarch.client.http import HttpClient
from navarch.client.informer import Informer
from navarch.client.target import read_kubeconfig
from navarch.kinds import NODE, RESOURCECLAIM, RESOURCESLICE
from navarch.objects.value import Document, dig
from navarch.wire import registration
from navarch.wire.dra import APIS, HEALTH, HEALTH_SERVICE, HEALTH_VERSION, HEALTHY, SERVICE, UNHEALTHY

COLORS = ("red", "green", "blue")
VERSION = "v1.DRAPlugin"
API = APIS[VERSION]
RETRY_S = 2.0
TELL_S = 10.0
"""What is not told again in half a minute is forgotten."""


class Driver:
    """kubelet: the agent's folder. cdi: where the runtime looks for devices. instance: told apart from another of the
    same driver that is taking over from it, or being taken over. asked: what the agent asked for, in order."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        node: str,
        kubelet: Path,
        *,
        name: str = "lamps.navarch.dev",
        cdi: Path = Path("/var/run/cdi"),
        count: int = 3,
        instance: str = "",
    ) -> None:
        self.name = name
        self.healthy = {f"lamp-{number}": True for number in range(count)}
        self.asked: list[tuple[str, tuple[str, ...]]] = []
        self.heard: list[str] = []
        self._client = client
        self._clock = clock
        self._node = node
        self._cdi = cdi
        self._changed = asyncio.Condition()
        self._folder = kubelet / "plugins" / name
        suffix = f"-{instance}" if instance else ""
        self.endpoint = self._folder / f"dra{suffix}.sock"
        self.registry = kubelet / "plugins_registry" / f"{name}{suffix}-reg.sock"

    # what there is

    def slice(self, owner: Document) -> Document:
        """The lamps of this node. owner: the Node, with which they go."""
        meta = owner["metadata"]
        devices = [
            {
                "name": lamp,
                "attributes": {"color": {"string": COLORS[number % 3]}, "number": {"int": number}},
                "capacity": {"brightness": {"value": "100"}},
            }
            for number, lamp in enumerate(self.healthy)
        ]
        reference = {"apiVersion": "v1", "kind": "Node", "name": meta["name"], "uid": meta["uid"], "controller": True}
        return {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceSlice",
            "metadata": {"name": f"{self._node}-{self.name}", "ownerReferences": [reference]},
            "spec": {
                "driver": self.name,
                "nodeName": self._node,
                "pool": {"name": self._node, "generation": 1, "resourceSliceCount": 1},
                "devices": devices,
            },
        }

    async def publish(self) -> None:
        """Until cancelled: whoever takes the slice away (an agent that starts does), it comes again."""
        fields, looked = f"spec.driver={self.name},spec.nodeName={self._node}", asyncio.Event()
        published = Informer(self._client, self._clock, RESOURCESLICE, "", fields)
        published.subscribe(lambda old, new: looked.set())
        async with asyncio.TaskGroup() as group:
            group.create_task(published.run())
            await published.synced.wait()
            while True:
                looked.clear()
                if not published.list() and not await self._made():
                    await self._clock.sleep(RETRY_S)
                    continue
                await looked.wait()

    async def _made(self) -> bool:
        try:
            owner = (await self._client.get(NODE, "", self._node)).document()
            await self._client.create(RESOURCESLICE, self.slice(owner))
        except AlreadyExists:
            return False  # what we watch tells of it in a moment
        except (ApiError, Retryable) as error:
            print(f"lamps not published: {error}", flush=True)
            return False
        return True

    # what the agent asks for

    async def NodePrepareResources(self, request: Any, context: Any) -> Any:
        self.asked.append(("prepare", tuple(one.name for one in request.claims)))
        return API.make(
            "NodePrepareResourcesResponse", claims={one.uid: await self._prepare(one) for one in request.claims}
        )

    async def _prepare(self, asked: Any) -> Any:
        try:
            claim = (await self._client.get(RESOURCECLAIM, asked.namespace, asked.name)).document()
            if claim["metadata"]["uid"] != asked.uid:
                raise NotFound(f"claim {asked.name} is another one by now")
        except (ApiError, Retryable) as error:
            return API.make("NodePrepareResourceResponse", error=str(error))
        allocation = dig(claim, "status", "allocation", "devices", default={})
        results = [one for one in allocation.get("results") or () if one["driver"] == self.name]
        brightness = self._brightness(allocation)
        described, answer = [], []
        for number, one in enumerate(results):
            cdi = f"{asked.uid}-{one['device']}-{number}"
            described.append({"name": cdi, "containerEdits": self._edits(one["device"], brightness)})
            device = {"pool_name": one["pool"], "device_name": one["device"], "cdi_device_ids": [f"{self._kind}={cdi}"]}
            answer.append(API.make("Device", request_names=[one["request"].partition("/")[0]], **device))
        await asyncio.to_thread(self._describe, asked.uid, described)
        return API.make("NodePrepareResourceResponse", devices=answer)

    def _brightness(self, allocation: Document) -> str:
        """What the claim or its class says of the lamps, in the driver's own words."""
        said = (dig(one, "opaque") or {} for one in allocation.get("config") or ())
        ours = [one["parameters"].get("brightness") for one in said if one.get("driver") == self.name]
        return next((value for value in reversed(ours) if value), "100")

    def _edits(self, lamp: str, brightness: str) -> Document:
        number = lamp.rpartition("-")[2]
        place = self._folder / "lamps" / lamp
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{lamp} is {COLORS[int(number) % 3]}\n")
        return {
            "env": [f"LAMP_{number}={COLORS[int(number) % 3]} at {brightness}%"],
            "mounts": [{"hostPath": str(place), "containerPath": f"/lamps/{lamp}", "options": ["ro", "bind"]}],
        }

    @property
    def _kind(self) -> str:
        return f"{self.name}/lamp"

    def _file(self, uid: str) -> Path:
        return self._cdi / f"{self.name}-{uid}.json"

    def _describe(self, uid: str, devices: list[Document]) -> None:
        file = self._file(uid)
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_suffix(".new")
        new.write_text(json.dumps({"cdiVersion": "0.6.0", "kind": self._kind, "devices": devices}))
        new.rename(file)

    async def NodeUnprepareResources(self, request: Any, context: Any) -> Any:
        self.asked.append(("unprepare", tuple(one.name for one in request.claims)))
        for one in request.claims:
            await asyncio.to_thread(self._file(one.uid).unlink, missing_ok=True)
        done = {one.uid: API.make("NodeUnprepareResourceResponse") for one in request.claims}
        return API.make("NodeUnprepareResourcesResponse", claims=done)

    # whether lamps work

    async def set_health(self, lamp: str, healthy: bool) -> None:
        async with self._changed:
            self.healthy[lamp] = healthy
            self._changed.notify_all()

    async def NodeWatchResources(self, request: Any, context: Any) -> AsyncIterator[Any]:
        while True:
            async with self._changed:
                told = [self._health(lamp, healthy) for lamp, healthy in self.healthy.items()]
            yield HEALTH.make("NodeWatchResourcesResponse", devices=told)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TELL_S), self._changed:
                    await self._changed.wait()

    def _health(self, lamp: str, healthy: bool) -> Any:
        device = HEALTH.make("DeviceIdentifier", pool_name=self._node, device_name=lamp)
        health = HEALTHY if healthy else UNHEALTHY
        return HEALTH.make(
            "DeviceHealth", device=device, health=health, last_updated_time=int(self._clock.now().timestamp())
        )

    # its sockets

    async def start(self) -> None:
        """Serve, and register with the node's agent."""
        methods = {name: getattr(self, name) for name in ("NodePrepareResources", "NodeUnprepareResources")}
        services = (
            API.handlers(SERVICE, methods),
            HEALTH.handlers(HEALTH_SERVICE, {"NodeWatchResources": self.NodeWatchResources}),
        )
        for socket in (self.endpoint, self.registry):
            socket.unlink(missing_ok=True)
        self._server = await _serving(self.endpoint, services)
        functions = {"GetInfo": self._info, "NotifyRegistrationStatus": self._hear}
        self._registrar = await _serving(self.registry, (registration.API.handlers("Registration", functions),))

    async def stop(self) -> None:
        """Register no more, and let the agent see it before the last call is answered."""
        self.registry.unlink(missing_ok=True)
        await self._registrar.stop(None)
        await self._server.stop(None)

    async def _info(self, request: Any, context: Any) -> Any:
        fields = {"type": "DRAPlugin", "name": self.name, "endpoint": str(self.endpoint)}
        return registration.API.make("PluginInfo", **fields, supported_versions=[VERSION, HEALTH_VERSION])

    async def _hear(self, request: Any, context: Any) -> Any:
        self.heard.append("registered" if request.plugin_registered else f"not registered: {request.error}")
        print(f"{self.name} is {self.heard[-1]}", flush=True)
        return registration.API.make("RegistrationStatusResponse")


async def _serving(socket: Path, handlers: tuple[Any, ...]) -> Any:
    socket.parent.mkdir(parents=True, exist_ok=True)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(handlers)
    server.add_insecure_port(f"unix://{socket}")
    await server.start()
    return server


async def serve(given: argparse.Namespace) -> None:
    """Until interrupted."""
    clock = SystemClock()
    client = HttpClient(read_kubeconfig(given.kubeconfig), "lamps")
    driver = Driver(client, clock, given.node, given.kubelet, name=given.name, cdi=given.cdi, count=given.count)
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await driver.start()
    print(f"{given.count} lamps of {given.name} on {driver.endpoint}", flush=True)
    async with asyncio.TaskGroup() as group:
        publishing = group.create_task(driver.publish())
        await stop.wait()
        publishing.cancel()
    await driver.stop()
    await client.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="A driver of lamps that pods can claim.")
    parser.add_argument(
        "--kubeconfig", type=Path, default=Path("~/.kube/config").expanduser(), help="as whom to publish"
    )
    parser.add_argument("--name", default="lamps.navarch.dev", help="of the driver")
    parser.add_argument("--node", default=os.uname().nodename, help="this node's name")
    parser.add_argument("--kubelet", type=Path, default=Path("/var/lib/navarch/agent"), help="the agent's folder")
    parser.add_argument("--cdi", type=Path, default=Path("/var/run/cdi"), help="where devices are described")
    parser.add_argument("--count", type=int, default=3, help="of lamps")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
