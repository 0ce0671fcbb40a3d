"""What must hold at every moment of a simulation, and how its history is kept.

A promise looks at one write with the state before it; `Ledger` is that state, made from the writes themselves.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence

import msgspec
import orjson

from navarch.client.client import Client, WatchEvent
from navarch.kinds.kind import Kind
from navarch.objects.value import Document, dig
from navarch.scheduler.requests import PODS, amounts, effective
from navarch.scheduler.views import PodShape
from navarch.store.memory import MemoryStore
from navarch.store.store import Change, Guard, Row


class Broken(AssertionError):
    """A promise was not kept; the message says which, by what, and how to see it again."""


class Ledger:
    """Every object as of the last write, and a digest of all writes so far."""

    def __init__(self) -> None:
        self.objects: dict[str, Document] = {}
        self.values: dict[str, bytes] = {}
        self.writes = 0
        self._digest = hashlib.sha256()

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    def take(self, key: str, revision: int, value: bytes | None) -> None:
        self.writes += 1
        self._digest.update(b"%d %s %d\n" % (revision, key.encode(), -1 if value is None else len(value)))
        if value is None:
            self.objects.pop(key, None)
            self.values.pop(key, None)
        else:
            self._digest.update(value)
            self.objects[key] = orjson.loads(value)
            self.values[key] = value

    def of(self, kind: str, namespace: str = "") -> Iterator[Document]:
        for document in self.objects.values():
            if document.get("kind") == kind and namespace in ("", dig(document, "metadata", "namespace")):
                yield document

    def owned(self, kind: str, owner: Document) -> list[Document]:
        uid = owner["metadata"]["uid"]
        return [one for one in self.of(kind) if any(o.get("uid") == uid for o in owners(one))]


def owners(document: Document) -> Sequence[Document]:
    found: Sequence[Document] = dig(document, "metadata", "ownerReferences", default=())
    return found


Promise = Callable[[Ledger, Document | None, Document | None], Iterator[str]]
"""The ledger before a write, the object before and after it; yields what is wrong with it."""


def surge_of(deployment: Document) -> int:
    """How many pods there may be at most during a rollout, besides those asked for."""
    replicas = int(dig(deployment, "spec", "replicas", default=1))
    surge = dig(deployment, "spec", "strategy", "rollingUpdate", "maxSurge", default="25%")
    if isinstance(surge, str):
        return math.ceil(replicas * int(surge.rstrip("%")) / 100)
    return int(surge)


def surge_is_kept(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """No write to a ReplicaSet raises the sum over its Deployment's above replicas and surge."""
    if new is None or new.get("kind") != "ReplicaSet" or not owners(new):
        return
    before = int(dig(old, "spec", "replicas", default=0)) if old else 0
    after = int(dig(new, "spec", "replicas", default=0))
    uid = owners(new)[0]["uid"]
    deployment = next((one for one in ledger.of("Deployment") if one["metadata"]["uid"] == uid), None)
    if after <= before or deployment is None or dig(deployment, "spec", "strategy", "type") == "Recreate":
        return
    others = sum(
        int(dig(one, "spec", "replicas", default=0))
        for one in ledger.owned("ReplicaSet", deployment)
        if one["metadata"]["uid"] != new["metadata"]["uid"]
    )
    limit = int(dig(deployment, "spec", "replicas", default=1)) + surge_of(deployment)
    if others + after > limit:
        name = deployment["metadata"]["name"]
        yield f"surge of deployment {name}: {others + after} replicas asked for, {limit} allowed"


def bound_once(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """A pod that has a node keeps it."""
    if old is None or new is None or new.get("kind") != "Pod" or old["metadata"]["uid"] != new["metadata"]["uid"]:
        return
    before, after = dig(old, "spec", "nodeName"), dig(new, "spec", "nodeName")
    if before and before != after:
        yield f"pod {new['metadata']['name']} moved from {before} to {after}"


def _asked(pod: Document) -> dict[str, int]:
    shape = msgspec.convert(pod, PodShape)
    return effective(shape.spec) | {PODS: 1}


def nodes_have_room(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """A binding does not ask of a node more than it has."""
    if new is None or new.get("kind") != "Pod" or (old and dig(old, "spec", "nodeName")):
        return
    name = dig(new, "spec", "nodeName")
    node = next((one for one in ledger.of("Node") if one["metadata"]["name"] == name), None) if name else None
    if node is None:
        return
    left = amounts(dig(node, "status", "allocatable", default={}))
    there = [
        pod
        for pod in ledger.of("Pod")
        if dig(pod, "spec", "nodeName") == name and dig(pod, "status", "phase") not in ("Succeeded", "Failed")
    ]
    for pod in (*there, new):
        for resource, number in _asked(pod).items():
            left[resource] = left.get(resource, 0) - number
    for resource, number in left.items():
        if number < 0:
            yield f"node {name} is asked for {-number} {resource} more than it has, by pod {new['metadata']['name']}"


def controlled_once(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """No object has two owners that manage it."""
    if new is not None and sum(bool(owner.get("controller")) for owner in owners(new)) > 1:
        yield f"{new.get('kind')} {new['metadata'].get('name')} has two controllers"


def addresses_are_unique(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
    """No pod is given an address that another one has."""
    if new is None or new.get("kind") != "Pod" or dig(new, "spec", "hostNetwork"):
        return
    address = dig(new, "status", "podIP")
    if not address or (old and dig(old, "status", "podIP") == address):
        return
    for pod in ledger.of("Pod"):
        same = pod["metadata"]["uid"] != new["metadata"]["uid"] and dig(pod, "status", "podIP") == address
        if same and not dig(pod, "spec", "hostNetwork"):
            yield f"pods {pod['metadata']['name']} and {new['metadata']['name']} both have the address {address}"


PROMISES: tuple[Promise, ...] = (
    surge_is_kept,
    bound_once,
    nodes_have_room,
    controlled_once,
    addresses_are_unique,
)


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
