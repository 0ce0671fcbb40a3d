"""Lists, pages, snapshots and watches, as a client sees them."""

from __future__ import annotations

import asyncio

import pytest
from api_driver import CONFIGMAPS, PODS, Api, Refused, a_pod, config, run

from navarch.apiserver import render, watchcache

ALL_CONFIGMAPS = "/api/v1/configmaps"


def names(found: dict) -> list[str]:
    return [item["metadata"]["name"] for item in found["items"]]


async def five(api: Api) -> None:
    for name in "abcde":
        await api.post(CONFIGMAPS, config(name))


def test_pages_are_one_snapshot() -> None:
    async def test(api: Api) -> None:
        await five(api)
        first = await api.get(f"{CONFIGMAPS}?limit=2")
        assert names(first) == ["a", "b"]
        assert first["metadata"]["remainingItemCount"] == 3
        await api.delete(f"{CONFIGMAPS}/c")
        await api.post(CONFIGMAPS, config("bb"))
        await api.merge(f"{CONFIGMAPS}/d", {"data": {"x": "changed"}})
        second = await api.get(f"{CONFIGMAPS}?limit=2&continue={first['metadata']['continue']}")
        assert names(second) == ["c", "d"]
        assert "data" not in second["items"][1]
        assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        third = await api.get(f"{CONFIGMAPS}?limit=2&continue={second['metadata']['continue']}")
        assert names(third) == ["e"]
        assert "continue" not in third["metadata"]
        assert names(await api.get(CONFIGMAPS)) == ["a", "b", "bb", "d", "e"]

    run(test)


def test_a_page_of_a_forgotten_snapshot_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchcache.WatchCache.__init__, "__defaults__", (2,))

    async def test(api: Api) -> None:
        await five(api)
        first = await api.get(f"{CONFIGMAPS}?limit=2")
        for number in range(4):
            await api.merge(f"{CONFIGMAPS}/a", {"data": {"n": str(number)}})
        with pytest.raises(Refused, match="continue parameter is too old") as refused:
            await api.get(f"{CONFIGMAPS}?limit=2&continue={first['metadata']['continue']}")
        assert (refused.value.code, refused.value.reason) == (410, "Expired")
        rest = await api.get(f"{CONFIGMAPS}?continue={refused.value.status['metadata']['continue']}")
        assert names(rest) == ["c", "d", "e"]

    run(test)


def test_exact_and_not_older_than() -> None:
    async def test(api: Api) -> None:
        await five(api)
        then = (await api.get(CONFIGMAPS))["metadata"]["resourceVersion"]
        await api.delete(f"{CONFIGMAPS}/a")
        exact = await api.get(f"{CONFIGMAPS}?resourceVersion={then}&resourceVersionMatch=Exact")
        assert names(exact) == list("abcde")
        assert exact["metadata"]["resourceVersion"] == then
        newer = await api.get(f"{CONFIGMAPS}?resourceVersion={then}&resourceVersionMatch=NotOlderThan")
        assert names(newer) == list("bcde")
        with pytest.raises(Refused, match="Too large resource version") as refused:
            await api.get(f"{CONFIGMAPS}?resourceVersion=99999")
        assert refused.value.code == 504

    run(test)


@pytest.mark.parametrize(
    "query",
    [
        "resourceVersionMatch=Exact",
        "resourceVersion=0&resourceVersionMatch=Exact",
        "resourceVersion=1&resourceVersionMatch=Maybe",
        "resourceVersion=abc",
        "limit=many",
        "continue=!!!",
        "continue=e30",
        "labelSelector=a%20in",
        "fieldSelector=spec.x%3D1",
        "watch=1&sendInitialEvents=true",
        "watch=1&resourceVersionMatch=NotOlderThan",
    ],
)
def test_options_that_make_no_sense_are_refused(query: str) -> None:
    async def test(api: Api) -> None:
        with pytest.raises(Refused) as refused:
            await api.get(f"{CONFIGMAPS}?{query}")
        assert refused.value.code in (400, 422)

    run(test)


