"""The folder into which plugins of the node (CSI drivers, drivers of devices) lay their sockets, and who takes them.

A plugin that appears is asked what it is, its handler takes or refuses it, and it is told the outcome. One whose socket
is made anew is taken anew; one whose socket goes is let go. What could not be taken is tried again, ever more rarely,
and at once when its socket changes. Sockets lie directly in the folder.

Source: https://github.com/kubernetes/design-proposals-archive/blob/main/node/plugin-watcher.md
"""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from navarch.agent import inotify
from navarch.base.backoff import delay_s
from navarch.base.clock import Clock
from navarch.base.errors import ApiError, Retryable
from navarch.base.log import Log
from navarch.base.tasks import BugReport
from navarch.wire.cri import open_channel
from navarch.wire.registration import API

_log = Log("agent")
_bugs = BugReport(_log)

CSI = "CSIPlugin"
DRA = "DRAPlugin"
DEVICES = "DevicePlugin"

ANSWER_S = 10.0
"""A plugin has so long to answer each question."""
RETRIES_S = (0.5, 122.0)
AGAIN_S = 10.0

Identity = tuple[int, int]
"""Of a socket in a folder: its inode and when that was made; another one under the same name differs."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """What a plugin says that it is. socket: where it was found. endpoint: where it serves what it is for."""

    socket: Path
    type: str
    name: str
    endpoint: str
    versions: tuple[str, ...]


class Refused(Exception):
    """The plugin cannot be taken; the text is what it is told."""


class Handler(Protocol):
    """Who takes the plugins of one type."""

    async def register(self, plugin: Plugin) -> None:
        """Also of one that is there already, from another socket. Raises: Refused, ApiError, Retryable."""
        ...

    async def deregister(self, plugin: Plugin) -> None:
        """Its socket has gone. Raises: ApiError, Retryable."""
        ...


@dataclass(frozen=True, slots=True)
class Known:
    """plugin: None while it could not be taken; failures: how often in a row."""

    identity: Identity
    plugin: Plugin | None = None
    failures: int = 0
    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """gone: names of sockets to let go of, before the others are taken. wake_at: when to look again at the latest."""

    gone: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    wake_at: datetime | None = None


def plan(seen: Mapping[str, Identity], known: Mapping[str, Known], now: datetime) -> Plan:
    """seen: the sockets that are in the folder, by name. known: those that were dealt with."""
    gone, new, wakes = [], [], []
    for name, one in sorted(known.items()):
        if seen.get(name) != one.identity:
            gone.append(name)
    for name, identity in sorted(seen.items()):
        before = known.get(name)
        if before is None or before.identity != identity:
            new.append(name)
        elif before.plugin is None and before.retry_at is not None:
            if before.retry_at <= now:
                new.append(name)
            else:
                wakes.append(before.retry_at)
    return Plan(tuple(gone), tuple(new), min(wakes, default=None))


def sockets(folder: Path) -> dict[str, Identity]:
    """Hidden files are nobody's plugins."""
    found = {}
    for entry in folder.iterdir():
        try:
            status = entry.stat()
        except FileNotFoundError:  # gone between two looks
            continue
        if stat.S_ISSOCK(status.st_mode) and not entry.name.startswith("."):
            found[entry.name] = (status.st_ino, status.st_mtime_ns)
    return found


