"""A data plane in memory: it keeps the rules and says where a packet would end.

It walks the same rules that the kernel is given, in the same order, so that tests and simulations can ask about traffic
without a kernel, and so that a user can be told where a packet goes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from navarch.base.clock import Clock, Ids
from navarch.proxy.rules import Front, Gate, Node, Pool, Refusal, Rules, Target

LOOPBACK = "127.0.0.0/8"


@dataclass(frozen=True, slots=True)
class Packet:
    """The first packet of a connection. local: sent by the node itself, not by one of its pods."""

    source: str
    address: str
    protocol: str
    port: int
    local: bool = False


@dataclass(frozen=True, slots=True)
class Arrival:
    """hidden: the receiver sees an address of this node instead of the sender's."""

    target: Target
    hidden: bool


@dataclass(frozen=True, slots=True)
class Trace:
    """arrivals: all that are possible, equally likely; empty for a refused packet. pool: what they were picked from, ""
    for a packet that no service wants: it goes where it was sent."""

    fate: Literal["arrives"] | Refusal
    arrivals: tuple[Arrival, ...] = ()
    pool: str = ""


class FakeDataplane:
    def __init__(self, clock: Clock, ids: Ids) -> None:
        self._clock = clock
        self._ids = ids
        self._rules: Rules | None = None
        self._known = False
        self._disturbed = asyncio.Event()
        self._seen: dict[tuple[str, str], tuple[Target, float]] = {}
        self.writes = 0

    def current(self) -> Rules | None:
        return self._rules if self._known else None

    async def replace(self, old: Rules | None, new: Rules) -> None:
        if self.current() is not None and old == new == self._rules:
            return
        self._rules = new
        self._known = True
        self._disturbed.clear()
        self.writes += 1

    async def disturbed(self) -> None:
        await self._disturbed.wait()

    async def remove(self) -> None:
        self._rules, self._known = None, False
        self._seen.clear()

    def disturb(self) -> None:
        """As if somebody had deleted everything."""
        self._rules, self._known = None, False
        self._seen.clear()
        self._disturbed.set()

    def trace(self, packet: Packet) -> Trace:
        if self._rules is None:
            return Trace("arrives", (Arrival(Target(packet.address, packet.port), False),))
        return trace(self._rules, packet)

    def send(self, packet: Packet) -> Arrival | Refusal:
        """One connection: a target is picked, and remembered where the service asks for affinity."""
        found = self.trace(packet)
        if found.fate != "arrives":
            return found.fate
        pool = _pools(self._rules).get(found.pool) if self._rules else None
        now = self._clock.monotonic()
        key = (found.pool, packet.source)
        target, seen = self._seen.get(key, (None, 0.0))
        picked = found.arrivals[int(self._ids.fraction() * len(found.arrivals))]
        if pool and pool.affinity_s:
            if now < seen + pool.affinity_s:
                picked = next((each for each in found.arrivals if each.target == target), picked)
            self._seen[key] = (picked.target, now)
        return picked


def trace(rules: Rules, packet: Packet) -> Trace:
    """guards, then translation, then refusals, then masquerading: the order of the kernel's hooks."""
    front = Front(packet.address, packet.protocol, packet.port)
    if not _passes_guards(rules, front, packet.source):
        return Trace("drop")
    way, hidden = _service(rules, front, packet)
    pool = _pools(rules).get(way)
    if pool:
        return Trace("arrives", tuple(_arrival(rules, packet, each, hidden) for each in pool.targets), pool.name)
    if refusal := _refusal(rules, front):
        return Trace(refusal)
    return Trace("arrives", (_arrival(rules, packet, Target(packet.address, packet.port), hidden, translated=False),))


def _passes_guards(rules: Rules, front: Front, source: str) -> bool:
    for part in rules.parts.values():
        if front in part.guards:
            return any(_within(source, network) for network in part.guards[front])
    return True


def _service(rules: Rules, front: Front, packet: Packet) -> tuple[str, bool]:
    """The pool's name ("" for none), and whether the sender is to be hidden."""
    node = rules.node
    gate = Gate(front.protocol, front.port)
    hidden = any(front.address in part.cluster_ips for part in rules.parts.values())
    hidden = hidden and not _within(packet.source, node.cluster_cidr)
    ways = [part.fronts[front] for part in rules.parts.values() if front in part.fronts]
    if front.address in node.addresses:
        ways += [part.node_ports[gate] for part in rules.parts.values() if gate in part.node_ports]
    if front.address in (*node.addresses, gateway(node)) or (packet.local and _within(front.address, LOOPBACK)):
        ways += [part.host_ports[gate] for part in rules.parts.values() if gate in part.host_ports]
    if not ways:
        return "", hidden
    door = next((door for part in rules.parts.values() for door in part.doors if door.name == ways[0]), None)
    if door is None:
        return ways[0], hidden
    if door.near and _within(packet.source, node.cluster_cidr):
        return door.near, hidden
    if door.near and packet.local:
        return door.near, True
    return door.pool, hidden or door.hidden


def _refusal(rules: Rules, front: Front) -> Refusal | None:
    gate = Gate(front.protocol, front.port)
    for part in rules.parts.values():
        if front in part.refused:
            return part.refused[front]
    if front.address in rules.node.addresses:
        for part in rules.parts.values():
            if gate in part.refused_node_ports:
                return part.refused_node_ports[gate]
    if any(front.address in part.cluster_ips for part in rules.parts.values()):
        return "reject"
    if rules.node.service_cidr and _within(front.address, rules.node.service_cidr):
        return "drop"
    return None


def _arrival(rules: Rules, packet: Packet, target: Target, hidden: bool, *, translated: bool = True) -> Arrival:
    node = rules.node
    if translated and packet.source == target.address and packet.source in rules.hairpins:
        hidden = True
    if translated and _within(packet.source, LOOPBACK):
        hidden = True
    from_pod = _within(packet.source, node.pod_cidr) and not packet.local
    if translated and not node.bridge_filtered and from_pod and _within(target.address, node.pod_cidr):
        hidden = True
    if from_pod and not _within(target.address, node.cluster_cidr) and target.address not in node.addresses:
        hidden = True
    return Arrival(target, hidden)


def gateway(node: Node) -> str:
    """The first address of the node's pods: the node itself, as they see it."""
    return str(IPv4Network(node.pod_cidr)[1])


def _pools(rules: Rules) -> dict[str, Pool]:
    return {pool.name: pool for part in rules.parts.values() for pool in part.pools}


def _within(address: str, network: str) -> bool:
    return IPv4Address(address) in IPv4Network(network)