def test_a_watch_from_a_revision_misses_nothing() -> None:
    async def test(api: Api) -> None:
        await five(api)
        then = (await api.get(CONFIGMAPS))["metadata"]["resourceVersion"]
        await api.delete(f"{CONFIGMAPS}/a")
        watch = await api.watch(f"{CONFIGMAPS}?watch=true&resourceVersion={then}")
        await api.post(CONFIGMAPS, config("f"))
        await api.merge(f"{CONFIGMAPS}/f", {"data": {"x": "1"}})
        found = await watch.events(3)
        assert [(e["type"], e["object"]["metadata"]["name"]) for e in found] == [
            ("DELETED", "a"),
            ("ADDED", "f"),
            ("MODIFIED", "f"),
        ]
        revisions = [int(e["object"]["metadata"]["resourceVersion"]) for e in found]
        assert revisions == sorted(set(revisions))
        assert revisions[0] > int(then)
        await watch.close()

    run(test)


def test_a_watch_from_before_the_window_says_expired() -> None:
    async def test(api: Api) -> None:
        watch = await api.watch(f"{CONFIGMAPS}?watch=true&resourceVersion=0")
        await watch.close()
        api.core._state.cache(api.core._state.kinds.resource("", "v1", "configmaps"))._floor = 50
        watch = await api.watch(f"{CONFIGMAPS}?watch=true&resourceVersion=3")
        event = await watch.event()
        assert event["type"] == "ERROR"
        assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
        with pytest.raises(StopAsyncIteration):
            await watch.event()

    run(test)


def test_what_stops_matching_a_selector_is_deleted_for_its_watchers() -> None:
    async def test(api: Api) -> None:
        await api.post(PODS, a_pod())
        watch = await api.watch(f"{PODS}?watch=true&labelSelector=app%3Dweb")
        assert (await watch.event())["type"] == "ADDED"
        await api.merge(f"{PODS}/web", {"metadata": {"labels": {"app": "other"}}})
        gone = await watch.event()
        assert gone["type"] == "DELETED"
        assert gone["object"]["metadata"]["labels"] == {"app": "web"}
        now = await api.get(f"{PODS}/web")
        assert gone["object"]["metadata"]["resourceVersion"] == now["metadata"]["resourceVersion"]
        await api.merge(f"{PODS}/web", {"metadata": {"labels": {"app": "web"}}})
        assert (await watch.event())["type"] == "ADDED"
        await watch.close()

    run(test)


