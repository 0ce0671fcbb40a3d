"""The cluster's own objects come back when somebody deletes them."""

from __future__ import annotations

import asyncio

from server_driver import ADMIN, Served, served

from navarch.apiserver.bootstrap import Place
from navarch.apiserver.restore import restore

PLACE = Place("10.96.0.1", ("192.0.2.1",), 6443)
SERVICE = "/api/v1/namespaces/default/services/kubernetes"
SLICE = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"
LEASES = "/api/v1/namespaces/kube-node-lease"


async def back(server: Served, path: str, uid: str) -> None:
    for _ in range(200):
        status, found = await server.ask("GET", path)
        if status == 200 and found["metadata"]["uid"] != uid:
            return
        await asyncio.sleep(0)
    raise AssertionError(f"{path} did not come back")


def test_what_is_deleted_comes_back_each_time() -> None:
    async def scenario(server: Served) -> None:
        keeping = asyncio.get_running_loop().create_task(restore(server.client, lambda: PLACE, server.clock))
        try:
            for path in (SERVICE, SLICE, SERVICE):
                uid = (await server.ask("GET", path))[1]["metadata"]["uid"]
                assert (await server.ask("DELETE", path, ADMIN))[0] == 200
                await back(server, path, uid)
            found = (await server.ask("GET", SERVICE))[1]
            assert found["spec"]["clusterIP"] == PLACE.service_ip
        finally:
            keeping.cancel()

    served(scenario, PLACE)


def test_without_a_place_only_namespaces_are_kept() -> None:
    async def scenario(server: Served) -> None:
        keeping = asyncio.get_running_loop().create_task(restore(server.client, None, server.clock))
        try:
            uid = (await server.ask("GET", LEASES))[1]["metadata"]["uid"]
            await server.ask("DELETE", LEASES, ADMIN)
            finalized = (await server.ask("GET", LEASES))[1] | {"spec": {"finalizers": []}}
            await server.ask("PUT", f"{LEASES}/finalize", ADMIN, finalized)
            await back(server, LEASES, uid)
            assert (await server.ask("GET", SERVICE))[0] == 404
        finally:
            keeping.cancel()

    served(scenario, None)
