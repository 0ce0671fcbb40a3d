"""Pods and facts for tests, as short as they can be said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from navarch.agent.facts import Facts
from navarch.agent.runtime import Container, ContainerState, PodOnNode, Sandbox
from navarch.kinds.pod import Pod

START = datetime(2026, 1, 1, tzinfo=UTC)
UID = "0000-1111"


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def pod(*containers: Any, status: Any = None, meta: Any = None, **spec: Any) -> Pod:
    listed = list(containers) or [{"name": "main", "image": "app:1"}]
    document = {
        "metadata": {"name": "web", "namespace": "default", "uid": UID, "generation": 1, **(meta or {})},
        "spec": {"nodeName": "n1", "containers": listed, **spec},
        "status": status or {},
    }
    return msgspec.convert(msgspec.json.decode(msgspec.json.encode(document)), Pod)


def box(attempt: int = 0, ready: bool = True) -> Sandbox:
    ips = ("10.0.0.9",) if ready else ()
    return Sandbox(f"box{attempt}", "default", "web", UID, attempt, ready, START, ips)


def instance(
    name: str = "main",
    attempt: int = 0,
    *,
    code: int | None = None,
    state: ContainerState | None = None,
    ran_s: float = 1.0,
    ended: float = 0.0,
    sandbox: str = "box0",
    **more: Any,
) -> Container:
    """code: it has exited with that code at `ended` seconds; None: it runs."""
    chosen = state or (ContainerState.RUNNING if code is None else ContainerState.EXITED)
    finished = at(ended) if code is not None else None
    started = at(ended - ran_s) if chosen is not ContainerState.CREATED else None
    annotations = {"navarch.dev/restart-delay-s": str(more.pop("delay_s", 0)), **more.pop("annotations", {})}
    return Container(
        id=f"{name}-{attempt}",
        sandbox_id=sandbox,
        name=name,
        attempt=attempt,
        state=chosen,
        image="app:1",
        image_ref="sha256:app",
        created_at=started or START,
        started_at=started,
        finished_at=finished,
        exit_code=code or 0,
        reason="" if code is None else "Completed" if code == 0 else "Error",
        annotations=annotations,
        **more,
    )


def facts(*containers: Container, boxes: Any = None, now: float = 0.0, **more: Any) -> Facts:
    """Volumes are there and images at hand unless said otherwise; containers newest first."""
    made = {"volumes_ready": True, "images": {"main": "sha256:app"}, "node_ips": ("192.0.2.7",), **more}
    sandboxes = (box(),) if boxes is None else tuple(boxes)
    return Facts(now=at(now), runtime=PodOnNode(UID, "default", "web", sandboxes, containers), **made)
