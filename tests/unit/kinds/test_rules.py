"""Which objects of the other kinds are refused, and in which words; and that rules hold out against anything."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navarch.base.errors import Cause
from navarch.kinds import (
    ALL,
    BINDING,
    BODIES,
    CLUSTERROLE,
    CLUSTERROLEBINDING,
    CONFIGMAP,
    CONTROLLERREVISION,
    DEPLOYMENT,
    ENDPOINTS,
    ENDPOINTSLICE,
    EVENT,
    LEASE,
    LIMITRANGE,
    NAMESPACE,
    NODE,
    PERSISTENTVOLUME,
    PERSISTENTVOLUMECLAIM,
    PODDISRUPTIONBUDGET,
    PODTEMPLATE,
    PRIORITYCLASS,
    REPLICASET,
    REPLICATIONCONTROLLER,
    RESOURCEQUOTA,
    ROLE,
    ROLEBINDING,
    SCALE,
    SECRET,
    SERVICE,
    STORAGECLASS,
    TOKENREQUEST,
)
from navarch.kinds.kind import Kind
from navarch.kinds.rules import Faults, changed_fields, shown
from navarch.kinds.schema import definition_name
from navarch.objects.value import Draft

Document = dict[str, Any]


def complete(kind: Kind, document: Document) -> Document:
    draft = Draft({"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": "x"}, **document})
    kind.default(draft)
    return draft.document


def causes(kind: Kind, document: Document, old: Document | None = None) -> list[tuple[str, str]]:
    """Of documents with their defaults filled in."""
    before = complete(kind, old) if old is not None else None
    return [(cause.field, cause.message) for cause in kind.rules(complete(kind, document), before)]


TEMPLATE = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}}


def workload(**spec: Any) -> Document:
    return {"spec": {"selector": {"matchLabels": {"app": "a"}}, "template": TEMPLATE, **spec}}


def service(**spec: Any) -> Document:
    return {"spec": {"ports": [{"port": 80}], **spec}}


def binding(kind: str = "Role", **more: Any) -> Document:
    return {"roleRef": {"kind": kind, "name": "r"}, **more}


def test_good_objects_have_no_faults() -> None:
    good: list[tuple[Kind, Document]] = [
        (DEPLOYMENT, workload()),
        (DEPLOYMENT, workload(strategy={"type": "Recreate"})),
        (REPLICASET, workload()),
        (REPLICATIONCONTROLLER, {"spec": {"template": TEMPLATE}}),
        (PODTEMPLATE, {"template": TEMPLATE}),
        (SERVICE, service()),
        (SERVICE, {"spec": {"clusterIP": "None", "clusterIPs": ["None"]}}),
        (SERVICE, {"spec": {"type": "ExternalName", "externalName": "example.com."}}),
        (CONFIGMAP, {"data": {"a.b": "c"}, "binaryData": {"d": "AA=="}}),
        (SECRET, {"stringData": {"a": "b"}}),
        (NAMESPACE, {"spec": {"finalizers": ["kubernetes", "a.b/c"]}}),
        (ROLE, {"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]}),
        (CLUSTERROLE, {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz"]}]}),
        (ROLEBINDING, binding(subjects=[{"kind": "ServiceAccount", "name": "a", "namespace": "b"}])),
        (ENDPOINTSLICE, {"addressType": "IPv6", "endpoints": [{"addresses": ["::1"]}], "ports": [{"port": 1}]}),
        (ENDPOINTS, {"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 1}]}]}),
        (LEASE, {"spec": {"leaseDurationSeconds": 15}}),
        (PODDISRUPTIONBUDGET, {"spec": {"minAvailable": "50%"}}),
        (STORAGECLASS, {"provisioner": "p"}),
        (NODE, {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}], "podCIDRs": ["10.0.0.0/24"]}}),
        (PRIORITYCLASS, {"value": 5}),
        (EVENT, {"metadata": {"namespace": "n"}, "involvedObject": {"namespace": "n"}}),
        (LIMITRANGE, {"spec": {"limits": [{"type": "Container", "min": {"cpu": "1"}, "max": {"cpu": "1"}}]}}),
    ]
    assert [(kind, found) for kind, document in good if (found := causes(kind, document))] == []


CLAIM_SPEC: Document = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}}}
PVC_SOURCE: Document = {"name": "a", "kind": "PersistentVolumeClaim"}


@pytest.mark.parametrize(
    ("kind", "document", "field", "message"),
    [
        (DEPLOYMENT, workload(replicas=-1), "spec.replicas", "Invalid value: -1: must be greater than or equal to 0"),
        (
            DEPLOYMENT,
            workload(selector={"matchLabels": {"app": "b"}}),
            "spec.template.metadata.labels",
            'Invalid value: {"app":"a"}: `selector` does not match template `labels`',
        ),
        (
            DEPLOYMENT,
            workload(selector={}),
            "spec.selector",
            "Invalid value: {}: empty selector is invalid for deployment",
        ),
        (
            DEPLOYMENT,
            workload(strategy={"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}),
            "spec.strategy.rollingUpdate.maxUnavailable",
            'Invalid value: "0%": may not be 0 when `maxSurge` is 0',
        ),
        (
            DEPLOYMENT,
            workload(strategy={"rollingUpdate": {"maxUnavailable": "101%"}}),
            "spec.strategy.rollingUpdate.maxUnavailable",
            'Invalid value: "101%": must not be greater than 100%',
        ),
        (
            DEPLOYMENT,
            workload(strategy={"type": "Recreate", "rollingUpdate": {}}),
            "spec.strategy.rollingUpdate",
            "Forbidden: may not be specified when strategy `type` is 'Recreate'",
        ),
        (
            DEPLOYMENT,
            workload(progressDeadlineSeconds=5, minReadySeconds=5),
            "spec.progressDeadlineSeconds",
            "Invalid value: 5: must be greater than minReadySeconds",
        ),
        (
            REPLICASET,
            workload(template={**TEMPLATE, "spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}),
            "spec.template.spec.restartPolicy",
            'Unsupported value: "Never": supported values: "Always"',
        ),
        (REPLICATIONCONTROLLER, {"spec": {"selector": {"a": "b"}}}, "spec.template", "Required value"),
        (SERVICE, service(ports=[]), "spec.ports", "Required value"),
        (SERVICE, service(ports=[{"port": 1}, {"port": 2, "name": "b"}]), "spec.ports[0].name", "Required value"),
        (
            SERVICE,
            service(ports=[{"port": 1, "name": "a"}, {"port": 1, "name": "b"}]),
            "spec.ports[1]",
            'Duplicate value: {"protocol":"TCP","port":1}',
        ),
        (
            SERVICE,
            service(ports=[{"port": 1, "nodePort": 30000}]),
            "spec.ports[0].nodePort",
            "Forbidden: may not be used when `type` is 'ClusterIP'",
        ),
        (
            SERVICE,
            service(type="Elsewhere"),
            "spec.type",
            'Unsupported value: "Elsewhere": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"',
        ),
        (
            SERVICE,
            service(type="NodePort", clusterIP="None", clusterIPs=["None"]),
            "spec.clusterIPs[0]",
            "Invalid value: \"None\": may not be set to 'None' for NodePort services",
        ),
        (SERVICE, {"spec": {"type": "ExternalName"}}, "spec.externalName", "Required value"),
        (
            SERVICE,
            service(externalIPs=["127.0.0.1"]),
            "spec.externalIPs[0]",
            'Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
        ),
        (CONFIGMAP, {"data": {"a": "x" * ((1 << 20) + 1)}}, "[]", "Too long: may not be more than 1048576 bytes"),
        (
            CONFIGMAP,
            {"data": {"a": ""}, "binaryData": {"a": ""}},
            "data[a]",
            'Invalid value: "a": duplicate of key present in binaryData',
        ),
        (SECRET, {"type": "kubernetes.io/tls", "data": {"tls.crt": ""}}, "data[tls.key]", "Required value"),
        (
            SECRET,
            {"type": "kubernetes.io/service-account-token"},
            "metadata.annotations[kubernetes.io/service-account.name]",
            "Required value",
        ),
        (
            NAMESPACE,
            {"spec": {"finalizers": ["mine"]}},
            "spec.finalizers",
            'Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified',
        ),
        (
            ROLE,
            {"rules": [{"apiGroups": [""], "resources": ["pods"]}]},
            "rules[0].verbs",
            "Required value: verbs must contain at least one value",
        ),
        (
            ROLE,
            {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]},
            "rules[0].nonResourceURLs",
            'Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs',
        ),
        (
            CLUSTERROLEBINDING,
            binding("Role"),
            "roleRef.kind",
            'Unsupported value: "Role": supported values: "ClusterRole"',
        ),
        (
            CLUSTERROLEBINDING,
            binding("ClusterRole", subjects=[{"kind": "ServiceAccount", "name": "a"}]),
            "subjects[0].namespace",
            "Required value",
        ),
        (
            ROLEBINDING,
            binding(subjects=[{"kind": "Robot", "name": "a"}]),
            "subjects[0].kind",
            'Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"',
        ),
        (ENDPOINTSLICE, {"addressType": "IPv4", "endpoints": [{}]}, "endpoints[0].addresses", None),
        (ENDPOINTSLICE, {"addressType": "IPv4", "endpoints": [{"addresses": ["::1"]}]}, None, None),
        (
            ENDPOINTSLICE,
            {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}] * 1001},
            "endpoints",
            "Too many: 1001: must have at most 1000 items",
        ),
        (ENDPOINTS, {"subsets": [{}]}, "subsets[0]", None),
        (LEASE, {"spec": {"leaseDurationSeconds": 0}}, "spec.leaseDurationSeconds", None),
        (PODDISRUPTIONBUDGET, {"spec": {"minAvailable": 1, "maxUnavailable": 1}}, "spec", None),
        (STORAGECLASS, {}, "provisioner", "Required value"),
        (NODE, {"spec": {"taints": [{"key": "a", "effect": "Never"}]}}, "metadata.taints[0].effect", None),
        (
            PRIORITYCLASS,
            {"value": 2_000_000_000},
            "value",
            "Forbidden: maximum allowed value of a user defined priority is 1000000000",
        ),
        (EVENT, {"metadata": {"namespace": "a"}, "involvedObject": {"namespace": "b"}}, None, None),
        (LIMITRANGE, {"spec": {"limits": [{"type": "Pod", "min": {"cpu": "2"}, "max": {"cpu": "1"}}]}}, None, None),
        (RESOURCEQUOTA, {"spec": {"hard": {"pods": "-1"}}}, "spec.hard[pods]", None),
        (
            PERSISTENTVOLUMECLAIM,
            {"spec": {"resources": {"requests": {"storage": "1Gi"}}}},
            "spec.accessModes",
            "Required value: at least 1 access mode is required",
        ),
        (
            PERSISTENTVOLUMECLAIM,
            {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "0"}}}},
            "spec.resources[storage]",
            'Invalid value: "0": must be greater than zero',
        ),
        (
            PERSISTENTVOLUMECLAIM,
            {
                "spec": {
                    **CLAIM_SPEC,
                    "dataSource": {"name": "b", "kind": "PersistentVolumeClaim"},
                    "dataSourceRef": PVC_SOURCE,
                }
            },
            "spec",
            'Invalid value: "spec.dataSource": must match dataSourceRef',
        ),
        (
            PERSISTENTVOLUME,
            {"spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"cpu": "1"}, "hostPath": {"path": "/a"}}},
            "spec.capacity",
            'Unsupported value: {"cpu":"1"}: supported values: "storage"',
        ),
        (
            PERSISTENTVOLUME,
            {
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "capacity": {"storage": "1"},
                    "hostPath": {"path": "/"},
                    "persistentVolumeReclaimPolicy": "Recycle",
                }
            },
            "spec.persistentVolumeReclaimPolicy",
            "Forbidden: may not be 'recycle' for a hostPath mount of '/'",
        ),
        (RESOURCEQUOTA, {"spec": {"hard": {"pods": "1500m"}}}, "spec.hard[pods]", None),
        (RESOURCEQUOTA, {"spec": {"hard": {"count/jobs.batch": "0.5"}}}, "spec.hard[count/jobs.batch]", None),
        (
            RESOURCEQUOTA,
            {"spec": {"hard": {"storage": "1"}}},
            "spec.hard[storage]",
            'Invalid value: "storage": must be a standard resource for quota',
        ),
        (
            RESOURCEQUOTA,
            {"spec": {"hard": {"services": "1"}, "scopes": ["BestEffort"]}},
            "spec.scopes",
            'Invalid value: ["BestEffort"]: unsupported scope applied to resource',
        ),
        (
            RESOURCEQUOTA,
            {"spec": {"scopes": ["Terminating", "NotTerminating"]}},
            "spec.scopes",
            'Invalid value: ["Terminating","NotTerminating"]: conflicting scopes',
        ),
        (
            RESOURCEQUOTA,
            {"spec": {"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]}}},
            "spec.scopeSelector.matchExpressions.values",
            "Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
        ),
        (
            RESOURCEQUOTA,
            {
                "spec": {
                    "scopeSelector": {"matchExpressions": [{"scopeName": "BestEffort", "operator": "DoesNotExist"}]}
                }
            },
            "spec.scopeSelector.matchExpressions.operator",
            None,
        ),
        (
            LIMITRANGE,
            {"spec": {"limits": [{"type": "Disk", "max": {"cpu": "1"}}]}},
            "spec.limits[0].type",
            'Invalid value: "Disk": must be a standard limit type or fully qualified',
        ),
        (
            LIMITRANGE,
            {"spec": {"limits": [{"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "2"}}]}},
            "spec.limits[0].defaultRequest[cpu]",
            'Invalid value: "2": default request value 2 is greater than default limit value 1',
        ),
        (
            LIMITRANGE,
            {"spec": {"limits": [{"type": "Container", "maxLimitRequestRatio": {"cpu": "500m"}}]}},
            "spec.limits[0].maxLimitRequestRatio[cpu]",
            'Invalid value: "500m": ratio 500m is less than 1',
        ),
        (
            LIMITRANGE,
            {"spec": {"limits": [{"type": "PersistentVolumeClaim"}]}},
            "spec.limits[0].limits",
            "Required value: either minimum or maximum storage value is required, but neither was provided",
        ),
        (
            NODE,
            {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}] * 2}},
            "metadata.taints[1]",
            'Duplicate value: {"key":"a","effect":"NoSchedule"}: taints must be unique by key and effect pair',
        ),
        (
            NODE,
            {"spec": {"podCIDRs": ["10.0.0.1/24"]}},
            "spec.podCIDRs[0]",
            'Invalid value: "10.0.0.1/24": must not have bits set beyond the prefix length',
        ),
        (SECRET, {"type": "kubernetes.io/ssh-auth", "data": {"ssh-privatekey": ""}}, "data[ssh-privatekey]", None),
        (
            SERVICE,
            service(externalIPs=["169.254.1.1"]),
            "spec.externalIPs[0]",
            'Invalid value: "169.254.1.1": may not be in the link-local range (169.254.0.0/16, fe80::/10)',
        ),
        (
            SERVICE,
            service(type="LoadBalancer", loadBalancerSourceRanges=["010.0.0.0/8"]),
            "spec.LoadBalancerSourceRanges[0]",
            'Invalid value: "010.0.0.0/8": must not have leading 0s in IP or prefix length',
        ),
        (
            SERVICE,
            service(healthCheckNodePort=30000),
            "spec.healthCheckNodePort",
            "Invalid value: 30000: may only be set when `type` is 'LoadBalancer' and "
            "`externalTrafficPolicy` is 'Local'",
        ),
        (SERVICE, service(type="LoadBalancer", loadBalancerClass="a b"), "spec.loadBalancerClass", None),
        (
            SERVICE,
            service(type="ExternalName", externalName="a", ipFamilies=["IPv4"]),
            "spec.ipFamilies",
            "Forbidden: may not be set for ExternalName services",
        ),
        (SCALE, {"spec": {"replicas": -1}}, "spec.replicas", None),
        (BINDING, {"target": {"kind": "Pod", "name": "a"}}, "target.kind", None),
        (TOKENREQUEST, {"spec": {"expirationSeconds": 10}}, "spec.expirationSeconds", None),
    ],
)
def test_one_fault_gives_one_cause_at_its_field(
    kind: Kind, document: Document, field: str | None, message: str | None
) -> None:
    found = causes(kind, document)
    assert len(found) == 1
    if field is not None:
        assert found[0][0] == field
    if message is not None:
        assert found[0][1] == message


CLAIM = {
    "status": {"phase": "Bound", "capacity": {"storage": "2Gi"}},
    "spec": {
        "accessModes": ["ReadWriteOnce"],
        "volumeName": "v",
        "storageClassName": "c",
        "resources": {"requests": {"storage": "2Gi"}},
    },
}


def claim(size: str, **more: Any) -> Document:
    return {**CLAIM, "spec": {**CLAIM["spec"], "resources": {"requests": {"storage": size}}, **more}}


@pytest.mark.parametrize(
    ("kind", "new", "old", "expected"),
    [
        (
            DEPLOYMENT,
            workload(
                selector={"matchLabels": {"app": "b"}},
                template={**TEMPLATE, "metadata": {"labels": {"app": "b"}}},
            ),
            workload(),
            ("spec.selector", 'Invalid value: {"matchLabels":{"app":"b"}}: field is immutable'),
        ),
        (
            SERVICE,
            service(clusterIP="10.0.0.2", clusterIPs=["10.0.0.2"]),
            service(clusterIP="10.0.0.1", clusterIPs=["10.0.0.1"]),
            ("spec.clusterIPs[0]", 'Invalid value: ["10.0.0.2"]: may not change once set'),
        ),
        (
            CONFIGMAP,
            {"data": {"a": "2"}, "immutable": True},
            {"data": {"a": "1"}, "immutable": True},
            ("data", "Forbidden: field is immutable when `immutable` is set"),
        ),
        (
            CONFIGMAP,
            {"data": {"a": "1"}},
            {"data": {"a": "1"}, "immutable": True},
            ("immutable", "Forbidden: field is immutable when `immutable` is set"),
        ),
        (SECRET, {"type": "a"}, {"type": "b"}, ("type", 'Invalid value: "a": field is immutable')),
        (
            ROLEBINDING,
            {"roleRef": {"kind": "Role", "name": "s"}},
            binding(),
            (
                "roleRef",
                'Invalid value: {"kind":"Role","name":"s","apiGroup":"rbac.authorization.k8s.io"}: '
                "cannot change roleRef",
            ),
        ),
        (PRIORITYCLASS, {"value": 2}, {"value": 1}, ("value", "Forbidden: may not be changed in an update.")),
        (
            STORAGECLASS,
            {"provisioner": "p", "parameters": {"a": "b"}},
            {"provisioner": "p"},
            ("parameters", "Forbidden: updates to parameters are forbidden."),
        ),
        (CONTROLLERREVISION, {"data": {"a": 1}}, {"data": {}}, ("data", 'Invalid value: {"a":1}: field is immutable')),
        (
            PERSISTENTVOLUMECLAIM,
            claim("1Gi"),
            claim("2Gi"),
            ("spec.resources.requests.storage", "Forbidden: field can not be less than status.capacity"),
        ),
        (
            ENDPOINTSLICE,
            {"addressType": "IPv4"},
            {"addressType": "IPv6"},
            ("addressType", 'Invalid value: "IPv4": field is immutable'),
        ),
    ],
)
def test_what_an_update_may_not_change(kind: Kind, new: Document, old: Document, expected: tuple[str, str]) -> None:
    assert causes(kind, new, old) == [expected]


def test_what_an_update_may_change() -> None:
    assert causes(DEPLOYMENT, workload(replicas=9), workload()) == []
    assert causes(PERSISTENTVOLUMECLAIM, claim("3Gi"), claim("2Gi")) == []
    assert causes(CONFIGMAP, {"data": {"a": "2"}}, {"data": {"a": "1"}}) == []
    assert causes(SERVICE, service(selector={"a": "b"}), service()) == []


def test_a_bound_claim_keeps_its_volume() -> None:
    ((field, message),) = causes(PERSISTENTVOLUMECLAIM, claim("2Gi", volumeName="w"), claim("2Gi"))
    assert field == "spec"
    assert message.endswith("for bound claims\nchanged: spec.volumeName")


def test_a_namespace_is_terminating_exactly_while_it_is_deleted() -> None:
    rules = NAMESPACE.subresource_rules["status"]
    assert list(rules({"metadata": {}, "status": {"phase": "Active"}}, None)) == []
    assert len(list(rules({"metadata": {}, "status": {"phase": "Terminating"}}, None))) == 1
    assert len(list(rules({"metadata": {"deletionTimestamp": "x"}, "status": {"phase": "Active"}}, None))) == 1


def test_values_are_shown_as_kubectl_users_know_them() -> None:
    assert shown('a"b\n') == '"a\\"b\\n"'
    assert shown(5) == "5"
    assert shown(True) == "true"
    assert shown(None) == "null"
    assert shown({"a": ["b"]}) == '{"a":["b"]}'
    faults = Faults()
    faults.unsupported("f", "x", ("a", "b"))
    assert faults.causes == [Cause("FieldValueNotSupported", 'Unsupported value: "x": supported values: "a", "b"', "f")]


@given(
    st.recursive(st.integers(0, 2), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner))
)
def test_nothing_changed_in_equal_documents(document: Any) -> None:
    assert changed_fields({"a": document}, {"a": document}) == []
    assert changed_fields({"a": document}, {"a": "other"}) == ["a"]


@cache
def definitions() -> Document:
    return orjson.loads(resources.files("navarch.kinds").joinpath("definitions.json").read_bytes())


def definition_of(kind: Kind) -> str:
    return kind.definition or definition_name(kind.group, kind.version, kind.name)


TEXTS = st.sampled_from(["", "a", "A B", "..", "10.0.0.1", "100%", "Always", "ClusterIP", "None", "In", "cpu"])


@st.composite
def of_schema(draw: Any, schema: Document, depth: int = 0) -> Any:
    """Something that fits the published schema, good or bad: few fields, short lists."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        match name.rpartition(".")[2]:
            case "Quantity":
                return draw(st.sampled_from(["1", "-1", "100m", "1Gi", "rubbish"]))
            case "IntOrString":
                return draw(st.one_of(st.integers(-1, 101), TEXTS))
            case "Time" | "MicroTime":
                return "2026-01-02T03:04:05Z"
        return draw(of_schema(definitions()[name], depth))
    match schema.get("type"):
        case "string" | ["string", "null"]:
            return draw(TEXTS)
        case "integer" | ["integer", "null"]:
            return draw(st.integers(-1, 70000))
        case "boolean" | ["boolean", "null"]:
            return draw(st.booleans())
        case "array" | ["array", "null"]:
            return [
                draw(of_schema(schema["items"], depth + 1)) for _ in range(draw(st.integers(0, 2)) if depth < 7 else 0)
            ]
    properties = schema.get("properties")
    if properties is None:
        inner = schema.get("additionalProperties")
        if not isinstance(inner, dict):
            return {}
        return {key: draw(of_schema(inner, depth + 1)) for key in draw(st.sets(TEXTS, max_size=2))}
    chosen = draw(st.sets(st.sampled_from(sorted(properties)), max_size=4)) if depth < 7 else set()
    chosen |= set(schema.get("required") or ())
    return {key: draw(of_schema(properties[key], depth + 1)) for key in sorted(chosen) if key != "managedFields"}


@pytest.mark.parametrize("kind", [*ALL, *BODIES], ids=repr)
def test_nothing_that_fits_the_schema_breaks_defaults_rules_or_columns(kind: Kind) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    schema = definitions()[definition_of(kind)]
    documents = st.tuples(of_schema(schema), of_schema(schema))

    @settings(max_examples=12)
    @given(documents)
    def holds(pair: tuple[Document, Document]) -> None:
        new, old = ({**document, "metadata": {"name": "x"}} for document in pair)
        for before in (None, old):
            draft = Draft(new)
            if kind.prepare:
                kind.prepare(draft, before)
            kind.default(draft)
            for cause in kind.rules(draft.document, before):
                assert cause.reason.startswith("FieldValue")
        for rules in kind.subresource_rules.values():
            list(rules(draft.document, draft.document))
        for column in kind.columns:
            if not isinstance(column.source, str):
                column.source(draft.document, now)

    holds()
