"""The sample application on a running cluster: apply it, watch it, disturb it, ask it things.

Everything goes over the server's Unix socket, so that the tour needs neither kubectl nor a kubeconfig.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from navarch.app.ask import ask
from navarch.app.provision import NotProvisioned

NAMESPACE = "voyage"
NODE_PORT = 30080
PATIENCE_S = 180.0
GROUPS = {"Deployment": "apis/apps/v1", "Namespace": "api/v1", "Service": "api/v1", "Secret": "api/v1"}


@dataclass(frozen=True, slots=True)
class Rollout:
    """How far a Deployment is; numbers of pods. done: the newest template is everywhere and available."""

    name: str
    wanted: int
    updated: int
    available: int
    done: bool


@dataclass(slots=True)
class Load:
    """A client that asks one thing over and over on a thread of its own, each time on a new connection."""

    host: str
    port: int
    path: str
    versions: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @property
    def total(self) -> int:
        return sum(self.versions.values()) + len(self.failures)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._ask_on, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join()

    def _ask_on(self) -> None:
        while not self._stop.is_set():
            try:
                self.versions[fetch(self.host, self.port, self.path)["version"]] += 1
            except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
            self._stop.wait(0.005)


def fetch(host: str, port: int, path: str) -> dict[str, Any]:
    """GET a JSON document.

    Raises:
        OSError, http.client.HTTPException: no answer. ValueError: an answer that is no JSON, or not 200.
    """
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise ValueError(f"{answer.status} {text[:200]!r}")
        found: dict[str, Any] = json.loads(text)
        return found
    finally:
        connection.close()


@dataclass(frozen=True, slots=True)
class Voyage:
    """socket: of the API server. Each method raises NotProvisioned when the server refuses, with what it said."""

    socket: Path

    def apply(self, manifests: Path) -> list[str]:
        """Server-side apply of every document of a folder, in the order of the file names; returns what was applied."""
        applied = []
        for file in sorted(manifests.glob("*.yaml")):
            for document in yaml.safe_load_all(file.read_text()):
                name, kind = document["metadata"]["name"], document["kind"]
                where = "" if kind == "Namespace" else f"/namespaces/{NAMESPACE}"
                target = f"/{GROUPS[kind]}{where}/{kind.lower()}s/{name}?fieldManager=navarch-demo&force=true"
                self._ask("PATCH", target, document, "application/apply-patch+yaml")
                applied.append(f"{kind.lower()}/{name}")
        return applied

    def rollouts(self) -> list[Rollout]:
        found = self._ask("GET", f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments")
        return [_rollout(item) for item in found["items"]]

    def pods(self, app: str) -> list[dict[str, Any]]:
        """Those that are not on their way out, oldest first."""
        found = self._ask("GET", f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app%3D{app}")
        live = [pod for pod in found["items"] if "deletionTimestamp" not in pod["metadata"]]
        return sorted(live, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def ready_pods(self, app: str) -> list[str]:
        return [
            pod["metadata"]["name"]
            for pod in self.pods(app)
            if any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))
        ]

    def delete_pod(self, name: str) -> None:
        self._ask("DELETE", f"/api/v1/namespaces/{NAMESPACE}/pods/{name}")

    def roll_out(self, version: str) -> None:
        """Give the API's Deployment a new template."""
        container = {
            "name": "api",
            "image": f"navarch.dev/voyage/api:{version}",
            "env": [{"name": "VERSION", "value": version}],
        }
        patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
        target = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/api?fieldManager=navarch-demo"
        self._ask("PATCH", target, patch, "application/strategic-merge-patch+json")

    def wait(self, what: str, ready: Callable[[], bool], patience_s: float = PATIENCE_S) -> float:
        """Poll until `ready`; returns the seconds it took.

        Raises:
            NotProvisioned: it never became ready.
        """
        start = time.monotonic()
        while not ready():
            if time.monotonic() - start > patience_s:
                raise NotProvisioned(f"{what}: not after {patience_s:.0f} s; see `kubectl -n {NAMESPACE} get events`")
            time.sleep(0.1)
        return time.monotonic() - start

    def _ask(self, method: str, target: str, body: Any = None, content_type: str = "application/json") -> Any:
        status, said = ask(self.socket, target, method=method, body=body, content_type=content_type, timeout_s=30.0)
        if status >= 400:
            message = said.get("message", said) if isinstance(said, dict) else said
            raise NotProvisioned(f"{method} {target.partition('?')[0]}: {message}")
        return said


def _rollout(deployment: dict[str, Any]) -> Rollout:
    status = deployment.get("status", {})
    wanted = deployment["spec"]["replicas"]
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    seen = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    done = seen and updated == available == wanted == status.get("replicas", 0)
    return Rollout(deployment["metadata"]["name"], wanted, updated, available, done)
