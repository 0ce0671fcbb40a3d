"""The add-on `gateway`: its routes followed by real requests over HTTP, HTTPS and gRPC, shares shifted under load."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from real_cluster import PYTHON, Kubectl, navarch, pod, until
from shared_cluster import own_namespace
from shell import play_on

from navarch.base.clock import SystemClock, SystemIds
from navarch.base.pki import Authority, client_context

pytestmark = pytest.mark.node

GROUP = "gateway.networking.k8s.io"
SERVED = """
import json, os, ssl, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    def do_GET(self):
        name = {8081: "one", 8082: "two", 8443: "inside"}[self.server.server_port]
        told = {"name": name, "path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}}
        said = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.send_header("X-Inside", "hidden")
        self.end_headers()
        self.wfile.write(said)
    do_POST = do_GET
    def log_message(self, *words):
        pass

tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
tls.load_cert_chain(*(os.path.join(sys.argv[1], name) for name in ("tls.crt", "tls.key")))
inside = ThreadingHTTPServer(("", 8443), Answer)
inside.socket = tls.wrap_socket(inside.socket, server_side=True)
threading.Thread(target=inside.serve_forever).start()
threading.Thread(target=ThreadingHTTPServer(("", 8082), Answer).serve_forever).start()
ThreadingHTTPServer(("", 8081), Answer).serve_forever()
"""


def served() -> dict[str, Any]:
    """A pod that answers at three ports, one of them with the certificate of `inside`."""
    return pod(
        "served",
        ["python3.11", "-c", SERVED, "/tls"],
        image=PYTHON,
        readinessProbe={"tcpSocket": {"port": 8081}, "periodSeconds": 1},
        volumes=[{"name": "tls", "secret": {"secretName": "inside"}}],
        volumeMounts=[{"name": "tls", "mountPath": "/tls", "readOnly": True}],
    )


def service(name: str, port: int) -> dict[str, Any]:
    spec = {"selector": {"app": "served"}, "ports": [{"name": "http", "port": 80, "targetPort": port}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def of_group(kind: str, name: str, spec: Mapping[str, Any], version: str = "v1") -> dict[str, Any]:
    return {"apiVersion": f"{GROUP}/{version}", "kind": kind, "metadata": {"name": name}, "spec": dict(spec)}


def to(*names: str, **more: Any) -> list[dict[str, Any]]:
    return [{"name": name, "port": 80, **more} for name in names]


def shares(**weights: int) -> list[dict[str, Any]]:
    return [{"name": name, "port": 80, "weight": weight} for name, weight in weights.items()]


def route(name: str, *rules: Mapping[str, Any], kind: str = "HTTPRoute") -> dict[str, Any]:
    spec = {"parentRefs": [{"name": "front"}], "hostnames": [f"{name}.test"], "rules": list(rules)}
    return of_group(kind, name, spec)


def path(value: str, type_: str = "PathPrefix", **more: Any) -> list[dict[str, Any]]:
    return [{"path": {"type": type_, "value": value}, **more}]


def secret(authority: Authority, name: str, *hosts: str) -> dict[str, Any]:
    made = authority.server(hosts[0], hosts)
    parts = {"tls.crt": made.certificate, "tls.key": made.key}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "type": "kubernetes.io/tls",
        "data": {key: base64.b64encode(part).decode() for key, part in parts.items()},
    }


@dataclass
class Told:
    """An answer. status 0: none came, and `said` tells why."""

    status: int
    said: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def echo(self) -> dict[str, Any]:
        """What the pod saw of the request."""
        found: dict[str, Any] = json.loads(self.said) if self.status == 200 else {}
        return found

    @property
    def by(self) -> str:
        """Which backend answered, else the status."""
        return str(self.echo.get("name", self.status))


Ask = Callable[..., Told]


@pytest.fixture(scope="module")
def door(way_in: str) -> Iterator[str]:
    """The address, at which Gateways are served beside Ingresses."""
    try:
        enabled = navarch("addon", "enable", "gateway")
        assert enabled.returncode == 0, enabled.stderr
        yield way_in
    finally:
        disabled = navarch("addon", "disable", "gateway")
    assert disabled.returncode == 0, disabled.stderr


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create("tests", SystemClock(), SystemIds())


@pytest.fixture(scope="module")
def ask(door: str, authority: Authority) -> Ask:
    trusted = client_context(authority.pair.certificate)

    def asked(host: str, target: str = "/", *, secure: bool = False, method: str = "GET", **headers: str) -> Told:
        connection = http.client.HTTPConnection(host, timeout=15)
        try:
            plain = socket.create_connection((door, 443 if secure else 80), timeout=15)
            connection.sock = trusted.wrap_socket(plain, server_hostname=host) if secure else plain
            connection.request(method, target, headers={name.replace("_", "-"): each for name, each in headers.items()})
            answer = connection.getresponse()
            told = {name.lower(): each for name, each in answer.getheaders()}
            return Told(answer.status, answer.read().decode(), told)
        except (OSError, ssl.SSLError, http.client.HTTPException) as error:
            return Told(0, repr(error))
        finally:
            connection.close()

    return asked


@pytest.fixture(scope="module")
def front(kubectl: Kubectl, door: str, authority: Authority) -> Iterator[Kubectl]:
    """The module's namespace with a Gateway `front`, Services `one` and `two`, and `far` in a namespace of its own."""
    far = replace(kubectl, namespace=f"{kubectl.namespace}-far")
    far("create", "namespace", far.namespace)
    inside = secret(authority, "inside", "inside.test", "through.test")
    kubectl.apply(
        inside,
        served(),
        service("one", 8081),
        service("two", 8082),
        service("inside", 8443),
        secret(authority, "tls", "secure.test"),
        of_group(
            "Gateway",
            "front",
            {
                "gatewayClassName": "traefik",
                "listeners": [
                    {"name": "web", "port": 80, "protocol": "HTTP"},
                    {
                        "name": "secure",
                        "port": 443,
                        "protocol": "HTTPS",
                        "hostname": "secure.test",
                        "tls": {"certificateRefs": [{"name": "tls"}]},
                    },
                    {"name": "through", "port": 443, "protocol": "TLS", "tls": {"mode": "Passthrough"}},
                ],
            },
        ),
    )
    far.apply(inside, served(), service("far", 8081))
    kubectl.ready("served")
    far.ready("served")
    yield kubectl
    far("delete", "namespace", far.namespace, "--wait=false")


def conditions(found: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Of a route at its one parent: status and reason by type."""
    parents = found.get("status", {}).get("parents", [{}])
    return {one["type"]: (one["status"], one["reason"]) for one in parents[0].get("conditions", ())}


def agreed(expected: Mapping[str, Any], found: Callable[[], Mapping[str, Any]], patience_s: float = 60.0) -> None:
    """Asks until all is as expected: what differs says more than how long it took."""
    seen: dict[str, Any] = {}

    def all_of_it() -> bool:
        seen.update(found())
        return seen == expected

    with suppress(AssertionError):
        until("all answers", all_of_it, patience_s)
    assert seen == expected


def test_requests_go_where_routes_say(front: Kubectl, ask: Ask) -> None:
    change = {
        "set": [{"name": "X-Set", "value": "new"}],
        "add": [{"name": "X-Added", "value": "more"}],
        "remove": ["X-Removed"],
    }
    redirect = {"scheme": "https", "hostname": "secure.test", "statusCode": 301}
    rewrite = {"hostname": "inside.test", "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"}}
    front.apply(
        route(
            "paths",
            {"matches": path("/exact", "Exact"), "backendRefs": to("one")},
            {"matches": path("/pre"), "backendRefs": to("two")},
            {"matches": path("/pre/longer"), "backendRefs": to("one")},
            {"matches": path("/[0-9]+$", "RegularExpression"), "backendRefs": to("two")},
            {"matches": path("/by", headers=[{"name": "X-Kind", "value": "new"}]), "backendRefs": to("two")},
            {"matches": path("/by", queryParams=[{"name": "kind", "value": "new"}]), "backendRefs": to("two")},
            {"matches": path("/by", method="POST"), "backendRefs": to("two")},
            {"matches": path("/by"), "backendRefs": to("one")},
        ),
        route(
            "headers",
            {
                "filters": [
                    {"type": "RequestHeaderModifier", "requestHeaderModifier": change},
                    {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"remove": ["X-Inside"]}},
                ],
                "backendRefs": to("one"),
            },
        ),
        route("moved", {"filters": [{"type": "RequestRedirect", "requestRedirect": redirect}]}),
        route(
            "rewritten",
            {
                "matches": path("/old"),
                "filters": [{"type": "URLRewrite", "urlRewrite": rewrite}],
                "backendRefs": to("one"),
            },
        ),
        route("secure", {"backendRefs": to("two")}),
    )
    agreed(
        {
            "exact": "one",
            "exact/more": "404",
            "pre": "two",
            "pre/more?x=1": "two",
            "prefix": "404",
            "pre/longer/more": "one",
            "42": "two",
            "by": "one",
            "by?kind=new": "two",
            "by?kind=old": "one",
            "by header": "two",
            "by method": "two",
            "unknown host": "404",
            "secure": "two",
            "secure by a name that it is not for": "404",
        },
        lambda: {
            **{
                target: ask("paths.test", f"/{target}").by
                for target in ("exact", "exact/more", "pre", "pre/more?x=1", "prefix", "pre/longer/more", "42")
            },
            **{target: ask("paths.test", f"/{target}").by for target in ("by", "by?kind=new", "by?kind=old")},
            "by header": ask("paths.test", "/by", X_Kind="new").by,
            "by method": ask("paths.test", "/by", method="POST").by,
            "unknown host": ask("nobody.test").by,
            "secure": ask("secure.test", secure=True).by,
            "secure by a name that it is not for": ask("secure.test", secure=True, Host="paths.test").by,
        },
    )
    seen = ask("headers.test", X_Set="old", X_Removed="gone")
    headers = seen.echo["headers"]
    assert (headers["x-set"], headers["x-added"], "x-removed" in headers) == ("new", "more", False)
    assert "x-inside" not in seen.headers
    assert "x-inside" in ask("rewritten.test", "/old").headers
    moved = ask("moved.test", "/a?b=c")
    assert (moved.status, moved.headers["location"]) == (301, "https://secure.test/a?b=c")
    rewritten = ask("rewritten.test", "/old/a?b=c").echo
    assert (rewritten["path"], rewritten["headers"]["host"]) == ("/new/a?b=c", "inside.test")
    assert "CERTIFICATE_VERIFY_FAILED" in ask("paths.test", "/exact", secure=True).said


def test_status_says_what_became_of_it(front: Kubectl, ask: Ask, door: str) -> None:
    front.apply(
        route("lost", {"backendRefs": to("nobody")}),
        route("foreign", {"backendRefs": to("far", namespace=f"{front.namespace}-far")}),
    )
    not_found, refused = ("False", "BackendNotFound"), ("False", "RefNotPermitted")
    agreed(
        {"lost": "500", "lost refs": not_found, "foreign": "500", "foreign refs": refused},
        lambda: {
            "lost": ask("lost.test").by,
            "lost refs": conditions(front.get("httproute", "lost")).get("ResolvedRefs"),
            "foreign": ask("foreign.test").by,
            "foreign refs": conditions(front.get("httproute", "foreign")).get("ResolvedRefs"),
        },
    )
    allowed = {
        "from": [{"group": GROUP, "kind": "HTTPRoute", "namespace": front.namespace}],
        "to": [{"group": "", "kind": "Service", "name": "far"}],
    }
    replace(front, namespace=f"{front.namespace}-far").apply(of_group("ReferenceGrant", "in", allowed, "v1beta1"))
    agreed(
        {"foreign": "one", "refs": ("True", "ResolvedRefs"), "accepted": ("True", "Accepted")},
        lambda: {
            "foreign": ask("foreign.test").by,
            "refs": conditions(found := front.get("httproute", "foreign")).get("ResolvedRefs"),
            "accepted": conditions(found).get("Accepted"),
        },
    )
    told = front("get", "gateway", "front", "-o", "jsonpath={.status.addresses[*].value} {.status.listeners[*].name}")
    assert told == f"{door} web secure through"
    front.wait("gateway/front", "condition=Programmed")
    front.wait("gatewayclass/traefik", "condition=Accepted")
    wrong = route("wrong", {"backendRefs": shares(one=-1)})
    assert "weight" in front.fails("apply", "-f", "-", stdin=json.dumps(wrong))


@contextmanager
def voice(address: str) -> Iterator[list[dict[str, Any]]]:
    """A program of the node that speaks gRPC, and a Service that leads to it: tests' images have no library for it."""

    def shout(request: bytes, context: grpc.ServicerContext) -> bytes:
        told = dict(context.invocation_metadata())
        return request.upper() + b" " + str(told.get("x-added", "")).encode()

    server = grpc.server(ThreadPoolExecutor(2))
    handlers = {"Shout": grpc.unary_unary_rpc_method_handler(shout)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Voice", handlers)])
    port = server.add_insecure_port(f"{address}:0")
    server.start()
    ports = [{"name": "grpc", "port": 80, "targetPort": port}]
    of_it = {"name": "voice", "labels": {"kubernetes.io/service-name": "voice"}}
    try:
        yield [
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "voice"}, "spec": {"ports": ports}},
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": of_it,
                "addressType": "IPv4",
                "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
                "ports": [{"name": "grpc", "port": port, "protocol": "TCP"}],
            },
        ]
    finally:
        server.stop(None).wait()


