"""Act: writes into claims which devices they have and for whom, before a pod is bound; and takes it back.

Whatever may have been written is looked at before it is taken back, so that devices are free again only when no claim
has them.
"""

from __future__ import annotations

from collections.abc import Sequence

from navarch.base.backoff import delay_s
from navarch.base.clock import Clock
from navarch.base.errors import ApiError, Conflict, NotFound, Retryable
from navarch.base.log import Log
from navarch.client.client import Client
from navarch.kinds import POD, RESOURCECLAIM
from navarch.kinds.object import Object
from navarch.objects.patch import merge_patch
from navarch.objects.value import Document, dig
from navarch.scheduler.devices.stock import RESERVED_MAX, Given, Stock
from navarch.scheduler.facts import PodFacts

FINALIZER = "resource.kubernetes.io/delete-protection"
TRIES = 5
"""Of one claim that several pods want to be reserved for at a time."""

UNDOINGS = 30
"""Tries to take something back: some minutes, in which the API server may come back."""

log = Log("scheduler")


class Reservations:
    def __init__(self, client: Client, clock: Clock, stock: Stock) -> None:
        self._client = client
        self._clock = clock
        self._stock = stock

    async def make(self, pod: Object, given: Sequence[Given]) -> None:
        """Raises: ApiError; Retryable. `undo` is due then."""
        for one in given:
            claim = await self._made(pod, one)
            if one.allocation is not None:
                self._stock.kept(claim)

    async def _made(self, pod: Object, one: Given) -> Object:
        """Again from the newest where somebody else wrote; Conflict where the claim is not what it was."""
        claim = one.claim
        for _ in range(TRIES - 1):
            try:
                return await self._write(pod, claim, one.allocation)
            except Conflict:
                claim = await self._client.get(RESOURCECLAIM, *claim.key)
                self._check(one, claim)
        return await self._write(pod, claim, one.allocation)

    @staticmethod
    def _check(one: Given, claim: Object) -> None:
        where = f"resource claim {claim.namespace}/{claim.name}"
        if claim.uid != one.claim.uid:
            raise Conflict(f"{where} is another one now")
        was = one.allocation or dig(one.claim.document(), "status", "allocation")
        has = dig(claim.document(), "status", "allocation")
        if _devices(has) != _devices(was) and (has is not None or one.allocation is None):
            raise Conflict(f"{where} got other devices or none in the meantime")

    async def _write(self, pod: Object, claim: Object, allocation: Document | None) -> Object:
        document = claim.document()
        where = f"resource claim {claim.namespace}/{claim.name}"
        if claim.terminating:
            raise Conflict(f"{where} is being deleted")
        if FINALIZER not in claim.finalizers:
            changed = {"metadata": {"finalizers": [*claim.finalizers, FINALIZER]}}
            document = (await self._client.update(RESOURCECLAIM, merge_patch(document, changed))).document()
        status: Document = document.get("status") or {}
        users: list[Document] = status.get("reservedFor") or []
        if all(user.get("uid") != pod.uid for user in users):
            if len(users) >= RESERVED_MAX:
                raise Conflict(f"{where} is in use")
            users = [*users, {"resource": "pods", "name": pod.name, "uid": pod.uid}]
        wanted: Document = {"reservedFor": users}
        if allocation is not None and "allocation" not in status:
            wanted["allocation"] = allocation
        return await self._client.update(RESOURCECLAIM, merge_patch(document, {"status": wanted}), subresource="status")

    async def undo(self, pod: PodFacts, given: Sequence[Given]) -> bool:
        """Whether the pod is bound after all, and keeps what it has. What it does not keep is not its claims' any more
        and may be taken back from the stock."""
        for failures in range(UNDOINGS):
            try:
                bound = await self._is_bound(pod)
                for one in given:
                    await self._undo(pod, one, bound)
                return bound
            except (ApiError, Retryable) as error:
                log.info("claims not given back yet", namespace=pod.namespace, pod=pod.name, error=str(error))
                await self._clock.sleep(delay_s(failures, 0.1, 10.0))
        log.warning("claims could not be given back", namespace=pod.namespace, pod=pod.name)
        return False

    async def _is_bound(self, pod: PodFacts) -> bool:
        try:
            found = await self._client.get(POD, *pod.key)
        except NotFound:
            return False
        return found.uid == pod.uid and bool(found.view.spec.node_name)

    async def _undo(self, pod: PodFacts, one: Given, bound: bool) -> None:
        try:
            claim = await self._client.get(RESOURCECLAIM, *one.claim.key)
        except NotFound:
            return
        status: Document = claim.document().get("status") or {}
        ours = one.allocation is not None and _devices(status.get("allocation")) == _devices(one.allocation)
        if claim.uid != one.claim.uid:
            return
        if bound:
            if ours:
                self._stock.kept(claim)
            return
        users: list[Document] = status.get("reservedFor") or []
        left = [user for user in users if user.get("uid") != pod.uid]
        changed: Document = {}
        if len(left) < len(users):
            changed["reservedFor"] = left or None
        if ours and not left:
            changed["allocation"] = None
        if changed:
            await self._client.update(
                RESOURCECLAIM, merge_patch(claim.document(), {"status": changed}), subresource="status"
            )

    async def free(self, claim: Object) -> None:
        """Take its devices from a claim that nobody uses, and that is in the way where it is."""
        changed: Document = {"status": {"allocation": None, "reservedFor": None}}
        await self._client.update(RESOURCECLAIM, merge_patch(claim.document(), changed), subresource="status")


def _devices(allocation: Document | None) -> list[tuple[str, ...]] | None:
    """Which devices, and which shares of them, it is."""
    if allocation is None:
        return None
    results: list[Document] = dig(allocation, "devices", "results", default=[])
    return [
        tuple(str(one.get(field, "")) for field in ("request", "driver", "pool", "device", "shareID"))
        for one in results
    ]
