"""What to do next for one pod: a pure function of the pod and of what is known of it on this node.

A plan names the steps that may run now, at once and side by side; those that run already are left out. When one ends,
or anything changes, or `wake_at` comes, it is asked again. Nothing is remembered in between that an agent which was
restarted could not read back: the back-off of a crashing container stands in the annotations of its instances.

Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from navarch.agent import resize, restarting
from navarch.agent.facts import (
    Facts,
    has_exited,
    is_alive,
    is_running,
    main_containers_started,
    restarts,
)
from navarch.agent.runtime import Container as Instance
from navarch.agent.runtime import ContainerState
from navarch.agent.steps import (
    Allot,
    BindContainer,
    CleanUp,
    EnsureImage,
    Finish,
    MountVolumes,
    PrepareClaims,
    RefreshVolumes,
    RemoveContainer,
    RemoveSandbox,
    ResizeContainer,
    ResizePod,
    RunPreStop,
    StartContainer,
    StartSandbox,
    Step,
    StopContainer,
    StopSandbox,
    UnprepareClaims,
)
from navarch.kinds.pod import Pod
from navarch.kinds.podspec.container import Container

DELAY = "navarch.dev/restart-delay-s"
"""Annotation of a container instance: the back-off that preceded its start, in seconds."""
STARTED_IMAGE = "navarch.dev/image"
"""Annotation of a container instance: the image as the pod named it when the instance was made."""

DEADLINE = "DeadlineExceeded"
FIRST_DELAY_S = 10
LONGEST_DELAY_S = 300
STEADY_S = 600
"""A container that ran so long starts afresh, without back-off."""
INSTANCES_KEPT = 2
ORPHAN_GRACE_S = 1.0
LEAST_GRACE_S = 2.0
"""A container gets at least so long to stop, however little of its pod's time is left."""


@dataclass(frozen=True, slots=True)
class Plan:
    """wake_at: ask again then even if nothing happens; None: no need. ends: the pod is over; what runs is stopped."""

    steps: tuple[Step, ...] = ()
    wake_at: datetime | None = None
    ends: bool = False


def plan(pod: Pod, facts: Facts) -> Plan:
    """Never raises: every pod has a plan."""
    if pod.terminating or pod.terminal or outcome(pod, facts) is not None:
        return replace(_ready_only(_terminate(pod, facts), facts), ends=True)
    made = _ready_only(_run(pod, facts), facts)
    retries = [failure.retry_at for failure in facts.failures.values()]
    return Plan(made.steps, _earliest(made.wake_at, _deadline(pod), *_backoffs(pod, facts), *retries, now=facts.now))


def plan_orphan(facts: Facts) -> Plan:
    """For what the runtime holds of a pod that no longer exists."""
    steps: list[Step] = [
        StopContainer(item.name, item.id, ORPHAN_GRACE_S, f"Stopping container {item.name}") for item in facts.alive()
    ]
    if not steps:
        steps = [RemoveSandbox(box.id) for box in facts.runtime.sandboxes]
        if not steps:
            steps = [RemoveContainer(item.id) for item in facts.runtime.containers]
        if not steps and not facts.cleaned and ("claims", "") not in facts.busy:
            steps = [UnprepareClaims() if facts.holding else CleanUp()]
    return _ready_only(iter(steps), facts)


def _ready_only(steps: Iterator[Step], facts: Facts) -> Plan:
    """Leave out what runs already or is to wait after a failure, and wake when that wait is over."""
    chosen = []
    wakes: list[datetime | None] = []
    for step in steps:
        if isinstance(step, StopContainer) and step.key in facts.busy and _has_less_time(step, facts):
            step = replace(step, hurry=True)
        if facts.waiting(*step.key):
            failed = facts.failures.get(step.key)
            if failed is not None and step.key not in facts.busy:
                wakes.append(failed.retry_at)
        else:
            chosen.append(step)
    return Plan(tuple(chosen), _earliest(*wakes, now=facts.now))


def _has_less_time(step: StopContainer, facts: Facts) -> bool:
    """Whether a stop that is under way was given more time than the container has now (a deletion without grace)."""
    granted = facts.stopping.get(step.container_id)
    return granted is not None and granted - facts.now > timedelta(seconds=step.grace_s + 1)


def _earliest(*moments: datetime | None, now: datetime) -> datetime | None:
    return min((moment for moment in moments if moment is not None and moment > now), default=None)


# how it ends


