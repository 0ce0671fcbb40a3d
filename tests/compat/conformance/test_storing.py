"""Volumes, claims and classes as documents."""

from __future__ import annotations

from conformance_api import STRATEGIC, Api, names
from conformance_specs import spec

VOLUMES = "/api/v1/persistentvolumes"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"


def claims(ns: str) -> str:
    return f"/api/v1/namespaces/{ns}/persistentvolumeclaims"


def volume(name: str, label: str) -> dict[str, object]:
    return {
        "metadata": {"name": name, "labels": {"e2e-pv-pool": label}},
        "spec": {
            "capacity": {"storage": "2Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "none-such",
            "csi": {"driver": "e2e-driver", "volumeHandle": "e2e-conformance"},
        },
    }


def claim(name: str) -> dict[str, object]:
    return {
        "metadata": {"name": name, "labels": {"e2e-pvc": name}},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "other",
        },
    }


@spec("[sig-storage] PersistentVolumes CSI Conformance should run through the lifecycle of a PV and a PVC")
def test_lives_of_a_volume_and_a_claim(api: Api, ns: str) -> None:
    made = api.post(VOLUMES, volume(f"pv-{ns}", ns))
    assert made["spec"]["volumeMode"] == "Filesystem"
    api.post(claims(ns), claim("pvc"))
    assert names(api.get(f"{VOLUMES}?labelSelector=e2e-pv-pool%3D{ns}")) == [f"pv-{ns}"]
    assert names(api.get("/api/v1/persistentvolumeclaims?labelSelector=e2e-pvc%3Dpvc")) == ["pvc"]
    assert api.patch(f"{VOLUMES}/pv-{ns}", {"metadata": {"labels": {"patched": "yes"}}})["metadata"]["labels"][
        "patched"
    ]
    patched = api.patch(f"{claims(ns)}/pvc", {"metadata": {"labels": {"patched": "yes"}}})
    assert patched["metadata"]["labels"]["patched"] == "yes"
    patched["metadata"]["labels"]["updated"] = "yes"
    assert api.put(f"{claims(ns)}/pvc", patched)["metadata"]["labels"]["updated"] == "yes"
    api.delete(f"{claims(ns)}/pvc")
    api.gone(f"{claims(ns)}/pvc")
    api.delete(f"{VOLUMES}/pv-{ns}")
    api.gone(f"{VOLUMES}/pv-{ns}")
    for number in range(2):
        api.post(VOLUMES, volume(f"pv{number}-{ns}", ns))
        api.post(claims(ns), claim(f"pvc{number}"))
    api.delete(claims(ns))
    api.until(lambda: not api.get(claims(ns))["items"])
    api.delete(f"{VOLUMES}?labelSelector=e2e-pv-pool%3D{ns}")
    api.until(lambda: not api.get(f"{VOLUMES}?labelSelector=e2e-pv-pool%3D{ns}")["items"])


@spec("[sig-storage] PersistentVolumes CSI Conformance should apply changes to a pv/pvc status")
def test_status_of_a_volume_and_a_claim(api: Api, ns: str) -> None:
    api.post(VOLUMES, volume(f"pv-{ns}", ns))
    api.post(claims(ns), claim("pvc"))
    api.until(lambda: api.get(f"{VOLUMES}/pv-{ns}/status")["status"]["phase"] == "Available")
    assert api.get(f"{claims(ns)}/pvc/status")["status"]["phase"] == "Pending"
    condition = {
        "type": "StatusPatched",
        "status": "True",
        "reason": "E2E patchedStatus",
        "message": "Set from e2e test",
    }
    found = api.patch(f"{claims(ns)}/pvc/status", {"status": {"conditions": [condition]}}, STRATEGIC)
    assert found["status"]["conditions"][0]["type"] == "StatusPatched"
    found["status"]["conditions"][0]["type"] = "StatusUpdated"
    assert api.put(f"{claims(ns)}/pvc/status", found)["status"]["conditions"][0]["type"] == "StatusUpdated"
    told = {"status": {"message": "StatusPatched", "reason": "E2E patchStatus"}}
    found = api.patch(f"{VOLUMES}/pv-{ns}/status", told)
    assert found["status"]["message"] == "StatusPatched"
    found["status"] |= {"message": "StatusUpdated", "reason": "E2E updateStatus"}
    assert api.put(f"{VOLUMES}/pv-{ns}/status", found)["status"]["reason"] == "E2E updateStatus"
    api.delete(f"{VOLUMES}/pv-{ns}")


@spec("[sig-storage] StorageClasses CSI Conformance should run through the lifecycle of a StorageClass")
def test_life_of_a_class(api: Api, ns: str) -> None:
    body = {"metadata": {"generateName": "e2e-", "labels": {"e2e": ns}}, "provisioner": "e2e-fake-provisioner"}
    made = api.post(CLASSES, body)
    path = f"{CLASSES}/{made['metadata']['name']}"
    assert (made["reclaimPolicy"], made["volumeBindingMode"]) == ("Delete", "Immediate")
    assert api.get(path) == made
    assert api.patch(path, {"metadata": {"labels": {"patched": "yes"}}})["metadata"]["labels"]["patched"] == "yes"
    found = api.get(path)
    found["metadata"]["labels"]["updated"] = "yes"
    api.put(path, found)
    refused = api.send("PATCH", path, {"provisioner": "other"}, content_type=STRATEGIC)
    assert refused.status == 422
    api.delete(path)
    api.gone(path)
    api.post(CLASSES, body)
    assert len(api.get(f"{CLASSES}?labelSelector=e2e%3D{ns}")["items"]) == 1
    api.delete(f"{CLASSES}?labelSelector=e2e%3D{ns}")
    assert api.get(f"{CLASSES}?labelSelector=e2e%3D{ns}")["items"] == []
