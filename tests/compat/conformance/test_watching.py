"""Watches, pages and tables."""

from __future__ import annotations

import threading
from typing import Any

from conformance_api import Api, names
from conformance_objects import configmap
from conformance_specs import spec

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def watched(ns: str, query: str) -> str:
    return f"/api/v1/namespaces/{ns}/configmaps?watch=1&timeoutSeconds=20&{query}"


@spec("[sig-api-machinery] Watchers should observe add, update, and delete watch notifications on configmaps")
def test_notifications(api: Api, ns: str) -> None:
    at = f"/api/v1/namespaces/{ns}/configmaps"
    a, b = "labelSelector=label%3Da", "labelSelector=label%3Db"
    both = "labelSelector=label+in+(a,b)"
    with api.watch(watched(ns, a)) as on_a, api.watch(watched(ns, b)) as on_b, api.watch(watched(ns, both)) as on_both:
        first = api.post(at, configmap("one", {"label": "a"}))
        for events in (on_a, on_both):
            assert events.next() == ("ADDED", first)
        for value in ("1", "2"):
            changed = api.patch(f"{at}/one", {"data": {"mutation": value}})
            for events in (on_a, on_both):
                assert events.next() == ("MODIFIED", changed)
        api.delete(f"{at}/one")
        for events in (on_a, on_both):
            type_, gone = events.next()
            assert (type_, gone["metadata"]["name"]) == ("DELETED", "one")
            assert int(gone["metadata"]["resourceVersion"]) > int(changed["metadata"]["resourceVersion"])
        second = api.post(at, configmap("two", {"label": "b"}))
        for events in (on_b, on_both):
            assert events.next() == ("ADDED", second)
        api.delete(f"{at}/two")
        for events in (on_b, on_both):
            assert events.next()[0] == "DELETED"
        assert on_a.silent()


@spec("[sig-api-machinery] Watchers should be able to start watching from a specific resource version")
def test_watching_from_a_revision(api: Api, ns: str) -> None:
    at = f"/api/v1/namespaces/{ns}/configmaps"
    api.post(at, configmap("one"))
    first = api.patch(f"{at}/one", {"data": {"mutation": "1"}})
    api.patch(f"{at}/one", {"data": {"mutation": "2"}})
    api.delete(f"{at}/one")
    with api.watch(watched(ns, f"resourceVersion={first['metadata']['resourceVersion']}")) as events:
        (modified, second), (deleted, _) = events.take(2)
    assert (modified, second["data"], deleted) == ("MODIFIED", {"mutation": "2"}, "DELETED")


@spec(
    "[sig-api-machinery] Watchers should be able to restart watching from the last resource version observed by "
    "the previous watch"
)
def test_watching_on(api: Api, ns: str) -> None:
    at = f"/api/v1/namespaces/{ns}/configmaps"
    with api.watch(watched(ns, "labelSelector=x")) as events:
        api.post(at, configmap("one", {"x": "y"}))
        api.patch(f"{at}/one", {"data": {"mutation": "1"}})
        (added, _), (modified, seen) = events.take(2)
        assert (added, modified) == ("ADDED", "MODIFIED")
    api.patch(f"{at}/one", {"data": {"mutation": "2"}})
    api.delete(f"{at}/one")
    last = seen["metadata"]["resourceVersion"]
    with api.watch(watched(ns, f"labelSelector=x&resourceVersion={last}")) as events:
        (modified, found), (deleted, _) = events.take(2)
    assert (modified, found["data"]["mutation"], deleted) == ("MODIFIED", "2", "DELETED")


@spec(
    "[sig-api-machinery] Watchers should observe an object deletion if it stops meeting the requirements of the "
    "selector"
)
def test_leaving_a_selector(api: Api, ns: str) -> None:
    at = f"/api/v1/namespaces/{ns}/configmaps"
    with api.watch(watched(ns, "labelSelector=keep%3Dyes")) as events:
        api.post(at, configmap("one", {"keep": "yes"}))
        api.patch(f"{at}/one", {"data": {"mutation": "1"}})
        left = api.patch(f"{at}/one", {"metadata": {"labels": {"keep": "no"}}})
        (added, _), (modified, _), (deleted, gone) = events.take(3)
        assert (added, modified, deleted) == ("ADDED", "MODIFIED", "DELETED")
        assert gone["metadata"]["labels"] == {"keep": "yes"}, "as it was when it still matched"
        assert gone["metadata"]["resourceVersion"] == left["metadata"]["resourceVersion"]
        api.patch(f"{at}/one", {"data": {"mutation": "2"}})
        api.patch(f"{at}/one", {"metadata": {"labels": {"keep": "yes"}}})
        back, found = events.next()
        assert (back, found["data"]["mutation"]) == ("ADDED", "2")
        api.patch(f"{at}/one", {"data": {"mutation": "3"}})
        api.delete(f"{at}/one")
        assert [type_ for type_, _ in events.take(2)] == ["MODIFIED", "DELETED"]


