"""What goes with its owner, what waits for it, and what is only let go."""

from __future__ import annotations

import asyncio
from typing import Any

from navarch.controllers.garbage import Collector, Observed, Owner, confirm, plan
from navarch.controllers.plan import Delete, Event, Patch, Update
from navarch.kinds import DEPLOYMENT, NAMESPACE, NODE, POD, REPLICASET
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.kinds.view import OwnerReference
from tests.unit.controllers.conftest import NOW, Make, ago


class Caches:
    """What `Cache` is to a controller, over a handful of objects."""

    def __init__(self, *found: Object) -> None:
        self.found = list(found)

    def __getitem__(self, kind: Kind) -> Any:
        found = [one for one in self.found if one.kind is kind]

        class Informer:
            def get(self, namespace: str, name: str) -> Object | None:
                return next((one for one in found if one.key == (namespace, name)), None)

            def list(self) -> list[Object]:
                return found

            def owned_by(self, uid: str) -> list[Object]:
                return [one for one in found if uid in one.owners]

        return Informer()


def owned(make: Make, name: str, *owners: Object, kind: Kind = POD, **metadata: Any) -> Object:
    references = [make.owner(owner)[0] for owner in owners]
    return make.object(kind, name, metadata={"ownerReferences": references, **metadata})


def going(make: Make, kind: Kind, name: str, *finalizers: str, **metadata: Any) -> Object:
    return make.object(kind, name, metadata={"deletionTimestamp": ago(1), "finalizers": list(finalizers), **metadata})


def look(found: Object, *others: Object) -> Any:
    return Collector([POD, REPLICASET, DEPLOYMENT, NODE]).observe(Caches(found, *others), (found.kind, *found.key))  # type: ignore[arg-type]


def outcome(found: Object, *others: Object) -> tuple[Any, ...]:
    seen = look(found, *others)
    assert seen is not None
    known = tuple(Owner(o.reference, o.kind, bool(o.present), o.waiting) for o in seen.owners)
    return plan(Observed(found, known, seen.dependents), NOW).actions


def test_an_object_goes_when_all_its_owners_are_gone(make: Make) -> None:
    rs = make.object(REPLICASET, "rs")
    pod = owned(make, "p", rs)
    assert outcome(pod, rs) == ()
    assert outcome(pod) == (Delete(pod, propagation="Background", guarded=True),)


def test_an_owner_of_the_same_name_but_another_uid_is_another(make: Make) -> None:
    pod = owned(make, "p", make.object(REPLICASET, "rs"))
    again = make.object(REPLICASET, "rs", metadata={"uid": "another"})
    assert outcome(pod, again) == (Delete(pod, propagation="Background", guarded=True),)


def test_with_one_owner_left_it_only_loses_the_reference(make: Make) -> None:
    one, two = make.object(REPLICASET, "one"), make.object(REPLICASET, "two")
    pod = owned(make, "p", one, two)
    assert outcome(pod, two) == (Patch(pod, {"metadata": {"ownerReferences": make.owner(two)}}),)


def test_kinds_that_nobody_knows_are_left_alone(make: Make) -> None:
    reference = {"apiVersion": "example.com/v1", "kind": "Thing", "name": "x", "uid": "u"}
    pod = make.object(POD, "p", metadata={"ownerReferences": [reference]})
    assert outcome(pod) == ()


def test_a_namespaced_owner_of_a_cluster_object_decides_nothing(make: Make) -> None:
    node = owned(make, "n", make.object(POD, "p"), kind=NODE)
    assert outcome(node) == ()


