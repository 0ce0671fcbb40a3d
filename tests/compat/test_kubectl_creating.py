"""`kubectl create` of everything it has a word for, `run`, `expose`, and what becomes of it."""

from __future__ import annotations

import base64
import json
import re

import yaml
from compat_driver import CONFIG, SERVICE, WEB, Kubectl, until


def test_deployment(kubectl: Kubectl) -> None:
    made = kubectl("create", "deployment", "d", "--image=nginx", "--replicas=2", "--port=80")
    assert made == "deployment.apps/d created\n"
    refused = kubectl.refused("create", "deployment", "d", "--image=nginx")
    assert refused == 'error: failed to create deployment: deployments.apps "d" already exists\n'
    kubectl("rollout", "status", "deploy/d", "--timeout=100s")
    assert len(kubectl.read("pods", "-l", "app=d")["items"]) == 2


def test_configmap_and_secret(kubectl: Kubectl) -> None:
    file = kubectl.file("some.txt", "content\n")
    kubectl("create", "configmap", "c", "--from-literal=a=b", f"--from-file={file}")
    assert kubectl.read("cm", "c")["data"] == {"a": "b", "some.txt": "content\n"}
    kubectl("create", "configmap", "e", "--from-env-file", kubectl.file("some.env", "X=1\nY=2\n"))
    assert kubectl.read("cm", "e")["data"] == {"X": "1", "Y": "2"}
    kubectl("create", "secret", "generic", "s", "--from-literal=password=p")
    secret = kubectl.read("secret", "s")
    assert (secret["type"], secret["data"]) == ("Opaque", {"password": base64.b64encode(b"p").decode()})
    kubectl(
        "create", "secret", "docker-registry", "r", "--docker-server=x", "--docker-username=u", "--docker-password=p"
    )
    assert kubectl.rows("get", "secrets", "--no-headers")[0][:3] == ["r", "kubernetes.io/dockerconfigjson", "1"]
    tls = ("create", "secret", "tls", "t", f"--cert={file}", f"--key={file}")
    assert "PEM" in kubectl.refused(*tls)


def test_namespace(kubectl: Kubectl) -> None:
    name = f"{kubectl.namespace}-new"
    assert kubectl("create", "namespace", name) == f"namespace/{name} created\n"
    until(lambda: kubectl.run("get", "serviceaccount", "default", "-n", name).returncode == 0)
    until(lambda: kubectl.run("get", "configmap", "kube-root-ca.crt", "-n", name).returncode == 0)
    certificate = kubectl.read("configmap", "kube-root-ca.crt", "-n", name)["data"]["ca.crt"]
    cluster = yaml.safe_load(kubectl.kubeconfig.read_text())["clusters"][0]["cluster"]
    assert base64.b64decode(cluster["certificate-authority-data"]).decode() == certificate
    assert kubectl.read("namespace", name)["metadata"]["labels"] == {"kubernetes.io/metadata.name": name}
    assert f'namespaces "{name}" already exists' in kubectl.refused("create", "namespace", name)


def test_accounts_roles_and_tokens(kubectl: Kubectl) -> None:
    kubectl("create", "serviceaccount", "bob")
    kubectl("create", "role", "r", "--verb=get,list", "--resource=pods,deployments.apps")
    kubectl("create", "rolebinding", "rb", "--role=r", f"--serviceaccount={kubectl.namespace}:bob")
    rules = kubectl.read("role", "r")["rules"]
    assert {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list"]} in rules
    names = ["--clusterrole=view", "--user=eve", "--group=devs"]
    kubectl("create", "rolebinding", "rb2", *names)
    assert kubectl.rows("get", "rolebinding", "-o", "wide", "--no-headers")[1][:2] == ["rb2", "ClusterRole/view"]
    kubectl("create", "clusterrole", f"cr-{kubectl.namespace}", "--verb=get", "--non-resource-url=/metrics")
    kubectl(
        "create", "clusterrolebinding", f"cr-{kubectl.namespace}", f"--clusterrole=cr-{kubectl.namespace}", "--user=eve"
    )
    token = kubectl("create", "token", "bob", "--duration=20m", "--audience=me").strip()
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["sub"] == f"system:serviceaccount:{kubectl.namespace}:bob"
    assert (claims["aud"], claims["exp"] - claims["iat"]) == (["me"], 1200)
    assert 'serviceaccounts "nope" not found' in kubectl.refused("create", "token", "nope")


def test_services(kubectl: Kubectl) -> None:
    kubectl("create", "service", "clusterip", "c", "--tcp=80:8080")
    kubectl("create", "service", "clusterip", "headless", "--clusterip=None", "--tcp=80")
    kubectl("create", "service", "nodeport", "n", "--tcp=80:80")
    kubectl("create", "service", "loadbalancer", "l", "--tcp=80:80")
    kubectl("create", "service", "externalname", "e", "--external-name=example.com")
    rows = {row[0]: row[1:5] for row in kubectl.rows("get", "svc", "--no-headers")}
    assert re.fullmatch(r"10\.96\.\d+\.\d+", rows["c"][1])
    assert (rows["c"][0], rows["c"][2:]) == ("ClusterIP", ["<none>", "80/TCP"])
    assert rows["headless"][:2] == ["ClusterIP", "None"]
    assert re.fullmatch(r"80:3\d{4}/TCP", rows["n"][3])
    assert rows["l"][2] == "<pending>"
    assert rows["e"] == ["ExternalName", "<none>", "example.com", "80/TCP"] or rows["e"][3] == "<none>"


def test_quota_budget_and_priority(kubectl: Kubectl) -> None:
    kubectl("create", "quota", "q", "--hard=pods=1,configmaps=5")
    kubectl("run", "first", "--image=x")
    refused = kubectl.refused("run", "second", "--image=x")
    assert "exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1" in refused
    kubectl("create", "poddisruptionbudget", "b", "--selector=run=first", "--min-available=1")
    until(lambda: kubectl.rows("get", "pdb", "--no-headers")[0][:4] == ["b", "1", "N/A", "0"])
    name = f"p-{kubectl.namespace}"
    kubectl("create", "priorityclass", name, "--value=100", "--description=some")
    assert kubectl.rows("get", "pc", name, "--no-headers")[0][:3] == [name, "100", "false"]
    kubectl("delete", "pc", name)


def test_files(kubectl: Kubectl) -> None:
    path = kubectl.file("all.yaml", "---".join((CONFIG, SERVICE, WEB)))
    assert kubectl("create", "-f", path).split("\n") == [
        "configmap/conf created",
        "service/web created",
        "deployment.apps/web created",
        "",
    ]
    refused = kubectl.refused("create", "-f", path)
    assert (
        f'Error from server (AlreadyExists): error when creating "{path}": configmaps "conf" already exists' in refused
    )
    assert len(refused.splitlines()) == 3
    as_json = kubectl.file("one.json", json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "j"}}))
    assert kubectl("create", "-f", as_json, "-o", "name") == "configmap/j\n"
    generated = CONFIG.replace("{name: conf}", "{generateName: made-}")
    assert re.fullmatch(r"configmap/made-[a-z0-9]{5} created\n", kubectl("create", "-f", "-", stdin=generated))


