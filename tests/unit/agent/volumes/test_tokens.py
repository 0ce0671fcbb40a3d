"""Tokens of service accounts: asked for once, renewed in time, forgotten with their pod."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from navarch.agent.volumes.tokens import PodTokens, projections
from navarch.base.clock import SystemClock, rfc3339
from navarch.base.errors import Retryable
from tests.unit.agent.pods import START, UID, pod
from tests.unit.conftest import FakeClient


class HandClock(SystemClock):
    def __init__(self) -> None:
        self.moment = START

    def now(self) -> datetime:
        return self.moment


class Issuer(FakeClient):
    def __init__(self, clock: HandClock) -> None:
        super().__init__()
        self.clock = clock
        self.asked: list[Any] = []
        self.silent = False

    async def post(self, kind: Any, namespace: str, name: str, subresource: str, document: Any) -> Any:
        self.asked.append((namespace, name, subresource, document["spec"]))
        if self.silent:
            return document
        life = timedelta(seconds=document["spec"]["expirationSeconds"])
        status = {"token": f"t{len(self.asked)}", "expirationTimestamp": rfc3339(self.clock.now() + life)}
        return {**document, "status": status}


def asking(seconds: int = 3600, audience: str = "") -> Any:
    source = {"serviceAccountToken": {"path": "token", "expirationSeconds": seconds, "audience": audience}}
    return pod(volumes=[{"name": "v", "projected": {"sources": [source]}}], serviceAccountName="robot")


def test_a_token_is_bound_to_its_pod_and_kept_until_most_of_its_life_is_over() -> None:
    clock = HandClock()
    client = Issuer(clock)
    tokens = PodTokens(client, clock)  # type: ignore[arg-type]
    made = asking(audience="vault")

    async def run() -> None:
        [text] = (await tokens.ensure(made)).values()
        assert text == "t1"
        namespace, name, subresource, spec = client.asked[0]
        assert (namespace, name, subresource) == ("default", "robot", "token")
        assert spec["audiences"] == ["vault"]
        assert spec["boundObjectRef"] == {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": UID}
        assert tokens.renew_at(UID) == START + timedelta(seconds=2880)
        clock.moment = START + timedelta(seconds=2879)
        assert list((await tokens.ensure(made)).values()) == ["t1"]
        clock.moment = START + timedelta(seconds=2880)
        assert list((await tokens.ensure(made)).values()) == ["t2"]
        tokens.forget(UID)
        assert tokens.renew_at(UID) is None

    asyncio.run(run())


def test_a_long_token_is_renewed_every_day() -> None:
    clock = HandClock()
    tokens = PodTokens(Issuer(clock), clock)  # type: ignore[arg-type]
    asyncio.run(tokens.ensure(asking(30 * 86400)))
    assert tokens.renew_at(UID) == START + timedelta(hours=24)


def test_a_clock_that_is_set_back_makes_a_token_due_since_it_would_not_be_valid_yet() -> None:
    clock = HandClock()
    client = Issuer(clock)
    tokens = PodTokens(client, clock)  # type: ignore[arg-type]

    async def run() -> None:
        await tokens.ensure(asking())
        clock.moment -= timedelta(seconds=30)
        assert list((await tokens.ensure(asking())).values()) == ["t1"], "a correction, which who checks it forgives"
        clock.moment -= timedelta(hours=5)
        before = clock.moment
        clock.moment += timedelta(seconds=1)
        due = tokens.renew_at(UID)
        assert due is not None
        assert due < before, "due at every moment, also at one that was read a little earlier"
        assert list((await tokens.ensure(asking())).values()) == ["t2"]
        due = tokens.renew_at(UID)
        assert due is not None
        assert due > clock.moment

    asyncio.run(run())


def test_an_answer_without_a_token_is_a_failure() -> None:
    clock = HandClock()
    client = Issuer(clock)
    client.silent = True
    with pytest.raises(Retryable, match="no token for service account default/robot"):
        asyncio.run(PodTokens(client, clock).ensure(asking()))  # type: ignore[arg-type]
    assert projections(pod()) == []
