"""Events go an hour after their last write."""

from __future__ import annotations

import asyncio

import pytest
from api_driver import Api, Refused, run

from navarch.base.errors import StorageFull
from navarch.store.memory import MemoryStore

EVENTS = "/api/v1/namespaces/default/events"


def event(name: str, **more: object) -> dict[str, object]:
    about = {"kind": "Pod", "name": "web", "namespace": "default"}
    return {"metadata": {"name": name}, "involvedObject": about, "message": "m", **more}


async def names(api: Api) -> list[str]:
    return [item["metadata"]["name"] for item in (await api.get(EVENTS))["items"]]


async def settled() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def turn(api: Api, seconds: float) -> None:
    api.clock.turn(seconds)
    await settled()


def test_an_event_goes_an_hour_after_its_last_write_and_watchers_are_told() -> None:
    async def test(api: Api) -> None:
        await api.post(EVENTS, event("a"))
        await api.post(EVENTS, event("b"))
        await settled()
        await turn(api, 1800)
        await api.merge(f"{EVENTS}/b", {"count": 2})
        await api.post(EVENTS, event("c"))
        watch = await api.watch(f"{EVENTS}?watch=1&resourceVersion={api.store.revision}")
        await turn(api, 1800)
        assert await names(api) == ["b", "c"]
        assert (await watch.event())["type"] == "DELETED"
        await watch.close()
        await turn(api, 1799)
        assert await names(api) == ["b", "c"]
        await turn(api, 1)
        assert await names(api) == []
        assert len(api.core._expiry) == 0
        assert [key for key in api.store._rows if "/events/" in key] == []

    run(test)


def test_a_new_start_goes_by_what_the_events_say() -> None:
    store = MemoryStore()

    async def first(api: Api) -> None:
        old = "2026-01-02T01:00:00Z"
        await api.post(EVENTS, event("old", lastTimestamp=old, firstTimestamp=old))
        await api.post(EVENTS, event("new", lastTimestamp="2026-01-02T03:00:00Z"))
        await api.post(EVENTS, event("future", lastTimestamp="2099-01-01T00:00:00Z"))

    run(first, store=store)

    async def again(api: Api) -> None:
        await settled()
        assert await names(api) == ["future", "new"]
        await turn(api, 3600)
        assert await names(api) == []

    run(again, store=store, namespaces=())


def test_an_expiry_that_the_store_refuses_is_tried_again() -> None:
    async def test(api: Api) -> None:
        await api.post(EVENTS, event("a"))
        await settled()
        remove = api.store.delete

        async def full(key: str, expect: int) -> int:
            raise StorageFull("no room")

        api.store.delete = full  # type: ignore[method-assign]
        await turn(api, 3600)
        assert await names(api) == ["a"]
        api.store.delete = remove  # type: ignore[method-assign]
        await turn(api, 60)
        with pytest.raises(Refused, match="not found"):
            await api.get(f"{EVENTS}/a")

    run(test)
