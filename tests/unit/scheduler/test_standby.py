"""The scheduler that is loaded when something has to be placed: not before, and then nothing is missed."""

from __future__ import annotations

import asyncio
from typing import Any

from navarch.apiserver.call import User
from navarch.apiserver.core import Core
from navarch.base.clock import SystemClock, SystemIds
from navarch.base.metrics import Registry
from navarch.client.informer import Informers
from navarch.kinds import NAMESPACE, NODE, POD, SERVICEACCOUNT
from navarch.kinds.object import Object
from navarch.kinds.registry import DEFAULT
from navarch.scheduler.standby import Standby
from navarch.store.memory import MemoryStore

ATTEMPTS = b"scheduler_schedule_attempts"


def pod(name: str, node: str = "") -> dict[str, Any]:
    spec: dict[str, Any] = {"containers": [{"name": "c", "image": "i"}]}
    if node:
        spec["nodeName"] = node
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def test_it_is_loaded_for_the_first_pod_that_waits() -> None:
    async def play() -> None:
        clock, ids, registry = SystemClock(), SystemIds(), Registry()
        core = Core(MemoryStore(), DEFAULT, clock, ids)
        await core.start()
        client = core.local(User("test", groups=("system:masters",)), "test")
        await client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": "default"},
        }
        await client.create(SERVICEACCOUNT, account)
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}
        await client.create(NODE, node | {"status": {"allocatable": {"cpu": "1", "memory": "1Gi", "pods": "9"}}})
        await client.create(POD, pod("bound", node="n"))
        informers = Informers(client, clock)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(Standby(client, clock, ids, informers, registry).run())]
            tasks.append(group.create_task(informers.run()))
            await informers.synced()
            for _ in range(10):
                await asyncio.sleep(0)
            assert ATTEMPTS not in registry.render(), "nothing waits for it yet"
            placed = asyncio.Event()

            def look(old: Object | None, new: Object | None) -> None:
                if new is not None and new.name == "a" and new.view.spec.node_name:
                    placed.set()

            informers.of(POD).subscribe(look)
            await client.create(POD, pod("a"))
            await asyncio.wait_for(placed.wait(), 60)
            assert ATTEMPTS in registry.render()
            for task in tasks:
                task.cancel()
        await core.close()

    asyncio.run(play())
