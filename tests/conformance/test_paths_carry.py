"""Packets between pods of three nodes, by the paths that were planned: over a link, and through a tunnel with a router
between. Each node is a network namespace, with a pod's address on a device of its own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from navarch.net.netlink import NetlinkKernel
from navarch.net.paths import Home, Mode, Peer
from navarch.net.plan import TUNNEL, plan
from navarch.testing.netns import NetworkNamespace

CLUSTER = "10.244.0.0/16"
ADDRESSES = {"a": "192.0.2.1", "b": "192.0.2.2", "c": "198.51.100.3"}
NETWORKS = {"a": "10.244.1.0/24", "b": "10.244.2.0/24", "c": "10.244.3.0/24"}
HEADERS_BYTES = 28
"""Of IP and UDP."""
PORT = 7007
IP_MTU_DISCOVER, IP_PMTUDISC_DO = 10, 2
PEERS = [Peer(name, ADDRESSES[name], (NETWORKS[name],)) for name in ADDRESSES]


def pod(name: str) -> str:
    return NETWORKS[name].replace("0/24", "5")


class Land:
    def __init__(self) -> None:
        self.spaces = {name: NetworkNamespace(name) for name in (*ADDRESSES, "router")}
        self.kernels = {name: NetlinkKernel(TUNNEL) for name in ADDRESSES}
        router = self.spaces["router"]
        router.ip("link add lan type bridge", "addr add 192.0.2.254/24 dev lan", "link set lan up")
        for name, address in ADDRESSES.items():
            space = self.spaces[name]
            router.ip(f"link add to-{name} type veth peer name eth0 netns {space.path}", f"link set to-{name} up")
            near = address.startswith("192.")
            router.ip(f"link set to-{name} master lan" if near else f"addr add 198.51.100.254/24 dev to-{name}")
            space.ip(f"addr add {address}/24 dev eth0", "link set eth0 up")
            space.ip(f"route add default via {'192.0.2.254' if near else '198.51.100.254'}")
            space.ip("link add pods type bridge", f"addr add {pod(name)}/24 dev pods", "link set pods up")
            space.sysctl([("net/ipv4/ip_forward", "1")])
        router.sysctl([("net/ipv4/ip_forward", "1")])

    def set(self, mode: Mode = "auto", peers: list[Peer] = PEERS) -> None:
        for name, kernel in self.kernels.items():
            home = Home(name, ADDRESSES[name], NETWORKS[name], CLUSTER)
            others = [peer for peer in peers if peer.name != name]
            self.spaces[name].call(asyncio.run, carry_out(kernel, home, others, mode))

    def reaches(self, source: str, target: str, size_bytes: int = 64, wait_s: float = 10.0) -> bool:
        """Whether a packet of that size comes to a pod and another one back. Nothing may be cut into pieces."""
        data = bytes(size_bytes - HEADERS_BYTES)
        with self._socket(source) as asking, self._socket(target) as answering:
            try:
                asking.settimeout(wait_s)
                answering.settimeout(wait_s)
                asking.sendto(data, (pod(target), PORT))
                found, sender = answering.recvfrom(1 << 16)
                answering.sendto(found, sender)
                return sender[0] == pod(source) and asking.recv(1 << 16) == data
            except OSError:
                return False

    def _socket(self, name: str) -> socket.socket:
        made = self.spaces[name].socket(socket.SOCK_DGRAM)
        made.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((pod(name), PORT))
        return made

    def close(self) -> None:
        for kernel in self.kernels.values():
            kernel.close()
        for space in self.spaces.values():
            space.close()


async def carry_out(kernel: NetlinkKernel, home: Home, others: list[Peer], mode: Mode) -> None:
    for step in plan(home, others, await kernel.observe(), mode):
        await kernel.apply(step)


@pytest.fixture
def land() -> Iterator[Land]:
    made = Land()
    yield made
    made.close()


def test_every_pod_reaches_every_other_and_as_much_as_it_may_send(land: Land) -> None:
    assert not land.reaches("a", "b", wait_s=0.2), "there is no way by itself"
    modes: Any = ("auto", "vxlan", "auto")
    for mode in modes:
        land.set(mode)
        for source in ADDRESSES:
            for target in ADDRESSES.keys() - {source}:
                assert land.reaches(source, target, 1450), (mode, source, target)
    land.set(peers=PEERS[:2])
    assert land.reaches("a", "b")
    assert not land.reaches("a", "c", wait_s=0.2), "it has left"
