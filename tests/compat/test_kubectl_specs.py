"""The conformance specs of kubectl itself: what it must find, change and show on a cluster."""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from compat_driver import Kubectl, until

sys.path.insert(0, str(Path(__file__).parent / "conformance"))

from conformance_specs import spec

OURS = "[sig-cli] Kubectl client "
REPLICATED = """
apiVersion: v1
kind: ReplicationController
metadata: {name: primary, labels: {app: agnhost, role: primary}}
spec:
  replicas: 1
  selector: {app: agnhost, role: primary}
  template:
    metadata: {labels: {app: agnhost, role: primary}}
    spec:
      containers:
      - {name: agnhost-primary, image: "agnhost:2.53", ports: [{name: agnhost-server, containerPort: 6379}]}
"""
PRIMARY = """
apiVersion: v1
kind: Service
metadata: {name: primary, labels: {app: agnhost, role: primary}}
spec:
  selector: {app: agnhost, role: primary}
  ports: [{port: 6379, targetPort: agnhost-server}]
"""
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: httpd-deployment}
spec:
  replicas: 1
  selector: {matchLabels: {app: httpd}}
  template:
    metadata: {labels: {app: httpd}}
    spec: {containers: [{name: httpd, image: "httpd:2.4.38"}]}
"""
ONE = ("--restart=Never", "--labels=run=e2e", "--image=httpd:2.4.38")


def pods_of(kubectl: Kubectl, selector: str, count: int) -> list[str]:
    """Names, once so many run."""

    def running() -> list[str]:
        items = kubectl.read("pods", "-l", selector)["items"]
        names = [one["metadata"]["name"] for one in items if one["status"].get("phase") == "Running"]
        return names if len(items) == len(names) == count else []

    found: list[str] = until(running)
    return found


@spec(OURS + "Kubectl api-versions should check if v1 is in available api versions")
def test_api_versions(newest_kubectl: Kubectl) -> None:
    assert "v1" in newest_kubectl("api-versions").splitlines()


@spec(OURS + "Kubectl cluster-info should check if Kubernetes control plane services is included in cluster-info")
def test_cluster_info(newest_kubectl: Kubectl) -> None:
    assert "Kubernetes control plane is running at https://" in re.sub(
        r"\x1b\[[\d;]*m", "", newest_kubectl("cluster-info")
    )


@spec(OURS + "Kubectl version should check is all data is printed")
def test_version(newest_kubectl: Kubectl) -> None:
    told = newest_kubectl("version")
    assert "Client Version: v1.37" in told
    assert "Server Version: v1.36" in told
    assert {"gitVersion", "goVersion", "buildDate"} <= set(
        json.loads(newest_kubectl("version", "-o", "json"))["serverVersion"]
    )


@spec(OURS + "Kubectl describe should check if kubectl describe prints relevant information for rc and pods")
def test_describe(newest_kubectl: Kubectl) -> None:
    kubectl = newest_kubectl
    kubectl.apply(REPLICATED)
    kubectl.apply(PRIMARY)
    (pod,) = pods_of(kubectl, "app=agnhost", 1)
    wanted = {
        ("pod", pod): (
            "Controlled By:  ReplicationController/primary",
            "Image:",
            "agnhost:2.53",
            "Node:",
            "Status:",
            "Running",
            "IP:",
        ),
        ("rc", "primary"): (
            "Name:",
            "Namespace:",
            "Selector:",
            "Labels:",
            "Annotations:",
            "Replicas:",
            "1 current / 1 desired",
            "Pods Status:",
            "1 Running",
            "Pod Template:",
            "Image:",
            "Events:",
        ),
        ("service", "primary"): ("Name:", "Type:", "ClusterIP", "IP:", "Port:", "Endpoints:", "Session Affinity:"),
        ("namespace", kubectl.namespace): ("Name:", "Status:", "Active"),
    }
    for what, texts in wanted.items():
        told = kubectl("describe", *what)
        assert [text for text in texts if text not in told] == [], what
    node = kubectl.read("pod", pod)["spec"]["nodeName"]
    told = kubectl("describe", "node", node)
    assert all(text in told for text in ("Labels:", "CreationTimestamp", "Conditions:", "Addresses:", "Capacity:", pod))
    kubectl.apply(
        "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: now-and-then}\nspec:\n  schedule: '*/1 * * * *'\n  "
        "jobTemplate: {spec: {template: {spec: {restartPolicy: OnFailure, containers: [{name: c, image: busybox}]}}}}\n"
    )
    told = kubectl("describe", "cronjob", "now-and-then")
    assert all(
        text in told for text in ("Schedule:", "Concurrency Policy:", "Suspend:", "Pod Template:", "Active Jobs:")
    )


@spec(OURS + "Kubectl diff should check if kubectl diff finds a difference for Deployments")
def test_diff(newest_kubectl: Kubectl) -> None:
    newest_kubectl.apply(DEPLOYMENT)
    found = newest_kubectl.run("diff", "-f", "-", stdin=DEPLOYMENT.replace("httpd:2.4.38", "busybox:1.29"))
    assert found.returncode == 1
    assert "-      - image: httpd:2.4.38" in found.stdout
    assert "+      - image: busybox:1.29" in found.stdout


@spec(OURS + "Kubectl expose should create services for rc")
def test_expose(newest_kubectl: Kubectl) -> None:
    kubectl = newest_kubectl
    kubectl.apply(REPLICATED)
    (pod,) = pods_of(kubectl, "app=agnhost", 1)
    kubectl("expose", "rc", "primary", "--name=rm2", "--port=1234", "--target-port=6379")
    kubectl("expose", "service", "rm2", "--name=rm3", "--port=2345", "--target-port=6379")
    address = kubectl.read("pod", pod)["status"]["podIP"]
    for name, port in (("rm2", 1234), ("rm3", 2345)):
        assert kubectl.read("service", name)["spec"]["ports"] == [{"port": port, "protocol": "TCP", "targetPort": 6379}]

        def led(name: str = name) -> bool:
            slices = kubectl.read("endpointslices", "-l", f"kubernetes.io/service-name={name}")["items"]
            return [one["addresses"] for found in slices for one in found["endpoints"] or ()] == [[address]]

        until(led)


@spec(OURS + "Kubectl label should update the label on a resource")
def test_label(newest_kubectl: Kubectl) -> None:
    kubectl = newest_kubectl
    kubectl("run", "pause", *ONE)
    kubectl("label", "pods", "pause", "testing-label=testing-label-value")
    assert "testing-label-value" in kubectl("get", "pod", "pause", "-L", "testing-label")
    kubectl("label", "pods", "pause", "testing-label-")
    assert "testing-label-value" not in kubectl("get", "pod", "pause", "-L", "testing-label")


@spec(OURS + "Kubectl patch should add annotations for pods in rc")
def test_patch(newest_kubectl: Kubectl) -> None:
    kubectl = newest_kubectl
    kubectl.apply(REPLICATED.replace("replicas: 1", "replicas: 2"))
    for pod in pods_of(kubectl, "app=agnhost", 2):
        kubectl("patch", "pod", pod, "-p", '{"metadata":{"annotations":{"x":"y"}}}')
        assert kubectl.read("pod", pod)["metadata"]["annotations"]["x"] == "y"


@spec(OURS + "Kubectl replace should update a single-container pod's image")
def test_replace(newest_kubectl: Kubectl) -> None:
    kubectl = newest_kubectl
    kubectl("run", "e2e", *ONE)
    pods_of(kubectl, "run=e2e", 1)
    document = kubectl("get", "pod", "e2e", "-o", "json").replace("httpd:2.4.38", "busybox:1.29")
    kubectl("replace", "-f", "-", stdin=document)
    assert kubectl.read("pod", "e2e")["spec"]["containers"][0]["image"] == "busybox:1.29"


@spec(OURS + "Kubectl run pod should create a pod from an image when restart is Never")
def test_run(newest_kubectl: Kubectl) -> None:
    newest_kubectl("run", "e2e", *ONE)
    spec_ = newest_kubectl.read("pod", "e2e")["spec"]
    assert (spec_["restartPolicy"], spec_["containers"][0]["image"]) == ("Never", "httpd:2.4.38")


@spec(OURS + "Kubectl server-side dry-run should check if kubectl can dry-run update Pods")
def test_dry_run(newest_kubectl: Kubectl) -> None:
    kubectl = newest_kubectl
    kubectl("run", "e2e", *ONE)
    pods_of(kubectl, "run=e2e", 1)
    image = '{"spec":{"containers":[{"name":"e2e","image":"busybox:1.29"}]}}'
    assert "patched" in kubectl("patch", "pod", "e2e", "-p", image, "--dry-run=server")
    assert kubectl.read("pod", "e2e")["spec"]["containers"][0]["image"] == "httpd:2.4.38"


@spec(OURS + "Update Demo should create and stop a replication controller")
@spec(OURS + "Update Demo should scale a replication controller")
def test_update_demo(newest_kubectl: Kubectl) -> None:
    kubectl = newest_kubectl
    kubectl.apply(REPLICATED.replace("replicas: 1", "replicas: 2"))
    pods_of(kubectl, "app=agnhost", 2)
    template = (
        '{{range .items}}{{if (exists . "status" "containerStatuses")}}'
        "{{range .status.containerStatuses}}{{.image}} {{end}}{{end}}{{end}}"
    )
    assert kubectl("get", "pods", "-l", "app=agnhost", "-o", f"go-template={template}").split() == ["agnhost:2.53"] * 2
    for count in (1, 2):
        kubectl("scale", "rc", "primary", f"--replicas={count}", "--timeout=5m")
        pods_of(kubectl, "app=agnhost", count)
    kubectl("delete", "--grace-period=0", "--force", "-f", "-", stdin=REPLICATED)
    until(lambda: kubectl("get", "rc,pods", "-l", "app=agnhost", "-o", "name") == "")


@contextmanager
def proxy(kubectl: Kubectl, *args: str) -> Iterator[str]:
    """What it says first."""
    command = [str(kubectl.program), "--kubeconfig", str(kubectl.kubeconfig), "proxy", *args]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        try:
            yield first_line(running.stdout)
        finally:
            running.terminate()


def first_line(stream: IO[str]) -> str:
    line = stream.readline()
    assert line, "it ended without a word"
    return line


@spec(OURS + "Proxy server should support proxy with --port 0")
def test_proxy_of_any_port(newest_kubectl: Kubectl) -> None:
    with proxy(newest_kubectl, "-p", "0", "--disable-filter") as told:
        found = re.search(r"127\.0\.0\.1:(\d+)", told)
        assert found
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=90)
        connection.request("GET", "/api/")
        assert json.loads(connection.getresponse().read())["versions"] == ["v1"]
        connection.close()


@spec(OURS + "Proxy server should support --unix-socket=/path")
def test_proxy_of_a_socket(newest_kubectl: Kubectl, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with proxy(newest_kubectl, f"--unix-socket={path}"), socket.socket(socket.AF_UNIX) as one:
        one.settimeout(90)
        one.connect(str(path))
        one.sendall(b"GET /api/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = b""
        while part := one.recv(65536):
            answer += part
    assert b" 200 OK" in answer
    assert b'"APIVersions"' in answer
