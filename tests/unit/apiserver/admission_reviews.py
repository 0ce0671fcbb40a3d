"""Reviews made by hand, of writes that nobody made. For the tests of admission."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import orjson

from navarch.apiserver.admission.review import Review
from navarch.apiserver.call import User
from navarch.apiserver.options import Intent
from navarch.apiserver.state import State
from navarch.kinds import NAMESPACE
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.kinds.registry import DEFAULT
from navarch.objects.value import Document, Draft

SOMEBODY = User("amy", "7", ("devs",), {"team": ("red",)})


class Caches:
    """namespaces: name -> labels."""

    def __init__(self, namespaces: Mapping[str, Mapping[str, str]]) -> None:
        self.kinds = DEFAULT
        self._namespaces = namespaces

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        if kind is not NAMESPACE or name not in self._namespaces:
            return None
        labels = dict(self._namespaces[name])
        document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        return Object(NAMESPACE, orjson.dumps(document))


def review(
    kind: Kind,
    verb: str = "create",
    *,
    new: Document | None = None,
    old: Document | None = None,
    name: str = "web",
    namespace: str = "default",
    subresource: str = "",
    namespaces: Mapping[str, Mapping[str, str]] | None = None,
    dry_run: bool = False,
) -> Review:
    """A write as `kind` by somebody."""
    warnings: list[str] = []
    where = namespace if kind.namespaced else ""
    intent = Intent(kind, SOMEBODY, verb, where, name, subresource, "kubectl", dry_run, "Strict", warnings)
    named: dict[str, Any] = {"metadata": {"name": name, **({"namespace": where} if where else {})}}
    if verb != "create" and old is None:
        old = named
    state = cast(State, Caches(namespaces or {"default": {}}))
    return Review(intent, Draft(new or old or named), old, state)
