"""How pods that ended come into a Job's counters, each exactly once.

Three steps, each its own write: the pod's uid goes into `uncountedTerminatedPods`, then the pod loses its finalizer,
then the uid becomes part of a number. After an interruption at any point the next look goes on from there: a uid whose
pod has no finalizer any more is counted, one whose pod has it loses it. Of succeeded indexes the number itself is
enough, they need no uid.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/job/#job-tracking-with-finalizers
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from navarch.controllers.job.indexes import Indexes
from navarch.controllers.job.pods import has_failed, index_of, tracked, verdict
from navarch.kinds.job_view import Job
from navarch.kinds.object import Object
from navarch.objects.value import Document

MOST_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Tally:
    """kept: uids of failed pods that stay, although they are at their end. skipped: of pods that go uncounted.

    failing: the Job fails: pods that did not end count as failed. ending: it is over, or being deleted.
    """

    job: Job
    pods: Sequence[Object]
    succeeded_before: Indexes
    failed_indexes: Indexes | None
    kept: AbstractSet[str]
    skipped: AbstractSet[str]
    failing: bool
    ending: bool


@dataclass(frozen=True, slots=True)
class Counted:
    """before, after: the counters of the status before and after `untracked` lost their finalizers. flush: whether
    `before` has to be written. all: nothing is left to be counted."""

    untracked: Sequence[Object]
    before: Document
    after: Document
    flush: bool
    all: bool


def count(tally: Tally) -> Counted:
    job = tally.job
    held = {pod.uid for pod in tally.pods if tracked(pod)}
    was = job.status.uncounted_terminated_pods
    succeeded = job.status.succeeded + sum(uid not in held for uid in was.succeeded)
    failed = job.status.failed + sum(uid not in held for uid in was.failed)
    well, badly = [u for u in was.succeeded if u in held], [u for u in was.failed if u in held]
    flush = len(well) + len(badly) < len(was.succeeded) + len(was.failed)
    untracked: list[Object] = []
    indexes: list[int] = []
    complete = True
    for pod in _in_order(tally):
        bad = has_failed(pod, job)
        if not _is_over(tally, pod, bad):
            continue
        if len(indexes) + len(well) + len(badly) >= MOST_AT_ONCE:
            complete = False
            break
        untracked.append(pod)
        index = index_of(pod, job)
        if pod.view.status.phase == "Succeeded" and pod.uid not in badly:
            if not job.indexed and pod.uid not in well:
                well.append(pod.uid)
                flush = True
            elif index is not None and index not in tally.succeeded_before:
                indexes.append(index)
                flush = True
        elif (bad or tally.failing) and pod.uid not in badly and _counts(pod, index, job):
            badly.append(pod.uid)
            flush = True
    done = tally.succeeded_before.plus(indexes)
    flush = flush or (tally.failed_indexes is not None and str(tally.failed_indexes) != job.status.failed_indexes)
    before = _counters(tally, done, succeeded, failed, well, badly)
    uids = {pod.uid for pod in untracked}
    left, left_badly = [uid for uid in well if uid not in uids], [uid for uid in badly if uid not in uids]
    succeeded, failed = succeeded + len(well) - len(left), failed + len(badly) - len(left_badly)
    after = _counters(tally, done, succeeded, failed, left, left_badly)
    complete = complete and not left and not left_badly
    return Counted(untracked, before, after, flush, complete)


def _in_order(tally: Tally) -> list[Object]:
    pods = [pod for pod in tally.pods if tracked(pod) and pod.uid not in tally.skipped]
    if tally.job.indexed:
        pods.sort(key=lambda pod: _place(index_of(pod, tally.job)))
    return pods


def _counts(pod: Object, index: int | None, job: Job) -> bool:
    """Whether a failure of the pod is one of the Job."""
    return (not job.indexed or index is not None) and verdict(pod, job.spec.pod_failure_policy)[2]


def _place(index: int | None) -> int:
    return -1 if index is None else index


def _is_over(tally: Tally, pod: Object, bad: bool) -> bool:
    if tally.ending or pod.view.status.phase == "Succeeded":
        return True
    return bad and pod.uid not in tally.kept


def _counters(
    tally: Tally, done: Indexes, succeeded: int, failed: int, well: Sequence[str], badly: Sequence[str]
) -> Document:
    uncounted: Document = {}
    if well:
        uncounted["succeeded"] = list(well)
    if badly:
        uncounted["failed"] = list(badly)
    found: Document = {"uncountedTerminatedPods": uncounted}
    if tally.job.indexed:
        succeeded = done.total
        if done:
            found["completedIndexes"] = str(done)
    if tally.failed_indexes is not None:
        found["failedIndexes"] = str(tally.failed_indexes)
    if succeeded:
        found["succeeded"] = succeeded
    if failed:
        found["failed"] = failed
    return found
