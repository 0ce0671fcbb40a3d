"""A kind's rules asked as the API server asks them: after defaults, on good structure."""

from __future__ import annotations

from typing import Any

from navarch.kinds.kind import Kind
from navarch.objects.value import Draft

Document = dict[str, Any]
Causes = list[tuple[str, str]]


def complete(kind: Kind, document: Document) -> Document:
    named = {"name": "x", **document.get("metadata", {})}
    if kind.namespaced:
        named.setdefault("namespace", "default")
    draft = Draft({**document, "apiVersion": kind.api_version, "kind": kind.name, "metadata": named})
    kind.default(draft)
    return draft.document


def causes(kind: Kind, document: Document, old: Document | None = None, subresource: str = "") -> Causes:
    """(path, message) of every broken rule, in order. old: what is stored, for an update."""
    rules = kind.subresource_rules[subresource] if subresource else kind.rules
    before = None if old is None else complete(kind, old)
    return [(cause.field, cause.message) for cause in rules(complete(kind, document), before)]
