"""Volumes and claims: what is bound to what, and what may never be."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.base.clock import LoopClock
from navarch.base.loop import SimulationLoop
from navarch.controllers import volumes as volume_controllers
from navarch.controllers.options import Setup
from navarch.controllers.plan import Create, Delete, Event, Patch, Plan, Status
from navarch.controllers.volumes import claim as claims
from navarch.controllers.volumes import ephemeral, provision
from navarch.controllers.volumes import volume as volumes
from navarch.kinds import NODE, PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, POD, STORAGECLASS
from navarch.kinds.object import Object
from navarch.kinds.storage_match import (
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    OLD_PROVISIONER,
    PROVISIONED_BY,
    PROVISIONER,
    SELECTED_NODE,
    best,
)
from navarch.objects.patch import merge_patch
from tests.unit.controllers.conftest import NOW, Make, ago

GONE = {"deletionTimestamp": ago(1), "finalizers": ["kubernetes.io/pv-protection"]}


def volume(
    make: Make,
    name: str,
    size: str = "1Gi",
    *,
    modes: tuple[str, ...] = ("ReadWriteOnce",),
    phase: str = "Available",
    labels: dict[str, str] | None = None,
    metadata: dict[str, Any] | None = None,
    **spec: Any,
) -> Object:
    spec = {"capacity": {"storage": size}, "accessModes": list(modes), "hostPath": {"path": "/tmp/x"}, **spec}
    spec.setdefault("volumeMode", "Filesystem")
    spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
    return make.object(
        PERSISTENTVOLUME,
        name,
        metadata={"labels": labels or {}, **(metadata or {})},
        spec=spec,
        status={"phase": phase},
    )


def claim(
    make: Make,
    name: str = "data",
    size: str = "1Gi",
    *,
    modes: tuple[str, ...] = ("ReadWriteOnce",),
    phase: str = "Pending",
    annotations: dict[str, str] | None = None,
    metadata: dict[str, Any] | None = None,
    status: dict[str, Any] | None = None,
    **spec: Any,
) -> Object:
    spec = {"storageClassName": "", "volumeMode": "Filesystem", "accessModes": list(modes), **spec}
    spec = {key: value for key, value in spec.items() if value is not None}
    spec["resources"] = {"requests": {"storage": size}}
    return make.object(
        PERSISTENTVOLUMECLAIM,
        name,
        metadata={"annotations": annotations or {}, **(metadata or {})},
        spec=spec,
        status={"phase": phase, **(status or {})},
    )


def kept_for(found: Object, uid: bool = True) -> dict[str, str]:
    return {"namespace": found.namespace, "name": found.name, **({"uid": found.uid} if uid else {})}


def reasons(plan: Plan) -> list[str]:
    return [action.reason for action in plan.actions if isinstance(action, Event)]


def phase(plan: Plan) -> str:
    assert plan.status is not None
    return str(plan.status.status["phase"])


def test_the_smallest_that_fits_is_chosen(make: Make) -> None:
    wanted = claim(make, size="2Gi")
    found = [volume(make, name, size) for name, size in (("a", "10Gi"), ("b", "3Gi"), ("c", "2Gi"), ("d", "1Gi"))]
    assert best(wanted, found) is found[2]
    assert best(wanted, found[:2]) is found[1]
    assert best(wanted, found[3:]) is None


@pytest.mark.parametrize(
    "other",
    [
        {"modes": ("ReadOnlyMany",)},
        {"phase": "Released"},
        {"phase": "Pending"},
        {"storageClassName": "slow"},
        {"volumeMode": "Block"},
        {"volumeAttributesClassName": "gold"},
        {"metadata": GONE},
        {"labels": {"tier": "b"}},
        {"claimRef": {"namespace": "default", "name": "other"}},
        {"claimRef": {"namespace": "default", "name": "data", "uid": "of one before"}},
    ],
)
def test_what_does_not_fit_is_left_alone(make: Make, other: dict[str, Any]) -> None:
    wanted = claim(make, selector={"matchLabels": {"tier": "a"}})
    assert best(wanted, [volume(make, "v", **{"labels": {"tier": "a"}, **other})]) is None
    assert best(wanted, [volume(make, "v", labels={"tier": "a"})]) is not None


def test_a_volume_kept_for_the_claim_goes_before_a_better_one(make: Make) -> None:
    wanted = claim(make)
    kept = volume(make, "kept", "9Gi", claimRef=kept_for(wanted, uid=False), storageClassName="any")
    assert best(wanted, [volume(make, "small"), kept]) is kept
    assert best(wanted, [volume(make, "small"), kept], delayed=True) is kept
    assert best(wanted, [volume(make, "small")], delayed=True) is None
    assert best(wanted, [kept], reachable=lambda one: False) is None


def test_binding_is_four_writes_and_goes_on_after_any(make: Make) -> None:
    wanted, free = claim(make), volume(make, "v", "2Gi")
    found = claims.plan(claims.Observed(wanted, volumes=[free]), NOW)
    taken, told, named = found.actions
    assert isinstance(taken, Patch)
    assert isinstance(told, Status)
    assert isinstance(named, Patch)
    assert taken.changes["spec"]["claimRef"]["uid"] == wanted.uid
    assert taken.changes["metadata"]["annotations"] == {BOUND_BY_CONTROLLER: "yes"}
    assert told.status["phase"] == "Bound"
    assert named.changes["metadata"]["annotations"] == {BOUND_BY_CONTROLLER: "yes", BIND_COMPLETED: "yes"}
    assert found.status is not None
    assert found.status.status == {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "2Gi"}}

    after = Object.of(PERSISTENTVOLUME, merge_patch(free.document(), taken.changes))
    again = claims.plan(claims.Observed(wanted, volumes=[after, volume(make, "better")]), NOW)
    assert not any(isinstance(one, Patch) and one.object.kind is PERSISTENTVOLUME for one in again.actions)
    assert again.status == found.status


def test_a_user_who_names_both_sides_gets_no_marks_of_the_controller(make: Make) -> None:
    wanted = claim(make, volumeName="v")
    kept = volume(make, "v", claimRef=kept_for(wanted, uid=False))
    taken, _, named = claims.plan(claims.Observed(wanted, named=kept), NOW).actions
    assert isinstance(taken, Patch)
    assert isinstance(named, Patch)
    assert taken.changes["spec"]["claimRef"]["uid"] == wanted.uid
    assert "metadata" not in taken.changes
    assert named.changes == {"metadata": {"annotations": {BIND_COMPLETED: "yes"}}}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"size": "1Mi"}, "requested PV is too small"),
        ({"storageClassName": "slow"}, "storageClassName does not match"),
        ({"volumeMode": "Block"}, "incompatible volumeMode"),
        ({"modes": ("ReadOnlyMany",)}, "incompatible accessMode"),
        ({"volumeAttributesClassName": "gold"}, "volumeAttributesClassName does not match"),
        ({"metadata": GONE}, 'the volume is marked for deletion "v"'),
    ],
)
def test_a_claim_that_names_what_it_cannot_have_is_told(make: Make, given: dict[str, Any], message: str) -> None:
    wanted = claim(make, volumeName="v")
    found = claims.plan(claims.Observed(wanted, named=volume(make, "v", **given)), NOW)
    (event,) = found.actions
    assert isinstance(event, Event)
    assert (event.reason, event.message) == ("VolumeMismatch", f'Cannot bind to requested volume "v": {message}')
    assert phase(found) == "Pending"


def test_a_claim_that_names_the_volume_of_another_waits(make: Make) -> None:
    other = volume(make, "v", claimRef={"namespace": "default", "name": "other"})
    found = claims.plan(claims.Observed(claim(make, volumeName="v"), named=other), NOW)
    assert reasons(found) == ["FailedBinding"]
    assert phase(found) == "Pending"
    assert claims.plan(claims.Observed(claim(make, volumeName="v")), NOW).actions == ()


def test_why_a_claim_waits_is_said(make: Make) -> None:
    waits = make.object(STORAGECLASS, "late", provisioner="x.io/y", volumeBindingMode="WaitForFirstConsumer")
    none = make.object(STORAGECLASS, "none", provisioner="kubernetes.io/no-provisioner")
    former = make.object(STORAGECLASS, "former", provisioner="kubernetes.io/glusterfs")
    soon = make.object(STORAGECLASS, "soon", provisioner="x.io/y")
    late = claim(make, storageClassName="late")
    assert reasons(claims.plan(claims.Observed(claim(make)), NOW)) == ["FailedBinding"]
    assert reasons(claims.plan(claims.Observed(late, storage_class=waits), NOW)) == ["WaitForFirstConsumer"]
    assert reasons(claims.plan(claims.Observed(late), NOW)) == ["ProvisioningFailed"]
    for one in (none, former):
        asks = claim(make, storageClassName=one.name)
        (said,) = claims.plan(claims.Observed(asks, storage_class=one), NOW).actions
        provisioner = one.document()["provisioner"]
        assert said == Event(asks, "ProvisioningFailed", f"no volume plugin matched name: {provisioner}", "Warning")
    found = claims.plan(claims.Observed(claim(make, storageClassName="soon"), storage_class=soon), NOW)
    asked = found.actions[0]
    assert isinstance(asked, Patch)
    assert reasons(found) == ["ExternalProvisioning"]
    assert asked.changes["metadata"]["annotations"] == {PROVISIONER: "x.io/y", OLD_PROVISIONER: "x.io/y"}
    chosen = claim(make, storageClassName="late", annotations={SELECTED_NODE: "n1"})
    assert reasons(claims.plan(claims.Observed(chosen, storage_class=waits), NOW)) == ["ExternalProvisioning"]


def test_a_claim_without_a_class_takes_the_default_when_there_is_one(make: Make) -> None:
    default = make.object(STORAGECLASS, "usual", provisioner="x.io/y")
    found = claims.plan(claims.Observed(claim(make, storageClassName=None), default_class=default), NOW)
    (patch,) = found.actions
    assert isinstance(patch, Patch)
    assert patch.changes == {"spec": {"storageClassName": "usual"}}
    assert reasons(claims.plan(claims.Observed(claim(make, storageClassName="")), NOW)) == ["FailedBinding"]


@pytest.mark.parametrize(
    ("stuck", "message"),
    [(["a"], "waiting for pod a to be scheduled"), (["a", "b"], "waiting for pods a,b to be scheduled")],
)
def test_pods_that_find_no_node_are_named(make: Make, stuck: list[str], message: str) -> None:
    waits = make.object(STORAGECLASS, "late", provisioner="x.io/y", volumeBindingMode="WaitForFirstConsumer")
    late = claim(make, storageClassName="late")
    (said,) = claims.plan(claims.Observed(late, storage_class=waits, stuck=stuck), NOW).actions
    assert said == Event(late, "WaitForPodScheduled", message)


def test_a_pod_that_finds_no_node_wakes_its_claims(make: Make) -> None:
    spec: dict[str, Any] = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}
    unscheduled = {"conditions": [{"type": "PodScheduled", "status": "False"}]}
    new = make.object(POD, "p", spec=spec)
    told = make.object(POD, "p", spec=spec, status=unscheduled)
    placed = make.object(POD, "p", spec={**spec, "nodeName": "n1"}, status=unscheduled)
    ended = make.object(POD, "p", spec=spec, status={**unscheduled, "phase": "Failed"})
    watch = next(one for one in volume_controllers.claims(Setup(None, None)).watches if one.kind is POD)  # type: ignore[arg-type]
    assert list(watch.keys(OneCache(), told)) == [("default", "data")]  # type: ignore[arg-type]
    for other in (new, placed, ended):
        assert list(watch.keys(OneCache(), other)) == []  # type: ignore[arg-type]
    assert watch.changed is not None
    assert watch.changed(new, told)
    assert not watch.changed(told, told)
    assert not watch.changed(told, placed)


def test_of_default_classes_the_youngest_and_of_equals_the_first_is_taken(make: Make) -> None:
    def usual(name: str, made: int) -> Object:
        marks = {"storageclass.kubernetes.io/is-default-class": "true"}
        return make.object(STORAGECLASS, name, metadata={"annotations": marks, "creationTimestamp": ago(made)})

    found = [usual("old", 9), usual("b", 1), usual("a", 1), make.object(STORAGECLASS, "unmarked")]
    assert volume_controllers._default_class(OneCache(*found)) is found[2]  # type: ignore[arg-type]


def test_attributes_are_the_volumes_when_a_claim_becomes_bound_and_the_drivers_later(make: Make) -> None:
    wanted = claim(make, volumeName="v", volumeAttributesClassName="gold")
    kept = volume(make, "v", claimRef=kept_for(wanted), volumeAttributesClassName="gold")
    found = claims.plan(claims.Observed(wanted, named=kept), NOW).status
    assert found is not None
    assert found.status["currentVolumeAttributesClassName"] == "gold"
    changed = claim(
        make,
        volumeName="v",
        volumeAttributesClassName="iron",
        annotations={BIND_COMPLETED: "yes"},
        phase="Bound",
        status={"currentVolumeAttributesClassName": "silver"},
    )
    found = claims.plan(claims.Observed(changed, named=kept), NOW).status
    assert found is not None
    assert found.status["currentVolumeAttributesClassName"] == "silver"


def test_a_claim_whose_volume_forgot_it_is_bound_to_nothing(make: Make) -> None:
    """A volume that is kept for its name alone may be another's."""
    wanted = claim(make, volumeName="v", annotations={BIND_COMPLETED: "yes"}, phase="Bound")
    found = claims.plan(claims.Observed(wanted, volume(make, "v", claimRef=kept_for(wanted, uid=False))), NOW)
    assert reasons(found) == ["ClaimMisbound"]
    again = claims.plan(claims.Observed(wanted, volume(make, "v")), NOW)
    assert phase(again) == "Bound", "a volume that nobody has is bound again"


