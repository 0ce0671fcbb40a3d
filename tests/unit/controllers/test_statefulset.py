"""StatefulSets keep names, claims and their order, and never more than allowed is away."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navarch.controllers.claims import Claim
from navarch.controllers.controllerrevision import candidate
from navarch.controllers.plan import Create, Delete, Event, Patch, Plan, Status
from navarch.controllers.statefulset import Observed, claim_keys, plan
from navarch.controllers.statefulset.identity import HASH_LABEL, REVISION_LABEL, labels, new_pod, ordinal_of
from navarch.kinds import CONTROLLERREVISION, PERSISTENTVOLUMECLAIM, POD, STATEFULSET
from navarch.kinds.object import Object
from tests.unit.controllers.conftest import NOW, Make, ago

DATA = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}


def statefulset(
    make: Make, replicas: int = 3, image: str = "i", status: Any = None, metadata: Any = None, **spec: Any
) -> Object:
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": image}], **spec.pop("pod", {})},
    }
    given = {"replicas": replicas, "serviceName": "db", "selector": {"matchLabels": {"app": "web"}}, **spec}
    return make.object(
        STATEFULSET, "web", metadata=metadata or {}, spec={**given, "template": template}, status=status or {}
    )


def revision(make: Make, owner: Object, number: int = 1) -> Object:
    wanted = candidate(owner)
    template = msgspec.json.decode(owner.view.spec.template)
    return make.object(
        CONTROLLERREVISION,
        wanted.name,
        metadata={"labels": {"app": "web", HASH_LABEL: wanted.hash}, "ownerReferences": make.owner(owner)},
        data={"spec": {"template": {**template, "$patch": "replace"}}},
        revision=number,
    )


def member(make: Make, owner: Object, ordinal: int, **how: Any) -> Object:
    """A pod of the present template of `owner`."""
    marks = {"app": "web", REVISION_LABEL: candidate(owner).name, **labels(owner, ordinal)}
    return make.pod(f"web-{ordinal}", owner=owner, labels=marks, **how)


def look(owner: Object, *pods: Object, revisions: Any = (), **more: Any) -> Plan:
    return plan(Observed(owner, Claim(list(pods)), Claim(list(revisions)), **more), NOW)


def made(found: Plan, kind: Any = POD) -> list[dict[str, Any]]:
    return [action.document for action in found.actions if isinstance(action, Create) and action.kind is kind]


def names(documents: list[dict[str, Any]]) -> list[str]:
    return [document["metadata"]["name"] for document in documents]


def deleted(found: Plan) -> list[str]:
    return [action.object.name for action in found.actions if isinstance(action, Delete)]


def status_of(found: Plan) -> dict[str, Any]:
    assert isinstance(found.status, Status)
    return found.status.status


def test_the_first_pod_has_its_name_and_its_claims(make: Make) -> None:
    old = {"name": "data", "emptyDir": {}}
    owner = statefulset(make, volumeClaimTemplates=[DATA], pod={"volumes": [old, {"name": "x"}]})
    found = look(owner)
    stamp = candidate(owner)
    first, claim, pod = found.actions
    assert isinstance(first, Create)
    assert first.document["metadata"]["name"] == stamp.name
    assert first.document["metadata"]["labels"] == {"app": "web", HASH_LABEL: stamp.hash}
    assert isinstance(claim, Create)
    assert claim.document == {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data-web-0", "namespace": "default", "labels": {"app": "web"}},
        "spec": {"accessModes": ["ReadWriteOnce"]},
    }
    assert isinstance(pod, Create)
    assert pod.document["metadata"] == {
        "name": "web-0",
        "namespace": "default",
        "labels": {
            "app": "web",
            "statefulset.kubernetes.io/pod-name": "web-0",
            "apps.kubernetes.io/pod-index": "0",
            "controller-revision-hash": stamp.name,
        },
        "ownerReferences": make.owner(owner),
    }
    spec = pod.document["spec"]
    assert (spec["hostname"], spec["subdomain"]) == ("web-0", "db")
    assert spec["volumes"] == [{"name": "data", "persistentVolumeClaim": {"claimName": "data-web-0"}}, {"name": "x"}]
    assert status_of(found) == {
        "replicas": 0,
        "availableReplicas": 0,
        "collisionCount": 0,
        "observedGeneration": 1,
        "currentRevision": stamp.name,
        "updateRevision": stamp.name,
    }


def test_each_waits_for_the_one_before(make: Make) -> None:
    owner = statefulset(make)
    known = [revision(make, owner)]
    assert look(owner, member(make, owner, 0, ready_s=None), revisions=known).actions == ()
    assert names(made(look(owner, member(make, owner, 0), revisions=known))) == ["web-1"]
    patient = statefulset(make, minReadySeconds=90)
    found = look(patient, member(make, patient, 0, ready_s=60), revisions=[revision(make, patient)])
    assert found.actions == ()
    assert found.requeue_after_s == 30


def test_in_parallel_nobody_waits(make: Make) -> None:
    owner = statefulset(make, podManagementPolicy="Parallel", ordinals={"start": 5})
    assert names(made(look(owner))) == ["web-5", "web-6", "web-7"]


def test_the_highest_goes_first(make: Make) -> None:
    owner = statefulset(make, 1)
    known = [revision(make, owner)]
    pods = [member(make, owner, ordinal) for ordinal in (0, 1, 2, 10)]
    assert deleted(look(owner, *pods, revisions=known)) == ["web-10"]
    leaving = member(make, owner, 10, deleting=True)
    assert deleted(look(owner, *pods[:3], leaving, revisions=known)) == []
    sick = member(make, owner, 1, ready_s=None)
    assert deleted(look(owner, pods[0], sick, pods[2], revisions=known)) == ["web-2"]
    assert deleted(look(owner, pods[0], sick, member(make, owner, 2, ready_s=None), revisions=known)) == []
    together = statefulset(make, 1, podManagementPolicy="Parallel")
    assert deleted(look(together, *pods, revisions=known)) == ["web-10", "web-2", "web-1"]


def test_what_is_going_keeps_its_name_until_it_is_gone(make: Make) -> None:
    for policy in ("OrderedReady", "Parallel"):
        owner = statefulset(make, 1, podManagementPolicy=policy)
        known = [revision(make, owner)]
        assert look(owner, member(make, owner, 0, deleting=True), revisions=known).actions == ()
        assert made(look(owner, revisions=known, taken=frozenset({"web-0"}))) == []


def test_a_pod_that_ended_is_deleted_to_come_again(make: Make) -> None:
    owner = statefulset(make, 1)
    found = look(owner, member(make, owner, 0, phase="Failed"), revisions=[revision(make, owner)])
    assert deleted(found) == ["web-0"]
    assert made(found) == []
    assert not [action for action in found.actions if isinstance(action, Event)]


def test_in_parallel_one_that_ended_holds_nobody_up(make: Make) -> None:
    for policy, coming in (("OrderedReady", []), ("Parallel", ["web-1", "web-2"])):
        owner = statefulset(make, podManagementPolicy=policy)
        found = look(owner, member(make, owner, 0, phase="Succeeded"), revisions=[revision(make, owner)])
        assert deleted(found) == ["web-0"]
        assert names(made(found)) == coming


def test_in_parallel_a_claim_on_its_way_out_holds_up_its_own_pod_only(make: Make) -> None:
    owner = statefulset(make, 2, volumeClaimTemplates=[DATA], podManagementPolicy="Parallel")
    leaving = make.object(PERSISTENTVOLUMECLAIM, "data-web-0", metadata={"deletionTimestamp": ago(1)}, spec={})
    found = look(owner, revisions=[revision(make, owner)], volumes={"data-web-0": leaving})
    assert names(made(found)) == ["web-1"]
    (told,) = [action for action in found.actions if isinstance(action, Event)]
    assert (told.reason, told.type) == ("FailedCreate", "Warning")
    assert told.message == "create Pod web-0 in StatefulSet web failed error: pvc data-web-0 is being deleted"


def test_an_adopted_pod_gets_its_identity_and_that_is_told(make: Make) -> None:
    owner = statefulset(make, 1)
    pod = make.pod("web-0", owner=owner, labels={"app": "web", REVISION_LABEL: candidate(owner).name})
    (patch,) = look(owner, pod, revisions=[revision(make, owner)]).actions
    assert isinstance(patch, Patch)
    assert patch.changes == {"metadata": {"labels": labels(owner, 0)}}
    assert patch.done is not None
    assert (patch.done.reason, patch.done.message) == (
        "SuccessfulUpdate",
        "update Pod web-0 in StatefulSet web successful",
    )


def test_a_pod_of_another_name_is_let_go_and_not_counted(make: Make) -> None:
    owner = statefulset(make, 1)
    stranger = make.pod("db-7", owner=owner, labels={"app": "web"})
    found = look(owner, member(make, owner, 0), stranger, revisions=[revision(make, owner)])
    assert found.actions == (Patch(stranger, {"metadata": {"ownerReferences": None}}),)
    assert status_of(found)["replicas"] == 1


def test_in_parallel_old_broken_pods_do_not_stop_the_version_that_may_mend_them(make: Make) -> None:
    before, after, known = versions(make, podManagementPolicy="Parallel")
    broken = [member(make, before, ordinal, ready_s=None) for ordinal in range(3)]
    assert deleted(look(after, *broken, revisions=known)) == ["web-2"]
    coming = member(make, after, 2, ready_s=None)
    assert deleted(look(after, *broken[:2], coming, revisions=known)) == []
    assert deleted(look(after, *broken[:2], member(make, after, 2), revisions=known)) == ["web-1"]


def test_two_revisions_of_one_template_are_history_and_stay_within_its_limit(make: Make) -> None:
    owner = statefulset(make, 1)
    known = [revision(make, owner)]
    twin = make.object(
        CONTROLLERREVISION,
        "web-twin",
        metadata={"labels": {"app": "web", HASH_LABEL: "twin"}, "ownerReferences": make.owner(owner)},
        data=known[0].document()["data"],
        revision=2,
    )
    found = look(owner, member(make, owner, 0), revisions=[*known, twin])
    assert deleted(found) == ["web-0"], "its pod is of the twin's namesake"
    assert status_of(found)["updateRevision"] == "web-twin"


def versions(make: Make, **spec: Any) -> tuple[Object, Object, list[Object]]:
    """A set before and after a change of its template, and both revisions."""
    before = statefulset(make, **spec)
    status = {"currentRevision": candidate(before).name}
    after = statefulset(make, image="j", status=status, **spec)
    return before, after, [revision(make, before), revision(make, after, 2)]


def test_a_rollout_takes_the_highest_first_and_one_at_a_time(make: Make) -> None:
    before, after, known = versions(make)
    old = [member(make, before, ordinal) for ordinal in range(3)]
    found = look(after, *old, revisions=known)
    assert deleted(found) == ["web-2"]
    assert status_of(found)["currentReplicas"] == 3
    assert status_of(found)["currentRevision"] == known[0].name
    assert status_of(found)["updateRevision"] == known[1].name
    (pod,) = made(look(after, *old[:2], revisions=known))
    assert pod["spec"]["containers"][0]["image"] == "j"
    coming = member(make, after, 2, ready_s=None)
    assert deleted(look(after, *old[:2], coming, revisions=known)) == []
    assert deleted(look(after, *old[:2], member(make, after, 2), revisions=known)) == ["web-1"]
    done = look(after, *(member(make, after, ordinal) for ordinal in range(3)), revisions=known)
    assert status_of(done)["currentRevision"] == known[1].name
    assert status_of(done)["currentReplicas"] == 3


def test_a_partition_keeps_the_version_before_below_it(make: Make) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
    before, after, known = versions(make, updateStrategy=strategy)
    old = [member(make, before, ordinal) for ordinal in range(3)]
    assert deleted(look(after, *old, revisions=known)) == ["web-2"]
    rolled = [*old[:2], member(make, after, 2)]
    assert look(after, *rolled, revisions=known).actions == ()
    (pod,) = made(look(after, old[0], rolled[2], revisions=known))
    assert pod["metadata"]["name"] == "web-1"
    assert pod["spec"]["containers"][0]["image"] == "i"
    assert pod["metadata"]["labels"][REVISION_LABEL] == known[0].name


def test_several_may_be_away(make: Make) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "50%"}}
    before, after, known = versions(make, replicas=5, updateStrategy=strategy)
    old = [member(make, before, ordinal) for ordinal in range(5)]
    assert deleted(look(after, *old, revisions=known)) == ["web-4", "web-3"]


def test_on_delete_rolls_nothing(make: Make) -> None:
    before, after, known = versions(make, updateStrategy={"type": "OnDelete"})
    old = [member(make, before, ordinal) for ordinal in range(3)]
    assert look(after, *old, revisions=known).actions == ()
    (pod,) = made(look(after, *old[:2], revisions=known))
    assert pod["spec"]["containers"][0]["image"] == "j"


def test_only_revisions_that_are_used_outlive_the_limit(make: Make) -> None:
    owners = [statefulset(make, image=image) for image in "abcd"]
    known = [revision(make, owner, number) for number, owner in enumerate(owners, 1)]
    status = {"currentRevision": known[0].name}
    now = statefulset(make, image="d", status=status, revisionHistoryLimit=1)
    pods = [member(make, owners[0], ordinal) for ordinal in range(3)]
    found = look(now, *pods, revisions=known)
    assert [name for name in deleted(found) if not name.startswith("web-2")] == [known[1].name]


def claim(make: Make, name: str, *owners: dict[str, Any]) -> Object:
    return make.object(PERSISTENTVOLUMECLAIM, name, metadata={"ownerReferences": list(owners)}, spec={})


@pytest.mark.parametrize(
    ("scaled", "gone", "low", "high"),
    [
        ("Retain", "Retain", "", ""),
        ("Retain", "Delete", "StatefulSet", "StatefulSet"),
        ("Delete", "Retain", "", "Pod"),
        ("Delete", "Delete", "StatefulSet", "Pod"),
    ],
)
def test_who_owns_the_claims(make: Make, scaled: str, gone: str, low: str, high: str) -> None:
    policy = {"whenScaled": scaled, "whenDeleted": gone}
    owner = statefulset(make, 1, volumeClaimTemplates=[DATA], persistentVolumeClaimRetentionPolicy=policy)
    volumes = {name: claim(make, name) for name in ("data-web-0", "data-web-1")}
    pods = [member(make, owner, 0), member(make, owner, 1)]
    found = look(owner, *pods, revisions=[revision(make, owner)], volumes=volumes)
    owners = {
        action.object.name: action.changes["metadata"]["ownerReferences"]
        for action in found.actions
        if isinstance(action, Patch)
    }
    kinds = {name: references[0]["kind"] for name, references in owners.items()}
    assert kinds == {name: kind for name, kind in (("data-web-0", low), ("data-web-1", high)) if kind}
    if high == "Pod":
        assert owners["data-web-1"][0]["uid"] == pods[1].uid
    assert deleted(found) == ["web-1"]


def test_claims_of_others_are_left_alone_and_lost_ones_waited_for(make: Make) -> None:
    policy = {"whenDeleted": "Delete"}
    owner = statefulset(make, 1, volumeClaimTemplates=[DATA], persistentVolumeClaimRetentionPolicy=policy)
    known = [revision(make, owner)]
    theirs = {"kind": "X", "name": "x", "uid": "x", "controller": True}
    stranger = claim(make, "data-web-0", theirs)
    pod = member(make, owner, 0)
    assert look(owner, pod, revisions=known, volumes={"data-web-0": stranger}).actions == ()
    shared = claim(make, "data-web-0", theirs, *make.owner(owner))
    assert look(owner, pod, revisions=known, volumes={"data-web-0": shared}).actions == (
        Patch(shared, {"metadata": {"ownerReferences": [theirs]}}),
    )
    stale = claim(make, "data-web-0", {"kind": "Pod", "name": "web-0", "uid": "before", "controller": True})
    assert made(look(owner, revisions=known, volumes={"data-web-0": stale})) == []
    found = look(owner, member(make, owner, 0, phase="Pending", ready_s=None), revisions=known)
    assert names(made(found, PERSISTENTVOLUMECLAIM)) == ["data-web-0"]


def test_one_that_is_being_deleted_only_says_how_it_is(make: Make) -> None:
    owner = statefulset(make, metadata={"deletionTimestamp": ago(1)})
    found = look(owner, member(make, owner, 0))
    assert found.actions == ()
    assert status_of(found)["replicas"] == 1


def test_ordinals_of_names(make: Make) -> None:
    owner = statefulset(make)
    found = {name: ordinal_of(make.pod(name), owner) for name in ("web-0", "web-12", "web-01", "web-x", "web", "db-1")}
    assert found == {"web-0": 0, "web-12": 12, "web-01": None, "web-x": None, "web": None, "db-1": None}


def test_a_claim_finds_its_set(make: Make) -> None:
    class Sets:
        def __getitem__(self, kind: Any) -> Sets:
            return self

        def get(self, namespace: str, name: str) -> Any:
            return name if name in ("web", "b-web") else None

    cache: Any = Sets()
    assert list(claim_keys(cache, claim(make, "a-b-web-3"))) == [("default", "b-web"), ("default", "web")]
    assert list(claim_keys(cache, claim(make, "web"))) == []


PODS = st.dictionaries(
    st.integers(0, 7), st.tuples(st.booleans(), st.sampled_from(["serves", "starts", "leaves", "ended"])), max_size=8
)


@settings(max_examples=300)
@given(PODS, st.integers(0, 6), st.integers(0, 4), st.integers(1, 3), st.booleans())
def test_order_partition_and_bounds_are_kept(
    present: dict[int, tuple[bool, str]], replicas: int, partition: int, most: int, parallel: bool
) -> None:
    make = Make()
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": partition, "maxUnavailable": most}}
    policy = "Parallel" if parallel else "OrderedReady"
    before, after, known = versions(make, replicas=replicas, updateStrategy=strategy, podManagementPolicy=policy)
    how: dict[str, dict[str, Any]] = {
        "serves": {},
        "starts": {"ready_s": None},
        "leaves": {"deleting": True},
        "ended": {"phase": "Failed"},
    }
    pods = [member(make, after if new else before, number, **how[state]) for number, (new, state) in present.items()]
    found = look(after, *pods, revisions=known)
    coming = [int(name.removeprefix("web-")) for name in names(made(found))]
    going = [int(name.removeprefix("web-")) for name in deleted(found)]
    serving = {number for number, (_, state) in present.items() if state == "serves"}
    assert len(set(coming)) == len(coming)
    assert len(set(going)) == len(going)
    assert not set(coming) & set(present), "never two of one identity"
    assert all(number < replicas for number in coming)
    assert all(present[number][1] != "leaves" for number in going)
    for number in going:
        if number < partition and number < replicas:
            assert present[number][1] == "ended", "below the partition nothing is replaced for its version"
    if not parallel:
        assert len(coming) + len([number for number in going if number >= replicas]) <= 1
        for number in coming:
            assert set(range(number)) <= serving
        for number in going:
            if number >= replicas:
                assert set(range(replicas)) <= serving
                assert number == max(present)
    rolled = [number for number in going if number < replicas and present[number][1] != "ended"]
    missing = len([number for number in range(replicas) if number not in present])
    busy = [number for number, (new, state) in present.items() if number < replicas and (new or state == "leaves")]
    away = missing + len([number for number in busy if number not in serving])
    assert len(rolled) <= max(0, most - away)
    assert all(not present[number][0] for number in rolled)
    assert new_pod(after, 0, {"spec": {}}, "r")["metadata"]["name"] == "web-0"
