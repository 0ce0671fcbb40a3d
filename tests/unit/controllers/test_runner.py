"""What the runner promises every plan: one task a key, no plan before its own writes are seen, retries, no polling."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from navarch.base.clock import LoopClock, SeededIds
from navarch.base.errors import Conflict, Forbidden, NotFound, Retryable
from navarch.base.loop import SimulationLoop
from navarch.base.metrics import Registry
from navarch.client.events import Events
from navarch.client.informer import Informers
from navarch.controllers.act import Act, batches
from navarch.controllers.alarms import Alarms
from navarch.controllers.controller import Cache, Controller, Watch, controller_key, own_key
from navarch.controllers.plan import Create, Delete, Event, Failure, Patch, Plan, Status
from navarch.controllers.runner import Counts, Runner
from navarch.kinds import EVENT
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.kinds.view import ObjectMeta, View

OWNER = Kind(group="example.com", version="v1", name="Owner", plural="owners")


class ChildView(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()


CHILD = Kind(group="example.com", version="v1", name="Child", plural="children", view=ChildView)


@dataclass(frozen=True)
class Seen:
    owner: Object
    children: tuple[Object, ...]


@dataclass
class Stage:
    """One controller over the fake client. plans: what was observed, in order."""

    client: Any
    plan: Callable[[Seen], Plan]
    plans: list[Seen] = field(default_factory=list)
    registry: Registry = field(default_factory=Registry)
    watches: tuple[Watch, ...] = (Watch(OWNER, own_key), Watch(CHILD, controller_key(OWNER)))

    def play(self, script: Callable[[Runner], Coroutine[Any, Any, None]]) -> None:
        with asyncio.Runner(loop_factory=SimulationLoop) as runner:  # time passes only when nothing is left to do
            runner.run(self._play(script))

    async def _play(self, script: Callable[[Runner], Coroutine[Any, Any, None]]) -> None:
        def observe(cache: Cache, key: tuple[str, str]) -> Seen | None:
            owner = cache[OWNER].get(*key)
            return Seen(owner, tuple(cache[CHILD].owned_by(owner.uid))) if owner else None

        def plan(seen: Seen, now: datetime) -> Plan:
            self.plans.append(seen)
            return self.plan(seen)

        clock = LoopClock(datetime(2030, 1, 1, tzinfo=UTC), asyncio.get_running_loop())
        informers = Informers(self.client, clock)
        alarms = Alarms(clock)
        events = Events(self.client, clock)
        controller = Controller("test", self.watches, observe, plan)
        act = Act(self.client, SeededIds(1), events.of("test-controller"))
        counts = Counts(self.registry)
        runner = Runner(controller, Cache(informers), self.client, clock, alarms, act, counts)
        runner.attach()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part.run()) for part in (informers, alarms, events, runner)]
            await script(runner)
            for task in tasks:
                task.cancel()


def owner(name: str = "o") -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default"}}


def child(of: Object, name: str = "") -> dict[str, Any]:
    reference = {"apiVersion": "example.com/v1", "kind": "Owner", "name": of.name, "uid": of.uid, "controller": True}
    metadata = {"namespace": of.namespace, "ownerReferences": [reference]}
    metadata |= {"name": name} if name else {"generateName": f"{of.name}-"}
    return {"metadata": metadata}


def one_child(seen: Seen) -> Plan:
    return Plan() if seen.children else Plan((Create(CHILD, child(seen.owner)),))


def children(client: Any) -> list[str]:
    return [name for kind, _, name in client.objects if kind is CHILD]


def test_a_key_is_not_planned_again_before_its_write_is_seen(client: Any, until: Any) -> None:
    stage = Stage(client, one_child)

    async def script(runner: Runner) -> None:
        await until(lambda: len(client._more) == 2)
        client.put(OWNER, owner())
        await until(lambda: stage.plans and runner.idle)
        assert len(children(client)) == 1

    stage.play(script)
    assert len(children(client)) == 1

    client.held = False
    stage = Stage(client, one_child)

    async def blind(runner: Runner) -> None:
        await until(lambda: runner.idle and stage.plans)
        client.put(OWNER, owner("p"))
        await until(lambda: len(children(client)) == 1 + 1)
        client.held = True
        for _ in range(5):
            runner.queue.add(("default", "p"))
            for _ in range(20):
                await asyncio.sleep(0)
        assert len(children(client)) == 2, "the cache does not show the first child yet"
        client.release()
        await until(lambda: runner.idle and len(stage.plans[-1].children) == 1)

    stage.play(blind)
    assert len(children(client)) == 2


def test_what_was_gone_before_it_was_seen_is_made_again(client: Any, until: Any) -> None:
    """A list shows neither that it came nor that it went."""
    stage = Stage(client, one_child)

    async def script(runner: Runner) -> None:
        await until(lambda: len(client._more) == 2)
        client.put(OWNER, owner())
        await until(lambda: stage.plans)
        client.held = True
        await until(lambda: len(children(client)) == 1)
        client.remove(CHILD, "default", children(client)[0])
        client.expire()
        await until(lambda: len(children(client)) == 1)

    stage.play(script)
    assert len(children(client)) == 1


def test_a_deleted_object_is_waited_for_too(client: Any, until: Any) -> None:
    def plan(seen: Seen) -> Plan:
        return Plan(tuple(Delete(found) for found in seen.children))

    stage = Stage(client, plan)

    async def script(runner: Runner) -> None:
        client.put(CHILD, child(client.put(OWNER, owner()), "c"))
        await until(lambda: not children(client))
        runner.queue.add(("default", "o"))
        await until(lambda: runner.idle and stage.plans[-1].children == ())
        deletes = [call for call in client.calls if call[0] == "delete"]
        assert len(deletes) == 1

    stage.play(script)


def test_a_lost_answer_makes_the_object_be_read_before_the_next_plan(client: Any, until: Any) -> None:
    client.lost["create"] = [Retryable("connection reset")]
    stage = Stage(client, one_child)

    async def script(runner: Runner) -> None:
        client.held = True
        client.put(OWNER, owner())
        client.release()
        await until(lambda: len(children(client)) == 1)
        client.held = True
        await asyncio.sleep(0.05)
        assert ("list", "Child", children(client)[0]) in client.calls
        client.release()
        await asyncio.sleep(0.05)
        assert len(children(client)) == 1, "the write had happened"

    stage.play(script)


def test_a_conflict_waits_for_the_newer_object(client: Any, until: Any) -> None:
    def plan(seen: Seen) -> Plan:
        wanted = {"state": "done"}
        return Plan(status=Status(seen.owner, wanted))

    stage = Stage(client, plan)
    client.failures["update"] = [Conflict("modified")]

    async def script(runner: Runner) -> None:
        client.put(OWNER, owner())
        await until(lambda: any("status" in found.document() for found in client.objects.values()))
        await asyncio.sleep(0.02)
        assert runner.idle
        updates = [call for call in client.calls if call[0] == "update"]
        assert len(updates) == 2, "refused once, then written once; what is the same already is not written"

    stage.play(script)


def test_a_status_that_is_equal_is_not_written(client: Any, until: Any) -> None:
    stage = Stage(client, lambda seen: Plan(status=Status(seen.owner, {"a": {"b": 1}})))

    async def script(runner: Runner) -> None:
        client.put(OWNER, {**owner(), "status": {"a": {"b": 1}}})
        await until(lambda: stage.plans and runner.idle)
        assert not [call for call in client.calls if call[0] in ("patch", "update")]

    stage.play(script)


@pytest.mark.parametrize(("was", "told"), [({}, {"number": 1}), ({"number": 1}, {"number": 1})])
def test_metadata_changed_through_the_status_is_one_write_with_it(
    client: Any, until: Any, was: dict[str, Any], told: dict[str, Any]
) -> None:
    """Where the status stays, the metadata is written alone."""

    def plan(seen: Seen) -> Plan:
        if seen.owner.document()["metadata"].get("annotations"):
            return Plan(status=Status(seen.owner, told))
        number = Patch(seen.owner, {"metadata": {"annotations": {"number": "1"}}}, "status")
        return Plan((number,), status=Status(seen.owner, told))

    stage = Stage(client, plan)

    async def script(runner: Runner) -> None:
        client.put(OWNER, {**owner(), "status": was})
        await until(lambda: stage.plans and runner.idle)
        assert len([call for call in client.calls if call[0] in ("patch", "update")]) == 1
        (found,) = client.objects.values()
        assert found.document()["status"] == told
        assert found.document()["metadata"]["annotations"] == {"number": "1"}

    stage.play(script)


def test_a_refusal_is_told_and_tried_again_and_gives_another_status(client: Any, until: Any) -> None:
    def plan(seen: Seen) -> Plan:
        if seen.children:
            return Plan(status=Status(seen.owner, {"fine": True}))
        refused = Event(seen.owner, "FailedCreate", "Error creating: {error}", "Warning")
        done = Event(seen.owner, "Created", "Created {name}")

        def failed(failures: Any) -> tuple[Status]:
            assert all(isinstance(failure, Failure) for failure in failures)
            return (Status(seen.owner, {"problem": failures[0].message}),)

        return Plan((Create(CHILD, child(seen.owner, "c"), done, refused),), failed=failed)

    stage = Stage(client, plan)
    client.failures["create"] = [Forbidden("exceeded quota")]

    async def script(runner: Runner) -> None:
        client.put(OWNER, owner())
        key = (OWNER, "default", "o")
        await until(lambda: client.objects[key].document().get("status") == {"problem": "exceeded quota"})
        await asyncio.sleep(0.05)
        assert client.objects[key].document()["status"] == {"fine": True}
        told = [found.document() for (kind, _, _), found in client.objects.items() if kind is EVENT]
        assert {(event["reason"], event["message"], event["type"]) for event in told} == {
            ("FailedCreate", "Error creating: exceeded quota", "Warning"),
            ("Created", "Created c", "Normal"),
        }
        assert told[0]["involvedObject"]["uid"] == "uid-o"
        assert told[0]["source"] == {"component": "test-controller"}

    stage.play(script)


def test_a_bug_in_a_plan_does_not_stop_the_others(client: Any, until: Any, caplog: pytest.LogCaptureFixture) -> None:
    def plan(seen: Seen) -> Plan:
        if seen.owner.name == "bad":
            raise ZeroDivisionError
        return one_child(seen)

    stage = Stage(client, plan)

    async def script(runner: Runner) -> None:
        client.put(OWNER, owner("bad"))
        client.put(OWNER, owner("good"))
        await until(lambda: len(children(client)) == 1)
        await asyncio.sleep(0.05)

    stage.play(script)
    assert caplog.text.count("Traceback") == 1, "its traceback is logged once"
    assert stage.registry.counter("navarch_controller_bugs", "", ("controller",)).value("test") > 1


def test_one_object_is_worked_on_by_one_task(client: Any, until: Any) -> None:
    busy: set[str] = set()

    class Slow:
        """Notes overlaps of writes for one owner."""

        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

        async def patch(self, kind: Kind, namespace: str, name: str, *rest: Any, **more: Any) -> Object:
            assert name not in busy
            busy.add(name)
            await asyncio.sleep(0.001)
            busy.discard(name)
            found: Object = await client.patch(kind, namespace, name, *rest, **more)
            return found

    count = 0

    def plan(seen: Seen) -> Plan:
        nonlocal count
        count += 1
        return Plan((Patch(seen.owner, {"spec": {"count": count}}, guarded=False),)) if count < 30 else Plan()

    stage = Stage(Slow(), plan)

    async def script(runner: Runner) -> None:
        for name in "abcdef":
            client.put(OWNER, owner(name))
        await asyncio.sleep(0.1)
        assert count >= 30

    stage.play(script)


def test_an_idle_controller_asks_nothing(client: Any, until: Any) -> None:
    stage = Stage(client, one_child)

    async def script(runner: Runner) -> None:
        client.put(OWNER, owner())
        await until(lambda: len(children(client)) == 1)
        await asyncio.sleep(0.02)
        calls, plans = len(client.calls), len(stage.plans)
        await asyncio.sleep(0.1)
        assert (len(client.calls), len(stage.plans)) == (calls, plans)

    stage.play(script)


def test_requeue_looks_again_and_a_later_plan_replaces_the_wish(client: Any, until: Any) -> None:
    waits = [0.02, None, None]
    stage = Stage(client, lambda seen: Plan(requeue_after_s=waits[min(len(stage.plans) - 1, 2)]))

    async def script(runner: Runner) -> None:
        client.put(OWNER, owner())
        await asyncio.sleep(0.1)
        assert len(stage.plans) == 2

    stage.play(script)


def test_what_is_gone_already_is_no_failure(client: Any, until: Any) -> None:
    stage = Stage(client, lambda seen: Plan(tuple(Delete(found) for found in seen.children)))
    client.failures["delete"] = [NotFound("gone")]

    async def script(runner: Runner) -> None:
        client.put(CHILD, child(client.put(OWNER, owner()), "c"))
        await until(lambda: ("delete", "Child", "c") in client.calls)
        client.remove(CHILD, "default", "c")
        await asyncio.sleep(0.05)
        assert runner.idle
        assert len([call for call in client.calls if call[0] == "delete"]) == 1

    stage.play(script)


def test_creations_come_in_growing_batches(make: Any) -> None:
    about = make.object(OWNER, "o")
    many = [Delete(make.object(OWNER, f"o{number}")) for number in range(40)]
    plan = [Create(CHILD, {})] * 10 + many + [Event(about, "R", "m")]
    assert [len(batch) for batch in batches(plan)] == [1, 2, 4, 3, 32, 8, 1]
    assert [len(batch) for batch in batches([Patch(about, {})] * 3)] == [1, 1, 1], "one object, one write at a time"