@pytest.mark.parametrize("case", ["no name", "no volume", "misbound"])
def test_a_claim_that_was_bound_once_is_lost_and_never_bound_again(make: Make, case: str) -> None:
    given = {"annotations": {BIND_COMPLETED: "yes"}, "phase": "Bound", "status": {"capacity": {"storage": "1Gi"}}}
    wanted = claim(make, volumeName=None if case == "no name" else "v", **given)
    other = volume(make, "v", claimRef={"namespace": "default", "name": "other", "uid": "u"})
    free = volume(make, "free")
    found = claims.plan(claims.Observed(wanted, other if case == "misbound" else None, volumes=[free]), NOW)
    assert reasons(found) == ["ClaimMisbound" if case == "misbound" else "ClaimLost"]
    assert found.status is not None
    assert found.status.status == {"phase": "Lost"}
    lost = claim(make, volumeName="v", annotations={BIND_COMPLETED: "yes"}, phase="Lost")
    assert claims.plan(claims.Observed(lost), NOW).actions == ()


def test_a_bound_claim_keeps_the_size_it_was_told(make: Make) -> None:
    wanted = claim(
        make,
        volumeName="v",
        annotations={BIND_COMPLETED: "yes"},
        phase="Bound",
        status={"capacity": {"storage": "1Gi"}},
    )
    grown = volume(make, "v", "5Gi", phase="Bound", claimRef=kept_for(wanted))
    found = claims.plan(claims.Observed(wanted, named=grown), NOW)
    assert found.status is not None
    assert found.status.status["capacity"] == {"storage": "1Gi"}


