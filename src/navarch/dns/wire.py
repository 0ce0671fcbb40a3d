"""DNS messages as bytes: questions read, answers written, other servers' answers aged.

Written out by hand and not with a library: an answer here is one of few shapes, and a name that is asked for the first
time costs microseconds so instead of a good part of a millisecond. The tests read every message with an independent
implementation.

Source: RFC 1035, RFC 2308 (negative answers), RFC 2782 (SRV), RFC 6891 (EDNS)
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from navarch.dns.zone import TTL_S, Answer, Record

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "TXT": 16, "AAAA": 28, "SRV": 33, "OPT": 41, "ANY": 255}
NAMES = {number: name for name, number in TYPES.items()}
CODES = {"NOERROR": 0, "FORMERR": 1, "SERVFAIL": 2, "NXDOMAIN": 3, "NOTIMP": 4, "REFUSED": 5, "BADVERS": 16}
IN, ANY_CLASS = 1, 255

RESPONSE, AUTHORITATIVE, TRUNCATED, RECURSION_WANTED, RECURSION_OFFERED = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080
PLAIN_LIMIT_BYTES, LIMIT_BYTES, STREAM_LIMIT_BYTES = 512, 1232, 65535
"""What a datagram may hold without EDNS and with it (never fragmented), and what a stream may."""

_HEADER = struct.Struct("!6H")
_QUESTION_NAME = b"\xc0\x0c"
_RECORD = struct.Struct("!HHIH")


class Malformed(Exception):
    """code: what the sender is answered, "" for nothing at all."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Question:
    """name: lower case, without the final dot. kind: `A`, or `TYPE65` for what has no name here. raw: the question
    section as it came. limit_bytes: what the asker takes in a datagram. edns: whether it spoke of that."""

    id: int
    name: str
    kind: str
    raw: bytes
    recursion: bool
    limit_bytes: int
    edns: bool


def read(data: bytes) -> Question:
    """Raises: Malformed."""
    if len(data) < _HEADER.size:
        raise Malformed("")
    id_, flags, questions, answers, authorities, extras = _HEADER.unpack_from(data)
    if flags & RESPONSE:
        raise Malformed("")
    if flags >> 11 & 0xF:
        raise Malformed("NOTIMP")
    if questions != 1 or answers or authorities:
        raise Malformed("FORMERR")
    name, at = _name(data, _HEADER.size)
    if at + 4 > len(data):
        raise Malformed("FORMERR")
    kind, class_ = struct.unpack_from("!HH", data, at)
    raw = data[_HEADER.size : at + 4]
    if class_ not in (IN, ANY_CLASS):
        raise Malformed("REFUSED")
    limit = _limit(data, at + 4) if extras else 0
    return Question(
        id_,
        name,
        NAMES.get(kind) or f"TYPE{kind}",
        raw,
        bool(flags & RECURSION_WANTED),
        min(max(limit, PLAIN_LIMIT_BYTES), LIMIT_BYTES),
        bool(limit),
    )


def _limit(data: bytes, at: int) -> int:
    """The size in the EDNS record, which the few questions that have one end with; 0 without."""
    if at + 11 > len(data) or data[at : at + 3] != b"\0\0\x29":
        return 0
    size, _, version = struct.unpack_from("!HBB", data, at + 3)
    if version:
        raise Malformed("BADVERS")
    return max(int(size), PLAIN_LIMIT_BYTES)


def _name(data: bytes, at: int) -> tuple[str, int]:
    labels = []
    while True:
        if at >= len(data):
            raise Malformed("FORMERR")
        length = data[at]
        at += 1
        if not length:
            break
        if length > 63 or at + length > len(data):
            raise Malformed("FORMERR")
        labels.append(data[at : at + length])
        at += length
    text = b".".join(labels)
    if len(text) > 253:
        raise Malformed("FORMERR")
    return text.decode("latin-1").lower(), at


