"""Devices, with kubectl: classes and slices as drivers and administrators write them, claims and templates as users
do; placed, waiting, shared, in order of preference, alike or not, tainted."""

from __future__ import annotations

import json

import pytest
from compat_driver import Kubectl, until

from navarch.testing.cluster import RunningCluster

CLASS = """
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: gpu.example.com}
spec:
  selectors: [{cel: {expression: device.driver == "gpu.example.com"}}]
  config: [{opaque: {driver: gpu.example.com, parameters: {sharing: none}}}]
"""
SLICE = """
apiVersion: resource.k8s.io/v1
kind: ResourceSlice
metadata: {name: %(name)s}
spec:
  driver: gpu.example.com
  nodeName: %(node)s
  pool: {name: %(name)s, generation: 1, resourceSliceCount: 1}
  devices:
"""
DEVICE = """
  - name: %s
    attributes: {model: {string: %s}, numa: {int: %d}, team: {string: %s}, driverVersion: {version: 2.1.0}}
    capacity: {memory: {value: %s}}
"""
TAINT = """
    taints: [{key: gpu.example.com/sick, effect: NoSchedule}]
"""
CLAIMS = """
apiVersion: resource.k8s.io/v1
kind: %(kind)s
metadata: {name: %(name)s}
spec: %(spec)s
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {name: %(name)s}
spec:
  terminationGracePeriodSeconds: 0
  resourceClaims: [{name: gpu, %(source)s}]
  containers: [{name: main, image: i, resources: {claims: [{name: gpu}]}}]
"""
DEVICES = "jsonpath={.status.allocation.devices.results[*].device}"


@pytest.fixture
def kube(one_kubectl: Kubectl, whole: RunningCluster) -> Kubectl:
    one_kubectl.apply(CLASS)
    return one_kubectl


def publish(kubectl: Kubectl, team: str, *devices: tuple[str, str, int, str], taint: bool = False) -> None:
    """Devices (name, model, numa, memory) on the first node; only claims that say `team` choose them."""
    node = kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
    written = (DEVICE % (name, model, numa, team, memory) for name, model, numa, memory in devices)
    kubectl.apply(SLICE % {"name": team, "node": node} + "".join(one + TAINT * taint for one in written))


def wanting(team: str, condition: str = "true", **more: object) -> str:
    own = 'device.attributes["gpu.example.com"]'
    asked = {
        "deviceClassName": "gpu.example.com",
        "selectors": [{"cel": {"expression": f"{own}.team == '{team}' && ({condition.replace('own.', own + '.')})"}}],
        **more,
    }
    return json.dumps(asked)


def claim(kubectl: Kubectl, name: str, devices: str) -> None:
    kubectl.apply(CLAIMS % {"kind": "ResourceClaim", "name": name, "spec": f"{{devices: {devices}}}"})


def pod(kubectl: Kubectl, name: str, claim_name: str = "", template: str = "") -> None:
    source = f"resourceClaimName: {claim_name}" if claim_name else f"resourceClaimTemplateName: {template}"
    kubectl.apply(POD % {"name": name, "source": source})


def ready(kubectl: Kubectl, name: str) -> None:
    kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")


def test_a_pod_waits_for_the_device_that_another_has(kube: Kubectl) -> None:
    kubectl = kube
    publish(kubectl, "single", ("gpu-0", "a100", 0, "40Gi"))
    newer = 'own.driverVersion.isGreaterThan(semver("2.0.0"))'
    spec = f"{{spec: {{devices: {{requests: [{{name: gpu, exactly: {wanting('single', newer)}}}]}}}}}}"
    kubectl.apply(CLAIMS % {"kind": "ResourceClaimTemplate", "name": "single", "spec": spec})
    pod(kubectl, "first", template="single")
    ready(kubectl, "first")
    (row,) = [row for row in kubectl.rows("get", "resourceclaims") if row[0].startswith("first-gpu-")]
    assert row[1] == "allocated,reserved"
    assert kubectl("get", "resourceclaim", row[0], "-o", DEVICES) == "gpu-0"
    config = kubectl.read("resourceclaim", row[0])["status"]["allocation"]["devices"]["config"]
    driver = {"driver": "gpu.example.com", "parameters": {"sharing": "none"}}
    assert config == [{"source": "FromClass", "opaque": driver}]
    pod(kubectl, "second", template="single")
    until(lambda: "FailedScheduling" in kubectl("describe", "pod", "second"))
    assert "3 cannot allocate all claims. still not schedulable" in kubectl("describe", "pod", "second")
    kubectl("delete", "pod", "first")
    ready(kubectl, "second")
    until(lambda: kubectl.run("get", "resourceclaim", row[0]).returncode == 1)


