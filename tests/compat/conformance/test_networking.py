"""Services, Endpoints and EndpointSlices as documents and as what controllers make of them."""

from __future__ import annotations

from typing import Any

from conformance_api import STRATEGIC, Api, names
from conformance_objects import pod, service
from conformance_specs import spec

SLICES = "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices"


def core(ns: str, plural: str) -> str:
    return f"/api/v1/namespaces/{ns}/{plural}"


def slices_of(api: Api, ns: str, name: str) -> list[Any]:
    found: list[Any] = api.get(f"{SLICES.format(ns)}?labelSelector=kubernetes.io/service-name%3D{name}")["items"]
    return found


def endpoints_of(api: Api, ns: str, name: str) -> list[tuple[str, bool]]:
    """(address, ready) in all slices of a service."""
    return sorted(
        (address, one.get("conditions", {}).get("ready", True))
        for found in slices_of(api, ns, name)
        for one in found.get("endpoints") or ()
        for address in one["addresses"]
    )


@spec("[sig-network] API Server should provide secure master service")
@spec("[sig-network] API Server should have Endpoints and EndpointSlices pointing to API Server")
def test_the_service_of_the_server(api: Api) -> None:
    found = api.get(core("default", "services/kubernetes"))
    assert [(one["name"], one["port"]) for one in found["spec"]["ports"]] == [("https", 443)]
    assert "selector" not in found["spec"]
    endpoints = api.get(core("default", "endpoints/kubernetes"))
    (subset,) = endpoints["subsets"]
    assert subset["ports"][0]["name"] == "https"
    (one,) = slices_of(api, "default", "kubernetes")
    addresses = {address["ip"] for address in subset["addresses"]}
    assert {address for end in one["endpoints"] for address in end["addresses"]} == addresses
    assert (one["metadata"]["name"], one["ports"][0]["port"]) == ("kubernetes", subset["ports"][0]["port"])


@spec("[sig-network] Services should find a service from listing all namespaces")
def test_listing_services_everywhere(api: Api) -> None:
    found = api.get("/api/v1/services")["items"]
    assert ("default", "kubernetes") in {(one["metadata"]["namespace"], one["metadata"]["name"]) for one in found}


