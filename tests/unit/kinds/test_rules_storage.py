"""Volumes, claims, classes and what CSI drivers say: what is refused, where, and in which words."""

from __future__ import annotations

from typing import Any

import pytest
from kind_driver import Causes, Document, causes, complete

from navarch.kinds import (
    CSIDRIVER,
    CSINODE,
    CSISTORAGECAPACITY,
    PERSISTENTVOLUME,
    PERSISTENTVOLUMECLAIM,
    STORAGECLASS,
    VOLUMEATTACHMENT,
    VOLUMEATTRIBUTESCLASS,
)
from navarch.kinds.kind import Kind
from navarch.objects.value import Draft

AFFINITY: Document = {
    "required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]},
}
CSI: Document = {"driver": "a.io", "volumeHandle": "h"}
VOLUME: Document = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/a"}}
CLAIM: Document = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
SOURCED: Document = {key: value for key, value in VOLUME.items() if key != "hostPath"}


def volume(**more: Any) -> Causes:
    return causes(PERSISTENTVOLUME, {"spec": {**VOLUME, **more}})


def sourced(**source: Any) -> Causes:
    return causes(PERSISTENTVOLUME, {"spec": {**SOURCED, **source}})


def claim(**more: Any) -> Causes:
    return causes(PERSISTENTVOLUMECLAIM, {"spec": {**CLAIM, **more}})


def test_good_ones() -> None:
    assert volume() == []
    assert sourced(csi=CSI, volumeAttributesClassName="gold") == []
    assert sourced(local={"path": "/a"}, nodeAffinity=AFFINITY) == []
    assert claim(dataSource={"name": "a", "kind": "PersistentVolumeClaim"}) == []
    assert causes(VOLUMEATTACHMENT, attachment(source={"inlineVolumeSpec": INLINE})) == []


@pytest.mark.parametrize(
    ("found", "field", "message"),
    [
        (volume(accessModes=[]), "accessModes", "Required value"),
        (volume(accessModes=["Some"]), "accessModes", 'Unsupported value: "Some": supported values: "ReadOnlyMany", "'),
        (
            volume(accessModes=["ReadWriteOncePod", "ReadWriteOnce"]),
            "accessModes",
            "Forbidden: may not use ReadWriteOnc",
        ),
        (volume(capacity={"storage": "0"}), "capacity[storage]", 'Invalid value: "0": must be greater than zero'),
        (volume(persistentVolumeReclaimPolicy="No"), "persistentVolumeReclaimPolicy", 'Unsupported value: "No": suppo'),
        (volume(nodeAffinity={}), "nodeAffinity.required", "Required value: must specify required node constraints"),
        (
            volume(hostPath={"path": "//"}, persistentVolumeReclaimPolicy="Recycle"),
            "persistentVolumeReclaimPolicy",
            "Forbidden: may not be 'recycle' for a hostPath mount of '/'",
        ),
        (volume(storageClassName="A"), "storageClassName", 'Invalid value: "A": a lowercase RFC 1123 subdomain'),
        (volume(volumeMode="No"), "volumeMode", 'Unsupported value: "No": supported values: "Block", "Filesystem"'),
        (sourced(csi=CSI, volumeAttributesClassName=""), "volumeAttributesClassName", "Required value: an empty strin"),
        (
            volume(volumeAttributesClassName="a"),
            "csi",
            "Required value: has to be specified when using volumeAttributes",
        ),
        (volume(nfs={}), "nfs", "Forbidden: may not specify more than 1 volume type"),
        (volume(hostPath={"path": "/a/../b"}), "hostPath.path", "Invalid value: \"/a/../b\": must not contain '..'"),
        (
            volume(hostPath={"path": "/a", "type": "No"}),
            "hostPath.type",
            'Unsupported value: "No": supported values: ""',
        ),
        (sourced(), "", "Required value: must specify a volume type"),
        (sourced(local={"path": "/a"}), "nodeAffinity", "Required value: Local volume requires node affinity"),
        (sourced(local={}, nodeAffinity=AFFINITY), "local.path", "Required value"),
        (sourced(csi={"driver": "a.io"}), "csi.volumeHandle", "Required value"),
        (sourced(csi={**CSI, "driver": "a_b"}), "csi.driver", 'Invalid value: "a_b": a lowercase RFC 1123 subdomain'),
        (sourced(csi={**CSI, "nodeStageSecretRef": {}}), "", ""),
        (sourced(csi={**CSI, "nodePublishSecretRef": {"name": "a"}}), "csi.nodePublishSecretRef.namespace", "Required"),
        (
            sourced(csi={**CSI, "nodeExpandSecretRef": {"name": "A", "namespace": "a"}}),
            "csi.nodeExpandSecretRef.name",
            'Invalid value: "A": a lowercase RFC 1123 subdomain',
        ),
        (sourced(nfs={"server": "a", "path": "b"}), "nfs.path", 'Invalid value: "b": must be an absolute path'),
        (sourced(fc={}), "fc.targetWWNs", "Required value: must specify either targetWWNs or wwids, but not both"),
        (sourced(fc={"targetWWNs": ["a"]}), "fc.lun", "Required value: lun is required if targetWWNs is specified"),
        (
            sourced(fc={"targetWWNs": ["a"], "lun": 256}),
            "fc.lun",
            "Invalid value: 256: must be between 0 and 255, inclu",
        ),
        (
            sourced(iscsi={"targetPortal": "a", "iqn": "a"}),
            "iscsi.iqn",
            'Invalid value: "a": must be valid format starting with iqn, eui, or naa',
        ),
        (
            sourced(iscsi={"targetPortal": "a", "iqn": "iqn.x"}),
            "iscsi.iqn",
            'Invalid value: "iqn.x": must be valid form',
        ),
        (
            sourced(iscsi={"targetPortal": "a", "iqn": "eui.0123456789abcdef", "chapAuthSession": True}),
            "iscsi.secretRef",
            "Required value",
        ),
        (
            sourced(gcePersistentDisk={"pdName": "a", "partition": 256}),
            "gcePersistentDisk.partition",
            "Invalid value: 2",
        ),
    ],
)
def test_volumes(found: Causes, field: str, message: str) -> None:
    wanted = [(f"spec.{field}".rstrip("."), message)] if message else []
    assert [(where, told[: len(message)]) for where, told in found] == wanted