@given(
    st.lists(
        st.tuples(st.sampled_from(["1Gi", "2Gi", "3Gi"]), st.booleans()),
        min_size=1,
        max_size=5,
    ),
    st.lists(st.tuples(st.sampled_from(["1Gi", "2Gi", "3Gi"]), st.integers(0, 3)), min_size=1, max_size=5),
    st.randoms(use_true_random=False),
)
def test_no_volume_has_two_claims_and_no_claim_two_volumes(
    sizes: list[tuple[str, bool]], wishes: list[tuple[str, int]], random: Any
) -> None:
    """Claims are planned in any order, and each plan is broken off after any number of its writes."""
    make = Make()
    pvs = {f"v{i}": volume(make, f"v{i}", size, phase="Available") for i, (size, _) in enumerate(sizes)}
    pvcs = {f"c{i}": claim(make, f"c{i}", size) for i, (size, _) in enumerate(wishes)}
    first: dict[str, str] = {}
    for _ in range(3 * len(pvcs)):
        name = random.choice(sorted(pvcs))
        named = pvs.get(pvcs[name].view.spec.volume_name)
        plan = claims.plan(claims.Observed(pvcs[name], named, list(pvs.values())), NOW)
        writes = [*plan.actions, *([plan.status] if plan.status else [])]
        for action in writes[: random.randint(0, len(writes))]:
            if isinstance(action, Event):
                continue
            assert isinstance(action, Patch | Status)
            changes = action.changes if isinstance(action, Patch) else {"status": action.status}
            kind, store = action.object.kind, pvs if action.object.kind is PERSISTENTVOLUME else pvcs
            before = store[action.object.name]
            store[before.name] = Object.of(kind, merge_patch(before.document(), changes))
        if bound := pvcs[name].view.spec.volume_name:
            assert first.setdefault(name, bound) == bound
            assert pvs[bound].view.spec.claim_ref.uid == pvcs[name].uid
    assert len(set(first.values())) == len(first)


