"""What strangers send: always told what is wrong with it, never a 5xx, never a bug, and the server lives on.

`.ci/soak hostile` lets schemathesis send much more of it, and measures how soon `/livez` answers meanwhile.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from hostile_server import Answer, HostileServer

PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"
JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
DEEP = 100_000
CHUNKED = b"POST /api HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def short(value: object) -> str:
    return repr(value)[:32]


@pytest.fixture(scope="module")
def server() -> Iterator[HostileServer]:
    with HostileServer() as running:
        body = json.dumps({"metadata": {"name": "there"}, "data": {"a": "b"}}).encode()
        assert running.ask("POST", MAPS, body).status == 201
        account = "/api/v1/namespaces/default/serviceaccounts"
        assert running.ask("POST", account, b'{"metadata":{"name":"default"}}').status == 201
        yield running


@pytest.fixture(autouse=True)
def unhurt(server: HostileServer) -> Iterator[None]:
    before = server.bugs
    yield
    assert server.lives()
    assert server.bugs == before


def refused(answer: Answer, *codes: int) -> None:
    """A Status with one of these codes, any 4xx if none is given."""
    assert 400 <= answer.status < 500, (answer.status, answer.body[:500])
    assert not codes or answer.status in codes, (answer.status, answer.body[:500])
    status = answer.document()
    assert (status["kind"], status["status"], status["code"]) == ("Status", "Failure", answer.status)
    assert status["message"]


@pytest.mark.parametrize(
    "data",
    [
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /version HTTP/9.9\r\n\r\n",
        b"GET /version\x00 HTTP/1.1\r\n\r\n",
        b"GET /version HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
        b"GET /version HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET /version HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"GET /version HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 2\r\n\r\n",
        b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /api HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /api HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n",
        b"POST /api HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked, gzip\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nBad Header: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 2_000_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 5_000 + b"\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /api HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n400000\r\n"
        + b"a" * 4_194_304
        + b"\r\n0\r\n\r\n",
    ],
    ids=short,
)
def test_what_is_no_http(server: HostileServer, data: bytes) -> None:
    answer = server.raw(data)
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 505")) or not answer, answer[:200]
    assert b"HTTP/1.1 2" not in answer


def test_sizes_have_their_own_codes(server: HostileServer) -> None:
    refused(server.ask("GET", "/api/v1/pods?labelSelector=" + "a" * 40_000), 414)
    refused(server.ask("GET", "/api", x="a" * 70_000), 431)
    many = {f"x-{number}": "y" for number in range(600)}
    refused(server.ask("GET", "/api", **many), 431)
    refused(server.ask("POST", MAPS, b" " * (3 * 1024 * 1024 + 1)), 413)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/namespaces/default/pods/%2e%2e",
        "/api/v1/namespaces/default/pods/..",
        "/api/v1/namespaces/../pods/x",
        "/api/v1/namespaces/default/configmaps/a%2fb",
        "/api/v1/namespaces/default/configmaps/a%00b",
        "/api/v1/namespaces/default/configmaps/%ff%fe",
        "/api/v1/namespaces/default/configmaps/%",
        "/api/v1/namespaces/default/configmaps/%zz",
        "/api/v1/namespaces/default/configmaps/" + "a" * 5_000,
        "/api/v1/namespaces/default/configmaps/there/x/y/z",
        "/api/v1/namespaces/default/configmaps/there/status",
        "/api/v1/namespaces/" + "n" * 300 + "/configmaps/x",
        "/api/v1/namespaces/%0a/configmaps/x",
        "/api/v2/pods",
        "/apis/apps/v1/namespaces/default/deployments/x/scale/y",
        "/apis/%00/v1/x",
        "/apis/apps/v99/deployments",
        "/api/v1//pods",
        "//api/v1/pods",
        "/api/v1/watch",
        "/api/v1/nodes/x/proxy/../../../secrets",
        "/api/v1/pods/x",
        "/openapi/v3/apis/none/v1",
        "/livez/../metrics",
        "/debug/pprof",
        "http://evil.example/api/v1/namespaces/default/configmaps/none",
        "*",
    ],
)
def test_paths_that_lead_nowhere(server: HostileServer, path: str) -> None:
    refused(server.ask("GET", path))


@pytest.mark.parametrize(
    "query",
    [
        "labelSelector=a==b==c",
        "labelSelector=%3D",
        "labelSelector=a+in+(",
        "labelSelector=" + "a%2C" * 3_000 + "%21",
        "labelSelector=%00",
        "labelSelector=%ff",
        "labelSelector=" + "a" * 400 + "%3Db",
        "fieldSelector=spec.nonsense%3Dx",
        "fieldSelector=%3D%3D",
        "fieldSelector=metadata.name",
        "limit=x",
        "limit=1e9",
        "limit=" + "9" * 400,
        "limit=%D9%A1",
        "continue=nonsense",
        "continue=%00",
        "continue=eyJ2IjogMX0",
        "limit=1&continue=eyJ2IjoibmF2YXJjaC92MSIsInJ2Ijo5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5LCJzdGFydCI6ImEifQ",
        "resourceVersion=x",
        "resourceVersion=-1",
        "resourceVersion=%D9%A1",
        "resourceVersion=" + "9" * 5_000,
        "resourceVersion=1&resourceVersionMatch=Sometimes",
        "resourceVersionMatch=Exact",
        "resourceVersion=0&resourceVersionMatch=Exact",
        "sendInitialEvents=true",
        "watch=1&resourceVersion=x",
        "watch=1&timeoutSeconds=x",
        "watch=1&timeoutSeconds=" + "9" * 400,
        "watch=1&labelSelector=!!",
        "watch=1&sendInitialEvents=true",
        "timeout=never",
        "timeout=1e3s",
    ],
)
def test_queries_that_mean_nothing(server: HostileServer, query: str) -> None:
    refused(server.ask("GET", f"{MAPS}?{query}"))


@pytest.mark.parametrize(
    "query", ["limit=-1", "timeoutSeconds=-1&watch=1", "pretty=%00", "timeout=-1s", "limit=", "nonsense=%ff&a&&=&=="]
)
def test_queries_that_are_forgiven(server: HostileServer, query: str) -> None:
    if "watch" not in query:
        assert server.ask("GET", f"{MAPS}?{query}").status == 200


NAMED = b'{"metadata":{"name":"x"}}'


@pytest.mark.parametrize(
    ("body", "query"),
    [
        (b"", ""),
        (b"null", ""),
        (b"[]", ""),
        (b"42", ""),
        (b'"x"', ""),
        (b"{", ""),
        (b'{"metadata":{"name":"x"}}trailing', ""),
        (b'{"metadata":{"name":"x"}}{}', ""),
        (b'{"metadata":{"name":NaN}}', ""),
        (b'{"metadata":{"name":"x"},"data":{"a":Infinity}}', ""),
        (b'{"metadata":{"name":1e999}}', ""),
        (b'{"metadata":{"name":"x","generation":1e999}}', ""),
        (b'{"metadata":{"name":"x","generation":' + b"9" * 5_000 + b"}}", ""),
        (b'{"metadata":{"name":"x","deletionGracePeriodSeconds":9223372036854775808}}', ""),
        (b'{"metadata":{"name":"\xff\xfe"}}', ""),
        (b'\xef\xbb\xbf{"metadata":{"name":"x"}}', ""),
        (b'{"metadata":{"name":"x"},"data":{"a":"\\ud800"}}', ""),
        (b'{"metadata":{"name":"x"},"data":{"a":"\\udc00\\ud800"}}', ""),
        (b'{"metadata":{"name":"x"},"data":{"\\ud800":"a"}}', ""),
        (b'{"metadata":{"name":"x\\u0000"}}', ""),
        (b'{"metadata":{"name":"' + b"x" * 300 + b'"}}', ""),
        (b'{"metadata":{"name":"X"}}', ""),
        (b'{"metadata":{"name":".."}}', ""),
        (b'{"metadata":{"name":"a/b"}}', ""),
        (b'{"metadata":{"name":"x","namespace":"other"}}', ""),
        (b'{"metadata":{"name":{}}}', ""),
        (b'{"metadata":[]}', ""),
        (b'{"metadata":{"name":"x","labels":{"a":1}}}', ""),
        (b'{"metadata":{"name":"x","labels":{"a b":"c"}}}', ""),
        (b'{"metadata":{"name":"x","labels":{"a":"' + b"v" * 64 + b'"}}}', ""),
        (b'{"metadata":{"name":"x","annotations":{"a":"' + b"v" * 300_000 + b'"}}}', ""),
        (b'{"metadata":{"name":"x","ownerReferences":[{}]}}', ""),
        (b'{"metadata":{"name":"x","ownerReferences":"y"}}', ""),
        (b'{"metadata":{"name":"x","finalizers":["no slash"]}}', ""),
        (b'{"metadata":{"name":"x","managedFields":[{"manager":1}]}}', ""),
        (b'{"metadata":{"name":"x","resourceVersion":"1"}}', ""),
        (b'{"metadata":{"generateName":"' + b"g" * 300 + b'"},"data":1}', ""),
        (b'{"apiVersion":"v2","kind":"ConfigMap","metadata":{"name":"x"}}', ""),
        (b'{"apiVersion":["v1"],"kind":{},"metadata":{"name":"x"}}', ""),
        (b'{"kind":"Secret","metadata":{"name":"x"}}', ""),
        (b'{"metadata":{"name":"x"},"data":{"../x":"a"}}', ""),
        (b'{"metadata":{"name":"x"},"binaryData":{"a":"%%%"}}', ""),
        (b'{"metadata":{"name":"x"},"unknown":1}', "?fieldValidation=Strict"),
        (b'{"metadata":{"name":"x"},"data":{"a":"1","a":"2"}}', "?fieldValidation=Strict"),
        (NAMED, "?fieldValidation=Sometimes"),
        (NAMED, "?dryRun=Some"),
        (NAMED, "?fieldManager=" + "m" * 200),
        (NAMED, "?fieldManager=%00"),
        (b"[" * DEEP, ""),
        (b"[" * DEEP + b"]" * DEEP, ""),
        (b'{"metadata":' * DEEP + b"1" + b"}" * DEEP, ""),
        (b'{"a":' * 900 + b"1" + b"}" * 900, "?fieldValidation=Strict"),
        (b"1" * 1_000_000, ""),
        (b"\x1f\x8b" + gzip.compress(NAMED, mtime=0), ""),
    ],
    ids=short,
)
def test_bodies_in_json(server: HostileServer, body: bytes, query: str) -> None:
    refused(server.ask("POST", MAPS + query, body))


BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n" % (98 + n, 98 + n, *([97 + n] * 8)) for n in range(9)
)


@pytest.mark.parametrize(
    "body",
    [
        BOMB,
        b"a: &a [*a]",
        b"metadata: &m {name: x, labels: *m}",
        b"[" * DEEP,
        b"{a: " * 10_000,
        b"- " * 20_000,
        b"? " * 10_000,
        b"a: *nothing",
        b"!!python/object/apply:os.system ['true']",
        b"!!binary x: y",
        b"metadata: !!set {a, b}",
        b"metadata: {name: !!float x}",
        b"%YAML 9.9\n---\nmetadata: {name: x}",
        b"a: b\n---\nc: d",
        b"\xff\xfe\x00",
        b"metadata:\n\tname: x",
        b"metadata: {name: .nan}",
        b"metadata: {name: 1:30:00}",
        b"metadata: {name: 0x" + b"f" * 5_000 + b"}",
        b"metadata: {name: 1" + b"_0" * 5_000 + b"}",
        b"? {a: b}\n: c",
        b"<<: 1",
        b"<<: [1, 2]",
        b'metadata: {name: "\\ud800"}',
        b'metadata: {name: "\\x00"}',
        b"",
        b"---",
        b"#",
        b"null",
        b"\x00",
    ],
    ids=short,
)
@pytest.mark.parametrize("how", ["POST", "PATCH"])
def test_bodies_in_yaml(server: HostileServer, body: bytes, how: str) -> None:
    if how == "POST":
        refused(server.ask("POST", MAPS, body, content_type=YAML))
    else:
        refused(server.ask("PATCH", f"{MAPS}/x?fieldManager=m", body, content_type=APPLY))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"k8s\x00",
        b"k8s\x00\xff",
        b"k8s\x00\x0a\xff\xff\xff\xff\x0f",
        b"k8s\x00" + b"\x0b" * 10_000,
        b"k8s\x00\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\x05\x0a\x03\x0a\x01\xff",
        b"k8s\x00\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"k8s\x00\x0a\x08\x0a\x02v1\x12\x02No\x12\x00",
        b"nope",
        bytes(range(256)),
        b"k8s\x00\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\x06\x12\x04" + b"\x0a\x02\x0a\x05",
        b"k8s\x00" + b"\x12\x80\x80\x80\x08",
    ],
    ids=short,
)
def test_bodies_in_protobuf(server: HostileServer, body: bytes) -> None:
    refused(server.ask("POST", MAPS, body, content_type=PROTOBUF))


@pytest.mark.parametrize(
    ("type_", "body", "query"),
    [
        (JSON_PATCH, b"{}", ""),
        (JSON_PATCH, b"[1]", ""),
        (JSON_PATCH, b'[{"op":"add"}]', ""),
        (JSON_PATCH, b'[{"op":"explode","path":"/data"}]', ""),
        (JSON_PATCH, b'[{"op":[],"path":"/data"}]', ""),
        (JSON_PATCH, b'[{"op":"add","path":5,"value":1}]', ""),
        (JSON_PATCH, b'[{"op":"add","path":"data","value":1}]', ""),
        (JSON_PATCH, b'[{"op":"add","path":"/data/~2","value":"1"}]', ""),
        (JSON_PATCH, b'[{"op":"remove","path":""}]', ""),
        (JSON_PATCH, b'[{"op":"replace","path":"","value":[]}]', ""),
        (JSON_PATCH, b'[{"op":"move","from":"/data","path":"/data/x"}]', ""),
        (JSON_PATCH, b'[{"op":"copy","from":"/none","path":"/data/x"}]', ""),
        (JSON_PATCH, b'[{"op":"test","path":"/data/a","value":"no"}]', ""),
        (JSON_PATCH, b'[{"op":"add","path":"/metadata/finalizers/99","value":"a/b"}]', ""),
        (JSON_PATCH, b'[{"op":"add","path":"/metadata/finalizers/-99999999999999999999","value":"a/b"}]', ""),
        (JSON_PATCH, b'[{"op":"add","path":"/metadata/name","value":"other"}]', ""),
        (JSON_PATCH, b'[{"op":"add","path":"/metadata/uid","value":"other"}]', ""),
        (JSON_PATCH, b"[" + b",".join([b'{"op":"test","path":"/data/a","value":"b"}'] * 10_001) + b"]", ""),
        (
            JSON_PATCH,
            b'[{"op":"add","path":"/data/b","value":"'
            + b"x" * 10_000
            + b'"}'
            + b',{"op":"copy","from":"/data","path":"/data/c"}' * 40
            + b"]",
            "",
        ),
        (JSON_PATCH, b'[{"op":"add","path":"' + b"/a" * 100_000 + b'","value":1}]', ""),
        (JSON_PATCH, b'[{"op":"add","path":"/data/\\ud800","value":"x"}]', ""),
        (MERGE, b"[]", ""),
        (MERGE, b"null", ""),
        (MERGE, b'"x"', ""),
        (MERGE, b'{"data":{"a":1}}', ""),
        (MERGE, b'{"metadata":{"resourceVersion":"x"}}', ""),
        (MERGE, b'{"kind":"Secret"}', ""),
        (MERGE, b'{"data":' + b'{"a":' * 20_000 + b"1" + b"}" * 20_001, ""),
        (MERGE, b'{"data":' + b'{"a":' * 500 + b"1" + b"}" * 501, ""),
        (MERGE, b'{"data":{"a":"\\ud800"}}', ""),
        (MERGE, b'{"a":1,"a":2}', "?fieldValidation=Strict"),
        (MERGE, b"", ""),
        (STRATEGIC, b"[]", ""),
        (STRATEGIC, b'{"$patch":"explode"}', ""),
        (STRATEGIC, b'{"metadata":{"$patch":5}}', ""),
        (STRATEGIC, b'{"metadata":{"$deleteFromPrimitiveList/finalizers":5}}', ""),
        (STRATEGIC, b'{"metadata":{"$setElementOrder/finalizers":{}}}', ""),
        (STRATEGIC, b'{"metadata":{"ownerReferences":[1]}}', ""),
        (STRATEGIC, b'{"metadata":{"ownerReferences":{"a":1}}}', ""),
        (STRATEGIC, b'{"metadata":{"$retainKeys":5}}', ""),
        (STRATEGIC, b'{"metadata":{"$retainKeys":["x"]},"data":[]}', ""),
        (APPLY, b"[]", "?fieldManager=m"),
        (APPLY, b"{}", "?fieldManager=m"),
        (APPLY, b'{"apiVersion":"v1","kind":"ConfigMap"}', ""),
        (APPLY, b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"}}', "?fieldManager=m"),
        (APPLY, b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"managedFields":[{}]}}', "?fieldManager=m"),
        (APPLY, b'{"apiVersion":"v1","kind":"ConfigMap","data":[1]}', "?fieldManager=m"),
        (APPLY, b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"finalizers":["a/b","a/b"]}}', "?fieldManager=m"),
        (APPLY, b'{"apiVersion":"v1","kind":"ConfigMap","data":{"\\ud800":"x"}}', "?fieldManager=m"),
        (APPLY, b'{"apiVersion":"v1","kind":"ConfigMap","data":' + b"[" * 5_000, "?fieldManager=m"),
        ("text/plain", b"x", ""),
        ("application/json", b"{}", ""),
        ("application/apply-patch+cbor", b"\xa0", "?fieldManager=m"),
        ("", b"{}", ""),
    ],
    ids=short,
)
def test_patches(server: HostileServer, type_: str, body: bytes, query: str) -> None:
    refused(server.ask("PATCH", f"{MAPS}/there{query}", body, content_type=type_))


POD: dict[str, Any] = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


@pytest.mark.parametrize(
    "change",
    [
        {"containers": []},
        {"containers": [{}]},
        {"containers": [{"name": "c"}] * 2},
        {"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "-1"}}}]},
        {"containers": [{"name": "c", "image": "i", "resources": {"limits": {"memory": "9" * 3000 + "x"}}}]},
        {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 2**31}]}]},
        {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 70_000}]}]},
        {"containers": [{"name": "c", "image": "i", "env": [{"name": "a=b"}]}]},
        {"containers": [{"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": ""}]}]},
        {"activeDeadlineSeconds": -1},
        {"terminationGracePeriodSeconds": 2**63},
        {"tolerations": [{"operator": "Never"}]},
        {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}},
        {"topologySpreadConstraints": [{}]},
        {"volumes": [{"name": "v", "hostPath": {"path": "../x"}}]},
        {"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "a"}, "configMap": {"name": "b"}}]}}]},
        {"restartPolicy": "\u0000"},
        {"nodeSelector": {"a b": "c"}},
        {"hostAliases": [{"ip": "999.1.1.1"}]},
        {"securityContext": {"runAsUser": -1}},
        {"dnsPolicy": "x", "dnsConfig": {"nameservers": ["1.1.1.1"] * 100}},
    ],
    ids=short,
)
def test_pods_that_cannot_be(server: HostileServer, change: dict[str, Any]) -> None:
    pod = {**POD, "spec": {**POD["spec"], **change}}
    refused(server.ask("POST", PODS, json.dumps(pod).encode()), 400, 422)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", f"{MAPS}/there", b"["),
        ("DELETE", f"{MAPS}/there", b"[]"),
        ("DELETE", f"{MAPS}/there", b'{"gracePeriodSeconds":"x"}'),
        ("DELETE", f"{MAPS}/there", b'{"propagationPolicy":"Sideways"}'),
        ("DELETE", f"{MAPS}/there", b'{"preconditions":5}'),
        ("DELETE", f"{MAPS}/there", b'{"preconditions":{"uid":5}}'),
        ("DELETE", f"{MAPS}/there", b'{"preconditions":{"uid":"x"}}'),
        ("DELETE", f"{MAPS}/there", b'{"dryRun":5}'),
        ("DELETE", f"{MAPS}/there", b'{"dryRun":[5]}'),
        ("DELETE", f"{MAPS}/there", b'{"kind":["x"]}'),
        ("DELETE", f"{MAPS}/there?gracePeriodSeconds=x", b""),
        ("DELETE", f"{MAPS}/there?propagationPolicy=x", b""),
        ("DELETE", f"{MAPS}?labelSelector=!!", b""),
        ("PUT", f"{MAPS}/there", b'{"metadata":{"name":"other"}}'),
        ("PUT", f"{MAPS}/there", b'{"metadata":{"name":"there","uid":"other"}}'),
        ("PUT", f"{MAPS}/there", b'{"metadata":{"name":"there","resourceVersion":"x"}}'),
        ("PUT", f"{MAPS}/there", b'{"metadata":{"name":"there","resourceVersion":"999999999999999999999999"}}'),
        ("PUT", MAPS, NAMED),
        ("POST", f"{MAPS}/there", NAMED),
        ("PATCH", MAPS, b"{}"),
        ("OPTIONS", MAPS, b""),
        ("TRACE", MAPS, b""),
        ("CONNECT", MAPS, b""),
        ("PROPFIND", MAPS, b""),
        ("HEAD", f"{MAPS}?watch=1", b""),
        ("POST", "/version", b"{}"),
        ("POST", f"{PODS}/none/binding", b"{}"),
        ("POST", f"{PODS}/none/eviction", b"[]"),
        ("POST", f"{PODS}/none/exec", b""),
        ("GET", f"{PODS}/none/log?tailLines=x", b""),
        ("GET", f"{PODS}/none/exec?command=x", b""),
        ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", b'{"spec":5}'),
        ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", b'{"spec":{}}'),
        ("POST", "/apis/authentication.k8s.io/v1/tokenreviews", b"{}"),
        ("POST", "/api/v1/namespaces/default/serviceaccounts/none/token", b"{}"),
        ("PUT", "/apis/apps/v1/namespaces/default/deployments/none/scale", b'{"spec":{"replicas":-1}}'),
        ("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", b'{"spec":{"versions":[1]}}'),
    ],
)
def test_requests_that_make_no_sense(server: HostileServer, method: str, path: str, body: bytes) -> None:
    answer = server.ask(method, path, body)
    if method == "HEAD":
        assert answer.status == 405
    elif method in ("CONNECT", "PROPFIND", "TRACE") and not answer.body:
        assert 400 <= answer.status < 500
    else:
        refused(answer)


@pytest.mark.parametrize(
    "headers",
    [
        {"accept": "text/html"},
        {"accept": "application/json;as=Nonsense;g=meta.k8s.io;v=v1"},
        {"content_encoding": "gzip", "content_type": "application/json"},
        {"authorization": "Bearer " + "x" * 5_000},
        {"impersonate_user": ""},
        {"impersonate_group": "x"},
        {"impersonate_uid": "x"},
    ],
    ids=short,
)
def test_headers_that_ask_too_much(server: HostileServer, headers: dict[str, str]) -> None:
    body = gzip.compress(b'{"metadata":{"name":"x"},"data":{"a":"' + bytes(2_000_000) + b'"}}')
    if "content_encoding" in headers:
        refused(server.ask("POST", MAPS, body, **headers))
    elif headers == {"impersonate_user": ""} or "authorization" in headers:
        assert server.ask("GET", MAPS, **headers).status in (200, 400, 401)
    else:
        refused(server.ask("GET", MAPS, **headers))
