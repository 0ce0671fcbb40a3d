"""Parts that come and go: the same rules as from all at once, and which names may differ."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from navarch.proxy.flows import changed_udp
from navarch.proxy.joining import Joiner, Parts, differing, join
from navarch.proxy.rules import Front, Node, Part, Pool, Rules, Target
from navarch.proxy.script import change

NODE = Node(name="n1", addresses=("192.0.2.10",), pod_cidr="10.244.0.0/24", cluster_cidr="10.244.0.0/16")


def part(address: str, target: str, age_s: float, protocol: str = "udp") -> Part:
    """One front, which others may claim too."""
    front = Front(address, protocol, 80)
    pool = Pool(f"pool/{address}/{target}", protocol, (Target(target, 8080),))
    return Part((pool,), fronts={front: pool.name}, locals=(target,), created_s=age_s, claims=(front,))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["x/a", "x/b", "x/c"]),
        st.none()
        | st.builds(
            part,
            st.sampled_from(["10.96.0.1", "10.96.0.2"]),
            st.sampled_from(["10.244.0.5", "10.244.0.6"]),
            st.sampled_from([1.0, 2.0]),
        ),
        st.booleans(),
    ),
    max_size=12,
)


@given(STEPS)
def test_step_by_step_is_the_same_as_all_at_once(steps: list[tuple[str, Part | None, bool]]) -> None:
    """And what is told of two states says all that differs between them."""
    joiner = Joiner()
    parts: dict[str, Part] = {}
    before = joiner.rules(NODE)
    for name, found, asked in steps:
        joiner.put(name, found)
        parts = {key: value for key, value in {**parts, name: found}.items() if value is not None}
        if not asked:
            continue
        now = joiner.rules(NODE)
        assert now == join(parts, NODE)
        plain = [msgspec.structs.replace(each, parts=dict(each.parts)) for each in (before, now)]
        assert {each for each in plain[0].parts.keys() | plain[1].parts.keys() if told_apart(plain, each)} <= set(
            differing(before.parts, now.parts)
        )
        assert words(change(before, now, "t")) == words(change(*plain, "t"))
        assert changed_udp(before, now) == changed_udp(*plain)
        before = now


def told_apart(plain: list[Rules], name: str) -> bool:
    return plain[0].parts.get(name) != plain[1].parts.get(name)


def test_only_what_was_touched_is_compared() -> None:
    joiner = Joiner()
    for number in range(50):
        joiner.put(f"x/{number}", part(f"10.96.0.{number}", "10.244.0.5", 1.0))
    first = joiner.rules(NODE)
    assert joiner.rules(NODE).parts is first.parts
    joiner.put("x/7", part("10.96.0.7", "10.244.0.6", 1.0))
    second = joiner.rules(NODE)
    assert differing(first.parts, second.parts) == {"x/7"}
    joiner.put("x/8", None)
    third = joiner.rules(NODE)
    assert differing(second.parts, third.parts) == {"x/8"}
    assert {"x/7", "x/8"} <= set(differing(first.parts, third.parts)), "a state between them was never in force"


def test_after_a_dispute_everything_is_compared() -> None:
    joiner = Joiner()
    joiner.put("x/a", part("10.96.0.1", "10.244.0.5", 1.0))
    joiner.put("x/b", part("10.96.0.1", "10.244.0.6", 2.0))
    disputed = joiner.rules(NODE)
    assert disputed.parts["x/b"].fronts == {}
    joiner.put("x/a", None)
    settled = joiner.rules(NODE)
    assert settled.parts["x/b"].fronts
    assert set(differing(disputed.parts, settled.parts)) >= {"x/a", "x/b"}


def test_other_mappings_are_compared_whole() -> None:
    assert set(differing({"x/a": Part()}, Parts({"x/b": Part()}))) == {"x/a", "x/b"}


def words(text: str) -> list[str]:
    """Elements stand in no order of their own."""
    return sorted(text.replace(",", "").split())
