"""What an agent remembers of a pod while it works on it: the newest object, and what steps have brought about.

All of it can be lost: an agent that starts anew reads the runtime and the API server, and mounts volumes again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from navarch.agent.downward import Surroundings
from navarch.agent.environment import Lookup
from navarch.agent.eviction.ranking import Eviction
from navarch.agent.facts import Amounts, Failure, StepKey
from navarch.agent.runtime import Image, PodOnNode, SandboxSpec
from navarch.kinds.object import Object
from navarch.kinds.pod import Pod
from navarch.objects.value import Document


@dataclass(slots=True)
class Work:
    """object: None for what the runtime holds of a pod that the API server lacks. images: for the next start.
    mounted_images: ids of those that containers mount, by the names that the pod gives them. handler: of the runtime,
    that the pod's class names.

    refused: (reason, message) when the node does not take the pod.
    """

    uid: str
    object: Object | None
    namespace: str
    name: str
    runtime: PodOnNode
    node_name: str
    node_ips: tuple[str, ...]
    allocatable: Mapping[str, str] = field(default_factory=dict)
    refused: tuple[str, str] | None = None
    evicted: Eviction | None = None
    released: bool = False
    gone: bool = False
    finished: bool = False
    volumes_ready: bool = False
    stale: bool = False
    cleaned: bool = False
    lookup: Lookup | None = None
    images: dict[str, Image] = field(default_factory=dict)
    mounted_images: dict[str, str] = field(default_factory=dict)
    sandbox_spec: SandboxSpec | None = None
    handler: str = ""
    busy: set[StepKey] = field(default_factory=set)
    failures: dict[StepKey, Failure] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    resized: dict[str, Amounts] = field(default_factory=dict)
    given: Amounts | None = None
    granted: int = 0
    """The generation whose amounts the node has agreed to give."""
    status: dict[str, Any] = field(default_factory=dict)
    stopping: dict[str, datetime] = field(default_factory=dict)
    bound: dict[str, str] = field(default_factory=dict)
    hooked: set[str] = field(default_factory=set)
    tell_static: Callable[[Object, Document], None] | None = None
    """Who is told of the status of a pod that comes from a file; None for pods of the API server's."""
    ended: dict[str, datetime] = field(default_factory=dict)
    deleted_at: datetime | None = None
    ending_at: datetime | None = None
    """When the pod was first found to have ended by itself, or was evicted."""
    delays: dict[str, int] = field(default_factory=dict)
    """What containers waited for, by name, whose instances are removed before the pod starts anew."""

    def shift(self, leap: timedelta) -> None:
        """The wall clock was set by so much: what was noted by it stays as far away as it was."""
        self.failures = {
            key: replace(one, at=one.at + leap, retry_at=one.retry_at + leap) for key, one in self.failures.items()
        }
        for noted in (self.stopping, self.ended):
            for key in noted:
                noted[key] += leap
        if self.deleted_at is not None:
            self.deleted_at += leap
        if self.ending_at is not None:
            self.ending_at += leap

    @property
    def pod(self) -> Pod:
        if self.object is None:
            return Pod()
        pod: Pod = self.object.view
        return pod

    @property
    def around(self) -> Surroundings:
        boxes = self.runtime.sandboxes
        ips = boxes[0].ips if boxes and boxes[0].ready else ()
        pod_ips = self.node_ips if self.object is not None and self.pod.spec.host_network else ips
        return Surroundings(self.node_name, self.node_ips, pod_ips, self.allocatable)
