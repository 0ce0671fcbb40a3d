"""The fields of claims, classes and slices that the allocation of devices reads, and no others.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from navarch.kinds.view import Quantity, View
from navarch.scheduler.views import NodeSelector, Taint, Toleration


class DeviceId(NamedTuple):
    driver: str
    pool: str
    name: str

    def __str__(self) -> str:
        return f"{self.driver}/{self.pool}/{self.name}"


# -- what is asked for


class Expression(View, frozen=True):
    expression: str = ""


class Selector(View, frozen=True):
    cel: Expression = Expression()


class CapacityRequirements(View, frozen=True):
    requests: dict[str, Quantity] = {}


class Asked(View, frozen=True):
    """One way to satisfy a request. name: "" where there is only this one."""

    name: str = ""
    device_class_name: str = ""
    selectors: tuple[Selector, ...] = ()
    allocation_mode: str = "ExactCount"
    count: int = 1
    admin_access: bool = False
    tolerations: tuple[Toleration, ...] = ()
    capacity: CapacityRequirements = CapacityRequirements()


class Request(View, frozen=True):
    name: str = ""
    exactly: Asked | None = None
    first_available: tuple[Asked, ...] = ()

    @property
    def ways(self) -> tuple[Asked, ...]:
        """In the order in which they are wanted."""
        return self.first_available or ((self.exactly,) if self.exactly is not None else ())

    def label(self, asked: Asked) -> str:
        """How the result is to name it."""
        return f"{self.name}/{asked.name}" if self.first_available else self.name


class Constraint(View, frozen=True):
    requests: tuple[str, ...] = ()
    match_attribute: str = ""
    distinct_attribute: str = ""


class Config(View, frozen=True):
    """opaque: only copied."""

    requests: tuple[str, ...] = ()
    opaque: dict[str, Any] | None = None


class Wanted(View, frozen=True):
    requests: tuple[Request, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    config: tuple[Config, ...] = ()


class Result(View, frozen=True):
    driver: str = ""
    pool: str = ""
    device: str = ""
    admin_access: bool = False
    share_id: str = msgspec.field(name="shareID", default="")
    consumed_capacity: dict[str, Quantity] = {}

    @property
    def id(self) -> DeviceId:
        return DeviceId(self.driver, self.pool, self.device)


class Results(View, frozen=True):
    results: tuple[Result, ...] = ()


class Allocation(View, frozen=True):
    devices: Results = Results()
    node_selector: NodeSelector | None = None


class Consumer(View, frozen=True):
    uid: str = ""


class ClaimSpec(View, frozen=True):
    devices: Wanted = Wanted()


class ClaimStatus(View, frozen=True):
    allocation: Allocation | None = None
    reserved_for: tuple[Consumer, ...] = ()


class ClaimShape(View, frozen=True):
    spec: ClaimSpec = ClaimSpec()
    status: ClaimStatus = ClaimStatus()


class ClassSpec(View, frozen=True):
    selectors: tuple[Selector, ...] = ()
    config: tuple[Config, ...] = ()


class ClassShape(View, frozen=True):
    spec: ClassSpec = ClassSpec()


# -- what there is


class Range(View, frozen=True):
    min: Quantity | None = None
    max: Quantity | None = None
    step: Quantity | None = None


class RequestPolicy(View, frozen=True):
    default: Quantity | None = None
    valid_range: Range | None = None
    valid_values: tuple[Quantity, ...] = ()


class Capacity(View, frozen=True):
    value: Quantity = "0"
    request_policy: RequestPolicy | None = None


class Counter(View, frozen=True):
    value: Quantity = "0"


class CounterSet(View, frozen=True):
    name: str = ""
    counters: dict[str, Counter] = {}


class Consumption(View, frozen=True):
    counter_set: str = ""
    counters: dict[str, Counter] = {}


class DeviceShape(View, frozen=True):
    """attributes: by name, {"int" | "bool" | "string" | "version": the value}."""

    name: str = ""
    attributes: dict[str, dict[str, Any]] = {}
    capacity: dict[str, Capacity] = {}
    consumes_counters: tuple[Consumption, ...] = ()
    taints: tuple[Taint, ...] = ()
    node_name: str = ""
    node_selector: NodeSelector | None = None
    all_nodes: bool = False
    binds_to_node: bool = False
    binding_conditions: tuple[str, ...] = ()
    binding_failure_conditions: tuple[str, ...] = ()
    allow_multiple_allocations: bool = False


class PoolShape(View, frozen=True):
    name: str = ""
    generation: int = 0
    resource_slice_count: int = 0


class SliceSpec(View, frozen=True):
    driver: str = ""
    pool: PoolShape = PoolShape()
    node_name: str = ""
    node_selector: NodeSelector | None = None
    all_nodes: bool = False
    per_device_node_selection: bool = False
    devices: tuple[DeviceShape, ...] = ()
    shared_counters: tuple[CounterSet, ...] = ()


class SliceShape(View, frozen=True):
    spec: SliceSpec = SliceSpec()
