"""What the containers of a pod take together.

Source: https://kubernetes.io/docs/concepts/workloads/pods/init-containers/#resource-sharing-within-containers
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from navarch.objects import quantity
from navarch.objects.value import Document, dig

Amounts = dict[str, int]
"""Billionths by resource."""


def containers_total(spec: Document, side: str) -> Amounts:
    """side: `requests` or `limits`. What a pod's containers take at their largest: those that stay with the sidecars,
    or an init container with the sidecars before it.

    Raises: quantity.BadQuantity.
    """
    total = summed(amounts(one, side) for one in spec.get("containers") or ())
    sidecars: Amounts = {}
    largest: Amounts = {}
    for one in spec.get("initContainers") or ():
        found = amounts(one, side)
        if one.get("restartPolicy") == "Always":
            sidecars = summed((sidecars, found))
            found = {}
        largest = _larger(largest, summed((sidecars, found)))
    return _larger(summed((total, sidecars)), largest)


def amounts(one: Document, side: str) -> Amounts:
    """Of a container, or of a pod as a whole. Raises: quantity.BadQuantity."""
    return {name: quantity.nano(value) for name, value in (dig(one, "resources", side) or {}).items()}


def summed(parts: Iterable[Mapping[str, int]]) -> Amounts:
    total: Amounts = {}
    for part in parts:
        for name, amount in part.items():
            total[name] = total.get(name, 0) + amount
    return total


def _larger(left: Mapping[str, int], right: Mapping[str, int]) -> Amounts:
    return {name: max(left.get(name, 0), right.get(name, 0)) for name in left.keys() | right.keys()}


def written(total_nano: int, spec: Document, side: str, name: str) -> str:
    """A sum as text, in the form in which the first container that has the resource writes it."""
    for field in ("containers", "initContainers"):
        for one in spec.get(field) or ():
            if (value := dig(one, "resources", side, name)) is not None:
                return quantity.text(total_nano, quantity.style_of(value))
    return quantity.text(total_nano)
