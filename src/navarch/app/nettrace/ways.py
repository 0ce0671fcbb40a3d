"""The way behind the choice of an endpoint: policies, the sender's mask, the path to the other node. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from navarch.app.nettrace import policies
from navarch.app.nettrace.standing import unready
from navarch.app.nettrace.steps import Step
from navarch.app.nettrace.world import World, has_way
from navarch.proxy.isolation import Direction
from navarch.proxy.trace import Arrival, Packet, gateway, own_address

DIRECTIONS: tuple[Direction, ...] = ("egress", "ingress")


class Way(NamedTuple):
    """To one endpoint, or to the address that was named. who: has it."""

    who: str
    there: str
    steps: tuple[Step, ...]

    @property
    def stops(self) -> bool:
        return any(step.outcome == "stops" for step in self.steps)


def told(ways: Sequence[Way], here: str) -> Iterator[Step]:
    """Those that fare alike are told of once, by one on another node if there is one."""
    groups: dict[object, list[Way]] = {}
    for each in ways:
        alike = tuple(
            (step.outcome, step.hop) for step in each.steps if step.hop != "route" or step.outcome != "passes"
        )
        groups.setdefault(alike, []).append(each)
    for group in groups.values():
        first = next((each for each in group if each.there != here), group[0])
        if len(ways) > 1:
            others = f", as to {len(group) - 1} more" if len(group) > 1 else ""
            yield Step("endpoint", first.there, "passes", f"to {first.who}{others}:")
        yield from first.steps


def walk(world: World, here: str, packet: Packet, arrival: Arrival) -> Way:
    """here: the node whose rules the packet met first."""
    there = world.node_at(arrival.target.address)
    steps: list[Step] = []
    for step in _steps(world, here, there, packet, arrival):
        steps.append(step)
        if step.outcome == "stops":
            break
    return Way(world.who(arrival.target.address), there, tuple(steps))


def _steps(world: World, here: str, there: str, packet: Packet, arrival: Arrival) -> Iterator[Step]:
    target = arrival.target
    sent = replace(packet, address=target.address, port=target.port)
    for direction in DIRECTIONS:
        verdict = next((each for each in arrival.verdicts if each.direction == direction), None)
        source, place, end = packet.source, here, packet.source
        if direction == "ingress":
            yield from _between(world, here, there, packet, arrival)
            source, place, end = _seen(world, here, packet, arrival), there, target.address
        if verdict is not None:
            yield policies.told(world, verdict, sent, source, place)
        elif world.pod_at(end) is not None and not (packet.local and direction == "egress"):
            yield policies.unjudged(world, direction, end, place)
    yield _receiver(world, there, arrival, packet.protocol)


def _seen(world: World, here: str, packet: Packet, arrival: Arrival) -> str:
    return own_address(world.known_nodes[here]) if arrival.hidden else packet.source


def _between(world: World, here: str, there: str, packet: Packet, arrival: Arrival) -> Iterator[Step]:
    target = arrival.target.address
    if arrival.hidden:
        yield Step("masquerade", here, "passes", f"the receiver sees an address of {here} instead of {packet.source}")
    node = world.known_nodes[here]
    if there == here:
        own = target in (*node.addresses, gateway(node))
        yield Step("route", here, "passes", "it is for the node itself" if own else "it stays on the node")
    elif not there:
        yield Step("route", here, "passes", "it leaves the cluster, by the routes that the node has")
    else:
        yield _path(world, here, there, target)


def _path(world: World, here: str, there: str, target: str) -> Step:
    other = world.known_nodes[there]
    found = world.nodes[there].view
    address = next(iter(other.addresses), found.status.address("InternalIP"))
    if target == address:
        return Step("route", here, "passes", f"to {there} at {address}, which the nodes reach each other at")
    if not has_way(world, here, target):
        text = f"{here} has no path to {other.pod_cidr} of {there}: not in {world.cluster_cidr}, or another node's too"
        remedy = f"compare spec.podCIDR of the nodes, and let {there} join anew"
        return Step("route", here, "stops", text, remedy)
    how = {
        "direct": f"by the route over {address}",
        "vxlan": f"in VXLAN to {address}",
        "auto": f"over {address}, directly where both share a link, else in VXLAN",
    }[world.mode]
    if not found.ready:
        text = f"{there} is not Ready: whether {other.pod_cidr} is reached, {how}, is not known"
        return Step("route", here, "unsure", text, f"kubectl describe node {there}")
    return Step("route", here, "passes", f"{other.pod_cidr} of {there} {how}")


def _receiver(world: World, there: str, arrival: Arrival, protocol: str) -> Step:
    address, port = arrival.target
    pod = world.pod_at(address)
    if pod is None:
        return Step("receiver", there, "passes", f"{world.who(address)}, port {port}/{protocol}")
    view = pod.view
    text = f"pod {pod.namespace}/{pod.name} at {address}, port {port}/{protocol}"
    why = unready(view)
    if view.status.phase == "Pending":
        remedy = f"see why: kubectl describe pod {pod.name} -n {pod.namespace}"
        return Step("receiver", there, "stops", f"{text}: none of its containers runs yet ({why})", remedy)
    containers = (*view.spec.containers, *view.spec.init_containers)
    if why:
        text += f"; it is not ready ({why})"
    if port not in {each.container_port for one in containers for each in one.ports}:
        text += "; no container declares it, so see that a program listens there"
    return Step("receiver", there, "passes", text)
