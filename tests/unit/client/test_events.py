"""Events are written in the background, combined where they repeat, and never hold anybody up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from navarch.base.errors import Forbidden, NotFound, Retryable
from navarch.client.events import BURST, COMBINED, REMEMBERED, ROOM, SIMILAR_LIMIT, Correlator, Events, Told
from navarch.kinds import EVENT, NODE, POD
from navarch.kinds.object import Object

START = datetime(2030, 1, 1, tzinfo=UTC)


class StillClock:
    """Sleeping takes no time but is counted."""

    def __init__(self) -> None:
        self.moment = START
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return (self.moment - START).total_seconds()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)


def pod(name: str = "p") -> Object:
    return Object.of(POD, {"metadata": {"name": name, "namespace": "ns", "uid": f"u-{name}", "resourceVersion": "7"}})


def play(client: Any, script: Callable[[Events, StillClock], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        clock = StillClock()
        events = Events(client, clock)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(events.run())
            await script(events, clock)
            running.cancel()

    asyncio.run(main())


def written(client: Any) -> list[dict[str, Any]]:
    return [found.document() for (kind, _, _), found in client.objects.items() if kind is EVENT]


def test_an_event_says_what_happened_to_what(client: Any, until: Any) -> None:
    async def script(events: Events, clock: StillClock) -> None:
        events.of("kubelet", "n1").event(pod(), "Warning", "Failed", "no image", field_path="spec.containers{c}")
        await until(lambda: events.idle)
        (found,) = written(client)
        assert found["metadata"]["namespace"] == "ns"
        assert found["metadata"]["name"].startswith("p.")
        assert found["involvedObject"] == {
            "kind": "Pod",
            "apiVersion": "v1",
            "name": "p",
            "namespace": "ns",
            "uid": "u-p",
            "resourceVersion": "7",
            "fieldPath": "spec.containers{c}",
        }
        assert (found["type"], found["reason"], found["message"]) == ("Warning", "Failed", "no image")
        assert "annotations" not in found["metadata"]
        events.of("kubelet", "n1").event(pod(), "Warning", "Evicted", "x", annotations={"starved_resource": "memory"})
        await until(lambda: events.idle)
        assert [one["metadata"].get("annotations") for one in written(client)] == [None, {"starved_resource": "memory"}]
        assert found["source"] == {"component": "kubelet", "host": "n1"}
        assert (found["reportingComponent"], found["reportingInstance"]) == ("kubelet", "n1")
        assert found["firstTimestamp"] == found["lastTimestamp"] == "2030-01-01T00:00:00Z"
        assert found["count"] == 1

    play(client, script)


def test_events_of_cluster_objects_stand_in_default(client: Any, until: Any) -> None:
    async def script(events: Events, clock: StillClock) -> None:
        events.of("x").event(Object.of(NODE, {"metadata": {"name": "n", "uid": "u"}}), "Normal", "R", "m")
        await until(lambda: events.idle)
        assert written(client)[0]["metadata"]["namespace"] == "default"

    play(client, script)


def test_repetitions_are_counted(client: Any, until: Any) -> None:
    async def script(events: Events, clock: StillClock) -> None:
        voice = events.of("x")
        for _ in range(3):
            voice.event(pod(), "Normal", "Again", "the same")
            clock.moment += timedelta(seconds=60)
        voice.event(pod(), "Normal", "Again", "another")
        await until(lambda: events.idle)
        first, second = written(client)
        assert (first["count"], first["lastTimestamp"]) == (3, "2030-01-01T00:02:00Z")
        assert second["count"] == 1

    play(client, script)


def test_a_counted_event_that_is_gone_is_made_anew(client: Any, until: Any) -> None:
    async def script(events: Events, clock: StillClock) -> None:
        voice = events.of("x")
        voice.event(pod(), "Normal", "Again", "the same")
        await until(lambda: events.idle)
        client.failures["patch"] = [NotFound("expired")]
        voice.event(pod(), "Normal", "Again", "the same")
        await until(lambda: events.idle)
        assert len(written(client)) == 2

    play(client, script)


def test_many_similar_ones_become_one(client: Any, until: Any) -> None:
    async def script(events: Events, clock: StillClock) -> None:
        for number in range(SIMILAR_LIMIT + 5):
            events.of("x").event(pod(), "Normal", "Noise", f"message {number}")
        await until(lambda: events.idle)
        found = written(client)
        assert len(found) == SIMILAR_LIMIT
        assert found[-1]["message"] == f"{COMBINED}message {SIMILAR_LIMIT + 4}"
        assert found[-1]["count"] == 6

    play(client, script)


def test_a_flood_is_cut_short_and_trickles_on(client: Any, until: Any) -> None:
    async def script(events: Events, clock: StillClock) -> None:
        for _ in range(3 * BURST):
            events.of("x").event(pod(), "Normal", "Flood", "m")
        events.of("x").event(pod("other"), "Normal", "Flood", "m")
        await until(lambda: events.idle)
        assert events.dropped == 2 * BURST
        assert [event["count"] for event in written(client)] == [BURST, 1], "another object has its own share"
        clock.moment += timedelta(seconds=301)
        events.of("x").event(pod(), "Normal", "Flood", "m")
        await until(lambda: events.idle)
        assert written(client)[0]["count"] == BURST + 1

    play(client, script)


def test_room_is_bounded(client: Any) -> None:
    events = Events(client, StillClock())
    for number in range(ROOM + 10):
        events.of("x").event(pod(f"p{number}"), "Normal", "R", "m")
    assert events.dropped == 10


def test_a_server_that_is_away_is_tried_again_and_a_refusal_is_not(client: Any, until: Any) -> None:
    async def script(events: Events, clock: StillClock) -> None:
        client.failures["create"] = [Retryable("away"), Retryable("away")]
        events.of("x").event(pod(), "Normal", "R", "m")
        await until(lambda: events.idle)
        assert len(written(client)) == 1
        assert clock.slept == [10.0, 10.0]
        client.failures["create"] = [Forbidden("namespace is terminating")]
        events.of("x").event(pod("q"), "Normal", "R", "m")
        await until(lambda: events.idle)
        assert len(written(client)) == 1

    play(client, script)


def test_names_differ_at_one_moment(client: Any, until: Any) -> None:
    async def script(events: Events, clock: StillClock) -> None:
        events.of("x").event(pod(), "Normal", "A", "m")
        events.of("x").event(pod(), "Normal", "B", "m")
        await until(lambda: events.idle)
        assert len(written(client)) == 2

    play(client, script)


def test_long_messages_are_cut(client: Any, until: Any) -> None:
    async def script(events: Events, clock: StillClock) -> None:
        events.of("x").event(pod(), "Normal", "R", "m" * 5000)
        await until(lambda: events.idle)
        assert len(written(client)[0]["message"]) == 1024

    play(client, script)


@given(st.integers(1, 40), st.integers(0, 1000))
def test_a_source_never_says_more_than_its_share(rounds: int, pause_s: int) -> None:
    correlator = Correlator()
    said = 0
    now = START
    for _ in range(rounds):
        for _ in range(10):
            said += correlator.admit(Told((("name", "p"),), "x", "", "Normal", "R", "m", "", now))
        now += timedelta(seconds=pause_s)
    assert said <= BURST + (now - START).total_seconds() / 300 + 1


def test_memory_is_bounded() -> None:
    correlator = Correlator()
    for number in range(REMEMBERED + 100):
        told = Told((("name", f"p{number}"),), "x", "", "Normal", "R", "m", "", START)
        correlator.admit(told)
        correlator.combine(told)
    assert len(correlator._buckets) == len(correlator._similar) == REMEMBERED
