"""Certificates of a one-machine cluster: made once, kept, renewed before they end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import yaml

from navarch.app import identity
from navarch.app.layout import Layout, Settings
from navarch.base.clock import SystemClock
from navarch.base.errors import Retryable
from navarch.base.pki import hosts_of, subject_of

SETTINGS = Settings("one", "192.0.2.7")


def test_everybody_gets_a_name_and_it_stays(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data", tmp_path / "run")
    first = identity.prepare(layout, SETTINGS, SystemClock())
    assert subject_of(first.node.certificate) == ("system:node:one", ("system:nodes",))
    assert {"192.0.2.7", "10.96.0.1", "kubernetes.default.svc.cluster.local"} <= hosts_of(first.server.certificate)
    assert identity.prepare(layout, SETTINGS, SystemClock()) == first
    kubeconfig = yaml.safe_load(layout.admin_kubeconfig.read_text())
    assert kubeconfig["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:6443"
    assert layout.admin_kubeconfig.stat().st_mode & 0o777 == 0o600


def test_what_nears_its_end_is_made_anew_and_shown(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data", tmp_path / "run")
    clock = SystemClock()
    first = identity.prepare(layout, SETTINGS, clock)
    shown: list[identity.Identity] = []

    async def play() -> None:
        look = identity.Renewal(first, lambda: identity.prepare(layout, SETTINGS, clock), shown.append)
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            task = group.create_task(look.run(every_s=0.001))
            await asyncio.sleep(0.01)
            assert shown == [], "nothing has changed"
            identity.renew_all(layout, SETTINGS, clock)
            while not shown:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.001)
            task.cancel()

    asyncio.run(play())
    [found] = shown
    assert {found.server, found.agent, found.node, found.dialer, found.front_proxy}.isdisjoint(
        {first.server, first.agent, first.node, first.dialer, first.front_proxy}
    )
    assert (found.ca, found.signing_key) == (first.ca, first.signing_key)
    assert identity.prepare(layout, SETTINGS, clock) == found


def test_whoever_hurries_it_need_not_wait(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data", tmp_path / "run")
    first = identity.prepare(layout, SETTINGS, SystemClock())
    made = asyncio.Event()

    async def play() -> None:
        look = identity.Renewal(
            identity.load_node(layout), lambda: identity.load_node(layout), lambda found: made.set()
        )
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            task = group.create_task(look.run())
            identity.renew_all(layout, SETTINGS, SystemClock())
            look.hurry()
            await made.wait()
            task.cancel()

    asyncio.run(play())
    assert identity.load_node(layout).agent != first.agent


def test_a_pair_that_is_just_being_replaced_is_looked_at_again(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data", tmp_path / "run")
    first = identity.prepare(layout, SETTINGS, SystemClock())
    identity.renew_all(layout, SETTINGS, SystemClock())
    whole = (layout.pki / "agent.crt").read_bytes()
    (layout.pki / "agent.crt").write_bytes(first.agent.certificate)
    with pytest.raises(Retryable, match="do not belong together"):
        identity.load_node(layout)
    shown: list[identity.NodeIdentity] = []

    async def play() -> None:
        look = identity.Renewal(
            identity.NodeIdentity(first.ca, first.agent, first.node), lambda: identity.load_node(layout), shown.append
        )
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            task = group.create_task(look.run(again_s=0.001))
            look.hurry()
            await asyncio.sleep(0.01)
            assert shown == []
            (layout.pki / "agent.crt").write_bytes(whole)
            while not shown:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.001)
            task.cancel()

    asyncio.run(play())
    assert shown[0].agent.certificate == whole
