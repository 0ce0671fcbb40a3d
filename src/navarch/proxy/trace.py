"""Where a packet would end: the rules that the kernel is given, walked in its order, by anybody who asks.

The fake data plane sends packets this way, and a user is told by it which rule, service, endpoint and policy a packet
takes. Pure. One node's rules say what that node does; `across` follows a packet to the node that it is sent on to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeVar

from navarch.proxy.addresses import IPV4, first_of, within
from navarch.proxy.isolation import Verdict, judge
from navarch.proxy.rules import Front, Gate, Node, Part, Pool, Refusal, Rules, Target

Rule = Literal["", "guard", "front", "node port", "host port", "refused", "unknown port", "unassigned"]
Fate = Literal["arrives", "reject", "drop"]
Value = TypeVar("Value")


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
    """hidden: the receiver sees an address of this node instead of the sender's. verdicts: of network policies, in
    order; none where nobody is isolated, and for what the node itself sends or takes."""

    target: Target
    hidden: bool
    verdicts: tuple[Verdict, ...] = ()

    @property
    def passes(self) -> bool:
        return all(each.passes for each in self.verdicts)


@dataclass(frozen=True, slots=True)
class Trace:
    """fate: "arrives" if any arrival passes. arrivals: all that are possible, equally likely, with what policies say of
    each; empty for a packet that is refused before. pool: what they were picked from, "" for a packet that no service
    wants: it goes where it was sent. part: the Service (`namespace/name`) or the pod (`/namespace/name`) whose rule
    decided, "" for none. rule: which of its rules."""

    fate: Fate
    arrivals: tuple[Arrival, ...] = ()
    pool: str = ""
    part: str = ""
    rule: Rule = ""


class _Way(NamedTuple):
    """part, rule: who sends it there. pool: "" for nowhere."""

    part: str = ""
    rule: Rule = ""
    pool: str = ""
    hidden: bool = False


def trace(rules: Rules, packet: Packet) -> Trace:
    """guards, then translation, then refusals, then policies, then masquerading: the order of the kernel's hooks."""
    front = Front(packet.address, packet.protocol, packet.port)
    name, ranges = _owner(rules, lambda part: part.guards.get(front))
    if ranges is not None and not any(within(packet.source, each) for each in ranges):
        return Trace("drop", part=name, rule="guard")
    way = _service(rules, front, packet)
    if pool := pools(rules).get(way.pool):
        arrivals = tuple(_arrival(rules, packet, each, way.hidden) for each in pool.targets)
        return Trace(_fate(arrivals), arrivals, pool.name, way.part, way.rule)
    if refused := _refusal(rules, front):
        return refused
    arrival = _arrival(rules, packet, Target(packet.address, packet.port), way.hidden, translated=False)
    return Trace(_fate((arrival,)), (arrival,))


def across(nodes: Iterable[Rules], entry: str, packet: Packet) -> Trace:
    """What the packet meets on the node named `entry`, and then on those that it is sent on to."""
    rules = {each.node.name: each for each in nodes}
    first = trace(rules[entry], packet)
    arrivals = tuple(_sent_on(rules, entry, packet, each) for each in first.arrivals)
    return replace(first, arrivals=arrivals, fate=_fate(arrivals) if arrivals else first.fate)


def gateway(node: Node) -> str:
    """The first address of the node's pods: the node itself, as they see it."""
    return first_of(node.pod_cidr)


def own_address(node: Node) -> str:
    """By which others know the node; where it has none of its own in this family, the one that its pods know."""
    return node.addresses[0] if node.addresses else gateway(node)


def pools(rules: Rules) -> dict[str, Pool]:
    return {pool.name: pool for part in rules.parts.values() for pool in part.pools}


def _fate(arrivals: Iterable[Arrival]) -> Fate:
    return "arrives" if any(each.passes for each in arrivals) else "drop"


def _sent_on(rules: Mapping[str, Rules], entry: str, packet: Packet, arrival: Arrival) -> Arrival:
    """With the verdicts of the node where the target is, if that is another one."""
    there = next((each for each in rules.values() if within(arrival.target.address, each.node.pod_cidr)), None)
    if there is None or there.node.name == entry or not arrival.passes:
        return arrival
    source = own_address(rules[entry].node) if arrival.hidden else packet.source
    (last,) = trace(there, Packet(source, arrival.target.address, packet.protocol, arrival.target.port)).arrivals
    return replace(arrival, verdicts=(*arrival.verdicts, *last.verdicts))


