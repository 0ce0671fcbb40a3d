"""One suite for every `Client`: the one in the server's process, and the one over HTTP (here on a Unix socket)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from navarch.apiserver.call import User
from navarch.apiserver.watchcache import WatchCache
from navarch.app.control_plane import ControlPlane, Settings
from navarch.base import pki
from navarch.base.clock import SeededIds, SystemClock, SystemIds
from navarch.base.errors import (
    AlreadyExists,
    BadRequest,
    Conflict,
    Expired,
    Forbidden,
    Invalid,
    NotFound,
    Retryable,
    TooMany,
)
from navarch.base.metrics import Registry
from navarch.client.client import Client, WatchEvent
from navarch.client.counted import Counted
from navarch.client.http import HttpClient
from navarch.client.target import Target, unix
from navarch.kinds import (
    CONFIGMAP,
    EVENT,
    EVENTS_EVENT,
    NAMESPACE,
    POD,
    PODDISRUPTIONBUDGET,
    SERVICEACCOUNT,
    SUBJECTACCESSREVIEW,
)
from navarch.store.memory import MemoryStore
from navarch.wire import http_connection
from navarch.wire.http import Server
from navarch.wire.http_packing import GZIP_FROM_BYTES

ADMIN = User("admin", groups=("system:masters", "system:authenticated"))


@asynccontextmanager
async def local(plane: ControlPlane, directory: Path) -> AsyncIterator[Client]:
    yield plane.client(ADMIN, "tests")


@asynccontextmanager
async def counted(plane: ControlPlane, directory: Path) -> AsyncIterator[Client]:
    yield Counted(plane.client(ADMIN, "tests"), Registry(), SystemClock(), "in-process")


@asynccontextmanager
async def over_unix(plane: ControlPlane, directory: Path) -> AsyncIterator[Client]:
    async with Server(plane.server.handle, grace_s=0.1) as server:
        await server.listen_unix(directory / "api.sock")
        async with HttpClient(unix(str(directory / "api.sock")), "tests") as client:
            yield client


@asynccontextmanager
async def over_tls(plane: ControlPlane, directory: Path) -> AsyncIterator[Client]:
    """With a client certificate, as kubeconfigs of people have it."""
    authority = pki.Authority.create("tests", SystemClock(), SystemIds())
    serving = authority.server("server", ["127.0.0.1"])
    mine = authority.client("admin", ["system:masters"])
    context = pki.server_context(serving, authority.pair.certificate)
    async with Server(plane.server.handle, context=context, grace_s=0.1) as server:
        port = await server.listen("127.0.0.1", 0)
        target = Target(f"https://127.0.0.1:{port}", authority.pair.certificate, mine.certificate, mine.key)
        async with HttpClient(target, "tests") as client:
            yield client


@pytest.fixture(params=[local, counted, over_unix, over_tls], ids=["local", "counted", "unix", "tls"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Callable[[Client], Awaitable[None]]], None]:
    """Runs a test with an administrator's client of a new cluster, in which nobody else does anything."""

    def go(test: Callable[[Client], Awaitable[None]]) -> None:
        async def inside() -> None:
            plane = ControlPlane(MemoryStore(), SystemClock(), SeededIds(1), Settings(SIGNING_KEY))
            await plane.start()
            try:
                async with request.param(plane, tmp_path) as client:
                    await client.create(SERVICEACCOUNT, {"metadata": {"name": "default", "namespace": "default"}})
                    await test(client)
            finally:
                await plane.close()

        asyncio.run(asyncio.wait_for(inside(), 60))

    return go


SIGNING_KEY = pki.new_key()
Run = Callable[[Callable[[Client], Awaitable[None]]], None]


