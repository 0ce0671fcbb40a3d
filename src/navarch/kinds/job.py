"""Job and CronJob: pods that run to an end, once or by the clock.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/job-v1/ and cron-job-v1/
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from navarch.base.errors import Cause
from navarch.kinds import warnings
from navarch.kinds.job_rules import CONTROLLER_UID, job_spec, rules
from navarch.kinds.job_status_rules import rules as status_rules
from navarch.kinds.job_view import CronJob, Job
from navarch.kinds.kind import AGE, Column, Kind
from navarch.kinds.podspec.defaults import default_template
from navarch.kinds.printing import (
    NONE,
    container_images,
    container_names,
    human_duration,
    label_selector_cell,
    moment,
    selector_text,
    since,
)
from navarch.kinds.rules import INT32_MAX, Faults
from navarch.kinds.workload import counts
from navarch.objects import cron, names
from navarch.objects.value import Document, Draft, dig

CRON_NAME_MAX = 52
CONCURRENCY = ("Allow", "Forbid", "Replace")
_ZONE_PART = re.compile(r"(?!-|\.{1,2}$)[A-Za-z0-9._+-]{1,14}")


def default(draft: Draft) -> None:
    default_template(draft, "spec", "template")
    spec = draft.get("spec", default={})
    if "completions" not in spec and "parallelism" not in spec:
        draft.set(1, "spec", "completions")
    draft.default(1, "spec", "parallelism")
    draft.default(INT32_MAX if "backoffLimitPerIndex" in spec else 6, "spec", "backoffLimit")
    if not draft.get("metadata", "labels") and (labels := draft.get("spec", "template", "metadata", "labels")):
        draft.set(labels, "metadata", "labels")
    draft.default("NonIndexed", "spec", "completionMode")
    draft.default(False, "spec", "suspend")
    draft.default(False, "spec", "manualSelector")
    replaced = "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed"
    draft.default(replaced, "spec", "podReplacementPolicy")
    _default_failures(draft, "spec")


def _default_failures(draft: Draft, *path: str | int) -> None:
    for index in draft.each(*path, "podFailurePolicy", "rules"):
        conditions = (*path, "podFailurePolicy", "rules", index, "onPodConditions")
        for number in draft.each(*conditions):
            draft.default("True", *conditions, number, "status")


def prepare(draft: Draft, old: Document | None) -> None:
    """A new Job selects its pods by its own uid, unless it says that it selects them itself."""
    if old is not None:
        return
    draft.set({}, "status")
    if draft.get("spec", "manualSelector") or not draft.has("spec"):
        return
    name, uid = draft.get("metadata", "name", default=""), draft.get("metadata", "uid", default="")
    ours = {
        CONTROLLER_UID: uid,
        "batch.kubernetes.io/job-name": name,
        "controller-uid": uid,
        "job-name": name,
    }
    for key, value in ours.items():
        draft.default(value, "spec", "template", "metadata", "labels", key)
    draft.default(uid, "spec", "selector", "matchLabels", CONTROLLER_UID)


def default_cron(draft: Draft) -> None:
    default_template(draft, "spec", "jobTemplate", "spec", "template")
    _default_failures(draft, "spec", "jobTemplate", "spec")
    draft.default("Allow", "spec", "concurrencyPolicy")
    draft.default(False, "spec", "suspend")
    draft.default(3, "spec", "successfulJobsHistoryLimit")
    draft.default(1, "spec", "failedJobsHistoryLimit")


def prepare_cron(draft: Draft, old: Document | None) -> None:
    if old is None:
        draft.set({}, "status")


def cron_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    was: Document = (old or {}).get("spec") or {}
    name = dig(new, "metadata", "name", default="")
    if old is None and len(name) > CRON_NAME_MAX:
        faults.invalid("metadata.name", name, f"must be no more than {CRON_NAME_MAX} characters")
    _schedule(faults, spec, was.get("schedule", ""), "spec.schedule")
    faults.not_negative("spec.startingDeadlineSeconds", spec.get("startingDeadlineSeconds"))
    if "timeZone" in spec and spec["timeZone"] != was.get("timeZone"):
        _time_zone(faults, spec["timeZone"], "spec.timeZone")
    faults.one_of("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), CONCURRENCY)
    job: Document = dig(spec, "jobTemplate", "spec", default={})
    job_spec(faults, job, "spec.jobTemplate.spec")
    if "selector" in job:
        faults.invalid("spec.jobTemplate.spec.selector", job["selector"], "`selector` will be auto-generated")
    if job.get("manualSelector"):
        faults.unsupported("spec.jobTemplate.spec.manualSelector", True, ("nil", "false"))
    counts(faults, spec, "spec", "successfulJobsHistoryLimit", "failedJobsHistoryLimit")
    return faults.causes


def _schedule(faults: Faults, spec: Document, was: str, path: str) -> None:
    schedule: str = spec.get("schedule", "")
    if not schedule:
        faults.required(path)
        return
    try:
        cron.parse(re.sub(r"^(CRON_)?TZ=\S+ ", "", schedule))
    except cron.BadSchedule as error:
        faults.invalid(path, schedule, str(error))
    if "TZ" in schedule and "TZ" not in was:
        faults.invalid(path, schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead")
    elif "TZ" in schedule and "timeZone" in spec:
        faults.invalid(path, schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule")


def _time_zone(faults: Faults, zone: str, path: str) -> None:
    if not zone:
        faults.invalid(path, zone, "timeZone must be nil or non-empty string")
        return
    if zone.lower() == "local":
        detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        faults.invalid(path, zone, detail)
    if zone != "Local" and not (all(map(_ZONE_PART.fullmatch, zone.split("/"))) and _exists(zone)):
        faults.invalid(path, zone, f"unknown time zone {zone}")


def _exists(zone: str) -> bool:
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        return False
    return True


def _status(job: Document, now: datetime) -> str:
    holding = {one.get("type") for one in dig(job, "status", "conditions", default=()) if one.get("status") == "True"}
    for first in ("Complete", "Failed"):
        if first in holding:
            return first
    if dig(job, "metadata", "deletionTimestamp") is not None:
        return "Terminating"
    return next((one for one in ("Suspended", "FailureTarget", "SuccessCriteriaMet") if one in holding), "Running")


def _completions(job: Document, now: datetime) -> str:
    done, wanted = dig(job, "status", "succeeded", default=0), dig(job, "spec", "completions")
    if wanted is not None:
        return f"{done}/{wanted}"
    parallel = dig(job, "spec", "parallelism", default=0)
    return f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"


def _duration(job: Document, now: datetime) -> str:
    start = moment(dig(job, "status", "startTime"))
    if start is None:
        return ""
    end = moment(dig(job, "status", "completionTime")) or now
    return human_duration((end - start).total_seconds())


def _cron_containers(field: str, found: Document) -> str:
    containers = dig(found, "spec", "jobTemplate", "spec", "template", "spec", "containers", default=())
    return ",".join(container.get(field, "") for container in containers)


def _cron_names(found: Document, now: datetime) -> str:
    return _cron_containers("name", found)


def _cron_images(found: Document, now: datetime) -> str:
    return _cron_containers("image", found)


def _cron_selector(found: Document, now: datetime) -> str:
    return selector_text(dig(found, "spec", "jobTemplate", "spec", "selector"))


def _zone(found: Document, now: datetime) -> str:
    return str(dig(found, "spec", "timeZone", default=NONE))


def _suspended(found: Document, now: datetime) -> str:
    return str(bool(dig(found, "spec", "suspend")))


def _active(found: Document, now: datetime) -> int:
    return len(dig(found, "status", "active", default=()))


def _last(found: Document, now: datetime) -> str:
    last = dig(found, "status", "lastScheduleTime")
    return NONE if last is None else since(last, now)


JOB = Kind(
    group="batch",
    version="v1",
    name="Job",
    plural="jobs",
    categories=("all",),
    view=Job,
    default=default,
    rules=rules,
    warn=warnings.job,
    prepare=prepare,
    subresources=("status",),
    subresource_rules={"status": status_rules},
    columns=(
        Column("Status", _status, description="Whether it runs or how it ended."),
        Column("Completions", _completions, description="How many pods succeeded, of how many."),
        Column("Duration", _duration, description="How long it ran, or has been running."),
        AGE,
        Column("Containers", container_names, priority=1, description="The names of the template's containers."),
        Column("Images", container_images, priority=1, description="Their images."),
        Column("Selector", label_selector_cell, priority=1, description="The labels of its pods."),
    ),
    age=False,
    fields={"status.successful": ("status", "succeeded")},
    field_zeros={"status.successful": "0"},
)

CRONJOB = Kind(
    group="batch",
    version="v1",
    name="CronJob",
    plural="cronjobs",
    short=("cj",),
    categories=("all",),
    view=CronJob,
    default=default_cron,
    rules=cron_rules,
    warn=warnings.cron_job,
    prepare=prepare_cron,
    name_rule=names.dns_subdomain,
    subresources=("status",),
    columns=(
        Column("Schedule", ".spec.schedule", description="When it makes Jobs."),
        Column("Timezone", _zone, description="In which time zone that is meant."),
        Column("Suspend", _suspended, type="boolean", description="Whether it makes none for now."),
        Column("Active", _active, type="integer", description="How many of its Jobs run."),
        Column("Last Schedule", _last, description="How long ago it made the last one."),
        AGE,
        Column("Containers", _cron_names, priority=1, description="The names of the template's containers."),
        Column("Images", _cron_images, priority=1, description="Their images."),
        Column("Selector", _cron_selector, priority=1, description="The labels of its pods."),
    ),
    age=False,
)
