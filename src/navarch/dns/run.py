"""Cluster DNS of one node, joined: informers keep the zone, the zone's changes empty the memory, the server answers.

How the cluster address of DNS leads here is the proxy's doing: `Node.own` names this listener.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from socket import SocketKind, socket

from navarch.base.clock import Clock, Ids
from navarch.base.errors import Retryable
from navarch.base.log import Log
from navarch.base.tasks import BugReport
from navarch.client.informer import Informers
from navarch.dns import wire
from navarch.dns.forwarding import Forwarding, forwarding_of
from navarch.dns.memory import Memory
from navarch.dns.server import Server
from navarch.dns.upstream import Forwarder
from navarch.dns.zone import Entry, Zone, entry_of
from navarch.kinds import CONFIGMAP, ENDPOINTSLICE, SERVICE
from navarch.kinds.endpointslice import SERVICE_LABEL
from navarch.kinds.object import Object
from navarch.kinds.service import HEADLESS

PORT = 10053
"""Where the node listens; pods ask port 53 of the cluster address. Not 53: the host may run a server of its own."""
RETRY_S = 1.0
SETTINGS_WAIT_S = 5.0
INDEX = "service-by-label"

log = Log("dns")
bugs = BugReport(log)


class Dns:
    """`informers` must be running for `run` to come to anything; whoever made them runs them."""

    def __init__(
        self,
        informers: Informers,
        listen: Sequence[tuple[str, int]],
        of_host: Callable[[], Sequence[tuple[str, int]]],
        clock: Clock,
        ids: Ids,
        *,
        domain: str = "cluster.local",
        service: tuple[str, str] = ("kube-system", "kube-dns"),
        make: Callable[[str, int, SocketKind], socket] | None = None,
    ) -> None:
        """listen: addresses of the node that its pods reach, one of each family that they have. of_host: the servers
        that the host asks.

        service: namespace and name of the DNS service itself, and of the ConfigMap that says who else is asked.
        make: see `Server`.
        """
        self._services = informers.of(SERVICE)
        self._slices = informers.of(ENDPOINTSLICE)
        self._settings = informers.of(CONFIGMAP, service[0], f"metadata.name={service[1]}")
        self._clock = clock
        self._ids = ids
        self._listen = tuple(listen)
        self._of_host = of_host
        self._service = service
        self._zone = Zone(domain, service)
        self._memory = Memory()
        self._forwarding = Forwarding()
        self._faults: list[str] = []
        self._server = Server(self._zone, self._memory, Forwarder(self._upstreams, ids), listen, clock, make)
        self.counts = self._server.counts
        self._dirty: set[tuple[str, str]] = set()
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled. Nothing is answered before the whole cluster is known; questions wait meanwhile."""
        self._slices.index(INDEX, _service_of)
        self._services.subscribe(self._service_changed)
        self._slices.subscribe(self._slice_changed)
        self._settings.subscribe(self._settings_changed)
        await self._bind()
        for informer in (self._services, self._slices):
            await informer.synced.wait()
        await self._settings_known()
        self._apply()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._server.run())
            while True:
                await self._wake.wait()
                self._wake.clear()
                self._apply()

    async def _settings_known(self) -> None:
        """The cluster's own names do not wait for ever for who else is asked."""
        try:
            async with asyncio.timeout(SETTINGS_WAIT_S):
                await self._settings.synced.wait()
        except TimeoutError:
            log.warning("who is asked about other names is not known yet", config_map="/".join(self._service))

    async def answers(self, timeout_s: float = 1.0) -> bool:
        """Whether each listener answers a question about the cluster's own domain."""
        for listener in self._listen:
            try:
                message = await ask(listener, f"dns-version.{self._zone.domain}", "TXT", self._ids, timeout_s)
            except Retryable:
                return False
            if wire.code_of(message) != wire.CODES["NOERROR"]:
                return False
        return True

    async def _bind(self) -> None:
        while True:
            try:
                self._server.bind()
            except Retryable as error:
                log.warning("will be tried again", error=error)
                await self._clock.sleep(RETRY_S)
            else:
                return

    def _apply(self) -> None:
        dirty, self._dirty = self._dirty, set()
        for namespace, name in dirty:
            try:
                entry = self._entry(namespace, name)
            except Exception as bug:  # noqa: BLE001 - reported; it keeps its old answers, and all others get their new ones
                bugs.report(f"{namespace}/{name}", bug)
                continue
            self._memory.forget(self._zone.put(namespace, name, entry))

    def _entry(self, namespace: str, name: str) -> Entry | None:
        service = self._services.get(namespace, name)
        if service is None:
            return None
        slices = self._slices.by(INDEX, f"{namespace}/{name}") if _headless(service) else ()
        return entry_of(service.view, [each.view for each in slices])

    def _upstreams(self, name: str) -> Sequence[tuple[str, int]]:
        return self._forwarding.servers(name, self._of_host())

    def _settings_changed(self, old: Object | None, new: Object | None) -> None:
        self._resettle()

    def _resettle(self) -> None:
        found = self._settings.get(*self._service)
        service = self._services.get(*self._service)
        own = frozenset(
            (*(address for address, _ in self._listen), *(service.view.spec.cluster_ips if service else ()))
        )
        forwarding, faults = forwarding_of(found.view.data if found else {}, own=own)
        if faults != self._faults:
            self._faults = faults
            for fault in faults:
                log.warning("a setting of the DNS server is left out", config_map="/".join(self._service), fault=fault)
        if forwarding != self._forwarding:
            self._forwarding = forwarding
            self._memory.forget_foreign()

    def _service_changed(self, old: Object | None, new: Object | None) -> None:
        found = new or old
        if found is not None:
            self._dirty.add(found.key)
            self._wake.set()
            if found.key == self._service:
                self._resettle()

    def _slice_changed(self, old: Object | None, new: Object | None) -> None:
        for found in (old, new):
            if found is None or not (name := found.labels.get(SERVICE_LABEL)):
                continue
            service = self._services.get(found.namespace, name)
            if service is not None and _headless(service):
                self._dirty.add((found.namespace, name))
                self._wake.set()


async def ask(server: tuple[str, int], name: str, kind: str, ids: Ids, timeout_s: float = 2.0) -> bytes:
    """One question to one server, by datagram; the message that came back. Raises: Retryable, when none did."""
    forwarder = Forwarder(lambda _: (server,), ids)
    try:
        async with asyncio.timeout(timeout_s):
            return await forwarder.ask(wire.ask(0, name, kind), name)
    except TimeoutError:
        raise Retryable(f"{server[0]}:{server[1]} did not answer within {timeout_s} s") from None


def _headless(service: Object) -> bool:
    return bool(service.view.spec.cluster_ip == HEADLESS)


def _service_of(found: Object) -> tuple[str, ...]:
    name = found.labels.get(SERVICE_LABEL)
    return (f"{found.namespace}/{name}",) if name else ()
