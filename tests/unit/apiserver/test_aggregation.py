"""What the aggregator plans and says: pure, but for the last few, in which a fake server is asked."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from server_driver import ADMIN, Served, served

from navarch.apiserver.aggregation import documents, services
from navarch.apiserver.aggregation.documents import Documents
from navarch.apiserver.aggregation.identity import headers_of
from navarch.apiserver.aggregation.remote import Remote, Told, objections, remote_of, resources_of
from navarch.apiserver.bootstrap import Place
from navarch.apiserver.call import User
from navarch.apiserver.discovery import Discovery
from navarch.apiserver.openapi import OpenApi
from navarch.apiserver.outgoing import Answered, Unreachable
from navarch.kinds import ALL, APISERVICE, CONFIGMAP, ENDPOINTSLICE, SERVICE
from navarch.kinds.object import Object
from navarch.wire.message import Request, Response

NOW = datetime(2026, 1, 1, tzinfo=UTC)
REMOTE = Remote("v1.x.example", "u", "x.example", "v1", "default", "svc", 443, group_priority=17_650)
SLICE = {
    "apiVersion": "discovery.k8s.io/v1",
    "kind": "EndpointSlice",
    "metadata": {"name": "s", "namespace": "default"},
    "addressType": "IPv4",
    "ports": [{"name": "https", "port": 8443}],
    "endpoints": [{"addresses": ["10.0.0.1"]}],
}


def api_service(name: str, managed: str = "", **spec: Any) -> dict[str, Any]:
    version, _, group = name.partition(".")
    labels = {"labels": {services.MANAGED: managed}} if managed else {}
    said = {"group": group, "version": version, "groupPriorityMinimum": 1000, "versionPriority": 100, **spec}
    return {"metadata": {"name": name, "uid": f"uid-{name}", **labels}, "spec": said}


def service(**spec: Any) -> Object:
    meta = {"name": "svc", "namespace": "default"}
    said = {"type": "ClusterIP", "ports": [{"name": "https", "port": 443}], **spec}
    return Object.of(SERVICE, {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": said})


def test_every_built_in_group_and_version_has_an_api_service() -> None:
    found = {one["metadata"]["name"]: one["spec"] for one in services.built_in(ALL)}
    assert found["v1."] == {"version": "v1", "groupPriorityMinimum": 18000, "versionPriority": 1}
    assert found["v2.autoscaling"]["versionPriority"] > found["v1.autoscaling"]["versionPriority"]
    served = {(kind.group, kind.version) for kind in ALL} - {("apiregistration.k8s.io", "v1")}
    assert served <= set(services.PRIORITIES), "a group and version without a priority"


def test_api_services_of_custom_resources_come_stay_and_go() -> None:
    wanted = [services.local("a.example", "v1", services.ALWAYS), services.local("b.example", "v1", services.ALWAYS)]
    present = [
        api_service("v1.b.example", services.ALWAYS, groupPriorityMinimum=5),
        api_service("v1.gone.example", services.ALWAYS),
        api_service("v1.apps", services.ON_START),
        api_service("v1.theirs.example"),
    ]
    changes = services.plan(wanted, {one["metadata"]["name"]: one for one in present})
    assert [one["metadata"]["name"] for one in changes.create] == ["v1.a.example"]
    assert [one["spec"]["groupPriorityMinimum"] for one in changes.update] == [1000]
    assert changes.delete == (("v1.gone.example", "uid-v1.gone.example"),)
    made = {one["metadata"]["name"]: {**one, "metadata": {**one["metadata"], "uid": "u"}} for one in wanted}
    assert services.plan(wanted, made) == services.Changes()


def test_one_that_somebody_took_over_is_left_alone() -> None:
    wanted = [services.local("a.example", "v1", services.ALWAYS)]
    theirs = api_service("v1.a.example", service={"name": "s", "namespace": "d"})
    assert services.plan(wanted, {"v1.a.example": theirs}) == services.Changes()
    assert services.plan([], {"v1.a.example": theirs}) == services.Changes()


def test_who_is_remote() -> None:
    assert remote_of(api_service("v1.apps")) is None
    assert remote_of(api_service("v1.", service={"name": "s", "namespace": "d"})) is None
    found = remote_of(api_service("v1.x.example", service={"name": "s", "namespace": "d", "port": 8443}))
    assert found is not None
    assert (found.path, found.service, found.port, found.available) == ("/apis/x.example/v1", "s", 8443, False)


@pytest.mark.parametrize(
    ("found", "slices", "reason", "message"),
    [
        (None, [], "ServiceNotFound", 'service/svc in "default" is not present'),
        (
            service(ports=[{"port": 80}]),
            [],
            "ServicePortError",
            'service/svc in "default" is not listening on port 443',
        ),
        (service(), [], "EndpointsNotFound", 'cannot find endpointslices for service/svc in "default"'),
        (
            service(),
            [{**SLICE, "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": False}}]}],
            "MissingEndpoints",
            'endpointslices for service/svc in "default" have no addresses with port name "https"',
        ),
        (
            service(),
            [{**SLICE, "ports": [{"name": "http", "port": 80}]}],
            "MissingEndpoints",
            'endpointslices for service/svc in "default" have no addresses with port name "https"',
        ),
    ],
)
def test_what_need_not_be_asked(found: Object | None, slices: list[Any], reason: str, message: str) -> None:
    told = objections(REMOTE, found, [Object.of(ENDPOINTSLICE, one) for one in slices])
    assert told == {"type": "Available", "status": "False", "reason": reason, "message": message}


def test_what_must_be_asked() -> None:
    assert objections(REMOTE, service(), [Object.of(ENDPOINTSLICE, SLICE)]) is None
    assert objections(REMOTE, service(type="ExternalName", ports=[], externalName="x.example"), []) is None


def test_headers_say_who_asks() -> None:
    user = User("jané", "7", ("a", "b"), {"example.org/Scope%": ("x", "y"), "plain": ("z",)})
    assert headers_of(user) == [
        ("X-Remote-User", "jané"),
        ("X-Remote-Uid", "7"),
        ("X-Remote-Group", "a"),
        ("X-Remote-Group", "b"),
        ("X-Remote-Extra-example.org%2FScope%25", "x"),
        ("X-Remote-Extra-example.org%2FScope%25", "y"),
        ("X-Remote-Extra-plain", "z"),
    ]


def test_the_aggregated_form_of_a_plain_list() -> None:
    entries = [
        {"name": "apples/scale", "namespaced": True, "kind": "Scale", "group": "autoscaling", "version": "v1"},
        {"name": "apples", "singularName": "apple", "namespaced": True, "kind": "Apple", "verbs": ["get"]},
        {"name": "trees", "namespaced": False, "kind": "Tree", "verbs": ["list"], "shortNames": ["t"]},
    ]
    found = resources_of(orjson.dumps({"resources": entries}), "x.example", "v1")
    assert found is not None
    apples, trees = found
    assert apples["responseKind"] == {"group": "x.example", "version": "v1", "kind": "Apple"}
    assert apples["subresources"][0]["responseKind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    assert (trees["scope"], trees["shortNames"]) == ("Cluster", ["t"])


@pytest.mark.parametrize("body", [b"", b"[]", b'{"resources":[{}]}', b'{"resources":7}', b'{"resources":[7]}', b"\xff"])
def test_what_is_no_list_of_resources(body: bytes) -> None:
    assert resources_of(body, "g", "v1") is None


def discovered(*remote: tuple[Remote, Told]) -> Any:
    accept = {"accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
    answer = Discovery(ALL, remote).answer(Request("GET", "/apis", "/apis", accept))
    assert isinstance(answer.body, bytes)
    return orjson.loads(answer.body)["items"]


def test_remote_groups_stand_where_their_priorities_put_them() -> None:
    plain = [item["metadata"]["name"] for item in discovered()]
    low = Remote("v1.low", "u", "low.example", "v1", "d", "s", 443, group_priority=10)
    with_remote = [item["metadata"]["name"] for item in discovered((REMOTE, Told()), (low, Told()))]
    assert [name for name in with_remote if not name.endswith(".example")] == plain
    assert with_remote[with_remote.index("authentication.k8s.io") + 1] == "x.example"
    assert with_remote[-1] == "low.example"


def test_remote_versions_and_what_is_known_of_them() -> None:
    beta = Remote("v1beta1.x.example", "u", "x.example", "v1beta1", "d", "s", 443, version_priority=50)
    told = Told(({"resource": "apples"},), fresh=True)
    (item,) = [item for item in discovered((REMOTE, Told()), (beta, told)) if item["metadata"]["name"] == "x.example"]
    assert item["versions"] == [
        {"version": "v1beta1", "freshness": "Current", "resources": [{"resource": "apples"}]},
        {"version": "v1", "freshness": "Stale"},
    ]


def spec(name: str, content: Any, path: str = "/apis/x.example/v1/a") -> dict[str, Any]:
    reference = {"$ref": f"#/definitions/{name}"}
    return {"paths": {path: {"get": reference}}, "definitions": {name: content, "unused": {}}}


def test_only_its_own_part_of_a_v2_document_is_taken() -> None:
    whole = spec("A", {"properties": {"b": {"$ref": "#/definitions/B"}}})
    whole["definitions"]["B"] = {"type": "string"}
    whole["paths"]["/apis/x.example/v10/a"] = whole["paths"]["/apis"] = {}
    found = orjson.loads(documents.part_of(orjson.dumps(whole), "/apis/x.example/v1"))
    assert (list(found["paths"]), sorted(found["definitions"])) == (["/apis/x.example/v1/a"], ["A", "B"])
    for broken in (b"", b"7", b'{"paths":7}', b'{"paths":{}}'):
        assert documents.part_of(broken, "/apis/x.example/v1") == b""


def test_parts_are_merged_and_names_that_clash_get_a_number() -> None:
    own = {"swagger": "2.0", **spec("A", {"type": "object"}, "/api/v1/a")}
    same = orjson.dumps(spec("A", {"type": "object"}, "/apis/same"))
    other = orjson.dumps(spec("A", {"type": "string"}, "/apis/other"))
    found = documents.merged(own, [same, other])
    assert found["definitions"]["A_v2"] == {"type": "string"}
    assert found["paths"]["/apis/same"]["get"] == {"$ref": "#/definitions/A"}
    assert found["paths"]["/apis/other"]["get"] == {"$ref": "#/definitions/A_v2"}
    assert own["definitions"].keys() == {"A", "unused"}


def test_documents_are_read_again_only_when_they_changed() -> None:
    path = "apis/x.example/v1"
    index = {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}?hash=1"}}}
    asked: list[tuple[str, str]] = []

    def answering(v3: Any, v2: Answered) -> documents.Ask:
        async def ask(where: str, etag: str) -> Answered:
            asked.append((where, etag))
            if where == "/openapi/v3":
                if v3 is None:
                    raise Unreachable("no")
                return Answered(200, (), orjson.dumps(v3))
            return v2

        return ask

    async def read(body: bytes, where: str, legacy: bool) -> documents.Parts:
        reads.append(legacy)
        return documents.parts_of(body, where, legacy)

    reads: list[bool] = []
    first = Answered(200, [("ETag", '"1"')], orjson.dumps(spec("A", {})))
    found = asyncio.run(Documents().again(path, answering(index, first), read))
    assert (found.v3, found.etag, b"A" in found.parts.v2) == (f"/openapi/v3/{path}?hash=1", '"1"', True)
    assert asyncio.run(found.again(path, answering(index, Answered(304, (), b"")), read)) == found
    assert asked[-1] == ("/openapi/v2", '"1"')
    assert asyncio.run(found.again(path, answering(None, first), read)) == found
    assert asyncio.run(found.again(path, answering(index, first), read)) == found
    assert reads == [False], "what is the same byte for byte is not read again"
    elsewhere = {"paths": {path: {"serverRelativeURL": "https://elsewhere.example/"}}}
    gone = asyncio.run(found.again(path, answering(elsewhere, Answered(404, (), b"")), read))
    assert gone == Documents()


def test_of_a_server_without_v3_documents_one_is_made() -> None:
    path = "apis/x.example/v1"
    body = orjson.dumps(spec("A", {"type": "object"}))
    index = Answered(200, (), orjson.dumps({"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}?hash=1"}}}))
    asked: list[str] = []

    def answering(v3: Answered, v2: Answered | None) -> documents.Ask:
        async def ask(where: str, etag: str) -> Answered:
            if where == "/openapi/v3":
                return v3
            asked.append(etag)
            if v2 is None:
                raise Unreachable("no")
            return v2

        return ask

    async def read(body: bytes, where: str, legacy: bool) -> documents.Parts:
        return documents.parts_of(body, where, legacy)

    none, v2 = Answered(404, (), b""), Answered(200, [("ETag", '"1"')], body)
    found = asyncio.run(Documents().again(path, answering(none, v2), read))
    assert (found.legacy, found.v3) == (True, "")
    made = orjson.loads(gzip.decompress(found.parts.made))
    assert made["components"]["schemas"]["A"] == {"type": "object"}
    assert made["paths"]["/apis/x.example/v1/a"] == {"get": {"$ref": "#/definitions/A"}}, "no operation, so kept"
    assert asyncio.run(found.again(path, answering(none, Answered(304, (), b"")), read)) == found
    assert asyncio.run(found.again(path, answering(index, None), read)) == found, "nothing is lost on the way"
    own = asyncio.run(found.again(path, answering(index, v2), read))
    assert asked == ["", '"1"', "", ""], "a document of another form is wanted, so it is asked for whole"
    assert (own.v3, own.parts.made, own.parts.v2) == (f"/openapi/v3/{path}?hash=1", b"", found.parts.v2)
    assert asyncio.run(own.again(path, answering(none, v2), read)) == found


@pytest.mark.parametrize("body", [b"", b"7", b"[]", b'{"paths":7}', b'{"definitions":{"A":7}}', b'{"paths":{"/a":[]}}'])
def test_of_what_cannot_be_read_nothing_is_made(body: bytes) -> None:
    assert documents.parts_of(body, "apis/x.example/v1", True) == documents.Parts(documents.digest_of(body))


def test_what_was_made_is_served_in_the_place_of_the_server() -> None:
    path = "apis/x.example/v1"
    parts = documents.parts_of(orjson.dumps(spec("A", {"type": "object"})), path, True)
    pages = OpenApi(ALL, {path: Documents(legacy=True, parts=parts, etag='"1"')})

    def get(where: str, query: Sequence[tuple[str, str]] = (), **headers: str) -> Response:
        return pages.answer(Request("GET", where, where, {"accept": "application/json", **headers}, query))

    index = orjson.loads(get("/openapi/v3").body)["paths"]
    address, _, digest = index[path]["serverRelativeURL"].partition("?hash=")
    assert (address, digest) == (f"/openapi/v3/{path}", parts.made_digest)
    answer = get(address, [("hash", digest)])
    assert orjson.loads(answer.body)["openapi"] == "3.0.0"
    told = dict(answer.headers)
    assert "immutable" in told["Cache-Control"]
    assert get(address, **{"if-none-match": told["ETag"]}).status == 304
    assert get(address, [("hash", "OLD")]).status == 301
    assert "/apis/x.example/v1/a" in orjson.loads(get("/openapi/v2").body)["paths"]


def test_shared_parameters_stand_where_they_are_used() -> None:
    """Ours has none to share, and whoever brings some is not to leave references that lead nowhere."""
    whole = spec("A", {"type": "object"})
    shared = {"$ref": "#/parameters/pretty-1"}
    whole["paths"]["/apis/x.example/v1/a"] = {"get": {"parameters": [shared]}, "parameters": [shared, {"name": "n"}]}
    whole["parameters"] = {"pretty-1": {"name": "pretty", "in": "query", "type": "string"}}
    found = orjson.loads(documents.part_of(orjson.dumps(whole), "/apis/x.example/v1"))
    pretty = whole["parameters"]["pretty-1"]
    item = {"get": {"parameters": [pretty]}, "parameters": [pretty, {"name": "n"}]}
    assert found["paths"] == {"/apis/x.example/v1/a": item}
    whole["parameters"]["pretty-1"]["description"] = "x" * (1 << 20)
    whole["paths"]["/apis/x.example/v1/a"]["parameters"] = [shared] * 64
    assert documents.part_of(orjson.dumps(whole), "/apis/x.example/v1") == b""


def test_the_server_publishes_whom_extension_servers_may_believe() -> None:
    async def scenario(server: Served) -> None:
        found = await server.client.get(CONFIGMAP, "kube-system", "extension-apiserver-authentication")
        assert found.document()["data"]["requestheader-client-ca-file"] == "front"
        assert found.document()["data"]["client-ca-file"] == "clients"

    served(scenario, Place("10.96.0.1", ("192.0.2.1",), 6443, "clients", "front"))


def test_a_new_remote_api_service_is_not_available_and_refuses() -> None:
    async def scenario(server: Served) -> None:
        document = {**api_service("v1.x.example"), "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService"}
        document["metadata"] = {"name": "v1.x.example"}
        document["spec"]["service"] = {"name": "svc", "namespace": "default"}
        await server.client.create(APISERVICE, document)
        for path in ("/apis/x.example/v1/things", "/apis/x.example/v1", "/openapi/v3/apis/x.example/v1"):
            response = await server.send("GET", path, ADMIN)
            assert (response.status, response.body) == (503, b"service unavailable\n"), path
        assert (await server.send("GET", "/apis/x.example/v1/a/../b", ADMIN)).status == 404
        status, found = await server.ask("GET", "/apis/x.example")
        assert (status, found["preferredVersion"]["version"]) == (200, "v1")
        await server.client.delete(APISERVICE, "", "v1.x.example")
        assert (await server.ask("GET", "/apis/x.example/v1/things"))[0] == 404
        assert (await server.ask("GET", "/apis/x.example"))[0] == 404

    served(scenario)
