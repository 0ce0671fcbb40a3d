"""Fair queuing: no flow starves, whatever the others send. Time is turned by hand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from navarch.apiserver.fairness.level import Level
from navarch.apiserver.fairness.matching import LevelSpec, SchemaSpec
from navarch.apiserver.fairness.queueset import QueueSet, Ticket, hand, number_of
from navarch.apiserver.fairness.seats import Bounds

SCHEMA = SchemaSpec("s", "l", 1, ())


@given(st.integers(0, 2**64 - 1), st.integers(1, 200), st.integers(1, 20))
def test_a_hand_has_different_cards(number: int, queues: int, size: int) -> None:
    cards = hand(number, queues, size)
    assert len(cards) == len(set(cards)) == min(size, queues)
    assert all(0 <= card < queues for card in cards)


def test_hands_are_spread_evenly() -> None:
    dealt = [card for flow in range(2_000) for card in hand(number_of("s", str(flow)), 8, 2)]
    assert all(400 < dealt.count(queue) < 600 for queue in range(8))


def drained(queues: QueueSet, seats: int, took_s: float, turns: int) -> list[Ticket]:
    """Who had a turn, in order, when each holds its seats for `took_s`."""
    now, taken, order = 0.0, 0, []
    working: list[Ticket] = []
    for _ in range(turns):
        while (ticket := queues.next(now, seats, taken)) is not None:
            taken += ticket.seats
            working.append(ticket)
            order.append(ticket)
        now += took_s
        for done in working:
            queues.leave(done, now, seats)
            taken -= done.seats
        working.clear()
    return order


@given(st.lists(st.integers(1, 40), min_size=2, max_size=6), st.integers(1, 5), st.sampled_from((0.0, 0.001, 0.5)))
def test_queues_are_served_alike_however_much_waits(lengths: list[int], seats: int, took_s: float) -> None:
    queues = QueueSet(len(lengths), 1, 1_000)
    for flow, length in enumerate(lengths):
        for _ in range(length):
            assert queues.arrive(Ticket(1), flow, 0.0, seats)
    order = [ticket.queue for ticket in drained(queues, seats, took_s, sum(lengths))]
    assert len(order) == sum(lengths)
    assert queues.waiting == queues.waiting_seats == 0
    assert queues.lengths() == {}
    for at in range(len(order)):
        served = [order[: at + 1].count(flow) for flow in range(len(lengths))]
        backlogged = [count for flow, count in enumerate(served) if count < lengths[flow]]
        if backlogged:  # no queue that still waits is more than a round, and what is under way, behind another
            assert max(backlogged) - min(backlogged) <= 1 + seats


@given(st.integers(2, 60), st.integers(1, 10))
def test_wide_calls_pay_for_their_seats(narrow: int, width: int) -> None:
    """A queue of wide calls gets no more seats than one of narrow ones, but for the call at hand."""
    queues = QueueSet(2, 1, 1_000)
    for _ in range(narrow):
        queues.arrive(Ticket(1), 0, 0.0, width)
        queues.arrive(Ticket(width), 1, 0.0, width)
    given_to = [0, 0]
    for ticket in drained(queues, width, 0.001, 3 * narrow * width):
        given_to[ticket.queue] += ticket.seats
        if given_to[0] < narrow:
            assert given_to[1] <= given_to[0] + 2 * width


@given(
    st.lists(
        st.tuples(st.sampled_from(["heavy", "heavy", "heavy", "light"]), st.integers(1, 3), st.floats(0, 0.01)),
        min_size=1,
        max_size=200,
    )
)
def test_seats_are_never_lost_nor_overdrawn(story: list[tuple[str, int, float]]) -> None:
    level = Level(LevelSpec("l", queues=4, hand=2, length=5))
    level.bounds, level.limit = Bounds(3, 3, 3), 3
    now = 0.0
    sitting: list[Ticket] = []
    waiting: list[Ticket] = []
    for number, (flow, width, passes_s) in enumerate(story):
        now += passes_s
        ticket = Ticket(width)
        if level.sit(ticket.seats):
            sitting.append(ticket)
        elif level.queue(ticket, flow, SCHEMA, now):
            waiting.append(ticket)
        if number % 3 == 0 and sitting:
            level.rise(sitting.pop(0), now)
        if number % 7 == 0 and waiting:
            assert level.give_up(waiting.pop(), now)
        while (due := level.next(now)) is not None:
            waiting.remove(due)
            sitting.append(due)
        assert level.taken == sum(one.seats for one in sitting) <= 3
        assert level.waiting == len(waiting)
    while sitting:
        level.rise(sitting.pop(), now)
        while (due := level.next(now)) is not None:
            waiting.remove(due)
            sitting.append(due)
    assert (level.taken, level.executing, level.waiting, waiting) == (0, 0, 0, [])


def test_a_full_queue_turns_away_and_a_new_shape_keeps_who_waits() -> None:
    level = Level(LevelSpec("l", queues=1, hand=1, length=1))
    first, second = Ticket(1), Ticket(1)
    assert level.sit(first.seats)
    assert not level.sit(second.seats)
    assert level.queue(second, "f", SCHEMA, 0.0)
    assert not level.queue(Ticket(1), "f", SCHEMA, 0.0)
    level.configure(LevelSpec("l", queues=2, hand=1, length=1))
    third = Ticket(1)
    assert level.queue(third, "f", SCHEMA, 0.0)
    level.rise(first, 1.0)
    assert level.next(1.0) is second
    assert level.next(1.0) is None
    level.rise(second, 2.0)
    assert level.next(2.0) is third
    level.rise(third, 3.0)
    assert not level.give_up(third, 3.0)
    level.configure(LevelSpec("l"))
    assert level.queues is None
    assert not level.queue(Ticket(1), "f", SCHEMA, 0.0)
