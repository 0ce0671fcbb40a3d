"""The control plane as a whole: it does not outlive the part that everything else stands on."""

from __future__ import annotations

import asyncio

import pytest

from navarch.apiserver.call import ITSELF
from navarch.apiserver.watchcache import WatchCache
from navarch.app.control_plane import ControlPlane, Settings
from navarch.base.clock import SystemClock, SystemIds
from navarch.base.errors import ApiError
from navarch.base.pki import new_key
from navarch.kinds import CONFIGMAP
from navarch.store.memory import MemoryStore


def test_a_bug_in_following_the_store_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        store = MemoryStore()
        plane = ControlPlane(store, SystemClock(), SystemIds(), Settings(new_key()))
        await plane.start()
        ready = asyncio.Event()
        running = asyncio.get_running_loop().create_task(plane.run(ready))
        await ready.wait()

        def broken(*_: object) -> None:
            raise ZeroDivisionError("planted")

        monkeypatch.setattr(WatchCache, "apply", broken)
        client = plane.client(ITSELF, "test")
        document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}}
        with pytest.raises(ApiError):
            await client.create(CONFIGMAP, document)
        with pytest.raises(BaseExceptionGroup) as ended:
            async with asyncio.timeout(60):
                await running
        assert ended.value.split(ZeroDivisionError)[0] is not None
        await plane.close()
        await store.close()

    asyncio.run(play())


def test_stopping_it_is_no_failure() -> None:
    async def play() -> None:
        plane = ControlPlane(MemoryStore(), SystemClock(), SystemIds(), Settings(new_key()))
        await plane.start()
        ready = asyncio.Event()
        running = asyncio.get_running_loop().create_task(plane.run(ready))
        await ready.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await plane.close()

    asyncio.run(play())