def test_a_volume_is_available_bound_released(make: Make) -> None:
    wanted = claim(make, volumeName="v")
    assert phase(volumes.plan(volumes.Observed(volume(make, "v", phase="Pending"), None), NOW)) == "Available"
    kept = volume(make, "v", phase="Pending", claimRef=kept_for(wanted, uid=False))
    assert phase(volumes.plan(volumes.Observed(kept, None), NOW)) == "Available"
    bound = volume(make, "v", claimRef=kept_for(wanted))
    assert phase(volumes.plan(volumes.Observed(bound, wanted), NOW)) == "Bound"
    assert phase(volumes.plan(volumes.Observed(bound, None), NOW)) == "Released"
    namesake = claim(make, metadata={"uid": "another"}, volumeName="v")
    assert phase(volumes.plan(volumes.Observed(bound, namesake), NOW)) == "Released"


@pytest.mark.parametrize(
    ("policy", "maker", "follows"),
    [
        ("Retain", "", "nothing"),
        ("Retain", volumes.PROVISIONER_NAME, "nothing"),
        ("Delete", volumes.PROVISIONER_NAME, "delete"),
        ("Delete", "x.io/y", "nothing"),
        ("Delete", "", "VolumeFailedDelete"),
        ("Recycle", "", "VolumeFailedRecycle"),
    ],
)
def test_what_follows_a_claims_end(make: Make, policy: str, maker: str, follows: str) -> None:
    given: dict[str, Any] = {"claimRef": {"namespace": "default", "name": "data", "uid": "gone"}}
    given |= {"persistentVolumeReclaimPolicy": policy, "phase": "Released"}
    given["metadata"] = {"annotations": {PROVISIONED_BY: maker} if maker else {}}
    found = volumes.plan(volumes.Observed(volume(make, "v", **given), None), NOW)
    if follows == "nothing":
        assert found == Plan()
    elif follows == "delete":
        assert isinstance(found.actions[0], Delete)
    else:
        assert reasons(found) == [follows]
        assert phase(found) == "Failed"
        assert found.status is not None
        failed = volume(make, "v", **{**given, "phase": "Failed"})
        status = {**failed.document(), "status": found.status.status}
        told = Object.of(PERSISTENTVOLUME, status)
        assert volumes.plan(volumes.Observed(told, None), NOW) == Plan()


