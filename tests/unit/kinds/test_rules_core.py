"""The oldest kinds rule by rule, as Kubernetes 1.36 judges them: new ones, updates and writes to `status`."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from kind_driver import Causes, Document, causes

from navarch.apiserver import metadata
from navarch.kinds import (
    APISERVICE,
    CONFIGMAP,
    CUSTOMRESOURCEDEFINITION,
    ENDPOINTS,
    LIMITRANGE,
    NAMESPACE,
    NODE,
    POD,
    REPLICATIONCONTROLLER,
    RESOURCEQUOTA,
    SECRET,
    SERVICE,
)
from navarch.kinds.kind import Kind
from navarch.objects.value import Draft

FROZEN = "Forbidden: field is immutable when `immutable` is set"
IMMUTABLE = "field is immutable"
NO_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
NO_FINALIZER = "name is neither a standard finalizer name nor is it fully qualified"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def docker(text: str) -> Document:
    return {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": encoded(text)}}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{}", ""),
        ("null", ""),
        ("[]", "json: cannot unmarshal array into Go value of type map[string]interface {}"),
        ('"a"', "json: cannot unmarshal string into Go value of type map[string]interface {}"),
        ("1", "json: cannot unmarshal number into Go value of type map[string]interface {}"),
        ("true", "json: cannot unmarshal bool into Go value of type map[string]interface {}"),
        ("", "unexpected end of JSON input"),
    ],
)
def test_passwords_of_registries_are_a_mapping(text: str, problem: str) -> None:
    told = f'Invalid value: "<secret contents redacted>": {problem}'
    assert causes(SECRET, docker(text)) == ([("data[.dockerconfigjson]", told)] if problem else [])


def test_what_an_update_may_not_do_comes_first() -> None:
    new = {"type": "kubernetes.io/tls", "data": {"a b": ""}}
    found = causes(SECRET, new, {"type": "Opaque", "immutable": True, "data": {"a": ""}})
    assert [path for path, _ in found] == ["type", "immutable", "data", "data[a b]", "data[tls.crt]", "data[tls.key]"]
    assert found[0][1] == f'Invalid value: "kubernetes.io/tls": {IMMUTABLE}'
    assert found[1][1] == found[2][1] == FROZEN
    new = {"immutable": True, "data": {"a": "1"}, "binaryData": {"a": ""}}
    found = causes(CONFIGMAP, new, {"immutable": True, "data": {"b": "1"}})
    assert found[:2] == [("data", FROZEN), ("binaryData", FROZEN)]
    assert found[2:] == [("data[a]", 'Invalid value: "a": duplicate of key present in binaryData')]


def test_finalizers_of_namespaces() -> None:
    told = f'Invalid value: "mine": {NO_FINALIZER}'
    new = {"spec": {"finalizers": ["kubernetes", "orphan", "mine", "a.io/b"]}}
    assert causes(NAMESPACE, new) == [("spec.finalizers", told)]
    assert causes(NAMESPACE, new, {}) == [], "an update keeps those that are stored"
    assert causes(NAMESPACE, new, {}, "finalize") == [("spec.finalizers[2]", told)]


def of_metadata(kind: Kind, *finalizers: str) -> Causes:
    named: Document = {"name": "x", "finalizers": list(finalizers)}
    if kind.namespaced:
        named["namespace"] = "default"
    return [(cause.field, cause.message) for cause in metadata.rules(kind, {"metadata": named}, None)]


@pytest.mark.parametrize("kind", [POD, CONFIGMAP, NODE], ids=repr)
def test_finalizers_have_a_domain_or_are_kubernetes(kind: Kind) -> None:
    assert of_metadata(kind, "a.io/b", "kubernetes", "orphan") == []
    assert of_metadata(kind, "a.io/b", "mine") == [
        ("metadata.finalizers[1]", f'Invalid value: "mine": {NO_FINALIZER}'),
    ]


@pytest.mark.parametrize("kind", [CUSTOMRESOURCEDEFINITION, APISERVICE], ids=repr)
def test_some_groups_do_not_mind(kind: Kind) -> None:
    assert of_metadata(kind, "mine") == []


NOT_CHANGED = 'Forbidden: node updates may not change {} except from "" to valid'


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        (
            {"spec": {"podCIDRs": ["10.0.0.0/24", "10.0.0.0/24"]}},
            None,
            [
                (
                    "spec.podCIDRs",
                    'Invalid value: ["10.0.0.0/24","10.0.0.0/24"]: '
                    "may specify no more than one CIDR for each IP family",
                ),
                ("spec.podCIDRs[1]", 'Duplicate value: "10.0.0.0/24"'),
            ],
        ),
        (
            {"metadata": {"annotations": {"scheduler.alpha.kubernetes.io/taints": '[{"key":"a","effect":"x"}]'}}},
            None,
            [
                (
                    "metadata.annotations.scheduler.alpha.kubernetes.io/taints[0].effect",
                    'Unsupported value: "x": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"',
                )
            ],
        ),
        (
            {"spec": {"taints": [{"key": "a", "effect": ""}, {"key": "a", "value": "-", "effect": ""}]}},
            None,
            [
                ("metadata.taints[0].effect", "Required value"),
                ("metadata.taints[1].value", None),
                ("metadata.taints[1].effect", "Required value"),
                ("metadata.taints[1]", None),
            ],
        ),
        (
            {"status": {"capacity": {"pods": "1500m"}, "allocatable": {"cpu": "-1"}}},
            None,
            [
                ("status.capacity.pods", 'Invalid value: "1500m": must be an integer'),
                ("status.allocatable.cpu", 'Invalid value: "-1": must be greater than or equal to 0'),
            ],
        ),
        ({"spec": {"podCIDRs": ["none"]}}, {}, []),
        (
            {"spec": {"providerID": "b", "externalID": "y", "podCIDRs": ["10.0.1.0/24"]}},
            {"spec": {"providerID": "a", "externalID": "x", "podCIDRs": ["10.0.0.0/24"]}},
            [
                ("spec.podCIDRs", NOT_CHANGED.format("podCIDR")),
                ("spec.providerID", NOT_CHANGED.format("providerID")),
                ("spec.externalID", "Forbidden: may not be updated"),
            ],
        ),
        ({"spec": {"providerID": "a"}}, {}, []),
    ],
)
def test_nodes(new: Document, old: Document | None, expected: list[tuple[str, str | None]]) -> None:
    found = causes(NODE, new, old)
    assert [path for path, _ in found] == [path for path, _ in expected]
    assert [message for _, message in found if message] == [
        wanted if wanted is not None else message for (_, message), (_, wanted) in zip(found, expected, strict=True)
    ]


def test_taints_in_an_annotation_that_cannot_be_read() -> None:
    node = {"metadata": {"annotations": {"scheduler.alpha.kubernetes.io/taints": "{"}}}
    [(path, message)] = causes(NODE, node)
    assert path == "metadata.annotations"
    assert message.startswith('Invalid value: "scheduler.alpha.kubernetes.io/taints": ')


def test_a_status_of_a_node_is_judged_as_the_node_is() -> None:
    address = {"type": "InternalIP", "address": "10.0.0.1"}
    new = {"status": {"addresses": [address, address], "capacity": {"pods": "0.5"}, "allocatable": {"pods": "1"}}}
    assert [path for path, _ in causes(NODE, new, {}, "status")] == ["status.capacity.pods", "status.addresses[1]"]


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({"podCIDR": "10.0.0.0/24"}, ["10.0.0.0/24"]),
        ({"podCIDRs": ["10.0.0.0/24", "fd00::/64"]}, ["10.0.0.0/24", "fd00::/64"]),
        ({"podCIDR": "10.0.1.0/24", "podCIDRs": ["10.0.0.0/24", "fd00::/64"]}, ["10.0.1.0/24"]),
    ],
)
def test_both_forms_of_a_nodes_networks_agree(spec: Document, wanted: list[str]) -> None:
    draft = Draft({"spec": spec})
    NODE.default(draft)
    assert draft.document["spec"] == {"podCIDR": wanted[0], "podCIDRs": wanted}


def test_nodes_are_no_longer_told_where_their_configuration_is() -> None:
    source = {"configSource": {"configMap": {"name": "a"}}}
    for old, kept in ((None, False), ({"spec": {}}, False), ({"spec": source}, True)):
        draft = Draft({"spec": dict(source)})
        assert NODE.prepare is not None
        NODE.prepare(draft, old)
        assert ("configSource" in draft.document["spec"]) is kept


def limits(**item: Any) -> Causes:
    return causes(LIMITRANGE, {"spec": {"limits": [item]}})


def test_limit_ranges_are_told_of_everything_at_once() -> None:
    found = limits(
        type="PersistentVolumeClaim",
        default={"nothing": "1"},
        min={"cpu": "3"},
        max={"cpu": "2"},
        maxLimitRequestRatio={"cpu": "500m"},
    )
    limit = "spec.limits[0]"
    assert found == [
        (
            f"{limit}.default[nothing]",
            'Invalid value: "nothing": must be a standard resource type or fully qualified',
        ),
        (
            f"{limit}.limits",
            "Required value: either minimum or maximum storage value is required, but neither was provided",
        ),
        (f"{limit}.min[cpu]", 'Invalid value: "3": min value 3 is greater than max value 2'),
        (f"{limit}.maxLimitRequestRatio[cpu]", 'Invalid value: "500m": ratio 500m is less than 1'),
    ]


def test_the_status_of_a_quota() -> None:
    new = {"status": {"hard": {"nothing": "1", "pods": "0.5"}, "used": {"cpu": "-1"}}}
    assert [path for path, _ in causes(RESOURCEQUOTA, new, {}, "status")] == [
        "status.hard[nothing]",
        "status.hard[nothing]",
        "status.hard[pods]",
        "status.used[cpu]",
    ]
    assert causes(RESOURCEQUOTA, {"status": {"hard": {"pods": "2"}, "used": {"pods": "1"}}}, {}, "status") == []


def endpoint(**address: Any) -> Causes:
    return causes(ENDPOINTS, {"subsets": [{"addresses": [address]}]})


def test_addresses_of_endpoints() -> None:
    path = "subsets[0].addresses[0]"
    assert endpoint(ip="x", hostname="a.b") == [
        (f"{path}.ip", f'Invalid value: "x": {NO_IP}'),
        (f"{path}.hostname", endpoint(ip="10.0.0.1", hostname="a.b")[0][1]),
        (f"{path}.ip", 'Invalid value: "x": must be a valid IP address'),
    ]
    assert endpoint(ip="010.0.0.1") == [(f"{path}.ip", 'Invalid value: "010.0.0.1": must not have leading 0s')]
    assert [where for where, _ in endpoint(ip="169.254.0.1", nodeName="-")] == [f"{path}.nodeName", f"{path}.ip"]


def test_controllers_without_anything() -> None:
    assert [path for path, _ in causes(REPLICATIONCONTROLLER, {"spec": {"minReadySeconds": -1, "replicas": -1}})] == [
        "spec.minReadySeconds",
        "spec.selector",
        "spec.replicas",
        "spec.template",
    ]


PORTS = [{"port": 80}]


def service(old: Document | None = None, **spec: Any) -> Causes:
    before = None if old is None else {"spec": {"ports": PORTS, **old}}
    return causes(SERVICE, {"spec": {"ports": PORTS, **spec}}, before)


TOPOLOGY = "service.kubernetes.io/topology-mode"
HINTS = "service.kubernetes.io/topology-aware-hints"
RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"


def annotated(annotations: Document, old: Document | None = None, **spec: Any) -> Causes:
    whole = {"ports": PORTS, **spec}
    before = None if old is None else {"metadata": {"annotations": old}, "spec": whole}
    return causes(SERVICE, {"metadata": {"annotations": annotations}, "spec": whole}, before)


def test_annotations_of_services() -> None:
    assert annotated({TOPOLOGY: "Auto", HINTS: "Auto"}) == annotated({HINTS: "Auto"}) == []
    told = f'Invalid value: "Auto": must match annotations[{HINTS}] when both are specified'
    assert annotated({TOPOLOGY: "Auto", HINTS: "Disabled"}) == [(f"metadata.annotations[{TOPOLOGY}]", told)]
    assert annotated({TOPOLOGY: "Auto", HINTS: "Disabled"}, {}) != [], "an update of annotations alone is judged too"
    where = f"metadata.annotations[{RANGES}]"
    only = "Forbidden: may only be used when `type` is 'LoadBalancer'"
    assert annotated({RANGES: " "}) == [(where, only)]
    assert annotated({RANGES: "10.0.0.0/8, 10.0.0.0/33"}, type="LoadBalancer") == [
        (where, 'Invalid value: "10.0.0.0/33": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)')
    ]
    assert annotated({RANGES: "x"}, type="LoadBalancer", loadBalancerSourceRanges=["10.0.0.0/8"]) == []


TWO = {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "fd00::1"], "ipFamilies": ["IPv4", "IPv6"]}
ONE = {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4"]}
NONE = {"clusterIP": "None", "clusterIPs": ["None"], "ipFamilies": ["IPv4"]}
ONLY = "must be set to 'SingleStack' when releasing the secondary"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (ONE, {**TWO, "ipFamilyPolicy": "PreferDualStack"}, []),
        (TWO, {**ONE, "ipFamilyPolicy": "SingleStack"}, []),
        (
            TWO,
            {**ONE, "ipFamilyPolicy": "PreferDualStack"},
            [
                ("spec.ipFamilyPolicy", f'Invalid value: "PreferDualStack": {ONLY} clusterIP'),
                ("spec.ipFamilyPolicy", f'Invalid value: "PreferDualStack": {ONLY} ipFamily'),
            ],
        ),
        (
            TWO,
            {**TWO, "clusterIPs": ["10.0.0.1", "fd00::2"]},
            [("spec.clusterIPs[1]", 'Invalid value: ["10.0.0.1","fd00::2"]: may not change once set')],
        ),
        (ONE, NONE, [("spec.clusterIPs[0]", 'Invalid value: ["None"]: may not change once set')]),
        (NONE, {**NONE, "ipFamilies": ["IPv6"]}, []),
        (
            ONE,
            {**ONE, "ipFamilies": ["IPv6"]},
            [
                ("spec.ipFamilies[0]", 'Invalid value: ["IPv6"]: may not change once set'),
                (
                    "spec.clusterIPs[0]",
                    'Invalid value: "10.0.0.1": expected an IPv6 value as indicated by `ipFamilies[0]`',
                ),
            ],
        ),
        (ONE, {"type": "ExternalName", "externalName": "a.example"}, []),
    ],
)
def test_addresses_that_services_keep(old: Document, new: Document, expected: Causes) -> None:
    assert service(old, **new) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {"ipFamilies": ["IPv5"]},
            [("spec.ipFamilies[0]", 'Unsupported value: "IPv5": supported values: "IPv4", "IPv6"')],
        ),
        (
            {"ipFamilyPolicy": "Both"},
            [
                (
                    "spec.ipFamilyPolicy",
                    'Unsupported value: "Both": supported values: "PreferDualStack", "RequireDualStack", "SingleStack"',
                )
            ],
        ),
        (
            {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "fd00::1", "10.0.0.2"]},
            [("spec.clusterIPs", 'Invalid value: ["10.0.0.1","fd00::1","10.0.0.2"]: may only hold up to 2 values')],
        ),
        (
            {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", ""]},
            [("spec.clusterIPs[1]", f'Invalid value: "": {NO_IP}')],
        ),
        (
            {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 70000},
            [("spec.healthCheckNodePort", "Invalid value: 70000: must be between 1 and 65535, inclusive")],
        ),
        ({"type": "LoadBalancer", "ports": [{"port": 10250}]}, []),
    ],
)
def test_services(spec: Document, expected: Causes) -> None:
    assert service(**spec) == expected


def reached(type_: str, *points: Document) -> Causes:
    new = {"spec": {"type": type_, "ports": PORTS}, "status": {"loadBalancer": {"ingress": list(points)}}}
    return causes(SERVICE, new, {"spec": {"type": type_, "ports": PORTS}}, "status")


def test_where_load_balancers_say_that_a_service_is_reached() -> None:
    path = "status.loadBalancer.ingress"
    only = "Forbidden: may only be used when `spec.type` is 'LoadBalancer'"
    assert reached("ClusterIP", {"ip": "10.0.0.1"}) == [(path, only)]
    assert reached("ClusterIP") == []
    assert reached("LoadBalancer", {"ip": "10.0.0.1"}, {"hostname": "a.example"}) == [], "the mode has a default"
    assert reached("LoadBalancer", {"ip": "x", "ipMode": "Both"}, {"hostname": "10.0.0.1", "ipMode": "VIP"}) == [
        (f"{path}[0].ip", f'Invalid value: "x": {NO_IP}'),
        (f"{path}[0].ipMode", 'Unsupported value: "Both": supported values: "Proxy", "VIP"'),
        (f"{path}[1].ipMode", "Forbidden: may not be specified when `ip` is not set"),
        (f"{path}[1].hostname", 'Invalid value: "10.0.0.1": must be a DNS name, not an IP address'),
    ]
