"""Small changes of the table, told to the kernel directly: a batch of netlink messages instead of a run of `nft`.

The tool reads all chains of the table before it adds an element to it: with 10,000 services that is most of what a
change costs. What `script` writes for a change of endpoints is little enough of the language to be put into messages
here, line by line. Anything else is left to the tool, which writes the very same; so nothing depends on this module.

Source: linux/netfilter/nf_tables.h, linux/netfilter/nfnetlink.h
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Callable, Iterator, Sequence

from navarch.base.errors import Retryable

NETLINK_NETFILTER = 12
NLM_F_REQUEST, NLM_F_ACK, NLM_F_CREATE, NLM_F_APPEND = 0x1, 0x4, 0x400, 0x800
NLMSG_ERROR = 2
NLA_F_NESTED = 0x8000
BATCH_BEGIN, BATCH_END = 16, 17
NFNL_SUBSYS_NFTABLES = 10
NEWCHAIN, DELCHAIN, NEWRULE, DELRULE, NEWSET, DELSET, NEWSETELEM, DELSETELEM = 3, 5, 6, 8, 9, 11, 12, 14
NFPROTO = {"ip": 2, "ip6": 10}
JUMP, GOTO, RETURN, DROP = -3, -4, -5, 0
PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
META_L4PROTO = 16
NETWORK_HEADER, TRANSPORT_HEADER = 1, 2
KEYS = {"ipv4_addr": (7, 4), "ipv6_addr": (8, 16), "inet_proto": (12, 4), "inet_service": (13, 4)}
"""The tool's number of a type (of joined ones six bits each), and the bytes that it takes in a key."""
SET_TIMEOUT, SET_DYNAMIC = 0x10, 0x20
UPDATE = 1
ADDRESSES = {"ip": (4, {"saddr": 12, "daddr": 16}), "ip6": (16, {"saddr": 8, "daddr": 24})}
"""Bytes of an address, and where each lies in a packet."""
EQUAL, NOT_EQUAL, AT_MOST, AT_LEAST = 0, 1, 3, 5
FIB_SADDR, FIB_ADDRTYPE, RTN_LOCAL = 1, 3, 2
PORT_SPECIFIED = 2
REGISTERS = {"ip": (1, 9, 10), "ip6": (1, 12, 13)}
"""Where the parts of a joined key lie, one behind the other."""

LONGEST_BATCH_BYTES = 100_000
ELEMENTS_AT_ONCE = 500

_HEADER = struct.Struct("=IHHII")
_COMMAND = re.compile(r"(add|flush|delete) (chain|rule|set|element) (ip6?) (\S+) (\S+)(?: (.*))?")


class NotPlain(Exception):
    """Something that only the tool can say."""


def batch(text: str) -> bytes | None:
    """None for what the tool must do: words that are not known here, or too many of them."""
    if not text or len(text) > LONGEST_BATCH_BYTES:
        return None
    try:
        messages = [message for number, line in enumerate(text.splitlines()) for message in _messages(number, line)]
    except (NotPlain, OSError, ValueError, KeyError):
        return None
    made = [_framed(BATCH_BEGIN, 0, 0, struct.pack("!BBH", 0, 0, NFNL_SUBSYS_NFTABLES))]
    for number, (kind, flags, body) in enumerate(messages, 1):
        flags |= NLM_F_ACK if number == len(messages) else 0
        made.append(_framed(NFNL_SUBSYS_NFTABLES << 8 | kind, flags, number, body))
    made.append(_framed(BATCH_END, 0, len(messages) + 1, struct.pack("!BBH", 0, 0, NFNL_SUBSYS_NFTABLES)))
    return b"".join(made) if sum(map(len, made)) <= 2 * LONGEST_BATCH_BYTES else None