def test_calls_of_grpc_go_where_routes_say(front: Kubectl, door: str) -> None:
    add = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-added", "value": "heard"}]}}
    matches = [{"method": {"service": "test.Voice", "method": "Shout"}}]
    called = {"matches": matches, "filters": [add], "backendRefs": to("voice")}
    authority = [("grpc.default_authority", "voice.test")]
    with voice(door) as objects, grpc.insecure_channel(f"{door}:80", options=authority) as channel:
        front.apply(*objects, route("voice", called, kind="GRPCRoute"))

        def call(method: str) -> bytes | grpc.StatusCode:
            try:
                return bytes(channel.unary_unary(f"/test.Voice/{method}")(b"ahoy", timeout=15))
            except grpc.RpcError as error:
                return error.code()  # type: ignore[no-any-return]

        agreed({"Shout": b"AHOY heard"}, lambda: {"Shout": call("Shout")})
        assert call("Whisper") == grpc.StatusCode.UNIMPLEMENTED


def test_tls_is_handed_through_and_spoken_to_backends(front: Kubectl, ask: Ask, authority: Authority) -> None:
    trusted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "trusted"}}
    target = [{"group": "", "kind": "Service", "name": "inside"}]
    by = {"hostname": "inside.test", "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "trusted"}]}
    through = route("through", {"backendRefs": to("inside")}, kind="TLSRoute")
    through["spec"]["parentRefs"][0]["sectionName"] = "through"
    front.apply(
        {**trusted, "data": {"ca.crt": authority.pair.certificate.decode()}},
        of_group("BackendTLSPolicy", "inside", {"targetRefs": target, "validation": by}),
        route("backed", {"backendRefs": to("inside")}),
        through,
    )
    agreed(
        {"handed through": "inside", "spoken to the backend": "inside", "a host without a route": 0},
        lambda: {
            "handed through": ask("through.test", secure=True).by,
            "spoken to the backend": ask("backed.test").by,
            "a host without a route": ask("nobody.test", secure=True).status,
        },
    )


@dataclass
class Load:
    """What has answered since it was last looked at, and all that failed."""

    seen: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    ended: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self, count: int) -> Counter[str]:
        """Who answers the next `count` requests, and those that are under way."""
        with self.lock:
            self.seen.clear()
        until(f"{count} answers", lambda: self.failed or self.seen.total() >= count, 60)
        with self.lock:
            return self.seen.copy()


