"""What is read of an object at once says the same as its view, which is read when somebody wants to know more."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from navarch.kinds import DEPLOYMENT, POD
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.kinds.pod.glance import SCHEDULER, PodGlance

OWNER = st.fixed_dictionaries(
    {"uid": st.sampled_from("abc"), "name": st.sampled_from("xy"), "kind": st.just("Owner")},
    optional={"controller": st.booleans(), "blockOwnerDeletion": st.booleans()},
)
METADATA = st.fixed_dictionaries(
    {"name": st.just("p"), "namespace": st.just("x"), "uid": st.just("u"), "resourceVersion": st.just("7")},
    optional={
        "generation": st.integers(1, 3),
        "deletionTimestamp": st.just("2026-01-01T00:00:00Z"),
        "labels": st.dictionaries(st.sampled_from("ab"), st.sampled_from("cd"), min_size=1),
        "ownerReferences": st.lists(OWNER, max_size=3),
        "finalizers": st.lists(st.sampled_from("fg"), min_size=1, max_size=2),
        "annotations": st.dictionaries(st.sampled_from(["finalizers", "nodeName"]), st.just("z")),
    },
)
VOLUME = st.sampled_from(
    [
        {"name": "v", "emptyDir": {}},
        {"name": "v", "persistentVolumeClaim": {"claimName": "c"}},
        {"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
    ]
)
SPEC = st.fixed_dictionaries(
    {"containers": st.just([{"name": "c", "image": "i"}])},
    optional={
        "nodeName": st.sampled_from(["", "n1", "n2"]),
        "schedulerName": st.sampled_from(["default-scheduler", "mine"]),
        "volumes": st.lists(VOLUME, max_size=3),
        "resourceClaims": st.lists(st.just({"name": "g", "resourceClaimName": "gpu"}), max_size=1),
        "priority": st.integers(0, 2),
    },
)
STATUS = st.fixed_dictionaries(
    {},
    optional={
        "phase": st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown"]),
        "podIP": st.just("10.0.0.1"),
        "conditions": st.lists(
            st.fixed_dictionaries(
                {"type": st.sampled_from(["Ready", "Initialized"]), "status": st.sampled_from(["True", "False"])}
            ),
            max_size=3,
        ),
    },
)
PODS = st.fixed_dictionaries({"metadata": METADATA}, optional={"spec": SPEC, "status": STATUS})


def of(kind: Kind, document: dict[str, Any]) -> Object:
    return Object.of(kind, {"apiVersion": kind.api_version, "kind": kind.name, **document})


@given(PODS)
def test_the_glance_of_a_pod_says_what_its_view_does(document: dict[str, Any]) -> None:
    found = of(POD, document)
    view, glance = found.view, found.glance
    assert isinstance(glance, PodGlance)
    assert glance.node == view.spec.node_name
    assert glance.scheduler == document.get("spec", {}).get("schedulerName", SCHEDULER)
    assert (glance.phase, glance.terminal) == (view.status.phase, view.terminal)
    assert glance.generation == view.metadata.generation
    assert glance.ready == view.ready
    assert glance.claims == any(
        volume.persistent_volume_claim is not None or volume.ephemeral is not None for volume in view.spec.volumes
    )
    assert glance.resource_claims == bool(view.spec.resource_claims)


@given(METADATA, st.sampled_from([POD, DEPLOYMENT]))
def test_the_head_of_any_object_says_what_its_view_does(metadata: dict[str, Any], kind: Kind) -> None:
    found = of(kind, {"metadata": metadata})
    view = found.view.metadata
    assert found.references == view.owner_references
    assert found.owners == tuple(owner.uid for owner in view.owner_references)
    assert found.controller == view.controller
    assert found.finalizers == view.finalizers
    assert found.terminating == (view.deletion_timestamp is not None)
    assert found.labels == view.labels


def test_equal_glances_are_one_and_only_the_same_generation_says_that_a_spec_is_the_same() -> None:
    one = of(POD, {"metadata": {"name": "a", "generation": 2}, "spec": {"nodeName": "n"}})
    two = of(POD, {"metadata": {"name": "b", "generation": 2}, "spec": {"nodeName": "n"}})
    assert one.glance is two.glance
    assert one.glance.same_spec(two.glance)
    other = of(POD, {"metadata": {"name": "a", "generation": 3}, "spec": {"nodeName": "n"}})
    uncounted = of(POD, {"metadata": {"name": "a"}})
    assert not one.glance.same_spec(other.glance)
    assert not uncounted.glance.same_spec(uncounted.glance)


def test_nulls_are_as_good_as_absent() -> None:
    nulls: dict[str, Any] = {"nodeName": None, "schedulerName": None, "resourceClaims": None}
    nulls["volumes"] = [{"name": "v", "persistentVolumeClaim": None, "ephemeral": None}]
    metadata = {"name": "a", "finalizers": None, "deletionTimestamp": None, "labels": None, "generation": None}
    found = of(POD, {"metadata": metadata, "spec": nulls, "status": {"phase": None}})
    assert found.glance == of(POD, {"metadata": {"name": "a"}}).glance
    assert (found.finalizers, found.terminating, found.labels) == ((), False, {})
    assert of(POD, {"metadata": {"name": "a"}, "spec": None, "status": None}).glance == found.glance
