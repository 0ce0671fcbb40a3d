"""Which UDP flows a change of rules concerns, and where each may go on. Pure; `conntrack` ends the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from navarch.proxy.conntrack import Flows
from navarch.proxy.joining import differing
from navarch.proxy.rules import Part, Rules, Target

Receiver = tuple[str, int]


def changed_udp(old: Rules | None, new: Rules) -> Flows:
    """Fronts of parts that changed, with all the targets they have now: none for those that are gone or refused.

    old: None where it is not known what the rules were.
    """
    before: Mapping[str, Part] = old.parts if old else {}
    flows: dict[Receiver, tuple[Target, ...]] = {}
    names = differing(before, new.parts)
    for name in names:
        was, now = before.get(name), new.parts.get(name)
        if was is not now:
            gone = dict.fromkeys(receiver for receiver, _ in _flows(was, old or new)) if was else {}
            flows.update(dict.fromkeys(gone, ()))
    for name in names:
        now = new.parts.get(name)
        if now is not None and now is not before.get(name):
            flows.update(_flows(now, new))
    return flows


def _flows(part: Part, rules: Rules) -> Iterator[tuple[Receiver, tuple[Target, ...]]]:
    ways = {pool.name: pool.targets for pool in part.pools}
    for door in part.doors:
        ways[door.name] = (*ways.get(door.pool, ()), *ways.get(door.near, ()))
    for front in part.refused:
        if front.protocol == "udp":
            yield (front.address, front.port), ()
    for address in rules.node.addresses:
        yield from (((address, gate.port), ()) for gate in part.refused_node_ports if gate.protocol == "udp")
        for gates in (part.node_ports, part.host_ports):
            yield from (((address, gate.port), ways[way]) for gate, way in gates.items() if gate.protocol == "udp")
    for front, way in (*part.fronts.items(), *part.host_fronts.items()):
        if front.protocol == "udp":
            yield (front.address, front.port), ways[way]
