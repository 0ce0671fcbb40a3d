"""Drivers of devices over their real sockets: taken and refused, succeeded by newer ones, bad ones, and gone ones."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote_plus

import pytest

from navarch.agent.dra.asked import ClaimFailure
from navarch.agent.dra.drivers import Drivers, chosen
from navarch.agent.dra.health import Healths
from navarch.agent.dra.records import Record
from navarch.agent.pluginwatch import Plugin, Refused
from navarch.base.clock import SystemClock
from navarch.base.errors import Unavailable
from navarch.wire.dra import APIS, HEALTH_VERSION
from tests.unit.agent import cluster
from tests.unit.agent.cluster import World
from tests.unit.agent.dra.lamps import (
    NAME,
    BadDriver,
    Driver,
    allocate,
    create_claim,
    module,
    play,
    result,
    serving,
    until,
)

Scene = Callable[[World, Drivers, list[str]], Coroutine[Any, Any, None]]


def play_with_drivers(scene: Scene, *, refusals: int = 0, wipe_after_s: float = 3600.0, call_s: float = 45.0) -> None:
    """The scene is told which slices the drivers took away. refusals: so often the API server is away first."""

    async def run(world: World) -> None:
        wiped: list[str] = []

        async def raw(method: str, path: str) -> bytes:
            wiped.append(f"{method} {unquote_plus(path)}")
            if len(wiped) <= refusals:
                raise Unavailable("away")
            return b"{}"

        client: Any = SimpleNamespace(raw=raw)
        drivers = Drivers(client, SystemClock(), cluster.NODE, wipe_after_s=wipe_after_s, call_s=call_s)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(drivers.run())
            await until(lambda: wiped)
            await scene(world, drivers, wiped)
            running.cancel()

    play(run)


def plugin(driver: Any, **changes: Any) -> Plugin:
    versions = (module.VERSION, HEALTH_VERSION)
    return dataclasses.replace(
        Plugin(driver.registry, "DRAPlugin", driver.name, str(driver.endpoint), versions), **changes
    )


async def prepared(world: World, name: str = "mine") -> Record:
    """A claim that could be prepared."""
    await create_claim(world, name)
    await allocate(world, name, [result("lamp-0")])
    found = await world.client.get(module.RESOURCECLAIM, "default", name)
    return Record("default", name, found.uid, ("p1",), {NAME: ()})


def test_a_driver_is_spoken_to_in_the_best_version_that_it_has() -> None:
    one = Plugin(Path("/r.sock"), "DRAPlugin", NAME, "/d.sock", ("v1beta1.DRAPlugin", HEALTH_VERSION))
    assert chosen(one) == "v1beta1.DRAPlugin"
    assert chosen(dataclasses.replace(one, versions=("v1beta1.DRAPlugin", "v1.DRAPlugin"))) == "v1.DRAPlugin"
    where = f"invalid supported gRPC versions of DRA driver plugin {NAME} at endpoint /d.sock: "
    with pytest.raises(Refused) as refused:
        chosen(dataclasses.replace(one, versions=()))
    assert str(refused.value) == where + "empty list of supported gRPC services (aka supported versions)"
    with pytest.raises(Refused) as refused:
        chosen(dataclasses.replace(one, versions=("1.0.0",)))
    told = 'none of services supported by the plugin (["1.0.0"]) are supported by the kubelet'
    assert str(refused.value) == f'{where}{told} (["v1.DRAPlugin" "v1beta1.DRAPlugin"])'


def test_both_versions_are_spoken() -> None:
    class Older(Driver):  # type: ignore[misc]
        async def start(self) -> None:
            module.API = APIS["v1beta1.DRAPlugin"]
            try:
                await super().start()
            finally:
                module.API = APIS["v1.DRAPlugin"]

        async def NodePrepareResources(self, request: Any, context: Any) -> Any:
            make = APIS["v1beta1.DRAPlugin"].make
            device = make("Device", pool_name="p", device_name="d", cdi_device_ids=["a/b=c"], share_id="s")
            answer = make("NodePrepareResourceResponse", devices=[device])
            return make("NodePrepareResourcesResponse", claims={one.uid: answer for one in request.claims})

    async def scene(world: World, drivers: Drivers, wiped: list[str]) -> None:
        async with serving(world, Older) as driver:
            await drivers.register(plugin(driver, versions=("v1beta1.DRAPlugin",)))
            claim = await prepared(world)
            [[device]] = (await drivers.prepare(NAME, [claim])).values()
            assert (device.pool, device.name, device.cdi, device.share) == ("p", "d", ("a/b=c",), "s")
            await drivers.deregister(plugin(driver, versions=("v1beta1.DRAPlugin",)))

    play_with_drivers(scene)


def test_the_newest_plugin_of_a_driver_is_asked_as_long_as_it_can_be_reached() -> None:
    async def scene(world: World, drivers: Drivers, wiped: list[str]) -> None:
        claim = await prepared(world)
        async with serving(world, instance="old") as old:
            await drivers.register(plugin(old))
            await until(lambda: drivers.find(NAME).connected)
            async with serving(world, instance="new") as new:
                with pytest.raises(Refused, match=f"already registered for DRA driver plugin {NAME}"):
                    await drivers.register(plugin(new, endpoint=str(old.endpoint)))
                await drivers.register(plugin(new))
                await until(lambda: drivers.find(NAME).plugin == plugin(new))
                await drivers.prepare(NAME, [claim])
                assert (len(old.asked), len(new.asked)) == (0, 1)
                await drivers.register(plugin(new))  # it has come again
                await until(lambda: drivers.find(NAME).plugin == plugin(new))
            await until(lambda: drivers.find(NAME).plugin == plugin(old))
            await drivers.unprepare(NAME, [claim])
            assert (len(old.asked), len(new.asked)) == (1, 1)
            await drivers.deregister(plugin(new))
            await drivers.deregister(plugin(old))
            with pytest.raises(ClaimFailure, match=rf"DRA driver {NAME} is not registered"):
                drivers.find(NAME)

    play_with_drivers(scene)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("abort", "NodePrepareResources: rpc error: code = Internal desc = it is dark"),
        ("skip", "NodePrepareResources skipped 1 ResourceClaims"),
        ("unknown", "NodePrepareResources returned result for unknown claim UID nobody"),
        ("hang", "NodePrepareResources: rpc error: code = DeadlineExceeded desc = context deadline exceeded"),
        ("the lamp is broken", "NodePrepareResources failed for ResourceClaim mine: the lamp is broken"),
    ],
)
def test_what_a_bad_driver_did_is_said(fault: str, words: str) -> None:
    async def scene(world: World, drivers: Drivers, wiped: list[str]) -> None:
        claim = await prepared(world)
        async with serving(world, BadDriver, faults=[fault] * 2) as driver:
            await drivers.register(plugin(driver))
            for call, method in ((drivers.prepare, "NodePrepare"), (drivers.unprepare, "NodeUnprepare")):
                with pytest.raises(ClaimFailure) as failed:
                    await call(NAME, [claim])
                assert str(failed.value) == words.replace("NodePrepare", method)
            if fault != "hang":
                await drivers.unprepare(NAME, [claim])
            await drivers.deregister(plugin(driver))

    play_with_drivers(scene, call_s=0.3 if fault == "hang" else 45.0)


def test_a_plugin_that_went_without_a_word_is_told_of() -> None:
    async def scene(world: World, drivers: Drivers, wiped: list[str]) -> None:
        claim = await prepared(world)
        async with serving(world) as driver:
            await drivers.register(plugin(driver))
            await until(lambda: drivers.find(NAME).connected)
        await until(lambda: not drivers.find(NAME).connected)
        with pytest.raises(ClaimFailure, match="NodePrepareResources: rpc error: code = Unavailable desc = "):
            await drivers.prepare(NAME, [claim])
        await drivers.deregister(plugin(driver))

    play_with_drivers(scene)


def test_what_a_driver_published_goes_when_it_stays_away() -> None:
    everything = "DELETE /apis/resource.k8s.io/v1/resourceslices?fieldSelector=spec.nodeName=n1"

    async def scene(world: World, drivers: Drivers, wiped: list[str]) -> None:
        await until(lambda: len(wiped) == 2)
        async with serving(world) as driver:
            await drivers.register(plugin(driver))
            await until(lambda: drivers.find(NAME).connected)
            before = len(wiped)
        await until(lambda: not drivers.find(NAME).connected)  # it has died
        await until(lambda: len(wiped) > before)
        await drivers.deregister(plugin(driver))
        async with serving(world) as driver:
            await drivers.register(plugin(driver))
            await until(lambda: drivers.find(NAME).connected)
            before = len(wiped)
            await drivers.deregister(plugin(driver))
            await until(lambda: len(wiped) > before)
        assert wiped[:2] == [everything] * 2
        assert set(wiped[2:]) == {f"{everything},spec.driver={NAME}"}

    play_with_drivers(scene, refusals=1, wipe_after_s=0.2)


def test_what_a_driver_published_stays_while_it_is_replaced() -> None:
    async def scene(world: World, drivers: Drivers, wiped: list[str]) -> None:
        async with serving(world) as driver:
            await drivers.register(plugin(driver))
            await until(lambda: drivers.find(NAME).connected)
            await drivers.deregister(plugin(driver))
            await drivers.register(plugin(driver))
            await until(lambda: drivers.find(NAME).connected)
            assert drivers._wipes == {}
            await drivers.deregister(plugin(driver))
        assert len(wiped) == 1

    play_with_drivers(scene)


def test_devices_are_as_their_driver_says_until_it_goes() -> None:
    async def scene(world: World, drivers: Drivers, wiped: list[str]) -> None:
        healths, seen = Healths(SystemClock()), []
        healths.changed = lambda: seen.append(healths.of(NAME, cluster.NODE, "lamp-1"))
        drivers.watchers.append(healths.watch)
        assert healths.of(NAME, cluster.NODE, "lamp-1") == "Unknown"
        async with serving(world) as driver:
            await drivers.register(plugin(driver))
            await until(lambda: seen == ["Healthy"])
            await driver.set_health("lamp-1", False)
            await until(lambda: seen == ["Healthy", "Unhealthy"])
            assert healths.of(NAME, cluster.NODE, "lamp-0") == "Healthy"
            await drivers.deregister(plugin(driver))
            await until(lambda: seen == ["Healthy", "Unhealthy", "Unknown"])
            await drivers.register(plugin(driver, versions=(module.VERSION,)))
            assert healths.of(NAME, cluster.NODE, "lamp-0") == "Unknown"
            await drivers.deregister(plugin(driver, versions=(module.VERSION,)))

    play_with_drivers(scene)


def test_what_a_driver_does_not_repeat_is_not_known_any_more() -> None:
    class Later(SystemClock):
        ahead_s = 0.0

        def monotonic(self) -> float:
            return super().monotonic() + self.ahead_s

    def told(health: int, **more: Any) -> Any:
        device = SimpleNamespace(pool_name="p", device_name="d")
        return [SimpleNamespace(device=device, health=health, **{"health_check_timeout_seconds": 0, **more})]

    clock = Later()
    healths = Healths(clock)
    assert healths._take("a.org", told(1)) in (29, 30)
    assert healths.of("a.org", "p", "d") == "Healthy"
    clock.ahead_s = 31.0
    assert healths.of("a.org", "p", "d") == "Unknown"
    healths._take("a.org", told(2, health_check_timeout_seconds=100))
    clock.ahead_s = 120.0
    assert healths.of("a.org", "p", "d") == "Unhealthy"
    healths._take("a.org", told(7, health_check_timeout_seconds=-1))
    assert healths.of("a.org", "p", "d") == "Unknown"
