"""Which probes are sent: every path there is, and nobody outside who was not named."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from check_scenery import cast, cluster
from trace_scenery import doc, pod

from navarch.app.netcheck.judge import SPECIFIC
from navarch.app.netcheck.plan import plan
from navarch.app.netcheck.probes import GROUPS, Probe, Result, result_of, told, well

CONFIG = {"clusterCIDR": "10.244.0.0/16"}
OWN = [ip_network(each) for each in ("10.244.0.0/16", "10.96.0.0/16", "192.0.2.0/24")]


def groups(count: int, *more: dict[str, object]) -> Counter[str]:
    return Counter(probe.group for probe in plan(cluster(count, *more), cast(count)))


def test_every_ordered_pair_of_nodes_is_tried_by_every_kind_of_path() -> None:
    for count in (1, 2, 3, 5):
        pairs = count * (count - 1)
        found = groups(count)
        assert found["pod to pod on another node"] == 2 * pairs
        assert found["pod to pod on the same node"] == 2 * count
        assert found["pod to service address"] == 2 * count * count + count
        assert found["node to pod on another node"] == pairs
        assert found["node port, from another node"] == pairs
        assert found["largest packet that must pass"] == count * count
        assert found["what a policy denies"] == count * count


def test_each_running_pod_of_anybody_is_asked_for_by_its_own_node() -> None:
    found = [probe for probe in plan(cluster(3), cast(3)) if probe.group == "node to its own pods"]
    assert {(probe.node, probe.to) for probe in found} >= {("n0", "pod shop/front"), ("n1", "pod shop/web-b")}
    assert all(probe.pod == "" for probe in found)


@pytest.mark.parametrize(
    "late",
    [
        pod("late", "", "n0"),
        pod("late", "10.244.0.9", "n0", phase="Succeeded"),
        pod("late", "192.0.2.10", "n0", hostNetwork=True),
    ],
)
def test_a_pod_that_need_not_answer_is_left_alone(late: dict[str, object]) -> None:
    assert not [probe for probe in plan(cluster(3, late), cast(3)) if probe.to == "pod shop/late"]


def test_nobody_outside_is_asked_unless_they_are_named() -> None:
    def strangers(probes: list[Probe]) -> set[str]:
        found = {str(probe.ask["address"]) for probe in probes}
        return {each for each in found if not any(ip_address(each) in network for network in OWN)}

    forwarding = doc("ConfigMap", "kube-dns", "kube-system", data={"stubDomains": '{"corp.example": ["203.0.113.5"]}'})
    assert strangers(plan(cluster(3, forwarding), cast(3))) == set()
    assert strangers(plan(cluster(3), cast(3), outside=["203.0.113.9:443", "example.com"])) == {"203.0.113.9"}


def test_names_that_others_answer_are_asked_of_the_clusters_own_server() -> None:
    data = {"stubDomains": '{"corp.example": ["203.0.113.5"]}', "upstreamNameservers": '["203.0.113.6:5353"]'}
    found = plan(cluster(3, doc("ConfigMap", "kube-dns", "kube-system", data=data)), cast(3))
    others = [probe for probe in found if probe.group == "name of others to address"]
    assert {probe.ask["address"] for probe in others} == {"10.96.0.10"}
    assert {probe.hops[-1].what for probe in others} == {
        "corp.example by 203.0.113.5",
        "all other names by 203.0.113.6:5353",
    }


def test_node_ports_are_not_tried_where_the_cluster_has_them_elsewhere() -> None:
    for network, count in (("198.51.100.0/24", 0), ("192.0.2.0/24", 6)):
        data = {**CONFIG, "nodePortAddresses": network}
        settings = doc("ConfigMap", "navarch-config", "kube-system", data=data)
        assert groups(3, settings)["node port, from another node"] == count


def test_a_node_where_nothing_could_listen_is_not_asked_for_its_own_ports() -> None:
    found = plan(cluster(3), replace(cast(3), host_ports={}))
    assert not [probe for probe in found for hop in probe.hops if hop.kind in ("host ports", "masquerade")]


def test_every_probe_is_of_a_group_that_is_shown_and_of_hops_that_have_an_order() -> None:
    for probe in plan(cluster(3), cast(3)):
        assert probe.group in GROUPS
        assert {hop.kind for hop in probe.hops} <= set(SPECIFIC)
        assert 0 < float(probe.ask["within_s"]) <= 10


def test_keys_tell_probes_apart() -> None:
    probes = plan(cluster(3), cast(3), outside=["example.com"])
    assert len({probe.key for probe in probes}) == len(probes)


PROBE = Probe("g", "n0", "", "x", {}, ())


@pytest.mark.parametrize(
    ("probe", "answer", "fine", "said"),
    [
        (PROBE, {"ok": True}, True, ""),
        (PROBE, {"ok": False, "error": "timeout"}, False, "timeout"),
        (PROBE, {}, False, "no answer"),
        (replace(PROBE, dropped=True), {"ok": True}, False, "it arrives, and must not"),
        (replace(PROBE, dropped=True), {"ok": False, "error": "timeout"}, True, ""),
        (replace(PROBE, expect="10.96.0.1"), {"ok": True, "code": 0, "answers": ["10.96.0.1"]}, True, ""),
        (replace(PROBE, expect="10.96.0.1"), {"ok": True, "answers": []}, False, "nothing instead of 10.96.0.1"),
        (PROBE, {"ok": True, "code": 3}, False, "NXDOMAIN"),
        (PROBE, {"ok": True, "code": 2}, False, "SERVFAIL"),
        (replace(PROBE, hidden="10.244.0.0/16"), {"ok": True, "seen": "192.0.2.1"}, True, ""),
        (replace(PROBE, hidden="10.244.0.0/16"), {"ok": True, "seen": "10.244.0.5"}, False, "it comes from 10.244.0.5"),
        (
            PROBE,
            {"ok": False, "error": "too large", "bytes": 1450, "most_bytes": 1300},
            False,
            "packets of 1450 bytes are lost, 1300 pass",
        ),
    ],
)
def test_what_becomes_of_a_probe(probe: Probe, answer: dict[str, object], fine: bool, said: str) -> None:
    result: Result = result_of(answer)
    assert well(probe, result) == fine
    if not fine:
        assert said in told(probe, result)
