"""Services under way, in the kernel: connections that outlive a change, changes under load, DNS through its cluster
address, and nodes whose bridge is not filtered."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import dnslib
import msgspec
import pytest

from navarch.base.clock import SystemClock, SystemIds
from navarch.dns.memory import Memory
from navarch.dns.server import Server
from navarch.dns.upstream import Forwarder
from navarch.dns.zone import Entry, Zone
from navarch.kinds.endpointslice import EndpointSlice
from navarch.kinds.service import Service
from navarch.proxy.compile import compile_rules
from navarch.proxy.nft import NftDataplane
from navarch.proxy.rules import Node, Rules, Target
from navarch.testing.lan import ADDRESSES, GATEWAY, PODS, Lan

pytestmark = pytest.mark.node

NODE = Node(
    name="n1",
    addresses=("192.0.2.10",),
    pod_cidr="10.244.0.0/24",
    cluster_cidr="10.244.0.0/16",
    service_cidr="10.96.0.0/12",
    own={"kube-system/kube-dns": Target(GATEWAY, 10053)},
)
VIP, DNS = "10.96.0.1", "10.96.0.10"


class Bench:
    def __init__(self) -> None:
        self.lan = Lan()
        self._plane = self.lan.node.call(NftDataplane, f"navarch-load-{os.getpid()}")

    def put(self, new: Rules, *, whole: bool = False) -> float:
        """Seconds of a processor that it took, of ours and of the programs that it ran."""
        old = None if whole else self._plane.current()
        before = os.times()
        self.lan.node.call(asyncio.run, self._plane.replace(old, new))
        return sum(os.times()[:4]) - sum(before[:4])

    def close(self) -> None:
        self._plane.close()
        self.lan.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    if os.geteuid():
        pytest.fail("network namespaces need root")
    made = Bench()
    yield made
    made.close()


def service(name: str, ip: str, *hosts: str, port: int = 80, protocol: str = "TCP", **spec: Any) -> tuple[Any, Any]:
    """Endpoints by host name, or by address for those that are nowhere."""
    ports = [{"name": "p", "port": port, "protocol": protocol}]
    metadata = {"name": name, "namespace": "kube-system" if name == "kube-dns" else "default"}
    spec = {"clusterIP": ip, "ports": ports} | spec
    endpoints = [
        {"addresses": [ADDRESSES.get(host, host)], "nodeName": "n1" if host in PODS else "n2"} for host in hosts
    ]
    slices = {"endpoints": endpoints, "ports": [{"name": "p", "port": 8080, "protocol": protocol}]}
    return msgspec.convert({"metadata": metadata, "spec": spec}, Service), [msgspec.convert(slices, EndpointSlice)]


def rules(*services: tuple[Any, Any], node: Node = NODE) -> Rules:
    return compile_rules(services, (), node)


def test_a_live_connection_stays_when_its_endpoint_leaves_the_service(bench: Bench) -> None:
    bench.put(rules(service("web", VIP, "a")))
    with bench.lan.client("b") as client:
        client.connect((VIP, 80))
        assert bench.lan.ask(client, "b") == ("a", False)
        for whole in (False, True):
            bench.put(rules(service("web", VIP, "outside")), whole=whole)
            assert bench.lan.ask(client, "b") == ("a", False), "it drains"
            assert bench.lan.call("b", VIP, 80) == ("outside", True)
        bench.put(rules())
        assert bench.lan.ask(client, "b") == ("a", False)


def test_a_udp_flow_leaves_with_its_endpoint(bench: Bench) -> None:
    def dns(*hosts: str) -> Rules:
        return rules(service("udp", VIP, *hosts, port=53, protocol="UDP"))

    bench.put(dns("a"))
    with bench.lan.client("b", "udp", 3.0) as client:
        client.connect((VIP, 53))
        assert bench.lan.ask(client, "b") == ("a", False)
        bench.put(dns("a", "outside"))
        assert bench.lan.ask(client, "b") == ("a", False), "it was not concerned"
        bench.put(dns("outside"))
        assert bench.lan.ask(client, "b") == ("outside", True)
        bench.put(dns())
        with pytest.raises(OSError, match=r"timed out|refused"):
            bench.lan.ask(client, "b")
        bench.put(dns("a"))
        assert bench.lan.ask(client, "b") == ("a", False)


def test_changes_under_load_lose_no_connection(bench: Bench) -> None:
    """Endpoints come and go, all of them alive; now and then everything is written afresh."""
    states = [rules(service("web", VIP, *hosts)) for hosts in (("a", "b"), ("b", "outside"), ("outside", "a"), ("a",))]
    bench.put(states[0])
    stop = threading.Event()
    failed: list[str] = []
    done = [0, 0, 0]

    def hammer(number: int, source: str) -> None:
        while not stop.is_set():
            answer = bench.lan.call(source, VIP, 80, wait_s=20.0)
            if isinstance(answer, str):
                failed.append(f"{source}: {answer}")
            done[number] += 1

    sources = ("a", "b", "outside")
    threads = [threading.Thread(target=hammer, args=each) for each in enumerate(sources)]
    for thread in threads:
        thread.start()
    changes = 0
    began = time.monotonic()
    while (spent_s := time.monotonic() - began) < 3 or (spent_s < 60 and (changes < 20 or min(done) < 100)):
        changes += 1
        bench.put(states[changes % len(states)], whole=changes % 10 == 0)
    stop.set()
    for thread in threads:
        thread.join()
    assert failed == []
    assert changes >= 20
    assert min(done) >= 100, done


def test_pods_on_a_bridge_that_is_not_filtered_still_reach_services(bench: Bench) -> None:
    """Without the masquerading that such a node gets, replies would take the short way and be refused."""
    bench.lan.node.sysctl([("net/bridge/bridge-nf-call-iptables", "0")])
    bench.put(rules(service("web", VIP, "a")))
    assert bench.lan.call("b", VIP, 80) == "drop", "this is what the setting is about"
    bench.put(rules(service("web", VIP, "a"), node=msgspec.structs.replace(NODE, bridge_filtered=False)))
    assert bench.lan.call("b", VIP, 80) == ("a", True)
    assert bench.lan.call("a", VIP, 80) == ("a", True)


def test_what_belongs_to_no_connection_does_not_leave_under_a_pods_address(bench: Bench) -> None:
    """Nothing would translate it back, so it must not arrive at all."""
    sniffer = bench.lan.hosts["outside"].call(socket.socket, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
    sender = bench.lan.hosts["a"].call(socket.socket, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
    stray = struct.pack("!HHIIBBHHH", 1234, 5678, 1, 1, 5 << 4, 0x04, 0, 0, 0)
    total = sum(struct.unpack("!10H", stray))
    for address in (ADDRESSES["a"], ADDRESSES["outside"]):
        total += sum(struct.unpack("!HH", socket.inet_aton(address)))
    total += socket.IPPROTO_TCP + len(stray)
    total = (total >> 16) + (total & 0xFFFF)
    stray = stray[:16] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + stray[18:]

    def arrived() -> str:
        sender.sendto(stray, (ADDRESSES["outside"], 0))
        sniffer.settimeout(0.3)
        try:
            while True:
                packet = sniffer.recv(200)
                if packet[20:24] == stray[:4]:
                    return socket.inet_ntoa(packet[12:16])
        except TimeoutError:
            return ""

    with sniffer, sender:
        bench.lan.hosts["outside"].ip("route add 10.244.0.0/24 via 192.0.2.10")
        assert any(arrived() == ADDRESSES["a"] for _ in range(50)), "without rules it passes"
        bench.put(rules())
        assert arrived() == ""


def test_nobody_reaches_the_nodes_loopback_over_the_bridge(bench: Bench) -> None:
    bench.put(rules())
    with bench.lan.node.socket() as listening:
        listening.bind(("127.0.0.1", 7000))
        listening.listen()
        pod = bench.lan.hosts["a"]
        pod.ip("addr del 127.0.0.1/8 dev lo", "route add 127.0.0.1/32 via 10.244.0.1")
        pod.sysctl([("net/ipv4/conf/eth0/route_localnet", "1")])
        with bench.lan.client("a", wait_s=0.4) as client:
            client.bind((ADDRESSES["a"], 0))
            with pytest.raises(TimeoutError):
                client.connect(("127.0.0.1", 7000))


def test_every_pod_asks_its_own_node_through_the_cluster_address_of_dns(bench: Bench) -> None:
    zone = Zone()
    zone.put("default", "web", Entry(addresses=(VIP,)))
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53}]
    bench.put(rules(service("kube-dns", DNS, ports=ports), service("web", VIP, "a")))

    async def serve(stop: threading.Event) -> None:
        forwarder = Forwarder(lambda _: (), SystemIds())
        server = Server(zone, Memory(), forwarder, [(GATEWAY, 10053)], SystemClock())
        async with asyncio.TaskGroup() as group:
            task = group.create_task(server.run())
            await asyncio.to_thread(stop.wait)
            task.cancel()

    def ask(source: str, kind: str) -> str:
        raw = bytes(dnslib.DNSRecord.question("web.default.svc.cluster.local").pack())
        with bench.lan.client(source, kind) as client:
            client.connect((DNS, 53))
            client.send(raw if kind == "udp" else len(raw).to_bytes(2, "big") + raw)
            answer = client.recv(1000)[0 if kind == "udp" else 2 :]
        return str(dnslib.DNSRecord.parse(answer).rr[0].rdata)

    stop = threading.Event()
    thread = bench.lan.node.start(asyncio.run, serve(stop))
    try:
        for source in ("a", "b", "node"):
            with_retry(lambda source=source: ask(source, "udp"))
            assert ask(source, "udp") == VIP
            assert ask(source, "tcp") == VIP
    finally:
        stop.set()
        thread.join()
    with bench.lan.client("a") as client, pytest.raises(ConnectionRefusedError):
        client.connect((DNS, 54))


def with_retry(step: Any) -> None:
    """Until the server listens."""
    for _ in range(1_000):
        try:
            step()
        except (TimeoutError, ConnectionError):
            time.sleep(0.02)
        else:
            return


def test_a_thousand_services_change_in_little_time(bench: Bench) -> None:
    """Generous limits, to notice a change of kind, not of degree; the figures stand in benchmarks/."""
    many = [
        service(
            f"s{n}", f"10.97.{n // 250}.{n % 250}", *(f"10.244.{n // 80 + 1}.{n % 80 * 3 + k}" for k in range(1, 4))
        )
        for n in range(1000)
    ]
    whole_s = bench.put(rules(*many, service("web", VIP, "a")))
    part_s = min(bench.put(rules(*many, service("web", VIP, host))) for host in ("b", "a", "b"))
    assert bench.lan.call("a", VIP, 80) == ("b", False)
    assert whole_s < 3.0
    assert part_s < 0.5
