"""What a user does with workloads, by chance: one short scene for each controller that runs pods."""

from __future__ import annotations

from collections.abc import Iterator

from navarch.kinds import (
    CRONJOB,
    DAEMONSET,
    DEPLOYMENT,
    HORIZONTALPODAUTOSCALER,
    JOB,
    NODE,
    POD,
    PODDISRUPTIONBUDGET,
    REPLICASET,
    REPLICATIONCONTROLLER,
    STATEFULSET,
)
from navarch.kinds.kind import Kind
from navarch.objects.value import Document, dig
from navarch.testing.ledger import Ledger
from navarch.testing.user import Check, User
from navarch.testing.workload import workload

IMAGES = ("web:v2", "web:v3", "web:slow", "web:crash", "web:lost")
GOOD = "web:last"
STEPS = 5


async def rollouts(user: User, steps: int) -> None:
    """Several Deployments: they come, change, scale and go."""
    alive = await workload(user.client, user.ids, user.clock, steps)
    for name, replicas in alive.items():
        user.expected[DEPLOYMENT.name, user.namespace, name] = True
        user.expect(_replicas(DEPLOYMENT, user.namespace, name, replicas))


def _replicas(kind: Kind, namespace: str, name: str, wanted: int) -> Check:
    def check(ledger: Ledger) -> Iterator[str]:
        found = ledger.named(kind.name, namespace, name)
        there = None if found is None else dig(found, "spec", "replicas")
        if there != wanted:
            yield f"acknowledged was {kind.name} {name} with {wanted} replicas, there are {there}"

    return check


async def deployment(user: User) -> None:
    """A Deployment with one or the other strategy."""
    strategy: Document = {"type": "Recreate"}
    if user.chance(0.75):
        surge, unavailable = user.pick((1, 0), (0, 1), (1, 1), ("50%", "25%"), (2, 0))
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    spec = {
        "replicas": user.number(1, 5),
        "selector": user.selector,
        "strategy": strategy,
        "minReadySeconds": user.pick(0, 0, 3),
        "progressDeadlineSeconds": 30,
        "revisionHistoryLimit": user.pick(1, 10),
        "template": user.template("web:v1"),
    }
    await user.make(DEPLOYMENT, user.name, {"spec": spec})
    for _ in range(STEPS):
        await user.pause()
        match user.number(0, 4):
            case 0 | 1:
                await user.change(DEPLOYMENT, user.name, user.image(user.pick(*IMAGES)), type="strategic")
            case 2:
                await user.change(DEPLOYMENT, user.name, {"spec": {"replicas": user.number(0, 5)}})
            case 3:
                await user.change(DEPLOYMENT, user.name, {"spec": {"paused": user.chance(0.5)}})
            case _:
                await user.remove_a_pod()
    await user.change(DEPLOYMENT, user.name, {"spec": {"paused": False}})
    await user.change(DEPLOYMENT, user.name, user.image(GOOD), type="strategic")
    if user.chance(0.2):
        await user.remove(DEPLOYMENT, user.name, user.pick("Background", "Foreground"))


async def replicas(user: User) -> None:
    """A ReplicaSet or a ReplicationController; its pods are let go and taken on again."""
    kind, selector = user.pick((REPLICASET, user.selector), (REPLICATIONCONTROLLER, user.labels))
    spec = {"replicas": user.number(1, 4), "selector": selector, "template": user.template("web:v1")}
    await user.make(kind, user.name, {"spec": spec})
    for _ in range(STEPS):
        await user.pause()
        match user.number(0, 3):
            case 0:
                await user.change(kind, user.name, {"spec": {"replicas": user.number(0, 5)}})
            case 1:
                await user.remove_a_pod()
            case 2:
                await user.remove(kind, user.name, "Orphan")
                await user.pause(30.0)
                await _again(user, kind, spec)
            case _:
                for name in (await user.pods())[:1]:
                    await user.client.patch(POD, user.namespace, name, {"metadata": {"labels": {"app": "loose"}}})


