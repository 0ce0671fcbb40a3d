from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from navarch.agent.eviction import repeats
from navarch.agent.eviction.repeats import Repeats

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)


class Time:
    def __init__(self) -> None:
        self.now = EPOCH

    def __call__(self) -> datetime:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def test_nobody_waits_who_did_nothing() -> None:
    time = Time()
    found = Repeats(time)
    assert found.held_until("a") is None
    found.note("a")
    assert found.held_until("b") is None


def test_each_time_it_is_twice_as_long() -> None:
    time = Time()
    found = Repeats(time)
    waits = []
    for _ in range(7):
        found.note("a")
        until = found.held_until("a")
        assert until is not None
        waits.append((until - time.now).total_seconds())
        time.now = until
        assert found.held_until("a") is None
    assert waits == [10, 20, 40, 80, 160, 300, 300]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 1000)), max_size=30))
def test_nobody_waits_longer_than_the_longest_nor_is_remembered_for_good(steps: list[tuple[str, float]]) -> None:
    time = Time()
    found = Repeats(time)
    for owner, seconds in steps:
        found.note(owner)
        until = found.held_until(owner)
        assert until is not None
        assert timedelta() < until - time.now <= timedelta(seconds=repeats.LONGEST_S)
        time.pass_s(seconds)
    time.pass_s(repeats.FORGOTTEN.total_seconds())
    found.note("d")
    assert set(found._past) == {"d"}
