"""Whose time it was that a pod's start took."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.agent.fake import FakeRuntime
from navarch.agent.runtime import SandboxSpec
from navarch.agent.timeline import CURRENT, OWN, TOTAL, Timeline, span, spent
from tests.unit.agent.virtual import Island, play, restarts


def test_what_nobody_else_was_asked_in_is_the_agents_own() -> None:
    timeline = Timeline(10.0, [("sandbox", 10.0, 10.3), ("image", 10.1, 10.2), ("container", 10.4, 10.5)])
    found = spent(timeline, 10.6)
    assert found[TOTAL] == pytest.approx(0.6)
    assert found["sandbox"] == pytest.approx(0.3)
    assert found["image"] == pytest.approx(0.1)
    assert found[OWN] == pytest.approx(0.2), "between 10.3 and 10.4, and the last tenth"


moments = st.integers(0, 40)


@given(st.lists(st.tuples(moments, moments)), st.integers(0, 60))
def test_each_moment_is_counted_once(raw: list[tuple[int, int]], length: int) -> None:
    spans = [("x", float(min(pair)), float(max(pair))) for pair in raw]
    others = {moment for _, began, ended in spans for moment in range(int(began), int(ended)) if moment < length}
    assert spent(Timeline(0.0, spans), float(length))[OWN] == length - len(others)


def test_spans_belong_to_the_pod_whose_task_asks() -> None:
    now = iter(range(100))

    async def ask(part: str) -> None:
        with span(part, lambda: float(next(now))):
            await asyncio.sleep(0)

    async def work(timeline: Timeline, part: str) -> None:
        CURRENT.set(timeline)
        async with asyncio.TaskGroup() as group:
            group.create_task(ask(part))

    async def both() -> tuple[Timeline, Timeline]:
        first, second = Timeline(0.0), Timeline(0.0)
        async with asyncio.TaskGroup() as group:
            group.create_task(work(first, "a"))
            group.create_task(work(second, "b"))
        await ask("nobody's")
        return first, second

    first, second = asyncio.run(both())
    assert [part for part, *_ in first.spans] == ["a"]
    assert [part for part, *_ in second.spans] == ["b"]


def test_what_fails_has_taken_its_time_too_and_what_is_over_takes_no_more() -> None:
    timeline = Timeline(0.0)
    token = CURRENT.set(timeline)
    try:
        with pytest.raises(OSError, match="no"), span("image", lambda: 1.0):
            raise OSError("no")
        timeline.over = True
        with span("image", lambda: 2.0):
            pass
    finally:
        CURRENT.reset(token)
    assert timeline.spans == [("image", 1.0, 1.0)]


class Slow(FakeRuntime):
    """Takes its time over what a real one takes its time over."""

    async def start_sandbox(self, spec: SandboxSpec) -> str:
        await self._clock.sleep(0.3)
        return await super().start_sandbox(spec)

    async def start_container(self, container_id: str) -> None:
        await self._clock.sleep(0.1)
        await super().start_container(container_id)


def test_the_agent_counts_where_the_time_of_each_first_start_went() -> None:
    async def scenario(island: Island, group: asyncio.TaskGroup) -> None:
        agent = island.start(group)
        await island.create("web")
        await island.clock.sleep(100)
        starts = agent.vitals.starts
        sums = {part: series[-1] for (part,), series in starts.present().items()}
        assert sums["sandbox"] == pytest.approx(0.3)
        assert sums["start"] == pytest.approx(0.1)
        assert sums[TOTAL] == pytest.approx(0.4)
        assert sums[OWN] == pytest.approx(0, abs=1e-6), "on virtual time thinking costs nothing"
        island.runtime.crash((await island.containers("web"))[0].id)
        await island.clock.sleep(100)
        assert restarts(await island.pod("web")) == 1
        await island.stop()
        again = island.start(group)
        await island.clock.sleep(100)
        assert starts.count(TOTAL) == 1, "a restart is no start"
        assert again.vitals.starts.count(TOTAL) == 0, "nor is finding it again"

    play(scenario, Slow)
