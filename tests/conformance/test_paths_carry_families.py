"""Packets of both families between pods of three nodes, over a link and by a tunnel: on nodes with addresses of both,
on nodes of IPv4 whose pods have both, and on nodes of IPv6 alone."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from navarch.net.netlink import NetlinkKernel
from navarch.net.paths import Home, Mode, Peer
from navarch.net.plan import TUNNEL, plan, pod_mtu_bytes
from navarch.testing.netns import NetworkNamespace

CLUSTER = "10.244.0.0/16,fd00:10:244::/56"
FOUR = {"a": "192.0.2.1", "b": "192.0.2.2", "c": "198.51.100.3"}
SIX = {"a": "2001:db8:1::1", "b": "2001:db8:1::2", "c": "2001:db8:2::3"}
NUMBERS = {"a": 1, "b": 2, "c": 3}
SORTS = {"both": (4, 6), "four": (4,), "six": (6,)}
"""Of nodes, by the families of their addresses."""
HEADERS_BYTES = {4: 28, 6: 48}
PORT = 7007
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
DO_NOT_CUT = {4: (socket.IPPROTO_IP, 10, 2), 6: (socket.IPPROTO_IPV6, 23, 2)}
"""IP_MTU_DISCOVER and IPV6_MTU_DISCOVER, as IP_PMTUDISC_DO."""


def network(name: str, version: int) -> str:
    return f"10.244.{NUMBERS[name]}.0/24" if version == 4 else f"fd00:10:244:{NUMBERS[name]}::/64"


def pod(name: str, version: int) -> str:
    return f"10.244.{NUMBERS[name]}.5" if version == 4 else f"fd00:10:244:{NUMBERS[name]}::5"


class Land:
    def __init__(self, sort: str) -> None:
        self.nodes = SORTS[sort]
        self.pods = (6,) if sort == "six" else (4, 6)
        self.spaces = {name: NetworkNamespace(name) for name in (*FOUR, "router")}
        self.kernels = {name: NetlinkKernel(TUNNEL) for name in FOUR}
        router = self.spaces["router"]
        router.ip("link add lan type bridge", "addr add 192.0.2.254/24 dev lan", "link set lan up")
        router.ip("addr add 2001:db8:1::fe/64 dev lan nodad")
        for name in FOUR:
            self._node(name)
        router.sysctl([("net/ipv4/ip_forward", "1"), ("net/ipv6/conf/all/forwarding", "1")])

    def _node(self, name: str) -> None:
        space, router, near = self.spaces[name], self.spaces["router"], name != "c"
        router.ip(f"link add to-{name} type veth peer name eth0 netns {space.path}", f"link set to-{name} up")
        if near:
            router.ip(f"link set to-{name} master lan")
        else:
            router.ip(f"addr add 198.51.100.254/24 dev to-{name}", f"addr add 2001:db8:2::fe/64 dev to-{name} nodad")
        space.ip("link set eth0 up", "link add pods type bridge", "link set pods up")
        space.sysctl([("net/ipv4/ip_forward", "1"), ("net/ipv6/conf/all/forwarding", "1")])
        if 4 in self.nodes:
            space.ip(f"addr add {FOUR[name]}/24 dev eth0")
            space.ip(f"route add default via {'192.0.2.254' if near else '198.51.100.254'}")
        if 6 in self.nodes:
            space.ip(f"addr add {SIX[name]}/64 dev eth0 nodad")
            space.ip(f"route add default via {'2001:db8:1::fe' if near else '2001:db8:2::fe'}")
        for version in self.pods:
            prefix = network(name, version).partition("/")[2]
            space.ip(f"addr add {pod(name, version)}/{prefix} dev pods{' nodad' if version == 6 else ''}")

    def peer(self, name: str) -> Peer:
        addresses = [(FOUR if version == 4 else SIX)[name] for version in self.nodes]
        return Peer(name, ",".join(addresses), tuple(network(name, version) for version in self.pods))

    def set(self, mode: Mode) -> None:
        for name, kernel in self.kernels.items():
            own = self.peer(name)
            home = Home(name, own.address, ",".join(own.networks), CLUSTER)
            others = [self.peer(other) for other in FOUR if other != name]
            self.spaces[name].call(asyncio.run, carry_out(kernel, home, others, mode))

    def reaches(self, source: str, target: str, version: int, size_bytes: int = 100, wait_s: float = 10.0) -> bool:
        """Whether a packet of that size comes to a pod and another one back. Nothing may be cut into pieces."""
        data = bytes(size_bytes - HEADERS_BYTES[version])
        with self._socket(source, version) as asking, self._socket(target, version) as answering:
            try:
                asking.settimeout(wait_s)
                answering.settimeout(wait_s)
                asking.sendto(data, (pod(target, version), PORT))
                found, sender = answering.recvfrom(1 << 16)
                answering.sendto(found, sender)
                return sender[0] == pod(source, version) and asking.recv(1 << 16) == data
            except OSError:
                return False

    def _socket(self, name: str, version: int) -> socket.socket:
        made = self.spaces[name].socket(socket.SOCK_DGRAM, FAMILIES[version])
        made.setsockopt(*DO_NOT_CUT[version])
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((pod(name, version), PORT))
        return made

    def close(self) -> None:
        for kernel in self.kernels.values():
            kernel.close()
        for space in self.spaces.values():
            space.close()


async def carry_out(kernel: NetlinkKernel, home: Home, others: list[Peer], mode: Mode) -> None:
    for step in plan(home, others, await kernel.observe(), mode):
        await kernel.apply(step)


@pytest.fixture(params=SORTS)
def land(request: pytest.FixtureRequest) -> Iterator[Land]:
    made = Land(request.param)
    yield made
    made.close()


def test_every_pod_reaches_every_other_in_each_family_and_as_much_as_it_may_send(land: Land) -> None:
    assert not land.reaches("a", "b", 6, wait_s=0.2), "there is no way by itself"
    most = pod_mtu_bytes(1500, "auto", land.nodes[0])
    modes: Any = ("auto", "vxlan", "auto")
    for mode in modes:
        land.set(mode)
        for source in FOUR:
            for target in FOUR.keys() - {source}:
                for version in land.pods:
                    assert land.reaches(source, target, version, most), (mode, source, target, version)
