"""Which claims a pod may use, and what it is told of the others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from navarch.agent.volumes.claims import Claims, mismatch, unusable
from navarch.agent.volumes.maker import Bound, MountFailure, source_of
from navarch.kinds import PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM
from tests.unit.agent.pods import UID, pod
from tests.unit.conftest import FakeClient

CLAIMED = pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}])
OWN = pod(volumes=[{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}])
OWNED = [{"kind": "Pod", "name": "web", "uid": UID, "controller": True}]


def claim(name: str = "data", phase: str = "Bound", **meta: Any) -> Any:
    return {
        "kind": "PersistentVolumeClaim",
        "metadata": {"namespace": "default", "name": name, "uid": "c1", **meta},
        "spec": {"volumeName": "pv"},
        "status": {"phase": phase},
    }


def volume(source: Any = None, uid: str = "c1") -> Any:
    spec = {"claimRef": {"name": "data", "uid": uid}, **(source or {"local": {"path": "/mnt/y"}})}
    return {"metadata": {"name": "pv"}, "spec": spec}


def bound(client: FakeClient, owner: Any = CLAIMED) -> Bound | None:
    return asyncio.run(Claims(client).bound(owner, owner.spec.volumes[0]))  # type: ignore[arg-type]


def test_a_claim_leads_to_its_volume(client: FakeClient) -> None:
    client.put(PERSISTENTVOLUMECLAIM, claim())
    client.put(PERSISTENTVOLUME, volume())
    found = bound(client)
    assert found is not None
    assert found.name == "pv"
    assert source_of(CLAIMED.spec.volumes[0], found) == ("local", {"path": "/mnt/y"})
    assert bound(client, pod(volumes=[{"name": "v", "emptyDir": {}}])) is None


def test_a_volume_of_a_type_that_nobody_makes_has_no_source() -> None:
    assert source_of(CLAIMED.spec.volumes[0], Bound(claim(), volume({"iscsi": {"lun": 0}}))) == ("", {})
    odd = pod(volumes=[{"name": "v", "fc": {"lun": 2}}])
    assert source_of(odd.spec.volumes[0], None) == ("", {})
    host = pod(volumes=[{"name": "v", "hostPath": {"path": "/x", "type": "File"}}])
    assert source_of(host.spec.volumes[0], None) == ("hostPath", {"path": "/x", "type": "File"})


def test_a_claim_that_is_missing_or_unbound_is_named(client: FakeClient) -> None:
    with pytest.raises(MountFailure, match='persistentvolumeclaim "data" not found'):
        bound(client)
    client.put(PERSISTENTVOLUMECLAIM, claim(phase="Pending"))
    with pytest.raises(MountFailure, match=r'PVC default/data has non-bound phase \("Pending"\) or empty'):
        bound(client)
    client.put(PERSISTENTVOLUMECLAIM, claim())
    with pytest.raises(MountFailure, match='persistentvolume "pv" not found'):
        bound(client)
    client.put(PERSISTENTVOLUME, volume(uid="another"))
    with pytest.raises(MountFailure, match='"another" does not point to claim'):
        bound(client)


def test_a_claim_of_a_pods_own_must_be_its_own(client: FakeClient) -> None:
    client.put(PERSISTENTVOLUMECLAIM, claim("web-v"))
    client.put(PERSISTENTVOLUME, volume())
    with pytest.raises(MountFailure, match=r"PVC default/web-v was not created for pod default/web \(pod is not owner"):
        bound(client, OWN)
    client.put(PERSISTENTVOLUMECLAIM, claim("web-v", ownerReferences=OWNED))
    assert bound(client, OWN) is not None


def test_no_pod_starts_with_a_claim_that_is_being_deleted_but_one_that_runs_goes_on() -> None:
    going = claim(deletionTimestamp="2026-01-01T00:00:00Z")
    assert unusable(CLAIMED, going, ephemeral=False) == "can't start pod because PVC default/data is being deleted"
    running = pod(status={"startTime": "2026-01-01T00:00:00Z"})
    assert unusable(running, going, ephemeral=False) == ""


def test_a_volume_must_name_the_claim_too() -> None:
    assert mismatch(claim(), volume()) == ""
    unclaimed: Any = {"metadata": {"name": "pv"}, "spec": {}}
    assert "nil pv.Spec.ClaimRef" in mismatch(claim(), unclaimed)
