"""What drivers of volumes say: how many a node takes, how much room is left for more, what is attached where.

Source: https://kubernetes.io/docs/concepts/storage/storage-limits/ and
https://kubernetes.io/docs/concepts/storage/storage-capacity/
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from navarch.kinds.object import Object
from navarch.kinds.view import LabelSelector, Quantity, View
from navarch.objects import quantity
from navarch.scheduler.facts import NodeFacts
from navarch.scheduler.terms import matcher

VolumeId = tuple[str, str]
"""Driver, and what it calls the volume."""


class Allocatable(View, frozen=True):
    count: int | None = None


class NodeDriver(View, frozen=True):
    name: str = ""
    allocatable: Allocatable = Allocatable()


class NodeDrivers(View, frozen=True):
    drivers: tuple[NodeDriver, ...] = ()


class CSINodeShape(View, frozen=True):
    spec: NodeDrivers = NodeDrivers()


class DriverSpec(View, frozen=True):
    storage_capacity: bool = False


class DriverShape(View, frozen=True):
    spec: DriverSpec = DriverSpec()


class CapacityShape(View, frozen=True):
    storage_class_name: str = ""
    node_topology: LabelSelector | None = None
    capacity: Quantity | None = None
    maximum_volume_size: Quantity | None = None


class Attached(View, frozen=True):
    persistent_volume_name: str = ""


class AttachmentSpec(View, frozen=True):
    attacher: str = ""
    node_name: str = ""
    source: Attached = Attached()


class AttachmentShape(View, frozen=True):
    spec: AttachmentSpec = AttachmentSpec()


class CsiSource(View, frozen=True):
    driver: str = ""
    volume_handle: str = ""


class SourceSpec(View, frozen=True):
    csi: CsiSource | None = None


class SourceShape(View, frozen=True):
    """Of a PersistentVolume, whose it is."""

    spec: SourceSpec = msgspec.field(default_factory=SourceSpec)


def volume_id(volume: Object) -> VolumeId | None:
    """None for a volume of no driver."""
    source: SourceShape = volume.as_view(SourceShape)
    return None if source.spec.csi is None else (source.spec.csi.driver, source.spec.csi.volume_handle)


@dataclass(slots=True)
class Csi:
    """limits: by node and driver. telling: drivers that say what room they have. room: by class and object.
    attached: by node and object, the names of volumes."""

    limits: dict[str, dict[str, int]] = field(default_factory=dict)
    telling: set[str] = field(default_factory=set)
    room: dict[str, dict[tuple[str, str], CapacityShape]] = field(default_factory=dict)
    attached: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(self, found: Object) -> None:
        self.remove(found)
        match found.kind.name:
            case "CSINode":
                node: CSINodeShape = found.as_view(CSINodeShape)
                counts = {one.name: one.allocatable.count for one in node.spec.drivers}
                limits = {name: count for name, count in counts.items() if count is not None}
                if limits:
                    self.limits[found.name] = limits
            case "CSIDriver":
                driver: DriverShape = found.as_view(DriverShape)
                if driver.spec.storage_capacity:
                    self.telling.add(found.name)
            case "CSIStorageCapacity":
                told: CapacityShape = found.as_view(CapacityShape)
                self.room.setdefault(told.storage_class_name, {})[found.key] = told
            case _:
                attachment: AttachmentShape = found.as_view(AttachmentShape)
                spec = attachment.spec
                self.attached.setdefault(spec.node_name, {})[found.name] = spec.source.persistent_volume_name

    def remove(self, found: Object) -> None:
        match found.kind.name:
            case "CSINode":
                self.limits.pop(found.name, None)
            case "CSIDriver":
                self.telling.discard(found.name)
            case "CSIStorageCapacity":
                told: CapacityShape = found.as_view(CapacityShape)
                self.room.get(told.storage_class_name, {}).pop(found.key, None)
            case _:
                attachment: AttachmentShape = found.as_view(AttachmentShape)
                self.attached.get(attachment.spec.node_name, {}).pop(found.name, None)

    def has_room(self, driver: str, storage_class: str, size: Quantity, node: NodeFacts) -> bool:
        """Whether a volume of the class and size can be made for the node, as far as the driver says."""
        if driver not in self.telling or not size:
            return True
        return any(_fits(told, size, node) for told in self.room.get(storage_class, {}).values())

    def limited(self, drivers: Iterable[str]) -> list[str]:
        """The nodes that take only so many volumes of any of them."""
        wanted = set(drivers)
        return [name for name, limits in self.limits.items() if not wanted.isdisjoint(limits)]


def _fits(told: CapacityShape, size: Quantity, node: NodeFacts) -> bool:
    most = told.capacity if told.maximum_volume_size is None else told.maximum_volume_size
    if most is None or told.node_topology is None or quantity.compare(most, size) < 0:
        return False
    return matcher(told.node_topology)(node.labels)