@spec("[sig-api-machinery] Watchers should receive events on concurrent watches in same order")
def test_one_order_for_all(api: Api, ns: str) -> None:
    at = f"/api/v1/namespaces/{ns}/configmaps"
    begin = api.get(at)["metadata"]["resourceVersion"]
    revisions: list[str] = []

    def write() -> None:
        own = Api(api.kubeconfig)
        for number in range(30):
            own.post(at, configmap(f"c{number}"))
            if number % 3 == 0:
                own.patch(f"{at}/c{number}", {"data": {"x": "y"}})
            if number % 5 == 0:
                own.delete(f"{at}/c{number}")

    writer = threading.Thread(target=write)
    writer.start()
    with api.watch(watched(ns, f"resourceVersion={begin}")) as events:
        revisions = [found["metadata"]["resourceVersion"] for _, found in events.take(46)]
    writer.join()
    assert revisions == sorted(revisions, key=int)
    for start in (begin, revisions[0], revisions[20]):
        with api.watch(watched(ns, f"resourceVersion={start}")) as events:
            rest = [one for one in revisions if int(one) > int(start)]
            assert [found["metadata"]["resourceVersion"] for _, found in events.take(len(rest))] == rest


def make_templates(api: Api, ns: str, count: int) -> None:
    for number in range(count):
        container = {"name": "test", "image": "test2"}
        body = {"metadata": {"name": f"template-{number:04}"}, "template": {"spec": {"containers": [container]}}}
        api.post(f"/api/v1/namespaces/{ns}/podtemplates", body)


@spec("[sig-api-machinery] Servers with support for API chunking should return chunks of results for list calls")
def test_pages(api: Api, ns: str) -> None:
    at, count = f"/api/v1/namespaces/{ns}/podtemplates", 40
    make_templates(api, ns, count)
    for limit in (7, 13, 39):
        seen: list[str] = []
        cont, revision = "", ""
        while True:
            found = api.get(f"{at}?limit={limit}&continue={cont}")
            metadata = found["metadata"]
            assert len(found["items"]) <= limit
            revision = revision or metadata["resourceVersion"]
            assert metadata["resourceVersion"] == revision, "all pages are of one moment"
            seen += names(found)
            assert metadata.get("remainingItemCount", 0) == count - len(seen)
            cont = metadata.get("continue", "")
            if not cont:
                break
            api.patch(f"{at}/template-0000", {"metadata": {"labels": {"written": f"between-{len(seen)}"}}})
        assert seen == [f"template-{number:04}" for number in range(count)]
    whole = api.get(f"{at}?limit={count + 1}&resourceVersion=0")
    assert len(whole["items"]) == count
    assert "continue" not in whole["metadata"]


