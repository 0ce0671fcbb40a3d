"""Services whose endpoints are on three nodes, asked from pods of each node and from each node itself."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
from crew import LETTERS, PREFIX, Crew, Probe, http, names, udp
from real_cluster import Kubectl, until

from tests.compat.conformance.conformance_specs import spec

pytestmark = pytest.mark.node

SERVICES = "[sig-network] Services should "
SLICES = "[sig-network] EndpointSlice should "
TIMES = 24
"""Of three pods, chance leaves one out in 24 connections once in 5,600 times, and then they are tried again."""
API = ("10.96.0.1", 443)


def service(name: str, selector: Any = (("crew", "member"),), **given: Any) -> dict[str, Any]:
    spec = {"ports": [{"name": "web", "port": 80, "targetPort": 8080}], **given}
    if selector:
        spec["selector"] = dict(selector)
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


@pytest.fixture(scope="module")
def kubectl(crew: Crew) -> Kubectl:
    return crew.kubectl()


def put(kubectl: Kubectl, *documents: dict[str, Any]) -> str:
    """The cluster address of the first."""
    kubectl.apply(*documents)
    return str(kubectl.get("service", documents[0]["metadata"]["name"])["spec"].get("clusterIP", ""))


def answer(crew: Crew, probe: Probe, *wanted: str, who: Sequence[str] = ()) -> None:
    """From everywhere just these members answer, each of them now and then."""
    askers = who or crew.everywhere
    tries = probe._replace(patience_s=5.0)

    def all_of_them() -> bool:
        found = crew.each(askers, *[tries] * (TIMES if len(wanted) > 1 else 6))
        return all({each.name for each in said} == set(wanted) for said in found.values())

    until(f"{sorted(wanted)} to answer {probe.kind} {probe.host}:{probe.port} from {askers}", all_of_them)


def refuse(crew: Crew, probe: Probe, who: Sequence[str] = ()) -> None:
    """Nobody answers, from anywhere, and whoever asks is told so at once."""

    def told_so() -> bool:
        found = crew.each(who or crew.everywhere, probe.once)
        return all("refused" in said.why for [said] in found.values())

    until(f"{probe.kind} {probe.host}:{probe.port} to be refused", told_so)


def sticks(crew: Crew, probes: Sequence[Probe]) -> bool:
    """Each asker stays with one pod, whichever node it comes in at."""
    found = crew.each(crew.everywhere, *probes * 4)
    return all(len({each.name for each in said}) == 1 and said[0].name for said in found.values())


def node_ports(crew: Crew, kubectl: Kubectl, name: str) -> list[Probe]:
    """One for the service's first port on each node's address."""
    port = kubectl.get("service", name)["spec"]["ports"][0]["nodePort"]
    return [http(node.address, port) for node in crew.nodes]


@spec("[sig-network] API Server should provide secure master service")
@spec("[sig-network] API Server should have Endpoints and EndpointSlices pointing to API Server")
def test_the_api_server_is_reached_from_each_node(crew: Crew) -> None:
    everywhere = Kubectl(crew.kubeconfig)
    [subset] = everywhere.get("endpoints", "kubernetes")["subsets"]
    [one] = json.loads(
        everywhere("get", "endpointslices", "-l", "kubernetes.io/service-name=kubernetes", "-o", "json")
    )["items"]
    addresses = [each["ip"] for each in subset["addresses"]]
    assert [each for endpoint in one["endpoints"] for each in endpoint["addresses"]] == addresses
    assert one["ports"][0]["port"] == subset["ports"][0]["port"]
    direct = [(address, subset["ports"][0]["port"]) for address in addresses]
    probes = [Probe("https", *where, "/version", 15.0) for where in (API, ("kubernetes.default.svc", 443), *direct)]
    for said in crew.each(crew.everywhere, *probes).values():
        assert {json.loads(each.text)["minor"] for each in said} == {"36"}


@spec(SERVICES + "serve a basic endpoint from pods")
@spec(SLICES + "create Endpoints and EndpointSlices for Pods matching a Service")
@spec("[sig-network] EndpointsController should create Endpoints for Pods matching a Service")
def test_a_service_leads_to_the_pods_that_it_selects_wherever_they_are(crew: Crew, kubectl: Kubectl) -> None:
    address = put(kubectl, service("basic"))
    answer(crew, http(address, 80), *crew.three)
    [one] = slices(kubectl, "basic")
    where = {each["addresses"][0]: each["nodeName"] for each in one["endpoints"]}
    assert where == {crew.address(name): crew.members[name].node.name for name in crew.three}
    [subset] = kubectl.get("endpoints", "basic")["subsets"]
    assert {each["ip"]: each["nodeName"] for each in subset["addresses"]} == where
    for letters in ("b", "ca"):
        for letter in LETTERS:
            kubectl("label", "--overwrite", "pod", letter, f"basic={'yes' if letter in letters else 'no'}")
        put(kubectl, service("basic", {"basic": "yes"}))
        answer(crew, http(address, 80), *(f"x/{letter}" for letter in letters))


@spec(SLICES + "create and delete EndpointSlices for a Service with a selector that matches no pods")
@spec(
    "[sig-network] EndpointsController should create and delete Endpoints for a Service with a selector that "
    "matches no pods"
)
def test_a_service_of_no_pods_refuses_on_each_node(crew: Crew, kubectl: Kubectl) -> None:
    address = put(kubectl, service("nobodys", {"crew": "of-another-ship"}))
    [one] = until("its slice", lambda: slices(kubectl, "nobodys"))
    assert not one.get("endpoints")
    assert not until("its endpoints", lambda: endpoints(kubectl, "nobodys")).get("subsets")
    refuse(crew, http(address, 80))
    kubectl("delete", "service", "nobodys")
    until("nothing of it", lambda: not slices(kubectl, "nobodys") and not endpoints(kubectl, "nobodys"))


def slices(kubectl: Kubectl, name: str) -> list[Any]:
    label = f"kubernetes.io/service-name={name}"
    found: list[Any] = json.loads(kubectl("get", "endpointslices", "-l", label, "-o", "json"))["items"]
    return found


def endpoints(kubectl: Kubectl, name: str) -> Any:
    return json.loads(kubectl("get", "endpoints", name, "--ignore-not-found", "-o", "json") or "{}")


@spec(SERVICES + "serve multiport endpoints from pods")
@spec(SERVICES + "serve endpoints on same port and different protocols")
def test_each_port_and_protocol_leads_where_it_should(crew: Crew, kubectl: Kubectl) -> None:
    ports = [
        {"name": "one", "port": 80, "targetPort": 8080},
        {"name": "two", "port": 81, "targetPort": "serve-81-tcp"},
        {"name": "same", "port": 80, "protocol": "UDP", "targetPort": 8080},
    ]
    address = put(kubectl, service("ports", ports=ports))
    for probe in (http(address, 80), http(address, 81), udp(address, 80)):
        answer(crew, probe, *crew.three)
    refuse(crew, udp(address, 81), crew.three)  # a node itself is told so in another way: it may not send
    gone = [{"op": "remove", "path": f"/spec/ports/{number}"} for number in (1, 0)]
    kubectl("patch", "service", "ports", "--type=json", "-p", json.dumps(gone))
    refuse(crew, http(address, 80))
    answer(crew, udp(address, 80), *crew.three)


def by_hand(name: str, port: dict[str, Any], *addresses: str) -> dict[str, Any]:
    """A slice of the service `by-hand`."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/service-name": "by-hand",
                "endpointslice.kubernetes.io/managed-by": "tests.navarch.dev",
            },
        },
        "addressType": "IPv4",
        "ports": [port],
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
    }


