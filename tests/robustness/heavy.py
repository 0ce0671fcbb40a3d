"""Bodies and queries as large as the limits let them be, each made to cost the server as much as it can.

Where a table of wrong inputs (`tests/compat/test_hostile.py`) asks what is said, this asks how long everybody else
waits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

Heavy = tuple[str, str, str, str, bytes]
"""name, method, target, content type (of a GET: what is accepted), body."""

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
LIMIT = 3_000_000


@dataclass(frozen=True)
class Size:
    """How much of what would be as large as a body may be."""

    share: float

    def of(self, count: int) -> int:
        return int(count * self.share)


WHOLE, STORED, COMPLETED = Size(1), Size(0.4), Size(0.08)
"""Bodies as large as they may be; what is stored, just so; and what is so once its defaults are in it."""


def heavy() -> Iterator[Heavy]:
    for name, size in (("", WHOLE), (", stored", STORED), (", completed", COMPLETED)):
        yield f"one to patch{name}", "POST", MAPS, JSON, _named("there", data={"a": "b"})
        for part in (_bodies, _yaml, _pods, _patches, _definitions):
            for what, *request in part(size):
                yield (what + name, *request)  # type: ignore[misc]
        for what, *request in _large_ones():
            yield (what + name, *request)  # type: ignore[misc]
        for number, target in enumerate((MAPS, PODS, CRDS, POLICIES, BINDINGS)):
            yield f"an end of all, {number}{name}", "DELETE", target, JSON, b'{"gracePeriodSeconds":0}'
    yield from _queries()


def _large_ones() -> Iterator[Heavy]:
    """Questions about what was made, and small changes of it, where it was taken."""
    for name, target in (
        ("keys", f"{MAPS}/many"),
        ("labels", f"{MAPS}/labels"),
        ("finalizers", f"{MAPS}/fin"),
        ("applied keys", f"{MAPS}/a"),
        ("containers", f"{PODS}/containers"),
        ("environment", f"{PODS}/env"),
        ("volumes", f"{PODS}/vol"),
        ("affinity", f"{PODS}/aff"),
    ):
        yield f"{name}, read in YAML", "GET", target, YAML, b""
        yield f"{name}, read in protobuf", "GET", target, PROTOBUF, b""
        yield f"{name}, read as a table", "GET", target, TABLE, b""
        yield f"{name}, labelled", "PATCH", target, MERGE, b'{"metadata":{"labels":{"a":"b"}}}'
        yield f"{name}, labelled strategically", "PATCH", target, STRATEGIC, b'{"metadata":{"labels":{"a":"c"}}}'
    head = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    others = json.dumps({**head, "data": {f"k{n}": "w" for n in range(60_000)}}).encode()
    yield "what another applied", "PATCH", f"{MAPS}/a?fieldManager=other", APPLY, others
    yield "what another applied, forced", "PATCH", f"{MAPS}/a?fieldManager=other&force=true", APPLY, others
    yield "all in YAML", "GET", MAPS, YAML, b""
    yield "all in protobuf", "GET", PODS, PROTOBUF, b""
    yield "all as a table", "GET", PODS, TABLE, b""
    yield "a binding of many expressions", "POST", BINDINGS, JSON, _named(
        "many", spec={"policyName": "some", "validationActions": ["Deny"]}
    )  # fmt: skip
    yield "a write that many expressions judge", "POST", MAPS, JSON, _named("judged")
    wide = {f"p{n}": "x" for n in range(1_000)}
    custom = {"apiVersion": "heavy.example/v1", "kind": "Wides", "metadata": {"name": "w"}, "spec": wide}
    yield "a custom resource", "POST", "/apis/heavy.example/v1/namespaces/default/wides", JSON, json.dumps(
        custom
    ).encode()  # fmt: skip
    yield "OpenAPI of many fields", "GET", "/openapi/v3/apis/heavy.example/v1", JSON, b""
    yield "OpenAPI of all", "GET", "/openapi/v2", JSON, b""


def _named(name: str, **more: Any) -> bytes:
    return json.dumps({"metadata": {"name": name}, **more}).encode()


def _bodies(size: Size) -> Iterator[Heavy]:
    many = {f"k{number:06}": "v" for number in range(size.of(150_000))}
    yield "data of many keys", "POST", MAPS, JSON, _named("many", data=many)
    yield "wrong values", "POST", MAPS, JSON, _named("wrong", data=dict.fromkeys(many, 1))
    yield (
        "wrong keys",
        "POST",
        MAPS,
        JSON,
        _named("keys", data={f"k/{number}": "v" for number in range(size.of(150_000))}),
    )
    yield "unknown fields", "POST", MAPS, JSON, _named("unknown", **many)
    doubled = b'{"metadata":{"name":"twice"},"data":{' + b",".join([b'"a":"b"'] * size.of(350_000)) + b"}}"
    yield "doubled fields", "POST", f"{MAPS}?fieldValidation=Strict", JSON, doubled
    yield "one long value", "POST", MAPS, JSON, _named("long", data={"a": "x" * (size.of(LIMIT) - 200)})
    yield (
        "escapes",
        "POST",
        MAPS,
        JSON,
        b'{"metadata":{"name":"esc"},"data":{"a":"' + b"\\u0041" * size.of(480_000) + b'"}}',
    )
    labels = {f"l{number}": "v" for number in range(size.of(150_000))}
    yield "labels", "POST", MAPS, JSON, json.dumps({"metadata": {"name": "labels", "labels": labels}}).encode()
    owners = [{"apiVersion": "v1", "kind": "Pod", "name": f"o{n}", "uid": f"u{n}"} for n in range(size.of(40_000))]
    yield "owners", "POST", MAPS, JSON, json.dumps({"metadata": {"name": "own", "ownerReferences": owners}}).encode()
    ends = [f"a/b{n}" for n in range(size.of(200_000))]
    yield "finalizers", "POST", MAPS, JSON, json.dumps({"metadata": {"name": "fin", "finalizers": ends}}).encode()
    managed = [{"manager": f"m{n}", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
                "fieldsV1": {"f:data": {f"f:{n}": {}}}} for n in range(size.of(20_000))]  # fmt: skip
    yield "managed", "POST", MAPS, JSON, json.dumps({"metadata": {"name": "man", "managedFields": managed}}).encode()


def _yaml(size: Size) -> Iterator[Heavy]:
    flat = b"metadata:\n  name: flat\ndata:\n" + b"".join(b"  k%06d: v\n" % n for n in range(size.of(220_000)))
    yield "YAML of many keys", "POST", MAPS, YAML, flat
    yield "YAML of many keys, applied", "PATCH", f"{MAPS}/flat?fieldManager=m", APPLY, flat
    yield "YAML of many items", "POST", MAPS, YAML, b"[" + b"a," * size.of(1_450_000) + b"a]"
    yield (
        "YAML of a long text",
        "POST",
        MAPS,
        YAML,
        b"data:\n  a: |\n" + b"    x y z\n" * size.of(290_000),
    )
    yield "YAML of many quotes", "POST", MAPS, YAML, b'a: "' + b"\\x41" * size.of(740_000) + b'"'
    anchors = b"".join(b"k%d: &a%d v\n" % (n, n) for n in range(size.of(150_000)))
    yield "YAML of many documents", "POST", MAPS, YAML, b"---\na: b\n" * size.of(330_000)
    yield "YAML of many anchors", "POST", MAPS, YAML, anchors
    yield "YAML of comments", "POST", MAPS, YAML, b"#\n" * size.of(1_490_000)


def _pods(size: Size) -> Iterator[Heavy]:
    def pod(name: str, **spec: Any) -> bytes:
        return _named(name, spec={"containers": [{"name": "c", "image": "i"}], **spec})

    containers = [{"name": f"c{n}", "image": "i"} for n in range(size.of(60_000))]
    yield "containers", "POST", PODS, JSON, pod("containers", containers=containers)
    bad = [{"name": "c", "image": "", "ports": [{"containerPort": 0}]} for _ in range(size.of(40_000))]
    yield "wrong containers", "POST", PODS, JSON, pod("bad", containers=bad)
    env = [{"name": f"E{n}", "value": f"$(E{n - 1})"} for n in range(size.of(70_000))]
    yield "environment", "POST", PODS, JSON, pod("env", containers=[{"name": "c", "image": "i", "env": env}])
    tolerations = [{"key": f"k{n}", "operator": "Exists"} for n in range(size.of(60_000))]
    yield "tolerations", "POST", PODS, JSON, pod("tol", tolerations=tolerations)
    volumes = [{"name": f"v{n}", "emptyDir": {}} for n in range(size.of(60_000))]
    yield "volumes", "POST", PODS, JSON, pod("vol", volumes=volumes)
    terms = [
        {"matchExpressions": [{"key": f"k{n}", "operator": "In", "values": ["a", "b"]}]} for n in range(size.of(30_000))
    ]
    required = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
    yield "affinity", "POST", PODS, JSON, pod("aff", affinity=required)
    cpu = {"requests": {"cpu": "9" * 1_000_000}}
    yield "a long quantity", "POST", PODS, JSON, pod("q", containers=[{"name": "c", "image": "i", "resources": cpu}])
    gates = [{"name": f"a/g{n}"} for n in range(size.of(80_000))]
    yield "gates", "POST", PODS, JSON, pod("gates", schedulingGates=gates)


def _patches(size: Size) -> Iterator[Heavy]:
    target = f"{MAPS}/there"
    ops = [{"op": "add", "path": f"/data/k{n}", "value": "v"} for n in range(size.of(9_990))]
    yield "a JSON patch", "PATCH", target, JSON_PATCH, json.dumps(ops).encode()
    long = [{"op": "add", "path": "/metadata/finalizers", "value": []}]
    long += [{"op": "add", "path": "/metadata/finalizers/0", "value": f"a/b{n}"} for n in range(size.of(9_980))]
    yield "a JSON patch of a list", "PATCH", target, JSON_PATCH, json.dumps(long).encode()
    tests = [{"op": "test", "path": "/data", "value": {f"k{n}": "v" for n in range(200)}} for _ in range(500)]
    yield "a JSON patch of tests", "PATCH", target, JSON_PATCH, json.dumps(tests).encode()
    many = {f"k{n}": "v" for n in range(size.of(150_000))}
    yield "a merge patch", "PATCH", target, MERGE, json.dumps({"data": many}).encode()
    yield "an applied map", "PATCH", f"{MAPS}/a?fieldManager=m", APPLY, json.dumps(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": many}
    ).encode()  # fmt: skip
    ends = [f"a/b{n}" for n in range(size.of(150_000))]
    yield "a strategic list", "PATCH", target, STRATEGIC, json.dumps({"metadata": {"finalizers": ends}}).encode()
    order = {"metadata": {"$setElementOrder/finalizers": ends, "finalizers": ends[:50_000]}}
    yield "a strategic order", "PATCH", target, STRATEGIC, json.dumps(order).encode()
    yield "a deep patch", "PATCH", target, MERGE, b'{"data":' + b'{"a":' * 200 + b"1" + b"}" * 201


def _crd(plural: str, schema: dict[str, Any]) -> bytes:
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": plural, "kind": plural.title(), "singular": plural}
    spec = {"group": "heavy.example", "scope": "Namespaced", "names": names, "versions": [version]}
    return _named(f"{plural}.heavy.example", spec=spec)


def _definitions(size: Size) -> Iterator[Heavy]:
    many = {f"p{n}": {"type": "string"} for n in range(size.of(60_000))}
    spec = {"type": "object", "properties": {"spec": {"type": "object", "properties": many}}}
    yield "a schema of many fields", "POST", CRDS, JSON, _crd("wides", spec)
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(60):
        deep = {"type": "object", "properties": {"a": deep}}
    yield "a deep schema", "POST", CRDS, JSON, _crd("deeps", deep)
    patterns = {f"p{n}": {"type": "string", "pattern": "^(a+)+$|(x*)*y" * 5} for n in range(size.of(5_000))}
    yield "a schema of patterns", "POST", CRDS, JSON, _crd("regexes", {"type": "object", "properties": patterns})
    rules = [{"rule": "self.a.all(x, self.a.exists(y, y == x))", "message": "m"} for _ in range(size.of(3_000))]
    listed = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string"}}}}
    yield "a schema of rules", "POST", CRDS, JSON, _crd("ruled", {**listed, "x-kubernetes-validations": rules})
    enum = {
        "type": "object",
        "properties": {"e": {"type": "string", "enum": [f"v{n}" for n in range(size.of(200_000))]}},
    }
    yield "a schema of values", "POST", CRDS, JSON, _crd("enums", enum)
    for name, text in (
        ("a long expression", "1" + " + 1" * size.of(20_000)),
        ("a deep expression", "(" * size.of(2_000) + "1" + ")" * size.of(2_000) + " == 1"),
        ("an expression of a long list", "[" + "1," * size.of(100_000) + "1].size() > 0"),
        (
            "an expression of nested loops",
            "[1,2].all(a, [1,2].all(b, [1,2].all(c, a+b+c > 0)))" + " && true" * size.of(5_000),
        ),
    ):
        policy = {"validations": [{"expression": text}], "matchConstraints": {"resourceRules": []}}
        yield name, "POST", POLICIES, JSON, _named(name.replace(" ", "-"), spec=policy)
    expressions = [{"expression": f"object.metadata.name != 'x{n}'"} for n in range(size.of(20_000))]
    yield "many expressions", "POST", POLICIES, JSON, _named("many", spec={"validations": expressions})
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}]
    judging = {"validations": expressions[: size.of(12_000)], "matchConstraints": {"resourceRules": rules}}
    yield "some expressions", "POST", POLICIES, JSON, _named("some", spec=judging)


def _queries() -> Iterator[Heavy]:
    values = ",".join(f"v{n}" for n in range(4_500))
    yield "a long selector", "GET", f"{PODS}?labelSelector={quote(f'a in ({values})')}", JSON, b""
    yield "many requirements", "GET", f"{PODS}?labelSelector={','.join(f'k{n}=v' for n in range(3_500))}", JSON, b""
    yield "many fields", "GET", f"{PODS}?fieldSelector={','.join(['metadata.name!=x'] * 1_700)}", JSON, b""
    yield "many parameters", "GET", f"{PODS}?{'&'.join(f'a{n}=b' for n in range(4_000))}", JSON, b""
    yield "a long path", "GET", "/api/v1" + "/a" * 15_000, JSON, b""
    yield "a long token", "GET", f"{PODS}?limit=1&continue={'a' * 32_000}", JSON, b""
