"""Mirror pods: what the API server shows of static pods. They can be read like any pod; deleting one stops nothing.

Each is kept as its static pod says: made where it is missing, made anew where somebody deleted it or it shows an older
file, taken away when its static pod is gone. Without an API server all of that waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from navarch.agent.statics.file import hash_of, mirror
from navarch.agent.status import status_patch
from navarch.base.backoff import delay_s
from navarch.base.clock import Clock
from navarch.base.errors import AlreadyExists, ApiError, Conflict, NotFound, Retryable
from navarch.base.log import Log
from navarch.client.client import Client
from navarch.client.informer import Informer
from navarch.kinds import POD
from navarch.kinds.object import Object
from navarch.objects.value import Document

_log = Log("agent")

Key = tuple[str, str]
RETRIES = (0.5, 30.0)


class Mirrors:
    """informer: of the node's pods. node_uid: of its Node object, "" until that is known."""

    def __init__(
        self, client: Client, clock: Clock, informer: Informer, node: str, node_uid: Callable[[], str]
    ) -> None:
        self._client = client
        self._clock = clock
        self._informer = informer
        self._node = node
        self._node_uid = node_uid
        self._wanted: dict[Key, Object] = {}
        self._complete = False
        self._told: dict[str, Document] = {}
        """The status of each static pod, by uid."""
        self._newest: dict[Key, Object] = {}
        self._due: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._wake = asyncio.Event()

    def want(self, pods: dict[Key, Object], *, complete: bool = True) -> None:
        """All static pods that there should be, as far as is known: mirrors of others stay until it is `complete`."""
        self._due |= self._wanted.keys() | pods.keys()
        if complete and not self._complete:
            self._due |= {found.key for found in self._informer.list() if hash_of(found)}
        self._wanted, self._complete = pods, complete
        uids = {one.uid for one in pods.values()}
        self._told = {uid: status for uid, status in self._told.items() if uid in uids}
        self._wake.set()

    def tell(self, found: Object, status: Document) -> None:
        self._told[found.uid] = status
        self.look(found.key)

    def look(self, key: Key) -> None:
        """The mirror of that name may have changed."""
        self._due.add(key)
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled; begins once the node's pods are known."""
        await self._informer.synced.wait()
        for found in self._informer.list():
            if hash_of(found):
                self._due.add(found.key)
        async with asyncio.TaskGroup() as group:
            while True:
                await self._wake.wait()
                self._wake.clear()
                for key in sorted(self._due):
                    self._due.discard(key)
                    if await self._settled(key):
                        self._failures.pop(key, None)
                    else:
                        count = self._failures[key] = self._failures.get(key, 0) + 1
                        group.create_task(self._later(key, delay_s(count - 1, *RETRIES)))

    async def _later(self, key: Key, pause_s: float) -> None:
        await self._clock.sleep(pause_s)
        self.look(key)

    async def _settled(self, key: Key) -> bool:
        """Take the next step for one name; False: try again later."""
        try:
            await self._step(key)
        except (ApiError, Retryable) as error:
            _log.warning("mirror pod not brought up to date, will be tried again", pod="/".join(key), error=error)
            return False
        return True

    async def _step(self, key: Key) -> None:
        wanted, shown = self._wanted.get(key), self._shown(key)
        if shown is not None and not hash_of(shown):
            if wanted is not None:
                raise Retryable("a pod of the API server's has the name of a static one")
            return
        if wanted is None and not self._complete:
            return
        if shown is not None and (wanted is None or hash_of(shown) != wanted.uid or shown.terminating):
            await self._remove(shown)
            return
        if wanted is None:
            return
        if shown is None:
            shown = await self._make(wanted)
        if (status := self._told.get(wanted.uid)) is not None:
            await self._show(shown, status)

    def _shown(self, key: Key) -> Object | None:
        """What the API server has, as far as is known: an answer to a write may be newer than the cache."""
        cached, newest = self._informer.get(*key), self._newest.get(key)
        if newest is not None and cached is not None and cached.uid == newest.uid:
            return max(cached, newest, key=lambda one: one.revision)
        return cached

    async def _make(self, wanted: Object) -> Object:
        if not (uid := self._node_uid()):
            raise Retryable("the node is not registered yet")
        try:
            made = await self._client.create(POD, mirror(wanted, self._node, uid))
        except AlreadyExists as error:
            raise Retryable("it is there, but is not known yet") from error
        self._newest[wanted.key] = made
        return made

    async def _remove(self, shown: Object) -> None:
        self._newest.pop(shown.key, None)
        try:
            await self._client.delete(POD, *shown.key, uid=shown.uid, grace_s=0)
        except (NotFound, Conflict):  # gone, or another one of that name is there: the cache will say so
            return

    async def _show(self, shown: Object, status: Document) -> None:
        old: Document = shown.document().get("status") or {}
        patch = status_patch(shown.uid, old, status)
        if patch is None:
            return
        try:
            told = await self._client.patch(POD, *shown.key, patch, type="strategic", subresource="status")
        except (NotFound, Conflict):  # deleted meanwhile: the cache will say so
            return
        self._newest[shown.key] = told