def test_a_volume_without_capacity_is_told_twice() -> None:
    assert causes(PERSISTENTVOLUME, {"spec": {**VOLUME, "capacity": {}}}) == [
        ("spec.capacity", "Required value"),
        ("spec.capacity", 'Unsupported value: null: supported values: "storage"'),
    ]


def test_what_of_a_volume_stays() -> None:
    stored = {"spec": {**SOURCED, "csi": CSI, "volumeAttributesClassName": "a"}}

    def changed(**more: Any) -> list[str]:
        return [field for field, _ in causes(PERSISTENTVOLUME, {"spec": {**stored["spec"], **more}}, stored)]

    secret = {"name": "a", "namespace": "b"}
    assert changed(csi={**CSI, "controllerExpandSecretRef": secret}) == [], "it may be given later"
    assert changed(csi={**CSI, "volumeHandle": "i"}) == ["spec.persistentvolumesource"]
    assert changed(volumeMode="Block") == ["volumeMode"]
    assert changed(capacity={"storage": "2Gi"}) == []
    without = {"spec": {**SOURCED, "csi": CSI}}
    assert causes(PERSISTENTVOLUME, without, stored) == [
        ("spec.volumeAttributesClassName", "Forbidden: update from non-nil value to nil is forbidden")
    ]


SNAPSHOT: Document = {"name": "a", "kind": "VolumeSnapshot", "apiGroup": "snapshot.storage.k8s.io"}


def prepared(spec: Document, old: Document | None = None) -> Document:
    draft = Draft({"metadata": {}, "spec": {**CLAIM, **spec}})
    assert PERSISTENTVOLUMECLAIM.prepare is not None
    PERSISTENTVOLUMECLAIM.prepare(draft, old)
    return complete(PERSISTENTVOLUMECLAIM, draft.document)["spec"]


