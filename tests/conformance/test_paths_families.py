"""What every kernel of paths promises, for nodes whose pods have addresses of both families, and for those of IPv6."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Protocol

import pytest

from navarch.net.fake import FakeKernel
from navarch.net.kernel import Kernel
from navarch.net.netlink import NetlinkKernel
from navarch.net.paths import Home, Link, Paths, Peer, Route
from navarch.net.plan import TUNNEL, hardware_of, plan, tunnel_of
from navarch.testing.netns import NetworkNamespace

CLUSTER = "10.244.0.0/16,fd00:10:244::/56"
LINKS = (Link("eth0", "192.0.2.1/24", 1500), Link("eth0", "2001:db8:1::1/64", 1500))
BOTH = Home("n0", "192.0.2.1,2001:db8:1::1", "10.244.0.0/24,fd00:10:244::/64", CLUSTER)
PODS = Home("n0", "192.0.2.1", BOTH.network, CLUSTER)
"""A node that has itself no address of the second family."""
SIX = Home("n0", "2001:db8:1::1", "fd00:10:244::/64", "fd00:10:244::/56")
HOMES = {"both": BOTH, "pods": PODS, "six": SIX}


def peer(number: int, home: Home, *, near: bool) -> Peer:
    four, other = (
        (f"192.0.2.{number}", f"2001:db8:1::{number}") if near else (f"198.51.100.{number}", f"2001:db8:2::{number}")
    )
    addresses = [other if ":" in one else four for one in home.address.split(",")]
    networks = [
        f"fd00:10:244:{number}::/64" if ":" in one else f"10.244.{number}.0/24" for one in home.network.split(",")
    ]
    return Peer(f"n{number}", ",".join(addresses), tuple(networks))


class World(Protocol):
    kernel: Kernel

    def run(self, act: Callable[[], Coroutine[Any, Any, Any]]) -> Any: ...

    def close(self) -> None: ...


class FakeWorld:
    def __init__(self) -> None:
        self.kernel: Kernel = FakeKernel(*LINKS)

    def run(self, act: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        return asyncio.run(act())

    def close(self) -> None:
        """Nothing is held."""


class LinuxWorld:
    def __init__(self) -> None:
        self.space = NetworkNamespace("paths")
        self.space.ip(
            "link add eth0 type veth peer name eth1", *(f"addr add {one.address} dev eth0 nodad" for one in LINKS[1:])
        )
        self.space.ip("addr add 192.0.2.1/24 dev eth0", "link set eth0 up", "link set eth1 up")
        self.space.ip("route add 198.51.100.0/24 via 192.0.2.254", "route add 2001:db8:2::/64 via 2001:db8:1::fe")
        self._linux = NetlinkKernel(TUNNEL)
        self.kernel: Kernel = self._linux

    def run(self, act: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        return self.space.call(asyncio.run, act())

    def close(self) -> None:
        self._linux.close()
        self.space.close()


@pytest.fixture(params=[FakeWorld, LinuxWorld], ids=["fake", "linux"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    made = request.param()
    yield made
    made.close()


def carry_out(world: World, home: Home, *peers: Peer, mode: Any = "auto") -> int:
    async def act() -> int:
        made = plan(home, peers, await world.kernel.observe(), mode)
        for step in made:
            await world.kernel.apply(step)
        return len(made)

    return int(world.run(act))


def paths(world: World) -> Paths:
    found: Paths = world.run(world.kernel.observe).paths
    return found


@pytest.mark.parametrize("name", HOMES)
def test_what_is_planned_is_there_afterwards_and_planned_no_more(world: World, name: str) -> None:
    home = HOMES[name]
    near, far = peer(2, home, near=True), peer(3, home, near=False)
    assert carry_out(world, home, near, far) > 0
    found = paths(world)
    link = LINKS[1] if home is SIX else LINKS[0]
    assert found.tunnel == tunnel_of(home, link)
    assert found.tunnel.mtu_bytes == (1430 if home is SIX else 1450)
    direct = {
        Route(network, gateway, "eth0")
        for network in near.networks
        for gateway in near.address.split(",")
        if (":" in network) == (":" in gateway)
    }
    direct_networks = {route.network for route in direct}
    assert {route for route in found.routes if route.device == "eth0"} == direct
    tunnelled = {*far.networks, *near.networks} - direct_networks
    assert {route.network for route in found.routes if route.device == TUNNEL} == tunnelled
    outer = {one.split(",")[0] for one in ((near.address, far.address) if home is PODS else (far.address,))}
    assert {(one.hardware, one.address) for one in found.forwards} == {(hardware_of(one), one) for one in outer}
    assert carry_out(world, home, near, far) == 0
    carry_out(world, home)
    assert paths(world) == Paths()


@pytest.mark.parametrize("name", HOMES)
def test_every_way_can_be_changed_to_every_other(world: World, name: str) -> None:
    home = HOMES[name]
    near = peer(2, home, near=True)
    for mode in ("auto", "vxlan", "direct", "vxlan", "auto"):
        carry_out(world, home, near, mode=mode)
        devices = {route.device for route in paths(world).routes}
        assert devices == (
            {TUNNEL} if mode == "vxlan" else {"eth0", TUNNEL} if (home, mode) == (PODS, "auto") else {"eth0"}
        )
        assert carry_out(world, home, near, mode=mode) == 0


def test_a_tunnel_that_somebody_bent_is_made_anew() -> None:
    world = LinuxWorld()
    far = peer(3, BOTH, near=False)
    try:
        carry_out(world, BOTH, far)
        enter = ["nsenter", f"--net={world.space.path}", "ip"]
        for bend in (["addr", "flush", "dev", TUNNEL, "scope", "global"], ["link", "set", TUNNEL, "down"]):
            subprocess.run([*enter, *bend], check=True, timeout=60)
            assert carry_out(world, BOTH, far) > 0, bend
            assert paths(world).tunnel == tunnel_of(BOTH, LINKS[0]), bend
            assert len(paths(world).routes) == 2, bend
    finally:
        world.close()
