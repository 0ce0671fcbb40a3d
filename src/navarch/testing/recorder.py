"""Watches a simulation and remembers what its report tells: samples over time, who got ready when, what was said.

Everything comes through informers, one change at a time, so that a sample costs the number of nodes and not of pods.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from navarch.base.clock import Clock
from navarch.client.informer import Informers
from navarch.kinds import (
    CRONJOB,
    DAEMONSET,
    DEPLOYMENT,
    EVENT,
    JOB,
    NODE,
    POD,
    REPLICASET,
    REPLICATIONCONTROLLER,
    STATEFULSET,
)
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.testing import report
from navarch.testing.report import Happening, Outage, Sample, Trouble, Workload

SHOWN = (DEPLOYMENT, STATEFULSET, DAEMONSET, REPLICASET, REPLICATIONCONTROLLER, JOB)
"""Kinds whose objects have a row each, when no other made them."""
TELLING = ("Preempted", "TaintManagerEviction", "SuccessfulRescale", "NodeNotReady", "Evicted", "RolledBack")
"""Reasons of events that are told though nothing is wrong."""
TOLD_ELSEWHERE = ("FailedScheduling",)


@dataclass(slots=True)
class _Pod:
    """What a pod adds to the sums."""

    node: str = ""
    cpu: int = 0
    memory: int = 0
    counted: bool = False
    ready: bool = False


@dataclass(slots=True)
class _Node:
    cpu_has: int = 0
    memory_has: int = 0
    cpu: int = 0
    memory: int = 0
    ready: bool = False
    since_s: float = 0.0


@dataclass(slots=True)
class _Row:
    """asked_s: when its spec last changed. took_s: from then until it was as it should be."""

    kind: Kind
    generation: int = 0
    asked_s: float = 0.0
    took_s: float | None = None
    ready: int = 0
    wanted: int = 0
    well: bool = False
    note: str = ""


@dataclass(slots=True)
class _Runs:
    """Of a CronJob."""

    done: int = 0
    failed: int = 0
    judged: set[str] = field(default_factory=set)


class Recorder:
    """began: the moment that counts as 0, which `begin` sets."""

    def __init__(self, informers: Informers, clock: Clock) -> None:
        self.samples: list[Sample] = []
        self.pending = 0
        self.pods = 0
        self.ready = 0
        self._clock = clock
        self._began = clock.now()
        self._informers = informers
        self._by_uid: dict[str, _Pod] = {}
        self._nodes: dict[str, _Node] = {}
        self._rows: dict[tuple[str, str], _Row] = {}
        self._runs: dict[tuple[str, str], _Runs] = {}
        self._said: dict[tuple[str, str, str], Happening] = {}
        self._outages: list[Outage] = []
        informers.of(POD).subscribe(self._on_pod)
        informers.of(NODE).subscribe(self._on_node)
        informers.of(EVENT).subscribe(self._on_event)
        informers.of(CRONJOB).subscribe(self._on_cronjob)
        for kind in SHOWN:
            informers.of(kind).subscribe(self._on_workload(kind))

    def begin(self) -> None:
        """Now is 0; what was so far does not count."""
        self._began = self._clock.now()
        self._said.clear()
        self._outages.clear()
        for node in self._nodes.values():
            node.since_s = 0.0

    def now_s(self) -> float:
        return self._since(self._clock.now())

    def _since(self, moment: datetime) -> float:
        return round((moment - self._began).total_seconds(), 3)

    # -- what changes

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        if old is not None and (new is None or new.uid != old.uid):
            before = self._by_uid.pop(old.uid, None)
            if before is not None:
                self._count(before, -1)
        if new is None:
            return
        known = self._by_uid.get(new.uid)
        if known is None:
            known = self._by_uid[new.uid] = _Pod()
        else:
            self._count(known, -1)
        view = new.view
        if view.spec.node_name and not known.node:
            known.node = view.spec.node_name
            known.cpu, known.memory = report.requests_of(new.document())
        known.counted = not view.terminal
        known.ready = view.ready and not view.terminating
        self._count(known, 1)

    def _count(self, pod: _Pod, sign: int) -> None:
        if not pod.counted:
            return
        self.pods += sign
        self.ready += sign * pod.ready
        if not pod.node:
            self.pending += sign
        elif (node := self._nodes.get(pod.node)) is not None:
            node.cpu += sign * pod.cpu
            node.memory += sign * pod.memory

    def _on_node(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            if old is not None:
                self._nodes.pop(old.name, None)
            return
        known = self._nodes.setdefault(new.name, _Node())
        known.cpu_has, known.memory_has, _ = report.allocatable_of(new.document())
        if new.view.ready == known.ready:
            return
        now_s = self.now_s()
        if new.view.ready:
            self._outages.append(Outage(node=new.name, from_seconds=known.since_s, until_seconds=now_s))
        known.ready, known.since_s = new.view.ready, now_s

    def _on_event(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            return
        told = new.view
        if (told.type != "Warning" and told.reason not in TELLING) or told.reason in TOLD_ELSEWHERE:
            return
        more = max(told.count, 1) - (max(old.view.count, 1) if old is not None and old.uid == new.uid else 0)
        about = told.involved_object
        key = (told.type, told.reason, about.kind)
        before, now_s = self._said.get(key), self.now_s()
        self._said[key] = Happening(
            type=told.type,
            reason=told.reason,
            kind=about.kind,
            times=(before.times if before else 0) + max(more, 0),
            first_seconds=before.first_seconds if before else now_s,
            last_seconds=now_s,
            last=f"{about.namespace}/{about.name}" if about.namespace else about.name,
            message=told.message,
        )

    def _on_workload(self, kind: Kind) -> Callable[[Object | None, Object | None], None]:
        def take(old: Object | None, new: Object | None) -> None:
            found = new if new is not None else old
            assert found is not None
            if not report.is_on_its_own(found):
                if kind is JOB and new is not None:
                    self._on_run(new)
                return
            key = (found.namespace, f"{kind.one}/{found.name}")
            if new is None:
                self._rows.pop(key, None)
            else:
                self._update(self._rows.setdefault(key, _Row(kind)), new)

        return take

    def _update(self, row: _Row, found: Object) -> None:
        document = found.document()
        generation = document["metadata"].get("generation", 0)
        if generation != row.generation:
            row.generation, row.asked_s, row.took_s = generation, self.now_s(), None
        row.ready, row.wanted, row.well = report.counts(row.kind, document)
        row.note = report.note_of(row.kind, document)
        if row.well and row.took_s is None:
            row.took_s = round(self.now_s() - row.asked_s, 3)

    def _on_cronjob(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._runs.setdefault((new.namespace, new.name), _Runs())
        elif old is not None:
            self._runs.pop((old.namespace, old.name), None)

    def _on_run(self, job: Object) -> None:
        owner = job.controller
        runs = self._runs.get((job.namespace, owner.name)) if owner is not None else None
        if runs is None or job.uid in runs.judged:
            return
        document = job.document()
        _, _, done = report.counts(JOB, document)
        if done or report.note_of(JOB, document).startswith("failed"):
            runs.judged.add(job.uid)
            runs.done += done
            runs.failed += not done

    # -- what is told

    def sample(self) -> None:
        up = [node for node in self._nodes.values() if node.ready]
        self.samples.append(
            Sample(
                at_seconds=self.now_s(),
                pods=self.pods,
                ready=self.ready,
                pending=self.pending,
                nodes_ready=len(up),
                cpu_requested=sum(node.cpu for node in up),
                cpu_allocatable=sum(node.cpu_has for node in up),
                memory_requested=sum(node.memory for node in up),
                memory_allocatable=sum(node.memory_has for node in up),
            )
        )

    def workloads(self) -> tuple[Workload, ...]:
        """By namespace and name."""
        found = [
            Workload(
                namespace=namespace,
                name=name,
                ready=row.ready,
                wanted=row.wanted,
                well=row.well,
                took_seconds=row.took_s,
                note=row.note,
            )
            for (namespace, name), row in self._rows.items()
        ]
        found += [
            Workload(
                namespace=namespace,
                name=f"cronjob/{name}",
                ready=runs.done,
                wanted=runs.done + runs.failed,
                well=not runs.failed,
                took_seconds=None,
                note=f"{runs.done + runs.failed} runs" + (f", {runs.failed} failed" if runs.failed else ""),
            )
            for (namespace, name), runs in self._runs.items()
        ]
        return tuple(sorted(found, key=lambda one: (one.namespace, one.name)))

    def events(self) -> tuple[Happening, ...]:
        """Warnings first, the most frequent first."""
        return tuple(
            sorted(self._said.values(), key=lambda one: (one.type != "Warning", -one.times, one.reason, one.kind))
        )

    def outages(self) -> tuple[Outage, ...]:
        still = [
            Outage(node=name, from_seconds=node.since_s, until_seconds=None)
            for name, node in self._nodes.items()
            if not node.ready
        ]
        return tuple(sorted((*self._outages, *still), key=lambda one: (one.from_seconds, one.node)))

    def pending_and_unwell(self) -> tuple[tuple[Trouble, ...], tuple[Trouble, ...]]:
        """Pods that are on no node, and pods that are on one and not ready."""
        replicasets = {one.uid: one for one in self._informers.of(REPLICASET).list()}
        jobs = {one.uid: one for one in self._informers.of(JOB).list()}
        waiting, unwell = [], []
        for pod in self._informers.of(POD).list():
            view = pod.view
            if view.terminal or view.terminating:
                continue
            made_s = max(0.0, self._since(view.metadata.creation_timestamp))
            whose = report.family_of(pod, replicasets, jobs)
            if not view.spec.node_name:
                waiting.append((pod, whose, report.pending_reason(pod), made_s))
            elif not view.ready:
                unwell.append((pod, whose, report.unwell_reason(pod), made_s))
        return report.troubles(waiting), report.troubles(unwell)
