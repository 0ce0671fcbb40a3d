"""Device plugins over their real sockets, in this process: they come, tell, fail and go."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from navarch.agent.devices.extras import Extras, together
from navarch.agent.devices.plugins import AWAY_S, SOCKET, PluginFailure, Plugins
from navarch.agent.runtime import DeviceMapping, Mount
from navarch.base.clock import SystemClock
from navarch.wire.deviceplugin import API
from tests.unit.agent.devices.example import DevicePlugin

NULL = "example.com/null"


@contextlib.asynccontextmanager
async def node() -> AsyncIterator[tuple[Plugins, Path]]:
    """A folder with a short name: paths of sockets are at most 107 bytes long."""
    with tempfile.TemporaryDirectory(prefix="nav-") as place:
        plugins = Plugins(Path(place), SystemClock())
        async with asyncio.TaskGroup() as group:
            task = group.create_task(plugins.run())
            await until(lambda: (Path(place) / SOCKET).exists())
            try:
                yield plugins, Path(place)
            finally:
                task.cancel()


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - what another process would do
            await asyncio.sleep(0.01)


def run(scenario: Callable[[Plugins, Path], Awaitable[None]]) -> None:
    async def main() -> None:
        async with node() as (plugins, folder):
            await scenario(plugins, folder)

    asyncio.run(main())


def test_a_plugin_comes_tells_and_gives() -> None:
    async def scenario(plugins: Plugins, folder: Path) -> None:
        seen: list[Any] = []
        plugins.changed = lambda: seen.append(plugins.amounts())
        plugin = DevicePlugin(folder, count=3)
        plugin.nodes["null-1"] = 4
        await plugin.start()
        await until(lambda: plugins.amounts() == {NULL: (3, 3)})
        assert plugins.devices(NULL)["null-1"].nodes == (4,)
        await plugin.set_health("null-2", False)
        await until(lambda: plugins.amounts() == {NULL: (3, 2)})
        assert seen == [{NULL: (3, 3)}, {NULL: (3, 2)}]
        assert sorted(plugins.healthy(NULL)) == ["null-0", "null-1"]
        assert await plugins.preferred(NULL, ["null-0", "null-1"], [], 1) == ["null-1"]
        given = await plugins.allocate(NULL, ["null-1"])
        assert given.variables == {"NULL_DEVICES": "null-1"}
        assert given.devices == (DeviceMapping("/dev/null", "/dev/null-1", "rw"),)
        assert given.annotations == {NULL: "null-1"}
        await plugins.before_start(NULL, ["null-1"])
        assert plugin.asked == [("Allocate", ("null-1",)), ("PreStartContainer", ("null-1",))]
        plugin.refuse = "no"
        with pytest.raises(PluginFailure, match=r"device plugin of example\.com/null did not Allocate: no"):
            await plugins.allocate(NULL, ["null-0"])
        await plugin.stop()

    run(scenario)


def test_devices_of_a_plugin_that_went_are_there_and_do_not_work_until_it_is_back() -> None:
    async def scenario(plugins: Plugins, folder: Path) -> None:
        plugin = DevicePlugin(folder)
        await plugin.start()
        await until(lambda: plugins.amounts() == {NULL: (2, 2)})
        await plugin.stop()
        await until(lambda: plugins.amounts() == {NULL: (2, 0)})
        with pytest.raises(PluginFailure, match="is not there"):
            await plugins.allocate(NULL, ["null-0"])
        again = DevicePlugin(folder, count=1)
        await again.start()
        await until(lambda: plugins.amounts() == {NULL: (1, 1)})
        other = DevicePlugin(folder, count=5)
        other.endpoint = "other.sock"
        await other.start()
        await until(lambda: plugins.amounts() == {NULL: (5, 5)})
        await again.stop()
        assert await plugins.allocate(NULL, ["null-4"])
        assert plugins.amounts() == {NULL: (5, 5)}
        await other.stop()

    run(scenario)


def test_after_a_while_away_nothing_is_left() -> None:
    class Later(SystemClock):
        ahead_s = 0.0

        def monotonic(self) -> float:
            return super().monotonic() + self.ahead_s

    clock = Later()
    plugins = Plugins(Path("/none"), clock)
    plugins.remember([NULL])
    assert (plugins.knows(NULL), plugins.knows("x.org/y"), plugins.amounts()) == (True, False, {NULL: (0, 0)})
    plugins._plugins[NULL].devices = {"a": object()}  # type: ignore[dict-item]
    assert plugins.amounts() == {NULL: (1, 0)}
    clock.ahead_s = AWAY_S + 1
    assert plugins.amounts() == {NULL: (0, 0)}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"version": "v1alpha"}, "requested API version 'v1alpha' is not supported by kubelet"),
        ({"resource_name": "null"}, "the ResourceName 'null' is invalid"),
        ({"resource_name": "requests.kubernetes.io/null"}, "in a domain of your own"),
        ({"resource_name": "example.com/not valid"}, "is invalid"),
        ({"endpoint": "../x.sock"}, "the endpoint '../x.sock' is invalid"),
        ({"endpoint": ""}, "must be the name of a socket beside kubelet.sock"),
    ],
)
def test_who_registers_wrongly_is_told_why(fields: dict[str, str], words: str) -> None:
    async def scenario(plugins: Plugins, folder: Path) -> None:
        asked = {"version": "v1beta1", "endpoint": "a.sock", "resource_name": NULL, **fields}
        async with grpc.aio.insecure_channel(f"unix://{folder / SOCKET}") as channel:
            request = API.make("RegisterRequest", **asked)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await API.call(channel, "Registration", "Register")(request, wait_for_ready=True, timeout=30)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert words in (refused.value.details() or "")
        assert plugins.amounts() == {}

    run(scenario)


def test_sockets_of_before_are_taken_away_so_that_plugins_come_again(tmp_path: Path) -> None:
    import socket

    with tempfile.TemporaryDirectory(prefix="nav-") as place:
        old = socket.socket(socket.AF_UNIX)
        old.bind(f"{place}/old.sock")
        (Path(place) / "file").write_text("kept")

        async def main() -> None:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(Plugins(Path(place), SystemClock()).run())
                await until(lambda: (Path(place) / SOCKET).exists())
                task.cancel()

        asyncio.run(main())
        old.close()
        assert not (Path(place) / "old.sock").exists()
        assert (Path(place) / "file").exists()


def test_what_several_devices_bring_is_brought_once() -> None:
    one = Extras({"A": "1"}, (Mount("/h", "/c"),), (DeviceMapping("/dev/a", "/dev/x"),), {"n": "1"}, ("v/c=1",))
    two = Extras(
        {"A": "2", "B": "2"}, (Mount("/i", "/c"),), (DeviceMapping("/dev/b", "/dev/y"),), {}, ("v/c=1", "v/c=2")
    )
    both = together([one, two])
    assert both.variables == {"A": "1", "B": "2"}
    assert both.mounts == (Mount("/h", "/c"),)
    assert [each.container_path for each in both.devices] == ["/dev/x", "/dev/y"]
    assert both.cdi == ("v/c=1", "v/c=2")
