"""What is read of every object as soon as there is one: its head, and what little of the rest almost every reader asks
about.

Decoded in one pass over the bytes, which an object's index fields cost anyway. A kind that has more than the head to
tell brings an envelope of its own (`Kind.envelope`) whose `glance` says it. Nulls are as good as absent here: objects
come from clients and tests too.
"""

from __future__ import annotations

from collections.abc import Hashable

import msgspec

from navarch.kinds.view import OwnerReference


class Head(msgspec.Struct, rename="camel", gc=False):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = "0"
    generation: int | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] | None = None
    owner_references: tuple[OwnerReference, ...] = ()
    finalizers: tuple[str, ...] | None = None


class Envelope(msgspec.Struct, gc=False):
    """Of a kind of which the head is enough."""

    metadata: Head = msgspec.field(default_factory=Head)

    def glance(self) -> Hashable:
        """What `Object.glance` is; equal ones of many objects are kept once."""
        return None
