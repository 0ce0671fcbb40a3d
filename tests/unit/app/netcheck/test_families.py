"""In a cluster of both families each path is tried in each, and what breaks in one alone is named as that."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from check_scenery import cast, cluster, kernels, match, nodes, results, rule_table, sound_state
from hypothesis import given
from hypothesis import strategies as st
from trace_scenery import doc, endpoint, node, slice_of

from navarch.app.netcheck import users
from navarch.app.netcheck.clues import Clues
from navarch.app.netcheck.judge import judge
from navarch.app.netcheck.plan import Cast, plan
from navarch.app.netcheck.probes import Clue, Hop, Probe, Result
from navarch.app.nettrace.world import World
from navarch.net.plan import beyond, hardware_of
from navarch.proxy.addresses import IPV4, IPV6


def six(address: str) -> str:
    *_, node_number, pod_number = address.split(".")
    return f"fd00:10:244:{node_number}::{pod_number}"


def both(*, mode: str = "auto", addresses: bool = True) -> World:
    """addresses: whether the nodes themselves have one of each family."""
    made = []
    for at, name in enumerate(nodes(3)):
        one = node(name, at)
        one["spec"]["podCIDRs"] = [one["spec"]["podCIDR"], f"fd00:10:244:{at}::/64"]
        if addresses:
            one["status"]["addresses"].append({"type": "InternalIP", "address": f"2001:db8:2::{10 + at}"})
        made.append(one)
    config = {"clusterCIDR": "10.244.0.0/16,fd00:10:244::/48", "podNetwork": mode}
    dns = {"clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10", "fd00:10:96::a"], "ports": [{"port": 53}]}
    part = slice_of("web", endpoint("web-a", "fd00:10:244:0::6", "n0"))
    part["metadata"]["name"], part["addressType"] = "web-six", "IPv6"
    return cluster(
        3, *made, part, doc("ConfigMap", "navarch-config", "kube-system", data=config),
        doc("Service", "kube-dns", "kube-system", spec=dns),
    )  # fmt: skip


def other(found: Cast) -> Cast:
    """The same pods by their addresses of the second family."""
    first, second = (
        {name: replace(one, address=six(one.address)) for name, one in role.items()}
        for role in (found.first, found.second)
    )
    gates = {
        name: replace(gate, address=f"fd00:10:96::{at + 1}") for at, (name, gate) in enumerate(found.gates.items())
    }
    return replace(found, first=first, second=second, gates=gates, agents={})


WORLD, CAST = both(), other(cast())
SIX = plan(WORLD.of(IPV6), CAST)
ALL = [*plan(WORLD, cast()), *SIX]
HOPS = sorted({hop for probe in SIX for hop in probe.hops})


def plain(hop: Hop, failures: Sequence[tuple[Probe, Result]]) -> tuple[Clue, bool]:
    return Clue(hop.node, str(hop), ""), False


def test_the_cluster_has_both_and_its_first_is_the_one_it_is_seen_by() -> None:
    assert (WORLD.family, list(WORLD.families)) == (IPV4, [IPV4, IPV6])


def test_probes_of_the_second_family_go_to_its_addresses_and_cross_hops_of_its_own() -> None:
    assert {probe.group for probe in SIX} >= {
        "pod to pod on another node",
        "pod to service address",
        "name to address",
        "largest packet that must pass",
        "node port, from another node",
        "what a policy denies",
    }
    assert all(":" in str(probe.ask["address"]) for probe in SIX)
    assert {hop.family for hop in HOPS} == {"IPv6"}
    assert {probe.ask["type"] for probe in SIX if probe.ask["kind"] == "dns"} == {"AAAA"}
    assert not {probe.key for probe in SIX} & {probe.key for probe in ALL[: -len(SIX)]}


@given(st.data())
def test_what_breaks_in_the_second_family_alone_is_named_as_that(data: st.DataObject) -> None:
    broken = data.draw(st.sampled_from(HOPS))
    [found] = judge(results(ALL, [broken]), plain)
    assert found.hops == (broken,)
    assert found.document()["family"] == "IPv6"


@given(st.data())
def test_there_is_a_cause_for_whatever_breaks(data: st.DataObject) -> None:
    broken = data.draw(st.sampled_from(HOPS))
    [found] = judge(results(SIX, [broken]), Clues(WORLD.of(IPV6), CAST, {}).reason)
    assert found.text
    assert found.remedy


def test_nodes_without_an_address_of_the_second_family_are_asked_for_none() -> None:
    found = plan(both(addresses=False).of(IPV6), CAST)
    assert not [
        probe for probe in found if probe.group in ("node port, from another node", "node to pod on another node")
    ]
    assert [probe for probe in found if probe.group == "pod to pod on another node"]


def test_endpoints_are_tried_by_the_family_of_their_slice() -> None:
    [four], _ = users.endpoints(WORLD, nodes(3)[:1], without="check")
    [six_], _ = users.endpoints(WORLD.of(IPV6), nodes(3)[:1], without="check")
    assert (four.ask["address"], six_.ask["address"]) == ("10.244.0.6", "fd00:10:244::6")
    assert six_.to == "nobody at [fd00:10:244::6]:8080, of service shop/web (IPv6)"


DROP = {"drop": None}
ROUTE = Hop("route", "n1", "n2", "IPv6")


@pytest.mark.parametrize(
    ("family", "statements", "barred"),
    [
        ("ip6", [match("ip6", "daddr", {"prefix": {"addr": "fd00:10:244:2::", "len": 64}}), DROP], True),
        ("inet", [match("tcp", "dport", 8080), DROP], True),
        ("ip", [DROP], False),
        ("inet", [match("ip", "daddr", {"prefix": {"addr": "10.0.0.0", "len": 8}}), DROP], False),
    ],
)
def test_only_rules_about_packets_of_the_family_are_accused(family: str, statements: list[Any], barred: bool) -> None:
    state = sound_state(1)
    state["routes"] = {"fd00:10:244:2::100": {"dev": "eth0", "gateway": "2001:db8:2::12"}}
    table = rule_table("forward", "it", *statements)
    state["rules"] = [{**table, "family": family}]
    [found] = judge(results(SIX, [ROUTE]), Clues(WORLD.of(IPV6), CAST, kernels({1: state})).reason)
    assert (f"table {family} theirs" in found.text) == barred, found.text


def test_the_tunnel_is_held_against_what_the_first_family_says_of_the_node() -> None:
    world, hardware = both(mode="vxlan").of(IPV6), hardware_of("192.0.2.12")
    state = sound_state(1)
    state["links"].append({"ifname": "navarch-vx", "ifindex": 9, "flags": ["UP"], "addr_info": []})
    state["routes"] = {"fd00:10:244:2::100": {"dev": "navarch-vx", "gateway": beyond(hardware)}}
    state["neighbours"].append({"dst": beyond(hardware), "dev": "navarch-vx", "lladdr": hardware})
    state["forwards"] = [{"mac": hardware, "ifname": "navarch-vx", "dst": "192.0.2.99"}]
    [found] = judge(results(SIX, [ROUTE]), Clues(world, CAST, kernels({1: state})).reason)
    assert re.search("to 192.0.2.99 instead of 192.0.2.12", found.text)


def test_forwarding_of_the_second_family_has_a_setting_of_its_own() -> None:
    state = sound_state(1)
    state["settings"]["net/ipv6/conf/all/forwarding"] = "0"
    hop = Hop("forwarding", "n1", "", "IPv6")
    [found] = judge(results(SIX, [hop]), Clues(WORLD.of(IPV6), CAST, kernels({1: state})).reason)
    assert "net.ipv6.conf.all.forwarding is 0" in found.text
