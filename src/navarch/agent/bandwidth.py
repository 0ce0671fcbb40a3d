"""How much a pod may send and take, as its annotations ask for it.

Runtimes read the annotations themselves, but one that finds no rate in them can neither make the sandbox nor take
down what it made of it. So it is not asked.

Source: https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/network-plugins/#support-traffic-shaping
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from navarch.agent.runtime import RuntimeFailure
from navarch.kinds.pod.view import Pod
from navarch.objects.quantity import BadQuantity, whole

INGRESS, EGRESS = "kubernetes.io/ingress-bandwidth", "kubernetes.io/egress-bandwidth"
LEAST_BITS_S, MOST_BITS_S = 10**3, 10**15


class Limits(NamedTuple):
    """None: as much as there is."""

    ingress_bits_s: int | None = None
    egress_bits_s: int | None = None


NO_LIMITS = Limits()


def asked_for(annotations: Mapping[str, str]) -> bool:
    return INGRESS in annotations or EGRESS in annotations


def limits_of(annotations: Mapping[str, str]) -> Limits:
    """Raises: RuntimeFailure, in the words of a runtime."""
    return Limits(*(_rate(annotations[name]) if name in annotations else None for name in (INGRESS, EGRESS)))


def check(pod: Pod) -> None:
    """Raises: RuntimeFailure."""
    if not pod.spec.host_network:
        limits_of(pod.metadata.annotations)


def _rate(text: str) -> int:
    try:
        found = whole(text)
    except BadQuantity as error:
        raise RuntimeFailure(f"reading pod bandwidth annotations: {error}") from error
    if found < LEAST_BITS_S:
        raise RuntimeFailure("reading pod bandwidth annotations: resource is unreasonably small (< 1kbit)")
    if found > MOST_BITS_S:
        raise RuntimeFailure("reading pod bandwidth annotations: resource is unreasonably large (> 1Pbit)")
    return found
