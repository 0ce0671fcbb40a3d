"""What is remembered, for how long, and what makes it forgotten."""

from __future__ import annotations

import dnslib

from navarch.dns import memory
from navarch.dns.memory import Memory, lifetime


def foreign(*records: str, code: int = 0, soa: str = "", truncated: bool = False) -> bytes:
    reply = dnslib.DNSRecord.question("a.example").reply()
    reply.header.rcode = code
    reply.header.tc = int(truncated)
    for each in records:
        reply.add_answer(*dnslib.RR.fromZone(each))
    if soa:
        reply.add_auth(*dnslib.RR.fromZone(soa))
    return bytes(reply.pack())


def test_answers_take_turns_and_are_forgotten_by_subject() -> None:
    held = Memory()
    held.keep(b"q1", "default/web", [b"..one", b"..two"])
    held.keep(b"q2", "default/api", [b"..three"])
    assert {held.get(b"q1", 0.0), held.get(b"q1", 0.0)} == {b"one", b"two"}
    held.forget(["default/web", "default/nope"])
    assert held.get(b"q1", 0.0) is None
    assert held.get(b"q2", 0.0) == b"three"


def test_answers_of_others_live_as_long_as_they_say_but_never_long() -> None:
    held = Memory()
    held.keep_foreign(b"short", foreign("a.example 10 A 1.2.3.4", "a.example 20 A 1.2.3.5"), 100.0)
    held.keep_foreign(b"long", foreign("a.example 86400 A 1.2.3.4"), 100.0)
    body = held.get(b"short", 104.0)
    assert body is not None
    assert [each.ttl for each in dnslib.DNSRecord.parse(b"\0\0" + body).rr] == [6, 16]
    assert held.get(b"short", 110.0) is None
    assert held.get(b"long", 129.0) is not None
    assert held.get(b"long", 130.0) is None
    assert len(held) == 0


def test_what_may_not_be_repeated_is_not_kept() -> None:
    assert lifetime(foreign("a.example 10 A 1.2.3.4", truncated=True))[0] == 0
    assert lifetime(foreign(code=2))[0] == 0
    assert lifetime(foreign(code=3))[0] == 0, "nobody said for how long"
    assert lifetime(foreign("a.example 0 A 1.2.3.4"))[0] == 0
    assert lifetime(b"\0" * 12 + b"junk")[0] == 0
    soa = "example 900 IN SOA ns.example. h.example. 1 2 3 4 {}"
    assert lifetime(foreign(code=3, soa=soa.format(60)))[0] == 60
    assert lifetime(foreign(soa=soa.format(6000)))[0] == 900


def test_memory_is_bounded() -> None:
    held = Memory()
    held.keep(b"x" * (memory.LONGEST_QUESTION_BYTES + 1), "s", [b"..y"])
    assert len(held) == 0
    for number in range(memory.LIMIT + 10):
        held.keep(str(number).encode(), str(number), [b"..y"])
    assert len(held) <= memory.LIMIT
    held.forget([str(number) for number in range(memory.LIMIT + 10)])
    assert len(held) == 0
