"""IPAddress objects: one for each address that a Service has, so that people see which are taken and by whom.

Services are the truth. Whatever changes of a Service or of an address is made good here; addresses that people hold for
purposes of their own are left alone, and no Service is given one of them.

Source: https://kubernetes.io/docs/concepts/services-networking/cluster-ip-allocation/
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from ipaddress import ip_address

from navarch.apiserver.state import State
from navarch.base.errors import AlreadyExists, ApiError, Conflict, NotFound, Retryable
from navarch.base.log import Log
from navarch.client.client import Client
from navarch.kinds import IPADDRESS, SERVICE
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.objects.value import Document, dig
from navarch.store.store import Change

AGAIN_S = 1.0
FAMILY, MANAGED = "ipaddress.kubernetes.io/ip-family", "ipaddress.kubernetes.io/managed-by"
ALLOCATOR = "ipallocator.k8s.io"
Owner = tuple[str, str]
"""Namespace and name of a Service."""

log = Log("apiserver.addresses")


def addresses_of(service: Document) -> list[str]:
    """Those that it has in the cluster, in their usual form."""
    found = dig(service, "spec", "clusterIPs", default=())
    return [str(ip_address(one)) for one in found if one and one != "None"]


def entry(address: str, owner: Owner) -> Document:
    """The object that says who has the address."""
    labels = {FAMILY: f"IPv{ip_address(address).version}", MANAGED: ALLOCATOR}
    parent = {"resource": "services", "namespace": owner[0], "name": owner[1]}
    return {
        "apiVersion": IPADDRESS.api_version,
        "kind": IPADDRESS.name,
        "metadata": {"name": address, "labels": labels},
        "spec": {"parentRef": parent},
    }


def is_of(found: Object, owner: Owner) -> bool:
    """Whether the object says that this Service has the address."""
    parent: Document = dig(found.document(), "spec", "parentRef", default={})
    named = (parent.get("namespace", ""), parent.get("name", ""))
    return not parent.get("group") and parent.get("resource") == "services" and named == owner


class AddressBook:
    """Between `run` and its end the objects follow the Services. Several servers may do the same: who comes second
    finds it done."""

    def __init__(self, state: State, client: Client) -> None:
        self._state = state
        self._client = client
        self._owners: dict[str, Owner] = {}
        self._pending: dict[str, None] = {}
        self._wake = asyncio.Event()
        state.listeners.append(self._changed)
        state.loaded.append(self._loaded)

    def _loaded(self) -> None:
        self._owners = {
            address: one.key for one in self._state.list(SERVICE) for address in addresses_of(one.document())
        }
        self._note([*self._owners, *(found.name for found in self._state.list(IPADDRESS))])

    def _changed(self, kind: Kind, change: Change) -> None:
        if kind is IPADDRESS:
            row = change.value if change.value is not None else change.previous.value if change.previous else None
            if row is not None:
                self._note([Object(kind, row).name])
        elif kind is SERVICE:
            before = Object(kind, change.previous.value) if change.previous is not None else None
            after = Object(kind, change.value) if change.value is not None else None
            self._moved(before, after)

    def _moved(self, before: Object | None, after: Object | None) -> None:
        had = addresses_of(before.document()) if before is not None else []
        has = addresses_of(after.document()) if after is not None else []
        if had == has:
            return
        for address in had:
            if before is not None and self._owners.get(address) == before.key:
                del self._owners[address]
        if after is not None:
            self._owners.update(dict.fromkeys(has, after.key))
        self._note([*had, *has])

    def _note(self, addresses: Iterable[str]) -> None:
        """No more than there are addresses."""
        self._pending.update(dict.fromkeys(addresses))
        if self._pending:
            self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            pending, self._pending = list(self._pending), {}
            for address in pending:
                try:
                    await self._settle(address)
                except (AlreadyExists, Conflict, NotFound):
                    continue  # another server did it, and its write leads here again
                except (ApiError, Retryable) as error:
                    log.warning("an address is not settled, will be tried again", address=address, error=error)
                    self._note([address])
                    await self._state.clock.sleep(AGAIN_S)

    async def _settle(self, address: str) -> None:
        found, owner = self._state.get(IPADDRESS, "", address), self._owners.get(address)
        if owner is None:
            if found is not None and found.labels.get(MANAGED) == ALLOCATOR and self._is_service(found):
                await self._client.delete(IPADDRESS, "", address, uid=found.uid)
            return
        if found is not None and not is_of(found, owner):  # what it is about cannot be changed
            await self._client.delete(IPADDRESS, "", address, uid=found.uid)
            found = None
        if found is None:
            await self._client.create(IPADDRESS, entry(address, owner))

    def _is_service(self, found: Object) -> bool:
        return bool(dig(found.document(), "spec", "parentRef", "resource") == "services")
