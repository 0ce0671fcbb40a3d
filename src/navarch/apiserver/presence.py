"""Which API servers of a cluster live, where several share one store: the Service `kubernetes` leads to those alone.

Each server renews a Lease of its own in `kube-system`, which says where it is reached. Who was heard of lately is
listed; who leaves says so, and who falls silent is forgotten. What counts is when a renewal came, by the clock of who
reads it: clocks of machines differ. Leases of servers that are long gone are removed.

Source: https://kubernetes.io/docs/concepts/architecture/leases/#api-server-identity
"""

from __future__ import annotations

import asyncio
from base64 import b32encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256

from navarch.apiserver.bootstrap import Place, ensure_place, place_documents
from navarch.base.clock import Clock, parse_rfc3339, rfc3339_micro
from navarch.base.errors import ApiError, NotFound, Retryable
from navarch.base.log import Log
from navarch.client.client import Client
from navarch.kinds import LEASE
from navarch.kinds.object import Object
from navarch.objects import names
from navarch.objects.value import Document, dig

RENEW_S = 10.0
SILENT_S = 15.0
"""Who was not heard of for so long lives no more."""
LEASE_S = 3600
LABEL, IDENTITY = "apiserver.kubernetes.io/identity", "kube-apiserver"
HOSTNAME = "kubernetes.io/hostname"
ADDRESSES, PORT = "navarch.dev/addresses", "navarch.dev/port"

_log = Log("apiserver")


@dataclass(frozen=True, slots=True, order=True)
class Reached:
    """Where a server listens."""

    addresses: tuple[str, ...]
    port: int


@dataclass(frozen=True, slots=True)
class Sighting:
    """The newest revision of a lease that was seen, and when, on the monotonic clock."""

    revision: int
    at_s: float


def name_of(host: str, own: Reached) -> str:
    """The name of a server's lease: as Kubernetes makes it of the host's name, but that a host may have several."""
    identity = f"{host}/{own.addresses[0]}:{own.port}"
    return "apiserver-" + b32encode(sha256(identity.encode()).digest()[:16]).decode().rstrip("=").lower()


def seen(before: Mapping[str, Sighting], leases: Iterable[tuple[str, int]], now_s: float) -> dict[str, Sighting]:
    """leases: name and revision of what is there now. What is seen first counts as renewed just now."""
    found = {}
    for name, revision in leases:
        known = before.get(name)
        found[name] = known if known is not None and known.revision == revision else Sighting(revision, now_s)
    return found


def living(sightings: Mapping[str, Sighting], said: Mapping[str, Reached | None], now_s: float) -> list[Reached]:
    """Of the servers by their leases' names, those that say where they are and were heard of lately, in order."""
    found = (said[name] for name, sighting in sightings.items() if now_s - sighting.at_s < SILENT_S)
    return sorted(one for one in found if one is not None)


def reached(lease: Document) -> Reached | None:
    """Where a lease says its server is; None for one that left, or says nothing that can be read."""
    annotations = dig(lease, "metadata", "annotations", default={})
    addresses = tuple(filter(None, str(annotations.get(ADDRESSES, "")).split(",")))
    port = str(annotations.get(PORT, ""))
    return Reached(addresses, int(port)) if addresses and port.isdecimal() and port.isascii() else None


def joined(own: Place, servers: Iterable[Reached]) -> Place:
    """The place with the addresses of all servers. They should all listen on one port; where they do not, all agree on
    that of the first."""
    found = sorted(servers)
    if not found:
        return own
    port = found[0].port
    addresses = sorted({address for one in found if one.port == port for address in one.addresses})
    return replace(own, addresses=tuple(addresses), port=port)


def is_over(lease: Document, now: datetime) -> bool:
    """Whether the lease ran out, as it says itself."""
    spec = lease.get("spec") or {}
    try:
        renewed = parse_rfc3339(spec["renewTime"])
    except (KeyError, ValueError, TypeError):
        return True
    return renewed + timedelta(seconds=spec.get("leaseDurationSeconds") or 0) < now


