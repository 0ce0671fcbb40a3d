"""Discovery and OpenAPI compared with what Kubernetes 1.36 publishes: every difference is one that a page names."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import orjson
import pytest

from navarch.apiserver.discovery import Discovery
from navarch.apiserver.openapi import OpenApi
from navarch.base.errors import NotFound
from navarch.kinds.registry import DEFAULT
from navarch.wire.message import Request, Response

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "docs" / "reference"))
import differences  # noqa: E402 - where the page is made
from differences import DISCOVERY, OPENAPI  # noqa: E402

REFERENCE = next((found for parent in ROOT.parents if (found := parent / "shared" / "reference").is_dir()), None)
pytestmark = pytest.mark.skipif(REFERENCE is None, reason="the reference data of v1.36 is not here")

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"
VERBS = {"get": "get", "list": "list", "post": "create", "put": "update", "patch": "patch", "delete": "delete"}


HOST = "10.0.0.1:6443"


class Pages:
    """What the server answers of itself."""

    def __init__(self) -> None:
        self._discovery, self._openapi = Discovery(DEFAULT), OpenApi(DEFAULT)

    def ask(self, path: str, **headers: str) -> Response:
        sent = {"accept": "application/json", "host": HOST}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        bare, _, query = path.partition("?")
        request = Request("GET", bare, path, sent, parse_qsl(query))
        return (self._openapi if path.startswith("/openapi") else self._discovery).answer(request)

    def get(self, path: str, accept: str = "application/json") -> Any:
        found = self.ask(path, accept=accept)
        assert found.status == 200
        assert isinstance(found.body, bytes)
        return orjson.loads(found.body)


@pytest.fixture(scope="module")
def cluster() -> Pages:
    return Pages()


def published(name: str) -> Any:
    assert REFERENCE is not None
    data = (REFERENCE / name).read_bytes()
    return json.loads(gzip.decompress(data) if name.endswith(".gz") else data)


def explained(document: str, found: list[str]) -> None:
    """Each difference is in the table, and each entry of the table is a difference."""
    entries = [one.where for one in differences.ALL if one.document == document]
    assert [one for one in found if not any(fnmatchcase(one, entry) for entry in entries)] == []
    assert [entry for entry in entries if not any(fnmatchcase(one, entry) for one in found)] == []


def resources(document: Any) -> dict[tuple[str, str, str], Any]:
    return {
        (group["metadata"].get("name", ""), version["version"], resource["resource"]): resource
        for group in document["items"]
        for version in group["versions"]
        for resource in version["resources"]
    }


def test_discovery(cluster: Pages) -> None:
    theirs = resources(published("discovery-aggregated.json"))
    ours = resources(cluster.get("/apis", AGGREGATED.format("v2")))
    differing = [f"{'/'.join(key)} differs" for key, one in theirs.items() if ours.get(key, one) != one]
    missing = [f"{'/'.join(key)} is not served" for key in theirs if key not in ours]
    added = [f"{'/'.join(key)} is not Kubernetes'" for key in ours if key not in theirs and not key[0].endswith(".com")]
    explained(DISCOVERY, differing + missing + added)
    order = [key for key in theirs if key in ours]
    assert [key for key in ours if key in theirs] == order, "groups, versions and resources stand in their order"


def test_the_older_forms_of_discovery_say_the_same(cluster: Pages) -> None:
    newest = resources(cluster.get("/apis", AGGREGATED.format("v2")))
    assert resources(cluster.get("/apis", AGGREGATED.format("v2beta1"))) == newest
    newest |= resources(cluster.get("/api", AGGREGATED.format("v2")))
    groups = cluster.get("/apis")["groups"]
    assert [one["name"] for one in groups] == list(dict.fromkeys(group for group, _, _ in newest if group))
    for group in groups:
        versions = list(dict.fromkeys(version for name, version, _ in newest if name == group["name"]))
        assert [one["version"] for one in group["versions"]] == versions
        assert group["preferredVersion"] == group["versions"][0]
        assert cluster.get(f"/apis/{group['name']}") == {"kind": "APIGroup", "apiVersion": "v1", **group}
    for group, version in dict.fromkeys((group, version) for group, version, _ in newest):
        page = cluster.get(f"/apis/{group}/{version}" if group else f"/api/{version}")
        assert page["groupVersion"] == (f"{group}/{version}" if group else version)
        listed = {one["name"]: one for one in page["resources"]}
        wanted = {name: one for (g, v, name), one in newest.items() if (g, v) == (group, version)}
        assert {name for name in listed if "/" not in name} == set(wanted)
        for name, one in wanted.items():
            plain = listed[name]
            assert plain["kind"] == one["responseKind"]["kind"]
            assert plain["namespaced"] == (one["scope"] == "Namespaced")
            assert plain["singularName"] == one["singularResource"]
            for field in ("verbs", "shortNames", "categories"):
                assert plain.get(field) == one.get(field)
            inner = {key.partition("/")[2] for key in listed if key.startswith(f"{name}/")}
            assert inner == {sub["subresource"] for sub in one.get("subresources", ())}


def test_the_core_group_is_that_of_the_published_paths(cluster: Pages) -> None:
    """The published discovery has no core group; the published paths have."""
    verbs: dict[str, set[str]] = {}
    for path, item in published("openapi-v2.json.gz")["paths"].items():
        if not path.startswith("/api/v1/") or path == "/api/v1/" or "{path}" in path:
            continue
        parts = path.removeprefix("/api/v1/").removeprefix("namespaces/{namespace}/").split("/")
        watched = parts[0] == "watch"
        if watched:
            parts = path.removeprefix("/api/v1/watch/").removeprefix("namespaces/{namespace}/").split("/")
        name = "/".join(part for part in parts if not part.startswith("{"))
        for method, operation in item.items():
            if method in VERBS:
                action = "watch" if watched else operation["x-kubernetes-action"]
                verbs.setdefault(name, set()).add(VERBS[method] if action == "connect" else VERBS.get(action, action))
    ours = {one["name"]: set(one["verbs"]) for one in cluster.get("/api/v1")["resources"]}
    missing = [name for name in verbs if name not in ours]
    assert missing == []
    assert {name: found for name, found in ours.items() if found != verbs[name]} == {}


def test_objects_of_one_kind_are_stored_as_one_version(cluster: Pages) -> None:
    """The published examples: the first bytes of a digest of the version that is stored."""
    hashes = {one["name"]: one.get("storageVersionHash") for one in cluster.get("/api/v1")["resources"]}
    assert (hashes["pods"], hashes["events"], hashes["secrets"]) == ("xPOwRZ+Yhw8=", "r2yiGXH7wu8=", "S6u1pOWzb84=")
    assert (hashes["bindings"], hashes["pods/status"]) == (None, None)
    found = {
        one["storageVersionHash"]
        for version in ("v1", "v2")
        for one in cluster.get(f"/apis/autoscaling/{version}")["resources"]
        if "/" not in one["name"]
    }
    digest = hashlib.sha256(b"autoscaling/v2/HorizontalPodAutoscaler").digest()
    assert found == {base64.b64encode(digest[:8]).decode()}


def test_the_server_says_where_it_is(cluster: Pages) -> None:
    [address] = cluster.get("/api")["serverAddressByClientCIDRs"]
    assert address == {"clientCIDR": "0.0.0.0/0", "serverAddress": HOST}


def parameters(found: list[Any], document: Any) -> set[str]:
    """Each in one text, without what it says of itself."""
    whole = [document["parameters"][one["$ref"].rpartition("/")[2]] if "$ref" in one else one for one in found]
    return {json.dumps({k: v for k, v in one.items() if k != "description"}, sort_keys=True) for one in whole}


def of_operation(where: str, theirs: Any, ours: Any, documents: tuple[Any, Any]) -> Iterator[str]:
    for field in {**theirs, **ours}:
        one, other = theirs.get(field, []), ours.get(field, [])
        if field == "parameters":
            if parameters(one, documents[0]) != parameters(other, documents[1]):
                yield f"{where}: parameters"
        elif field == "description":
            if one != other:
                yield "description of operations"
        elif field in ("consumes", "produces"):
            yield from (f"{where}: {field} {media}" for media in set(one) ^ set(other))
        elif one != other:
            yield f"{where}: {field}"


def of_paths(theirs: Any, ours: Any) -> Iterator[str]:
    for path in {**theirs["paths"], **ours["paths"]}:
        item, own = theirs["paths"].get(path), ours["paths"].get(path)
        if own is None or item is None:
            if ".com/" not in path:
                yield f"path {path} is {'not served' if own is None else 'not Kubernetes'}"
            continue
        for method in {**item, **own}:
            if method == "parameters":
                if parameters(item.get(method, []), theirs) != parameters(own.get(method, []), ours):
                    yield f"{path}: parameters"
            elif method not in own or method not in item:
                yield f"{path}: {method} is {'not served' if method not in own else 'not Kubernetes'}"
            else:
                yield from of_operation(f"{path}: {method}", item[method], own[method], (theirs, ours))


def of_definitions(theirs: Any, ours: Any) -> Iterator[str]:
    for name in {**theirs, **ours}:
        if name not in ours or name not in theirs:
            if not name.startswith("com."):
                yield f"definition {name} is {'missing' if name not in ours else 'not Kubernetes'}"
        else:
            for field in {**theirs[name], **ours[name]}:
                if theirs[name].get(field) != ours[name].get(field):
                    yield f"definition {name}: {field}"


def test_openapi_v2(cluster: Pages) -> None:
    theirs, ours = published("openapi-v2.json.gz"), cluster.get("/openapi/v2")
    found = [*of_paths(theirs, ours), *of_definitions(theirs["definitions"], ours["definitions"])]
    said = "description of parameters"
    texts = {one["description"] for one in ours["paths"]["/api/v1/pods"]["parameters"]}
    known = {one.get("description") for one in theirs["parameters"].values()}
    found += [said] if not texts <= known else []
    for field in theirs.keys() | ours.keys() - {"paths", "definitions"}:
        if field == "info":
            found += [f"info.{key}" for key in theirs[field] if theirs[field][key] != ours[field].get(key)]
        elif field not in ("paths", "definitions") and theirs.get(field) != ours.get(field):
            found.append(field)
    explained(OPENAPI, found)


def test_openapi_v3_says_of_each_path_what_version_2_says(cluster: Pages) -> None:
    index = cluster.get("/openapi/v3")["paths"]
    older = cluster.get("/openapi/v2")
    assert {"api", "apis", "api/v1", "apis/apps", "apis/apps/v1", "version"} <= set(index)
    seen: set[str] = set()
    for entry in index.values():
        document = cluster.get(entry["serverRelativeURL"])
        for path, item in document["paths"].items():
            seen.add(path)
            wanted = older["paths"][path]
            assert item.keys() == wanted.keys(), path
            for method, operation in item.items():
                if method == "parameters":
                    names = {(one["name"], one["in"]) for one in operation}
                    assert names == {(one["name"], one["in"]) for one in wanted[method]}
                    continue
                for field in ("operationId", "tags", "x-kubernetes-action", "x-kubernetes-group-version-kind"):
                    assert operation.get(field) == wanted[method].get(field), (path, method, field)
                assert operation["responses"].keys() == wanted[method]["responses"].keys()
                bodies = [one for one in wanted[method].get("parameters", ()) if one["in"] == "body"]
                assert ("requestBody" in operation) == bool(bodies), (path, method)
    assert seen == older["paths"].keys()


def test_openapi_documents_are_kept_by_their_content(cluster: Pages) -> None:
    address = cluster.get("/openapi/v3")["paths"]["apis/apps/v1"]["serverRelativeURL"]
    headers = dict(cluster.ask(address).headers)
    assert "immutable" in headers["Cache-Control"]
    again = cluster.ask(address, if_none_match=headers["ETag"])
    assert (again.status, again.body) == (304, b"")
    moved = cluster.ask("/openapi/v3/apis/apps/v1?hash=OLD")
    assert (moved.status, dict(moved.headers)["Location"]) == (301, address)
    with pytest.raises(NotFound):
        cluster.ask("/openapi/v3/apis/nothing/v1")
    tag = dict(cluster.ask("/openapi/v2").headers)["ETag"]
    assert cluster.ask("/openapi/v2", if_none_match=tag).status == 304
