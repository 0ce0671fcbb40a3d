"""Hearing from logind, on a real bus: locks, what is asked for, what is heard, and a bus that goes away."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from navarch.agent.fake import Behaviour
from navarch.agent.kubelet import KubeletConfig
from navarch.agent.logind import Logind, bus_address
from navarch.base.clock import SystemClock
from tests.unit.agent import cluster
from tests.unit.agent.login1 import Login1, bus
from tests.unit.agent.test_agent import play

LAST = ("Get", "org.freedesktop.login1.Manager", "PreparingForShutdown")
"""What is asked last before logind is only listened to."""


class Told:
    """What the pods' side was told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.finished: Callable[[], None] = lambda: None

    def begin(self) -> None:
        self.said.append("begin")

    def call_off(self) -> None:
        self.said.append("call off")


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - another process's doing
            await asyncio.sleep(0.01)


def _listens(logind: Logind, login: Login1) -> bool:
    return logind.holds and LAST in login.asked


def _is_free(logind: Logind) -> bool:
    return not logind.holds


@contextlib.asynccontextmanager
async def listening(
    folder: Path, needed_s: float, delay_s: float, configured_s: float | None = None
) -> AsyncIterator[tuple[Logind, Login1, Told]]:
    told = Told()
    async with bus(folder) as address, asyncio.TaskGroup() as group:
        login = Login1(address, delay_s, configured_s)
        made = Logind(told, needed_s, SystemClock(), address, folder / "conf.d" / "99-navarch.conf")
        serving, task = group.create_task(login.serve()), group.create_task(made.run())
        try:
            await until(lambda: _listens(made, login))
            yield made, login, told
        finally:
            task.cancel()
            await asyncio.wait((task,))
            assert login.held == 0, "who ends lets the machine go"
            serving.cancel()
            login.close()


def test_a_shutdown_is_held_up_until_the_pods_are_done_and_one_called_off_is_held_up_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with listening(tmp_path, 10.0, 30.0) as (logind, login, told):
            await until(
                lambda: (
                    logind.holds and ("Get", "org.freedesktop.login1.Manager", "PreparingForShutdown") in login.asked
                )
            )
            assert ("Inhibit", "shutdown", "navarch", "Pods get their time to end", "delay") in login.asked
            assert not (tmp_path / "conf.d").exists(), "logind waits long enough as it is"
            login.signal(True)
            await until(lambda: told.said)
            assert login.held == 1, "the machine waits"
            told.finished()
            await until(lambda: login.held == 0)
            assert not logind.holds
            login.signal(False)
            await until(lambda: told.said == ["begin", "call off"])
            await until(lambda: login.held == 1)
            login.signal(True)
            login.signal(False)
            await until(lambda: told.said == ["begin", "call off"] * 2)
            await until(lambda: [one[0] for one in login.asked].count("Inhibit") == 3 and login.held == 1)

    asyncio.run(scenario())


def test_logind_is_asked_to_wait_longer_where_it_would_not(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with listening(tmp_path, 44.5, 5.0, configured_s=45.0) as (_, login, __):
            written = (tmp_path / "conf.d" / "99-navarch.conf").read_text()
            assert written.splitlines()[1:] == ["[Login]", "InhibitDelayMaxSec=45"]
            assert ("KillUnit", "systemd-logind.service", "all", 1) in login.asked

    asyncio.run(scenario())


def test_a_logind_that_will_not_wait_so_long_is_held_up_for_as_long_as_it_will(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("navarch.agent.logind.RELOAD_S", 0.05)

    async def scenario() -> None:
        async with listening(tmp_path, 60.0, 5.0) as (logind, _, __):
            await until(lambda: logind.holds)

    asyncio.run(scenario())
    assert "InhibitDelayMaxSec" in caplog.text


def test_a_shutdown_that_began_before_is_not_missed(tmp_path: Path) -> None:
    async def scenario() -> None:
        told = Told()
        async with bus(tmp_path) as address, asyncio.TaskGroup() as group:
            login = Login1(address, 30.0)
            login.preparing = True
            tasks = [group.create_task(login.serve())]
            tasks.append(group.create_task(Logind(told, 5.0, SystemClock(), address, tmp_path / "x").run()))
            await until(lambda: told.said == ["begin"])
            for task in tasks:
                task.cancel()
            login.close()

    asyncio.run(scenario())


def test_a_bus_without_logind_is_left_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bus(tmp_path) as address, asyncio.timeout(60):
            await Logind(Told(), 5.0, SystemClock(), address, tmp_path / "x").run()  # returns: nobody is there

    asyncio.run(scenario())


def test_a_bus_that_goes_is_waited_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with asyncio.TaskGroup() as group:
            logind, task = None, None
            for _ in range(2):
                async with bus(tmp_path) as address:
                    login = Login1(address, 30.0)
                    serving = group.create_task(login.serve())
                    if logind is None or task is None:
                        logind = Logind(Told(), 5.0, SystemClock(), address, tmp_path / "x")
                        task = group.create_task(logind.run())
                    await until(partial(_listens, logind, login))
                    serving.cancel()
                    login.close()
                await until(partial(_is_free, logind))
            assert task is not None
            task.cancel()

    asyncio.run(scenario())


def test_a_machine_goes_down_when_the_last_pod_has_stopped(tmp_path: Path) -> None:
    async def scenario(world: Any) -> None:
        world.config = replace(world.config, kubelet=KubeletConfig(shutdown_grace_period_s=60.0))
        async with bus(tmp_path) as address, world.running() as agent, asyncio.TaskGroup() as group:
            login = Login1(address, 60.0)
            logind = Logind(agent.shutdown, 60.0, SystemClock(), address, tmp_path / "x")
            serving, task = group.create_task(login.serve()), group.create_task(logind.run())
            await world.create_pod("web")
            await world.until("web", cluster.ready)
            await until(lambda: _listens(logind, login))
            login.signal(True)
            await until(lambda: login.held == 0)
            assert "stop_sandbox" in [verb for verb, _ in world.runtime.calls]
            found = await world.until("web", lambda one: one["status"]["phase"] == "Failed")
            assert found["status"]["reason"] == "Terminated"
            task.cancel()
            await asyncio.wait((task,))
            serving.cancel()
            login.close()

    play(tmp_path, scenario, behave=lambda spec: Behaviour(stop_s=0.2))


def test_where_the_bus_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/x")
    assert bus_address() == "unix:path=/x"
    monkeypatch.delenv("DBUS_SYSTEM_BUS_ADDRESS")
    monkeypatch.setattr("navarch.agent.logind.SOCKET", tmp_path / "none")
    assert bus_address() == ""
