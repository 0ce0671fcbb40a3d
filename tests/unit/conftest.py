"""A client over a dictionary, for tests of what stands above the seam: watches can be held back, verbs can be made to
fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from navarch.base.errors import AlreadyExists, Conflict, Expired, NotFound
from navarch.client.client import ObjectList, PatchType, Propagation, WatchEvent
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.objects.value import Document


def merged(old: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    found = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), value)
    return found


class FakeClient:
    """calls: (verb, kind, name) in order. failures: raised by the next calls of that verb, one each. held: while set,
    watch events wait. lost: as `failures`, but raised after the write was made."""

    def __init__(self) -> None:
        self.revision = 1
        self.objects: dict[tuple[Kind, str, str], Object] = {}
        self.calls: list[tuple[str, str, str]] = []
        self.failures: dict[str, list[Exception]] = {}
        self.lost: dict[str, list[Exception]] = {}
        self.held = False
        self._log: list[tuple[Kind, WatchEvent]] = []
        self._more: list[asyncio.Event] = []
        self.oldest = 0
        self.ended = 0

    # what tests say

    def put(self, kind: Kind, document: Document) -> Object:
        """As if someone else had written it."""
        metadata = document["metadata"]
        key = (kind, metadata.get("namespace", ""), metadata["name"])
        event = "MODIFIED" if key in self.objects else "ADDED"
        uid = self.objects[key].uid if key in self.objects else metadata.get("uid", f"uid-{metadata['name']}")
        self.revision += 1
        document = {**document, "metadata": {**metadata, "uid": uid, "resourceVersion": str(self.revision)}}
        found = self.objects[key] = Object.of(kind, document)
        self._publish(kind, WatchEvent(event, found, self.revision))  # type: ignore[arg-type]
        return found

    def remove(self, kind: Kind, namespace: str, name: str) -> None:
        found = self.objects.pop((kind, namespace, name))
        self.revision += 1
        self._publish(kind, WatchEvent("DELETED", found, self.revision))

    def bookmark(self, kind: Kind) -> None:
        self._publish(kind, WatchEvent("BOOKMARK", None, self.revision))

    def expire(self) -> None:
        """Watches from before now are no longer served: what they did not deliver yet they never will."""
        self.oldest = self.revision
        self._log.clear()
        self.end_watches()

    def end_watches(self) -> None:
        self.ended += 1
        self.release()

    def release(self) -> None:
        self.held = False
        for more in self._more:
            more.set()

    # the seam

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        self._call("get", kind, name)
        return self._found(kind, namespace, name)

    async def list(self, kind: Kind, namespace: str = "", *, fields: str = "", **_: Any) -> ObjectList:
        wanted = fields.removeprefix("metadata.name=")
        self._call("list", kind, wanted)
        found = [
            o
            for (k, ns, name), o in self.objects.items()
            if k is kind and namespace in ("", ns) and wanted in ("", name)
        ]
        return ObjectList(found, self.revision)

    async def watch(
        self, kind: Kind, namespace: str = "", *, since: int, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Sequence[WatchEvent]]:
        self._call("watch", kind, "")
        if since < self.oldest:
            raise Expired("too old")
        more = asyncio.Event()
        self._more.append(more)
        ended = self.ended
        try:
            while True:
                if not self.held:
                    batch = [
                        event
                        for k, event in self._log
                        if k is kind
                        and event.revision > since - (event.type == "BOOKMARK")
                        and (event.object is None or namespace in ("", event.object.namespace))
                    ]
                    if batch:
                        since = batch[-1].revision
                        self._log = [entry for entry in self._log if entry[1].type != "BOOKMARK"]
                        yield batch
                        continue
                if ended != self.ended:
                    if since < self.oldest:
                        raise Expired("too old")
                    return
                await more.wait()
                more.clear()
        finally:
            self._more.remove(more)

    async def create(self, kind: Kind, document: Document, **_: Any) -> Object:
        metadata = document["metadata"]
        self._call("create", kind, metadata["name"])
        if (kind, metadata.get("namespace", ""), metadata["name"]) in self.objects:
            raise AlreadyExists(f"{metadata['name']} already exists")
        made = self.put(kind, document)
        self._lose("create")
        return made

    async def update(self, kind: Kind, document: Document, **_: Any) -> Object:
        metadata = document["metadata"]
        self._call("update", kind, metadata["name"])
        found = self._found(kind, metadata.get("namespace", ""), metadata["name"])
        self._expect(found, metadata)
        if document == found.document():
            return found
        made = self.put(kind, document)
        self._lose("update")
        return made

    async def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        patch: Any,
        *,
        type: PatchType = "merge",
        subresource: str = "",
        manager: str = "",
        dry_run: bool = False,
    ) -> Object:
        self._call("patch", kind, name)
        found = self._found(kind, namespace, name)
        self._expect(found, patch.get("metadata", {}))
        changes = {key: value for key, value in patch.items() if key != "metadata"}
        if meta := {k: v for k, v in patch.get("metadata", {}).items() if k not in ("resourceVersion", "uid")}:
            changes["metadata"] = meta
        document = merged(found.document(), changes)
        if document == found.document():
            return found
        made = self.put(kind, document)
        self._lose("patch")
        return made

    async def apply(self, kind: Kind, document: Document, **_: Any) -> Object:
        metadata = document["metadata"]
        self._call("apply", kind, metadata["name"])
        return self.put(kind, document)

    async def delete(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        revision: int = 0,
        grace_s: int | None = None,
        propagation: Propagation | None = None,
        dry_run: bool = False,
    ) -> Object | None:
        self._call("delete", kind, name)
        found = self._found(kind, namespace, name)
        if uid not in ("", found.uid) or revision not in (0, found.revision):
            raise Conflict("precondition failed")
        self.remove(kind, namespace, name)
        self._lose("delete")
        return None

    # inside

    def _publish(self, kind: Kind, event: WatchEvent) -> None:
        self._log.append((kind, event))
        for more in self._more:
            more.set()

    def _call(self, verb: str, kind: Kind, name: str) -> None:
        self.calls.append((verb, kind.name, name))
        if self.failures.get(verb):
            raise self.failures[verb].pop(0)

    def _lose(self, verb: str) -> None:
        if self.lost.get(verb):
            raise self.lost[verb].pop(0)

    def _found(self, kind: Kind, namespace: str, name: str) -> Object:
        found = self.objects.get((kind, namespace, name))
        if found is None:
            raise NotFound(f"{name} not found", kind=kind.plural, name=name)
        return found

    def _expect(self, found: Object, metadata: Document) -> None:
        if metadata.get("resourceVersion") not in (None, str(found.revision)):
            raise Conflict("the object has been modified")
        if metadata.get("uid") not in (None, found.uid):
            raise Conflict("another uid")


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


Condition = Callable[[], bool]


@pytest.fixture
def until() -> Callable[[Condition], Any]:
    """Let the loop turn until a condition holds; fails after many turns."""

    async def wait(condition: Condition) -> None:
        for turn in range(10_000):
            if condition():
                return
            await asyncio.sleep(0 if turn < 200 else 0.001)  # by then it waits for time to pass
        pytest.fail("the condition never came to hold")

    return wait
