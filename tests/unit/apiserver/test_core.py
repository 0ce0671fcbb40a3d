"""The core as a whole: it follows its store, and a client in its process is asked like any other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import orjson
import pytest
from api_driver import ADMIN, CONFIGMAPS, PODS, Api, HandClock, Refused, a_pod, config, run, whole

from navarch.apiserver.call import Attributes, Decision, User
from navarch.apiserver.core import Core
from navarch.base.clock import SeededIds
from navarch.base.errors import Expired, Forbidden, Unavailable
from navarch.kinds import CONFIGMAP, NAMESPACE
from navarch.kinds.registry import DEFAULT
from navarch.store.memory import MemoryStore
from navarch.store.store import Change
from navarch.wire.message import Request


class Forgetful(MemoryStore):
    """Says at the second change that it forgot what came before."""

    forgot = 0

    async def watch(self, since: int) -> AsyncIterator[Sequence[Change]]:
        seen = 0
        async for batch in super().watch(since):
            seen += len(batch)
            if seen >= 3 and not self.forgot:
                self.forgot += 1
                raise Expired("forgotten")
            yield batch


def test_a_store_that_forgot_is_read_anew_and_watches_end() -> None:
    async def test(api: Api) -> None:
        watch = await api.watch(f"{CONFIGMAPS}?watch=1")
        await api.post(CONFIGMAPS, config("a"))
        await api.post(CONFIGMAPS, config("b"))
        names = [item["metadata"]["name"] for item in (await api.get(CONFIGMAPS))["items"]]
        assert names == ["a", "b"]
        assert isinstance(api.store, Forgetful)
        assert api.store.forgot == 1
        with pytest.raises(StopAsyncIteration):
            await watch.events(3)
        with pytest.raises(Refused, match="already exists"):
            await api.post(CONFIGMAPS, config("a"))

    run(test, store=Forgetful())


def test_a_closed_store_is_said_to_be_away() -> None:
    async def test(api: Api) -> None:
        await api.post(CONFIGMAPS, config("a"))
        await api.store.close()
        for _ in range(5):
            await asyncio.sleep(0)
        with pytest.raises(Refused) as refused:
            await api.post(CONFIGMAPS, config("b"))
        assert refused.value.code == 503
        assert (await api.get(f"{CONFIGMAPS}/a"))["metadata"]["name"] == "a"

    run(test)


def test_what_was_stored_is_served_after_a_new_start() -> None:
    store = MemoryStore()
    before: list[object] = []

    async def first(api: Api) -> None:
        await api.post(PODS, a_pod())
        before.append(await api.get(f"{PODS}/web"))

    async def again(api: Api) -> None:
        assert await api.get(f"{PODS}/web") == before[0]

    run(first, store=store)
    run(again, store=store, namespaces=())


class OnlyReads:
    def decide(self, attributes: Attributes) -> Decision:
        return Decision(attributes.verb in ("get", "list"), "tests say so")


def test_a_client_in_this_process_is_asked_like_any_other() -> None:
    async def test() -> None:
        core = Core(MemoryStore(), DEFAULT, HandClock(), SeededIds(1), authorizer=OnlyReads())
        await core.start()
        client = core.local(User("somebody"), "tests")
        assert (await client.list(CONFIGMAP)).items == []
        said = 'User "somebody" cannot create resource "namespaces" in API group "" at the cluster scope: tests say so'
        with pytest.raises(Forbidden, match=said):
            await client.create(NAMESPACE, {"metadata": {"name": "x"}})
        with pytest.raises(Forbidden, match="cannot watch"):
            await anext(client.watch(CONFIGMAP, since=1))
        with pytest.raises(Forbidden, match="cannot delete"):
            await client.delete(NAMESPACE, "", "x")
        await core.close()

    asyncio.run(test())


def test_other_paths_are_answered_by_the_front_as_the_same_user() -> None:
    async def test(api: Api) -> None:
        from navarch.wire.message import Response

        asked: list[Request] = []

        async def front(request: Request) -> Response:
            asked.append(request)
            return Response(200, (), b"{}") if request.path == "/version" else Response(404, (), b"nothing here")

        client = api.core.local(ADMIN, "tests")
        with pytest.raises(Unavailable):
            await client.raw("GET", "/version")
        api.core.serve_front(front)
        assert await client.raw("GET", "/version?x=1") == b"{}"
        assert asked[0].headers["impersonate-user"] == "admin"
        assert asked[0].param("x") == "1"
        with pytest.raises(Exception, match="nothing here"):
            await client.raw("GET", "/other")

    run(test)


def test_the_narrow_subresources_of_a_pod_change_what_they_are_for() -> None:
    async def test(api: Api) -> None:
        made = await api.post(PODS, a_pod())
        debug = {"name": "debug", "image": "busybox", "targetContainerName": "main"}
        patch = {"spec": {"ephemeralContainers": [debug], "containers": [{"name": "main", "image": "other"}]}}
        found = await api.strategic(f"{PODS}/web/ephemeralcontainers", patch)
        assert found["spec"]["ephemeralContainers"][0]["image"] == "busybox"
        assert found["spec"]["containers"][0]["image"] == made["spec"]["containers"][0]["image"]
        more = {"spec": {"containers": [{"name": "main", "image": "x", "resources": {"requests": {"cpu": "1"}}}]}}
        with pytest.raises(Refused):
            await api.strategic(f"{PODS}/web", more)
        with pytest.raises(Refused, match="not found"):
            await api.strategic(f"{PODS}/ghost/resize", more)

    run(test)


def test_answers_are_only_posted_to() -> None:
    async def test(api: Api) -> None:
        async def answer(user: User, namespace: str, name: str, document: dict) -> dict:
            return {"who": user.name, "asked": document["spec"]["audiences"], "namespace": namespace, "name": name}

        api.core.answer("serviceaccounts", "token", answer)
        found = await api.post(
            "/api/v1/namespaces/default/serviceaccounts/default/token", {"spec": {"audiences": ["a"]}}
        )
        assert found == {"who": "admin", "asked": ["a"], "namespace": "default", "name": "default"}
        response = await api.send("GET", "/api/v1/namespaces/default/serviceaccounts/default/token")
        assert response.status == 405
        assert orjson.loads(await whole(response))["reason"] == "MethodNotAllowed"

    run(test)
