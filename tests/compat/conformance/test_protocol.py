"""The protocol, asked in ways that clients seldom ask: what is refused is refused clearly and changes nothing."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from typing import Any

import pytest
from conformance_api import JSON_PATCH, MERGE, Api, names
from conformance_objects import configmap, pod, service


def at(ns: str) -> str:
    return f"/api/v1/namespaces/{ns}/configmaps"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "//api/v1/pods", 404),
        ("GET", "/api//v1/pods", 404),
        ("GET", "/api/v1/namespaces//pods", 404),
        ("GET", "/api/v1/namespaces/default/configmaps/..", (400, 404)),
        ("GET", "/api/v1/namespaces/default/configmaps/%2e%2e", (400, 404)),
        ("GET", "/api/v1/namespaces/default/configmaps/a%00b", (400, 404)),
        ("GET", "/api/v1/namespaces/default/configmaps/kube-root-ca.crt/", 200),
        ("GET", "/api/v1/namespaces/default/configmaps/kube-root-ca.crt/x", 404),
        ("GET", "/api/v1/namespaces/default/configmaps/kube-root-ca.crt/status", 404),
        ("GET", "/api/v2/pods", 404),
        ("GET", "/apis/apps/v1beta1/deployments", 404),
        ("GET", "/apis/apps/v1/pods", 404),
        ("GET", "/api/v1/Pods", 404),
        ("DELETE", "/api/v1/pods", 405),
        ("POST", "/api/v1/pods", 405),
        ("PUT", "/api/v1/namespaces/default/pods", 405),
        ("POST", "/api/v1/namespaces/default/pods/x", 405),
        ("DELETE", "/api/v1/namespaces", 405),
        ("OPTIONS", "/api/v1/pods", 405),
        ("GET", "/api/v1/namespaces/default/bindings", 405),
        ("GET", "/api/v1/namespaces/default/pods/x/eviction", 405),
        ("POST", "/version", 405),
    ],
)
def test_paths_and_methods(api: Api, method: str, path: str, status: int | tuple[int, ...]) -> None:
    body = {} if method in ("POST", "PUT") else None
    answer = api.send(method, path, body)
    assert answer.status in (status if isinstance(status, tuple) else (status,))
    if answer.status >= 400:
        assert (answer.json["kind"], answer.json["code"]) == ("Status", answer.status)


@pytest.mark.parametrize(
    ("type_", "body", "status"),
    [
        ("text/plain", b"{}", 415),
        ("application/xml", b"<a/>", 415),
        ("application/json", b"", 400),
        ("application/json", b"{", 400),
        ("application/json", b"null", 400),
        ("application/json", b"[]", 400),
        ("application/json", b'"x"', 400),
        ("application/json", b"{} {}", 400),
        ("application/json", b'{"metadata":{"name":"\xff"}}', 400),
        ("application/json", b'{"metadata":{"name":"a\\ud800"}}', (400, 422)),
        ("application/json", b'{"metadata":{"name":"a\\u0000"}}', (400, 422)),
        ("application/json", b'{"metadata":"x"}', 400),
        ("application/json", b'{"metadata":{"name":7}}', 400),
        ("application/json", b'{"metadata":{"name":"a"},"data":{"k":1}}', 400),
        ("application/json", b'{"metadata":{"name":"a"},"data":["k"]}', 400),
        ("application/json", b'{"metadata":{"name":"a"},"immutable":"yes"}', 400),
        ("application/json", b'{"metadata":{"name":"a"},"binaryData":{"k":"no base64!"}}', 400),
        ("application/json", b'{"metadata":{"name":"a","creationTimestamp":"yesterday"}}', 400),
        ("application/json", b'{"metadata":{"name":"a","generation":1.5}}', 400),
        ("application/json", b'{"metadata":{"name":"a","generation":99999999999999999999}}', 400),
        ("application/json", b'{"kind":"Pod","metadata":{"name":"a"}}', 400),
        ("application/json", b'{"apiVersion":"v2","metadata":{"name":"a"}}', 400),
        ("application/json", b'{"a":' * 20_000, 400),
        ("application/json", b'{"a":' * 2_000 + b"1" + b"}" * 2_000, 400),
        ("application/json", b"[" * 100_000, 400),
        ("application/yaml", b"metadata: {name: [", 400),
        ("application/yaml", b"\x00\x01", 400),
        ("application/yaml", b"metadata: !!python/object/apply:os.system [ls]", 400),
        ("application/vnd.kubernetes.protobuf", b"k8s\x00\xff\xff\xff", 400),
        ("application/vnd.kubernetes.protobuf", b"nothing", 400),
    ],
)
def test_bodies(api: Api, ns: str, type_: str, body: bytes, status: int | tuple[int, ...]) -> None:
    before = api.get(at(ns))["items"]
    answer = api.send("POST", at(ns), body, content_type=type_)
    assert answer.status in (status if isinstance(status, tuple) else (status,)), answer.body[:300]
    assert answer.json["message"]
    assert len(answer.body) < 10_000, "a refusal does not repeat the whole body"
    assert [one for one in api.get(at(ns))["items"] if one["metadata"]["name"] == "a"] == []
    assert len(before) <= 1, "the certificate of the cluster at most"


def test_many_names_for_one_thing_in_yaml(api: Api, ns: str) -> None:
    """A small text that stands for a huge document is refused, or cut short by the limit of a body."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join(f'*a{n - 1}' for _ in range(10))}]" for n in range(1, 9)]
    answer = api.send("POST", at(ns), "\n".join(lines).encode(), content_type="application/yaml")
    assert answer.status in (400, 413, 422)


