"""How pods of one application are spread when their template says nothing: softly over zones and hosts.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/#internal-default-constraints
"""

from __future__ import annotations

from collections.abc import Iterable

from navarch.kinds.object import Object
from navarch.kinds.view import View
from navarch.scheduler.facts import PodFacts, Spread
from navarch.scheduler.terms import Key, labels_key

SPREADS = (("kubernetes.io/hostname", 3), ("topology.kubernetes.io/zone", 5))


class ServiceSpec(View, frozen=True):
    selector: dict[str, str] = {}


class ServiceShape(View, frozen=True):
    """Of a Service, what says which pods are its own."""

    spec: ServiceSpec = ServiceSpec()


def _selects(selector: dict[str, str], pod: PodFacts) -> bool:
    return bool(selector) and all(pod.labels.get(key) == value for key, value in selector.items())


def usual_spreads(pod: PodFacts, selectors: Iterable[dict[str, str]]) -> tuple[Spread, ...]:
    """Spreads over the pods that share the pod's owner and its services.

    selectors: of the services in its namespace. () for a pod that has neither.
    """
    mine = [selector for selector in selectors if _selects(selector, pod)]
    owner = pod.owners[0] if pod.owners else ""
    if not mine and not owner:
        return ()
    namespace = pod.namespace

    def counts(other: PodFacts) -> bool:
        if other.namespace != namespace or (owner and owner not in other.owners):
            return False
        return all(_selects(selector, other) for selector in mine)

    key: Key = ("usual", namespace, owner, tuple(labels_key(selector) for selector in mine))
    return tuple(Spread(skew, topology, 1, True, False, key, counts, owner) for topology, skew in SPREADS)


def selector_of(service: Object) -> dict[str, str]:
    shape: ServiceShape = service.as_view(ServiceShape)
    return shape.spec.selector
