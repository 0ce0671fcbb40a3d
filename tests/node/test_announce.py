"""Addresses of load balancers on a real link: two nodes and a stranger on one bridge, in network namespaces.

The stranger's kernel is asked which hardware address it sends to.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from typing import Any

import msgspec
import pytest

from navarch.apiserver.call import User
from navarch.apiserver.core import Core
from navarch.base.clock import SystemClock, SystemIds
from navarch.client.informer import Informers
from navarch.kinds import NAMESPACE, NODE, SERVICE
from navarch.kinds.endpointslice import EndpointSlice
from navarch.kinds.kind import Kind
from navarch.kinds.registry import DEFAULT
from navarch.kinds.service import Service
from navarch.proxy.addresses import IPV6
from navarch.proxy.announce import links, plan
from navarch.proxy.announce.lookout import PATIENCE, Lookout
from navarch.proxy.announce.run import Announcer
from navarch.proxy.announce.sockets import carries
from navarch.proxy.compile import compile_rules
from navarch.proxy.nft import NftDataplane
from navarch.proxy.rules import Node
from navarch.store.memory import MemoryStore
from navarch.testing.lan import ADDRESSES, Answer, Lan, twin
from navarch.testing.netns import NetworkNamespace

pytestmark = pytest.mark.node

HARDWARE = {"one": "02:00:00:00:00:01", "two": "02:00:00:00:00:02"}
READY = [{"type": "Ready", "status": "True"}]
OLD, NEW = "192.0.2.200", "2001:db8::200"


class Link:
    """A bridge with the two nodes and a stranger."""

    def __init__(self, stack: ExitStack) -> None:
        self.wire, self.stranger = (stack.enter_context(NetworkNamespace(name)) for name in ("wire", "stranger"))
        self.hosts = {name: stack.enter_context(NetworkNamespace(name)) for name in HARDWARE}
        self.wire.ip("link add br0 type bridge", "link set br0 up")
        ends = {**self.hosts, "far": self.stranger}
        for number, (name, namespace) in enumerate(ends.items(), 1):
            self.wire.ip(
                f"link add {name} type veth peer name eth0",
                f"link set eth0 netns {namespace.path}",
                f"link set {name} master br0 up",
            )
            namespace.sysctl([("net/ipv6/conf/eth0/accept_dad", "0")])
            namespace.ip(
                f"link set eth0 address 02:00:00:00:00:0{number}",
                f"address add 192.0.2.{number}/24 dev eth0",
                f"address add 2001:db8::{number}/64 dev eth0 nodad",
                "link set eth0 up",
            )

    def sees(self, address: str) -> str:
        """The name of the node that the stranger sends to, "" for none."""
        self.stranger.ip(f"neighbour flush to {address} dev eth0")
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with self.stranger.socket(socket.SOCK_DGRAM, family) as udp:
            udp.sendto(b"?", (address, 9))
            for _ in range(20):
                if found := self.known(address):
                    return found
                time.sleep(0.05)
        return ""

    def known(self, address: str) -> str:
        shown = self.stranger.run("ip", "neighbour", "show", "to", address, "dev", "eth0").stdout
        return next((name for name, hardware in HARDWARE.items() if hardware in shown), "")


@pytest.fixture
def link() -> Iterator[Link]:
    if os.geteuid():
        pytest.fail("network namespaces need root")
    with ExitStack() as stack:
        yield Link(stack)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Host:
    """A node: its announcer within its namespace, beside an API of its own that says what that of the others says."""

    def __init__(self, name: str, namespace: NetworkNamespace) -> None:
        self.name = name
        self.loop = asyncio.new_event_loop()
        self.thread = namespace.start(self.loop.run_forever)
        self.core = Core(MemoryStore(), DEFAULT, SystemClock(), SystemIds())
        self.client = self.core.local(User("system:admin", groups=("system:masters",)), "test")
        self.told: list[frozenset[str]] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.do(self.begin())

    def do(self, work: Coroutine[Any, Any, Any]) -> None:
        asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    async def begin(self) -> None:
        await self.core.start()
        await self.client.create(NAMESPACE, {"metadata": {"name": "default"}})
        for number, name in enumerate(HARDWARE, 1):
            await self.client.create(NODE, {"metadata": {"name": name}})
            addresses = [{"type": "InternalIP", "address": f"192.0.2.{number}"}]
            await self.status(NODE, "", name, {"conditions": READY, "addresses": addresses})
        informers = Informers(self.client, SystemClock())
        self.announcer = Announcer(informers, self.name, SystemClock(), self.told.append)
        self.tasks = [asyncio.ensure_future(informers.run()), asyncio.ensure_future(self.announcer.run())]

    def hears(self) -> bool:
        """Whether the other one was heard."""
        found = self.announcer._lookouts.values()
        return any(each.hardware for lookout in list(found) for each in lookout._heard.values())

    async def status(self, kind: Kind, namespace: str, name: str, status: dict[str, Any]) -> None:
        await self.client.patch(kind, namespace, name, {"status": status}, type="merge", subresource="status")

    async def balance(self, *addresses: str) -> None:
        spec = {"type": "LoadBalancer", "ports": [{"port": 80}]}
        await self.client.create(SERVICE, {"metadata": {"name": "web", "namespace": "default"}, "spec": spec})
        ingress = [{"ip": each, "ipMode": "VIP"} for each in addresses]
        await self.status(SERVICE, "default", "web", {"loadBalancer": {"ingress": ingress}})

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks = []

    def close(self) -> None:
        self.do(self.end())
        self.do(self.core.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


def test_one_node_answers_and_another_when_it_is_gone(link: Link) -> None:
    with ExitStack() as stack:
        hosts = {name: Host(name, namespace) for name, namespace in link.hosts.items()}
        for host in hosts.values():
            stack.callback(host.close)
            host.do(host.balance(OLD, NEW))
        first = {address: plan.speaker(address, HARDWARE) for address in (OLD, NEW)}
        for address, name in first.items():
            until(lambda: link.sees(address) == name)  # noqa: B023
        assert link.sees("192.0.2.201") == "", "nobody answers for what is nobody's"

        lost = first[OLD]
        (other,) = HARDWARE.keys() - {lost}
        link.sees(OLD)  # it is remembered as of the one that will be gone
        hosts[lost].do(hosts[lost].end())
        for host in hosts.values():
            gone = [{"type": "Ready", "status": "Unknown"}]
            host.do(host.status(NODE, "", lost, {"conditions": gone}))
        until(lambda: link.known(OLD) == other)  # told to everybody, without being asked
        for address in first:
            until(lambda: link.sees(address) == other)  # noqa: B023

        assert hosts[other].told[-1] == {OLD, NEW}, "whoever has them"
        for host in hosts.values():
            host.do(host.client.delete(SERVICE, "default", "web"))
        until(lambda: link.sees(OLD) == "" and link.sees(NEW) == "")
        until(lambda: not hosts[other].told[-1])


def test_what_is_sent_to_an_announced_address_of_ipv6_reaches_a_pod() -> None:
    """From its own link a stranger finds the node by neighbour discovery, and the node's rules find the pod."""
    if os.geteuid():
        pytest.fail("network namespaces need root")
    announced, pod = "2001:db8:2::c8", twin(ADDRESSES["a"])
    spec = {"type": "LoadBalancer", "clusterIP": "fd00:10:96::1", "ports": [{"port": 80}]}
    status = {"loadBalancer": {"ingress": [{"ip": announced, "ipMode": "VIP"}]}}
    service = msgspec.convert({"metadata": {"name": "web"}, "spec": spec, "status": status}, Service)
    ends = {"addressType": "IPv6", "endpoints": [{"addresses": [pod]}], "ports": [{"port": 8080}]}
    node = Node(
        name="one",
        addresses=(twin(ADDRESSES["node"]),),
        pod_cidr="fd00:10:244::/64",
        cluster_cidr="fd00:10:244::/56",
    )
    rules = compile_rules([(service, [msgspec.convert(ends, EndpointSlice)])], (), node)
    lan = Lan(ipv6=True)
    host = Host("one", lan.node)

    def answer() -> Answer:
        try:
            return lan.call("outside", announced, 80)
        except OSError:
            return "drop"  # the stranger's own kernel gave up asking who has the address

    plane = lan.node.call(NftDataplane, f"navarch-told-{os.getpid()}", IPV6)
    try:
        lan.node.call(asyncio.run, plane.replace(None, rules))
        assert answer() == "drop", "nobody answers for it yet"
        host.do(host.status(NODE, "", "two", {"conditions": []}))
        host.do(host.balance(announced))
        until(lambda: answer() == ("a", True))
    finally:
        plane.close()
        host.close()
        lan.close()


