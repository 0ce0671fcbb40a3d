"""The add-on `ingress`: enabled, its rules followed by real requests over HTTP and HTTPS, and taken away whole."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from real_cluster import PYTHON, Kubectl, navarch, pod, until
from shared_cluster import own_namespace
from shell import play_on

from navarch.base.clock import SystemClock, SystemIds
from navarch.base.pki import Authority, client_context

pytestmark = pytest.mark.node

ANSWERS = """
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        name = {8081: "one", 8082: "two", 8083: "rest"}[self.server.server_port]
        said = f"{name} {self.headers['X-Forwarded-Proto']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

for port in (8081, 8082):
    threading.Thread(target=ThreadingHTTPServer(("", port), Answer).serve_forever).start()
ThreadingHTTPServer(("", 8083), Answer).serve_forever()
"""


def service(name: str, port: int) -> dict[str, Any]:
    spec = {"selector": {"app": "answers"}, "ports": [{"name": "http", "port": 80, "targetPort": port}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def to(name: str) -> dict[str, Any]:
    return {"service": {"name": name, "port": {"name": "http"}}}


def rule(host: str, *paths: tuple[str, str, str]) -> dict[str, Any]:
    found = [{"path": path, "pathType": kind, "backend": to(name)} for path, kind, name in paths]
    return {"host": host, "http": {"paths": found}}


def ingress(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name}, "spec": spec}


def certificate(authority: Authority, host: str) -> dict[str, Any]:
    made = authority.server(host, [host])
    parts = {"tls.crt": made.certificate, "tls.key": made.key}
    data = {name: base64.b64encode(part).decode() for name, part in parts.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "tls"},
        "type": "kubernetes.io/tls",
        "data": data,
    }


@pytest.fixture(scope="module")
def address(way_in: str) -> str:
    return way_in


def of_list() -> dict[str, Any]:
    found = json.loads(navarch("addon", "list", "-o", "json").stdout)["addons"]
    return next(one for one in found if one["name"] == "ingress")


def asking(address: str, trusted: ssl.SSLContext) -> Callable[..., str]:
    def ask(host: str, path: str = "/", *, secure: bool = False) -> str:
        """The answer's body, or its status when it is no success, or what kept it from coming."""
        connection = http.client.HTTPConnection(host, timeout=5)
        try:
            plain = socket.create_connection((address, 443 if secure else 80), timeout=5)
            connection.sock = trusted.wrap_socket(plain, server_hostname=host) if secure else plain
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read().decode()
            return body if answer.status == 200 else str(answer.status)
        except (OSError, http.client.HTTPException) as error:
            return repr(error)
        finally:
            connection.close()

    return ask


