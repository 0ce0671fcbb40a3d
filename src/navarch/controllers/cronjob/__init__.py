"""CronJob: a Job whenever its schedule says so."""

from __future__ import annotations

from navarch.controllers.claims import controlled_by
from navarch.controllers.controller import Cache, Controller, Watch, controller_key, own_key
from navarch.controllers.cronjob.plan import Observed, plan
from navarch.controllers.options import Setup
from navarch.kinds import CRONJOB, JOB

__all__ = ["Observed", "controller", "plan"]


def controller(setup: Setup) -> Controller[Observed]:
    return Controller(
        name="cronjob",
        watches=(Watch(CRONJOB, own_key), Watch(JOB, controller_key(CRONJOB))),
        observe=observe,
        plan=plan,
        component="cronjob-controller",
        account="cronjob-controller",
    )


def observe(cache: Cache, key: tuple[str, str]) -> Observed | None:
    cronjob = cache[CRONJOB].get(*key)
    if cronjob is None:
        return None
    jobs = [job for job in cache[JOB].owned_by(cronjob.uid) if controlled_by(job, cronjob)]
    listed = [cache[JOB].get(cronjob.namespace, found.name) for found in cronjob.view.status.active]
    return Observed(cronjob, jobs, frozenset(job.uid for job in listed if job is not None))
