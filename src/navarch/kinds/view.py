"""The base of all typed views: frozen, camel-case on the wire, blind to what they do not name.

A view is decoded from a document's bytes when logic wants to read it. It is never encoded back: the document is the
truth. A view names only the fields that logic reads; what is only copied (a pod template) stays `msgspec.Raw`.
Stored documents hold no nulls, so an optional field of a view is one that may be absent.
Views are trees that never point back, so the garbage collector need not know them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec


class View(msgspec.Struct, frozen=True, rename="camel", kw_only=True, gc=False):
    """Fields are camel-cased; say `frozen=True` in each subclass too (mypy wants it).

    Give `msgspec.field(name=...)` where Kubernetes writes acronyms (`podIP`).
    """


class OwnerReference(View, frozen=True):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False
    block_owner_deletion: bool = False


class ObjectMeta(View, frozen=True):
    """Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/"""

    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: tuple[OwnerReference, ...] = ()
    finalizers: tuple[str, ...] = ()

    @property
    def controller(self) -> OwnerReference | None:
        """The owner that manages this object, if any."""
        return next((owner for owner in self.owner_references if owner.controller), None)


class LabelSelectorRequirement(View, frozen=True):
    key: str
    operator: str
    values: tuple[str, ...] = ()


class LabelSelector(View, frozen=True):
    """`metav1.LabelSelector`; evaluate it with `objects.selector`."""

    match_labels: dict[str, str] = {}
    match_expressions: tuple[LabelSelectorRequirement, ...] = ()


class Condition(View, frozen=True):
    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: datetime | None = None
    last_update_time: datetime | None = None
    last_probe_time: datetime | None = None
    last_heartbeat_time: datetime | None = None
    observed_generation: int = 0


class Headed(View, frozen=True):
    """Any object, when only its metadata matters."""

    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)


Quantity = str | int | float
"""A resource quantity as it stands in a document; `objects.quantity.parse` turns it into a number."""

RawDocument = dict[str, Any]
"""Part of a view that is only copied."""