def send(messages: bytes) -> None:
    """Carries out all of it or nothing, in the network namespace of the calling thread. Raises: Retryable."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as netlink:
            netlink.settimeout(10)
            netlink.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * LONGEST_BATCH_BYTES)
            netlink.bind((0, 0))
            netlink.send(messages)
            _, kind, _, number, _ = _HEADER.unpack_from(data := netlink.recv(1 << 16))
            code = -struct.unpack_from("=i", data, _HEADER.size)[0]
    except OSError as error:
        raise Retryable(f"the kernel could not be told of a change: {error}") from error
    if kind != NLMSG_ERROR or code:
        raise Retryable(f"the kernel refused message {number} of a change with error {code}")


Message = tuple[int, int, bytes]
"""Kind, flags, and with the address family before them the attributes."""


def _messages(number: int, line: str) -> Iterator[Message]:
    """number: told apart from those of other lines."""
    found = _COMMAND.fullmatch(line)
    if found is None:
        raise NotPlain
    verb, thing, family, table, name, rest = found.groups()
    where = struct.pack("!BBH", NFPROTO[family], 0, 0) + _text(1, table)
    match verb, thing:
        case "add", "chain" if not rest:
            yield NEWCHAIN, NLM_F_CREATE, where + _text(3, name)
        case "delete", "chain":
            yield DELCHAIN, 0, where + _text(3, name)
        case "flush", "chain":
            yield DELRULE, 0, where + _text(2, name)
        case "add", "rule":
            yield NEWRULE, NLM_F_CREATE | NLM_F_APPEND, where + _text(2, name) + _rule(rest)
        case "add", "set":
            yield NEWSET, NLM_F_CREATE, where + _text(2, name) + _set(rest) + _number(10, number)
        case "delete", "set":
            yield DELSET, 0, where + _text(2, name)
        case _, "element":
            kind, flags = (NEWSETELEM, NLM_F_CREATE) if verb == "add" else (DELSETELEM, 0)
            elements = [_element(each) for each in rest.removeprefix("{ ").removesuffix(" }").split(", ")]
            for at in range(0, len(elements), ELEMENTS_AT_ONCE):
                some = b"".join(elements[at : at + ELEMENTS_AT_ONCE])
                yield kind, flags, where + _text(2, name) + _nest(3, some)
        case _:
            raise NotPlain


def _set(text: str) -> bytes:
    """Of `{ type ipv4_addr . inet_proto; flags dynamic,timeout; timeout 3s; }`, with or without the last two."""
    kind, *more = text.removeprefix("{ type ").removesuffix("; }").split("; ")
    types = [KEYS[each] for each in kind.split(" . ")]
    number = 0
    for each, _ in types:
        number = number << 6 | each
    flags, timeout = 0, b""
    match more:
        case ["flags dynamic,timeout", last]:
            flags = SET_TIMEOUT | SET_DYNAMIC
            timeout = _attribute(11, struct.pack("!Q", 1000 * int(last.removeprefix("timeout ").removesuffix("s"))))
        case [_, *_]:
            raise NotPlain
    return _number(3, flags) + _number(4, number) + _number(5, sum(size for _, size in types)) + timeout


def _element(text: str) -> bytes:
    key, _, verdict = text.partition(" : ")
    value = b"".join(_key_part(each).ljust(4, b"\0") for each in key.split(" . "))
    made = _nest(1, _attribute(1, value))
    if verdict:
        made += _nest(2, _verdict(verdict.split(" ")))
    return _nest(1, made)


def _key_part(text: str) -> bytes:
    if text in PROTOCOLS:
        return bytes([PROTOCOLS[text]])
    return _port(text) if text.isdecimal() else _packed(text)


def _packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def _port(text: str) -> bytes:
    return struct.pack("!H", int(text))


# --- rules: each reader takes the words that it knows from the front, and gives expressions for them ---

Words = list[str]


def _rule(text: str) -> bytes:
    words = text.split(" ")
    expressions: list[bytes] = []
    while words:
        reader = next((each for start, each in _READERS if words[: len(start)] == list(start)), None)
        if reader is None:
            raise NotPlain
        expressions += reader(words)
    return _nest(4, b"".join(_nest(1, each) for each in expressions))


def _take(words: Words, count: int) -> Words:
    taken = words[:count]
    del words[:count]
    if len(taken) < count:
        raise NotPlain
    return taken


def _l4proto(words: Words) -> list[bytes]:
    protocol = _take(words, 3)[2]
    return [_load_protocol(1), _compare(EQUAL, bytes([PROTOCOLS[protocol]]))]


def _random(words: Words) -> list[bytes]:
    _, _, _, modulus, _ = _take(words, 5)
    numgen = _number(1, 1) + _number(2, int(modulus)) + _number(3, 1) + _number(4, 0)
    return [_expression("numgen", numgen), _compare(EQUAL, struct.pack("=I", 0))]


def _dnat(words: Words) -> list[bytes]:
    address, _, port = _take(words, 3)[2].rpartition(":")
    family = NFPROTO["ip6" if address.startswith("[") else "ip"]
    nat = _number(1, 1) + _number(2, family) + _number(3, 1) + _number(5, 2) + _number(7, PORT_SPECIFIED)
    return [_load(1, _packed(address.strip("[]"))), _load(2, _port(port)), _expression("nat", nat)]


def _address(words: Words) -> list[bytes]:
    ip, end, found = _take(words, 3)
    compared = EQUAL
    if found == "!=":
        compared, (found,) = NOT_EQUAL, _take(words, 1)
    if found == ".":
        return _joined(ip, end, words)
    load = _load_address(ip, end, 1)
    if found.startswith("@"):
        return [load, _look_up(found)]
    address, _, prefix = found.partition("/")
    value = _packed(address)
    size = len(value)
    if size != ADDRESSES[ip][0]:
        raise NotPlain
    if not prefix or int(prefix) == 8 * size:
        return [load, _compare(compared, value)]
    every = (1 << 8 * size) - 1
    mask = (every << 8 * size - int(prefix) & every).to_bytes(size, "big")
    masked = bytes(one & other for one, other in zip(value, mask, strict=True))
    masking = _nest(4, _attribute(1, mask)) + _nest(5, _attribute(1, bytes(size)))
    bitwise = _expression("bitwise", _number(1, 1) + _number(2, 1) + _number(3, size) + masking)
    return [load, bitwise, _compare(compared, masked)]


def _joined(ip: str, end: str, words: Words) -> list[bytes]:
    """`ip daddr . meta l4proto . th dport @set`, of which three words were taken."""
    *middle, name = _take(words, 6)
    if middle != ["meta", "l4proto", ".", "th", "dport"]:
        raise NotPlain
    first, second, third = REGISTERS[ip]
    return [_load_address(ip, end, first), _load_protocol(second), _load_port(third), _look_up(name)]


def _destination_port(words: Words) -> list[bytes]:
    first, _, last = _take(words, 3)[2].partition("-")
    if not last:
        return [_load_port(1), _compare(EQUAL, _port(first))]
    return [_load_port(1), _compare(AT_LEAST, _port(first)), _compare(AT_MOST, _port(last))]


def _from_here(words: Words) -> list[bytes]:
    _take(words, 4)
    fib = _number(1, 1) + _number(2, FIB_ADDRTYPE) + _number(3, FIB_SADDR)
    return [_expression("fib", fib), _compare(EQUAL, struct.pack("=I", RTN_LOCAL))]


def _remember(words: Words) -> list[bytes]:
    """`update @set { ip saddr }`."""
    _, name, _, ip, _, _ = _take(words, 6)
    name = name.removeprefix("@")
    return [_load_address(ip, "saddr", 1), _expression("dynset", _text(1, name) + _number(3, UPDATE) + _number(4, 1))]


def _decide(words: Words) -> list[bytes]:
    verdict = _verdict(_take(words, 2 if words[0] in ("goto", "jump") else 1))
    return [_expression("immediate", _number(1, 0) + _nest(2, verdict))]


_READERS: Sequence[tuple[tuple[str, ...], Callable[[Words], list[bytes]]]] = (
    (("meta", "l4proto"), _l4proto),
    (("numgen", "random", "mod"), _random),
    (("dnat", "to"), _dnat),
    (("ip", "saddr"), _address),
    (("ip", "daddr"), _address),
    (("ip6", "saddr"), _address),
    (("ip6", "daddr"), _address),
    (("th", "dport"), _destination_port),
    (("fib", "saddr", "type", "local"), _from_here),
    (("update",), _remember),
    (("goto",), _decide),
    (("jump",), _decide),
    (("return",), _decide),
    (("drop",), _decide),
)


def _verdict(words: Words) -> bytes:
    match words:
        case ["drop"]:
            code, chain = DROP, b""
        case ["return"]:
            code, chain = RETURN, b""
        case ["goto", name]:
            code, chain = GOTO, _text(2, name)
        case ["jump", name]:
            code, chain = JUMP, _text(2, name)
        case _:
            raise NotPlain
    return _nest(2, _attribute(1, struct.pack("!i", code)) + chain)


def _load(register: int, value: bytes) -> bytes:
    return _expression("immediate", _number(1, register) + _nest(2, _attribute(1, value)))


def _load_protocol(register: int) -> bytes:
    return _expression("meta", _number(1, register) + _number(2, META_L4PROTO))


def _load_address(ip: str, end: str, register: int) -> bytes:
    size, offsets = ADDRESSES[ip]
    return _payload(register, NETWORK_HEADER, offsets[end], size)


def _load_port(register: int) -> bytes:
    return _payload(register, TRANSPORT_HEADER, 2, 2)


def _payload(register: int, header: int, offset: int, length: int) -> bytes:
    numbers = ((1, register), (2, header), (3, offset), (4, length))
    return _expression("payload", b"".join(_number(kind, value) for kind, value in numbers))


def _compare(how: int, value: bytes) -> bytes:
    return _expression("cmp", _number(1, 1) + _number(2, how) + _nest(3, _attribute(1, value)))


def _look_up(name: str) -> bytes:
    return _expression("lookup", _text(1, name.removeprefix("@")) + _number(2, 1))


# --- bytes ---


def _expression(name: str, data: bytes) -> bytes:
    return _text(1, name) + _nest(2, data)


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def _nest(kind: int, data: bytes) -> bytes:
    return _attribute(kind | NLA_F_NESTED, data)


def _text(kind: int, text: str) -> bytes:
    return _attribute(kind, text.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("!I", value))


def _framed(kind: int, flags: int, number: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, flags | NLM_F_REQUEST, number, 0) + body
