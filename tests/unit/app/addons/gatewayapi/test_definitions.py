"""The kinds of the Gateway API in a cluster: what they take, what they fill in, and what they refuse."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

import navarch
from navarch.app.addons.gatewayapi import DEFINITIONS, GROUP
from navarch.base.errors import ApiError

ROUTE: dict[str, Any] = {"parentRefs": [{"name": "front"}]}
LISTENER: dict[str, Any] = {"name": "web", "port": 80, "protocol": "HTTP"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[navarch.Cluster]:
    with navarch.Cluster(nodes=0, frozen=True) as c:
        for definition in DEFINITIONS:
            c.apply(copy.deepcopy(definition))
        c.clock.advance(seconds=1)
        yield c


def document(kind: str, spec: dict[str, Any], version: str = "v1") -> dict[str, Any]:
    metadata = {"name": "one", **({} if kind == "GatewayClass" else {"namespace": "default"})}
    return {"apiVersion": f"{GROUP}/{version}", "kind": kind, "metadata": metadata, "spec": spec}


def gateway(*listeners: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return document("Gateway", {"gatewayClassName": "some", "listeners": list(listeners), **rest})


def http(*rules: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return document("HTTPRoute", {**ROUTE, **({"rules": list(rules)} if rules else {}), **rest})


def path(value: str, type_: str = "PathPrefix") -> dict[str, Any]:
    return {"matches": [{"path": {"type": type_, "value": value}}]}


def filtered(*filters: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return http({"filters": list(filters), **rest})


REDIRECT: dict[str, Any] = {"type": "RequestRedirect", "requestRedirect": {"scheme": "https"}}
HEADERS = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "a", "value": "b"}]}}
NEW_PREFIX = {"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}}
TO_WEB = {"name": "web", "port": 80}
SECURE = {"name": "tls", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "cert"}]}}
POLICY = {
    "targetRefs": [{"group": "", "kind": "Service", "name": "web"}],
    "validation": {"hostname": "web.test", "wellKnownCACertificates": "System"},
}


@pytest.mark.parametrize(
    "given",
    [
        document("GatewayClass", {"controllerName": "example.com/mine", "description": "mine"}),
        gateway(LISTENER, SECURE, {**SECURE, "name": "other", "hostname": "*.test"}),
        gateway({**LISTENER, "protocol": "TLS", "tls": {"mode": "Passthrough"}}, addresses=[{"value": "192.0.2.1"}]),
        http(path("/"), path("/a%20b", "Exact"), path("no.*slash", "RegularExpression")),
        http({"backendRefs": [{**TO_WEB, "weight": 0}, {**TO_WEB, "name": "new", "namespace": "far"}]}),
        filtered(HEADERS, NEW_PREFIX, matches=[{"path": {"value": "/old"}}], backendRefs=[TO_WEB]),
        filtered(REDIRECT),
        http({"timeouts": {"request": "1s", "backendRequest": "500ms"}}, hostnames=["*.a.test"]),
        http(parentRefs=[{"name": "front", "sectionName": "a"}, {"name": "front", "sectionName": "b"}, {"name": "x"}]),
        document("GRPCRoute", {**ROUTE, "rules": [{"matches": [{"method": {"service": "a.B", "method": "C"}}]}]}),
        document("GRPCRoute", {**ROUTE, "rules": [{"matches": [{"headers": [{"name": "a", "value": "b"}]}]}]}),
        document("TLSRoute", {**ROUTE, "hostnames": ["*.a.test"], "rules": [{"backendRefs": [TO_WEB]}]}),
        document(
            "ReferenceGrant",
            {
                "from": [{"group": GROUP, "kind": "HTTPRoute", "namespace": "far"}],
                "to": [{"group": "", "kind": "Service"}],
            },
            "v1beta1",
        ),
        document("BackendTLSPolicy", POLICY),
    ],
    ids=lambda given: given["kind"],
)
def test_what_is_right_is_taken(cluster: navarch.Cluster, given: dict[str, Any]) -> None:
    cluster.apply(copy.deepcopy(given))
    cluster.delete(copy.deepcopy(given))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (document("GatewayClass", {"controllerName": "mine"}), "controllerName"),
        (gateway(), "listeners"),
        (gateway({**LISTENER, "port": 65536}), "port"),
        (gateway(LISTENER, {**LISTENER, "port": 81}), "duplicate entries"),
        (gateway(LISTENER, {**LISTENER, "name": "b"}), "same port, protocol and hostname"),
        (gateway({**LISTENER, "tls": SECURE["tls"]}), "without tls"),
        (gateway({**SECURE, "tls": {"mode": "Passthrough"}}), "its mode is Terminate"),
        (gateway({**SECURE, "tls": {}}), "certificateRefs"),
        (gateway({**LISTENER, "protocol": "tcp", "hostname": "a.test"}), "without a hostname"),
        (gateway(LISTENER, addresses=[{"type": "Hostname", "value": "A"}]), "a host's name"),
        (gateway(LISTENER, addresses=[{"value": "192.0.2.1"}, {"value": "192.0.2.1"}]), "IPAddress"),
        (gateway(LISTENER, infrastructure={"labels": {"a b": "c"}}), "a key of labels"),
        (http(path("a")), "begins with /"),
        (http(path("/a//b", "Exact")), "without //"),
        (http(path("/a/..")), "does not end with /.."),
        (http(path("/a b")), "only characters"),
        (http({"matches": [{"method": "get"}]}), "method"),
        (http({"backendRefs": [{"name": "web"}]}), "needs a port"),
        (http({"backendRefs": [{**TO_WEB, "weight": -1}]}), "weight"),
        (http(*([{"matches": [{}] * 9}] * 15)), "at most 128 matches"),
        (http({"name": "a"}, {"name": "a"}), "names of rules differ"),
        (http(hostnames=["192.0.2.1:80"]), "hostnames"),
        (http({"timeouts": {"request": "1s", "backendRequest": "2s"}}), "not longer than request"),
        (http({"timeouts": {"request": "1"}}), "request"),
        (http(parentRefs=[{"name": "a"}, {"name": "a"}]), "same section"),
        (http(parentRefs=[{"name": "a"}, {"name": "a", "sectionName": "b"}]), "needs a sectionName"),
        (filtered({"type": "RequestRedirect"}), "requestRedirect goes with type RequestRedirect"),
        (filtered({**REDIRECT, **HEADERS}), "goes with type"),
        (filtered({"type": "Magic"}), "type"),
        (filtered(HEADERS, HEADERS), "RequestHeaderModifier may be given once"),
        (filtered(REDIRECT, NEW_PREFIX), "do not go together"),
        (filtered(REDIRECT, backendRefs=[TO_WEB]), "no backendRefs"),
        (filtered(NEW_PREFIX, matches=[{"path": {"type": "Exact", "value": "/a"}}]), "exactly one match"),
        (http({**path("/a", "Exact"), "backendRefs": [{**TO_WEB, "filters": [NEW_PREFIX]}]}), "of backendRefs too"),
        (document("GRPCRoute", {**ROUTE, "rules": [{"matches": [{"method": {}}]}]}), "a service, a method, or both"),
        (document("GRPCRoute", {**ROUTE, "rules": [{"matches": [{"method": {"service": "a/b"}}]}]}), "a service is"),
        (document("TLSRoute", {**ROUTE, "rules": [{"backendRefs": [TO_WEB]}]}), "hostnames"),
        (
            document("TLSRoute", {**ROUTE, "hostnames": ["192.0.2.1"], "rules": [{"backendRefs": [TO_WEB]}]}),
            "no address",
        ),
        (document("ReferenceGrant", {"from": [], "to": []}), "from"),
        (document("BackendTLSPolicy", {**POLICY, "validation": {"hostname": "web.test"}}), "either caCertificateRefs"),
    ],
)
def test_what_is_wrong_is_refused(cluster: navarch.Cluster, given: dict[str, Any], says: str) -> None:
    with pytest.raises(ApiError) as refused:
        cluster.apply(copy.deepcopy(given))
    assert says in str(refused.value)


def test_what_is_not_said_is_filled_in(cluster: navarch.Cluster) -> None:
    cluster.apply(gateway(LISTENER))
    found = cluster.client.get("gateway", "default", "one").document()
    assert found["spec"]["listeners"][0]["allowedRoutes"] == {"namespaces": {"from": "Same"}}
    assert [(one["type"], one["status"]) for one in found["status"]["conditions"]] == [
        ("Accepted", "Unknown"),
        ("Programmed", "Unknown"),
    ]
    cluster.apply(document("HTTPRoute", {**ROUTE, "rules": [{"backendRefs": [TO_WEB]}]}, "v1beta1"))
    [rule] = cluster.client.get("httproute", "default", "one").document()["spec"]["rules"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]
    assert rule["backendRefs"] == [{"group": "", "kind": "Service", "weight": 1, **TO_WEB}]


def test_a_class_keeps_its_controller(cluster: navarch.Cluster) -> None:
    cluster.apply(document("GatewayClass", {"controllerName": "example.com/a"}))
    with pytest.raises(ApiError, match="cannot be changed"):
        cluster.apply(document("GatewayClass", {"controllerName": "example.com/b"}))
    cluster.delete(document("GatewayClass", {"controllerName": "example.com/a"}))


def test_all_are_of_an_approved_group_and_one_version_is_stored() -> None:
    for definition in DEFINITIONS:
        assert definition["metadata"]["annotations"]["api-approved.kubernetes.io"].startswith("https://")
        assert [version["storage"] for version in definition["spec"]["versions"]].count(True) == 1
