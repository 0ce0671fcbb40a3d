"""What load balancers are told, as kube-proxy tells it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import orjson
import pytest

from navarch.base.clock import SystemClock
from navarch.kinds.endpointslice import EndpointSlice
from navarch.kinds.service import Service
from navarch.proxy.health import Check, HealthPorts, Standing, answer, check_of, page

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WELL = Standing(True, True, NOW, NOW)
LOCAL: dict[str, Any] = {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 31000}


def service(**spec: Any) -> Service:
    return msgspec.convert({"metadata": {"name": "web", "namespace": "shop"}, "spec": {**LOCAL, **spec}}, Service)


def slice_of(*endpoints: dict[str, Any]) -> EndpointSlice:
    return msgspec.convert({"endpoints": list(endpoints), "ports": [{"port": 80}]}, EndpointSlice)


def at(address: str, node: str = "n1", **conditions: bool) -> dict[str, Any]:
    return {"addresses": [address], "nodeName": node, "conditions": conditions}


def test_only_ready_endpoints_of_the_node_count_each_once() -> None:
    going = at("10.244.0.7", ready=False, serving=True, terminating=True)
    slices = [slice_of(at("10.244.0.5"), at("10.244.0.6"), going), slice_of(at("10.244.0.5"), at("10.244.1.5", "n2"))]
    assert check_of(service(), slices, "n1") == Check(31000, "shop", "web", 2)
    assert check_of(service(), slices, "n3") == Check(31000, "shop", "web", 0)


def test_who_has_an_address_of_each_family_counts_once() -> None:
    ends = {"endpoints": [at("fd00::5"), at("fd00::6"), at("fd00::7")], "ports": [{"port": 80}], "addressType": "IPv6"}
    slices = [slice_of(at("10.244.0.5"), at("10.244.0.6")), msgspec.convert(ends, EndpointSlice)]
    assert check_of(service(), slices, "n1") == Check(31000, "shop", "web", 3)


@pytest.mark.parametrize(
    "spec", [{"type": "NodePort"}, {"externalTrafficPolicy": "Cluster"}, {"healthCheckNodePort": 0}]
)
def test_others_have_no_port_for_it(spec: dict[str, Any]) -> None:
    assert check_of(service(**spec), [], "n1") is None


def test_what_a_service_answers() -> None:
    some = answer(Check(31000, "shop", "web", 2), WELL)
    assert some.status == 200
    assert orjson.loads(some.body) == {  # type: ignore[arg-type]
        "service": {"namespace": "shop", "name": "web"},
        "localEndpoints": 2,
        "serviceProxyHealthy": True,
    }
    headers = dict(some.headers)
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Load-Balancing-Endpoint-Weight"] == "2"
    assert answer(Check(31000, "shop", "web", 0), WELL).status == 503
    unwell = answer(Check(31000, "shop", "web", 2), WELL._replace(healthy=False))
    assert (unwell.status, orjson.loads(unwell.body)["serviceProxyHealthy"]) == (503, False)  # type: ignore[arg-type]


def test_what_the_proxy_answers() -> None:
    leaving, unwell = WELL._replace(eligible=False), WELL._replace(healthy=False)
    assert [page("/healthz", each).status for each in (WELL, leaving, unwell)] == [200, 503, 503]
    assert [page("/livez", each).status for each in (WELL, leaving, unwell)] == [200, 200, 503]
    assert orjson.loads(page("/healthz", leaving).body)["nodeEligible"] is False  # type: ignore[arg-type]
    assert page("/metrics", WELL).status == 404


@dataclass
class Bench:
    ports: HealthPorts
    address: str = "127.113.5.9"

    async def ask(self, port: int, path: str = "/") -> tuple[int, bytes]:
        """Once somebody listens there."""
        async with asyncio.timeout(60):
            while True:
                try:
                    reader, writer = await asyncio.open_connection(self.address, port)
                except ConnectionRefusedError:
                    await asyncio.sleep(0.01)
                    continue
                writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                said = await reader.read()
                writer.close()
                return int(said.split()[1]), said.partition(b"\r\n\r\n")[2]

    async def refuses(self, port: int) -> None:
        async with asyncio.timeout(60):
            while True:
                try:
                    _, writer = await asyncio.open_connection(self.address, port)
                except ConnectionRefusedError:
                    return
                writer.close()
                await asyncio.sleep(0.01)


@asynccontextmanager
async def running(bench: Bench) -> Any:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(bench.ports.run())
        yield
        task.cancel()


def test_ports_open_and_close_with_their_services() -> None:
    async def main() -> None:
        bench = Bench(HealthPorts(["127.113.5.9"], lambda: WELL, SystemClock(), 21256))
        bench.ports.put("shop/web", Check(21257, "shop", "web", 1))
        async with running(bench):
            status, body = await bench.ask(21257)
            assert (status, orjson.loads(body)["localEndpoints"]) == (200, 1)
            assert (await bench.ask(21256, "/healthz"))[0] == 200
            bench.ports.put("shop/web", Check(21257, "shop", "web", 0))
            assert (await bench.ask(21257))[0] == 503
            bench.ports.put("shop/web", Check(21258, "shop", "web", 3))
            assert (await bench.ask(21258))[0] == 200
            await bench.refuses(21257)
            bench.ports.put("shop/web", None)
            await bench.refuses(21258)

    asyncio.run(main())


def test_a_port_that_is_taken_is_taken_once_it_is_free() -> None:
    async def main() -> None:
        bench = Bench(HealthPorts(["127.113.5.9"], lambda: WELL, SystemClock(), 21259))
        taken = await asyncio.start_server(lambda reader, writer: writer.close(), "127.113.5.9", 21259)
        async with running(bench):
            await asyncio.sleep(0)
            taken.close()
            async with asyncio.timeout(60):
                while True:
                    try:
                        status, _ = await bench.ask(21259, "/livez")
                        break
                    except (IndexError, OSError):
                        await asyncio.sleep(0.05)
            assert status == 200

    asyncio.run(main())