def write(question: Question, answer: Answer, domain: str, serial: int, *, stream: bool = False) -> bytes:
    """As much of the answer as fits; the rest is announced as truncated."""
    limit = STREAM_LIMIT_BYTES if stream else question.limit_bytes
    records = [_record(each) if each.type != "SOA" else _soa(domain, serial) for each in answer.records]
    authorities = [] if records else [_soa(domain, serial)]
    extras = [_record(each) for each in answer.extra]
    flags = RESPONSE | AUTHORITATIVE | RECURSION_OFFERED | CODES[answer.code]
    return _assemble(question, flags, records, authorities, extras, limit)


def refuse(data: bytes, code: str) -> bytes:
    """An answer without content to whatever came; b"" when not even that is possible."""
    if len(data) < _HEADER.size:
        return b""
    id_, flags, *_ = _HEADER.unpack_from(data)
    wanted = flags & (RECURSION_WANTED | 0x7800)
    flags = RESPONSE | RECURSION_OFFERED | wanted | (CODES[code] & 0xF)
    if code == "BADVERS":
        edns = b"\0" + _RECORD.pack(TYPES["OPT"], LIMIT_BYTES, CODES[code] >> 4 << 24, 0)
        return _HEADER.pack(id_, flags, 0, 0, 0, 1) + edns
    return _HEADER.pack(id_, flags, 0, 0, 0, 0)


def fail(question: Question, code: str) -> bytes:
    """An answer without content to a question that was understood."""
    return _assemble(question, RESPONSE | RECURSION_OFFERED | CODES[code], [], [], [], LIMIT_BYTES)


def _assemble(
    question: Question, flags: int, records: list[bytes], authorities: list[bytes], extras: list[bytes], limit: int
) -> bytes:
    edns = b"\0" + _RECORD.pack(TYPES["OPT"], LIMIT_BYTES, 0, 0) if question.edns else b""
    free = limit - _HEADER.size - len(question.raw) - len(edns)
    fitting, free = _fitting(records, free)
    authorities, free = _fitting(authorities, free)
    extras, free = _fitting(extras, free)
    if question.recursion:
        flags |= RECURSION_WANTED
    if len(fitting) < len(records):
        flags |= TRUNCATED
    counts = (1, len(fitting), len(authorities), len(extras) + bool(edns))
    parts = (_HEADER.pack(question.id, flags, *counts), question.raw, *fitting, *authorities, *extras, edns)
    return b"".join(parts)


def _fitting(records: Sequence[bytes], free: int) -> tuple[list[bytes], int]:
    found: list[bytes] = []
    for record in records:
        if len(record) > free:
            return found, 0
        free -= len(record)
        found.append(record)
    return found, free


def _record(record: Record) -> bytes:
    owner = encoded(record.name) if record.name else _QUESTION_NAME
    data = _data(record)
    return owner + _RECORD.pack(TYPES[record.type], IN, TTL_S, len(data)) + data


def _data(record: Record) -> bytes:
    match record.type:
        case "A":
            return socket.inet_pton(socket.AF_INET, str(record.data))
        case "AAAA":
            return socket.inet_pton(socket.AF_INET6, str(record.data))
        case "SRV":
            return struct.pack("!HHH", 0, record.weight, int(record.data)) + encoded(record.target)
        case "TXT":
            text = str(record.data).encode()
            return bytes([len(text)]) + text
        case _:
            return encoded(str(record.data))


def _soa(domain: str, serial: int) -> bytes:
    data = encoded(f"ns.dns.{domain}.") + encoded(f"hostmaster.{domain}.")
    data += struct.pack("!5I", serial & 0xFFFFFFFF, 7200, 1800, 86400, TTL_S)
    return encoded(f"{domain}.") + _RECORD.pack(TYPES["SOA"], IN, TTL_S, len(data)) + data


