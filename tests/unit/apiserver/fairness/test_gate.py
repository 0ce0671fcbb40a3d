"""Calls at the gate, over a real core: who waits, who is turned away, what they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from api_driver import HandClock
from server_driver import ADMIN, Served, peer, served

from navarch.apiserver.call import Call, Reads, User
from navarch.apiserver.fairness.gate import Gate, Schema, Seats
from navarch.apiserver.fairness.queueset import Ticket
from navarch.base.errors import TooMany
from navarch.base.metrics import Registry
from navarch.kinds import FLOWSCHEMA
from navarch.kinds.kind import Kind
from navarch.wire.message import Request

JANE = peer("jane", "devs")
ALL = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True}
PATHS = {"verbs": ["*"], "nonResourceURLs": ["*"]}


class Stored:
    """A document as the watch cache hands it out."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    def document(self) -> dict[str, Any]:
        return self._document


class Configured:
    """Reads that hold FlowSchemas and levels and nothing else."""

    def __init__(self, *schemas: dict[str, Any], levels: Sequence[dict[str, Any]] = ()) -> None:
        self.schemas, self.levels, self.changes = [*map(Stored, schemas)], [*map(Stored, levels)], 1

    @property
    def policies(self) -> int:
        return self.changes

    def version(self, kind: Kind) -> int:
        return self.changes

    def list(self, kind: Kind, namespace: str = "") -> Any:
        return self.schemas if kind is FLOWSCHEMA else self.levels


def schema(name: str, level: str, precedence: int = 100, by: str = "ByUser") -> dict[str, Any]:
    group = {"kind": "Group", "group": {"name": "*"}}
    return {
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
        "kind": "FlowSchema",
        "metadata": {"name": name, "uid": f"schema-{name}"},
        "spec": {
            "priorityLevelConfiguration": {"name": level},
            "matchingPrecedence": precedence,
            "distinguisherMethod": {"type": by},
            "rules": [{"subjects": [group], "resourceRules": [ALL], "nonResourceRules": [PATHS]}],
        },
    }


def level(name: str, queues: int, length: int = 50, shares: int = 100) -> dict[str, Any]:
    response: dict[str, Any] = {"type": "Reject"}
    if queues:
        response = {"type": "Queue", "queuing": {"queues": queues, "handSize": 1, "queueLengthLimit": length}}
    return {
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
        "kind": "PriorityLevelConfiguration",
        "metadata": {"name": name, "uid": f"level-{name}"},
        "spec": {
            "type": "Limited",
            "limited": {
                "nominalConcurrencyShares": shares,
                "borrowingLimitPercent": 0,
                "lendablePercent": 0,
                "limitResponse": response,
            },
        },
    }


def call(name: str = "jane", verb: str = "get", resource: str = "pods") -> Call:
    groups = ("system:authenticated",)
    return Call(
        Request("GET", "/", "/", {}), User(name, groups=groups), verb, "/", "", "v1", resource, is_resource=True
    )


def gate_of(reads: Any, seats: int = 2, wait_s: float = 10.0, metrics: Registry | None = None) -> Gate:
    found: Reads = reads
    return Gate(found, HandClock(), metrics or Registry(), Seats(seats, wait_s))


def entered(gate: Gate, one: Call) -> tuple[Schema, Ticket]:
    found = gate.schema_of(one)
    return found, gate.enter(found, one)


def test_seats_are_free_when_the_turn_of_the_loop_is_over() -> None:
    async def run() -> None:
        gate = gate_of(Configured(schema("s", "l"), levels=[level("l", 64, shares=1000)]))
        order: list[str] = []

        async def work(name: str) -> None:
            _, ticket = entered(gate, call(name))
            if ticket.turn is not None:
                await gate.wait(ticket)
            order.append(name)
            gate.leave(ticket)

        async with asyncio.TaskGroup() as group:
            for name in ["heavy"] * 8 + ["light"] * 2:
                group.create_task(work(name))
        assert sorted(order) == ["heavy"] * 8 + ["light"] * 2
        assert order.index("light") <= 3, order
        found = gate.present()["l"]
        assert (found.taken, found.waiting, found.executing) == (0, 0, 0)

    asyncio.run(run())


def test_what_finds_no_room_is_turned_away_and_counted() -> None:
    async def run() -> None:
        metrics = Registry()
        reads = Configured(schema("s", "l"), levels=[level("l", 1, length=1, shares=1000)])
        gate = gate_of(reads, seats=1, wait_s=0.01, metrics=metrics)
        _, first = entered(gate, call())
        _, second = entered(gate, call())
        with pytest.raises(TooMany) as refused:
            entered(gate, call())
        assert refused.value.retry_after_s == 1
        with pytest.raises(TooMany):
            await gate.wait(second)
        gate.leave(first)
        await asyncio.sleep(0)
        found = gate.present()["l"]
        assert (found.taken, found.waiting) == (0, 0)
        rejected = metrics.counter(
            "apiserver_flowcontrol_rejected_requests", "", ("flow_schema", "priority_level", "reason")
        )
        assert rejected.present() == {("s", "l", "queue-full"): 1, ("s", "l", "time-out"): 1}
        reads.levels = [Stored(level("l", 0, shares=1000))]
        reads.changes += 1
        _, again = entered(gate, call())
        with pytest.raises(TooMany):
            entered(gate, call())
        assert rejected.value("s", "l", "concurrency-limit") == 1
        gate.leave(again)

    asyncio.run(run())


