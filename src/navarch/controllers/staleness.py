"""A pod that was to be disrupted and is still there two minutes later is not any more: its condition says so no longer.

Source: https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from datetime import datetime, timedelta

from navarch.controllers.controller import Cache, Controller, Watch
from navarch.controllers.options import Setup
from navarch.controllers.plan import Plan, Status
from navarch.kinds import POD
from navarch.kinds.object import Object
from navarch.objects import condition

TARGET = "DisruptionTarget"
KEPT = timedelta(minutes=2)
BY_AGENT = "TerminationByKubelet"
"""What an agent said may take as long as it likes."""


def controller(setup: Setup) -> Controller[Object]:
    return Controller(
        name="stale-disruption",
        watches=(Watch(POD, keys, seldom=True),),
        observe=observe,
        plan=plan,
        account="disruption-controller",
        workers=1,
    )


def keys(cache: Cache, pod: Object) -> Iterable[Hashable]:
    """Hardly any pod has the condition; looking for its name in the bytes costs less than a view."""
    return (pod.key,) if TARGET.encode() in pod.raw else ()


def observe(cache: Cache, key: tuple[str, str]) -> Object | None:
    return cache[POD].get(*key)


def plan(pod: Object, now: datetime) -> Plan:
    """Never raises."""
    if pod.terminating or pod.glance.terminal:
        return Plan()
    view = next((one for one in pod.view.status.conditions if one.type == TARGET), None)
    if view is None or view.status != "True" or view.reason == BY_AGENT:
        return Plan()
    left_s = ((view.last_transition_time or now) + KEPT - now).total_seconds()
    if left_s > 0:
        return Plan(requeue_after_s=left_s)
    status = pod.document().get("status") or {}
    made = condition.set(status.get("conditions"), {"type": TARGET, "status": "False"}, now)
    return Plan(status=Status(pod, {**status, "conditions": made}))