def test_sources_stand_in_both_fields() -> None:
    assert prepared({"dataSource": SNAPSHOT})["dataSourceRef"] == SNAPSHOT
    assert prepared({"dataSourceRef": SNAPSHOT})["dataSource"] == SNAPSHOT
    assert "dataSource" not in prepared({"dataSourceRef": {**SNAPSHOT, "namespace": "b"}})
    other = {"name": "a", "kind": "Book", "apiGroup": "a.io"}
    assert "dataSource" not in prepared({"dataSource": other}), "the old field never held anything else"
    kept = prepared({"dataSource": other}, {"spec": {"dataSource": other}})
    assert kept["dataSource"] == other


@pytest.mark.parametrize(
    ("found", "field", "message"),
    [
        (claim(accessModes=[]), ".accessModes", "Required value: at least 1 access mode is required"),
        (claim(selector={"matchLabels": {"a": "-"}}), ".selector.matchLabels", 'Invalid value: "-"'),
        (claim(resources={}), ".resources[storage]", "Required value"),
        (claim(volumeMode="No"), ".volumeMode", 'Unsupported value: "No"'),
        (claim(volumeAttributesClassName="A"), ".volumeAttributesClassName", 'Invalid value: "A": a lowercase'),
        (
            claim(dataSourceRef={**SNAPSHOT, "namespace": "B"}),
            ".dataSourceRef.namespace",
            'Invalid value: "B": a lowerc',
        ),
        (
            claim(dataSource=SNAPSHOT, dataSourceRef={**SNAPSHOT, "namespace": "b"}),
            "",
            'Invalid value: "spec.dataSource": may not be specified when dataSourceRef.namespace is specified',
        ),
    ],
)
def test_claims(found: Causes, field: str, message: str) -> None:
    assert [(where, told[: len(message)]) for where, told in found] == [(f"spec{field}", message)]


def grown(size: str, phase: str = "Bound", held: str = "1Gi", **more: Any) -> Causes:
    status = {"phase": phase, "capacity": {"storage": held}}
    stored = {"spec": {**CLAIM, "volumeName": "v"}, "status": status}
    spec = {**stored["spec"], "resources": {"requests": {"storage": size}}, **more}
    return causes(PERSISTENTVOLUMECLAIM, {"spec": spec, "status": status}, stored)


def test_what_of_a_claim_may_change() -> None:
    assert grown("2Gi", volumeAttributesClassName="a") == []
    assert grown("1024Mi", "Pending") == [], "the same amount"
    assert [field for field, _ in grown("2Gi", "Pending")] == ["spec"]
    assert grown("512Mi") == [
        ("spec.resources.requests.storage", "Forbidden: field can not be less than status.capacity")
    ]
    ((field, message),) = grown("1Gi", resources={"requests": {"storage": "1Gi", "cpu": "1"}})
    assert field == "spec"
    assert message.endswith("for bound claims\nchanged: spec.resources.requests.cpu")
    assert [field for field, _ in grown("1Gi", volumeMode="Block")] == ["spec", "volumeMode"]


def test_a_class_in_the_old_annotation_stays() -> None:
    old = "volume.beta.kubernetes.io/storage-class"
    stored = {"metadata": {"annotations": {old: "a"}}, "spec": CLAIM}
    moved = {"spec": {**CLAIM, "storageClassName": "a"}}
    assert causes(PERSISTENTVOLUMECLAIM, {"spec": CLAIM}, stored) == [
        (f"metadata.annotations[{old}]", 'Invalid value: "": field is immutable')
    ]
    assert causes(PERSISTENTVOLUMECLAIM, moved, stored) == []


def test_status_of_a_claim() -> None:
    status = {"status": {"capacity": {"storage": "-1"}}}
    ((field, message),) = causes(PERSISTENTVOLUMECLAIM, status, {}, "status")
    assert (field, message) == (
        "status.capacity[storage]",
        'Invalid value: "-1": must be greater than or equal to 0',
    )


def storage_class(**more: Any) -> Causes:
    return causes(STORAGECLASS, {"provisioner": "a.io/b", **more})


TERM: Document = {"matchLabelExpressions": [{"key": "zone", "values": ["a", "b"]}]}