def outcome(pod: Pod, facts: Facts) -> tuple[str, str, str] | None:
    """How the pod has ended, as (phase, reason, message): `Succeeded` or `Failed`; None while it has not.

    A pod that is over its deadline or refused has ended even while its containers are still being stopped.
    """
    if pod.terminal:
        return (pod.status.phase, pod.status.reason, pod.status.message)
    if facts.refused is not None and not facts.runtime.containers:
        reason, message = facts.refused
        return ("Failed", reason, f"Pod was rejected: {message}")
    if facts.evicted is not None:
        return ("Failed", facts.evicted.reason, facts.evicted.message)
    deadline = _deadline(pod)
    if deadline is not None and deadline <= facts.now:
        return ("Failed", DEADLINE, "Pod was active on the node longer than the specified deadline")
    for container in pod.spec.init_containers:
        instance = facts.latest(container.name)
        if instance is None or container.is_sidecar or not _failed(instance):
            continue
        if not restarts(pod, container, instance.exit_code, init=True):
            return ("Failed", "", "")
    ends = [facts.latest(container.name) for container in pod.spec.containers]
    codes = []
    for container, end in zip(pod.spec.containers, ends, strict=True):
        if end is None or not has_exited(end) or restarts(pod, container, end.exit_code):
            return None
        codes.append(end.exit_code)
    return ("Failed" if any(codes) else "Succeeded", "", "") if codes else None


def _deadline(pod: Pod) -> datetime | None:
    seconds, start = pod.spec.active_deadline_seconds, pod.status.start_time
    return start + timedelta(seconds=seconds) if seconds is not None and start is not None else None


def _grace_s(pod: Pod, facts: Facts) -> float:
    """What is left of the time to stop in."""
    meta = pod.metadata
    most = float(facts.evicted.grace_s) if facts.evicted is not None else math.inf
    if meta.deletion_timestamp is None:  # one time for all, however many wait for others
        passed_s = (facts.now - facts.ending_at).total_seconds() if facts.ending_at is not None else 0.0
        return max(LEAST_GRACE_S, min(float(pod.spec.termination_grace_period_seconds), most) - passed_s)
    granted = meta.deletion_grace_period_seconds
    left = (meta.deletion_timestamp - facts.now).total_seconds()
    if facts.deleted_at is not None and granted is not None:  # whatever the API server's clock says
        left = granted - (facts.now - facts.deleted_at).total_seconds()
    return max(LEAST_GRACE_S, min(left, most, float(granted) if granted is not None else math.inf))


def _terminate(pod: Pod, facts: Facts) -> Iterator[Step]:
    alive = facts.alive()
    if alive:
        yield from _stops(pod, facts, alive)
        return
    if any(key[0] in ("start", "sandbox", "claims") for key in facts.busy):
        return  # what is being started is stopped once it is there
    ready = [box for box in facts.runtime.sandboxes if box.ready]
    if ready:
        yield from (StopSandbox(box.id) for box in ready)
        return
    if facts.holding:
        yield UnprepareClaims()
    elif not facts.cleaned:
        yield CleanUp()
    elif pod.terminating or facts.released:
        if facts.runtime.sandboxes:
            yield from (RemoveSandbox(box.id) for box in facts.runtime.sandboxes)
        elif facts.runtime.containers:
            yield from (RemoveContainer(item.id) for item in facts.runtime.containers)
        elif pod.terminating:
            yield Finish()


def _stops(pod: Pod, facts: Facts, alive: Sequence[Instance]) -> Iterator[Step]:
    """All hooks run at once; sidecars get the signal when those before them are gone."""
    grace_s = _grace_s(pod, facts)
    turn = _next_to_stop(pod, alive)
    for item in alive:
        if item in turn:
            yield _stop(item, grace_s, hook=item.id not in facts.hooked)
        elif item.id not in facts.hooked and _has_hook(pod, item.name):
            yield RunPreStop(item.name, item.id, grace_s, f"Stopping container {item.name}")


def _has_hook(pod: Pod, name: str) -> bool:
    return any(one.lifecycle.pre_stop is not None for one in pod.spec.init_containers if one.name == name)


def _stop(instance: Instance, grace_s: float, *, hook: bool = True) -> StopContainer:
    return StopContainer(instance.name, instance.id, grace_s, f"Stopping container {instance.name}", hook=hook)


