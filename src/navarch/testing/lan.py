"""A node, its pods and a host outside, as network namespaces joined by cables: where a data plane meets real packets.

`a` and `b` (or others) are pods of the node, on its bridge; `outside` is a host on the node's own network, which may
also play an endpoint on another node. On ports 8080 and 9090 (or others) each of them answers every connection and
every datagram with its name and the address it saw. Where IPv6 is asked for, each has an address of it as well, its
`twin`.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
from collections.abc import Mapping, Sequence

from navarch.testing.netns import NetworkNamespace

GATEWAY = "10.244.0.1"
ADDRESSES: Mapping[str, str] = {
    "node": "192.0.2.10",
    "a": "10.244.0.5",
    "b": "10.244.0.6",
    "outside": "192.0.2.20",
}
PODS = ("a", "b")
PORTS = (8080, 9090)
STEP_S = 0.01
TWINS: Mapping[str, str] = {
    "10.244.0": "fd00:10:244::",
    "10.244.1": "fd00:10:244:1::",
    "10.96.0": "fd00:10:96::",
    "192.0.2": "2001:db8:2::",
    "198.51.100": "2001:db8:51::",
}
"""The first three numbers of an address, and the same network in IPv6."""


def twin(text: str) -> str:
    """What an address or a network of the lan is in IPv6."""
    address, _, prefix = text.partition("/")
    network, _, number = address.rpartition(".")
    last = int(number)
    made = "::" if address == "0.0.0.0" else f"{TWINS[network]}{last:x}" if last else TWINS[network]
    return made if not prefix else f"{made}/{int(prefix) + 96 if int(prefix) else 0}"


Answer = tuple[str, bool] | str
"""(who answered, whether it saw somebody else's address than the caller's), or "reject", or "drop"."""


class Lan:
    """Needs root. The node routes 10.96.0.0/12 and 198.51.100.0/24 for `outside`. pods: name to address, of the node's
    10.244.0.0/24. ipv6: each has its twin too, and so have these networks."""

    def __init__(
        self, pods: Mapping[str, str] | None = None, ports: Sequence[int] = PORTS, *, ipv6: bool = False
    ) -> None:
        self.pods = pods or {name: ADDRESSES[name] for name in PODS}
        self.addresses = {**{name: ADDRESSES[name] for name in ("node", "outside")}, **self.pods}
        self.hosts = {name: NetworkNamespace(name) for name in self.addresses}
        self._listening: list[socket.socket] = []
        if ipv6:
            for host in self.hosts.values():  # interfaces have their own addresses at once, without asking for others'
                host.sysctl([("net/ipv6/conf/default/accept_dad", "0"), ("net/ipv6/icmp/ratelimit", "0")])
        self._lay_cables()
        if ipv6:
            self._lay_ipv6()
        self._families = (socket.AF_INET, socket.AF_INET6) if ipv6 else (socket.AF_INET,)
        for name in (*self.pods, "outside"):
            self._serve(name, ports)

    @property
    def node(self) -> NetworkNamespace:
        return self.hosts["node"]

    def call(self, source: str, address: str, port: int, protocol: str = "tcp", wait_s: float = 0.3) -> Answer:
        """One connection, one question. wait_s: of time in which we and those who answer were given a processor."""
        with self.client(source, protocol, wait_s, address) as client:
            if source == "node" and not address.startswith(("10.96.", "127.", "fd00:10:96:", "::1")):
                client.bind((self.address(source, address), 0))
            try:
                _connect(client, (address, port), wait_s)
                return self.ask(client, source)
            except ConnectionError:
                return "reject"
            except TimeoutError:
                return "drop"

    def client(self, source: str, protocol: str = "tcp", wait_s: float = 2.0, to: str = "") -> socket.socket:
        """to: an address of the family that it is for."""
        kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
        made = self.hosts[source].socket(kind, socket.AF_INET6 if ":" in to else socket.AF_INET)
        made.settimeout(wait_s)
        return made

    def address(self, name: str, like: str = "") -> str:
        """Of that host, in the family that `like` is of."""
        return twin(self.addresses[name]) if ":" in like else self.addresses[name]

    def ask(self, client: socket.socket, source: str) -> Answer:
        """One more question on a connection. Raises: OSError."""
        client.send(b"?")
        _await([client], [], client.gettimeout() or 0.0)
        answer = client.recv(100).decode()
        if not answer:
            raise ConnectionResetError("closed")
        name, seen = answer.split()
        return name, seen != self.address(source, seen)

    def close(self) -> None:
        for listening in self._listening:
            listening.close()
        for host in self.hosts.values():
            host.close()

    def _lay_cables(self) -> None:
        node = self.node
        node.ip("link add br0 type bridge", f"addr add {GATEWAY}/24 dev br0", "link set br0 up")
        node.sysctl([("net/ipv4/ip_forward", "1"), ("net/bridge/bridge-nf-call-iptables", "1")])
        node.sysctl([("net/ipv4/conf/br0/route_localnet", "1")])
        for host in self.hosts.values():
            host.sysctl([("net/ipv4/icmp_ratemask", "0")])  # every refusal is told, however many there are at once
        for number, (name, address) in enumerate(self.pods.items()):
            port = f"veth-{number}"
            peer = f"link add {port} type veth peer name eth0 netns {self.hosts[name].path}"
            node.ip(peer, f"link set {port} master br0 up", f"link set {port} type bridge_slave hairpin on")
            self.hosts[name].ip(f"addr add {address}/24 dev eth0", "link set eth0 up")
            self.hosts[name].ip(f"route add default via {GATEWAY}")
        node.ip(f"link add eth0 type veth peer name eth0 netns {self.hosts['outside'].path}")
        node.ip("addr add 192.0.2.10/24 dev eth0", "link set eth0 up", "route add default via 192.0.2.20")
        self.hosts["outside"].ip("addr add 192.0.2.20/24 dev eth0", "link set eth0 up")
        self.hosts["outside"].ip("route add 10.96.0.0/12 via 192.0.2.10", "route add 198.51.100.0/24 via 192.0.2.10")

    def _lay_ipv6(self) -> None:
        node, outside = self.node, self.hosts["outside"]
        node.sysctl([("net/ipv6/conf/all/forwarding", "1"), ("net/bridge/bridge-nf-call-ip6tables", "1")])
        node.ip(f"addr add {twin(GATEWAY)}/120 dev br0 nodad")
        for name, address in self.pods.items():
            self.hosts[name].ip(
                f"addr add {twin(address)}/120 dev eth0 nodad", f"route add default via {twin(GATEWAY)}"
            )
        at_node, at_outside = (twin(self.addresses[name]) for name in ("node", "outside"))
        node.ip(f"addr add {at_node}/120 dev eth0 nodad", f"route add default via {at_outside}")
        outside.ip(f"addr add {at_outside}/120 dev eth0 nodad")
        outside.ip(*(f"route add {TWINS[each]}/64 via {at_node}" for each in ("10.96.0", "198.51.100")))

    def _serve(self, name: str, ports: Sequence[int]) -> None:
        for family, port in ((family, port) for family in self._families for port in ports):
            everywhere = "::" if family == socket.AF_INET6 else "0.0.0.0"
            stream = self.hosts[name].socket(socket.SOCK_STREAM, family)
            datagrams = self.hosts[name].socket(socket.SOCK_DGRAM, family)
            if family == socket.AF_INET6:
                for each in (stream, datagrams):
                    each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            stream.bind((everywhere, port))
            stream.listen(1000)
            datagrams.bind((everywhere, port))
            self._listening += [stream, datagrams]
            threading.Thread(target=_answer_streams, args=(stream, name), daemon=True).start()
            threading.Thread(target=_answer_datagrams, args=(datagrams, name), daemon=True).start()


def _connect(client: socket.socket, address: tuple[str, int], wait_s: float) -> None:
    client.setblocking(False)
    code = client.connect_ex(address)
    if code == errno.EINPROGRESS:
        _await([], [client], wait_s)
        code = client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    client.settimeout(wait_s)
    if code:
        raise OSError(code, os.strerror(code))


def _await(readable: list[socket.socket], writable: list[socket.socket], wait_s: float) -> None:
    """In small steps, so that a machine which stands still for a while takes one of them and not all. Raises:
    TimeoutError."""
    for _ in range(max(int(wait_s / STEP_S), 1)):
        if any(select.select(readable, writable, [], STEP_S)):
            return
    raise TimeoutError


def _answer_streams(listening: socket.socket, name: str) -> None:
    while True:
        try:
            connection, peer = listening.accept()
        except OSError:
            return
        threading.Thread(target=_converse, args=(connection, f"{name} {peer[0]}".encode()), daemon=True).start()


def _converse(connection: socket.socket, text: bytes) -> None:
    with connection:
        try:
            while connection.recv(100):
                connection.send(text)
        except OSError:
            return


def _answer_datagrams(listening: socket.socket, name: str) -> None:
    while True:
        try:
            _, peer = listening.recvfrom(100)
            listening.sendto(f"{name} {peer[0]}".encode(), peer)
        except OSError:
            return
