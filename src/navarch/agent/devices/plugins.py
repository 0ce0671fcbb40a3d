"""The node's side of the device plugin API: plugins register at a socket, tell of their devices for as long as they
live, and say what a container gets with those it was given. Who gets which is decided elsewhere (`agent.allotments`).

A plugin that goes away takes its devices' health along at once, and the devices themselves when it stays away.

Source: https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/device-plugins/
"""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from navarch.agent.devices.extras import Extras
from navarch.agent.runtime import DeviceMapping, Mount
from navarch.base.clock import Clock
from navarch.base.errors import Retryable
from navarch.base.log import Log
from navarch.objects import names
from navarch.wire.deviceplugin import API, HEALTHY, VERSION

_log = Log("agent")

SOCKET = "kubelet.sock"
SERVICE = "DevicePlugin"
AWAY_S = 300.0
"""How long a plugin may be away before its devices are no longer counted among what the node has."""
CALL_S = 60.0
RETRY_S = 10.0
"""Between tries to open a socket where plugins register."""
READY_S = 10.0
"""A plugin must serve so soon after it registered."""
OPTIONS = (("grpc.enable_http_proxy", 0), ("grpc.max_reconnect_backoff_ms", 1000))
REGISTRATIONS = 256
"""Plugins that wait to be listened to; one more is refused."""


class PluginFailure(Retryable):
    """A plugin did not do what it was asked; the message says which, and what it answered."""


@dataclass(frozen=True, slots=True)
class Device:
    """nodes: the NUMA nodes it lies at; () when it does not say."""

    id: str
    healthy: bool
    nodes: tuple[int, ...] = ()


@dataclass(slots=True)
class Plugin:
    """What is known of the plugin of one resource. channel: None while it is away. gone_at: on the monotonic clock."""

    endpoint: str
    channel: Any = None
    prestart: bool = False
    prefers: bool = False
    devices: Mapping[str, Device] = field(default_factory=dict)
    gone_at: float | None = None


