"""Paths in the kernel, over rtnetlink: routes with a number of ours, a VXLAN interface, and what hangs on it.

Spoken directly, as everything else that asks the kernel: a library for it would be memory on every node. A route is
ours when its protocol is; it has a metric of its own besides, so that nobody else's for the same network is replaced.

Source: rtnetlink(7), linux/rtnetlink.h, linux/if_link.h, linux/neighbour.h
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from navarch.base.errors import Retryable
from navarch.net import messages as nl
from navarch.net.messages import attribute, attributes, nested, number
from navarch.net.paths import Forward, Link, Neighbour, Paths, Route, Seen, Step, Tunnel
from navarch.net.plan import steps

PROTOCOL, METRIC = 78, 78
"""Of our routes. The protocol says whose they are, the metric keeps them apart from others for the same network."""
SETTINGS = Path("/proc/sys/net/ipv4/conf")
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def link_of(address: str) -> Link | None:
    """The link that an address of this machine is on. Raises: Retryable."""
    kernel = NetlinkKernel("")
    return next((link for link in kernel.look().links if link.address.partition("/")[0] == address), None)


async def clear(kernel: NetlinkKernel) -> None:
    """Leave nothing that is ours. Raises: Retryable."""
    for step in steps((await kernel.observe()).paths, Paths()):
        await kernel.apply(step)
    kernel.close()


class NetlinkKernel:
    """Of the network namespace that the process lives in. tunnel: the name of the interface that is ours."""

    def __init__(self, tunnel: str) -> None:
        self._tunnel = tunnel
        self._notices: nl.Notices | None = None

    async def observe(self) -> Seen:
        self._listening().forget()  # what is seen now holds it
        return await asyncio.to_thread(self.look)

    async def apply(self, step: Step) -> None:
        await asyncio.to_thread(self._apply, step)

    async def disturbed(self) -> None:
        await self._listening().wait(self._is_about_us)

    def _listening(self) -> nl.Notices:
        if self._notices is None:
            self._notices = nl.Notices()
        return self._notices

    def close(self) -> None:
        if self._notices is not None:
            self._notices.close()

    # What there is.

    def look(self) -> Seen:
        """As `observe`, at once. Raises: Retryable."""
        try:
            with nl.Conversation() as talk:
                names = {
                    one.index: one for one in map(nl.read_link, talk.dump(nl.RTM_GETLINK, nl.LINK.pack(0, 0, 0, 0, 0)))
                }
                addresses = list(self._addresses(talk))
                links = [
                    Link(names[index].name, text, names[index].mtu_bytes)
                    for index, text in addresses
                    if index in names and names[index].up and names[index].name != self._tunnel
                ]
                end = next((one for one in names.values() if one.name == self._tunnel), None)
                ours = tuple(
                    text.partition("/")[0]
                    for index, text in addresses
                    if end is not None and index == end.index and not text.startswith("fe80:")
                )
                return Seen(tuple(links), self._paths(talk, names, end, ours))
        except OSError as error:
            raise Retryable(f"the kernel does not say which routes it has: {error}") from error

    def _paths(
        self, talk: nl.Conversation, names: dict[int, nl.LinkFound], end: nl.LinkFound | None, ours: tuple[str, ...]
    ) -> Paths:
        routes = frozenset(self._routes(talk, {index: one.name for index, one in names.items()}))
        if end is None:
            return Paths(None, routes)
        tunnel = Tunnel(end.name, end.number, end.port, end.source, ours, end.hardware, end.mtu_bytes)
        if not end.up or end.learns:
            tunnel = Tunnel(end.name, -1, 0, "", (), "", 0)  # not as we make it
        neighbours, forwards = set(), set()
        for family in (*FAMILIES.values(), nl.AF_BRIDGE):
            for body in talk.dump(nl.RTM_GETNEIGH, nl.NEIGHBOUR.pack(family, 0, 0, 0, 0)):
                _, index, state = nl.NEIGHBOUR.unpack_from(body)[:3]
                found = attributes(body[nl.NEIGHBOUR.size :])
                if (
                    index != end.index
                    or not state & nl.NUD_PERMANENT
                    or not {nl.NDA_DST, nl.NDA_LLADDR} <= found.keys()
                ):
                    continue
                address, hardware = nl.address(found[nl.NDA_DST]), nl.hardware(found[nl.NDA_LLADDR])
                if family == nl.AF_BRIDGE:
                    forwards.add(Forward(hardware, address))
                else:
                    neighbours.add(Neighbour(address, hardware))
        return Paths(tunnel, routes, frozenset(neighbours), frozenset(forwards))

    def _routes(self, talk: nl.Conversation, names: dict[int, str]) -> Iterator[Route]:
        for family in FAMILIES.values():
            for body in talk.dump(nl.RTM_GETROUTE, nl.ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)):
                _, prefix, _, _, table, protocol, _, _, _ = nl.ROUTE.unpack_from(body)
                found = attributes(body[nl.ROUTE.size :])
                if (
                    table != nl.RT_TABLE_MAIN
                    or protocol != PROTOCOL
                    or not {nl.RTA_DST, nl.RTA_OIF, nl.RTA_GATEWAY} <= found.keys()
                ):
                    continue
                device = names.get(number(found[nl.RTA_OIF]), "")
                yield Route(f"{nl.address(found[nl.RTA_DST])}/{prefix}", nl.address(found[nl.RTA_GATEWAY]), device)

    def _addresses(self, talk: nl.Conversation) -> Iterator[tuple[int, str]]:
        for family in FAMILIES.values():
            for body in talk.dump(nl.RTM_GETADDR, nl.ADDRESS.pack(family, 0, 0, 0, 0)):
                _, prefix, _, _, index = nl.ADDRESS.unpack_from(body)
                found = attributes(body[nl.ADDRESS.size :])
                own = found.get(nl.IFA_LOCAL) or found.get(nl.IFA_ADDRESS)
                if own:
                    yield index, f"{nl.address(own)}/{prefix}"

    # What is to be.

    def _apply(self, step: Step) -> None:
        act, what = step
        try:
            with nl.Conversation() as talk:
                if isinstance(what, Tunnel):
                    self._set_tunnel(talk, act == "add", what)
                elif isinstance(what, Route):
                    self._set_route(talk, act == "add", what)
                else:
                    self._set_neighbour(talk, act == "add", what)
        except OSError as error:
            raise Retryable(f"the kernel does not {act} {what}: {os.strerror(error.errno or 0)}") from error

    def _set_tunnel(self, talk: nl.Conversation, add: bool, tunnel: Tunnel) -> None:
        name = attribute(nl.IFLA_IFNAME, tunnel.name.encode() + b"\0")
        talk.ask(nl.RTM_DELLINK, 0, nl.LINK.pack(0, 0, 0, 0, 0) + name, fine=(errno.ENODEV,))
        if not add:
            return
        source = ipaddress.ip_address(tunnel.source)
        local = nl.IFLA_VXLAN_LOCAL if source.version == 4 else nl.IFLA_VXLAN_LOCAL6
        data = (
            attribute(nl.IFLA_VXLAN_ID, struct.pack("=I", tunnel.number)),
            attribute(local, source.packed),
            attribute(nl.IFLA_VXLAN_LEARNING, b"\0"),
            attribute(nl.IFLA_VXLAN_PORT, struct.pack("!H", tunnel.port)),
        )
        kind = attribute(nl.IFLA_INFO_KIND, b"vxlan\0")
        body = nl.LINK.pack(0, 0, 0, 0, 0) + name
        body += attribute(nl.IFLA_MTU, struct.pack("=I", tunnel.mtu_bytes))
        body += attribute(nl.IFLA_ADDRESS, bytes.fromhex(tunnel.hardware.replace(":", "")))
        body += nested(nl.IFLA_LINKINFO, kind, nested(nl.IFLA_INFO_DATA, *data))
        talk.ask(nl.RTM_NEWLINK, nl.NLM_F_CREATE | nl.NLM_F_EXCL, body)
        index = socket.if_nametoindex(tunnel.name)
        for own in map(ipaddress.ip_address, tunnel.addresses):
            flags = nl.IFA_F_NODAD if own.version == 6 else 0  # nobody else has it: it is made of this node's range
            head = nl.ADDRESS.pack(FAMILIES[own.version], own.max_prefixlen, flags, 0, index)
            talk.ask(
                nl.RTM_NEWADDR,
                nl.NLM_F_CREATE | nl.NLM_F_REPLACE,
                head + attribute(nl.IFA_LOCAL, own.packed) + attribute(nl.IFA_ADDRESS, own.packed),
            )
        (SETTINGS / tunnel.name / "rp_filter").write_text("2")  # answers may come by another way than questions go
        talk.ask(nl.RTM_NEWLINK, 0, nl.LINK.pack(0, 0, index, nl.IFF_UP, nl.IFF_UP))

    def _set_route(self, talk: nl.Conversation, add: bool, route: Route) -> None:
        network, gateway = ipaddress.ip_network(route.network), ipaddress.ip_address(route.gateway)
        flags = nl.RTNH_F_ONLINK if route.device == self._tunnel else 0
        head = nl.ROUTE.pack(
            FAMILIES[network.version], network.prefixlen, 0, 0, nl.RT_TABLE_MAIN, PROTOCOL, 0, nl.RTN_UNICAST, flags
        )
        head += attribute(nl.RTA_DST, network.network_address.packed)
        head += attribute(nl.RTA_PRIORITY, struct.pack("=I", METRIC))
        if not add:
            talk.ask(nl.RTM_DELROUTE, 0, head, fine=(errno.ESRCH,))
            return
        head += attribute(nl.RTA_GATEWAY, gateway.packed)
        head += attribute(nl.RTA_OIF, struct.pack("=I", socket.if_nametoindex(route.device)))
        talk.ask(nl.RTM_NEWROUTE, nl.NLM_F_CREATE | nl.NLM_F_REPLACE, head)

    def _set_neighbour(self, talk: nl.Conversation, add: bool, what: Neighbour | Forward) -> None:
        try:
            index = socket.if_nametoindex(self._tunnel)
        except OSError:
            if not add:
                return  # it went with the interface
            raise
        own = ipaddress.ip_address(what.address)
        family = FAMILIES[own.version] if isinstance(what, Neighbour) else nl.AF_BRIDGE
        flags, state = (
            (0, nl.NUD_PERMANENT) if isinstance(what, Neighbour) else (nl.NTF_SELF, nl.NUD_PERMANENT | nl.NUD_NOARP)
        )
        body = nl.NEIGHBOUR.pack(family, index, state, flags, 0)
        body += attribute(nl.NDA_DST, own.packed) + attribute(
            nl.NDA_LLADDR, bytes.fromhex(what.hardware.replace(":", ""))
        )
        if add:
            talk.ask(nl.RTM_NEWNEIGH, nl.NLM_F_CREATE | nl.NLM_F_REPLACE, body)
        else:
            talk.ask(nl.RTM_DELNEIGH, 0, body, fine=(errno.ENOENT, errno.ESRCH))

    def _is_about_us(self, kind: int, body: bytes) -> bool:
        """Whether a notice may mean that paths are not as they were. Interfaces of pods come and go all the time."""
        if kind in (nl.RTM_NEWLINK, nl.RTM_DELLINK):
            return not nl.read_link(body).name.startswith("veth")
        if kind in (nl.RTM_NEWADDR, nl.RTM_DELADDR):
            return bool(nl.ADDRESS.unpack_from(body)[3] != nl.RT_SCOPE_LINK)
        if kind in (nl.RTM_NEWROUTE, nl.RTM_DELROUTE):
            return bool(nl.ROUTE.unpack_from(body)[5] == PROTOCOL)
        return kind == nl.RTM_DELNEIGH and bool(nl.NEIGHBOUR.unpack_from(body)[2] & nl.NUD_PERMANENT)