def encoded(name: str) -> bytes:
    """A name with its final dot as labels. Names that no message can hold come out as the root."""
    labels = [label.encode("latin-1", "replace") for label in name.rstrip(".").split(".") if label]
    if any(len(label) > 63 for label in labels) or sum(map(len, labels)) + len(labels) > 254:
        return b"\0"
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def ask(id_: int, name: str, kind: str, *, limit_bytes: int = LIMIT_BYTES) -> bytes:
    """A question of our own."""
    question = encoded(name) + struct.pack("!HH", TYPES[kind], IN)
    edns = b"\0" + _RECORD.pack(TYPES["OPT"], limit_bytes, 0, 0)
    return _HEADER.pack(id_, RECURSION_WANTED, 1, 0, 0, 1) + question + edns


def code_of(message: bytes) -> int:
    return message[3] & 0xF


def truncated(message: bytes) -> bool:
    return bool(message[2] & TRUNCATED >> 8)


def question_end(message: bytes) -> int:
    """Where the one question of a message ends. Raises: Malformed."""
    _, at = _name(message, _HEADER.size)
    return at + 4


@dataclass(frozen=True, slots=True)
class Section:
    """A record of somebody else's message. start: of its owner's name. ttl_at: where its time to live stands."""

    kind: int
    start: int
    ttl_at: int
    ttl_s: int
    end: int


def sections(message: bytes) -> tuple[list[Section], list[Section]]:
    """The answers, and what follows them (the EDNS record left out). Raises: Malformed."""
    try:
        _, _, _, answers, authorities, extras = _HEADER.unpack_from(message)
        at = question_end(message)
        found = []
        for _ in range(answers + authorities + extras):
            start = at
            at = _skip_name(message, at)
            kind, _, ttl_s, length = _RECORD.unpack_from(message, at)
            found.append(Section(kind, start, at + 4, ttl_s, at + _RECORD.size + length))
            at = found[-1].end
        if at > len(message):
            raise Malformed("")
    except (struct.error, IndexError) as error:
        raise Malformed("") from error
    rest = [each for each in found[answers:] if each.kind != TYPES["OPT"]]
    return found[:answers], rest


def chain(message: bytes) -> tuple[Record, ...]:
    """The aliases and addresses among the answers of somebody else's message. Raises: Malformed."""
    records = []
    answers, _ = sections(message)
    for each in answers:
        owner, data = _expanded(message, each.start), message[each.ttl_at + 6 : each.end]
        if each.kind == TYPES["A"] and len(data) == 4:
            records.append(Record("A", socket.inet_ntop(socket.AF_INET, data), name=owner))
        elif each.kind == TYPES["AAAA"] and len(data) == 16:
            records.append(Record("AAAA", socket.inet_ntop(socket.AF_INET6, data), name=owner))
        elif each.kind == TYPES["CNAME"]:
            records.append(Record("CNAME", _expanded(message, each.ttl_at + 6), name=owner))
    return tuple(records)


def _expanded(message: bytes, at: int) -> str:
    """A name that may point back into the message, with its final dot. Raises: Malformed."""
    labels, steps = [], 0
    try:
        while length := message[at]:
            steps += 1
            if steps > 128:
                raise Malformed("")
            if length >= 0xC0:
                at = (length & 0x3F) << 8 | message[at + 1]
                continue
            labels.append(message[at + 1 : at + 1 + length].decode("latin-1"))
            at += length + 1
    except IndexError as error:
        raise Malformed("") from error
    return ".".join(labels) + "."


def _skip_name(message: bytes, at: int) -> int:
    while length := message[at]:
        if length >= 0xC0:
            return at + 2
        at += length + 1
    return at + 1


def aged(message: bytes, places: Iterable[Section], age_s: int) -> bytes:
    """The same message after it lay in a cache for a while."""
    if not age_s:
        return message
    copy = bytearray(message)
    for place in places:
        struct.pack_into("!I", copy, place.ttl_at, max(0, place.ttl_s - age_s))
    return bytes(copy)