def test_initial_events_end_with_a_bookmark_that_says_so() -> None:
    async def test(api: Api) -> None:
        await five(api)
        query = "watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
        watch = await api.watch(f"{CONFIGMAPS}?{query}")
        found = await watch.events(6)
        assert [e["type"] for e in found] == ["ADDED"] * 5 + ["BOOKMARK"]
        metadata = found[-1]["object"]["metadata"]
        assert metadata["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert metadata["resourceVersion"] == str(api.store.revision)
        assert found[-1]["object"]["kind"] == "ConfigMap"
        await api.delete(f"{CONFIGMAPS}/a")
        assert (await watch.event())["type"] == "DELETED"
        await watch.close()

    run(test)


def test_a_watch_of_one_object_by_its_name() -> None:
    async def test(api: Api) -> None:
        await five(api)
        watch = await api.watch(f"{CONFIGMAPS}/c?watch=true")
        await api.merge(f"{CONFIGMAPS}/a", {"data": {"x": "1"}})
        await api.merge(f"{CONFIGMAPS}/c", {"data": {"x": "1"}})
        found = await watch.events(2)
        assert [(e["type"], e["object"]["metadata"]["name"]) for e in found] == [("ADDED", "c"), ("MODIFIED", "c")]
        await watch.close()

    run(test)


def test_a_watch_ends_at_its_timeout() -> None:
    async def test(api: Api) -> None:
        watch = await api.watch(f"{CONFIGMAPS}?watch=true&timeoutSeconds=1")
        with pytest.raises(StopAsyncIteration):
            await watch.event()
        cache = api.core._state.cache(api.core._state.kinds.resource("", "v1", "configmaps"))
        assert len(cache._switchboard) == 0

    run(test)


TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


def test_tables_in_lists_gets_and_watches() -> None:
    async def test(api: Api) -> None:
        await api.post(PODS, a_pod())
        table = await api.get(PODS, accept=TABLE)
        assert table["kind"] == "Table"
        assert [c["name"] for c in table["columnDefinitions"]][:5] == ["Name", "Ready", "Status", "Restarts", "Age"]
        assert table["rows"][0]["cells"][:3] == ["web", "0/1", "Pending"]
        assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
        whole = await api.get(f"{PODS}/web?includeObject=Object", accept=TABLE)
        assert whole["rows"][0]["object"]["spec"]
        bare = await api.get(f"{PODS}?includeObject=None", accept=TABLE)
        assert bare["rows"][0]["object"] is None
        watch = await api.watch(f"{PODS}?watch=1", accept=TABLE)
        await api.merge(f"{PODS}/web", {"metadata": {"labels": {"x": "y"}}})
        first, second = await watch.events(2)
        assert first["object"]["columnDefinitions"]
        assert second["object"]["columnDefinitions"] == []
        assert second["object"]["rows"][0]["cells"][0] == "web"
        await watch.close()

    run(test)


def test_partial_metadata() -> None:
    async def test(api: Api) -> None:
        made = await api.post(PODS, a_pod())
        partial = await api.get(f"{PODS}/web", accept=PARTIAL)
        assert partial == {
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": made["metadata"],
        }
        listed = await api.get(PODS, accept=PARTIAL_LIST)
        assert listed["kind"] == "PartialObjectMetadataList"
        assert listed["items"] == [partial]
        watch = await api.watch(f"{PODS}?watch=1", accept=PARTIAL)
        assert (await watch.event())["object"] == partial
        await watch.close()

    run(test)


def test_what_is_accepted() -> None:
    async def test(api: Api) -> None:
        await five(api)
        assert names(await api.get(CONFIGMAPS, accept="application/cbor,application/json")) == list("abcde")
        with pytest.raises(Refused, match="only the following media types are accepted") as refused:
            await api.get(CONFIGMAPS, accept="application/cbor")
        assert refused.value.code == 406
        text = (await api.send("GET", f"{CONFIGMAPS}/a", accept="application/yaml")).body
        assert isinstance(text, bytes)
        assert b"kind: ConfigMap\n" in text
        pretty = (await api.send("GET", f"{CONFIGMAPS}/a?pretty=true")).body
        assert isinstance(pretty, bytes)
        assert b'\n  "kind": "ConfigMap"' in pretty

    run(test)


def test_long_lists_come_in_slices_and_are_whole() -> None:
    async def test(api: Api) -> None:
        for number in range(600):
            await api.post(CONFIGMAPS, config(f"c{number:04}"))
        response = await api.send("GET", ALL_CONFIGMAPS)
        assert not isinstance(response.body, bytes)
        found = await api.get(ALL_CONFIGMAPS)
        assert names(found) == [f"c{number:04}" for number in range(600)]

    run(test)


def test_events_have_two_faces_of_one_object() -> None:
    async def test(api: Api) -> None:
        old, new = "/api/v1/namespaces/default/events", "/apis/events.k8s.io/v1/namespaces/default/events"
        about = {"kind": "Pod", "name": "web", "namespace": "default"}
        body = {"metadata": {"name": "e"}, "involvedObject": about, "message": "it began", "reason": "Started"}
        watch = await api.watch(f"{new}?watch=1&fieldSelector=regarding.name%3Dweb")
        await api.post(old, body)
        shown = await api.get(f"{new}/e")
        assert shown["apiVersion"] == "events.k8s.io/v1"
        assert (shown["note"], shown["regarding"]["name"]) == ("it began", "web")
        assert (await watch.event())["object"] == shown
        await watch.close()
        patched = await api.merge(f"{old}/e", {"message": "it went on"})
        assert patched["message"] == "it went on"
        assert (await api.get(f"{new}/e"))["note"] == "it went on"
        series = {"series": {"count": 2, "lastObservedTime": "2026-01-02T03:04:05.000000Z"}}
        assert (await api.merge(f"{new}/e", series))["series"]["count"] == 2
        with pytest.raises(Refused, match="message: Invalid value"):
            await api.merge(f"{new}/e", {"note": "it never was"})
        with pytest.raises(Refused, match=r"eventTime: Required value"):
            await api.post(new, {"metadata": {"name": "g"}, "regarding": about})
        assert (await api.get(f"{new}?fieldSelector=regarding.name%3Dother"))["items"] == []
        made = await api.post(
            new,
            {
                "metadata": {"name": "f"},
                "regarding": about,
                "note": "n",
                "reason": "R",
                "action": "A",
                "type": "Normal",
                "eventTime": "2026-01-02T03:04:05.000000Z",
                "reportingController": "c",
                "reportingInstance": "i",
            },
        )
        assert made["note"] == "n"
        assert names(await api.get(f"{old}?fieldSelector=involvedObject.name%3Dweb")) == ["e", "f"]

    run(test)


def test_bookmarks_come_while_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "BOOKMARK_S", 0.01)

    async def test(api: Api) -> None:
        watch = await api.watch(f"{CONFIGMAPS}?watch=1&allowWatchBookmarks=true&resourceVersion={api.store.revision}")
        await api.post(PODS, a_pod())
        for _ in range(2):
            event = await watch.event()
            assert event["type"] == "BOOKMARK"
            assert event["object"]["kind"] == "ConfigMap"
        assert event["object"]["metadata"] == {"resourceVersion": str(api.store.revision)}
        await watch.close()
        silent = await api.watch(f"{CONFIGMAPS}?watch=1&resourceVersion={api.store.revision}&timeoutSeconds=1")
        with pytest.raises(StopAsyncIteration):
            await silent.event()

    run(test)