def test_requests_find_their_services(kubectl: Kubectl, address: str) -> None:
    authority = Authority.create("tests", SystemClock(), SystemIds())
    ask = asking(address, client_context(authority.pair.certificate))
    foreign = {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "foreign"}}
    kubectl.apply(
        pod(
            "answers",
            ["python3.11", "-c", ANSWERS],
            image=PYTHON,
            readinessProbe={"tcpSocket": {"port": 8083}, "periodSeconds": 1},
        ),
        *(service(name, 8081 + number) for number, name in enumerate(("one", "two", "rest"))),
        certificate(authority, "secure.test"),
        {**foreign, "spec": {"controller": "example.com/nobody"}},
        ingress(
            "paths",
            rules=[
                rule(
                    "paths.test",
                    ("/exact", "Exact", "one"),
                    ("/pre", "Prefix", "two"),
                    ("/pre/longer", "Prefix", "one"),
                )
            ],
        ),
        service("empty", 1) | {"spec": {"selector": {"app": "nobody"}, "ports": [{"name": "http", "port": 80}]}},
        ingress("waits", rules=[rule("waits.test", ("/", "Prefix", "one"), ("/none", "Prefix", "empty"))]),
        ingress("rest", defaultBackend=to("rest")),
        ingress("named", ingressClassName="traefik", rules=[rule("*.wild.test", ("/", "Prefix", "two"))]),
        ingress("others", ingressClassName="foreign", rules=[rule("foreign.test", ("/", "Prefix", "two"))]),
        ingress(
            "issued",
            tls=[{"hosts": ["issued.test"], "secretName": "issued-tls"}],
            rules=[rule("issued.test", ("/", "Prefix", "two"))],
        )
        | {"metadata": {"name": "issued", "annotations": {"navarch.dev/issuer": "cluster"}}},
        ingress(
            "secure",
            tls=[{"hosts": ["secure.test"], "secretName": "tls"}],
            rules=[rule("secure.test", ("/", "Prefix", "one"))],
        ),
    )
    kubectl.ready("answers")
    expected = {
        ("paths.test", "/exact"): "one http",
        ("paths.test", "/exact/more"): "rest http",
        ("paths.test", "/pre"): "two http",
        ("paths.test", "/pre/more?x=1"): "two http",
        ("paths.test", "/prefix"): "rest http",
        ("paths.test", "/pre/longer/more"): "one http",
        ("a.wild.test", "/"): "two http",
        ("wild.test", "/"): "rest http",
        ("foreign.test", "/"): "rest http",
        ("secure.test", "/"): "one http",
        ("waits.test", "/none/more"): "503",
        ("waits.test", "/nonesuch"): "one http",
    }
    found: dict[tuple[str, str], str] = {}

    def followed() -> bool:
        found.update({asked: ask(*asked) for asked in expected})
        return found == expected and ask("secure.test", secure=True) == "one https"

    with suppress(AssertionError):  # what differs says more than how long it took
        until("all rules", followed, 60)
    assert found == expected
    assert ask("secure.test", secure=True) == "one https"
    assert "CERTIFICATE_VERIFY_FAILED" in ask("paths.test", "/exact", secure=True)
    public = replace(kubectl, namespace="kube-public")
    asked = ("get", "configmap", "navarch-issuer", "--ignore-not-found", "-o", r"jsonpath={.data.ca\.crt}")
    published = until("the published authority", lambda: public(*asked), 30)
    believing = asking(address, client_context(published.encode()))
    until("an issued certificate", lambda: believing("issued.test", secure=True) == "two https", 30)
    assert "CERTIFICATE_VERIFY_FAILED" in ask("issued.test", secure=True), "only who trusts the issuer believes it"

    def shown() -> dict[str, Any]:
        found = json.loads(kubectl("get", "ingress", "-o", "json"))["items"]
        return {one["metadata"]["name"]: one for one in found}

    served = until("status", lambda: (found := shown())["secure"]["status"]["loadBalancer"].get("ingress") and found)
    assert served["secure"]["status"]["loadBalancer"]["ingress"][0]["ip"] == address
    assert served["paths"]["spec"]["ingressClassName"] == "traefik"
    assert "ingress" not in served["others"]["status"]["loadBalancer"]


def test_the_page_of_it_and_what_is_disabled_leaves_nothing(
    kubeconfig: Path, kubectl: Kubectl, address: str, tmp_path: Path
) -> None:
    """The page makes the pool of addresses itself, enables the add-on again, and takes both away."""
    assert of_list() | {"version": "", "about": ""} == {
        "name": "ingress",
        "state": "ready",
        "version": "",
        "addresses": [address],
        "missing": [],
        "about": "",
    }
    replace(kubectl, namespace="kube-system")("delete", "configmap", "load-balancer")
    with own_namespace(kubeconfig, "howto/ingress") as reader:
        play_on(kubeconfig, reader.namespace, "howto/ingress", tmp_path)
    kinds = "clusterrole,clusterrolebinding,ingressclass,namespace"
    assert kubectl("get", kinds, "-l", "app.kubernetes.io/managed-by=navarch-addons", "-o", "name") == ""
    assert "navarch.dev/traefik" not in navarch("image", "list").stdout
    assert of_list()["state"] == "off"
