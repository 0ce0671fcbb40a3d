"""Pod security by the labels of namespaces, and what is in use while it is deleted, as kubectl shows them."""

from __future__ import annotations

from datetime import UTC, datetime

from compat_driver import Kubectl, until

from navarch.base.clock import rfc3339

PRIVILEGED = """
apiVersion: v1
kind: Pod
metadata: {name: NAME}
spec:
  containers: [{name: main, image: nginx, securityContext: {privileged: true}}]
"""
HOSTED = """
apiVersion: v1
kind: Pod
metadata: {name: NAME}
spec:
  runtimeClassName: CLASS
  containers: [{name: main, image: host, command: [cat, /etc/shadow]}]
"""
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: nginx, securityContext: {privileged: true}}]}
"""
CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""
VOLUME = """
apiVersion: v1
kind: PersistentVolume
metadata: {name: NAME}
spec:
  accessModes: [ReadWriteOnce]
  capacity: {storage: 1Gi}
  storageClassName: NAME
  hostPath: {path: /tmp/nothing}
"""
USER = """
apiVersion: v1
kind: Pod
metadata: {name: user}
spec:
  nodeName: NODE
  containers: [{name: main, image: nginx, volumeMounts: [{name: data, mountPath: /data}]}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
"""
BROKEN = 'PodSecurity "baseline:latest": privileged (container "main" must not set securityContext.privileged=true)'


def test_namespaces_say_what_their_pods_may_do(newest_kubectl: Kubectl) -> None:
    kubectl, space = newest_kubectl, newest_kubectl.namespace
    kubectl.apply(PRIVILEGED.replace("NAME", "before"))
    told = kubectl.warned("label", "namespace", space, "pod-security.kubernetes.io/enforce=baseline")
    assert f'existing pods in namespace "{space}" violate the new PodSecurity enforce level "baseline:latest"' in told
    assert "before: privileged" in told
    refused = kubectl.refused("apply", "-f", "-", stdin=PRIVILEGED.replace("NAME", "after"))
    assert f'pods "after" is forbidden: violates {BROKEN}' in refused
    kubectl("label", "namespace", space, "pod-security.kubernetes.io/warn=baseline")
    assert f"Warning: would violate {BROKEN}" in kubectl.warned("apply", "-f", "-", stdin=DEPLOYMENT)
    until(lambda: "is forbidden: violates PodSecurity" in kubectl("get", "events"))
    kubectl("label", "pod", "before", "a=b")
    wrong = kubectl.refused("label", "namespace", space, "--overwrite", "pod-security.kubernetes.io/enforce=none")
    assert 'metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "none": must be one of' in wrong


def test_a_process_of_the_host_is_refused_as_a_path_of_the_host_is(newest_kubectl: Kubectl) -> None:
    kubectl, space = newest_kubectl, newest_kubectl.namespace
    for name, handler in ((f"{space}-hosted", "navarch-process"), (f"{space}-plain", "runc")):
        kubectl.apply(
            f"apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {{name: {name}}}\nhandler: {handler}\n"
        )
    try:
        kubectl.apply(HOSTED.replace("NAME", "before").replace("CLASS", f"{space}-hosted"))
        told = kubectl.warned("label", "namespace", space, "pod-security.kubernetes.io/enforce=baseline")
        assert "before: host processes" in told
        refused = kubectl.refused(
            "apply", "-f", "-", stdin=HOSTED.replace("NAME", "after").replace("CLASS", f"{space}-hosted")
        )
        assert f'host processes (pod must not use RuntimeClass "{space}-hosted", which shows it' in refused
        kubectl.apply(HOSTED.replace("NAME", "plain").replace("CLASS", f"{space}-plain"))
    finally:
        kubectl("delete", "runtimeclass", f"{space}-hosted", f"{space}-plain")


def test_a_claim_in_use_outlives_its_deletion(newest_kubectl: Kubectl) -> None:
    kubectl = newest_kubectl
    kubectl.apply(CLAIM)
    assert kubectl.read("pvc", "data")["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    node = kubectl.read("nodes")["items"][0]["metadata"]["name"]
    kubectl.apply(USER.replace("NODE", node))
    kubectl("delete", "pvc", "data", "--wait=false")
    assert "Terminating" in kubectl("describe", "pvc", "data")
    kubectl("delete", "pod", "user", "--grace-period=0", "--force")
    until(lambda: kubectl("get", "pvc", "-o", "name") == "")


def test_claims_and_ingresses_get_the_default_class(newest_kubectl: Kubectl) -> None:
    kubectl, name = newest_kubectl, newest_kubectl.namespace
    marks = "annotations: {storageclass.kubernetes.io/is-default-class: 'true'}"
    first = kubectl.read("storageclass", "local-path")["metadata"]["creationTimestamp"]
    until(lambda: rfc3339(datetime.now(UTC)) > first)  # the youngest default class is taken
    kubectl.apply(
        f"apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {{name: {name}, {marks}}}\nprovisioner: x\n"
    )
    marks = "annotations: {ingressclass.kubernetes.io/is-default-class: 'true'}"
    kubectl.apply(
        f"apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {{name: {name}, {marks}}}\n"
        "spec: {controller: example.com/x}\n"
    )
    try:
        kubectl.apply(CLAIM)
        assert kubectl.read("pvc", "data")["spec"]["storageClassName"] == name
        grown = '{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}'
        refused = kubectl.refused("patch", "pvc", "data", "-p", grown)
        assert "immutable after creation except resources.requests" in refused, "it is not bound"
        kubectl.apply(VOLUME.replace("NAME", name))
        until(lambda: kubectl.read("pvc", "data")["status"]["phase"] == "Bound")
        refused = kubectl.refused("patch", "pvc", "data", "-p", grown)
        assert "only dynamically provisioned pvc can be resized" in refused
        kubectl("patch", "storageclass", name, "-p", '{"allowVolumeExpansion":true}')
        kubectl("patch", "pvc", "data", "-p", grown)
        kubectl("create", "ingress", "way", "--rule=foo.com/*=web:80")
        assert kubectl.read("ingress", "way")["spec"]["ingressClassName"] == name
    finally:
        kubectl("delete", "storageclass,ingressclass", name)
        kubectl("delete", "pv", name, "--ignore-not-found", "--wait=false")
