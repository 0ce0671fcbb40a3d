"""`proxy` of real pods, services and nodes, through the API server and the node's agent, as `kubectl` and a raw client
ask for it."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from real_cluster import Kubectl, until, web_server

from tests.compat.conformance.conformance_specs import spec

VALID = "[sig-network] Proxy version v1 A set of valid responses are returned for both pod and service "
pytestmark = pytest.mark.node

SERVER = """
import http.server, json, socketserver, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        size = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(size)
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("location", "/elsewhere/")
            self.send_header("content-length", "0")
            self.end_headers()
            return
        if self.path == "/page":
            return self.reply(b'<html><a href="/next">/next</a></html>', "text/html")
        if self.path == "/ws":
            self.send_response(101)
            self.send_header("connection", "Upgrade")
            self.send_header("upgrade", "websocket")
            self.end_headers()
            self.wfile.write(self.rfile.read(5)[::-1])
            self.close_connection = True
            return
        if self.path == "/slow":
            self.send_response(200)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for piece in (b"one", b"two"):
                self.wfile.write(b"3\\r\\n" + piece + b"\\r\\n")
                self.wfile.flush()
                time.sleep(0.2)
            self.wfile.write(b"0\\r\\n\\r\\n")
            return
        told = {"method": self.command, "path": self.path, "size": len(body), "headers": dict(self.headers)}
        self.reply(json.dumps(told).encode(), "application/json")
    def reply(self, body, kind):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer
    def log_message(self, *words): pass
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 200
Server(("0.0.0.0", 8080), Handler).serve_forever()
"""


@pytest.fixture(scope="module", autouse=True)
def server(kubectl: Kubectl) -> None:
    ports = ({"name": "web", "port": 80, "targetPort": "http"}, {"name": "other", "port": 81, "targetPort": 8080})
    kubectl.apply(*web_server(SERVER, *ports))
    kubectl.ready("server")
    path = f"/api/v1/namespaces/{kubectl.namespace}/services/server:web/proxy/"
    until("the service has endpoints", lambda: kubectl.run("get", "--raw", path).returncode == 0)


def connection(kubectl: Kubectl, directory: Path) -> http.client.HTTPSConnection:
    """To the API server, as an administrator."""
    document = yaml.safe_load(kubectl.kubeconfig.read_text())
    user, cluster = document["users"][0]["user"], document["clusters"][0]["cluster"]
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    pair = directory / "pair.pem"
    pair.write_bytes(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
    context.load_cert_chain(str(pair))
    host, _, port = cluster["server"].removeprefix("https://").partition(":")
    return http.client.HTTPSConnection(host, int(port), context=context, timeout=90)


def ask(client: http.client.HTTPSConnection, method: str, path: str, body: bytes = b"") -> Any:
    client.request(method, path, body or None, {"X-Mine": "1", "Authorization": "Basic bm8=", "X-Remote-User": "root"})
    answer = client.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read()


@spec(VALID + "Proxy")
@spec(VALID + "ProxyWithPath")
def test_every_method_arrives_whole(kubectl: Kubectl, tmp_path: Path) -> None:
    client = connection(kubectl, tmp_path)
    base = f"/api/v1/namespaces/{kubectl.namespace}"
    for where in ("pods/server:8080", "pods/http:server:http", "services/server:web", "services/http:server:81"):
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            body = b"x" * 1_000_000 if method in ("POST", "PUT") else b""
            status, _, said = ask(client, method, f"{base}/{where}/proxy/a/b%20c/?q=1&q=2", body)
            found = json.loads(said)
            assert (status, found["method"], found["path"]) == (200, method, "/a/b%20c/?q=1&q=2"), where
            assert found["size"] == len(body)
            headers = {name.lower(): value for name, value in found["headers"].items()}
            assert headers["x-forwarded-uri"] == f"{base}/{where}/proxy/a/b%20c/"
            assert headers["x-mine"] == "1"
            assert headers["x-forwarded-for"]
            assert not {"authorization", "x-remote-user"} & set(headers)
        status, headers, said = ask(client, "HEAD", f"{base}/{where}/proxy/")
        assert (status, said, int(headers["Content-Length"]) > 0) == (200, b"", True)
    client.close()


def test_redirects_pages_and_slashes(kubectl: Kubectl, tmp_path: Path) -> None:
    client = connection(kubectl, tmp_path)
    base = f"/api/v1/namespaces/{kubectl.namespace}/pods/server/proxy"
    status, headers, _ = ask(client, "GET", f"{base}?a=1")
    assert (status, headers["Location"]) == (301, f"{base}/?a=1")
    status, headers, _ = ask(client, "GET", f"{base}/moved")
    assert (status, headers["Location"]) == (302, f"{base}/elsewhere/")
    _, _, page = ask(client, "GET", f"{base}/page")
    assert page.decode() == f'<html><a href="{base}/next">/next</a></html>'
    assert ask(client, "GET", f"{base}/slow")[2] == b"onetwo"
    client.close()


def test_upgrades_pass(kubectl: Kubectl, tmp_path: Path) -> None:
    client = connection(kubectl, tmp_path)
    client.connect()
    path = f"/api/v1/namespaces/{kubectl.namespace}/pods/server/proxy/ws"
    lines = [f"GET {path} HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: websocket", "", "hello"]
    client.sock.sendall("\r\n".join(lines).encode())
    seen = b""
    while not seen.endswith(b"olleh"):
        piece = client.sock.recv(65_536)
        assert piece, seen
        seen += piece
    assert seen.startswith(b"HTTP/1.1 101 ")
    client.close()


@spec("[sig-network] Proxy version v1 should proxy through a service and a pod")
def test_many_at_once(kubectl: Kubectl, tmp_path: Path) -> None:
    base = f"/api/v1/namespaces/{kubectl.namespace}"
    paths = [
        f"{base}/{where}/proxy/x"
        for where in (
            "pods/server",
            "pods/server:8080",
            "pods/http:server:8080",
            "services/server:web",
            "services/server:80",
            "services/http:server:other",
            "services/http:server:81",
        )
    ]

    def some(number: int) -> int:
        directory = tmp_path / str(number)
        directory.mkdir()
        client = connection(kubectl, directory)
        found = sum(ask(client, "GET", path)[0] == 200 for path in paths)
        client.close()
        return found

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(some, range(20))) == 20 * len(paths)


def test_what_does_not_answer(kubectl: Kubectl) -> None:
    base = f"/api/v1/namespaces/{kubectl.namespace}"
    refused = kubectl.fails("get", "--raw", f"{base}/pods/server:1/proxy/")
    assert "ServiceUnavailable" in refused
    assert "error trying to reach service: dial tcp 10." in refused
    assert "connect: connection refused" in refused
    assert 'no service port 99 found for service "server"' in kubectl.fails(
        "get", "--raw", f"{base}/services/server:99/proxy/"
    )


def test_no_path_leads_to_the_agent(kubectl: Kubectl, tmp_path: Path) -> None:
    """Whoever may proxy to one pod could else read the logs of every other."""
    client = connection(kubectl, tmp_path)
    path = f"/api/v1/namespaces/{kubectl.namespace}/pods/server/proxy/../../../../../healthz"
    status, _, said = ask(client, "GET", path)
    assert (status, json.loads(said)["path"]) == (200, "/healthz")
    client.close()


def test_the_node(kubectl: Kubectl, tmp_path: Path) -> None:
    node = json.loads(kubectl("get", "nodes", "-o", "json"))["items"][0]
    name, port = node["metadata"]["name"], node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
    client = connection(kubectl, tmp_path)
    for path in (f"/api/v1/nodes/{name}/proxy/healthz", f"/api/v1/nodes/{name}:{port}/proxy/healthz"):
        assert ask(client, "GET", path)[::2] == (200, b"ok")
    assert ask(client, "GET", "/api/v1/nodes/none/proxy/healthz")[0] == 404
    assert ask(client, "GET", f"/api/v1/nodes/http:{name}:1/proxy/")[0] == 503
    client.close()