def config(name: str = "one", labels: dict[str, str] | None = None, **data: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default"} | ({"labels": labels} if labels else {})
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def a_pod(name: str = "web", **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "labels": {"app": "web"}}
    spec = {"containers": [{"name": "main", "image": "i:1"}], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def test_what_is_created_is_read_back_byte_for_byte(run: Run) -> None:
    async def test(client: Client) -> None:
        made = await client.create(CONFIGMAP, config(x="1"))
        assert made.kind is CONFIGMAP
        assert made.key == ("default", "one")
        assert made.uid
        assert made.revision > 1
        found = await client.get(CONFIGMAP, "default", "one")
        assert found.raw == made.raw
        listed = await client.list(CONFIGMAP, "default")
        assert [one.raw for one in listed.items] == [made.raw]
        assert listed.revision == made.revision

    run(test)


def test_refusals_are_the_same_errors_on_both_sides(run: Run) -> None:
    async def test(client: Client) -> None:
        with pytest.raises(NotFound) as missing:
            await client.get(CONFIGMAP, "default", "ghost")
        assert (missing.value.kind, missing.value.name) == ("configmaps", "ghost")
        await client.create(CONFIGMAP, config())
        with pytest.raises(AlreadyExists):
            await client.create(CONFIGMAP, config())
        with pytest.raises(Invalid) as invalid:
            await client.create(CONFIGMAP, config("Not A Name"))
        assert invalid.value.causes[0].field == "metadata.name"
        with pytest.raises(BadRequest, match='unknown field "dta"'):
            await client.create(CONFIGMAP, {**config("two"), "dta": {}})
        with pytest.raises(Forbidden):
            await client.delete(NAMESPACE, "", "default")
        with pytest.raises(Conflict):
            await client.delete(CONFIGMAP, "default", "one", uid="other")
        with pytest.raises(BadRequest):
            await client.list(CONFIGMAP, labels="a in")

    run(test)


def test_lists_select_and_page(run: Run) -> None:
    async def test(client: Client) -> None:
        for name in "abcde":
            await client.create(CONFIGMAP, config(name, {"odd": "yes" if name in "ace" else "no"}))
        odd = await client.list(CONFIGMAP, "default", labels="odd=yes")
        assert [one.name for one in odd.items] == ["a", "c", "e"]
        assert (await client.list(CONFIGMAP, "elsewhere")).items == []
        named = await client.list(CONFIGMAP, fields="metadata.name=b")
        assert [one.name for one in named.items] == ["b"]
        names: list[str] = []
        page = await client.list(CONFIGMAP, "default", limit=2)
        await client.delete(CONFIGMAP, "default", "c")
        names += [one.name for one in page.items]
        while page.cont:
            page = await client.list(CONFIGMAP, "default", limit=2, cont=page.cont)
            names += [one.name for one in page.items]
        assert names == list("abcde")
        assert len((await client.list(CONFIGMAP, "default", revision="0")).items) == 4

    run(test)


def test_a_long_list_comes_whole_from_another_machine(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """To clients that are not beside it the server sends what is long compressed."""
    monkeypatch.setattr(http_connection, "NEAR", ())

    async def test(client: Client) -> None:
        for name in "abc":
            await client.create(CONFIGMAP, config(name, text="a word " * 10_000))
        found = await client.list(CONFIGMAP, "default")
        assert sum(len(one.raw) for one in found.items) > GZIP_FROM_BYTES
        assert [one.name for one in found.items] == ["a", "b", "c"]
        assert (await client.get(CONFIGMAP, "default", "b")).raw == found.items[1].raw

    run(test)


async def collect(stream: AsyncIterator[Any], count: int) -> list[WatchEvent]:
    """The next events but bookmarks."""
    found: list[WatchEvent] = []
    while len(found) < count:
        found += [event for event in await asyncio.wait_for(anext(stream), 60) if event.type != "BOOKMARK"]
    return found


def test_a_watch_delivers_every_later_change_once_and_in_order(run: Run) -> None:
    async def test(client: Client) -> None:
        await client.create(CONFIGMAP, config("before"))
        since = (await client.list(CONFIGMAP)).revision
        made = await client.create(CONFIGMAP, config(x="1"))
        stream = client.watch(CONFIGMAP, since=since)
        (first,) = await collect(stream, 1)
        assert (first.type, first.object.raw, first.revision) == ("ADDED", made.raw, made.revision)  # type: ignore[union-attr]
        changed = await client.patch(CONFIGMAP, "default", "one", {"data": {"x": "2"}})
        assert await client.delete(CONFIGMAP, "default", "one") is None
        second, third = await collect(stream, 2)
        assert (second.type, second.object.raw) == ("MODIFIED", changed.raw)  # type: ignore[union-attr]
        assert third.type == "DELETED"
        assert third.object is not None
        assert third.revision == third.object.revision > changed.revision
        await stream.aclose()  # type: ignore[attr-defined]

    run(test)


def test_replaying_a_watch_gives_what_a_list_gives(run: Run) -> None:
    async def test(client: Client) -> None:
        start = await client.list(CONFIGMAP, labels="keep=yes")
        stream = client.watch(CONFIGMAP, since=start.revision, labels="keep=yes")
        for number in range(30):
            name, keep = f"c{number % 7}", "yes" if number % 3 else "no"
            try:
                await client.create(CONFIGMAP, config(name, {"keep": keep}, n=str(number)))
            except AlreadyExists:
                if number % 5 == 0:
                    await client.delete(CONFIGMAP, "default", name)
                else:
                    await client.patch(CONFIGMAP, "default", name, {"metadata": {"labels": {"keep": keep}}})
        await client.create(CONFIGMAP, config("last", {"keep": "yes"}))
        held: dict[str, bytes] = {}
        while "last" not in held:
            for event in await collect(stream, 1):
                assert event.object is not None
                if event.type == "DELETED":
                    del held[event.object.name]
                else:
                    held[event.object.name] = event.object.raw
        final = await client.list(CONFIGMAP, labels="keep=yes")
        assert held == {one.name: one.raw for one in final.items}
        await stream.aclose()  # type: ignore[attr-defined]

    run(test)


def test_a_watch_from_before_what_is_known_says_expired(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WatchCache.__init__, "__defaults__", (5,))

    async def test(client: Client) -> None:
        for number in range(20):
            await client.create(CONFIGMAP, config(f"c{number}"))
        with pytest.raises(Expired):
            await anext(client.watch(CONFIGMAP, since=3))

    run(test)


def test_updates_and_patches(run: Run) -> None:
    async def test(client: Client) -> None:
        made = await client.create(CONFIGMAP, config(x="1"))
        newer = await client.update(CONFIGMAP, {**made.document(), "data": {"x": "2"}})
        with pytest.raises(Conflict):
            await client.update(CONFIGMAP, {**made.document(), "data": {"x": "3"}})
        assert (await client.update(CONFIGMAP, config(x="2"))).uid == newer.uid
        merged = await client.patch(CONFIGMAP, "default", "one", {"data": {"y": "1", "x": None}})
        assert merged.document()["data"] == {"y": "1"}
        operations = [{"op": "replace", "path": "/data/y", "value": "2"}]
        assert (await client.patch(CONFIGMAP, "default", "one", operations, type="json")).document()["data"] == {
            "y": "2"
        }
        await client.create(POD, a_pod())
        image = {"spec": {"containers": [{"name": "main", "image": "i:2"}]}}
        found = await client.patch(POD, "default", "web", image, type="strategic")
        assert [c["image"] for c in found.document()["spec"]["containers"]] == ["i:2"]

    run(test)


def test_status_is_written_apart(run: Run) -> None:
    async def test(client: Client) -> None:
        pod = (await client.create(POD, a_pod())).document()
        pod["status"] = {**pod["status"], "phase": "Running"}
        assert (await client.update(POD, pod)).view.status.phase == "Pending"
        del pod["metadata"]["resourceVersion"]
        assert (await client.update(POD, pod, subresource="status")).view.status.phase == "Running"
        failed = await client.patch(POD, "default", "web", {"status": {"phase": "Failed"}}, subresource="status")
        assert failed.view.status.phase == "Failed"

    run(test)


def test_apply(run: Run) -> None:
    async def test(client: Client) -> None:
        made = await client.apply(CONFIGMAP, config(x="1"), manager="first")
        assert made.document()["metadata"]["managedFields"][0]["manager"] == "first"
        assert (await client.apply(CONFIGMAP, config(x="1"), manager="first")).revision == made.revision
        with pytest.raises(Conflict) as conflict:
            await client.apply(CONFIGMAP, config(x="2"), manager="second")
        assert conflict.value.causes[0].field == ".data.x"
        forced = await client.apply(CONFIGMAP, config(x="2"), manager="second", force=True)
        assert forced.document()["data"] == {"x": "2"}

    run(test)


def test_deletion_says_what_is_left(run: Run) -> None:
    async def test(client: Client) -> None:
        held = config()
        held["metadata"]["finalizers"] = ["example.com/a"]
        await client.create(CONFIGMAP, held)
        left = await client.delete(CONFIGMAP, "default", "one")
        assert left is not None
        assert left.view.metadata.deletion_timestamp
        await client.patch(CONFIGMAP, "default", "one", {"metadata": {"finalizers": None}})
        with pytest.raises(NotFound):
            await client.delete(CONFIGMAP, "default", "one")
        await client.create(POD, a_pod())
        await client.post(POD, "default", "web", "binding", {"target": {"kind": "Node", "name": "n1"}})
        going = await client.delete(POD, "default", "web", grace_s=5)
        assert going is not None
        assert going.view.metadata.deletion_grace_period_seconds == 5
        assert await client.delete(POD, "default", "web", grace_s=0) is None
        await client.create(POD, a_pod("unbound"))
        assert await client.delete(POD, "default", "unbound") is None
        await client.create(NAMESPACE, {"metadata": {"name": "work"}})
        assert await client.delete(NAMESPACE, "", "work") is not None

    run(test)


def test_posts_to_subresources(run: Run) -> None:
    async def test(client: Client) -> None:
        await client.create(POD, a_pod())
        binding = {"target": {"kind": "Node", "name": "n1"}}
        assert (await client.post(POD, "default", "web", "binding", binding))["status"] == "Success"
        with pytest.raises(Conflict, match="already assigned"):
            await client.post(POD, "default", "web", "binding", binding)
        await client.patch(POD, "default", "web", {"status": {"phase": "Running"}}, subresource="status")
        spec = {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "web"}}}
        await client.create(PODDISRUPTIONBUDGET, {"metadata": {"name": "b", "namespace": "default"}, "spec": spec})
        with pytest.raises(TooMany) as refused:
            await client.post(POD, "default", "web", "eviction", {"metadata": {"name": "web"}})
        assert refused.value.causes[0].reason == "DisruptionBudget"
        assert refused.value.retry_after_s == 10

    run(test)


def test_a_dry_run_leaves_nothing(run: Run) -> None:
    async def test(client: Client) -> None:
        await client.create(CONFIGMAP, config(), dry_run=True)
        with pytest.raises(NotFound):
            await client.get(CONFIGMAP, "default", "one")
        made = await client.create(CONFIGMAP, config(x="1"))
        tried = await client.patch(CONFIGMAP, "default", "one", {"data": {"x": "2"}}, dry_run=True)
        assert tried.document()["data"] == {"x": "2"}
        await client.delete(CONFIGMAP, "default", "one", dry_run=True)
        assert (await client.get(CONFIGMAP, "default", "one")).raw == made.raw

    run(test)


def test_two_faces_of_an_event(run: Run) -> None:
    async def test(client: Client) -> None:
        about = {"kind": "Pod", "name": "web", "namespace": "default"}
        metadata = {"name": "e", "namespace": "default"}
        stream = client.watch(EVENTS_EVENT, since=(await client.list(EVENT)).revision)
        await client.create(EVENT, {"metadata": metadata, "involvedObject": about, "message": "m"})
        found = await client.get(EVENTS_EVENT, "default", "e")
        assert (found.kind, found.document()["note"]) == (EVENTS_EVENT, "m")
        (event,) = await collect(stream, 1)
        assert event.object is not None
        assert event.object.raw == found.raw
        await stream.aclose()  # type: ignore[attr-defined]

    run(test)


def test_the_manager_is_the_clients_own_unless_it_says_another(run: Run) -> None:
    async def test(client: Client) -> None:
        made = await client.create(CONFIGMAP, config(x="1"))
        assert made.document()["metadata"]["managedFields"][0]["manager"] == "tests"
        other = await client.create(CONFIGMAP, config("two", x="1"), manager="other")
        assert other.document()["metadata"]["managedFields"][0]["manager"] == "other"

    run(test)


def test_many_writers_lose_nothing(run: Run) -> None:
    async def test(client: Client) -> None:
        await client.create(CONFIGMAP, config())
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(client.patch(CONFIGMAP, "default", "one", {"data": {f"k{number}": "v"}}))
        assert len((await client.get(CONFIGMAP, "default", "one")).document()["data"]) == 20

    run(test)


def test_a_server_that_is_away_is_retryable(tmp_path: Path) -> None:
    async def test() -> None:
        for target in (unix(str(tmp_path / "nobody")), Target("https://127.0.0.1:1")):
            async with HttpClient(target, "tests") as client:
                with pytest.raises(Retryable, match="cannot be reached"):
                    await client.get(CONFIGMAP, "default", "one")
                with pytest.raises(Retryable):
                    await anext(client.watch(CONFIGMAP, since=0))

    asyncio.run(test())


def test_other_paths_come_as_bytes(run: Run) -> None:
    async def test(client: Client) -> None:
        assert b'"v1.36' in await client.raw("GET", "/version")
        assert b"ConfigMap" in await client.raw("GET", "/api/v1")
        with pytest.raises(NotFound):
            await client.raw("GET", "/nowhere")

    run(test)


def test_reviews_are_answered(run: Run) -> None:
    async def test(client: Client) -> None:
        asked = {"spec": {"user": "somebody", "resourceAttributes": {"verb": "get", "resource": "pods"}}}
        assert (await client.post(SUBJECTACCESSREVIEW, "", "", "", asked))["status"]["allowed"] is False
        token = await client.post(SERVICEACCOUNT, "default", "default", "token", {"spec": {}})
        assert token["status"]["token"].count(".") == 2

    run(test)
