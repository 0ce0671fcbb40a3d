"""What objects take of quotas."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.kinds import CONFIGMAP, DEPLOYMENT, EVENT, NODE, PERSISTENTVOLUMECLAIM, POD, RESOURCECLAIM, SERVICE
from navarch.kinds.object import Object
from navarch.kinds.quota import ResourceQuotaSpec, ScopedRequirement, ScopeSelector
from navarch.kinds.quota_usage import Shares, is_counted, is_subject, pod_total, traits, unsaid, usage
from navarch.objects import quantity

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ONE = quantity.NANO


def container(name: str, limits: dict[str, str] | None = None, **requests: str) -> dict[str, Any]:
    return {"name": name, "resources": {"requests": requests, "limits": limits or {}}}


def pod(*containers: dict[str, Any], init: tuple[dict[str, Any], ...] = (), **more: Any) -> dict[str, Any]:
    return {"metadata": {}, "spec": {"containers": list(containers), "initContainers": list(init), **more}}


def test_a_pod_takes_its_largest_moment() -> None:
    sidecar = {**container("s", cpu="100m"), "restartPolicy": "Always"}
    found = pod(container("a", cpu="200m"), container("b", cpu="1"), init=(container("i", cpu="2"), sidecar))
    assert pod_total(found, "requests") == {"cpu": 2 * ONE}
    found = pod(container("a", cpu="1"), init=(sidecar, container("i", cpu="950m")), overhead={"cpu": "10m"})
    assert pod_total(found, "requests") == {"cpu": quantity.nano("1110m")}
    assert pod_total(found, "limits") == {}
    whole = pod(container("a", cpu="1"), resources={"requests": {"cpu": "3"}})
    assert pod_total(whole, "requests") == {"cpu": 3 * ONE}


def test_what_pods_take_by_each_name() -> None:
    limits = {"cpu": "1", "example.com/gpu": "1"}
    found = usage(
        POD, pod(container("a", limits, **{"cpu": "500m", "hugepages-2Mi": "4Mi", "example.com/gpu": "1"})), NOW
    )
    assert found == {
        "count/pods": ONE,
        "pods": ONE,
        "cpu": quantity.nano("500m"),
        "requests.cpu": quantity.nano("500m"),
        "limits.cpu": ONE,
        "hugepages-2Mi": quantity.nano("4Mi"),
        "requests.hugepages-2Mi": quantity.nano("4Mi"),
        "requests.example.com/gpu": ONE,
    }


@pytest.mark.parametrize(
    "over",
    [
        {"status": {"phase": "Succeeded"}},
        {"status": {"phase": "Failed"}},
        {"metadata": {"deletionTimestamp": "2029-12-31T23:59:00Z", "deletionGracePeriodSeconds": 30}},
    ],
)
def test_pods_at_their_end_free_what_they_had(over: dict[str, Any]) -> None:
    assert usage(POD, {**pod(container("a", cpu="1")), **over}, NOW) == {"count/pods": ONE}


def test_what_others_take() -> None:
    ports = [{"port": 1, "nodePort": 30001}, {"port": 2}]
    service = {"spec": {"type": "LoadBalancer", "ports": ports}}
    assert usage(SERVICE, service, NOW) == {
        "count/services": ONE,
        "services": ONE,
        "services.nodeports": 2 * ONE,
        "services.loadbalancers": ONE,
    }
    service["spec"]["allocateLoadBalancerNodePorts"] = False
    assert usage(SERVICE, service, NOW)["services.nodeports"] == ONE
    assert usage(SERVICE, {"spec": {"type": "ClusterIP", "ports": ports}}, NOW)["services.nodeports"] == 0
    claim = {"spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}}}
    found = usage(PERSISTENTVOLUMECLAIM, claim, NOW)
    assert found["requests.storage"] == found["fast.storageclass.storage.k8s.io/requests.storage"] == 2**30 * ONE
    assert found["persistentvolumeclaims"] == found["fast.storageclass.storage.k8s.io/persistentvolumeclaims"] == ONE
    claim["status"] = {"allocatedResources": {"storage": "2Gi"}}
    assert usage(PERSISTENTVOLUMECLAIM, claim, NOW)["requests.storage"] == 2**31 * ONE
    assert usage(DEPLOYMENT, {}, NOW) == {"count/deployments.apps": ONE}
    assert usage(CONFIGMAP, {}, NOW) == {"count/configmaps": ONE, "configmaps": ONE}
    assert not is_counted(EVENT)
    assert not is_counted(NODE)


def test_devices_are_counted_by_their_class_at_their_most() -> None:
    def some(name: str, **more: Any) -> dict[str, Any]:
        return {"deviceClassName": name, "allocationMode": "ExactCount", "count": 1, **more}

    requests = [
        {"name": "a", "exactly": some("gpu", count=2)},
        {"name": "b", "exactly": some("net", allocationMode="All")},
        {"name": "c", "exactly": some("net", allocationMode="Unknown")},
        {"name": "d", "firstAvailable": [some("gpu", count=4), some("gpu", count=3), some("tpu", count=5)]},
    ]
    taken = usage(RESOURCECLAIM, {"spec": {"devices": {"requests": requests}}}, NOW)
    assert {name: amount // quantity.NANO for name, amount in taken.items()} == {
        "count/resourceclaims.resource.k8s.io": 1,
        "gpu.deviceclass.resource.k8s.io/devices": 6,
        "net.deviceclass.resource.k8s.io/devices": 32,
        "tpu.deviceclass.resource.k8s.io/devices": 5,
    }
    assert usage(RESOURCECLAIM, {"spec": {}}, NOW).keys() == {"count/resourceclaims.resource.k8s.io"}


def test_what_containers_must_say() -> None:
    found = pod(container("a", cpu="1"), container("b"), init=(container("i", {"cpu": "1"}, cpu="1"),))
    assert unsaid(found, ("cpu", "limits.cpu", "pods")) == "cpu for: b; limits.cpu for: a,b"
    assert unsaid(found, ("ephemeral-storage", "requests.storage")) == ""
    found["spec"]["resources"] = {"requests": {"cpu": "2"}}
    assert unsaid(found, ("cpu",)) == ""


def subject(one: dict[str, Any], *scopes: str, kind: Any = POD) -> bool:
    return is_subject(ResourceQuotaSpec(scopes=scopes), traits(kind, one))


def test_scopes() -> None:
    plain, sized = pod(container("a")), pod(container("a", cpu="1"), activeDeadlineSeconds=5)
    assert subject(plain, "BestEffort", "NotTerminating")
    assert subject(sized, "NotBestEffort", "Terminating")
    assert not subject(sized, "NotBestEffort", "NotTerminating")
    assert subject(plain)
    assert not subject({}, "BestEffort", kind=SERVICE)
    assert subject({**sized, "status": {"qosClass": "BestEffort"}}, "BestEffort")
    assert not subject(plain, "PriorityClass")
    assert subject(pod(container("a"), priorityClassName="high"), "PriorityClass")
    assert not subject(plain, "Unheard")


@pytest.mark.parametrize(
    ("operator", "values", "named", "unnamed"),
    [
        ("In", ("high",), True, False),
        ("In", ("low",), False, False),
        ("NotIn", ("high",), False, True),
        ("Exists", (), True, False),
        ("DoesNotExist", (), False, True),
    ],
)
def test_scope_selectors(operator: str, values: tuple[str, ...], named: bool, unnamed: bool) -> None:
    for scope, kind, found, other in (
        ("PriorityClass", POD, pod(container("a"), priorityClassName="high"), pod(container("a"))),
        ("VolumeAttributesClass", PERSISTENTVOLUMECLAIM, {"spec": {"volumeAttributesClassName": "high"}}, {}),
    ):
        spec = ResourceQuotaSpec(scope_selector=ScopeSelector((ScopedRequirement(scope, operator, values),)))
        assert is_subject(spec, traits(kind, found)) is named
        assert is_subject(spec, traits(kind, other)) is unnamed


AMOUNTS = st.lists(st.integers(0, 5000), max_size=4)


@given(AMOUNTS, AMOUNTS, AMOUNTS)
def test_totals_are_never_less_than_any_part(plain: list[int], init: list[int], sidecars: list[int]) -> None:
    made = [container(f"c{i}", cpu=f"{amount}m") for i, amount in enumerate(plain)]
    first = [{**container(f"s{i}", cpu=f"{amount}m"), "restartPolicy": "Always"} for i, amount in enumerate(sidecars)]
    second = [container(f"i{i}", cpu=f"{amount}m") for i, amount in enumerate(init)]
    total = pod_total(pod(*made, init=(*first, *second)), "requests").get("cpu", 0)
    assert total == max(sum(plain) + sum(sidecars), *(sum(sidecars) + one for one in (init or [0]))) * ONE // 1000


def test_shares_follow_the_objects() -> None:
    shares = Shares()

    def one(revision: int, cpu: str) -> Object:
        metadata = {"name": "p", "namespace": "d", "resourceVersion": str(revision)}
        return Object.of(POD, {**pod(container("a", cpu=cpu)), "metadata": metadata})

    for revision, cpu in ((1, "1"), (2, "3")):
        (found,) = shares.of(POD, "d", [one(revision, cpu)], NOW)
        assert found.usage["cpu"] == quantity.nano(cpu)
    (kept,) = shares.of(POD, "d", [one(2, "5")], NOW)
    assert kept.usage["cpu"] == 3 * ONE, "the same revision is the same object"
    assert list(shares.of(POD, "d", [], NOW)) == []
    shares.forget("d")
    (found,) = shares.of(POD, "d", [one(2, "5")], NOW)
    assert found.usage["cpu"] == 5 * ONE
