"""The loop that keeps a node's paths."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from navarch.base.clock import SystemClock
from navarch.base.errors import Retryable
from navarch.kinds import CONFIGMAP, NODE
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.net.fake import FakeKernel
from navarch.net.paths import Home, Link
from navarch.net.plan import TUNNEL
from navarch.net.run import NodePaths, peer_of

HOME = Home("n0", "192.0.2.1", "10.244.0.0/24", "10.244.0.0/16")
LINK = Link("eth0", "192.0.2.1/24", 1500)


class Shelf:
    """What an informer shows, and a way to change it."""

    def __init__(self) -> None:
        self.synced = asyncio.Event()
        self.synced.set()
        self.objects: dict[tuple[str, str], Object] = {}
        self.handlers: list[Callable[[Object | None, Object | None], None]] = []

    def subscribe(self, handler: Callable[[Object | None, Object | None], None]) -> None:
        self.handlers.append(handler)

    def get(self, namespace: str, name: str) -> Object | None:
        return self.objects.get((namespace, name))

    def list(self) -> list[Object]:
        return list(self.objects.values())

    def put(self, kind: Kind, name: str, namespace: str = "", **parts: Any) -> None:
        document = {"apiVersion": "v1", "kind": kind.name, "metadata": {"name": name, "namespace": namespace}, **parts}
        self._tell((namespace, name), Object.of(kind, document))

    def remove(self, name: str) -> None:
        self._tell(("", name), None)

    def _tell(self, key: tuple[str, str], new: Object | None) -> None:
        old = self.objects.pop(key, None)
        if new is not None:
            self.objects[key] = new
        for handler in self.handlers:
            handler(old, new)


class World:
    def __init__(self) -> None:
        self.nodes, self.configs, self.kernel = Shelf(), Shelf(), FakeKernel(LINK)
        informers: Any = self
        self.paths = NodePaths(informers, self.kernel, HOME, SystemClock())

    def of(self, kind: Kind, namespace: str = "", fields: str = "") -> Shelf:
        assert kind in (NODE, CONFIGMAP)
        assert kind is NODE or (namespace, fields) == ("kube-system", "metadata.name=navarch-config")
        return self.nodes if kind is NODE else self.configs

    def node(self, name: str, address: str, cidr: str) -> None:
        addresses = [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": address}]
        spec = {"podCIDR": cidr, "podCIDRs": [cidr]} if cidr else {}
        self.nodes.put(NODE, name, spec=spec, status={"addresses": addresses if address else []})

    async def until(self, what: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not what():  # noqa: ASYNC110 - the fake tells nobody
                await asyncio.sleep(0.005)


def play(test: Callable[[World], Awaitable[None]]) -> None:
    async def inside() -> None:
        world = World()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(world.paths.run())
            await test(world)
            task.cancel()

    asyncio.run(inside())


def test_paths_follow_nodes_as_they_come_move_and_go() -> None:
    async def test(world: World) -> None:
        await world.paths.settled.wait()
        world.node("n1", "192.0.2.2", "10.244.1.0/24")
        await world.until(lambda: world.kernel.way("10.244.1.5") == ("eth0", "192.0.2.2"))
        world.node("n1", "198.51.100.2", "10.244.1.0/24")
        await world.until(lambda: world.kernel.way("10.244.1.5") == (TUNNEL, "198.51.100.2"))
        world.nodes.remove("n1")
        await world.until(lambda: world.kernel.paths.tunnel is None and not world.kernel.paths.routes)

    play(test)


def test_the_setting_is_heeded_at_once() -> None:
    async def test(world: World) -> None:
        world.node("n1", "192.0.2.2", "10.244.1.0/24")
        await world.until(lambda: world.kernel.way("10.244.1.5") == ("eth0", "192.0.2.2"))
        world.configs.put(CONFIGMAP, "navarch-config", "kube-system", data={"podNetwork": "vxlan"})
        await world.until(lambda: world.kernel.way("10.244.1.5") == (TUNNEL, "192.0.2.2"))
        world.configs.put(CONFIGMAP, "navarch-config", "kube-system", data={"podNetwork": "pigeons"})
        await world.until(lambda: world.kernel.way("10.244.1.5") == ("eth0", "192.0.2.2"))

    play(test)


def test_what_is_lost_is_made_again_and_what_fails_is_tried_again() -> None:
    async def test(world: World) -> None:
        world.node("n1", "192.0.2.2", "10.244.1.0/24")
        world.node("n2", "198.51.100.2", "10.244.2.0/24")
        await world.until(lambda: world.kernel.way("10.244.2.5")[1] == "198.51.100.2")
        world.kernel.refuse = 3
        world.kernel.lose()
        await world.until(
            lambda: (
                world.kernel.way("10.244.1.5")[1] == "192.0.2.2" and world.kernel.way("10.244.2.5")[1] == "198.51.100.2"
            )
        )

    play(test)


def test_a_node_whose_link_goes_has_its_paths_again_when_it_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    async def test(world: World) -> None:
        world.node("n1", "192.0.2.2", "10.244.1.0/24")
        await world.until(lambda: world.kernel.way("10.244.1.5") == ("eth0", "192.0.2.2"))
        world.kernel.move()
        await world.until(lambda: not world.kernel.paths.routes and "could not be set" in caplog.text)
        world.kernel.move(LINK)
        await world.until(lambda: world.kernel.way("10.244.1.5") == ("eth0", "192.0.2.2"))

    play(test)


def test_one_peer_s_trouble_is_not_another_s() -> None:
    async def test(world: World) -> None:
        world.kernel.refuse = 1
        world.node("n1", "192.0.2.2", "10.244.1.0/24")
        world.node("n2", "192.0.2.3", "10.244.2.0/24")
        await world.until(lambda: world.kernel.way("10.244.2.5")[1] == "192.0.2.3")

    play(test)


def test_heartbeats_are_no_reason_to_look() -> None:
    async def test(world: World) -> None:
        world.node("n1", "192.0.2.2", "10.244.1.0/24")
        await world.until(lambda: bool(world.kernel.paths.routes))
        done = len(world.kernel.done)
        for _ in range(3):
            world.node("n1", "192.0.2.2", "10.244.1.0/24")
        await world.until(lambda: not world.paths._wake.is_set())
        assert len(world.kernel.done) == done

    play(test)


def test_a_node_that_was_given_other_addresses_starts_anew() -> None:
    async def test(world: World) -> None:
        world.node("n0", "192.0.2.1", "10.244.0.0/24")
        await world.paths.settled.wait()
        world.node("n0", "192.0.2.1", "10.244.9.0/24")
        await asyncio.sleep(60)

    with pytest.raises(ExceptionGroup) as caught:
        play(test)
    [error] = _leaves(caught.value)
    assert isinstance(error, Retryable)
    assert "10.244.9.0/24" in str(error)


def _leaves(group: BaseException) -> list[BaseException]:
    return (
        [leaf for one in group.exceptions for leaf in _leaves(one)]
        if isinstance(group, BaseExceptionGroup)
        else [group]
    )


def test_who_has_said_too_little_is_no_peer() -> None:
    world = World()
    world.node("a", "", "10.244.1.0/24")
    world.node("b", "192.0.2.2", "")
    assert [peer_of(node) for node in world.nodes.list()] == [None, None]


def test_a_peer_has_its_first_address_and_its_range_of_each_family() -> None:
    world = World()
    said = (
        ("ExternalIP", "203.0.113.1"),
        ("InternalIP", "FD00::0:2"),
        ("InternalIP", "192.0.2.2"),
        ("InternalIP", "x"),
    )
    addresses = [{"type": type_, "address": address} for type_, address in (*said, ("InternalIP", "192.0.2.3"))]
    networks = ["fd00:0:0:2::/64", "10.244.2.0/24"]
    spec = {"podCIDR": networks[0], "podCIDRs": networks}
    world.nodes.put(NODE, "n1", spec=spec, status={"addresses": addresses})
    found = peer_of(world.nodes.list()[0])
    assert found is not None
    assert (found.address, found.networks) == ("fd00::2,192.0.2.2", tuple(networks))
