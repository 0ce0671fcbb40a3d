"""Claims of devices that pods bring along, and tokens in Secrets, with kubectl."""

from __future__ import annotations

from compat_driver import Kubectl, until

TEMPLATE = """
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata: {name: one-gpu}
spec:
  metadata: {labels: {made: "yes"}}
  spec: {devices: {requests: [{name: gpu, exactly: {deviceClassName: gpu.example.com}}]}}
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {name: trainer}
spec:
  schedulingGates: [{name: example.com/wait}]
  resourceClaims: [{name: gpu, resourceClaimTemplateName: one-gpu}]
  containers: [{name: main, image: i, resources: {claims: [{name: gpu}]}}]
"""
TOKEN = """
apiVersion: v1
kind: Secret
metadata: {name: robot-token, annotations: {kubernetes.io/service-account.name: robot}}
type: kubernetes.io/service-account-token
"""


def test_a_claim_comes_and_goes_with_its_pod(one_kubectl: Kubectl) -> None:
    kubectl = one_kubectl
    kubectl.apply(POD)
    until(lambda: "FailedResourceClaimCreation" in kubectl("get", "events"))
    kubectl.apply(TEMPLATE)
    path = "jsonpath={.status.resourceClaimStatuses[0].resourceClaimName}"
    name = until(lambda: kubectl("get", "pod", "trainer", "-o", path))
    assert name.startswith("trainer-gpu-")
    assert kubectl.rows("get", "resourceclaims", "-l", "made=yes")[1][:2] == [name, "pending"]
    kubectl("delete", "resourceclaim", name)
    again = until(lambda: kubectl("get", "resourceclaims", "-o", "jsonpath={.items[*].metadata.name}"))
    assert again != name
    until(lambda: kubectl("get", "pod", "trainer", "-o", path) == again)
    kubectl("delete", "pod", "trainer", "--wait=false")
    until(lambda: not kubectl("get", "resourceclaims", "-o", "name"))


def test_a_token_goes_with_its_account(one_kubectl: Kubectl) -> None:
    kubectl = one_kubectl
    kubectl("create", "serviceaccount", "robot")
    kubectl.apply(TOKEN)
    assert kubectl("get", "secret", "robot-token", "-o", "jsonpath={.data.token}")
    kubectl("delete", "serviceaccount", "robot")
    until(lambda: kubectl.run("get", "secret", "robot-token").returncode == 1)
