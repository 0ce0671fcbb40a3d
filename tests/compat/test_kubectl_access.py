"""Who one is, what one may, and what one is told who may not."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from typing import Any

import pytest
import yaml
from compat_driver import CONFIG, WEB, Kubectl

FORBIDDEN = (
    'Error from server (Forbidden): {what} is forbidden: User "system:serviceaccount:{namespace}:{name}" cannot {verb} '
    'resource "{resource}" in API group "{group}" in the namespace "{namespace}"\n'
)


def asked(
    kubectl: Kubectl, path: str, method: str = "GET", token: str = "", body: bytes | None = None
) -> tuple[int, Any]:
    """The status and the document, without any client between."""
    cluster = yaml.safe_load(kubectl.kubeconfig.read_text())["clusters"][0]["cluster"]
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    headers["Content-Type"] = "application/json"
    request = urllib.request.Request(cluster["server"] + path, method=method, headers=headers, data=body)
    try:
        with urllib.request.urlopen(request, context=context) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_without_credentials(one_kubectl: Kubectl) -> None:
    pods = f"/api/v1/namespaces/{one_kubectl.namespace}/pods"
    for method, path, body in (
        ("GET", pods, None),
        ("GET", "/api", None),
        ("GET", "/apis/apps/v1", None),
        ("POST", pods, b"{}"),
        ("DELETE", f"{pods}/x", None),
        ("GET", f"{pods}?watch=true", None),
    ):
        status, found = asked(one_kubectl, path, method, body=body)
        assert (status, found["reason"], found["message"]) == (401, "Unauthorized", "Unauthorized"), path
    assert asked(one_kubectl, pods, token="nonsense")[0] == 401
    assert asked(one_kubectl, "/version")[0] == 200


def test_with_a_wrong_token(kubectl: Kubectl) -> None:
    told = "error: You must be logged in to the server"
    assert told in kubectl.holding("nonsense").refused("get", "pods")
    assert "credentials" in kubectl.holding("nonsense").refused("apply", "-f", "-", stdin=CONFIG)
    token = kubectl("create", "token", "default").strip()
    head, claims, signature = token.split(".")
    assert told in kubectl.holding(f"{head}.{claims}.{signature[::-1]}").refused("get", "pods")
    other = kubectl("create", "token", "default", "--audience=somebody-else").strip()
    assert told in kubectl.holding(other).refused("get", "pods")
    assert told not in kubectl.holding(token).refused("get", "pods")
    assert kubectl("get", "cm", "conf", "--ignore-not-found") == ""


def test_an_account_bound_to_nothing(kubectl: Kubectl) -> None:
    nobody = kubectl.account("nobody")

    def told(what: str, verb: str, resource: str, group: str = "") -> str:
        return FORBIDDEN.format(
            what=what, verb=verb, resource=resource, group=group, namespace=kubectl.namespace, name="nobody"
        )

    assert nobody.refused("get", "pods") == told("pods", "list", "pods")
    assert nobody.refused("get", "pod", "x") == told('pods "x"', "get", "pods")
    assert nobody.refused("delete", "deploy", "x") == told('deployments.apps "x"', "delete", "deployments", "apps")
    created = nobody.refused("create", "configmap", "x")
    assert created == told("configmaps", "create", "configmaps").replace(
        "Error from server (Forbidden)", "error: failed to create configmap"
    )
    assert "cannot get resource" in nobody.refused("apply", "-f", "-", stdin=WEB)
    cluster_wide = nobody.refused("get", "nodes")
    assert 'cannot list resource "nodes" in API group "" at the cluster scope' in cluster_wide
    assert "at the cluster scope" in nobody.refused("get", "pods", "-A")
    assert 'cannot get path "/metrics"' in nobody.refused("get", "--raw", "/metrics")
    assert "pods" in nobody("api-resources")
    assert nobody.run("auth", "can-i", "get", "pods").stdout == "no\n"
    assert kubectl("get", "cm", "x", "--ignore-not-found") == ""


def test_rights_come_and_go_with_bindings(kubectl: Kubectl) -> None:
    reader = kubectl.account("reader")
    name = f"--serviceaccount={kubectl.namespace}:reader"
    kubectl("create", "rolebinding", "readers", "--clusterrole=view", name)
    assert "No resources found" in reader.warned("get", "pods")
    assert reader.run("auth", "can-i", "list", "deployments.apps").stdout == "yes\n"
    assert reader.run("auth", "can-i", "list", "secrets").stdout == "no\n"
    assert "Forbidden" in reader.refused("get", "secrets")
    assert "is forbidden" in reader.refused("create", "deployment", "d", "--image=x")
    assert "Forbidden" in reader.refused("get", "pods", "-n", "kube-system")
    kubectl("delete", "rolebinding", "readers")
    assert "Forbidden" in reader.refused("get", "pods")


def test_a_role_for_one_object(kubectl: Kubectl) -> None:
    kubectl.apply(CONFIG)
    kubectl("create", "role", "one", "--verb=get,patch", "--resource=configmaps", "--resource-name=conf")
    kubectl("create", "rolebinding", "one", "--role=one", f"--serviceaccount={kubectl.namespace}:keeper")
    keeper = kubectl.account("keeper")
    assert "conf" in keeper("get", "cm", "conf")
    keeper("patch", "cm", "conf", "-p", '{"data": {"a": "9"}}')
    assert "Forbidden" in keeper.refused("get", "cm", "other")
    assert "Forbidden" in keeper.refused("get", "cm")
    assert "Forbidden" in keeper.refused("delete", "cm", "conf")
    kubectl("create", "role", "scaler", "--verb=update,patch,get", "--resource=deployments/scale")
    kubectl("create", "rolebinding", "scaler", "--role=scaler", f"--serviceaccount={kubectl.namespace}:keeper")
    kubectl.apply(WEB)
    patch = ("patch", "deploy", "web", "--subresource=scale", "--type=merge", "-p", '{"spec": {"replicas": 3}}')
    keeper(*patch)
    assert kubectl.read("deploy", "web")["spec"]["replicas"] == 3
    assert "Forbidden" in keeper.refused("get", "deploy", "web")


def test_nobody_grants_more_than_he_holds(kubectl: Kubectl) -> None:
    name = f"--serviceaccount={kubectl.namespace}:boss"
    kubectl("create", "rolebinding", "bosses", "--clusterrole=admin", name)
    boss = kubectl.account("boss")
    boss("create", "rolebinding", "mine", "--clusterrole=edit", "--user=lee")
    refused = boss.refused("create", "rolebinding", "more", "--clusterrole=cluster-admin", "--user=lee")
    assert "is attempting to grant RBAC permissions not currently held" in refused
    refused = boss.refused("create", "role", "more", "--verb=*", "--resource=*.*")
    assert "is attempting to grant RBAC permissions not currently held" in refused
    assert "NotFound" in kubectl.refused("get", "rolebinding", "more")


def test_whoami_and_can_i(kubectl: Kubectl) -> None:
    assert kubectl.rows("auth", "whoami")[1:3] == [
        ["Username", "kubernetes-admin"],
        ["Groups", "[system:masters", "system:authenticated]"],
    ]
    account = kubectl.account("me")
    rows = account.rows("auth", "whoami")
    assert ["Username", f"system:serviceaccount:{kubectl.namespace}:me"] in rows
    assert any(row[0] == "UID" for row in rows)
    assert kubectl("auth", "can-i", "*", "*") == "yes\n"
    listed = account("auth", "can-i", "--list")
    assert "selfsubjectreviews.authentication.k8s.io" in listed
    assert "pods" not in listed


def test_impersonation(kubectl: Kubectl) -> None:
    refused = kubectl.refused("get", "pods", "--as=eve")
    assert 'User "eve" cannot list resource "pods"' in refused
    assert kubectl.run("get", "pods", "--as=eve", "--as-group=system:masters").returncode == 0
    rows = kubectl.rows("auth", "whoami", "--as=eve", "--as-group=devs")
    assert ["Username", "eve"] in rows
    assert ["Groups", "[devs", "system:authenticated]"] in rows
    account = kubectl.account("plain")
    refused = account.refused("get", "pods", "--as=eve")
    assert 'cannot impersonate resource "users"' in refused


@pytest.mark.parametrize("after", ["serviceaccount", "token"])
def test_a_token_ends_with_what_it_is_bound_to(one_kubectl: Kubectl, after: str) -> None:
    account = one_kubectl.account("short")
    assert "short" in account("auth", "whoami")
    if after == "serviceaccount":
        one_kubectl("delete", "serviceaccount", "short")
        assert "Unauthorized" in account.refused("auth", "whoami")
    else:
        refused = one_kubectl.refused("create", "token", "short", "--duration=1m")
        assert "may not specify a duration less than 10 minutes" in refused