@spec("[sig-network] Services should complete a service status lifecycle")
def test_status_of_a_service(api: Api, ns: str) -> None:
    at = core(ns, "services")
    with api.watch(f"{at}?watch=1&labelSelector=test-service-static%3Dtrue") as events:
        body = service("test-service", type="LoadBalancer")
        body["metadata"]["labels"] = {"test-service-static": "true"}
        made = api.post(at, body)
        events.until("ADDED")
        assert made["spec"]["ports"][0]["nodePort"]
        status = api.get(f"{at}/test-service/status")["status"]
        assert status == {"loadBalancer": {}}
        ingress = {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}
        patch = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": ingress}
        api.patch(f"{at}/test-service/status", patch)
        found = events.until("MODIFIED", holds=lambda one: one["status"]["loadBalancer"].get("ingress"))
        assert found["status"]["loadBalancer"]["ingress"][0]["ip"] == "203.0.113.1"
        found["status"]["conditions"] = [
            {
                "type": "StatusUpdate",
                "status": "True",
                "reason": "E2E",
                "message": "Set from e2e test",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
        ]
        api.put(f"{at}/test-service/status", found)
        events.until("MODIFIED", holds=lambda one: one["status"].get("conditions"))
        api.patch(f"{at}/test-service", {"metadata": {"labels": {"test-service": "patched"}}}, STRATEGIC)
        events.until("MODIFIED", holds=lambda one: one["metadata"]["labels"].get("test-service") == "patched")
        api.delete(f"{at}/test-service")
        events.until("DELETED")


@spec("[sig-network] Services should delete a collection of services")
def test_a_collection_of_services(api: Api, ns: str) -> None:
    at = core(ns, "services")
    for name, label in (("e2e-svc-a", "1"), ("e2e-svc-b", "1"), ("e2e-svc-c", "2")):
        body = service(name, {"x": "y"})
        body["metadata"]["labels"] = {"svc": label}
        api.post(at, body)
    api.delete(f"{at}?labelSelector=svc%3D1")
    api.until(lambda: names(api.get(at)) == ["e2e-svc-c"])


@spec("[sig-network] Services should be able to change the type from ExternalName to ClusterIP")
@spec("[sig-network] Services should be able to change the type from ClusterIP to ExternalName")
def test_from_a_name_to_an_address_and_back(api: Api, ns: str) -> None:
    at = core(ns, "services")
    made = api.post(
        at, {"metadata": {"name": "s"}, "spec": {"type": "ExternalName", "externalName": "foo.example.com"}}
    )
    assert not made["spec"].get("clusterIP")
    made["spec"].update(type="ClusterIP", externalName="", ports=[{"port": 80, "name": "http", "protocol": "TCP"}])
    found = api.put(f"{at}/s", made)
    address = found["spec"]["clusterIP"]
    assert address.startswith("10.96.")
    assert found["spec"]["clusterIPs"] == [address]
    assert found["spec"]["internalTrafficPolicy"] == "Cluster"
    found["spec"].update(type="ExternalName", externalName="bar.example.com")
    refused = api.send("PUT", f"{at}/s", found)
    if refused.status == 422:
        found["spec"].update(clusterIP="", clusterIPs=[])
        refused = api.send("PUT", f"{at}/s", found)
    assert refused.status == 200, refused.body
    assert not refused.json["spec"].get("clusterIP")
    again = api.post(at, service("takes-it", {"a": "b"}, clusterIP=address))
    assert again["spec"]["clusterIP"] == address, "the address was given back"


@spec("[sig-network] Services should be able to change the type from ExternalName to NodePort")
@spec("[sig-network] Services should be able to change the type from NodePort to ExternalName")
def test_from_a_name_to_a_node_port_and_back(api: Api, ns: str) -> None:
    at = core(ns, "services")
    made = api.post(
        at, {"metadata": {"name": "s"}, "spec": {"type": "ExternalName", "externalName": "foo.example.com"}}
    )
    made["spec"].update(type="NodePort", externalName="", ports=[{"port": 80, "name": "http", "protocol": "TCP"}])
    found = api.put(f"{at}/s", made)
    port = found["spec"]["ports"][0]["nodePort"]
    assert 30000 <= port <= 32767
    back = {
        "spec": {
            "type": "ExternalName",
            "externalName": "bar.example.com",
            "clusterIP": None,
            "clusterIPs": None,
            "ports": [{"port": 80, "name": "http", "protocol": "TCP", "nodePort": None}],
        }
    }
    back["spec"]["ports"] = None
    found = api.patch(f"{at}/s", back)
    assert not found["spec"].get("clusterIP")
    other = api.post(at, service("n", {"a": "b"}, type="NodePort", ports=[{"port": 80, "nodePort": port}]))
    assert other["spec"]["ports"][0]["nodePort"] == port


@spec(
    "[sig-network] EndpointSlice should create and delete EndpointSlices for a Service with a selector that "
    "matches no pods"
)
@spec(
    "[sig-network] EndpointsController should create and delete Endpoints for a Service with a selector that "
    "matches no pods"
)
def test_services_without_pods(api: Api, ns: str) -> None:
    api.post(core(ns, "services"), service("empty", {"does-not-match": "anything"}))
    (found,) = api.until(lambda: slices_of(api, ns, "empty"))
    assert not found.get("endpoints")
    endpoints = api.when(core(ns, "endpoints/empty"), lambda _: True)
    assert not endpoints.get("subsets")
    assert found["metadata"]["ownerReferences"][0]["name"] == "empty"
    assert found["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == "endpointslice-controller.k8s.io"
    api.delete(core(ns, "services/empty"))
    api.gone(core(ns, "endpoints/empty"))
    api.until(lambda: not slices_of(api, ns, "empty"))


@spec("[sig-network] EndpointSlice should create Endpoints and EndpointSlices for Pods matching a Service")
@spec("[sig-network] EndpointsController should create Endpoints for Pods matching a Service")
def test_services_with_pods(api: Api, ns: str) -> None:
    ports = [{"name": "http", "port": 80, "targetPort": "named"}]
    api.post(core(ns, "services"), service("both", {"foo": "bar"}, ports=ports))
    for name, number in (("pod1", 3000), ("pod2", 3001)):
        container = {"name": "main", "image": "x", "ports": [{"name": "named", "containerPort": number}]}
        body = pod(name, {"foo": "bar", name: "yes"})
        body["spec"]["containers"] = [container]
        api.post(core(ns, "pods"), body)
    addresses = {}
    for name in ("pod1", "pod2"):
        found = api.when(core(ns, f"pods/{name}"), lambda one: one["status"].get("phase") == "Running")
        addresses[name] = found["status"]["podIP"]
    api.until(lambda: endpoints_of(api, ns, "both") == sorted((one, True) for one in addresses.values()))
    slices = slices_of(api, ns, "both")
    assert {one["ports"][0]["port"] for one in slices} == {3000, 3001}, "one slice for each meaning of the named port"
    for one in slices:
        (end,) = one["endpoints"]
        assert end["targetRef"]["kind"] == "Pod"
        assert end["nodeName"].startswith("node-")
        assert end["conditions"] == {"ready": True, "serving": True, "terminating": False}
    found = api.when(core(ns, "endpoints/both"), lambda one: len(one.get("subsets", [])) == 2)
    assert {one["addresses"][0]["ip"]: one["ports"][0]["port"] for one in found["subsets"]} == {
        addresses["pod1"]: 3000,
        addresses["pod2"]: 3001,
    }
    api.delete(core(ns, "pods/pod1"), {"gracePeriodSeconds": 0})
    api.until(lambda: endpoints_of(api, ns, "both") == [(addresses["pod2"], True)])


@spec("[sig-network] Services should serve a basic endpoint from pods")
@spec("[sig-network] Services should serve multiport endpoints from pods")
@spec("[sig-network] Services should serve endpoints on same port and different protocols")
def test_what_services_lead_to(api: Api, ns: str) -> None:
    ports = [
        {"name": "tcp", "port": 80, "targetPort": 8080},
        {"name": "udp", "port": 80, "protocol": "UDP", "targetPort": 8080},
        {"name": "other", "port": 81, "targetPort": 8081},
    ]
    made = api.post(core(ns, "services"), service("multi", {"app": "multi"}, ports=ports))
    assert len(made["spec"]["ports"]) == 3
    for number in range(2):
        api.post(core(ns, "pods"), pod(f"p{number}", {"app": "multi"}))
    api.until(lambda: len(endpoints_of(api, ns, "multi")) == 2)
    (found,) = slices_of(api, ns, "multi")
    assert {(one["name"], one["port"], one["protocol"]) for one in found["ports"]} == {
        ("tcp", 8080, "TCP"),
        ("udp", 8080, "UDP"),
        ("other", 8081, "TCP"),
    }
    api.delete(core(ns, "pods/p0"), {"gracePeriodSeconds": 0})
    api.until(lambda: len(endpoints_of(api, ns, "multi")) == 1)
    found = api.get(core(ns, "services/multi"))
    found["spec"]["ports"] = [{"name": "udp", "port": 80, "protocol": "UDP", "targetPort": 8080}]
    api.put(core(ns, "services/multi"), found)
    api.until(lambda: [one["name"] for one in slices_of(api, ns, "multi")[0]["ports"]] == ["udp"])


@spec("[sig-network] EndpointSlice should support creating EndpointSlice API operations")
def test_endpointslices(api: Api, ns: str) -> None:
    at = SLICES.format(ns)
    body = {
        "metadata": {"generateName": "e2e-example-ing", "labels": {"special-label": ns}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["1.2.3.4", "5.6.7.8"]}],
    }
    made = [api.post(at, body) for _ in range(3)]
    name = made[0]["metadata"]["name"]
    assert api.get(f"{at}/{name}") == made[0]
    listed = api.get(f"/apis/discovery.k8s.io/v1/endpointslices?labelSelector=special-label%3D{ns}")
    assert len(listed["items"]) == 3
    with api.watch(f"{at}?watch=1&resourceVersion={listed['metadata']['resourceVersion']}") as events:
        assert api.patch(f"{at}/{name}", {"metadata": {"annotations": {"patched": "true"}}})["metadata"]["annotations"]
        found = api.get(f"{at}/{name}")
        found["metadata"]["annotations"]["updated"] = "true"
        api.put(f"{at}/{name}", found)
        assert [type_ for type_, _ in events.take(2)] == ["MODIFIED", "MODIFIED"]
        api.delete(f"{at}/{name}")
        assert events.next()[0] == "DELETED"
    assert api.send("GET", f"{at}/{name}").status == 404
    api.delete(f"{at}?labelSelector=special-label%3D{ns}")
    assert api.get(at)["items"] == []
    for wrong, field in (
        ({**body, "addressType": "None"}, "addressType"),
        ({**body, "endpoints": [{"addresses": ["::1"]}]}, "endpoints[0].addresses[0]"),
        ({**body, "endpoints": [{"addresses": []}]}, "endpoints[0].addresses"),
    ):
        refused = api.send("POST", at, wrong)
        assert refused.status == 422
        assert field in [cause[0] for cause in refused.causes]


@spec("[sig-network] EndpointSlice should support a Service with multiple ports specified in multiple EndpointSlices")
@spec(
    "[sig-network] EndpointSlice should support a Service with multiple endpoint IPs specified in multiple "
    "EndpointSlices"
)
def test_slices_made_by_hand_stay(api: Api, ns: str) -> None:
    api.post(core(ns, "services"), service("custom", ports=[{"name": "a", "port": 80}, {"name": "b", "port": 81}]))
    for name, port in (("s1", "a"), ("s2", "b")):
        body = {
            "metadata": {
                "name": name,
                "labels": {"kubernetes.io/service-name": "custom", "endpointslice.kubernetes.io/managed-by": "e2e"},
            },
            "addressType": "IPv4",
            "ports": [{"name": port, "port": 8080, "protocol": "TCP"}],
            "endpoints": [{"addresses": ["10.1.2.3"], "conditions": {"ready": True}}],
        }
        api.post(SLICES.format(ns), body)
    api.patch(core(ns, "services/custom"), {"metadata": {"labels": {"x": "y"}}})
    api.post(core(ns, "services"), service("later", {"a": "b"}))
    api.until(lambda: slices_of(api, ns, "later"))
    assert sorted(one["metadata"]["name"] for one in slices_of(api, ns, "custom")) == ["s1", "s2"]


@spec("[sig-network] EndpointSliceMirroring should mirror a custom Endpoints resource through create update and delete")
def test_mirrored_endpoints(api: Api, ns: str) -> None:
    api.post(core(ns, "services"), service("example", ports=[{"name": "example", "port": 80, "protocol": "TCP"}]))
    body = {
        "metadata": {"name": "example"},
        "subsets": [{"ports": [{"port": 80}], "addresses": [{"ip": "10.1.2.3"}]}],
    }
    api.post(core(ns, "endpoints"), body)
    (found,) = api.until(lambda: slices_of(api, ns, "example"))
    assert found["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == (
        "endpointslicemirroring-controller.k8s.io"
    )
    assert found["endpoints"][0]["addresses"] == ["10.1.2.3"]
    api.patch(
        core(ns, "endpoints/example"), {"subsets": [{"ports": [{"port": 81}], "addresses": [{"ip": "10.2.3.4"}]}]}
    )
    api.until(
        lambda: (
            [(o["ports"][0]["port"], o["endpoints"][0]["addresses"]) for o in slices_of(api, ns, "example")]
            == [(81, ["10.2.3.4"])]
        )
    )
    api.delete(core(ns, "endpoints/example"))
    api.until(lambda: not slices_of(api, ns, "example"))


@spec("[sig-network] Endpoints should test the lifecycle of an Endpoint")
def test_life_of_endpoints(api: Api, ns: str) -> None:
    at = core(ns, "endpoints")
    body = {
        "metadata": {"name": "testservice", "labels": {"test-endpoint-static": "true"}},
        "subsets": [{"addresses": [{"ip": "10.0.0.24"}], "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}],
    }
    with api.watch(f"{at}?watch=1&labelSelector=test-endpoint-static%3Dtrue") as events:
        made = api.post(at, body)
        assert events.next()[0] == "ADDED"
        assert "testservice" in names(api.get("/api/v1/endpoints?labelSelector=test-endpoint-static%3Dtrue"))
        made["metadata"]["labels"]["test-service"] = "updated"
        api.put(f"{at}/testservice", made)
        assert events.next()[1]["metadata"]["labels"]["test-service"] == "updated"
        patch = {
            "metadata": {"labels": {"test-service": "patched"}},
            "subsets": [
                {"addresses": [{"ip": "10.0.0.25"}], "ports": [{"name": "http-test", "port": 8080, "protocol": "TCP"}]}
            ],
        }
        api.patch(f"{at}/testservice", patch, STRATEGIC)
        (subset,) = events.next()[1]["subsets"]
        assert (subset["addresses"], subset["ports"][0]["port"]) == ([{"ip": "10.0.0.25"}], 8080)
        api.delete(f"{at}?labelSelector=test-endpoint-static%3Dtrue")
        assert events.next()[0] == "DELETED"


@spec("[sig-network] Services should be able to create a functioning NodePort service")
@spec("[sig-network] Services should be able to switch session affinity for service with type clusterIP [LinuxOnly]")
@spec("[sig-network] Services should be able to switch session affinity for NodePort service [LinuxOnly]")
def test_affinity_can_be_switched(api: Api, ns: str) -> None:
    for kind in ("ClusterIP", "NodePort"):
        path = core(ns, f"services/{kind.lower()}")
        made = api.post(core(ns, "services"), service(kind.lower(), {"a": "b"}, type=kind))
        assert made["spec"]["sessionAffinity"] == "None"
        assert ("nodePort" in made["spec"]["ports"][0]) == (kind == "NodePort")
        on = api.patch(path, {"spec": {"sessionAffinity": "ClientIP"}}, STRATEGIC)
        assert on["spec"]["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}
        off = api.patch(path, {"spec": {"sessionAffinity": "None", "sessionAffinityConfig": None}}, STRATEGIC)
        assert "sessionAffinityConfig" not in off["spec"]
        assert off["spec"]["clusterIP"] == made["spec"]["clusterIP"]


def test_trying_takes_no_addresses_and_no_ports(api: Api, ns: str) -> None:
    at = core(ns, "services")
    wanted = service("try", {"a": "b"}, type="NodePort", clusterIP="10.96.7.7", ports=[{"port": 80, "nodePort": 30777}])
    for _ in range(3):
        assert api.send("POST", f"{at}?dryRun=All", wanted).status == 201
    assert api.send("GET", f"{at}/try").status == 404
    api.post(at, wanted)
    assert api.send("POST", f"{at}?dryRun=All", {**wanted, "metadata": {"name": "b"}}).status == 422
    for tried in (
        {"spec": {"type": "ClusterIP", "ports": [{"port": 80, "nodePort": None}]}},
        {"spec": {"ports": [{"port": 80, "nodePort": 30778}]}},
    ):
        api.patch(f"{at}/try?dryRun=All", tried)
    api.delete(f"{at}/try?dryRun=All")
    assert api.send("POST", at, {**wanted, "metadata": {"name": "b"}}).status == 422, "both are still taken"
    other = service("c", {"a": "b"}, type="NodePort", ports=[{"port": 80, "nodePort": 30778}])
    assert api.send("POST", at, other).status == 201, "what was only tried is free"
    api.delete(f"{at}/try")
    assert api.send("POST", at, {**wanted, "metadata": {"name": "b"}}).status == 201
