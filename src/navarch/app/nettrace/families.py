"""Which address family a packet is of: as it is asked for, else as the one who is spoken to has it. Pure.

Programs that may use both try one after the other; a trace is of one packet, and so of one family.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from navarch.app.nettrace import ends, naming
from navarch.app.nettrace.question import SOMEBODY, Question
from navarch.app.nettrace.steps import BadQuestion
from navarch.app.nettrace.world import World
from navarch.proxy.addresses import FAMILIES, Family, family_of


def family_asked(world: World, question: Question) -> Family:
    """Raises: BadQuestion."""
    said = dict.fromkeys(_said(question))
    if len(said) > 1:
        raise BadQuestion(
            f"no packet goes from {question.source.name} to {question.target.name}: one is of each family"
        )
    for family in said:
        if family not in world.families:
            raise BadQuestion(f"no pod of this cluster has an address of {family.name}")
        return family
    has = [each for each in _had(world, question) if each in world.families]
    return world.family if world.family in has or not has else has[0]


def _said(question: Question) -> Iterator[Family]:
    yield from (each for each in FAMILIES if each.name.lower() == question.family)
    if question.source.kind == "world" and question.source.name != SOMEBODY:
        yield family_of(question.source.name)
    if question.target.kind == "address":
        yield family_of(question.target.name)


def _had(world: World, question: Question) -> Iterable[Family]:
    """Those of the target's addresses, in its order."""
    target = question.target
    match target.kind:
        case "service":
            spec = ends.find_service(world, target).spec
            if spec.cluster_ips and spec.cluster_ip != "None":
                return list(map(family_of, spec.cluster_ips))[:1]
            slices = world.slices.get((target.namespace, target.name), ())
            return [each for part in slices if part.endpoints for each in FAMILIES if each.name == part.address_type]
        case "pod":
            return [each for each in FAMILIES if each.those(ends.addresses_of(ends.find_pod(world, target)))]
        case "name":
            return list(_answered(world, question))
        case _:
            return ()


def _answered(world: World, question: Question) -> Iterator[Family]:
    if question.source.kind != "pod":
        return
    pod = ends.find_pod(world, question.source)
    for family in world.families:
        there = world.of(family)
        resolver = naming.resolver_of(pod, world.domain, naming.cluster_dns(world))
        if naming.resolve(there, resolver, question.target.name).addresses:
            yield family
