"""DaemonSet: one pod of a template on every node that it fits."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from navarch.base.clock import Clock
from navarch.client.client import Client
from navarch.controllers import controllerrevision
from navarch.controllers.claims import ORPHANS, claim, orphan_index, still_there
from navarch.controllers.controller import Cache, Controller, Watch, controller_key, own_key
from navarch.controllers.daemonset.nodes import node_of
from navarch.controllers.daemonset.plan import Observed, plan
from navarch.controllers.options import Setup
from navarch.kinds import CONTROLLERREVISION, DAEMONSET, NODE, POD
from navarch.kinds.object import Object
from navarch.objects.selector import from_view

FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 900.0

__all__ = ["Observed", "controller", "plan"]


@dataclass(slots=True)
class _Record:
    """Of one node. due: of its failed pods, by uid."""

    last: datetime
    delay_s: float = 0.0
    due: dict[str, datetime] = field(default_factory=dict)


class Failures:
    """When pods that failed may be replaced: the first on a node at once, the next 1 s later, then 2 s, 4 s, ….

    Kept in memory only: a controller that starts again replaces everything once more.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._records: dict[tuple[str, str], dict[tuple[int, str], _Record]] = {}

    def forget(self, key: tuple[str, str]) -> None:
        self._records.pop(key, None)

    def due(self, daemonset: Object, pods: Sequence[Object]) -> dict[str, datetime]:
        failed = [pod for pod in pods if pod.view.status.phase == "Failed" and not pod.view.terminating]
        if not failed:
            return {}
        generation = daemonset.view.metadata.generation
        known = self._records.setdefault(daemonset.key, {})
        for other in [place for place in known if place[0] != generation]:
            del known[other]
        return {pod.uid: self._one(known, (generation, node_of(pod)), pod.uid) for pod in failed}

    def _one(self, known: dict[tuple[int, str], _Record], place: tuple[int, str], uid: str) -> datetime:
        now = self._clock.now()
        record = known.get(place)
        if record is None or now - record.last > timedelta(seconds=2 * LONGEST_DELAY_S):
            record = known[place] = _Record(now, 0.0)
        if uid not in record.due:
            due = max(now, record.last + timedelta(seconds=record.delay_s))
            record.delay_s = min(max(FIRST_DELAY_S, 2 * record.delay_s), LONGEST_DELAY_S)
            record.last = due
            record.due = {uid: due}
        return record.due[uid]


def controller(setup: Setup) -> Controller[Observed]:
    failures = Failures(setup.clock)

    def observe(cache: Cache, key: tuple[str, str]) -> Observed | None:
        daemonset = cache[DAEMONSET].get(*key)
        if daemonset is None:
            failures.forget(key)
            return None
        selector = from_view(daemonset.view.spec.selector)
        pods = claim(daemonset, selector, cache[POD])
        return Observed(
            daemonset,
            pods,
            cache[NODE].list(),
            claim(daemonset, selector, cache[CONTROLLERREVISION]),
            cache[CONTROLLERREVISION].get(daemonset.namespace, controllerrevision.candidate(daemonset).name),
            failures.due(daemonset, pods.kept),
        )

    return Controller(
        name="daemonset",
        watches=(
            Watch(DAEMONSET, own_key),
            Watch(POD, _pod_keys, indexes={ORPHANS: orphan_index}, of_head=True),
            Watch(CONTROLLERREVISION, _revision_keys, indexes={ORPHANS: orphan_index}),
            Watch(NODE, _all, changed=_node_matters),
        ),
        observe=observe,
        confirm=confirm,
        plan=plan,
        component="daemonset-controller",
        account="daemon-set-controller",
    )


async def confirm(client: Client, observed: Observed) -> Observed:
    adopting = observed.claim.orphans or observed.revisions.orphans
    if not adopting or await still_there(client, observed.daemonset):
        return observed
    return replace(
        observed,
        claim=replace(observed.claim, orphans=()),
        revisions=replace(observed.revisions, orphans=()),
    )


_controller_key = controller_key(DAEMONSET)


def _pod_keys(cache: Cache, pod: Object) -> Iterable[Hashable]:
    if pod.controller is not None:
        return _controller_key(cache, pod)
    return () if pod.terminating else _selecting(cache, pod)


def _revision_keys(cache: Cache, revision: Object) -> Iterable[Hashable]:
    if revision.controller is not None:
        return _controller_key(cache, revision)
    return _selecting(cache, revision)


def _selecting(cache: Cache, found: Object) -> Iterable[Hashable]:
    return [
        daemonset.key
        for daemonset in cache[DAEMONSET].list(found.namespace)
        if from_view(daemonset.view.spec.selector).matches(found.labels)
    ]


def _all(cache: Cache, node: Object) -> Iterable[Hashable]:
    return [daemonset.key for daemonset in cache[DAEMONSET].list()]


def _node_matters(old: Object, new: Object) -> bool:
    return old.labels != new.labels or bool(old.view.spec.taints != new.view.spec.taints)
