"""The arithmetic of a rollout keeps its bounds, whatever the numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from navarch.controllers.deployment.sizes import Bounds, Size, bounds, new_size, old_sizes, proportional, scaled

START = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "wanted"),
    [
        (10, "25%", "25%", (3, 2)),
        (1, "25%", "25%", (1, 0)),
        (4, "25%", "25%", (1, 1)),
        (0, "25%", "25%", (0, 0)),
        (10, 0, 0, (0, 1)),
        (2, "10%", "10%", (1, 0)),
        (2, 0, "10%", (0, 1)),
        (3, 1, 5, (1, 3)),
        (5, "200%", "100%", (10, 5)),
        (5, "x%", "", (0, 1)),
    ],
)
def test_percentages_round_surge_up_and_unavailable_down(
    replicas: int, surge: int | str, unavailable: int | str, wanted: tuple[int, int]
) -> None:
    found = bounds(replicas, surge, unavailable)
    assert (found.surge, found.unavailable) == wanted


def test_recreate_knows_neither() -> None:
    assert bounds(10, 5, 5, rolling=False) == Bounds(10, 0, 0)


numbers = st.integers(0, 60)
shares = st.one_of(st.integers(0, 70), st.integers(0, 150).map(lambda number: f"{number}%"))
limits = st.builds(bounds, numbers, shares, shares)


@st.composite
def revisions(draw: st.DrawFn, most: int = 6) -> list[Size]:
    made = []
    for number in range(draw(st.integers(0, most))):
        replicas = draw(numbers)
        available = draw(st.integers(0, replicas))
        created = START + timedelta(seconds=draw(st.integers(0, 5)))
        made.append(Size(f"u{number}", replicas, available, created, f"r{number}", draw(st.integers(0, 80))))
    return made


@given(limits, numbers, numbers)
def test_growing_the_new_revision_never_passes_the_most(found: Bounds, new: int, old: int) -> None:
    size = new_size(found, new, new + old)
    assert size <= found.replicas
    if size > new:
        assert size + old <= found.most
    if old == 0:
        assert size == found.replicas


@given(limits, revisions(), numbers, numbers)
def test_shrinking_old_revisions_never_goes_below_the_fewest(
    found: Bounds, old: list[Size], replicas: int, available: int
) -> None:
    assume(available <= replicas)
    new = Size("new", replicas, available, START)
    lowered = old_sizes(found, new, old)
    before = new.available + sum(size.available for size in old)
    lost_available = 0
    for size in old:
        kept = lowered.get(size.uid, size.replicas)
        assert 0 <= kept <= size.replicas
        lost_available += max(0, size.available - kept)
    if before >= found.fewest:
        assert before - lost_available >= found.fewest
    else:
        assert lost_available == 0


@given(limits, st.lists(st.integers(1, 60), min_size=1, max_size=6))
def test_proportional_scaling_sums_to_what_is_allowed(found: Bounds, replicas: list[int]) -> None:
    """From a rollout that used all it was allowed, as its annotations say."""
    total = sum(replicas)
    active = [Size(f"u{n}", size, size, START + timedelta(n), f"r{n}", total) for n, size in enumerate(replicas)]
    sizes = proportional(found, active, total)
    allowed = found.most if found.replicas else 0
    assert sum(sizes.values()) == allowed
    for size in active:
        exact = size.replicas * allowed / total
        assert sizes[size.uid] >= 0
        assert abs(sizes[size.uid] - exact) <= len(replicas)


@given(limits, revisions(), st.integers(0, 200))
def test_proportional_scaling_knows_no_negative_numbers(found: Bounds, active: list[Size], existing: int) -> None:
    """Whatever the annotations say."""
    active = [size for size in active if size.replicas > 0]
    sizes = proportional(found, active, existing)
    assert set(sizes) == {size.uid for size in active}
    assert all(size >= 0 for size in sizes.values())


def test_proportional_scaling_shares_by_size() -> None:
    """The example of the documentation: 10 replicas with surge 3 become 15 in the middle of a rollout."""
    old = Size("old", 8, 8, START, "old", 13)
    new = Size("new", 5, 2, START + timedelta(1), "new", 13)
    assert proportional(Bounds(15, 3, 2), [old, new], 13) == {"old": 11, "new": 7}


def test_the_newest_gets_what_rounding_leaves() -> None:
    same = [Size(name, 1, 1, START + timedelta(days), name, 2) for days, name in enumerate(("a", "b"))]
    assert proportional(Bounds(5, 0, 1), same, 2) == {"a": 2, "b": 3}


def test_scaling_reads_percentages_only() -> None:
    assert scaled("50%", 3, up=True) == 2
    assert scaled("50%", 3, up=False) == 1
    assert scaled("half", 3, up=True) == 0


@given(limits, st.data())
def test_a_rollout_ends_with_all_pods_new_and_keeps_its_bounds_all_the_way(found: Bounds, data: st.DataObject) -> None:
    assume(found.replicas > 0)
    new = Size("new", 0, 0, START + timedelta(1))
    old = Size("old", found.replicas, found.replicas, START)
    for _ in range(4 * (found.most + 2)):
        size = new_size(found, new.replicas, new.replicas + old.replicas)
        if size != new.replicas:
            new = Size("new", size, new.available, new.created)
        else:
            left = old_sizes(found, new, [old]).get("old", old.replicas)
            old = Size("old", left, min(left, old.available), START)
        assert new.replicas + old.replicas <= found.most
        assert new.available + old.available >= found.fewest
        ready = data.draw(st.integers(new.available, new.replicas)) if new.available < new.replicas else new.available
        new = Size("new", new.replicas, min(new.replicas, ready + 1), new.created)
    assert (new.replicas, old.replicas) == (found.replicas, 0)
