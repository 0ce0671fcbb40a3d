"""Answers in protobuf: objects, lists, watches, metadata and refusals, packed once for each revision."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from api_driver import Api, Refused, run, whole

from navarch.apiserver.packed import Packed
from navarch.kinds import CONFIGMAP
from navarch.kinds.object import Object
from navarch.wire import protobuf_encode
from navarch.wire.protobuf import decode

PROTOBUF = "application/vnd.kubernetes.protobuf"
GO = f"{PROTOBUF},application/json"
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
METADATA = f"{PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
METADATA_LIST = f"{PROTOBUF};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"


def config(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data or {"a": "b"}}


def packed_list(kind: str, api_version: str, metadata: dict[str, Any], items: list[dict[str, Any]]) -> bytes:
    parts = protobuf_encode.list_parts(metadata, map(protobuf_encode.message, items))
    return protobuf_encode.envelope(api_version, kind, b"".join(parts))


async def sent(api: Api, target: str, accept: str) -> tuple[str, bytes]:
    response = await api.send("GET", target, accept=accept)
    return dict(response.headers)["content-type"], await whole(response)


def test_objects_and_lists() -> None:
    async def test(api: Api) -> None:
        made = await api.post(CONFIGMAPS, config("a"), accept=GO)
        assert made == await api.get(f"{CONFIGMAPS}/a")
        await api.post(CONFIGMAPS, config("b"))
        type_, body = await sent(api, f"{CONFIGMAPS}/a", GO)
        assert (type_, decode(body)) == (PROTOBUF, made)
        listed = await api.get(CONFIGMAPS)
        type_, body = await sent(api, CONFIGMAPS, GO)
        assert type_ == PROTOBUF
        assert body == packed_list("ConfigMapList", "v1", listed["metadata"], listed["items"])
        page = await api.get(f"{CONFIGMAPS}?limit=1")
        _, body = await sent(api, f"{CONFIGMAPS}?limit=1", GO)
        assert body == packed_list("ConfigMapList", "v1", page["metadata"], page["items"])

    run(test)


def test_long_lists_come_in_pieces_and_are_whole() -> None:
    async def test(api: Api) -> None:
        for number in range(600):
            await api.post(CONFIGMAPS, config(f"c{number:04}"))
        listed = await api.get(CONFIGMAPS)
        response = await api.send("GET", CONFIGMAPS, accept=GO)
        assert not isinstance(response.body, bytes)
        assert await whole(response) == packed_list("ConfigMapList", "v1", listed["metadata"], listed["items"])

    run(test)


def test_large_objects_are_packed_beside_the_loop() -> None:
    async def test(api: Api) -> None:
        texts = [char * 700_000 for char in "xyz"]
        for number, text in enumerate(texts):
            await api.post(CONFIGMAPS, config(f"large-{number}", text=text))
            await api.post(CONFIGMAPS, config(f"small-{number}"))
        listed = await api.get(CONFIGMAPS)
        aside = api.core.aside
        before = aside.done
        assert decode((await sent(api, f"{CONFIGMAPS}/large-0", GO))[1])["data"] == {"text": texts[0]}
        assert aside.done == before + 1
        _, body = await sent(api, CONFIGMAPS, GO)
        assert body == packed_list("ConfigMapList", "v1", listed["metadata"], listed["items"])
        assert aside.done == before + 3, "what was packed before is kept"
        assert (await sent(api, f"{CONFIGMAPS}/large-2", GO))[0] == PROTOBUF
        assert aside.done == before + 3

    run(test)


def test_metadata_alone() -> None:
    async def test(api: Api) -> None:
        made = await api.post(CONFIGMAPS, config("a"))
        about = {"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": made["metadata"]}
        type_, body = await sent(api, f"{CONFIGMAPS}/a", METADATA)
        assert (type_, decode(body)) == (PROTOBUF, about)
        _, body = await sent(api, CONFIGMAPS, METADATA_LIST)
        metadata = {"resourceVersion": made["metadata"]["resourceVersion"]}
        assert body == packed_list("PartialObjectMetadataList", "meta.k8s.io/v1", metadata, [about])

    run(test)


def test_refusals_reviews_and_what_is_told_of_deletions() -> None:
    async def test(api: Api) -> None:
        with pytest.raises(Refused) as refused:
            await api.get(f"{CONFIGMAPS}/none", accept=GO)
        assert (refused.value.code, refused.value.reason) == (404, "NotFound")
        assert refused.value.status["details"] == {"name": "none", "kind": "configmaps"}
        await api.post(CONFIGMAPS, config("a"))
        told = await api.ask("DELETE", f"{CONFIGMAPS}/a", accept=GO)
        assert (told["kind"], told["status"]) == ("Status", "Success")

    run(test)


def test_scales() -> None:
    async def test(api: Api) -> None:
        template = {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        }
        spec = {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template}
        deployments = "/apis/apps/v1/namespaces/default/deployments"
        named = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}}
        await api.post(deployments, {**named, "spec": spec})
        scale = await api.get(f"{deployments}/web/scale", accept=GO)
        assert scale == await api.get(f"{deployments}/web/scale")
        scale["spec"]["replicas"] = 3
        body = protobuf_encode.encode(scale)
        answered = await api.ask("PUT", f"{deployments}/web/scale", body, PROTOBUF, accept=GO)
        assert answered["spec"] == {"replicas": 3}

    run(test)


def frames(data: bytes) -> list[bytes]:
    found = []
    while data:
        size = int.from_bytes(data[:4], "big")
        found.append(data[4 : 4 + size])
        data = data[4 + size :]
    return found


def test_watches() -> None:
    async def test(api: Api) -> None:
        made = await api.post(CONFIGMAPS, config("a"))
        response = await api.send("GET", f"{CONFIGMAPS}?watch=1", accept=f"{PROTOBUF};stream=watch,application/json")
        assert dict(response.headers)["content-type"] == f"{PROTOBUF};stream=watch"
        assert not isinstance(response.body, bytes)
        events = aiter(response.body)
        assert await anext(events) == protobuf_encode.watch_frame("ADDED", protobuf_encode.encode(made))
        changed = await api.merge(f"{CONFIGMAPS}/a", {"data": {"a": "c"}})
        await api.delete(f"{CONFIGMAPS}/a")
        data = b""
        while len(frames(data)) < 2:
            data += await anext(events)
        first, second = frames(data)
        assert first == protobuf_encode.watch_frame("MODIFIED", protobuf_encode.encode(changed))[4:]
        assert second.startswith(b"\x0a\x07DELETED\x12")
        await events.aclose()

    run(test)


def test_watches_of_metadata_bookmarks_and_what_is_gone() -> None:
    async def test(api: Api) -> None:
        made = await api.post(CONFIGMAPS, config("a"))
        about = {"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": made["metadata"]}
        streaming = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=1"
        response = await api.send("GET", f"{CONFIGMAPS}?{streaming}", accept=METADATA)
        assert not isinstance(response.body, bytes)
        events = aiter(response.body)
        assert await anext(events) == protobuf_encode.watch_frame("ADDED", protobuf_encode.encode(about))
        ended = {"annotations": {"k8s.io/initial-events-end": "true"}}
        ended["resourceVersion"] = made["metadata"]["resourceVersion"]
        mark = {"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": ended}
        assert await anext(events) == protobuf_encode.watch_frame("BOOKMARK", protobuf_encode.encode(mark))
        await events.aclose()

    run(test)


async def established(api: Api, path: str) -> None:
    for _ in range(2_000):
        conditions = (await api.get(path)).get("status", {}).get("conditions", [])
        if any(one["type"] == "Established" and one["status"] == "True" for one in conditions):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the definition was never established")


def test_custom_resources_fall_back_to_json() -> None:
    async def test(api: Api) -> None:
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        names = {"plural": "widgets", "kind": "Widget"}
        spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
        named = {"metadata": {"name": "widgets.example.com"}}
        crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", **named, "spec": spec}
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        defined = await api.ask("POST", path, protobuf_encode.encode(crd), PROTOBUF, accept=GO)
        assert defined["spec"]["versions"][0]["schema"]["openAPIV3Schema"] == schema
        await established(api, f"{path}/widgets.example.com")
        widgets = "/apis/example.com/v1/namespaces/default/widgets"
        widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "one"}}
        await api.post(widgets, widget)
        type_, _ = await sent(api, f"{widgets}/one", GO)
        assert type_ == "application/json"
        with pytest.raises(Refused) as refused:
            await api.get(f"{widgets}/one", accept=PROTOBUF)
        assert refused.value.code == 406
        type_, body = await sent(api, f"{widgets}/one", METADATA)
        assert (type_, decode(body)["kind"]) == (PROTOBUF, "PartialObjectMetadata")
        raw = protobuf_encode.envelope("example.com/v1", "Widget", b"")
        with pytest.raises(Refused, match="is known as protobuf") as refused:
            await api.ask("POST", widgets, raw, PROTOBUF)
        assert refused.value.code == 400

    run(test)


def an_object(name: str) -> Object:
    return Object(CONFIGMAP, orjson.dumps(config(name, text="x" * 100)))


def test_an_object_is_packed_once_and_what_is_kept_is_bounded() -> None:
    first, second = an_object("first"), an_object("second")
    packed = Packed(kept_bytes=len(first.raw) * 3)
    message = packed.message(first)
    assert packed.message(first) is message
    packed.message(second)
    assert first.packed is None
    assert second.packed is not None
    assert packed.kept_bytes <= len(first.raw) * 3
    assert packed.message(first) == message
    assert second.packed is None
