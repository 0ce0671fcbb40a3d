"""From where to where: the words of the command line, read. Whether such a thing exists is asked later.

Source: the forms are kubectl's (`pod/NAME`, `svc/NAME`), with the namespace before the name where it differs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from navarch.app.nettrace.steps import BadQuestion
from navarch.proxy.addresses import proper

EndKind = Literal["pod", "node", "service", "world", "name", "address"]
KINDS: dict[str, EndKind] = {
    "pod": "pod",
    "pods": "pod",
    "po": "pod",
    "service": "service",
    "services": "service",
    "svc": "service",
    "node": "node",
    "nodes": "node",
    "no": "node",
}
SOMEBODY, SOMEBODY_IPV6 = "203.0.113.1", "2001:db8::1"
"""Whoever is outside, where it was not said: addresses that stand for none (RFC 5737, RFC 3849)."""
_NAME = re.compile(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9])?\.?", re.IGNORECASE)
_PORT = re.compile(r"[a-z0-9-]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class End:
    """name: of the object, the DNS name, or the address. namespace: "" where it has none."""

    kind: EndKind
    name: str
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """port: a number, or a port's name; "" for the only one that there is. protocol: "" for that port's. family: `ipv4`
    or `ipv6`; "" for that of the addresses."""

    source: End
    target: End
    port: str = ""
    protocol: str = ""
    family: str = ""


def question(
    source: str, target: str, *, port: str = "", protocol: str = "", namespace: str = "default", family: str = ""
) -> Question:
    """namespace: of names that are given without one. Raises: BadQuestion."""
    words, said = _parted(target)
    if said and port and said != port:
        raise BadQuestion(f"{target!r} says port {said}, and --port says {port}: say one of them")
    port = port or said
    if port.isdecimal() and not 1 <= int(port) <= 65535:
        raise BadQuestion(f"{port} is no port: it must be between 1 and 65535")
    return Question(_source(source, namespace), _target(words, namespace), port, protocol, family)


def _parted(target: str) -> tuple[str, str]:
    """Place and port; addresses of IPv6 hold colons themselves, and stand in brackets where a port follows."""
    if target.startswith("["):
        words, end, said = target[1:].partition("]")
        if end and proper([words]) and (said == "" or (said[0] == ":" and _PORT.fullmatch(said[1:]))):
            return words, said[1:]
    words, _, said = target.partition(":")
    return (words, said) if _PORT.fullmatch(said) else (target, "")


def _source(text: str, namespace: str) -> End:
    word, _, rest = text.partition(":")
    if word == "world":
        found = proper([rest])
        if rest and not found:
            raise BadQuestion(f"{rest!r} in {text!r} is no address; say world or world:ADDRESS")
        return End("world", found[0] if found else SOMEBODY)
    sends = _object(text, namespace)
    if sends is None or sends.kind == "service":
        raise BadQuestion(f"{text!r} sends nothing: say pod/NAME, NAMESPACE/POD, node/NAME or world[:ADDRESS]")
    return sends


def _target(text: str, namespace: str) -> End:
    if address := proper([text]):
        return End("address", address[0])
    if found := _object(text, namespace):
        return found
    if _NAME.fullmatch(text) and ".." not in text:
        return End("name", text.lower())
    raise BadQuestion(f"{text!r} is no place to go: say pod/NAME, service/NAME, node/NAME, a DNS name or an address")


def _object(text: str, namespace: str) -> End | None:
    """None for what does not name an object."""
    match text.split("/"):
        case [kind, name] if kind in KINDS and name:
            return End(KINDS[kind], name, "" if KINDS[kind] == "node" else namespace)
        case [kind, space, name] if KINDS.get(kind) in ("pod", "service") and space and name:
            return End(KINDS[kind], name, space)
        case [space, name] if space and name:
            return End("pod", name, space)
    return None