@contextmanager
def load(address: str, host: str, ask: Ask) -> Iterator[Load]:
    """Requests without a pause: on connections that stay, and on one for each request."""
    found = Load()

    def note(told: Told) -> None:
        with found.lock:
            found.seen[told.by] += 1
            if told.status != 200:
                found.failed.append(f"{told.status} {told.said}")

    def stays() -> None:
        connection = http.client.HTTPConnection(address, timeout=15)
        while not found.ended:
            try:
                connection.request("GET", "/", headers={"Host": host})
                answer = connection.getresponse()
                note(Told(answer.status, answer.read().decode()))
            except (OSError, http.client.HTTPException) as error:
                note(Told(0, repr(error)))
        connection.close()

    def anew() -> None:
        while not found.ended:
            note(ask(host))

    with ThreadPoolExecutor(3) as pool:
        try:
            for work in (stays, stays, anew):
                pool.submit(work)
            yield found
        finally:
            found.ended = True


def test_shares_are_shifted_under_load_without_a_failed_request(front: Kubectl, ask: Ask, door: str) -> None:
    """A canary at 10 %, 50 % and 100 %, and back at once, as blue and green are switched."""

    def shift(**weights: int) -> None:
        patch = [{"op": "replace", "path": "/spec/rules/0/backendRefs", "value": shares(**weights)}]
        front("patch", "httproute", "web", "--type=json", "-p", json.dumps(patch))

    front.apply(route("web", {"backendRefs": shares(one=100, two=0)}))
    agreed({"web": "one"}, lambda: {"web": ask("web.test").by})
    total = 0
    with load(door, "web.test", ask) as running:
        assert set(running.next(200)) == {"one"}
        for of_new in (10, 50, 100):
            shift(one=100 - of_new, two=of_new)
            until("the new share", lambda low=of_new * 0.7: running.next(100)["two"] >= low)
            counted = running.next(600)
            share = 100 * counted["two"] / counted.total()
            assert of_new * 0.6 <= share <= of_new * 1.4, counted
            total += counted.total()
        shift(one=100, two=0)
        until("the old one", lambda: set(running.next(50)) == {"one"})
        counted = running.next(400)
        assert set(counted) == {"one"}
        total += counted.total()
    assert running.failed == []
    assert total >= 2000


