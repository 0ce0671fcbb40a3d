"""What the controllers of workloads promise of every write: of StatefulSets, DaemonSets, Deployments, Jobs, CronJobs.

What they decide they decide on what they have read: where an old view may mislead them as it may in Kubernetes, the
promise looks at what was true lately (`Ledger.versions`), or is not made to one that was started in the past.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from navarch.objects.value import Document, dig
from navarch.testing.ledger import Ledger, controller_uid, over, ready, terminating

TRACKING = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"


def _deleted_now(old: Document | None, new: Document | None) -> bool:
    """This write is the deletion of what was there, or its beginning."""
    return old is not None and not terminating(old) and (new is None or terminating(new))


def _owner(ledger: Ledger, document: Document, kind: str) -> Sequence[Document]:
    """The versions that somebody may see of the `kind` that controls it, newest first."""
    versions = ledger.versions(controller_uid(document))
    return versions if versions and versions[0].get("kind") == kind else ()


def _share(value: object, replicas: int, up: bool) -> int:
    if isinstance(value, str):
        percent = int(value.rstrip("%")) * replicas
        return -(-percent // 100) if up else percent // 100
    return int(str(value))


# -- Deployments


def _fewest(deployment: Document) -> int:
    """What a rolling update leaves at least."""
    replicas = int(dig(deployment, "spec", "replicas", default=1))
    rolling = dig(deployment, "spec", "strategy", "rollingUpdate", default=None) or {}
    unavailable = _share(rolling.get("maxUnavailable", "25%"), replicas, up=False)
    if not unavailable and not _share(rolling.get("maxSurge", "25%"), replicas, up=True):
        unavailable = 1
    return max(replicas - unavailable, 0)


def enough_are_asked_for(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """A rollout never asks for fewer pods than it has to leave available."""
    if old is None or new is None or new.get("kind") != "ReplicaSet" or ledger.actor != "deployment-controller":
        return
    before, after = int(dig(old, "spec", "replicas", default=0)), int(dig(new, "spec", "replicas", default=0))
    versions = _owner(ledger, new, "Deployment")
    if after >= before or not versions or dig(versions[0], "spec", "strategy", "type") == "Recreate":
        return
    if ledger.travelling or terminating(versions[0]):
        return
    uid = new["metadata"]["uid"]
    others = sum(
        int(dig(one, "spec", "replicas", default=0))
        for one in ledger.owned("ReplicaSet", versions[0])
        if one["metadata"]["uid"] != uid
    )
    least = min(_fewest(one) for one in versions)
    if others + after < least <= others + before:
        name = versions[0]["metadata"]["name"]
        yield f"deployment {name}: {others + after} pods are asked for, {least} have to be available"


def no_more_than_asked_for(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """A ReplicaSet or ReplicationController makes no pod beyond its replicas: it knows those that it has made."""
    if old is not None or new is None or new.get("kind") != "Pod" or ledger.travelling:
        return
    versions = ledger.versions(controller_uid(new))
    if not versions or versions[0].get("kind") not in ("ReplicaSet", "ReplicationController"):
        return
    most = max(int(dig(one, "spec", "replicas", default=1)) for one in versions)
    there = len(_active([pod for pod in ledger.owned("Pod", versions[0]) if _for_long(ledger, pod)]))
    if there + 1 > most:
        name = versions[0]["metadata"]["name"]
        yield f"{versions[0]['kind']} {name} makes pod {there + 1}, {most} are asked for"


def _for_long(ledger: Ledger, pod: Document) -> bool:
    """Nobody sees it otherwise; of one owner since it was made, as its controller knows."""
    uid = pod["metadata"]["uid"]
    return all(controller_uid(one) == controller_uid(pod) and not over(one) for one in ledger.versions(uid))


# -- StatefulSets


def _place(name: str) -> tuple[str, int]:
    base, _, number = name.rpartition("-")
    return base, int(number) if number.isdigit() else -1


def _first(statefulset: Document) -> int:
    return int(dig(statefulset, "spec", "ordinals", "start", default=0))


def _ordered(statefulset: Document) -> bool:
    return bool(dig(statefulset, "spec", "podManagementPolicy", default="OrderedReady") == "OrderedReady")


def _was_ready(ledger: Ledger, namespace: str, name: str) -> bool:
    """The pod of that name is ready, or an old view shows that it is."""
    there = ledger.named("Pod", namespace, name)
    found = ledger.versions(there["metadata"]["uid"]) if there is not None else []
    if any(ready(pod) and not terminating(pod) for pod in found):
        return True
    gone = [pod for pod in ledger.gone_lately("Pod") if pod["metadata"]["name"] == name]
    return any(ready(version) for pod in gone for version in ledger.versions(pod["metadata"]["uid"]))


def identities_come_in_order(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """A pod of an ordered StatefulSet is made when those before it are ready, as far as can be seen."""
    if old is not None or new is None or new.get("kind") != "Pod" or ledger.actor != "statefulset-controller":
        return
    versions = _owner(ledger, new, "StatefulSet")
    if not versions or not _ordered(versions[0]) or ledger.travelling:
        return
    namespace, (base, ordinal) = new["metadata"]["namespace"], _place(new["metadata"]["name"])
    for number in range(_first(versions[0]), ordinal):
        if not _was_ready(ledger, namespace, f"{base}-{number}"):
            yield f"pod {base}-{ordinal} is made although {base}-{number} is not ready"


def identities_go_in_order(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """Of an ordered StatefulSet that shrinks, a pod is removed when those behind it are gone."""
    if not _deleted_now(old, new) or old is None or old.get("kind") != "Pod":
        return
    versions = _owner(ledger, old, "StatefulSet")
    if ledger.actor != "statefulset-controller" or not versions or not _ordered(versions[0]) or ledger.travelling:
        return
    base, ordinal = _place(old["metadata"]["name"])
    if any(ordinal < _first(one) + int(dig(one, "spec", "replicas", default=1)) for one in versions):
        return  # not (or not for everybody) one too many
    if over(old) or not dig(old, "spec", "nodeName"):
        return
    for pod in ledger.owned("Pod", versions[0]):
        behind = _place(pod["metadata"]["name"])[1]
        if behind > ordinal and len(ledger.versions(pod["metadata"]["uid"])) == 1:
            yield f"pod {base}-{ordinal} is removed while {base}-{behind} is still there"


def pods_end_on_their_nodes(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """A pod that a node may still run is not forgotten by anybody else: another of its name may be made at once, and
    run beside it."""
    if old is None or new is not None or old.get("kind") != "Pod" or ledger.actor == "nodes" or over(old):
        return
    name = dig(old, "spec", "nodeName")
    if name and ledger.named("Node", "", name) is not None:
        yield f"pod {old['metadata']['name']} was removed by {ledger.actor} while node {name} may run it"


# -- DaemonSets


def _node_of(pod: Document) -> str:
    bound = dig(pod, "spec", "nodeName")
    if bound:
        return str(bound)
    path = ("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
    for term in dig(pod, "spec", *path, default=()):
        for field in term.get("matchFields", ()):
            if field.get("key") == "metadata.name":
                return str(field["values"][0])
    return ""


def one_on_each_node(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """A DaemonSet makes one pod for a node, and one more only while it replaces one with surge."""
    if old is not None or new is None or new.get("kind") != "Pod" or ledger.actor != "daemon-set-controller":
        return
    versions = _owner(ledger, new, "DaemonSet")
    if not versions or ledger.travelling:
        return
    surge = any(dig(one, "spec", "updateStrategy", "rollingUpdate", "maxSurge", default=0) for one in versions)
    node = _node_of(new)
    there = [
        pod
        for pod in ledger.owned("Pod", versions[0])
        if _node_of(pod) == node
        and not over(pod)
        and not terminating(pod)
        and len(ledger.versions(pod["metadata"]["uid"])) == 1
    ]
    if len(there) > bool(surge):
        names = sorted(pod["metadata"]["name"] for pod in there)
        yield f"pod {new['metadata']['name']} is made for node {node}, which has {names}"


# -- Jobs


def _active(pods: Sequence[Document]) -> list[Document]:
    return [pod for pod in pods if not over(pod) and not terminating(pod)]


def parallelism_is_kept(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """A Job has at most as many pods at work as it may, and one for each index."""
    if old is not None or new is None or new.get("kind") != "Pod" or ledger.actor != "job-controller":
        return
    versions = _owner(ledger, new, "Job")
    if not versions or ledger.travelling:
        return
    job = versions[0]
    active = _active(ledger.owned("Pod", job))
    most = max(int(dig(one, "spec", "parallelism", default=1)) for one in versions)
    name = job["metadata"]["name"]
    if len(active) + 1 > most:
        yield f"job {name} makes pod {len(active) + 1}, {most} may be at work"
    if all(dig(one, "spec", "suspend", default=False) for one in versions):
        yield f"job {name} is suspended and makes a pod"
    index = dig(new, "metadata", "annotations", INDEX, default=None)
    if index is None:
        return
    same = [pod["metadata"]["name"] for pod in active if dig(pod, "metadata", "annotations", INDEX) == index]
    if same:
        yield f"job {name} makes a pod for index {index}, at which {same} is at work"
    if all(int(index) in _indexes(dig(one, "status", "completedIndexes", default="")) for one in versions):
        yield f"job {name} makes a pod for index {index}, which is done"


def _indexes(text: str) -> set[int]:
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def jobs_count_exactly(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """A Job counts each end of a pod at most once, and takes back nothing."""
    if new is None or new.get("kind") != "Job":
        return
    name, status = new["metadata"]["name"], new.get("status") or {}
    before = (old or {}).get("status") or {}
    for field in ("succeeded", "failed"):
        if status.get(field, 0) < before.get(field, 0):
            yield f"job {name} had {before[field]} {field}, and now has {status.get(field, 0)}"
    ended = len(ledger.succeeded.get(new["metadata"]["uid"], ()))
    counted = status.get("succeeded", 0) + len(dig(status, "uncountedTerminatedPods", "succeeded", default=()))
    if dig(new, "spec", "completionMode") != "Indexed" and counted > ended:
        yield f"job {name} counts {counted} successes, {ended} pods succeeded"
    if dig(new, "spec", "completionMode") == "Indexed":
        done = len(_indexes(status.get("completedIndexes", "")))
        if status.get("succeeded", 0) != done:
            yield f"job {name} has {status.get('succeeded', 0)} successes and {done} completed indexes"
    finished = [one["type"] for one in status.get("conditions", ()) if one["status"] == "True"]
    if "Complete" in finished and "Failed" in finished:
        yield f"job {name} is complete and has failed"
    was = [one["type"] for one in before.get("conditions", ()) if one["status"] == "True"]
    for end in ("Complete", "Failed"):
        if end in was and end not in finished:
            yield f"job {name} was {end} and is so no more"


def ends_are_counted(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """No pod that succeeded for a Job is let go before the Job has counted it."""
    if old is None or old.get("kind") != "Pod" or TRACKING not in old["metadata"].get("finalizers", ()):
        return
    if new is not None and TRACKING in new["metadata"].get("finalizers", ()):
        return
    job = ledger.by_uid(controller_uid(old))
    if job is None or terminating(job) or dig(old, "status", "phase") != "Succeeded":
        return
    status = job.get("status") or {}
    if any(one["type"] in ("Complete", "Failed", "FailureTarget", "SuccessCriteriaMet") and one["status"] == "True"
           for one in status.get("conditions", ())):  # fmt: skip
        return
    uid, name = old["metadata"]["uid"], old["metadata"]["name"]
    if uid in dig(status, "uncountedTerminatedPods", "failed", default=()):
        return  # it was deleted, and failed by that, before it ended well
    if dig(job, "spec", "completionMode") == "Indexed":
        index = int(dig(old, "metadata", "annotations", INDEX, default=-1))
        if index in _indexes(status.get("completedIndexes", "")):
            return
    elif uid in dig(status, "uncountedTerminatedPods", "succeeded", default=()):
        return
    yield f"pod {name} succeeded and is let go before its job has counted it"


def remember_successes(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """No promise: what the others are judged by."""
    for pod in (old, new):
        if pod is not None and pod.get("kind") == "Pod" and dig(pod, "status", "phase") == "Succeeded":
            ledger.succeeded.setdefault(controller_uid(pod), set()).add(pod["metadata"]["uid"])
    yield from ()


# -- CronJobs


def finished(job: Document) -> bool:
    found = dig(job, "status", "conditions", default=())
    return any(one["type"] in ("Complete", "Failed") and one["status"] == "True" for one in found)


def schedules_are_kept(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """A CronJob makes one Job for each time, and none beside another where it is not to."""
    if old is not None or new is None or new.get("kind") != "Job" or ledger.actor != "cronjob-controller":
        return
    versions = _owner(ledger, new, "CronJob")
    if not versions:
        return
    cronjob, name = versions[0], new["metadata"]["name"]
    made = (cronjob["metadata"]["uid"], name)
    if made in ledger.made and not ledger.travelling:
        yield f"job {name} was made before: its time comes twice"
    ledger.made.add(made)
    if all(dig(one, "spec", "suspend", default=False) for one in versions):
        yield f"cronjob {cronjob['metadata']['name']} is suspended and makes {name}"
    if all(dig(one, "spec", "concurrencyPolicy") == "Forbid" for one in versions) and not ledger.travelling:
        beside = [
            job["metadata"]["name"]
            for job in ledger.owned("Job", cronjob)
            if not finished(job) and not terminating(job) and len(ledger.versions(job["metadata"]["uid"])) == 1
        ]
        if beside:
            yield f"job {name} is made beside {beside}, which is forbidden"


PROMISES = (
    remember_successes,
    enough_are_asked_for,
    no_more_than_asked_for,
    identities_come_in_order,
    identities_go_in_order,
    pods_end_on_their_nodes,
    one_on_each_node,
    parallelism_is_kept,
    jobs_count_exactly,
    ends_are_counted,
    schedules_are_kept,
)
