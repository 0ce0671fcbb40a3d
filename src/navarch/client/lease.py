"""Leases: who leads among several masters, and which nodes are alive.

`Election` holds one Lease object for one of several candidates. `Heartbeats` is the seam by which nodes show life and
the control plane hears of it: Lease objects on real nodes; in a simulation a function of the clock, so that thousands
of idle nodes cost nothing.

Source: https://kubernetes.io/docs/concepts/architecture/leases/
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Protocol

from navarch.base.clock import Clock, rfc3339_micro
from navarch.base.errors import ApiError, NotFound, Retryable
from navarch.base.log import Log
from navarch.client.client import Client
from navarch.client.informer import Informer
from navarch.kinds import LEASE, NODE
from navarch.kinds.object import Object
from navarch.objects.value import Document, dig

NODE_NAMESPACE = "kube-node-lease"
RENEW_S = 4.0
"""How often a node renews. Kubernetes: every 10 s. Three missed renewals make it Unknown."""
LEASE_S = 12
"""How long a node's lease holds. Kubernetes: 40 s."""

ALIVE = datetime.max.replace(tzinfo=UTC)
"""Seen for ever: alive until the listeners are told otherwise."""

_log = Log("client")


class Heartbeats(Protocol):
    """Signs of life of nodes."""

    async def renew(self, node: str) -> None:
        """Say that `node` is alive; called by the node's agent.

        Raises: ApiError, Retryable.
        """
        ...

    def last_seen(self, node: str) -> datetime | None:
        """When the last sign of life reached this process, by its own clock; None for never; `ALIVE` where silence
        will be announced to the listeners."""
        ...

    def listen(self, listener: Callable[[str], None]) -> None:
        """Have `listener` called with a node's name when it is heard of first, falls silent after `ALIVE`, or is heard
        again after a silence that was announced."""
        ...


class LeaseHeartbeats:
    """Through Lease objects in `kube-node-lease`.

    informer: of the leases there, for those who ask `last_seen`; an agent, which only renews, needs none. The renewal's
    own time is not compared with the clock here, since clocks of machines differ: what counts is when it came.
    """

    def __init__(self, client: Client, clock: Clock, informer: Informer | None = None) -> None:
        self._client = client
        self._clock = clock
        self._seen: dict[str, datetime] = {}
        self._listeners: list[Callable[[str], None]] = []
        if informer is not None:
            informer.subscribe(self._heard)

    async def renew(self, node: str) -> None:
        spec = {"renewTime": rfc3339_micro(self._clock.now())}
        try:
            await self._client.patch(LEASE, NODE_NAMESPACE, node, {"spec": spec})
        except NotFound:
            owner = await self._client.get(NODE, "", node)
            await self._client.create(LEASE, new_node_lease(owner, self._clock.now()))

    def last_seen(self, node: str) -> datetime | None:
        return self._seen.get(node)

    def listen(self, listener: Callable[[str], None]) -> None:
        self._listeners.append(listener)

    def _heard(self, old: Object | None, new: Object | None) -> None:
        lease = new or old
        if lease is None or lease.namespace != NODE_NAMESPACE:
            return
        if new is None:
            self._seen.pop(lease.name, None)
            return
        first = lease.name not in self._seen
        self._seen[lease.name] = self._clock.now()
        if first:
            for listener in self._listeners:
                listener(lease.name)


def new_node_lease(node: Object, now: datetime) -> Document:
    return {
        "apiVersion": LEASE.api_version,
        "kind": LEASE.name,
        "metadata": {
            "name": node.name,
            "namespace": NODE_NAMESPACE,
            "ownerReferences": [
                {"apiVersion": node.kind.api_version, "kind": node.kind.name, "name": node.name, "uid": node.uid}
            ],
        },
        "spec": {"holderIdentity": node.name, "leaseDurationSeconds": LEASE_S, "renewTime": rfc3339_micro(now)},
    }


class Election:
    """One candidate for the lease `name` in `namespace`.

    identity: unique to this process. lease_s: how long others wait after the last renewal before they take over;
    renew_s: how long the leader tries to renew before it steps down (less than lease_s, so that there are never two);
    retry_s: between tries.
    """

    def __init__(
        self,
        client: Client,
        clock: Clock,
        name: str,
        identity: str,
        *,
        namespace: str = "kube-system",
        lease_s: float = 15.0,
        renew_s: float = 10.0,
        retry_s: float = 2.0,
    ) -> None:
        self._client = client
        self._clock = clock
        self._name = name
        self._namespace = namespace
        self._identity = identity
        self._lease_s = lease_s
        self._renew_s = renew_s
        self._retry_s = retry_s
        self._observed: tuple[int, float] = (0, 0.0)
        """The newest revision of the lease that was seen, and when, on the monotonic clock."""

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Lead whenever this candidate holds the lease; `lead` is cancelled when it does no longer. Never returns."""
        while True:
            if await self._try(self._clock.monotonic()):
                _log.info("leads", who=self._identity, lease=self._name)
                await self._lead(lead)
                _log.warning("no longer leads", who=self._identity, lease=self._name)
            await self._clock.sleep(self._retry_s)

    async def _lead(self, lead: Callable[[], Awaitable[None]]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                work = group.create_task(_as_coroutine(lead))
                await self._keep()
                work.cancel()
        finally:
            await self._give_up()

    async def _keep(self) -> None:
        """Renew until that has failed for too long."""
        renewed = self._clock.monotonic()
        while self._clock.monotonic() - renewed < self._renew_s:
            await self._clock.sleep(self._retry_s)
            now = self._clock.monotonic()
            if await self._try(now):
                renewed = now

    async def _try(self, now: float) -> bool:
        """Take or renew the lease if that is allowed; whether this candidate holds it now."""
        try:
            return await self._take(now)
        except (ApiError, Retryable) as error:
            _log.info("lease not renewed", lease=self._name, error=error)
            return False

    async def _take(self, now: float) -> bool:
        try:
            lease = await self._client.get(LEASE, self._namespace, self._name)
        except NotFound:
            await self._client.create(LEASE, self._document(None))
            return True
        document = lease.document()
        holder = dig(document, "spec", "holderIdentity", default="")
        if lease.revision != self._observed[0]:
            self._observed = (lease.revision, now)
        held_s = float(dig(document, "spec", "leaseDurationSeconds", default=0))
        if holder and holder != self._identity and now - self._observed[1] < held_s:
            return False
        made = await self._client.update(LEASE, self._document(document))
        self._observed = (made.revision, now)
        return True

    async def _give_up(self) -> None:
        """Let the next one take over at once, if the API can still be reached."""
        try:
            lease = await self._client.get(LEASE, self._namespace, self._name)
            document = lease.document()
            if dig(document, "spec", "holderIdentity") == self._identity:
                document["spec"] = {**document["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
                await self._client.update(LEASE, document)
        except (ApiError, Retryable) as error:
            _log.info("lease not given back", lease=self._name, error=error)

    def _document(self, old: Document | None) -> Document:
        now = rfc3339_micro(self._clock.now())
        spec: Document = dict(dig(old, "spec", default={}))
        if spec.get("holderIdentity") != self._identity:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = spec.get("leaseTransitions", 0) + (1 if old else 0)
        spec |= {"holderIdentity": self._identity, "leaseDurationSeconds": int(self._lease_s), "renewTime": now}
        metadata = old["metadata"] if old else {"name": self._name, "namespace": self._namespace}
        return {"apiVersion": LEASE.api_version, "kind": LEASE.name, "metadata": metadata, "spec": spec}


async def _as_coroutine(work: Callable[[], Awaitable[None]]) -> None:
    await work()
