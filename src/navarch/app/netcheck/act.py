"""A check of the network, carried out: set up, send, ask the nodes what they have where something failed, take down.

Probes that fail are sent again before they count: what was set up a moment ago may not have reached every node yet, and
what people run comes and goes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from navarch.app.netcheck import users
from navarch.app.netcheck.ask import Nodes
from navarch.app.netcheck.clues import Clues
from navarch.app.netcheck.judge import judge, without_doubts
from navarch.app.netcheck.kernel import Kernel
from navarch.app.netcheck.plan import OPEN_PORT, Cast, plan
from navarch.app.netcheck.probes import Finding, Hop, Probe, Report, Result, result_of, well
from navarch.app.netcheck.staging import Staging
from navarch.app.nettrace.question import Question
from navarch.app.nettrace.world import World, read
from navarch.base.clock import Clock, Ids
from navarch.base.errors import ApiError, Retryable
from navarch.client.client import Client
from navarch.proxy.addresses import IPV4, Family

ROUNDS, PAUSE_S = 6, 0.7
NODES_MOST = 60

Say = Callable[[str], None]
Casts = Mapping[Family, Cast]


@dataclass(frozen=True, slots=True)
class Wish:
    """nodes: () for all. outside: `ADDRESS:PORT` or names that pods shall reach. asked: paths besides, by what was
    said."""

    nodes: Sequence[str] = ()
    outside: Sequence[str] = ()
    asked: Mapping[str, Question] = field(default_factory=dict)


class CannotCheck(Exception):
    """There is nothing that could be checked, and why."""


async def check(client: Client, clock: Clock, ids: Ids, wish: Wish, say: Say) -> Report:
    """Leaves nothing behind, however it ends. Raises: ApiError, Retryable, CannotCheck, BadQuestion."""
    began = clock.monotonic()
    say("looking at the nodes")
    world = await read(client)
    users.asked(world, wish.asked, ())  # what is not there is said before anything is set up
    nodes, found = _nodes(world, wish.nodes)
    ask = Nodes(client, f"check-{ids.suffix()}")
    answering, silent = await ask.answering(nodes)
    found += silent
    if not answering:
        reasons = "; ".join(each.text for each in found) or "it has none that is Ready"
        raise CannotCheck(f"no node of this cluster can send probes: {reasons}")
    async with Staging(client, clock, ids, ask, answering, world.families, say) as set_up:
        found += set_up.findings
        world = await read(client)
        sending = _Sending(client, clock, ask, wish, set_up.casts, say)
        results, notes, world = await sending.rounds(world)
        results, faults, doubts = without_doubts(results, await _judged(ask, world, set_up.casts, wish, results))
        found, notes = [*found, *faults], [*notes, *doubts]
    return Report(results, found, notes, clock.monotonic() - began, answering)


def _nodes(world: World, wanted: Sequence[str]) -> tuple[list[str], list[Finding]]:
    """Those that can be checked, and what is to be said of the others."""
    if missing := [name for name in wanted if name not in world.nodes]:
        raise CannotCheck(f"there is no node {', '.join(missing)}; there are {', '.join(world.nodes)}")
    names = list(wanted or world.nodes)
    if len(names) > NODES_MOST:
        raise CannotCheck(f"{len(names)} nodes are more than {NODES_MOST} at once: say which, with --node")
    found = []
    for name in [each for each in names if each not in world.known_nodes or not world.nodes[each].view.ready]:
        names.remove(name)
        hop, remedy = Hop("node link", name), f"kubectl describe node {name}; see its agent's log"
        what = "has no address or range for pods" if world.nodes[name].view.ready else "is not Ready"
        text = f"node {name} {what}: its paths were not tried"
        found.append(Finding((hop,), name, text, remedy, (f"node {name}: not tried",)))
    return names, found


@dataclass(frozen=True, slots=True)
class _Sending:
    client: Client
    clock: Clock
    ask: Nodes
    wish: Wish
    casts: Casts
    say: Say

    async def rounds(self, world: World) -> tuple[list[tuple[Probe, Result]], list[str], World]:
        probes, notes = self._probes(world)
        results = {probe.key: (probe, Result("not sent")) for probe in probes}
        left = probes
        for number in range(ROUNDS):
            self.say(f"{len(left)} probes" + (", which failed, again" if number else ""))
            for probe, result in await self._send(left):
                results[probe.key] = (probe, result)
            before, left = len(left), [probe for probe in left if not well(*results[probe.key])]
            # Once as many fail as before, more rounds would not help.
            if not left or (number and len(left) == before):
                break
            await self.clock.sleep(PAUSE_S)
            # What failed because it went away meanwhile is no failure.
            world = await read(self.client)
            now = {probe.key: probe for probe in self._probes(world)[0]}
            for probe in [each for each in left if each.key not in now]:
                del results[probe.key]
            left = [now[probe.key] for probe in left if probe.key in now]
        return list(results.values()), notes, world

    def _probes(self, world: World) -> tuple[list[Probe], list[str]]:
        nodes = sorted({node for cast in self.casts.values() for node in cast.first})
        probes, notes = users.asked(world, self.wish.asked, nodes)
        for family, cast in self.casts.items():
            there = world.of(family)
            theirs, left = users.endpoints(there, nodes, without=cast.namespace)
            outside = [each for each in self.wish.outside if family is (IPV4 if ":" in each else world.family)]
            probes += [*plan(there, cast, outside=outside), *theirs]
            notes += left
        return probes, notes

    async def _send(self, probes: Sequence[Probe]) -> list[tuple[Probe, Result]]:
        groups: dict[tuple[str, str], list[Probe]] = {}
        for probe in probes:
            groups.setdefault((probe.node, probe.pod), []).append(probe)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._from(*place, some)) for place, some in groups.items()]
        return [each for task in tasks for each in task.result()]

    async def _from(self, node: str, pod: str, probes: Sequence[Probe]) -> list[tuple[Probe, Result]]:
        try:
            answers = await self.ask.send(node, pod, [probe.ask for probe in probes])
        except (ApiError, Retryable) as error:
            return [(probe, Result(f"not sent: {error}")) for probe in probes]
        return [(probe, result_of(answer)) for probe, answer in zip(probes, answers, strict=True)]


async def _judged(
    ask: Nodes, world: World, casts: Casts, wish: Wish, results: Sequence[tuple[Probe, Result]]
) -> list[Finding]:
    failed = [probe for probe, result in results if not well(probe, result)]
    if not failed:
        return []
    kernels = await _kernels(ask, casts, failed)
    clues = {
        "" if family is IPV4 else family.name: Clues(world.of(family), cast, kernels, wish.asked)
        for family, cast in casts.items()
    }
    return judge(results, lambda hop, failures: clues[hop.family].reason(hop, failures))


async def _kernels(ask: Nodes, casts: Casts, failed: Sequence[Probe]) -> dict[str, Kernel]:
    """What every node has of what the failed probes crossed."""
    gates = [gate for cast in casts.values() for gate in cast.gates.values()]
    fronts = [[gate.address, kind, OPEN_PORT] for gate in gates for kind in ("tcp", "udp")]
    nodes = {node for cast in casts.values() for node in cast.first}
    async with asyncio.TaskGroup() as group:
        tasks = {
            node: group.create_task(ask.state(node, _pods(failed, node), fronts, _away(casts, node))) for node in nodes
        }
    return {node: Kernel(task.result()) for node, task in tasks.items()}


def _pods(failed: Iterable[Probe], node: str) -> list[str]:
    return sorted({hop.what for probe in failed for hop in probe.hops if hop.kind == "pod link" and hop.node == node})


def _away(casts: Casts, node: str) -> list[str]:
    """The first pods of other nodes."""
    actors = [actor for cast in casts.values() for actor in cast.first.values()]
    return [actor.address for actor in actors if actor.node != node]
