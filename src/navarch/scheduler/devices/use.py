"""What is taken: devices by the claims that hold them, capacity of those that several share, counters of pools.

Source: https://github.com/kubernetes/enhancements/tree/master/keps/sig-scheduling/5075-dra-consumable-capacity
and https://github.com/kubernetes/enhancements/tree/master/keps/sig-scheduling/4815-dra-partitionable-devices
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from navarch.objects import quantity
from navarch.scheduler.devices.pools import Pool, PoolId
from navarch.scheduler.devices.shapes import Capacity, DeviceId, RequestPolicy, Result

Amounts = dict[str, int]
"""By name of a capacity, in billionths."""


@dataclass(slots=True)
class Use:
    """held: how many claims have a device to themselves (more than one is somebody's mistake). shared: what all of
    those that share a device consume of it, and how many they are. Access for administrators takes nothing."""

    held: dict[DeviceId, int] = field(default_factory=dict)
    shared: dict[DeviceId, tuple[int, Amounts]] = field(default_factory=dict)
    _claims: dict[str, tuple[Result, ...]] = field(default_factory=dict)

    def set(self, claim: str, results: Iterable[Result]) -> set[PoolId]:
        """What the claim of that uid holds from now on; returns the pools of which something else is free now."""
        before, after = self._claims.get(claim, ()), tuple(results)
        if before == after:
            return set()
        for one in before:
            self._count(one, -1)
        for one in after:
            self._count(one, 1)
        if after:
            self._claims[claim] = after
        else:
            self._claims.pop(claim, None)
        return {PoolId(one.driver, one.pool) for one in (*before, *after)}

    def _count(self, one: Result, sign: int) -> None:
        if one.admin_access:
            return
        if not one.share_id:
            number = self.held.get(one.id, 0) + sign
            if number:
                self.held[one.id] = number
            else:
                del self.held[one.id]
            return
        sharers, amounts = self.shared.get(one.id, (0, {}))
        total = dict(amounts)
        for name, value in one.consumed_capacity.items():
            total[name] = total.get(name, 0) + sign * quantity.nano(value)
        if sharers + sign:
            self.shared[one.id] = (sharers + sign, total)
        else:
            del self.shared[one.id]

    def takes(self, device: DeviceId) -> bool:
        """Whether anybody has it, or a part of it."""
        return device in self.held or device in self.shared


def counters_left(pool: Pool, use: Use) -> dict[str, Amounts]:
    """Of each counter set of the pool, what the devices in use leave; less than nothing where they overdrew."""
    left = {name: dict(counters) for name, counters in pool.counters.items()}
    for device in pool.devices:
        if device.consumes and use.takes(device.id):
            for counter_set, name, amount in device.consumes:
                if name in left.get(counter_set, {}):
                    left[counter_set][name] -= amount
    return left


def consumed(requests: Mapping[str, quantity.Quantity], capacity: Mapping[str, Capacity]) -> Amounts | None:
    """What a request takes of a device: rounded up as its policy wants. None where the device does not have it, or
    the policy does not allow it."""
    if any(name not in capacity for name in requests):
        return None
    found: Amounts = {}
    for name, one in capacity.items():
        amount = _rounded(requests.get(name), one)
        if not _allowed(amount, one.request_policy):
            return None
        found[name] = amount
    return found


def _rounded(requested: quantity.Quantity | None, capacity: Capacity) -> int:
    policy = capacity.request_policy
    if requested is None:
        return quantity.nano(capacity.value if policy is None or policy.default is None else policy.default)
    amount = quantity.nano(requested)
    if policy is None:
        return amount
    if policy.valid_range is not None and policy.valid_range.min is not None:
        least = quantity.nano(policy.valid_range.min)
        if amount <= least or policy.valid_range.step is None:
            return max(amount, least)
        step = quantity.nano(policy.valid_range.step)
        return least + -(-(amount - least) // step) * step if step > 0 else amount
    return min((value for value in map(quantity.nano, policy.valid_values) if value >= amount), default=amount)


def _allowed(amount: int, policy: RequestPolicy | None) -> bool:
    if policy is None or (policy.default is not None and quantity.nano(policy.default) == amount):
        return True
    if policy.valid_range is not None:
        bounds = policy.valid_range
        if bounds.max is not None and amount > quantity.nano(bounds.max):
            return False
        if bounds.step is not None and bounds.min is not None and (step := quantity.nano(bounds.step)) > 0:
            return (amount - quantity.nano(bounds.min)) % step == 0
        return True
    return not policy.valid_values or amount in map(quantity.nano, policy.valid_values)
