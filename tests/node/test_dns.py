"""Cluster DNS over real sockets: questions by datagram and stream, others passed on to a server of the test's own.

Everything happens in one network namespace, so that nothing is asked of the host's own servers.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import dnslib
import pytest

from navarch.apiserver.call import User
from navarch.apiserver.core import Core
from navarch.base.clock import SystemClock, SystemIds
from navarch.client.informer import Informers
from navarch.dns import wire
from navarch.dns.run import Dns
from navarch.kinds import CONFIGMAP, ENDPOINTSLICE, NAMESPACE, SERVICE
from navarch.kinds.registry import DEFAULT
from navarch.store.memory import MemoryStore
from navarch.testing.netns import NetworkNamespace

pytestmark = pytest.mark.node

LISTEN = ("127.0.0.1", 10053)
UPSTREAM = ("127.0.0.2", 5353)
STUB = ("127.0.0.4", 53)
BASE = "default.svc.cluster.local"


class Upstream:
    """Knows a few names; counts what it is asked. lies: sends a wrong answer before the right one."""

    def __init__(self, namespace: NetworkNamespace, address: tuple[str, int] = UPSTREAM) -> None:
        self.asked: list[str] = []
        self.answering = threading.Event()
        self.answering.set()
        self.lies = False
        self._udp, self._tcp = namespace.socket(socket.SOCK_DGRAM), namespace.socket(socket.SOCK_STREAM)
        for each in (self._udp, self._tcp):
            each.bind(address)
        self._tcp.listen()
        for loop in (self._datagrams, self._streams):
            threading.Thread(target=loop, daemon=True).start()

    def close(self) -> None:
        for each in (self._udp, self._tcp):
            each.close()

    def answer(self, raw: bytes, stream: bool) -> bytes:
        request = dnslib.DNSRecord.parse(raw)
        name = str(request.q.qname).lower()
        self.asked.append(name)
        reply = request.reply()
        if name == "big.example.":
            for last in range(1, 101 if stream else 2):
                reply.add_answer(*dnslib.RR.fromZone(f"big.example. 60 A 203.0.113.{last}"))
            reply.header.tc = int(not stream)
        elif name.endswith(("example.", "corp.test.")):
            reply.add_answer(*dnslib.RR.fromZone(f"{name} 60 A 203.0.113.7"))
        elif name == "broken.test.":
            reply.header.rcode = 2
        else:
            reply.header.rcode = 3
            reply.add_auth(*dnslib.RR.fromZone(". 60 SOA ns. h. 1 2 3 4 60"))
        return bytes(reply.pack())

    def _datagrams(self) -> None:
        while True:
            try:
                raw, peer = self._udp.recvfrom(4096)
                self.answering.wait()
                answer = self.answer(raw, False)
                if self.lies:
                    self._udp.sendto(
                        bytes([raw[0] ^ 1]) + answer[1:].replace(b"\xcb\x00\x71\x07", b"\x06\x06\x06\x06"), peer
                    )
                self._udp.sendto(answer, peer)
            except OSError:
                return

    def _streams(self) -> None:
        while True:
            try:
                connection, _ = self._tcp.accept()
                with connection:
                    raw = connection.recv(4096)[2:]
                    answer = self.answer(raw, True)
                    connection.sendall(len(answer).to_bytes(2, "big") + answer)
            except OSError:
                return


class Bench:
    def __init__(self, core: Core, upstream: Upstream, stub: Upstream) -> None:
        self.clock = SystemClock()
        self.upstream = upstream
        self.stub = stub
        self.servers = [UPSTREAM]
        self.client = core.local(User("system:admin", groups=("system:masters",)), "test")
        self.informers = Informers(self.client, self.clock)
        self.dns = Dns(self.informers, [LISTEN], lambda: self.servers, self.clock, SystemIds())

    async def service(self, name: str, **spec: Any) -> None:
        ports = [{"name": "http", "port": 80}]
        await self.client.create(
            SERVICE, {"metadata": {"name": name, "namespace": "default"}, "spec": {"ports": ports, **spec}}
        )

    async def slice(self, name: str, *addresses: str, revision: str = "") -> None:
        metadata = {"name": f"{name}-x", "namespace": "default", "labels": {"kubernetes.io/service-name": name}}
        document: dict[str, Any] = {"metadata": metadata, "addressType": "IPv4"}
        document["ports"] = [{"name": "http", "port": 8080}]
        document["endpoints"] = [{"addresses": [each]} for each in addresses]
        await self.client.apply(ENDPOINTSLICE, {**document, **HEADER}, manager="test", force=True)

    async def ask(self, name: str, kind: str = "A", *, stream: bool = False) -> dnslib.DNSRecord:
        question = dnslib.DNSRecord.question(name, kind)
        return dnslib.DNSRecord.parse(await self.exchange(bytes(question.pack()), stream=stream))

    async def exchange(self, raw: bytes, *, stream: bool = False) -> bytes:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(60):
            if stream:
                reader, writer = await asyncio.open_connection(*LISTEN)
                writer.write(len(raw).to_bytes(2, "big") + raw)
                answer = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
                writer.close()
                return answer
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
                udp.setblocking(False)
                udp.connect(LISTEN)
                udp.send(raw)
                return await loop.sock_recv(udp, 65535)

    async def addresses(self, name: str, **more: Any) -> list[str]:
        return sorted(str(each.rdata) for each in (await self.ask(name, **more)).rr)

    async def until(self, name: str, expected: list[str]) -> None:
        async with asyncio.timeout(60):
            while await self.addresses(name) != expected:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


HEADER = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice"}
Run = Callable[[Callable[[Bench], Awaitable[None]]], None]


@pytest.fixture
def run() -> Iterator[Run]:
    if os.geteuid():
        pytest.fail("network namespaces need root")

    async def main(steps: Callable[[Bench], Awaitable[None]], *others: Upstream) -> None:
        core = Core(MemoryStore(), DEFAULT, SystemClock(), SystemIds())
        await core.start()
        bench = Bench(core, *others)
        for name in ("default", "kube-system"):
            await bench.client.create(NAMESPACE, {"metadata": {"name": name}})
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(bench.informers.run()), group.create_task(bench.dns.run())]
            async with asyncio.timeout(60):
                while not await bench.dns.answers():  # noqa: ASYNC110 - what `up` does
                    await asyncio.sleep(0.01)
            await steps(bench)
            for task in tasks:
                task.cancel()
        await core.close()

    with NetworkNamespace("dns") as namespace:
        others = Upstream(namespace), Upstream(namespace, STUB)
        yield lambda steps: namespace.call(asyncio.run, main(steps, *others))
        for each in others:
            each.close()


def test_services_come_change_and_go(run: Run) -> None:
    async def steps(bench: Bench) -> None:
        assert (await bench.ask(f"web.{BASE}")).header.rcode == 3
        await bench.service("web", clusterIP="10.96.0.77", selector={"app": "web"})
        await bench.until(f"web.{BASE}", ["10.96.0.77"])
        assert await bench.addresses(f"web.{BASE}", stream=True) == ["10.96.0.77"]
        srv = await bench.ask(f"_http._tcp.web.{BASE}", "SRV")
        assert str(srv.rr[0].rdata) == f"0 100 80 web.{BASE}."
        assert str((await bench.ask("77.0.96.10.in-addr.arpa", "PTR")).rr[0].rdata) == f"web.{BASE}."
        await bench.client.delete(SERVICE, "default", "web")
        await bench.until(f"web.{BASE}", [])
        assert (await bench.ask(f"web.{BASE}")).header.rcode == 3

    run(steps)


def test_headless_services_follow_their_endpoints_and_take_turns(run: Run) -> None:
    async def steps(bench: Bench) -> None:
        await bench.service("db", clusterIP="None")
        await bench.slice("db", "10.244.0.5", "10.244.0.6", "10.244.0.7")
        await bench.until(f"db.{BASE}", ["10.244.0.5", "10.244.0.6", "10.244.0.7"])
        first = [str((await bench.ask(f"db.{BASE}")).rr[0].rdata) for _ in range(6)]
        assert {first.count(address) for address in first} == {2}, "those who take the first one spread"
        await bench.slice("db", "10.244.0.9")
        await bench.until(f"db.{BASE}", ["10.244.0.9"])
        assert await bench.addresses(f"10-244-0-9.db.{BASE}") == ["10.244.0.9"]

    run(steps)


def test_long_answers_are_truncated_and_whole_over_a_stream(run: Run) -> None:
    async def steps(bench: Bench) -> None:
        addresses = [f"10.244.1.{last}" for last in range(1, 151)]
        await bench.service("many", clusterIP="None")
        await bench.slice("many", *addresses[:75])
        async with asyncio.timeout(60):
            while not (await bench.ask(f"many.{BASE}")).header.tc:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert len(await bench.addresses(f"many.{BASE}")) == (512 - 12 - len(f"many.{BASE}") - 2 - 4) // 16
        assert len(await bench.addresses(f"many.{BASE}", stream=True)) == 75

    run(steps)


def test_other_names_are_asked_of_others_once(run: Run) -> None:
    async def steps(bench: Bench) -> None:
        bench.upstream.answering.clear()
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(bench.exchange(wire.ask(number, "www.example", "A"))) for number in range(50)]
            await asyncio.sleep(0.1)
            bench.upstream.answering.set()
        for number, each in enumerate(asked):
            answer = dnslib.DNSRecord.parse(each.result())
            assert answer.header.id == number
            assert [str(record.rdata) for record in answer.rr] == ["203.0.113.7"]
        assert bench.upstream.asked == ["www.example."]
        assert (await bench.ask("gone.test")).header.rcode == 3
        assert (await bench.ask("gone.test")).header.rcode == 3
        assert bench.upstream.asked.count("gone.test.") == 1

    run(steps)


def test_only_the_right_answer_is_believed(run: Run) -> None:
    async def steps(bench: Bench) -> None:
        bench.upstream.lies = True
        assert await bench.addresses("bank.example") == ["203.0.113.7"]

    run(steps)


def test_long_answers_of_others_come_whole_over_a_stream(run: Run) -> None:
    async def steps(bench: Bench) -> None:
        assert (await bench.ask("big.example")).header.tc
        assert len(await bench.addresses("big.example", stream=True)) == 100

    run(steps)


def test_a_server_that_is_away_is_passed_over_and_nobody_is_an_error(run: Run) -> None:
    async def steps(bench: Bench) -> None:
        bench.servers = [("127.0.0.3", 5353), UPSTREAM]
        assert await bench.addresses("a.example") == ["203.0.113.7"]
        bench.servers = []
        assert (await bench.ask("b.example")).header.rcode == 2
        bench.servers = [UPSTREAM]
        assert (await bench.ask("broken.test")).header.rcode == 2
        assert await bench.addresses("b.example") == ["203.0.113.7"], "a failure is not remembered"

    run(steps)


def test_stub_domains_and_upstreams_are_those_that_people_name(run: Run) -> None:
    async def steps(bench: Bench) -> None:
        assert (await bench.ask("db.corp.test")).header.rcode == 0
        assert bench.upstream.asked == ["db.corp.test."]
        data = {"stubDomains": '{"corp.test": ["127.0.0.4"], "bad.test": ["nobody"]}'}
        metadata = {"name": "kube-dns", "namespace": "kube-system"}
        await bench.client.create(CONFIGMAP, {"metadata": metadata, "data": data})
        async with asyncio.timeout(60):
            while "db.corp.test." not in bench.stub.asked:
                await bench.ask("db.corp.test")
        assert (await bench.addresses("other.example")) == ["203.0.113.7"]
        assert bench.stub.asked == ["db.corp.test."], "what was remembered of others was asked again, and kept"
        assert bench.upstream.asked[1:] == ["other.example."]

        data = {"upstreamNameservers": '["127.0.0.4:53", "127.0.0.1"]'}
        header = {"apiVersion": "v1", "kind": "ConfigMap"}
        document = {**header, "metadata": metadata, "data": data}
        await bench.client.apply(CONFIGMAP, document, manager="test", force=True)
        async with asyncio.timeout(60):
            while "other.example." not in bench.stub.asked:
                await bench.ask("other.example")
        await bench.client.delete(CONFIGMAP, "kube-system", "kube-dns")
        before = len(bench.upstream.asked)
        async with asyncio.timeout(60):
            while len(bench.upstream.asked) == before:
                await bench.ask("other.example")

    run(steps)


def test_an_external_name_comes_with_its_addresses(run: Run) -> None:
    async def steps(bench: Bench) -> None:
        await bench.service("ext", type="ExternalName", externalName="db.example")
        await bench.service("inner", type="ExternalName", externalName=f"web.{BASE}")
        await bench.service("web", clusterIP="10.96.0.77")
        await bench.until(f"ext.{BASE}", ["203.0.113.7", "db.example."])
        await bench.until(f"inner.{BASE}", ["10.96.0.77", f"web.{BASE}."])
        assert await bench.addresses(f"ext.{BASE}", stream=True) == ["203.0.113.7", "db.example."]

    run(steps)


def test_nonsense_is_refused_or_ignored_and_harms_nobody(run: Run) -> None:
    async def steps(bench: Bench) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            for data in (b"", b"x", b"\0" * 12, os.urandom(500), b"\xff" * 4000):
                udp.sendto(data, LISTEN)
        reader, writer = await asyncio.open_connection(*LISTEN)
        writer.write(b"\xff\xffnot so long")
        writer.close()
        refused = await bench.exchange(b"\0\x07" + (5 << 11).to_bytes(2, "big") + b"\0\1" + b"\0" * 6)
        assert dnslib.DNSRecord.parse(refused).header.rcode == 4
        assert await bench.dns.answers()
        del reader

    run(steps)


def test_a_taken_port_is_waited_for(run: Run) -> None:
    async def steps(bench: Bench) -> None:
        second = Dns(bench.informers, [LISTEN], lambda: (), bench.clock, SystemIds())
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(second.run())
            await asyncio.sleep(0.05)
            assert not waiting.done()
            waiting.cancel()
        assert await bench.dns.answers()

    run(steps)