def test_why_a_folder_of_a_node_is_not_removed_is_said(make: Make) -> None:
    given: dict[str, Any] = {"claimRef": {"namespace": "default", "name": "data", "uid": "gone"}}
    given |= {"persistentVolumeReclaimPolicy": "Delete", "phase": "Released", "hostPath": {"path": "/data"}}
    (said,) = volumes.plan(volumes.Observed(volume(make, "v", **given), None), NOW).actions
    assert isinstance(said, Event)
    assert said.message == "host_path deleter only supports /tmp/.+ but received provided /data"


def test_a_volume_whose_claim_chose_another_is_free_again(make: Make) -> None:
    wanted = claim(make, volumeName="other")
    ours = volume(make, "v", claimRef=kept_for(wanted), metadata={"annotations": {BOUND_BY_CONTROLLER: "yes"}})
    found = volumes.plan(volumes.Observed(ours, wanted), NOW)
    (undo,) = found.actions
    assert isinstance(undo, Patch)
    assert undo.changes["spec"] == {"claimRef": None}
    assert phase(found) == "Available"
    theirs = volume(make, "v", claimRef=kept_for(wanted))
    (undo,) = volumes.plan(volumes.Observed(theirs, wanted), NOW).actions
    assert isinstance(undo, Patch)
    assert undo.changes["spec"]["claimRef"]["uid"] is None


def test_modes_that_can_never_meet_are_told_on_both_sides(make: Make) -> None:
    wanted = claim(make, volumeMode="Block")
    found = volumes.plan(volumes.Observed(volume(make, "v", claimRef=kept_for(wanted)), wanted), NOW)
    assert [(one.about.name, one.reason) for one in found.actions if isinstance(one, Event)] == [
        ("v", "VolumeMismatch"),
        ("data", "VolumeMismatch"),
    ]
    assert volumes.plan(volumes.Observed(volume(make, "v", claimRef=kept_for(claim(make))), claim(make)), NOW) == Plan()