def test_sizes(api: Api, ns: str) -> None:
    assert api.send("POST", at(ns), configmap("fits", v="x" * (1 << 20))).status == 201
    assert api.send("POST", at(ns), configmap("big", v="x" * ((1 << 20) + 1))).status == 422
    assert api.send("POST", at(ns), configmap("huge", v="x" * (3 << 20))).status == 413
    annotated = configmap("notes")
    annotated["metadata"]["annotations"] = {"a": "x" * (256 << 10)}
    refused = api.send("POST", at(ns), annotated)
    assert (refused.status, refused.causes) == (422, [("metadata.annotations", "FieldValueTooLong")])
    assert sorted(names(api.get(at(ns))))[:1] == ["fits"]
    assert api.send("GET", f"{at(ns)}?labelSelector=" + "a" * 100_000).status in (400, 414, 431)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=x", 400),
        ("limit=-1", 200),
        ("limit=0", 200),
        ("continue=x", 400),
        ("resourceVersion=x", (400, 422)),
        ("resourceVersion=-1", (400, 422)),
        ("resourceVersion=999999999", 504),
        ("resourceVersionMatch=Exact", 422),
        ("resourceVersionMatch=Exact&resourceVersion=0", 422),
        ("resourceVersionMatch=NotOlderThan&resourceVersion=0", 200),
        ("resourceVersionMatch=Nope&resourceVersion=5", 422),
        ("resourceVersionMatch=Exact&resourceVersion=5&continue=x", (400, 422)),
        ("sendInitialEvents=true", 422),
        ("watch=1&sendInitialEvents=true", 422),
        ("watch=1&resourceVersionMatch=Exact&resourceVersion=5", 422),
        ("watch=1&resourceVersion=x", (400, 422)),
        ("labelSelector=a+in+(", 400),
        ("labelSelector=a%3D%3D%3Db", 400),
        ("labelSelector=-a", 400),
        ("fieldSelector=spec.nothing%3D1", 400),
        ("fieldSelector=metadata.name", 400),
        ("pretty=true", 200),
        ("unheard=of", 200),
    ],
)
def test_options_of_lists(api: Api, ns: str, query: str, status: int | tuple[int, ...]) -> None:
    answer = api.send("GET", f"{at(ns)}?{query}")
    assert answer.status in (status if isinstance(status, tuple) else (status,)), answer.body[:300]


