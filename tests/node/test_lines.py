"""Lines to nodes with real kernels: two hosts and the control plane's on one bridge, in network namespaces.

An agent is a socket that listens on its host. One of them never takes what comes, as if it were starved.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import Any, cast

import pytest

from navarch.app.lines import KernelLines
from navarch.base.clock import SystemClock
from navarch.client.informer import Informer
from navarch.kinds import NODE
from navarch.kinds.object import Object
from navarch.testing.netns import NetworkNamespace

pytestmark = pytest.mark.node

PORT = 10250
ADDRESSES = {"server": "192.0.2.1", "one": "192.0.2.2", "two": "192.0.2.3"}
PATIENCE_S = 30.0


class Nodes:
    """As much of an informer as lines need."""

    def __init__(self) -> None:
        self._there: dict[str, Object] = {}
        self._handlers: list[Callable[[Object | None, Object | None], None]] = []

    def subscribe(self, handler: Callable[[Object | None, Object | None], None]) -> None:
        self._handlers.append(handler)
        for each in self._there.values():
            handler(None, each)

    def put(self, name: str, address: str) -> None:
        status = {
            "addresses": [{"type": "InternalIP", "address": address}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": PORT}},
        }
        made = Object.of(
            NODE, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": name}, "status": status}
        )
        old, self._there[name] = self._there.get(name), made
        for handler in self._handlers:
            handler(old, made)

    def remove(self, name: str) -> None:
        old = self._there.pop(name)
        for handler in self._handlers:
            handler(old, None)


class Link:
    """A bridge with three hosts, of which two have agents."""

    def __init__(self, stack: ExitStack) -> None:
        self.wire = stack.enter_context(NetworkNamespace("wire"))
        self.hosts = {name: stack.enter_context(NetworkNamespace(name)) for name in ADDRESSES}
        self.wire.ip("link add br0 type bridge", "link set br0 up")
        for name, host in self.hosts.items():
            self.wire.ip(
                f"link add {name} type veth peer name eth0",
                f"link set eth0 netns {host.path}",
                f"link set {name} master br0 up",
            )
            host.ip(f"addr add {ADDRESSES[name]}/24 dev eth0", "link set eth0 up")

    def cut(self, *names: str) -> None:
        self.wire.ip(*(f"link set {name} nomaster" for name in names))

    def heal(self, *names: str) -> None:
        self.wire.ip(*(f"link set {name} master br0" for name in names))

    def listen(self, name: str) -> socket.socket:
        made = self.hosts[name].socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((ADDRESSES[name], PORT))
        made.listen()
        return made


@pytest.fixture
def link() -> Iterator[Link]:
    with ExitStack() as stack:
        yield Link(stack)


class Watched:
    """Lines to both agents, and what they told."""

    def __init__(self, kept: KernelLines, nodes: Nodes) -> None:
        self.kept = kept
        self.nodes = nodes
        self.told: list[tuple[str, bool]] = []

    @property
    def up(self) -> int:
        return int(self.kept.states()["up",])

    async def until(self, what: str, true: Callable[[], Any]) -> None:
        begun = time.monotonic()
        while not true():
            assert time.monotonic() - begun < PATIENCE_S, f"{what}: not within {PATIENCE_S:.0f} s; told {self.told}"
            await asyncio.sleep(0.02)


@asynccontextmanager
async def watched() -> AsyncIterator[Watched]:
    kept, nodes = KernelLines(SystemClock()), Nodes()
    found = Watched(kept, nodes)
    for name, address in ADDRESSES.items():
        nodes.put(name, address)
    kept.listen(lambda name: found.told.append((name, kept.lost_at(name) is not None)))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(kept.run(cast(Informer, nodes)))
        try:
            yield found
        finally:
            task.cancel()


def test_a_host_that_vanishes_is_found_out_and_an_agent_that_is_killed_is_not_mistaken_for_one(link: Link) -> None:
    starved, living = link.listen("two"), link.listen("one")

    async def play() -> None:
        nonlocal living
        async with watched() as found:
            await found.until("lines to the two others, and none to this machine itself", lambda: found.up == 2)
            taken, _ = living.accept()
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            taken.close()  # resets it, as a kernel does whose process was killed
            living.close()
            await found.until("the reset", lambda: found.up == 1)
            await asyncio.sleep(2)  # attempts that are refused
            living = await asyncio.to_thread(link.listen, "one")
            await found.until("the line to the next agent", lambda: found.up == 2)
            assert found.told == []

            begun = time.monotonic()
            await asyncio.to_thread(link.cut, "one")
            await found.until("that the host is out of reach", lambda: found.told)
            assert found.told == [("one", True)]
            assert time.monotonic() - begun > 2, "three questions had no answer"
            assert found.kept.states() == {("up",): 1, ("out-of-reach",): 1}, "the starved one's kernel answers"
            await asyncio.to_thread(link.heal, "one")
            await found.until("that it is back", lambda: found.told == [("one", True), ("one", False)])
            assert found.up == 2

            found.nodes.remove("one")
            await found.until("one line less", lambda: found.up == 1)

    link.hosts["server"].call(asyncio.run, play())
    for each in (starved, living):
        each.close()


def test_a_machine_that_is_cut_off_blames_nobody(link: Link) -> None:
    agents = [link.listen("one"), link.listen("two")]

    async def play() -> None:
        async with watched() as found:
            await found.until("lines to both", lambda: found.up == 2)
            await asyncio.to_thread(link.cut, "server")
            await found.until("that nothing comes through", lambda: found.up == 0)
            await asyncio.sleep(2)  # by then both were found to be away
            await asyncio.to_thread(link.heal, "server")
            await found.until("lines to both again", lambda: found.up == 2)
            assert found.told == []

    link.hosts["server"].call(asyncio.run, play())
    for each in agents:
        each.close()


def test_lines_end_with_their_task_and_begin_anew(link: Link) -> None:
    """As leadership comes and goes. A node that says another address has another line."""
    agent = link.listen("two")
    agent.settimeout(PATIENCE_S)

    async def play() -> None:
        found = Watched(KernelLines(SystemClock()), Nodes())
        kept, nodes = found.kept, found.nodes
        nodes.put("two", "192.0.2.99")
        for _ in range(2):
            with suppress(asyncio.CancelledError):
                async with asyncio.TaskGroup() as group:
                    task = group.create_task(kept.run(cast(Informer, nodes)))
                    nodes.put("two", ADDRESSES["two"])
                    await found.until("a line", lambda: found.up == 1)
                    task.cancel()
            assert found.up == 0
            taken, _ = await asyncio.to_thread(agent.accept)
            with taken:
                assert await asyncio.to_thread(taken.recv, 1) == b"", "it ended, and nothing was said"

    link.hosts["server"].call(asyncio.run, play())
    agent.close()
