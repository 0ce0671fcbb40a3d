"""Rules of a Job's status, which controllers of others may write too (`managedBy`): how it may go on from what was.

Most hold only where the fields that they speak of change: a status that broke one before can still be written, and
so can one that a change of the spec has made stale.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/job/#delegation-of-managing-a-job-object-to-external-controller
"""

from __future__ import annotations

from collections.abc import Iterable

from navarch.base.errors import Cause
from navarch.kinds.job_policies import BadIndexes, indexes
from navarch.kinds.printing import moment
from navarch.kinds.rules import IMMUTABLE, Faults
from navarch.kinds.workload import counts
from navarch.objects import condition
from navarch.objects.value import Document

TERMINAL = ("Failed", "Complete", "FailureTarget")
AT = "status.conditions"


class _Side:
    """One of the two statuses, and which conditions hold in it."""

    __slots__ = ("holding", "status")

    def __init__(self, job: Document) -> None:
        self.status: Document = job.get("status") or {}
        self.holding = {one.get("type") for one in self.status.get("conditions") or () if one.get("status") == "True"}

    @property
    def finished(self) -> bool:
        return "Complete" in self.holding or "Failed" in self.holding

    def count(self, field: str) -> int:
        return self.status.get(field) or 0


class _Pair:
    """The status written over the one before."""

    __slots__ = ("new", "old", "spec")

    def __init__(self, new: Document, old: Document) -> None:
        self.new, self.old = _Side(new), _Side(old)
        self.spec: Document = new.get("spec") or {}

    def changed(self, *fields: str) -> bool:
        return any(self.new.status.get(field) != self.old.status.get(field) for field in fields)

    def turned(self, *types: str) -> bool:
        """Whether one of these conditions began or ceased to hold."""
        return any((type_ in self.new.holding) != (type_ in self.old.holding) for type_ in types)

    @property
    def ended(self) -> bool:
        return self.new.finished != self.old.finished


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    if old is None or new.get("status") == old.get("status"):
        return ()
    faults, pair = Faults(), _Pair(new, old)
    counts(faults, pair.new.status, "status", "active", "succeeded", "failed", "ready", "terminating")
    _uncounted(faults, pair.new.status.get("uncountedTerminatedPods") or {})
    _conditions(faults, pair)
    _times(faults, pair)
    _numbers_at_the_end(faults, pair)
    _index_lists(faults, pair)
    _no_way_back(faults, pair)
    return faults.causes


def _uncounted(faults: Faults, found: Document) -> None:
    seen: set[str] = set()
    for field in ("succeeded", "failed"):
        for index, uid in enumerate(found.get(field) or ()):
            where = f"status.uncountedTerminatedPods.{field}[{index}]"
            if not uid:
                faults.invalid(where, uid, "must not be empty")
            elif uid in seen:
                faults.duplicate(where, uid)
            seen.add(uid)


