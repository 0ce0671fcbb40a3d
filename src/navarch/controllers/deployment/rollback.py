"""Automatic rollback: a rollout that fails is undone, once, when the Deployment asks for it.

With the annotation `navarch.dev/auto-rollback: "true"` a rollout counts as failed when its progress deadline has
passed; when a container of the new revision has crashed three times and waits to be started again; or when its image
cannot be had for 30 s. Then the template of the last good revision is restored, just as `kubectl rollout undo` does it.

A revision is good once all its pods are ready and more than half of them have been for a minute (a container that
crashes after two seconds is ready for two; one that an autoscaler just added proves nothing); its ReplicaSet remembers
that in an annotation. Where no revision is known to be good, what has been complete and still serves comes before what
serves, and that before what was ever complete.

It does not flap, since between two rollbacks there is always a template that somebody else put there: a good revision
is never rolled back, nor is the one that a rollback restored, nor a failed one that is applied again: that is taken for
insistence, so two parties never fight over the template. All that has to be known for this stands in the objects; what
failed stands in two places, as a client may replace the Deployment with all its annotations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from navarch.controllers.deployment.revision import HASH_LABEL, identity_of, number, without_hash
from navarch.controllers.deployment.status import PROGRESSING, TIMED_OUT, Conditions
from navarch.controllers.plan import Action, Event, Patch, merge_diff, soonest
from navarch.controllers.template import template_of
from navarch.kinds.object import Object
from navarch.kinds.pod import ContainerStatus, Pod

AUTO_ROLLBACK = "navarch.dev/auto-rollback"
GOOD = "navarch.dev/rollout-complete"
"""On a ReplicaSet: `once` when its rollout was complete for a moment, `true` when it proved good."""
UNDONE = "navarch.dev/rolled-back"
"""On a ReplicaSet: `true` when its rollout was undone and it did not prove good since."""
FAILED_REVISIONS = "navarch.dev/failed-revisions"
"""On a Deployment: template hashes that were rolled back, newest last, separated by commas."""
RESTORED_REVISION = "navarch.dev/restored-revision"
"""On a Deployment: the template hash that a rollback restored, as long as nobody else changes the template."""
ROLLED_BACK = "RolledBack"
APPLIED_AGAIN = "AppliedAgain"

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


def was_undone(deployment: Object, revision: Object) -> bool:
    return UNDONE in revision.view.metadata.annotations or stamp(revision) in failed_stamps(deployment)


def is_restored(deployment: Object, revision: Object) -> bool:
    """Whether a rollback put its template there, and nobody another since."""
    return bool(deployment.view.metadata.annotations.get(RESTORED_REVISION) == stamp(revision))


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
    if is_restored(deployment, new) and (conditions.get(ROLLED_BACK) or {}).get("status") != "True":
        # a crash came between restoring it and saying so
        conditions.set(ROLLED_BACK, "True", "Restored", f'Revision {number(new)} ("{new.name}") was restored.')
    unproven_s = _unproven_s(new, pods, now) if complete else None
    if unproven_s == 0:
        return _note_good(deployment, new, conditions)
    noted = _noted(deployment, new, old, complete)
    if is_good(new) or is_restored(deployment, new):
        return Verdict(noted, look_again_s=None if is_good(new) else unproven_s)
    if was_undone(deployment, new):
        return Verdict((*noted, *_left_alone(deployment, new, conditions)), look_again_s=unproven_s)
    trouble, look_again_s = _trouble(new, pods, conditions, now)
    if trouble is None:
        return Verdict(noted, look_again_s=soonest(look_again_s, unproven_s))
    target = last_good(deployment, new, old)
    if target is None:
        message = f'Revision {number(new)} ("{new.name}") has failed, and no good one is known: {trouble.message}'
        conditions.set(ROLLED_BACK, "False", "NoGoodRevision", message)
        return Verdict(noted)
    return Verdict(_undo(deployment, new, target, trouble, conditions), undone=True)


def spared(deployment: Object, new: Object | None, old: Sequence[Object]) -> Object | None:
    """The revision that the history limit must not take, as it is what a rollback would restore."""
    if new is None or not is_wanted(deployment) or is_good(new):
        return None
    return last_good(deployment, new, old)


def _unproven_s(new: Object, pods: Sequence[Object], now: datetime) -> float | None:
    """In how many seconds enough pods will have been ready for long enough; None when it is not a matter of time."""
    replicas = new.view.spec.replicas
    ready = sorted(pod.view.ready_since for pod in pods if pod.view.live and pod.view.ready_since is not None)
    if not replicas or len(ready) < replicas:
        return None
    return max(0.0, float((ready[replicas // 2] - now).total_seconds()) + PROVEN_S)


def _noted(deployment: Object, new: Object, old: Sequence[Object], complete: bool) -> tuple[Action, ...]:
    """What the objects should remember: which revisions were undone, that the restored one was replaced, and that the
    new one is complete."""
    failed = failed_stamps(deployment)
    actions: list[Action] = [
        Patch(found, {"metadata": {"annotations": {UNDONE: "true"}}})
        for found in (new, *old)
        if stamp(found) in failed and UNDONE not in found.view.metadata.annotations
    ]
    if RESTORED_REVISION in deployment.view.metadata.annotations and not is_restored(deployment, new):
        actions.append(Patch(deployment, {"metadata": {"annotations": {RESTORED_REVISION: None}}}))
    if complete and GOOD not in new.view.metadata.annotations and new.view.spec.replicas > 0:
        actions.append(Patch(new, {"metadata": {"annotations": {GOOD: "once"}}}))
    return tuple(actions)


def _left_alone(deployment: Object, new: Object, conditions: Conditions) -> tuple[Action, ...]:
    """Say, once, that what failed before was applied again."""
    told = conditions.reason(ROLLED_BACK) == APPLIED_AGAIN
    message = f'Revision {number(new)} ("{new.name}") was undone before and applied again: it is left alone.'
    conditions.set(ROLLED_BACK, "False", APPLIED_AGAIN, message)
    return () if told else (Event(deployment, APPLIED_AGAIN, message, "Warning"),)


def _note_good(deployment: Object, new: Object, conditions: Conditions) -> Verdict:
    actions: list[Action] = []
    if not is_good(new) or UNDONE in new.view.metadata.annotations:
        actions.append(Patch(new, {"metadata": {"annotations": {GOOD: "true", UNDONE: None}}}))
    annotations: dict[str, str | None] = {}
    if stamp(new) in (failed := failed_stamps(deployment)):
        annotations[FAILED_REVISIONS] = ",".join(found for found in failed if found != stamp(new)) or None
    if not is_restored(deployment, new):
        conditions.remove(ROLLED_BACK)
        if RESTORED_REVISION in deployment.view.metadata.annotations:
            annotations[RESTORED_REVISION] = None
    if annotations:
        actions.append(Patch(deployment, {"metadata": {"annotations": annotations}}))
    return Verdict(tuple(actions))


def _trouble(
    new: Object, pods: Sequence[Object], conditions: Conditions, now: datetime
) -> tuple[Trouble | None, float | None]:
    if _is_late(new, conditions):
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


def _is_late(new: Object, conditions: Conditions) -> bool:
    """Whether the deadline passed for this revision: until it makes progress, the condition may tell of another."""
    said = conditions.get(PROGRESSING) or {}
    return said.get("reason") == TIMED_OUT and f'ReplicaSet "{new.name}"' in str(said.get("message", ""))


def _crashes(status: ContainerStatus) -> bool:
    waiting = status.state.waiting
    return status.restart_count >= CRASHES and waiting is not None and waiting.reason == _CRASHING


def last_good(deployment: Object, new: Object, old: Sequence[Object]) -> Object | None:
    """Of those of other templates that were never undone: the newest of the best kind that there is."""
    ordered = sorted(
        (found for found in old if not was_undone(deployment, found) and identity_of(found) != identity_of(new)),
        key=number,
        reverse=True,
    )
    proven = [found for found in ordered if is_good(found)]
    serving = [found for found in ordered if found.view.status.available_replicas > 0]
    complete = [found for found in ordered if GOOD in found.view.metadata.annotations]
    both = [found for found in serving if found in complete]
    return next(iter((*proven, *both, *serving, *complete)), None)


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
