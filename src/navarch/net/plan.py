"""Which paths a node should have, and which steps lead there from those it has. Pure.

Nothing is published for it: the ends of the tunnel have addresses that follow from what every Node says.

Source: RFC 7348
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from hashlib import blake2b

from navarch.net.paths import Forward, Home, Link, Mode, Neighbour, Paths, Peer, Route, Seen, Step, Tunnel

TUNNEL = "navarch-vx"
NUMBER, PORT = 78, 8472
OVERHEAD_BYTES = {4: 50, 6: 70}
"""Of VXLAN: Ethernet, IP of that version, UDP and VXLAN before each packet."""
LEAST_MTU_BYTES = 576
LINK_LOCAL = int(ipaddress.IPv6Address("fe80::"))

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def home_link(home: Home, links: Sequence[Link]) -> Link | None:
    """The one that the node's own address is on, the first where it has two; None while there is none."""
    return _link(home.address.split(",")[0], links)


def _link(address: str, links: Sequence[Link]) -> Link | None:
    return next((link for link in links if link.address.partition("/")[0] == address), None)


def pod_mtu_bytes(link_mtu_bytes: int, mode: Mode, version: int = 4) -> int:
    """What a pod may send at once so that it reaches every other; 0 where the link's is not known. version: of the
    address by which other nodes reach this one."""
    tunnelled = mode != "direct" and link_mtu_bytes > LEAST_MTU_BYTES
    return link_mtu_bytes - OVERHEAD_BYTES[version] if tunnelled else link_mtu_bytes


def wanted(home: Home, peers: Iterable[Peer], links: Sequence[Link], mode: Mode) -> Paths:
    """The paths to all `peers`. Without an address of its own a node has none.

    Each family goes over the link of its own where that is shared; the tunnel, which carries both, is of the node's
    first one.
    """
    link = home_link(home, links)
    if link is None:
        return Paths()
    near = {_version(address): _link(address, links) for address in home.address.split(",")}
    outer = _version(home.address.split(",")[0])
    routes: set[Route] = set()
    neighbours: set[Neighbour] = set()
    forwards: set[Forward] = set()
    taken = list(_networks(home.network.split(",")))
    for peer in sorted(peers):
        there = {_version(address): address for address in peer.address.split(",")}
        for network in _networks(peer.networks):
            if not _within(network, home.cluster) or any(_overlap(network, one) for one in taken):
                continue
            taken.append(network)
            over, gateway = near.get(network.version), there.get(network.version)
            if over and gateway and (mode == "direct" or (mode == "auto" and _shares(over, gateway))):
                routes.add(Route(str(network), gateway, over.device))
            elif mode != "direct" and outer in there:
                hardware = hardware_of(there[outer])
                end = end_of(network) if network.version == 4 else beyond(hardware)
                routes.add(Route(str(network), end, TUNNEL))
                neighbours.add(Neighbour(end, hardware))
                forwards.add(Forward(hardware, there[outer]))
    tunnel = tunnel_of(home, link) if forwards else None
    return Paths(tunnel, frozenset(routes), frozenset(neighbours), frozenset(forwards))


def tunnel_of(home: Home, link: Link) -> Tunnel:
    own = home.address.split(",")[0]
    networks = sorted(_networks(home.network.split(",")), key=lambda network: network.version)
    mtu_bytes = max(LEAST_MTU_BYTES, link.mtu_bytes - OVERHEAD_BYTES[_version(own)])
    return Tunnel(TUNNEL, NUMBER, PORT, own, tuple(map(end_of, networks)), hardware_of(own), mtu_bytes)


def end_of(network: Network) -> str:
    """The address of a node's end of the tunnel, out of the range of its pods, which none of them gets: of IPv4 the
    first; of IPv6 the last but one, since the first is every router's."""
    return str(network[0] if network.version == 4 else network[-2])


def beyond(hardware: str) -> str:
    """The address on the tunnel's own link by which a node's end is its gateway for IPv6. One out of the node's range
    would not do: while that is still routed over a link, Linux takes no route by such a gateway over the tunnel."""
    return str(ipaddress.IPv6Address(LINK_LOCAL + int(hardware.replace(":", ""), 16)))


def hardware_of(address: str) -> str:
    """Of a node's end of the tunnel: administered here, and told apart by the node's address."""
    packed = ipaddress.ip_address(address).packed
    told = packed if len(packed) == 4 else blake2b(packed, digest_size=4).digest()
    return ":".join(f"{byte:02x}" for byte in (0x0A, 0x59, *told))


def steps(seen: Paths, want: Paths) -> tuple[Step, ...]:
    """In an order in which no packet that could arrive is lost: what is needed first is made first, and goes last.

    Who changes the tunnel itself loses what hangs on it, which is then made again.
    """
    if seen.tunnel != want.tunnel and seen.tunnel is not None:
        seen = Paths(seen.tunnel, frozenset(route for route in seen.routes if route.device != TUNNEL))
    made: list[Step] = []
    if want.tunnel is not None and seen.tunnel != want.tunnel:
        made.append(("add", want.tunnel))
    made += [("add", one) for one in sorted(want.forwards - seen.forwards)]
    made += [("add", one) for one in sorted(want.neighbours - seen.neighbours)]
    made += [("add", one) for one in sorted(want.routes - seen.routes)]
    networks = {route.network for route in want.routes}
    made += [("remove", one) for one in sorted(seen.routes - want.routes) if one.network not in networks]
    addresses = {one.address for one in want.neighbours}
    made += [("remove", one) for one in sorted(seen.neighbours - want.neighbours) if one.address not in addresses]
    hardware = {one.hardware for one in want.forwards}
    made += [("remove", one) for one in sorted(seen.forwards - want.forwards) if one.hardware not in hardware]
    if seen.tunnel is not None and want.tunnel is None:
        made.append(("remove", seen.tunnel))
    return tuple(made)


def plan(home: Home, peers: Iterable[Peer], seen: Seen, mode: Mode) -> tuple[Step, ...]:
    return steps(seen.paths, wanted(home, peers, seen.links, mode))


def _shares(link: Link, address: str) -> bool:
    """Whether it is on the same link, as far as the prefix says."""
    return ipaddress.ip_address(address) in ipaddress.ip_interface(link.address).network


def _version(address: str) -> int:
    return 6 if ":" in address else 4


def _networks(texts: Iterable[str]) -> Iterator[Network]:
    """Those that are networks."""
    for text in texts:
        with suppress(ValueError):
            yield ipaddress.ip_network(text)


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)


def _within(network: Network, cluster: str) -> bool:
    """Whether it is of the cluster's pods: no Node can draw other packets to itself."""
    for text in cluster.split(","):
        whole = ipaddress.ip_network(text.strip())
        if isinstance(whole, ipaddress.IPv4Network) and isinstance(network, ipaddress.IPv4Network):
            return network.subnet_of(whole)
        if isinstance(whole, ipaddress.IPv6Network) and isinstance(network, ipaddress.IPv6Network):
            return network.subnet_of(whole)
    return False
