"""The cluster's domain as a value: services and their endpoints in, answers out. Pure; the wire format is `wire`'s.

Everything below one service's name is answered from one `Entry`, so a change concerns exactly that service's names and
its addresses; `Zone` says which, so that a cache can forget those and no others.

Source: https://github.com/kubernetes/dns/blob/master/docs/specification.md
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from typing import Literal, NamedTuple

from navarch.kinds.endpointslice import EndpointSlice
from navarch.kinds.service import HEADLESS, Service

TTL_S = 5
"""Short: what a name leads to may change at any moment, and asking again costs little."""
SCHEMA_VERSION = "1.1.0"

RecordType = Literal["A", "AAAA", "CNAME", "SRV", "PTR", "TXT", "SOA", "NS"]
Code = Literal["NOERROR", "NXDOMAIN"]


class Record(NamedTuple):
    """name: with a final dot, "" for the name asked for. data: an address, a name, a text; of an SRV record the port.

    target: of an SRV record the name it leads to.
    """

    type: RecordType
    data: str | int
    name: str = ""
    target: str = ""
    weight: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """subject: what it depends on, to be compared with what `Zone.put` returns. chase: a name whose addresses the asker
    wants too. Without records the zone's SOA goes along."""

    code: Code = "NOERROR"
    records: tuple[Record, ...] = ()
    extra: tuple[Record, ...] = ()
    subject: str = ""
    chase: str = ""


