"""What is written down of claims on this node: which pods hold them, and what their drivers prepared.

A claim is written down before a driver is asked to prepare it, and forgotten when all its drivers have taken it back,
so that whatever dies in between, nothing is prepared for nobody. It is prepared once, however many pods share it, and
given back with the last of them. All of it is pure but for the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from navarch.agent.dra.asked import Asked, ClaimFailure

Key = tuple[str, str]
"""Of a claim: namespace and name."""


@dataclass(frozen=True, slots=True)
class Device:
    """What a driver prepared. requests: of the claim that it is for, () for all. cdi: what the runtime calls it.
    share: which part of a shared device it is, where a driver says so."""

    pool: str
    name: str
    requests: tuple[str, ...] = ()
    cdi: tuple[str, ...] = ()
    share: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """pods: uids of those that hold it, in order. drivers: with what each prepared."""

    namespace: str
    name: str
    uid: str
    pods: tuple[str, ...]
    drivers: dict[str, tuple[Device, ...]]
    prepared: bool = False

    @property
    def key(self) -> Key:
        return (self.namespace, self.name)


Records = Mapping[Key, Record]


@dataclass(frozen=True, slots=True)
class Written:
    """The file. boot: which start of the machine it tells of; what drivers prepared before another is gone."""

    boot: str = ""
    claims: tuple[Record, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """changed: records as they are to be. open: claims that drivers are asked about; calls: the same by driver, each of
    which is asked about all of its own at once."""

    changed: dict[Key, Record]
    open: tuple[Record, ...]

    @property
    def calls(self) -> dict[str, tuple[Record, ...]]:
        drivers = sorted({driver for record in self.open for driver in record.drivers})
        return {driver: tuple(one for one in self.open if driver in one.drivers) for driver in drivers}


def encode(boot: str, records: Records) -> bytes:
    return msgspec.json.encode(Written(boot, tuple(record for _, record in sorted(records.items()))))


def decode(data: bytes, boot: str) -> dict[Key, Record]:
    """Raises: msgspec.MsgspecError."""
    found = msgspec.json.decode(data, type=Written)
    same = found.boot == boot
    return {one.key: one if same else replace(one, prepared=False) for one in found.claims}


def preparing(records: Records, pod: str, asked: Sequence[Asked]) -> Plan:
    """Raises: ClaimFailure, when another claim of that name is still held."""
    changed: dict[Key, Record] = {}
    found = []
    for claim in asked:
        record = records.get(claim.key)
        if record is None:
            record = Record(claim.namespace, claim.name, claim.uid, (), dict.fromkeys(claim.drivers, ()))
        elif record.uid != claim.uid:
            text = f"old ResourceClaim with same name {claim.name} and different UID {record.uid} still exists"
            raise ClaimFailure(f"{text} (previous pod force-deleted?!)")
        if pod not in record.pods:
            record = changed[claim.key] = replace(record, pods=(*record.pods, pod))
        if not record.prepared:
            found.append(record)
    return Plan(changed, tuple(found))


def unpreparing(records: Records, pod: str) -> Plan:
    """changed: those that other pods hold on to; what drivers are asked about is forgotten when they have done it."""
    changed: dict[Key, Record] = {}
    last = []
    for record in held_by(records, pod):
        if record.pods == (pod,):
            last.append(record)
        else:
            changed[record.key] = replace(record, pods=tuple(uid for uid in record.pods if uid != pod))
    return Plan(changed, tuple(last))


def held_by(records: Records, pod: str) -> Iterator[Record]:
    return (record for _, record in sorted(records.items()) if pod in record.pods)


def ready(records: Records, pod: str, names: Iterable[Key]) -> bool:
    """Whether all of these are prepared, for this pod too."""
    found = (records.get(key) for key in names)
    return all(record is not None and record.prepared and pod in record.pods for record in found)


def devices_of(record: Record, request: str) -> Iterator[tuple[str, Device]]:
    """(driver, device) of those that belong to a request of the claim, or of all of them with ""."""
    for driver, devices in sorted(record.drivers.items()):
        for device in devices:
            if not request or not device.requests or any(_same(request, name) for name in device.requests):
                yield driver, device


def _same(one: str, other: str) -> bool:
    """Of requests: `request`, or `request/subrequest`, which belongs to the former."""
    left, _, sub = one.partition("/")
    right, _, other_sub = other.partition("/")
    return left == right and (not sub or not other_sub or sub == other_sub)