def test_bookmarks_go_on_after_one_was_due_while_something_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "BOOKMARK_S", 0.02)

    async def test(api: Api) -> None:
        watch = await api.watch(f"{CONFIGMAPS}?watch=1&allowWatchBookmarks=true&resourceVersion={api.store.revision}")
        await api.post(CONFIGMAPS, config("a"))
        assert (await watch.event())["type"] == "ADDED"
        await api.post(CONFIGMAPS, config("b"))
        await asyncio.sleep(0.05)  # the reader is slow: the time for a bookmark passes with an event at hand
        assert (await watch.event())["type"] == "ADDED"
        async with asyncio.timeout(60):
            assert (await watch.event())["type"] == "BOOKMARK"
        await watch.close()

    run(test)


def test_whoever_reads_or_writes_endpoints_is_warned() -> None:
    async def test(api: Api) -> None:
        told = ["v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"]
        endpoints = "/api/v1/namespaces/default/endpoints"
        await api.post(endpoints, {"metadata": {"name": "web"}})
        assert api.warnings == told
        for target in (endpoints, f"{endpoints}/web"):
            response = await api.send("GET", target)
            assert api.warnings == told
            assert ("warning", f'299 - "{told[0]}"') in list(response.headers)
        await api.get("/api/v1/namespaces/default/services")
        assert api.warnings == []

    run(test)


def test_there_are_no_custom_resources_at_first() -> None:
    """kubectl asks before it says that a kind is unknown."""

    async def test(api: Api) -> None:
        definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        found = await api.get(definitions)
        assert (found["kind"], found["items"]) == ("CustomResourceDefinitionList", [])
        with pytest.raises(Refused) as refused:
            await api.get(f"{definitions}/some.example.com")
        assert refused.value.code == 404

    run(test)
