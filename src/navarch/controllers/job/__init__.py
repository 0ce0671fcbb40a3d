"""Job: pods that run until enough of them have ended well."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from navarch.base.errors import NotFound
from navarch.client.client import Client
from navarch.controllers.claims import ORPHANS, claim, orphan_index, still_there
from navarch.controllers.controller import Cache, Controller, Watch, controller_key, own_key
from navarch.controllers.job.facts import Observed
from navarch.controllers.job.plan import plan
from navarch.controllers.job.pods import finished_at, has_failed, tracked, untrack
from navarch.controllers.options import Setup
from navarch.controllers.plan import Plan
from navarch.kinds import JOB, POD
from navarch.kinds.job_view import Job
from navarch.kinds.object import Object
from navarch.objects.selector import from_view

__all__ = ["Observed", "controller", "orphans", "plan"]


@dataclass(slots=True)
class _Record:
    """failed: when each failed pod ended, by uid, of those that ended after the last success."""

    failed: dict[str, datetime] = field(default_factory=dict)
    last_success: datetime | None = None


class Failures:
    """How often pods of each Job failed since one succeeded, remembered beyond their deletion.

    Kept in memory only: a controller that starts again counts those that are left.
    """

    def __init__(self) -> None:
        self._records: dict[tuple[str, str], tuple[str, _Record]] = {}

    def forget(self, key: tuple[str, str]) -> None:
        self._records.pop(key, None)

    def since_success(self, job: Object, pods: Sequence[Object]) -> tuple[int, datetime | None]:
        """Their number, and when the last of them ended."""
        uid, record = self._records.get(job.key, ("", _Record()))
        if uid != job.uid:
            record = _Record()
        view: Job = job.view
        for pod in pods:
            ended = finished_at(pod)
            if ended is None:
                continue
            if pod.view.status.phase == "Succeeded":
                record.last_success = max(record.last_success or ended, ended)
            elif has_failed(pod, view):
                record.failed.setdefault(pod.uid, ended)
        if record.last_success is not None:
            after = record.last_success
            record.failed = {uid: ended for uid, ended in record.failed.items() if ended >= after}
        if record.failed or record.last_success is not None:
            self._records[job.key] = (job.uid, record)
        return len(record.failed), max(record.failed.values(), default=None)


def controller(setup: Setup) -> Controller[Observed]:
    failures = Failures()

    def observe(cache: Cache, key: tuple[str, str]) -> Observed | None:
        job = cache[JOB].get(*key)
        if job is None or job.view.finished is not None:
            failures.forget(key)
            return None
        pods = claim(job, from_view(job.view.spec.selector), cache[POD])
        return Observed(job, pods, failures.since_success(job, pods.kept))

    return Controller(
        name="job",
        watches=(Watch(JOB, own_key), Watch(POD, _pod_keys, indexes={ORPHANS: orphan_index}, of_head=True)),
        observe=observe,
        confirm=confirm,
        plan=plan,
        component="job-controller",
        account="job-controller",
    )


async def confirm(client: Client, observed: Observed) -> Observed:
    if not observed.claim.orphans or await still_there(client, observed.job):
        return observed
    return replace(observed, claim=replace(observed.claim, orphans=()))


_controller_key = controller_key(JOB)


def _pod_keys(cache: Cache, pod: Object) -> Iterable[Hashable]:
    if pod.controller is not None:
        return _controller_key(cache, pod)
    if pod.terminating:
        return ()
    return [job.key for job in cache[JOB].list(pod.namespace) if from_view(job.view.spec.selector).matches(pod.labels)]


@dataclass(frozen=True, slots=True)
class Orphan:
    """A pod that no Job will count any more. gone: asked of the API."""

    pod: Object
    owner: str
    gone: bool = False


def orphans(setup: Setup) -> Controller[Orphan]:
    """Pods of Jobs that are no more lose the finalizer, which would keep them for ever."""

    def keys_of_job(cache: Cache, job: Object) -> Iterable[Hashable]:
        if cache[JOB].get(*job.key) is not None:
            return ()
        return [pod.key for pod in cache[POD].owned_by(job.uid) if tracked(pod)]

    def keys(cache: Cache, pod: Object) -> Iterable[Hashable]:
        return (pod.key,) if tracked(pod) else ()

    def matters(old: Object, new: Object) -> bool:
        return old.owners != new.owners or tracked(old) != tracked(new)

    def observe(cache: Cache, key: tuple[str, str]) -> Orphan | None:
        pod = cache[POD].get(*key)
        if pod is None or not tracked(pod):
            return None
        reference = pod.view.metadata.controller
        if reference is None or reference.kind != JOB.name:
            return Orphan(pod, "", gone=True)
        job = cache[JOB].get(pod.namespace, reference.name)
        if job is not None and job.uid == reference.uid:
            return None
        return Orphan(pod, reference.name)

    return Controller(
        name="job-orphans",
        watches=(Watch(POD, keys, matters), Watch(JOB, keys_of_job, lambda old, new: False)),
        observe=observe,
        confirm=_really_gone,
        plan=plan_orphan,
        component="job-controller",
        account="job-controller",
    )


async def _really_gone(client: Client, orphan: Orphan) -> Orphan:
    if orphan.gone:
        return orphan
    try:
        job = await client.get(JOB, orphan.pod.namespace, orphan.owner)
    except NotFound:
        return replace(orphan, gone=True)
    return replace(orphan, gone=job.uid not in orphan.pod.owners)


def plan_orphan(orphan: Orphan, now: datetime) -> Plan:
    """Never raises."""
    return Plan((untrack(orphan.pod),)) if orphan.gone else Plan()
