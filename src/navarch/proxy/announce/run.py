"""The announcer of one node: follows Services and nodes, and gives each link the addresses that it answers for.

Nodes are followed only once some Service has an address of a load balancer: a cluster without any pays nothing. A node
whose addresses would come to this one is asked on the link whether it is there; when it falls silent, its addresses
come at once, and go back when it is heard again. What the API says of it is not waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from navarch.base.backoff import delay_s
from navarch.base.clock import Clock
from navarch.base.errors import Retryable
from navarch.base.log import Log
from navarch.client.informer import Informer, Informers
from navarch.kinds import ENDPOINTSLICE, NODE, SERVICE
from navarch.kinds.object import Object
from navarch.proxy.announce import links, plan
from navarch.proxy.announce.lookout import Lookout
from navarch.proxy.announce.responder import Responder
from navarch.proxy.run import service_of

FIRST_DELAY_S, LONGEST_DELAY_S = 0.5, 30.0
AGAIN_S = (0.0, 1.0, 2.0)
"""When a new address is told to everybody: more than once, for what is told to all may be lost."""

LOOK_S = 1.0
"""Between two questions whether another node is there."""
NOBODY: frozenset[str] = frozenset()

_log = Log("proxy")


class Announcer:
    """`informers` must be running for `run` to come to anything; whoever made them runs them."""

    def __init__(
        self, informers: Informers, node_name: str, clock: Clock, told: Callable[[frozenset[str]], None] | None = None
    ) -> None:
        """told: of all addresses that some node answers for, whenever they change."""
        self._informers = informers
        self._services = informers.of(SERVICE)
        self._slices = informers.of(ENDPOINTSLICE)
        self._nodes: Informer | None = None
        self._node_name = node_name
        self._clock = clock
        self._told = told
        self._responders: dict[plan.Link, Responder] = {}
        self._wanted: frozenset[str] | None = frozenset()
        self._watched: Mapping[str, frozenset[str]] = {}
        self._lookouts: dict[plan.Link, Lookout] = {}
        self._looking = asyncio.Event()
        self._silent = NOBODY
        self._returned = NOBODY
        """Nodes whose addresses are to be given back, and the link to be told."""
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled; nothing is answered for any more then."""
        self._slices.index("service", service_of)
        self._services.subscribe(self._service_changed)
        self._slices.subscribe(self._slice_changed)
        for informer in (self._services, self._slices):
            await informer.synced.wait()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._look())
                await self._follow(group)
        finally:
            self._close()

    async def _follow(self, group: asyncio.TaskGroup) -> None:
        failures = 0
        while True:
            await self._wake.wait()
            self._wake.clear()
            new: dict[Responder, frozenset[str]] = {}
            try:
                await self._apply(new)
                failures = 0
            except (Retryable, OSError) as error:
                _log.warning("not all addresses of load balancers are announced, will be tried again", error=error)
                group.create_task(self._later(delay_s(failures, FIRST_DELAY_S, LONGEST_DELAY_S)))
                failures += 1
            if new:
                group.create_task(self._tell(new))

    async def _later(self, pause_s: float) -> None:
        await self._clock.sleep(pause_s)
        self._wake.set()

    async def _apply(self, new: dict[Responder, frozenset[str]]) -> None:
        """new: what this adds, by who answers for it. Raises: Retryable, OSError; then some may be answered for."""
        shared = await self._shared()
        if self._told is not None:
            self._told(frozenset(shared))
        watched = plan.watched(self._node_name, shared)
        self._silent = self._silent.intersection(watched)
        wanted = plan.announced(self._node_name, shared, self._silent)
        if wanted == self._wanted and watched == self._watched:
            return
        self._wanted = None  # until it is done
        present = await links.read() if wanted or watched else []
        found = plan.by_link(wanted, present)
        for link in [link for link in self._responders if link not in found]:
            self._responders.pop(link).close()
        for link, addresses in found.items():
            responder = self._responders.get(link)
            if responder is None:
                responder = self._responders[link] = Responder(link, self._again)
            if fresh := responder.answer_for(addresses):
                new[responder] = fresh
                _log.info("announcing", link=link.name, addresses=", ".join(sorted(fresh)))
        self._watch(watched, present)
        if lacking := wanted.difference(*found.values()):
            raise Retryable(f"no link is up for {', '.join(sorted(lacking))}")
        self._wanted = wanted

    async def _shared(self) -> Mapping[str, frozenset[str]]:
        services = [each.view for each in self._services.list() if plan.addresses(each.view)]
        if not services:
            return {}
        if self._nodes is None:
            self._nodes = self._informers.of(NODE)
            self._nodes.subscribe(self._node_changed)
        await self._nodes.synced.wait()
        nodes = [each.view for each in self._nodes.list()]
        with_slices = []
        for service in services:
            name = f"{service.metadata.namespace}/{service.metadata.name}"
            with_slices.append((service, [each.view for each in self._slices.by("service", name)]))
        return plan.shares(with_slices, plan.candidates(nodes), plan.own_addresses(nodes))

    def _watch(self, watched: Mapping[str, frozenset[str]], present: Sequence[plan.Link]) -> None:
        """Who is asked for, and where. Raises: OSError."""
        targets: dict[plan.Link, dict[str, str]] = {}
        for name, addresses in watched.items():
            node = None if self._nodes is None else self._nodes.get("", name)
            for link in plan.by_link(addresses, present) if node is not None else ():
                if at := plan.asked_at(node.view, link):  # type: ignore[union-attr]
                    targets.setdefault(link, {})[at] = name
        for name in self._returned:
            for link, addresses in plan.by_link(self._watched.get(name, NOBODY), present).items():
                if link in self._lookouts:
                    self._lookouts[link].tell(name, addresses)
        for link in [link for link in self._lookouts if link not in targets]:
            self._lookouts.pop(link).close()
        for link, asked in targets.items():
            if link not in self._lookouts:
                self._lookouts[link] = Lookout(link)
            self._lookouts[link].watch(asked)
        self._watched, self._returned = watched, NOBODY
        (self._looking.set if targets else self._looking.clear)()

    async def _look(self) -> None:
        while True:
            await self._looking.wait()
            await self._clock.sleep(LOOK_S)
            silent, heard = NOBODY, NOBODY
            for link, lookout in list(self._lookouts.items()):
                try:
                    more_silent, more_heard = lookout.look()
                    silent, heard = silent | more_silent, heard | more_heard
                except OSError as error:
                    _log.warning("nobody can be asked for on a link", link=link.name, error=error)
                    self._again()
            silent |= self._silent - heard  # of whom nothing is known it stays as it was
            if silent == self._silent:
                continue
            for name in silent - self._silent:
                _log.warning("a node is silent on the link, its addresses are taken over", node=name)
            for name in self._silent - silent:
                _log.info("a node is heard again, its addresses are given back", node=name)
            self._returned |= self._silent - silent
            self._silent = silent
            self._wake.set()

    async def _tell(self, new: dict[Responder, frozenset[str]]) -> None:
        for pause_s in AGAIN_S:
            await self._clock.sleep(pause_s)
            for responder, addresses in new.items():
                if self._responders.get(responder.link) is not responder:
                    continue
                try:
                    responder.announce(addresses)
                except OSError as error:
                    _log.warning("a link could not be told", link=responder.link.name, error=error)
                    self._again()

    def _again(self) -> None:
        """Everything anew: links may have come, gone or changed."""
        self._close()
        self._wake.set()

    def _close(self) -> None:
        responders, self._responders = self._responders, {}
        lookouts, self._lookouts = self._lookouts, {}
        for responder in responders.values():
            responder.close()
        for lookout in lookouts.values():
            lookout.close()
        self._wanted = None

    def _service_changed(self, old: Object | None, new: Object | None) -> None:
        if any(found is not None and found.view.spec.type == "LoadBalancer" for found in (old, new)):
            self._wake.set()

    def _slice_changed(self, old: Object | None, new: Object | None) -> None:
        for found in (old, new):
            for name in service_of(found) if found else ():
                service = self._services.get(*name.split("/"))
                if service is not None and service.view.spec.external_traffic_policy == "Local":
                    self._wake.set()

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        before, after = ([each.view] if each else [] for each in (old, new))
        if plan.candidates(before) != plan.candidates(after) or plan.own_addresses(before) != plan.own_addresses(after):
            self._wake.set()