@spec(SLICES + "support a Service with multiple endpoint IPs specified in multiple EndpointSlices")
@spec(SLICES + "support a Service with multiple ports specified in multiple EndpointSlices")
def test_slices_made_by_hand_lead_to_pods_of_other_nodes(crew: Crew, kubectl: Kubectl) -> None:
    a, b, c = (crew.address(name) for name in crew.three)
    ports = [{"name": "p1", "port": 80}, {"name": "p2", "port": 81}]
    one, two = ({"name": name, "port": number} for name, number in (("p1", 8080), ("p2", 8081)))
    address = put(
        kubectl,
        service("by-hand", (), ports=ports),
        by_hand("hand-1", one, a, b),
        by_hand("hand-2", one, c),
        by_hand("hand-3", two, b),
    )
    answer(crew, http(address, 80), *crew.three)
    answer(crew, http(address, 81), "x/b")


@spec("[sig-network] EndpointSliceMirroring should mirror a custom Endpoints resource through create update and delete")
def test_endpoints_made_by_hand_are_mirrored_and_followed(crew: Crew, kubectl: Kubectl) -> None:
    address = put(kubectl, service("mirrored", ()))
    refuse(crew, http(address, 80))
    for name in ("x/c", "x/b"):
        subset = {"addresses": [{"ip": crew.address(name)}], "ports": [{"name": "web", "port": 8080}]}
        kubectl.apply({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "mirrored"}, "subsets": [subset]})
        answer(crew, http(address, 80), name)
        [one] = slices(kubectl, "mirrored")
        manager = one["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"]
        assert manager == "endpointslicemirroring-controller.k8s.io"
    kubectl("delete", "endpoints", "mirrored")
    until("no slice", lambda: not slices(kubectl, "mirrored"))
    refuse(crew, http(address, 80))