def test_a_revision_of_the_future_is_told(api: Api, ns: str) -> None:
    answer = api.send("GET", f"{at(ns)}?resourceVersion=999999999")
    assert answer.reason == "Timeout"
    assert answer.json["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
    assert answer.json["details"]["retryAfterSeconds"] >= 1


def test_exact_lists_of_the_past(api: Api, ns: str) -> None:
    api.post(at(ns), configmap("a", {"n": "1"}))
    first = api.post(at(ns), configmap("b", {"n": "1"}))["metadata"]["resourceVersion"]
    api.patch(f"{at(ns)}/a", {"metadata": {"labels": {"n": "2"}}})
    api.delete(f"{at(ns)}/b")
    api.post(at(ns), configmap("c", {"n": "1"}))
    then = api.get(f"{at(ns)}?labelSelector=n%3D1&resourceVersion={first}&resourceVersionMatch=Exact")
    assert (names(then), then["metadata"]["resourceVersion"]) == (["a", "b"], first)
    page = api.get(f"{at(ns)}?labelSelector=n%3D1&resourceVersion={first}&resourceVersionMatch=Exact&limit=1")
    rest = api.get(f"{at(ns)}?labelSelector=n%3D1&limit=1&continue={page['metadata']['continue']}")
    assert (names(page), names(rest)) == (["a"], ["b"])
    newer = api.get(f"{at(ns)}?labelSelector=n%3D1&resourceVersion={first}&resourceVersionMatch=NotOlderThan")
    assert names(newer) == ["c"]


def test_preconditions(api: Api, ns: str) -> None:
    made = api.post(at(ns), configmap("c"))
    path = f"{at(ns)}/c"
    for wrong in ({"uid": "other"}, {"resourceVersion": "1"}, {"uid": made["metadata"]["uid"], "resourceVersion": "1"}):
        refused = api.send("DELETE", path, {"preconditions": wrong})
        assert (refused.status, refused.reason) == (409, "Conflict")
    assert api.send("PATCH", path, {"metadata": {"uid": "other"}}, content_type=MERGE).status == 409
    assert api.send("PATCH", path, {"metadata": {"resourceVersion": "1"}}, content_type=MERGE).status == 409
    assert api.send("PUT", path, {**made, "metadata": {**made["metadata"], "uid": "other"}}).status == 409
    for wrong_options in (
        {"propagationPolicy": "Maybe"},
        {"propagationPolicy": "Orphan", "orphanDependents": True},
        {"dryRun": ["Some"]},
        {"gracePeriodSeconds": "x"},
        {"kind": "Pod"},
        [],
    ):
        assert api.send("DELETE", path, wrong_options).status in (400, 422), wrong_options
    assert api.send("DELETE", path, b"{").status == 400
    assert api.get(path) == made
    right = {"uid": made["metadata"]["uid"], "resourceVersion": made["metadata"]["resourceVersion"]}
    answer = api.send("DELETE", path, {"preconditions": right})
    assert (answer.status, answer.json["status"], answer.json["details"]["uid"]) == (200, "Success", right["uid"])


def test_one_of_many_writers_wins(api: Api, ns: str) -> None:
    made = api.post(at(ns), configmap("c", n="0"))
    results: list[int] = []

    def together(count: int, work: Any) -> list[int]:
        results.clear()
        threads = [
            threading.Thread(target=lambda n=n: results.append(work(Api(api.kubeconfig), n))) for n in range(count)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sorted(results)

    def put(own: Api, n: int) -> int:
        return own.send("PUT", f"{at(ns)}/c", {**made, "data": {"n": str(n + 1)}}).status

    assert together(8, put) == [200] + [409] * 7
    assert together(8, lambda own, n: own.send("POST", at(ns), configmap("same", n=str(n))).status) == [201] + [409] * 7

    def patch(own: Api, n: int) -> int:
        return own.send("PATCH", f"{at(ns)}/c", {"data": {f"k{n}": "v"}}, content_type=MERGE).status

    assert together(8, patch) == [200] * 8
    assert set(api.get(f"{at(ns)}/c")["data"]) >= {f"k{n}" for n in range(8)}

    def count_up(own: Api, n: int) -> int:
        path = f"{at(ns)}/c"
        while True:
            found = own.get(path)
            found["data"]["n"] = str(int(found["data"]["n"]) + 1)
            status = own.send("PUT", path, found).status
            if status != 409:
                return status

    api.patch(f"{at(ns)}/c", {"data": {"n": "0"}})
    assert together(6, count_up) == [200] * 6
    assert api.get(f"{at(ns)}/c")["data"]["n"] == "6"
    assert together(6, lambda own, n: own.send("DELETE", f"{at(ns)}/c").status) == [200] + [404] * 5

    def apply(own: Api, n: int) -> int:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {f"k{n}": "v"}}
        return own.apply(f"{at(ns)}/applied", body, f"m{n}").status

    assert together(8, apply) == [200] * 7 + [201]
    assert len(api.get(f"{at(ns)}/applied")["data"]) == 8


def test_generated_names(api: Api, ns: str) -> None:
    made = [api.post(at(ns), {"metadata": {"generateName": "gen-"}})["metadata"] for _ in range(50)]
    assert len({one["name"] for one in made}) == 50
    assert all(one["name"].startswith("gen-") and len(one["name"]) == 9 for one in made)
    long = api.post(at(ns), {"metadata": {"generateName": "x" * 100}})["metadata"]["name"]
    assert len(long) == 63
    both = api.post(at(ns), {"metadata": {"generateName": "gen-", "name": "own"}})["metadata"]
    assert both["name"] == "own"
    assert api.send("POST", at(ns), {"metadata": {"generateName": "Gen_"}}).status == 422
    assert api.send("POST", at(ns), {"metadata": {}}).status == 422


def test_servers_fill_in_what_clients_may_not(api: Api, ns: str) -> None:
    made = api.post(
        at(ns),
        {
            "metadata": {
                "name": "c",
                "uid": "mine",
                "creationTimestamp": "2001-01-01T00:00:00Z",
                "deletionTimestamp": "2001-01-01T00:00:00Z",
                "deletionGracePeriodSeconds": 5,
                "generation": 7,
                "selfLink": "/x",
            }
        },
    )["metadata"]
    assert made["uid"] != "mine"
    assert not made["creationTimestamp"].startswith("2001")
    assert not {"deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"} & set(made)
    refused = api.send("POST", at(ns), {"metadata": {"name": "d", "resourceVersion": "5"}})
    assert refused.status in (400, 422)
    assert api.send("POST", at(ns), {"metadata": {"name": "d", "namespace": "other"}}).status == 400


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/namespaces", {"metadata": {"name": "tried"}}),
        ("/api/v1/namespaces/NS/pods", pod("tried")),
        ("/api/v1/namespaces/NS/services", service("tried", {"a": "b"}, type="LoadBalancer")),
        ("/api/v1/namespaces/NS/serviceaccounts", {"metadata": {"name": "tried"}}),
        ("/api/v1/namespaces/NS/secrets", {"metadata": {"generateName": "tried-"}}),
        ("/api/v1/nodes", {"metadata": {"name": "tried"}}),
        ("/apis/scheduling.k8s.io/v1/priorityclasses", {"metadata": {"name": "tried"}, "value": 5}),
    ],
)
def test_trying_changes_nothing(api: Api, ns: str, path: str, body: Any) -> None:
    path = path.replace("NS", ns)
    before = api.get(path)
    answer = api.send("POST", f"{path}?dryRun=All", body)
    assert answer.status == 201, answer.body
    assert answer.json["metadata"].get("uid")
    assert "resourceVersion" not in answer.json["metadata"]
    assert api.send("POST", f"{path}?dryRun=None", body).status in (400, 422)
    assert names(api.get(path)) == names(before)
    invalid = {"metadata": {"name": "Not_Valid"}}
    assert api.send("POST", f"{path}?dryRun=All", invalid).status == 422


