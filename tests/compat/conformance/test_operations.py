"""Every operation of an API on kinds that are mostly documents: found, made, read, watched, changed, deleted."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

import pytest
from conformance_api import Api, names
from conformance_specs import spec


@dataclass(frozen=True)
class Operations:
    """What is created, and what there is beside it. status: whether it has that subresource, and a status to write."""

    group: str
    plural: str
    kind: str
    body: dict[str, Any]
    namespaced: bool = False
    status: dict[str, Any] = field(default_factory=dict)
    version: str = "v1"
    generate: str = "e2e-example-"

    def root(self) -> str:
        return f"/apis/{self.group}/{self.version}"

    def at(self, ns: str) -> str:
        return f"{self.root()}/namespaces/{ns}/{self.plural}" if self.namespaced else f"{self.root()}/{self.plural}"


def check(api: Api, ns: str, one: Operations) -> None:
    """The steps that the specs of API operations share."""
    groups = {group["name"]: group for group in api.get("/apis")["groups"]}
    version = f"{one.group}/{one.version}"
    assert version in [found["groupVersion"] for found in groups[one.group]["versions"]]
    assert version in [found["groupVersion"] for found in api.get(f"/apis/{one.group}")["versions"]]
    resources = {found["name"]: found for found in api.get(one.root())["resources"]}
    assert resources[one.plural]["kind"] == one.kind
    assert resources[one.plural]["namespaced"] == one.namespaced
    at, labels, chosen = one.at(ns), {"special-label": ns}, f"labelSelector=special-label%3D{ns}"

    def make(number: int) -> Any:
        metadata = {"labels": labels}
        metadata |= {"generateName": one.generate} if one.generate else {"name": made_name(one, ns, number)}
        return api.post(at, {**one.body, "metadata": metadata})

    made = [make(number) for number in range(3)]
    name = made[0]["metadata"]["name"]
    path = f"{at}/{name}"
    assert made[0]["kind"] == one.kind
    assert api.get(path)["metadata"]["uid"] == made[0]["metadata"]["uid"]
    listed = api.get(f"{at}?{chosen}")
    assert len(listed["items"]) == 3
    if one.namespaced:
        assert len(api.get(f"{one.root()}/{one.plural}?{chosen}")["items"]) == 3
    query = f"watch=1&{chosen}&resourceVersion={listed['metadata']['resourceVersion']}"
    with api.watch(f"{at}?{query}") as events:
        api.patch(path, {"metadata": {"annotations": {"patched": "true"}}})
        events.until("MODIFIED", name, lambda found: "patched" in found["metadata"].get("annotations", {}))

        def update() -> bool:
            found = api.get(path)
            found["metadata"]["annotations"]["updated"] = "true"
            return api.send("PUT", path, found).status == 200

        api.until(update)
        events.until("MODIFIED", name, lambda found: "updated" in found["metadata"]["annotations"])
        if one.status:
            check_status(api, path, one.status)
        api.delete(path)
        events.until("DELETED", name)
    api.gone(path)
    api.delete(f"{at}?{chosen}")
    api.until(lambda: names(api.get(f"{at}?{chosen}")) == [])


def made_name(one: Operations, ns: str, number: int) -> str:
    return f"{ns}-{number}"


def check_status(api: Api, path: str, status: dict[str, Any]) -> None:
    assert "metadata" in api.get(f"{path}/status")
    patched = api.patch(f"{path}/status", {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": status})
    for key, value in status.items():
        assert key in patched["status"], value

    def update() -> bool:
        found = api.get(f"{path}/status")
        return api.send("PUT", f"{path}/status", {**found, "status": {**found["status"], **status}}).status == 200

    api.until(update)


CONDITION = {
    "type": "StatusPatched",
    "status": "True",
    "reason": "E2E",
    "message": "Set by an e2e test",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}


@spec("[sig-network] Ingress API should support creating Ingress API operations")
def test_ingresses(api: Api, ns: str) -> None:
    backend = {"service": {"name": "default-backend", "port": {"number": 80}}}
    ingress = {"ip": "169.1.1.1"}
    body = {
        "spec": {
            "defaultBackend": backend,
            "rules": [
                {"host": "foo.bar.com", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
            ],
        }
    }
    status = {"loadBalancer": {"ingress": [ingress]}}
    check(api, ns, Operations("networking.k8s.io", "ingresses", "Ingress", body, True, status))


@spec("[sig-network] IngressClass API should support creating IngressClass API operations")
def test_ingress_classes(api: Api, ns: str) -> None:
    body = {"spec": {"controller": "example.com/controller"}}
    check(api, ns, Operations("networking.k8s.io", "ingressclasses", "IngressClass", body, generate="ingressclass"))


@spec("[sig-storage] CSIInlineVolumes should run through the lifecycle of a CSIDriver")
def test_csi_drivers(api: Api, ns: str) -> None:
    body = {"spec": {"attachRequired": False, "podInfoOnMount": True}}
    check(api, ns, Operations("storage.k8s.io", "csidrivers", "CSIDriver", body, generate="e2e-"))


@spec("[sig-storage] CSINodes CSI Conformance should run through the lifecycle of a csinode")
def test_csi_nodes(api: Api, ns: str) -> None:
    body: dict[str, Any] = {"spec": {"drivers": []}}
    check(api, ns, Operations("storage.k8s.io", "csinodes", "CSINode", body, generate=""))


@spec("[sig-storage] CSIStorageCapacity should support CSIStorageCapacities API operations")
def test_csi_capacities(api: Api, ns: str) -> None:
    body = {"storageClassName": "e2e-class", "capacity": "1Gi"}
    check(api, ns, Operations("storage.k8s.io", "csistoragecapacities", "CSIStorageCapacity", body, True))


ATTACHMENT = {
    "spec": {"attacher": "e2e.example.com", "nodeName": "node-0", "source": {"persistentVolumeName": "e2e-volume"}}
}


@spec("[sig-storage] VolumeAttachment Conformance should run through the lifecycle of a VolumeAttachment")
@spec("[sig-storage] VolumeAttachment Conformance should apply changes to a volumeattachment status")
def test_attachments(api: Api, ns: str) -> None:
    status = {"attached": True}
    check(api, ns, Operations("storage.k8s.io", "volumeattachments", "VolumeAttachment", ATTACHMENT, status=status))


@spec(
    "[sig-storage] VolumeAttributesClass [FeatureGate:VolumeAttributesClass] should run through the lifecycle of "
    "a VolumeAttributesClass"
)
def test_attributes(api: Api, ns: str) -> None:
    body = {"driverName": "e2e.example.com", "parameters": {"iops": "5000"}}
    check(api, ns, Operations("storage.k8s.io", "volumeattributesclasses", "VolumeAttributesClass", body))


@spec("[sig-api-machinery] API priority and fairness should support FlowSchema API operations")
def test_flow_schemas(api: Api, ns: str) -> None:
    body = {
        "spec": {
            "matchingPrecedence": 10000,
            "priorityLevelConfiguration": {"name": "global-default"},
            "rules": [
                {
                    "subjects": [{"kind": "User", "user": {"name": "example-e2e-non-existent-user"}}],
                    "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
                }
            ],
        }
    }
    status = {"conditions": [CONDITION]}
    check(api, ns, Operations("flowcontrol.apiserver.k8s.io", "flowschemas", "FlowSchema", body, status=status))


@spec("[sig-api-machinery] API priority and fairness should support PriorityLevelConfiguration API operations")
def test_priority_levels(api: Api, ns: str) -> None:
    queuing = {"queues": 64, "handSize": 6, "queueLengthLimit": 50}
    limited = {"nominalConcurrencyShares": 2, "limitResponse": {"type": "Queue", "queuing": queuing}}
    body = {"spec": {"type": "Limited", "limited": limited}}
    group, status = "flowcontrol.apiserver.k8s.io", {"conditions": [CONDITION]}
    check(api, ns, Operations(group, "prioritylevelconfigurations", "PriorityLevelConfiguration", body, status=status))


RULES = [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"]}]
POLICY = {
    "spec": {
        "matchConstraints": {
            "namespaceSelector": {"matchLabels": {"nothing": "has-this"}},
            "resourceRules": RULES,
        },
        "validations": [{"expression": "object.spec.replicas <= 100"}],
    }
}


@spec(
    "[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should support "
    "ValidatingAdmissionPolicy API operations"
)
def test_validating_policies(api: Api, ns: str) -> None:
    group, status = "admissionregistration.k8s.io", {"conditions": [CONDITION]}
    check(api, ns, Operations(group, "validatingadmissionpolicies", "ValidatingAdmissionPolicy", POLICY, status=status))


@spec(
    "[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should support "
    "ValidatingAdmissionPolicyBinding API operations"
)
def test_validating_bindings(api: Api, ns: str) -> None:
    body = {"spec": {"policyName": "replicalimit-policy.example.com", "validationActions": ["Deny"]}}
    kind = "ValidatingAdmissionPolicyBinding"
    check(api, ns, Operations("admissionregistration.k8s.io", "validatingadmissionpolicybindings", kind, body))


MUTATION = {
    "spec": {
        "matchConstraints": {"namespaceSelector": {"matchLabels": {"nothing": "has-this"}}, "resourceRules": RULES},
        "reinvocationPolicy": "Never",
        "mutations": [
            {
                "patchType": "ApplyConfiguration",
                "applyConfiguration": {"expression": "Object{spec: Object.spec{replicas: 2}}"},
            }
        ],
    }
}


@spec(
    "[sig-api-machinery] MutatingAdmissionPolicy [Privileged:ClusterAdmin] should support "
    "MutatingAdmissionPolicy API operations"
)
def test_mutating_policies(api: Api, ns: str) -> None:
    kind = "MutatingAdmissionPolicy"
    check(api, ns, Operations("admissionregistration.k8s.io", "mutatingadmissionpolicies", kind, MUTATION))


@spec(
    "[sig-api-machinery] MutatingAdmissionPolicy [Privileged:ClusterAdmin] should support "
    "MutatingAdmissionPolicyBinding API operations"
)
def test_mutating_bindings(api: Api, ns: str) -> None:
    body = {"spec": {"policyName": "policy.example.com"}}
    kind = "MutatingAdmissionPolicyBinding"
    check(api, ns, Operations("admissionregistration.k8s.io", "mutatingadmissionpolicybindings", kind, body))


def certificate_request(name: str) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return request.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(
        serialization.Encoding.PEM
    )


@spec("[sig-auth] Certificates API [Privileged:ClusterAdmin] should support CSR API operations")
def test_certificate_requests(api: Api, ns: str) -> None:
    request = base64.b64encode(certificate_request("e2e-example")).decode()
    body = {"spec": {"request": request, "signerName": "example.com/e2e", "usages": ["client auth"]}}
    group, plural = "certificates.k8s.io", "certificatesigningrequests"
    check(api, ns, Operations(group, plural, "CertificateSigningRequest", body))
    path = f"/apis/{group}/v1/{plural}/{ns}"
    api.post(f"/apis/{group}/v1/{plural}", {**body, "metadata": {"name": ns}})
    found = api.get(path)
    found["status"]["conditions"] = [{"type": "Approved", "status": "True", "reason": "E2E", "message": "approved"}]
    assert api.put(f"{path}/approval", found)["status"]["conditions"][0]["type"] == "Approved"
    patch = {"status": {"certificate": base64.b64encode(b"not a certificate").decode()}}
    assert api.send("PATCH", f"{path}/status", patch, content_type="application/merge-patch+json").status == 422
    assert api.get(f"{path}/approval")["kind"] == "CertificateSigningRequest"


@spec("[sig-network] ServiceCIDR and IPAddress API should support IPAddress API operations")
def test_ip_addresses(api: Api, ns: str) -> None:
    root = "/apis/networking.k8s.io/v1/ipaddresses"
    body = {"spec": {"parentRef": {"resource": "services", "namespace": ns, "name": "none"}}}
    for number in range(2):
        api.post(root, {**body, "metadata": {"name": f"192.168.77.{number}", "labels": {"e2e": ns}}})
    path = f"{root}/192.168.77.0"
    assert len(api.get(f"{root}?labelSelector=e2e%3D{ns}")["items"]) == 2
    assert api.patch(path, {"metadata": {"annotations": {"patched": "true"}}})["metadata"]["annotations"]
    found = api.get(path)
    found["metadata"]["annotations"]["updated"] = "true"
    api.put(path, found)
    assert api.send("POST", root, {**body, "metadata": {"name": "no-address"}}).status == 422
    api.delete(f"{root}?labelSelector=e2e%3D{ns}")
    assert api.get(f"{root}?labelSelector=e2e%3D{ns}")["items"] == []


@spec("[sig-network] ServiceCIDR and IPAddress API should support ServiceCIDR API operations")
def test_service_cidrs(api: Api, ns: str) -> None:
    root = "/apis/networking.k8s.io/v1/servicecidrs"
    api.post(root, {"metadata": {"name": f"a-{ns}", "labels": {"e2e": ns}}, "spec": {"cidrs": ["10.1.1.0/24"]}})
    path = f"{root}/a-{ns}"
    assert api.patch(path, {"metadata": {"annotations": {"patched": "true"}}})["metadata"]["annotations"]
    status = {"status": {"conditions": [CONDITION]}}
    assert api.patch(f"{path}/status", status)["status"]["conditions"]
    refused = api.send("PATCH", path, {"spec": {"cidrs": ["10.2.2.0/24"]}}, content_type="application/merge-patch+json")
    assert refused.status == 422
    api.delete(f"{root}?labelSelector=e2e%3D{ns}")
    api.until(lambda: api.get(f"{root}?labelSelector=e2e%3D{ns}")["items"] == [])


DEVICES = {"requests": [{"name": "req-0", "exactly": {"deviceClassName": "my-class"}}]}
DRA = {
    "DeviceClass": Operations("resource.k8s.io", "deviceclasses", "DeviceClass", {"spec": {}}),
    "ResourceClaim": Operations(
        "resource.k8s.io", "resourceclaims", "ResourceClaim", {"spec": {"devices": DEVICES}}, True
    ),
    "ResourceClaimTemplate": Operations(
        "resource.k8s.io",
        "resourceclaimtemplates",
        "ResourceClaimTemplate",
        {"spec": {"spec": {"devices": DEVICES}}},
        True,
    ),
    "ResourceSlice": Operations(
        "resource.k8s.io",
        "resourceslices",
        "ResourceSlice",
        {
            "spec": {
                "nodeName": "node-0",
                "driver": "dra.example.com",
                "pool": {"name": "pool", "generation": 1, "resourceSliceCount": 1},
            }
        },
    ),
}


@pytest.mark.parametrize("kind", DRA)
@spec("[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 DeviceClass")
@spec("[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceClaim")
@spec("[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceClaimTemplate")
@spec("[sig-node] [DRA] CRUD Tests resource.k8s.io/v1 ResourceSlice")
def test_devices(api: Api, ns: str, kind: str) -> None:
    check(api, ns, DRA[kind])
