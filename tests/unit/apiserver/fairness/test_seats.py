"""How seats are shared out among levels, and how many a call takes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from navarch.apiserver.fairness.matching import LevelSpec
from navarch.apiserver.fairness.seats import Bounds, allocate, bounds, smoothed
from navarch.apiserver.fairness.work import seats_of


def test_nominal_seats_go_by_shares() -> None:
    found = bounds(
        600,
        {
            "high": LevelSpec("high", shares=40, lendable=50),
            "low": LevelSpec("low", shares=20, lendable=0, borrowing=50),
            "free": LevelSpec("free", exempt=True, shares=0),
        },
    )
    assert found["high"] == Bounds(400, 200, 600)
    assert found["low"] == Bounds(200, 200, 300)
    assert found["free"].nominal == 0


def test_what_nobody_wants_is_lent() -> None:
    levels = {"a": Bounds(300, 100, 600), "b": Bounds(300, 100, 600)}
    found = allocate(600, {"a": (levels["a"], 1_000.0), "b": (levels["b"], 10.0)})
    assert found["a"] >= 490
    assert found["b"] >= 100
    found = allocate(600, {name: (bound, 400.0) for name, bound in levels.items()})
    assert found == {"a": 300, "b": 300}


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 100), st.integers(0, 2_000)), min_size=1, max_size=8))
def test_everybody_keeps_what_is_not_lent(story: list[tuple[int, int, int]]) -> None:
    specs = {str(n): LevelSpec(str(n), shares=shares, lendable=lent) for n, (shares, lent, _) in enumerate(story)}
    found = bounds(600, specs)
    limits = allocate(600, {str(n): (found[str(n)], float(want)) for n, (_, _, want) in enumerate(story)})
    for name, limit in limits.items():
        assert max(1, found[name].lower) <= limit <= found[name].upper
    assert sum(limits.values()) <= 600 + 2 * len(limits)


def test_what_was_wanted_is_forgotten_slowly() -> None:
    assert smoothed(0, 50) == 50
    assert 48 < smoothed(50, 0) < 50


def test_what_lists_cost() -> None:
    assert seats_of(0, 0, False, 100) == 1
    assert seats_of(450, 0, False, 100) == 5
    assert seats_of(450, 100, False, 100) == 1
    assert seats_of(450, 100, True, 100) == 5
    assert seats_of(100_000, 0, False, 600) == 10
    assert seats_of(100_000, 0, False, 20) == 3
    assert seats_of(100_000, 0, False, 1) == 1
