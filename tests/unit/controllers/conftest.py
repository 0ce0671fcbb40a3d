"""Objects for plans to look at, in few words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from navarch.base.clock import rfc3339
from navarch.kinds import POD
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)


def ago(seconds: float) -> str:
    return rfc3339(NOW - timedelta(seconds=seconds))


class Make:
    """Builds objects; revisions go up as they are made."""

    now = NOW

    def __init__(self) -> None:
        self.revision = 100

    def object(self, kind: Kind, name: str, namespace: str = "default", **parts: Any) -> Object:
        """parts: of the document; `metadata` is filled in."""
        self.revision += 1
        metadata = {
            "name": name,
            "uid": f"uid-{name}",
            "resourceVersion": str(self.revision),
            "creationTimestamp": ago(3600),
            "generation": 1,
            **({"namespace": namespace} if kind.namespaced else {}),
            **parts.pop("metadata", {}),
        }
        return Object.of(kind, {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, **parts})

    def owner(self, owner: Object) -> list[dict[str, Any]]:
        return [
            {
                "apiVersion": owner.kind.api_version,
                "kind": owner.kind.name,
                "name": owner.name,
                "uid": owner.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ]

    def pod(
        self,
        name: str,
        *,
        owner: Object | None = None,
        labels: dict[str, str] | None = None,
        phase: str = "Running",
        ready_s: float | None = 60.0,
        node: str = "n1",
        deleting: bool = False,
        restarts: int = 0,
        waiting: str = "",
        annotations: dict[str, str] | None = None,
        created_s: float = 100.0,
        ip: str = "",
    ) -> Object:
        """ready_s: since how many seconds it is ready; None: it is not."""
        metadata: dict[str, Any] = {"labels": {"app": "web"} if labels is None else labels}
        metadata["creationTimestamp"] = ago(created_s)
        if owner is not None:
            metadata["ownerReferences"] = self.owner(owner)
        if deleting:
            metadata["deletionTimestamp"] = ago(-30)
        if annotations:
            metadata["annotations"] = annotations
        status: dict[str, Any] = {"phase": phase, "startTime": ago(created_s)}
        if ready_s is not None:
            status["conditions"] = [{"type": "Ready", "status": "True", "lastTransitionTime": ago(ready_s)}]
        else:
            status["conditions"] = [{"type": "Ready", "status": "False", "lastTransitionTime": ago(created_s)}]
        state = {"waiting": {"reason": waiting}} if waiting else {"running": {}}
        status["containerStatuses"] = [{"name": "c", "restartCount": restarts, "state": state, "ready": not waiting}]
        if ip:
            status |= {"podIP": ip, "podIPs": [{"ip": ip}]}
        spec: dict[str, Any] = {"containers": [{"name": "c", "image": "i"}]}
        if node:
            spec["nodeName"] = node
        return self.object(POD, name, metadata=metadata, spec=spec, status=status)


@pytest.fixture
def make() -> Make:
    return Make()
