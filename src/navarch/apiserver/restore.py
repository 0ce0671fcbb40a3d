"""Brings back, while the server runs, what every cluster has and somebody deleted: the service that leads to the API
server, the namespaces, and since when the use of tokens in Secrets is watched.

`kubectl delete service --all` is enough to lose the former. It waits for deletions, so it costs nothing while there are
none; what is changed instead of deleted comes back at the next start, as `bootstrap` does it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from navarch.apiserver.authn import tracking
from navarch.apiserver.bootstrap import NAMESPACES, Place, ensure_namespaces, ensure_place
from navarch.base.clock import Clock
from navarch.base.errors import ApiError, Expired, Retryable
from navarch.base.log import Log
from navarch.client.client import Client
from navarch.kinds import CONFIGMAP, ENDPOINTS, ENDPOINTSLICE, NAMESPACE, SERVICE
from navarch.kinds.kind import Kind
from navarch.kinds.secret import TOKEN_TRACKING

RETRY_S = 10.0
Ensure = Callable[[], Awaitable[None]]

_log = Log("apiserver")


async def restore(client: Client, place: Callable[[], Place] | None, clock: Clock) -> None:
    """Until cancelled. place: says where the server is at that time; None where nobody reaches it by network."""
    async with asyncio.TaskGroup() as group:
        for name in NAMESPACES:
            group.create_task(_kept(client, clock, NAMESPACE, "", name, lambda: ensure_namespaces(client)))
        group.create_task(
            _kept(
                client,
                clock,
                CONFIGMAP,
                tracking.NAMESPACE,
                TOKEN_TRACKING,
                lambda: tracking.ensure_tracking(client, clock.now()),
            )
        )
        if place is not None:
            for kind in (SERVICE, ENDPOINTS, ENDPOINTSLICE):
                group.create_task(
                    _kept(client, clock, kind, "default", "kubernetes", lambda: ensure_place(client, place()))
                )


async def _kept(client: Client, clock: Clock, kind: Kind, namespace: str, name: str, ensure: Ensure) -> None:
    only = f"metadata.name={name}"
    while True:
        try:
            listed = await client.list(kind, namespace, fields=only)
            if listed.items:
                await _deleted(client, kind, namespace, listed.revision, only)
            else:
                _log.info("brought back", kind=kind.name, namespace=namespace, name=name)
                await ensure()
        except Expired:
            continue
        except (ApiError, Retryable) as error:
            _log.warning("not brought back, will be tried again", kind=kind.name, name=name, error=error)
            await clock.sleep(RETRY_S)


async def _deleted(client: Client, kind: Kind, namespace: str, since: int, only: str) -> None:
    """Returns when it is, or when the watch ends. Raises: Expired, Retryable."""
    async for batch in client.watch(kind, namespace, since=since, fields=only):
        if any(event.type == "DELETED" for event in batch):
            return