@pytest.mark.parametrize(
    ("found", "field", "message"),
    [
        (storage_class(provisioner=""), "provisioner", "Required value"),
        (storage_class(provisioner="A b"), "provisioner", 'Invalid value: "a b": name part must consist of'),
        (storage_class(parameters={"": "a"}), "parameters", 'Invalid value: "": field can not be empty.'),
        (storage_class(parameters={"a": "b" * 262144}), "parameters", "Too long: may not be more than 262144 bytes"),
        (
            storage_class(parameters={f"k{n}": "" for n in range(513)}),
            "parameters",
            "Too long: may not be more than 512",
        ),
        (
            storage_class(reclaimPolicy="Recycle"),
            "reclaimPolicy",
            'Unsupported value: "Recycle": supported values: "De',
        ),
        (storage_class(volumeBindingMode="No"), "volumeBindingMode", 'Unsupported value: "No": supported values: "Imm'),
        (
            storage_class(allowedTopologies=[{"matchLabelExpressions": [{"key": "a", "values": []}]}]),
            "allowedTopologies[0].matchLabelExpressions[0].values",
            "Required value",
        ),
        (
            storage_class(allowedTopologies=[{"matchLabelExpressions": [{"key": "a", "values": ["b", "b"]}]}]),
            "allowedTopologies[0].matchLabelExpressions[0].values[1]",
            'Duplicate value: "b"',
        ),
        (
            storage_class(allowedTopologies=[{"matchLabelExpressions": TERM["matchLabelExpressions"] * 2}]),
            "allowedTopologies[0].matchLabelExpressions[1].key",
            'Duplicate value: "zone"',
        ),
        (
            storage_class(allowedTopologies=[TERM, TERM]),
            "allowedTopologies[1].matchLabelExpressions",
            'Duplicate value: ""',
        ),
    ],
)
def test_classes(found: Causes, field: str, message: str) -> None:
    assert [(where, told[: len(message)]) for where, told in found] == [(field, message)]


def driver(**more: Any) -> Causes:
    return causes(CSIDRIVER, {"spec": more})


def node(**more: Any) -> Causes:
    return causes(CSINODE, {"spec": {"drivers": [{"name": "a.io", "nodeID": "1", **more}]}})


@pytest.mark.parametrize(
    ("found", "field", "message"),
    [
        (
            driver(volumeLifecycleModes=["No"]),
            "volumeLifecycleModes",
            'Unsupported value: "No": supported values: "Per',
        ),
        (
            driver(nodeAllocatableUpdatePeriodSeconds=9),
            "nodeAllocatableUpdatePeriodSeconds",
            "Invalid value: 9: must b",
        ),
        (
            driver(serviceAccountTokenInSecrets=True),
            "serviceAccountTokenInSecrets",
            "Invalid value: true: serviceAccountTokenInSecrets is set but no tokenRequests are specified",
        ),
        (
            driver(tokenRequests=[{"audience": "a"}, {"audience": "a", "expirationSeconds": 1}]),
            "tokenRequests[1].audience",
            'Duplicate value: "a"',
        ),
        (
            driver(tokenRequests=[{"audience": "a", "expirationSeconds": (1 << 32) + 1}]),
            "tokenRequests[0].expirationSeconds",
            "Invalid value: 4294967297: may not specify a duration larger than 2^32 seconds",
        ),
        (node(nodeID=""), "drivers[0].nodeID", "Required value"),
        (node(nodeID="x" * 257), "drivers[0].nodeID", f'Invalid value: "{"x" * 257}": must be 256 characters or less'),
        (node(name="a_b"), "drivers[0].name", 'Invalid value: "a_b": a lowercase RFC 1123 subdomain'),
        (
            node(allocatable={"count": -1}),
            "drivers[0].allocatable.count",
            "Invalid value: -1: must be greater than or e",
        ),
        (node(topologyKeys=["a", "a"]), "drivers[0]", 'Duplicate value: "a"'),
        (node(topologyKeys=["a b"]), "drivers[0]", 'Invalid value: "a b": name part must consist of'),
    ],
)
def test_drivers(found: Causes, field: str, message: str) -> None:
    assert [(where, told[: len(message)]) for where, told in found] == [(f"spec.{field}", message)]


