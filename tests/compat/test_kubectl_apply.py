"""kubectl applies, patches and is refused: what it prints is what a user of upstream knows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from compat_server import Cluster

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: NAMESPACE, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: a, image: "nginx:1", ports: [{containerPort: 80}]}
      - {name: b, image: busybox}
"""


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> str:
    name = request.node.name.replace("_", "-").lower()[:50].strip("-")
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(body))
    return name


def stored(cluster: Cluster, namespace: str) -> dict[str, Any]:
    text = cluster.kubectl("get", "deploy", "web", "-n", namespace, "-o", "json", "--show-managed-fields").stdout
    found: dict[str, Any] = json.loads(text)
    return found


def test_client_side_apply(cluster: Cluster, namespace: str) -> None:
    first = DEPLOYMENT.replace("NAMESPACE", namespace)
    assert "deployment.apps/web created" in cluster.kubectl("apply", "-f", "-", stdin=first).stdout
    assert "deployment.apps/web unchanged" in cluster.kubectl("apply", "-f", "-", stdin=first).stdout
    second = first.replace("nginx:1", "nginx:2").replace("      - {name: b, image: busybox}\n", "")
    assert "deployment.apps/web configured" in cluster.kubectl("apply", "-f", "-", stdin=second).stdout
    containers = stored(cluster, namespace)["spec"]["template"]["spec"]["containers"]
    assert [(container["name"], container["image"]) for container in containers] == [("a", "nginx:2")]
    cluster.kubectl("diff", "-f", "-", stdin=second)


def test_moving_to_server_side_apply(cluster: Cluster, namespace: str) -> None:
    text = DEPLOYMENT.replace("NAMESPACE", namespace)
    cluster.kubectl("apply", "-f", "-", stdin=text)
    five = text.replace("replicas: 2", "replicas: 5")
    assert "serverside-applied" in cluster.kubectl("apply", "--server-side", "-f", "-", stdin=five).stdout
    found = stored(cluster, namespace)
    assert found["spec"]["replicas"] == 5
    owners = {(e["manager"], e["operation"]) for e in found["metadata"]["managedFields"]}
    assert owners == {("kubectl", "Apply"), ("kubectl-last-applied", "Apply")}
    without_b = five.replace("      - {name: b, image: busybox}\n", "")
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=without_b)
    assert len(stored(cluster, namespace)["spec"]["template"]["spec"]["containers"]) == 1
    six = text.replace("replicas: 2", "replicas: 6")
    refused = cluster.kubectl("apply", "--server-side", "--field-manager=other", "-f", "-", stdin=six, check=False)
    assert refused.returncode == 1
    assert 'Apply failed with 1 conflict: conflict with "kubectl": .spec.replicas' in refused.stderr
    cluster.kubectl("apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", "-", stdin=six)
    assert stored(cluster, namespace)["spec"]["replicas"] == 6


def test_patches(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=DEPLOYMENT.replace("NAMESPACE", namespace))

    def patched(kind: str, text: str, check: bool = True) -> str:
        found = cluster.kubectl("patch", "deploy", "web", "-n", namespace, f"--type={kind}", "-p", text, check=check)
        return found.stdout + found.stderr

    assert "patched" in patched("json", '[{"op": "replace", "path": "/spec/replicas", "value": 1}]')
    refused = patched("json", '[{"op": "test", "path": "/spec/replicas", "value": 2}]', check=False)
    assert "testing value /spec/replicas failed" in refused
    assert "patched" in patched("merge", '{"metadata": {"labels": {"x": "y", "app": null}}}')
    strategic = '{"spec": {"template": {"spec": {"containers": [{"name": "b", "image": "busybox:2"}]}}}}'
    assert "patched" in patched("strategic", strategic)
    found = stored(cluster, namespace)
    assert found["metadata"]["labels"] == {"x": "y"}
    containers = found["spec"]["template"]["spec"]["containers"]
    assert {container["name"]: container["image"] for container in containers} == {"a": "nginx:1", "b": "busybox:2"}


def test_refusals_are_in_the_words_of_upstream(cluster: Cluster, namespace: str) -> None:
    text = DEPLOYMENT.replace("NAMESPACE", namespace)

    def refused(wrong: str) -> str:
        found = cluster.kubectl("create", "-f", "-", stdin=wrong, check=False)
        assert found.returncode == 1
        return found.stderr

    assert (
        'Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct '
        "field DeploymentSpec.spec.replicas of type int32"
    ) in refused(text.replace("replicas: 2", 'replicas: "2"'))
    both = refused(text.replace("replicas: 2", "replcas: 2").replace("image: busybox", "imag: busybox"))
    assert 'unknown field "spec.replcas"' in both
    assert 'unknown field "spec.template.spec.containers[1].imag"' in both
    limits = "{name: a, resources: {limits: {cpu: lots}},"
    assert "quantities must match the regular expression" in refused(text.replace("{name: a,", limits))
    warned = cluster.kubectl(
        "create", "--validate=warn", "-f", "-", stdin=text.replace("replicas: 2", "replcas: 2"), check=False
    )
    assert 'Warning: unknown field "spec.replcas"' in warned.stderr
    assert "created" in warned.stdout
