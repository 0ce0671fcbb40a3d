"""What expressions say of a device. The language is loaded when the first is asked.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/resource-claim-v1/ (CELDeviceSelector)
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from navarch.objects import quantity
from navarch.scheduler.devices.pools import Device
from navarch.scheduler.devices.shapes import Selector

if TYPE_CHECKING:
    from navarch.cel.program import Program

REMEMBERED = 64
"""Expressions of which each device remembers what they said."""

BUDGET = 100_000
"""Of one expression and device, some tenths of a second; what choosing a device takes is some tens."""

HINT = "Consider using CEL optional chaining (?), has() macro, or orValue() for optional fields"


_costly: dict[str, str] = {}
"""What cost too much with one device is not tried with a thousand others."""


class Unusable(Exception):
    """No devices can be chosen for what was asked, in words for users."""


class Domains(dict[str, Any]):
    """By domain; one that a device says nothing of is as good as empty."""

    def __missing__(self, key: str) -> dict[str, Any]:
        return {}


def select(device: Device, selectors: Iterable[Selector], whose: str) -> bool:
    """Whether all selectors choose the device. whose: whom the selectors belong to, in users' words.

    Raises: Unusable.
    """
    for index, selector in enumerate(selectors):
        text = selector.cel.expression
        said = device.verdicts.get(text)
        if said is None:
            if len(device.verdicts) >= REMEMBERED:
                device.verdicts.clear()
            said = device.verdicts[text] = _asked(device, text)
        if isinstance(said, str):
            raise Unusable(f"{whose}: selector #{index}{said}")
        if not said:
            return False
    return True


@lru_cache(maxsize=256)
def _compiled(text: str) -> Program | str:
    from navarch.cel.kubernetes import program
    from navarch.cel.syntax import SyntaxFault
    from navarch.cel.values import Fault

    try:
        return program(text)
    except (SyntaxFault, Fault) as fault:
        return f": CEL compile error: {fault}"


def _asked(device: Device, text: str) -> bool | str:
    program = _compiled(text)
    if isinstance(program, str):
        return program
    from navarch.cel.values import Fault, OverBudget

    if text in _costly:
        return f": CEL runtime error: {_costly[text]}"
    where = f" on device {device.id}: CEL runtime error: "
    try:
        found, _ = program.run({"device": _seen(device)}, BUDGET)
    except OverBudget as fault:
        if len(_costly) >= REMEMBERED:
            _costly.clear()
        _costly[text] = str(fault)
        return f"{where}{fault}"
    except Fault as fault:
        why = str(fault)
        return f"{where}{why}. {HINT}" if why.startswith("no such key:") else f"{where}{why}"
    if not isinstance(found, bool):
        return f"{where}CEL result is not a bool"
    return found


def _seen(device: Device) -> dict[str, Any]:
    """What `device` is in an expression."""
    from navarch.cel.kubernetes import Quantity

    shape, driver = device.shape, device.id.driver
    capacity = ((name, Quantity(quantity.parse(one.value))) for name, one in shape.capacity.items())
    return {
        "driver": driver,
        "attributes": _by_domain(driver, ((name, _value(one)) for name, one in shape.attributes.items())),
        "capacity": _by_domain(driver, capacity),
        "allowMultipleAllocations": shape.allow_multiple_allocations,
    }


def _by_domain(driver: str, found: Iterable[tuple[str, Any]]) -> Domains:
    """Names without a domain are the driver's."""
    domains = Domains()
    for name, value in found:
        domain, _, id = name.rpartition("/")
        domains.setdefault(domain or driver, {})[id] = value
    return domains


def _value(attribute: dict[str, Any]) -> Any:
    from navarch.cel.kubernetes import version

    if "version" in attribute:
        return version(attribute["version"])
    return next(iter(attribute.values()), None)