@pytest.mark.parametrize("accept", ["text/html", "application/cbor", "application/json;as=Chair;v=v1;g=meta.k8s.io"])
def test_forms_that_we_do_not_make(api: Api, accept: str) -> None:
    answer = api.send("GET", "/api/v1/nodes", accept=accept)
    assert (answer.status, answer.reason) == (406, "NotAcceptable")


@pytest.mark.parametrize(
    ("accept", "type_"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("text/html, */*;q=0.1", "application/json"),
        ("application/vnd.kubernetes.protobuf, application/json", "application/vnd.kubernetes.protobuf"),
        ("application/yaml", "application/yaml"),
        ("application/json;q=0.2, application/yaml;q=0.8", "application/yaml"),
    ],
)
def test_forms_that_we_make(api: Api, accept: str, type_: str) -> None:
    answer = api.send("GET", "/api/v1/nodes", accept=accept)
    assert (answer.status, answer.headers["content-type"]) == (200, type_)


def test_patches_that_are_none(api: Api, ns: str) -> None:
    api.post(at(ns), configmap("c", a="1"))
    before = api.get(f"{at(ns)}/c")
    wrong: list[tuple[str, Any, int]] = [
        (JSON_PATCH, {}, 400),
        (JSON_PATCH, [1], 400),
        (JSON_PATCH, [{"op": "jump", "path": "/a"}], 422),
        (JSON_PATCH, [{"op": "add", "path": "/data/b"}], 422),
        (JSON_PATCH, [{"op": "remove", "path": "/data/none"}], 422),
        (JSON_PATCH, [{"op": "test", "path": "/data/a", "value": "2"}], 422),
        (JSON_PATCH, [{"op": "replace", "path": "/metadata/name", "value": "x"}], 400),
        (
            JSON_PATCH,
            [{"op": "add", "path": "/data/b", "value": "1"}, {"op": "test", "path": "/data/b", "value": "2"}],
            422,
        ),
        (MERGE, [], 400),
        (MERGE, {"data": {"a": 1}}, 422),
        (MERGE, {"data": "x"}, 422),
        (MERGE, {"kind": "Secret"}, 400),
        (MERGE, {"metadata": {"namespace": "other"}}, 400),
        (MERGE, {"metadata": {"labels": {"a b": "c"}}}, 422),
        (MERGE, {"metadata": {"finalizers": ["no slash"]}}, 422),
        ("application/strategic-merge-patch+json", {"data": {"$patch": "explode"}}, 400),
        ("application/merge-patch+yaml", {}, 415),
        ("application/json", {}, 415),
    ]
    for type_, body, status in wrong:
        answer = api.send("PATCH", f"{at(ns)}/c", body, content_type=type_)
        assert answer.status == status, (type_, body, answer.body)
    long = [{"op": "add", "path": "/data/b", "value": str(n)} for n in range(10_001)]
    assert api.send("PATCH", f"{at(ns)}/c", long, content_type=JSON_PATCH).status == 413
    assert api.send("PATCH", f"{at(ns)}/c?force=true", {}, content_type=MERGE).status in (400, 422)
    assert api.get(f"{at(ns)}/c") == before


