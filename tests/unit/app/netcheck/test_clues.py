"""Why a hop does not work is read from what the kernels have; what they do not show is said as what it mostly is."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from check_scenery import cast, cluster, kernels, link, match, results, rule_table, sound_state, texts
from hypothesis import given
from hypothesis import strategies as st
from trace_scenery import doc, pod

from navarch.app.netcheck.clues import Clues
from navarch.app.netcheck.judge import SPECIFIC, judge, without_doubts
from navarch.app.netcheck.plan import plan
from navarch.app.netcheck.probes import Finding, Hop, Result, well
from navarch.net.plan import hardware_of

FIRST = "check/first-1"
POD = Hop("pod link", "n1", FIRST)
DROP: dict[str, Any] = {"drop": None}
State = dict[str, Any]


def found(
    broken: Hop, change: Callable[[State], object] = lambda state: None, *more: Any, at: int = 1
) -> list[Finding]:
    """What is said of a hop that is broken where the kernel of the node `at` is not as it should be."""
    state = copy.deepcopy(sound_state(at))
    change(state)
    world = cluster(3, *more)
    clues = Clues(world, cast(3), kernels({at: state}))
    return judge(results(plan(world, cast(3)), [broken]), clues.reason)


def named(state: State, name: str) -> Any:
    return next(one for one in state["links"] if one["ifname"] == name)


def inner(state: State) -> Any:
    return state["pods"][FIRST]


VXLAN = doc("ConfigMap", "navarch-config", "kube-system", data={"clusterCIDR": "10.244.0.0/16", "podNetwork": "vxlan"})
ROUTE = Hop("route", "n1", "n2")
END, HARDWARE = "10.244.2.0", hardware_of("192.0.2.12")


def tunnelled(neighbour: str = HARDWARE, forward: str = "192.0.2.12", up: bool = True) -> Callable[[State], object]:
    def change(state: State) -> None:
        state["links"].append(link("navarch-vx", 9, up=up))
        state["routes"]["10.244.2.100"] = {"dev": "navarch-vx", "gateway": END}
        state["neighbours"].append({"dst": END, "dev": "navarch-vx", "lladdr": neighbour})
        state["forwards"].append({"mac": HARDWARE, "ifname": "navarch-vx", "dst": forward})

    return change


@pytest.mark.parametrize(
    ("broken", "change", "said"),
    [
        (POD, lambda s: s["pods"].clear(), "has no interface eth0"),
        (
            POD,
            lambda s: s["links"].remove(named(s, "veth7")),
            "the end of pod check/first-1's link on the node is gone",
        ),
        (POD, lambda s: named(s, "veth7").update(flags=[]), "the link of pod check/first-1 is down: veth7"),
        (POD, lambda s: named(s, "veth7").pop("master"), "veth7, is in no bridge instead of navarch0"),
        (POD, lambda s: named(s, "veth7").update(master="br1"), "is in br1 instead of navarch0"),
        (POD, lambda s: inner(s)["links"][0].update(flags=[]), "is down inside the pod"),
        (POD, lambda s: inner(s)["routes"].clear(), "has no default route"),
        (POD, lambda s: inner(s)["links"][0].update(addr_info=[]), "should have 10.244.1.100, and has no address"),
        (
            POD,
            lambda s: s["neighbours"][0].update(lladdr="02:00:00:00:00:bb", state=["PERMANENT"]),
            "takes 02:00:00:00:00:bb for the hardware address of pod check/first-1.*that somebody fixed",
        ),
        (
            POD,
            lambda s: s["neighbours"][0].update(lladdr="02:00:00:00:00:bb"),
            "another interface answers for that address too",
        ),
        (POD, lambda s: None, "pod check/first-1 on n1 gives no answer, though its link looks as it should"),
        (
            Hop("gateway", "n1"),
            lambda s: named(s, "navarch0").update(addr_info=[]),
            "no interface of node n1 has 10.244.1.1",
        ),
        (Hop("bridge", "n1"), lambda s: named(s, "navarch0").update(flags=[]), "the bridge of node n1's pods is down"),
        (Hop("forwarding", "n1"), lambda s: s["settings"].update({"net/ipv4/ip_forward": "0"}), "ip_forward is 0"),
        (Hop("forwarding", "n1"), lambda s: s["unforwarded"].append("navarch0"), "conf.navarch0.forwarding is 0"),
        (Hop("forwarding", "n1"), lambda s: s["unforwarded"].append("lo"), "passes no packets on"),
        (ROUTE, lambda s: s["routes"]["10.244.2.100"].clear(), "n1 has no route to 10.244.2.0/24, the pods of n2"),
        (
            ROUTE,
            lambda s: s["routes"]["10.244.2.100"].update(gateway="192.0.2.9"),
            "over 192.0.2.9 by eth0 and not to 192.0.2.12",
        ),
        (ROUTE, lambda s: None, "do not arrive at the pods of n2, though the route is there"),
        (ROUTE, tunnelled(up=False), "the tunnel of node n1 is down"),
        (ROUTE, tunnelled(neighbour="02:00:00:00:00:01"), "takes 02:00:00:00:00:01 for the end of n2's tunnel"),
        (ROUTE, tunnelled(forward="192.0.2.99"), "through its tunnel to 192.0.2.99 instead of 192.0.2.12"),
        (
            Hop("service", "n1", "check/node-2 (tcp)"),
            lambda s: s["missing"].append(["10.96.1.2", "tcp", 8080]),
            "the kernel of node n1 has no rule for 10.96.1.2:8080",
        ),
        (Hop("DNS", "n1"), lambda s: None, "the DNS server of node n1 gives no answer"),
        (Hop("policy", "n1", "denies"), lambda s: None, "lets in what a policy keeps out"),
        (Hop("policy", "n1", "allows"), lambda s: None, "keeps out what a policy lets in"),
        (Hop("masquerade", "n1"), lambda s: None, "under the pods' own addresses"),
    ],
)
def test_the_cause_is_what_is_wrong_there(broken: Hop, change: Callable[[State], object], said: str) -> None:
    import re

    [one] = found(broken, change)
    assert one.hops == (broken,)
    assert re.search(said, one.text), one.text
    assert one.remedy


RULES = [
    (ROUTE, "output", [match("udp", "dport", 8472), DROP], (VXLAN,), "bars the tunnel between the nodes"),
    (Hop("node port", "n1"), "prerouting", [match("tcp", "dport", 30001), DROP], (), "stops these packets"),
    (Hop("DNS", "n1"), "input", [match("udp", "dport", 10053), DROP], (), "stops these packets"),
    (Hop("forwarding", "n1"), "forward", [DROP], (), "stops these packets"),
    (Hop("masquerade", "n1"), "postrouting", [{"snat": {"addr": "x"}}], (), "keeps pods from leaving under their"),
    (
        Hop("service", "n1", "check/node-2 (tcp)"),
        "prerouting",
        [match("ip", "daddr", "10.96.1.2"), DROP],
        (),
        "stops these packets",
    ),
]


@pytest.mark.parametrize(("broken", "hook", "statements", "more", "said"), RULES)
def test_a_rule_of_others_is_named(broken: Hop, hook: str, statements: Any, more: Any, said: str) -> None:
    rule = rule_table(hook, "what it says", *statements)
    [one] = found(broken, lambda state: state["rules"].append(rule), *more)
    assert one.hops[0] == broken
    assert said in one.text
    assert "on node n1 that is not Navarch's" in one.text
    assert "table ip theirs, chain c: `what it says`" in one.text
    assert "nft -a list table ip theirs" in one.remedy


def test_a_rule_that_bars_something_else_is_not() -> None:
    rule = rule_table("prerouting", "other", match("tcp", "dport", 22), DROP)
    [one] = found(Hop("node port", "n1"), lambda state: state["rules"].append(rule))
    assert "theirs" not in one.text


@pytest.mark.parametrize("hop", [Hop("agent", "n1"), Hop("host ports", "n1")])
def test_ports_of_nodes_that_are_kept_from_others_are_told_and_are_no_fault(hop: Hop) -> None:
    rule = rule_table("input", "drop", match("tcp", "dport", {"set": [10250, 40000]}), DROP)
    for state in ({}, {**sound_state(1), "rules": [rule]}):
        world = cluster(3)
        ended = results(plan(world, cast(3)), [hop])
        judged = judge(ended, Clues(world, cast(3), kernels({1: state})).reason)
        kept, faults, [note] = without_doubts(ended, judged)
        assert (faults, len(kept)) == ([], sum(well(*each) for each in ended))
        assert f"{len(ended) - len(kept)} of the probes" in note


@pytest.mark.parametrize(("state", "fault"), [("REACHABLE", False), ("FAILED", True)])
def test_a_pod_that_is_on_its_link_and_takes_no_echo_requests_is_no_fault(state: str, fault: bool) -> None:
    kernel, address = sound_state(0), "02:00:00:00:00:cc"
    kernel["links"].append(link("veth9", 9, master="navarch0"))
    inner = link("eth0", 2, "10.244.0.5", link_index=9, address=address)
    kernel["pods"]["shop/front"] = {"links": [inner], "routes": [{"dst": "default"}]}
    entry = {"dst": "10.244.0.5", "dev": "navarch0", "state": [state], "lladdr": address}
    kernel["neighbours"].append(entry)
    world = cluster(3)
    ended = results(plan(world, cast(3)), [Hop("pod link", "n0", "shop/front")])
    _, faults, notes = without_doubts(ended, judge(ended, Clues(world, cast(3), kernels({0: kernel})).reason))
    assert (len(faults), len(notes)) == ((1, 0) if fault else (0, 1))


def test_two_pods_of_one_address_are_both_named() -> None:
    twin = pod("twin", "10.244.1.100", "n1")
    [one] = found(POD, lambda state: None, twin)
    assert "10.244.1.100 is the address of two: pod check/first-1 and pod shop/twin" in one.text


def test_policies_that_somebody_puts_into_every_namespace_are_named() -> None:
    policy = doc("NetworkPolicy", "default-deny", "check", spec={"podSelector": {}})
    [one] = found(Hop("policy", "n1", "allows"), lambda state: None, policy)
    assert "they let no probes through: check/default-deny" in one.text


def test_a_node_that_tells_nothing_of_itself_is_judged_by_the_probes_alone() -> None:
    [one] = found(Hop("forwarding", "n1"), lambda state: state.clear())
    assert one.hops == (Hop("forwarding", "n1"),)


def test_sizes_are_told() -> None:
    world = cluster(3)
    ended = [
        (
            probe,
            Result("too large", most_bytes=1300, sent_bytes=1450)
            if Hop("MTU of a node", "n2") in probe.hops
            else result,
        )
        for probe, result in results(plan(world, cast(3)), [])
    ]
    [one] = judge(ended, Clues(world, cast(3), kernels()).reason)
    assert one.hops == (Hop("MTU of a node", "n2"),)
    assert "packets of more than about 1300 bytes are lost between n2 and the other nodes" in one.text
    assert "about 1300, 1350 with a tunnel around it" in one.remedy


def test_a_sender_that_was_told_to_send_less_says_nothing_of_the_way() -> None:
    """One of the directions between n1 and n2 is told; what n2 loses on the others is still its own."""
    world, node = cluster(3), Hop("MTU of a node", "n2")
    ended = []
    for probe, result in results(plan(world, cast(3)), []):
        if node in probe.hops:
            error = "" if (probe.node, probe.to) == ("n1", "pod first-2 on n2") else "too large"
            result = Result(error, most_bytes=1250, sent_bytes=1450)
        ended.append((probe, result))
    [one] = judge(ended, Clues(world, cast(3), kernels()).reason)
    assert one.hops == (node,)


ANY_WORLD = cluster(3, VXLAN)
ANY_PLAN = plan(ANY_WORLD, cast(3), outside=["203.0.113.9:443", "example.com"])
ANY_HOP = sorted({hop for probe in ANY_PLAN for hop in probe.hops})


@given(st.data())
def test_whatever_breaks_there_is_a_cause_and_something_to_do(data: st.DataObject) -> None:
    broken = data.draw(st.sampled_from(ANY_HOP))
    ended = results(ANY_PLAN, [broken])
    made = judge(ended, Clues(ANY_WORLD, cast(3), kernels() if data.draw(st.booleans()) else {}).reason)
    assert [each.hops for each in made] == [(broken,)], texts(made)
    assert made[0].text
    assert made[0].remedy
    assert broken.kind in SPECIFIC
    assert not all(well(*each) for each in ended)
