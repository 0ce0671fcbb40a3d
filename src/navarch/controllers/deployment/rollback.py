"""Automatic rollback: a rollout that fails is undone, once, when the Deployment asks for it.

With the annotation `navarch.dev/auto-rollback: "true"` a rollout counts as failed when its progress deadline has
passed; when a container of the new revision has crashed three times and waits to be started again; or when its image
cannot be had for 30 s. Then the template of the last good revision is restored, just as `kubectl rollout undo` does it.

A revision is good once all its pods have been ready for a minute at the same time (a container that crashes after two
seconds is ready for two); its ReplicaSet remembers that in an annotation. Where no revision is known to be good (the
Deployment is younger than that, or got the annotation together with its first bad template), the newest one that
still has available pods is restored, and failing that the newest whose rollout was ever complete. A good revision,
and the one that a rollback restored, are never rolled back; nor is a failed one that somebody applies again: that is
taken for insistence, so two parties never fight over the template.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from navarch.controllers.deployment.revision import HASH_LABEL, number, without_hash
from navarch.controllers.deployment.status import PROGRESSING, TIMED_OUT, Conditions
from navarch.controllers.plan import Action, Event, Patch, merge_diff, soonest
from navarch.controllers.template import template_of
from navarch.kinds.object import Object
from navarch.kinds.pod import ContainerStatus, Pod

AUTO_ROLLBACK = "navarch.dev/auto-rollback"
GOOD = "navarch.dev/rollout-complete"
"""On a ReplicaSet: `once` when its rollout was complete for a moment, `true` when it proved good."""
FAILED_REVISIONS = "navarch.dev/failed-revisions"
"""On a Deployment: template hashes that were rolled back, newest last, separated by commas."""
RESTORED_REVISION = "navarch.dev/restored-revision"
"""On a Deployment: the template hash that the last rollback restored."""
ROLLED_BACK = "RolledBack"

CRASHES = 3
PULL_PATIENCE_S = 30.0
PROVEN_S = 60.0
REMEMBERED = 10
_CRASHING = "CrashLoopBackOff"
_NO_IMAGE = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName")


@dataclass(frozen=True, slots=True)
class Trouble:
    """reason: CamelCase. message: what is wrong with the new revision."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """actions: restore `target`, or mark what is good. look_again_s: when time alone may make it fail."""

    actions: tuple[Action, ...] = ()
    undone: bool = False
    look_again_s: float | None = None


def is_wanted(deployment: Object) -> bool:
    return bool(deployment.view.metadata.annotations.get(AUTO_ROLLBACK) == "true")


def is_good(revision: Object) -> bool:
    return bool(revision.view.metadata.annotations.get(GOOD) == "true")


def stamp(revision: Object) -> str:
    return str(revision.labels.get(HASH_LABEL, ""))


def failed_stamps(deployment: Object) -> list[str]:
    text = deployment.view.metadata.annotations.get(FAILED_REVISIONS, "")
    return [part for part in text.split(",") if part]


def judge(
    deployment: Object,
    new: Object | None,
    old: Sequence[Object],
    pods: Sequence[Object],
    complete: bool,
    conditions: Conditions,
    now: datetime,
) -> Verdict:
    """Decide on the rollout of `new`. pods: of `new`. May set the condition RolledBack."""
    if new is None or not is_wanted(deployment) or deployment.view.spec.paused:
        return Verdict()
    unproven_s = _unproven_s(new, pods, now) if complete else None
    if unproven_s == 0:
        return _note_good(deployment, new, conditions)
    noted: tuple[Action, ...] = ()
    if complete and GOOD not in new.view.metadata.annotations and new.view.spec.replicas > 0:
        noted = (Patch(new, {"metadata": {"annotations": {GOOD: "once"}}}),)
    settled = is_good(new) or stamp(new) == deployment.view.metadata.annotations.get(RESTORED_REVISION)
    if settled or stamp(new) in failed_stamps(deployment):
        return Verdict(noted, look_again_s=unproven_s)
    trouble, look_again_s = _trouble(new, pods, conditions, now)
    if trouble is None:
        return Verdict(noted, look_again_s=soonest(look_again_s, unproven_s))
    target = _last_good(deployment, old)
    if target is None:
        message = f'Revision {number(new)} ("{new.name}") has failed, and no good one is known: {trouble.message}'
        conditions.set(ROLLED_BACK, "False", "NoGoodRevision", message)
        return Verdict()
    return Verdict(_undo(deployment, new, target, trouble, conditions), undone=True)


def _unproven_s(new: Object, pods: Sequence[Object], now: datetime) -> float | None:
    """In how many seconds all pods will have been ready for long enough; None when it is not a matter of time."""
    ready = [pod.view.ready_since for pod in pods if pod.view.live and pod.view.ready_since is not None]
    if len(ready) < new.view.spec.replicas:
        return None
    return max([0.0, *(float((since - now).total_seconds()) + PROVEN_S for since in ready)])


def _note_good(deployment: Object, new: Object, conditions: Conditions) -> Verdict:
    actions: list[Action] = []
    if not is_good(new) and new.view.spec.replicas > 0:
        actions.append(Patch(new, {"metadata": {"annotations": {GOOD: "true"}}}))
    if stamp(new) != deployment.view.metadata.annotations.get(RESTORED_REVISION):
        conditions.remove(ROLLED_BACK)
    failed = failed_stamps(deployment)
    if stamp(new) in failed:
        left = ",".join(found for found in failed if found != stamp(new))
        actions.append(Patch(deployment, {"metadata": {"annotations": {FAILED_REVISIONS: left or None}}}))
    return Verdict(tuple(actions))


def _trouble(
    new: Object, pods: Sequence[Object], conditions: Conditions, now: datetime
) -> tuple[Trouble | None, float | None]:
    if conditions.reason(PROGRESSING) == TIMED_OUT:
        return Trouble(TIMED_OUT, f'ReplicaSet "{new.name}" has timed out progressing.'), None
    look_again_s = None
    for found in sorted(pods, key=lambda pod: pod.name):
        pod: Pod = found.view
        for status in (*pod.status.init_container_statuses, *pod.status.container_statuses):
            reason = status.state.waiting.reason if status.state.waiting is not None else ""
            if _crashes(status):
                said = f"{status.restart_count} times"
                return Trouble(_CRASHING, f'container "{status.name}" of pod "{found.name}" crashed {said}'), None
            if reason in _NO_IMAGE:
                since = pod.status.start_time
                left_s = PULL_PATIENCE_S - (now - since).total_seconds() if since is not None else PULL_PATIENCE_S
                if left_s <= 0 or reason == "InvalidImageName":
                    said = f'image "{status.image}" of container "{status.name}" of pod "{found.name}" cannot be had'
                    return Trouble(reason, said), None
                look_again_s = soonest(look_again_s, left_s)
    return None, look_again_s


def _crashes(status: ContainerStatus) -> bool:
    waiting = status.state.waiting
    return status.restart_count >= CRASHES and waiting is not None and waiting.reason == _CRASHING


def _last_good(deployment: Object, old: Sequence[Object]) -> Object | None:
    failed = failed_stamps(deployment)
    ordered = sorted((found for found in old if stamp(found) not in failed), key=number, reverse=True)
    proven = [found for found in ordered if is_good(found)]
    serving = [found for found in ordered if found.view.status.available_replicas > 0]
    complete = [found for found in ordered if GOOD in found.view.metadata.annotations]
    return next(iter((*proven, *serving, *complete)), None)


def _undo(
    deployment: Object, new: Object, target: Object, trouble: Trouble, conditions: Conditions
) -> tuple[Action, ...]:
    failed = [*failed_stamps(deployment), stamp(new)][-REMEMBERED:]
    message = (
        f'Revision {number(new)} ("{new.name}") was undone and revision {number(target)} ("{target.name}") restored: '
        f"{trouble.message}"
    )
    conditions.set(ROLLED_BACK, "True", trouble.reason, message, refresh=True)
    template = merge_diff(template_of(deployment), without_hash(template_of(target)))
    annotations = {FAILED_REVISIONS: ",".join(failed), RESTORED_REVISION: stamp(target)}
    return (
        Patch(deployment, {"metadata": {"annotations": annotations}, "spec": {"template": template}}),
        Event(deployment, ROLLED_BACK, message, "Warning"),
    )