def test_a_node_that_falls_silent_is_replaced_before_anybody_is_told_and_has_its_own_back(link: Link) -> None:
    """The API says all the time that both are ready."""
    with ExitStack() as stack:
        hosts = {name: Host(name, namespace) for name, namespace in link.hosts.items()}
        for host in hosts.values():
            stack.callback(host.close)
            host.do(host.balance(OLD, NEW))
        lost = plan.speaker(OLD, HARDWARE)
        (other,) = HARDWARE.keys() - {lost}
        until(lambda: link.sees(OLD) == lost)
        until(hosts[other].hears)
        link.wire.ip(f"link set {lost} down")
        until(lambda: link.known(OLD) == other)  # told to everybody, without being asked
        for address in (OLD, NEW):
            until(lambda: link.sees(address) == other)  # noqa: B023
        link.wire.ip(f"link set {lost} up")
        until(lambda: link.known(OLD) == lost)
        until(lambda: link.sees(OLD) == lost)


@pytest.mark.parametrize("address", ["192.0.2.2", "2001:db8::2"])
def test_a_neighbour_is_asked_for_and_missed_after_three_questions(link: Link, address: str) -> None:
    """Its kernel answers: nothing of ours runs there."""
    shown = link.hosts["one"].call(lambda: asyncio.run(links.read()))
    lookout = link.hosts["one"].call(Lookout, shown[0])
    try:
        link.hosts["one"].call(lookout.watch, {address: "two"})
        assert lookout.look() == (frozenset(), frozenset()), "it was not heard yet"
        until(lambda: lookout.look()[1] == {"two"})
        link.wire.ip("link set two down")
        asked = lookout.asked
        until(lambda: lookout.look()[0] == {"two"})
        assert PATIENCE <= lookout.asked - asked <= PATIENCE + 2, "one question each time, and no more are needed"
        link.wire.ip("link set two up")
        until(lambda: lookout.look()[1] == {"two"})
        link.wire.ip("link set one down")
        until(lambda: not carries(lookout._arp, lookout.link))  # the kernel tells of it a moment later
        for _ in range(2 * PATIENCE):
            silent, _ = lookout.look()
            assert not silent, "whose own cable is out blames nobody"
    finally:
        lookout.close()


def test_a_link_that_goes_and_comes_is_found_again(link: Link) -> None:
    host = Host("one", link.hosts["one"])
    try:
        host.do(host.status(NODE, "", "two", {"conditions": []}))
        host.do(host.balance(OLD))
        until(lambda: link.sees(OLD) == "one")
        link.hosts["one"].ip("link set eth0 down")
        assert link.sees(OLD) == ""
        link.hosts["one"].ip("link set eth0 up")
        until(lambda: link.sees(OLD) == "one")
    finally:
        host.close()