async def _again(user: User, kind: Kind, spec: Document) -> None:
    while (await user.client.list(kind, user.namespace, fields=f"metadata.name={user.name}")).items:
        await user.clock.sleep(5.0)
    await user.make(kind, user.name, {"spec": spec})


async def statefulset(user: User) -> None:
    """A StatefulSet, ordered or not, with or without volumes."""
    spec: Document = {
        "replicas": user.number(1, 3),
        "serviceName": user.name,
        "selector": user.selector,
        "podManagementPolicy": user.pick("OrderedReady", "OrderedReady", "Parallel"),
        "template": user.template("web:v1"),
    }
    if user.chance(0.3):
        spec["ordinals"] = {"start": user.number(1, 3)}
    if user.chance(0.3):
        rolling = {"partition": user.number(0, 2)}
        spec["updateStrategy"] = {"type": "RollingUpdate", "rollingUpdate": rolling}
    elif user.chance(0.15):
        spec["updateStrategy"] = {"type": "OnDelete"}
    if user.chance(0.5):
        claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        spec["volumeClaimTemplates"] = [{"metadata": {"name": "data"}, "spec": claim}]
        spec["persistentVolumeClaimRetentionPolicy"] = {
            "whenDeleted": user.pick("Retain", "Delete"),
            "whenScaled": user.pick("Retain", "Delete"),
        }
    await user.make(STATEFULSET, user.name, {"spec": spec})
    for _ in range(STEPS):
        await user.pause(20.0)
        match user.number(0, 4):
            case 0 | 1:
                await user.change(STATEFULSET, user.name, {"spec": {"replicas": user.number(0, 4)}})
            case 2 | 3:
                await user.change(STATEFULSET, user.name, user.image(user.pick("web:v2", "web:slow")), type="strategic")
            case _:
                await user.remove_a_pod()
    if user.chance(0.2):
        await user.remove(STATEFULSET, user.name, user.pick("Background", "Foreground"))


async def daemonset(user: User) -> None:
    """A DaemonSet on some or all nodes."""
    rolling = user.pick({"maxUnavailable": 1}, {"maxUnavailable": 2}, {"maxSurge": 1, "maxUnavailable": 0})
    place: Document = {"nodeSelector": {"pool": user.name}} if user.chance(0.5) else {}
    spec = {
        "selector": user.selector,
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": rolling},
        "minReadySeconds": user.pick(0, 2),
        "template": user.template("web:v1", **place),
    }
    await user.make(DAEMONSET, user.name, {"spec": spec})
    nodes = sorted(node.name for node in (await user.client.list(NODE)).items)
    for _ in range(STEPS):
        await user.pause()
        match user.number(0, 3):
            case 0 | 1:
                labels = {"pool": user.pick(user.name, None)}
                await user.change(NODE, user.pick(*nodes), {"metadata": {"labels": labels}})
            case 2:
                await user.change(DAEMONSET, user.name, user.image(user.pick(*IMAGES)), type="strategic")
            case _:
                await user.remove_a_pod()
    await user.change(DAEMONSET, user.name, user.image(GOOD), type="strategic")
    if user.chance(0.2):
        await user.remove(DAEMONSET, user.name, user.pick("Background", "Foreground"))


