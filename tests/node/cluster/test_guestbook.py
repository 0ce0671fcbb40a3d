"""An application of three tiers, as the conformance suite has one: a front end, a store and its followers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from real_cluster import PYTHON, Kubectl, until

from tests.compat.conformance.conformance_specs import spec

pytestmark = pytest.mark.node

SERVE = """
import json, os, socket, sys, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

role, kept = sys.argv[1], {}
ask = lambda url: urllib.request.urlopen(url, timeout=20).read()

class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        path, query = urlsplit(self.path).path, urlsplit(self.path).query
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        try:
            if role == "frontend":
                target = "primary" if asked.get("cmd") == "set" else "replica"
                body = ask(f"http://{target}:6379/?{query}")
            elif asked.get("cmd") == "set":
                kept[asked["key"]] = asked["value"]
                body = json.dumps({"message": "updated"}).encode()
            elif role == "replica":
                body = ask(f"http://primary:6379/?{query}")
            else:
                body = json.dumps({"data": kept.get(asked.get("key", ""), "")}).encode()
            self.send_response(200)
        except OSError as error:
            body = str(error).encode()
            self.send_response(503)
        self.end_headers()
        self.wfile.write(body)

ThreadingHTTPServer(("", 6379), Answer).serve_forever()
"""


def tier(name: str, replicas: int) -> list[dict[str, Any]]:
    labels = {"app": "guestbook", "tier": name}
    container = {
        "name": "main",
        "image": PYTHON,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3.11", "-c", SERVE, name],
        "ports": [{"containerPort": 6379}],
        "readinessProbe": {"tcpSocket": {"port": 6379}, "periodSeconds": 1},
    }
    pods = {"containers": [container], "terminationGracePeriodSeconds": 1}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pods},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {"selector": labels, "ports": [{"port": 6379}]},
        },
    ]


@spec("[sig-cli] Kubectl client Guestbook application should create and stop a working application")
def test_the_guestbook_keeps_what_is_written(kubectl: Kubectl) -> None:
    documents = [one for name, count in (("frontend", 3), ("primary", 1), ("replica", 2)) for one in tier(name, count)]
    kubectl.apply(*documents)
    for name in ("frontend", "primary", "replica"):
        kubectl("rollout", "status", f"deployment/{name}", "--timeout=100s")
    at = f"/api/v1/namespaces/{kubectl.namespace}/services/frontend:6379/proxy/guestbook"

    def said(query: str) -> Any:
        done = kubectl.run("get", "--raw", f"{at}?{query}")
        return json.loads(done.stdout) if done.returncode == 0 else None

    until("an empty book", lambda: said("cmd=get&key=messages") == {"data": ""})
    until("a write", lambda: said("cmd=set&key=messages&value=TestEntry") == {"message": "updated"})
    until("the entry", lambda: said("cmd=get&key=messages") == {"data": "TestEntry"})
    kubectl("delete", "deployment,service", "--all", "--grace-period=0", "--force")
    until("nothing", lambda: kubectl("get", "pods", "-l", "app=guestbook", "-o", "name") == "")