@spec(
    "[sig-api-machinery] Servers with support for API chunking should support continue listing from the last key "
    "if the original version has been compacted away, though the list is inconsistent [Slow]"
)
def test_pages_whose_moment_is_forgotten(api: Api, ns: str) -> None:
    at, count = f"/api/v1/namespaces/{ns}/podtemplates", 12
    make_templates(api, ns, count)
    first = api.get(f"{at}?limit=5")
    cont = first["metadata"]["continue"]
    container = {"name": "test", "image": "test2"}
    new = api.post(at, {"metadata": {"name": "template-9999"}, "template": {"spec": {"containers": [container]}}})
    for number in range(700):  # more changes than a kind of few objects remembers
        api.patch(f"{at}/template-9999", {"metadata": {"labels": {"n": str(number)}}})
    answer = api.send("GET", f"{at}?limit=5&continue={cont}")
    assert (answer.status, answer.reason) == (410, "Expired")
    cont = answer.json["metadata"]["continue"]
    assert cont
    second = api.get(f"{at}?limit=5&continue={cont}")
    assert names(second) == [f"template-{number:04}" for number in range(5, 10)]
    assert int(second["metadata"]["resourceVersion"]) > int(new["metadata"]["resourceVersion"])
    third = api.get(f"{at}?limit=5&continue={second['metadata']['continue']}")
    assert names(third) == ["template-0010", "template-0011", "template-9999"]
    assert third["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]


@spec(
    "[sig-api-machinery] Servers with support for Table transformation should return a 406 for a backend which "
    "does not implement metadata"
)
def test_no_table_of_what_is_no_object(api: Api) -> None:
    review = {"spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    answer = api.send("POST", path, review, accept=TABLE)
    assert (answer.status, answer.reason) == (406, "NotAcceptable")
    assert api.send("POST", path, review, accept=f"{TABLE},application/json").json["kind"] == "SelfSubjectAccessReview"


def test_tables(api: Api, ns: str) -> None:
    at = f"/api/v1/namespaces/{ns}/configmaps"
    for number in range(3):
        api.post(at, configmap(f"c{number}", v="1"))
    table: Any = api.get(f"{at}?limit=2&fieldSelector=metadata.name!%3Dkube-root-ca.crt", accept=TABLE)
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert [row["cells"][:2] for row in table["rows"]] == [["c0", 1], ["c1", 1]]
    assert table["metadata"]["continue"]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    whole = api.get(f"{at}?includeObject=Object", accept=TABLE)["rows"][0]["object"]
    assert whole["kind"] == "ConfigMap"
    bare = api.get(f"{at}?includeObject=None", accept=TABLE)["rows"][0]
    assert bare.get("object") is None
    with api.watch(f"{at}?watch=1&timeoutSeconds=5&fieldSelector=metadata.name%3Dc1", accept=TABLE) as events:
        type_, found = events.next()
        assert (type_, found["kind"], len(found["columnDefinitions"])) == ("ADDED", "Table", 3)
        api.patch(f"{at}/c1", {"data": {"more": "2"}})
        type_, found = events.next()
        assert (type_, found["rows"][0]["cells"][1]) == ("MODIFIED", 2)
        assert not found.get("columnDefinitions"), "only the first event of a watch names the columns"


def test_bookmarks_and_initial_events(api: Api, ns: str) -> None:
    at = f"/api/v1/namespaces/{ns}/configmaps"
    api.post(at, configmap("one", {"x": "y"}))
    revision = api.get(at)["metadata"]["resourceVersion"]
    query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&labelSelector=x"
    with api.watch(watched(ns, query)) as events:
        assert events.next()[0] == "ADDED"
        type_, mark = events.next()
        assert (type_, mark["kind"]) == ("BOOKMARK", "ConfigMap")
        assert mark["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert int(mark["metadata"]["resourceVersion"]) >= int(revision)
        api.post(at, configmap("two", {"x": "y"}))
        assert events.next()[0] == "ADDED"
    with api.watch(watched(ns, f"{query}&resourceVersion={revision}")) as events:
        assert [type_ for type_, _ in events.take(3)] == ["ADDED", "ADDED", "BOOKMARK"]
    query = "sendInitialEvents=false&resourceVersionMatch=NotOlderThan&labelSelector=x"
    with api.watch(watched(ns, query)) as events:
        api.post(at, configmap("three", {"x": "y"}))
        type_, found = events.next()
        assert (type_, found["metadata"]["name"]) == ("ADDED", "three")


def test_a_watch_from_a_forgotten_revision_is_told_so(api: Api, ns: str) -> None:
    at = f"/api/v1/namespaces/{ns}/leases".replace("/api/v1", "/apis/coordination.k8s.io/v1")
    made = api.post(at, {"metadata": {"name": "one"}})
    for number in range(600):
        api.patch(f"{at}/one", {"spec": {"leaseTransitions": number}})
    with api.watch(f"{at}?watch=1&resourceVersion={made['metadata']['resourceVersion']}") as events:
        type_, status = events.next()
        assert (type_, status["kind"], status["code"], status["reason"]) == ("ERROR", "Status", 410, "Expired")
        assert events.rest() == []
    answer = api.send("GET", f"{at}?resourceVersion={made['metadata']['resourceVersion']}&resourceVersionMatch=Exact")
    assert (answer.status, answer.reason) == (410, "Expired")


def test_a_watch_ends_when_it_was_told_to(api: Api, ns: str) -> None:
    with api.watch(f"/api/v1/namespaces/{ns}/secrets?watch=1&timeoutSeconds=1") as events:
        assert events.rest() == []
