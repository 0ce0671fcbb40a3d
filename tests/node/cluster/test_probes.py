"""Probes of all four kinds, asked of real containers."""

from __future__ import annotations

from typing import Any

import pytest
from real_cluster import PYTHON, Kubectl, pod, until

from tests.compat.conformance.conformance_specs import spec

pytestmark = pytest.mark.node

OFTEN = {"periodSeconds": 1, "failureThreshold": 2}
WEB = "echo ok >/www/healthz; httpd -p 8080 -h /www; exec sleep 1000"


def ready(kubectl: Kubectl, name: str) -> bool:
    conditions = kubectl.get("pod", name)["status"].get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


@pytest.mark.parametrize(
    ("name", "probe"),
    [
        ("http", {"httpGet": {"path": "/healthz", "port": 8080}}),
        ("named", {"httpGet": {"path": "/healthz", "port": "web", "httpHeaders": [{"name": "Host", "value": "me"}]}}),
        ("tcp", {"tcpSocket": {"port": 8080}}),
        ("exec", {"exec": {"command": ["ls", "/www/healthz"]}}),
    ],
)
def test_a_pod_is_ready_when_its_probe_says_so(kubectl: Kubectl, name: str, probe: dict[str, Any]) -> None:
    ports = [{"name": "web", "containerPort": 8080}]
    held = f"until [ -e /go ]; do sleep 0.1; done; {WEB}"
    kubectl.apply(pod(f"{name}-good", held, ports=ports, readinessProbe={**probe, **OFTEN}))
    until("a running pod", lambda: kubectl.status(f"{name}-good").get("started"))
    assert not ready(kubectl, f"{name}-good")
    kubectl("exec", f"{name}-good", "--", "touch", "/go")
    kubectl.ready(f"{name}-good")
    kubectl("exec", f"{name}-good", "--", "sh", "-c", "rm /www/healthz; kill $(pidof httpd)")
    kubectl.wait(f"pod/{name}-good", "condition=Ready=false")


def test_a_container_that_its_probe_finds_dead_is_started_again(kubectl: Kubectl) -> None:
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, **OFTEN}
    begun = {**probe, "failureThreshold": 100}
    kubectl.apply(pod("mortal", WEB, livenessProbe={**probe, "timeoutSeconds": 30}, startupProbe=begun))
    kubectl.ready("mortal")
    kubectl("exec", "mortal", "--", "rm", "/www/healthz")
    until("a restart", lambda: kubectl.status("mortal")["restartCount"] == 1)
    until(
        "an event",
        lambda: any(
            "Liveness probe failed: HTTP probe failed with statuscode: 404" in text
            for _, text in kubectl.events("mortal")
        ),
    )
    until(
        "another",
        lambda: any(
            reason == "Killing" and "failed liveness probe, will be restarted" in text
            for reason, text in kubectl.events("mortal")
        ),
    )
    kubectl.ready("mortal")


def test_a_check_that_cannot_be_made_is_said_and_counts_neither_way(kubectl: Kubectl) -> None:
    probe = {"exec": {"command": ["no-such-program"]}, "periodSeconds": 1}
    kubectl.apply(pod("checkless", "exec sleep 1000", readinessProbe=probe, livenessProbe=probe))
    text = "Readiness probe errored and resulted in unknown state: "
    until("an event", lambda: any(said.startswith(text) for _, said in kubectl.events("checkless")))
    assert not ready(kubectl, "checkless")
    assert kubectl.status("checkless")["restartCount"] == 0


def test_other_probes_wait_for_the_startup_probe(kubectl: Kubectl) -> None:
    kubectl.apply(
        pod(
            "slow",
            f"sleep 5; {WEB}",
            startupProbe={"tcpSocket": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 100},
            livenessProbe={
                "tcpSocket": {"port": 8080},
                "periodSeconds": 1,
                "failureThreshold": 1,
                "timeoutSeconds": 30,
            },
        )
    )
    kubectl.ready("slow")
    assert kubectl.status("slow")["restartCount"] == 0


def test_a_startup_that_fails_for_too_long_is_ended(kubectl: Kubectl) -> None:
    kubectl.apply(pod("never", "exec sleep 1000", startupProbe={"exec": {"command": ["false"]}, **OFTEN}))
    until("a restart", lambda: kubectl.status("never").get("restartCount", 0) >= 1)
    told = "failed startup probe, will be restarted"
    until("an event", lambda: any(told in text for _, text in kubectl.events("never")))


def test_a_grpc_probe_asks_the_health_service(kubectl: Kubectl) -> None:
    """The server speaks as much HTTP/2 as one health answer needs."""
    probe = {"grpc": {"port": 9000}, **OFTEN}
    kubectl.apply(pod("grpc", ["python3.11", "-c", GRPC_HEALTH], image=PYTHON, readinessProbe=probe))
    kubectl.ready("grpc")
    kubectl.apply(pod("no-grpc", WEB, readinessProbe={"grpc": {"port": 8080}, **OFTEN}))
    until("an event", lambda: any(reason == "Unhealthy" for reason, _ in kubectl.events("no-grpc")))
    assert not ready(kubectl, "no-grpc")


@spec("[sig-node] Probing container should *not* be restarted with a GRPC liveness probe [NodeConformance]")
@spec("[sig-node] Probing container should be restarted with a GRPC liveness probe [NodeConformance]")
def test_a_container_lives_as_long_as_its_grpc_service_answers(kubectl: Kubectl) -> None:
    begun = {"grpc": {"port": 9000}, "periodSeconds": 1, "timeoutSeconds": 30, "failureThreshold": 100}
    for name, port in (("lives", 9000), ("dies", 2333)):
        alive = {"grpc": {"port": port}, **OFTEN, "timeoutSeconds": 30}
        server = ["python3.11", "-c", GRPC_HEALTH]
        kubectl.apply(pod(f"grpc-{name}", server, image=PYTHON, startupProbe=begun, livenessProbe=alive))
    kubectl.ready("grpc-lives")
    until("a restart", lambda: kubectl.status("grpc-dies").get("restartCount", 0) >= 1)
    assert kubectl.status("grpc-lives")["restartCount"] == 0


GRPC_HEALTH = r"""
import socket, struct, threading
def frame(kind, flags, stream, data=b""):
    return struct.pack(">I", len(data))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + data
def header(name, value):
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value
def exactly(connection, size):
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data
def serve(connection):
    try:
        exactly(connection, 24)
        connection.sendall(frame(4, 0, 0))
        while True:
            head = exactly(connection, 9)
            size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            stream = int.from_bytes(head[5:], "big")
            data = exactly(connection, size)
            if kind == 4 and not flags & 1:
                connection.sendall(frame(4, 1, 0))
            if kind == 6 and not flags & 1:
                connection.sendall(frame(6, 1, 0, data))
            if kind == 0 and flags & 1:
                answer = b"\x00\x00\x00\x00\x02\x08\x01"
                connection.sendall(
                    frame(1, 4, stream, b"\x88" + header(b"content-type", b"application/grpc"))
                    + frame(0, 0, stream, answer)
                    + frame(1, 5, stream, header(b"grpc-status", b"0")))
    except (EOFError, OSError):
        connection.close()
listener = socket.create_server(("0.0.0.0", 9000))
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""