class Presence:
    """Of one server. host: the machine's name. uid: of this run of it."""

    def __init__(self, client: Client, clock: Clock, own: Place, host: str, uid: str) -> None:
        self._client = client
        self._clock = clock
        self._own = own
        self._host = host
        self._name = name_of(host, Reached(own.addresses, own.port))
        self._holder = f"{self._name}_{uid}"
        self._sightings: dict[str, Sighting] = {}
        self._servers: list[Reached] = [Reached(own.addresses, own.port)]

    @property
    def place(self) -> Place:
        """Where all servers are reached that live."""
        return joined(self._own, self._servers)

    async def announce(self) -> None:
        """Say that this server lives, and hear who else does. Raises: ApiError, Retryable."""
        await self._renew()
        await self._look()

    async def run(self) -> None:
        """Until cancelled; then the others are told that it leaves."""
        try:
            while True:
                try:
                    await self.announce()
                    await self._tell()
                except (ApiError, Retryable) as error:
                    _log.warning("which servers live will be said again", error=error)
                await self._clock.sleep(RENEW_S)
        finally:
            await self._leave()

    async def _renew(self) -> None:
        metadata: Document = {
            "labels": {LABEL: IDENTITY, **({HOSTNAME: self._host} if not names.label_value(self._host) else {})},
            "annotations": {ADDRESSES: ",".join(self._own.addresses), PORT: str(self._own.port)},
        }
        renewed = rfc3339_micro(self._clock.now())
        spec = {"holderIdentity": self._holder, "leaseDurationSeconds": LEASE_S, "renewTime": renewed}
        changed: Document = {"metadata": metadata, "spec": spec}
        try:
            await self._client.patch(LEASE, "kube-system", self._name, changed)
        except NotFound:
            named = {**metadata, "name": self._name, "namespace": "kube-system"}
            document = {"apiVersion": LEASE.api_version, "kind": LEASE.name, "metadata": named, "spec": spec}
            await self._client.create(LEASE, document)

    async def _look(self) -> None:
        found = (await self._client.list(LEASE, "kube-system", labels=f"{LABEL}={IDENTITY}")).items
        now_s = self._clock.monotonic()
        self._sightings = seen(self._sightings, ((one.name, one.revision) for one in found), now_s)
        documents = {one.name: one.document() for one in found}
        self._servers = living(self._sightings, {name: reached(one) for name, one in documents.items()}, now_s)
        await self._sweep(found, documents, now_s)

    async def _sweep(self, leases: Iterable[Object], documents: Mapping[str, Document], now_s: float) -> None:
        """Remove what servers that are long gone left behind."""
        now = self._clock.now()
        for one in leases:
            silent = now_s - self._sightings[one.name].at_s >= SILENT_S
            if silent and one.name != self._name and is_over(documents[one.name], now):
                try:
                    await self._client.delete(LEASE, "kube-system", one.name, uid=one.uid)
                except NotFound:
                    continue  # another server was faster

    async def _tell(self) -> None:
        """Lead the Service to who lives, unless it does."""
        for kind, wanted in place_documents(self.place):
            try:
                found = (await self._client.get(kind, "default", "kubernetes")).document()
            except NotFound:
                found = {}
            if any(found.get(field) != value for field, value in wanted.items() if field != "metadata"):
                await ensure_place(self._client, self.place)
                return

    async def _leave(self) -> None:
        gone = {"metadata": {"annotations": {ADDRESSES: None, PORT: None}}}
        try:
            async with asyncio.timeout(RENEW_S):
                await self._client.patch(LEASE, "kube-system", self._name, gone)
                await self._look()
                if self._servers:
                    await self._tell()
        except (ApiError, Retryable, TimeoutError) as error:
            _log.info("the other servers will find out by themselves that this one left", error=error)
