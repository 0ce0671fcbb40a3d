"""Another API server behind an APIService: found, asked, watched and explained by kubectl as if it were ours."""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import pytest
import yaml
from compat_driver import Kubectl, newest, until
from extension_server import GROUP, NAME, ROOT, VERSION, Extension

from navarch.testing.cluster import RunningCluster
from tests.compat.conformance.conformance_api import Api
from tests.compat.conformance.conformance_specs import spec

OURS = "[sig-api-machinery] Aggregator "
SAMPLE = "Should be able to support the 1.17 Sample API Server using the current Aggregator [LinuxOnly]"

APPLE = """
apiVersion: fruits.example.com/v1
kind: Apple
metadata: {name: %s}
spec: {color: red}
"""


def published(whole: RunningCluster) -> dict[str, str]:
    program = newest()
    command = [str(program), "--kubeconfig", str(whole.kubeconfig), "-n", "kube-system", "get", "configmap"]
    told = subprocess.run(
        [*command, "extension-apiserver-authentication", "-o", "json"], capture_output=True, check=True
    )
    return dict(json.loads(told.stdout)["data"])


def behind_a_service(extension: Extension, namespace: str) -> list[dict[str, Any]]:
    meta = {"name": "fruits", "namespace": namespace}
    labels = {"kubernetes.io/service-name": "fruits"}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {"ports": [{"name": "https", "port": 443, "targetPort": extension.port}]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**meta, "labels": labels},
            "addressType": "IPv4",
            "ports": [{"name": "https", "port": extension.port}],
            "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
        },
    ]


