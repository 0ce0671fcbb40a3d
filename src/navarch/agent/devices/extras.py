"""What comes with a container's devices: variables, files, device nodes. Values that can be written down."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from navarch.agent.runtime import DeviceMapping, Mount

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Extras:
    """cdi: names of devices that are described on the node's disk (`vendor.com/class=name`)."""

    variables: dict[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    devices: tuple[DeviceMapping, ...] = ()
    annotations: dict[str, str] = field(default_factory=dict)
    cdi: tuple[str, ...] = ()


NOTHING = Extras()


def together(parts: Iterable[Extras]) -> Extras:
    """Each thing once; where two say otherwise of one name, the first counts."""
    listed = list(parts)
    mounts = _first((each.container_path, each) for part in listed for each in part.mounts)
    devices = _first((each.container_path, each) for part in listed for each in part.devices)
    return Extras(
        _first(pair for part in listed for pair in part.variables.items()),
        tuple(mounts.values()),
        tuple(devices.values()),
        _first(pair for part in listed for pair in part.annotations.items()),
        tuple(dict.fromkeys(name for part in listed for name in part.cdi)),
    )


def _first(pairs: Iterable[tuple[str, Value]]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for name, value in pairs:
        found.setdefault(name, value)
    return found
