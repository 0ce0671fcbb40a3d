"""Every hop that breaks is the one that is named, for the probes that are planned tell all hops apart."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from check_scenery import cast, cluster, results
from hypothesis import given
from hypothesis import strategies as st

from navarch.app.netcheck.judge import judge
from navarch.app.netcheck.plan import plan
from navarch.app.netcheck.probes import Clue, Hop, Probe, Result, told, well

COUNTS = (1, 2, 3, 5)
PLANS = {count: plan(cluster(count), cast(count)) for count in COUNTS}
HOPS = {count: sorted({hop for probe in PLANS[count] for hop in probe.hops}) for count in COUNTS}


def by_itself(hop: Hop, failures: Sequence[tuple[Probe, Result]]) -> tuple[Clue, bool]:
    """A reason that is another for each hop, and was never seen."""
    return Clue(hop.node, f"{hop.kind} {hop.node} {hop.what}", ""), False


def crossing(count: int, hop: Hop) -> set[int]:
    return {number for number, probe in enumerate(PLANS[count]) if hop in probe.hops}


@given(st.data())
def test_every_single_broken_hop_is_named(data: st.DataObject) -> None:
    count = data.draw(st.sampled_from((3, 5)))
    broken = data.draw(st.sampled_from(HOPS[count]))
    [found] = judge(results(PLANS[count], [broken]), by_itself)
    assert found.hops == (broken,)
    assert len(found.probes) == len(crossing(count, broken))


@pytest.mark.parametrize("count", [3, 5])
def test_the_probes_tell_all_hops_apart(count: int) -> None:
    alike: dict[frozenset[int], list[Hop]] = {}
    for hop in HOPS[count]:
        alike.setdefault(frozenset(crossing(count, hop)), []).append(hop)
    assert [hops for hops in alike.values() if len(hops) > 1] == []


@given(st.data())
def test_on_fewer_nodes_it_is_named_or_one_that_cannot_be_told_from_it(data: st.DataObject) -> None:
    count = data.draw(st.sampled_from((1, 2)))
    broken = data.draw(st.sampled_from(HOPS[count]))
    [found] = judge(results(PLANS[count], [broken]), by_itself)
    assert crossing(count, found.hops[0]) == crossing(count, broken)


@given(st.data())
def test_of_several_each_failure_is_explained_by_a_hop_that_nothing_cleared(data: st.DataObject) -> None:
    broken = data.draw(st.lists(st.sampled_from(HOPS[3]), min_size=2, max_size=4, unique=True))
    ended = results(PLANS[3], broken)
    found = judge(ended, by_itself)
    cleared = {hop for probe, result in ended if well(probe, result) for hop in probe.hops}
    assert not cleared & {hop for each in found for hop in each.hops}
    explained = {line for each in found for line in each.probes}
    assert explained == {f"{probe.line}: {told(probe, result)}" for probe, result in ended if not well(probe, result)}


def test_where_nothing_fails_nothing_is_named() -> None:
    assert judge(results(PLANS[3], []), by_itself) == []


def test_hops_that_fail_for_the_same_reason_are_one_finding() -> None:
    def one_rule(hop: Hop, failures: Sequence[tuple[Probe, Result]]) -> tuple[Clue, bool]:
        return Clue("n1", "a rule bars them all", "remove it"), True

    broken = [hop for hop in HOPS[3] if hop.kind == "route" and "n1" in (hop.node, hop.what)]
    [found] = judge(results(PLANS[3], broken), one_rule)
    assert set(found.hops) == set(broken)
    assert (found.node, found.text, found.remedy) == ("n1", "a rule bars them all", "remove it")


def test_of_two_that_explain_as_much_the_one_that_was_seen_is_named() -> None:
    hops = Hop("forwarding", "n0"), Hop("gateway", "n0")
    probe = Probe("g", "n0", "", "x", {}, hops)

    def seen(hop: Hop, failures: Sequence[tuple[Probe, Result]]) -> tuple[Clue, bool]:
        return Clue(hop.node, hop.kind, ""), hop.kind == "gateway"

    assert judge([(probe, Result("timeout"))], seen)[0].hops == (hops[1],)
    assert judge([(probe, Result("timeout"))], by_itself)[0].hops == (hops[0],)


def test_what_fails_now_and_then_is_named_all_the_same() -> None:
    """All that it crosses works for others, so it is what there is a reason to suspect."""
    hops = Hop("bridge", "n0"), Hop("gateway", "n0")
    probes = [Probe("g", "n0", "", f"x{number}", {}, hops) for number in range(2)]

    def seen(hop: Hop, failures: Sequence[tuple[Probe, Result]]) -> tuple[Clue, bool]:
        return Clue(hop.node, hop.kind, ""), hop.kind == "gateway"

    [found] = judge([(probes[0], Result()), (probes[1], Result("timeout"))], seen)
    assert (found.text, found.probes) == ("gateway", ("node n0 → x1: timeout",))
