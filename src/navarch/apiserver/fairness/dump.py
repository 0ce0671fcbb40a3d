"""What priority and fairness is doing right now, as tables of text for people.

Source: https://kubernetes.io/docs/reference/debug-cluster/flow-control/
"""

from __future__ import annotations

from collections.abc import Sequence

from navarch.apiserver.fairness.gate import Gate
from navarch.base.errors import NotFound
from navarch.wire.message import Request, Response

PREFIX = "/debug/api_priority_and_fairness/"
TEXT = (("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff"))


def answer(request: Request, gate: Gate) -> Response:
    """Raises: NotFound."""
    tables = {"dump_priority_levels": levels, "dump_queues": queues, "dump_requests": requests}
    make = tables.get(request.path.rstrip("/").removeprefix(PREFIX))
    if make is None:
        raise NotFound("the server could not find the requested resource")
    rows = [", ".join(row) for row in make(gate)]
    return Response(200, TEXT, "\n".join([*rows, ""]).encode())


def levels(gate: Gate) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [
        (
            *("PriorityLevelName", "ActiveQueues", "IsIdle", "IsQuiescing", "WaitingRequests", "ExecutingRequests"),
            *("DispatchedRequests", "RejectedRequests", "TimedoutRequests", "CancelledRequests"),
        )
    ]
    for name, level in sorted(gate.present().items()):
        schemas = [schema for schema in gate.schemas() if schema.level is level]
        rejected = [sum(schema.rejected.get(why, 0) for schema in schemas) for why in ("time-out", "cancelled")]
        all_rejected = sum(sum(schema.rejected.values()) for schema in schemas)
        active = sum(len(found.lengths()) for found in level.sets)
        rows.append(
            (
                name,
                str(active) if level.queues is not None else "<none>",
                str(not level.executing and not level.waiting).lower(),
                "false",
                str(level.waiting),
                str(level.executing),
                str(sum(schema.dispatched for schema in schemas)),
                str(all_rejected - sum(rejected)),
                *map(str, rejected),
            )
        )
    return rows


def queues(gate: Gate) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [
        ("PriorityLevelName", "Index", "PendingRequests", "ExecutingRequests", "NextDispatchR")
    ]
    for name, level in sorted(gate.present().items()):
        for found in level.sets:
            for index, (waiting, working, start) in sorted(found.lengths().items()):
                rows.append((name, str(index), str(waiting), str(working), f"{start:.8f}ss"))
    return rows


def requests(gate: Gate) -> list[Sequence[str]]:
    """Those that wait, in each queue the first first."""
    rows: list[Sequence[str]] = [
        ("PriorityLevelName", "FlowSchemaName", "QueueIndex", "RequestIndexInQueue", "Seats", "WaitedSeconds")
    ]
    for name, level in sorted(gate.present().items()):
        for found in level.sets:
            for index, tickets in sorted(found.tickets().items()):
                for number, ticket in enumerate(tickets):
                    waited = f"{gate.waited_s(ticket):.3f}"
                    rows.append((name, ticket.schema.spec.name, str(index), str(number), str(ticket.seats), waited))
    return rows
