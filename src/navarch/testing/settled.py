"""What must be true of a simulated cluster when nothing has gone wrong for long: everything is as it was declared.

Each check looks at the whole `Ledger` and yields what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import orjson

from navarch.controllers.staleness import BY_AGENT, TARGET
from navarch.objects import selector
from navarch.objects.value import Document, dig
from navarch.testing.ledger import Ledger, controller_uid, identity, over, owners, ready, terminating
from navarch.testing.promises_apps import TRACKING, finished

LONGEST_LAG_S = 60.0
"""So old a view of a controller's may be."""


def _name(document: Document) -> str:
    kind, namespace, name = identity(document)
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def _told(pods: list[Document]) -> str:
    return str(sorted(f"{p['metadata']['name']} {dig(p, 'status', 'phase')}" for p in pods))


def _mine(ledger: Ledger, owner: Document) -> list[Document]:
    uid = owner["metadata"]["uid"]
    return [pod for pod in ledger.owned("Pod", owner) if controller_uid(pod) == uid]


def nothing_lingers(ledger: Ledger) -> Iterator[str]:
    """What was deleted is gone, and what belonged to it too."""
    for document in ledger.objects.values():
        if terminating(document):
            yield f"{_name(document)} was deleted and never went"
        found = [owner["uid"] for owner in owners(document)]
        if found and not any(ledger.by_uid(uid) for uid in found):
            yield f"{_name(document)} outlived its owners"


def nodes_are_ready(ledger: Ledger) -> Iterator[str]:
    for node in ledger.of("Node"):
        if not ready(node):
            yield f"{_name(node)} was healed and is not ready"
        wrong = [one["key"] for one in dig(node, "spec", "taints", default=()) if "kubernetes.io" in one["key"]]
        if wrong:
            yield f"{_name(node)} is well and tainted {wrong}"


def controllers_have_seen(ledger: Ledger) -> Iterator[str]:
    """The newest generation of everything that says which one was looked at."""
    for document in ledger.objects.values():
        seen = dig(document, "status", "observedGeneration", default=None)
        if seen is not None and seen != document["metadata"].get("generation", seen):
            yield f"{_name(document)} is at generation {document['metadata']['generation']}, {seen} was looked at"


def replicas_are_there(ledger: Ledger) -> Iterator[str]:
    for kind in ("ReplicaSet", "ReplicationController"):
        for one in ledger.of(kind):
            wanted, pods = dig(one, "spec", "replicas", default=1), _mine(ledger, one)
            status = one.get("status") or {}
            counts = [status.get(field, 0) for field in ("replicas", "readyReplicas", "availableReplicas")]
            if len(pods) != wanted or not all(map(ready, pods)):
                yield f"{_name(one)} wants {wanted} pods, there are {_told(pods)}"
            elif counts != [wanted] * 3:
                yield f"{_name(one)} has {wanted} pods and says {status}"


def rollouts_are_done(ledger: Ledger) -> Iterator[str]:
    for one in ledger.of("Deployment"):
        wanted, status = dig(one, "spec", "replicas", default=1), one.get("status") or {}
        sets = [found for found in ledger.owned("ReplicaSet", one) if dig(found, "spec", "replicas", default=0)]
        pods = [pod for found in sets for pod in _mine(ledger, found)]
        image = dig(one, "spec", "template", "spec", "containers")[0]["image"]
        right = [pod for pod in pods if pod["spec"]["containers"][0]["image"] == image and ready(pod)]
        fields = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
        counts = [status.get(field, 0) for field in fields]
        if len(pods) != wanted or len(right) != wanted:
            yield f"{_name(one)} wants {wanted} pods of {image}, {len(right)} are well of {_told(pods)}"
        elif counts != [wanted] * 4 or status.get("unavailableReplicas", 0):
            yield f"{_name(one)} has {wanted} pods and says {status}"


def identities_are_there(ledger: Ledger) -> Iterator[str]:
    for one in ledger.of("StatefulSet"):
        base, wanted = one["metadata"]["name"], dig(one, "spec", "replicas", default=1)
        first = dig(one, "spec", "ordinals", "start", default=0)
        names = {f"{base}-{number}" for number in _ordinals(one["spec"])}
        pods = _mine(ledger, one)
        status = one.get("status") or {}
        if {pod["metadata"]["name"] for pod in pods} != names or not all(map(ready, pods)):
            yield f"{_name(one)} wants {sorted(names)}, there are {_told(pods)}"
            continue
        if [status.get(field, 0) for field in ("replicas", "readyReplicas", "availableReplicas")] != [wanted] * 3:
            yield f"{_name(one)} has {wanted} pods and says {status}"
        yield from _claims(ledger, one, names)
        if dig(one, "spec", "updateStrategy", "type") == "OnDelete":
            continue
        partition = dig(one, "spec", "updateStrategy", "rollingUpdate", "partition", default=0)
        image = dig(one, "spec", "template", "spec", "containers")[0]["image"]
        for pod in pods:
            number = int(pod["metadata"]["name"].rpartition("-")[2])
            if number - first >= partition and pod["spec"]["containers"][0]["image"] != image:
                yield f"{_name(pod)} was not updated to {image}"


