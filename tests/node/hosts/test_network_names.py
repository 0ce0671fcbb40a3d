"""Names of the cluster, asked for from pods of three nodes and from the nodes themselves: each node's own DNS answers,
and what the names lead to is on all of them."""

from __future__ import annotations

from typing import Any

import dnslib
import pytest
from crew import LETTERS, PREFIX, Crew, Probe, names, udp
from real_cluster import PYTHON, Kubectl, pod, until

from tests.compat.conformance.conformance_specs import spec

pytestmark = pytest.mark.node

SPACE = f"{PREFIX}x"
DOMAIN = "svc.cluster.local"
DNS = "10.96.0.10"
PORTS = [{"name": "web", "port": 80, "targetPort": 8080}, {"name": "echo", "port": 81, "protocol": "UDP"}]


def service(name: str, **given: Any) -> dict[str, Any]:
    spec = {"selector": {"crew": "member"}, "ports": PORTS} | given
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


@pytest.fixture(scope="module")
def kubectl(crew: Crew) -> Kubectl:
    found = crew.kubectl()
    found.apply(service("named"), service("bare", clusterIP="None"))
    return found


def lead_to(crew: Crew, name: str, *addresses: str) -> None:
    """From everywhere; a name that is new is known to each node within moments."""
    wanted = " ".join(sorted(addresses))

    def seen() -> bool:
        found = crew.each(crew.everywhere, names(name, patience_s=5.0))
        return {said.text for [said] in found.values()} == {wanted}

    until(f"{name} to lead to {wanted} from everywhere", seen)


def records(crew: Crew, name: str, kind: str) -> dict[str, set[str]]:
    """By who asks: what the cluster's DNS has to say of exactly this name."""
    question = bytes(dnslib.DNSRecord.question(name, kind).pack()).hex()
    found = crew.each(crew.everywhere, udp(DNS, 53, question))
    parsed = {who: dnslib.DNSRecord.parse(bytes.fromhex(said.text)) for who, [said] in found.items()}
    return {who: {str(each.rdata) for each in answer.rr} for who, answer in parsed.items()}


@spec("[sig-network] DNS should provide DNS for the cluster")
def test_the_api_server_has_its_names_on_each_node(crew: Crew) -> None:
    for name in ("kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.{DOMAIN}"):
        lead_to(crew, name, "10.96.0.1")


@spec("[sig-network] DNS should provide DNS for services")
@spec("[sig-network] DNS should resolve DNS of partial qualified names for services [LinuxOnly]")
def test_services_have_their_names_on_each_node(crew: Crew, kubectl: Kubectl) -> None:
    own = str(kubectl.get("service", "named")["spec"]["clusterIP"])
    pods = {crew.address(name) for name in crew.three}
    for rest in ("", f".{SPACE}", f".{SPACE}.svc", f".{SPACE}.{DOMAIN}"):
        lead_to(crew, f"named{rest}", own)
        lead_to(crew, f"bare{rest}", *pods)
    assert set(map(frozenset, records(crew, f"bare.{SPACE}.{DOMAIN}", "A").values())) == {frozenset(pods)}
    for port, number in (("_web._tcp", 80), ("_echo._udp", 81)):
        [one] = set(map(frozenset, records(crew, f"{port}.named.{SPACE}.{DOMAIN}", "SRV").values()))
        assert [each.split()[2:] for each in one] == [[str(number), f"named.{SPACE}.{DOMAIN}."]]
    reverse = ".".join(reversed(own.split("."))) + ".in-addr.arpa"
    assert set(map(frozenset, records(crew, reverse, "PTR").values())) == {frozenset({f"named.{SPACE}.{DOMAIN}."})}


@spec("[sig-network] DNS should provide DNS for pods for Hostname")
@spec("[sig-network] DNS should provide DNS for pods for Subdomain")
def test_pods_have_names_of_their_own_on_each_node(crew: Crew) -> None:
    for letter in LETTERS:
        for name in (f"{letter}.crew.{SPACE}.{DOMAIN}", f"{letter}.crew"):
            lead_to(crew, name, crew.address(f"x/{letter}"))


@spec("[sig-network] DNS should provide /etc/hosts entries for the cluster")
def test_pods_of_each_node_find_themselves_by_their_hosts_file(crew: Crew) -> None:
    for name in crew.three:
        own, letter = crew.address(name), name[-1]
        whole = f"{letter}.crew.{SPACE}.{DOMAIN}"
        [file, short, long] = crew.ask({name: [Probe("read", "/etc/hosts"), names(letter), names(whole)]})[name]
        assert [own, whole, letter] in [line.split() for line in file.text.splitlines()]
        assert {short.text, long.text} == {own}


@spec("[sig-network] DNS should provide DNS for ExternalName services")
def test_an_external_name_is_followed_on_each_node(crew: Crew, kubectl: Kubectl) -> None:
    whole = f"away.{SPACE}.{DOMAIN}"
    for other in ("foo.example.com", "bar.example.com"):
        kubectl.apply(service("away", type="ExternalName", externalName=other, selector=None, ports=None))
        wanted = {f"{other}."}
        until(other, lambda wanted=wanted: all(each == wanted for each in records(crew, whole, "CNAME").values()))
    kubectl(
        "patch",
        "service",
        "away",
        "-p",
        '{"spec": {"type": "ClusterIP", "externalName": null, "ports": [{"port": 80}]}}',
    )
    lead_to(crew, "away", str(kubectl.get("service", "away")["spec"]["clusterIP"]))


@spec("[sig-network] DNS should support configurable pod DNS nameservers")
def test_pods_of_other_nodes_ask_the_nameserver_that_they_name(crew: Crew, kubectl: Kubectl) -> None:
    """A pod of the first node is the name server."""
    config = {"nameservers": [crew.address("x/a")], "searches": ["mine.local"]}
    script = "import socket, time; print(socket.gethostbyname('wanted')); time.sleep(100000)"
    choosy = [f"choosy-{node.number}" for node in crew.nodes[1:]]
    for name, node in zip(choosy, crew.nodes[1:], strict=True):
        words = ["python3.11", "-u", "-c", script]
        kubectl.apply(pod(name, words, image=PYTHON, nodeName=node.name, dnsPolicy="None", dnsConfig=config))
    for name in choosy:
        until(f"what {name} was told", lambda name=name: kubectl.run("logs", name).stdout == "198.51.100.77\n")
    kubectl("delete", "pod", *choosy, "--wait=false")
