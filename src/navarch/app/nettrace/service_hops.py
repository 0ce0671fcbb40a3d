"""What the Service rules of the first node make of a packet, for people. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from navarch.app.nettrace import standing
from navarch.app.nettrace.destinations import Destination, in_cluster
from navarch.app.nettrace.steps import Step
from navarch.app.nettrace.world import World
from navarch.kinds.service import ServicePort
from navarch.proxy.addresses import joined
from navarch.proxy.rules import Target
from navarch.proxy.trace import Packet, Trace

SHOWN = 8
"""Endpoints that are shown one by one."""


def unreachable_from_outside(world: World, to: Destination) -> Step | None:
    if in_cluster(world, to.address):
        text = f"nobody outside has a way to {to.address} ({world.who(to.address)}), an address of the cluster's own"
        remedy = "make a Service of type NodePort or LoadBalancer, or put an Ingress in front of it"
        return Step("route", "", "stops", text, remedy)
    if not to.entry:
        return Step("route", "", "stops", "no node has an address yet", "kubectl describe nodes")
    return None


def told(world: World, here: str, packet: Packet, found: Trace, to: Destination) -> Iterator[Step]:
    """here: the node whose rules are met first. Nothing where no Service wants the packet."""
    if found.rule == "":
        return
    where = joined(to.address, to.port.number)
    if found.rule == "unassigned":
        remedy = "see which addresses services have: kubectl get services -A"
        yield Step("service", here, "stops", f"no service has the address {to.address}", remedy)
        return
    if found.part.startswith("/"):
        yield Step("service", here, "passes", f"{where} is a host port of pod {found.part[1:]}")
        return
    namespace, _, name = found.part.partition("/")
    key, who = (namespace, name), f"service {found.part}"
    ports = world.services[key].view.spec.ports
    if found.rule == "guard":
        text = (
            f"{who} takes nothing from {packet.source}: loadBalancerSourceRanges leave it out (the packet is dropped)"
        )
        yield Step("service", here, "stops", text, f"add the address to loadBalancerSourceRanges of {who}")
    elif found.rule == "unknown port":
        has = ", ".join(f"{each.port}/{each.protocol.lower()}" for each in ports) or "none"
        text = f"{who} has no port {to.port}, and refuses; it has {has}"
        yield Step("service", here, "stops", text, "use one of its ports, or add this one to the service")
    else:
        port = _port(ports, found, to)
        chosen = tuple(each.target for each in found.arrivals)
        own = bool(found.pool) and port is not None and not any(_in_slices(world, key, each) for each in chosen)
        if found.rule == "refused" and port is not None:
            yield from _refused(world, here, key, port, found)
        elif port is not None:
            kind = f"port {to.port.number} of the node" if found.rule == "node port" else where
            through = f"{who}, {kind}" + (f" ({port.name})" if port.name else "")
            yield Step("service", here, "passes", f"{through}: {_among(len(chosen))}")
            if not own:
                yield from _endpoints(world, here, key, port, found)


def _among(count: int) -> str:
    return "one endpoint" if count == 1 else f"one of {count} endpoints, at random"


def _port(ports: tuple[ServicePort, ...], found: Trace, to: Destination) -> ServicePort | None:
    for each in ports:
        numbers = (each.port, each.node_port)
        if to.port.number in numbers and each.protocol.lower() == to.port.protocol:
            return each
    return None


def _in_slices(world: World, key: tuple[str, str], target: Target) -> bool:
    return any(
        endpoint.addresses[:1] == (target.address,) for part in world.slices.get(key, ()) for endpoint in part.endpoints
    )


def _endpoints(world: World, here: str, key: tuple[str, str], port: ServicePort, found: Trace) -> Iterator[Step]:
    chosen = tuple(each.target for each in found.arrivals)
    every = standing.standings(world, key, port, chosen, here)
    for each in every[:SHOWN]:
        text = f"{each.who}, {joined(*each.target)}"
        if each.why:
            yield Step("endpoint", each.node, "unused", f"{text}: {each.why}")
        else:
            yield Step("endpoint", each.node, "passes", text)
    if len(every) > SHOWN:
        more = every[SHOWN:]
        unused = sum(1 for each in more if each.why)
        yield Step("endpoint", "", "passes", f"and {len(more)} more, {unused} of them not to choose from")


def _refused(world: World, here: str, key: tuple[str, str], port: ServicePort, found: Trace) -> Iterator[Step]:
    how = "refuses at once" if found.fate == "reject" else "drops it, so that the connection times out"
    every = standing.standings(world, key, port, (), here)
    if not every:
        why, remedy = standing.nobody(world, key, port)
        yield Step("service", here, "stops", f"{why}: the node {how}", remedy)
        return
    for each in every[:SHOWN]:
        yield Step("endpoint", each.node, "unused", f"{each.who}, {joined(*each.target)}: {each.why}")
    text = f"service {'/'.join(key)} has no endpoint that may be used: the node {how}"
    remedy = f"see why: {every[0].who} is left out because {every[0].why}"
    if found.fate == "drop":
        remedy = f"run a pod of the service on {here}, or set the traffic policy to Cluster"
    yield Step("service", here, "stops", text, remedy)
