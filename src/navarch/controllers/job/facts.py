"""What happened to a Job so far, and whether that makes an end of it: pure.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/job/
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import msgspec

from navarch.controllers.claims import Claim
from navarch.controllers.job.indexes import Indexes, parse
from navarch.controllers.job.pods import (
    FAILURES,
    IGNORED_FAILURES,
    failures_of_index,
    finished_at,
    has_failed,
    index_of,
    tracked,
    verdict,
)
from navarch.kinds.job_view import Job, JobSpec, JobStatus
from navarch.kinds.object import Object
from navarch.kinds.view import View


@dataclass(frozen=True, slots=True)
class Observed:
    """claim: pods. failures: how many failed since the last success, and when the last of them did."""

    job: Object
    claim: Claim
    failures: tuple[int, datetime | None] = (0, None)


@dataclass(frozen=True, slots=True)
class End:
    """type: of the condition that comes first, FailureTarget or SuccessCriteriaMet."""

    type: str
    reason: str
    message: str

    @property
    def succeeded(self) -> bool:
        return self.type == "SuccessCriteriaMet"


class _TemplateSpec(View, frozen=True):
    restart_policy: str = "Always"


class _Template(View, frozen=True):
    spec: _TemplateSpec = _TemplateSpec()


class Facts:
    """One look at a Job."""

    def __init__(self, observed: Observed, now: datetime) -> None:
        self.observed = observed
        self.object = observed.job
        self.job: Job = observed.job.view
        self.spec: JobSpec = self.job.spec
        self.status: JobStatus = self.job.status
        self.now = now
        self.closing = self.job.metadata.deletion_timestamp is not None
        adopted = () if self.closing else observed.claim.orphans
        self.pods = [*observed.claim.kept, *adopted]
        self.active = [pod for pod in self.pods if pod.view.live]
        self.failed = [pod for pod in self.pods if has_failed(pod, self.job)]
        self.leaving = [pod for pod in self.pods if pod.view.terminating and not pod.view.terminal]
        resumed = self.condition("Suspended") == "True" and not self.spec.suspend
        start = now if resumed else self.status.start_time
        self.start = now if start is None and not self.spec.suspend else start
        completions = self.spec.completions or 0
        self.succeeded_before = parse(self.status.completed_indexes, completions)
        self.succeeded_indexes = self.succeeded_before.plus(self._indexes_of_succeeded())
        self.failed_indexes = self._failed_indexes()
        self.delayed = self._delayed()

    def condition(self, type: str) -> str:
        return next((found.status for found in self.status.conditions if found.type == type), "")

    # what happened

    def _valid(self, pod: Object) -> bool:
        return tracked(pod) and (not self.job.indexed or index_of(pod, self.job) is not None)

    def _indexes_of_succeeded(self) -> list[int]:
        if not self.job.indexed:
            return []
        done = [pod for pod in self._new_successes() if tracked(pod)]
        return [index for index in (index_of(pod, self.job) for pod in done) if index is not None]

    def _new_successes(self) -> list[Object]:
        """A pod that was deleted has failed, even if it then ends well before it is let go."""
        failed = self.status.uncounted_terminated_pods.failed
        return [pod for pod in self.pods if pod.view.status.phase == "Succeeded" and pod.uid not in failed]

    def _failed_indexes(self) -> Indexes | None:
        """Of a Job whose indexes fail one by one; None for others."""
        limit = self.spec.backoff_limit_per_index
        if limit is None or not self.job.indexed:
            return None
        found: list[int] = []
        for pod in self.failed:
            index = index_of(pod, self.job)
            if index is None:
                continue
            action, _, counts = verdict(pod, self.spec.pod_failure_policy)
            if action == "FailIndex" or (counts and failures_of_index(pod, FAILURES) >= limit):
                found.append(index)
        return parse(self.status.failed_indexes, self.spec.completions or 0).plus(found)

    def _delayed(self) -> dict[int, Object]:
        """The last failed pod of each index that is to get another one: it stays until that is there, to say how often
        the index failed."""
        if self.failed_indexes is None:
            return {}
        running = {index_of(pod, self.job) for pod in self.active}
        found: dict[int, Object] = {}
        for pod in self.failed:
            index = index_of(pod, self.job)
            if index is None or index in running or index in self.succeeded_indexes or index in self.failed_indexes:
                continue
            if index not in found or _failure_rank(pod) >= _failure_rank(found[index]):
                found[index] = pod
        return found

    def succeeded(self) -> int:
        if self.job.indexed:
            return self.succeeded_indexes.total
        uncounted = self.status.uncounted_terminated_pods.succeeded
        new = [pod for pod in self._new_successes() if self._valid(pod)]
        return self.status.succeeded + len(uncounted) + sum(pod.uid not in uncounted for pod in new)

    def failures(self) -> int:
        uncounted = self.status.uncounted_terminated_pods.failed
        new = [pod for pod in self.failed if self._valid(pod) and pod.uid not in uncounted]
        counting = [pod for pod in new if verdict(pod, self.spec.pod_failure_policy)[2]]
        return self.status.failed + len(uncounted) + len(counting)

    # whether it is over

    def verdict(self) -> End | None:
        for type in ("SuccessCriteriaMet", "FailureTarget"):
            known = self.status.condition(type)
            if known is not None:
                return End(type, known.reason, known.message)
        return self._failure() or self._success_by_policy()

    def _failure(self) -> End | None:
        if self.spec.pod_failure_policy is not None:
            for pod in self.failed:
                message = verdict(pod, self.spec.pod_failure_policy)[1]
                if message:
                    return End("FailureTarget", "PodFailurePolicy", message)
        if self.failures() > self.spec.backoff_limit or self._restarted_too_often():
            return End("FailureTarget", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
        left_s = self.deadline_s()
        if left_s is not None and left_s <= 0:
            return End("FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline")
        bad = self.failed_indexes
        if bad is not None:
            most = self.spec.max_failed_indexes
            if most is not None and bad.total > most:
                message = "Job has exceeded the specified maximal number of failed indexes"
                return End("FailureTarget", "MaxFailedIndexesExceeded", message)
            if bad and bad.total + self.succeeded_indexes.total >= (self.spec.completions or 0):
                return End("FailureTarget", "FailedIndexes", "Job has failed indexes")
        return None

    def deadline_s(self) -> float | None:
        """How long the Job may yet run, None for as long as it takes."""
        if self.spec.active_deadline_seconds is None or self.start is None or self.spec.suspend:
            return None
        return (self.start - self.now).total_seconds() + self.spec.active_deadline_seconds

    def _restarted_too_often(self) -> bool:
        """Containers that are started again in their pods count too."""
        if msgspec.json.decode(self.spec.template, type=_Template).spec.restart_policy != "OnFailure":
            return False
        restarts: int = sum(
            container.restart_count
            for pod in self.pods
            if pod.view.status.phase in ("Pending", "Running")
            for container in (*pod.view.status.init_container_statuses, *pod.view.status.container_statuses)
        )
        return restarts > 0 if self.spec.backoff_limit == 0 else restarts >= self.spec.backoff_limit

    def _success_by_policy(self) -> End | None:
        policy, done = self.spec.success_policy, self.succeeded_indexes
        if policy is None or not self.job.indexed or not done:
            return None
        for number, rule in enumerate(policy.rules):
            if rule.succeeded_indexes is not None:
                wanted = parse(rule.succeeded_indexes, self.spec.completions or 0)
                needed = wanted.total if rule.succeeded_count is None else rule.succeeded_count
                met = bool(wanted) and done.common(wanted) >= needed
            else:
                met = rule.succeeded_count is not None and done.total >= rule.succeeded_count
            if met:
                return End("SuccessCriteriaMet", "SuccessPolicy", f"Matched rules at index {number}")
        return None


def failure_counts(pod: Object) -> tuple[int, int]:
    return failures_of_index(pod, FAILURES), failures_of_index(pod, IGNORED_FAILURES)


def _failure_rank(pod: Object) -> tuple[int, float]:
    ended = finished_at(pod)
    return sum(failure_counts(pod)), ended.timestamp() if ended is not None else 0.0
