"""IPv6 in the kernel, beside IPv4 and without it: what the agreement of model and kernel does not ask.

Services and policies in general are asked of both families by `test_network_policies`; here is what only the kernel
has: its tables, flows that it remembers, and how neighbours find each other.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dnslib
import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from agreement import NODES

from navarch.base.clock import SystemClock, SystemIds
from navarch.dns.memory import Memory
from navarch.dns.server import Server
from navarch.dns.upstream import Forwarder
from navarch.dns.zone import Entry, Zone
from navarch.kinds.endpointslice import EndpointSlice
from navarch.kinds.networkpolicy import NetworkPolicy
from navarch.kinds.pod.view import Pod
from navarch.kinds.service import Service
from navarch.proxy.addresses import FAMILIES, IPV4, IPV6, Family
from navarch.proxy.compile import compile_rules
from navarch.proxy.isolation import Isolation
from navarch.proxy.nft import NftDataplane
from navarch.proxy.podfacts import PodFacts
from navarch.proxy.policy import Policies
from navarch.proxy.rules import Rules, Target
from navarch.testing.lan import ADDRESSES, GATEWAY, PODS, Answer, Lan, twin

VIP = twin("10.96.0.1")
A, B, OUTSIDE, AT_NODE = (twin(ADDRESSES[name]) for name in ("a", "b", "outside", "node"))


PATIENT_S = 5.0
"""What ought to arrive may take so long on a busy machine."""


class Bench:
    def __init__(self, families: tuple[Family, ...]) -> None:
        self.lan = Lan(ipv6=True)
        self.table = f"navarch-six-{os.getpid()}"
        self.planes = {
            each: self.lan.node.call(NftDataplane, self.table, each, alone=len(families) == 1) for each in families
        }

    def put(self, *rules: Rules) -> None:
        for each in rules:
            plane = self.planes[each.node.family]
            self.lan.node.call(asyncio.run, plane.replace(plane.current(), each))

    def call(self, source: str, address: str, port: int) -> Answer:
        return self.lan.call(source, address, port, wait_s=PATIENT_S)

    def tables(self) -> list[str]:
        return self.lan.node.run("nft", "list", "tables").stdout.splitlines()

    def remove(self) -> None:
        for plane in self.planes.values():
            self.lan.node.call(asyncio.run, plane.remove())

    def close(self) -> None:
        for plane in self.planes.values():
            plane.close()
        self.lan.close()


@pytest.fixture(scope="module")
def made() -> Iterator[Bench]:
    if os.geteuid():
        pytest.skip("network namespaces need root")
    bench = Bench(FAMILIES)
    yield bench
    bench.close()


@pytest.fixture
def bench(made: Bench) -> Iterator[Bench]:
    yield made
    made.remove()
    assert made.tables() == []


def rules(*hosts: str, family: Family = IPV6, isolation: Isolation | None = None, **spec: Any) -> Rules:
    """A Service of both families, with these endpoints."""
    spec = {
        "clusterIP": "10.96.0.1",
        "clusterIPs": ["10.96.0.1", VIP],
        "ports": [{"port": 80}],
        "selector": {"a": "b"},
    } | spec
    service = msgspec.convert({"metadata": {"name": "web", "namespace": "default"}, "spec": spec}, Service)
    ends = [
        {"addresses": [ADDRESSES[host] if family is IPV4 else twin(ADDRESSES[host])], "nodeName": NODE_OF[host]}
        for host in hosts
    ]
    ports = [{"port": 8080, "protocol": port.get("protocol", "TCP")} for port in spec["ports"]]
    slices = msgspec.convert({"addressType": family.name, "endpoints": ends, "ports": ports}, EndpointSlice)
    made = compile_rules([(service, [slices])], (), NODES[family])
    return made if isolation is None else msgspec.structs.replace(made, isolation=isolation)


NODE_OF = {"a": "n1", "b": "n1", "outside": "n2"}


def isolation(*policies: dict[str, Any], family: Family = IPV6) -> Isolation:
    known = Policies("n1", family)
    known.put_namespace("default", {})
    for pod in PODS:
        known.put_pod("default", pod, PodFacts({"pod": pod}, (ADDRESSES[pod], twin(ADDRESSES[pod])), "n1"))
    for number, spec in enumerate(policies):
        known.put_policy("default", f"p{number}", msgspec.convert({"spec": spec}, NetworkPolicy))
    return known.isolation()


def letting_in(*ports: int) -> dict[str, Any]:
    """From pod b into pod a."""
    peer = {"podSelector": {"matchLabels": {"pod": "b"}}}
    inward = [{"from": [peer], "ports": [{"port": port, "protocol": "UDP"} for port in ports]}]
    return {"podSelector": {}, "ingress": inward if ports else [{"from": [peer]}]}


def test_each_family_has_a_table_and_who_is_not_there_has_none(bench: Bench) -> None:
    bench.put(rules("a"), rules("a", family=IPV4))
    assert sorted(bench.tables()) == [f"table ip {bench.table}", f"table ip6 {bench.table}"]
    assert bench.call("b", VIP, 80) == ("a", False)
    assert bench.call("b", "10.96.0.1", 80) == ("a", False)
    bench.remove()
    bench.put(rules("a"))
    assert bench.tables() == [f"table ip6 {bench.table}"]
    assert bench.call("b", VIP, 80) == ("a", False)


def test_somebody_elses_change_concerns_its_own_family(bench: Bench) -> None:
    bench.put(rules("a"), rules("a", family=IPV4))

    async def noticed() -> None:
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            other = group.create_task(bench.planes[IPV4].disturbed())
            group.create_task(bench.planes[IPV6].disturbed())
            await asyncio.sleep(0.05)
            await bench.planes[IPV4].replace(bench.planes[IPV4].current(), rules("b", family=IPV4))
            command = ("nsenter", f"--net={bench.lan.node.path}", "nft", "delete", "table", "ip6", bench.table)
            await asyncio.to_thread(subprocess.run, command, check=True)
            await asyncio.sleep(0.05)
            other.cancel()

    bench.lan.node.call(asyncio.run, noticed())
    assert bench.planes[IPV6].current() is None
    assert bench.planes[IPV4].current() is not None
    bench.put(rules("b"))
    assert bench.call("a", VIP, 80) == ("b", False)


def test_a_client_of_ipv6_stays_with_its_endpoint(bench: Bench) -> None:
    bench.put(rules("a", "b", "outside", sessionAffinity="ClientIP"))
    found = Counter(bench.call("b", VIP, 80) for _ in range(12))
    assert len(found) == 1, found
    ((kept, _),) = found
    bench.put(rules(*({"a", "b", "outside"} - {kept}), sessionAffinity="ClientIP"))
    found = Counter(bench.call("b", VIP, 80) for _ in range(12))
    assert len(found) == 1, found
    assert next(iter(found))[0] != kept


def test_a_udp_flow_of_ipv6_leaves_with_its_endpoint(bench: Bench) -> None:
    def dns(*hosts: str) -> Rules:
        return rules(*hosts, ports=[{"port": 53, "protocol": "UDP"}])

    bench.put(dns("a"))
    with bench.lan.client("b", "udp", 3.0, VIP) as client:
        client.connect((VIP, 53))
        assert bench.lan.ask(client, "b") == ("a", False)
        bench.put(dns("a", "outside"))
        assert bench.lan.ask(client, "b") == ("a", False), "it was not concerned"
        bench.put(dns("outside"))
        assert bench.lan.ask(client, "b") == ("outside", True)
        bench.put(dns())
        with pytest.raises(OSError, match=r"timed out|refused"):
            bench.lan.ask(client, "b")


def test_host_ports_of_ipv6_answer_on_every_address_but_loopback(bench: Bench) -> None:
    document = {
        "metadata": {"uid": "9f1c.x-1"},
        "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 9090, "hostPort": 7070}]}]},
        "status": {"podIPs": [{"ip": ADDRESSES["a"]}, {"ip": A}], "phase": "Running"},
    }
    bench.put(compile_rules((), [msgspec.convert(document, Pod)], NODES[IPV6]))
    assert bench.call("outside", AT_NODE, 7070) == ("a", False)
    assert bench.call("a", AT_NODE, 7070) == ("a", True)
    assert bench.call("node", AT_NODE, 7070) == ("a", False)
    assert bench.call("node", "::1", 7070) == "reject"


def ask(lan: Lan, server: str, kind: str, name: str, record: str) -> dnslib.DNSRecord:
    """From pod a. kind: `udp` or `tcp`."""
    raw = bytes(dnslib.DNSRecord.question(name, record).pack())
    with lan.client("a", kind, 5.0, server) as client:
        client.connect((server, 53))
        client.send(raw if kind == "udp" else len(raw).to_bytes(2, "big") + raw)
        answer = client.recv(65535)
        while kind == "tcp" and len(answer) - 2 < int.from_bytes(answer[:2], "big"):
            answer += client.recv(65535)
    return dnslib.DNSRecord.parse(answer if kind == "udp" else answer[2:])


def test_names_are_asked_for_at_a_cluster_address_of_ipv6(bench: Bench) -> None:
    """The node's own server answers, at the address of its pods' gateway, in both families."""
    zone = Zone()
    zone.put("default", "web", Entry(addresses=("10.96.0.1", VIP)))
    many = tuple(f"fd00:10:244::{last:x}" for last in range(1, 61))
    zone.put("default", "many", Entry(headless=True, addresses=many))
    ways = {IPV4: ("10.96.0.10", GATEWAY), IPV6: (twin("10.96.0.10"), twin(GATEWAY))}
    spec = {
        "clusterIP": ways[IPV4][0],
        "clusterIPs": [address for address, _ in ways.values()],
        "ports": [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53}],
    }
    service = msgspec.convert({"metadata": {"name": "kube-dns", "namespace": "kube-system"}, "spec": spec}, Service)
    for family, (_, gateway) in ways.items():
        own = {"kube-system/kube-dns": Target(gateway, 10053)}
        bench.put(compile_rules([(service, [])], (), msgspec.structs.replace(NODES[family], own=own)))
    listen = [(gateway, 10053) for _, gateway in ways.values()]
    server = Server(zone, Memory(), Forwarder(lambda _: (), SystemIds()), listen, SystemClock())
    bench.lan.node.call(server.bind)
    stop = threading.Event()

    async def serve() -> None:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(server.run())
            await asyncio.to_thread(stop.wait)
            task.cancel()

    thread = bench.lan.node.start(asyncio.run, serve())
    try:
        for address, _ in ways.values():
            for kind in ("udp", "tcp"):
                found = ask(bench.lan, address, kind, "web.default.svc.cluster.local", "AAAA")
                assert [str(each.rdata) for each in found.rr] == [VIP]
            found = ask(bench.lan, address, "udp", "many.default.svc.cluster.local", "A")
            assert (found.header.rcode, found.rr) == (0, []), "no data"
            found = ask(bench.lan, address, "udp", "many.default.svc.cluster.local", "AAAA")
            assert found.header.tc
            found = ask(bench.lan, address, "tcp", "many.default.svc.cluster.local", "AAAA")
            assert {str(each.rdata) for each in found.rr} == set(many)
            backwards = f"{'.'.join(reversed('fd000010009600000000000000000001'))}.ip6.arpa"
            found = ask(bench.lan, address, "udp", backwards, "PTR")
            assert [str(each.rdata) for each in found.rr] == ["web.default.svc.cluster.local."]
    finally:
        stop.set()
        thread.join()


def link_local(lan: Lan, pod: str) -> str:
    shown = lan.hosts[pod].run("ip", "-6", "-o", "addr", "show", "dev", "eth0", "scope", "link").stdout.split()
    return shown[shown.index("inet6") + 1].partition("/")[0]


def reaches_by_link(lan: Lan, address: str) -> bool:
    scope = lan.hosts["b"].call(socket.if_nametoindex, "eth0")
    with lan.hosts["b"].socket(socket.SOCK_STREAM, socket.AF_INET6) as client:
        client.settimeout(0.5)
        return client.connect_ex((address, 8080, 0, scope)) == 0


def test_isolated_pods_find_each_other_and_have_no_way_around(bench: Bench) -> None:
    """Neighbours are asked for through the bridge, which nobody may bar; by the addresses that interfaces make up for
    themselves nobody gets anywhere."""
    address = link_local(bench.lan, "a")
    bench.put(rules())
    assert any(reaches_by_link(bench.lan, address) for _ in range(60)), "while nobody is isolated"
    for let_in in (True, False):
        bench.put(rules(isolation=isolation(letting_in() if let_in else {"podSelector": {}})))
        for host in (*PODS, "node"):
            bench.lan.hosts[host].run("ip", "-6", "neigh", "flush", "all")
        expected = ("a", False) if let_in else "drop"
        assert bench.lan.call("b", A, 8080, wait_s=PATIENT_S if let_in else 0.3) == expected
        assert bench.call("node", A, 8080) == ("a", False), "its node it always hears"
        assert not reaches_by_link(bench.lan, address)


def test_policies_of_ipv6_are_replaced_without_a_gap(bench: Bench) -> None:
    bench.put(rules(isolation=isolation(letting_in(9090))))
    stopped = threading.Event()
    answered: Counter[int] = Counter()

    def hammer(port: int) -> None:
        with bench.lan.client("b", "udp", 0.0, A) as client:
            client.setblocking(False)
            client.bind((B, 0))
            client.connect((A, port))
            while not stopped.wait(0.0005):
                try:
                    client.send(b"?")
                    answered[port] += bool(client.recv(100))
                except OSError:
                    continue

    threads = [threading.Thread(target=hammer, args=(port,)) for port in (8080, 9090)]
    for each in threads:
        each.start()
    try:
        for number in range(20):
            more = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]}
            bench.put(rules(isolation=isolation(letting_in(9090, 7000 + number), *(more,) * (number % 2))))
        deadline_s = time.monotonic() + 30
        while not answered[9090] and time.monotonic() < deadline_s:
            time.sleep(0.01)
    finally:
        stopped.set()
        for each in threads:
            each.join()
    assert answered[8080] == 0, "no policy lets it in"
    assert answered[9090] > 0, "every policy lets it in"
