"""The status of a pod, as a pure function of the pod and of what is known of it on this node.

What other writers own (conditions that the agent does not set, the nominated node) is never mentioned; the patch names
only what differs from the status that the API server has, so that a pod to which nothing happens costs no write.

Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from navarch.agent import resize, restarting
from navarch.agent.facts import Facts, has_exited, is_running, main_containers_started, ordered, restarts
from navarch.agent.plan import backoff_until, next_delay_s, outcome
from navarch.agent.resources import qos_class
from navarch.agent.runtime import Container as Instance
from navarch.agent.volumes import shown
from navarch.base.clock import rfc3339
from navarch.kinds.pod import ContainerStatus, Pod
from navarch.kinds.podspec.container import Container
from navarch.objects import condition
from navarch.objects.value import Document

Conditions = list[dict[str, Any]]

FRESH_PULL_ERROR_S = 2.0
"""So long a failed pull shows as `ErrImagePull`, then until the next try as `ImagePullBackOff`."""
MESSAGES_BYTES = 12 << 10
"""What the last words of all containers of a pod may come to."""
IMAGE_REASONS = ("ErrImagePull", "RegistryUnavailable", "SignatureValidationFailed", "ImageInspectError")


def status_of(pod: Pod, old: Document, facts: Facts) -> Document:
    """The whole status that the agent is responsible for. old: the status document that the API server has."""
    inits = [_container_status(pod, facts, one, init=True) for one in pod.spec.init_containers]
    mains = [_container_status(pod, facts, one) for one in pod.spec.containers]
    extras = [_container_status(pod, facts, one, ephemeral=True) for one in pod.spec.ephemeral_containers]
    phase, reason, message = _phase(pod, facts, inits, mains)
    made: Document = {
        "phase": phase,
        "conditions": _conditions(pod, old.get("conditions") or [], facts, phase, inits, mains),
        "startTime": old.get("startTime") or rfc3339(facts.now),
        "qosClass": old.get("qosClass") or qos_class(pod),
        "observedGeneration": pod.metadata.generation,
    }
    for key, text in (("reason", reason), ("message", message)):
        if text:
            made[key] = text
    if facts.node_ips:
        made["hostIP"] = facts.node_ips[0]
        made["hostIPs"] = [{"ip": ip} for ip in facts.node_ips]
    ips = pod_ips(pod, old, facts)
    if ips:
        made["podIP"] = ips[0]
        made["podIPs"] = [{"ip": ip} for ip in ips]
    if facts.given:
        made["resources"] = {kind: dict(listed) for kind, listed in facts.given.items()}
        made["allocatedResources"] = dict(facts.given.get("requests") or {})
    for key, statuses in (
        ("initContainerStatuses", inits),
        ("containerStatuses", mains),
        ("ephemeralContainerStatuses", extras),
    ):
        if statuses:
            made[key] = statuses
    return made


def pod_ips(pod: Pod, old: Document, facts: Facts) -> Sequence[str]:
    """The pod's addresses: its sandbox's, or the node's; those it had when the sandbox has ended."""
    if pod.spec.host_network:
        return facts.node_ips
    box = facts.sandbox
    if box is not None:
        return box.ips
    return [entry["ip"] for entry in old.get("podIPs") or ()]


# containers


def _container_status(
    pod: Pod, facts: Facts, container: Container, *, init: bool = False, ephemeral: bool = False
) -> Document:
    instance = facts.latest(container.name)
    known = _known(pod, container.name)
    state = _state(pod, facts, container, instance, known, init=init, ephemeral=ephemeral)
    made: Document = {
        "name": container.name,
        "image": container.image,
        "imageID": instance.image_ref if instance else known.image_id if known else "",
        "restartCount": instance.attempt if instance else known.restart_count if known else 0,
        "state": state,
        "lastState": _last_state(pod, facts, instance, known, state),
        "ready": _is_ready(facts, container, instance, state, init=init),
        "started": _is_started(facts, instance, state, init=init and not container.is_sidecar),
    }
    for side in (state, made["lastState"]):
        _shorten(side.get("terminated") or {}, len((*ordered(pod), *pod.spec.ephemeral_containers)))
    if instance is not None:
        made["containerID"] = f"{instance.scheme}://{instance.id}"
    elif known is not None and known.container_id:
        made["containerID"] = known.container_id
    if instance is not None and container.volume_mounts:
        made["volumeMounts"] = shown.statuses(container, instance)
    if instance is not None and not ephemeral and (amounts := resize.actual(facts, container, instance)):
        made["resources"] = {kind: dict(listed) for kind, listed in amounts.items()}
        if amounts.get("requests"):
            made["allocatedResources"] = dict(amounts["requests"])
    if devices := facts.devices.get(container.name):
        made["allocatedResourcesStatus"] = devices
    return made


