"""The subsets of Endpoints in the one layout that all readers agree on, whoever wrote them and how.

An address may stand in several subsets, and a port too. Here addresses that are the same on several ports stand in one
subset with all of these, each once; where it is said to be ready and not to be, it is not.

Source: https://kubernetes.io/docs/reference/kubernetes-api/service-resources/endpoints-v1/
"""

from __future__ import annotations

from collections.abc import Iterable

from navarch.objects.value import Document, dig

READY, UNREADY = "addresses", "notReadyAddresses"

Port = tuple[str, int, str, str]
"""name, number, protocol, application protocol."""

_Address = tuple[str, str]
"""IP and the uid of what is behind it: two pods may share their node's IP."""


def repacked(subsets: Iterable[Document]) -> list[Document]:
    """In a fixed order: addresses by IP, ports and subsets by what they say."""
    by_port: dict[Port | None, dict[_Address, bool]] = {}
    known: dict[_Address, Document] = {}
    for subset in subsets:
        for port in subset.get("ports") or (None,):
            there = by_port.setdefault(port and _port(port), {})
            for kind, ready in ((READY, True), (UNREADY, False)):
                for address in subset.get(kind) or ():
                    key = (address["ip"], str(dig(address, "targetRef", "uid", default="")))
                    known.setdefault(key, address)
                    there[key] = ready and there.get(key, True)
    groups: dict[tuple[bool, tuple[tuple[_Address, bool], ...]], list[Port | None]] = {}
    for one, there in by_port.items():
        if there:
            groups.setdefault((one is None, tuple(sorted(there.items()))), []).append(one)
    found = [(sorted(ports, key=repr), addresses) for (_, addresses), ports in groups.items()]
    return [_subset(ports, addresses, known) for ports, addresses in sorted(found, key=repr)]


def _port(port: Document) -> Port:
    return (port.get("name", ""), port["port"], port.get("protocol", "TCP"), port.get("appProtocol", ""))


def _subset(
    ports: Iterable[Port | None], addresses: Iterable[tuple[_Address, bool]], known: dict[_Address, Document]
) -> Document:
    found: Document = {}
    for key, ready in addresses:
        found.setdefault(READY if ready else UNREADY, []).append(known[key])
    described = [_described(*port) for port in ports if port is not None]
    return {**found, "ports": described} if described else found


def _described(name: str, number: int, protocol: str, app_protocol: str) -> Document:
    found: Document = {"name": name} if name else {}
    found |= {"port": number, "protocol": protocol}
    return {**found, "appProtocol": app_protocol} if app_protocol else found
