"""What controllers are spared of pods' changes: each way around a question says what the question would have."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.base.clock import LoopClock
from navarch.base.loop import SimulationLoop
from navarch.base.metrics import Registry
from navarch.client.informer import Informer
from navarch.controllers import ALL, deployment, disruption, garbage, podgc, protection, resourcequota
from navarch.controllers.alarms import Alarms
from navarch.controllers.controller import Controller, Watch
from navarch.controllers.endpoints import targets
from navarch.controllers.node import eviction
from navarch.controllers.options import Options, Setup
from navarch.controllers.runner import Counts, Runner
from navarch.kinds import DEPLOYMENT, JOB, POD, PODDISRUPTIONBUDGET, REPLICASET, SERVICE, STATEFULSET
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.kinds.registry import DEFAULT

LABELS = [{}, {"app": "web"}, {"app": "web", "round": "1"}, {"app": "db"}]
OWNERS = [[], [{"uid": "r", "name": "web", "kind": "ReplicaSet", "apiVersion": "apps/v1", "controller": True}]]
OWNERS.append([{**OWNERS[1][0], "blockOwnerDeletion": True}])
TIMES = ["2026-01-01T00:00:00Z", "2026-01-01T00:00:09Z"]
READY = {"type": "Ready", "status": "True"}


@st.composite
def pods(draw: st.DrawFn) -> Object:
    """One and the same pod at some moment; a spec of its own for each generation, as the server counts them."""
    metadata: dict[str, Any] = {"name": "web-0", "namespace": "x", "uid": "u", "resourceVersion": "1"}
    metadata["labels"] = draw(st.sampled_from(LABELS))
    metadata["ownerReferences"] = draw(st.sampled_from(OWNERS))
    metadata["finalizers"] = draw(st.sampled_from([[], ["f"]]))
    metadata["annotations"] = draw(st.sampled_from([{}, {"a": "b"}]))
    if draw(st.booleans()):
        metadata["deletionTimestamp"] = draw(st.sampled_from(TIMES))
    metadata["generation"] = generation = draw(st.integers(1, 2))
    tolerations = [[], [{"key": "k", "operator": "Exists", "effect": "NoExecute"}]][generation - 1]
    spec = {"containers": [{"name": "c", "image": str(generation)}], "tolerations": tolerations}
    if draw(st.booleans()):
        spec["nodeName"] = "n1"
    status: dict[str, Any] = {"phase": draw(st.sampled_from(["Pending", "Running", "Failed"]))}
    status["conditions"] = draw(st.sampled_from([[], [READY]]))
    if draw(st.booleans()):
        status |= {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]}
    if draw(st.booleans()):
        status["containerStatuses"] = [{"name": "c", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]
    return of(POD, {"metadata": metadata, "spec": spec, "status": status})


def of(kind: Kind, document: dict[str, Any]) -> Object:
    return Object.of(kind, {"apiVersion": kind.api_version, "kind": kind.name, **document})


def moved(*reads: Callable[[Any], Any]) -> Callable[[Object, Object], bool]:
    """The obvious way: whether anything that is read of the views differs."""
    return lambda old, new: any(read(old.view) != read(new.view) for read in reads)


def _labels(pod: Any) -> Any:
    return pod.metadata.labels


def _going(pod: Any) -> Any:
    return pod.metadata.deletion_timestamp is not None


def _node(pod: Any) -> Any:
    return pod.spec.node_name


def _phase(pod: Any) -> Any:
    return pod.status.phase


def _ready(pod: Any) -> Any:
    return pod.ready


def _terminal(pod: Any) -> Any:
    return pod.terminal


def _done(pod: Any) -> Any:
    return pod.metadata.deletion_timestamp is not None and pod.metadata.deletion_grace_period_seconds == 0


SAID = [
    (
        targets.pod_matters,
        moved(_labels, _going, _node, _phase, _ready, lambda pod: (pod.status.pod_ip, pod.status.pod_ips)),
    ),
    (
        disruption.pod_matters,
        moved(_labels, _going, _phase, _ready, lambda pod: [owner.uid for owner in pod.metadata.owner_references]),
    ),
    (
        deployment.pod_matters,
        moved(_phase, lambda pod: (pod.status.container_statuses, pod.status.init_container_statuses)),
    ),
    (resourcequota._pod_changed, moved(_terminal, _going, _phase, lambda pod: pod.metadata.generation)),
    (podgc._matters, moved(_node, _going, _terminal)),
    (
        protection._pod_matters,
        lambda old, new: moved(_node)(old, new) or (new.glance.claims and moved(_done)(old, new)),
    ),
    (eviction.pod_matters, moved(_node, lambda pod: pod.spec.tolerations)),
    (
        garbage.matters,
        moved(
            lambda pod: pod.metadata.owner_references,
            lambda pod: pod.metadata.deletion_timestamp,
            lambda pod: pod.metadata.finalizers,
        ),
    ),
]


@pytest.mark.parametrize(("asked", "obvious"), SAID)
@given(old=pods(), new=pods())
def test_what_matters_of_a_change_is_what_the_views_say(
    asked: Callable[[Object, Object], bool], obvious: Callable[[Object, Object], bool], old: Object, new: Object
) -> None:
    assert asked(old, new) == obvious(old, new)


class Caches:
    """Stands for `Cache`: informers that were told what there is."""

    def __init__(self) -> None:
        self._made: dict[Kind, Informer] = {}

    def __getitem__(self, kind: Kind) -> Informer:
        found = self._made.get(kind)
        if found is None:
            found = self._made[kind] = Informer(None, None, kind)  # type: ignore[arg-type]
        return found

    def hold(self, found: Object) -> None:
        self[found.kind]._change(found.key, None, found)


def caches() -> Caches:
    found = Caches()
    selector = {"matchLabels": {"app": "web"}}
    found[SERVICE].index(targets.SELECTED_BY, targets.selector_index)
    found.hold(of(SERVICE, {"metadata": {"name": "web", "namespace": "x"}, "spec": {"selector": {"app": "web"}}}))
    for kind in (DEPLOYMENT, STATEFULSET, JOB, PODDISRUPTIONBUDGET):
        metadata = {"name": "web", "namespace": "x", "uid": kind.name}
        found.hold(of(kind, {"metadata": metadata, "spec": {"selector": selector, "strategy": {"type": "Recreate"}}}))
    owner = {"uid": "Deployment", "name": "web", "kind": "Deployment", "apiVersion": "apps/v1", "controller": True}
    metadata = {"name": "web", "namespace": "x", "uid": "r", "ownerReferences": [owner]}
    found.hold(of(REPLICASET, {"metadata": metadata, "spec": {"selector": selector}}))
    return found


def controllers() -> list[Controller[Any]]:
    async def made() -> list[Controller[Any]]:
        clock = LoopClock(datetime(2026, 1, 1, tzinfo=UTC), asyncio.get_running_loop())
        setup = Setup(clock, None, Options(), DEFAULT, None)  # type: ignore[arg-type]
        return [make(setup) for make in ALL]

    with asyncio.Runner(loop_factory=SimulationLoop) as runner:
        return runner.run(made())


WATCHES = [
    (controller.name, watch) for controller in controllers() for watch in controller.watches if watch.kind is POD
]
OF_HEAD = [pytest.param(watch, id=name) for name, watch in WATCHES if watch.of_head]


def test_those_that_go_by_the_head_of_a_pod_are_the_ones_that_own_or_select_it() -> None:
    named = {name for name, watch in WATCHES if watch.of_head}
    assert {"replicaset", "statefulset", "daemonset", "job", "endpointslice", "disruption"} <= named


@pytest.mark.parametrize("watch", OF_HEAD)
@given(old=pods(), new=pods())
def test_keys_that_go_by_the_head_are_the_same_while_the_head_is(watch: Watch, old: Object, new: Object) -> None:
    if (old.labels, old.references, old.terminating) == (new.labels, new.references, new.terminating):
        cache: Any = caches()
        assert set(watch.keys(cache, old)) == set(watch.keys(cache, new))


@pytest.mark.parametrize("way", ["plain", "seldom", "of_head", "both"])
@given(old=st.none() | pods(), new=st.none() | pods(), matters=st.sampled_from([None, "phase"]))
def test_every_way_of_asking_queues_the_same_keys(
    way: str, old: Object | None, new: Object | None, matters: str | None
) -> None:
    def keys(cache: Any, found: Object) -> list[Any]:
        return [value for value in found.labels.values() if value != "db"]

    def changed(before: Object, after: Object) -> bool:
        return bool(before.glance.phase != after.glance.phase)

    watch = Watch(
        POD,
        keys,
        changed if matters else None,
        seldom=way in ("seldom", "both"),
        of_head=way in ("of_head", "both"),
    )
    expected: set[Any] = set()
    if old is None or new is None or matters is None or changed(old, new):
        expected = {key for found in (old, new) if found is not None for key in keys(None, found)}
    assert queued(watch, old, new) == expected


def queued(watch: Watch, old: Object | None, new: Object | None) -> set[Any]:
    cache: Any = caches()
    control: Controller[Any] = Controller("c", (watch,), lambda cache, key: None, lambda observed, now: None)  # type: ignore[arg-type,return-value]
    counts = Counts(Registry())
    clock: Any = type("Still", (), {"monotonic": staticmethod(lambda: 0.0)})()
    runner = Runner(control, cache, None, clock, Alarms(clock), None, counts)  # type: ignore[arg-type]
    runner._handler(watch)(old, new)
    return set(runner.queue._added_s)
