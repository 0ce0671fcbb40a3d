"""Services and slices to rules: each behaviour by example, all of them together by property."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.kinds.endpointslice import EndpointSlice
from navarch.kinds.pod.view import Pod
from navarch.kinds.service import Service
from navarch.proxy.compile import compile_rules
from navarch.proxy.rules import Node, Rules, Target
from navarch.proxy.trace import Arrival, Packet, Trace, trace

NODE = Node(
    name="n1",
    addresses=("192.0.2.10",),
    pod_cidr="10.244.0.0/24",
    cluster_cidr="10.244.0.0/16",
    service_cidr="10.96.0.0/12",
    zone="east",
)
POD, FAR_POD, OUTSIDE = "10.244.0.99", "10.244.1.99", "203.0.113.5"


def service(name: str = "web", **spec: Any) -> Service:
    status = spec.pop("status", {})
    metadata = {"name": name, "namespace": "default", **spec.pop("metadata", {})}
    spec = {"clusterIP": "10.96.0.1", "ports": [{"name": "http", "port": 80}], "selector": {"app": "web"}} | spec
    return msgspec.convert({"metadata": metadata, "spec": spec, "status": status}, Service)


def endpoint(address: str, node: str = "n1", **more: Any) -> dict[str, Any]:
    conditions = {key: more.pop(key) for key in ("ready", "serving", "terminating") if key in more}
    return {"addresses": [address], "nodeName": node, "conditions": conditions} | more


def slice_of(*endpoints: dict[str, Any], **more: Any) -> EndpointSlice:
    ports = more.pop("ports", [{"name": "http", "port": 8080, "protocol": "TCP"}])
    return msgspec.convert({"addressType": "IPv4", "endpoints": endpoints, "ports": ports} | more, EndpointSlice)


def rules(service_: Service, *slices: EndpointSlice, node: Node = NODE) -> Rules:
    return compile_rules([(service_, slices)], (), node)


def seen(found: Rules, address: str = "10.96.0.1", port: int = 80, source: str = POD, **more: Any) -> Trace:
    return trace(found, Packet(source, address, more.pop("protocol", "tcp"), port, **more))


def targets(found: Trace) -> list[str]:
    assert found.fate == "arrives", found
    return [f"{each.target.address}:{each.target.port}" for each in found.arrivals]


SIX = Node(
    name="n1",
    addresses=("2001:db8::10",),
    pod_cidr="fd00:10:244::/64",
    cluster_cidr="fd00:10:244::/56",
    service_cidr="fd00:10:96::/112",
)
POD_SIX, OUTSIDE_SIX = "fd00:10:244::99", "2001:db8:9::1"


def of_both(**spec: Any) -> tuple[Service, list[EndpointSlice]]:
    addresses = {"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1", "FD00:10:96:0::1"]}
    slices = [slice_of(endpoint("10.244.0.5")), slice_of(endpoint("fd00:10:244::5"), addressType="IPv6")]
    return service(**{**addresses, **spec}), slices


def test_a_service_of_both_families_has_a_part_in_each() -> None:
    made, slices = of_both(type="NodePort", ports=[{"name": "http", "port": 80, "nodePort": 30080}])
    four, six = (rules(made, *slices, node=node) for node in (NODE, SIX))
    assert targets(seen(four)) == ["10.244.0.5:8080"]
    assert targets(seen(six, "fd00:10:96::1", source=POD_SIX)) == ["fd00:10:244::5:8080"]
    assert targets(seen(six, "2001:db8::10", 30080, OUTSIDE_SIX)) == ["fd00:10:244::5:8080"]
    assert {front.address for front in six.parts["default/web"].fronts} == {"fd00:10:96::1"}
    nobody = rules(made, slices[0], node=SIX)
    assert seen(nobody, "fd00:10:96::1", source=POD_SIX).fate == "reject", "endpoints of the other family are none"
    assert seen(nobody, "fd00:10:96::2", source=POD_SIX).fate == "drop"


def test_a_service_of_one_family_has_nothing_in_the_other() -> None:
    made = service(externalIPs=["2001:db8:51::1"], type="NodePort", ports=[{"port": 80, "nodePort": 30080}])
    assert rules(made, slice_of(endpoint("fd00:10:244::5"), addressType="IPv6"), node=SIX).parts == {}
    only_six = service(clusterIP="fd00:10:96::1", externalIPs=["198.51.100.1"])
    assert rules(only_six).parts == {}


def test_addresses_from_outside_and_source_ranges_of_ipv6() -> None:
    balanced = {"loadBalancer": {"ingress": [{"ip": "198.51.100.7"}, {"ip": "2001:DB8:51::7"}]}}
    ranges = ["203.0.113.0/24", "2001:db8:9::/48"]
    made, slices = of_both(
        type="LoadBalancer",
        externalIPs=["2001:db8:51:0::8", "no address", "::ffff:10.0.0.1"],
        loadBalancerSourceRanges=ranges,
        status=balanced,
    )
    found = rules(made, *slices, node=SIX)
    fronts = {front.address for front in found.parts["default/web"].fronts}
    assert fronts == {"fd00:10:96::1", "2001:db8:51::7", "2001:db8:51::8"}, "each in its proper form"
    assert targets(seen(found, "2001:db8:51::7", source=OUTSIDE_SIX)) == ["fd00:10:244::5:8080"]
    assert seen(found, "2001:db8:51::7", source="2001:db8:8::1").fate == "drop"
    assert seen(found, "2001:db8:51::8", source="2001:db8:8::1").fate == "arrives"


@pytest.mark.parametrize(
    ("on", "four", "six"),
    [("", True, True), ("0.0.0.0", True, False), ("::", False, True), ("2001:DB8::10", False, True)],
)
def test_host_ports_of_each_family(on: str, four: bool, six: bool) -> None:
    ports = [{"containerPort": 9090, "hostPort": 7070, "hostIP": on}]
    addresses = [{"ip": "10.244.0.5"}, {"ip": "fd00:10:244::5"}]
    document = {
        "metadata": {"uid": "u"},
        "spec": {"containers": [{"name": "c", "ports": ports}]},
        "status": {"podIP": "10.244.0.5", "podIPs": addresses, "phase": "Running"},
    }
    pod = msgspec.convert(document, Pod)
    made = {node.family.name: compile_rules((), [pod], node) for node in (NODE, SIX)}
    found = seen(made["IPv4"], "192.0.2.10", 7070, OUTSIDE)
    assert [each.target for each in found.arrivals] == [
        Target("10.244.0.5", 9090) if four else Target("192.0.2.10", 7070)
    ]
    found = seen(made["IPv6"], "2001:db8::10", 7070, OUTSIDE_SIX)
    assert [each.target for each in found.arrivals] == [
        Target("fd00:10:244::5", 9090) if six else Target("2001:db8::10", 7070)
    ]
    assert not seen(made["IPv6"], "::1", 7070, "::1", local=True).pool, "the kernel keeps it on its interface"


def test_a_cluster_address_leads_to_every_ready_endpoint() -> None:
    found = rules(
        service(),
        slice_of(endpoint("10.244.0.5"), endpoint("10.244.1.6", "n2")),
        slice_of(endpoint("10.244.1.7", "n2"), endpoint("10.244.1.8", "n2", ready=False)),
    )
    assert targets(seen(found)) == ["10.244.0.5:8080", "10.244.1.6:8080", "10.244.1.7:8080"]
    assert not any(each.hidden for each in seen(found).arrivals)


def test_a_port_that_the_service_does_not_have_is_rejected_and_an_unassigned_address_is_silent() -> None:
    found = rules(service(), slice_of(endpoint("10.244.0.5")))
    assert seen(found, port=81).fate == "reject"
    assert seen(found, protocol="udp").fate == "reject"
    assert seen(found, "10.96.7.7").fate == "drop"


def test_nobody_ready_is_rejected() -> None:
    found = rules(service(), slice_of(endpoint("10.244.0.5", ready=False)))
    assert seen(found).fate == "reject"
    assert seen(rules(service())).fate == "reject"


def test_draining_endpoints_serve_only_when_nobody_else_does() -> None:
    draining = endpoint("10.244.0.5", ready=False, serving=True, terminating=True)
    dead = endpoint("10.244.0.6", ready=False, serving=False, terminating=True)
    assert targets(seen(rules(service(), slice_of(draining, dead)))) == ["10.244.0.5:8080"]
    assert targets(seen(rules(service(), slice_of(draining, endpoint("10.244.0.7"))))) == ["10.244.0.7:8080"]


def test_an_endpoint_in_two_slices_counts_once_and_ready_wins() -> None:
    found = rules(service(), slice_of(endpoint("10.244.0.5", ready=False)), slice_of(endpoint("10.244.0.5")))
    assert targets(seen(found)) == ["10.244.0.5:8080"]


def test_ports_are_matched_by_name_and_protocol() -> None:
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    own = [{"name": "dns", "port": 1053, "protocol": "UDP"}, {"name": "dns-tcp", "port": 2053, "protocol": "TCP"}]
    found = rules(service(ports=ports), slice_of(endpoint("10.244.0.5"), ports=own))
    assert targets(seen(found, port=53, protocol="udp")) == ["10.244.0.5:1053"]
    assert targets(seen(found, port=53)) == ["10.244.0.5:2053"]


@pytest.mark.parametrize(
    "spec",
    [
        {"clusterIP": "None"},
        {"clusterIP": ""},
        {"type": "ExternalName", "externalName": "example.org"},
        {"metadata": {"labels": {"service.kubernetes.io/service-proxy-name": "other"}}},
    ],
)
def test_services_without_an_address_or_with_another_proxy_have_no_rules(spec: dict[str, Any]) -> None:
    assert rules(service(**spec), slice_of(endpoint("10.244.0.5"))).parts == {}


def test_node_ports_answer_on_the_nodes_addresses_and_hide_the_sender() -> None:
    found = rules(
        service(type="NodePort", ports=[{"name": "http", "port": 80, "nodePort": 30080}]),
        slice_of(endpoint("10.244.0.5"), endpoint("10.244.1.6", "n2")),
    )
    outside = seen(found, "192.0.2.10", 30080, OUTSIDE)
    assert targets(outside) == ["10.244.0.5:8080", "10.244.1.6:8080"]
    assert all(each.hidden for each in outside.arrivals)
    assert seen(found, "127.0.0.1", 30080, "127.0.0.1", local=True).pool == "", "never on loopback"


def test_external_traffic_policy_local_keeps_the_sender_and_the_node() -> None:
    spec = {
        "type": "LoadBalancer",
        "externalTrafficPolicy": "Local",
        "ports": [{"name": "http", "port": 80, "nodePort": 30080}],
        "status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.7"}]}},
    }
    both = rules(service(**spec), slice_of(endpoint("10.244.0.5"), endpoint("10.244.1.6", "n2")))
    for address, port in (("192.0.2.10", 30080), ("198.51.100.7", 80)):
        assert seen(both, address, port, OUTSIDE).arrivals == (Arrival(Target("10.244.0.5", 8080), False),)
        assert len(seen(both, address, port, POD).arrivals) == 2, "pods are inside"
        own = seen(both, address, port, "192.0.2.10", local=True)
        assert len(own.arrivals) == 2
        assert all(each.hidden for each in own.arrivals)
    remote = rules(service(**spec), slice_of(endpoint("10.244.1.6", "n2")))
    assert seen(remote, "192.0.2.10", 30080, OUTSIDE).fate == "drop", "a load balancer must look elsewhere"
    assert targets(seen(remote, "192.0.2.10", 30080, POD)) == ["10.244.1.6:8080"]
    assert seen(rules(service(**spec)), "192.0.2.10", 30080, OUTSIDE).fate == "reject"


def test_internal_traffic_policy_local_never_leaves_the_node() -> None:
    found = service(internalTrafficPolicy="Local", externalIPs=["198.51.100.1"])
    both = rules(found, slice_of(endpoint("10.244.0.5"), endpoint("10.244.1.6", "n2")))
    assert targets(seen(both)) == ["10.244.0.5:8080"]
    assert len(seen(both, "198.51.100.1", source=OUTSIDE).arrivals) == 2
    assert seen(rules(found, slice_of(endpoint("10.244.1.6", "n2")))).fate == "drop"
    assert seen(rules(found)).fate == "reject"


def test_source_ranges_guard_the_load_balancers_address_only() -> None:
    found = rules(
        service(
            type="LoadBalancer",
            externalIPs=["198.51.100.1"],
            loadBalancerSourceRanges=["203.0.113.0/24", " 192.0.2.0/24", "nonsense", "2001:db8::/32"],
            status={"loadBalancer": {"ingress": [{"ip": "198.51.100.7"}, {"ip": "198.51.100.8", "ipMode": "Proxy"}]}},
        ),
        slice_of(endpoint("10.244.0.5")),
    )
    assert targets(seen(found, "198.51.100.7", source=OUTSIDE)) == ["10.244.0.5:8080"]
    assert targets(seen(found, "198.51.100.7", source="198.51.100.7")) == ["10.244.0.5:8080"]
    assert seen(found, "198.51.100.7", source="100.64.0.1").fate == "drop"
    assert targets(seen(found, "198.51.100.1", source="100.64.0.1")) == ["10.244.0.5:8080"]
    assert seen(found, "198.51.100.8", source=OUTSIDE).pool == "", "a proxy's address is not translated"


def test_a_pod_that_reaches_itself_is_hidden_from_itself() -> None:
    found = rules(service(), slice_of(endpoint("10.244.0.5"), endpoint("10.244.0.6")))
    hidden = {each.target.address: each.hidden for each in seen(found, source="10.244.0.5").arrivals}
    assert hidden == {"10.244.0.5": True, "10.244.0.6": False}


def test_without_a_filtered_bridge_pods_of_one_node_are_hidden_from_each_other() -> None:
    node = msgspec.structs.replace(NODE, bridge_filtered=False)
    found = rules(service(), slice_of(endpoint("10.244.0.5"), endpoint("10.244.1.6", "n2")), node=node)
    assert [each.hidden for each in seen(found).arrivals] == [True, False]


def test_senders_from_outside_the_cluster_are_hidden_from_endpoints() -> None:
    found = rules(service(), slice_of(endpoint("10.244.0.5")))
    assert seen(found, source="192.0.2.10", local=True).arrivals[0].hidden
    assert not seen(found, source=FAR_POD).arrivals[0].hidden
    away = seen(found, "203.0.113.9", 443)
    assert away.arrivals == (Arrival(Target("203.0.113.9", 443), True),), "pods speak to the world as the node"


def test_hints_keep_traffic_in_the_zone_only_if_all_have_them() -> None:
    east, west = {"hints": {"forZones": [{"name": "east"}]}}, {"hints": {"forZones": [{"name": "west"}]}}
    near, far, plain = endpoint("10.244.0.5", **east), endpoint("10.244.1.6", **west), endpoint("10.244.1.7")
    assert targets(seen(rules(service(), slice_of(near, far)))) == ["10.244.0.5:8080"]
    assert len(targets(seen(rules(service(), slice_of(near, far, plain))))) == 3
    assert len(targets(seen(rules(service(), slice_of(far))))) == 1
    mine = endpoint("10.244.0.8", hints={"forZones": [{"name": "east"}], "forNodes": [{"name": "n1"}]})
    other = endpoint("10.244.1.8", hints={"forZones": [{"name": "east"}], "forNodes": [{"name": "n2"}]})
    assert targets(seen(rules(service(), slice_of(mine, other)))) == ["10.244.0.8:8080"]


def test_what_every_node_answers_itself_unless_somebody_selected_pods_for_it() -> None:
    node = msgspec.structs.replace(NODE, own={"default/web": Target("10.244.0.1", 10053)})
    assert targets(seen(rules(service(selector={}), node=node))) == ["10.244.0.1:10053"]
    assert targets(seen(rules(service(), slice_of(endpoint("10.244.0.5")), node=node))) == ["10.244.0.5:8080"]


def test_the_older_of_two_services_keeps_an_address_both_claim() -> None:
    def claiming(name: str, created: str, ip: str) -> Service:
        stamp = {"creationTimestamp": created}
        return service(name, metadata=stamp, clusterIP=ip, externalIPs=["198.51.100.1"])

    old, new = claiming("z", "2026-01-01T00:00:00Z", "10.96.0.1"), claiming("a", "2026-02-01T00:00:00Z", "10.96.0.2")
    slices = [slice_of(endpoint("10.244.0.5"))], [slice_of(endpoint("10.244.0.6"))]
    found = compile_rules([(new, slices[1]), (old, slices[0])], (), NODE)
    assert targets(seen(found, "198.51.100.1")) == ["10.244.0.5:8080"]
    assert targets(seen(found, "10.96.0.2")) == ["10.244.0.6:8080"], "it keeps what is its own"


def test_host_ports_lead_to_the_pod() -> None:
    ports = [{"containerPort": 80, "hostPort": 8080}, {"containerPort": 81, "hostPort": 8081, "hostIP": "192.0.2.10"}]
    containers = [{"name": "c", "ports": ports}]
    document = {"metadata": {"uid": "u1"}, "spec": {"containers": containers}, "status": {"podIP": "10.244.0.5"}}
    pod = msgspec.convert(document, Pod)
    found = compile_rules((), [pod], NODE)
    assert seen(found, "192.0.2.10", 8080, OUTSIDE).arrivals == (Arrival(Target("10.244.0.5", 80), False),)
    assert targets(seen(found, "192.0.2.10", 8081, OUTSIDE)) == ["10.244.0.5:81"]
    assert seen(found, "10.244.0.5", 8080, OUTSIDE).pool == ""


@pytest.mark.parametrize("address", ["10.0.0.1 }; flush ruleset", "fd00::1", "", "10.1", "host.example"])
def test_what_is_no_address_never_reaches_the_rules(address: str) -> None:
    found = rules(
        service(externalIPs=[address], status={"loadBalancer": {"ingress": [{"ip": address}]}}, type="LoadBalancer"),
        slice_of(endpoint(address), endpoint("10.244.0.5")),
    )
    (part,) = found.parts.values()
    assert [front.address for front in part.fronts] == ["10.96.0.1"]
    assert [pool.targets for pool in part.pools] == [(Target("10.244.0.5", 8080),)]


ENDPOINTS = st.lists(
    st.builds(
        lambda last, node, ready, serving, terminating: endpoint(
            f"10.244.{0 if node == 'n1' else 1}.{last}",
            node,
            ready=ready and not terminating,
            serving=serving,
            terminating=terminating,
        ),
        st.integers(2, 9),
        st.sampled_from(["n1", "n2"]),
        st.booleans(),
        st.booleans(),
        st.booleans(),
    ),
    max_size=6,
    unique_by=lambda each: each["addresses"][0],
)
POLICY = st.sampled_from(["Cluster", "Local"])


@given(ENDPOINTS, POLICY, POLICY, st.sampled_from([(POD, False), (OUTSIDE, False), ("192.0.2.10", True)]))
def test_traffic_ends_where_the_documentation_says(
    endpoints: list[dict[str, Any]], internal: str, external: str, sender: tuple[str, bool]
) -> None:
    source, local = sender
    found = rules(
        service(
            type="NodePort",
            internalTrafficPolicy=internal,
            externalTrafficPolicy=external,
            ports=[{"name": "http", "port": 80, "nodePort": 30080}],
        ),
        slice_of(*endpoints),
    )
    for address, port, policy in (("10.96.0.1", 80, internal), ("192.0.2.10", 30080, external)):
        if port == 30080 and (local or source == POD):
            policy = "Cluster"
        allowed = serving([e for e in endpoints if policy == "Cluster" or e["nodeName"] == "n1"])
        result = seen(found, address, port, source, local=local)
        if allowed:
            assert sorted(targets(result)) == sorted(f"{each}:8080" for each in allowed)
        else:
            assert result.fate == ("drop" if serving(endpoints) else "reject")


def serving(endpoints: list[dict[str, Any]]) -> list[str]:
    ready = [e["addresses"][0] for e in endpoints if e["conditions"]["ready"]]
    going = [e["addresses"][0] for e in endpoints if e["conditions"]["serving"] and e["conditions"]["terminating"]]
    return ready or going
