"""Reads over plain documents, for tests of who may do what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from navarch.apiserver.authz import roles
from navarch.kinds import CLUSTERROLE, CLUSTERROLEBINDING, ROLE, ROLEBINDING
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.objects import selector
from navarch.objects.value import Document


class FakeReads:
    """Holds what was put; `version` counts the writes of a kind."""

    def __init__(self) -> None:
        self.objects: dict[Kind, dict[tuple[str, str], Object]] = {}
        self.versions: dict[Kind, int] = {}
        self.lists = 0

    def put(self, kind: Kind, document: Document) -> Object:
        found = Object.of(kind, document)
        self.objects.setdefault(kind, {})[found.key] = found
        self.versions[kind] = self.version(kind) + 1
        return found

    def remove(self, kind: Kind, namespace: str, name: str) -> None:
        del self.objects[kind][namespace, name]
        self.versions[kind] = self.version(kind) + 1

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        return self.objects.get(kind, {}).get((namespace, name))

    def list(self, kind: Kind, namespace: str = "") -> Sequence[Object]:
        self.lists += 1
        found = self.objects.get(kind, {}).values()
        return [entry for entry in found if not namespace or entry.namespace == namespace]

    def where(self, kind: Kind, *, labels: str = "", fields: str = "") -> Sequence[Object]:
        wanted, chosen = selector.parse(labels), selector.fields(fields)
        return [
            entry
            for entry in self.list(kind)
            if wanted.matches(entry.labels) and chosen.matches_document(entry.document(), kind.fields)
        ]

    @property
    def policies(self) -> int:
        return sum(self.versions.values())

    def version(self, kind: Kind) -> int:
        return self.versions.get(kind, 0)


def with_default_roles() -> FakeReads:
    reads = FakeReads()
    for kind, documents in (
        (CLUSTERROLE, roles.cluster_roles()),
        (ROLE, roles.roles()),
        (CLUSTERROLEBINDING, roles.cluster_role_bindings()),
        (ROLEBINDING, roles.role_bindings()),
    ):
        for document in documents:
            reads.put(kind, document)
    return reads


def named(name: str, namespace: str = "", **more: Any) -> Document:
    metadata = {"name": name, "uid": f"uid-{name}", "resourceVersion": "1"}
    if namespace:
        metadata["namespace"] = namespace
    return {"metadata": metadata, **more}


def binding(name: str, role: str, *subjects: str, namespace: str = "", kind: str = "ClusterRole") -> Document:
    """subjects: `User jane`, `Group devs`, `ServiceAccount ns:name`."""
    made = []
    for text in subjects:
        what, who = text.split(" ", 1)
        account = who.split(":") if what == "ServiceAccount" else None
        made.append(
            {"kind": what, "name": account[1], "namespace": account[0]} if account else {"kind": what, "name": who}
        )
    return named(name, namespace, roleRef={"kind": kind, "name": role}, subjects=made)


def role(name: str, *rules: str, namespace: str = "") -> Document:
    return named(name, namespace, rules=[roles.parsed(text) for text in rules])
