"""Whoever uses a simulated cluster: makes, changes and deletes things by chance, and knows what must come of it.

Scenes (`scenes`) act through it. What it expects is checked by `settled` when all is quiet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from navarch.base.clock import Clock, Ids
from navarch.base.errors import ApiError, Conflict, NotFound, TooMany
from navarch.client.client import Client, PatchType, Propagation
from navarch.kinds import POD
from navarch.kinds.kind import Kind
from navarch.kinds.registry import DEFAULT, Kinds
from navarch.objects.value import Document
from navarch.testing.ledger import ACTOR, Ledger

Choice = TypeVar("Choice")
Check = Callable[[Ledger], Iterator[str]]

LIMITS = {"requests": {"cpu": "100m", "memory": "64Mi"}}


@dataclass(slots=True)
class User:
    """name: what all objects of its scene are called, in front. expected: (kind, namespace, name) -> whether it has to
    be there in the end. checks: what else must be true then. kinds: those that are served."""

    client: Client
    ids: Ids
    clock: Clock
    name: str
    namespace: str = "default"
    expected: dict[tuple[str, str, str], bool] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    kinds: Kinds = DEFAULT

    # -- chance

    def pick(self, *choices: Choice) -> Choice:
        return choices[int(self.ids.fraction() * len(choices))]

    def number(self, low: int, high: int) -> int:
        return low + int(self.ids.fraction() * (high - low + 1))

    def chance(self, share: float) -> bool:
        return self.ids.fraction() < share

    async def pause(self, most_s: float = 15.0) -> None:
        await self.clock.sleep(self.ids.fraction() * most_s)

    # -- requests

    async def make(self, kind: Kind, name: str, rest: Mapping[str, object], **metadata: object) -> Document:
        document: Document = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": name, **metadata}}
        if kind.namespaced:
            document["metadata"].setdefault("namespace", self.namespace)
        made = await self.client.create(kind, document | dict(rest))
        self.expected[kind.name, made.namespace, name] = True
        return made.document()

    async def change(self, kind: Kind, name: str, patch: Document, *, type: PatchType = "merge") -> bool:
        """Whether there was something to change."""
        namespace = self.namespace if kind.namespaced else ""
        try:
            await self.client.patch(kind, namespace, name, patch, type=type)
        except (NotFound, Conflict):
            return False
        return True

    async def remove(self, kind: Kind, name: str, propagation: Propagation | None = "Background") -> None:
        namespace = self.namespace if kind.namespaced else ""
        self.expected[kind.name, namespace, name] = False
        try:
            await self.client.delete(kind, namespace, name, propagation=propagation)
        except NotFound:
            return

    async def pods(self, labels: str = "") -> list[str]:
        found = await self.client.list(POD, self.namespace, labels=labels or f"app={self.name}")
        return sorted(pod.name for pod in found.items)

    async def remove_a_pod(self, labels: str = "") -> None:
        names = await self.pods(labels)
        if names:
            name = self.pick(*names)
            try:
                await self.client.delete(POD, self.namespace, name)
            except (NotFound, Conflict):
                return

    async def evict_a_pod(self, labels: str = "") -> None:
        """As `kubectl drain` does, once."""
        names = await self.pods(labels)
        if not names:
            return
        name = self.pick(*names)
        review = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
        before = ACTOR.set("eviction")
        try:
            await self.client.post(POD, self.namespace, name, "eviction", review)
        except (NotFound, Conflict, TooMany):
            return
        except ApiError as error:
            if error.code != 429:
                raise
        finally:
            ACTOR.reset(before)

    def template(self, image: str, **spec: object) -> Document:
        """Of pods, labelled `app: <the scene's name>`."""
        container = {"name": "main", "image": image, "resources": LIMITS}
        return {"metadata": {"labels": self.labels}, "spec": {"containers": [container], **spec}}

    def image(self, image: str) -> Document:
        """A strategic patch of a workload's template."""
        return {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": image}]}}}}

    @property
    def labels(self) -> dict[str, str]:
        return {"app": self.name}

    @property
    def selector(self) -> Document:
        return {"matchLabels": self.labels}

    def expect(self, check: Check) -> None:
        self.checks.append(check)

    def unexpected(self, ledger: Ledger) -> Iterator[str]:
        """What is not as it was asked for."""
        for (kind, namespace, name), wanted in self.expected.items():
            there = ledger.named(kind, namespace, name) is not None
            if there and not wanted:
                yield f"{kind} {namespace}/{name} was deleted and is still there"
            if wanted and not there:
                yield f"{kind} {namespace}/{name} was acknowledged and is not there"
        for check in self.checks:
            yield from check(ledger)
