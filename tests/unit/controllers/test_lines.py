"""What follows from lines to nodes that end, and who is silent sooner because of it."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.client.informer import Informer
from navarch.client.lease import ALIVE
from navarch.controllers.node import lifecycle, lines
from navarch.controllers.node.lines import Count, Line, News
from navarch.controllers.options import Options, Setup
from navarch.kinds import NODE
from tests.unit.controllers.conftest import NOW, Make
from tests.unit.controllers.lately import Lately

FINE, CUT_OFF = Count(5, 1), Count(0, 1)
SILENCE = (News.GIVEN_UP, News.UNANSWERED)


def played(*news: News, count: Count = FINE, line: Line | None = None) -> Line:
    line = line or Line()
    for number, each in enumerate(news):
        line = lines.after(line, each, NOW + timedelta(seconds=number), lambda: count)
    return line


def test_a_host_is_out_of_reach_when_neither_the_line_nor_a_new_one_has_an_answer() -> None:
    assert played(News.UP, News.GIVEN_UP).lost_at is None
    assert lines.pause_s(played(News.UP, News.GIVEN_UP)) == 0, "the last question is asked at once"
    assert played(News.UP, *SILENCE).lost_at == NOW + timedelta(seconds=2)


def test_a_host_that_ended_the_line_is_asked_three_times() -> None:
    """It may have said that it goes down."""
    asked = (News.UP, News.ENDED, News.UNANSWERED, News.UNANSWERED)
    assert played(*asked).lost_at is None
    assert played(*asked, News.UNANSWERED).lost_at is not None


@pytest.mark.parametrize("news", [News.UP, News.ENDED])
def test_a_host_that_is_there_again_is_in_reach(news: News) -> None:
    assert played(News.UP, *SILENCE, news).lost_at is None
    assert played(News.UP, News.GIVEN_UP, news, News.UNANSWERED).lost_at is None, "questions are counted anew"


def test_a_host_that_was_never_reached_is_not_out_of_reach() -> None:
    assert played(*[News.UNANSWERED] * 9).lost_at is None
    assert played(News.ENDED, *[News.UNANSWERED] * 9).lost_at is None


def test_who_is_cut_off_blames_nobody_and_not_later_either() -> None:
    alone = played(News.UP, *SILENCE, count=CUT_OFF)
    assert alone.lost_at is None
    assert played(*[News.UNANSWERED] * 5, line=alone).lost_at is None
    assert played(News.UP, *SILENCE, line=alone).lost_at is not None, "in its next silence"


@pytest.mark.parametrize(
    ("hold", "silent", "cut_off"), [(0, 1, True), (1, 1, False), (1, 2, True), (2, 2, False), (99, 1, False)]
)
def test_half_of_the_lines_are_enough(hold: int, silent: int, cut_off: bool) -> None:
    assert Count(hold, silent).cut_off is cut_off


def _same(count: Count) -> Count:
    return count


@given(st.lists(st.tuples(st.sampled_from(News), st.booleans(), st.floats(0, 100)), max_size=40))
def test_whatever_comes(history: list[tuple[News, bool, float]]) -> None:
    """Out of reach is only who was reached, who has not answered three questions in a row since, and who was not the
    only one when that was found. No attempt follows another without a pause but while that is being found out."""
    line, reached, unanswered, lost = Line(), False, 0, False
    for number, (news, fine, held_s) in enumerate(history):
        before, count = unanswered, FINE if fine else CUT_OFF
        line = lines.after(line, news, NOW + timedelta(seconds=number), partial(_same, count), held_s)
        if news in (News.UP, News.ENDED):
            reached, unanswered, lost = reached or news is News.UP, 0, False
        elif news is not News.OWN_TROUBLE:
            unanswered += 2 if news is News.GIVEN_UP else 1
            lost = lost or (reached and fine and before < 3 <= unanswered)
        assert (line.lost_at is not None) is lost
        pause_s = lines.pause_s(line)
        assert pause_s <= (2 if unanswered else 30)
        assert pause_s > 0 or (reached and 0 < unanswered < 3)


def test_attempts_become_rarer() -> None:
    pauses = [lines.pause_s(played(*[News.ENDED] * number)) for number in range(1, 10)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (0.25, 30)
    long = lines.after(played(*[News.ENDED] * 9), News.ENDED, NOW, lambda: FINE, held_s=30)
    assert lines.pause_s(long) == 0.25, "an agent ends a line on which nothing is said now and then"


@pytest.mark.parametrize(
    ("number", "up", "news"),
    [
        (errno.ETIMEDOUT, True, News.GIVEN_UP),
        (errno.ETIMEDOUT, False, News.UNANSWERED),
        (errno.EHOSTUNREACH, True, News.GIVEN_UP),
        (errno.ENETUNREACH, False, News.UNANSWERED),
        (errno.ECONNREFUSED, False, News.ENDED),
        (errno.ECONNRESET, True, News.ENDED),
        (None, True, News.ENDED),
        (errno.EMFILE, False, News.OWN_TROUBLE),
        (errno.EACCES, False, News.OWN_TROUBLE),
    ],
)
def test_what_the_kernel_says(number: int | None, up: bool, news: News) -> None:
    error = None if number is None else OSError(number, "it says so")
    assert lines.news_of(error, up=up) is news


@pytest.mark.parametrize(("nodes", "seconds"), [(0, 1), (3, 1), (2000, 1), (2001, 2), (5000, 3)])
def test_many_nodes_are_asked_less_often(nodes: int, seconds: int) -> None:
    assert lines.every_s(nodes) == seconds
    assert lines.holds(seconds + 0.1, seconds)
    assert lines.holds(2 * seconds + 0.1, seconds), "one answer may be lost on the way"
    assert not lines.holds(2 * seconds + 1, seconds), "when another line is given up, none may have come for so long"


def test_who_has_been_away_for_long_says_nothing_of_this_machine() -> None:
    away = played(News.UP, *SILENCE)
    assert lines.silent(away, NOW + timedelta(seconds=50))
    assert not lines.silent(away, NOW + timedelta(seconds=70))
    assert not lines.silent(played(News.UP, News.ENDED), NOW)
    assert not lines.silent(played(News.UNANSWERED), NOW)


@pytest.mark.parametrize(
    ("address", "port", "far"),
    [
        ("10.0.0.1", 10250, ("10.0.0.1", 10250)),
        ("fd00::1", 10250, ("fd00::1", 10250)),
        ("10.0.0.1", 0, None),
        ("10.0.0.1", 99999, None),
        ("node.example", 10250, None),
        ("", 10250, None),
    ],
)
def test_where_the_agent_is(make: Make, address: str, port: int, far: tuple[str, int] | None) -> None:
    addresses = [{"type": "Hostname", "address": "a"}, {"type": "InternalIP", "address": address}]
    status = {"addresses": addresses, "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}
    assert lines.far_end(make.object(NODE, "a", status=status)) == far
    assert lines.far_end(make.object(NODE, "a")) is None


# who is silent because of it


class Told(Lately):
    """The seam `Lines` too: as a test says."""

    def __init__(self) -> None:
        super().__init__()
        self.lost: dict[str, datetime] = {}

    def lost_at(self, node: str) -> datetime | None:
        return self.lost.get(node)

    def states(self) -> Mapping[tuple[str, ...], float]:
        return {}

    async def run(self, nodes: Informer) -> None:
        raise AssertionError


def setup(told: Told, **options: Any) -> Setup:
    return Setup(told, told, Options(**options), lines=told)


def test_a_node_out_of_reach_is_silent_when_its_renewal_is_overdue() -> None:
    told = Told()
    ears = lifecycle.Ears(setup(told))
    told.seen["a"] = NOW
    assert ears.grace_s("a") == 12
    told.lost["a"] = NOW + timedelta(seconds=3)
    assert ears.grace_s("a") == lines.OVERDUE_S
    told.moment = NOW + timedelta(seconds=4.2)
    assert ears.hears("a")
    told.moment = NOW + timedelta(seconds=4.3)
    assert not ears.hears("a")
    assert lifecycle.Ears(setup(told, node_grace_s=2.0)).grace_s("a") == 2


def test_a_node_that_renews_although_its_host_does_not_answer_has_the_whole_grace() -> None:
    told = Told()
    told.lost["a"], told.seen["a"] = NOW, NOW + timedelta(seconds=1)
    ears = lifecycle.Ears(setup(told))
    assert ears.grace_s("a") == 12
    told.moment = NOW + timedelta(seconds=9)
    assert ears.hears("a")


def test_a_node_whose_host_is_in_reach_again_has_the_whole_grace() -> None:
    told = Told()
    ears = lifecycle.Ears(setup(told))
    told.seen["a"] = NOW
    told.lost["a"] = NOW + timedelta(seconds=3)
    told.moment = NOW + timedelta(seconds=6)
    assert not ears.hears("a")
    del told.lost["a"]
    assert ears.hears("a")


@given(st.integers(0, 20), st.integers(0, 20), st.booleans())
def test_lines_end_no_grace_of_a_node_that_was_not_heard_of(lost_s: int, seen_s: int, alive: bool) -> None:
    told = Told()
    told.lost["a"] = NOW + timedelta(seconds=lost_s)
    ears = lifecycle.Ears(setup(told))
    assert ears.grace_s("a") == 12, "it has the time that a new node has"
    told.seen["a"] = ALIVE if alive else NOW + timedelta(seconds=seen_s)
    assert ears.grace_s("a") == (lines.OVERDUE_S if not alive and seen_s <= lost_s else 12)


def test_a_process_that_was_stopped_does_not_blame_a_node_out_of_reach() -> None:
    told = Told()
    ears = lifecycle.Ears(setup(told))
    told.seen["a"] = NOW
    ears.last_heard("a")
    told.lost["a"] = NOW + timedelta(seconds=60)
    told.moment = NOW + timedelta(seconds=60)
    assert ears.last_heard("a") == told.moment
    assert ears.hears("a")


def test_a_node_is_looked_at_when_its_host_is_out_of_reach() -> None:
    told = Told()
    declared = lifecycle.controller(setup(told))
    queued: list[Any] = []
    assert declared.listen is not None
    declared.listen(queued.append)
    told.listeners[-1]("a")
    assert queued == [("", "a")]


def test_the_plan_counts_with_what_is_left(make: Make) -> None:
    node = make.object(NODE, "a", status={"conditions": [{"type": "Ready", "status": "True"}]})
    observed = lifecycle.Observed(node, NOW, True, lines.OVERDUE_S)
    found = lifecycle.plan(observed, NOW + timedelta(seconds=4))
    assert found.requeue_after_s == 0.25
    assert found.actions == ()
    assert lifecycle.plan(observed, NOW + timedelta(seconds=4.25)).actions