def _shorten(ended: Document, containers: int) -> None:
    """Bound its message, so that those of all containers together fit into the pod's status."""
    if len(message := ended.get("message", "").encode()) > MESSAGES_BYTES // containers:
        ended["message"] = message[: MESSAGES_BYTES // containers].decode("utf-8", "ignore")


def _known(pod: Pod, name: str) -> ContainerStatus | None:
    status = pod.status
    everywhere = (*status.container_statuses, *status.init_container_statuses, *status.ephemeral_container_statuses)
    return next((found for found in everywhere if found.name == name), None)


def _state(
    pod: Pod,
    facts: Facts,
    container: Container,
    instance: Instance | None,
    known: ContainerStatus | None,
    *,
    init: bool,
    ephemeral: bool,
) -> Document:
    if instance is None and known is not None and known.state.terminated is not None and not _begins_anew(pod, facts):
        return {"terminated": _terminated_again(known)}
    waiting = _failure_state(pod, facts, container)
    if is_running(instance) and instance is not None:
        return {"running": {"startedAt": rfc3339(instance.started_at or instance.created_at)}}
    if has_exited(instance) and instance is not None:
        ended = outcome(pod, facts) is not None or pod.terminating
        again = not ephemeral and not ended and restarts(pod, container, instance.exit_code, init=init)
        if init and main_containers_started(pod, facts) and not container.is_sidecar:
            again = False
        if again and waiting is not None and ("start", container.name) not in facts.busy:
            return {"waiting": waiting}
        until = backoff_until(instance, facts.ended.get(instance.id), facts.longest_delay_s)
        if again and until is not None and until > facts.now:
            return {"waiting": _crash_loop(pod, facts, container, instance)}
        return {"terminated": _terminated(facts, instance)}
    if waiting is not None:
        return {"waiting": waiting}
    if known is not None and known.container_id and instance is None and _begins_anew(pod, facts):
        return {"waiting": {"reason": restarting.WAITING}}
    pending_inits = pod.spec.init_containers and (init or not main_containers_started(pod, facts))
    return {"waiting": {"reason": "PodInitializing" if pending_inits else "ContainerCreating"}}


def _failure_state(pod: Pod, facts: Facts, container: Container) -> Document | None:
    """Why a container cannot be started, if a step towards that has failed."""
    failed = facts.failure("image", container.name)
    if failed is not None:
        fresh = (facts.now - failed.at).total_seconds() < FRESH_PULL_ERROR_S or ("image", container.name) in facts.busy
        if failed.reason in IMAGE_REASONS and not fresh:
            message = f'Back-off pulling image "{container.image}": {failed.reason}: {failed.message}'
            return {"reason": "ImagePullBackOff", "message": message}
        return {"reason": failed.reason, "message": failed.message}
    failed = facts.failure("start", container.name)
    return {"reason": failed.reason, "message": failed.message} if failed is not None else None


def _begins_anew(pod: Pod, facts: Facts) -> bool:
    """Whether what is not there was taken away because all containers start again."""
    return restarting.may_restart(pod) and not pod.terminating and outcome(pod, facts) is None


def _crash_loop(pod: Pod, facts: Facts, container: Container, instance: Instance) -> Document:
    where = f"{pod.metadata.name}_{pod.metadata.namespace}({pod.metadata.uid})"
    delay = _go_duration(next_delay_s(instance, facts.longest_delay_s))
    message = f"back-off {delay} restarting failed container={container.name} pod={where}"
    return {"reason": "CrashLoopBackOff", "message": message}


def _go_duration(seconds: int) -> str:
    return f"{seconds // 60}m{seconds % 60}s" if seconds >= 60 else f"{seconds}s"


def _terminated(facts: Facts, instance: Instance) -> Document:
    made: Document = {
        "exitCode": instance.exit_code,
        "reason": instance.reason or ("Completed" if instance.exit_code == 0 else "Error"),
        "startedAt": rfc3339(instance.started_at or instance.created_at),
        "finishedAt": rfc3339(instance.finished_at or instance.created_at),
        "containerID": f"{instance.scheme}://{instance.id}",
    }
    if message := ": ".join(filter(None, (instance.message, facts.messages.get(instance.id)))):
        made["message"] = message
    return made


def _terminated_again(known: ContainerStatus) -> Document:
    """What the API server was told when the instance was still there to be seen."""
    end = known.state.terminated or known.last_state.terminated
    if end is None:
        return {}
    made: Document = {"exitCode": end.exit_code}
    for key, text in (("reason", end.reason), ("message", end.message), ("containerID", end.container_id)):
        if text:
            made[key] = text
    for key, moment in (("startedAt", end.started_at), ("finishedAt", end.finished_at)):
        made[key] = rfc3339(moment) if moment is not None else None
    return {key: value for key, value in made.items() if value is not None}


def _last_state(
    pod: Pod, facts: Facts, instance: Instance | None, known: ContainerStatus | None, state: Document
) -> Document:
    if instance is None and "waiting" in state and known is not None and known.state.terminated is not None:
        return {"terminated": _terminated_again(known)}
    if instance is None:
        gone = known is not None and known.last_state.terminated is not None
        return {"terminated": _terminated_last(known)} if gone and known is not None else {}
    if "waiting" in state and has_exited(instance):
        return {"terminated": _terminated(facts, instance)}
    previous = next((item for item in facts.instances(instance.name) if item.attempt < instance.attempt), None)
    if previous is not None and has_exited(previous):
        return {"terminated": _terminated(facts, previous)}
    if known is not None and known.restart_count == instance.attempt and known.last_state.terminated is not None:
        return {"terminated": _terminated_last(known)}
    if known is not None and known.restart_count == instance.attempt - 1 and (ended := _terminated_again(known)):
        return {"terminated": ended}
    return {}


def _terminated_last(known: ContainerStatus) -> Document:
    return _terminated_again(ContainerStatus(name=known.name, last_state=known.last_state))


def _is_started(facts: Facts, instance: Instance | None, state: Document, *, init: bool) -> bool:
    if "running" not in state or instance is None or init:
        return False
    return facts.health_of(instance).started and ("start", instance.name) not in facts.busy


def _is_ready(facts: Facts, container: Container, instance: Instance | None, state: Document, *, init: bool) -> bool:
    if init and not container.is_sidecar:
        return "terminated" in state and state["terminated"]["exitCode"] == 0
    if "running" not in state or instance is None:
        return False
    health = facts.health_of(instance)
    return health.started and health.ready and not health.failed and ("start", instance.name) not in facts.busy


# the pod


def _phase(pod: Pod, facts: Facts, inits: Sequence[Document], mains: Sequence[Document]) -> tuple[str, str, str]:
    """The phase with its reason and message. A terminal one is told only when nothing runs any more."""
    ended = outcome(pod, facts)
    if ended is not None and (pod.terminal or not (facts.alive() or facts.holding)):
        return ended
    if pod.terminating and not facts.alive() and not facts.busy and facts.cleaned:
        codes = [found["state"].get("terminated", {}).get("exitCode") for found in mains]
        if pod.status.phase == "Running" or any(code is not None for code in codes):
            return ("Succeeded" if all(code == 0 for code in codes) else "Failed", "", "")
        return ("Failed", "", "")
    if ended is not None and ended[1]:
        return (pod.status.phase, pod.status.reason, pod.status.message)
    sidecars = {one.name for one in pod.spec.init_containers if one.is_sidecar}
    initialized = main_containers_started(pod, facts)
    for found in inits:
        done = found["started"] if found["name"] in sidecars else found["ready"]
        if not initialized and not done:
            return ("Pending", "", "")
    never_ran = [found for found in mains if "waiting" in found["state"] and not found["lastState"]]
    if never_ran and not (pod.status.phase == "Running" and initialized):
        return ("Pending", "", "")
    return ("Running", "", "")


def _conditions(
    pod: Pod, old: Conditions, facts: Facts, phase: str, inits: Sequence[Document], mains: Sequence[Document]
) -> Conditions:
    """The agent's own conditions, with the times that the old ones had where nothing changed."""
    own = [
        _sandbox_condition(pod, facts),
        _initialized(pod, facts, phase, inits),
        _containers_ready(phase, inits, mains),
    ]
    own.append(_ready(pod, old, own[-1], phase))
    if restarting.may_restart(pod):
        own.append(_all_restarting(pod, facts, phase))
    if (resizing := resize.condition(pod, facts)) is not None:
        own.append(dict(resizing))
    if facts.evicted is not None and facts.evicted.disrupts:
        own.append(_verdict("DisruptionTarget", True, "TerminationByKubelet", facts.evicted.message))
    made: Conditions = []
    for new in own:
        before = condition.get(old, new["type"])
        new = {**new, "observedGeneration": pod.metadata.generation}
        made += condition.set([before] if before else [], new, facts.now)
    if condition.get(old, "PodScheduled") is None:
        scheduled = {"type": "PodScheduled", "status": "True", "observedGeneration": pod.metadata.generation}
        made += condition.set([], scheduled, facts.now)
    return made


def _verdict(type: str, holds: bool, reason: str = "", message: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {"type": type, "status": "True" if holds else "False"}
    for key, text in (("reason", reason), ("message", message)):
        if text:
            made[key] = text
    return made


def _sandbox_condition(pod: Pod, facts: Facts) -> dict[str, Any]:
    box = facts.sandbox
    return _verdict("PodReadyToStartContainers", box is not None and (bool(box.ips) or pod.spec.host_network))


def _all_restarting(pod: Pod, facts: Facts, phase: str) -> dict[str, Any]:
    ended = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(phase, "")
    if ended or not restarting.sources(pod, facts):
        return _verdict(restarting.CONDITION, False, ended)
    message = "container exited with restart policy rule"
    return _verdict(restarting.CONDITION, True, "RestartAllContainersStarted", message)


def _initialized(pod: Pod, facts: Facts, phase: str, inits: Sequence[Document]) -> dict[str, Any]:
    if phase == "Succeeded":
        return _verdict("Initialized", True, "PodCompleted")
    if main_containers_started(pod, facts):
        return _verdict("Initialized", True)
    sidecars = {one.name for one in pod.spec.init_containers if one.is_sidecar}
    lacking = [one["name"] for one in inits if not (one["started"] if one["name"] in sidecars else one["ready"])]
    if not lacking:
        return _verdict("Initialized", True)
    text = f"containers with incomplete status: [{' '.join(lacking)}]"
    return _verdict("Initialized", False, "PodFailed" if phase == "Failed" else "ContainersNotInitialized", text)


def _containers_ready(phase: str, inits: Sequence[Document], mains: Sequence[Document]) -> dict[str, Any]:
    if phase == "Succeeded":
        return _verdict("ContainersReady", False, "PodCompleted")
    if phase == "Failed":
        return _verdict("ContainersReady", False, "PodFailed")
    running_inits = [one for one in inits if "running" in one["state"] and one["started"]]
    unready = [one["name"] for one in (*running_inits, *mains) if not one["ready"]]
    if not unready:
        return _verdict("ContainersReady", True)
    text = f"containers with unready status: [{' '.join(unready)}]"
    return _verdict("ContainersReady", False, "ContainersNotReady", text)


def _ready(pod: Pod, old: Conditions, containers: dict[str, Any], phase: str) -> dict[str, Any]:
    """Ready: the containers are, and every readiness gate is true."""
    if containers["status"] != "True":
        return {**containers, "type": "Ready"}
    shut = []
    for gate in pod.spec.readiness_gates:
        found = condition.get(old, gate.condition_type)
        if found is None:
            shut.append(f'corresponding condition of pod readiness gate "{gate.condition_type}" does not exist.')
        elif found.get("status") != "True":
            shut.append(
                f'the status of pod readiness gate "{gate.condition_type}" is not "True", but {found.get("status")}'
            )
    return _verdict("Ready", False, "ReadinessGatesNotReady", ", ".join(shut)) if shut else _verdict("Ready", True)


# the patch


def status_patch(uid: str, old: Document, new: Document) -> Document | None:
    """A strategic merge patch that turns `old` into what `new` says; None when it says so already."""
    changed: Document = {}
    for key, value in new.items():
        if key == "conditions":
            if conditions := _changed_conditions(old.get("conditions") or [], value):
                changed[key] = conditions
        elif key in ("podIPs", "hostIPs"):
            if old.get(key) != value:
                wanted = [entry["ip"] for entry in value]
                gone = [entry["ip"] for entry in old.get(key) or () if entry["ip"] not in wanted]
                changed[key] = [*value, *({"$patch": "delete", "ip": ip} for ip in gone)]
        elif old.get(key) != value:
            changed[key] = value
    for key in ("reason", "message"):
        if key in old and key not in new:
            changed[key] = None
    return {"metadata": {"uid": uid}, "status": changed} if changed else None


def _changed_conditions(old: Conditions, new: Conditions) -> Conditions:
    """Only those that differ; texts that are no longer there are taken away by name."""
    found = []
    for item in new:
        before = condition.get(old, item["type"])
        if before != item:
            gone = [key for key in ("reason", "message") if before and key in before and key not in item]
            cleared: dict[str, Any] = dict.fromkeys(gone)
            found.append({**item, **cleared})
    over = {item["type"] for item in old} & set(resize.CONDITIONS) - {item["type"] for item in new}
    return [*found, *({"$patch": "delete", "type": kind} for kind in sorted(over))]


def waits_for(facts: Facts) -> datetime | None:
    """When the status changes by the mere passing of time: a fresh pull error turns into a back-off."""
    moments = [
        failed.at + timedelta(seconds=FRESH_PULL_ERROR_S)
        for (verb, _), failed in facts.failures.items()
        if verb == "image"
    ]
    return min((moment for moment in moments if moment > facts.now), default=None)