def test_foreground_waits_for_what_blocks(make: Make) -> None:
    rs = going(make, REPLICASET, "rs", "foregroundDeletion", "other")
    pod = owned(make, "p", rs)
    assert outcome(rs, pod) == ()
    assert outcome(pod, rs) == (Delete(pod, propagation="Background", guarded=True),)
    assert outcome(rs) == (Patch(rs, {"metadata": {"finalizers": ["other"]}}),)
    document = pod.document()
    document["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] = False
    loose = Object.of(POD, document)
    assert outcome(rs, loose) == (Patch(rs, {"metadata": {"finalizers": ["other"]}}),)


def test_what_has_dependents_itself_goes_in_the_foreground_too(make: Make) -> None:
    deployment = going(make, DEPLOYMENT, "d", "foregroundDeletion")
    rs = owned(make, "rs", deployment, kind=REPLICASET)
    pod = owned(make, "p", rs)
    assert outcome(rs, deployment, pod) == (Delete(rs, propagation="Foreground", guarded=True),)


def test_two_that_own_each_other_do_not_wait_for_ever(make: Make) -> None:
    a = going(make, DEPLOYMENT, "a", "foregroundDeletion")
    b = going(make, REPLICASET, "b", "foregroundDeletion", ownerReferences=make.owner(a))
    references = make.owner(b)
    c = make.object(POD, "c", metadata={"ownerReferences": references, "finalizers": []})
    d = make.object(
        POD,
        "d",
        metadata={"deletionTimestamp": ago(1), "finalizers": ["foregroundDeletion"], "ownerReferences": make.owner(c)},
    )
    freed = [{**references[0], "blockOwnerDeletion": False}]
    assert outcome(c, a, b, d) == (
        Patch(c, {"metadata": {"ownerReferences": freed}}),
        Delete(c, propagation="Foreground"),
    )


def test_orphaning_lets_go_of_dependents_first(make: Make) -> None:
    rs = going(make, REPLICASET, "rs", "orphan")
    pod = owned(make, "p", rs)
    let_go, released = outcome(rs, pod)
    assert let_go == Patch(pod, {"metadata": {"ownerReferences": None}})
    assert isinstance(released, Update), "no patch: those are made at once, and this has to wait for them"
    assert "finalizers" not in released.document["metadata"]
    assert released.document["metadata"]["resourceVersion"] == str(rs.revision)


def test_what_is_going_anyway_is_left_to_go(make: Make) -> None:
    pod = owned(make, "p", make.object(REPLICASET, "rs"), deletionTimestamp=ago(1))
    assert look(pod) is None


def test_an_absence_is_confirmed_with_the_api(make: Make, client: Any) -> None:
    rs = make.object(REPLICASET, "rs")
    reference = OwnerReference(api_version="apps/v1", kind="ReplicaSet", name="rs", uid=rs.uid)
    seen = Observed(owned(make, "p", rs), (Owner(reference, REPLICASET, None),))
    assert asyncio.run(confirm(client, seen)).owners[0].present is False
    client.put(REPLICASET, rs.document())
    assert asyncio.run(confirm(client, seen)).owners[0].present is True


def test_a_deletion_that_was_seen_needs_no_question(make: Make) -> None:
    collector = Collector([POD, REPLICASET])
    rs = make.object(REPLICASET, "rs")
    pod = owned(make, "p", rs)
    keys = list(collector.keys(Caches(pod), rs))  # type: ignore[arg-type]
    assert keys == [(POD, "default", "p")]
    seen = collector.observe(Caches(pod), keys[0])  # type: ignore[arg-type]
    assert seen is not None
    assert [owner.present for owner in seen.owners] == [False]


def test_the_loss_of_a_dependent_wakes_the_owner_that_waits(make: Make) -> None:
    rs = going(make, REPLICASET, "rs", "foregroundDeletion")
    pod = owned(make, "p", rs)
    assert list(Collector([POD, REPLICASET]).keys(Caches(rs), pod)) == [(REPLICASET, "default", "rs")]  # type: ignore[arg-type]


def told(found: Object, *others: Object, collector: Collector | None = None, client: Any) -> tuple[Any, ...]:
    """What the plan for `found` says after the API was asked, which has `others`."""
    for other in others:
        client.put(other.kind, other.document())
    collector = collector or Collector([POD, REPLICASET, DEPLOYMENT, NODE])
    seen = collector.observe(Caches(found, *others), (found.kind, *found.key))  # type: ignore[arg-type]
    assert seen is not None
    return plan(asyncio.run(collector.confirm(client, seen)), NOW).actions


def test_an_owner_in_another_namespace_does_not_count_and_is_told_of_once(make: Make, client: Any) -> None:
    rs = make.object(REPLICASET, "rs", namespace="other")
    pod = owned(make, "p", rs)
    collector = Collector([POD, REPLICASET])
    message = (
        'ownerRef [apps/v1/ReplicaSet, namespace: default, name: rs, uid: uid-rs] does not exist in namespace "default"'
    )
    gone = Delete(pod, propagation="Background", guarded=True)
    other = make.object(NAMESPACE, "other")
    event = Event(pod, "OwnerRefInvalidNamespace", message, "Warning")
    assert told(pod, rs, other, collector=collector, client=client) == (event, gone)
    assert told(pod, rs, other, collector=collector, client=client) == (gone,), "a retry tells of nothing twice"


def test_an_owner_of_that_name_but_another_uid_elsewhere_is_nobody(make: Make, client: Any) -> None:
    pod = owned(make, "p", make.object(REPLICASET, "rs"))
    other = make.object(REPLICASET, "rs", namespace="other", metadata={"uid": "another"})
    assert told(pod, other, make.object(NAMESPACE, "other"), client=client) == (
        Delete(pod, propagation="Background", guarded=True),
    )


def test_a_namespaced_owner_of_a_cluster_object_is_told_of_and_nothing_goes(make: Make, client: Any) -> None:
    pod = make.object(POD, "p")
    node = owned(make, "n", pod, kind=NODE)
    assert list(Collector([POD, NODE]).keys(Caches(node, pod), node)) == [(NODE, "", "n")]  # type: ignore[arg-type]
    (event,) = told(node, pod, make.object(NAMESPACE, "default"), client=client)
    assert isinstance(event, Event)
    message = 'ownerRef [v1/Pod, namespace: , name: p, uid: uid-p] does not exist in namespace ""'
    assert (event.about, event.reason, event.message) == (node, "OwnerRefInvalidNamespace", message)


def test_owners_that_were_seen_to_go_are_known_though_their_kind_is_not_any_more(make: Make) -> None:
    collector = Collector([POD, REPLICASET, NODE])
    rs = make.object(REPLICASET, "rs")
    pod, node = owned(make, "p", rs), owned(make, "n", rs, kind=NODE)
    other = owned(make, "p", rs, kind=POD, namespace="other")
    assert len(list(collector.keys(Caches(pod, node, other), rs))) == 3  # type: ignore[arg-type]
    collector.know([POD, NODE])
    for found, present in ((pod, False), (other, True), (node, True)):
        seen = collector.observe(Caches(found), (found.kind, *found.key))  # type: ignore[arg-type]
        assert seen is not None
        assert [owner.present for owner in seen.owners] == [present], found.key


def test_only_what_blocks_is_unblocked(make: Make) -> None:
    a = going(make, DEPLOYMENT, "a", "foregroundDeletion")
    loose = make.owner(make.object(REPLICASET, "b"))[0]
    del loose["blockOwnerDeletion"]
    c = make.object(POD, "c", metadata={"ownerReferences": [*make.owner(a), loose]})
    d = going(make, POD, "d", "foregroundDeletion", ownerReferences=make.owner(c))
    patch, _ = outcome(c, a, d)
    assert isinstance(patch, Patch)
    assert patch.changes["metadata"]["ownerReferences"] == [{**make.owner(a)[0], "blockOwnerDeletion": False}, loose]
