"""Rules of leases, endpoints, budgets, priorities, runtimes, requests for certificates, roles, revisions and events,
one by one: a document that breaks it, and the field, the reason and the words."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.kinds import (
    CERTIFICATESIGNINGREQUEST,
    CLUSTERROLE,
    CLUSTERROLEBINDING,
    CLUSTERTRUSTBUNDLE,
    CONTROLLERREVISION,
    DEPLOYMENT,
    ENDPOINTS,
    ENDPOINTSLICE,
    EVENT,
    EVENTS_EVENT,
    LEASE,
    LEASECANDIDATE,
    PODDISRUPTIONBUDGET,
    PRIORITYCLASS,
    REPLICASET,
    REPLICATIONCONTROLLER,
    ROLE,
    ROLEBINDING,
    RUNTIMECLASS,
    STATEFULSET,
)
from navarch.kinds.certificates import pem_blocks
from navarch.kinds.kind import Kind
from navarch.objects.value import Draft

Document = dict[str, Any]
Expected = tuple[str, str, str]
GROUP = "rbac.authorization.k8s.io"


def made(kind: Kind, document: Document) -> Document:
    draft = Draft({"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": "x"}, **document})
    kind.default(draft)
    return draft.document


def check(causes: Any, *expected: Expected) -> None:
    found = [(one.field, one.reason.removeprefix("FieldValue"), one.message) for one in causes]
    assert [(field, reason) for field, reason, _ in found] == [(field, reason) for field, reason, _ in expected], found
    for (_, _, message), (_, _, words) in zip(found, expected, strict=True):
        assert words in message


def updated(kind: Kind, new: Document, old: Document | None, *expected: Expected) -> None:
    check(kind.rules(made(kind, new), made(kind, old) if old is not None else None), *expected)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"leaseDurationSeconds": 1, "leaseTransitions": 0, "strategy": "a.io/mine", "preferredHolder": "b"}, []),
        ({"leaseDurationSeconds": 0}, [("spec.leaseDurationSeconds", "Invalid", "must be greater than 0")]),
        ({"leaseTransitions": -1}, [("spec.leaseTransitions", "Invalid", "must be greater than or equal to 0")]),
        ({"strategy": "Odd"}, [("spec.strategy.strategy", "NotSupported", 'values: "OldestEmulationVersion"')]),
        ({"strategy": "a/b/c"}, [("spec.strategy.strategy", "Invalid", "a valid label key")]),
        (
            {"preferredHolder": "b"},
            [("spec.preferredHolder", "Forbidden", "only be specified if `strategy` is defined")],
        ),
    ],
)
def test_leases(spec: Document, expected: list[Expected]) -> None:
    updated(LEASE, {"spec": spec}, None, *expected)


CANDIDATE = {
    "leaseName": "a",
    "binaryVersion": "1.36.0",
    "emulationVersion": "1.35.0",
    "strategy": "OldestEmulationVersion",
}
ASKED = "must be specified when `strategy` is 'OldestEmulationVersion'"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        ({"emulationVersion": "1.36.0-rc.1"}, []),
        ({"strategy": "a.io/mine", "emulationVersion": ""}, []),
        ({"leaseName": ""}, [("spec.leaseName", "Required", "Required value")]),
        (
            {"binaryVersion": "", "emulationVersion": ""},
            [
                ("spec.binaryVersion", "Required", "Required value"),
                ("spec.binaryVersion", "Required", ASKED),
                ("spec.emulationVersion", "Required", ASKED),
            ],
        ),
        ({"binaryVersion": "0.0.0", "emulationVersion": "0.0.0-a"}, [("spec.binaryVersion", "Required", ASKED)]),
        (
            {"strategy": "a.io/mine", "binaryVersion": "v1.36"},
            [
                ("spec.binaryVersion", "Invalid", "must be a valid semantic version"),
                ("spec.binaryVersion", "Invalid", "must be greater than or equal to `emulationVersion`"),
            ],
        ),
        ({"binaryVersion": "1.35.0-rc.1"}, [("spec.binaryVersion", "Invalid", "or equal to `emulationVersion`")]),
        ({"strategy": ""}, [("spec.strategy", "Required", "Required value")]),
        ({"strategy": "Odd"}, [("spec.strategy.strategy", "NotSupported", '"Odd"')]),
    ],
)
def test_candidates(spec: Document, expected: list[Expected]) -> None:
    updated(LEASECANDIDATE, {"spec": {**CANDIDATE, **spec}}, None, *expected)


def test_candidates_stay_by_their_lease_and_may_be_called_as_a_key() -> None:
    new = {"spec": {**CANDIDATE, "leaseName": "b"}}
    updated(LEASECANDIDATE, new, {"spec": CANDIDATE}, ("spec.leaseName", "Invalid", "field is immutable"))
    assert LEASECANDIDATE.name_rule is not None
    assert not list(LEASECANDIDATE.name_rule("Mine_1"))
    assert list(LEASECANDIDATE.name_rule("a/b"))


def slice_of(address: str = "10.0.0.1", type_: str = "IPv4", ports: Any = (), **endpoint: Any) -> Document:
    return {"addressType": type_, "endpoints": [{"addresses": [address], **endpoint}], "ports": list(ports)}


ADDRESS = "endpoints[0].addresses[0]"
HINTS = "endpoints[0].hints"
NODES = [{"name": f"n{n}"} for n in range(9)]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (slice_of("127.0.0.1"), []),
        (slice_of("example.com.", "FQDN"), []),
        (slice_of(hints={"forZones": [{"name": "a"}], "forNodes": NODES[:8]}), []),
        ({}, [("addressType", "Required", "Required value")]),
        ({"addressType": "Odd"}, [("addressType", "NotSupported", 'supported values: "FQDN", "IPv4", "IPv6"')]),
        (
            {"addressType": "IPv4", "endpoints": [{"addresses": []}]},
            [("endpoints[0].addresses", "Required", "must contain at least 1 address")],
        ),
        (
            {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"] * 101}]},
            [("endpoints[0].addresses", "TooMany", "101: must have at most 100 items")],
        ),
        ({"addressType": "IPv4", "endpoints": [{}] * 1001}, [("endpoints", "TooMany", "must have at most 1000 items")]),
        (slice_of("fd00::1"), [(ADDRESS, "Invalid", "must be a valid IPv4 address")]),
        (slice_of("10.0.0.1", "IPv6"), [(ADDRESS, "Invalid", "must be a valid IPv6 address")]),
        (slice_of("0.0.0.0"), [(ADDRESS, "Invalid", "may not be unspecified (0.0.0.0)")]),
        (slice_of("169.254.1.1"), [(ADDRESS, "Invalid", "may not be in the link-local range")]),
        (slice_of("fe80::1", "IPv6"), [(ADDRESS, "Invalid", "may not be in the link-local range")]),
        (slice_of("224.0.0.1"), [(ADDRESS, "Invalid", "may not be in the link-local multicast range")]),
        (slice_of("", "FQDN"), [(ADDRESS, "Required", "Required value")]),
        (slice_of("a_b.com", "FQDN"), [(ADDRESS, "Invalid", "a lowercase RFC 1123 subdomain must consist of")]),
        (
            slice_of("localhost", "FQDN"),
            [(ADDRESS, "Invalid", "a domain with at least two segments separated by dots")],
        ),
        (slice_of(f"{'a' * 64}.com", "FQDN"), [(ADDRESS, "Invalid", "must be no more than 63 bytes")]),
        (slice_of(nodeName=""), [("endpoints[0].nodeName", "Invalid", "a lowercase RFC 1123 subdomain must")]),
        (slice_of(hostname="a.b"), [("endpoints[0].hostname", "Invalid", "must not contain dots")]),
        (
            slice_of(hints={"forZones": [{"name": "a"}, {"name": "a"}, {"name": "b c"}]}),
            [
                (f"{HINTS}.forZones[1].name", "Duplicate", '"a"'),
                (f"{HINTS}.forZones[2].name", "Invalid", "a valid label must be an empty string or consist of"),
            ],
        ),
        (slice_of(hints={"forNodes": NODES}), [(f"{HINTS}.forNodes", "TooMany", "9: must have at most 8 items")]),
        (
            slice_of(hints={"forNodes": [{"name": "A"}]}),
            [(f"{HINTS}.forNodes[0].name", "Invalid", "RFC 1123 subdomain")],
        ),
        (
            slice_of(ports=[{"port": 1}, {"port": 2, "name": "A"}, {"protocol": "ICMP", "appProtocol": "a b"}]),
            [
                ("ports[1].name", "Invalid", "a lowercase RFC 1123 label must consist of"),
                ("ports[2].name", "Duplicate", '""'),
                ("ports[2].protocol", "NotSupported", 'supported values: "SCTP", "TCP", "UDP"'),
                ("ports[2].appProtocol", "Invalid", "name part must consist of alphanumeric characters"),
            ],
        ),
        (slice_of(ports=[{"name": "a"}] * 20_001), [("ports", "TooMany", "20001: must have at most 20000 items")]),
    ],
)
def test_slices(document: Document, expected: list[Expected]) -> None:
    updated(ENDPOINTSLICE, document, None, *expected)


def test_slices_keep_their_kind_of_address_and_lose_old_topology() -> None:
    new, old = slice_of("fd00::1", "IPv6"), slice_of()
    updated(ENDPOINTSLICE, new, old, ("addressType", "Invalid", "field is immutable"))
    assert ENDPOINTSLICE.prepare is not None
    draft = Draft(slice_of(deprecatedTopology={"kubernetes.io/hostname": "n"}))
    ENDPOINTSLICE.prepare(draft, None)
    assert draft.document == slice_of()


def subset(**fields: Any) -> Document:
    return {"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 1}], **fields}]}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (subset(ports=[]), []),
        (subset(addresses=[{"ip": "127.0.0.1"}]), []),
        (subset(addresses=[]), [("subsets[0]", "Required", "must specify `addresses` or `notReadyAddresses`")]),
        (
            subset(addresses=[{"ip": "x", "hostname": "A", "nodeName": "A"}]),
            [
                ("subsets[0].addresses[0].ip", "Invalid", "must be a valid IP address"),
                ("subsets[0].addresses[0].hostname", "Invalid", "a lowercase RFC 1123 label must consist of"),
                ("subsets[0].addresses[0].nodeName", "Invalid", "a lowercase RFC 1123 subdomain must consist of"),
                ("subsets[0].addresses[0].ip", "Invalid", "must be a valid IP address"),
            ],
        ),
        (
            subset(notReadyAddresses=[{"ip": "169.254.0.1"}]),
            [("subsets[0].notReadyAddresses[0].ip", "Invalid", "may not be in the link-local range")],
        ),
        (
            subset(ports=[{"port": 0, "protocol": "ICMP"}, {"port": 1, "name": "A", "appProtocol": "a b"}]),
            [
                ("subsets[0].ports[0].name", "Required", "Required value"),
                ("subsets[0].ports[0].port", "Invalid", "must be between 1 and 65535, inclusive"),
                ("subsets[0].ports[0].protocol", "NotSupported", 'supported values: "SCTP", "TCP", "UDP"'),
                ("subsets[0].ports[1].name", "Invalid", "a lowercase RFC 1123 label must consist of"),
                ("subsets[0].ports[1].appProtocol", "Invalid", "name part must consist of alphanumeric characters"),
            ],
        ),
    ],
)
def test_endpoints(document: Document, expected: list[Expected]) -> None:
    updated(ENDPOINTS, document, None, *expected)
    updated(ENDPOINTS, document, document)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"minAvailable": "100%", "unhealthyPodEvictionPolicy": "AlwaysAllow"}, []),
        (
            {"minAvailable": 1, "maxUnavailable": 1},
            [("spec", "Invalid", "minAvailable and maxUnavailable cannot be both")],
        ),
        ({"minAvailable": -1}, [("spec.minAvailable", "Invalid", "must be greater than or equal to 0")]),
        ({"maxUnavailable": "101%"}, [("spec.maxUnavailable", "Invalid", "must not be greater than 100%")]),
        ({"maxUnavailable": "many"}, [("spec.maxUnavailable", "Invalid", "a valid percent string must be")]),
        (
            {"selector": {"matchExpressions": [{"key": "a", "operator": "Odd"}]}},
            [("spec.selector.matchExpressions[0].operator", "Invalid", "not a valid selector operator")],
        ),
        (
            {"unhealthyPodEvictionPolicy": "Odd"},
            [("spec.unhealthyPodEvictionPolicy", "NotSupported", '"AlwaysAllow", "IfHealthyBudget"')],
        ),
    ],
)
def test_budgets(spec: Document, expected: list[Expected]) -> None:
    updated(PODDISRUPTIONBUDGET, {"spec": spec}, None, *expected)


FINE = {"type": "A", "status": "True", "reason": "B", "lastTransitionTime": "2026-01-01T00:00:00Z"}
CONDITION = "status.conditions[0]"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"conditions": [FINE], "expectedPods": 0}, []),
        ({"disruptionsAllowed": -1}, [("status.disruptionsAllowed", "Invalid", "must be greater than or equal to 0")]),
        ({"conditions": [FINE, FINE]}, [("status.conditions[1].type", "Duplicate", '"A"')]),
        (
            {"conditions": [{"observedGeneration": -1}]},
            [
                (f"{CONDITION}.type", "Invalid", "name part must be non-empty"),
                (f"{CONDITION}.type", "Invalid", "name part must consist of alphanumeric characters"),
                (f"{CONDITION}.status", "NotSupported", 'supported values: "False", "True", "Unknown"'),
                (f"{CONDITION}.observedGeneration", "Invalid", "must be greater than or equal to zero"),
                (f"{CONDITION}.lastTransitionTime", "Required", "must be set"),
                (f"{CONDITION}.reason", "Required", "must be set"),
            ],
        ),
        (
            {"conditions": [{**FINE, "reason": "a b", "message": "ä" * 16_385}]},
            [
                (f"{CONDITION}.reason", "Invalid", "a condition reason must start with alphabetic character"),
                (f"{CONDITION}.message", "TooLong", "may not be more than 32768 bytes"),
            ],
        ),
        (
            {"conditions": [{**FINE, "reason": "a" * 1025}]},
            [(f"{CONDITION}.reason", "TooLong", "more than 1024 bytes")],
        ),
    ],
)
def test_the_status_of_budgets(status: Document, expected: list[Expected]) -> None:
    check(PODDISRUPTIONBUDGET.subresource_rules["status"]({"status": status}, {}), *expected)


def named(name: str, **fields: Any) -> Document:
    return {"metadata": {"name": name}, **fields}


RESERVED = "priority class names with 'system-' prefix are reserved for system use only. error: "


@pytest.mark.parametrize(
    ("document", "old", "expected"),
    [
        (named("a", value=1_000_000_000), None, []),
        (named("system-node-critical", value=2_000_001_000), None, []),
        (named("a", value=1_000_000_001), None, [("value", "Forbidden", "of a user defined priority is 1000000000")]),
        (
            named("system-a"),
            None,
            [("metadata.name", "Forbidden", f"{RESERVED}system-a is not a known system priority class")],
        ),
        (
            named("system-node-critical", value=1),
            None,
            [
                (
                    "metadata.name",
                    "Forbidden",
                    f"{RESERVED}value of system-node-critical PriorityClass must be 2000001000",
                )
            ],
        ),
        (
            named("system-node-critical", value=2_000_001_000, globalDefault=True),
            None,
            [("metadata.name", "Forbidden", "globalDefault of system-node-critical PriorityClass must be false")],
        ),
        (
            named("a", preemptionPolicy="Odd"),
            None,
            [("preemptionPolicy", "NotSupported", 'supported values: "PreemptLowerPriority", "Never"')],
        ),
        (named("a", value=2), named("a", value=1), [("value", "Forbidden", "may not be changed in an update.")]),
        (named("a", preemptionPolicy="Never"), named("a"), [("preemptionPolicy", "Invalid", "field is immutable")]),
    ],
)
def test_priorities(document: Document, old: Document | None, expected: list[Expected]) -> None:
    updated(PRIORITYCLASS, document, old, *expected)


TWICE = [{"key": "a", "operator": "Exists"}, {"key": "a", "operator": "Exists", "effect": ""}]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"handler": "a", "overhead": {"podFixed": {"cpu": "1"}}}, []),
        ({"handler": ""}, [("handler", "Required", "Required value")]),
        ({"handler": "a.b"}, [("handler", "Invalid", "must not contain dots")]),
        (
            {"handler": "a", "overhead": {"podFixed": {"cpu": "-1", "odd": "1"}}},
            [
                ("overhead.limits[cpu]", "Invalid", "must be greater than or equal to 0"),
                ("overhead.limits[odd]", "Invalid", "must be a standard resource type or fully qualified"),
                ("overhead.limits[odd]", "Invalid", "must be a standard resource for containers"),
            ],
        ),
        (
            {"handler": "a", "scheduling": {"nodeSelector": {"a b": "c d"}, "tolerations": TWICE}},
            [
                ("scheduling.nodeSelector", "Invalid", "name part must consist of alphanumeric characters"),
                ("scheduling.nodeSelector", "Invalid", "a valid label must be an empty string or consist of"),
                ("scheduling.tolerations[1]", "Duplicate", "Duplicate value"),
            ],
        ),
    ],
)
def test_runtimes(document: Document, expected: list[Expected]) -> None:
    updated(RUNTIMECLASS, document, None, *expected)
    updated(RUNTIMECLASS, {**document, "handler": "b"}, {**document, "handler": "b"})


def test_a_runtimes_handler_stays() -> None:
    updated(RUNTIMECLASS, {"handler": "b"}, {"handler": "a"}, ("handler", "Invalid", "field is immutable"))


def rule(**fields: Any) -> Document:
    return {"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], **fields}]}


@pytest.mark.parametrize(
    ("kind", "document", "expected"),
    [
        (ROLE, rule(), []),
        (ROLE, rule(verbs=[]), [("rules[0].verbs", "Required", "verbs must contain at least one value")]),
        (
            ROLE,
            rule(apiGroups=[]),
            [("rules[0].apiGroups", "Required", "resource rules must supply at least one api group")],
        ),
        (
            ROLE,
            rule(resources=[]),
            [("rules[0].resources", "Required", "resource rules must supply at least one resource")],
        ),
        (
            ROLE,
            rule(nonResourceURLs=["/a"]),
            [
                ("rules[0].nonResourceURLs", "Invalid", "namespaced rules cannot apply to non-resource URLs"),
                (
                    "rules[0].nonResourceURLs",
                    "Invalid",
                    "rules cannot apply to both regular resources and non-resource",
                ),
            ],
        ),
        (CLUSTERROLE, {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/a"]}]}, []),
        (
            CLUSTERROLE,
            {"aggregationRule": {}},
            [("aggregationRule.clusterRoleSelectors", "Required", "at least one clusterRoleSelector required if")],
        ),
        (
            CLUSTERROLE,
            {"aggregationRule": {"clusterRoleSelectors": [{"matchExpressions": [{"key": "a", "operator": "In"}]}]}},
            [
                ("aggregationRule.clusterRoleSelectors[0].matchExpressions[0].values", "Required", "must be specified"),
                ("aggregationRule.clusterRoleSelectors[0]", "Invalid", "invalid label selector."),
            ],
        ),
    ],
)
def test_roles(kind: Kind, document: Document, expected: list[Expected]) -> None:
    updated(kind, document, None, *expected)


def binding(*subjects: Document, **role: Any) -> Document:
    return {"roleRef": {"kind": "ClusterRole", "name": "a", **role}, "subjects": list(subjects)}


@pytest.mark.parametrize(
    ("kind", "document", "expected"),
    [
        (ROLEBINDING, binding({"kind": "ServiceAccount", "name": "a"}, {"kind": "User", "name": "b:c"}), []),
        (ROLEBINDING, binding(apiGroup="odd"), [("roleRef.apiGroup", "NotSupported", f'supported values: "{GROUP}"')]),
        (ROLEBINDING, binding(kind="Odd"), [("roleRef.kind", "NotSupported", 'values: "Role", "ClusterRole"')]),
        (CLUSTERROLEBINDING, binding(kind="Role"), [("roleRef.kind", "NotSupported", 'values: "ClusterRole"')]),
        (ROLEBINDING, binding(name=""), [("roleRef.name", "Required", "Required value")]),
        (ROLEBINDING, binding(name="a/b"), [("roleRef.name", "Invalid", "may not contain '/'")]),
        (
            CLUSTERROLEBINDING,
            binding({"kind": "ServiceAccount", "name": "A", "apiGroup": GROUP}),
            [
                ("subjects[0].name", "Invalid", "a lowercase RFC 1123 subdomain must consist of"),
                ("subjects[0].apiGroup", "NotSupported", 'supported values: ""'),
                ("subjects[0].namespace", "Required", "Required value"),
            ],
        ),
        (
            ROLEBINDING,
            binding({"kind": "User", "apiGroup": "odd"}, {"kind": "Odd", "name": "a"}),
            [
                ("subjects[0].name", "Required", "Required value"),
                ("subjects[0].apiGroup", "NotSupported", f'supported values: "{GROUP}"'),
                ("subjects[1].kind", "NotSupported", 'supported values: "ServiceAccount", "User", "Group"'),
            ],
        ),
    ],
)
def test_bindings(kind: Kind, document: Document, expected: list[Expected]) -> None:
    updated(kind, document, None, *expected)


def test_a_binding_keeps_its_role() -> None:
    updated(ROLEBINDING, binding(name="b"), binding(), ("roleRef", "Invalid", "cannot change roleRef"))


@pytest.mark.parametrize(
    ("document", "old", "expected"),
    [
        ({"data": {}}, None, []),
        ({"revision": -1}, None, [("data", "Required", "data is mandatory"), ("revision", "Invalid", "or equal to 0")]),
        ({"data": {"a": 1}, "revision": 2}, {"data": {"a": 2}}, [("data", "Invalid", "field is immutable")]),
        ({"data": {"a": 1}, "revision": 2}, {"data": {"a": 1}}, []),
    ],
)
def test_revisions(document: Document, old: Document | None, expected: list[Expected]) -> None:
    updated(CONTROLLERREVISION, document, old, *expected)


TEMPLATE: Document = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}}
LABELS_AT = "spec.template.metadata.labels"


def workload(**spec: Any) -> Document:
    return {"spec": {"selector": {"matchLabels": {"app": "a"}}, "template": TEMPLATE, **spec}}


@pytest.mark.parametrize(
    ("kind", "document", "old", "expected"),
    [
        (
            DEPLOYMENT,
            {"spec": {"template": TEMPLATE}},
            None,
            [("spec.selector", "Required", "Required value"), (LABELS_AT, "Invalid", "`selector` does not match")],
        ),
        (
            REPLICASET,
            workload(selector={"matchExpressions": [{"key": "app", "operator": "Odd"}]}),
            None,
            [
                ("spec.selector.matchExpressions[0].operator", "Invalid", "not a valid selector operator"),
                ("spec.selector", "Invalid", "invalid label selector"),
            ],
        ),
        (
            DEPLOYMENT,
            workload(strategy={"type": "Odd"}),
            None,
            [("spec.strategy", "NotSupported", '"Recreate", "Roll')],
        ),
        (DEPLOYMENT, workload(strategy={"rollingUpdate": {"maxSurge": "200%"}}), None, []),
        (
            DEPLOYMENT,
            workload(strategy={"rollingUpdate": {"maxUnavailable": "200%"}}),
            None,
            [("spec.strategy.rollingUpdate.maxUnavailable", "Invalid", "must not be greater than 100%")],
        ),
        (
            STATEFULSET,
            workload(podManagementPolicy="", serviceName="A"),
            None,
            [
                ("spec.podManagementPolicy", "Required", "Required value"),
                ("spec.serviceName", "Invalid", "a lowercase RFC 1123 label must consist of"),
            ],
        ),
        (
            STATEFULSET,
            workload(podManagementPolicy="Odd"),
            None,
            [("spec.podManagementPolicy", "Invalid", "'Parallel'")],
        ),
        (
            STATEFULSET,
            workload(revisionHistoryLimit=-1),
            None,
            [("spec.revisionHistoryLimit", "Invalid", "equal to 0")],
        ),
        (STATEFULSET, workload(revisionHistoryLimit=-1, replicas=2), workload(revisionHistoryLimit=-1), []),
        (STATEFULSET, workload(serviceName="A", replicas=2), workload(serviceName="A"), []),
        (
            STATEFULSET,
            workload(serviceName="b"),
            workload(serviceName="a"),
            [
                (
                    "spec",
                    "Forbidden",
                    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds'",
                )
            ],
        ),
        (
            REPLICATIONCONTROLLER,
            {"spec": {"replicas": -1, "minReadySeconds": -1}},
            None,
            [
                ("spec.minReadySeconds", "Invalid", "must be greater than or equal to 0"),
                ("spec.selector", "Required", "Required value"),
                ("spec.replicas", "Invalid", "must be greater than or equal to 0"),
                ("spec.template", "Required", "Required value"),
            ],
        ),
        (
            REPLICATIONCONTROLLER,
            {"spec": {"template": {**TEMPLATE, "spec": {**TEMPLATE["spec"], "activeDeadlineSeconds": 1}}}},
            None,
            [
                (
                    "spec.template.spec.activeDeadlineSeconds",
                    "Forbidden",
                    "activeDeadlineSeconds in ReplicationController is not Supported",
                )
            ],
        ),
    ],
)
def test_workloads(kind: Kind, document: Document, old: Document | None, expected: list[Expected]) -> None:
    updated(kind, document, old, *expected)


def test_stateful_sets_are_called_as_their_pods_can_be() -> None:
    assert STATEFULSET.name_rule is not None
    assert list(STATEFULSET.name_rule("a.b")) == ["must not contain dots"]


def signer_told(name: str) -> list[str]:
    causes = CLUSTERTRUSTBUNDLE.rules({"spec": {"signerName": name}}, {"spec": {"signerName": name}})
    return [one.message for one in causes if one.field == "spec.signerName"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.io", "must be a fully qualified domain and path of the form 'example.com/signer-name'"),
        ("a.io/b/c", "must be a fully qualified domain and path of the form 'example.com/signer-name'"),
        ("io/b", 'Invalid value: "io": should be a domain with at least two segments separated by dots'),
        ("A.io/b", 'Invalid value: "A.io": validating label "A": a lowercase RFC 1123 label must consist of'),
        ("a.io/B", 'Invalid value: "B": validating label "B": a lowercase RFC 1123 subdomain must consist of'),
    ],
)
def test_signers(name: str, words: str) -> None:
    (message,) = signer_told(name)
    assert words in message


def test_only_requests_refuse_the_signer_of_old() -> None:
    assert signer_told("kubernetes.io/legacy-unknown") == []
    found = CERTIFICATESIGNINGREQUEST.rules({"spec": {"signerName": "kubernetes.io/legacy-unknown"}}, None)
    assert [one.message for one in found if one.field == "spec.signerName"] == [
        'Invalid value: "kubernetes.io/legacy-unknown": the legacy signerName is not allowed via this API version'
    ]


def condition(type_: str, status: str = "True") -> Document:
    return {"type": type_, "status": status}


APPROVED, DENIED, FAILED = (condition(type_) for type_ in ("Approved", "Denied", "Failed"))
AT = "status.conditions"


@pytest.mark.parametrize(
    ("subresource", "new", "old", "expected"),
    [
        ("approval", [APPROVED], [], []),
        ("approval", [APPROVED, FAILED, condition("Mine", "Unknown")], [APPROVED], []),
        ("status", [FAILED], [], []),
        ("status", [APPROVED], [], [(AT, "Forbidden", 'updates may not add a condition of type "Approved"')]),
        ("approval", [{"status": "True"}], [], [(f"{AT}[0].type", "Required", "Required value")]),
        ("approval", [{"type": "Mine"}], [], [(f"{AT}[0].status", "Required", "Required value")]),
        ("approval", [condition("Approved", "False")], [], [(f"{AT}[0].status", "NotSupported", 'values: "True"')]),
        (
            "approval",
            [condition("Mine", "Odd")],
            [],
            [(f"{AT}[0].status", "NotSupported", '"False", "True", "Unknown"')],
        ),
        ("approval", [APPROVED, DENIED], [APPROVED], [(AT, "Invalid", '"Denied": Approved and Denied conditions are')]),
        ("approval", [APPROVED, APPROVED], [], [(f"{AT}[1].type", "Duplicate", '"Approved"')]),
        ("approval", [], [DENIED], [(AT, "Forbidden", 'updates may not remove a condition of type "Denied"')]),
        ("approval", [APPROVED, DENIED, FAILED], [APPROVED, DENIED], []),
    ],
)
def test_decisions(subresource: str, new: list[Document], old: list[Document], expected: list[Expected]) -> None:
    rules = CERTIFICATESIGNINGREQUEST.subresource_rules[subresource]
    check(rules({"status": {"conditions": new}}, {"status": {"conditions": old}}), *expected)


def test_signers_leave_what_approvers_wrote() -> None:
    noted = {**APPROVED, "reason": "Mine"}
    draft = Draft({"status": {"conditions": [FAILED, APPROVED]}})
    assert CERTIFICATESIGNINGREQUEST.prepare_status is not None
    CERTIFICATESIGNINGREQUEST.prepare_status(draft, {"status": {"conditions": [noted]}})
    assert draft.document == {"status": {"conditions": [FAILED, noted]}}


@pytest.mark.parametrize(
    ("given", "held", "expected"),
    [
        ("", None, []),
        (
            "YQ==",
            None,
            [("status.certificate", "Invalid", '"<certificate data>": must contain at least one CERTIFICATE')],
        ),
        ("YQ==", "YQ==", []),
        (None, "YQ==", [("status.certificate", "Forbidden", "updates may not modify existing certificate content")]),
        (
            "LS0tLS1CRUdJTiBLRVktLS0tLQphYmNkCi0tLS0tRU5EIEtFWS0tLS0tCg==",
            None,
            [("status.certificate", "Invalid", 'only CERTIFICATE PEM blocks are allowed, found "KEY"')],
        ),
    ],
)
def test_certificates(given: str | None, held: str | None, expected: list[Expected]) -> None:
    def status(value: str | None) -> Document:
        return {"status": {} if value is None else {"certificate": value}}

    check(CERTIFICATESIGNINGREQUEST.subresource_rules["status"](status(given), status(held)), *expected)


def test_blocks_in_pem() -> None:
    one, two = "-----BEGIN A B-----\nYQ==\n-----END A B-----\n", "-----BEGIN C-----\r\nYg==\r\n-----END C-----\r\n"
    assert list(pem_blocks(f"said before\n{one}between{two}-----BEGIN D-----\n")) == [
        ("A B", "YQ==\n"),
        ("C", "Yg==\n"),
    ]
    assert list(pem_blocks("-----BEGIN A-----" * 3)) == []
    assert list(pem_blocks("-----BEGIN A-----\n" * 10_000)) == []


NEWER: Document = {
    "eventTime": "2026-01-01T00:00:00.000000Z",
    "reportingComponent": "a.io/b",
    "reportingInstance": "c",
    "action": "Do",
    "reason": "Because",
    "type": "Normal",
}


def event(about: str = "n", space: str = "n", **fields: Any) -> Document:
    return {"metadata": {"name": "x", "namespace": space}, "involvedObject": {"namespace": about}, **fields}


ELSEWHERE = ("involvedObject.namespace", "Invalid", "does not match event.namespace")


@pytest.mark.parametrize(
    ("kind", "document", "expected"),
    [
        (EVENT, event(), []),
        (EVENT, event("", "default"), []),
        (EVENT, event("", "kube-system"), [ELSEWHERE]),
        (EVENT, event("m"), [ELSEWHERE]),
        (EVENT, event("m", **NEWER), []),
        (EVENT, event("", "kube-system", **NEWER), []),
        (EVENT, event("", **NEWER), [ELSEWHERE]),
        (
            EVENT,
            event(eventTime=NEWER["eventTime"], message="ä" * 513),
            [
                ("reportingComponent", "Required", "Required value"),
                ("reportingComponent", "Invalid", "name part must be non-empty"),
                ("reportingComponent", "Invalid", "name part must consist of alphanumeric characters"),
                ("reportingInstance", "Required", "Required value"),
                ("action", "Required", "Required value"),
                ("reason", "Required", "Required value"),
                ("message", "Invalid", "can have at most 1024 characters"),
            ],
        ),
        (
            EVENT,
            event(**{**NEWER, "reason": "a" * 129, "action": "b" * 129, "reportingInstance": "c" * 129}),
            [
                (field, "Invalid", "can have at most 128 characters")
                for field in ("reportingInstance", "action", "reason")
            ],
        ),
        (EVENTS_EVENT, event(**NEWER), []),
        (
            EVENTS_EVENT,
            event("m", type="Odd"),
            [
                ELSEWHERE,
                ("eventTime", "Required", "Required value"),
                ("type", "Invalid", "has invalid value: Odd"),
            ],
        ),
        (
            EVENTS_EVENT,
            event(**NEWER, count=1, firstTimestamp="t", lastTimestamp="t", source={"component": "a"}),
            [
                (field, "Invalid", "needs to be unset")
                for field in ("firstTimestamp", "lastTimestamp", "count", "source")
            ],
        ),
        (
            EVENTS_EVENT,
            event(**NEWER, series={"count": 1}),
            [
                ("series.count", "Invalid", "should be at least 2"),
                ("series.lastObservedTime", "Required", "Required value"),
            ],
        ),
        (
            EVENTS_EVENT,
            event(**{**NEWER, "reportingComponent": "a b"}),
            [("reportingController", "Invalid", "name part must consist of alphanumeric characters")],
        ),
    ],
)
def test_events(kind: Kind, document: Document, expected: list[Expected]) -> None:
    updated(kind, document, None, *expected)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"series": {"count": 2, "lastObservedTime": "t"}}, []),
        ({"series": {"count": 1, "lastObservedTime": "t"}}, [("series.count", "Invalid", "should be at least 2")]),
        ({"eventTime": "2026-01-01T00:00:00.000000123Z"}, []),
        ({"eventTime": "2026-01-01T00:00:00.000001Z"}, [("eventTime", "Invalid", "field is immutable")]),
        ({"message": "new"}, [("message", "Invalid", "field is immutable")]),
        ({"count": 2}, [("count", "Invalid", "field is immutable")]),
        ({"reportingComponent": "d"}, [("reportingController", "Invalid", "field is immutable")]),
    ],
)
def test_events_settle(change: Document, expected: list[Expected]) -> None:
    old = event(**NEWER)
    updated(EVENTS_EVENT, {**old, **change}, old, *expected)
    updated(EVENT, {**old, **change}, old)
