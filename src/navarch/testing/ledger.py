"""The history of a simulation: every write, who made it, and what was in force how long ago.

Promises (`promises`) are judged on a `Ledger`; it is made from the writes themselves, never from what an organ says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass

import orjson

from navarch.client.client import Client, WatchEvent
from navarch.kinds.kind import Kind
from navarch.objects.value import Document, dig
from navarch.store.memory import MemoryStore
from navarch.store.store import Change, Guard, Row

ACTOR: ContextVar[str] = ContextVar("actor", default="api")
"""Who makes the request that is carried out: an organ, a controller's account, or a user of the simulation."""

SHOWN = 8
"""So many of the last writes of an object explain what became of it."""

Identity = tuple[str, str, str]
"""Kind, namespace and name."""


class Broken(AssertionError):
    """A promise was not kept; the message says which, by what, and how to see it again."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One write of an object. value: None where it was deleted."""

    at_s: float
    revision: int
    actor: str
    value: bytes | None


def _nothing() -> float:
    return 0.0


class Ledger:
    """Every object as of the last write, its past, and a digest of all writes so far.

    now_s: virtual time. lag_s: how old a view may be that an organ acts on now, since watches are slow or held.
    """

    def __init__(self, now_s: Callable[[], float] = _nothing, lag_s: Callable[[], float] = _nothing) -> None:
        self.objects: dict[str, Document] = {}
        self.values: dict[str, bytes] = {}
        self.writes = 0
        self.actor = "api"
        self.travelling = False
        """An organ was started with a view of the past, lately: what it counts may be what there was."""
        self.history: dict[str, list[Entry]] = {}
        self.succeeded: dict[str, set[str]] = {}
        """Job uid -> uids of its pods that ever succeeded."""
        self.made: set[tuple[str, str]] = set()
        """(uid of a CronJob, name of a Job that it made)."""
        self._kinds: dict[str, dict[str, Document]] = {}
        self._named: dict[Identity, str] = {}
        self._uids: dict[str, str] = {}
        self._owned: dict[str, dict[str, Document]] = {}
        self._past: dict[str, list[tuple[float, Document]]] = {}
        self._digest = hashlib.sha256()
        self._now_s = now_s
        self._lag_s = lag_s

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    @property
    def now_s(self) -> float:
        return self._now_s()

    @property
    def lag_s(self) -> float:
        """How old a view may be that somebody acts on now."""
        return self._lag_s()

    # -- what is written

    def read(self, value: bytes | None) -> Document | None:
        """What is written, as a document."""
        return None if value is None else orjson.loads(value)

    def take(self, key: str, revision: int, value: bytes | None, document: Document | None) -> None:
        """Of every write, in order. document: what the value says."""
        self.writes += 1
        self._digest.update(b"%d %s %d\n" % (revision, key.encode(), -1 if value is None else len(value)))
        self.history.setdefault(key, []).append(Entry(self.now_s, revision, self.actor, value))
        if value is None:
            self.values.pop(key, None)
        else:
            self._digest.update(value)
            self.values[key] = value
        self.put(key, document)

    def put(self, key: str, document: Document | None) -> None:
        """The state only, without its bytes."""
        old = self.objects.pop(key, None)
        if old is not None:
            self._forget(key, old)
        if document is None:
            return
        self.objects[key] = document
        metadata = document["metadata"]
        self._kinds.setdefault(document.get("kind", ""), {})[key] = document
        self._named[identity(document)] = key
        self._uids[metadata.get("uid", "")] = key
        for owner in owners(document):
            self._owned.setdefault(owner["uid"], {})[key] = document

    def _forget(self, key: str, old: Document) -> None:
        uid = old["metadata"].get("uid", "")
        self._past.setdefault(uid, []).append((self.now_s, old))
        self._kinds[old.get("kind", "")].pop(key, None)
        self._named.pop(identity(old), None)
        self._uids.pop(uid, None)
        for owner in owners(old):
            self._owned[owner["uid"]].pop(key, None)

    # -- what is there

    def of(self, kind: str, namespace: str = "") -> Iterator[Document]:
        for document in self._kinds.get(kind, {}).values():
            if namespace in ("", document["metadata"].get("namespace", "")):
                yield document

    def owned(self, kind: str, owner: Document) -> list[Document]:
        """Those that name `owner` among their owners, as controller or not."""
        found = self._owned.get(owner["metadata"]["uid"], {})
        return [one for one in found.values() if one.get("kind") == kind]

    def named(self, kind: str, namespace: str, name: str) -> Document | None:
        key = self._named.get((kind, namespace, name))
        return None if key is None else self.objects[key]

    def by_uid(self, uid: str) -> Document | None:
        key = self._uids.get(uid)
        return None if key is None else self.objects[key]

    def versions(self, uid: str) -> list[Document]:
        """The object as it is and as it was to whoever looks at an old view; newest first, [] if it never was."""
        now = self.by_uid(uid)
        since_s = self.now_s - self._lag_s()
        past = [document for until_s, document in reversed(self._past.get(uid, ())) if until_s >= since_s]
        return past if now is None else [now, *past]

    def age_s(self, document: Document) -> float:
        """For how long the object has been there."""
        since_s = float("-inf")
        for entry in reversed(self.history.get(self._uids.get(document["metadata"]["uid"], ""), ())):
            if entry.value is None:
                break
            since_s = entry.at_s
        return self.now_s - since_s

    def gone_lately(self, kind: str) -> list[Document]:
        """Objects that are no more, as they last were, and that an old view still shows."""
        since_s = self.now_s - self._lag_s()
        last = [found[-1] for uid, found in self._past.items() if uid not in self._uids]
        return [document for until_s, document in last if until_s >= since_s and document.get("kind") == kind]

    # -- why

    def story(self, key: str) -> str:
        """The last writes of an object as lines: when, at which revision, by whom, and what differs."""
        entries = self.history.get(key, [])
        lines = []
        for number in range(max(0, len(entries) - SHOWN), len(entries)):
            entry, before = entries[number], entries[number - 1].value if number else None
            what = ", ".join(changes(before, entry.value)) or "nothing"
            lines.append(f"    {entry.at_s:.3f} s, revision {entry.revision}, {entry.actor}: {what}")
        return "\n".join(lines)