def test_who_leaves_while_waiting_takes_no_seat_with_him() -> None:
    async def run() -> None:
        gate = gate_of(Configured(schema("s", "l"), levels=[level("l", 1, shares=1000)]), seats=1)
        _, first = entered(gate, call())
        waiters = [entered(gate, call())[1] for _ in range(3)]
        tasks = [asyncio.ensure_future(gate.wait(ticket)) for ticket in waiters]
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.sleep(0)
        gate.leave(first)
        await asyncio.sleep(0)
        tasks[1].cancel()  # in the very moment in which it was given the seat
        await asyncio.gather(*tasks[:2], return_exceptions=True)
        await asyncio.wait_for(tasks[2], 60)
        gate.leave(waiters[2])
        await asyncio.sleep(0)
        assert (gate.present()["l"].taken, gate.present()["l"].waiting) == (0, 0)

    asyncio.run(run())


def test_masters_always_find_a_seat_and_idle_levels_lend() -> None:
    async def run() -> None:
        reads = Configured(schema("s", "l"), levels=[level("l", 1), level("idle", 1)])
        reads.levels[0]._document["spec"]["limited"].pop("borrowingLimitPercent")
        reads.levels[1]._document["spec"]["limited"]["lendablePercent"] = 100
        gate = gate_of(reads, seats=100)
        assert gate.present()["l"].limit < 50
        tickets = [entered(gate, call())[1] for _ in range(60)]
        assert all(ticket.turn is None for ticket in tickets[:50])
        assert gate.present()["l"].limit > 50
        root = Call(Request("GET", "/", "/", {}), User("root", groups=("system:masters",)), "get", "/", resource="pods")
        for _ in range(200):
            found, ticket = entered(gate, root)
            assert (found.spec.name, ticket.turn) == ("exempt", None)

    asyncio.run(run())


def test_answers_say_by_what_they_were_judged() -> None:
    async def scenario(server: Served) -> None:
        base = "/apis/flowcontrol.apiserver.k8s.io/v1"
        await server.ask("POST", f"{base}/prioritylevelconfigurations", ADMIN, level("mine", 2))
        status, made = await server.ask("POST", f"{base}/flowschemas", ADMIN, schema("mine", "mine", 2))
        assert status == 201
        response = await server.send("GET", "/api/v1/namespaces/default/pods", JANE)
        headers = dict(response.headers)
        assert response.status == 403
        assert headers["X-Kubernetes-PF-FlowSchema-UID"] == made["metadata"]["uid"]
        assert headers["X-Kubernetes-PF-PriorityLevel-UID"]
        first, second = headers["Audit-Id"], dict((await server.send("GET", "/api", JANE)).headers)["Audit-Id"]
        assert first != second
        assert len(first) == 36
        told = await server.send("GET", "/version", audit_id="mine")
        assert dict(told.headers)["Audit-Id"] == "mine"
        for name in ("dump_priority_levels", "dump_queues", "dump_requests"):
            shown = await server.send("GET", f"/debug/api_priority_and_fairness/{name}")
            assert isinstance(shown.body, bytes)
            assert shown.body.startswith(b"PriorityLevelName, ")
        assert (await server.send("GET", "/debug/api_priority_and_fairness/x")).status == 404
        assert (await server.send("GET", "/debug/api_priority_and_fairness/dump_queues", JANE)).status == 403

    served(scenario)


def test_a_request_that_takes_too_long_is_told_so() -> None:
    async def scenario(server: Served) -> None:
        async def stuck(*_: Any) -> Any:
            await asyncio.sleep(60)

        server.core.answer("selfsubjectreviews", "", stuck)
        who = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        status, found = await server.ask("POST", f"{path}?timeout=20ms", JANE, who)
        assert (status, found["reason"]) == (504, "Timeout")
        assert found["message"] == "Timeout: request did not complete within the allotted timeout"
        status, found = await server.ask("POST", f"{path}?timeout=soon", JANE, who)
        assert status == 400
        assert found["message"].startswith("invalid timeout specified in the request URL")
        server.api._chain._deadlines._longest_s = 0.02
        server.api._chain._deadlines._look_s = 0.01
        status, found = await server.ask("POST", path, JANE, who)
        assert (status, found["code"]) == (504, 504)
        text = server.api.metrics.render().decode()
        assert 'apiserver_request_terminations_total{code="504"' in text
        assert orjson.loads(orjson.dumps(found))["kind"] == "Status"

    served(scenario)
