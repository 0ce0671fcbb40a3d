"""The loop that keeps a node's paths: Nodes and the kernel are watched, and what differs is mended.

It follows Nodes and the cluster's setting of how they are joined, and writes nothing to the API. Ending it leaves the
paths as they are.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from ipaddress import ip_address

from navarch.base.backoff import delay_s
from navarch.base.clock import Clock
from navarch.base.errors import Retryable
from navarch.base.log import Log
from navarch.client.informer import Informers
from navarch.kinds import CONFIGMAP, NODE
from navarch.kinds.object import Object
from navarch.net.kernel import Kernel
from navarch.net.paths import MODES, Home, Mode, Peer
from navarch.net.plan import home_link, plan
from navarch.objects.value import dig

INTERVAL_S = 0.1
"""The least time between two looks; the first after a pause is taken at once."""
FIRST_DELAY_S, LONGEST_DELAY_S = 0.2, 3.0
CONFIG_NAMESPACE, CONFIG, MODE = "kube-system", "navarch-config", "podNetwork"
"""Where the cluster says how its nodes are joined."""

log = Log("net")


class NodePaths:
    """`informers` must be running for `run` to come to anything; whoever made them runs them."""

    def __init__(self, informers: Informers, kernel: Kernel, home: Home, clock: Clock) -> None:
        self._nodes = informers.of(NODE)
        self._config = informers.of(CONFIGMAP, CONFIG_NAMESPACE, f"metadata.name={CONFIG}")
        self._kernel = kernel
        self._home = home
        self._clock = clock
        self._wake = asyncio.Event()
        self.settled = asyncio.Event()
        """Set once the kernel has the paths to all nodes that there were at the start."""

    async def run(self) -> None:
        """Until cancelled. Raises: Retryable, when the node was given other addresses than those it works with."""
        self._nodes.subscribe(self._node_changed)
        self._config.subscribe(lambda old, new: self._wake.set())
        await self._nodes.synced.wait()
        await self._config.synced.wait()
        self._wake.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._mind())
            await self._follow()

    async def _follow(self) -> None:
        failures = 0
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._check_home()
            try:
                await self._turn()
            except Retryable as error:
                log.warning("the paths to other nodes could not be set, will be tried again", error=error)
                self._wake.set()
                await self._clock.sleep(delay_s(failures, FIRST_DELAY_S, LONGEST_DELAY_S))
                failures += 1
                continue
            failures = 0
            self.settled.set()
            await self._clock.sleep(INTERVAL_S)

    async def _turn(self) -> None:
        """Every step is tried: one peer's trouble is not another's. Raises: Retryable, the first that failed."""
        failed: Retryable | None = None
        seen, peers = await self._kernel.observe(), self.peers()
        if peers and home_link(self._home, seen.links) is None:
            failed = Retryable(f"no interface that is up has this node's address {self._home.address}")
        for step in plan(self._home, peers, seen, self.mode()):
            try:
                await self._kernel.apply(step)
                log.info("path changed", act=step[0], what=step[1])
            except Retryable as error:
                failed = failed or error
        if failed is not None:
            raise failed

    async def _mind(self) -> None:
        while True:
            await self._kernel.disturbed()
            self._wake.set()
            await self._clock.sleep(INTERVAL_S)

    def peers(self) -> list[Peer]:
        found = (peer_of(node) for node in self._nodes.list() if node.name != self._home.name)
        return [peer for peer in found if peer is not None]

    def mode(self) -> Mode:
        """As the cluster says; what it says wrongly is as if it said nothing."""
        config = self._config.get(CONFIG_NAMESPACE, CONFIG)
        said = dig(config.document(), "data", MODE, default="") if config is not None else ""
        return next((mode for mode in MODES if mode == said), "auto")

    def _check_home(self) -> None:
        own = self._nodes.get("", self._home.name)
        given = ",".join(_networks(own)) if own is not None else ""
        if given and given != self._home.network:
            raise Retryable(f"the node has been given {given} for its pods, not {self._home.network}: starting anew")

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if old is None or new is None or peer_of(old) != peer_of(new):
            self._wake.set()


def peer_of(node: Object) -> Peer | None:
    """None for one that has not said where it is, or has no addresses for pods."""
    first: dict[int, str] = {}
    for one in node.view.status.addresses:
        with suppress(ValueError):
            if one.type == "InternalIP":
                address = ip_address(one.address)
                first.setdefault(address.version, str(address))
    networks = _networks(node)
    return Peer(node.name, ",".join(first.values()), networks) if first and networks else None


def _networks(node: Object) -> tuple[str, ...]:
    spec = node.view.spec
    return tuple(spec.pod_cidrs) or ((spec.pod_cidr,) if spec.pod_cidr else ())