def api_service(extension: Extension, namespace: str, **more: Any) -> dict[str, Any]:
    spec = {
        "group": GROUP,
        "version": VERSION,
        "service": {"name": "fruits", "namespace": namespace},
        "caBundle": extension.bundle,
        "groupPriorityMinimum": 2000,
        "versionPriority": 10,
        **more,
    }
    spec = {key: value for key, value in spec.items() if value is not None}
    meta = {"name": NAME}
    return {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": meta, "spec": spec}


def available(kubectl: Kubectl) -> dict[str, str]:
    conditions = kubectl.read("apiservice", NAME).get("status", {}).get("conditions", [])
    return next((one for one in conditions if one["type"] == "Available"), {})


@pytest.fixture(scope="module")
def extension(whole: RunningCluster) -> Iterator[Extension]:
    data = published(whole)
    with Extension(data["requestheader-client-ca-file"]) as running:
        for document in behind_a_service(running, "default"):
            whole.apply(document)
        yield running


@pytest.fixture
def served(extension: Extension, one_kubectl: Kubectl) -> Iterator[Kubectl]:
    """kubectl while the APIService is there and answers."""
    one_kubectl.apply(yaml.safe_dump(api_service(extension, "default")))
    until(lambda: available(one_kubectl).get("status") == "True")
    extension.asked.clear()
    yield one_kubectl
    one_kubectl("delete", "apiservice", NAME, "--ignore-not-found")


def test_what_such_servers_are_told(whole: RunningCluster) -> None:
    data = published(whole)
    assert {key: value for key, value in data.items() if not key.endswith("-ca-file")} == {
        "requestheader-allowed-names": '["front-proxy-client"]',
        "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
        "requestheader-group-headers": '["X-Remote-Group"]',
        "requestheader-uid-headers": '["X-Remote-Uid"]',
        "requestheader-username-headers": '["X-Remote-User"]',
    }
    assert data["client-ca-file"] != data["requestheader-client-ca-file"]


@spec(OURS + SAMPLE)
def test_kubectl_finds_makes_lists_and_deletes(served: Kubectl) -> None:
    assert ["apples", "ap", "fruits.example.com/v1", "true", "Apple"] in served.rows("api-resources")
    assert "apple.fruits.example.com/one created" in served("create", "-f", "-", stdin=APPLE % "one")
    assert served.rows("get", "apples")[1][0] == "one"
    assert served.read("ap", "one")["spec"] == {"color": "red"}
    assert served("get", "fruit", "-o", "name") == "apple.fruits.example.com/one\n"
    assert "(NotFound)" in served.refused("get", "apple", "none")
    served("delete", "apple", "one")
    assert served.read("apples")["items"] == []


def test_kubectl_explains(served: Kubectl) -> None:
    until(lambda: ROOT[1:] in json.loads(served("get", "--raw", "/openapi/v3"))["paths"])
    assert "What it looks like." in served("explain", "apple.spec.color")
    swagger = json.loads(served("get", "--raw", "/openapi/v2"))
    assert f"{ROOT}/namespaces/{{namespace}}/apples" in swagger["paths"]
    assert "/elsewhere" not in swagger["paths"]
    assert "com.example.fruits.v1.Apple" in swagger["definitions"]


@pytest.fixture
def legacy(extension: Extension, one_kubectl: Kubectl) -> Iterator[Kubectl]:
    """kubectl while the server is there and has only the older form of schemas."""
    extension.legacy = True
    one_kubectl.apply(yaml.safe_dump(api_service(extension, "default")))
    try:
        until(lambda: ROOT[1:] in json.loads(one_kubectl("get", "--raw", "/openapi/v3"))["paths"])
        extension.asked.clear()
        yield one_kubectl
    finally:
        one_kubectl("delete", "apiservice", NAME)
        extension.legacy = False


def test_of_older_schemas_newer_ones_are_made(legacy: Kubectl, extension: Extension) -> None:
    address = json.loads(legacy("get", "--raw", "/openapi/v3"))["paths"][ROOT[1:]]["serverRelativeURL"]
    document = json.loads(legacy("get", "--raw", address))
    schema = document["components"]["schemas"]["com.example.fruits.v1.Apple"]
    assert schema["properties"]["spec"]["properties"]["color"]["description"] == "What it looks like."
    assert "What it looks like." in legacy("explain", "apple.spec.color")
    assert "color" in legacy("explain", "apple", "--recursive")
    assert "created" in legacy("apply", "--validate=strict", "-f", "-", stdin=APPLE % "strict")
    (made,) = [one for one in extension.asked if one.method == "POST"]
    assert made.param("fieldValidation") == "Strict", "kubectl found in the schemas that the server validates"
    assert not any(one.path.startswith("/openapi") for one in extension.asked)
    merged = json.loads(legacy("get", "--raw", "/openapi/v2"))
    operation = merged["paths"][f"{ROOT}/namespaces/{{namespace}}/apples/{{name}}"]["patch"]
    assert [one["name"] for one in operation["parameters"]] == ["body", "fieldValidation"]
    legacy("delete", "apple", "strict")


def test_discovery_in_both_forms(served: Kubectl) -> None:
    groups = [group["name"] for group in json.loads(served("get", "--raw", "/apis"))["groups"]]
    assert groups.index("storagemigration.k8s.io" if "storagemigration.k8s.io" in groups else "apps") < groups.index(
        GROUP
    )
    group = json.loads(served("get", "--raw", f"/apis/{GROUP}"))
    assert group["preferredVersion"] == {"groupVersion": f"{GROUP}/{VERSION}", "version": VERSION}
    assert json.loads(served("get", "--raw", ROOT))["resources"][0]["name"] == "apples"
    assert served.rows("get", "apiservice", NAME)[1][:3] == [NAME, "default/fruits", "True"]


def test_a_watch_passes(served: Kubectl) -> None:
    program = [str(served.program), "--kubeconfig", str(served.kubeconfig), "get", "apples", "-w", "-o", "name"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.extend(iter(watching.stdout.readline, "")), daemon=True)
        reader.start()
        try:
            served("create", "-f", "-", stdin=APPLE % "watched")
            until(lambda: any("watched" in line for line in lines), 20)
        finally:
            watching.terminate()
    served("delete", "apple", "watched")


def test_who_asks_is_said_and_no_credentials_are(served: Kubectl, extension: Extension) -> None:
    account = served.account("picker")
    role = {"verbs": ["*"], "apiGroups": [GROUP], "resources": ["*"]}
    rbac = "rbac.authorization.k8s.io"
    meta = {"metadata": {"name": "picker"}}
    subject = {"kind": "ServiceAccount", "name": "picker", "namespace": served.namespace}
    served.apply(yaml.safe_dump({"apiVersion": f"{rbac}/v1", "kind": "Role", **meta, "rules": [role]}))
    reference = {"apiGroup": rbac, "kind": "Role", "name": "picker"}
    binding = {"apiVersion": f"{rbac}/v1", "kind": "RoleBinding", **meta}
    served.apply(yaml.safe_dump({**binding, "roleRef": reference, "subjects": [subject]}))
    extension.asked.clear()
    path = f"{ROOT}/namespaces/{served.namespace}/apples"
    account("get", "--raw", path)
    (request,) = [one for one in extension.asked if one.path == path]
    headers = request.headers
    user = f"system:serviceaccount:{served.namespace}:picker"
    assert headers["x-remote-user"] == user
    assert "system:authenticated" in headers["x-remote-group"].split(", ")
    assert headers["x-remote-uid"]
    assert "x-remote-extra-authentication.kubernetes.io%2fcredential-id" in headers
    assert not {"authorization", "impersonate-user"} & set(headers)
    extension.asked.clear()
    served("get", "--raw", path, "--as", "jane", "--as-group", "growers", "--as-group", "system:masters")
    (request,) = [one for one in extension.asked if one.path == path]
    assert request.headers["x-remote-user"] == "jane"
    assert request.headers["x-remote-group"].split(", ")[:2] == ["growers", "system:masters"]
    assert not any(name.startswith("impersonate-") for name in request.headers)


def test_rights_are_checked_here(served: Kubectl, extension: Extension) -> None:
    nobody = served.account("nobody")
    extension.asked.clear()
    assert "(Forbidden)" in nobody.refused("get", "--raw", f"{ROOT}/namespaces/{served.namespace}/apples")
    assert extension.asked == []


async def raw(kubectl: Kubectl, lines: list[str]) -> bytes:
    """What the server answers to exactly these lines, sent with an administrator's certificate."""
    document = yaml.safe_load(kubectl.kubeconfig.read_text())
    import base64

    user, cluster = document["users"][0]["user"], document["clusters"][0]["cluster"]
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    pair = kubectl.directory / "pair.pem"
    pair.write_bytes(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
    context.load_cert_chain(str(pair))
    host, _, port = cluster["server"].removeprefix("https://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
    writer.write("\r\n".join([*lines, "", ""]).encode())
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
    rest = await asyncio.wait_for(reader.read(65_536), 60)
    writer.close()
    return answer + rest


def test_nobody_says_by_headers_who_he_is(served: Kubectl, extension: Extension) -> None:
    lines = [
        f"GET {ROOT}/apples HTTP/1.1",
        "Host: x",
        "X-Remote-User: root",
        "X-Remote-Group: system:masters",
        "x-remote-extra-scopes: all",
        "X_Remote_User: root",
        "X_Remote-Group: system:masters",
        "X-Forwarded-For: 203.0.113.9",
        "Connection: close, X-Remote-User",
    ]
    extension.asked.clear()
    assert b" 200 " in asyncio.run(raw(served, lines))
    (request,) = extension.asked
    assert request.headers["x-remote-user"] == "kubernetes-admin"
    assert "root" not in request.headers["x-remote-group"]
    assert "x-remote-extra-scopes" not in request.headers
    assert not any("_" in name for name in request.headers)
    assert request.headers["x-forwarded-for"] == "203.0.113.9, 127.0.0.1"
    assert request.headers["host"] == "fruits.default.svc:443"


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Content-Length: 5", "Content-Length: 6"],
        ["Transfer-Encoding: chunked, identity"],
        ["X-Remote-User : root"],
        ["X-Forwarded-For: a\nX-Remote-User: root"],
        [" X-Remote-User: root"],
    ],
)
def test_no_request_is_hidden_in_another(served: Kubectl, extension: Extension, lines: list[str]) -> None:
    extension.asked.clear()
    smuggled = f"GET {ROOT}/smuggled HTTP/1.1"
    first = [f"POST {ROOT}/namespaces/default/apples HTTP/1.1", "Host: x", *lines, "", "0", "", smuggled, "Host: x"]
    answer = asyncio.run(raw(served, first))
    assert not any("smuggled" in one.path for one in extension.asked)
    assert not any(one.headers["x-remote-user"] != "kubernetes-admin" for one in extension.asked)
    assert b"HTTP/1.1 2" not in answer


def test_redirects_go_no_further(served: Kubectl, extension: Extension) -> None:
    answer = asyncio.run(raw(served, [f"GET {ROOT}/redirect HTTP/1.1", "Host: x", "Connection: close"]))
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert answer.endswith(b"the backend attempted to redirect this request, which is not permitted")
    assert b"stolen" not in answer


def test_upgrades_pass(served: Kubectl) -> None:
    lines = [f"GET {ROOT}/echo HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: websocket", "", "hello"]
    answer = asyncio.run(raw(served, lines))
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"hello" in answer
    assert b"x-remote-user" not in answer.lower()


def uploaded(kubectl: Kubectl, parts: int, chunked: bool) -> tuple[int, Any]:
    """Post so many parts of a megabyte. chunked: without saying how many."""
    client = Api(kubectl.kubeconfig)
    connection = HTTPSConnection(client.host, client.port, context=client.context, timeout=90)
    try:
        headers = {} if chunked else {"Content-Length": str(parts << 20)}
        body = (bytes([number]) * (1 << 20) for number in range(parts))
        connection.request("POST", f"{ROOT}/uploads", body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_of_any_size_pass(served: Kubectl, chunked: bool) -> None:
    """Those that are read here have a limit."""
    parts = 50
    status, found = uploaded(served, parts, chunked)
    wanted = hashlib.sha256()
    for number in range(parts):
        wanted.update(bytes([number]) * (1 << 20))
    assert (status, found["bytes"], found["sha256"]) == (200, parts << 20, wanted.hexdigest())
    assert found["length"] == ("" if chunked else str(parts << 20))


def test_a_client_that_stops_midway_takes_nobody_along(served: Kubectl) -> None:
    client = Api(served.kubeconfig)
    for _ in range(3):
        connection = HTTPSConnection(client.host, client.port, context=client.context, timeout=90)
        connection.putrequest("POST", f"{ROOT}/uploads")
        connection.putheader("Content-Length", str(50 << 20))
        connection.endheaders()
        connection.send(b"x" * (1 << 20))
        connection.close()
    assert uploaded(served, 1, chunked=True)[1]["bytes"] == 1 << 20


def test_paths_that_lead_elsewhere(served: Kubectl, extension: Extension) -> None:
    extension.asked.clear()
    for path in (f"{ROOT}/../../secrets", f"{ROOT}/%2e%2e/x"):
        answer = asyncio.run(raw(served, [f"GET {path} HTTP/1.1", "Host: x", "Connection: close"]))
        assert answer.startswith(b"HTTP/1.1 404 "), path
    assert extension.asked == []


def test_a_server_that_does_not_answer(served: Kubectl, extension: Extension) -> None:
    extension.down = True
    try:
        served("annotate", "service", "fruits", "-n", "default", "touched=1", "--overwrite")
        until(lambda: available(served).get("status") == "False", 20)
        found = available(served)
        assert found["reason"] == "FailedDiscoveryCheck"
        assert found["message"].startswith("failing or missing response from https://127.0.0.1:")
        assert found["message"].endswith(f"{ROOT}: 500")
        answer = asyncio.run(raw(served, [f"GET {ROOT}/apples HTTP/1.1", "Host: x", "Connection: close"]))
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert answer.endswith(b"service unavailable\n")
        assert "ServiceUnavailable" in served.refused("get", "--raw", f"{ROOT}/apples")
        assert "pods" in served("get", "--raw", "/api/v1")
        counted = served("get", "--raw", "/metrics")
        assert f'aggregator_unavailable_apiservice{{name="{NAME}"}} 1' in counted
        reason = "FailedDiscoveryCheck"
        assert f'aggregator_unavailable_apiservice_total{{name="{NAME}",reason="{reason}"}}' in counted
    finally:
        extension.down = False
    served("annotate", "service", "fruits", "-n", "default", "touched=2", "--overwrite")
    until(lambda: available(served).get("status") == "True", 20)
    assert served.read("apples")["items"] == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"service": {"name": "none", "namespace": "default"}}, "ServiceNotFound"),
        ({"service": {"name": "fruits", "namespace": "default", "port": 8443}}, "ServicePortError"),
        ({"caBundle": None}, "FailedDiscoveryCheck"),
    ],
)
def test_what_is_wrong_is_said(extension: Extension, one_kubectl: Kubectl, change: dict[str, Any], reason: str) -> None:
    document = api_service(extension, "default", **change)
    one_kubectl.apply(yaml.safe_dump(document))
    try:
        until(lambda: available(one_kubectl).get("reason") == reason, 20)
        assert available(one_kubectl)["status"] == "False"
        assert one_kubectl.rows("get", "apiservice", NAME)[1][2:4] == ["False", f"({reason})"]
        if reason == "FailedDiscoveryCheck":
            assert "certificate signed by unknown authority" in available(one_kubectl)["message"]
    finally:
        one_kubectl("delete", "apiservice", NAME)


