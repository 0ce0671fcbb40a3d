"""What every kernel of paths promises, asked of the fake one and of Linux in a network namespace of the test's own."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Protocol

import pytest

from navarch.base.errors import Retryable
from navarch.net.fake import FakeKernel
from navarch.net.kernel import Kernel
from navarch.net.netlink import NetlinkKernel
from navarch.net.paths import Forward, Home, Link, Neighbour, Paths, Peer, Route
from navarch.net.plan import TUNNEL, plan, tunnel_of
from navarch.testing.netns import NetworkNamespace

HOME = Home("n0", "192.0.2.1", "10.244.0.0/24", "10.244.0.0/16")
LINK = Link("eth0", "192.0.2.1/24", 1500)
NEAR = Peer("near", "192.0.2.2", ("10.244.1.0/24",))
FAR = Peer("far", "198.51.100.2", ("10.244.2.0/24",))
FARTHER = Peer("farther", "198.51.100.3", ("10.244.3.0/24",))


class World(Protocol):
    kernel: Kernel

    def run(self, act: Callable[[], Coroutine[Any, Any, Any]]) -> Any: ...

    def lose(self) -> None:
        """Somebody takes the tunnel away."""
        ...


class FakeWorld:
    def __init__(self) -> None:
        self.kernel = FakeKernel(LINK)

    def run(self, act: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        return asyncio.run(act())

    def lose(self) -> None:
        self.kernel.lose()

    def close(self) -> None:
        """Nothing is held."""


class LinuxWorld:
    def __init__(self) -> None:
        assert os.geteuid() == 0, "routes need root"
        self.space = NetworkNamespace("paths")
        self.space.ip("link add eth0 type veth peer name eth1", "addr add 192.0.2.1/24 dev eth0")
        self.space.ip("link set eth0 up", "link set eth1 up", "route add 198.51.100.0/24 via 192.0.2.254")
        self.kernel = NetlinkKernel(TUNNEL)

    def run(self, act: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        return self.space.call(asyncio.run, act())

    def lose(self) -> None:
        """From another thread: the one that lives there is waiting."""
        enter = ["nsenter", f"--net={self.space.path}"]
        subprocess.run([*enter, "ip", "link", "del", TUNNEL], check=True, timeout=60)

    def close(self) -> None:
        self.kernel.close()
        self.space.close()


@pytest.fixture(params=[FakeWorld, LinuxWorld], ids=["fake", "linux"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    made = request.param()
    yield made
    made.close()


def carry_out(world: World, *peers: Peer, mode: Any = "auto") -> int:
    """How many steps it took."""

    async def act() -> int:
        made = plan(HOME, peers, await world.kernel.observe(), mode)
        for step in made:
            await world.kernel.apply(step)
        return len(made)

    return int(world.run(act))


def paths(world: World) -> Paths:
    found: Paths = world.run(world.kernel.observe).paths
    return found


def test_links_are_seen_and_nothing_is_ours_at_first(world: World) -> None:
    seen = world.run(world.kernel.observe)
    assert LINK in seen.links
    assert seen.paths == Paths()


def test_what_is_planned_is_there_afterwards_and_planned_no_more(world: World) -> None:
    assert carry_out(world, NEAR, FAR, FARTHER) == 8
    found = paths(world)
    assert found.tunnel == tunnel_of(HOME, LINK)
    assert found.routes == {
        Route("10.244.1.0/24", "192.0.2.2", "eth0"),
        Route("10.244.2.0/24", "10.244.2.0", TUNNEL),
        Route("10.244.3.0/24", "10.244.3.0", TUNNEL),
    }
    assert found.neighbours == {Neighbour(f"10.244.{n}.0", f"0a:59:c6:33:64:0{n}") for n in (2, 3)}
    assert found.forwards == {Forward(f"0a:59:c6:33:64:0{n}", f"198.51.100.{n}") for n in (2, 3)}
    assert carry_out(world, NEAR, FAR, FARTHER) == 0


def test_who_goes_leaves_nothing(world: World) -> None:
    carry_out(world, NEAR, FAR, FARTHER)
    carry_out(world, NEAR, FARTHER)
    found = paths(world)
    assert {route.network for route in found.routes} == {"10.244.1.0/24", "10.244.3.0/24"}
    assert len(found.neighbours) == len(found.forwards) == 1
    carry_out(world)
    assert paths(world) == Paths()


def test_every_way_can_be_changed_to_every_other(world: World) -> None:
    for mode in ("auto", "vxlan", "direct", "vxlan", "auto"):
        carry_out(world, NEAR, mode=mode)
        assert {route.device for route in paths(world).routes} == {TUNNEL if mode == "vxlan" else "eth0"}, mode
        assert carry_out(world, NEAR, mode=mode) == 0


def test_a_peer_that_moves_is_followed(world: World) -> None:
    carry_out(world, FAR)
    carry_out(world, FAR._replace(address="198.51.100.9"))
    found = paths(world)
    assert found.forwards == {Forward("0a:59:c6:33:64:09", "198.51.100.9")}
    assert found.neighbours == {Neighbour("10.244.2.0", "0a:59:c6:33:64:09")}


def test_steps_may_be_repeated(world: World) -> None:
    async def twice() -> None:
        for again in range(2):
            for step in plan(HOME, [NEAR, FAR], await world.kernel.observe() if not again else seen, "auto"):
                await world.kernel.apply(step)

    async def look() -> Any:
        return await world.kernel.observe()

    seen = world.run(look)
    world.run(twice)
    made = paths(world)

    async def remove_twice() -> None:
        for _ in range(2):
            for one in (*made.routes, *made.neighbours, *made.forwards):
                await world.kernel.apply(("remove", one))
        for _ in range(2):
            assert made.tunnel is not None
            await world.kernel.apply(("remove", made.tunnel))

    world.run(remove_twice)
    assert paths(world) == Paths()


def test_what_cannot_be_says_so(world: World) -> None:
    async def act() -> None:
        with pytest.raises(Retryable):
            await world.kernel.apply(("add", Route("10.244.5.0/24", "192.0.2.7", "nowhere")))
        with pytest.raises(Retryable):
            await world.kernel.apply(("add", Neighbour("10.244.5.0", "0a:59:00:00:00:01")))

    world.run(act)


def test_it_tells_when_something_was_taken_away(world: World) -> None:
    carry_out(world, FAR)

    async def act() -> None:
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            waiting = group.create_task(world.kernel.disturbed())
            for _ in range(20):
                await asyncio.sleep(0)
            await asyncio.to_thread(world.lose)
            await waiting

    world.run(act)
    assert paths(world).tunnel is None
    assert carry_out(world, FAR) > 0
    assert paths(world).tunnel == tunnel_of(HOME, LINK)


def test_others_routes_are_neither_seen_nor_touched() -> None:
    world = LinuxWorld()
    try:
        world.space.ip("route add 10.244.1.0/24 via 192.0.2.77", "route add 10.244.7.0/24 via 192.0.2.77")
        world.space.ip("route add 10.244.8.0/24 via 192.0.2.77 proto bird metric 5")
        carry_out(world, NEAR, FAR)
        carry_out(world)
        shown = world.space.run("ip", "-4", "route").stdout
        assert shown.count("via 192.0.2.77") == 3, shown
        assert paths(world) == Paths()
    finally:
        world.close()


def test_a_link_that_was_down_gets_its_routes_back() -> None:
    world = LinuxWorld()
    try:
        carry_out(world, NEAR, FAR)
        world.space.ip("link set eth0 down")
        assert LINK not in world.run(world.kernel.observe).links
        carry_out(world, NEAR, FAR)
        assert paths(world) == Paths(), "there is nothing that they could lead over"
        world.space.ip("link set eth0 up", "route add 198.51.100.0/24 via 192.0.2.254")
        carry_out(world, NEAR, FAR)
        assert {route.network for route in paths(world).routes} == {"10.244.1.0/24", "10.244.2.0/24"}
    finally:
        world.close()


def test_a_tunnel_that_somebody_bent_is_made_anew() -> None:
    world = LinuxWorld()
    try:
        carry_out(world, FAR)
        for bend in ("mtu 1300", "down", "address 0a:59:00:00:00:77"):
            world.space.ip(f"link set {TUNNEL} {bend}")
            assert carry_out(world, FAR) > 0, bend
            assert paths(world).tunnel == tunnel_of(HOME, LINK), bend
            assert len(paths(world).routes) == 1, bend
    finally:
        world.close()
