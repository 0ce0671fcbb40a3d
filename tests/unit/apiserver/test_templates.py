"""A pod of a template that was seen before is stored as it would be the long way, to the byte, and no staler."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from api_driver import PODS, START, Api, HandClock, Refused, a_pod, run
from hypothesis import given, settings
from hypothesis import strategies as st

from navarch.apiserver.core import Core
from navarch.base.clock import SeededIds
from navarch.kinds.registry import DEFAULT
from navarch.store.memory import MemoryStore

CLASSES = "/apis/scheduling.k8s.io/v1/priorityclasses"
LIMITS = "/api/v1/namespaces/default/limitranges"
QUOTAS = "/api/v1/namespaces/default/resourcequotas"


def known(api: Api) -> int:
    """How many templates are remembered."""
    return len(api.core._context.templates)


async def stored_by(seed: int, bodies: list[bytes], remember: bool) -> list[bytes]:
    """What the store holds for each of these bodies, posted in turn. remember: False goes the long way each time."""
    store, clock = MemoryStore(), HandClock()
    core = Core(store, DEFAULT, clock, SeededIds(seed))
    core._context.templates._able = remember
    await core.start()
    api = Api(core, store, clock)
    try:
        await api.post("/api/v1/namespaces", {"metadata": {"name": "default"}})
        await api.post("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
        for number, body in enumerate(bodies):
            clock.turn(0.4)
            answer = await api.send("POST", PODS, body)
            assert answer.status == 201 or (number and answer.status == 409), answer.body
        assert not remember or known(api) <= 2
        return [row.value for row in (await store.list("/core/pods/")).rows]
    finally:
        await core.close()


WORDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=8)
CONTAINERS = st.lists(
    st.fixed_dictionaries(
        {"name": WORDS, "image": WORDS},
        optional={
            "env": st.lists(st.fixed_dictionaries({"name": WORDS, "value": st.text(max_size=5)}), max_size=2),
            "resources": st.just({"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}}),
        },
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda found: found["name"],
)
LABELS = st.dictionaries(WORDS, WORDS, max_size=3)


@settings(max_examples=25, deadline=None)
@given(CONTAINERS, LABELS, st.lists(WORDS, min_size=2, max_size=6), st.booleans(), st.integers(0, 1 << 30))
def test_what_is_filled_in_is_what_the_long_way_makes(
    containers: list[dict[str, Any]], labels: dict[str, str], names: list[str], generated: bool, seed: int
) -> None:
    annotations = {"when": START.strftime("%Y-%m-%dT%H:%M:%SZ")}
    bodies = []
    for name in names:
        named = {"generateName": "web-"} if generated else {"name": name}
        metadata = {"labels": labels, **named, "annotations": annotations}
        bodies.append(orjson.dumps({"metadata": metadata, "spec": {"containers": containers}}))
    quick = asyncio.run(stored_by(seed, bodies, True))
    assert quick == asyncio.run(stored_by(seed, bodies, False))


def test_the_third_of_a_kind_goes_the_short_way() -> None:
    async def test(api: Api) -> None:
        for number in range(4):
            found = await api.post(PODS, a_pod(f"p{number}"))
            assert found["metadata"]["name"] == f"p{number}"
            assert known(api) == (number >= 1)
        names = {one["metadata"]["uid"] for one in (await api.get(PODS))["items"]}
        volumes = {one["spec"]["volumes"][0]["name"] for one in (await api.get(PODS))["items"]}
        assert len(names) == len(volumes) == 4
        with pytest.raises(Refused, match='pods "p3" already exists'):
            await api.post(PODS, a_pod("p3"))

    run(test)


def test_what_admission_reads_is_read_anew_when_it_changes() -> None:
    async def test(api: Api) -> None:
        for number in range(3):
            await api.post(PODS, a_pod(f"p{number}"))
        await api.post(CLASSES, {"metadata": {"name": "high"}, "value": 7, "globalDefault": True})
        assert (await api.post(PODS, a_pod("q")))["spec"]["priority"] == 7
        item = {"type": "Container", "default": {"cpu": "2"}}
        await api.post(LIMITS, {"metadata": {"name": "l"}, "spec": {"limits": [item]}})
        limited = await api.post(PODS, a_pod("r"))
        assert limited["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "2"}
        await api.post(QUOTAS, {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "7"}}})
        await api.post(PODS, a_pod("s"))
        await api.post(PODS, a_pod("t"))
        with pytest.raises(Refused, match="exceeded quota"):
            await api.post(PODS, a_pod("u"))

    run(test)


def test_a_namespace_that_went_is_seen() -> None:
    async def test(api: Api) -> None:
        pods = "/api/v1/namespaces/other/pods"
        for number in range(3):
            await api.post(pods, a_pod(f"p{number}"))
        assert known(api) == 1
        await api.delete("/api/v1/namespaces/other")
        with pytest.raises(Refused, match="it is being terminated"):
            await api.post(pods, a_pod("q"))

    run(test, namespaces=("default", "other"))


def test_what_is_wrong_stays_wrong_and_who_asks_counts() -> None:
    async def test(api: Api) -> None:
        for _ in range(4):
            with pytest.raises(Refused, match=r"spec\.containers"):
                await api.post(PODS, {"metadata": {"name": "p"}, "spec": {"containers": []}})
        for number in range(4):
            await api.post(PODS, a_pod(f"p{number}") | {"colour": "red"})
            assert api.warnings == ['unknown field "colour"']
        assert known(api) == 0
        for number in range(3):
            await api.post(f"{PODS}?fieldManager=one", a_pod(f"q{number}"))
        found = await api.post(f"{PODS}?fieldManager=two", a_pod("r"))
        assert [entry["manager"] for entry in found["metadata"]["managedFields"]] == ["two"]
        with pytest.raises(Refused, match="a lowercase RFC 1123 subdomain"):
            await api.post(f"{PODS}?fieldManager=one", a_pod("Q"))

    run(test)


def test_a_name_that_stands_elsewhere_too_is_no_hole() -> None:
    async def test(api: Api) -> None:
        for name in ("a", "b", "c", "d"):
            body = a_pod(name)
            body["spec"]["containers"][0]["name"] = name
            found = await api.post(PODS, body)
            assert found["spec"]["containers"][0]["name"] == name
        assert known(api) == 0

    run(test)


def test_every_plugin_says_what_it_reads() -> None:
    async def test(api: Api) -> None:
        silent = [plugin.name for plugin in api.core._context.plugins if plugin.reads is None]
        assert not silent, f"{silent}: without `reads`, every pod is prepared the long way (see admission/review.py)"

    run(test)
