"""How much a pod asks for, as whole numbers: milli-cores of cpu, bytes or pieces of everything else.

Source: https://kubernetes.io/docs/concepts/workloads/pods/init-containers/#resource-sharing-within-containers
and https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from navarch.kinds.view import Quantity
from navarch.objects import quantity
from navarch.scheduler.views import Container, Spec

CPU, MEMORY, STORAGE, PODS = "cpu", "memory", "ephemeral-storage", "pods"

UNASKED = {CPU: 100, MEMORY: 200 * 1024 * 1024}
"""What scores assume of a container that asks for no cpu or memory, so that such containers spread too."""

HUGE = 2**52
"""Nothing is larger, so that sums over a node's pods stay within 64 bits."""

Amounts = dict[str, int]


@lru_cache(maxsize=4096)
def amount(resource: str, text: Quantity) -> int:
    """`text` in the unit of `resource`, rounded up; at most `HUGE`."""
    return min(quantity.milli(text) if resource == CPU else quantity.whole(text), HUGE)


def amounts(quantities: Mapping[str, Quantity]) -> Amounts:
    return {resource: amount(resource, text) for resource, text in quantities.items()}


def _asked(container: Container, unasked: Mapping[str, int]) -> Amounts:
    requests = container.resources.requests
    if not requests and not unasked:
        return {}
    return {**unasked, **amounts(requests)} if unasked else amounts(requests)


def _add(total: Amounts, more: Mapping[str, int]) -> None:
    for resource, number in more.items():
        total[resource] = total.get(resource, 0) + number


def _raise_to(total: Amounts, floor: Mapping[str, int]) -> None:
    for resource, number in floor.items():
        if number > total.get(resource, 0):
            total[resource] = number


def _sum(containers: Iterable[Container], unasked: Mapping[str, int]) -> Amounts:
    total: Amounts = {}
    for container in containers:
        _add(total, _asked(container, unasked))
    return total


def effective(spec: Spec, unasked: Mapping[str, int] | None = None) -> Amounts:
    """The most that the pod uses at any moment of its life, with overhead; `pods` is not among it.

    Sidecars (init containers that always restart) add up with all that starts after them; the other init containers
    run one by one. Requests of the pod itself take the place of what its containers sum up to.

    unasked: assumed of containers that ask for nothing.
    """
    unasked = unasked or {}
    total = _sum(spec.containers, unasked)
    if spec.init_containers:
        sidecars: Amounts = {}
        peak: Amounts = {}
        for container in spec.init_containers:
            asked = _asked(container, unasked)
            if container.restart_policy == "Always":
                _add(sidecars, asked)
                _raise_to(peak, sidecars)
            else:
                together = dict(sidecars)
                _add(together, asked)
                _raise_to(peak, together)
        _add(total, sidecars)
        _raise_to(total, peak)
    if spec.resources.requests:
        total.update(amounts(spec.resources.requests))
    if spec.overhead:
        _add(total, amounts(spec.overhead))
    return total
