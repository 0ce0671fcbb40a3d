"""`kubectl port-forward` to pods, services and deployments, with many connections and large bodies."""

from __future__ import annotations

import hashlib
import http.client
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from real_cluster import Kubectl, kubectl_program, pod, until, web_server

pytestmark = pytest.mark.node

SERVER = """
import hashlib, http.server, socketserver
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.reply(b"x" * int(self.path[1:]) if self.path[1:].isdigit() else self.path.encode())
    def do_POST(self):
        self.reply(hashlib.sha256(self.rfile.read(int(self.headers["content-length"]))).hexdigest().encode())
    def reply(self, body):
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words): pass
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 200
Server(("0.0.0.0", 8080), Handler).serve_forever()
"""


@pytest.fixture(scope="module", autouse=True)
def server(kubectl: Kubectl) -> None:
    main, service = web_server(SERVER, {"name": "web", "port": 80, "targetPort": "http"})
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "server"},
        "spec": {
            "selector": {"matchLabels": {"app": "many"}},
            "template": {"metadata": {"labels": {"app": "many"}}, "spec": main["spec"]},
        },
    }
    kubectl.apply(main, deployment, service)
    kubectl.ready("server")
    kubectl("rollout", "status", "deployment/server", "--timeout=100s")


@contextmanager
def forwarded(kubectl: Kubectl, target: str, port: str) -> Iterator[int]:
    """The local port that leads to `port` of the target."""
    process = kubectl.start("port-forward", target, f":{port}")
    try:
        assert process.stdout
        line = process.stdout.readline()
        found = re.search(r"127\.0\.0\.1:(\d+) -> ", line)
        assert found, line + process.stdout.read()
        threading.Thread(target=process.stdout.read, daemon=True).start()
        yield int(found.group(1))
    finally:
        process.kill()
        process.wait()


def get(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=90)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


@pytest.mark.parametrize("version", ["", "1.32"])
@pytest.mark.parametrize(
    ("target", "port"),
    [("pod/server", "8080"), ("service/server", "80"), ("service/server", "web"), ("deployment/server", "http")],
)
def test_every_kind_of_target_answers(kubectl: Kubectl, target: str, port: str, version: str) -> None:
    client = Kubectl(kubectl.kubeconfig, kubectl.namespace, kubectl_program(version))
    with forwarded(client, target, port) as local:
        assert get(local, "/hello") == b"/hello"


def test_many_connections_at_once_do_not_mix(kubectl: Kubectl) -> None:
    with forwarded(kubectl, "pod/server", "8080") as local, ThreadPoolExecutor(50) as pool:
        paths = [f"/path-{number}" for number in range(300)]
        assert list(pool.map(lambda path: get(local, path).decode(), paths)) == paths


def test_large_bodies_come_whole_both_ways(kubectl: Kubectl) -> None:
    body = bytes(range(256)) * 80_000
    with forwarded(kubectl, "pod/server", "8080") as local:
        connection = http.client.HTTPConnection("127.0.0.1", local, timeout=60)
        connection.request("POST", "/", body)
        assert connection.getresponse().read().decode() == hashlib.sha256(body).hexdigest()
        connection.request("GET", "/20000000")
        assert connection.getresponse().read() == b"x" * 20_000_000
        connection.close()


def test_a_connection_that_idles_stays(kubectl: Kubectl) -> None:
    with forwarded(kubectl, "pod/server", "8080") as local:
        connection = http.client.HTTPConnection("127.0.0.1", local, timeout=60)
        for _ in range(3):
            connection.request("GET", "/x")
            assert connection.getresponse().read() == b"/x"
            until("a while", lambda: True)
        connection.close()


def test_a_closed_port_is_said_and_the_forwarding_goes_on_for_others(kubectl: Kubectl) -> None:
    process = kubectl.start("port-forward", "pod/server", ":81")
    try:
        assert process.stdout
        local = int(process.stdout.readline().split(":")[1].split()[0])
        with socket.create_connection(("127.0.0.1", local), timeout=90) as connection:
            connection.settimeout(90)
            assert connection.recv(100) == b""
        said = ""
        for line in process.stdout:
            said += line
            if "refused" in line:
                break
        assert "refused" in said
    finally:
        process.kill()
        process.wait()


def test_what_does_not_exist_or_run_is_refused(kubectl: Kubectl) -> None:
    assert 'pods "nobody" not found' in kubectl.fails("port-forward", "pod/nobody", ":80")
    kubectl.apply(pod("waiting", image="navarch.test/none:1", pull="Never"))
    assert "not running" in kubectl.fails("port-forward", "pod/waiting", ":80")