def test_a_certificate_that_need_not_be_checked(extension: Extension, one_kubectl: Kubectl) -> None:
    document = api_service(extension, "default", insecureSkipTLSVerify=True)
    del document["spec"]["caBundle"]
    one_kubectl.apply(yaml.safe_dump(document))
    try:
        until(lambda: available(one_kubectl).get("reason") == "Passed", 20)
    finally:
        one_kubectl("delete", "apiservice", NAME)


@spec(OURS + SAMPLE)
def test_an_api_service_is_an_object_like_others(served: Kubectl) -> None:
    said = {"type": "StatusPatched", "status": "True", "reason": "E2E", "message": "set by a test"}
    patch = json.dumps({"status": {"conditions": [{**said, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}})
    served("patch", "apiservice", NAME, "--subresource=status", "--type=strategic", "-p", patch)
    path = f"/apis/apiregistration.k8s.io/v1/apiservices/{NAME}/status"
    kinds = [one["type"] for one in json.loads(served("get", "--raw", path))["status"]["conditions"]]
    assert sorted(kinds) == ["Available", "StatusPatched"]
    served("label", "apiservice", NAME, "sample=yes")
    served("patch", "apiservice", NAME, "--type=merge", "-p", '{"spec":{"versionPriority":400}}')
    assert served.read("apiservice", NAME)["spec"]["versionPriority"] == 400
    assert served("get", "apiservices", "-l", "sample=yes", "-o", "name").count("\n") == 1
    assert served.read("apples")["items"] == []
    served("delete", "apiservices", "-l", "sample=yes")
    assert "(NotFound)" in served.refused("get", "apiservice", NAME)


def test_removed_it_is_as_if_it_had_never_been(served: Kubectl) -> None:
    served("delete", "apiservice", NAME)
    answer = asyncio.run(raw(served, [f"GET {ROOT}/apples HTTP/1.1", "Host: x", "Connection: close"]))
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert GROUP not in served("get", "--raw", "/apis")
    assert GROUP not in served("get", "--raw", "/openapi/v3")


def test_a_group_taken_over_and_given_back(extension: Extension, one_kubectl: Kubectl) -> None:
    one_kubectl.apply(yaml.safe_dump(api_service(extension, "default", caBundle=None)))
    try:
        until(lambda: available(one_kubectl).get("status") == "False", 20)
        bundle = json.dumps({"spec": {"caBundle": extension.bundle}})
        one_kubectl("patch", "apiservice", NAME, "--type=merge", "-p", bundle)  # looked at again at once
        until(lambda: available(one_kubectl).get("reason") == "Passed", 5)
        one_kubectl("patch", "apiservice", NAME, "--type=merge", "-p", '{"spec":{"service":null,"caBundle":null}}')
        assert "(NotFound)" in one_kubectl.refused("get", "--raw", f"{ROOT}/apples")
        extension.down = True
        one_kubectl.apply(yaml.safe_dump(api_service(extension, "default")))
        until(lambda: available(one_kubectl).get("status") == "False", 20)
        one_kubectl("patch", "apiservice", NAME, "--type=merge", "-p", '{"spec":{"service":null,"caBundle":null}}')
        until(lambda: available(one_kubectl).get("reason") == "Local", 20)
    finally:
        extension.down = False
        one_kubectl("delete", "apiservice", NAME)


def test_the_servers_own_services(one_kubectl: Kubectl, tmp_path: Path) -> None:
    found = {one["metadata"]["name"]: one for one in one_kubectl.read("apiservices")["items"]}
    label = "kube-aggregator.kubernetes.io/automanaged"
    core, apps = found["v1."], found["v1.apps"]
    assert core["spec"] == {"version": "v1", "groupPriorityMinimum": 18000, "versionPriority": 1}
    assert (apps["metadata"]["labels"][label], apps["spec"]["groupPriorityMinimum"]) == ("onstart", 17800)
    assert apps["status"]["conditions"][0]["reason"] == "Local"
    crd = one_kubectl.file("crd.yaml", CRD)
    one_kubectl("apply", "-f", crd)
    name = "v1.pears.example.com"
    until(lambda: one_kubectl.run("get", "apiservice", name).returncode == 0)
    pears = one_kubectl.read("apiservice", name)
    assert (pears["metadata"]["labels"][label], pears["spec"]["groupPriorityMinimum"]) == ("true", 1000)
    one_kubectl("delete", "apiservice", name)
    until(lambda: one_kubectl.run("get", "apiservice", name).returncode == 0)
    one_kubectl("delete", "-f", crd)
    until(lambda: one_kubectl.run("get", "apiservice", name).returncode == 1)


CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: pears.pears.example.com}
spec:
  group: pears.example.com
  names: {plural: pears, singular: pear, kind: Pear, listKind: PearList}
  scope: Namespaced
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
"""
