"""Which servers are asked about names that are not the cluster's: what people wrote, turned into a value. Pure.

It stands in the ConfigMap `kube-dns` of kube-system, in the form that Kubernetes' documentation gives:

- `stubDomains`: JSON, a domain -> the servers that know what lies below it;
- `upstreamNameservers`: JSON, the servers for everything else, instead of those of the host.

A part that cannot be read is left out and told; the others count.

Source: https://kubernetes.io/docs/tasks/administer-cluster/dns-custom-nameservers/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import orjson

Server = tuple[str, int]
"""Address and port."""

PORT = 53
STUBS, UPSTREAMS = "stubDomains", "upstreamNameservers"
SERVERS_LIMIT = 15
"""For one domain, as CoreDNS has it."""


@dataclass(frozen=True, slots=True)
class Forwarding:
    """stubs: by domain, in lower case and without the final dot. upstreams: for the rest; empty: those of the host."""

    stubs: Mapping[str, tuple[Server, ...]] = field(default_factory=dict)
    upstreams: tuple[Server, ...] = ()

    def servers(self, name: str, of_host: Sequence[Server]) -> Sequence[Server]:
        """Those to be asked about `name` (lower case, without the final dot); of the longest domain that it lies in."""
        below = name
        while self.stubs and below:
            found = self.stubs.get(below)
            if found is not None:
                return found
            _, _, below = below.partition(".")
        return self.upstreams or of_host


def forwarding_of(data: Mapping[str, str], *, own: frozenset[str] = frozenset()) -> tuple[Forwarding, list[str]]:
    """own: our own addresses, lest questions go round in circles. Returns too what is wrong, each with its place."""
    faults: list[str] = []
    stubs: dict[str, tuple[Server, ...]] = {}
    for domain, servers in _mapping(data, faults).items():
        at = f"{STUBS}[{domain}]"
        wanted = domain.rstrip(".").lower()
        if not wanted or not all(0 < len(label) < 64 for label in wanted.split(".")):
            faults.append(f"{at}: {domain!r} is no domain; for all names there is {UPSTREAMS}")
        elif found := _servers(servers, at, own, faults):
            stubs[wanted] = found
    upstreams = _servers(_json(data, UPSTREAMS, faults), UPSTREAMS, own, faults)
    return Forwarding(stubs, upstreams), faults


def _json(data: Mapping[str, str], key: str, faults: list[str]) -> Any:
    text = data.get(key, "").strip()
    if not text:
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        faults.append(f"{key}: no JSON: {error}")
        return None


def _mapping(data: Mapping[str, str], faults: list[str]) -> dict[str, Any]:
    found = _json(data, STUBS, faults)
    if found is None:
        return {}
    if not isinstance(found, dict):
        faults.append(f'{STUBS}: a mapping is wanted, such as {{"corp.example": ["192.0.2.53"]}}')
        return {}
    return found


def _servers(found: Any, at: str, own: frozenset[str], faults: list[str]) -> tuple[Server, ...]:
    if found is None:
        return ()
    if not isinstance(found, list) or not found or len(found) > SERVERS_LIMIT:
        faults.append(f'{at}: a list of 1 to {SERVERS_LIMIT} servers is wanted, such as ["192.0.2.53"]')
        return ()
    servers: dict[Server, None] = {}
    for each in found:
        server = _server(each)
        if server is None:
            faults.append(f"{at}: {each!r} is no server: an address with or without a port, as 192.0.2.53:53")
        elif server[0] in own:
            faults.append(f"{at}: {each} is this DNS server itself")
        else:
            servers[server] = None
    return tuple(servers)


def _server(text: Any) -> Server | None:
    if not isinstance(text, str):
        return None
    address, port = text, str(PORT)
    if text.startswith("["):
        address, _, rest = text[1:].partition("]")
        if rest:
            port = rest.removeprefix(":") if rest.startswith(":") else ""
    elif text.count(":") == 1:
        address, _, port = text.partition(":")
    try:
        known = ip_address(address)
    except ValueError:
        return None
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        return None
    return str(known), int(port)
