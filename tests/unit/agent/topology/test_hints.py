"""Where the parts of a container should lie together."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.agent.topology.hints import ANYWHERE, NEAR, NOWHERE, Hint, admits, hints, merge

TWO = (0, 1)


def at(*nodes: int, preferred: bool = True) -> Hint:
    return Hint(frozenset(nodes), preferred)


def test_the_narrowest_place_that_could_ever_hold_it_is_preferred() -> None:
    each = {0: 4, 1: 4}

    def places(count: int, free: dict[int, int]) -> list[Hint]:
        def of(amounts: dict[int, int]):  # type: ignore[no-untyped-def]
            return lambda nodes: sum(amounts[node] for node in nodes)

        return hints(count, of(each), of(free), TWO)

    assert places(2, each) == [at(0), at(1), at(0, 1, preferred=False)]
    assert places(2, {0: 1, 1: 4}) == [at(1), at(0, 1, preferred=False)]
    assert places(2, {0: 1, 1: 1}) == [at(0, 1, preferred=False)]
    assert places(6, each) == [at(0, 1)]
    assert places(9, each) == []


@pytest.mark.parametrize(
    ("parts", "policy", "wanted", "admitted"),
    [
        ([None, None], "best-effort", at(0, 1), True),
        ([[at(0), at(1)], [at(1), at(0, 1, preferred=False)]], "restricted", at(1), True),
        ([[at(0)], [at(1)]], "restricted", at(0, 1, preferred=False), False),
        ([[at(0)], [at(1)]], "best-effort", at(0, 1, preferred=False), True),
        ([[at(0, 1)]], "restricted", at(0, 1), True),
        ([[at(0, 1)]], "single-numa-node", at(0, 1, preferred=False), False),
        ([[at(1), at(0, 1, preferred=False)], None], "single-numa-node", at(1), True),
        ([None], "single-numa-node", ANYWHERE, True),
        ([[]], "restricted", at(0, 1, preferred=False), False),
        ([[], None], "best-effort", at(0, 1, preferred=False), True),
    ],
)
def test_what_follows_for_all_parts(parts: list[list[Hint] | None], policy: str, wanted: Hint, admitted: bool) -> None:
    found = merge(parts, policy, TWO)
    assert found == wanted
    assert admits(policy, found) is admitted


_hints = st.lists(st.builds(Hint, st.frozensets(st.integers(0, 2), min_size=1), st.booleans()), max_size=4, unique=True)


@given(st.lists(st.none() | _hints, max_size=4), st.sampled_from(NEAR))
def test_folding_finds_what_trying_everything_finds(parts: list[list[Hint] | None], policy: str) -> None:
    """The obvious way: every combination, each judged by itself."""
    every = frozenset(range(3))
    offered = [[ANYWHERE] if part is None else part or [NOWHERE] for part in parts]
    if policy == "single-numa-node":
        offered = [[h for h in part if h.preferred and (h.nodes is None or len(h.nodes) == 1)] for part in offered]
    found = []
    for chosen in product(*offered):
        place = every
        for each in chosen:
            place = place if each.nodes is None else place & each.nodes
        if place:
            found.append((not all(each.preferred for each in chosen), len(place), sorted(place)))
    told = merge(parts, policy, range(3))
    if not found:
        assert told == Hint(every, False)
    else:
        worse, _, nodes = min(found)
        assert told.preferred is not worse
        assert told.nodes == frozenset(nodes) or (told.nodes is None and policy == "single-numa-node")