def _next_to_stop(pod: Pod, alive: Sequence[Instance]) -> Sequence[Instance]:
    """Sidecars outlive the main containers, and go in the reverse of the order in which they came."""
    sidecars = [container.name for container in pod.spec.init_containers if container.is_sidecar]
    first = [item for item in alive if item.name not in sidecars]
    if first:
        return first
    last = max(sidecars.index(item.name) for item in alive)
    return [item for item in alive if item.name == sidecars[last]]


# how it runs


def _run(pod: Pod, facts: Facts) -> Iterator[Step]:
    if not facts.allotted:
        yield Allot()
        return
    if not facts.claimed:
        yield PrepareClaims()
    if not facts.volumes_ready:
        yield MountVolumes()
    elif facts.stale:
        yield RefreshVolumes()
    box = facts.sandbox
    if box is None:
        leftovers = facts.alive()
        if leftovers:
            yield from (_stop(item, _grace_s(pod, facts)) for item in leftovers)
            return
        attempt = facts.runtime.sandboxes[0].attempt + 1 if facts.runtime.sandboxes else 0
        if facts.claimed and (facts.network_ready or pod.spec.host_network):
            yield StartSandbox(attempt)
    asking = restarting.sources(pod, facts) if box is not None else ()
    if asking and not any((_held_until(facts, item) or facts.now) > facts.now for item in asking):
        yield from restarting.steps(pod, facts, asking)
        return
    behind = _behind_hooks(pod, facts)
    for container in _wanted(pod, facts):
        for step in _towards_running(pod, facts, container):
            if not (isinstance(step, StartContainer) and container.name in behind):
                yield step
    yield from _correct_running(pod, facts)
    if box is not None:
        yield from _prune(pod, facts)


def _wanted(pod: Pod, facts: Facts) -> Iterator[Container]:
    """The containers that should run now and do not."""
    initialized = main_containers_started(pod, facts)
    for extra in pod.spec.ephemeral_containers:  # once, and also into a pod that does not come up
        known = facts.latest(extra.name)
        if known is None or known.state is ContainerState.CREATED:
            yield extra
    for container in pod.spec.init_containers:
        instance = facts.current(container.name)
        if container.is_sidecar:
            if not is_running(instance):
                yield container
            if not initialized and not (is_running(instance) and _started(facts, instance)):
                return
        elif not initialized:
            if instance is None or instance.state is ContainerState.CREATED or _failed(instance):
                yield container
                return
            if not has_exited(instance):
                return
    for container in pod.spec.containers:
        instance = facts.current(container.name)
        if is_running(instance):
            continue
        ended = instance if has_exited(instance) else None
        if ended is None or restarts(pod, container, ended.exit_code):
            yield container


def _behind_hooks(pod: Pod, facts: Facts) -> set[str]:
    """Main containers start in order where one has a hook after its start: who comes later waits until it has run.

    Without hooks nobody can tell the order, and they start side by side.
    """
    behind: set[str] = set()
    waits = False
    for container in pod.spec.containers:
        if waits:
            behind.add(container.name)
        if container.lifecycle.post_start is not None:
            failed = any(facts.failure(verb, container.name) is not None for verb in ("image", "start"))
            new = facts.current(container.name) is None and not failed
            waits = waits or new or ("start", container.name) in facts.busy
    return behind


def _started(facts: Facts, instance: Instance | None) -> bool:
    starting = instance is not None and ("start", instance.name) in facts.busy
    return instance is not None and not starting and facts.health_of(instance).started


def _failed(instance: Instance) -> bool:
    return has_exited(instance) and instance.exit_code != 0


def _towards_running(pod: Pod, facts: Facts, container: Container) -> Iterator[Step]:
    """The next step of a container that should run: its image, then its start, unless it is in back-off."""
    latest = facts.latest(container.name)
    if latest is not None and is_alive(latest):
        return
    until = _held_until(facts, latest)
    if until is not None and until > facts.now:
        return
    if container.name not in facts.images:
        if not facts.waiting("start", container.name):
            yield EnsureImage(container.name)
        return
    box = facts.sandbox
    if box is not None and facts.volumes_ready and facts.claimed:
        attempt, delay_s = next_attempt(pod, latest, container.name, facts.longest_delay_s)
        if latest is None:
            delay_s = facts.delays.get(container.name, 0)
        yield StartContainer(container.name, box.id, attempt, delay_s)


