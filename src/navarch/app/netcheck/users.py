"""Probes to what people run: the endpoints of their services, and the paths that somebody asked for. Pure.

To an endpoint a connection is opened and closed by the node that it is on, which every policy lets in: what is found
is whether anybody is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from navarch.app.netcheck.plan import KUBERNETES, WITHIN_S, Ways, of_family
from navarch.app.netcheck.probes import Clue, Hop, Leg, Probe
from navarch.app.nettrace import destinations, ends
from navarch.app.nettrace.explain import explain
from navarch.app.nettrace.families import family_asked
from navarch.app.nettrace.question import Question
from navarch.app.nettrace.steps import BadQuestion, Explanation
from navarch.app.nettrace.world import World
from navarch.kinds.endpointslice import Endpoint
from navarch.proxy.addresses import joined

ENDPOINTS_MOST = 300
ASKED = "path that was asked for"

Asked = Mapping[str, Question]
"""By what was said on the command line."""


def endpoints(world: World, nodes: Sequence[str], *, without: str) -> tuple[list[Probe], list[str]]:
    """Of all services but those of the namespace `without`. Returns too what is left out."""
    found = {(probe.node, str(probe.ask)): probe for probe in _endpoints(world, nodes, without)}
    made = list(found.values())
    left = len(made) - ENDPOINTS_MOST
    return made[:ENDPOINTS_MOST], [f"{left} more endpoints of services were not tried"] if left > 0 else []


def _endpoints(world: World, nodes: Sequence[str], without: str) -> Iterator[Probe]:
    ways = Ways(world)
    for (namespace, service), slices in sorted(world.slices.items()):
        if namespace == without or (namespace, service) == KUBERNETES:
            continue
        for part in slices:
            for endpoint in part.endpoints:
                for port in part.ports:
                    if port.port and port.protocol == "TCP" and endpoint.ready and endpoint.addresses:
                        yield from _endpoint(world, ways, nodes, f"{namespace}/{service}", endpoint, port.port)


def _endpoint(
    world: World, ways: Ways, nodes: Sequence[str], service: str, endpoint: Endpoint, port: int
) -> Iterator[Probe]:
    address = world.family.proper(endpoint.addresses[0])
    node = world.node_at(address) if address else ""
    if node not in nodes:
        return  # of somebody outside, who is not ours to ask
    pod = world.pod_at(address)
    if pod is not None and not pod.view.ready:
        return  # its service wants it all the same
    name = f"pod {pod.namespace}/{pod.name}" if pod else f"node {node}" if address == ways.address(node) else "nobody"
    way = reversed(ways.leave(node, f"{pod.namespace}/{pod.name}")) if pod else ()
    hops = (*way, Hop("endpoint", node, f"{service} {joined(address, port)}"))
    ask = {"kind": "tcp", "address": address, "port": port, "within_s": WITHIN_S, "reads": False}
    legs = (Leg(node, "output", ways.gateway(node), address, "tcp", port),)
    to = f"{name} at {joined(address, port)}, of service {service}"
    yield of_family(Probe("endpoint of a service", node, "", to, ask, hops, legs), world.family)


def asked(world: World, wanted: Asked, nodes: Sequence[str]) -> tuple[list[Probe], list[str]]:
    """By TCP alone: nobody need answer a datagram. Returns too what could not be tried. Raises: BadQuestion."""
    made: list[Probe] = []
    notes: list[str] = []
    for said, question in wanted.items():
        world = world.of(family_asked(world.of(world.families[0]), question))
        sender = ends.sender(world, question.source)
        if sender.missing or sender.node not in nodes:
            notes.append(f"{said}: {sender.missing or 'it is sent from no node that is checked'}")
            continue
        found = destinations.find(world, question, sender)
        pod = "" if sender.local or sender.pod is None else "/".join((question.source.namespace, question.source.name))
        there = [to for to in found.destinations if to.port.protocol == "tcp"]
        if not there:
            stop = next((step.text for step in found.steps if step.outcome != "passes"), "it is not TCP")
            notes.append(f"{said}: not tried, as {stop}")
        for to in there:
            ask = {"kind": "tcp", "address": to.address, "port": to.port.number, "within_s": WITHIN_S, "reads": False}
            hops = (*_before(sender.node, pod), Hop("asked", sender.node, said))
            leg = Leg(sender.node, "prerouting", sender.address, to.address, "tcp", to.port.number)
            named = f"{joined(to.address, to.port.number)} ({said})"
            made.append(of_family(Probe(ASKED, sender.node, pod, named, ask, hops, (leg,)), world.family))
    return made, notes


def _before(node: str, pod: str) -> tuple[Hop, ...]:
    return (Hop("pod link", node, pod),) if pod else ()


def why(world: World, question: Question) -> tuple[Clue, bool]:
    """What the rules say of a path that fails."""
    try:
        found = explain(world, question)
    except BadQuestion as error:
        found = Explanation((), "unknown", str(error))
    stop = next((step for step in found.steps if step.outcome == "stops"), None)
    if stop is not None:
        return Clue(stop.node, f"by the rules it stops at its {stop.hop}: {stop.text}", stop.remedy), True
    text = "by the rules it arrives, so what it is sent to does not take it, or something else bars it"
    return Clue("", text, "see that the program listens, and what `navarch net trace` says of the way"), False