@pytest.mark.parametrize("page", ["howto/gateway", "howto/canary"])
def test_a_page_of_the_add_on(kubeconfig: Path, door: str, tmp_path: Path, page: str) -> None:
    with own_namespace(kubeconfig, page) as kubectl:
        play_on(kubeconfig, kubectl.namespace, page, tmp_path)


def test_it_goes_and_leaves_what_others_made(front: Kubectl, ask: Ask, door: str) -> None:
    own = replace(front, namespace="navarch-ingress")
    front.apply(route("stays", {"backendRefs": to("one")}))
    agreed({"stays": "one"}, lambda: {"stays": ask("stays.test").by})
    [mine, _] = json.loads(navarch("addon", "list", "-o", "json").stdout)["addons"]
    assert (mine["name"], mine["state"], mine["addresses"]) == ("gateway", "ready", [door])
    before = own("get", "deployment", "traefik", "-o", "jsonpath={.metadata.generation}")
    assert navarch("addon", "enable", "gateway").returncode == 0
    assert own("get", "deployment", "traefik", "-o", "jsonpath={.metadata.generation}") == before
    disabled = navarch("addon", "disable", "gateway")
    assert disabled.returncode == 0, disabled.stderr
    assert "HTTPRoute" in disabled.stdout + disabled.stderr
    states = {one["name"]: one["state"] for one in json.loads(navarch("addon", "list", "-o", "json").stdout)["addons"]}
    assert states == {"gateway": "off", "ingress": "ready"}
    left = front("get", "crd", "-o", "name").split()
    assert f"customresourcedefinition.apiextensions.k8s.io/httproutes.{GROUP}" in left
    assert f"customresourcedefinition.apiextensions.k8s.io/gatewayclasses.{GROUP}" not in left
    assert "httproute.gateway.networking.k8s.io/stays" in front("get", "httproutes", "-o", "name")
    until("nobody to serve it", lambda: ask("stays.test").by == "404")
    front("delete", *(name for name in left if name.endswith(GROUP)))