@spec(SERVICES + "be able to create a functioning NodePort service")
def test_each_node_port_leads_to_the_pods_of_all_nodes(crew: Crew, kubectl: Kubectl) -> None:
    ports = [{"port": 80, "targetPort": 8080}, {"name": "u", "port": 80, "protocol": "UDP", "targetPort": 8080}]
    ports[0]["name"] = "t"
    put(kubectl, service("gates", type="NodePort", ports=ports))
    gates = kubectl.get("service", "gates")["spec"]["ports"]
    for node in crew.nodes:
        answer(crew, http(node.address, gates[0]["nodePort"]), *crew.three)
        answer(crew, udp(node.address, gates[1]["nodePort"]), *crew.three)


@spec(SERVICES + "have session affinity work for service with type clusterIP [LinuxOnly]")
@spec(SERVICES + "be able to switch session affinity for service with type clusterIP [LinuxOnly]")
def test_affinity_of_a_cluster_address(crew: Crew, kubectl: Kubectl) -> None:
    address = put(kubectl, service("loyal", sessionAffinity="ClientIP"))
    probe = http(address, 80)
    until("affinity", lambda: sticks(crew, [probe] * 4))
    put(kubectl, service("loyal", sessionAffinity="None"))
    answer(crew, probe, *crew.three)
    put(kubectl, service("loyal", sessionAffinity="ClientIP"))
    until("affinity again", lambda: sticks(crew, [probe] * 4))


@spec(SERVICES + "have session affinity work for NodePort service [LinuxOnly]")
@spec(SERVICES + "be able to switch session affinity for NodePort service [LinuxOnly]")
def test_affinity_of_node_ports(crew: Crew, kubectl: Kubectl) -> None:
    """Each node remembers for itself whom it sent a client to."""
    put(kubectl, service("gated", type="NodePort", sessionAffinity="ClientIP"))
    probes = node_ports(crew, kubectl, "gated")
    until("affinity", lambda: all(sticks(crew, [probe] * 2) for probe in probes))
    put(kubectl, service("gated", type="NodePort", sessionAffinity="None"))
    for probe in probes:
        answer(crew, probe, *crew.three)
    put(kubectl, service("gated", type="NodePort", sessionAffinity="ClientIP"))
    until("affinity again", lambda: all(sticks(crew, [probe] * 2) for probe in probes))


@spec(SERVICES + "be able to change the type from ExternalName to ClusterIP")
@spec(SERVICES + "be able to change the type from ClusterIP to ExternalName")
@spec(SERVICES + "be able to change the type from ExternalName to NodePort")
@spec(SERVICES + "be able to change the type from NodePort to ExternalName")
def test_services_change_their_types_on_all_nodes(crew: Crew, kubectl: Kubectl) -> None:
    web = [{"name": "web", "port": 80, "targetPort": 8080}]
    away = {"type": "ExternalName", "externalName": f"target.{PREFIX}x.svc.cluster.local"}
    nothing = {"clusterIP": None, "clusterIPs": None, "ports": None, "selector": None}
    target = put(kubectl, service("target"))
    movers = {"ClusterIP": "inner", "NodePort": "outer"}
    kubectl.apply(*[service(name, (), **away, ports=None) for name in movers.values()])
    for name in movers.values():
        until("another's address", lambda name=name: looked_up(crew, name) == {target})
    for kind, name in movers.items():
        change(kubectl, name, type=kind, externalName=None, ports=web, selector={"crew": "member"})
    for name in movers.values():
        own = kubectl.get("service", name)["spec"]["clusterIP"]
        answer(crew, http(own, 80), *crew.three)
        until("an address of its own", lambda name=name, own=own: looked_up(crew, name) == {own})
    gates = node_ports(crew, kubectl, "outer")
    for gate in gates:
        answer(crew, gate, *crew.three)
    for name in movers.values():
        change(kubectl, name, **away, **nothing)
    for gate in gates:
        refuse(crew, gate)


