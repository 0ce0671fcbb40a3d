"""What to do next about a Job: pure.

First it is decided whether the Job is over (`facts`), then which pods go or come (`_balance`), and what ended since
is counted (`counting`): a pod bears a finalizer until its end stands in the Job's status, so that none is counted twice
or not at all, however often this is interrupted.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/job/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from navarch.base.backoff import delay_s
from navarch.base.clock import rfc3339
from navarch.controllers.controller import new_owner_reference
from navarch.controllers.job.counting import Tally, count
from navarch.controllers.job.facts import End, Facts, Observed, failure_counts
from navarch.controllers.job.pods import (
    TRACKING,
    finished_at,
    index_of,
    new_pods,
    replaces_failed_only,
    surplus,
    tracked,
    untrack,
)
from navarch.controllers.plan import Action, Create, Event, Failure, Patch, Plan, Status, soonest
from navarch.controllers.template import create_pod, delete_pod
from navarch.kinds.job_view import Job
from navarch.kinds.object import Object
from navarch.objects.meta import owner_references
from navarch.objects.value import Document

MANAGER = "kubernetes.io/job-controller"
BURST = 500
"""The most pods that one plan makes or deletes."""
TOO_MANY = "Too many succeeded pods running after completion count reached"
FIRST_DELAY_S = 10.0
LONGEST_DELAY_S = 600.0


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    job: Job = observed.job.view
    if job.spec.managed_by not in (None, MANAGER) or job.finished is not None:
        return Plan()
    return _Step(observed, now).plan()


@dataclass(slots=True)
class _Balance:
    """doomed: to be deleted; counted is whether they then count as failed. made: documents of new pods."""

    doomed: Sequence[Object] = ()
    counted: bool = False
    made: Sequence[Document] = ()
    again_s: float | None = None


class _Step(Facts):
    """What to do about it."""

    # which pods go or come

    def _balance(self) -> _Balance:
        if self.spec.suspend:
            return _Balance(self.active[:BURST])
        succeeded, active = self.succeeded(), len(self.active)
        if self.spec.completions is None:
            wanted = active if succeeded else self.spec.parallelism
        else:
            wanted = max(0, min(self.spec.completions - succeeded, self.spec.parallelism))
        doomed = surplus(self.job, self.active, max(0, active - wanted), self.now)
        if doomed:
            return _Balance(doomed[:BURST])
        waiting = len(self.leaving) if replaces_failed_only(self.job) else 0
        missing = min(wanted - waiting - active, BURST)
        return self._additions(missing) if missing > 0 else _Balance()

    def _additions(self, missing: int) -> _Balance:
        """New pods, unless those before them failed too short a time ago."""
        if self.failed_indexes is None:
            wait_s = self._wait_s(*self.observed.failures)
            if wait_s > 0:
                return _Balance(again_s=wait_s)
        if not self.job.indexed:
            return _Balance(made=tuple(new_pods(self.object, [None] * missing, {})))
        taken = self.active + (self.leaving if replaces_failed_only(self.job) else [])
        seats = [index for index in (index_of(pod, self.job) for pod in taken) if index is not None]
        nonpending = self.succeeded_indexes.plus(seats)
        if self.failed_indexes is not None:
            nonpending = nonpending.joined(self.failed_indexes.runs)
        free = nonpending.missing(self.spec.completions or 0)
        chosen = [index for index, _ in zip(free, range(missing), strict=False)]
        waits = {index: self._wait_of_index_s(index) for index in chosen}
        ready = [index for index in chosen if waits[index] <= 0]
        if not ready:
            return _Balance(again_s=soonest(*waits.values()))
        return _Balance(made=tuple(new_pods(self.object, ready, self.delayed)), again_s=_soonest_above(waits.values()))

    def _wait_of_index_s(self, index: int) -> float:
        before = self.delayed.get(index)
        return 0.0 if before is None else self._wait_s(sum(failure_counts(before)) + 1, finished_at(before))

    def _wait_s(self, failures: int, last: datetime | None) -> float:
        if failures == 0 or last is None:
            return 0.0
        due = last + timedelta(seconds=delay_s(failures - 1, FIRST_DELAY_S, LONGEST_DELAY_S))
        return (due - self.now).total_seconds()

    # all of it together

    def plan(self) -> Plan:
        end, balance = self.verdict(), _Balance()
        if end is not None:
            balance = _Balance(self.active, counted=True)
        elif not self.closing:
            balance = self._balance()
        if end is None and not balance.doomed and not balance.made and self._complete():
            end = End("SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods")
        if end is None and self.spec.suspend and not self.closing:
            self.start = None  # the time that a Job was suspended does not count towards its deadline
        elif end is not None and self.start is None and self.spec.completions != 0:
            self.start = self.now  # it ends while it is suspended, and every Job that ends has begun
        counted = count(self._tally(end, balance))
        gone = {pod.uid for pod in balance.doomed}
        staying = [pod for pod in self.active if pod.uid not in gone]
        leaving = len(self.leaving) + len(gone)
        over = end is not None and counted.all and leaving == 0
        interim = self._interim(end)
        conditions, done = self._conclusion(interim, end, over)
        final = self._written(counted.after, staying, leaving, conditions, len(balance.made))
        if over and end is not None and end.succeeded:
            final["completionTime"] = rfc3339(self.now)
        actions = [*self._claims()]
        if over and self._has_too_many(final):
            actions.append(Event(self.object, "TooManySucceededPods", TOO_MANY, "Warning"))
        if counted.flush or (end is not None and self.status.condition(end.type) is None):
            actions.append(Status(self.object, self._written(counted.before, staying, leaving, interim)))
        actions += [untrack(pod) for pod in counted.untracked]
        if not balance.counted:
            actions += [untrack(pod) for pod in balance.doomed if tracked(pod)]
        actions += [delete_pod(self.object, pod) for pod in balance.doomed]
        actions += [create_pod(self.object, document) for document in balance.made]
        refused = Status(self.object, self._written(counted.after, staying, leaving, conditions), done)
        again_s = None if end is not None else soonest(balance.again_s, self.deadline_s())
        return Plan(
            tuple(actions),
            Status(self.object, final, done),
            lambda failures: (refused,) if _only_creations(failures) else (),
            again_s if counted.all else 0.0,
        )

    def _conclusion(self, interim: list[Any], end: End | None, over: bool) -> tuple[list[Any], Event | None]:
        """The conditions in the end, and what users are told."""
        if end is None:
            return self._suspension(interim)
        if not over:
            return interim, None
        conditions = self._with(interim, "Complete" if end.succeeded else "Failed", "True", end)
        if end.succeeded:
            return conditions, Event(self.object, "Completed", "Job completed")
        return conditions, Event(self.object, end.reason, end.message, "Warning")

    def _has_too_many(self, final: Document) -> bool:
        most = self.spec.completions
        return "completionTime" in final and most is not None and final.get("succeeded", 0) > most

    def _complete(self) -> bool:
        if self.spec.completions is None:
            return self.succeeded() > 0 and not self.active
        return self.succeeded() >= self.spec.completions and not self.active

    def _tally(self, end: End | None, balance: _Balance) -> Tally:
        return Tally(
            job=self.job,
            pods=self.pods,
            succeeded_before=self.succeeded_before,
            failed_indexes=self.failed_indexes,
            kept={pod.uid for pod in self.delayed.values()} if end is None and not self.closing else set(),
            skipped=set() if balance.counted else {pod.uid for pod in balance.doomed},
            failing=end is not None and not end.succeeded,
            ending=end is not None or self.closing,
        )

    def _claims(self) -> list[Action]:
        """Adopt, with the finalizer; let go, without it."""
        found: list[Action] = []
        if self.closing:
            return found
        for pod in self.observed.claim.orphans:
            references = [*owner_references(pod.document()), new_owner_reference(self.object)]
            finalizers = [*(f for f in pod.view.metadata.finalizers if f != TRACKING), TRACKING]
            found.append(Patch(pod, {"metadata": {"ownerReferences": references, "finalizers": finalizers}}))
        for pod in self.observed.claim.lost:
            left = [one for one in owner_references(pod.document()) if one.get("uid") != self.object.uid]
            finalizers = [finalizer for finalizer in pod.view.metadata.finalizers if finalizer != TRACKING]
            found.append(Patch(pod, {"metadata": {"ownerReferences": left or None, "finalizers": finalizers or None}}))
        return found

    # the status

    def _written(
        self, counters: Document, staying: Sequence[Object], leaving: int, conditions: list[Any], new: int = 0
    ) -> Document:
        found: Document = {**counters, "ready": sum(pod.view.ready for pod in staying), "terminating": leaving}
        if active := len(staying) + new:
            found["active"] = active
        if self.start is not None:
            found["startTime"] = rfc3339(self.start)
        if conditions:
            found["conditions"] = conditions
        return found

    def _interim(self, end: End | None) -> list[Any]:
        present: list[Any] = (self.object.document().get("status") or {}).get("conditions", [])
        return present if end is None else self._with(present, end.type, "True", end)

    def _with(self, conditions: list[Any], type: str, status: str, said: End) -> list[Any]:
        """With a condition, in the place of one of its type; the same list where that says the same."""
        wanted = {"type": type, "status": status, "reason": said.reason, "message": said.message}
        place = next((i for i, found in enumerate(conditions) if found.get("type") == type), len(conditions))
        old = conditions[place] if place < len(conditions) else {}
        if all(old.get(key, "") == value for key, value in wanted.items()):
            return conditions
        stamp = rfc3339(self.now)
        return [
            *conditions[:place],
            {**wanted, "lastProbeTime": stamp, "lastTransitionTime": stamp},
            *conditions[place + 1 :],
        ]

    def _suspension(self, conditions: list[Any]) -> tuple[list[Any], Event | None]:
        was = self.condition("Suspended")
        if self.closing or (self.spec.suspend and was == "True") or (not self.spec.suspend and was in ("", "False")):
            return conditions, None
        if self.spec.suspend:
            said = End("Suspended", "JobSuspended", "Job suspended")
            return self._with(conditions, "Suspended", "True", said), Event(self.object, "Suspended", said.message)
        said = End("Suspended", "JobResumed", "Job resumed")
        return self._with(conditions, "Suspended", "False", said), Event(self.object, "Resumed", said.message)


def _only_creations(failures: Sequence[Failure]) -> bool:
    """Whether all that was to be counted is counted: creations come last."""
    return all(isinstance(failure.action, Create) for failure in failures)


def _soonest_above(waits: Any) -> float | None:
    return soonest(*(wait_s for wait_s in waits if wait_s > 0))