def _claims(ledger: Ledger, one: Document, names: set[str]) -> Iterator[str]:
    """Each pod has its own, and those of pods that were scaled away are gone if they are to."""
    namespace = one["metadata"]["namespace"]
    for template in dig(one, "spec", "volumeClaimTemplates", default=()):
        prefix = f"{template['metadata']['name']}-"
        there = {
            claim["metadata"]["name"]
            for claim in ledger.of("PersistentVolumeClaim", namespace)
            if claim["metadata"]["name"].startswith(f"{prefix}{one['metadata']['name']}-")
        }
        wanted = {prefix + name for name in names}
        if wanted - there:
            yield f"{_name(one)} lacks the claims {sorted(wanted - there)}"
        scaled = dig(one, "spec", "persistentVolumeClaimRetentionPolicy", "whenScaled")
        left = sorted(name for name in there - wanted if _scaled_away(ledger, one, name.removeprefix(prefix)))
        if scaled == "Delete" and left:
            yield f"{_name(one)} was scaled down, and the claims {left} are still there"


def _scaled_away(ledger: Ledger, one: Document, pod: str) -> bool:
    """Whether the last pod of that name was deleted as one too many. The claims of one that was gone already when its
    set became smaller stay, as in Kubernetes."""
    number, space = int(pod.rpartition("-")[2]), one["metadata"]["namespace"]
    past = ledger.history.get(f"/core/pods/{space}/{pod}", ())
    states = [(entry.at_s, orjson.loads(entry.value)) for entry in past if entry.value is not None]
    last = [(at_s, state) for at_s, state in states if state["metadata"]["uid"] == states[-1][1]["metadata"]["uid"]]
    asked_s = next((at_s for at_s, state in last if terminating(state)), None)
    if asked_s is None:
        return False
    sets = ledger.history[f"/apps/statefulsets/{space}/{one['metadata']['name']}"]
    known = [entry for entry in sets if entry.at_s <= asked_s and entry.value is not None]
    old = [entry for entry in known if entry.at_s < asked_s - LONGEST_LAG_S]
    specs = [orjson.loads(entry.value or b"")["spec"] for entry in (*old[-1:], *known[len(old) :])]
    return not any(number in _ordinals(spec) for spec in specs)


def _ordinals(spec: Document) -> range:
    first = dig(spec, "ordinals", "start", default=0)
    return range(first, first + dig(spec, "replicas", default=1))


def nodes_have_their_daemons(ledger: Ledger) -> Iterator[str]:
    for one in ledger.of("DaemonSet"):
        wanted = dig(one, "spec", "template", "spec", "nodeSelector", default={})
        names = sorted(
            node["metadata"]["name"]
            for node in ledger.of("Node")
            if wanted.items() <= node["metadata"].get("labels", {}).items()
            and not any(t["effect"] != "PreferNoSchedule" for t in dig(node, "spec", "taints", default=()))
        )
        image = dig(one, "spec", "template", "spec", "containers")[0]["image"]
        pods = _mine(ledger, one)
        right = [pod for pod in pods if ready(pod) and pod["spec"]["containers"][0]["image"] == image]
        on = sorted(str(dig(pod, "spec", "nodeName")) for pod in right)
        if on != names or len(pods) != len(right):
            yield f"{_name(one)} belongs on {names}, with {image} it is on {on}, of {_told(pods)}"
        status = one.get("status") or {}
        fields = ("desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled")
        if on == names and [status.get(field, 0) for field in fields] != [len(names)] * 4:
            yield f"{_name(one)} is on {len(names)} nodes and says {status}"


