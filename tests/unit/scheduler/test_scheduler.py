"""The scheduler at work on a real API, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from navarch.apiserver.call import User
from navarch.apiserver.core import Core
from navarch.base.clock import LoopClock, SeededIds
from navarch.base.errors import Conflict, Unavailable
from navarch.base.loop import SimulationLoop
from navarch.base.metrics import Registry
from navarch.kinds import EVENT, NAMESPACE, NODE, POD, PRIORITYCLASS, SERVICEACCOUNT
from navarch.kinds.object import Object
from navarch.kinds.registry import DEFAULT
from navarch.objects import condition
from navarch.scheduler.scheduler import Scheduler
from navarch.store.memory import MemoryStore

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)


class Stumbling:
    """A client whose next bindings fail in the given ways."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.failures: list[Exception] = []
        self.bindings = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def post(self, kind: Any, namespace: str, name: str, subresource: str, document: Any) -> Any:
        self.bindings += 1
        if self.failures:
            raise self.failures.pop(0)
        return await self._inner.post(kind, namespace, name, subresource, document)


@dataclass
class World:
    client: Stumbling
    clock: LoopClock

    async def node(self, name: str, cpu: str = "2", **spec: Any) -> None:
        allocatable = {"cpu": cpu, "memory": "4Gi", "pods": "10"}
        document = {"metadata": {"name": name}, "spec": spec, "status": {"allocatable": allocatable}}
        await self.client.create(NODE, {"apiVersion": "v1", "kind": "Node", **document})

    async def pod(self, name: str, cpu: str = "1", **spec: Any) -> None:
        container = {"name": "main", "image": "x", "resources": {"requests": {"cpu": cpu}}}
        document = {"metadata": {"name": name, "namespace": "default"}, "spec": {"containers": [container], **spec}}
        await self.client.create(POD, {"apiVersion": "v1", "kind": "Pod", **document})

    async def get(self, name: str) -> Object:
        found: Object = await self.client.get(POD, "default", name)
        return found

    async def where(self, name: str) -> str:
        node: str = (await self.get(name)).view.spec.node_name
        return node

    async def scheduled(self, name: str) -> dict[str, Any]:
        document = (await self.get(name)).document()
        return condition.get(document["status"].get("conditions"), "PodScheduled") or {}

    async def events(self, reason: str) -> list[dict[str, Any]]:
        found = [event.document() for event in (await self.client.list(EVENT)).items]
        return [event for event in found if event["reason"] == reason]

    async def rest(self, seconds: float = 0.5) -> None:
        await self.clock.sleep(seconds)