def next_attempt(pod: Pod, latest: Instance | None, name: str, longest_s: int = LONGEST_DELAY_S) -> tuple[int, int]:
    """The restart count of the next instance, and the back-off to be noted with it."""
    if latest is None:
        statuses = (*pod.status.init_container_statuses, *pod.status.container_statuses)
        known = next((status for status in statuses if status.name == name and status.container_id), None)
        return (known.restart_count + 1 if known is not None else 0, 0)
    if latest.state is ContainerState.CREATED:
        return (latest.attempt, int(latest.annotations.get(DELAY, "0")))
    return (latest.attempt + 1, next_delay_s(latest, longest_s))


def next_delay_s(latest: Instance, longest_s: int = LONGEST_DELAY_S) -> int:
    """Seconds to wait after the end of this instance: none at first, then 10 doubling to the longest."""
    ran_s = (latest.finished_at - latest.started_at).total_seconds() if latest.finished_at and latest.started_at else 0
    if latest.attempt == 0 or ran_s >= STEADY_S:
        return 0
    before = int(latest.annotations.get(DELAY, "0"))
    return min(longest_s, max(FIRST_DELAY_S, before * 2))


def delays_after(pod: Pod, facts: Facts) -> dict[str, int]:
    """What those wait for, by name, that have the whole pod start anew: their instances will not be there to tell."""
    return {item.name: next_delay_s(item, facts.longest_delay_s) for item in restarting.sources(pod, facts)}


def backoff_until(
    latest: Instance | None, ended: datetime | None = None, longest_s: int = LONGEST_DELAY_S
) -> datetime | None:
    """When the next instance may start; None when at once. ended: when it did, where that is known better."""
    if latest is None or not has_exited(latest):
        return None
    delay_s = next_delay_s(latest, longest_s)
    return (ended or latest.finished_at or latest.created_at) + timedelta(seconds=delay_s) if delay_s else None


def _backoffs(pod: Pod, facts: Facts) -> Iterator[datetime | None]:
    for container in _wanted(pod, facts):
        yield _held_until(facts, facts.latest(container.name))


def _held_until(facts: Facts, latest: Instance | None) -> datetime | None:
    """The end of the back-off; none for what only failed because the sandbox ended under it."""
    box = facts.sandbox
    lost = latest is not None and latest.reason == "StartError" and box is not None and latest.sandbox_id != box.id
    if lost or latest is None:
        return None
    return backoff_until(latest, facts.ended.get(latest.id), facts.longest_delay_s)


def _correct_running(pod: Pod, facts: Facts) -> Iterator[Step]:
    """Containers whose probe asks for a restart, or whose image or resources the pod changed."""
    if facts.sandbox is not None and resize.whole_changed(pod, facts) and resize.possible(pod, facts):
        yield ResizePod()
    for container in (*pod.spec.init_containers, *pod.spec.containers):
        instance = facts.current(container.name)
        if instance is None or not is_running(instance):
            continue
        health = facts.health_of(instance)
        grace_s = float(pod.spec.termination_grace_period_seconds)
        if health.failed:
            message = f"Container {container.name} failed {health.failed} probe"
            if _can_restart(pod, container):
                message += ", will be restarted"
            yield StopContainer(
                container.name, instance.id, float(health.grace_s) if health.grace_s is not None else grace_s, message
            )
        elif instance.annotations.get(STARTED_IMAGE, container.image) != container.image:
            message = f"Container {container.name} definition changed, will be restarted"
            yield StopContainer(container.name, instance.id, grace_s, message)
        elif differing := resize.changed(facts, container, instance):
            if not resize.possible(pod, facts):
                continue
            if resize.needs_restart(container, differing):
                message = f"Container {container.name} resize requires restart"
                yield StopContainer(container.name, instance.id, grace_s, message)
            else:
                yield ResizeContainer(container.name, instance.id)
        elif facts.bound.get(instance.id, "") != (cpus := facts.cpus.get(container.name, "")) and cpus:
            yield BindContainer(container.name, instance.id)


def _can_restart(pod: Pod, container: Container) -> bool:
    return bool(container.restart_policy_rules) or (container.restart_policy or pod.spec.restart_policy) != "Never"


def _prune(pod: Pod, facts: Facts) -> Iterator[Step]:
    """Old instances beyond those that a status tells of, and sandboxes that were replaced."""
    for name in dict.fromkeys(item.name for item in facts.runtime.containers):
        for old in list(facts.instances(name))[INSTANCES_KEPT:]:
            if not is_alive(old):
                yield RemoveContainer(old.id)
    if all(facts.current(container.name) is not None for container in pod.spec.containers):
        yield from (RemoveSandbox(box.id) for box in facts.runtime.sandboxes[1:])
