"""Observe: keeps the table and the queue in step with what informers hear of pods, nodes and namespaces.

A pod is in at most one of them: in the table once it has a node (or is assumed to), in the queue while it needs one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

import msgspec

from navarch.base.clock import Clock
from navarch.client.informer import Informers
from navarch.kinds import (
    CSIDRIVER,
    CSINODE,
    CSISTORAGECAPACITY,
    DEVICECLASS,
    NAMESPACE,
    NODE,
    PERSISTENTVOLUME,
    PERSISTENTVOLUMECLAIM,
    POD,
    PODDISRUPTIONBUDGET,
    RESOURCECLAIM,
    RESOURCESLICE,
    SERVICE,
    STORAGECLASS,
    VOLUMEATTACHMENT,
)
from navarch.kinds.object import Object
from navarch.kinds.view import LabelSelector, View
from navarch.scheduler.devices.stock import Given, Known
from navarch.scheduler.facts import NodeFacts, PodFacts, Spread, facts_again, node_facts, pod_facts
from navarch.scheduler.preempt import Budget
from navarch.scheduler.question import News
from navarch.scheduler.queue import Queue
from navarch.scheduler.table import Table
from navarch.scheduler.terms import matcher
from navarch.scheduler.usual import selector_of, usual_spreads

STORAGE = (
    STORAGECLASS,
    PERSISTENTVOLUME,
    PERSISTENTVOLUMECLAIM,
    CSIDRIVER,
    CSINODE,
    CSISTORAGECAPACITY,
    VOLUMEATTACHMENT,
)


class BudgetSpec(View, frozen=True):
    selector: LabelSelector | None = None


class BudgetStatus(View, frozen=True):
    disruptions_allowed: int = 0
    disrupted_pods: dict[str, datetime] = {}


class BudgetShape(View, frozen=True):
    """Of a PodDisruptionBudget, what preemption heeds."""

    spec: BudgetSpec = msgspec.field(default_factory=BudgetSpec)
    status: BudgetStatus = msgspec.field(default_factory=BudgetStatus)


class Observed:
    """Everything the scheduler knows. changed: called (synchronously) when there may be work.

    name: pods that ask for another scheduler are not queued, but take up room like all others.
    """

    def __init__(self, informers: Informers, clock: Clock, changed: Callable[[], None], name: str) -> None:
        self.table = Table()
        self.queue = Queue()
        self.waiting: dict[str, PodFacts] = {}
        """Unbound pods with a nominated node, by uid."""
        self.assumed: dict[str, str] = {}
        """uid -> node of pods whose binding was decided and has not been seen yet."""
        self._clock = clock
        self._changed = changed
        self._name = name
        self._facts: dict[str, PodFacts] = {}
        self.pods = informers.of(POD)
        self.nodes = informers.of(NODE)
        self.namespaces = informers.of(NAMESPACE)
        self.services = informers.of(SERVICE)
        self.budgets = informers.of(PODDISRUPTIONBUDGET)
        self.storage = tuple(informers.of(kind) for kind in STORAGE)
        for informer in self.storage:
            informer.subscribe(self._on_storage)
        self.devices = tuple(informers.of(kind) for kind in (DEVICECLASS, RESOURCESLICE, RESOURCECLAIM))
        for informer in self.devices:
            informer.subscribe(self._on_devices)
        self.namespaces.subscribe(self._on_namespace)
        self.nodes.subscribe(self._on_node)
        self.pods.subscribe(self._on_pod)

    async def synced(self) -> None:
        """Once everything there is was seen."""
        for informer in (self.namespaces, self.nodes, self.pods, self.services, self.budgets):
            await informer.synced.wait()
        for informer in (*self.storage, *self.devices):
            await informer.synced.wait()

    # -- read by the plan

    def usual(self, pod: PodFacts) -> tuple[Spread, ...]:
        if pod.spread_soft or pod.spread_hard:
            return ()
        return usual_spreads(pod, (selector_of(service) for service in self.services.list(pod.namespace)))

    def disruption_budgets(self) -> list[Budget]:
        return [_budget(found) for found in self.budgets.list()]

    def nominated_above(self, pod: PodFacts) -> list[PodFacts]:
        """Pods for which room was made, and that are not less important: their room is taken already."""
        return [p for p in self.waiting.values() if p.priority >= pod.priority and p.uid != pod.uid]

    def object_of(self, pod: PodFacts) -> Object | None:
        found = self.pods.get(pod.namespace, pod.name)
        return found if found is not None and found.uid == pod.uid else None

    # -- written by the act

    def assume(self, pod: PodFacts, node: str) -> None:
        self.table.add(pod, node)
        self.assumed[pod.uid] = node
        self.waiting.pop(pod.uid, None)

    def forget(self, pod: PodFacts) -> None:
        """The binding did not come about."""
        if self.assumed.pop(pod.uid, None) is not None:
            self.table.remove(pod.uid)
            self._tell(News.POD_GONE)

    def take_back(self, given: Sequence[Given], bound: bool) -> None:
        """What was promised to claims did not come about; of a pod that is bound after all, what is not written."""
        self.table.devices.unpromise(given, written=not bound)
        self._tell(News.DEVICE)

    # -- told by informers

    def _tell(self, *news: News) -> None:
        if news and self.queue.tell(news, self._clock.monotonic()):
            self._changed()

    def _on_namespace(self, old: Object | None, new: Object | None) -> None:
        found = new or old
        if found is None:
            return
        self.table.set_namespace(found.name, new.labels if new is not None else None)
        if old is None or new is None or old.labels != new.labels:
            self._tell(News.NAMESPACE)

    def _on_storage(self, old: Object | None, new: Object | None) -> None:
        if old is not None:
            self.table.disks.remove(old)
        if new is not None:
            self.table.disks.add(new)
        if new is None or new.kind is not VOLUMEATTACHMENT:
            self._tell(News.CLAIM)

    def _on_devices(self, old: Object | None, new: Object | None) -> None:
        stock, found = self.table.devices, new or old
        before = None if found is None else stock.claims.get(found.key)
        if new is not None:
            stock.add(new)
        elif old is not None:
            stock.remove(old)
        if found is None:
            return
        owner = found.controller
        if found.kind is RESOURCECLAIM and owner is not None and old is None:
            self._made_for(owner.uid)
        elif found.kind is not RESOURCECLAIM or _frees(before, stock.claims.get(found.key)):
            self._tell(News.DEVICE)

    def _made_for(self, uid: str) -> None:
        """A claim that a pod may have waited for is there."""
        pod = self._facts.get(uid)
        if pod is not None and uid in self.queue:
            self.queue.add(pod)
            self._changed()

    def _on_node(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            if old is not None:
                self.table.remove_node(old.name)
                self._tell(News.NODE_LABELS)
            return
        facts = node_facts(new)
        index = self.table.number.get(facts.name)
        before = self.table.nodes[index] if index is not None else None
        news = list(_node_news(before, facts))
        if news or (before is not None and before.images != facts.images):
            self.table.set_node(facts)
        self._tell(*news)

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        if old is not None and (new is None or new.uid != old.uid):
            self._gone(old.uid)
        if new is None:
            return
        before = self._facts.get(new.uid)
        if before is None and not new.glance.node and new.glance.scheduler != self._name:
            return  # somebody else's to place
        facts = pod_facts(new) if before is None or old is None else facts_again(before, old, new)
        if facts is None:
            return
        if facts.finished:
            self._gone(new.uid)
            return
        self._facts[new.uid] = facts
        if facts.node:
            self._bound(before, facts)
        elif facts.spec.scheduler_name == self._name and new.uid not in self.assumed:
            self._pending(before, facts)

    def _gone(self, uid: str) -> None:
        self._facts.pop(uid, None)
        self.assumed.pop(uid, None)
        self.waiting.pop(uid, None)
        self.queue.remove(uid)
        if uid in self.table.pods:
            self.table.remove(uid)
            self._tell(News.POD_GONE)

    def _bound(self, before: PodFacts | None, pod: PodFacts) -> None:
        self.assumed.pop(pod.uid, None)
        self.waiting.pop(pod.uid, None)
        self.queue.remove(pod.uid)
        self.table.add(pod, pod.node)
        news = []
        if before is None or not before.node:
            news.append(News.POD_BOUND)
        elif before.labels != pod.labels:
            news.append(News.POD_LABELS)
        if before is not None and before.terminating != pod.terminating:
            news.append(News.POD_GONE)
        if before is not None and before.requests != pod.requests:
            news.append(News.POD_GONE)
        self._tell(*news)

    def _pending(self, before: PodFacts | None, pod: PodFacts) -> None:
        if pod.gated or pod.terminating:
            self.queue.remove(pod.uid)
            self.waiting.pop(pod.uid, None)
            return
        if pod.nominated:
            self.waiting[pod.uid] = pod
        else:
            self.waiting.pop(pod.uid, None)
        same = before is not None and before.spec == pod.spec and before.labels == pod.labels
        same = same and before is not None and before.device_claims == pod.device_claims
        if same and pod.uid in self.queue:
            self.queue.renew(pod)
        else:
            self.queue.add(pod)
            self._changed()


def _frees(before: Known | None, after: Known | None) -> bool:
    """Whether the change of a claim may help a pod: it let its devices go, or others may use it now."""
    was = None if before is None else before.shape.status
    now = None if after is None else after.shape.status
    if was is not None and was.allocation is not None and (now is None or now.allocation is None):
        return True
    shared = after is not None and after.found.controller is None
    return shared and (was != now or before is None or before.found.terminating)


def _node_news(old: NodeFacts | None, new: NodeFacts) -> Iterable[News]:
    if old is None:
        yield News.NODE_ADDED
        return
    if old.allocatable != new.allocatable:
        yield News.NODE_ROOM
    if old.labels != new.labels:
        yield News.NODE_LABELS
    if old.spec != new.spec:
        yield News.NODE_TAINTS


def _budget(found: Object) -> Budget:
    shape: BudgetShape = found.as_view(BudgetShape)
    matches = matcher(shape.spec.selector)
    namespace = found.namespace
    return Budget(
        key=found.key,
        covers=lambda pod: pod.namespace == namespace and bool(pod.labels) and matches(pod.labels),
        allowed=shape.status.disruptions_allowed,
        gone=frozenset(shape.status.disrupted_pods),
    )
