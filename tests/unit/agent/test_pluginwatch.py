"""Sockets that plugins lay into a folder: taken, told, taken anew, let go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from navarch.agent.pluginwatch import Known, Plugin, PluginWatch, Refused, plan
from navarch.base.clock import SystemClock
from navarch.wire.registration import API

NOW = datetime(2026, 1, 1, tzinfo=UTC)
names = st.sampled_from(["a", "b", "c"])
identities = st.tuples(st.integers(1, 3), st.just(0))
plugins = st.builds(lambda name: Plugin(Path(name), "CSIPlugin", name, name, ()), names)
moments = st.integers(-5, 5).map(lambda seconds: NOW + timedelta(seconds=seconds))
known = st.builds(Known, identities, plugins) | st.builds(Known, identities, st.none(), st.just(1), moments)


@given(st.dictionaries(names, identities), st.dictionaries(names, known))
def test_a_plan_ends_with_what_is_seen(seen: dict[str, tuple[int, int]], before: dict[str, Known]) -> None:
    made = plan(seen, before, NOW)
    left = {name: one.identity for name, one in before.items() if name not in made.gone}
    assert {**left, **{name: seen[name] for name in made.new}} == seen
    taken = {name for name, one in before.items() if one.plugin is not None and seen.get(name) == one.identity}
    assert taken.isdisjoint(made.new)
    assert taken.isdisjoint(made.gone)
    assert made.wake_at is None or made.wake_at > NOW


class Shelf:
    """Takes every plugin but those whose name is `bad`."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.bugs = 0

    async def register(self, plugin: Plugin) -> None:
        if plugin.name == "bad":
            raise Refused("it is bad")
        if self.bugs:
            self.bugs -= 1
            raise KeyError(plugin.name)
        self.told.append(f"+{plugin.name} {plugin.endpoint} {','.join(plugin.versions)}")

    async def deregister(self, plugin: Plugin) -> None:
        self.told.append(f"-{plugin.name}")


class Registrar:
    """A plugin's side: serves who it is, and hears what became of it."""

    def __init__(self, socket: Path, name: str, type: str = "CSIPlugin", endpoint: str = "/csi.sock") -> None:
        self.socket, self.name, self.type, self.endpoint = socket, name, type, endpoint
        self.heard: list[tuple[bool, str]] = []

    async def info(self, request: Any, context: Any) -> Any:
        fields = {"type": self.type, "name": self.name, "endpoint": self.endpoint, "supported_versions": ["1.0.0"]}
        return API.make("PluginInfo", **fields)

    async def hear(self, request: Any, context: Any) -> Any:
        self.heard.append((request.plugin_registered, request.error))
        return API.make("RegistrationStatusResponse")

    async def start(self) -> Any:
        import grpc.aio

        self.server = grpc.aio.server()
        functions = {"GetInfo": self.info, "NotifyRegistrationStatus": self.hear}
        self.server.add_generic_rpc_handlers((API.handlers("Registration", functions),))
        self.server.add_insecure_port(f"unix://{self.socket}")
        await self.server.start()

    async def stop(self) -> None:
        await self.server.stop(None)
        self.socket.unlink(missing_ok=True)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - any state of the test
            await asyncio.sleep(0.01)


def test_plugins_come_go_and_come_again(tmp_path: Path) -> None:
    async def play() -> None:
        shelf, folder = Shelf(), tmp_path / "plugins_registry"
        watch = PluginWatch(folder, SystemClock())
        watch.handlers["CSIPlugin"] = shelf
        running = asyncio.ensure_future(watch.run())
        await until(folder.exists)
        (folder / "no-socket").write_text("")
        first = Registrar(folder / "a.sock", "a")
        await first.start()
        await until(lambda: first.heard == [(True, "")])
        await first.stop()
        await until(lambda: shelf.told == ["+a /csi.sock 1.0.0", "-a"])
        second = Registrar(folder / "a.sock", "a", endpoint="")
        await second.start()
        await until(lambda: second.heard == [(True, "")])
        assert shelf.told[2:] == [f"+a {folder / 'a.sock'} 1.0.0"]
        await second.stop()
        running.cancel()

    asyncio.run(play())


def test_plugins_that_cannot_be_taken_are_told_why_and_tried_again(tmp_path: Path) -> None:
    async def play() -> None:
        shelf, folder = Shelf(), tmp_path
        watch = PluginWatch(folder, SystemClock())
        watch.handlers["CSIPlugin"] = shelf
        bad, odd = Registrar(folder / "bad.sock", "bad"), Registrar(folder / "odd.sock", "odd", "OddPlugin")
        await bad.start()
        await odd.start()
        running = asyncio.ensure_future(watch.run())
        await until(lambda: len(bad.heard) > 1 and bool(odd.heard))
        before = "RegisterPlugin error -- plugin registration failed with err: "
        assert bad.heard[0] == (False, f"{before}it is bad")
        odd_text = f"no handler registered for plugin type: OddPlugin at socket {folder / 'odd.sock'}"
        assert odd.heard[0] == (False, before + odd_text)
        bad.name = "good"
        await until(lambda: bad.heard[-1] == (True, ""))
        assert shelf.told == ["+good /csi.sock 1.0.0"]
        running.cancel()
        await bad.stop()
        await odd.stop()

    asyncio.run(play())


def test_who_left_its_socket_behind_does_not_hold_up_others(tmp_path: Path) -> None:
    import socket

    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / "dead.sock"))
    dead.close()

    async def play() -> None:
        shelf = Shelf()
        watch = PluginWatch(tmp_path, SystemClock())
        watch.handlers["CSIPlugin"] = shelf
        running = asyncio.ensure_future(watch.run())
        alive = Registrar(tmp_path / "alive.sock", "alive")
        await alive.start()
        await until(lambda: alive.heard == [(True, "")])
        running.cancel()
        await alive.stop()

    asyncio.run(play())


def test_a_folder_that_cannot_be_made_and_a_bug_are_survived(tmp_path: Path) -> None:
    class Quick(SystemClock):
        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds / 1000)

    async def play() -> None:
        shelf, folder = Shelf(), tmp_path / "registry"
        shelf.bugs = 1
        folder.write_text("in the way")
        watch = PluginWatch(folder, Quick())
        watch.handlers["CSIPlugin"] = shelf
        running = asyncio.ensure_future(watch.run())
        await asyncio.sleep(0.05)
        assert not running.done()
        folder.unlink()
        await until(folder.is_dir)
        plugin = Registrar(folder / "a.sock", "a")
        await plugin.start()
        await until(lambda: plugin.heard[-1:] == [(True, "")])
        assert shelf.bugs == 0
        running.cancel()
        await plugin.stop()

    asyncio.run(play())
