"""When tokens in Secrets were used last, and since when that is noted."""

from __future__ import annotations

import asyncio
import base64
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from fakes import named
from server_driver import ADMIN, Served, served

from navarch.apiserver.authn.tracking import MOST_NOTES, Notes, due, since
from navarch.apiserver.restore import restore
from navarch.base.errors import Forbidden, Retryable, Unauthorized
from navarch.client.client import Client
from navarch.kinds import CONFIGMAP, SECRET
from navarch.kinds.object import Object
from navarch.kinds.secret import TOKEN_INVALID_SINCE, TOKEN_LAST_USED, TOKEN_TRACKING

NOW = datetime(2030, 1, 31, 23, 59, tzinfo=UTC)
SECRETS = "/api/v1/namespaces/default/secrets"
TRACKING = f"/api/v1/namespaces/kube-system/configmaps/{TOKEN_TRACKING}"


def secret(name: str = "t", **labels: str) -> Object:
    document = named(name, "ns")
    return Object.of(SECRET, {**document, "metadata": {**document["metadata"], "labels": labels}})


@pytest.mark.parametrize(
    ("last", "wanted"),
    [
        ("2030-01-31", ""),
        ("2030-02-01", ""),
        ("2030-01-30", "2030-01-31"),
        ("2030-02-02", "2030-01-31"),
        ("rubbish", "2030-01-31"),
    ],
)
def test_a_day_is_written_once(last: str, wanted: str) -> None:
    assert due(secret(**{TOKEN_LAST_USED: last}), NOW) == wanted
    assert due(secret(), NOW) == "2030-01-31"


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("2029-06-01", ""),
        ("2030-02-01", ""),
        ("2030-02-02", "2030-01-31"),
        ("yesterday", "2030-01-31"),
        ("", "2030-01-31"),
    ],
)
def test_since_when_is_a_day_that_can_be(said: str, wanted: str) -> None:
    assert since({"data": {"since": said}}, NOW) == wanted
    assert since({}, NOW) == since(None, NOW) == "2030-01-31"


class Api:
    """Fails as often as there are failures, then takes what comes."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.taken: list[Any] = []

    async def patch(self, kind: Any, namespace: str, name: str, patch: Any) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.taken.append((namespace, name, patch["metadata"]))


class NoTime:
    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


async def kept(notes: Notes, api: Api) -> None:
    task = asyncio.get_running_loop().create_task(notes.keep(cast(Client, api), cast(Any, NoTime())))
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()


def test_notes_are_written_later_and_each_once() -> None:
    async def run() -> None:
        notes, api = Notes(), Api(Retryable("not now"))
        found = secret()
        for _ in range(3):
            notes.used(found, NOW)
        notes.used(secret("fresh", **{TOKEN_LAST_USED: "2030-01-31"}), NOW)
        assert len(notes) == 1
        await kept(notes, api)
        assert api.taken == [("ns", "t", {"uid": found.uid, "labels": {TOKEN_LAST_USED: "2030-01-31"}})]
        assert len(notes) == 0

    asyncio.run(run())


def test_what_is_refused_waits_for_the_next_use_and_there_is_an_end_to_notes() -> None:
    async def run() -> None:
        notes, api = Notes(), Api(Forbidden("no"))
        notes.used(secret(), NOW)
        await kept(notes, api)
        assert (api.taken, len(notes)) == ([], 0)
        for number in range(MOST_NOTES + 5):
            notes.used(secret(f"t{number}"), NOW)
        assert len(notes) == MOST_NOTES

    asyncio.run(run())


async def token_of(server: Served) -> str:
    note = "kubernetes.io/service-account.name"
    body = {
        "metadata": {"name": "t", "annotations": {note: "default"}},
        "type": "kubernetes.io/service-account-token",
    }
    status, made = await server.ask("POST", SECRETS, ADMIN, body)
    assert status == 201, made
    return base64.b64decode(made["data"]["token"]).decode()


def test_its_use_is_noted_and_a_marked_one_is_refused() -> None:
    async def scenario(server: Served) -> None:
        token = await token_of(server)
        keeping = asyncio.get_running_loop().create_task(server.tokens.notes.keep(server.client, server.clock))
        try:
            assert server.tokens.check(token)
            today = server.clock.now().date().isoformat()
            for _ in range(200):
                labels = (await server.ask("GET", f"{SECRETS}/t", ADMIN))[1]["metadata"].get("labels", {})
                if labels:
                    break
                await asyncio.sleep(0)
            assert labels == {TOKEN_LAST_USED: today}
            assert server.tokens.check(token)
            assert len(server.tokens.notes) == 0, "once a day"
            marked = {"metadata": {"labels": {TOKEN_INVALID_SINCE: today, TOKEN_LAST_USED: None}}}
            await server.client.patch(SECRET, "default", "t", marked)
            with pytest.raises(Unauthorized, match="t for service account default/default has been marked invalid"):
                server.tokens.check(token)
            assert len(server.tokens.notes) == 1, "that somebody wanted it is noted too"
            await server.client.patch(SECRET, "default", "t", {"metadata": {"labels": {TOKEN_INVALID_SINCE: None}}})
            assert server.tokens.check(token)
        finally:
            keeping.cancel()

    served(scenario)


def test_since_when_is_kept() -> None:
    async def scenario(server: Served) -> None:
        keeping = asyncio.get_running_loop().create_task(restore(server.client, None, server.clock))
        try:
            for _ in range(2):
                for _ in range(200):
                    status, found = await server.ask("GET", TRACKING, ADMIN)
                    if status == 200:
                        break
                    await asyncio.sleep(0)
                assert found["data"] == {"since": server.clock.now().date().isoformat()}
                await server.client.delete(CONFIGMAP, "kube-system", TOKEN_TRACKING)
        finally:
            keeping.cancel()

    served(scenario)