def test_two_pods_share_a_claim_and_it_is_free_when_both_are_gone(kube: Kubectl) -> None:
    kubectl = kube
    publish(kubectl, "shared", ("gpu-0", "a100", 0, "40Gi"))
    claim(kubectl, "shared", f"{{requests: [{{name: gpu, exactly: {wanting('shared')}}}]}}")
    for name in ("one", "two"):
        pod(kubectl, name, claim_name="shared")
    for name in ("one", "two"):
        ready(kubectl, name)
    nodes = kubectl("get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}").split()
    assert len(nodes) == 2
    assert len(set(nodes)) == 1
    kubectl("delete", "pod", "one")
    path = "jsonpath={.status.reservedFor[*].name}"
    until(lambda: kubectl("get", "resourceclaim", "shared", "-o", path) == "two")
    kubectl("delete", "pod", "two")
    until(lambda: kubectl.rows("get", "resourceclaims")[1][1] == "pending")


def test_the_first_alternative_that_is_there_is_taken(kube: Kubectl) -> None:
    kubectl = kube
    publish(kubectl, "listed", ("big", "h100", 0, "80Gi"), ("small-0", "l4", 0, "24Gi"), ("small-1", "l4", 1, "24Gi"))
    memory = 'device.capacity["gpu.example.com"].memory.compareTo(quantity("50Gi")) > 0'
    big = wanting("listed", memory)[:-1] + ', "name": "big"}'
    small = wanting("listed", count=2)[:-1] + ', "name": "small"}'
    for name, devices in (("first", "big"), ("next", "small-0 small-1")):
        claim(kubectl, name, f"{{requests: [{{name: gpu, firstAvailable: [{big}, {small}]}}]}}")
        pod(kubectl, name, claim_name=name)
        ready(kubectl, name)
        assert kubectl("get", "resourceclaim", name, "-o", DEVICES) == devices


def test_devices_of_one_claim_are_alike_or_differ(kube: Kubectl) -> None:
    kubectl = kube
    numbered = [(f"gpu-{number}", "a100", number // 2, "40Gi") for number in range(4)]
    publish(kubectl, "alike", *numbered)
    publish(kubectl, "unlike", *numbered)
    for name, constraint, devices in (
        ("alike", "matchAttribute", "gpu-0 gpu-1"),
        ("unlike", "distinctAttribute", "gpu-0 gpu-2"),
    ):
        one = f"{{name: gpu, exactly: {wanting(name, count=2)}}}"
        rule = f"{{{constraint}: gpu.example.com/numa}}"
        claim(kubectl, name, f"{{requests: [{one}], constraints: [{rule}]}}")
        pod(kubectl, name, claim_name=name)
        ready(kubectl, name)
        assert kubectl("get", "resourceclaim", name, "-o", DEVICES) == devices


def test_a_tainted_device_goes_to_who_tolerates_it(kube: Kubectl) -> None:
    kubectl = kube
    publish(kubectl, "sick", ("gpu-0", "a100", 0, "40Gi"), taint=True)
    tolerations = [{"key": "gpu.example.com/sick", "operator": "Exists"}]
    claim(kubectl, "careful", f"{{requests: [{{name: gpu, exactly: {wanting('sick')}}}]}}")
    claim(kubectl, "careless", f"{{requests: [{{name: gpu, exactly: {wanting('sick', tolerations=tolerations)}}}]}}")
    pod(kubectl, "careful", claim_name="careful")
    until(lambda: "cannot allocate all claims" in kubectl("describe", "pod", "careful"))
    pod(kubectl, "careless", claim_name="careless")
    ready(kubectl, "careless")
    result = kubectl.read("resourceclaim", "careless")["status"]["allocation"]["devices"]["results"][0]
    assert (result["device"], result["tolerations"]) == ("gpu-0", tolerations)
    assert kubectl("get", "pod", "careful", "-o", "jsonpath={.spec.nodeName}") == ""
