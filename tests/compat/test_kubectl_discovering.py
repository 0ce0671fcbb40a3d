"""What there is and what it is called: `api-resources`, `explain`, `version`, `cluster-info`, `config`."""

from __future__ import annotations

import json

import pytest
import yaml
from compat_driver import CONFIG, VERSIONS, Kubectl

KNOWN = {
    "configmaps": ("cm", "v1", "true", "ConfigMap"),
    "endpointslices": ("", "discovery.k8s.io/v1", "true", "EndpointSlice"),
    "namespaces": ("ns", "v1", "false", "Namespace"),
    "nodes": ("no", "v1", "false", "Node"),
    "persistentvolumeclaims": ("pvc", "v1", "true", "PersistentVolumeClaim"),
    "pods": ("po", "v1", "true", "Pod"),
    "secrets": ("", "v1", "true", "Secret"),
    "serviceaccounts": ("sa", "v1", "true", "ServiceAccount"),
    "services": ("svc", "v1", "true", "Service"),
    "deployments": ("deploy", "apps/v1", "true", "Deployment"),
    "replicasets": ("rs", "apps/v1", "true", "ReplicaSet"),
    "poddisruptionbudgets": ("pdb", "policy/v1", "true", "PodDisruptionBudget"),
    "clusterroles": ("", "rbac.authorization.k8s.io/v1", "false", "ClusterRole"),
    "priorityclasses": ("pc", "scheduling.k8s.io/v1", "false", "PriorityClass"),
    "storageclasses": ("sc", "storage.k8s.io/v1", "false", "StorageClass"),
    "leases": ("", "coordination.k8s.io/v1", "true", "Lease"),
}


METRICS = "metrics.k8s.io/v1beta1"
"""Has resources of the same names as the core group."""


def test_versions(kubectl: Kubectl, request: pytest.FixtureRequest) -> None:
    found = json.loads(kubectl("version", "-o", "json"))
    assert f"1.{found['clientVersion']['minor']}" in request.node.name
    assert (found["serverVersion"]["major"], found["serverVersion"]["minor"]) == ("1", "36")
    assert found["serverVersion"]["gitVersion"].startswith("v1.36.")
    assert "Server Version: v1.36." in kubectl("version")
    assert len(VERSIONS) == 2


def test_api_resources(kubectl: Kubectl) -> None:
    every = kubectl.rows("api-resources", "--no-headers")
    assert ["pods", METRICS, "true", "PodMetrics"] in every
    rows = {row[0]: row for row in every if METRICS not in row}
    for name, (short, *rest) in KNOWN.items():
        assert rows[name] == [name, *([short] if short else []), *rest]
    apps = kubectl("api-resources", "--api-group=apps", "--verbs=list,watch", "-o", "name").split()
    assert {"deployments.apps", "replicasets.apps"} <= set(apps)
    assert all(name.endswith(".apps") for name in apps)
    every = kubectl.rows("api-resources", "-o", "wide", "--no-headers")
    wide = {row[0]: row for row in every if METRICS not in row}
    assert wide["pods"][-2:] == ["create,delete,deletecollection,get,list,patch,update,watch", "all"]
    assert wide["bindings"][-1] == "create"
    unscoped = kubectl("api-resources", "--namespaced=false", "-o", "name").split()
    assert "nodes" in unscoped
    assert "pods" not in unscoped


def test_api_versions(kubectl: Kubectl) -> None:
    versions = kubectl("api-versions").split()
    assert versions == sorted(versions)
    assert {"v1", "apps/v1", "policy/v1", "rbac.authorization.k8s.io/v1", "events.k8s.io/v1"} <= set(versions)


def test_explain(kubectl: Kubectl) -> None:
    text = kubectl("explain", "pods.spec.containers.imagePullPolicy")
    assert "KIND:       Pod" in text
    assert "FIELD: imagePullPolicy <string>" in text
    assert "Image pull policy. One of Always, Never, IfNotPresent." in text
    containers = kubectl("explain", "pod.spec.containers")
    assert "FIELD: containers <[]Container>" in containers
    assert "name\t<string> -required-" in containers
    recursive = kubectl("explain", "deployment.spec.strategy", "--recursive")
    assert "maxSurge\t<IntOrString>" in recursive
    assert "GROUP:      apps" in recursive
    older = kubectl("explain", "deployment.spec.strategy.rollingUpdate", "--output=plaintext-openapiv2")
    assert "maxUnavailable" in older
    assert 'field "nope" does not exist' in kubectl.refused("explain", "pod.spec.nope")
    assert "the server doesn't have a resource type" in kubectl.refused("explain", "nope")


def test_names_of_many_kinds(kubectl: Kubectl) -> None:
    kubectl.apply(CONFIG)
    for name in ("cm/conf", "configmap/conf", "configmaps/conf", "ConfigMap/conf", "configmaps.v1./conf"):
        assert kubectl("get", name, "-o", "name") == "configmap/conf\n", name
    for name in ("deploy", "deployments", "deployment.apps", "deployments.v1.apps"):
        assert "No resources found" in kubectl.warned("get", name)


def test_cluster_info(kubectl: Kubectl) -> None:
    server = yaml.safe_load(kubectl.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    assert server in kubectl("cluster-info", NO_COLOR="1")
    dump = kubectl("cluster-info", "dump", "--namespaces", kubectl.namespace)
    assert '"kind": "NodeList"' in dump


def test_config(kubectl: Kubectl) -> None:
    context = kubectl("config", "current-context").strip()
    [row] = kubectl.rows("config", "get-contexts", "--no-headers")
    assert row == ["*", context, context, context, kubectl.namespace]
    viewed = kubectl("config", "view")
    assert "DATA+OMITTED" in viewed
    kubectl("config", "set-context", "--current", "--namespace=kube-system")
    assert kubectl("config", "view", "--minify", "-o", "jsonpath={..namespace}") == "kube-system"
    assert "no context exists with the name" in kubectl.refused("config", "use-context", "nope")
    kubectl("config", "set-context", "--current", f"--namespace={kubectl.namespace}")
    assert "was refused" in kubectl.refused("get", "pods", "--server=https://127.0.0.1:1")


def test_completion_of_names(kubectl: Kubectl) -> None:
    kubectl.apply(CONFIG)
    assert "conf" in kubectl("__complete", "get", "configmap", "co").split()
