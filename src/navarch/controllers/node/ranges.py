"""Gives each node a range of addresses for its pods, cut from the cluster's.

Source: https://kubernetes.io/docs/reference/networking/ (node IPAM)
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from navarch.client.client import Client
from navarch.controllers.beginning import SOON_S, Beginning
from navarch.controllers.controller import Cache, Controller, Watch, own_key
from navarch.controllers.options import Setup
from navarch.controllers.plan import Event, Patch, Plan
from navarch.kinds import NODE
from navarch.kinds.object import Object

IPV6_BITS = 64
BY_RANGE = "pod-cidr"


@dataclass(frozen=True, slots=True)
class Observed:
    """ranges: one for each of the cluster's, () when one of them is used up, None while those are not known that were
    given before this process."""

    node: Object
    ranges: Sequence[str] | None


def controller(setup: Setup) -> Controller[Observed]:
    cidrs = [cidr.strip() for cidr in setup.options.cluster_cidr.split(",") if cidr.strip()]
    pools = [Pool(cidr, setup.options.node_cidr_bits) for cidr in cidrs]
    beginning = Beginning(NODE)

    def observe(cache: Cache, key: tuple[str, str]) -> Observed | None:
        node = cache[NODE].get(*key)
        if node is None or node.view.spec.pod_cidr or not pools:
            return None
        if not beginning.over(cache[NODE]):
            return Observed(node, None)
        chosen = [pool.choose(cache, node) for pool in pools]
        return Observed(node, tuple(chosen) if all(chosen) else ())

    async def confirm(client: Client, observed: Observed) -> Observed:
        if observed.ranges is None:
            await beginning.ask(client)
        return observed

    return Controller(
        name="node-ipam",
        watches=(Watch(NODE, own_key, _never, {BY_RANGE: range_index}),),
        observe=observe,
        confirm=confirm,
        plan=plan,
        component="cidrAllocator",
        account="node-controller",
        workers=1,
    )


def _never(old: Object, new: Object) -> bool:
    """A range is given once and never changes."""
    return bool(old.view.spec.pod_cidr and not new.view.spec.pod_cidr)


def range_index(node: Object) -> Iterable[str]:
    return node.view.spec.pod_cidrs or ((node.view.spec.pod_cidr,) if node.view.spec.pod_cidr else ())


class Pool:
    """Ranges of one cluster range. It remembers what it gave out until the cache shows it.

    Raises: ValueError, for what is no range or too small for one node.
    """

    def __init__(self, cidr: str, ipv4_bits: int) -> None:
        self._network = ipaddress.ip_network(cidr)
        bits = ipv4_bits if self._network.version == 4 else IPV6_BITS
        if bits < self._network.prefixlen:
            raise ValueError(f"cluster range {cidr} has no room for a node's range of /{bits}: make it larger")
        self._bits = bits
        self._step = 2 ** (self._network.max_prefixlen - bits)
        self._count = self._network.num_addresses // self._step
        self._next = 0
        self._given: dict[str, str] = {}

    def choose(self, cache: Cache, node: Object) -> str:
        """The range for this node (the same one if it is asked again), "" when all are taken."""
        for name, cidr in list(self._given.items()):
            shown = cache[NODE].get("", name)
            if cache[NODE].count(BY_RANGE, cidr) or shown is None or shown.view.spec.pod_cidr:
                del self._given[name]
        if node.name in self._given:
            return self._given[node.name]
        taken = set(self._given.values())
        for offset in range(self._count):
            place = (self._next + offset) % self._count
            cidr = self._range(place)
            if cidr not in taken and not cache[NODE].count(BY_RANGE, cidr):
                self._next = place + 1
                self._given[node.name] = cidr
                return cidr
        return ""

    def _range(self, place: int) -> str:
        first = self._network.network_address + place * self._step
        return f"{first}/{self._bits}"


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    node, ranges = observed.node, observed.ranges
    if ranges is None:
        return Plan(requeue_after_s=SOON_S)
    if not ranges:
        said = Event(node, "CIDRNotAvailable", f"Node {node.name} status is now: CIDRNotAvailable")
        return Plan((said,), requeue_after_s=60.0)
    changes = {"spec": {"podCIDR": ranges[0], "podCIDRs": list(ranges)}}
    refused = Event(node, "CIDRAssignmentFailed", f"Node {node.name} status is now: CIDRAssignmentFailed")
    return Plan((Patch(node, changes, guarded=False, refused=refused),))