async def job(user: User) -> None:
    """A Job that comes to its end, or is known to fail."""
    fails = user.chance(0.25)
    spec: Document = {
        "parallelism": user.number(1, 3),
        "backoffLimit": user.number(0, 2) if fails else 20,
        "podReplacementPolicy": user.pick("TerminatingOrFailed", "Failed"),
        "template": user.template("job:fails" if fails else user.pick("job:short", "job:mid"), restartPolicy="Never"),
    }
    if user.chance(0.75) or fails:
        spec["completions"] = user.number(1, 4)
    if "completions" in spec and user.chance(0.5):
        spec["completionMode"] = "Indexed"
        if fails and user.chance(0.5):
            del spec["backoffLimit"]
            spec["backoffLimitPerIndex"] = 1
        elif user.chance(0.3):
            spec["successPolicy"] = {"rules": [{"succeededCount": 1}]}
    if fails and user.chance(0.5):
        action = "FailIndex" if "backoffLimitPerIndex" in spec else "FailJob"
        rule = {"action": action, "onExitCodes": {"operator": "In", "values": [1]}}
        spec["podFailurePolicy"] = {"rules": [rule]}
        spec["podReplacementPolicy"] = "Failed"
    if user.chance(0.3):
        spec["ttlSecondsAfterFinished"] = user.pick(0, 30)
    await user.make(JOB, user.name, {"spec": spec})
    for _ in range(user.number(0, 3)):
        await user.pause(8.0)
        match user.number(0, 2):
            case 0:
                await user.change(JOB, user.name, {"spec": {"suspend": True}})
                await user.pause()
            case 1:
                await user.change(JOB, user.name, {"spec": {"parallelism": user.number(0, 3)}})
            case _:
                await user.remove_a_pod()
    await user.change(JOB, user.name, {"spec": {"suspend": False, "parallelism": 2}})
    if "ttlSecondsAfterFinished" in spec:
        user.expected[JOB.name, user.namespace, user.name] = False
    elif user.chance(0.1):
        await user.remove(JOB, user.name, user.pick("Background", "Foreground"))


async def cronjob(user: User) -> None:
    """A CronJob for some minutes; then it is suspended."""
    image = user.pick("job:short", "job:long", "job:long")
    spec: Document = {
        "schedule": "* * * * *",
        "concurrencyPolicy": user.pick("Allow", "Forbid", "Replace"),
        "successfulJobsHistoryLimit": user.pick(0, 1, 3),
        "jobTemplate": {"spec": {"template": user.template(image, restartPolicy="Never")}},
    }
    if user.chance(0.3):
        spec["startingDeadlineSeconds"] = 100
    await user.make(CRONJOB, user.name, {"spec": spec})
    for _ in range(3):
        await user.pause(80.0)
        match user.number(0, 2):
            case 0:
                await user.change(CRONJOB, user.name, {"spec": {"suspend": user.chance(0.5)}})
            case 1:
                await user.change(CRONJOB, user.name, {"spec": {"schedule": user.pick("*/2 * * * *", "* * * * *")}})
            case _:
                await user.remove_a_pod()
    await user.change(CRONJOB, user.name, {"spec": {"suspend": True}})
    if user.chance(0.3):
        await user.remove(CRONJOB, user.name, user.pick("Background", "Foreground"))


async def autoscaler(user: User) -> None:
    """A Deployment whose load grows and falls, between bounds that move."""
    spec = {"replicas": 1, "selector": user.selector, "template": user.template("web:busy")}
    await user.make(DEPLOYMENT, user.name, {"spec": spec})
    metric = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "AverageValue", "averageValue": "500m"}},
    }
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": user.name}
    scaler = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": user.number(2, 4), "metrics": [metric]}
    await user.make(HORIZONTALPODAUTOSCALER, user.name, {"spec": scaler})
    await user.pause(120.0)
    most = user.number(2, 5)
    await user.change(HORIZONTALPODAUTOSCALER, user.name, {"spec": {"maxReplicas": most, "minReplicas": 2}})
    await user.pause(120.0)


async def budget(user: User) -> None:
    """A Deployment under a disruption budget, drained again and again."""
    replicas = user.number(2, 5)
    spec = {"replicas": replicas, "selector": user.selector, "template": user.template("web:v1")}
    await user.make(DEPLOYMENT, user.name, {"spec": spec})
    bound: Document = user.pick(
        {"minAvailable": 1}, {"minAvailable": "50%"}, {"maxUnavailable": 1}, {"maxUnavailable": 0}
    )
    await user.make(PODDISRUPTIONBUDGET, user.name, {"spec": {"selector": user.selector, **bound}})
    for _ in range(4):
        await user.pause(12.0)
        for _ in range(user.number(1, 3)):
            await user.evict_a_pod()
        if user.chance(0.3):
            await user.change(DEPLOYMENT, user.name, {"spec": {"replicas": user.number(1, 5)}})
