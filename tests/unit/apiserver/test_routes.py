from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.apiserver.call import ANONYMOUS, Call
from navarch.apiserver.routes import attributes, long_running, named_by, parse, parse_accept, tail
from navarch.wire.message import Request


def call(method: str, target: str) -> Call:
    parts = urlsplit(target)
    return parse(Request(method, parts.path, target, {}, parse_qsl(parts.query, keep_blank_values=True)), ANONYMOUS)


@pytest.mark.parametrize(
    ("method", "target", "found"),
    [
        ("GET", "/api/v1/pods", ("list", "", "v1", "", "pods", "", "")),
        ("GET", "/api/v1/pods?watch=1", ("watch", "", "v1", "", "pods", "", "")),
        ("GET", "/api/v1/pods?watch=false", ("list", "", "v1", "", "pods", "", "")),
        ("GET", "/api/v1/watch/namespaces/a/pods/b", ("watch", "", "v1", "a", "pods", "b", "")),
        ("GET", "/api/v1/namespaces", ("list", "", "v1", "", "namespaces", "", "")),
        ("GET", "/api/v1/namespaces/a", ("get", "", "v1", "a", "namespaces", "a", "")),
        ("PUT", "/api/v1/namespaces/a/finalize", ("update", "", "v1", "a", "namespaces", "a", "finalize")),
        ("PATCH", "/api/v1/namespaces/a/status", ("patch", "", "v1", "a", "namespaces", "a", "status")),
        ("POST", "/api/v1/namespaces/a/pods", ("create", "", "v1", "a", "pods", "", "")),
        ("POST", "/api/v1/namespaces/a/pods/b/exec", ("create", "", "v1", "a", "pods", "b", "exec")),
        ("DELETE", "/api/v1/namespaces/a/pods", ("deletecollection", "", "v1", "a", "pods", "", "")),
        ("DELETE", "/apis/apps/v1/namespaces/a/deployments/b", ("delete", "apps", "v1", "a", "deployments", "b", "")),
        ("HEAD", "/api/v1/nodes/n", ("get", "", "v1", "", "nodes", "n", "")),
        ("GET", "/api/v1/pods?fieldSelector=metadata.name%3Dx", ("list", "", "v1", "", "pods", "x", "")),
        ("GET", "/api/v1/namespaces/a/pods/", ("list", "", "v1", "a", "pods", "", "")),
        ("GET", "/api/v1/namespaces/a/pods/b/status/c", ("get", "", "v1", "a", "pods", "b", "status/c")),
        ("GET", "/api/v1/namespaces/a/services/b/proxy//c//", ("get", "", "v1", "a", "services", "b", "proxy")),
    ],
)
def test_resources(method: str, target: str, found: tuple[str, ...]) -> None:
    one = call(method, target)
    assert one.is_resource
    assert (one.verb, one.group, one.version, one.namespace, one.resource, one.name, one.subresource) == found


@pytest.mark.parametrize("target", ["//api/v1/pods", "/api//v1/pods", "/api/v1//pods", "/api/v1/namespaces//pods/x"])
def test_empty_parts_name_no_resource(target: str) -> None:
    one = parse(Request("GET", target, target, {}), ANONYMOUS)
    assert (one.is_resource, one.path) == (False, target)


@pytest.mark.parametrize("target", ["/", "/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/healthz/ping"])
def test_other_paths(target: str) -> None:
    one = call("GET", target)
    assert (one.is_resource, one.verb, one.path) == (False, "get", target)


def test_unknown_methods_are_no_resource_requests() -> None:
    assert not call("BREW", "/api/v1/pods").is_resource


def test_attributes_and_streams() -> None:
    asked = attributes(call("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn"))
    assert (asked.verb, asked.fields, asked.name) == ("list", "spec.nodeName=n", "")
    assert long_running(call("GET", "/api/v1/namespaces/a/pods/b/log"))
    assert not long_running(call("GET", "/api/v1/namespaces/a/pods/b"))
    assert tail(call("GET", "/api/v1/namespaces/a/services/b:80/proxy/x/y")) == "/x/y"
    assert tail(call("GET", "/api/v1/nodes/n/proxy")) == ""


def test_names_in_field_selectors() -> None:
    assert named_by("metadata.name==x,status.phase=Running") == "x"
    assert named_by("metadata.name!=x") == ""


def test_accept_is_ordered_by_weight() -> None:
    found = parse_accept("text/html;q=0.5, application/json;as=Table;v=v1, */*;q=0.1")
    assert found[0] == ("application/json", {"as": "Table", "v": "v1"})
    assert [media for media, _ in found] == ["application/json", "text/html", "*/*"]
    assert parse_accept("")[0][0] == "*/*"
    assert parse_accept("a/b;q=x")[0][0] == "a/b"


@given(st.text(alphabet="/abc:%?.*", max_size=40))
def test_no_path_is_too_strange(path: str) -> None:
    parse(Request("GET", f"/api/v1/{path}", "", {}), ANONYMOUS)
