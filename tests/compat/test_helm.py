"""Helm 4 on charts of ours: hooks, definitions of custom resources, upgrades that fail, the way back, removal."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from compat_driver import Kubectl, helm, kubectl_in, newest

import navarch
from navarch.testing.cluster import RunningCluster

COMMAND_S = 180

CHART = {
    "Chart.yaml": """
apiVersion: v2
name: shop
version: 0.1.0
appVersion: "1.0"
""",
    "values.yaml": """
replicas: 2
image: nginx:1.25
greeting: hello
strategy: {}
""",
    "crds/orders.yaml": """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: orders.shop.example.com}
spec:
  group: shop.example.com
  scope: Namespaced
  names: {plural: orders, singular: order, kind: Order}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties: {spec: {type: object, properties: {item: {type: string}}}}
""",
    "templates/_names.tpl": """
{{- define "shop.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}
""",
    "templates/web.yaml": """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}-web
  labels: {{- include "shop.labels" . | nindent 4 }}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: {{ .Release.Name }}-web}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}-web}}
    spec:
      containers:
      - name: web
        image: {{ .Values.image }}
        ports: [{containerPort: 80, name: http}]
        envFrom: [{configMapRef: {name: {{ .Release.Name }}-conf}}]
---
apiVersion: v1
kind: Service
metadata: {name: {{ .Release.Name }}-web}
spec:
  selector: {app: {{ .Release.Name }}-web}
  ports: [{port: 80, targetPort: http}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-conf}
data: {greeting: {{ .Values.greeting | quote }}}
""",
    "templates/account.yaml": """
apiVersion: v1
kind: ServiceAccount
metadata: {name: {{ .Release.Name }}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: {{ .Release.Name }}}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [get, list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: {{ .Release.Name }}}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ .Release.Name }}}
subjects: [{kind: ServiceAccount, name: {{ .Release.Name }}}]
""",
    "templates/order.yaml": """
