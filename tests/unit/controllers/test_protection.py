"""Claims and volumes that may be in use."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.controllers.plan import Patch, Plan
from navarch.controllers.protection import Observed, claim_names, plan, uses
from navarch.kinds import PERSISTENTVOLUMECLAIM, POD
from navarch.kinds.object import Object
from navarch.kinds.storage import PVC_PROTECTION
from tests.unit.controllers.conftest import NOW, Make, ago


def claim(make: Make, *finalizers: str, deleting: bool = False) -> Object:
    metadata: dict[str, Any] = {"finalizers": list(finalizers)}
    if deleting:
        metadata["deletionTimestamp"] = ago(1)
    return make.object(PERSISTENTVOLUMECLAIM, "data", metadata=metadata)


def finalizers(found: Plan) -> Any:
    (action,) = found.actions
    assert isinstance(action, Patch)
    return action.changes["metadata"]["finalizers"]


def test_a_claim_without_the_finalizer_gets_it(make: Make) -> None:
    assert finalizers(plan(Observed(claim(make, "other"), PVC_PROTECTION, False), NOW)) == ["other", PVC_PROTECTION]
    assert plan(Observed(claim(make, PVC_PROTECTION), PVC_PROTECTION, False), NOW) == Plan()


def test_a_claim_is_let_go_when_nobody_uses_it(make: Make) -> None:
    held = claim(make, PVC_PROTECTION, deleting=True)
    assert plan(Observed(held, PVC_PROTECTION, True), NOW) == Plan()
    assert finalizers(plan(Observed(held, PVC_PROTECTION, False), NOW)) is None
    two = claim(make, PVC_PROTECTION, "other", deleting=True)
    assert finalizers(plan(Observed(two, PVC_PROTECTION, False), NOW)) == ["other"]
    assert plan(Observed(claim(make, "other", deleting=True), PVC_PROTECTION, False), NOW) == Plan()


@pytest.mark.parametrize(
    ("node", "phase", "used"),
    [("", "Pending", False), ("n1", "Pending", True), ("n1", "Running", True), ("n1", "Succeeded", True)],
)
def test_pods_on_nodes_use_their_claims(make: Make, node: str, phase: str, used: bool) -> None:
    volumes = [
        {"name": "v", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {}}},
        {"name": "empty", "emptyDir": {}},
    ]
    pod = make.object(POD, "p", spec={"nodeName": node, "volumes": volumes}, status={"phase": phase})
    assert list(claim_names(pod)) == ["data", "p-scratch"]
    assert uses(pod, claim(make)) is used
    own = make.object(PERSISTENTVOLUMECLAIM, "p-scratch", metadata={"ownerReferences": make.owner(pod)})
    assert uses(pod, own) is used
    assert not uses(pod, make.object(PERSISTENTVOLUMECLAIM, "p-scratch")), "somebody else's, of the same name"
    assert not uses(pod, make.object(PERSISTENTVOLUMECLAIM, "other"))


@pytest.mark.parametrize(("grace_s", "own_is_used"), [(30, True), (0, False)])
def test_a_pod_whose_node_is_done_with_it_gives_up_its_own_claims_alone(
    make: Make, grace_s: int, own_is_used: bool
) -> None:
    """It may be a finalizer of it that waits for the claim to go."""
    volumes = [
        {"name": "v", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {}}},
    ]
    metadata = {"deletionTimestamp": ago(1), "deletionGracePeriodSeconds": grace_s, "finalizers": ["a/b"]}
    pod = make.object(POD, "p", metadata=metadata, spec={"nodeName": "n1", "volumes": volumes})
    own = make.object(PERSISTENTVOLUMECLAIM, "p-scratch", metadata={"ownerReferences": make.owner(pod)})
    assert uses(pod, own) is own_is_used
    assert uses(pod, claim(make))
