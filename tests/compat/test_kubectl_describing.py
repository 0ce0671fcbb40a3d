"""`kubectl describe` of every kind: the lines that people look for."""

from __future__ import annotations

import re

import pytest
from compat_driver import CONFIG, SERVICE, WEB, Kubectl, until

MORE = """
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {password: secret}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: robot}
---
apiVersion: v1
kind: LimitRange
metadata: {name: limits}
spec: {limits: [{type: Container, default: {cpu: 500m}, defaultRequest: {cpu: 10m}}]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: ReplicationController
metadata: {name: old}
spec:
  replicas: 1
  selector: {app: old}
  template:
    metadata: {labels: {app: old}}
    spec: {containers: [{name: old, image: nginx}]}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: budget}
spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules: [{apiGroups: [""], resources: [pods], verbs: [get, list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: readers}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: robot, namespace: default}]
"""


@pytest.fixture
def full(kubectl: Kubectl) -> Kubectl:
    """A namespace with one of everything."""
    kubectl.apply("---".join((WEB, SERVICE, CONFIG, MORE)))
    kubectl("rollout", "status", "deploy/web", "--timeout=100s")
    until(lambda: "1/1" in kubectl("get", "pods", "-l", "app=old"))
    return kubectl


def lines(text: str) -> list[str]:
    """Each line with single spaces."""
    return [" ".join(line.split()) for line in text.splitlines()]


def has(text: str, *wanted: str) -> None:
    found = lines(text)
    for line in wanted:
        assert line in found, f"{line!r} is not in\n{text}"


def test_workloads(full: Kubectl) -> None:
    has(
        full("describe", "deploy", "web"),
        "Name: web",
        f"Namespace: {full.namespace}",
        "Labels: app=web",
        "Selector: app=web",
        "Replicas: 2 desired | 2 updated | 2 total | 2 available | 0 unavailable",
        "StrategyType: RollingUpdate",
        "RollingUpdateStrategy: 25% max unavailable, 25% max surge",
        "Image: nginx:1.25",
        "Available True MinimumReplicasAvailable",
        "Progressing True NewReplicaSetAvailable",
        "OldReplicaSets: <none>",
    )
    assert re.search(r"NewReplicaSet: +web-\w+ \(2/2 replicas created\)", full("describe", "deploy/web"))
    sets = full("describe", "rs", "-l", "app=web")
    has(sets, "Controlled By: Deployment/web", "Replicas: 2 current / 2 desired")
    has(sets, "Pods Status: 2 Running / 0 Waiting / 0 Succeeded / 0 Failed")
    has(full("describe", "rc", "old"), "Selector: app=old", "Replicas: 1 current / 1 desired")


def test_pods(full: Kubectl) -> None:
    pod = full("get", "pods", "-l", "app=web", "-o", "name").split()[0]
    text = full("describe", pod)
    has(
        text,
        "Priority: 0",
        "Service Account: default",
        "Status: Running",
        "State: Running",
        "Ready: True",
        "Restart Count: 0",
        "cpu: 10m",
        "PodScheduled True",
        "ContainersReady True",
        "QoS Class: Burstable",
        "Node-Selectors: <none>",
    )
    assert re.search(r"Readiness: +http-get http://:http/ delay=0s timeout=1s period=10s", text)
    assert re.search(r"Tolerations: +node.kubernetes.io/not-ready:NoExecute op=Exists for \d+s", text)
    assert re.search(r"Node: +node-\d/172\.", text)
    assert re.search(r"Controlled By: +ReplicaSet/web-", text)
    assert re.search(r"/var/run/secrets/kubernetes.io/serviceaccount from kube-api-access-\w{5} \(ro\)", text)
    assert re.search(r"Normal +Scheduled +\d+s +default-scheduler +Successfully assigned", text)


def test_services(full: Kubectl) -> None:
    text = until(lambda: found if ":80," in (found := full("describe", "svc", "web")) else None)
    has(
        text,
        "Selector: app=web",
        "Type: ClusterIP",
        "IP Family Policy: SingleStack",
        "IP Families: IPv4",
        "Port: <unset> 80/TCP",
        "TargetPort: http/TCP",
        "Session Affinity: None",
        "Internal Traffic Policy: Cluster",
    )
    assert re.search(r"IP: +10\.96\.", text)
    assert re.search(r"Endpoints: +[\d.]+:80,[\d.]+:80", text)
    has(full("describe", "endpointslices"), "AddressType: IPv4", "<unset> 80 TCP", "Ready: true")
    has(full("describe", "endpoints", "web"), "NotReadyAddresses: <none>", "<unset> 80 TCP")


def test_configuration(full: Kubectl) -> None:
    has(full("describe", "cm", "conf"), "Data", "a:", "1", "b:", "two")
    secret = full("describe", "secret", "keys")
    has(secret, "Type: Opaque", "password: 6 bytes")
    assert "secret" not in secret.split("Data")[1]
    has(full("describe", "sa", "robot"), "Image pull secrets: <none>")
    has(full("describe", "limits", "limits"), "Container cpu - - 10m 500m -")
    claim = full("describe", "pvc", "data")
    has(claim, "Status: Pending", "Volume:", "Used By: <none>")


def test_policies(full: Kubectl) -> None:
    budget = until(lambda: found if "Current:              2" in (found := full("describe", "pdb")) else None)
    has(budget, "Min available: 1", "Selector: app=web", "Allowed disruptions: 1", "Desired: 1", "Total: 2")
    has(full("describe", "role", "reader"), "pods [] [] [get list]")
    has(full("describe", "rolebinding", "readers"), "Kind: Role", "Name: reader", "ServiceAccount robot default")
    has(full("describe", "clusterrole", "view"), "Labels: kubernetes.io/bootstrapping=rbac-defaults")
    has(full("describe", "clusterrolebinding", "cluster-admin"), "Group system:masters")
    has(full("describe", "pc", "system-node-critical"), "Value: 2000001000", "PreemptionPolicy: PreemptLowerPriority")


def test_the_cluster(full: Kubectl) -> None:
    name = full("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].spec.nodeName}")
    node = full("describe", "node", name)
    has(
        node,
        "Roles: <none>",
        "Taints: <none>",
        "Unschedulable: false",
        f"Hostname: {name}",
        "pods: 110",
        "Architecture: amd64",
    )
    assert re.search(r"Ready +True .* KubeletReady", node)
    assert re.search(rf"{full.namespace} +web-\S+ +10m \(0%\) +0 \(0%\) +16Mi \(0%\) +64Mi \(0%\) +\d+s", node)
    has(full("describe", "ns", full.namespace), "Status: Active", "No resource quota.", "Container cpu - - 10m 500m -")
    assert "NotFound" in full.refused("describe", "pod", "nope")
