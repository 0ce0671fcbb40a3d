"""Messages, read by an independent implementation."""

from __future__ import annotations

import struct

import dnslib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.dns import wire
from navarch.dns.zone import Answer, Record

NAME = "web.default.svc.cluster.local"


def question(name: str = NAME, kind: str = "A", **more: int) -> wire.Question:
    return wire.read(wire.ask(7, name, kind, **more))


def written(answer: Answer, asked: wire.Question | None = None, *, stream: bool = False) -> dnslib.DNSRecord:
    return dnslib.DNSRecord.parse(wire.write(asked or question(), answer, "cluster.local", 3, stream=stream))


def test_a_question_is_read_as_it_was_asked() -> None:
    raw = dnslib.DNSRecord.question("WeB.Default.svc.cluster.local", "AAAA").pack()
    read = wire.read(raw)
    assert (read.name, read.kind, read.edns, read.limit_bytes) == (NAME, "AAAA", False, 512)
    assert read.recursion
    assert b"WeB" in read.raw


def test_every_type_of_record() -> None:
    records = (
        Record("A", "10.96.0.5"),
        Record("AAAA", "fd00::5"),
        Record("CNAME", "db.example.org."),
        Record("SRV", 5432, target="db-0.db.default.svc.cluster.local.", weight=50),
        Record("PTR", "web.default.svc.cluster.local."),
        Record("TXT", "1.1.0"),
        Record("NS", "ns.dns.cluster.local."),
        Record("SOA", ""),
        Record("A", "10.0.0.1", name="other.example."),
    )
    found = written(Answer(records=records))
    assert found.header.id == 7
    assert (found.header.qr, found.header.aa, found.header.ra, found.header.rd) == (1, 1, 1, 1)
    assert [str(each.rdata) for each in found.rr[:7]] == [
        "10.96.0.5",
        "fd00::5",
        "db.example.org.",
        "0 50 5432 db-0.db.default.svc.cluster.local.",
        "web.default.svc.cluster.local.",
        '"1.1.0"',
        "ns.dns.cluster.local.",
    ]
    assert str(found.rr[7].rname) == "cluster.local."
    assert str(found.rr[8].rname) == "other.example."
    assert {each.ttl for each in found.rr} == {5}


def test_an_answer_without_records_carries_the_zone() -> None:
    for answer, code in ((Answer(), 0), (Answer("NXDOMAIN"), 3)):
        found = written(answer)
        assert found.header.rcode == code
        assert [each.rtype for each in found.auth] == [6]
        assert found.auth[0].rdata.times[0] == 3


def test_edns_is_answered_only_to_those_who_speak_it() -> None:
    assert [each.rtype for each in written(Answer()).ar] == [41]
    plain = wire.read(dnslib.DNSRecord.question(NAME).pack())
    assert written(Answer(), plain).ar == []


MANY = Answer(records=tuple(Record("A", f"10.244.{n // 250}.{n % 250}") for n in range(300)))