def test_run(kubectl: Kubectl) -> None:
    assert kubectl("run", "p", "--image=nginx", "--labels=a=b", "--env=X=Y", "--port=80") == "pod/p created\n"
    kubectl("wait", "--for=condition=Ready", "pod/p", "--timeout=100s")
    pod = kubectl.read("pod", "p")
    assert pod["metadata"]["labels"] == {"a": "b"}
    assert pod["spec"]["containers"][0]["imagePullPolicy"] == "Always"
    assert pod["spec"]["tolerations"]
    assert "AlreadyExists" in kubectl.refused("run", "p", "--image=nginx")
    seen = kubectl(
        "run", "q", "--image=nginx:1", "--dry-run=server", "-o", "jsonpath={.spec.containers[0].imagePullPolicy}"
    )
    assert seen == "IfNotPresent"
    assert "NotFound" in kubectl.refused("get", "pod", "q")
    at = kubectl("run", "q", "--image=x", "--dry-run=client", "-o", "yaml")
    assert "name: q" in at


def test_expose(kubectl: Kubectl) -> None:
    kubectl("create", "deployment", "d", "--image=nginx", "--port=80")
    assert kubectl("expose", "deploy", "d", "--port=80", "--target-port=8080") == "service/d exposed\n"
    assert kubectl.read("svc", "d")["spec"]["selector"] == {"app": "d"}
    kubectl("run", "p", "--image=nginx")
    kubectl("expose", "pod", "p", "--port=80", "--name=other", "--type=NodePort")
    assert kubectl.read("svc", "other")["spec"]["ports"][0]["nodePort"] >= 30000
    assert 'deployments.apps "nope" not found' in kubectl.refused("expose", "deploy", "nope", "--port=8")


def test_debug(kubectl: Kubectl) -> None:
    kubectl("run", "p", "--image=nginx")
    kubectl("wait", "--for=condition=Ready", "pod/p", "--timeout=100s")
    kubectl("debug", "pod/p", "--image=busybox", "--container=look", "--attach=false")
    assert kubectl.read("pod", "p")["spec"]["ephemeralContainers"][0]["image"] == "busybox"
    until(lambda: "look" in kubectl("get", "pod", "p", "-o", "jsonpath={.status.ephemeralContainerStatuses[*].name}"))
    kubectl("debug", "pod/p", "--copy-to=copy", "--image=busybox", "--container=look", "--attach=false")
    assert [one["name"] for one in kubectl.read("pod", "copy")["spec"]["containers"]] == ["p", "look"]
    kubectl("debug", "node/node-0", "--image=busybox", "--attach=false")
    [there] = [pod for pod in kubectl.read("pods")["items"] if pod["metadata"]["name"].startswith("node-debugger-")]
    assert there["spec"]["nodeName"] == "node-0"
    patch = '{"spec": {"ephemeralContainers": null}}'
    refused = kubectl.refused("patch", "pod", "p", "--subresource=ephemeralcontainers", "--type=merge", "-p", patch)
    assert "existing ephemeral containers" in refused
