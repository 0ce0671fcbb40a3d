"""Packets that arrive and packets that do not: each hop that can stop one is named, with what to do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trace_scenery import (
    BASE,
    BOTH,
    WEB_PORT,
    ask,
    ask_both,
    both_service,
    doc,
    endpoint,
    node,
    of_both,
    pod,
    policy,
    service,
    six,
    slice_of,
    world,
)

from navarch.app.nettrace.explain import explain
from navarch.app.nettrace.question import question
from navarch.app.nettrace.steps import BadQuestion, Explanation
from navarch.proxy.addresses import FAMILIES, IPV4, Family, joined
from navarch.proxy.trace import Packet, across

FRONT = {"podSelector": {"matchLabels": {"app": "front"}}}
DNS_ADDRESS = "10.96.0.10"
DNS = doc(
    "Service",
    "kube-dns",
    "kube-system",
    spec={"clusterIP": DNS_ADDRESS, "ports": [{"name": "dns", "port": 53, "protocol": "UDP"}]},
)


def hops(found: Explanation) -> list[str]:
    return [f"{step.hop} {step.node} {step.outcome}".replace("  ", " ") for step in found.steps]


def text(found: Explanation) -> str:
    return "\n".join([*(step.text for step in found.steps), found.verdict, found.remedy])


def test_a_pod_reaches_a_service_by_its_name() -> None:
    found = ask("shop/front web")
    assert (found.fate, found.remedy) == ("arrives", "")
    assert hops(found) == [
        "sender n0 passes",
        "name n0 passes",
        "service n0 passes",
        "endpoint n0 passes",
        "endpoint n1 passes",
        "endpoint n1 passes",
        "egress n0 passes",
        "route n0 passes",
        "ingress n1 passes",
        "receiver n1 passes",
    ]
    assert "web is web.shop.svc.cluster.local: 10.96.0.7" in text(found)
    assert "to pod shop/web-b, as to 1 more:" in text(found)
    assert found.verdict == "It arrives at one of 2: pod shop/web-a, pod shop/web-b."


@pytest.mark.parametrize(
    ("words", "fate", "told"),
    [
        ("shop/front svc/web", "arrives", "one of 2 endpoints"),
        ("shop/front 10.96.0.7:80", "arrives", "one of 2 endpoints"),
        ("shop/front pod/web-b", "arrives", "10.244.1.0/24 of n1 over 192.0.2.11"),
        ("shop/front pod/web-a:http", "arrives", "it stays on the node"),
        ("shop/front 10.244.1.6:8080", "arrives", "pod shop/web-b"),
        ("shop/front node/n1:22", "arrives", "to n1 at 192.0.2.11"),
        ("shop/front node/n0:22", "arrives", "it is for the node itself"),
        ("shop/front 198.51.100.7:443", "arrives", "It leaves the cluster for 198.51.100.7."),
        ("node/n0 svc/web", "arrives", "n0 instead of 192.0.2.10"),
        ("shop/front web:81", "stopped", "has no port 81/tcp, and refuses; it has 80/tcp"),
        ("shop/front 10.96.5.5:80", "stopped", "no service has the address 10.96.5.5"),
        ("shop/front nobody", "stopped", "there is no such name as nobody"),
        ("shop/front nobody.shop", "stopped", "those of other namespaces are NAME.NAMESPACE"),
        ("shop/front example.com:80", "unknown", "the servers of the node's own resolv.conf would be asked"),
        ("node/n0 web.shop:80", "unknown", "does not ask the cluster's DNS"),
        ("world svc/web", "stopped", "has no address for the outside: it is of type ClusterIP"),
        ("world 10.96.0.7", "stopped", "nobody outside has a way to 10.96.0.7 (service shop/web)"),
        ("world pod/web-a", "stopped", "nobody outside has a way to 10.244.0.6 (pod shop/web-a)"),
        ("world 198.51.100.7:80", "stopped", "198.51.100.7 is no address of the cluster's"),
        ("world node/n1:22", "arrives", "it is for the node itself"),
    ],
)
def test_ends_of_every_sort(words: str, fate: str, told: str) -> None:
    found = ask(words)
    assert found.fate == fate, text(found)
    assert told in text(found)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("shop/fro web", "there is no pod 'fro' in namespace shop; there are front"),
        ("lost/front web", "there is no pod 'front' in namespace lost, nor any other"),
        ("node/n7 web", "there is no node 'n7'; there are n0, n1"),
        ("shop/front svc/wev", "there is no service 'wev' in namespace shop; there are web"),
        ("shop/front pod/front", "declares no port (none): say which with --port"),
        ("shop/front svc/web:metrics", "service shop/web has no port 'metrics'; it has http 80/tcp"),
        ("shop/front pod/web-a:metrics", "declares no port 'metrics' (it declares http 8080/tcp)"),
        ("shop/front 198.51.100.7", "which port of 198.51.100.7? Say a number with --port"),
        ("world:10.244.0.5 svc/web", "is an address of the cluster's pods: say pod/NAME"),
        ("world:10.96.0.7 svc/web", "is an address of the cluster's services"),
    ],
)
def test_what_is_not_there_is_told(words: str, told: str) -> None:
    with pytest.raises(BadQuestion) as caught:
        ask(words)
    assert told in str(caught.value)


def test_of_several_ports_one_must_be_said() -> None:
    ports = [
        {"name": "http", "port": 80},
        {"name": "metrics", "port": 9090},
        {"name": "dns", "port": 53, "protocol": "UDP"},
    ]
    with pytest.raises(BadQuestion, match="several ports"):
        ask("shop/front svc/web", service("web", ports=ports))
    assert "no port" not in ask("shop/front svc/web", service("web", ports=ports), port="http").verdict
    with pytest.raises(BadQuestion, match="has no sctp port"):
        ask("shop/front svc/web", service("web", ports=ports), protocol="sctp")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ([pod("front", "", "", phase="Pending")], "waits for a node"),
        ([pod("front", "", "n0", phase="Pending")], "has no address yet: phase Pending"),
        ([pod("front", "10.244.0.5", "n0", phase="Succeeded")], "has ended: phase Succeeded"),
        ([pod("front", "10.244.0.5", "n9")], "node n9 of pod shop/front has no address"),
    ],
)
def test_who_has_no_network_sends_nothing(more: list[Any], told: str) -> None:
    found = ask("shop/front web", *more)
    assert (found.fate, hops(found)[0].split()[-1]) == ("stopped", "stops")
    assert told in found.verdict
    assert "kubectl describe pod front -n shop" in found.remedy


def test_why_endpoints_are_left_out() -> None:
    unready = pod("web-b", "10.244.1.6", "n1", phase="Pending")
    half = slice_of("web", BOTH[0], endpoint("web-b", "10.244.1.6", "n1", ready=False))
    found = ask("shop/front svc/web", unready, half)
    assert found.fate == "arrives"
    assert "pod shop/web-b, 10.244.1.6:8080: not ready: probe failed" in text(found)
    leaving = slice_of(
        "web", BOTH[0], endpoint("web-b", "10.244.1.6", "n1", ready=False, serving=True, terminating=True)
    )
    assert "it terminates, and others are ready" in text(ask("shop/front svc/web", leaving))
    local = ask("shop/front svc/web", service("web", internalTrafficPolicy="Local"))
    assert "it is not on n0, and internalTrafficPolicy is Local" in text(local)
    zones = [{**each, "hints": {"forZones": [{"name": zone}]}} for each, zone in zip(BOTH, "ab", strict=True)]
    hinted = ask("shop/front svc/web", slice_of("web", *zones), node("n0", 0, zone="a"))
    assert "meant for b (trafficDistribution), and n0 has nearer ones" in text(hinted)


def test_a_service_with_nobody_behind_says_why() -> None:
    none = slice_of("web")
    assert "no pod of namespace shop has the labels that service shop/web selects: app=api" in text(
        ask("shop/front svc/web", none, service("web", selector={"app": "api"}))
    )
    assert (
        "has no selector, and nobody wrote an EndpointSlice"
        in ask("shop/front svc/web", none, service("web", selector={})).verdict
    )
    assert "2 pods have the labels" in ask("shop/front svc/web", none).verdict
    wrong = slice_of("web", *BOTH, ports=[])
    assert "have no port 'http', which its port 80 leads to" in ask("shop/front svc/web", wrong).verdict
    unready = slice_of("web", *(endpoint(n, ip, w, ready=False) for n, ip, w in (("web-a", "10.244.0.6", "n0"),)))
    found = ask("shop/front svc/web", unready)
    assert found.verdict.startswith(
        "It does not arrive: service shop/web has no endpoint that may be used: the node refuses"
    )
    far = slice_of("web", BOTH[1])
    found = ask("shop/front svc/web", far, service("web", internalTrafficPolicy="Local"))
    assert "times out" in found.verdict
    assert found.remedy == "Run a pod of the service on n0, or set the traffic policy to Cluster."


def test_policies_are_named_with_the_rule_that_lets_it_through() -> None:
    other = {"from": [{"podSelector": {"matchLabels": {"app": "batch"}}}]}
    lets = policy("web", "web", ingress=[other, {"from": [FRONT], "ports": [{"port": "http"}]}])
    found = ask("shop/front svc/web", lets)
    assert found.fate == "arrives"
    assert "policy shop/web, ingress[1] lets it in" in text(found)
    out = policy("front", "front", policyTypes=["Egress"], egress=[{"ports": [{"port": 8080}]}])
    assert "policy shop/front, egress[0] lets it out" in text(ask("shop/front svc/web", out))
    block = policy("web", "web", ingress=[{"from": [{"ipBlock": {"cidr": "10.244.0.0/24"}}]}])
    assert "policy shop/web, ingress[0] lets it in" in text(ask("shop/front svc/web", block))


def test_policies_that_stop_it_are_named_with_the_rule_that_would_help() -> None:
    deny = policy("deny", "web", policyTypes=["Ingress"])
    found = ask("shop/front pod/web-b", deny)
    assert found.fate == "stopped"
    assert found.verdict == (
        "It does not arrive: pod shop/web-b is isolated by shop/deny, "
        "and nothing there allows 8080/tcp from pod shop/front."
    )
    assert found.remedy == (
        "Add an ingress rule to a NetworkPolicy that selects pod shop/web-b: "
        "from pod shop/front (labels app=front, namespace shop), port 8080/tcp."
    )
    assert hops(found)[-1] == "ingress n1 stops"
    out = ask("shop/front 198.51.100.7:443", policy("deny", "front", policyTypes=["Egress"]))
    assert "nothing there allows 443/tcp to 198.51.100.7" in out.verdict
    assert "to ipBlock 198.51.100.7/32, port 443/tcp" in out.remedy


def test_a_node_is_stopped_at_other_nodes_pods_only() -> None:
    found = ask("node/n0 svc/web", policy("deny", "web", policyTypes=["Ingress"]))
    assert found.fate == "partly"
    assert found.verdict.startswith("It arrives at pod shop/web-a, and not at pod shop/web-b")
    assert "pod shop/web-a is isolated, but not from what it hears from its node or itself" in text(found)
    assert "from ipBlock 192.0.2.10/32 (node n0)" in found.remedy


def test_a_pod_that_may_not_ask_for_names() -> None:
    deny = policy("deny", "front", policyTypes=["Egress"])
    found = ask("shop/front web", DNS, deny)
    assert hops(found)[1] == "name n0 passes", "the node's own server answers, and nobody is kept from his node"
    far = doc(
        "Service",
        "kube-dns",
        "kube-system",
        spec={"clusterIP": DNS_ADDRESS, "selector": {"a": "b"}, "ports": DNS["spec"]["ports"]},
    )
    found = ask("shop/front web", far)
    assert "the cluster's DNS cannot be asked: nobody stands behind service kube-system/kube-dns" in found.verdict
    remote = slice_of(
        "kube-dns", endpoint("web-b", "10.244.1.6", "n1"), ports=[{"name": "dns", "port": 53, "protocol": "UDP"}]
    )
    remote["metadata"]["namespace"] = "kube-system"
    found = ask("shop/front web", far, remote, deny)
    assert "may not ask the cluster's DNS: shop/deny isolate what it sends" in found.verdict
    assert "allow it UDP and TCP 53" in found.remedy.lower().replace("udp", "UDP").replace("tcp", "TCP")


def test_other_resolvers_are_not_known() -> None:
    own = pod("front", "192.0.2.10", "n0", hostNetwork=True)
    found = ask("shop/front web.shop:80", own)
    assert (found.fate, "ClusterFirstWithHostNet" in found.remedy) == ("unknown", True)
    alias = pod("front", "10.244.0.5", "n0", hostAliases=[{"ip": "10.96.0.7", "hostnames": ["shopfront"]}])
    assert "shopfront is 10.96.0.7, by the pod's hostAliases" in text(ask("shop/front shopfront", alias))
    stub = doc("ConfigMap", "kube-dns", "kube-system", data={"stubDomains": '{"corp.example": ["192.0.2.53"]}'})
    assert "192.0.2.53:53 would be asked" in ask("shop/front db.corp.example:5432", stub).verdict


def test_headless_services_translate_no_port() -> None:
    peers = service("web", clusterIP="None")
    found = ask("shop/front web", peers)
    assert (found.fate, "on port 8080" in text(found)) == ("arrives", True)
    found = ask("shop/front svc/web:80", peers)
    assert "its pods listen on 8080, and 80 is not translated to that" in text(found)
    assert "no container declares it" in text(found)
    nobody = ask("shop/front svc/web", peers, slice_of("web"))
    assert "is headless, and none of its endpoints is ready" in nobody.verdict
    away = service("web", type="ExternalName", externalName="db.example.com", clusterIP="")
    assert ask("shop/front svc/web", away).fate == "unknown"


def test_the_outside_comes_in_by_node_ports_and_load_balancers() -> None:
    ports = [{"name": "http", "port": 80, "targetPort": "http", "nodePort": 30080}]
    found = ask("world svc/web", service("web", type="NodePort", ports=ports))
    assert (found.fate, "port 30080 of the node (http)" in text(found)) == ("arrives", True)
    assert "instead of 203.0.113.1" in text(found)
    local = service("web", type="NodePort", ports=ports, externalTrafficPolicy="Local")
    found = ask("world svc/web", local, slice_of("web", BOTH[1]))
    assert (found.fate, hops(found)[1]) == ("arrives", "service n1 passes")
    found = ask("world 192.0.2.10:30080", local, slice_of("web", BOTH[1]))
    assert (found.fate, "times out" in found.verdict) == ("stopped", True)
    balanced: dict[str, Any] = service(
        "web", type="LoadBalancer", ports=ports, loadBalancerSourceRanges=["192.0.2.0/24"]
    )
    balanced["status"] = {"loadBalancer": {"ingress": [{"ip": "198.51.100.9"}]}}
    assert "takes nothing from 203.0.113.1" in ask("world svc/web", balanced).verdict
    assert ask("world:192.0.2.77 svc/web", balanced).fate == "arrives"
    assert "service shop/web has no port 81/tcp, and refuses" in ask("world 198.51.100.9:81", balanced).verdict


def test_a_node_port_of_another_node_is_led_on_from_there() -> None:
    ports = [{"name": "http", "port": 80, "targetPort": "http", "nodePort": 30080}]
    gate = service("web", type="NodePort", ports=ports)
    found = ask("pod/front 192.0.2.11", gate, port="30080")
    assert (found.fate, found.verdict) == ("arrives", "It arrives at one of 2: pod shop/web-a, pod shop/web-b.")
    assert [(step.hop, step.node) for step in found.steps[:5]] == [
        ("sender", "n0"),
        ("egress", "n0"),
        ("masquerade", "n0"),
        ("route", "n0"),
        ("service", "n1"),
    ]
    assert "port 30080 of the node" in found.steps[4].text
    nobody = policy("web", "web", ingress=[])
    found = ask("pod/front 192.0.2.11", gate, nobody, port="30080")
    assert found.fate == "stopped"
    only_mine = service("web", type="NodePort", ports=ports, externalTrafficPolicy="Local")
    alone = slice_of("web", BOTH[0])
    found = ask("pod/front 192.0.2.11", only_mine, alone, port="30080")
    assert (found.fate, found.steps[-1].node) == ("stopped", "n1"), "it has no endpoint there"
    silent = policy("front", "front", policyTypes=["Egress"])
    found = ask("pod/front 192.0.2.11", gate, silent, port="30080")
    assert (found.fate, found.steps[-1].hop) == ("stopped", "egress")
    assert ask("pod/front 192.0.2.11", gate, port="30081").verdict == "It arrives at node n1."


def test_paths_between_nodes() -> None:
    for mode, told in (("vxlan", "in VXLAN to 192.0.2.11"), ("direct", "by the route over 192.0.2.11")):
        config = doc(
            "ConfigMap", "navarch-config", "kube-system", data={"clusterCIDR": "10.244.0.0/16", "podNetwork": mode}
        )
        assert told in text(ask("shop/front pod/web-b", config))
    away = ask("shop/front pod/web-b", node("n1", 1, ready=False))
    assert (away.fate, "n1 is not Ready" in away.verdict) == ("unknown", True)
    narrow = doc("ConfigMap", "navarch-config", "kube-system", data={"clusterCIDR": "10.244.0.0/24"})
    assert "n0 has no path to 10.244.1.0/24 of n1: not in 10.244.0.0/24" in ask("shop/front pod/web-b", narrow).verdict


def test_who_takes_nothing_yet() -> None:
    waiting = pod("web-b", "10.244.1.6", "n1", ports=[{"containerPort": 8080}], phase="Pending")
    assert "none of its containers runs yet (probe failed)" in ask("shop/front pod/web-b", waiting).verdict
    assert "has no address" in ask("shop/front pod/web-b:80", pod("web-b", "", "", phase="Pending")).verdict


def test_a_cluster_without_nodes_can_answer_too() -> None:
    bare = [each for each in BASE if each["kind"] != "Node"]
    found = explain(world(base=bare), question("shop/front", "web", namespace="shop"))
    assert "has no address or no range for pods yet" in found.verdict
    ports = [{"name": "http", "port": 80, "nodePort": 30080}]
    found = explain(
        world(service("web", type="NodePort", ports=ports), base=bare), question("world", "svc/web", namespace="shop")
    )
    assert found.fate == "unknown"


def test_what_is_not_of_ipv4_is_passed_over() -> None:
    six = {**slice_of("web", {"addresses": ["fd00::6"]}), "addressType": "IPv6"}
    six["metadata"] = {**six["metadata"], "name": "web-six"}
    empty = slice_of("web", {"addresses": []}, {"addresses": ["no-address"]}, *BOTH)
    config = doc("ConfigMap", "navarch-config", "kube-system", data={"clusterCIDR": "fd00::/48, 10.244.0.0/16"})
    found = ask("shop/front svc/web", six, empty, config)
    assert (found.fate, [step.hop for step in found.steps].count("endpoint")) == ("arrives", 3)
    found = ask("shop/front svc/web", service("web", clusterIP="fd00::7"))
    assert found.verdict == "It does not arrive: service shop/web has no address of IPv4."


def test_each_packet_is_of_one_family() -> None:
    found = ask_both("shop/front svc/web")
    assert found.verdict == "It arrives at one of 2: pod shop/web-a, pod shop/web-b."
    assert "10.244.0.6:8080" in text(found)
    for words in ("shop/front svc/web", "shop/front web", "shop/front pod/web-b"):
        found = ask_both(words, family="ipv6")
        assert found.fate == "arrives", text(found)
        assert "10.244." not in text(found).replace("fd00:10:244", "")
        assert "fd00:10:244:1::6" in text(found)
    found = ask_both("shop/front [fd00:10:96::7]:80")
    assert "service shop/web, [fd00:10:96::7]:80 (http): one of 2 endpoints" in text(found)
    assert "fd00:10:244:1::/64 of n1" in text(found)
    found = ask_both("shop/front [fd00:10:96::9]:80")
    assert found.verdict == "It does not arrive: no service has the address fd00:10:96::9."
    found = ask_both("shop/front [2001:db8:7::1]:443")
    assert found.verdict == "It leaves the cluster for 2001:db8:7::1."


def test_policies_and_masks_of_ipv6() -> None:
    blocks = [{"ipBlock": {"cidr": "10.244.0.0/16"}}]
    found = ask_both("shop/front svc/web", policy("p", "web", ingress=[{"from": blocks}]))
    assert found.fate == "arrives"
    found = ask_both("shop/front svc/web", policy("p", "web", ingress=[{"from": blocks}]), family="ipv6")
    assert found.fate == "stopped"
    assert "pod shop/web-b is isolated by shop/p, and nothing there allows 8080/tcp from pod shop/front" in text(found)
    blocks.append({"ipBlock": {"cidr": "fd00:10:244::/48"}})
    found = ask_both("shop/front svc/web", policy("p", "web", ingress=[{"from": blocks}]), family="ipv6")
    assert "policy shop/p, ingress[0] lets it in" in text(found)
    found = ask_both("world svc/web", ports_service(), family="ipv6")
    assert found.fate == "arrives"
    assert "instead of 2001:db8::1" in text(found)
    found = ask_both("node/n0 pod/web-b", family="ipv6")
    assert found.steps[0].text == "node n0 itself, 2001:db8:2::10"


def ports_service() -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "nodePort": 30080, "targetPort": "http"}]
    return both_service(type="NodePort", ports=ports)


def test_who_has_only_the_other_family_is_told_so() -> None:
    only = pod("front", "10.244.0.5", "n0")
    found = ask_both("shop/front svc/web", only, family="ipv6")
    assert "pod shop/front has no address of IPv6" in found.verdict
    found = ask_both("shop/front pod/web-b", pod("web-b", "10.244.1.6", "n1", ports=WEB_PORT), family="ipv6")
    assert found.verdict == "It does not arrive: pod shop/web-b has no address of IPv6."
    found = ask_both("shop/front svc/web", service("web"), family="ipv6")
    assert found.verdict == "It does not arrive: service shop/web has no address of IPv6."
    alone = service("web", clusterIP="fd00:10:96::7", clusterIPs=["fd00:10:96::7"])
    for words in ("shop/front svc/web", "shop/front web"):
        found = ask_both(words, alone)
        assert (found.fate, "[fd00:10:244:1::6]:8080" in text(found)) == ("arrives", True), "it has no other"
    for words, family in (("world:10.9.9.9 fd00::1", ""), ("shop/front 10.96.0.7:80", "ipv6")):
        with pytest.raises(BadQuestion, match="one is of each family"):
            ask_both(words, family=family)
    with pytest.raises(BadQuestion, match="no pod of this cluster has an address of IPv6"):
        ask("shop/front [fd00::1]:80")


def test_host_ports_are_told_as_what_they_are() -> None:
    ports = [{"containerPort": 8080, "hostPort": 8088}]
    found = ask("world 192.0.2.11:8088", pod("web-b", "10.244.1.6", "n1", ports=ports))
    assert (found.fate, "192.0.2.11:8088 is a host port of pod shop/web-b" in text(found)) == ("arrives", True)


def test_the_clusters_dns_is_each_nodes_own() -> None:
    found = ask(f"shop/front {DNS_ADDRESS}:53", DNS)
    assert found.verdict == "It arrives at node n0."
    assert found.steps[-1].text == "node n0, port 10053/udp"


def test_json_says_all_of_it() -> None:
    document = ask("shop/front svc/web:81").document()
    assert document["fate"] == "stopped"
    assert document["steps"][-1] == {
        "hop": "service",
        "node": "n0",
        "outcome": "stops",
        "text": "service shop/web has no port 81/tcp, and refuses; it has 80/tcp",
    }


PEERS = st.lists(
    st.sampled_from(
        [
            FRONT,
            {"podSelector": {}},
            {"podSelector": {"matchLabels": {"app": "web"}}},
            {"ipBlock": {"cidr": "192.0.2.0/24"}},
            {"ipBlock": {"cidr": "10.244.0.0/16", "except": ["10.244.1.0/24"]}},
            {"ipBlock": {"cidr": "fd00:10:244::/48", "except": ["fd00:10:244:1::/64"]}},
        ]
    ),
    max_size=2,
)
PORTS = st.lists(st.sampled_from([{"port": 8080}, {"port": "http"}, {"port": 1, "endPort": 99}]), max_size=2)
POLICY = st.tuples(
    st.sampled_from(["web", "front"]),
    st.sampled_from(["Ingress", "Egress"]),
    st.lists(st.tuples(PEERS, PORTS), max_size=2),
)
SENDERS = {"shop/front": ("10.244.0.5", "n0"), "shop/web-b": ("10.244.1.6", "n1"), "node/n0": ("192.0.2.10", "n0")}
SENDERS_OF_IPV6 = {each: (six(address), node) for each, (address, node) in SENDERS.items()} | {
    "node/n0": ("2001:db8:2::10", "n0")
}


@given(
    policies=st.lists(POLICY, max_size=3),
    source=st.sampled_from(sorted(SENDERS)),
    port=st.sampled_from([80, 81]),
    family=st.sampled_from(FAMILIES),
)
def test_the_words_say_what_the_rules_say(policies: list[Any], source: str, port: int, family: Family) -> None:
    made = of_both()
    for number, (app, direction, rules) in enumerate(policies):
        side = "from" if direction == "Ingress" else "to"
        said = [{side: peers, "ports": ports} for peers, ports in rules]
        made.append(policy(f"p{number}", app, policyTypes=[direction], **{direction.lower(): said}))
    there = world(*made)
    address, entry = (SENDERS if family is IPV4 else SENDERS_OF_IPV6)[source]
    to = "10.96.0.7" if family is IPV4 else "fd00:10:96::7"
    packet = Packet(address, to, "tcp", port, source.startswith("node/"))
    seen = there.of(family)
    arrivals = across([seen.rules("n0"), seen.rules("n1")], entry, packet).arrivals
    found = explain(there, question(source, joined(to, port)))
    passing = [each.passes for each in arrivals]
    fates = {True: "arrives" if passing else "stopped", False: "partly" if any(passing) else "stopped"}
    assert found.fate == fates[all(passing)]
    stops = [step for step in found.steps if step.outcome == "stops"]
    assert bool(stops) == (found.fate != "arrives")
    assert all(step.remedy for step in stops)
