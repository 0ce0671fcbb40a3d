"""When a node that is asked for counts as silent."""

from __future__ import annotations

from navarch.proxy.announce import packets
from navarch.proxy.announce.lookout import PATIENCE, Heard

THERE = b"\2" * 6


def test_silent_is_who_was_heard_and_lets_so_many_questions_go() -> None:
    found = Heard("a")
    found.unanswered = 99
    assert not found.silent, "perhaps it never answers on this link"
    found.answered(THERE)
    for _ in range(PATIENCE):
        assert not found.silent
        found.unanswered += 1
    assert found.silent
    found.answered(b"")
    assert not found.silent
    assert found.hardware == THERE, "what is not said stays as it was"


def test_an_answer_that_does_not_say_its_hardware_address_is_one() -> None:
    found = Heard("a")
    found.answered(b"")
    found.unanswered = PATIENCE
    assert found.silent
    assert found.hardware == packets.BROADCAST
