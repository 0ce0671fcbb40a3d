"""Drivers of devices that have registered on this node, and the calls to them.

Several plugins of one driver may be there, while one takes over from another: the newest that can be reached is asked.
When none can be for a while, what the driver published of this node is taken away, so that no pod is sent here for it;
the same when the agent starts, before any driver has come.

Source: https://github.com/kubernetes/enhancements/blob/master/keps/sig-node/4381-dra-structured-parameters/README.md
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from navarch.agent.dra.asked import ClaimFailure
from navarch.agent.dra.records import Device, Record
from navarch.agent.pluginwatch import Plugin, Refused
from navarch.base.backoff import delay_s
from navarch.base.clock import Clock
from navarch.base.errors import ApiError, Retryable
from navarch.base.log import Log
from navarch.client.client import Client
from navarch.wire.cri import open_channel
from navarch.wire.dra import APIS, SERVICE

_log = Log("agent")

CALL_S = 45.0
"""A driver has so long to answer."""
WIPE_AFTER_S = 30.0
"""A driver may be away so long before what it published of this node is taken away."""
RETRIES_S = (1.0, 300.0)
SLICES = "/apis/resource.k8s.io/v1/resourceslices"


@dataclass(slots=True, eq=False)
class Instance:
    """A plugin of a driver. service: the version that it is spoken to in. connected: whether it can be reached."""

    plugin: Plugin
    service: str
    channel: Any
    connected: bool = False
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


Watcher = Callable[[Instance], Any]
"""What runs for as long as a plugin is there: a coroutine."""


def chosen(plugin: Plugin) -> str:
    """The service that the driver is to be asked by. Raises: Refused."""
    where = f"invalid supported gRPC versions of DRA driver plugin {plugin.name} at endpoint {plugin.endpoint}: "
    if not plugin.versions:
        raise Refused(f"{where}empty list of supported gRPC services (aka supported versions)")
    found = next((service for service in APIS if service in plugin.versions), None)
    if found is None:
        theirs, ours = (" ".join(map(json.dumps, names)) for names in (plugin.versions, APIS))
        told = f"none of services supported by the plugin ([{theirs}]) are supported by the kubelet ([{ours}])"
        raise Refused(where + told)
    return found


class Drivers:
    """The handler of drivers for `pluginwatch`. watchers: what is run besides for each plugin that comes."""

    def __init__(
        self, client: Client, clock: Clock, node: str, *, wipe_after_s: float = WIPE_AFTER_S, call_s: float = CALL_S
    ) -> None:
        self.watchers: list[Watcher] = []
        self._client = client
        self._clock = clock
        self._node = node
        self._wipe_after_s = wipe_after_s
        self._call_s = call_s
        self._instances: dict[str, list[Instance]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._wipes: dict[str, asyncio.Task[None]] = {}

    # who is there

    async def register(self, plugin: Plugin) -> None:
        service = chosen(plugin)
        if self._group is None:
            raise Retryable("the agent is stopping")
        await self._drop(lambda one: one.plugin.socket == plugin.socket)  # it has come again
        others = self._instances.setdefault(plugin.name, [])
        if any(one.plugin.endpoint == plugin.endpoint for one in others):
            raise Refused(f"endpoint {plugin.endpoint} already registered for DRA driver plugin {plugin.name}")
        instance = Instance(plugin, service, open_channel(Path(plugin.endpoint)))
        others.append(instance)
        instance.tasks = [self._group.create_task(watch(instance)) for watch in (self._listen, *self.watchers)]
        self._settle(plugin.name)

    async def deregister(self, plugin: Plugin) -> None:
        await self._drop(lambda one: one.plugin == plugin)

    async def _drop(self, goes: Callable[[Instance], bool]) -> None:
        for name, instances in list(self._instances.items()):
            for instance in [one for one in instances if goes(one)]:
                instances.remove(instance)
                await _close(instance)
            if not instances:
                del self._instances[name]
                self._settle(name)

    def find(self, name: str) -> Instance:
        """The newest plugin that can be reached, or the newest. Raises: ClaimFailure."""
        instances = self._instances.get(name)
        if not instances:
            raise ClaimFailure(f"DRA driver {name} is not registered")
        return next((one for one in reversed(instances) if one.connected), instances[-1])

    async def _listen(self, instance: Instance) -> None:
        """Note whether the plugin can be reached, for as long as it is there."""
        import grpc

        while True:
            state = instance.channel.get_state(try_to_connect=True)
            if instance.connected != (state is grpc.ChannelConnectivity.READY):
                instance.connected = not instance.connected
                self._settle(instance.plugin.name)
            await instance.channel.wait_for_state_change(state)

    # what they published

    def _settle(self, name: str) -> None:
        """Take away what a driver published that cannot be reached for too long."""
        usable = any(one.connected for one in self._instances.get(name, ()))
        if usable and name in self._wipes:
            self._wipes.pop(name).cancel()
        elif not usable and name not in self._wipes and self._group is not None:
            self._wipes[name] = self._group.create_task(self._wipe_later(name))

    async def _wipe_later(self, name: str) -> None:
        await self._clock.sleep(self._wipe_after_s)
        await self._wipe(f"spec.nodeName={self._node},spec.driver={name}")
        if name not in self._instances:
            self._wipes.pop(name, None)

    async def _wipe(self, fields: str) -> None:
        """Until it is done, however long the API server is away."""
        failures = 0
        while True:
            try:
                await self._client.raw("DELETE", f"{SLICES}?{urlencode({'fieldSelector': fields})}")
                return
            except (ApiError, Retryable) as error:
                _log.info("devices of drivers that are away are still published", of=fields, error=error)
            await self._clock.sleep(delay_s(failures, *RETRIES_S))
            failures += 1

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                await self._wipe(f"spec.nodeName={self._node}")
                await asyncio.get_running_loop().create_future()
        finally:
            self._group = None
            for instances in self._instances.values():
                for instance in instances:
                    await instance.channel.close()

    # what they are asked

    async def prepare(self, name: str, claims: Sequence[Record]) -> dict[str, tuple[Device, ...]]:
        """By claim's uid, what it has. Raises: ClaimFailure, if it is not so for all of them."""
        answers = await self._call(name, "NodePrepareResources", claims)
        return {uid: tuple(map(_device, answer.devices)) for uid, answer in answers.items()}

    async def unprepare(self, name: str, claims: Sequence[Record]) -> None:
        """Raises: ClaimFailure, if it is not so for all of them."""
        await self._call(name, "NodeUnprepareResources", claims)

    async def _call(self, name: str, method: str, claims: Sequence[Record]) -> dict[str, Any]:
        import grpc.aio

        instance = self.find(name)
        api = APIS[instance.service]
        asked = [api.make("Claim", namespace=one.namespace, uid=one.uid, name=one.name) for one in claims]
        request = api.make(f"{method}Request", claims=asked)
        try:
            answer = await api.call(instance.channel, SERVICE, method)(request, timeout=self._call_s)
        except (grpc.aio.AioRpcError, grpc.aio.UsageError) as error:
            raise ClaimFailure(f"{method}: {_said(error)}") from error
        names = {one.uid: one.name for one in claims}
        for uid, each in sorted(answer.claims.items()):
            if uid not in names:
                raise ClaimFailure(f"{method} returned result for unknown claim UID {uid}")
            if each.error:
                raise ClaimFailure(f"{method} failed for ResourceClaim {names[uid]}: {each.error}")
        if missing := len(names) - len(answer.claims):
            raise ClaimFailure(f"{method} skipped {missing} ResourceClaims")
        return dict(answer.claims)


def _device(message: Any) -> Device:
    requests, cdi = tuple(message.request_names), tuple(message.cdi_device_ids)
    return Device(message.pool_name, message.device_name, requests, cdi, message.share_id)


def _said(error: Any) -> str:
    if not hasattr(error, "code"):  # its channel was closed: another plugin has come, or none is there any more
        return f"rpc error: code = Canceled desc = {error}"
    code = "".join(word.capitalize() for word in error.code().name.split("_")).replace("Cancelled", "Canceled")
    text = "context deadline exceeded" if code == "DeadlineExceeded" else error.details()
    return f"rpc error: code = {code} desc = {text}"


async def _close(instance: Instance) -> None:
    for task in instance.tasks:
        task.cancel()
    await asyncio.gather(*instance.tasks, return_exceptions=True)
    await instance.channel.close()
