"""Reading certificates: when they end, whom they name, for which hosts they are, whether an authority holds them.

Servers look at their own certificates each time they start, and hold in memory what they load for it: these few fields
are walked to by hand instead, from one DER element to the next. Nothing is verified here and nothing made; that is
`ssl`'s business and `pki`'s.

Source: RFC 5280, section 4.1; ITU-T X.690
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)
BOOLEAN, OCTETS, IDENTIFIER, SEQUENCE, UTC_TIME, LONG_TIME = 0x01, 0x04, 0x06, 0x30, 0x17, 0x18
VERSION, EXTENSIONS = 0xA0, 0xA3
"""Of a certificate's parts, those that are marked by a number."""
DNS_NAME, ADDRESS = 0x82, 0x87
"""Of alternative names."""
WIDE_TEXT = {0x1C: "utf-32-be", 0x1E: "utf-16-be"}
"""How texts are written that are not UTF-8."""
COMMON_NAME, ORGANIZATION = b"\x55\x04\x03", b"\x55\x04\x0a"
ALTERNATIVE_NAMES, CONSTRAINTS = b"\x55\x1d\x11", b"\x55\x1d\x13"

LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Certificate:
    """hosts: DNS names and addresses. authority: whether it may sign others."""

    not_after: datetime
    common_name: str = ""
    organizations: tuple[str, ...] = ()
    hosts: frozenset[str] = frozenset()
    authority: bool = False
    not_before: datetime = LONG_AGO


def read_pem(data: bytes) -> Certificate:
    """The first certificate of a PEM file. Raises: ValueError: there is none."""
    block = _BLOCK.search(data)
    if block is None:
        raise ValueError("there is no certificate in it")
    try:
        return read_der(base64.b64decode(b"".join(block[1].split()), validate=True))
    except binascii.Error as error:
        raise ValueError(f"the certificate is no base64: {error}") from error


def read_der(data: bytes) -> Certificate:
    """Raises: ValueError: it is no certificate."""
    parts = list(_elements(_only(data)))
    if [tag for tag, _ in parts][:2] != [SEQUENCE, SEQUENCE] or len(parts) != 3:
        raise ValueError("a certificate has other parts")
    fields = [(tag, content) for tag, content in _elements(parts[0][1]) if tag != VERSION]
    if len(fields) < 6 or any(fields[place][0] != SEQUENCE for place in (1, 2, 3, 4, 5)):
        raise ValueError("a certificate has other fields")
    times = list(_elements(fields[3][1]))
    if len(times) != 2:
        raise ValueError("a certificate is valid from one time to another")
    names = list(_names(fields[4][1]))
    extensions = dict(_extensions(next((content for tag, content in fields[6:] if tag == EXTENSIONS), b"")))
    return Certificate(
        _time(*times[1]),
        next((text for kind, text in names if kind == COMMON_NAME), ""),
        tuple(text for kind, text in names if kind == ORGANIZATION),
        frozenset(_hosts(extensions.get(ALTERNATIVE_NAMES, b""))),
        _signs(extensions.get(CONSTRAINTS, b"")),
        _time(*times[0]),
    )


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of what stands one behind the other."""
    position, end = 0, len(data)
    while position < end:
        if position + 2 > end or data[position] & 0x1F == 0x1F:
            raise ValueError(f"the element at byte {position} cannot be read")
        tag, length = data[position], data[position + 1]
        position += 2
        if length & 0x80:
            size = length & 0x7F
            if not 1 <= size <= 4 or position + size > end:
                raise ValueError(f"the length at byte {position} cannot be read")
            length = int.from_bytes(data[position : position + size], "big")
            position += size
        if position + length > end:
            raise ValueError(f"the element at byte {position} is cut short")
        yield tag, data[position : position + length]
        position += length


def _only(data: bytes) -> bytes:
    """The content of the one sequence that `data` is."""
    found = list(_elements(data))
    if len(found) != 1 or found[0][0] != SEQUENCE:
        raise ValueError("it is not one sequence")
    return found[0][1]


def _time(tag: int, content: bytes) -> datetime:
    if tag not in (UTC_TIME, LONG_TIME):
        raise ValueError("a certificate's end is no time")
    text = content.decode("ascii")
    if tag == UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _names(subject: bytes) -> Iterator[tuple[bytes, str]]:
    """Kind and value of each part of a distinguished name."""
    for _, group in _elements(subject):
        for _, pair in _elements(group):
            parts = list(_elements(pair))
            if len(parts) != 2 or parts[0][0] != IDENTIFIER:
                raise ValueError("a part of the subject's name cannot be read")
            tag, content = parts[1]
            yield parts[0][1], content.decode(WIDE_TEXT.get(tag, "utf-8"))


def _extensions(listed: bytes) -> Iterator[tuple[bytes, bytes]]:
    if listed:
        for _, one in _elements(_only(listed)):
            parts = list(_elements(one))
            if len(parts) < 2 or parts[0][0] != IDENTIFIER or parts[-1][0] != OCTETS:
                raise ValueError("an extension cannot be read")
            yield parts[0][1], parts[-1][1]


def _hosts(names: bytes) -> Iterator[str]:
    for tag, content in _elements(_only(names)) if names else ():
        if tag == DNS_NAME:
            yield content.decode("ascii")
        elif tag == ADDRESS:
            yield str(ipaddress.ip_address(content))


def _signs(constraints: bytes) -> bool:
    if not constraints:
        return False
    first = next(_elements(_only(constraints)), (0, b""))
    return first[0] == BOOLEAN and any(first[1])