class PluginWatch:
    """handlers: by the type of plugin; to be filled before `run`."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.handlers: dict[str, Handler] = {}
        self._folder = folder
        self._clock = clock
        self._known: dict[str, Known] = {}

    async def run(self) -> None:
        """Until cancelled. A folder that cannot be made or watched is tried again now and then."""
        while True:
            try:
                await self._watch()
            except OSError as error:
                _log.warning("plugins cannot register, will be tried again", folder=str(self._folder), error=error)
                await self._clock.sleep(AGAIN_S)

    async def _watch(self) -> None:
        """Raises: OSError."""
        wake = asyncio.Event()
        with inotify.watched(self._folder, wake.set):
            while True:
                wake.clear()
                wake_at = await self._round()
                await _until(wake, wake_at, self._clock)

    async def _round(self) -> datetime | None:
        seen = sockets(self._folder)
        planned = plan(seen, self._known, self._clock.now())
        for name in planned.gone:
            await self._let_go(name, again=name in planned.new)
        async with asyncio.TaskGroup() as group:
            for name in planned.new:
                group.create_task(self._take(name, seen[name]))
        return plan(sockets(self._folder), self._known, self._clock.now()).wake_at if planned.new else planned.wake_at

    async def _let_go(self, name: str, *, again: bool) -> None:
        """again: its successor is there, which says more than that this one went."""
        plugin = self._known.pop(name).plugin
        if plugin is None or again:
            return
        try:
            await self.handlers[plugin.type].deregister(plugin)
            _log.info("plugin gone", type=plugin.type, name=plugin.name)
        except (ApiError, Retryable) as error:
            _log.warning("plugin not taken off", type=plugin.type, name=plugin.name, error=error)

    async def _take(self, name: str, identity: Identity) -> None:
        socket = self._folder / name
        try:
            plugin = await self._ask_and_register(socket)
        except (Refused, ApiError, Retryable) as error:
            self._put_off(name, identity)
            _log.warning("plugin not taken, will be tried again", socket=str(socket), error=error)
        except Exception as bug:  # noqa: BLE001 - reported; other plugins go on, and this one is tried again
            self._put_off(name, identity)
            _bugs.report("registration of a plugin", bug)
        else:
            self._known[name] = Known(identity, plugin)
            _log.info("plugin taken", type=plugin.type, name=plugin.name, endpoint=plugin.endpoint)

    def _put_off(self, name: str, identity: Identity) -> None:
        before = self._known.get(name)
        failures = before.failures + 1 if before is not None else 1
        retry_at = self._clock.now() + timedelta(seconds=delay_s(failures - 1, *RETRIES_S))
        self._known[name] = Known(identity, None, failures, retry_at)

    async def _ask_and_register(self, socket: Path) -> Plugin:
        """Raises: Refused, ApiError, Retryable."""
        channel = open_channel(socket)
        try:
            plugin = await _ask(channel, socket)
            error: Exception | None = None
            try:
                handler = self.handlers.get(plugin.type)
                if handler is None:
                    raise Refused(f"no handler registered for plugin type: {plugin.type} at socket {socket}")
                await handler.register(plugin)
            except (Refused, ApiError, Retryable) as caught:
                error = caught
            await _notify(channel, socket, error)
            if error is not None:
                raise error
            return plugin
        finally:
            await channel.close()


async def _ask(channel: Any, socket: Path) -> Plugin:
    """Raises: Retryable."""
    import grpc

    try:
        info = await API.call(channel, "Registration", "GetInfo")(API.make("InfoRequest"), timeout=ANSWER_S)
    except grpc.RpcError as error:
        text = f"failed to get plugin info using RPC GetInfo at socket {socket}, err: {_said(error)}"
        raise Retryable(text) from error
    return Plugin(socket, info.type, info.name, info.endpoint or str(socket), tuple(info.supported_versions))


async def _notify(channel: Any, socket: Path, error: Exception | None) -> None:
    """Raises: Retryable."""
    import grpc

    text = "" if error is None else f"RegisterPlugin error -- plugin registration failed with err: {error}"
    status = API.make("RegistrationStatus", plugin_registered=error is None, error=text)
    try:
        await API.call(channel, "Registration", "NotifyRegistrationStatus")(status, timeout=ANSWER_S)
    except grpc.RpcError as failed:
        _log.warning("plugin not told of its registration", socket=str(socket), error=_said(failed))
        if error is None:
            raise Retryable(f"the plugin at {socket} does not take its registration: {_said(failed)}") from failed


def _said(error: Any) -> str:
    return f"{error.code().name}: {error.details()}"


async def _until(wake: asyncio.Event, wake_at: datetime | None, clock: Clock) -> None:
    if wake_at is None:
        await wake.wait()
        return
    try:
        async with asyncio.timeout(max(0.0, (wake_at - clock.now()).total_seconds()) + 0.001):
            await wake.wait()
    except TimeoutError:
        return
