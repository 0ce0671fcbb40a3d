"""What to do next about a CronJob: pure.

A Job's name is made of the time that it was meant for, so that one time starts one Job, whatever is interrupted.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from navarch.base.clock import rfc3339
from navarch.controllers.controller import new_owner_reference
from navarch.controllers.cronjob.times import latest_time, next_time
from navarch.controllers.plan import Action, Create, Delete, Event, Plan, Status
from navarch.kinds import JOB
from navarch.kinds.job_view import CronJob, Job
from navarch.kinds.object import Object
from navarch.objects import cron
from navarch.objects.meta import reference
from navarch.objects.value import Document, dig

SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
MANY_MISSED = 100
NEVER_FIRES = "time difference between two schedules is less than 1 second"
"""What Kubernetes says of a schedule that names no day that there is."""
_NEVER = datetime.max.replace(tzinfo=UTC)
_MORE = "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/"
_PREFIX = re.compile(r"^(?:CRON_)?TZ=(\S+) +")


@dataclass(frozen=True, slots=True)
class Observed:
    """jobs: those that the CronJob controls. known: uids of the Jobs in its status that are there, whoever has them."""

    cronjob: Object
    jobs: Sequence[Object]
    known: frozenset[str] = frozenset()


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    return _Step(observed, now).plan()


class _Step:
    """One look at a CronJob: what its Jobs did is noted first, then one may be started."""

    def __init__(self, observed: Observed, now: datetime) -> None:
        self.observed = observed
        self.object = observed.cronjob
        self.cronjob: CronJob = observed.cronjob.view
        self.spec = self.cronjob.spec
        self.now = now
        self.actions: list[Action] = []
        status = self.object.document().get("status") or {}
        self.active: list[Document] = list(status.get("active", ()))
        self.last = self.cronjob.status.last_schedule_time
        self.last_success = self.cronjob.status.last_successful_time

    def plan(self) -> Plan:
        self._clean_up()
        self._note()
        before = self.status()
        again_s = None
        if self.cronjob.metadata.deletion_timestamp is None:
            again_s = self._start()
        refused = Status(self.object, before)
        return Plan(tuple(self.actions), Status(self.object, self.status()), lambda failures: (refused,), again_s)

    # what the Jobs did

    def _note(self) -> None:
        listed = {found.get("uid") for found in self.active}
        for job in self.observed.jobs:
            view: Job = job.view
            if view.finished is None:
                if job.uid in listed:
                    continue
                if SCHEDULED in view.metadata.annotations:
                    self.active.append(reference(job.document()))
                else:
                    text = f"Saw a job that the controller did not create or forgot: {job.name}"
                    self.actions.append(Event(self.object, "UnexpectedJob", text, "Warning"))
                continue
            if job.uid in listed:
                self._strike(job.uid)
                text = f"Saw completed job: {job.name}, condition: {view.finished.type}"
                self.actions.append(Event(self.object, "SawCompletedJob", text))
            ended = view.status.completion_time
            if view.finished.type == "Complete" and ended is not None:
                self.last_success = max(self.last_success or ended, ended)
        present = {job.uid for job in self.observed.jobs} | self.observed.known
        for found in [found for found in self.active if found.get("uid") not in present]:
            self._strike(found.get("uid", ""))
            text = f"Active job went missing: {found.get('name', '')}"
            self.actions.append(Event(self.object, "MissingJob", text))

    def _strike(self, uid: str) -> None:
        self.active = [found for found in self.active if found.get("uid") != uid]

    def _clean_up(self) -> None:
        """Delete the oldest finished Jobs beyond those that are kept."""
        limits = {"Complete": self.spec.successful_jobs_history_limit, "Failed": self.spec.failed_jobs_history_limit}
        for type, most in limits.items():
            over = [job for job in self.observed.jobs if job.view.finished and job.view.finished.type == type]
            over = [job for job in over if job.view.metadata.deletion_timestamp is None]
            over.sort(key=lambda job: (job.view.status.start_time or _NEVER, job.name))
            for job in over[: max(0, len(over) - max(0, most))]:
                self._delete(job)

    def _delete(self, job: Object) -> None:
        self._strike(job.uid)
        done = Event(self.object, "SuccessfulDelete", "Deleted job {name}")
        refused = Event(self.object, "FailedDelete", "Deleted job: {error}", "Warning")
        self.actions.append(Delete(job, propagation="Background", done=done, refused=refused))

    # whether it is time

    def _start(self) -> float | None:
        """Start what is due, and say when to look again."""
        zone = _zone(self.spec.time_zone or "UTC")
        if zone is None:
            name = self.spec.time_zone
            self._warn("UnknownTimeZone", f'invalid timeZone: "{name}": unknown time zone {name}')
            return None
        if self.spec.suspend:
            return None
        prefix = _PREFIX.match(self.spec.schedule)
        if prefix:
            used = f'CRON_TZ or TZ used in schedule "{self.spec.schedule}"'
            self._warn("UnsupportedSchedule", f"{used} is not officially supported, see {_MORE} for more details")
            zone = _zone(prefix.group(1))
        try:
            if zone is None:
                name = prefix.group(1) if prefix else ""
                raise cron.BadSchedule(f"provided bad location {name}: unknown time zone {name}")
            schedule = cron.parse(_PREFIX.sub("", self.spec.schedule))
        except cron.BadSchedule as error:
            self._warn("UnparseableSchedule", f'unparseable schedule: "{self.spec.schedule}" : {error}')
            return None
        if next_time(schedule, zone, self.now) is None:
            self._warn("InvalidSchedule", f"invalid schedule: {self.spec.schedule} : {NEVER_FIRES}")
            return None
        due = latest_time(schedule, zone, self._since(), self.now)
        if due is not None:
            if due[1] > MANY_MISSED:
                text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
                self._warn("TooManyMissedTimes", text)
            self._consider(due[0], zone)
        coming = next_time(schedule, zone, self.now if not schedule.every_s else due[0] if due else self._since())
        return None if coming is None else max(0.0, (coming - self.now).total_seconds())

    def _warn(self, reason: str, message: str) -> None:
        self.actions.append(Event(self.object, reason, message, "Warning"))

    def _since(self) -> datetime:
        """From when on a missed time is made good."""
        since = self.last or self.cronjob.metadata.creation_timestamp or self.now
        deadline_s = self.spec.starting_deadline_seconds
        return since if deadline_s is None else max(since, self.now - timedelta(seconds=deadline_s))

    def _consider(self, due: datetime, zone: ZoneInfo) -> None:
        """Start the Job for that time, unless it was started or must not be."""
        name = f"{self.object.name}-{int(due.timestamp()) // 60}"
        if any(job.name == name for job in self.observed.jobs):
            self.last = due
            return
        if self.spec.concurrency_policy == "Forbid" and self.active:
            text = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self.actions.append(Event(self.object, "JobAlreadyActive", text))
            return
        if self.spec.concurrency_policy == "Replace":
            listed = {found.get("uid") for found in self.active}
            for job in self.observed.jobs:
                if job.uid in listed:
                    self._delete(job)
        done = Event(self.object, "SuccessfulCreate", "Created job {name}")
        refused = Event(self.object, "FailedCreate", "Error creating job: {error}", "Warning")
        self.actions.append(Create(JOB, self._job(name, due.astimezone(zone)), done, refused))
        self.last = due

    def _job(self, name: str, due: datetime) -> Document:
        template: Document = msgspec.json.decode(self.spec.job_template)
        labels: Any = dig(template, "metadata", "labels", default={})
        annotations: Any = dig(template, "metadata", "annotations", default={})
        stamp = due.isoformat(timespec="seconds").replace("+00:00", "Z")
        metadata: Document = {
            "name": name,
            "namespace": self.object.namespace,
            "annotations": {**annotations, SCHEDULED: stamp},
            "ownerReferences": [new_owner_reference(self.object)],
        }
        if labels:
            metadata["labels"] = labels
        return {"apiVersion": JOB.api_version, "kind": JOB.name, "metadata": metadata, "spec": template.get("spec", {})}

    def status(self) -> Document:
        found: Document = {}
        if self.active:
            found["active"] = self.active
        if self.last is not None:
            found["lastScheduleTime"] = rfc3339(self.last)
        if self.last_success is not None:
            found["lastSuccessfulTime"] = rfc3339(self.last_success)
        return found


def _zone(name: str) -> ZoneInfo | None:
    """None where there is none of that name."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None