apiVersion: shop.example.com/v1
kind: Order
metadata: {name: {{ .Release.Name }}-first}
spec: {item: {{ .Values.greeting | quote }}}
""",
    "templates/hooks.yaml": """
{{- range list "pre-install" "post-upgrade" "pre-delete" "test" }}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ $.Release.Name }}-{{ . }}
  annotations:
    helm.sh/hook: {{ . }}
    helm.sh/hook-delete-policy: before-hook-creation
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers: [{name: hook, image: "hook:1"}]
{{- end }}
""",
}


@dataclass(frozen=True)
class Helm:
    program: Path
    home: Path
    kubectl: Kubectl
    chart: Path

    def run(self, *args: str) -> subprocess.CompletedProcess[str]:
        given = {"HOME": str(self.home), "KUBECONFIG": str(self.kubectl.kubeconfig), "GOGC": "off"}
        return subprocess.run(
            [str(self.program), *args, "--namespace", self.kubectl.namespace],
            capture_output=True,
            text=True,
            env={**os.environ, **given},
            timeout=COMMAND_S,
            check=False,
        )

    def __call__(self, *args: str) -> str:
        found = self.run(*args)
        assert found.returncode == 0, f"helm {' '.join(args)}: {found.stderr}{found.stdout}"
        return found.stdout

    def read(self, *args: str) -> Any:
        return json.loads(self(*args, "-o", "json"))


@pytest.fixture(scope="module")
def cluster() -> Iterator[RunningCluster]:
    """Images of version `broken` never get ready."""
    behaviours = [navarch.Behaviour(image="*:broken", never_ready=True)]
    with navarch.Cluster(nodes=2, behaviours=behaviours) as running:
        yield running


@pytest.fixture
def shop(cluster: RunningCluster, home: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Helm:
    assert request.config.cache is not None
    program = helm(request.config.cache.mkdir("helm-4"))
    chart = tmp_path / "shop"
    for name, text in CHART.items():
        path = chart / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip())
    return Helm(program, home, kubectl_in(cluster, newest(), home, tmp_path), chart)


def test_a_release_is_installed_upgraded_rolled_back_and_removed(shop: Helm) -> None:
    kubectl, chart = shop.kubectl, str(shop.chart)
    assert "no issues found" in shop.run("lint", chart).stdout.lower() or "0 chart(s) failed" in shop("lint", chart)
    told = shop("install", "one", chart, "--wait", "--timeout", "60s")
    assert "STATUS: deployed" in told
    assert kubectl.read("deployment", "one-web")["status"]["readyReplicas"] == 2
    assert kubectl.read("order", "one-first")["spec"] == {"item": "hello"}
    assert kubectl.read("job", "one-pre-install")["status"]["succeeded"] == 1
    managers = {
        one["manager"]
        for one in kubectl.read("configmap", "one-conf", "--show-managed-fields")["metadata"]["managedFields"]
    }
    assert "helm" in managers
    (listed,) = shop.read("list")
    assert (listed["name"], listed["status"], listed["revision"]) == ("one", "deployed", "1")

    shop("upgrade", "one", chart, "--set", "greeting=goodbye,replicas=3", "--wait", "--timeout", "60s")
    assert kubectl.read("configmap", "one-conf")["data"] == {"greeting": "goodbye"}
    assert kubectl.read("deployment", "one-web")["status"]["readyReplicas"] == 3
    assert kubectl.read("order", "one-first")["spec"] == {"item": "goodbye"}
    assert kubectl.read("job", "one-post-upgrade")["status"]["succeeded"] == 1
    assert "greeting: goodbye" in shop("get", "values", "one")
    assert "kind: Deployment" in shop("get", "manifest", "one")

    shop("rollback", "one", "1", "--wait", "--timeout", "60s")
    assert kubectl.read("configmap", "one-conf")["data"] == {"greeting": "hello"}
    history = shop.read("history", "one")
    assert [(one["revision"], one["status"]) for one in history] == [
        (1, "superseded"),
        (2, "superseded"),
        (3, "deployed"),
    ]
    assert "Succeeded" in shop("test", "one", "--timeout", "60s")

    assert "uninstalled" in shop("uninstall", "one", "--wait", "--timeout", "60s")
    assert kubectl("get", "deployment,service,role,rolebinding,orders", "-o", "name") == ""
    assert shop.read("list") == []
    assert "orders.shop.example.com" in kubectl("get", "crd", "-o", "name"), "Helm leaves definitions"


def test_an_upgrade_that_fails_is_rolled_back(shop: Helm) -> None:
    kubectl, chart = shop.kubectl, str(shop.chart)
    shop("upgrade", "--install", "two", chart, "--set", "replicas=1", "--wait", "--timeout", "60s")
    failed = shop.run(
        "upgrade", "two", chart, "--set", "replicas=1,image=nginx:broken", "--rollback-on-failure", "--timeout", "4s"
    )
    assert failed.returncode != 0
    assert "two" in failed.stderr
    image = kubectl.read("deployment", "two-web")["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == "nginx:1.25"
    assert [one["status"] for one in shop.read("history", "two")] == ["superseded", "failed", "deployed"]
    shop("uninstall", "two")


def test_bad_charts_are_refused(shop: Helm) -> None:
    (shop.chart / "templates" / "bad.yaml").write_text(
        "apiVersion: v1\nkind: Service\nmetadata: {name: Bad_Name}\nspec: {ports: [{port: 99999}]}\n"
    )
    failed = shop.run("install", "three", str(shop.chart))
    assert failed.returncode != 0
    assert 'Service "Bad_Name" is invalid' in failed.stderr
    assert "must be between 1 and 65535" in failed.stderr
    (shop.chart / "templates" / "bad.yaml").write_text("apiVersion: v9\nkind: Nothing\nmetadata: {name: x}\n")
    failed = shop.run("install", "four", str(shop.chart))
    assert failed.returncode != 0
    assert 'no matches for kind "Nothing" in version "v9"' in failed.stderr


def test_dry_runs_and_lookups_ask_the_server(shop: Helm) -> None:
    (shop.chart / "templates" / "seen.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: seen}\n"
        'data: {ns: {{ (lookup "v1" "Namespace" "" "kube-system").metadata.name }}, '
        "v: {{ .Capabilities.KubeVersion.Version }}}\n"
    )
    told = shop("install", "five", str(shop.chart), "--dry-run=server")
    assert "data: {ns: kube-system, v: v1.36." in told
    assert shop.read("list") == []
    assert shop.kubectl("get", "configmap", "seen", "--ignore-not-found") == ""