def identity(document: Document) -> Identity:
    metadata = document["metadata"]
    return document.get("kind", ""), metadata.get("namespace", ""), metadata.get("name", "")


def owners(document: Document) -> Sequence[Document]:
    found: Sequence[Document] = document["metadata"].get("ownerReferences") or ()
    return found


def controller_uid(document: Document) -> str:
    return next((owner["uid"] for owner in owners(document) if owner.get("controller")), "")


def terminating(document: Document) -> bool:
    return "deletionTimestamp" in document["metadata"]


def changes(before: bytes | None, after: bytes | None, most: int = 6) -> list[str]:
    """The paths that differ between two documents, with their new values; a few of them."""
    if after is None:
        return ["deleted"]
    if before is None:
        return ["created"]
    found: list[str] = []
    _differ("", orjson.loads(before), orjson.loads(after), found)
    return found if len(found) <= most else [*found[:most], f"and {len(found) - most} more"]


def _differ(path: str, before: object, after: object, found: list[str]) -> None:
    if before == after or path == ".metadata.managedFields":
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted(before.keys() | after.keys()):
            _differ(f"{path}.{name}", before.get(name), after.get(name), found)
        return
    text = orjson.dumps(after).decode()
    found.append(f"{path[1:]}={text if len(text) <= 100 else text[:97] + '...'}")


class WatchedStore(MemoryStore):
    """A memory store that tells `heard` of every write: key, revision, value (None: deleted)."""

    def __init__(self, heard: Callable[[str, int, bytes | None], None]) -> None:
        super().__init__()
        self._heard = heard

    async def put(self, key: str, value: bytes, expect: int, guards: Sequence[Guard] = ()) -> int:
        revision = await super().put(key, value, expect, guards)
        self._heard(key, revision, value)
        return revision

    async def delete(self, key: str, expect: int) -> int:
        revision = await super().delete(key, expect)
        self._heard(key, revision, None)
        return revision


def replayed(changes: Sequence[Change]) -> dict[str, bytes]:
    """What a watcher who saw `changes` from the beginning believes to be there."""
    found: dict[str, bytes] = {}
    for change in changes:
        if change.value is None:
            found.pop(change.key, None)
        else:
            found[change.key] = change.value
    return found


def differs(believed: dict[str, bytes], rows: Sequence[Row]) -> list[str]:
    """Keys under which a watcher believes something else than a list says."""
    listed = {row.key: row.value for row in rows}
    return sorted(key for key in believed.keys() | listed.keys() if believed.get(key) != listed.get(key))


class Follower:
    """Believes what a watch says from its first list on, and in the end compares that with what a list says."""

    def __init__(self, client: Client, kind: Kind) -> None:
        self._client = client
        self._kind = kind
        self._believed: dict[tuple[str, str], bytes] = {}

    async def run(self) -> None:
        """Until cancelled."""
        listed = await self._client.list(self._kind)
        self._believed = {found.key: found.raw for found in listed.items}
        revision = listed.revision
        while True:
            async for batch in self._client.watch(self._kind, since=revision):
                for event in batch:
                    revision = event.revision
                    self._take(event)

    def _take(self, event: WatchEvent) -> None:
        if event.object is None:
            return
        if event.type == "DELETED":
            self._believed.pop(event.object.key, None)
        else:
            self._believed[event.object.key] = event.object.raw

    async def check(self) -> None:
        """Raises: Broken, when a byte differs."""
        listed = {found.key: found.raw for found in (await self._client.list(self._kind)).items}
        wrong = [key for key in self._believed.keys() | listed.keys() if self._believed.get(key) != listed.get(key)]
        if wrong:
            raise Broken(f"a watch of {self._kind.plural} and a list of them differ in {sorted(wrong)[:5]}")


def ready(pod: Document) -> bool:
    conditions = dig(pod, "status", "conditions", default=())
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def over(pod: Document) -> bool:
    """It has run to its end."""
    return dig(pod, "status", "phase") in ("Succeeded", "Failed")
