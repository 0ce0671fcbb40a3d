"""Ingresses, network policies and addresses: what is filled in, what is refused, how they are shown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from navarch.kinds import INGRESS, INGRESSCLASS, IPADDRESS, NETWORKPOLICY, SERVICECIDR
from navarch.kinds.kind import Kind
from navarch.objects.value import Draft

Document = dict[str, Any]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
BACKEND: Document = {"service": {"name": "web", "port": {"number": 80}}}


def complete(kind: Kind, spec: Document) -> Document:
    draft = Draft({"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": "x"}, "spec": spec})
    kind.default(draft)
    return draft.document


def causes(kind: Kind, spec: Document, old: Document | None = None) -> list[tuple[str, str]]:
    before = complete(kind, old) if old is not None else None
    return [(cause.field, cause.message) for cause in kind.rules(complete(kind, spec), before)]


def path(**found: Any) -> Document:
    return {"rules": [{"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": BACKEND, **found}]}}]}


def allows(**rule: Any) -> Document:
    return {"ingress": [rule]}


def test_policies_name_their_types() -> None:
    assert complete(NETWORKPOLICY, {})["spec"] == {"podSelector": {}, "policyTypes": ["Ingress"]}
    both = complete(NETWORKPOLICY, {"egress": [{"ports": [{"port": 53}]}]})["spec"]
    assert both["policyTypes"] == ["Ingress", "Egress"]
    assert both["egress"][0]["ports"] == [{"port": 53, "protocol": "TCP"}]


def test_parameters_of_a_class_are_of_the_cluster() -> None:
    found = complete(INGRESSCLASS, {"controller": "a.b/c", "parameters": {"kind": "K", "name": "n"}})
    assert found["spec"]["parameters"]["scope"] == "Cluster"


@pytest.mark.parametrize(
    ("kind", "spec", "field", "message"),
    [
        (INGRESS, {}, "spec", "Invalid value: null: either `defaultBackend` or `rules` must be specified"),
        (
            INGRESS,
            {"rules": [{"host": "10.0.0.1"}]},
            "spec.rules[0].host",
            'Invalid value: "10.0.0.1": must be a DNS name, not an IP address',
        ),
        (INGRESS, {"rules": [{"http": {}}]}, "spec.rules[0].http.paths", "Required value"),
        (
            NETWORKPOLICY,
            {"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.1/8"}}]}]},
            "spec.ingress[0].from[0].ipBlock.cidr",
            'Invalid value: "10.0.0.1/8": must not have bits set beyond the prefix length',
        ),
        (
            INGRESS,
            path(pathType=None),
            "spec.rules[0].http.paths[0].pathType",
            "Required value: pathType must be specified",
        ),
        (
            INGRESS,
            path(path="a"),
            "spec.rules[0].http.paths[0].path",
            'Invalid value: "a": must be an absolute path',
        ),
        (
            INGRESS,
            path(path="/a//b"),
            "spec.rules[0].http.paths[0].path",
            "Invalid value: \"/a//b\": must not contain '//'",
        ),
        (
            INGRESS,
            path(pathType="Some"),
            "spec.rules[0].http.paths[0].pathType",
            'Unsupported value: "Some": supported values: "Exact", "ImplementationSpecific", "Prefix"',
        ),
        (
            INGRESS,
            {"defaultBackend": {}},
            "spec.defaultBackend",
            'Invalid value: "": resource or service backend is required',
        ),
        (
            INGRESS,
            {"defaultBackend": {"service": {"name": "web"}}},
            "spec.defaultBackend",
            "Required value: port name or number is required",
        ),
        (
            INGRESS,
            {"defaultBackend": {**BACKEND, "resource": {"kind": "K", "name": "n"}}},
            "spec.defaultBackend",
            'Invalid value: "": cannot set both resource and service backends',
        ),
        (INGRESSCLASS, {}, "spec.controller", "Required value"),
        (
            INGRESSCLASS,
            {"controller": "nginx"},
            "spec.controller",
            'Invalid value: "nginx": must be a domain-prefixed path (such as "acme.io/foo")',
        ),
        (
            INGRESSCLASS,
            {"controller": "a.b/c", "parameters": {"kind": "K", "name": "n", "scope": "Namespace"}},
            "spec.parameters.namespace",
            "Required value: `parameters.scope` is set to 'Namespace'",
        ),
        (NETWORKPOLICY, allows(**{"from": [{}]}), "spec.ingress[0].from[0]", "Required value: must specify a peer"),
        (
            NETWORKPOLICY,
            allows(**{"from": [{"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}]}),
            "spec.ingress[0].from[0]",
            "Forbidden: may not specify both ipBlock and another peer",
        ),
        (
            NETWORKPOLICY,
            allows(**{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}]}),
            "spec.ingress[0].from[0].ipBlock.except[0]",
            'Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`',
        ),
        (
            NETWORKPOLICY,
            allows(**{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["fd00::/64"]}}]}),
            "spec.ingress[0].from[0].ipBlock.except[0]",
            'Invalid value: "fd00::/64": must be a strict subset of `cidr`',
        ),
        (
            NETWORKPOLICY,
            allows(ports=[{"port": 90, "endPort": 80}]),
            "spec.ingress[0].ports[0].endPort",
            "Invalid value: 90: must be greater than or equal to `port`",
        ),
        (
            NETWORKPOLICY,
            allows(ports=[{"port": "http", "endPort": 80}]),
            "spec.ingress[0].ports[0].endPort",
            "Invalid value: 80: may not be specified when `port` is non-numeric",
        ),
        (
            NETWORKPOLICY,
            {"policyTypes": ["Both"]},
            "spec.policyTypes[0]",
            'Unsupported value: "Both": supported values: "Ingress", "Egress"',
        ),
        (IPADDRESS, {}, "spec.parentRef", "Required value"),
        (IPADDRESS, {"parentRef": {"name": "a"}}, "spec.parentRef.resource", "Required value"),
        (SERVICECIDR, {}, "spec.cidrs", "Required value: at least one CIDR required"),
        (
            SERVICECIDR,
            {"cidrs": ["10.0.0.0/16", "10.1.0.0/16"]},
            "spec.cidrs",
            'Invalid value: ["10.0.0.0/16","10.1.0.0/16"]: may specify no more than one IP for each IP family, '
            "i.e 192.168.0.0/24 and 2001:db8::/64",
        ),
    ],
)
def test_broken_rules(kind: Kind, spec: Document, field: str, message: str) -> None:
    assert causes(kind, spec)[:1] == [(field, message)]


def test_what_an_update_may_change() -> None:
    was = {"controller": "a.b/c"}
    assert causes(INGRESSCLASS, {"controller": "a.b/d"}, was) == [
        ("spec.controller", 'Invalid value: "a.b/d": field is immutable')
    ]
    assert causes(SERVICECIDR, {"cidrs": ["10.0.0.0/16", "fd00::/112"]}, {"cidrs": ["10.0.0.0/16"]}) == []
    assert causes(SERVICECIDR, {"cidrs": ["10.1.0.0/16"]}, {"cidrs": ["10.0.0.0/16"]})[0][0] == "spec.cidrs[0]"
    parent = {"parentRef": {"resource": "services", "name": "a", "namespace": "n"}}
    assert causes(IPADDRESS, {"parentRef": {**parent["parentRef"], "name": "b"}}, parent)[0][0] == "spec.parentRef"
    assert causes(IPADDRESS, parent, parent) == []


def test_an_address_is_named_as_it_is_written() -> None:
    assert IPADDRESS.name_rule is not None
    assert list(IPADDRESS.name_rule("10.0.0.1")) == list(IPADDRESS.name_rule("2001:db8::1")) == []
    assert list(IPADDRESS.name_rule("2001:DB8::1")) == ['must be in canonical form ("2001:db8::1")']
    assert list(IPADDRESS.name_rule("web")) == ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]


def cells(kind: Kind, spec: Document, **more: Any) -> list[Any]:
    document = {**complete(kind, spec), **more}
    return [column.source(document, NOW) for column in kind.columns if callable(column.source)]


def test_cells() -> None:
    hosts = {"rules": [{"host": f"{name}.example.com"} for name in "abcde"], "tls": [{}]}
    status = {"loadBalancer": {"ingress": [{"hostname": "lb"}, {"ip": "10.0.0.1"}, {"hostname": "lb"}, {}]}}
    shown = "a.example.com,b.example.com,c.example.com + 2 more..."
    assert cells(INGRESS, {**hosts, "ingressClassName": "x"}, status=status) == ["x", shown, "10.0.0.1,lb", "80, 443"]
    assert cells(INGRESS, {}) == ["<none>", "*", "", "80"]
    hosts["rules"] = [{}, *hosts["rules"][:3]]
    assert cells(INGRESS, hosts)[1] == "a.example.com,b.example.com,c.example.com"
    hosts["rules"].append({})
    assert cells(INGRESS, hosts)[1] == "a.example.com,b.example.com,c.example.com + 2 more...", "all rules are counted"
    assert cells(INGRESSCLASS, {"parameters": {"apiGroup": "g.io", "kind": "K", "name": "n"}}) == ["K.g.io/n"]
    assert cells(NETWORKPOLICY, {}) == ["<none>"]
    assert cells(IPADDRESS, {"parentRef": {"resource": "services", "namespace": "n", "name": "a"}}) == ["services/n/a"]
    assert cells(SERVICECIDR, {"cidrs": ["10.0.0.0/16", "fd00::/112"]}) == ["10.0.0.0/16,fd00::/112"]


def test_networks_that_were_once_let_in_may_stay() -> None:
    spec = allows(**{"from": [{"ipBlock": {"cidr": "10.0.0.1/8", "except": ["10.1.0.1/16"]}}]})
    assert len(causes(NETWORKPOLICY, spec)) == 2
    assert causes(NETWORKPOLICY, {**spec, "podSelector": {"matchLabels": {"a": "b"}}}, spec) == []


def test_an_old_class_annotation_must_say_the_same() -> None:
    document = complete(INGRESS, {**path(), "ingressClassName": "a"})

    def told(name: str) -> list[str]:
        annotated = {**document, "metadata": {"annotations": {"kubernetes.io/ingress.class": name}}}
        return [cause.message for cause in INGRESS.rules(annotated, None)]

    assert told("a") == []
    assert told("b") == ['Invalid value: "b": must match `ingressClassName` when both are specified']
