"""Which paths a node should have, and which steps lead there from those it has. Pure.

Nothing is published for it: the ends of the tunnel have addresses that follow from what every Node says.

Source: RFC 7348
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from navarch.net.paths import Forward, Home, Link, Mode, Neighbour, Paths, Peer, Route, Seen, Step, Tunnel

TUNNEL = "navarch-vx"
NUMBER, PORT = 78, 8472
OVERHEAD_BYTES = 50
"""Of VXLAN over IPv4: Ethernet, IP, UDP and VXLAN before each packet."""
LEAST_MTU_BYTES = 576


def home_link(home: Home, links: Sequence[Link]) -> Link | None:
    """The one that the node's own address is on; None while there is none."""
    return next((link for link in links if link.address.partition("/")[0] == home.address), None)


def pod_mtu_bytes(link_mtu_bytes: int, mode: Mode) -> int:
    """What a pod may send at once so that it reaches every other; 0 where the link's is not known."""
    return link_mtu_bytes - OVERHEAD_BYTES if mode != "direct" and link_mtu_bytes > LEAST_MTU_BYTES else link_mtu_bytes


def wanted(home: Home, peers: Iterable[Peer], links: Sequence[Link], mode: Mode) -> Paths:
    """The paths to all `peers`. Without an address of its own a node has none."""
    link = home_link(home, links)
    if link is None:
        return Paths()
    routes: set[Route] = set()
    neighbours: set[Neighbour] = set()
    forwards: set[Forward] = set()
    taken = [ipaddress.ip_network(home.network)]
    for peer in sorted(peers):
        for text in peer.networks:
            network = _network(text)
            if network is None or not _within(network, home.cluster) or any(network.overlaps(one) for one in taken):
                continue
            taken.append(network)
            if mode == "direct" or (mode == "auto" and _shares(link, peer.address)):
                routes.add(Route(str(network), peer.address, link.device))
                continue
            end, hardware = str(network.network_address), hardware_of(peer.address)
            routes.add(Route(str(network), end, TUNNEL))
            neighbours.add(Neighbour(end, hardware))
            forwards.add(Forward(hardware, peer.address))
    tunnel = tunnel_of(home, link) if forwards else None
    return Paths(tunnel, frozenset(routes), frozenset(neighbours), frozenset(forwards))


def tunnel_of(home: Home, link: Link) -> Tunnel:
    end = str(ipaddress.ip_network(home.network).network_address)
    mtu_bytes = max(LEAST_MTU_BYTES, link.mtu_bytes - OVERHEAD_BYTES)
    return Tunnel(TUNNEL, NUMBER, PORT, home.address, end, hardware_of(home.address), mtu_bytes)


def hardware_of(address: str) -> str:
    """Of a node's end of the tunnel: administered here, and told apart by the node's address."""
    packed = ipaddress.ip_address(address).packed[-4:]
    return ":".join(f"{byte:02x}" for byte in (0x0A, 0x59, *packed))


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


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None


def _within(network: ipaddress.IPv4Network | ipaddress.IPv6Network, cluster: str) -> bool:
    """Whether it is of the cluster's pods: no Node can draw other packets to itself."""
    for text in cluster.split(","):
        whole = ipaddress.ip_network(text.strip())
        if isinstance(whole, ipaddress.IPv4Network) and isinstance(network, ipaddress.IPv4Network):
            return network.subnet_of(whole)
        if isinstance(whole, ipaddress.IPv6Network) and isinstance(network, ipaddress.IPv6Network):
            return network.subnet_of(whole)
    return False
