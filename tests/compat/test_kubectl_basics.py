"""kubectl finds out what the server is and serves, who one is and may, and is refused as it should be."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from compat_server import Cluster


def test_version(cluster: Cluster) -> None:
    found = json.loads(cluster.kubectl("version", "-o", "json").stdout)
    assert found["serverVersion"]["gitVersion"].startswith("v1.36.")


def test_api_resources_and_versions(cluster: Cluster) -> None:
    text = cluster.kubectl("api-resources", "-o", "wide").stdout
    rows = {line.split()[0]: line for line in text.splitlines()}
    assert "deploy" in rows["deployments"]
    assert "apps/v1" in rows["deployments"]
    assert "all" in rows["pods"]
    assert "bindings" in rows
    versions = cluster.kubectl("api-versions").stdout.split()
    assert "v1" in versions
    assert "rbac.authorization.k8s.io/v1" in versions


def test_explain(cluster: Cluster) -> None:
    text = cluster.kubectl("explain", "pod.spec.containers").stdout
    assert "FIELD: containers <[]Container>" in text
    assert "imagePullPolicy" in text
    assert "-required-" in text
    text = cluster.kubectl("explain", "deployment", "--recursive").stdout
    assert "GROUP:      apps" in text
    assert "maxSurge" in text
    assert "<IntOrString>" in text
    refused = cluster.kubectl("explain", "pod.spec.nonsense", check=False)
    assert refused.returncode == 1
    assert 'field "nonsense" does not exist' in refused.stderr


def test_explain_by_the_older_schema(cluster: Cluster) -> None:
    older = ("--output", "plaintext-openapiv2")
    text = cluster.kubectl("explain", "pod.spec.containers.resources", *older).stdout
    assert "RESOURCE: resources <Object>" in text
    assert "limits" in text
    assert "rollingUpdate" in cluster.kubectl("explain", "deployment.spec.strategy", *older).stdout


def test_every_served_kind_is_explained(cluster: Cluster) -> None:
    for line in cluster.kubectl("api-resources", "--verbs=list", "--no-headers").stdout.splitlines():
        plural, version = line.split()[0], line.split()[-3]
        told = cluster.kubectl("explain", plural, f"--api-version={version}", "--recursive").stdout
        assert "FIELDS:" in told, line


def test_raw_pages(cluster: Cluster) -> None:
    assert cluster.kubectl("get", "--raw", "/healthz").stdout == "ok"
    assert "readyz check passed" in cluster.kubectl("get", "--raw", "/readyz?verbose").stdout
    assert "apiserver_request_total" in cluster.kubectl("get", "--raw", "/metrics").stdout
    keys = json.loads(cluster.kubectl("get", "--raw", "/openid/v1/jwks").stdout)["keys"]
    assert keys[0]["alg"] == "ES256"
    refused = cluster.kubectl("get", "--raw", "/nonsense", check=False)
    assert "NotFound" in refused.stderr


def test_who_one_is_and_may(cluster: Cluster) -> None:
    assert "kubernetes-admin" in cluster.kubectl("auth", "whoami").stdout
    assert cluster.kubectl("auth", "can-i", "delete", "nodes").stdout.strip() == "yes"
    asked = cluster.kubectl("auth", "can-i", "get", "pods", "--as", "bob", check=False)
    assert (asked.returncode, asked.stdout.strip()) == (1, "no")
    listed = cluster.kubectl("auth", "can-i", "--list", "--as", "bob", "--as-group", "system:authenticated").stdout
    assert "selfsubjectaccessreviews.authorization.k8s.io" in listed
    assert "/healthz" in listed


def test_roles_are_given_and_taken(cluster: Cluster) -> None:
    cluster.kubectl("create", "namespace", "roles")
    jane = cluster.user_kubeconfig("jane", ("devs",))
    refused = cluster.kubectl("get", "pods", "-n", "roles", config=jane, check=False)
    assert refused.stderr.strip() == (
        'Error from server (Forbidden): pods is forbidden: User "jane" cannot list resource "pods" '
        'in API group "" in the namespace "roles"'
    )
    cluster.kubectl("create", "rolebinding", "devs", "-n", "roles", "--clusterrole=view", "--group=devs")
    assert "No resources found" in cluster.kubectl("get", "pods", "-n", "roles", config=jane).stderr
    refused = cluster.kubectl("create", "configmap", "x", "-n", "roles", config=jane, check=False)
    assert 'cannot create resource "configmaps"' in refused.stderr
    cluster.kubectl("delete", "rolebinding", "devs", "-n", "roles")
    assert cluster.kubectl("get", "pods", "-n", "roles", config=jane, check=False).returncode == 1


def test_nobody_grants_more_than_he_holds(cluster: Cluster) -> None:
    cluster.kubectl("create", "namespace", "grants")
    cluster.kubectl("create", "rolebinding", "kim", "-n", "grants", "--clusterrole=admin", "--user=kim")
    kim = cluster.user_kubeconfig("kim")
    cluster.kubectl("create", "rolebinding", "a", "-n", "grants", "--clusterrole=edit", "--user=lee", config=kim)
    refused = cluster.kubectl(
        "create",
        "rolebinding",
        "b",
        "-n",
        "grants",
        "--clusterrole=cluster-admin",
        "--user=lee",
        config=kim,
        check=False,
    )
    assert "is attempting to grant RBAC permissions not currently held" in refused.stderr


def test_default_roles_need_no_reconciling(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "roles.yaml"
    some = ("admin", "edit", "view", "system:kube-scheduler", "system:node", "system:controller:deployment-controller")
    path.write_text(cluster.kubectl("get", "clusterroles", *some, "-o", "yaml").stdout)  # kubectl asks five a second
    said = cluster.kubectl("auth", "reconcile", "--dry-run=client", "-f", str(path)).stdout
    assert "missing" not in said


def test_service_account_tokens(cluster: Cluster) -> None:
    cluster.kubectl("create", "namespace", "tokens")
    cluster.kubectl("create", "serviceaccount", "robot", "-n", "tokens")
    token = cluster.kubectl("create", "token", "robot", "-n", "tokens", "--duration=10m").stdout.strip()
    context = ssl.create_default_context(cadata=cluster.pki.authority.pair.certificate.decode())

    def ask(path: str, credential: str) -> tuple[int, dict[str, str]]:
        headers = {"Authorization": f"Bearer {credential}"} if credential else {}
        request = urllib.request.Request(cluster.url + path, headers=headers)
        try:
            with urllib.request.urlopen(request, context=context) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    status, found = ask("/api/v1/namespaces/tokens/pods", token)
    assert (status, "system:serviceaccount:tokens:robot" in found["message"]) == (403, True)
    assert ask("/api/v1/namespaces/tokens/pods", "")[0] == 401
    assert ask("/api/v1/namespaces/tokens/pods", token[:-3])[0] == 401
    cluster.kubectl("create", "rolebinding", "r", "-n", "tokens", "--clusterrole=view", "--serviceaccount=tokens:robot")
    assert ask("/api/v1/namespaces/tokens/pods", token)[0] == 200
    cluster.kubectl("delete", "serviceaccount", "robot", "-n", "tokens")
    assert ask("/api/v1/namespaces/tokens/pods", token)[0] == 401


def test_a_body_over_the_limit_is_refused(cluster: Cluster) -> None:
    big = json.dumps(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "big", "namespace": "default"},
            "data": {"x": "y" * (3 * 1024 * 1024)},
        }
    )
    refused = cluster.kubectl("create", "-f", "-", stdin=big, check=False)
    assert refused.returncode == 1
    assert "limit is 3145728" in refused.stderr
    assert cluster.kubectl("get", "configmap", "big", check=False).returncode == 1


@pytest.mark.parametrize("command", ["logs", "exec"])
def test_streams_without_nodes_say_so(cluster: Cluster, command: str) -> None:
    more = ["--", "ls"] if command == "exec" else []
    refused = cluster.kubectl(command, "none", *more, check=False)
    assert 'pods "none" not found' in refused.stderr