def jobs_are_over(ledger: Ledger) -> Iterator[str]:
    for one in ledger.of("Job"):
        status, pods = one.get("status") or {}, _mine(ledger, one)
        held = [pod["metadata"]["name"] for pod in pods if TRACKING in pod["metadata"].get("finalizers", ())]
        if not finished(one):
            yield f"{_name(one)} is not over: {status}, {_told(pods)}"
            continue
        if held:
            yield f"{_name(one)} is over, and still holds {held}"
        left = dig(status, "uncountedTerminatedPods", default={})
        if left.get("succeeded") or left.get("failed"):
            yield f"{_name(one)} is over, and has not counted {left}"
        active = [pod["metadata"]["name"] for pod in pods if not over(pod)]
        if active or status.get("active", 0) or status.get("terminating", 0):
            yield f"{_name(one)} is over, and at work are {active}, it says {status}"
        complete = any(c["type"] == "Complete" and c["status"] == "True" for c in status.get("conditions", ()))
        wanted = dig(one, "spec", "completions", default=1)
        if complete and not dig(one, "spec", "successPolicy") and status.get("succeeded", 0) < wanted:
            yield f"{_name(one)} is complete with {status.get('succeeded', 0)} of {wanted}"
        ended = len(ledger.succeeded.get(one["metadata"]["uid"], ()))
        fails = "fails" in dig(one, "spec", "template", "spec", "containers")[0]["image"]
        if complete and fails:
            yield f"{_name(one)} is complete, and {ended} of its pods succeeded"
        if not complete and not fails:
            yield f"{_name(one)} has failed, though nothing of it fails: {status}"


def schedules_know_their_jobs(ledger: Ledger) -> Iterator[str]:
    for one in ledger.of("CronJob"):
        jobs = [job for job in ledger.owned("Job", one) if not finished(job)]
        listed = {active.get("uid") for active in dig(one, "status", "active", default=())}
        if listed != {job["metadata"]["uid"] for job in jobs}:
            yield f"{_name(one)} says that {sorted(map(str, listed))} are at work, {len(jobs)} are"
        for word, field, usual in (
            ("Complete", "successfulJobsHistoryLimit", 3),
            ("Failed", "failedJobsHistoryLimit", 1),
        ):
            kept = [
                job
                for job in ledger.owned("Job", one)
                if any(
                    c["type"] == word and c["status"] == "True" for c in dig(job, "status", "conditions", default=())
                )
            ]
            if len(kept) > dig(one, "spec", field, default=usual):
                yield f"{_name(one)} keeps {len(kept)} jobs that are {word}"


def budgets_are_right(ledger: Ledger) -> Iterator[str]:
    for one in ledger.of("PodDisruptionBudget"):
        namespace = one["metadata"]["namespace"]
        matches = selector.from_document(dig(one, "spec", "selector")).matches
        pods = [pod for pod in ledger.of("Pod", namespace) if matches(pod["metadata"].get("labels") or {})]
        status = one.get("status") or {}
        healthy = sum(map(ready, pods))
        said = status.get("currentHealthy", 0), status.get("expectedPods", 0)
        if said != (healthy, len(pods)):
            yield f"{_name(one)} says {status}, there are {healthy} healthy pods of {len(pods)}"
        if status.get("disruptionsAllowed", 0) != max(0, healthy - status.get("desiredHealthy", 0)):
            yield f"{_name(one)} allows {status.get('disruptionsAllowed')} disruptions: {status}"
        if status.get("disruptedPods"):
            yield f"{_name(one)} still waits for {sorted(status['disruptedPods'])}"


def services_lead_to_pods(ledger: Ledger) -> Iterator[str]:
    for one in ledger.of("Service"):
        wanted = dig(one, "spec", "selector", default=None)
        namespace, name = one["metadata"]["namespace"], one["metadata"]["name"]
        slices = [
            found
            for found in ledger.of("EndpointSlice", namespace)
            if dig(found, "metadata", "labels", "kubernetes.io/service-name") == name
        ]
        said = sorted(
            address for found in slices for end in found.get("endpoints") or () for address in end["addresses"]
        )
        subsets = (ledger.named("Endpoints", namespace, name) or {}).get("subsets") or ()
        listed = sorted(address["ip"] for subset in subsets for address in subset.get("addresses") or ())
        if wanted:
            labelled = [
                pod
                for pod in ledger.of("Pod", namespace)
                if wanted.items() <= (pod["metadata"].get("labels") or {}).items() and ready(pod)
            ]
            there = sorted(pod["status"]["podIP"] for pod in labelled)
        else:
            there = listed
        if said != there or listed != there:
            yield f"{_name(one)} leads to {there}, its slices say {said}, its endpoints {listed}"


def quotas_count_right(ledger: Ledger) -> Iterator[str]:
    for one in ledger.of("ResourceQuota"):
        there = sum(not over(pod) for pod in ledger.of("Pod", one["metadata"]["namespace"]))
        if dig(one, "status", "used", "pods") != str(there):
            yield f"{_name(one)} says that {dig(one, 'status', 'used')} is used, there are {there} pods"
        if dig(one, "status", "hard") != dig(one, "spec", "hard"):
            yield f"{_name(one)} bounds {dig(one, 'status', 'hard')}, not {dig(one, 'spec', 'hard')}"


