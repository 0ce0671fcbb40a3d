"""What drivers publish: slices put together to pools, of which only the newest and complete are drawn from.

Source: https://github.com/kubernetes/enhancements/tree/master/keps/sig-node/4381-dra-structured-parameters
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import msgspec

from navarch.objects import quantity
from navarch.scheduler.devices.shapes import DeviceId, DeviceShape, SliceShape, SliceSpec
from navarch.scheduler.facts import NodeFacts
from navarch.scheduler.terms import node_term_holds
from navarch.scheduler.views import NodeSelector

_encode = msgspec.json.Encoder(order="deterministic").encode


class PoolId(NamedTuple):
    driver: str
    name: str

    def __str__(self) -> str:
        return f"{self.driver}/{self.name}"


class Reach(NamedTuple):
    """From where a device can be had: one node, all, or those that `selector` names."""

    node: str
    everywhere: bool
    selector: NodeSelector | None

    def holds(self, node: NodeFacts) -> bool:
        if self.node:
            return node.name == self.node
        if self.everywhere:
            return True
        if self.selector is None:
            return False
        return any(node_term_holds(term, node.name, node.labels) for term in self.selector.node_selector_terms)


class Device:
    """verdicts: what expressions said of it, True, False or what went wrong; they depend on nothing else."""

    def __init__(self, id: DeviceId, shape: DeviceShape, reach: Reach) -> None:
        self.id = id
        self.shape = shape
        self.reach = reach
        self.verdicts: dict[str, bool | str] = {}

    @cached_property
    def likeness(self) -> bytes:
        """Equal for devices of one pool that differ in nothing but their names."""
        return bytes(_encode(msgspec.structs.replace(self.shape, name="")))

    @cached_property
    def consumes(self) -> tuple[tuple[str, str, int], ...]:
        """Counter set, counter, and how much of it (in billionths)."""
        return tuple(
            (one.counter_set, name, quantity.nano(counter.value))
            for one in self.shape.consumes_counters
            for name, counter in one.counters.items()
        )


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """reach: of all its devices; None where each says its own."""

    name: str
    pool: PoolId
    generation: int
    slices: int
    reach: Reach | None
    devices: tuple[Device, ...]
    counters: dict[str, dict[str, int]]

    @property
    def node(self) -> str:
        """That it is for, "" where it may be for others too."""
        return "" if self.reach is None else self.reach.node


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """The newest generation. invalid: devices' names are not unique. counters: by set and name, in billionths."""

    id: PoolId
    devices: tuple[Device, ...]
    incomplete: bool
    invalid: bool
    counters: dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True, eq=False)
class Offer:
    """Of a pool, the devices that one node can have."""

    pool: Pool
    devices: tuple[Device, ...]


def sliced(name: str, shape: SliceShape) -> Slice:
    spec = shape.spec
    whole = None if spec.per_device_node_selection else Reach(spec.node_name, spec.all_nodes, spec.node_selector)
    pool = PoolId(spec.driver, spec.pool.name)
    return Slice(
        name=name,
        pool=pool,
        generation=spec.pool.generation,
        slices=spec.pool.resource_slice_count,
        reach=whole,
        devices=tuple(_devices(spec, whole)),
        counters={
            one.name: {key: quantity.nano(counter.value) for key, counter in one.counters.items()}
            for one in spec.shared_counters
        },
    )


def _devices(spec: SliceSpec, whole: Reach | None) -> Iterable[Device]:
    for shape in spec.devices:
        reach = whole or Reach(shape.node_name, shape.all_nodes, shape.node_selector)
        yield Device(DeviceId(spec.driver, spec.pool.name, shape.name), shape, reach)


@dataclass(slots=True)
class Inventory:
    """All slices, by pool; and by node the pools that have something for that node alone.

    wide: pools with slices that may be for any node. changes: by node, a count of what changed of pools near it alone;
    under "" what changed of the others.
    """

    slices: dict[PoolId, dict[str, Slice]] = field(default_factory=dict)
    near: dict[str, dict[PoolId, int]] = field(default_factory=dict)
    wide: dict[PoolId, int] = field(default_factory=dict)
    pools: dict[PoolId, Pool] = field(default_factory=dict)
    changes: dict[str, int] = field(default_factory=dict)

    def add(self, one: Slice) -> None:
        self.slices.setdefault(one.pool, {})[one.name] = one
        self._index(one, 1)
        self.touch(one.pool, one)

    def remove(self, one: Slice) -> None:
        known = self.slices.get(one.pool, {})
        if known.pop(one.name, None) is None:
            return
        if not known:
            del self.slices[one.pool]
        self._index(one, -1)
        self.touch(one.pool, one)

    def _index(self, one: Slice, sign: int) -> None:
        at = self.near.setdefault(one.node, {}) if one.node else self.wide
        at[one.pool] = at.get(one.pool, 0) + sign
        if not at[one.pool]:
            del at[one.pool]
            if one.node and not at:
                del self.near[one.node]

    def touch(self, pool: PoolId, *gone: Slice) -> None:
        """Something of it, or of what is taken of it, changed. gone: slices that may not be of it any more."""
        self.pools.pop(pool, None)
        for node in {one.node for one in (*gone, *self.slices.get(pool, {}).values())}:
            self.changes[node] = self.changes.get(node, 0) + 1

    def pool(self, id: PoolId) -> Pool:
        found = self.pools.get(id)
        if found is None:
            found = self.pools[id] = self._made(id)
        return found

    def _made(self, id: PoolId) -> Pool:
        known = self.slices[id].values()
        newest = max(one.generation for one in known)
        live = sorted((one for one in known if one.generation == newest), key=lambda one: one.name)
        devices = tuple(device for one in live for device in one.devices)
        return Pool(
            id=id,
            devices=devices,
            incomplete=len(live) != live[0].slices,
            invalid=len({device.id for device in devices}) < len(devices),
            counters={name: counters for one in live for name, counters in one.counters.items()},
        )

    def near_to(self, node: str) -> list[Pool]:
        """The pools that may have something for the node, always in the same order."""
        own = self.near.get(node, {})
        return [self.pool(id) for id in sorted({*own, *self.wide})]

    def offers(self, node: NodeFacts) -> list[Offer]:
        found = (Offer(pool, tuple(d for d in pool.devices if d.reach.holds(node))) for pool in self.near_to(node.name))
        return [offer for offer in found if offer.devices]