def change(kubectl: Kubectl, name: str, **spec: Any) -> None:
    kubectl("patch", "service", name, "-p", json.dumps({"spec": spec}))


def looked_up(crew: Crew, name: str) -> set[str]:
    found = crew.each(crew.everywhere, names(f"{name}.{PREFIX}x.svc.cluster.local", patience_s=5.0))
    return {said.text for [said] in found.values()}


@spec("[sig-network] Service endpoints latency should not be very high")
def test_new_services_answer_soon_on_each_node(crew: Crew, kubectl: Kubectl) -> None:
    """Not only have endpoints: a connection goes through, from everywhere. The spec allows 20 s and 50 s."""
    number = 12
    began = time.monotonic()
    kubectl.apply(*[service(f"quick-{each}") for each in range(number)])
    listed = json.loads(kubectl("get", "services", "-o", "json"))["items"]
    addresses = [one["spec"]["clusterIP"] for one in listed if one["metadata"]["name"].startswith("quick-")]
    assert len(addresses) == number
    found = crew.each(crew.everywhere, *[http(address, 80, patience_s=50.0) for address in addresses])
    assert all(each.name for said in found.values() for each in said)
    assert time.monotonic() - began < 20
    kubectl("delete", "service", *[f"quick-{each}" for each in range(number)], "--wait=false")


def test_policies_of_traffic_keep_it_on_the_node(crew: Crew, kubectl: Kubectl) -> None:
    """`Local` inside: each pod reaches the one of its own node; outside: with its own address, or not at all."""
    inside = put(kubectl, service("at-home", internalTrafficPolicy="Local"))
    for number, name in enumerate(crew.three, 1):
        answer(crew, http(inside, 80), name, who=[name, f"node/{number}"])
    kubectl("label", "--overwrite", "pod", "b", "alone=yes")
    alone = put(kubectl, service("alone", {"alone": "yes"}, type="NodePort", externalTrafficPolicy="Local"))
    answer(crew, http(alone, 80), "x/b")
    probes = [probe.once._replace(wait_s=1.0) for probe in node_ports(crew, kubectl, "alone")]
    found = until("the one node to answer", lambda: _of_the_second(crew, probes[1]))
    addresses = {node.address for node in crew.nodes}
    assert found[0].peer not in addresses - {crew.nodes[0].address}, "it has one of its own on that link"
    assert found[1].peer == crew.nodes[2].address
    for asker, other in (("node/1", probes[2]), ("node/3", probes[0])):
        [said] = crew.ask({asker: [other]})[asker]
        assert not said.text, "it has no endpoint there"


def _of_the_second(crew: Crew, probe: Probe) -> list[Any]:
    found = [said for [said] in crew.each(["node/1", "node/3"], probe).values()]
    return found if all(each.name == "x/b" for each in found) else []


def test_external_addresses_lead_to_the_pods_of_all_nodes(crew: Crew, kubectl: Kubectl) -> None:
    """Those of the service, and those that a load balancer has told of; nobody has them, and no packet goes to them."""
    given = {"type": "LoadBalancer", "loadBalancerClass": "tests.navarch.dev/none", "externalIPs": ["203.0.113.81"]}
    put(kubectl, service("abroad", **given))
    status = {"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.82"}]}}}
    kubectl("patch", "service", "abroad", "--subresource=status", "--type=merge", "-p", json.dumps(status))
    for address in ("203.0.113.81", "203.0.113.82"):
        answer(crew, http(address, 80), *crew.three)
    kubectl("delete", "service", "abroad")
