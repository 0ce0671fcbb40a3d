"""`autoscale`, `top`, and what `get` and `describe` say of an autoscaler at work."""

from __future__ import annotations

import pytest
from compat_driver import WEB, Kubectl, until

import navarch
from navarch.testing.cluster import RunningCluster


@pytest.fixture
def busy(whole: RunningCluster, kubectl: Kubectl) -> Kubectl:
    whole.nodes.behave(navarch.Behaviour(image="nginx:1.25", cpu="10m", memory="32Mi"))
    kubectl.apply(WEB)
    kubectl("rollout", "status", "deploy/web")
    return kubectl


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_top(busy: Kubectl) -> None:
    head, *found = rows(busy("top", "pods"))
    assert head == ["NAME", "CPU(cores)", "MEMORY(bytes)"]
    assert [row[1:] for row in found] == [["10m", "32Mi"]] * 2
    head, *found = rows(busy("top", "pods", "--containers", "-l", "app=web"))
    assert head == ["POD", "NAME", "CPU(cores)", "MEMORY(bytes)"]
    assert {row[1] for row in found} == {"web"}
    head, *found = rows(busy("top", "nodes"))
    assert head[:2] == ["NAME", "CPU(cores)"]
    assert found
    assert "not found" in busy.refused("top", "pod", "none")


def test_explain_what_is_measured(one_kubectl: Kubectl) -> None:
    assert "window\t<string> -required-" in one_kubectl("explain", "nodemetrics")
    assert "usage\t<map[string]Quantity> -required-" in one_kubectl("explain", "podmetrics.containers")


def test_autoscale(busy: Kubectl, whole: RunningCluster) -> None:
    whole.clock.advance(minutes=1)
    said = busy("autoscale", "deployment", "web", "--min=1", "--max=5", "--cpu-percent=50")
    assert said == "horizontalpodautoscaler.autoscaling/web autoscaled\n"
    whole.clock.advance(minutes=2)
    until(lambda: busy.read("hpa", "web")["status"].get("currentReplicas") == 5)
    head, row = rows(busy("get", "hpa", "web"))
    assert head == ["NAME", "REFERENCE", "TARGETS", "MINPODS", "MAXPODS", "REPLICAS", "AGE"]
    assert row[:-1] == ["web", "Deployment/web", "cpu:", "100%/50%", "1", "5", "5"]
    described = busy("describe", "hpa", "web")
    for words in (
        "resource cpu on pods  (as a percentage of request):  100% (10m) / 50%",
        "ScalingActive   True    ValidMetricFound",
        "ScalingLimited  True    TooManyReplicas",
        "New size: 4; reason: cpu resource utilization (percentage of request) above target",
    ):
        assert words in described
    found = busy.read("horizontalpodautoscalers.v1.autoscaling", "web")
    assert found["status"]["currentCPUUtilizationPercentage"] == 100
