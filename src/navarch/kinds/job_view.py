"""The typed views of Jobs and CronJobs: what their controllers read of them."""

from __future__ import annotations

from datetime import datetime

import msgspec

from navarch.kinds.view import Condition, LabelSelector, ObjectMeta, View


class ExitCodes(View, frozen=True):
    """operator: In or NotIn. container_name: None for any."""

    operator: str
    values: tuple[int, ...] = ()
    container_name: str | None = None


class ConditionPattern(View, frozen=True):
    type: str
    status: str = "True"


class FailureRule(View, frozen=True):
    """action: Ignore, Count, FailIndex or FailJob. One of the two others."""

    action: str
    on_exit_codes: ExitCodes | None = None
    on_pod_conditions: tuple[ConditionPattern, ...] = ()


class FailurePolicy(View, frozen=True):
    rules: tuple[FailureRule, ...] = ()


class SuccessRule(View, frozen=True):
    """succeeded_indexes: such as `0,2-4`."""

    succeeded_indexes: str | None = None
    succeeded_count: int | None = None


class SuccessPolicy(View, frozen=True):
    rules: tuple[SuccessRule, ...] = ()


class JobSpec(View, frozen=True):
    """completions: None when one success is enough. template: the pod template's document."""

    parallelism: int = 1
    completions: int | None = None
    completion_mode: str = "NonIndexed"
    active_deadline_seconds: int | None = None
    backoff_limit: int = 6
    backoff_limit_per_index: int | None = None
    max_failed_indexes: int | None = None
    pod_failure_policy: FailurePolicy | None = None
    success_policy: SuccessPolicy | None = None
    pod_replacement_policy: str = "TerminatingOrFailed"
    selector: LabelSelector = LabelSelector()
    suspend: bool = False
    managed_by: str | None = None
    ttl_seconds_after_finished: int | None = None
    template: msgspec.Raw = msgspec.Raw(b"{}")


class UncountedPods(View, frozen=True):
    """uids of pods that ended and are not in the counters yet."""

    succeeded: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


class JobStatus(View, frozen=True):
    start_time: datetime | None = None
    completion_time: datetime | None = None
    active: int = 0
    succeeded: int = 0
    failed: int = 0
    completed_indexes: str = ""
    failed_indexes: str = ""
    uncounted_terminated_pods: UncountedPods = UncountedPods()
    conditions: tuple[Condition, ...] = ()

    def condition(self, type: str) -> Condition | None:
        """The one of that type, if it holds."""
        return next((found for found in self.conditions if found.type == type and found.status == "True"), None)


class Job(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: JobSpec = JobSpec()
    status: JobStatus = JobStatus()

    @property
    def indexed(self) -> bool:
        return self.spec.completion_mode == "Indexed"

    @property
    def finished(self) -> Condition | None:
        """The condition that says that it is over, Complete or Failed."""
        return self.status.condition("Complete") or self.status.condition("Failed")


class JobReference(View, frozen=True):
    name: str = ""
    uid: str = ""


class CronJobSpec(View, frozen=True):
    """concurrency_policy: Allow, Forbid or Replace. job_template: the document of a Job's metadata and spec."""

    schedule: str
    time_zone: str | None = None
    starting_deadline_seconds: int | None = None
    concurrency_policy: str = "Allow"
    suspend: bool = False
    job_template: msgspec.Raw = msgspec.Raw(b"{}")
    successful_jobs_history_limit: int = 3
    failed_jobs_history_limit: int = 1


class CronJobStatus(View, frozen=True):
    active: tuple[JobReference, ...] = ()
    last_schedule_time: datetime | None = None
    last_successful_time: datetime | None = None


class CronJob(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: CronJobSpec = CronJobSpec(schedule="")
    status: CronJobStatus = CronJobStatus()
