"""Several API servers on one store: the Service `kubernetes` leads to those that live."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

from api_driver import START
from server_driver import Served, served

from navarch.apiserver.bootstrap import Place, place_documents
from navarch.apiserver.presence import (
    Presence,
    Reached,
    Sighting,
    is_over,
    joined,
    living,
    name_of,
    reached,
    seen,
)
from navarch.base.clock import rfc3339_micro

LABEL = "apiserver.kubernetes.io/identity=kube-apiserver"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/kube-system/leases?labelSelector={LABEL}"
ENDPOINTS = "/api/v1/namespaces/default/endpoints/kubernetes"
SLICE = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"


RENEW_S = 10.0


def place(*addresses: str, port: int = 6443) -> Place:
    return Place("10.96.0.1", addresses, port)


A, B = name_of("a", Reached(("192.0.2.1",), 6443)), name_of("b", Reached(("192.0.2.2",), 6443))
ONE, TWO = place("192.0.2.1"), place("192.0.2.2")


def presence(server: Served, own: Place, host: str) -> Presence:
    return Presence(server.client, server.clock, own, host, "run")


async def addresses(server: Served) -> tuple[list[str], list[str]]:
    """As Endpoints have them, and as the slice has."""
    endpoints = (await server.ask("GET", ENDPOINTS))[1]
    slice_ = (await server.ask("GET", SLICE))[1]
    return (
        [one["ip"] for subset in endpoints["subsets"] for one in subset["addresses"]],
        [address for one in slice_["endpoints"] for address in one["addresses"]],
    )


async def until(server: Served, wanted: list[str]) -> None:
    async with asyncio.timeout(20):
        while await addresses(server) != (wanted, wanted):  # noqa: ASYNC110 - other tasks write them
            await asyncio.sleep(0.005)


async def turn(server: Served, seconds: float) -> None:
    """Once whoever is to hear of it has gone to sleep."""
    async with asyncio.timeout(20):
        while not server.clock.sleeps(RENEW_S):  # noqa: ASYNC110 - another task does
            await asyncio.sleep(0.005)
    server.clock.turn(seconds)


async def leases(server: Served) -> list[Any]:
    found: list[Any] = (await server.ask("GET", LEASES))[1]["items"]
    return found


async def stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def test_all_living_servers_are_listed_and_who_leaves_is_not() -> None:
    async def scenario(server: Served) -> None:
        first = asyncio.create_task(presence(server, ONE, "a").run())
        await until(server, ["192.0.2.1"])
        second = asyncio.create_task(presence(server, TWO, "b").run())
        await until(server, ["192.0.2.1", "192.0.2.2"])
        found = await leases(server)
        assert {one["metadata"]["name"] for one in found} == {A, B}
        assert {one["spec"]["leaseDurationSeconds"] for one in found} == {3600}
        assert {one["spec"]["holderIdentity"] for one in found} == {f"{A}_run", f"{B}_run"}
        await stopped(first)
        await until(server, ["192.0.2.2"])
        await stopped(second)
        assert (await addresses(server))[0] == ["192.0.2.2"], "the last one leaves its address"

    served(scenario, ONE)


def test_who_falls_silent_is_forgotten_and_its_lease_removed_later() -> None:
    async def scenario(server: Served) -> None:
        await presence(server, ONE, "a").announce()  # and nothing more, as if it had been killed
        second = asyncio.create_task(presence(server, TWO, "b").run())
        await until(server, ["192.0.2.1", "192.0.2.2"])
        await turn(server, 16)
        await until(server, ["192.0.2.2"])
        assert len(await leases(server)) == 2
        await turn(server, 3600)
        async with asyncio.timeout(20):
            while len(await leases(server)) > 1:
                server.clock.turn(16)  # it may not have gone to sleep when the hour passed
                await asyncio.sleep(0.005)
        await stopped(second)

    served(scenario, ONE)


def test_endpoints_that_somebody_changed_are_put_right() -> None:
    async def scenario(server: Served) -> None:
        running = asyncio.create_task(presence(server, ONE, "a").run())
        await until(server, ["192.0.2.1"])
        document = (await server.ask("GET", ENDPOINTS))[1]
        document["subsets"][0]["addresses"] = [{"ip": "192.0.2.9"}]
        assert (await server.ask("PUT", ENDPOINTS, body=document))[0] == 200
        await turn(server, 11)
        await until(server, ["192.0.2.1"])
        before = [(await server.ask("GET", path))[1]["metadata"]["resourceVersion"] for path in (ENDPOINTS, SLICE)]
        for _ in range(3):
            renewed = (await leases(server))[0]["spec"]["renewTime"]
            await turn(server, 11)
            async with asyncio.timeout(20):
                while (await leases(server))[0]["spec"]["renewTime"] == renewed:  # noqa: ASYNC110 - another task writes
                    await asyncio.sleep(0.005)
        after = [(await server.ask("GET", path))[1]["metadata"]["resourceVersion"] for path in (ENDPOINTS, SLICE)]
        assert after == before, "what is right is not written again"
        await stopped(running)

    served(scenario, ONE)


def test_who_is_heard_of_lives() -> None:
    first = seen({}, [("a", 5), ("b", 6)], 100.0)
    later = seen(first, [("a", 5), ("b", 7), ("c", 9)], 110.0)
    assert later == {"a": Sighting(5, 100.0), "b": Sighting(7, 110.0), "c": Sighting(9, 110.0)}
    said = {"a": Reached(("1",), 1), "b": Reached(("0",), 1), "c": None}
    assert living(later, said, 111.0) == [Reached(("0",), 1), Reached(("1",), 1)]
    assert living(later, said, 116.0) == [Reached(("0",), 1)]


def test_what_is_right_need_not_be_put_right() -> None:
    """Else all Endpoints of the cluster were listed with every renewal."""

    async def scenario(server: Served) -> None:
        for kind, wanted in place_documents(place("192.0.2.2", "192.0.2.1")):
            path = ENDPOINTS if kind.name == "Endpoints" else SLICE
            found = (await server.ask("GET", path))[1]
            assert {field: found.get(field) for field in wanted if field != "metadata"} == {
                field: value for field, value in wanted.items() if field != "metadata"
            }

    served(scenario, place("192.0.2.2", "192.0.2.1"))


def test_servers_agree_on_a_port() -> None:
    servers = [Reached(("192.0.2.2",), 7443), Reached(("192.0.2.1",), 6443), Reached(("192.0.2.3",), 6443)]
    for own in (ONE, place("192.0.2.2", port=7443)):
        found = joined(own, servers)
        assert (found.addresses, found.port) == (("192.0.2.1", "192.0.2.3"), 6443)
    assert joined(ONE, []) == ONE


def test_what_a_lease_says() -> None:
    def lease(**annotations: str) -> dict[str, Any]:
        return {"metadata": {"annotations": {f"navarch.dev/{name}": value for name, value in annotations.items()}}}

    assert reached(lease(addresses="192.0.2.1,192.0.2.2", port="6443")) == Reached(("192.0.2.1", "192.0.2.2"), 6443)
    for bad in (lease(), lease(addresses="192.0.2.1"), lease(port="1"), lease(addresses="a", port="b"), {}):
        assert reached(bad) is None
    renewed = {"spec": {"renewTime": rfc3339_micro(START), "leaseDurationSeconds": 10}}
    assert not is_over(renewed, START + timedelta(seconds=10))
    assert is_over(renewed, START + timedelta(seconds=11))
    assert is_over({"spec": {"renewTime": "yesterday"}}, START)