def _owner(rules: Rules, ask: Callable[[Part], Value | None]) -> tuple[str, Value | None]:
    """Whose part has an answer, and which: of one front or port there is at most one owner."""
    for name, part in rules.parts.items():
        if (found := ask(part)) is not None:
            return name, found
    return "", None


def _service(rules: Rules, front: Front, packet: Packet) -> _Way:
    node = rules.node
    stranger = node.masquerade_all or not within(packet.source, node.cluster_cidr)
    hidden = _is_cluster_ip(rules, front.address) and stranger
    found = _entry(rules, front, packet)
    if found is None:
        return _Way(hidden=hidden)
    part, rule, way = found
    door = next((each for each in rules.parts[part].doors if each.name == way), None)
    if door is None:
        return _Way(part, rule, way, hidden)
    if door.near and within(packet.source, node.cluster_cidr):
        return _Way(part, rule, door.near, hidden)
    if door.near and packet.local:
        return _Way(part, rule, door.near, True)
    return _Way(part, rule, door.pool, hidden or door.hidden)


def _entry(rules: Rules, front: Front, packet: Packet) -> tuple[str, Rule, str] | None:
    """The part, the rule of it, and the pool or door that it names."""
    node, gate = rules.node, Gate(front.protocol, front.port)
    name, way = _owner(rules, lambda part: part.fronts.get(front))
    if way is not None:
        return name, "front", way
    if _takes_node_ports(node, front.address):
        name, way = _owner(rules, lambda part: part.node_ports.get(gate))
        if way is not None:
            return name, "node port", way
    if front.address in (*node.addresses, gateway(node)) or _by_loopback(node, packet):
        name, way = _owner(rules, lambda part: part.host_fronts.get(front))
        if way is not None:
            return name, "host port", way
        name, way = _owner(rules, lambda part: part.host_ports.get(gate))
        if way is not None:
            return name, "host port", way
    return None


def _takes_node_ports(node: Node, address: str) -> bool:
    """The addresses of the node that are known here are its own and that of its pods' network."""
    if not node.node_port_networks:
        return address in node.addresses
    local = address in (*node.addresses, gateway(node))
    return local and any(within(address, each) for each in node.node_port_networks)


def _by_loopback(node: Node, packet: Packet) -> bool:
    """What goes to it may be led elsewhere in IPv4 alone: the other family's kernel keeps it on its interface."""
    return packet.local and node.family is IPV4 and within(packet.address, IPV4.loopback)


def _refusal(rules: Rules, front: Front) -> Trace | None:
    gate = Gate(front.protocol, front.port)
    how: Refusal | None
    name, how = _owner(rules, lambda part: part.refused.get(front))
    if how is None and _takes_node_ports(rules.node, front.address):
        name, how = _owner(rules, lambda part: part.refused_node_ports.get(gate))
    if how is not None:
        return Trace(how, part=name, rule="refused")
    if _is_cluster_ip(rules, front.address):
        name, _ = _owner(rules, lambda part: front.address in part.cluster_ips or None)
        return Trace("reject", part=name, rule="unknown port")
    if front.address in rules.balanced:
        return _beside(rules, front.address)
    if rules.node.service_cidr and within(front.address, rules.node.service_cidr):
        return Trace("drop", rule="unassigned")
    return None


def _beside(rules: Rules, address: str) -> Trace:
    """At an address of a load balancer, and served by nobody."""
    name, _ = _owner(rules, lambda part: any(each.address == address for each in (*part.fronts, *part.refused)) or None)
    return Trace("reject", part=name, rule="unknown port" if name else "unassigned")


def _is_cluster_ip(rules: Rules, address: str) -> bool:
    return any(address in part.cluster_ips for part in rules.parts.values())


def _arrival(rules: Rules, packet: Packet, target: Target, hidden: bool, *, translated: bool = True) -> Arrival:
    node = rules.node
    if translated and packet.source == target.address and packet.source in rules.hairpins:
        hidden = True
    if translated and within(packet.source, node.family.loopback):
        hidden = True
    from_pod = within(packet.source, node.pod_cidr) and not packet.local
    if translated and not node.bridge_filtered and from_pod and within(target.address, node.pod_cidr):
        hidden = True
    outside = not within(target.address, node.cluster_cidr) and target.address not in node.addresses
    if from_pod and outside and node.hides_pods:
        hidden = True
    ends_here = target.address in (*node.addresses, gateway(node))
    if packet.local or ends_here:
        return Arrival(target, hidden)
    verdicts = judge(rules.isolation, packet.source, target.address, packet.protocol, target.port)
    return Arrival(target, hidden, verdicts)
