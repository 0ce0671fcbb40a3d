"""Certificates of a one-machine cluster: made once, kept, renewed before they end."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import yaml

from navarch.app import identity
from navarch.app.layout import Layout, Settings
from navarch.base.clock import SystemClock
from navarch.base.pki import Pair, hosts_of, subject_of
from navarch.wire.http import Server
from navarch.wire.message import Request, Response

SETTINGS = Settings("one", "192.0.2.7")


async def nothing(request: Request) -> Response:
    return Response(404)


def test_everybody_gets_a_name_and_it_stays(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data", tmp_path / "run")
    first = identity.prepare(layout, SETTINGS, SystemClock())
    assert subject_of(first.node.certificate) == ("system:node:one", ("system:nodes",))
    assert {"192.0.2.7", "10.96.0.1", "kubernetes.default.svc.cluster.local"} <= hosts_of(first.server.certificate)
    assert identity.prepare(layout, SETTINGS, SystemClock()) == first
    kubeconfig = yaml.safe_load(layout.admin_kubeconfig.read_text())
    assert kubeconfig["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:6443"
    assert layout.admin_kubeconfig.stat().st_mode & 0o777 == 0o600


class Turned(SystemClock):
    """Sleeps for no time, and is a year further on after its second sleep."""

    def __init__(self) -> None:
        self.sleeps = 0

    def now(self) -> datetime:
        return super().now() + timedelta(days=360 if self.sleeps > 1 else 0)

    async def sleep(self, seconds: float) -> None:
        self.sleeps += 1
        await asyncio.sleep(0)
        if self.sleeps > 4:
            raise TimeoutError


def test_a_certificate_near_its_end_is_replaced_under_a_running_server(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data", tmp_path / "run")
    clock = Turned()
    first = identity.prepare(layout, SETTINGS, clock)
    server = Server(nothing)

    async def play() -> None:
        with pytest.raises(TimeoutError):
            await identity.renew(
                clock, server, first.ca, first.server, lambda: identity.prepare(layout, SETTINGS, clock).server
            )

    asyncio.run(play())
    assert server.context is not None
    assert identity.prepare(layout, SETTINGS, clock).server != first.server


def test_the_nodes_process_shows_what_the_server_has_renewed(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data", tmp_path / "run")
    clock = Turned()
    first = identity.prepare(layout, SETTINGS, clock)
    server = Server(nothing)
    looks: list[bytes] = []

    def look() -> Pair:
        if clock.sleeps > 1:
            identity.prepare(layout, SETTINGS, clock)
        looks.append(identity.load_node(layout).agent.certificate)
        return identity.load_node(layout).agent

    async def play() -> None:
        with pytest.raises(TimeoutError):
            await identity.renew(clock, server, first.ca, first.agent, look)

    asyncio.run(play())
    assert looks[0] == first.agent.certificate != looks[1]
    assert server.context is not None
