"""A packet's way as a list of hops, and what is to be done where it ends too early. Pure.

Where packets go is `proxy.trace`'s answer, on rules that are compiled as the nodes compile them; the paths between
nodes are `net.plan`'s, names `dns.zone`'s. Here they are joined and put into words.
"""

from __future__ import annotations

from collections.abc import Sequence

from navarch.app.nettrace import destinations, ends, families, service_hops, ways
from navarch.app.nettrace.destinations import Destination
from navarch.app.nettrace.ends import Sender
from navarch.app.nettrace.question import Question
from navarch.app.nettrace.steps import Explanation, Step, listed, sentence
from navarch.app.nettrace.ways import Way
from navarch.app.nettrace.world import World
from navarch.kinds.node import Node
from navarch.proxy.trace import Packet, across, own_address, trace


def explain(world: World, question: Question) -> Explanation:
    """Raises: BadQuestion."""
    world = world.of(families.family_asked(world, question))
    sender = ends.sender(world, question.source)
    if sender.missing:
        remedy = f"see what it waits for: kubectl describe pod {question.source.name} -n {question.source.namespace}"
        return _conclude([Step("sender", sender.node, "stops", sender.missing, remedy)], ())
    steps = [_sender_step(world, sender)]
    found = destinations.find(world, question, sender)
    steps += found.steps
    walked: list[Way] = []
    for to in found.destinations:
        more, onward = _follow(world, sender, to)
        steps += more
        walked += onward
    steps += ways.told(walked, sender.node or next((to.entry for to in found.destinations), ""))
    return _conclude(steps, walked)


def _sender_step(world: World, sender: Sender) -> Step:
    text = sender.who if sender.node == "" else f"{sender.who}, {sender.address}"
    found = world.nodes.get(sender.node)
    if found is not None and not found.view.ready:
        return Step("sender", sender.node, "unsure", f"{text}; its node is not Ready: {_unwell(found.view)}")
    return Step("sender", sender.node, "passes", text)


def _follow(world: World, sender: Sender, to: Destination) -> tuple[list[Step], list[Way]]:
    """What the rules of the first node say, and the ways that they leave."""
    node = sender.node or to.entry
    if not sender.node and (refused := service_hops.unreachable_from_outside(world, to)):
        return [], [Way(world.who(to.address), "", (refused,))]
    packet = Packet(sender.address, to.address, to.port.protocol, to.port.number, sender.local)
    steps, node, packet = _to_the_door(world, node, packet)
    first = trace(world.rules(node), packet)
    others = {world.node_at(each.target.address) for each in first.arrivals} - {"", node}
    found = across([world.rules(name) for name in (node, *sorted(others))], node, packet)
    steps += service_hops.told(world, node, packet, found, to)
    if any(step.outcome == "stops" for step in steps):
        return steps, []
    if not sender.node and not found.rule and not world.node_at(to.address):
        away = Step("route", "", "stops", f"{to.address} is no address of the cluster's", "say an address that it has")
        return steps, [Way(to.address, "", (away,))]
    return steps, [ways.walk(world, node, packet, each) for each in found.arrivals]


def _to_the_door(world: World, node: str, packet: Packet) -> tuple[list[Step], str, Packet]:
    """The node by whose rules the packet is led, itself as that node sees it, and its way to there: what nobody but
    another node has a rule for, as a node port of that node, is led on only when it is there."""
    first = trace(world.rules(node), packet)
    there = world.node_at(packet.address)
    if first.rule or first.fate != "arrives" or there in ("", node):
        return [], node, packet
    (arrival,) = first.arrivals
    source = own_address(world.known_nodes[node]) if arrival.hidden else packet.source
    seen = Packet(source, packet.address, packet.protocol, packet.port)
    if packet.address not in world.known_nodes[there].addresses or not trace(world.rules(there), seen).rule:
        return [], node, packet
    return list(ways.walk(world, node, packet, arrival).steps[:-1]), there, seen


def _conclude(steps: Sequence[Step], walked: Sequence[Way]) -> Explanation:
    reached = list(dict.fromkeys(each.who for each in walked if not each.stops))
    missed = list(dict.fromkeys(each.who for each in walked if each.stops))
    stop = next((step for step in steps if step.outcome == "stops"), None)
    unsure = next((step for step in steps if step.outcome == "unsure"), None)
    if stop and reached:
        verdict = f"It arrives at {listed(reached)}, and not at {listed(missed)}, as connections are dealt out"
        return Explanation(steps, "partly", f"{verdict}: {stop.text}.", sentence(stop.remedy))
    if stop:
        return Explanation(steps, "stopped", f"It does not arrive: {stop.text}.", sentence(stop.remedy))
    if unsure:
        return Explanation(steps, "unknown", f"It cannot be said: {unsure.text}.", sentence(unsure.remedy))
    if not reached:
        return Explanation(steps, "unknown", "It cannot be said: it has no address to go to.")
    if len(reached) == 1:
        beyond = not walked[0].there
        return Explanation(steps, "arrives", f"It {'leaves the cluster for' if beyond else 'arrives at'} {reached[0]}.")
    return Explanation(steps, "arrives", f"It arrives at one of {len(reached)}: {listed(reached)}.")


def _unwell(node: Node) -> str:
    condition = node.status.condition("Ready")
    return (condition.message or condition.reason) if condition else "it has not said how it is"