def run(story: Callable[[World], Awaitable[None]], registry: Registry | None = None) -> None:
    async def main() -> None:
        clock = LoopClock(EPOCH, asyncio.get_running_loop())
        core = Core(MemoryStore(), DEFAULT, clock, SeededIds(1))
        await core.start()
        client = Stumbling(core.local(User("test", groups=("system:masters",)), "test"))
        for name in ("default", "kube-system"):
            await client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        account = {"kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "default"}}
        await client.create(SERVICEACCOUNT, {"apiVersion": "v1", **account})
        async with asyncio.TaskGroup() as group:
            scheduler = group.create_task(Scheduler(client, clock, SeededIds(2), registry=registry).run())
            await story(World(client, clock))
            scheduler.cancel()
        await core.close()

    with asyncio.Runner(loop_factory=SimulationLoop) as runner:
        runner.run(main())


def test_a_pod_is_bound_and_users_are_told() -> None:
    async def story(world: World) -> None:
        await world.node("n1")
        await world.pod("a")
        await world.rest()
        assert await world.where("a") == "n1"
        assert (await world.scheduled("a"))["status"] == "True"
        (event,) = await world.events("Scheduled")
        assert event["message"] == "Successfully assigned default/a to n1"
        assert (event["type"], event["reportingComponent"]) == ("Normal", "default-scheduler")

    run(story)


def test_a_refused_pod_says_why_and_comes_back_with_the_node_it_needs() -> None:
    async def story(world: World) -> None:
        await world.node("n1", cpu="500m")
        await world.pod("a")
        await world.rest()
        told = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: "
        told += "1 Preemption is not helpful for scheduling."
        said = await world.scheduled("a")
        assert (said["status"], said["reason"], said["message"]) == ("False", "Unschedulable", told)
        assert [event["message"] for event in await world.events("FailedScheduling")] == [told]
        await world.rest(60)
        assert len(await world.events("FailedScheduling")) == 1, "nothing happened, so nothing is tried"
        await world.node("n2")
        await world.rest()
        assert await world.where("a") == "n2"

    run(story)


def test_room_that_is_freed_is_used_after_the_backoff() -> None:
    async def story(world: World) -> None:
        await world.node("n1", cpu="1")
        await world.pod("a")
        await world.rest()
        await world.pod("b")
        await world.rest(0.1)
        await world.client.delete(POD, "default", "a", grace_s=0)
        await world.rest(0.1)
        assert await world.where("b") == "", "its back-off of one second is not over"
        await world.rest(1)
        assert await world.where("b") == "n1"

    run(story)


def test_gates_hold_a_pod_back() -> None:
    async def story(world: World) -> None:
        await world.node("n1")
        await world.pod("a", schedulingGates=[{"name": "example.com/wait"}])
        await world.rest(30)
        assert await world.where("a") == ""
        assert await world.events("FailedScheduling") == []
        await world.client.patch(POD, "default", "a", {"spec": {"schedulingGates": None}})
        await world.rest()
        assert await world.where("a") == "n1"

    run(story)


def test_other_schedulers_pods_are_left_alone_but_counted() -> None:
    async def story(world: World) -> None:
        await world.node("n1", cpu="1")
        await world.pod("other", schedulerName="mine")
        await world.rest()
        assert await world.where("other") == ""
        target = {"target": {"kind": "Node", "name": "n1"}, "metadata": {"name": "other", "namespace": "default"}}
        await world.client.post(POD, "default", "other", "binding", {"apiVersion": "v1", "kind": "Binding", **target})
        await world.pod("a")
        await world.rest()
        assert await world.where("a") == ""

    run(story)


def test_a_binding_that_fails_is_tried_again() -> None:
    async def story(world: World) -> None:
        await world.node("n1", cpu="1")
        world.client.failures = [Unavailable("away"), Conflict("no"), RuntimeError("a bug")]
        await world.pod("a")
        await world.rest(20)
        assert await world.where("a") == "n1"
        assert world.client.bindings == 4
        assert len(await world.events("Scheduled")) == 1

    run(story)


def test_a_pod_that_goes_away_gives_its_place_back() -> None:
    async def story(world: World) -> None:
        await world.node("n1", cpu="1")
        world.client.failures = [Unavailable("away")]
        await world.pod("a")
        await world.rest(0.1)
        await world.client.delete(POD, "default", "a", grace_s=0)
        await world.pod("b")
        await world.rest(2)
        assert await world.where("b") == "n1"

    run(story)


def test_pods_fill_nodes_exactly() -> None:
    async def story(world: World) -> None:
        for number in range(20):
            await world.node(f"n{number}", cpu="1")
        for number in range(210):
            await world.pod(f"p{number}", cpu="100m")
        await world.rest(30)
        pods = (await world.client.list(POD)).items
        counts: dict[str, int] = {}
        for pod in pods:
            counts[pod.view.spec.node_name] = counts.get(pod.view.spec.node_name, 0) + 1
        assert counts.pop("") == 10
        assert set(counts.values()) == {10}

    run(story)


def test_preemption_makes_room_and_keeps_it() -> None:
    async def story(world: World) -> None:
        document = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "high"}}
        await world.client.create(PRIORITYCLASS, {**document, "value": 1000})
        await world.node("n1", cpu="1")
        await world.pod("low", terminationGracePeriodSeconds=30)
        await world.rest()
        await world.pod("high", priorityClassName="high")
        await world.rest()
        low = await world.get("low")
        assert low.view.terminating
        mark = condition.get(low.document()["status"]["conditions"], "DisruptionTarget") or {}
        assert mark["reason"] == "PreemptionByScheduler"
        assert (await world.get("high")).view.status.nominated_node_name == "n1"
        await world.pod("sneaky")
        await world.client.delete(POD, "default", "low", grace_s=0)
        await world.rest(15)
        assert (await world.where("high"), await world.where("sneaky")) == ("n1", "")
        (event,) = await world.events("Preempted")
        assert event["involvedObject"]["name"] == "low"

    run(story)


def test_a_cordoned_node_takes_no_pods_until_it_is_open_again() -> None:
    async def story(world: World) -> None:
        await world.node("n1", unschedulable=True)
        await world.pod("a")
        await world.rest()
        assert (await world.scheduled("a"))["message"].startswith(
            "0/1 nodes are available: 1 node(s) were unschedulable. preemption:"
        )
        await world.client.patch(NODE, "", "n1", {"spec": {"unschedulable": None, "taints": None}})
        await world.rest(2)
        assert await world.where("a") == "n1"

    run(story)


def test_what_it_does_is_counted() -> None:
    registry = Registry()

    async def story(world: World) -> None:
        await world.node("n1", cpu="1")
        await world.pod("a")
        await world.pod("b")
        await world.rest()

    run(story, registry)
    text = registry.render().decode()
    assert 'scheduler_schedule_attempts_total{profile="default-scheduler",result="scheduled"} 1' in text
    assert 'scheduler_schedule_attempts_total{profile="default-scheduler",result="unschedulable"} 1' in text
    assert 'scheduler_pending_pods{queue="unschedulable"} 1' in text