def _conditions(faults: Faults, pair: _Pair) -> None:
    """Which conditions exclude or need each other."""
    types = ("Complete", "Failed", "FailureTarget", "SuccessCriteriaMet")
    complete, failed, target, met = (type_ in pair.new.holding for type_ in types)
    if complete and failed and pair.turned("Complete", "Failed"):
        faults.invalid_unshown(AT, "cannot set Complete=True and Failed=true conditions")
    if complete and target and pair.turned("Complete", "FailureTarget"):
        faults.invalid_unshown(AT, "cannot set Complete=True and FailureTarget=true conditions")
    if failed and not target and (pair.turned("Failed") or pair.changed("failedIndexes")):
        faults.invalid_unshown(AT, "cannot set Failed=True condition without the FailureTarget=true condition")
    if complete and not met and pair.turned("Complete", "SuccessCriteriaMet"):
        faults.invalid_unshown(AT, "cannot set Complete=True condition without the SuccessCriteriaMet=true condition")
    if met and failed:
        faults.invalid_unshown(AT, "cannot set SuccessCriteriaMet=True and Failed=true conditions")
    if met and target:
        faults.invalid_unshown(AT, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions")
    if "successPolicy" in pair.spec and complete and not met:
        detail = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True"
        faults.invalid_unshown(AT, detail)


def _times(faults: Faults, pair: _Pair) -> None:
    new, complete = pair.new, "Complete" in pair.new.holding
    start, end = new.status.get("startTime"), new.status.get("completionTime")
    if pair.turned("Complete") or pair.changed("completionTime"):
        if end is not None and not complete:
            detail = "cannot set completionTime when there is no Complete=True condition"
            faults.invalid("status.completionTime", end, detail)
        if end is None and complete:
            faults.required("status.completionTime", "completionTime is required for Complete jobs")
    if pair.changed("startTime", "completionTime"):
        began, over = moment(start), moment(end)
        if began is not None and over is not None and over < began:
            faults.invalid("status.completionTime", end, "completionTime cannot be set before startTime")
    nothing_to_do = pair.spec.get("suspend") and pair.spec.get("completions") == 0
    if start is None and new.finished and not nothing_to_do and (pair.ended or pair.changed("startTime")):
        faults.required("status.startTime", "startTime is required for finished job")


def _numbers_at_the_end(faults: Faults, pair: _Pair) -> None:
    new = pair.new
    active, terminating = new.count("active"), new.count("terminating")
    if new.finished:
        if active > 0 and (pair.ended or pair.changed("active")):
            faults.invalid("status.active", active, "active>0 is invalid for finished job")
        left = new.status.get("uncountedTerminatedPods") or {}
        if any(left.values()) and (pair.ended or pair.changed("uncountedTerminatedPods")):
            detail = "uncountedTerminatedPods needs to be empty for finished job"
            faults.invalid("status.uncountedTerminatedPods", left, detail)
        if terminating > 0 and (pair.ended or pair.changed("terminating")):
            faults.invalid("status.terminating", terminating, "terminating>0 is invalid for finished job")
    ready = new.status.get("ready")
    if ready is not None and ready > active and pair.changed("ready", "active"):
        faults.invalid("status.ready", ready, "cannot set more ready pods than active")


def _index_lists(faults: Faults, pair: _Pair) -> None:
    new, completions = pair.new.status, pair.spec.get("completions")
    done, failed = new.get("completedIndexes") or "", new.get("failedIndexes")
    by_index = "backoffLimitPerIndex" in pair.spec
    runs: dict[str, list[tuple[int, int]]] = {"completedIndexes": [], "failedIndexes": []}
    for field, text in (("completedIndexes", done), ("failedIndexes", failed)):
        if completions is None or text is None or not pair.changed("completedIndexes", "failedIndexes"):
            continue
        try:
            runs[field] = indexes(text, completions)
        except BadIndexes as error:
            if pair.changed(field) and (field == "completedIndexes" or by_index):
                faults.invalid(f"status.{field}", text, f"error parsing {field}: {error}")
    if done and pair.spec.get("completionMode") != "Indexed" and pair.changed("completedIndexes"):
        detail = "cannot set non-empty completedIndexes when non-indexed completion mode"
        faults.invalid("status.completedIndexes", done, detail)
    if failed is not None and not by_index and pair.changed("failedIndexes"):
        detail = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        faults.invalid("status.failedIndexes", failed, detail)
    common = _common(runs["completedIndexes"], runs["failedIndexes"])
    if common is not None:
        detail = f"failedIndexes and completedIndexes overlap at index: {common}"
        faults.invalid("status.failedIndexes", failed, detail)


def _common(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> int | None:
    """The first index in both. Both are in order."""
    first = second = 0
    while first < len(one) and second < len(other):
        (start, end), (begin, stop) = one[first], other[second]
        if start <= stop and begin <= end:
            return max(start, begin)
        if start <= begin:
            first += 1
        else:
            second += 1
    return None


def _no_way_back(faults: Faults, pair: _Pair) -> None:
    """What has been said of a Job is not taken back."""
    new, old = pair.new, pair.old
    for type_ in TERMINAL:
        if type_ in old.holding and type_ not in new.holding:
            faults.invalid_unshown(AT, f"cannot disable the terminal {type_}=True condition")
    spec = pair.spec
    elastic = spec.get("completionMode") == "Indexed" and spec.get("completions") == spec.get("parallelism")
    for field in ("failed", "succeeded"):
        if new.count(field) < old.count(field) and not (field == "succeeded" and elastic):
            faults.invalid(f"status.{field}", new.count(field), f"cannot decrease the {field} counter")
    ends = (new.status.get("completionTime"), old.status.get("completionTime"))
    if None not in ends and ends[0] != ends[1]:
        faults.invalid("status.completionTime", ends[0], IMMUTABLE)
    began = old.status.get("startTime")
    if began is not None and pair.changed("startTime") and not spec.get("suspend") and not _resumed(pair):
        detail = "startTime cannot be removed for unsuspended job"
        faults.required("status.startTime", detail)
    if "SuccessCriteriaMet" in old.holding and "SuccessCriteriaMet" not in new.holding:
        faults.invalid_unshown(AT, "cannot disable the SuccessCriteriaMet=True condition")
    if "Complete" in old.holding and "SuccessCriteriaMet" not in old.holding and "SuccessCriteriaMet" in new.holding:
        detail = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"
        faults.invalid_unshown(AT, detail)


def _resumed(pair: _Pair) -> bool:
    suspended = condition.status(pair.new.status.get("conditions"), "Suspended")
    return "Suspended" in pair.old.holding and suspended == "False"