class Plugins:
    """folder: where the sockets are. changed: called when devices come, go, fail or recover."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.changed: Callable[[], None] = lambda: None
        self._folder = folder
        self._clock = clock
        self._plugins: dict[str, Plugin] = {}
        self._incoming: asyncio.Queue[tuple[str, Plugin]] = asyncio.Queue(REGISTRATIONS)

    # what is known

    def knows(self, resource: str) -> bool:
        return resource in self._plugins

    def remember(self, resources: Iterable[str]) -> None:
        """Resources that plugins offered to an agent before this one: without devices until they register again."""
        for resource in resources:
            self._plugins.setdefault(resource, Plugin("", gone_at=self._clock.monotonic()))

    def devices(self, resource: str) -> Mapping[str, Device]:
        plugin = self._plugins.get(resource)
        return plugin.devices if plugin is not None else {}

    def healthy(self, resource: str) -> dict[str, Device]:
        """Those that can be given to a container now."""
        plugin = self._plugins.get(resource)
        if plugin is None or plugin.channel is None:
            return {}
        return {name: device for name, device in plugin.devices.items() if device.healthy}

    def amounts(self) -> dict[str, tuple[int, int]]:
        """By resource: how many devices there are, and how many of them work."""
        now = self._clock.monotonic()
        return {
            resource: (0 if _is_lost(plugin, now) else len(plugin.devices), len(self.healthy(resource)))
            for resource, plugin in self._plugins.items()
        }

    # what is asked of plugins

    async def preferred(self, resource: str, available: Sequence[str], must: Sequence[str], count: int) -> list[str]:
        """Which of those the plugin would choose; [] when it does not care. Raises: PluginFailure."""
        plugin = self._plugins[resource]
        if not plugin.prefers or plugin.channel is None:
            return []
        asked = API.make(
            "ContainerPreferredAllocationRequest",
            available_device_ids=available,
            must_include_device_ids=must,
            allocation_size=count,
        )
        request = API.make("PreferredAllocationRequest", container_requests=[asked])
        answer = await self._call(resource, "GetPreferredAllocation", request)
        return [name for each in answer.container_responses[:1] for name in each.device_ids]

    async def allocate(self, resource: str, ids: Sequence[str]) -> Extras:
        """Raises: PluginFailure."""
        request = API.make(
            "AllocateRequest", container_requests=[API.make("ContainerAllocateRequest", devices_ids=ids)]
        )
        answer = await self._call(resource, "Allocate", request)
        if len(answer.container_responses) != 1:
            said = len(answer.container_responses)
            raise PluginFailure(
                f"the device plugin of {resource} answered for {said} containers, not for the one asked"
            )
        return _extras(answer.container_responses[0])

    async def before_start(self, resource: str, ids: Sequence[str]) -> None:
        """Let the plugin prepare devices, if it wants to, before each start. Raises: PluginFailure."""
        plugin = self._plugins.get(resource)
        if plugin is not None and plugin.prestart:
            await self._call(resource, "PreStartContainer", API.make("PreStartContainerRequest", devices_ids=ids))

    async def _call(self, resource: str, method: str, request: Any) -> Any:
        import grpc.aio

        plugin = self._plugins[resource]
        if plugin.channel is None:
            raise PluginFailure(f"the device plugin of {resource} is not there")
        try:
            return await API.call(plugin.channel, SERVICE, method)(request, timeout=CALL_S)
        except grpc.aio.AioRpcError as error:
            text = error.details() or error.code().name
            raise PluginFailure(f"the device plugin of {resource} did not {method}: {text}") from error

    # the socket, and those who came to it

    async def run(self) -> None:
        """Until cancelled."""
        server = await self._opened()
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    resource, plugin = await self._incoming.get()
                    group.create_task(self._listen(resource, plugin))
        finally:
            await server.stop(None)
            for plugin in self._plugins.values():
                if plugin.channel is not None:
                    await plugin.channel.close()

    async def _opened(self) -> Any:
        """The server that plugins come to; tried until the disk lets its socket be made."""
        import grpc.aio

        while True:
            server = grpc.aio.server()
            server.add_generic_rpc_handlers((API.handlers("Registration", {"Register": self._register}),))
            try:
                await asyncio.to_thread(_clear, self._folder)
                server.add_insecure_port(f"unix://{self._folder / SOCKET}")
            except (OSError, RuntimeError) as error:  # the latter is how gRPC says the former
                _log.warning("device plugins cannot come, will be tried again", folder=self._folder, error=error)
                await self._clock.sleep(RETRY_S)
                continue
            await server.start()
            return server

    async def _register(self, request: Any, context: Any) -> Any:
        import grpc

        resource, endpoint = request.resource_name, request.endpoint
        if problem := _problem(request.version, resource, endpoint):
            _log.warning("a device plugin was refused", resource=resource, endpoint=endpoint, why=problem)
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, problem)
        options = request.options
        plugin = Plugin(endpoint, None, options.pre_start_required, options.get_preferred_allocation_available)
        try:
            self._incoming.put_nowait((resource, plugin))
        except asyncio.QueueFull:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many device plugins register at once")
        return API.make("Empty")

    async def _listen(self, resource: str, plugin: Plugin) -> None:
        """Take what the plugin tells for as long as it is there, unless another one takes its place."""
        import grpc.aio

        before, new = self._plugins.get(resource), True
        plugin.devices = before.devices if before is not None else {}
        plugin.channel = grpc.aio.insecure_channel(f"unix://{self._folder / plugin.endpoint}", options=OPTIONS)
        self._plugins[resource] = plugin
        if before is not None and before.channel is not None:
            await before.channel.close()
        _log.info("device plugin registered", resource=resource, endpoint=plugin.endpoint)
        try:
            async with asyncio.timeout(READY_S):
                await plugin.channel.channel_ready()
            async for told in API.call(plugin.channel, SERVICE, "ListAndWatch")(API.make("Empty")):
                found = {each.ID: _device(each) for each in told.devices}
                if found != plugin.devices or new:
                    plugin.devices, new = found, False
                    self.changed()
            _log.info("device plugin ended", resource=resource, endpoint=plugin.endpoint)
        except (grpc.aio.AioRpcError, TimeoutError) as error:
            _log.info("device plugin is away", resource=resource, endpoint=plugin.endpoint, error=error)
        except (asyncio.CancelledError, grpc.aio.UsageError):
            if self._plugins.get(resource) is plugin:
                raise
            return  # another plugin has taken its place, and closed its channel
        if self._plugins.get(resource) is not plugin:
            return
        await plugin.channel.close()
        plugin.channel, plugin.gone_at = None, self._clock.monotonic()
        self.changed()
        await self._clock.sleep(AWAY_S)
        self.changed()


def _is_lost(plugin: Plugin, now: float) -> bool:
    return plugin.channel is None and plugin.gone_at is not None and now - plugin.gone_at >= AWAY_S


def _device(message: Any) -> Device:
    return Device(message.ID, message.health == HEALTHY, tuple(node.ID for node in message.topology.nodes))


def _extras(message: Any) -> Extras:
    return Extras(
        variables=dict(message.envs),
        mounts=tuple(Mount(each.host_path, each.container_path, each.read_only) for each in message.mounts),
        devices=tuple(
            DeviceMapping(each.host_path, each.container_path, each.permissions or "rwm") for each in message.devices
        ),
        annotations=dict(message.annotations),
        cdi=tuple(each.name for each in message.cdi_devices),
    )


def _problem(version: str, resource: str, endpoint: str) -> str:
    """Why a plugin cannot be taken; "" when it can."""
    if version != VERSION:
        return f"requested API version {version!r} is not supported by kubelet. Supported version is {VERSION!r}"
    domain, slash, _ = resource.partition("/")
    owned = domain == "kubernetes.io" or domain.endswith(".kubernetes.io")
    if not slash or owned or names.label_key(resource):
        return f"the ResourceName {resource!r} is invalid: it must be like example.com/device, in a domain of your own"
    if not endpoint or "/" in endpoint or endpoint == SOCKET:
        return f"the endpoint {endpoint!r} is invalid: it must be the name of a socket beside {SOCKET}"
    return ""


def _clear(folder: Path) -> None:
    """Make the folder, and take away the sockets in it: a plugin whose socket goes registers again."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o750)
    for place in folder.iterdir():
        if stat.S_ISSOCK(place.lstat().st_mode):
            place.unlink(missing_ok=True)