# -- below HTTP's surface


def raw(api: Api, data: bytes) -> bytes:
    """What the server answers to these bytes, until it closes or is silent for a moment."""
    context = api.context
    with (
        socket.create_connection((api.host, api.port), 60) as plain,
        context.wrap_socket(plain, server_hostname=api.host) as stream,
    ):
        stream.settimeout(60)
        stream.sendall(data)
        found = b""
        try:
            while piece := stream.recv(65536):
                found += piece
        except (TimeoutError, ssl.SSLError, ConnectionError):
            pass
        return found


@pytest.mark.parametrize(
    "data",
    [
        b"GARBAGE\r\n\r\n",
        b"GET /version HTTP/9.9\r\n\r\n",
        b"GET /version HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        b"POST /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"POST /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nBad Header: y\r\n\r\n",
        b"GET /version HTTP/1.1\r\nX: " + b"a" * 2_000_000 + b"\r\n\r\n",
    ],
)
def test_what_is_no_http(api: Api, data: bytes) -> None:
    answer = raw(api, data)
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431", b"HTTP/1.1 413", b"HTTP/1.1 505")), answer[:200]
    assert answer.count(b"HTTP/1.1 200") == 0
    assert api.send("GET", "/version").status == 200


def test_several_requests_at_once(api: Api) -> None:
    one = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = raw(api, one * 3 + last)
    assert answer.count(b"HTTP/1.1 200 OK") == 4
    body = json.dumps(configmap("chunked")).encode()
    chunked = b"POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    chunked += b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    for start in range(0, len(body), 7):
        piece = body[start : start + 7]
        chunked += b"%x\r\n%b\r\n" % (len(piece), piece)
    answer = raw(api, chunked + b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 201")
    api.delete("/api/v1/namespaces/default/configmaps/chunked")


def test_heads_have_no_body(api: Api) -> None:
    answer = raw(api, b"HEAD /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert body == b""