@pytest.mark.parametrize(("size", "limit"), [(0, 512), (600, 600), (4096, 1232)])
def test_what_does_not_fit_is_announced(size: int, limit: int) -> None:
    asked = question(limit_bytes=size) if size else wire.read(dnslib.DNSRecord.question(NAME).pack())
    raw = wire.write(asked, MANY, "cluster.local", 1)
    assert len(raw) <= limit
    assert wire.truncated(raw)
    found = dnslib.DNSRecord.parse(raw)
    assert found.header.tc
    assert len(found.rr) == (limit - len(raw) + len(found.rr) * 16) // 16, "as many as fit"
    whole = wire.write(asked, MANY, "cluster.local", 1, stream=True)
    assert len(dnslib.DNSRecord.parse(whole).rr) == 300
    assert not wire.truncated(whole)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", ""),
        (b"\0" * 11, ""),
        (dnslib.DNSRecord.question("a.b").reply().pack(), ""),
        (struct.pack("!6H", 1, 0x2800, 1, 0, 0, 0), "NOTIMP"),
        (struct.pack("!6H", 1, 0, 2, 0, 0, 0), "FORMERR"),
        (struct.pack("!6H", 1, 0, 1, 0, 0, 0), "FORMERR"),
        (struct.pack("!6H", 1, 0, 1, 0, 0, 0) + b"\x05abc", "FORMERR"),
        (struct.pack("!6H", 1, 0, 1, 0, 0, 0) + b"\xc0\x0c\0\x01\0\x01", "FORMERR"),
        (struct.pack("!6H", 1, 0, 1, 0, 0, 0) + b"\x01a" * 130 + b"\0\0\x01\0\x01", "FORMERR"),
        (struct.pack("!6H", 1, 0, 1, 0, 0, 0) + b"\x01a\0\0\x01\0\x03", "REFUSED"),
        (wire.ask(1, "a", "A").replace(b"\0\0\x29\x04\xd0\0\0", b"\0\0\x29\x04\xd0\0\x01"), "BADVERS"),
    ],
)
def test_what_cannot_be_read_is_named(data: bytes, code: str) -> None:
    with pytest.raises(wire.Malformed) as caught:
        wire.read(data)
    assert caught.value.code == code
    if code:
        refusal = dnslib.DNSRecord.parse(wire.refuse(data, code))
        assert refusal.header.rcode == wire.CODES[code] & 0xF
        assert (refusal.header.id, refusal.header.qr) == (1, 1)


@given(st.binary(max_size=80))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    for read in (wire.read, wire.sections, wire.chain):
        try:
            read(data)
        except wire.Malformed:
            continue


@given(st.binary(max_size=60))
def test_no_answer_of_others_breaks_the_reader(tail: bytes) -> None:
    head = dnslib.DNSRecord.question("a.example").reply().pack()
    for read in (wire.sections, wire.chain):
        try:
            read(head[:4] + b"\0\x01\0\x02\0\x01\0\x01" + head[12:] + tail)
        except wire.Malformed:
            continue


def test_names_that_point_at_themselves_end() -> None:
    loop = struct.pack("!6H", 1, 0x8000, 1, 1, 0, 0) + b"\x01a\0\0\x01\0\x01" + b"\xc0\x13\0\x01\0\x01" + b"\0" * 10
    with pytest.raises(wire.Malformed):
        wire.chain(loop)


def test_aliases_of_others_are_followed_through_their_compression() -> None:
    reply = dnslib.DNSRecord.question("db.example.org").reply()
    reply.add_answer(*dnslib.RR.fromZone("db.example.org 60 CNAME real.db.example.org"))
    reply.add_answer(*dnslib.RR.fromZone("real.db.example.org 30 A 203.0.113.9"))
    reply.add_answer(*dnslib.RR.fromZone("real.db.example.org 30 AAAA 2001:db8::9"))
    assert wire.chain(reply.pack()) == (
        Record("CNAME", "real.db.example.org.", name="db.example.org."),
        Record("A", "203.0.113.9", name="real.db.example.org."),
        Record("AAAA", "2001:db8::9", name="real.db.example.org."),
    )


def test_answers_of_others_age() -> None:
    reply = dnslib.DNSRecord.question("db.example.org").reply()
    reply.add_answer(*dnslib.RR.fromZone("db.example.org 60 A 203.0.113.9"))
    reply.add_ar(dnslib.EDNS0(udp_len=1232))
    raw = reply.pack()
    answers, rest = wire.sections(raw)
    found = dnslib.DNSRecord.parse(wire.aged(raw, answers + rest, 13))
    assert [each.ttl for each in found.rr] == [47]
    assert dnslib.DNSRecord.parse(wire.aged(raw, answers, 100)).rr[0].ttl == 0
    assert wire.aged(raw, answers, 0) == raw


@given(st.lists(st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=63), min_size=1, max_size=5))
def test_names_survive_the_wire(labels: list[str]) -> None:
    name = ".".join(labels)
    if len(name) <= 253:
        assert wire.read(wire.ask(1, name, "A")).name == name
    else:
        assert wire.encoded(name) == b"\0"
