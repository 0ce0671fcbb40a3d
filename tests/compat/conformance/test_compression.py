"""Lists compressed for clients on other machines: unpacked, they are what everybody else gets."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from http.client import HTTPSConnection

import pytest
from conformance_api import Api
from conformance_objects import configmap

OBJECTS = 300
FAR = ("127.0.0.2", 0)
"""Where a client connects from that the server takes for another machine."""
META = ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
FORMS = {
    "json": "application/json",
    "pretty": "application/json",
    "yaml": "application/yaml",
    "protobuf": "application/vnd.kubernetes.protobuf",
    "table": "application/json;as=Table;g=meta.k8s.io;v=v1",
    "metadata": "application/json" + META,
    "metadata-protobuf": "application/vnd.kubernetes.protobuf" + META,
}


@pytest.fixture(scope="module")
def full(api: Api) -> Iterator[str]:
    """A namespace with so many objects that its list goes out in pieces, and the revision they are all in."""
    api.post("/api/v1/namespaces", {"metadata": {"name": "packed"}})
    base = "/api/v1/namespaces/packed/configmaps"
    api.when(f"{base}/kube-root-ca.crt", lambda _: True)
    labels = {f"label-{place}": "of-some-length" for place in range(20)}
    for number in range(1, OBJECTS):
        api.post(base, configmap(f"one-{number:04}", labels, text=f"some words of {number} " * 30))
    revision = api.get(base)["metadata"]["resourceVersion"]
    yield f"{base}?resourceVersion={revision}&resourceVersionMatch=Exact"
    api.send("DELETE", "/api/v1/namespaces/packed")


def asked(api: Api, path: str, accept: str, coding: str) -> tuple[dict[str, str], bytes]:
    connection = HTTPSConnection(api.host, api.port, context=api.context, timeout=90, source_address=FAR)
    try:
        connection.request("GET", path, headers={"Accept": accept, "Accept-Encoding": coding})
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body[:300]
        return {name.lower(): value for name, value in answer.getheaders()}, body
    finally:
        connection.close()


@pytest.mark.parametrize("form", FORMS)
def test_a_list_unpacked_is_the_list(api: Api, full: str, form: str) -> None:
    path = full + ("&pretty=true" if form == "pretty" else "")
    accept = FORMS[form]

    def all_three() -> bool:
        """Whether none of them told of another second than the others: tables tell ages."""
        headers, packed = asked(api, path, accept, "gzip")
        plain_headers, plain = asked(api, path, accept, "identity")
        near = api.send("GET", path, accept=accept, accept_encoding="gzip")
        assert (headers["content-encoding"], headers["vary"]) == ("gzip", "Accept-Encoding")
        assert headers["content-type"] == plain_headers["content-type"]
        assert not {"content-encoding", "vary"} & (plain_headers.keys() | near.headers.keys())
        assert len(packed) < len(plain) / 3
        return gzip.decompress(packed) == plain == near.body

    if form == "table":
        api.until(all_three, "three tables of the same second")
    else:
        assert all_three()


def test_pages_are_packed_each_by_itself(api: Api, full: str) -> None:
    base = full.partition("?")[0]
    for limit in (280, 120, 3):
        cont = api.get(f"{base}?limit={limit}")["metadata"]["continue"]
        for path in (f"{full}&limit={limit}", f"{base}?limit={limit}&continue={cont}"):
            headers, packed = asked(api, path, FORMS["json"], "gzip")
            _, plain = asked(api, path, FORMS["json"], "identity")
            is_packed = "content-encoding" in headers
            assert (gzip.decompress(packed) if is_packed else packed) == plain
            assert is_packed == (len(plain) >= 131_072)


def test_a_watch_is_never_packed(api: Api, full: str) -> None:
    base = full.partition("?")[0]
    path = f"{base}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=1"
    headers, body = asked(api, path + "&allowWatchBookmarks=true", FORMS["json"], "gzip")
    assert "content-encoding" not in headers
    assert body.count(b'"type":"ADDED"') == OBJECTS


def test_a_client_that_leaves_midway_harms_nobody(api: Api, full: str) -> None:
    for _ in range(5):
        connection = HTTPSConnection(api.host, api.port, context=api.context, timeout=90, source_address=FAR)
        connection.request("GET", full, headers={"Accept": FORMS["table"], "Accept-Encoding": "gzip"})
        connection.getresponse().read(10)
        connection.close()
    assert api.send("GET", "/livez").status == 200
