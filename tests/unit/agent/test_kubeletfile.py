"""The node's configuration file: what it means, and what is refused with which words."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from navarch.agent.kubelet import EVICTION_HARD, KubeletConfig, Threshold
from navarch.agent.kubeletfile import API_VERSION, FIELDS, KIND, BadKubeletFile, parse, read

HEAD = {"apiVersion": API_VERSION, "kind": KIND}


def config(**given: Any) -> KubeletConfig:
    found, faults = parse({**HEAD, **given})
    assert not faults
    return found


def faults(**given: Any) -> list[str]:
    return parse({**HEAD, **given})[1]


def test_every_field_has_a_place_and_every_place_a_field() -> None:
    assert sorted(field.attribute for field in FIELDS.values()) == sorted(one.name for one in fields(KubeletConfig))
    assert config() == KubeletConfig()


def test_values_are_read_into_their_units() -> None:
    found = config(
        podPidsLimit=200,
        reservedSystemCPUs="0,2-3",
        kubeReserved={"cpu": "200m", "memory": "1Gi"},
        evictionSoft={"memory.available": "10%", "nodefs.available": "2Gi"},
        evictionSoftGracePeriod={"memory.available": "1m30s", "nodefs.available": "500ms"},
        containerLogMaxSize="1Mi",
        shutdownGracePeriod="1h",
        allowedUnsafeSysctls=["kernel.msg*"],
        cpuManagerPolicy="static",
    )
    by_priority = config(shutdownGracePeriodByPodPriority=[{"priority": 7, "shutdownGracePeriodSeconds": 20}])
    assert by_priority.shutdown_grace_period_by_pod_priority == ((7, 20.0),)
    assert (found.pod_pids_limit, found.reserved_system_cpus) == (200, {0, 2, 3})
    assert found.eviction_soft == {"memory.available": Threshold(part=0.1), "nodefs.available": Threshold(2 << 30)}
    assert found.eviction_soft_grace_period_s == {"memory.available": 90, "nodefs.available": 0.5}
    assert (found.container_log_max_bytes, found.shutdown_grace_period_s) == (1 << 20, 3600)
    assert found.allowed_unsafe_sysctls == ("kernel.msg*",)


def test_given_thresholds_stand_alone_unless_the_defaults_are_asked_for() -> None:
    own = {"memory.available": "1Gi"}
    assert config(evictionHard=own).eviction_hard == {"memory.available": Threshold(1 << 30)}
    merged = config(evictionHard=own, mergeDefaultEvictionSettings=True).eviction_hard
    assert merged == {**EVICTION_HARD, "memory.available": Threshold(1 << 30)}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"maxPod": 5}, "maxPod: this agent has no such field; did you mean maxPods?"),
        ({"zzz": 5}, "zzz: this agent has no such field; remove it"),
        ({"maxPods": "110"}, "maxPods: must be a whole number of at least 0"),
        ({"maxPods": True}, "maxPods: must be a whole number of at least 0"),
        ({"seccompDefault": "yes"}, "seccompDefault: must be true or false"),
        ({"mergeDefaultEvictionSettings": 1}, "mergeDefaultEvictionSettings: must be true or false"),
        ({"cpuManagerPolicy": "dynamic"}, "cpuManagerPolicy: must be one of none, static"),
        ({"reservedSystemCPUs": 1}, "reservedSystemCPUs: must be a list of CPUs in quotes, such as '0-1'"),
        ({"reservedSystemCPUs": "x"}, "reservedSystemCPUs: 'x' is no number or range of CPUs; a list looks like 0-3,8"),
        ({"evictionPressureTransitionPeriod": "5 minutes"}, "must be a duration such as 30s, 5m or 1h30m"),
        ({"evictionHard": {"disk": "1Gi"}}, "evictionHard: disk: not known; there are memory.available"),
        ({"evictionHard": {"memory.available": "120%"}}, "'120%' must lie between 0% and 100%"),
        ({"evictionHard": {"memory.available": "many"}}, "'many' is no quantity; one looks like 500m, 2 or 1Gi"),
        ({"evictionHard": ["memory.available"]}, "evictionHard: must be a mapping with any of"),
        ({"kubeReserved": {"cpu": "-1"}}, "kubeReserved: cpu: must not be negative"),
        ({"containerLogMaxSize": "0"}, "containerLogMaxSize: must be more than nothing, such as 10Mi"),
        ({"containerLogMaxFiles": 1}, "containerLogMaxFiles: must be a whole number of at least 2"),
        ({"staticPodPath": "pods"}, "staticPodPath: must be an absolute path"),
        ({"allowedUnsafeSysctls": "net.*"}, "allowedUnsafeSysctls: must be a list of names"),
        ({"imageGCLowThresholdPercent": 90}, "must be below imageGCHighThresholdPercent"),
        ({"imageMaximumGCAge": "1m"}, "must be longer than imageMinimumGCAge"),
        ({"maxParallelImagePulls": 3}, "set serializeImagePulls: false"),
        ({"shutdownGracePeriodCriticalPods": "1s"}, "is a part of shutdownGracePeriod"),
        ({"shutdownGracePeriod": "500ms"}, "shutdownGracePeriod: must be 0s, or at least 1s"),
        ({"shutdownGracePeriodByPodPriority": {}}, "must be a list"),
        ({"staticPodURL": "ftp://x"}, "must be a URL with http:// or https://"),
        ({"staticPodURLHeader": {"a": "b"}}, "must be a list of names"),
        ({"staticPodURLHeader": []}, "must be a mapping of names to lists of values"),
        ({"httpCheckFrequency": "0s"}, "must be longer than 0s"),
        ({"shutdownGracePeriodByPodPriority": [{"priority": 1, "seconds": 2}]}, "seconds: not known"),
        ({"shutdownGracePeriodByPodPriority": [{"priority": 1}, {"priority": 1}]}, "priority 1 is there twice"),
        (
            {"shutdownGracePeriod": "9s", "shutdownGracePeriodByPodPriority": [{"priority": 1}]},
            "stands in place of shutdownGracePeriod",
        ),
        ({"evictionSoft": {"memory.available": "1Gi"}}, "memory.available has a soft threshold; say how long"),
        ({"cpuManagerPolicy": "static"}, "static needs CPU time that is not given away"),
        ({"kind": "Kubelet"}, "kind: must be KubeletConfiguration"),
    ],
)
def test_what_is_wrong_is_said_with_what_would_be_right(given: dict[str, Any], words: str) -> None:
    [fault] = faults(**given)
    assert words in fault


def test_all_faults_are_told_at_once_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "node.yaml"
    path.write_text(f"apiVersion: {API_VERSION}\nkind: {KIND}\nmaxPods: -1\nregistryBurst: x\n")
    with pytest.raises(BadKubeletFile) as refused:
        read(path)
    assert str(refused.value).startswith(f"{path}: maxPods: ")
    assert "registryBurst: " in str(refused.value)
    for text, words in (("a: [", "is no YAML"), ("- 1\n", "must be one document"), ("", "must be one document")):
        path.write_text(text)
        with pytest.raises(BadKubeletFile, match=words):
            read(path)
    with pytest.raises(BadKubeletFile, match="cannot be read: No such file"):
        read(tmp_path / "none")


def test_what_pods_do_not_get() -> None:
    capacity = {"cpu": "8", "memory": "1048576Ki", "ephemeral-storage": "1000", "pods": "110"}
    assert KubeletConfig().kept_back(capacity) == {"memory": str(100 << 20), "ephemeral-storage": "100"}
    found = config(kubeReserved={"cpu": "200m", "memory": "1Gi"}, systemReserved={"cpu": "300m"}, evictionHard={})
    assert found.kept_back(capacity) == {"cpu": "500m", "memory": str(1 << 30)}
    assert config(reservedSystemCPUs="0-1", kubeReserved={"cpu": "3"}).kept_back(capacity)["cpu"] == "2"
