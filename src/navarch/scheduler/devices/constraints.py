"""What the devices of a claim must have in common, or must not: watched while the search adds and takes away.

Once a set of devices breaks a constraint, more devices never mend it; so the search can stop there.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/resource-claim-v1/ (DeviceConstraint)
"""

from __future__ import annotations

from typing import Any

from navarch.scheduler.devices.pools import Device
from navarch.scheduler.devices.shapes import Asked, Constraint, Request

Valued = tuple[str, Any]


def attribute(device: Device, name: str) -> Valued | None:
    """Its type and value; names without a domain are the driver's."""
    found = device.shape.attributes.get(name)
    if found is None:
        domain, _, id = name.partition("/")
        found = device.shape.attributes.get(id) if domain == device.id.driver else None
    return next(iter(found.items()), None) if found else None


class Watched:
    """The values of the devices chosen so far: what was added last is taken away first."""

    def __init__(self, constraint: Constraint) -> None:
        self._requests = frozenset(constraint.requests)
        self._same = bool(constraint.match_attribute)
        self._name = constraint.match_attribute or constraint.distinct_attribute
        self._values: list[Valued] = []

    def covers(self, request: Request, asked: Asked) -> bool:
        wanted = self._requests
        return not wanted or request.name in wanted or request.label(asked) in wanted

    def add(self, device: Device) -> bool:
        """Whether the device may join; it has then."""
        value = attribute(device, self._name)
        if value is None:
            return False
        if self._values and ((value != self._values[-1]) if self._same else (value in self._values)):
            return False
        self._values.append(value)
        return True

    def drop(self) -> None:
        self._values.pop()
