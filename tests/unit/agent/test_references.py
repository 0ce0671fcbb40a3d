"""ConfigMaps and Secrets are watched while a pod uses them, and no longer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any

from navarch.agent.references import References, referred_by
from navarch.base.clock import SystemClock
from navarch.kinds import CONFIGMAP, SECRET
from tests.unit.agent.pods import UID, pod
from tests.unit.conftest import FakeClient

EVERYTHING = pod(
    {
        "name": "main",
        "image": "a",
        "env": [
            {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c1", "key": "k"}}},
            {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s1", "key": "k"}}},
        ],
        "envFrom": [{"configMapRef": {"name": "c2"}}, {"secretRef": {"name": "s2"}}],
    },
    volumes=[
        {"name": "v1", "configMap": {"name": "c3"}},
        {"name": "v2", "secret": {"secretName": "s3"}},
        {"name": "v3", "projected": {"sources": [{"configMap": {"name": "c4"}}, {"secret": {"name": "s4"}}]}},
    ],
    imagePullSecrets=[{"name": "s5"}],
)


def test_everything_that_a_pod_names_is_found() -> None:
    assert referred_by(EVERYTHING) == {
        *(("configmaps", "default", f"c{n}") for n in (1, 2, 3, 4)),
        *(("secrets", "default", f"s{n}") for n in (1, 2, 3, 4, 5)),
    }
    assert referred_by(pod()) == set()


def test_an_object_is_read_followed_and_let_go(client: FakeClient) -> None:
    told: list[str] = []

    def changed(uids: Iterable[str]) -> None:
        told.extend(uids)

    async def run() -> None:
        references = References(client, SystemClock(), changed)  # type: ignore[arg-type]
        using = pod(
            volumes=[{"name": "v", "configMap": {"name": "cm"}}, {"name": "s", "secret": {"secretName": "sec"}}]
        )
        meta: Any = {"namespace": "default", "name": "cm"}
        client.put(CONFIGMAP, {"metadata": meta, "data": {"a": "1"}, "binaryData": {"b": "AAE="}})
        async with asyncio.TaskGroup() as group:
            task = group.create_task(references.run())
            await asyncio.sleep(0)
            lookup = await references.of(using)
            assert lookup("configmaps", "cm") == {"a": b"1", "b": b"\x00\x01"}
            assert lookup("secrets", "sec") is None
            assert lookup("configmaps", "other") is None
            await references.of(using)
            assert [call[0] for call in client.calls].count("list") == 2
            assert told == []
            client.put(SECRET, {"metadata": {"namespace": "default", "name": "sec"}, "data": {"k": "aGk="}})
            for _ in range(100):
                await asyncio.sleep(0)
            assert told == [UID]
            assert lookup("secrets", "sec") == {"k": b"hi"}
            references.forget(UID)
            for _ in range(100):
                await asyncio.sleep(0)
            client.put(CONFIGMAP, {"metadata": meta, "data": {"a": "2"}})
            for _ in range(100):
                await asyncio.sleep(0)
            assert told == [UID]
            task.cancel()

    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(run())
