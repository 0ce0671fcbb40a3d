"""A kernel that only remembers its paths, with links that a test may move; and what a packet would do in it."""

from __future__ import annotations

import asyncio
import ipaddress

from navarch.base.errors import Retryable
from navarch.net.paths import Forward, Link, Neighbour, Paths, Route, Seen, Step, Tunnel


class FakeKernel:
    """refuse: how many steps fail before one succeeds again."""

    def __init__(self, *links: Link) -> None:
        self.links = links
        self.paths = Paths()
        self.refuse = 0
        self.done: list[Step] = []
        self._changed = asyncio.Event()

    def move(self, *links: Link) -> None:
        """Other addresses; routes over a device that has none any more are gone with it."""
        devices = {link.device for link in links} | ({self.paths.tunnel.name} if self.paths.tunnel else set())
        self.links = links
        self._set(routes=frozenset(route for route in self.paths.routes if route.device in devices))

    def lose(self) -> None:
        """Somebody takes everything away."""
        self.paths = Paths()
        self._changed.set()

    async def observe(self) -> Seen:
        return Seen(self.links, self.paths)

    async def apply(self, step: Step) -> None:
        if self.refuse:
            self.refuse -= 1
            raise Retryable("the kernel refuses")
        self.done.append(step)
        act, what = step
        if isinstance(what, Tunnel):
            self._tunnel(what if act == "add" else None)
        elif isinstance(what, Route):
            self._route(act == "add", what)
        elif isinstance(what, Neighbour):
            kept = frozenset(one for one in self.paths.neighbours if one.address != what.address)
            self._set(neighbours=kept | {what} if act == "add" and self._has_tunnel() else kept)
        else:
            others = frozenset(one for one in self.paths.forwards if one.hardware != what.hardware)
            self._set(forwards=others | {what} if act == "add" and self._has_tunnel() else others)

    async def disturbed(self) -> None:
        await self._changed.wait()
        self._changed.clear()

    def way(self, address: str) -> tuple[str, str]:
        """The device by which a packet to `address` leaves, and the node that it reaches next; "" for no way."""
        target = ipaddress.ip_address(address)
        for route in self.paths.routes:
            if target in ipaddress.ip_network(route.network):
                if self.paths.tunnel is None or route.device != self.paths.tunnel.name:
                    return route.device, route.gateway
                hardware = {one.address: one.hardware for one in self.paths.neighbours}.get(route.gateway, "")
                return route.device, {one.hardware: one.address for one in self.paths.forwards}.get(hardware, "")
        return "", ""

    def _has_tunnel(self) -> bool:
        if self.paths.tunnel is None:
            raise Retryable("there is no tunnel that it could hang on")
        return True

    def _tunnel(self, tunnel: Tunnel | None) -> None:
        """Another one takes with it what hung on the old."""
        name = self.paths.tunnel.name if self.paths.tunnel else ""
        self.paths = Paths(tunnel, frozenset(route for route in self.paths.routes if route.device != name))
        self._changed.set()

    def _route(self, add: bool, route: Route) -> None:
        devices = {link.device for link in self.links} | ({self.paths.tunnel.name} if self.paths.tunnel else set())
        if add and route.device not in devices:
            raise Retryable(f"there is no interface {route.device}")
        kept = frozenset(one for one in self.paths.routes if one.network != route.network)
        self._set(routes=kept | {route} if add else kept)

    def _set(
        self,
        *,
        routes: frozenset[Route] | None = None,
        neighbours: frozenset[Neighbour] | None = None,
        forwards: frozenset[Forward] | None = None,
    ) -> None:
        old = self.paths
        self.paths = Paths(
            old.tunnel,
            old.routes if routes is None else routes,
            old.neighbours if neighbours is None else neighbours,
            old.forwards if forwards is None else forwards,
        )
        self._changed.set()
