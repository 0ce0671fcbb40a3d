"""The order of a driver's calls, whatever fails and whenever the agent starts anew."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from navarch.agent.volumes.csi import order
from navarch.agent.volumes.csi.order import Call, Known, Step

PODS = ("p1", "p2", "p3")
FINE, LOST, REFUSED = "fine", "lost", "refused"
"""How a call ends: well; nobody knows how, though it had its effect; with a final error, without an effect."""
ends = st.sampled_from([FINE, FINE, FINE, LOST, REFUSED])


@dataclass
class Driver:
    """What a driver holds; falls over the calls that a driver must never get."""

    staged: bool = False
    published: set[str] = field(default_factory=set)

    def hear(self, step: Step) -> None:
        if step.call is Call.STAGE:
            self.staged = True
        elif step.call is Call.PUBLISH:
            assert self.staged, "published before it was staged"
            self.published.add(step.uid)
        elif step.call is Call.UNPUBLISH:
            self.published.discard(step.uid)
        else:
            assert not self.published, "unstaged while it was published"
            self.staged = False


@dataclass
class Node:
    """An agent that does what the plan says, and a driver. What is known outlives a restart, but no longer for sure."""

    driver: Driver = field(default_factory=Driver)
    known: Known = field(default_factory=Known)

    def carry_out(self, steps: tuple[Step, ...], how: list[str]) -> bool:
        for step in steps:
            before = self.known
            self.known = order.begun(before, step)
            end = how.pop() if how else FINE
            if end != REFUSED:
                self.driver.hear(step)
            if end != FINE:
                self.known = order.failed(before, self.known, step, final=end == REFUSED)
                return False
            self.known = order.done(self.known, step)
        return True

    def restart(self) -> None:
        staged = None if self.known.staged is None else False
        self.known = Known(staged, dict.fromkeys(self.known.published, False))


actions = st.one_of(
    st.tuples(st.just("make"), st.sampled_from(PODS), st.lists(ends, max_size=3)),
    st.tuples(st.just("remove"), st.sampled_from(PODS), st.lists(ends, max_size=3)),
    st.tuples(st.just("restart"), st.just(""), st.just([])),
)


@given(st.lists(actions, max_size=25), st.booleans())
def test_nothing_is_published_before_it_is_staged_or_unstaged_while_published(
    played: list[tuple[str, str, list[str]]], again: bool
) -> None:
    node = Node()
    for action, uid, how in played:
        if action == "restart":
            node.restart()
        elif action == "make":
            if node.carry_out(order.towards_published(node.known, uid, again=again), list(how)):
                assert uid in node.driver.published
        elif node.carry_out(order.towards_removed(node.known, uid), list(how)):
            assert uid not in node.driver.published
        assert node.driver.published <= set(node.known.published), "forgotten, though the driver has it"
        assert node.known.staged is not None or not node.driver.staged, "forgotten, though the driver has it"
    for uid in PODS:
        node.carry_out(order.towards_removed(node.known, uid), [])
    node.carry_out(order.towards_removed(node.known, ""), [])
    assert node.known.nothing
    assert not node.driver.staged
    assert not node.driver.published


def test_a_volume_of_two_pods_is_staged_once_and_unstaged_last() -> None:
    node = Node()
    assert order.towards_published(node.known, "p1") == (Step(Call.STAGE), Step(Call.PUBLISH, "p1"))
    node.carry_out(order.towards_published(node.known, "p1"), [])
    assert order.towards_published(node.known, "p2") == (Step(Call.PUBLISH, "p2"),)
    node.carry_out(order.towards_published(node.known, "p2"), [])
    assert order.towards_published(node.known, "p1") == ()
    assert order.towards_published(node.known, "p1", again=True) == (Step(Call.PUBLISH, "p1"),)
    assert order.towards_removed(node.known, "p1") == (Step(Call.UNPUBLISH, "p1"),)
    node.carry_out(order.towards_removed(node.known, "p1"), [])
    assert order.towards_removed(node.known, "p2") == (Step(Call.UNPUBLISH, "p2"), Step(Call.UNSTAGE))


def test_a_volume_of_one_pod_alone_is_never_staged() -> None:
    assert order.towards_published(Known(), "p1", stages=False) == (Step(Call.PUBLISH, "p1"),)
    assert order.towards_removed(Known(published={"p1": True}), "p1") == (Step(Call.UNPUBLISH, "p1"),)
