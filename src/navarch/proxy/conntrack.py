"""Connections that the kernel remembers, forgotten when their endpoint is gone.

A UDP "connection" lives as long as packets flow: without this, a client that keeps sending from one port would be sent
to an endpoint that went away long ago. TCP needs no such help: its connections end. Spoken over netlink directly, with
filters that the kernel applies, so that the cost does not grow with the connections of others.

Source: linux/netfilter/nfnetlink_conntrack.h; KEP-4963 for what is cleaned and when
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence

from navarch.base.errors import Retryable
from navarch.proxy.rules import Target

NETLINK_NETFILTER = 12
CT_GET, CT_DELETE = 0x101, 0x102
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLA_F_NESTED = 0x8000
CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_FILTER = 1, 2, 25
CTA_TUPLE_IP, CTA_TUPLE_PROTO = 1, 2
CTA_IP_SRC: Mapping[int, int] = {socket.AF_INET: 1, socket.AF_INET6: 3}
CTA_IP_DST: Mapping[int, int] = {socket.AF_INET: 2, socket.AF_INET6: 4}
CTA_PROTO_NUM, CTA_PROTO_SRC_PORT, CTA_PROTO_DST_PORT = 1, 2, 3
CTA_FILTER_ORIG_FLAGS, CTA_FILTER_REPLY_FLAGS = 1, 2
BY_ADDRESS, BY_PROTOCOL, BY_PORT = 1 << 1, 1 << 3, 1 << 5
ENOENT = 2

_HEADER = struct.Struct("=IHHII")
_GENERIC = struct.Struct("=BBH")
_ATTRIBUTE = struct.Struct("=HH")


Flows = Mapping[tuple[str, int], Collection[Target]]
"""By receiving address and port: where those flows may go on."""


def forget_udp(flows: Flows) -> int:
    """Connections to these receivers that were not led to one of the targets given are forgotten; how many.

    Acts on the network namespace of the calling thread. Raises: Retryable.
    """
    if not flows:
        return 0
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as netlink:
        try:
            netlink.settimeout(5)
            netlink.bind((0, 0))
            doomed = [(each, one) for each in (socket.AF_INET, socket.AF_INET6) for one in _stale(netlink, each, flows)]
            for family, original in doomed:
                _delete(netlink, family, original)
        except OSError as error:
            raise Retryable(f"old UDP connections could not be forgotten: {error}") from error
    return len(doomed)


def _stale(netlink: socket.socket, family: int, flows: Flows) -> Iterator[bytes]:
    """The original tuples of this address family, as the kernel wrote them."""
    concerned = [each for each in flows if (":" in each[0]) == (family == socket.AF_INET6)]
    if not concerned:
        return
    address, port = concerned[0] if len(concerned) == 1 else ("", 0)
    for body in _dump(netlink, family, address, port):
        attributes = dict(_attributes(body[_GENERIC.size :]))
        protocol, receiver = _receiver(family, attributes[CTA_TUPLE_ORIG])
        keep = flows.get(receiver)
        if protocol != socket.IPPROTO_UDP or keep is None:
            continue
        if _answerer(family, attributes[CTA_TUPLE_REPLY]) not in keep:
            yield attributes[CTA_TUPLE_ORIG]


def _dump(netlink: socket.socket, family: int, address: str, port: int) -> Sequence[bytes]:
    """UDP flows to `address` and `port` (any, where empty); kernels before 5.8 know no filter and send everything.

    Of IPv6 those of every address come: the kernel's filter lets all pass but the one that is asked for.
    """
    flags = BY_PROTOCOL
    to, ports = b"", _attribute(CTA_PROTO_NUM, bytes([socket.IPPROTO_UDP]))
    if address and family == socket.AF_INET:
        flags |= BY_ADDRESS
        to = _attribute(CTA_IP_DST[family], socket.inet_pton(family, address))
    if port:
        flags |= BY_PORT
        ports += _attribute(CTA_PROTO_DST_PORT, struct.pack("!H", port))
    wanted = _attribute(CTA_FILTER_ORIG_FLAGS, struct.pack("=I", flags))
    wanted += _attribute(CTA_FILTER_REPLY_FLAGS, struct.pack("=I", 0))
    original = _nest(CTA_TUPLE_IP, to) + _nest(CTA_TUPLE_PROTO, ports)
    _send(netlink, CT_GET, family, NLM_F_DUMP, _nest(CTA_TUPLE_ORIG, original) + _nest(CTA_FILTER, wanted))
    return list(_replies(netlink))


def _delete(netlink: socket.socket, family: int, original: bytes) -> None:
    _send(netlink, CT_DELETE, family, NLM_F_ACK, _nest(CTA_TUPLE_ORIG, original))
    for _ in _replies(netlink):
        pass


def _receiver(family: int, data: bytes) -> tuple[int, tuple[str, int]]:
    """Protocol number; address and port."""
    ends, protocol = _ends(data)
    address = socket.inet_ntop(family, ends[CTA_IP_DST[family]])
    return protocol[CTA_PROTO_NUM][0], (address, _port(protocol, CTA_PROTO_DST_PORT))


def _answerer(family: int, data: bytes) -> Target:
    """Who answers: the sending end of the replies."""
    ends, protocol = _ends(data)
    return Target(socket.inet_ntop(family, ends[CTA_IP_SRC[family]]), _port(protocol, CTA_PROTO_SRC_PORT))


def _ends(data: bytes) -> tuple[dict[int, bytes], dict[int, bytes]]:
    parts = dict(_attributes(data))
    return dict(_attributes(parts[CTA_TUPLE_IP])), dict(_attributes(parts[CTA_TUPLE_PROTO]))


def _port(protocol: dict[int, bytes], which: int) -> int:
    return int.from_bytes(protocol.get(which, b""), "big")


def _send(netlink: socket.socket, kind: int, family: int, flags: int, attributes: bytes) -> None:
    body = _GENERIC.pack(family, 0, 0) + attributes
    netlink.send(_HEADER.pack(_HEADER.size + len(body), kind, NLM_F_REQUEST | flags, 1, 0) + body)


def _replies(netlink: socket.socket) -> Iterator[bytes]:
    """Until the kernel says that it was all. Raises: OSError; that something is not there is no error."""
    while True:
        data = netlink.recv(1 << 17)
        at = 0
        while at < len(data):
            length, kind, _, _, _ = _HEADER.unpack_from(data, at)
            body = data[at + _HEADER.size : at + length]
            if kind in (NLMSG_ERROR, NLMSG_DONE):
                code = -int.from_bytes(body[:4], "little", signed=True)
                if code not in (0, ENOENT):
                    raise OSError(code, f"netlink error {code}")
                return
            yield body
            at += (length + 3) & ~3


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        yield kind & 0x3FFF, data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3


def _attribute(kind: int, data: bytes) -> bytes:
    padding = -len(data) % 4
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(data), kind) + data + bytes(padding)


def _nest(kind: int, data: bytes) -> bytes:
    return _attribute(kind | NLA_F_NESTED, data)
