"""An extension API server in a real pod, behind a Service and an APIService."""

from __future__ import annotations

import base64
import json

import pytest
from real_cluster import PYTHON, Kubectl, pod, until

from navarch.base.clock import SystemClock, SystemIds
from navarch.base.pki import Authority

pytestmark = pytest.mark.node

GROUP = "berries.example.com"
NAME = f"v1.{GROUP}"
SERVER = """
import http.server, json, os, ssl
GROUP = "berries.example.com"
ROOT = f"/apis/{GROUP}/v1"
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        path = self.path.partition("?")[0]
        if path == ROOT:
            served = {"name": "berries", "singularName": "berry", "kind": "Berry", "verbs": ["get", "list"]}
            found = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{GROUP}/v1"}
            return self.reply({**found, "resources": [{**served, "namespaced": False}]})
        if path == f"{ROOT}/berries":
            asker = {"user": self.headers["X-Remote-User"], "token": self.headers["Authorization"]}
            item = {"apiVersion": f"{GROUP}/v1", "kind": "Berry", "metadata": {"name": "straw"}, "spec": asker}
            return self.reply({"kind": "BerryList", "apiVersion": f"{GROUP}/v1", "metadata": {}, "items": [item]})
        self.reply({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404}, 404)
    def reply(self, document, status=200):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words): pass
class Secured(http.server.ThreadingHTTPServer):
    daemon_threads = True
    def finish_request(self, request, address):
        try:
            super().finish_request(context.wrap_socket(request, server_side=True), address)
        except (ssl.SSLError, OSError):
            pass
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/tls/tls.crt", "/tls/tls.key")
context.load_verify_locations(cadata=os.environ["FRONT_PROXY"])
context.verify_mode = ssl.CERT_REQUIRED
Secured(("0.0.0.0", 8443), Handler).serve_forever()
"""


def condition(kubectl: Kubectl) -> dict[str, str]:
    found = kubectl.get("apiservice", NAME).get("status", {}).get("conditions", [])
    return next((one for one in found if one["type"] == "Available"), {})


def test_an_extension_server_in_a_pod(kubectl: Kubectl) -> None:
    """It takes connections only with the front proxy's certificate: what `kubectl get` shows came through us."""
    authority = Authority.create("berries", SystemClock(), SystemIds())
    pair = authority.server("berries", [f"berries.{kubectl.namespace}.svc"])
    told = Kubectl(kubectl.kubeconfig, "kube-system").get("configmap", "extension-apiserver-authentication")["data"]
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": "tls"},
        "stringData": {"tls.crt": pair.certificate.decode(), "tls.key": pair.key.decode()},
    }
    server = pod(
        "berries",
        ["python3.11", "-c", SERVER],
        image=PYTHON,
        ports=[{"name": "https", "containerPort": 8443}],
        env=[{"name": "FRONT_PROXY", "value": told["requestheader-client-ca-file"]}],
        volumeMounts=[{"name": "tls", "mountPath": "/tls"}],
        volumes=[{"name": "tls", "secret": {"secretName": "tls"}}],
        readinessProbe={"tcpSocket": {"port": "https"}, "periodSeconds": 1},
    )
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "berries"},
        "spec": {"selector": {"app": "berries"}, "ports": [{"port": 443, "targetPort": "https"}]},
    }
    api_service = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": NAME},
        "spec": {
            "group": GROUP,
            "version": "v1",
            "service": {"namespace": kubectl.namespace, "name": "berries"},
            "caBundle": base64.b64encode(authority.pair.certificate).decode(),
            "groupPriorityMinimum": 1000,
            "versionPriority": 15,
        },
    }
    kubectl.apply(secret, server, service, api_service)
    try:
        kubectl.ready("berries")
        until("it answers", lambda: condition(kubectl).get("reason") == "Passed", 60)
        found = json.loads(kubectl("get", "berries", "-o", "json"))["items"]
        assert found[0]["spec"] == {"user": "kubernetes-admin", "token": None}
        kubectl("delete", "pod", "berries", "--now")
        until("it is missed", lambda: condition(kubectl).get("status") == "False", 60)
        assert condition(kubectl)["reason"] in ("MissingEndpoints", "EndpointsNotFound", "FailedDiscoveryCheck")
        assert "ServiceUnavailable" in kubectl.fails("get", "--raw", f"/apis/{GROUP}/v1/berries")
    finally:
        kubectl("delete", "apiservice", NAME)