def test_what_of_drivers_may_change() -> None:
    assert complete(CSIDRIVER, {"spec": {"volumeLifecycleModes": []}})["spec"]["volumeLifecycleModes"] == ["Persistent"]
    stored = {"spec": {"drivers": [{"name": "a.io", "nodeID": "1"}]}}
    counted = {"spec": {"drivers": [{"name": "a.io", "nodeID": "1", "allocatable": {"count": 2}}]}}
    assert causes(CSINODE, counted, stored) == []
    ((field, message),) = causes(CSINODE, {"spec": {"drivers": [{"name": "a.io", "nodeID": "2"}]}}, counted)
    assert (field, message) == ("spec.drivers", 'Invalid value: {"name":"a.io","nodeID":"2"}: field is immutable')


def attachment(**more: Any) -> Document:
    return {"spec": {"attacher": "a.io", "nodeName": "n", "source": {"persistentVolumeName": "v"}, **more}}


INLINE: Document = {"accessModes": ["ReadWriteOnce"], "csi": CSI}


@pytest.mark.parametrize(
    ("more", "fields"),
    [
        ({"attacher": ""}, ["spec.attacher", "spec.attacher", "spec.attacher"]),
        ({"attacher": "a_b"}, ["spec.attacher"]),
        ({"nodeName": "A"}, ["spec.nodeName"]),
        ({"source": {}}, ["spec.source"]),
        ({"source": {"persistentVolumeName": "A"}}, ["spec.source.persistentVolumeName"]),
        ({"source": {"inlineVolumeSpec": {**INLINE, "capacity": {"storage": "1"}}}}, ["capacity"]),
        ({"source": {"inlineVolumeSpec": {**INLINE, "storageClassName": "a"}}}, ["storageClassName"]),
        ({"source": {"inlineVolumeSpec": {**INLINE, "volumeMode": "Block"}}}, ["volumeMode"]),
        ({"source": {"inlineVolumeSpec": {**INLINE, "nodeAffinity": AFFINITY}}}, ["nodeAffinity"]),
        (
            {"source": {"inlineVolumeSpec": {**INLINE, "persistentVolumeReclaimPolicy": "Delete"}}},
            ["persistentVolumeReclaimPolicy"],
        ),
        ({"source": {"inlineVolumeSpec": {"accessModes": ["ReadWriteOnce"]}}}, ["csi", ""]),
    ],
)
def test_attachments(more: Document, fields: list[str]) -> None:
    inline = "inlineVolumeSpec" in more.get("source", {})
    wanted = [f"spec.source.inlineVolumeSpec.{field}".rstrip(".") if inline else field for field in fields]
    assert [field for field, _ in causes(VOLUMEATTACHMENT, attachment(**more))] == wanted


def test_an_attachment_by_both() -> None:
    both = attachment(source={"persistentVolumeName": "v", "inlineVolumeSpec": INLINE})
    assert causes(VOLUMEATTACHMENT, both) == [
        ("spec.source", "Forbidden: must specify exactly one of inlineVolumeSpec and persistentVolumeName")
    ]


def test_status_of_an_attachment() -> None:
    status = {
        "attachmentMetadata": {"a": "b" * 262144},
        "attachError": {"message": "x" * 1025, "errorCode": -1},
    }
    found = causes(VOLUMEATTACHMENT, {**attachment(), "status": status}, attachment(), "status")
    assert found == [
        ("status.attachmentMetadata", "Too long: may not be more than 262144 bytes"),
        ("status.attachError.message", "Too long: may not be more than 262144 bytes"),
        ("status.attachError.errorCode", "Invalid value: -1: must be between 0 and 2147483647, inclusive"),
    ]


@pytest.mark.parametrize(
    ("kind", "document", "fields"),
    [
        (CSISTORAGECAPACITY, {"storageClassName": "a", "capacity": "-1"}, ["capacity"]),
        (CSISTORAGECAPACITY, {"storageClassName": "A"}, ["storageClassName"]),
        (VOLUMEATTRIBUTESCLASS, {"driverName": "a b", "parameters": {"a": "b"}}, ["driverName"]),
        (VOLUMEATTRIBUTESCLASS, {"driverName": "a/b", "parameters": {"": "b"}}, ["parameters"]),
    ],
)
def test_the_others(kind: Kind, document: Document, fields: list[str]) -> None:
    assert [field for field, _ in causes(kind, document)] == fields
