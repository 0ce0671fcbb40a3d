"""What most who hear of a pod want to know first: where it runs, whose it is to place, how far it has come.

Controllers and indexes ask this of every pod at every change, and seldom more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from navarch.kinds.envelope import Envelope
from navarch.kinds.pod.view import TERMINAL_PHASES

SCHEDULER = "default-scheduler"
"""Whose a pod is that names none."""


class PodGlance(NamedTuple):
    """generation: 0 where nobody counted; while it stays, so does the spec. claims: whether any of its volumes may be a
    claim's. resource_claims: whether it may name any. ready: as `Pod.ready`."""

    node: str
    scheduler: str
    phase: str
    generation: int
    claims: bool
    resource_claims: bool
    ready: bool

    @property
    def terminal(self) -> bool:
        """As `Pod.terminal`."""
        return self.phase in TERMINAL_PHASES

    def same_spec(self, other: PodGlance) -> bool:
        """Whether both are surely of one spec, if they are of one pod. False says nothing."""
        return self.generation == other.generation != 0


ABSENT = msgspec.Raw()
NULL = len("null")
"""What is no longer than this says nothing: it is null, an empty list or an empty object."""


class _Volume(msgspec.Struct, rename="camel", gc=False):
    persistent_volume_claim: msgspec.Raw = ABSENT
    ephemeral: msgspec.Raw = ABSENT


class _Spec(msgspec.Struct, rename="camel", gc=False):
    node_name: str | None = None
    scheduler_name: str | None = None
    volumes: list[_Volume] | None = None
    resource_claims: msgspec.Raw = ABSENT


_NOTHING = _Spec()


class _Condition(msgspec.Struct, gc=False):
    type: str | None = None
    status: str | None = None


class _Status(msgspec.Struct, gc=False):
    phase: str | None = None
    conditions: list[_Condition | None] | None = None


class PodEnvelope(Envelope):
    spec: _Spec | None = None
    status: _Status | None = None

    def glance(self) -> PodGlance:
        spec, status = self.spec or _NOTHING, self.status
        claims = False
        for volume in spec.volumes or ():
            if len(volume.persistent_volume_claim) > NULL or len(volume.ephemeral) > NULL:
                claims = True
        return PodGlance(
            spec.node_name or "",
            spec.scheduler_name or SCHEDULER,
            (status.phase or "Pending") if status is not None else "Pending",
            self.metadata.generation or 0,
            claims,
            len(spec.resource_claims) > NULL,
            status is not None and _ready(status.conditions or ()),
        )


def _ready(conditions: Sequence[_Condition | None]) -> bool:
    for one in conditions:
        if one is not None and one.type == "Ready":
            return one.status == "True"
    return False
