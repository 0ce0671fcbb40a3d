"""Asking agents what is used: what they say, late, wrongly or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import pytest

from navarch.agent.config import WINDOW
from navarch.apiserver.meter import Amount, NodeUsage
from navarch.app.meter import ANSWER_S, TARGET, AgentMeter
from navarch.base.errors import Unavailable
from navarch.base.loop import SimulationLoop
from navarch.wire.message import Response, Tunnel

SUMMARY = (
    b'{"node": {"nodeName": "n", "cpu": {"time": "2026-05-01T12:00:00Z", "usageNanoCores": 7}, "memory": '
    b'{"workingSetBytes": 8}}, "pods": [{"podRef": {"name": "p", "uid": "u"}, "containers": [{"name": "main", '
    b'"cpu": {"time": "2026-05-01T12:00:00Z", "usageNanoCores": 5}, "memory": {"workingSetBytes": 6}}]}]}'
)


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


class Told:
    """A dialer whose nodes give one answer, after a while."""

    def __init__(self, answer: Response, after_s: float = 0.0) -> None:
        self.answer = answer
        self.after_s = after_s
        self.asked: list[tuple[str, str, str]] = []

    async def request(
        self, node: str, method: str, target: str, headers: Sequence[tuple[str, str]] = (), body: bytes = b""
    ) -> Response:
        self.asked.append((node, method, target))
        await asyncio.sleep(self.after_s)
        return self.answer

    async def upgrade(
        self, node: str, target: str, headers: Sequence[tuple[str, str]]
    ) -> tuple[int, Sequence[tuple[str, str]], Tunnel]:
        raise Unavailable("nobody upgrades here")


def measured(dialer: Told) -> NodeUsage:
    with asyncio.Runner(loop_factory=SimulationLoop) as runner:
        return runner.run(AgentMeter(dialer).measure("n"))


@pytest.mark.parametrize("body", [SUMMARY, (SUMMARY[:40], SUMMARY[40:])])
def test_a_summary_is_what_a_node_uses(body: bytes | tuple[bytes, ...]) -> None:
    sent = body if isinstance(body, bytes) else pieces(*body)
    dialer = Told(Response(200, [(WINDOW.lower(), "15.020")], sent), after_s=ANSWER_S / 2)
    at = datetime(2026, 5, 1, 12, tzinfo=UTC)
    assert measured(dialer) == NodeUsage(at, 15.02, Amount(7, 8), {"u": {"main": Amount(5, 6)}})
    assert dialer.asked == [("n", "GET", TARGET)]


@pytest.mark.parametrize(
    ("answer", "after_s", "said"),
    [
        (Response(200, (), SUMMARY), ANSWER_S + 1, "does not say within 10 s"),
        (Response(500, (), b"no runtime"), 0, "500 b'no runtime'"),
        (Response(200, (), b"<html>"), 0, "cannot be read"),
        (Response(200, [(WINDOW, "soon")], SUMMARY), 0, "cannot be read"),
    ],
)
def test_a_node_that_says_nothing_useful_is_unavailable(answer: Response, after_s: float, said: str) -> None:
    with pytest.raises(Unavailable, match=said):
        measured(Told(answer, after_s))
