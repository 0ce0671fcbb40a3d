"""A node, its pods and a host outside, as network namespaces joined by cables: where a data plane meets real packets.

`a` and `b` (or others) are pods of the node, on its bridge; `outside` is a host on the node's own network, which may
also play an endpoint on another node. On ports 8080 and 9090 (or others) each of them answers every connection and
every datagram with its name and the address it saw.
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

Answer = tuple[str, bool] | str
"""(who answered, whether it saw somebody else's address than the caller's), or "reject", or "drop"."""


class Lan:
    """Needs root. The node routes 10.96.0.0/12 and 198.51.100.0/24 for `outside`. pods: name to address, of the node's
    10.244.0.0/24."""

    def __init__(self, pods: Mapping[str, str] | None = None, ports: Sequence[int] = PORTS) -> None:
        self.pods = pods or {name: ADDRESSES[name] for name in PODS}
        self.addresses = {**{name: ADDRESSES[name] for name in ("node", "outside")}, **self.pods}
        self.hosts = {name: NetworkNamespace(name) for name in self.addresses}
        self._listening: list[socket.socket] = []
        self._lay_cables()
        for name in (*self.pods, "outside"):
            self._serve(name, ports)

    @property
    def node(self) -> NetworkNamespace:
        return self.hosts["node"]

    def call(self, source: str, address: str, port: int, protocol: str = "tcp", wait_s: float = 0.3) -> Answer:
        """One connection, one question. wait_s: of time in which we and those who answer were given a processor."""
        with self.client(source, protocol, wait_s) as client:
            if source == "node" and not address.startswith(("10.96.", "127.")):
                client.bind((ADDRESSES["node"], 0))
            try:
                _connect(client, (address, port), wait_s)
                return self.ask(client, source)
            except ConnectionError:
                return "reject"
            except TimeoutError:
                return "drop"

    def client(self, source: str, protocol: str = "tcp", wait_s: float = 2.0) -> socket.socket:
        made = self.hosts[source].socket(socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
        made.settimeout(wait_s)
        return made

    @staticmethod
    def ask(client: socket.socket, source: str) -> Answer:
        """One more question on a connection. Raises: OSError."""
        client.send(b"?")
        _await([client], [], client.gettimeout() or 0.0)
        answer = client.recv(100).decode()
        if not answer:
            raise ConnectionResetError("closed")
        name, seen = answer.split()
        return name, seen != ADDRESSES[source]

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

    def _serve(self, name: str, ports: Sequence[int]) -> None:
        for port in ports:
            stream = self.hosts[name].socket(socket.SOCK_STREAM)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            stream.bind(("0.0.0.0", port))
            stream.listen(1000)
            datagrams = self.hosts[name].socket(socket.SOCK_DGRAM)
            datagrams.bind(("0.0.0.0", port))
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
