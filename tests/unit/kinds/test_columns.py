"""The columns of every kind and the cells that are not plain fields, as Kubernetes 1.36 has them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from navarch.apiserver import tables
from navarch.kinds import (
    ALL,
    CLUSTERTRUSTBUNDLE,
    CSISTORAGECAPACITY,
    ENDPOINTS,
    ENDPOINTSLICE,
    INGRESS,
    JOB,
    NAMESPACE,
    PERSISTENTVOLUME,
    PERSISTENTVOLUMECLAIM,
    POD,
    PRIORITYLEVELCONFIGURATION,
    RESOURCECLAIM,
    SECRET,
    SERVICE,
    STORAGECLASS,
    VALIDATINGADMISSIONPOLICYBINDING,
    VOLUMEATTRIBUTESCLASS,
)
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.kinds.review import SCALE

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

COLUMNS = """
Binding: Age
ComponentStatus: Status, Message, Error
ConfigMap: Data, Age
Endpoints: Endpoints, Age
Event: Last Seen, Type, Reason, Object, Subobject+, Source+, Message, First Seen+, Count+, Name+
LimitRange: Created At/date
Namespace: Status, Age
Node: Status, Roles, Age, Version, Internal-IP+, External-IP+, OS-Image+, Kernel-Version+, Container-Runtime+
PersistentVolumeClaim: Status, Volume, Capacity, Access Modes, StorageClass, VolumeAttributesClass, Age, VolumeMode+
PersistentVolume: Capacity, Access Modes, Reclaim Policy, Status, Claim, StorageClass, VolumeAttributesClass, Reason, \
Age, VolumeMode+
Pod: Ready, Status, Restarts, Age, IP+, Node+, Nominated Node+, Readiness Gates+
PodTemplate: Containers, Images, Pod Labels
ReplicationController: Desired/integer, Current/integer, Ready/integer, Age, Containers+, Images+, Selector+
ResourceQuota: Request, Limit, Age
Secret: Type, Data, Age
ServiceAccount: Secrets, Age
Service: Type, Cluster-IP, External-IP, Port(s), Age, Selector+
APIService: Service, Available, Age
ControllerRevision: Controller, Revision, Age
DaemonSet: Desired/integer, Current/integer, Ready/integer, Up-to-date/integer, Available/integer, Node Selector, Age, \
Containers+, Images+, Selector+
Deployment: Ready, Up-to-date, Available, Age, Containers+, Images+, Selector+
ReplicaSet: Desired/integer, Current/integer, Ready/integer, Age, Containers+, Images+, Selector+
StatefulSet: Ready, Age, Containers+, Images+
HorizontalPodAutoscaler: Reference, Targets, MinPods, MaxPods, Replicas, Age
CronJob: Schedule, Timezone, Suspend/boolean, Active/integer, Last Schedule, Age, Containers+, Images+, Selector+
Job: Status, Completions, Duration, Age, Containers+, Images+, Selector+
CertificateSigningRequest: Age, SignerName, Requestor, RequestedDuration, Condition
ClusterTrustBundle: SignerName
IngressClass: Controller, Parameters, Age
Ingress: Class, Hosts, Address, Ports, Age
IPAddress: ParentRef
NetworkPolicy: Pod-Selector, Age
ServiceCIDR: CIDRs, Age
PodDisruptionBudget: Min Available, Max Unavailable, Allowed Disruptions/integer, Age
ClusterRoleBinding: Role, Age, Users+, Groups+, ServiceAccounts+
ClusterRole: Created At/date
RoleBinding: Role, Age, Users+, Groups+, ServiceAccounts+
Role: Created At/date
CSIDriver: AttachRequired/boolean, PodInfoOnMount/boolean, StorageCapacity/boolean, TokenRequests, \
RequiresRepublish/boolean, Modes, Age
CSINode: Drivers/integer, Age
CSIStorageCapacity: StorageClassName, Capacity
StorageClass: Provisioner, ReclaimPolicy, VolumeBindingMode, AllowVolumeExpansion, Age
VolumeAttachment: Attacher, PV, Node, Attached/boolean, Age
VolumeAttributesClass: DriverName, Age
MutatingAdmissionPolicy: Mutations/integer, ParamKind, Age
MutatingAdmissionPolicyBinding: PolicyName, ParamRef, Age
MutatingWebhookConfiguration: Webhooks/integer, Age
ValidatingAdmissionPolicy: Validations/integer, ParamKind, Age
ValidatingAdmissionPolicyBinding: PolicyName, ParamRef, Age
ValidatingWebhookConfiguration: Webhooks/integer, Age
CustomResourceDefinition: Created At/date
PriorityClass: Value/integer, Global-Default/boolean, Age, PreemptionPolicy
Lease: Holder, Age
LeaseCandidate: LeaseName, BinaryVersion, EmulationVersion, Age
RuntimeClass: Handler, Age
EndpointSlice: AddressType, Ports, Endpoints, Age
DeviceClass: Age
DeviceTaintRule: Age
ResourceClaim: State, Age
ResourceClaimTemplate: Age
ResourceSlice: Node, Driver, Pool, Age
FlowSchema: PriorityLevel, MatchingPrecedence, DistinguisherMethod, Age, MissingPL
PriorityLevelConfiguration: Type, NominalConcurrencyShares, Queues, HandSize, QueueLengthLimit, Age
StorageVersionMigration: Age
"""
"""Behind the name, which is the first everywhere but of events. `/` is a type that is not `string`, `+` one that only
wide output shows."""


def shown(kind: Kind) -> str:
    found = []
    for column in orjson.loads(tables.definitions(kind)):
        type_ = "" if column["type"] == "string" else f"/{column['type']}"
        found.append(f"{column['name']}{type_}{'+' if column['priority'] else ''}")
    return ", ".join(found)


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind.verbs and kind.verbs != ("create",)], ids=repr)
def test_columns(kind: Kind) -> None:
    wanted = dict(line.split(": ", 1) for line in COLUMNS.strip().splitlines())[kind.name]
    assert shown(kind) == (wanted if kind.name == "Event" else f"Name, {wanted}")


def test_names_are_told_of_as_names() -> None:
    for kind in ALL:
        named = [one["name"] for one in orjson.loads(tables.definitions(kind)) if one["format"] == "name"]
        assert named == (["Name", "Attacher"] if kind.name == "VolumeAttachment" else ["Name"]), kind


def row(kind: Kind, document: dict[str, Any]) -> dict[str, Any]:
    whole = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": "x"}, **document}
    return dict(orjson.loads(tables.row(Object.of(kind, whole), "None", NOW)))


def cells(kind: Kind, document: dict[str, Any]) -> dict[str, Any]:
    names = [column["name"] for column in orjson.loads(tables.definitions(kind))]
    return dict(zip(names, row(kind, document)["cells"], strict=True))


def endpoints(*counts: int) -> dict[str, Any]:
    return {"endpoints": [{"addresses": [f"10.0.{n}.{i}" for i in range(count)]} for n, count in enumerate(counts)]}


@pytest.mark.parametrize(
    ("kind", "document", "column", "text"),
    [
        (ENDPOINTS, {}, "Endpoints", "<none>"),
        (ENDPOINTS, {"subsets": [{"notReadyAddresses": [{"ip": "10.0.0.1"}]}]}, "Endpoints", ""),
        (
            ENDPOINTS,
            {"subsets": [{"addresses": [{"ip": "a"}, {"ip": "::1"}], "ports": [{"port": 1}, {"port": 2}]}]},
            "Endpoints",
            "a:1,[::1]:1,a:2 + 1 more...",
        ),
        (ENDPOINTSLICE, {}, "Endpoints", "<unset>"),
        (ENDPOINTSLICE, endpoints(2, 3), "Endpoints", "10.0.0.0,10.0.0.1,10.0.1.0 + 2 more..."),
        (ENDPOINTSLICE, {"ports": [{"name": "", "port": 80}, {"name": "web"}, {}]}, "Ports", "80,web,*"),
        (ENDPOINTSLICE, {"ports": [{"name": ""}]}, "Ports", "<unset>"),
        (ENDPOINTSLICE, {"ports": [{"port": n} for n in range(5)]}, "Ports", "0,1,2 + 2 more..."),
        (INGRESS, {"metadata": {"annotations": {"kubernetes.io/ingress.class": "old"}}}, "Class", "<none>"),
        (RESOURCECLAIM, {}, "State", "pending"),
        (RESOURCECLAIM, {"metadata": {"deletionTimestamp": "x"}}, "State", "deleted"),
        (RESOURCECLAIM, {"status": {"reservedFor": [{}]}}, "State", "pending"),
        (RESOURCECLAIM, {"status": {"allocation": {}, "reservedFor": [{}]}}, "State", "allocated,reserved"),
        (
            RESOURCECLAIM,
            {"metadata": {"deletionTimestamp": "x"}, "status": {"allocation": {}}},
            "State",
            "deleted,allocated",
        ),
        (CSISTORAGECAPACITY, {}, "Capacity", "<unset>"),
        (CLUSTERTRUSTBUNDLE, {"spec": {}}, "SignerName", "<none>"),
        (PERSISTENTVOLUMECLAIM, {"spec": {"volumeName": "v"}}, "Capacity", "0"),
        (PERSISTENTVOLUMECLAIM, {"spec": {}}, "Capacity", ""),
        (
            PERSISTENTVOLUME,
            {
                "metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": ""}},
                "spec": {"storageClassName": "fast"},
            },
            "StorageClass",
            "",
        ),
        (STORAGECLASS, {"provisioner": "p", "allowVolumeExpansion": True}, "AllowVolumeExpansion", True),
        (
            VOLUMEATTRIBUTESCLASS,
            {
                "metadata": {
                    "name": "gold",
                    "annotations": {"volumeattributesclass.alpha.kubernetes.io/is-default-class": "true"},
                }
            },
            "Name",
            "gold (default)",
        ),
        (
            PRIORITYLEVELCONFIGURATION,
            {"spec": {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 5}}},
            "NominalConcurrencyShares",
            "<none>",
        ),
        (
            PRIORITYLEVELCONFIGURATION,
            {"spec": {"type": "Limited", "limited": {"limitResponse": {"queuing": {"queues": 64}}}}},
            "Queues",
            64,
        ),
        (VALIDATINGADMISSIONPOLICYBINDING, {"spec": {}}, "ParamRef", "<unset>"),
        (VALIDATINGADMISSIONPOLICYBINDING, {"spec": {"paramRef": {"name": "a"}}}, "ParamRef", "*/a"),
        (VALIDATINGADMISSIONPOLICYBINDING, {"spec": {"paramRef": {"name": "a", "namespace": "n"}}}, "ParamRef", "n/a"),
        (
            VALIDATINGADMISSIONPOLICYBINDING,
            {
                "spec": {
                    "paramRef": {
                        "selector": {
                            "matchLabels": {"b": "2", "a": "1"},
                            "matchExpressions": [{"key": "k", "operator": "In", "values": ["x", "y"]}],
                        }
                    }
                }
            },
            "ParamRef",
            "&LabelSelector{MatchLabels:map[string]string{a: 1,b: 2,},MatchExpressions:[]LabelSelectorRequirement{"
            "LabelSelectorRequirement{Key:k,Operator:In,Values:[x y],},},}",
        ),
        (SECRET, {"data": {"a": "", "b": ""}}, "Data", 2),
        (SERVICE, {"spec": {"type": "ExternalName", "externalName": "a.example"}}, "External-IP", "a.example"),
        (
            SERVICE,
            {
                "spec": {"type": "LoadBalancer", "externalIPs": ["1.2.3.4"]},
                "status": {"loadBalancer": {"ingress": [{"hostname": "b"}, {"ip": "10.1.1.1"}]}},
            },
            "External-IP",
            "10.1.1.1,b,1.2.3.4",
        ),
        (SCALE, {"spec": {}}, "Desired", 0),
        (JOB, {"spec": {"parallelism": 3}, "status": {"succeeded": 1}}, "Completions", "1/1 of 3"),
        (JOB, {"spec": {}, "metadata": {"deletionTimestamp": "x"}}, "Status", "Terminating"),
        (NAMESPACE, {"status": {"phase": "Active"}}, "Status", "Active"),
    ],
)
def test_cells(kind: Kind, document: dict[str, Any], column: str, text: Any) -> None:
    assert cells(kind, {**document, "metadata": {"name": "x", **document.get("metadata", {})}})[column] == text


def test_rows_of_pods_that_are_through_say_so() -> None:
    for phase, message in (("Succeeded", "The pod has completed successfully."), ("Failed", "The pod failed.")):
        [told] = row(POD, {"status": {"phase": phase}})["conditions"]
        assert told == {"type": "Completed", "status": "True", "reason": phase, "message": message}
    assert "conditions" not in row(POD, {"status": {"phase": "Running"}})
    assert "conditions" not in row(NAMESPACE, {"status": {"phase": "Failed"}})
