"""The cache shows what the client shows, in order, and says so to its handlers, whatever happens to the watch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.base.clock import LoopClock
from navarch.base.errors import Retryable
from navarch.client.client import ObjectList, WatchEvent
from navarch.client.informer import Informer, Informers
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object

THING = Kind(group="example.com", version="v1", name="Thing", plural="things")
OTHER = Kind(group="example.com", version="v1", name="Other", plural="others")


def thing(name: str, namespace: str = "default", **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, **metadata}}


def owned(name: str, uid: str) -> dict[str, Any]:
    return thing(name, ownerReferences=[{"apiVersion": "v1", "kind": "Other", "name": "o", "uid": uid}])


def play(client: Any, script: Callable[[Informers, Informer], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        informers = Informers(client, LoopClock(datetime(2030, 1, 1, tzinfo=UTC), asyncio.get_running_loop()))
        informer = informers.of(THING)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(informers.run())
            await informers.synced()
            await script(informers, informer)
            running.cancel()

    asyncio.run(main())


def test_it_lists_then_follows(client: Any, until: Any) -> None:
    client.put(THING, thing("a"))
    client.put(OTHER, thing("not-mine"))

    async def script(informers: Informers, informer: Informer) -> None:
        assert [found.name for found in informer.list()] == ["a"]
        heard: list[tuple[str, str]] = []
        informer.subscribe(lambda old, new: heard.append((old.name if old else "", new.name if new else "")))
        assert heard == [("", "a")]
        client.put(THING, thing("b", "other"))
        client.put(THING, thing("a", labels={"new": "yes"}))
        client.remove(THING, "other", "b")
        await until(lambda: informer.revision == client.revision)
        assert heard == [("", "a"), ("", "b"), ("a", "a"), ("b", "")]
        assert informer.get("default", "a") is client.objects[(THING, "default", "a")], "objects are shared"
        assert informer.get("other", "b") is None
        assert informer.list("other") == []
        assert informer.relists == 1

    play(client, script)


def test_indexes_follow_changes(client: Any, until: Any) -> None:
    client.put(THING, owned("a", "one"))

    async def script(informers: Informers, informer: Informer) -> None:
        informer.index("color", lambda found: [found.labels["color"]] if "color" in found.labels else [])
        client.put(THING, owned("a", "two"))
        client.put(THING, thing("b", labels={"color": "red"}))
        await until(lambda: len(informer) == 2)
        assert informer.owned_by("one") == []
        assert [found.name for found in informer.owned_by("two")] == ["a"]
        assert [found.name for found in informer.by("color", "red")] == ["b"]
        client.put(THING, thing("b", labels={"color": "blue"}))
        await until(lambda: bool(informer.by("color", "blue")))
        assert informer.by("color", "red") == []

    play(client, script)


def test_an_expired_watch_lists_again_and_tells_the_difference(client: Any, until: Any) -> None:
    for name in ("kept", "gone", "changed"):
        client.put(THING, thing(name))

    async def script(informers: Informers, informer: Informer) -> None:
        heard: list[str] = []
        informer.subscribe(lambda old, new: heard.append(f"{old.name if old else ''}>{new.name if new else ''}"))
        heard.clear()
        client.held = True
        client.remove(THING, "default", "gone")
        client.put(THING, thing("changed", labels={"a": "b"}))
        client.put(THING, thing("new"))
        client._log.clear()
        client.expire()
        await until(lambda: informer.relists == 2)
        assert heard == ["gone>", "changed>changed", ">new"]
        assert informer.revision == client.revision

    play(client, script)


def test_an_object_made_anew_between_lists_is_lost_first(client: Any, until: Any) -> None:
    client.put(THING, thing("a", uid="first"))

    async def script(informers: Informers, informer: Informer) -> None:
        heard: list[tuple[str, str]] = []
        informer.subscribe(lambda old, new: heard.append((old.uid if old else "", new.uid if new else "")))
        client.held = True
        client.remove(THING, "default", "a")
        client.put(THING, thing("a", uid="second"))
        client._log.clear()
        client.expire()
        await until(lambda: informer.relists == 2)
        assert heard == [("", "first"), ("first", ""), ("", "second")]

    play(client, script)


def test_a_failing_server_is_asked_again_with_growing_delays(client: Any) -> None:
    client.failures["list"] = [Retryable("away")] * 3

    async def main() -> None:
        slept: list[float] = []

        class Clock(LoopClock):
            async def sleep(self, seconds: float) -> None:
                slept.append(seconds)

        informers = Informers(client, Clock(datetime(2030, 1, 1, tzinfo=UTC), asyncio.get_running_loop()))
        informers.of(THING)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(informers.run())
            await informers.synced()
            running.cancel()
        assert slept == [0.05, 0.1, 0.2]

    asyncio.run(main())


def test_a_watch_that_the_server_ends_goes_on_where_it_was(client: Any, until: Any) -> None:
    async def script(informers: Informers, informer: Informer) -> None:
        client.put(THING, thing("a"))
        await until(lambda: len(informer) == 1)
        client.end_watches()
        client.put(THING, thing("b"))
        await until(lambda: len(informer) == 2)
        assert informer.relists == 1

    play(client, script)


def test_waiting_for_a_revision_and_for_a_loss(client: Any, until: Any) -> None:
    client.put(THING, thing("a", uid="first"))

    async def script(informers: Informers, informer: Informer) -> None:
        heard: list[str] = []
        informer.when_reached(client.revision, lambda: heard.append("at once"))
        informer.when_reached(client.revision + 2, lambda: heard.append("bookmark"))
        informer.when_lost(("default", "a"), "first", lambda: heard.append("lost"))
        informer.when_lost(("default", "a"), "other", lambda: heard.append("was never there"))
        assert heard == ["at once", "was never there"]
        client.put(OTHER, thing("x"))
        client.put(OTHER, thing("y"))
        client.bookmark(THING)
        await until(lambda: "bookmark" in heard)
        assert "lost" not in heard
        client.remove(THING, "default", "a")
        await until(lambda: "lost" in heard)

    play(client, script)


def test_a_handler_that_fails_harms_nobody_else(client: Any, until: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def script(informers: Informers, informer: Informer) -> None:
        def broken(old: Object | None, new: Object | None) -> None:
            raise ZeroDivisionError

        heard: list[Object | None] = []
        informer.subscribe(broken)
        informer.subscribe(lambda old, new: heard.append(new))
        client.put(THING, thing("a"))
        await until(lambda: len(heard) == 1)
        assert "ZeroDivisionError" in caplog.text

    play(client, script)


def test_informers_asked_for_later_start_too(client: Any, until: Any) -> None:
    client.put(OTHER, thing("x"))

    async def script(informers: Informers, informer: Informer) -> None:
        assert informers.of(THING) is informer
        other = informers.of(OTHER)
        await informers.synced()
        assert len(other) == 1

    play(client, script)


steps = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["", "x", "y"]), st.booleans()), max_size=30)


@given(steps)
def test_any_history_leaves_cache_and_indexes_equal_to_a_list(history: list[tuple[str, str, bool]]) -> None:
    informer = Informer(None, None, THING)  # type: ignore[arg-type]
    informer.index("label", lambda found: found.labels.values())
    present: dict[str, Object] = {}
    for number, (name, label, delete) in enumerate(history, 2):
        document = thing(name, uid=name, resourceVersion=str(number), labels={"l": label} if label else {})
        found = Object.of(THING, document)
        if delete:
            if present.pop(name, None) is None:
                continue
            informer._take([WatchEvent("DELETED", found, number)])
        else:
            informer._take([WatchEvent("MODIFIED" if name in present else "ADDED", found, number)])
            present[name] = found
    assert {found.name: found for found in informer.list()} == present
    assert set(informer.list("default")) == set(present.values())
    for label in ("x", "y"):
        assert set(informer.by("label", label)) == {o for o in present.values() if o.labels.get("l") == label}
    assert ObjectList(list(present.values()), 0).items == list(present.values())


def test_one_that_is_released_follows_no_more_and_begins_anew_when_it_is_asked_for(client: Any, until: Any) -> None:
    client.put(THING, thing("a"))

    async def script(informers: Informers, informer: Informer) -> None:
        beside = informers.of(THING, fields="metadata.name=b")
        informers.release(informer)
        client.put(THING, thing("b"))
        await until(lambda: len(beside) == 1)
        assert [found.name for found in informer.list()] == ["a"]
        fresh = informers.of(THING)
        assert fresh is not informer
        await until(fresh.synced.is_set)
        assert [found.name for found in fresh.list()] == ["a", "b"]
        informers.release(informer)
        assert informers.of(THING) is fresh, "what is released twice concerns nobody"

    play(client, script)
