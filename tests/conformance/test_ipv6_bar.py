"""Past an isolated pod's policies no other way leads over the bridge: not by the addresses of IPv6 that every interface
makes up for itself."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from navarch.proxy.isolation import FREE, Isolation, Profile
from navarch.proxy.nft import NftDataplane
from navarch.proxy.rules import Node, Rules
from navarch.testing.lan import ADDRESSES, Lan

NODE = Node(name="n1", addresses=("192.0.2.10",), pod_cidr="10.244.0.0/24", cluster_cidr="10.244.0.0/16", bridge="br0")
ISOLATED = Isolation(
    ingress={ADDRESSES["a"]: "ingress/x"}, profiles={"ingress/x": Profile("ingress/x", "ingress", ("default/p",))}
)
PORT = 9080


@pytest.fixture
def lan() -> Iterator[Lan]:
    if os.geteuid():
        pytest.skip("network namespaces need root")
    if not Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").exists():
        pytest.skip("this kernel has no IPv6")
    made = Lan()
    yield made
    made.close()


def own_address(lan: Lan, pod: str) -> str:
    """What its interface made up, at once and without asking whether somebody else has it."""
    host = lan.hosts[pod]
    host.sysctl([("net/ipv6/conf/eth0/disable_ipv6", "1"), ("net/ipv6/conf/eth0/accept_dad", "0")])
    host.sysctl([("net/ipv6/conf/eth0/disable_ipv6", "0")])
    shown = host.run("ip", "-6", "-o", "addr", "show", "dev", "eth0", "scope", "link").stdout.split()
    return shown[shown.index("inet6") + 1].partition("/")[0]


def reaches(lan: Lan, address: str) -> bool:
    """From pod b, once."""
    scope = lan.hosts["b"].call(socket.if_nametoindex, "eth0")
    with lan.hosts["b"].socket(socket.SOCK_STREAM, socket.AF_INET6) as client:
        client.settimeout(0.5)
        try:
            client.connect((address, PORT, 0, scope))
        except OSError:
            return False
        return True


def comes_to_reach(lan: Lan, address: str) -> bool:
    """Neighbours that were out of reach are asked for again after a while."""
    for _ in range(100):
        if reaches(lan, address):
            return True
        time.sleep(0.2)
    return False


def test_pods_find_no_way_around_their_policies(lan: Lan) -> None:
    address = own_address(lan, "a")
    own_address(lan, "b")
    table = f"navarch-six-{os.getpid()}"
    plane = lan.node.call(NftDataplane, table)

    def put(isolation: Isolation, node: Node = NODE) -> None:
        lan.node.call(asyncio.run, plane.replace(plane.current(), Rules(node, isolation=isolation)))

    with lan.hosts["a"].socket(socket.SOCK_STREAM, socket.AF_INET6) as listening:
        listening.bind(("::", PORT))
        listening.listen()
        put(FREE)
        assert comes_to_reach(lan, address), "while nobody is isolated it is a way like others"
        put(ISOLATED)
        assert not reaches(lan, address)
        put(FREE)
        assert comes_to_reach(lan, address)
        put(ISOLATED, msgspec.structs.replace(NODE, bridge=""))
        assert comes_to_reach(lan, address), "where it is not known which bridge is the pods'"
        put(ISOLATED)
    lan.node.call(asyncio.run, plane.remove())
    assert lan.node.run("nft", "list", "ruleset").stdout == ""
    plane.close()
