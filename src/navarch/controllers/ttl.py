"""TTL after finished: Jobs that ask for it are deleted some time after they are over.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/ttlafterfinished/
"""

from __future__ import annotations

from datetime import datetime

from navarch.controllers.controller import Cache, Controller, Watch, own_key
from navarch.controllers.options import Setup
from navarch.controllers.plan import Delete, Plan
from navarch.kinds import JOB
from navarch.kinds.job_view import Job
from navarch.kinds.object import Object


def controller(setup: Setup) -> Controller[Object]:
    return Controller(
        name="ttl-after-finished",
        watches=(Watch(JOB, own_key, _matters),),
        observe=observe,
        plan=plan,
        component="ttl-after-finished-controller",
        account="ttl-after-finished-controller",
    )


def observe(cache: Cache, key: tuple[str, str]) -> Object | None:
    job = cache[JOB].get(*key)
    return job if job is not None and left_s(job.view) is not None else None


def _matters(old: Object, new: Object) -> bool:
    return left_s(old.view) != left_s(new.view)


def left_s(job: Job) -> tuple[datetime, int] | None:
    """When a Job was over, and how many seconds it may stay from then; None for one that nobody deletes."""
    ttl_s, finished = job.spec.ttl_seconds_after_finished, job.finished
    if ttl_s is None or finished is None or job.metadata.deletion_timestamp is not None:
        return None
    return None if finished.last_transition_time is None else (finished.last_transition_time, ttl_s)


def plan(job: Object, now: datetime) -> Plan:
    """Never raises."""
    due = left_s(job.view)
    if due is None:
        return Plan()
    wait_s = (due[0] - now).total_seconds() + due[1]
    if wait_s > 0:
        return Plan(requeue_after_s=wait_s)
    return Plan((Delete(job, propagation="Foreground", guarded=True),))
