"""What once passed a rule is not judged again, and nothing else passes for it."""

from __future__ import annotations

from typing import Any

from navarch.kinds.podspec.rules import pod_spec
from navarch.kinds.rules import PASSED_BYTES, PASSED_MOST, Faults, Passed


def faults_of(**changes: Any) -> list[str]:
    container = {
        "name": "main",
        "image": "i",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "Always",
        "resources": {},
        **changes.pop("container", {}),
    }
    spec = {"containers": [container], "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", **changes}
    found = Faults()
    pod_spec(found, spec, "spec")
    return [cause.field for cause in found.causes]


def mounting(name: str) -> dict[str, Any]:
    return {"volumeMounts": [{"name": name, "mountPath": "/x"}]}


def test_a_container_that_passed_is_still_judged_by_the_volumes_of_its_pod() -> None:
    volumes = [{"name": "a", "emptyDir": {}}]
    for _ in range(2):
        assert faults_of(container=mounting("a"), volumes=volumes) == []
        assert faults_of(container=mounting("b"), volumes=volumes) == ["spec.containers[0].volumeMounts[0].name"]


def test_the_same_container_is_judged_anew_under_other_circumstances() -> None:
    port = {"ports": [{"containerPort": 80, "hostPort": 81, "protocol": "TCP"}]}
    assert faults_of(container=port) == []
    assert faults_of(container=port, hostNetwork=True) == ["spec.containers[0].ports[0].hostPort"]
    sleep = {"lifecycle": {"preStop": {"sleep": {"seconds": 9}}}}
    assert faults_of(container=sleep, terminationGracePeriodSeconds=10) == []
    assert faults_of(container=sleep, terminationGracePeriodSeconds=8) != []
    probe = {"livenessProbe": {"exec": {"command": ["x"]}, "timeoutSeconds": 1}}
    probe["livenessProbe"] |= {"periodSeconds": 1, "successThreshold": 1, "failureThreshold": 1}
    assert faults_of(container=probe) == []
    first = {"name": "first", "image": "i", "terminationMessagePolicy": "File", "imagePullPolicy": "Always"}
    assert faults_of(initContainers=[{**first, **probe}]) == ["spec.initContainers[0].livenessProbe"]


def test_what_failed_fails_every_time() -> None:
    for _ in range(2):
        assert faults_of(container={"image": ""}) == ["spec.containers[0].image"]


def test_the_memory_is_bounded() -> None:
    known = Passed()
    known.add(b"x" * (PASSED_BYTES + 1))
    assert b"x" * (PASSED_BYTES + 1) not in known
    for number in range(PASSED_MOST + 1):
        known.add(b"%d" % number)
    assert b"0" not in known
    assert b"1" in known