def test_a_pods_own_claims_are_made_for_it_and_owned_by_it(make: Make) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    spec = {"volumes": [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}]}
    pod = make.object(POD, "p", spec=spec)
    (made,) = ephemeral.plan(ephemeral.Observed(pod), NOW).actions
    assert isinstance(made, Create)
    message = "ephemeral volume scratch: create PVC p-scratch: {error}"
    assert made.refused == Event(pod, "FailedBinding", message, "Warning")
    metadata = made.document["metadata"]
    assert (metadata["name"], metadata["labels"], metadata["ownerReferences"]) == (
        "p-scratch",
        {"a": "b"},
        make.owner(pod),
    )
    foreign = claim(make, "p-scratch")
    assert reasons(ephemeral.plan(ephemeral.Observed(pod, {"p-scratch": foreign}), NOW)) == ["FailedBinding"]
    own = claim(make, "p-scratch", metadata={"ownerReferences": make.owner(pod)})
    assert ephemeral.plan(ephemeral.Observed(pod, {"p-scratch": own}), NOW) == Plan()


def test_a_claim_that_goes_wakes_the_pods_that_want_its_name(make: Make) -> None:
    """And be it another's: until then theirs could not be made."""
    needs = make.object(POD, "p", spec={"volumes": [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": {}}}]})
    names = make.object(
        POD, "q", spec={"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "p-scratch"}}]}
    )
    pods = {"default/p-scratch": [needs, names]}
    cache = {POD: SimpleNamespace(by=lambda index, key: pods.get(key, []))}
    watches = ephemeral.controller(Setup(None, None)).watches  # type: ignore[arg-type]
    keys = next(watch.keys for watch in watches if watch.kind is PERSISTENTVOLUMECLAIM)
    assert list(keys(cache, claim(make, "p-scratch"))) == [needs.key]  # type: ignore[arg-type]
    assert list(keys(cache, claim(make, "other"))) == []  # type: ignore[arg-type]


def test_each_controller_declares_what_it_reads() -> None:
    """Its caches are filled before it begins, whoever else runs beside it, and what was missing wakes it."""
    setup = Setup(LoopClock(NOW, SimulationLoop()), None)  # type: ignore[arg-type]
    provisioner = {watch.kind: watch for watch in provision.controller(setup).watches}
    assert provisioner.keys() >= {PERSISTENTVOLUMECLAIM, PERSISTENTVOLUME, STORAGECLASS, NODE}
    reclaimer = {watch.kind: watch for watch in volume_controllers.volumes(setup).watches}
    assert volume_controllers.CLAIMED in reclaimer[PERSISTENTVOLUME].indexes


class OneCache:
    """All objects, by kind."""

    def __init__(self, *objects: Object) -> None:
        self.objects = objects

    def __getitem__(self, kind: Any) -> Any:
        found = [one for one in self.objects if one.kind is kind]
        return SimpleNamespace(list=lambda: found)


def test_a_class_that_comes_late_wakes_its_claims(make: Make) -> None:
    marks = {"annotations": {PROVISIONER: "navarch.dev/local-path"}}
    mine = claim(make, "mine", metadata=marks, storageClassName="local-path")
    other = claim(make, "other", metadata=marks, storageClassName="other")
    found = make.object(STORAGECLASS, "local-path", provisioner="navarch.dev/local-path")
    watches = provision.controller(Setup(None, None)).watches  # type: ignore[arg-type]
    keys = next(watch.keys for watch in watches if watch.kind is STORAGECLASS)
    assert list(keys(OneCache(mine, other), found)) == [mine.key]  # type: ignore[arg-type]


def test_a_volume_wakes_its_claim(make: Make) -> None:
    found = volume(make, "v", claimRef={"namespace": "default", "name": "mine"})
    watches = provision.expansion(Setup(None, None)).watches  # type: ignore[arg-type]
    keys = next(watch.keys for watch in watches if watch.kind is PERSISTENTVOLUME)
    assert list(keys(OneCache(), found)) == [("default", "mine")]  # type: ignore[arg-type]
    assert list(keys(OneCache(), volume(make, "w"))) == []  # type: ignore[arg-type]
