"""Every promise of the simulation can be broken, and is kept by what is right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from navarch.objects.value import Document
from navarch.testing import promises, promises_apps, promises_cluster, promises_upkeep, settled
from navarch.testing.ledger import Ledger, changes
from navarch.testing.promises import Promise

READY = {"conditions": [{"type": "Ready", "status": "True"}], "phase": "Running"}
RUNS = {"phase": "Running"}


def new(kind: str, name: str, *, owner: str = "", **rest: Any) -> Document:
    metadata: Document = {"name": name, "namespace": "default", "uid": f"{kind}-{name}", **rest.pop("metadata", {})}
    if owner:
        parent, _, _ = owner.partition("-")
        metadata["ownerReferences"] = [
            {"uid": owner, "kind": parent, "name": owner.removeprefix(f"{parent}-"), "controller": True}
        ]
    return {"kind": kind, "metadata": metadata, **rest}


def going(document: Document) -> Document:
    metadata = document["metadata"] | {"deletionTimestamp": "2030-01-01T00:00:00Z"}
    return document | {"metadata": metadata}


def ledger_of(*documents: Document, actor: str = "") -> Ledger:
    ledger = Ledger()
    ledger.actor = actor
    for document in documents:
        ledger.put(document["metadata"]["uid"], document)
    return ledger


def judged(promise: Promise, ledger: Ledger, old: Document | None, made: Document | None) -> str:
    return "; ".join(promise(ledger, old, made))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({"metadata": {"uid": "x"}}, {}, "changed its uid"),
        ({"metadata": {"generation": 2}}, {"metadata": {"generation": 1}}, "back to 1"),
        ({"status": {"observedGeneration": 2}}, {"status": {"observedGeneration": 1}}, "observed generation 2, and"),
        ({}, {"metadata": {"generation": 1}, "status": {"observedGeneration": 2}}, "to come"),
        ({"metadata": {"deletionTimestamp": "x"}}, {}, "is no more"),
        (
            {"metadata": {"deletionTimestamp": "x"}},
            {"metadata": {"deletionTimestamp": "x", "finalizers": ["f"]}},
            "got a finalizer",
        ),
    ],
)  # fmt: skip
def test_time_goes_on(before: Document, after: Document, said: str) -> None:
    old, now = new("ConfigMap", "c", **before), new("ConfigMap", "c", **after)
    assert said in judged(promises.time_goes_on, Ledger(), old, now)
    assert not judged(promises.time_goes_on, Ledger(), old, old)


def test_a_rollout_asks_for_enough() -> None:
    deployment = new("Deployment", "web", spec={"replicas": 4, "strategy": {"rollingUpdate": {"maxUnavailable": 1}}})
    old = new("ReplicaSet", "old", owner="Deployment-web", spec={"replicas": 4})
    ledger = ledger_of(deployment, old, actor="deployment-controller")
    assert not judged(promises_apps.enough_are_asked_for, ledger, old, old | {"spec": {"replicas": 3}})
    said = judged(promises_apps.enough_are_asked_for, ledger, old, old | {"spec": {"replicas": 2}})
    assert said == "deployment web: 2 pods are asked for, 3 have to be available"


def test_no_more_pods_are_made_than_are_asked_for() -> None:
    owner = new("ReplicaSet", "web", spec={"replicas": 1})
    there, made = (new("Pod", name, owner="ReplicaSet-web") for name in "ab")
    promise = promises_apps.no_more_than_asked_for
    assert judged(promise, ledger_of(owner, there), None, made) == "ReplicaSet web makes pod 2, 1 are asked for"
    assert not judged(promise, ledger_of(owner, going(there)), None, made)
    assert not judged(promise, ledger_of(owner), None, made)


def test_identities_come_in_order() -> None:
    owner = new("StatefulSet", "db", spec={"replicas": 3})
    second = new("Pod", "db-1", owner="StatefulSet-db")
    ledger = ledger_of(owner, new("Pod", "db-0", owner="StatefulSet-db", status=READY), actor="statefulset-controller")
    assert not judged(promises_apps.identities_come_in_order, ledger, None, second)
    ledger.put("Pod-db-0", None)
    ledger = ledger_of(owner, new("Pod", "db-0", owner="StatefulSet-db", status=RUNS), actor="statefulset-controller")
    said = judged(promises_apps.identities_come_in_order, ledger, None, second)
    assert said == "pod db-1 is made although db-0 is not ready"


def test_identities_go_in_order() -> None:
    owner = new("StatefulSet", "db", spec={"replicas": 1})
    pods = [new("Pod", f"db-{n}", owner="StatefulSet-db", spec={"nodeName": "n"}, status=READY) for n in range(3)]
    ledger = ledger_of(owner, *pods, actor="statefulset-controller")
    assert not judged(promises_apps.identities_go_in_order, ledger, pods[2], going(pods[2]))
    said = judged(promises_apps.identities_go_in_order, ledger, pods[1], going(pods[1]))
    assert said == "pod db-1 is removed while db-2 is still there"


def test_pods_end_on_their_nodes() -> None:
    node = new("Node", "n1", metadata={"namespace": ""})
    pod = new("Pod", "db-0", spec={"nodeName": "n1"}, status=RUNS)
    promise = promises_apps.pods_end_on_their_nodes
    assert "while node n1 may run it" in judged(promise, ledger_of(node, pod, actor="podgc"), pod, None)
    assert not judged(promise, ledger_of(node, pod, actor="nodes"), pod, None)
    assert not judged(promise, ledger_of(pod, actor="podgc"), pod, None)


def test_one_daemon_on_each_node() -> None:
    def owner(surge: int) -> Document:
        return new("DaemonSet", "ds", spec={"updateStrategy": {"rollingUpdate": {"maxSurge": surge}}})

    there = new("Pod", "a", owner="DaemonSet-ds", spec={"nodeName": "n1"})
    field = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}
    terms = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [field]}}
    made = new("Pod", "b", owner="DaemonSet-ds", spec={"affinity": {"nodeAffinity": terms}})
    promise, actor = promises_apps.one_on_each_node, "daemon-set-controller"
    assert "node n1, which has ['a']" in judged(promise, ledger_of(owner(0), there, actor=actor), None, made)
    assert not judged(promise, ledger_of(owner(1), there, actor=actor), None, made)
    assert not judged(promise, ledger_of(owner(0), going(there), actor=actor), None, made)


def test_parallelism_and_indexes_of_jobs() -> None:
    def pod(name: str, index: str) -> Document:
        return new("Pod", name, owner="Job-j", metadata={"annotations": {promises_apps.INDEX: index}})

    owner = new("Job", "j", spec={"parallelism": 1}, status={"completedIndexes": "0,2-3"})
    promise, actor = promises_apps.parallelism_is_kept, "job-controller"
    assert not judged(promise, ledger_of(owner, actor=actor), None, pod("b", "1"))
    assert "index 3, which is done" in judged(promise, ledger_of(owner, actor=actor), None, pod("b", "3"))
    said = judged(promise, ledger_of(owner, pod("a", "1"), actor=actor), None, pod("b", "1"))
    assert "makes pod 2, 1 may be at work" in said
    assert "index 1, at which ['a'] is at work" in said
    idle = owner | {"spec": {"parallelism": 1, "suspend": True}}
    assert "is suspended" in judged(promise, ledger_of(idle, actor=actor), None, pod("b", "1"))


def test_jobs_count_exactly() -> None:
    def job(**status: Any) -> Document:
        return new("Job", "j", spec={}, status=status)

    ledger = ledger_of()
    done = new("Pod", "a", owner="Job-j", status={"phase": "Succeeded"})
    list(promises_apps.remember_successes(ledger, None, done))
    promise = promises_apps.jobs_count_exactly
    assert not judged(promise, ledger, job(), job(succeeded=1))
    assert "counts 2 successes, 1 pods" in judged(promise, ledger, None, job(succeeded=2))
    twice = job(succeeded=1, uncountedTerminatedPods={"succeeded": ["a"]})
    assert "counts 2 successes" in judged(promise, ledger, None, twice)
    assert "had 2 failed, and now has 0" in judged(promise, ledger, job(failed=2), job())
    indexed = job(succeeded=1, completedIndexes="0-1") | {"spec": {"completionMode": "Indexed"}}
    assert "1 successes and 2 completed" in judged(promise, ledger, None, indexed)
    complete, failed = ({"type": end, "status": "True"} for end in ("Complete", "Failed"))
    assert "complete and has failed" in judged(promise, ledger, None, job(conditions=[complete, failed]))
    assert "was Complete and is so no more" in judged(promise, ledger, job(conditions=[complete]), job())


def test_ends_are_counted_before_pods_are_let_go() -> None:
    held = new(
        "Pod", "a", owner="Job-j", metadata={"finalizers": [promises_apps.TRACKING]}, status={"phase": "Succeeded"}
    )
    free = held | {"metadata": held["metadata"] | {"finalizers": []}}
    promise = promises_apps.ends_are_counted
    assert "before its job has counted it" in judged(promise, ledger_of(new("Job", "j", spec={})), held, free)
    counted = new("Job", "j", spec={}, status={"uncountedTerminatedPods": {"succeeded": ["Pod-a"]}})
    assert not judged(promise, ledger_of(counted), held, free)
    assert not judged(promise, ledger_of(), held, free)


def test_schedules_are_kept() -> None:
    cronjob = new("CronJob", "c", spec={"concurrencyPolicy": "Forbid"})
    first, second = (new("Job", f"c-{n}", owner="CronJob-c") for n in (1, 2))
    promise, actor = promises_apps.schedules_are_kept, "cronjob-controller"
    ledger = ledger_of(cronjob, actor=actor)
    assert not judged(promise, ledger, None, first)
    assert "its time comes twice" in judged(promise, ledger, None, first)
    ledger.put("Job-c-1", first)
    assert "made beside ['c-1'], which is forbidden" in judged(promise, ledger, None, second)
    idle = cronjob | {"spec": {"suspend": True}}
    assert "is suspended" in judged(promise, ledger_of(idle, actor=actor), None, first)


def test_the_owned_live() -> None:
    owner, owned = new("ConfigMap", "o"), new("ConfigMap", "p", owner="ConfigMap-o")
    promise, actor = promises_cluster.the_owned_live, "generic-garbage-collector"
    assert "its owner o lives" in judged(promise, ledger_of(owner, owned, actor=actor), owned, None)
    assert "its owner o lives" in judged(promise, ledger_of(owner, owned, actor=actor), owned, going(owned))
    assert not judged(promise, ledger_of(owned, actor=actor), owned, None)
    waits = owner | {"metadata": owner["metadata"] | {"finalizers": ["foregroundDeletion"]}}
    assert not judged(promise, ledger_of(waits, owned, actor=actor), owned, None)


def test_budgets_are_kept() -> None:
    pods = [new("Pod", name, status=READY, metadata={"labels": {"app": "a"}}) for name in ("a", "b")]

    def budget(least: int, *disrupted: str) -> Document:
        status = {"expectedPods": 2, "disruptedPods": dict.fromkeys(disrupted, "now")}
        spec = {"minAvailable": least, "selector": {"matchLabels": {"app": "a"}}}
        return new("PodDisruptionBudget", "b", spec=spec, status=status)

    promise = promises_cluster.budgets_are_kept
    assert not judged(promise, ledger_of(*pods, budget(1, "a"), actor="eviction"), pods[0], going(pods[0]))
    said = judged(promise, ledger_of(*pods, budget(2), actor="eviction"), pods[0], going(pods[0]))
    assert "was not asked" in said
    assert "1 healthy pods are left, 2 are wanted" in said


def test_a_budget_that_has_not_heard_of_fewer_replicas_gives_what_they_allow() -> None:
    labels = {"app": "a"}
    pods = [new("Pod", name, status=READY, metadata={"labels": labels}) for name in ("a", "b")]
    status = {"expectedPods": 4, "disruptedPods": {"a": "now"}}
    half = new(
        "PodDisruptionBudget", "b", spec={"minAvailable": "50%", "selector": {"matchLabels": labels}}, status=status
    )
    promise = promises_cluster.budgets_are_kept

    def said(replicas: int) -> str:
        asked = new("Deployment", "d", spec={"replicas": replicas, "selector": {"matchLabels": labels}})
        return judged(promise, ledger_of(*pods, half, asked, actor="eviction"), pods[0], going(pods[0]))

    assert not said(2)
    assert "1 healthy pods are left, 2 are wanted" in said(4)
    assert "2 are wanted" in said(9), "nor does it have to have heard of more"


def test_volumes_are_bound_once() -> None:
    promise = promises_cluster.volumes_are_bound_once
    one, two = (new("PersistentVolume", "v", spec={"claimRef": {"uid": uid}}) for uid in "ab")
    assert "from claim a to b" in judged(promise, ledger_of(), one, two)
    unbound = new("PersistentVolumeClaim", "c", spec={"volumeName": "v"}, status={"phase": "Pending"})
    bound = unbound | {"status": {"phase": "Bound"}}
    volume = one | {"metadata": one["metadata"] | {"namespace": ""}}
    assert "which is not its own" in judged(promise, ledger_of(volume), unbound, bound)
    own = volume | {"spec": {"claimRef": {"uid": "PersistentVolumeClaim-c"}}}
    assert not judged(promise, ledger_of(own), unbound, bound)
    assert "from volume v to w" in judged(promise, ledger_of(own), bound, bound | {"spec": {"volumeName": "w"}})


def test_used_claims_stay() -> None:
    claim = new("PersistentVolumeClaim", "c")
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]
    pod = new("Pod", "p", spec={"volumes": volumes, "nodeName": "n"}, status=RUNS)
    promise = promises_cluster.protected_stay
    assert "while pod p uses it" in judged(promise, ledger_of(claim, pod), claim, None)
    assert not judged(promise, ledger_of(claim, pod | {"status": {"phase": "Succeeded"}}), claim, None)


def test_quotas_are_kept() -> None:
    quota = new("ResourceQuota", "q", spec={"hard": {"pods": "1"}})
    promise = promises_cluster.quotas_are_kept
    assert not judged(promise, ledger_of(quota), None, new("Pod", "b"))
    assert "is number 2 in default, which may have 1" in judged(
        promise, ledger_of(quota, new("Pod", "a")), None, new("Pod", "b")
    )


def test_nothing_is_left_behind() -> None:
    gone = new("Namespace", "default", metadata={"namespace": ""})
    promise = promises_cluster.nothing_is_left_behind
    assert "left ['Pod p']" in judged(promise, ledger_of(new("Pod", "p")), gone, None)
    assert not judged(promise, ledger_of(new("Event", "e")), gone, None)


def test_scales_stay_within() -> None:
    scaler = new("HorizontalPodAutoscaler", "h", spec={"maxReplicas": 3, "scaleTargetRef": {"name": "web"}})
    few, many = (new("Deployment", "web", spec={"replicas": number}) for number in (1, 4))
    promise, actor = promises_cluster.scales_stay_within, "horizontal-pod-autoscaler"
    assert "scaled to 4, from 1 to 3" in judged(promise, ledger_of(scaler, actor=actor), few, many)
    assert not judged(promise, ledger_of(scaler, actor="user"), few, many)


def test_claims_are_reserved_for_their_pod() -> None:
    claim = new("ResourceClaim", "c", owner="Pod-p", status={"reservedFor": [{"uid": "Pod-p"}]})
    assert not judged(promises_cluster.claims_are_reserved, ledger_of(), None, claim)
    other = claim | {"status": {"reservedFor": [{"uid": "Pod-q"}]}}
    assert "is held by ['Pod-q']" in judged(promises_cluster.claims_are_reserved, ledger_of(), None, other)


def test_a_device_is_one_claims() -> None:
    result = {"driver": "d", "pool": "p", "device": "one"}
    allocation = {"devices": {"results": [result]}}
    first = new("ResourceClaim", "a", status={"allocation": allocation})
    second = new("ResourceClaim", "b", status={"allocation": allocation})
    free = new("ResourceClaim", "c", status={"allocation": {"devices": {"results": [result | {"device": "two"}]}}})
    judge = promises_cluster.devices_are_held_once
    assert not judged(judge, ledger_of(first), None, first)
    assert not judged(judge, ledger_of(first), None, free)
    assert "a both have" in judged(judge, ledger_of(first), None, second)
    assert not judged(judge, ledger_of(first), second, second), "told once, when it came about"


def test_an_address_of_a_pool_is_one_services() -> None:
    def at(name: str, *addresses: str) -> Document:
        return new("Service", name, status={"loadBalancer": {"ingress": [{"ip": each} for each in addresses]}})

    judge = promises_upkeep.addresses_are_given_once
    assert not judged(judge, ledger_of(at("a", "192.0.2.1")), at("a"), at("a", "192.0.2.1"))
    assert not judged(judge, ledger_of(at("a", "192.0.2.1")), at("b"), at("b", "192.0.2.2"))
    assert "services b and a both have ['192.0.2.1']" in judged(
        judge, ledger_of(at("a", "192.0.2.1")), at("b"), at("b", "192.0.2.2", "192.0.2.1")
    )
    assert not judged(judge, ledger_of(at("a", "192.0.2.1")), at("b", "192.0.2.1"), at("b", "192.0.2.1"))


# -- in the end


def test_every_check_of_the_end_holds_of_nothing() -> None:
    assert list(settled.unsettled(Ledger())) == []


SPEC = {"template": {"spec": {"containers": [{"image": "v2"}]}}}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (going(new("ConfigMap", "c")), "was deleted and never went"),
        (new("ConfigMap", "c", owner="ConfigMap-gone"), "outlived its owners"),
        (new("Node", "n", spec={}), "is not ready"),
        (new("Job", "j", metadata={"generation": 2}, status={"observedGeneration": 1}), "1 was looked at"),
        (new("ReplicaSet", "r", spec={"replicas": 1}), "wants 1 pods, there are []"),
        (new("ReplicaSet", "r", spec={"replicas": 0}, status={"replicas": 1}), "has 0 pods and says"),
        (new("Deployment", "d", spec={"replicas": 1, **SPEC}), "wants 1 pods of v2, 0 are well"),
        (new("StatefulSet", "s", spec={"replicas": 1, **SPEC}), "wants ['s-0'], there are []"),
        (new("Job", "j", spec=SPEC), "is not over"),
        (new("CronJob", "c", spec={}, status={"active": [{"uid": "x"}]}), "says that ['x'] are at work, 0 are"),
        (new("PodDisruptionBudget", "b", spec={"selector": {}}, status={"currentHealthy": 1}), "0 healthy pods of 0"),
        (new("ResourceQuota", "q", spec={"hard": {"pods": "1"}}, status={"used": {"pods": "1"}}), "there are 0 pods"),
        (new("PersistentVolumeClaim", "c", spec={"volumeName": "v"}, status={"phase": "Bound"}), "is not its own"),
        (new("PersistentVolume", "v", spec={"claimRef": {"uid": "x", "name": "c"}}), "its claim c is gone"),
        (new("Pod", "p", spec={"nodeName": "gone"}, status=READY), "on node gone, which is gone"),
        (new("Pod", "p", spec={}, status={"phase": "Pending"}), "is not well"),
    ],
)
def test_what_is_wrong_in_the_end_is_said(document: Document, said: str) -> None:
    assert any(said in what for what in settled.unsettled(ledger_of(document)))


def test_daemons_services_and_scalers_in_the_end() -> None:
    node = new("Node", "n", status=READY, metadata={"namespace": ""})
    daemons = new("DaemonSet", "d", spec=SPEC)
    assert any("belongs on ['n']" in what for what in settled.unsettled(ledger_of(node, daemons)))
    service = new("Service", "s", spec={"selector": {"app": "a"}})
    pod = new("Pod", "p", metadata={"labels": {"app": "a"}}, spec={}, status={**READY, "podIP": "10.0.0.1"})
    assert any("leads to ['10.0.0.1'], its slices say []" in w for w in settled.unsettled(ledger_of(service, pod)))
    target = {"kind": "Deployment", "name": "d"}
    scaler = new("HorizontalPodAutoscaler", "h", spec={"maxReplicas": 1, "scaleTargetRef": target})
    deployment = new("Deployment", "d", spec={"replicas": 2, **SPEC})
    assert any("left d at 2" in what for what in settled.unsettled(ledger_of(scaler, deployment)))


# -- the ledger


def test_old_views_are_remembered_for_as_long_as_somebody_may_have_them() -> None:
    now = [0.0]
    ledger = Ledger(lambda: now[0], lambda: 5.0)
    for number in range(3):
        ledger.put("k", new("Pod", "p", spec={"n": number}))
        now[0] += 4.0
    assert [one["spec"]["n"] for one in ledger.versions("Pod-p")] == [2, 1]
    ledger.put("k", None)
    assert [one["spec"]["n"] for one in ledger.versions("Pod-p")] == [2, 1]
    assert [one["metadata"]["name"] for one in ledger.gone_lately("Pod")] == ["p"]
    now[0] += 6.0
    assert ledger.versions("Pod-p") == []
    assert ledger.gone_lately("Pod") == []


def test_a_story_says_who_changed_what() -> None:
    ledger = Ledger()
    for revision, (actor, value) in enumerate(stories(), 1):
        ledger.actor = actor
        ledger.take("k", revision, value, ledger.read(value))
    assert ledger.story("k").splitlines() == [
        "    0.000 s, revision 1, user: created",
        '    0.000 s, revision 2, job: spec.a=2, spec.b={"c":1}',
        "    0.000 s, revision 3, user: deleted",
    ]
    assert len(changes(b"{}", orjson.dumps({str(n): n for n in range(9)}))) == 7


def stories() -> Iterator[tuple[str, bytes | None]]:
    yield "user", orjson.dumps(new("Pod", "p", spec={"a": 1}))
    yield "job", orjson.dumps(new("Pod", "p", spec={"a": 2, "b": {"c": 1}}))
    yield "user", None


@pytest.mark.parametrize(("scaled_at_s", "said"), [(0.0, "was scaled down, and the claims ['data-db-1']"), (200.0, "")])
def test_claims_of_pods_that_were_scaled_away_go(scaled_at_s: float, said: str) -> None:
    """Those of a pod that was gone before its set became smaller stay, as in Kubernetes."""
    now_s = 0.0
    ledger = Ledger(lambda: now_s)
    revision = 0

    def write(path: str, document: Document | None) -> None:
        nonlocal revision
        revision += 1
        ledger.take(path, revision, None if document is None else orjson.dumps(document), document)

    spec = {
        "replicas": 2,
        "volumeClaimTemplates": [{"metadata": {"name": "data"}}],
        "persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete"},
    }
    status = {"replicas": 1, "readyReplicas": 1, "availableReplicas": 1}
    owner = new("StatefulSet", "db", spec={**spec, "updateStrategy": {"type": "OnDelete"}}, status=status)
    smaller = {**owner, "spec": {**owner["spec"], "replicas": 1}}
    first, second = (new("Pod", f"db-{n}", owner="StatefulSet-db", status=READY) for n in range(2))
    write("/apps/statefulsets/default/db", owner)
    for pod in (first, second):
        write(f"/core/pods/default/{pod['metadata']['name']}", pod)
        claim = f"data-{pod['metadata']['name']}"
        write(f"/core/persistentvolumeclaims/default/{claim}", new("PersistentVolumeClaim", claim))
    steps = [
        (scaled_at_s, "/apps/statefulsets/default/db", smaller),
        (100.0, "/core/pods/default/db-1", going(second)),
        (101.0, "/core/pods/default/db-1", None),
    ]
    for at_s, path, document in sorted(steps, key=lambda step: step[0]):
        now_s = at_s
        write(path, document)
    found = "; ".join(settled.identities_are_there(ledger))
    assert said in found
    assert bool(found) == bool(said)
