"""Pods and nodes for the scheduler's tests, made from short words."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.kinds import NODE, POD
from navarch.kinds.object import Object
from navarch.scheduler.facts import NodeFacts, PodFacts, node_facts, pod_facts
from navarch.scheduler.table import Table


class Make:
    """Makes facts by way of documents, as the scheduler itself does."""

    def pod(
        self,
        name: str,
        *,
        cpu: str = "",
        memory: str = "",
        labels: dict[str, str] | None = None,
        namespace: str = "default",
        status: dict[str, Any] | None = None,
        owner: str = "",
        deleted: bool = False,
        created: str = "2030-01-01T00:00:00Z",
        **spec: Any,
    ) -> PodFacts:
        requests = {key: value for key, value in (("cpu", cpu), ("memory", memory)) if value}
        metadata: dict[str, Any] = {"name": name, "namespace": namespace, "uid": f"uid-{namespace}-{name}"}
        metadata |= {"labels": labels or {}, "creationTimestamp": created}
        if owner:
            metadata["ownerReferences"] = [
                {"apiVersion": "v1", "kind": "ReplicaSet", "name": owner, "uid": owner, "controller": True}
            ]
        if deleted:
            metadata["deletionTimestamp"] = created
        container = {"name": "main", "image": "web", "resources": {"requests": requests}}
        document = {"metadata": metadata, "spec": {"containers": [container], **spec}, "status": status or {}}
        return pod_facts(Object.of(POD, document))

    def node(
        self,
        name: str,
        *,
        cpu: str = "4",
        memory: str = "8Gi",
        pods: int = 110,
        labels: dict[str, str] | None = None,
        taints: list[dict[str, str]] | None = None,
        images: dict[str, int] | None = None,
        extra: dict[str, Any] | None = None,
        **spec: Any,
    ) -> NodeFacts:
        named = {"kubernetes.io/hostname": name, **(labels or {})}
        allocatable = {"cpu": cpu, "memory": memory, "pods": str(pods), **(extra or {})}
        shown = [{"names": [image], "sizeBytes": size} for image, size in (images or {}).items()]
        document = {
            "metadata": {"name": name, "labels": named},
            "spec": {"taints": taints or [], **spec},
            "status": {"allocatable": allocatable, "images": shown},
        }
        return node_facts(Object.of(NODE, document))

    def table(self, *nodes: NodeFacts, **pods: list[PodFacts]) -> Table:
        """Pods by the name of their node (dashes as underscores)."""
        table = Table()
        for node in nodes:
            table.set_node(node)
        for name, there in pods.items():
            for pod in there:
                table.add(pod, name)
        return table


@pytest.fixture(scope="session")
def make() -> Make:
    return Make()
