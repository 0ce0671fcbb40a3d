"""From signals to conditions and to what is acted on, over time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from navarch.agent.eviction.judge import Memory, is_crossed, is_over, judge
from navarch.agent.eviction.thresholds import CONDITIONS, Observation, Threshold
from navarch.agent.kubelet import Threshold as Least

START = datetime(2026, 1, 1, tzinfo=UTC)
MEMORY, DISK_SIGNAL = "memory.available", "nodefs.available"
HARD = Threshold(MEMORY, Least(100))
SOFT = Threshold(MEMORY, Least(300), grace_s=90.0)
DISK = Threshold(DISK_SIGNAL, Least(part=0.1), reclaim=Least(part=0.05))
TRANSITION_S = 300.0


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def left(available: int, signal: str = MEMORY, capacity: int = 1000) -> dict[str, Observation]:
    return {signal: Observation(available, capacity)}


def test_a_hard_threshold_is_acted_on_at_once() -> None:
    found = judge((HARD,), left(99), Memory(), at(0), TRANSITION_S)
    assert found.pressure == {"MemoryPressure"}
    assert found.due == (HARD,)
    assert judge((HARD,), left(100), Memory(), at(0), TRANSITION_S).pressure == frozenset()


def test_a_soft_threshold_is_acted_on_when_its_grace_is_over() -> None:
    first = judge((SOFT,), left(200), Memory(), at(0), TRANSITION_S)
    assert first.pressure == {"MemoryPressure"}
    assert first.due == ()
    assert judge((SOFT,), left(200), first.memory, at(89), TRANSITION_S).due == ()
    assert judge((SOFT,), left(200), first.memory, at(90), TRANSITION_S).due == (SOFT,)


def test_a_shortage_that_ends_in_between_starts_its_grace_anew() -> None:
    first = judge((SOFT,), left(200), Memory(), at(0), TRANSITION_S)
    over = judge((SOFT,), left(400), first.memory, at(60), TRANSITION_S)
    again = judge((SOFT,), left(200), over.memory, at(70), TRANSITION_S)
    assert judge((SOFT,), left(200), again.memory, at(100), TRANSITION_S).due == ()


def test_a_condition_outlives_its_cause_by_the_transition_period() -> None:
    first = judge((HARD,), left(50), Memory(), at(0), TRANSITION_S)
    assert judge((HARD,), left(500), first.memory, at(299), TRANSITION_S).pressure == {"MemoryPressure"}
    later = judge((HARD,), left(500), first.memory, at(300), TRANSITION_S)
    assert later.pressure == frozenset()
    assert later.memory.pressed == {}


def test_what_was_acted_on_stays_crossed_until_enough_is_reclaimed() -> None:
    first = judge((DISK,), left(99, DISK_SIGNAL), Memory(), at(0), 0.0)
    assert first.due == (DISK,)
    second = judge((DISK,), left(149, DISK_SIGNAL), first.memory, at(10), 0.0)
    assert second.due == (DISK,)
    assert second.pressure == {"DiskPressure"}
    assert judge((DISK,), left(150, DISK_SIGNAL), second.memory, at(20), 0.0).due == ()
    assert judge((DISK,), left(149, DISK_SIGNAL), Memory(), at(0), 0.0).due == ()


def test_memory_is_acted_on_before_the_disk() -> None:
    seen = {**left(50), **left(10, DISK_SIGNAL)}
    assert judge((DISK, HARD), seen, Memory(), at(0), TRANSITION_S).due == (HARD, DISK)


def test_what_could_not_be_measured_crosses_nothing() -> None:
    assert judge((HARD, DISK), {}, Memory(), at(0), TRANSITION_S).due == ()
    assert is_over((HARD, DISK), {})


def test_reclaiming_is_over_only_with_what_is_wanted_on_top() -> None:
    assert not is_over((DISK,), left(120, DISK_SIGNAL))
    assert is_over((DISK,), left(151, DISK_SIGNAL))


SIGNALS = st.sampled_from(sorted(CONDITIONS))
LEAST = st.one_of(st.builds(Least, st.integers(1, 1000)), st.floats(0.01, 0.99).map(lambda part: Least(part=part)))
RECLAIM = st.one_of(st.just(Least(0)), st.builds(Least, st.integers(0, 200)))
THRESHOLDS = st.builds(Threshold, SIGNALS, LEAST, st.sampled_from([0.0, 30.0, 90.0]), RECLAIM)
SEEN = st.dictionaries(SIGNALS, st.builds(Observation, st.integers(0, 1000), st.just(1000)))
ROUNDS = st.lists(SEEN, min_size=1, max_size=8)


@given(st.lists(THRESHOLDS, max_size=6, unique=True), ROUNDS)
def test_nothing_is_ever_acted_on_that_is_not_short(
    given: list[Threshold], rounds: list[dict[str, Observation]]
) -> None:
    memory = Memory()
    for number, seen in enumerate(rounds):
        before = memory
        found = judge(given, seen, memory, at(10 * number), 60.0)
        memory = found.memory
        for one in found.due:
            assert is_crossed(one, seen, reclaim=True)
            assert is_crossed(one, seen) or one in before.due
            assert found.memory.crossed[one] <= at(10 * number - one.grace_s)
            assert one.condition in found.pressure
        for one in given:
            if is_crossed(one, seen):
                assert one.condition in found.pressure