def claims_and_volumes_agree(ledger: Ledger) -> Iterator[str]:
    for claim in ledger.of("PersistentVolumeClaim"):
        if dig(claim, "status", "phase") != "Bound":
            continue
        volume = ledger.named("PersistentVolume", "", dig(claim, "spec", "volumeName", default=""))
        if volume is None or dig(volume, "spec", "claimRef", "uid") != claim["metadata"]["uid"]:
            yield f"{_name(claim)} is bound to {dig(claim, 'spec', 'volumeName')}, which is not its own"
    for volume in ledger.of("PersistentVolume"):
        claim_ref = dig(volume, "spec", "claimRef", default=None)
        gone = claim_ref is not None and claim_ref.get("uid") and ledger.by_uid(claim_ref["uid"]) is None
        phase = dig(volume, "status", "phase")
        if gone and phase != "Released":
            yield f"{_name(volume)} is {phase}, its claim {claim_ref['name']} is gone"
        if gone and dig(volume, "spec", "persistentVolumeReclaimPolicy") == "Delete":
            yield f"{_name(volume)} outlived its claim {claim_ref['name']}"


def pods_run_somewhere(ledger: Ledger) -> Iterator[str]:
    for pod in ledger.of("Pod"):
        name = dig(pod, "spec", "nodeName")
        if name and ledger.named("Node", "", name) is None:
            yield f"{_name(pod)} is on node {name}, which is gone"
        waits = any(
            ledger.named("PersistentVolumeClaim", pod["metadata"]["namespace"], claim) is None
            for one in dig(pod, "spec", "volumes", default=())
            if (claim := dig(one, "persistentVolumeClaim", "claimName"))
        )
        if not ready(pod) and not over(pod) and not waits:
            yield f"{_name(pod)} is not well: {dig(pod, 'status', 'phase')} on {name}"


def scalers_are_content(ledger: Ledger) -> Iterator[str]:
    for one in ledger.of("HorizontalPodAutoscaler"):
        target = dig(one, "spec", "scaleTargetRef")
        found = ledger.named(target["kind"], one["metadata"]["namespace"], target["name"])
        if found is None:
            continue
        replicas = dig(found, "spec", "replicas", default=1)
        if not dig(one, "spec", "minReplicas", default=1) <= replicas <= dig(one, "spec", "maxReplicas"):
            yield f"{_name(one)} left {target['name']} at {replicas}"


def nodes_have_ranges(ledger: Ledger) -> Iterator[str]:
    for node in ledger.of("Node"):
        if not dig(node, "spec", "podCIDR"):
            yield f"{_name(node)} has no range of addresses"


def attachments_are_used(ledger: Ledger) -> Iterator[str]:
    for one in ledger.of("VolumeAttachment"):
        volume = ledger.named("PersistentVolume", "", dig(one, "spec", "source", "persistentVolumeName", default=""))
        claim = dig(volume or {}, "spec", "claimRef", "name")
        used = any(
            dig(found, "persistentVolumeClaim", "claimName") == claim
            for pod in ledger.of("Pod", dig(volume or {}, "spec", "claimRef", "namespace", default="none"))
            if dig(pod, "spec", "nodeName") == dig(one, "spec", "nodeName") and not over(pod)
            for found in dig(pod, "spec", "volumes", default=())
        )
        if not used:
            yield f"{_name(one)} is there, and no pod on {dig(one, 'spec', 'nodeName')} uses its volume"
    for node in ledger.of("Node"):
        said = [one["name"] for one in dig(node, "status", "volumesAttached", default=())]
        there = [
            one for one in ledger.of("VolumeAttachment") if dig(one, "spec", "nodeName") == node["metadata"]["name"]
        ]
        if len(said) != len(there):
            yield f"{_name(node)} says that {said} are attached, there are {len(there)} attachments"


def disruptions_are_over(ledger: Ledger) -> Iterator[str]:
    for pod in ledger.of("Pod"):
        for one in dig(pod, "status", "conditions", default=()):
            waits = one["type"] == TARGET and one["status"] == "True" and one.get("reason") != BY_AGENT
            if waits and not terminating(pod) and not over(pod):
                yield f"{_name(pod)} is still to be disrupted, since {one.get('lastTransitionTime')}"


CHECKS: tuple[Callable[[Ledger], Iterator[str]], ...] = (
    nothing_lingers,
    nodes_are_ready,
    controllers_have_seen,
    replicas_are_there,
    rollouts_are_done,
    identities_are_there,
    nodes_have_their_daemons,
    jobs_are_over,
    schedules_know_their_jobs,
    budgets_are_right,
    services_lead_to_pods,
    quotas_count_right,
    claims_and_volumes_agree,
    pods_run_somewhere,
    scalers_are_content,
    nodes_have_ranges,
    attachments_are_used,
    disruptions_are_over,
)


def unsettled(ledger: Ledger) -> Iterator[str]:
    """All that is wrong in the end."""
    for check in CHECKS:
        yield from check(ledger)
