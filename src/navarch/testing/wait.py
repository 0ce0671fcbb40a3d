"""What a test waits for, in words: `deployment/web` until `Available`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from navarch.base.errors import BadRequest
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.objects import condition
from navarch.objects.value import Document, dig
from navarch.testing.manifests import kind_named

Until = str | Callable[[Document], Any]
"""`Ready`, `Available=False` (a condition); `exists`; `gone`; `rolled out`; or a function of the document."""


@dataclass(frozen=True, slots=True)
class Target:
    kind: Kind
    namespace: str
    name: str

    @property
    def text(self) -> str:
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.kind.one}/{self.name}{where}"


def target(kinds: Iterable[Kind], text: str, namespace: str) -> Target:
    """text: `deployment/web`. Raises: BadRequest."""
    kind_text, slash, name = text.partition("/")
    if not (slash and kind_text and name):
        raise BadRequest(f"{text!r} names nothing: write kind/name, such as deployment/web")
    kind = kind_named(kinds, kind_text)
    return Target(kind, namespace if kind.namespaced else "", name)


def holds(found: Object | None, until: Until) -> bool:
    if until == "gone":
        return found is None
    if found is None:
        return False
    if until == "exists":
        return True
    document = found.document()
    if callable(until):
        return bool(until(document))
    if until == "rolled out":
        return rolled_out(document)
    name, _, status = until.partition("=")
    return condition.status(dig(document, "status", "conditions"), name) == (status or "True")


def told(until: Until) -> str:
    return getattr(until, "__name__", "what was asked for") if callable(until) else until


def rolled_out(document: Document) -> bool:
    """As `kubectl rollout status` sees a Deployment: seen, all replicas new, no old ones left, all available."""
    wanted = dig(document, "spec", "replicas", default=1)
    status = document.get("status") or {}
    return bool(
        status.get("observedGeneration", 0) >= dig(document, "metadata", "generation", default=0)
        and status.get("updatedReplicas", 0) >= wanted
        and status.get("replicas", 0) <= status.get("updatedReplicas", 0)
        and status.get("availableReplicas", 0) >= status.get("updatedReplicas", 0)
    )
