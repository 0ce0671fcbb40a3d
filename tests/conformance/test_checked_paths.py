"""Faults in real kernels of three nodes, in both address families: the probes of a check find each, and nothing where
nothing is wrong. More of them, on a real cluster, are planted by `.ci/soak check`."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from checked_hosts import Hosts


@dataclass(frozen=True)
class Fault:
    """plant, heal: commands, each in a node or on the switch. families: findings, where each family has its own."""

    plant: tuple[tuple[str, str], ...]
    heal: tuple[tuple[str, str], ...]
    hop: str
    node: str
    cause: str
    mode: str = "auto"
    families: int = 2


def rules(node: str, chain: str, *, four: str, six: str) -> dict[str, tuple[tuple[str, str], ...]]:
    def table(family: str, rule: str) -> tuple[str, str]:
        return node, f"nft table {family} planted {{\nchain c {{\ntype {chain}; policy accept\n{rule}\n}}\n}}"

    gone = tuple((node, f"nft delete table {family} planted") for family in ("ip", "ip6"))
    return {"plant": (table("ip", four), table("ip6", six)), "heal": gone}


def barred(node: str, hook: str, rule: str) -> dict[str, tuple[tuple[str, str], ...]]:
    return rules(node, f"filter hook {hook} priority -150", four=rule, six=rule)


FAULTS = {
    "no masquerading": Fault(
        **rules(
            "n1",
            "nat hook postrouting priority srcnat - 5",
            four="ip saddr 10.244.1.0/24 ip daddr 192.0.2.0/24 snat to ip saddr",
            six="ip6 saddr fd00:10:244:1::/64 ip6 daddr 2001:db8:2::/64 snat to ip6 saddr",
        ),
        hop="masquerade",
        node="n1",
        cause=r"under their node's address: table ip6? planted",
    ),
    "a network of a smaller MTU": Fault(
        (("switch", "ip link set n1 mtu 1300"),),
        (("switch", "ip link set n1 mtu 1500"),),
        "MTU of a node",
        "n1",
        r"packets of more than about 1(2\d\d|30\d) bytes are lost between n1 and the other nodes",
        families=1,
    ),
    "forwarding that is off": Fault(
        (("n2", "sysctl -qw net.ipv4.ip_forward=0"), ("n2", "sysctl -qw net.ipv6.conf.all.forwarding=0")),
        (("n2", "sysctl -qw net.ipv4.ip_forward=1"), ("n2", "sysctl -qw net.ipv6.conf.all.forwarding=1")),
        "forwarding",
        "n2",
        r"n2 forwards nothing: net\.ipv[46]",
    ),
    "a tunnel that a firewall bars": Fault(
        **barred("n1", "input", "udp dport 8472 drop"),
        hop="route",
        node="n1",
        cause=r"bars the tunnel between the nodes: table ip planted",
        mode="vxlan",
        families=1,
    ),
}


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    if os.geteuid():
        pytest.skip("network namespaces need root")
    made = Hosts()
    yield made
    made.close()


def do(hosts: Hosts) -> Callable[[tuple[str, str]], None]:
    def act(command: tuple[str, str]) -> None:
        where, words = command
        space = hosts.switch if where == "switch" else hosts.nodes[where]
        space.run(*(("nft", words[4:]) if words.startswith("nft table") else words.split()))

    return act


def test_where_nothing_is_wrong_nothing_is_found(hosts: Hosts) -> None:
    for mode in ("vxlan", "auto"):
        hosts.join(mode)
        assert hosts.check(patient=True) == []


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_in_each_family_that_has_it(hosts: Hosts, name: str) -> None:
    fault, act = FAULTS[name], do(hosts)
    if fault.mode != "auto":
        hosts.join(fault.mode)  # type: ignore[arg-type]
    try:
        for command in fault.plant:
            act(command)
        found = hosts.check()
    finally:
        for command in fault.heal:
            act(command)
        if fault.mode != "auto":
            hosts.join("auto")
    told = [(each.hops[0].kind, each.hops[0].family, each.node, each.text) for each in found]
    right = [each for each in found if each.hops[0].kind == fault.hop and each.node == fault.node]
    right = [each for each in right if re.search(fault.cause, each.text)]
    assert len({hop.family for each in right for hop in each.hops}) == 2, told
    assert len(right) == fault.families, told
    assert not [each for each in found if each not in right], told