class Port(NamedTuple):
    """name: "" for the only port of a service. protocol: `tcp`."""

    name: str
    protocol: str
    number: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One service. addresses: of the service, or of a headless one's ready endpoints, each once, in order.

    hosts: by the label of an endpoint of a headless service. ends: where its ports are: (port, label).
    """

    external: str = ""
    headless: bool = False
    addresses: tuple[str, ...] = ()
    ports: tuple[Port, ...] = ()
    hosts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ends: tuple[tuple[Port, str], ...] = ()


def entry_of(service: Service, slices: Iterable[EndpointSlice]) -> Entry | None:
    """None for a service that has no address yet. slices: read for headless services only."""
    spec = service.spec
    if spec.type == "ExternalName":
        return Entry(external=f"{spec.external_name.rstrip('.')}.") if spec.external_name else None
    if spec.cluster_ip == HEADLESS:
        return _headless(slices)
    addresses = tuple(map(_proper, spec.cluster_ips or ((spec.cluster_ip,) if spec.cluster_ip else ())))
    if not addresses:
        return None
    return Entry(
        addresses=addresses, ports=tuple(Port(each.name, each.protocol.lower(), each.port) for each in spec.ports)
    )


def _headless(slices: Iterable[EndpointSlice]) -> Entry:
    addresses: dict[str, None] = {}
    hosts: dict[str, dict[str, None]] = {}
    ends: dict[tuple[Port, str], None] = {}
    for part in slices:
        if part.address_type not in ("IPv4", "IPv6"):
            continue
        ports = [Port(each.name, each.protocol.lower(), each.port) for each in part.ports if each.port]
        for endpoint in part.endpoints:
            if not endpoint.ready:
                continue
            for address in map(_proper, endpoint.addresses):
                label = (endpoint.hostname or dashed(address)).lower()
                addresses[address] = None
                hosts.setdefault(label, {})[address] = None
                ends.update(dict.fromkeys((port, label) for port in ports))
    return Entry(
        headless=True,
        addresses=tuple(addresses),
        hosts={label: tuple(found) for label, found in hosts.items()},
        ends=tuple(ends),
    )


def _proper(address: str) -> str:
    """IPv6 can be written in many ways; who asks backwards is understood in one."""
    if ":" not in address:
        return address
    try:
        return str(IPv6Address(address))
    except ValueError:
        return address


def dashed(address: str) -> str:
    """An address as a label: `10-244-0-5`, `fd00--1`."""
    return address.replace(".", "-").replace(":", "-")


class Zone:
    """Names come in lower case and without the final dot. server: namespace and name of the service that leads here."""

    def __init__(self, domain: str = "cluster.local", server: tuple[str, str] = ("kube-system", "kube-dns")) -> None:
        self.domain = domain
        self.serial = 0
        """Goes up with every change."""
        self._server = server
        self._entries: dict[tuple[str, str], Entry] = {}
        self._namespaces: dict[str, int] = {}
        self._reverse: dict[str, dict[tuple[str, str], str]] = {}

    def put(self, namespace: str, name: str, entry: Entry | None) -> set[str]:
        """Sets or (None) drops a service. Returns the subjects of all answers that may differ now."""
        key = (namespace, name)
        old = self._entries.get(key)
        if old == entry:
            return set()
        self.serial += 1
        changed = {f"{namespace}/{name}"}
        if old is None or entry is None:
            changed.add(f"{namespace}/")
            count = self._namespaces.get(namespace, 0) + (1 if entry else -1)
            self._namespaces[namespace] = count
            if not count:
                del self._namespaces[namespace]
        for address in _reverses(old):
            changed.add(address)
            self._reverse[address].pop(key, None)
            if not self._reverse[address]:
                del self._reverse[address]
        for address, label in _reverses(entry).items():
            changed.add(address)
            self._reverse.setdefault(address, {})[key] = label
        if entry:
            self._entries[key] = entry
        else:
            del self._entries[key]
        return changed

    def services(self) -> Sequence[tuple[str, str]]:
        """(namespace, name) of all."""
        return list(self._entries)

    def lookup(self, name: str, kind: str) -> Answer | None:
        """kind: the type asked for, any text. None when the name is none of ours and is to be asked of others."""
        if name == self.domain or name.endswith(f".{self.domain}"):
            labels = name[: -len(self.domain) - 1].split(".") if name != self.domain else []
            return self._inside(labels, kind)
        if name.endswith((".in-addr.arpa", ".ip6.arpa")):
            return self._backwards(name, kind)
        return None

    def _inside(self, labels: list[str], kind: str) -> Answer:
        match labels:
            case []:
                soa = (Record("SOA", ""),) if kind == "SOA" else ()
                return Answer(records=(Record("NS", f"ns.dns.{self.domain}."),) if kind == "NS" else soa)
            case ["dns-version"]:
                return Answer(records=(Record("TXT", SCHEMA_VERSION),) if kind == "TXT" else ())
            case ["ns", "dns"]:
                entry = self._entries.get(self._server)
                return Answer(
                    records=_addresses(entry.addresses if entry else (), kind), subject="/".join(self._server)
                )
            case ["svc"] | ["pod"] | ["dns"]:
                return Answer()
            case [namespace, "svc"]:
                return Answer(self._known(namespace in self._namespaces), subject=f"{namespace}/")
            case [*rest, service, namespace, "svc"]:
                return self._service(rest, service, namespace, kind)
            case [_, "pod"]:
                return Answer()
            case [label, _, "pod"]:
                return _pod(label, kind)
            case _:
                return Answer("NXDOMAIN")

    @staticmethod
    def _known(found: bool) -> Code:
        return "NOERROR" if found else "NXDOMAIN"

    def _service(self, rest: list[str], service: str, namespace: str, kind: str) -> Answer:
        subject = f"{namespace}/{service}"
        entry = self._entries.get((namespace, service))
        if entry is None or (entry.headless and not entry.addresses):
            return Answer("NXDOMAIN", subject=subject)
        base = f"{service}.{namespace}.svc.{self.domain}."
        match rest:
            case []:
                if entry.external:
                    chase = entry.external if kind in ("A", "AAAA") else ""
                    return Answer(records=(Record("CNAME", entry.external),), subject=subject, chase=chase)
                if kind == "SRV":
                    return _srv(entry, base, subject, "", "")
                return Answer(records=_addresses(entry.addresses, kind), subject=subject)
            case [port, protocol] if port.startswith("_") and protocol.startswith("_"):
                found = _srv(entry, base, subject, port[1:], protocol[1:])
                if not found.records:
                    return Answer("NXDOMAIN", subject=subject)
                return found if kind == "SRV" else Answer(subject=subject)
            case [protocol] if protocol.startswith("_"):
                ports = [port for port, _ in entry.ends] if entry.headless else entry.ports
                return Answer(self._known(any(port.protocol == protocol[1:] for port in ports)), subject=subject)
            case [label] if label in entry.hosts:
                return Answer(records=_addresses(entry.hosts[label], kind), subject=subject)
            case _:
                return Answer("NXDOMAIN", subject=subject)

    def _backwards(self, name: str, kind: str) -> Answer | None:
        address = _unreversed(name)
        found = self._reverse.get(address)
        if not found:
            return None
        names = [f"{label}{service}.{namespace}.svc.{self.domain}." for (namespace, service), label in found.items()]
        records = tuple(Record("PTR", each) for each in names)
        return Answer(records=records if kind == "PTR" else (), subject=address)


def _reverses(entry: Entry | None) -> dict[str, str]:
    """Address -> what stands before the service's name: "" or an endpoint's label and a dot."""
    if entry is None:
        return {}
    if not entry.headless:
        return dict.fromkeys(entry.addresses, "")
    return {address: f"{label}." for label, addresses in entry.hosts.items() for address in addresses}


def _addresses(addresses: Iterable[str], kind: str) -> tuple[Record, ...]:
    if kind == "A":
        return tuple(Record("A", each) for each in addresses if ":" not in each)
    if kind == "AAAA":
        return tuple(Record("AAAA", each) for each in addresses if ":" in each)
    return ()


def _both(name: str, addresses: Iterable[str]) -> tuple[Record, ...]:
    return tuple(Record("AAAA" if ":" in each else "A", each, name=name) for each in addresses)


def _srv(entry: Entry, base: str, subject: str, name: str, protocol: str) -> Answer:
    """name, protocol: of the port; "" for all ports that have a name."""

    def wanted(port: Port) -> bool:
        return (port.name == name and port.protocol == protocol) if protocol else bool(port.name)

    if entry.headless:
        ends = [(port, f"{label}.{base}") for port, label in entry.ends if wanted(port)]
        labels = dict.fromkeys(label for port, label in entry.ends if wanted(port))
        extra = tuple(record for label in labels for record in _both(f"{label}.{base}", entry.hosts[label]))
    else:
        ends = [(port, base) for port in entry.ports if wanted(port)]
        extra = _both(base, entry.addresses) if ends else ()
    weight = max(1, 100 // len(ends)) if ends else 0
    records = tuple(Record("SRV", port.number, target=target, weight=weight) for port, target in ends)
    return Answer(records=records, extra=extra, subject=subject)


def _pod(label: str, kind: str) -> Answer:
    """The name holds the address; whether such a pod exists is not asked, as upstream's default has it."""
    for candidate in (label.replace("-", "."), label.replace("-", ":")):
        try:
            address = str(ip_address(candidate))
        except ValueError:
            continue
        return Answer(records=_addresses((address,), kind))
    return Answer("NXDOMAIN")


def _unreversed(name: str) -> str:
    """The address in a name below in-addr.arpa or ip6.arpa; "" when it is none."""
    labels = name.split(".")[::-1][2:]
    try:
        if name.endswith(".in-addr.arpa"):
            return str(ip_address(".".join(labels)))
        digits = "".join(labels)
        return str(ip_address(":".join(digits[at : at + 4] for at in range(0, 32, 4)))) if len(digits) == 32 else ""
    except ValueError:
        return ""
