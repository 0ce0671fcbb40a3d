"""ResourceQuota: what a namespace may hold, how much of it is used, and who is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from conformance_api import STRATEGIC, Api, names
from conformance_objects import PAUSE, configmap, controller, pod, replicas, service
from conformance_specs import spec

Body = dict[str, Any]


def quotas(ns: str) -> str:
    return f"/api/v1/namespaces/{ns}/resourcequotas"


def quota(name: str, hard: Body, **more: Any) -> Body:
    return {"metadata": {"name": name}, "spec": {"hard": hard, **more}}


def bounded(api: Api, ns: str, hard: Body, **more: Any) -> Callable[..., None]:
    """Creates a quota; what it returns waits until so much is used."""
    api.post(quotas(ns), quota("bound", hard, **more))

    def used(**expected: str) -> None:
        wanted = dict.fromkeys(hard, "0") | {name.replace("_", "."): amount for name, amount in expected.items()}
        api.when(f"{quotas(ns)}/bound", lambda found: found.get("status", {}).get("used") == wanted)

    used()
    return used


def sized(name: str, requests: Body, limits: Body | None = None, **more: Any) -> Body:
    container = {"name": "main", "image": PAUSE, "resources": {"requests": requests, "limits": limits or {}}}
    return {"metadata": {"name": name}, "spec": {"containers": [container], **more}}


def refused(api: Api, path: str, body: Body, why: str) -> None:
    answer = api.send("POST", path, body)
    assert (answer.status, answer.reason) == (403, "Forbidden")
    assert why in answer.message


@spec("[sig-api-machinery] ResourceQuota should create a ResourceQuota and ensure its status is promptly calculated.")
def test_status_comes_at_once(api: Api, ns: str) -> None:
    hard = {"pods": "5", "services": "10", "cpu": "1", "memory": "500Mi", "requests.storage": "10Gi"}
    bounded(api, ns, hard)
    found = api.get(f"{quotas(ns)}/bound")
    assert found["status"] == {"hard": hard, "used": dict.fromkeys(hard, "0")}


@spec("[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a service.")
def test_services(api: Api, ns: str) -> None:
    hard = {"services": "2", "services.nodeports": "1", "services.loadbalancers": "1", "count/services": "2"}
    path = f"/api/v1/namespaces/{ns}/services"
    bounded(api, ns, hard)

    def used(services: str, nodeports: str, balancers: str) -> None:
        wanted = (services, nodeports, balancers, services)
        api.when(f"{quotas(ns)}/bound", lambda found: tuple(found["status"]["used"][name] for name in hard) == wanted)

    api.post(path, service("plain", {"a": "b"}))
    api.post(path, service("port", {"a": "b"}, type="NodePort"))
    used("2", "1", "0")
    refused(api, path, service("third", {"a": "b"}), "exceeded quota: bound, requested: count/services=1,services=1")
    api.delete(f"{path}/plain")
    used("1", "1", "0")
    refused(api, path, service("other", {"a": "b"}, type="NodePort"), "used: services.nodeports=1")
    wider = {"spec": {"ports": [{"name": "more", "port": 81}]}}
    answer = api.send("PATCH", f"{path}/port", wider, content_type=STRATEGIC)
    assert answer.status == 403, "an update must not take more than there is either"
    api.delete(f"{path}/port")
    used("0", "0", "0")


@spec("[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a secret.")
def test_secrets(api: Api, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/secrets"
    used = bounded(api, ns, {"secrets": "1"})
    api.post(path, {"metadata": {"name": "one"}, "stringData": {"a": "b"}})
    used(secrets="1")
    refused(api, path, {"metadata": {"name": "two"}}, "requested: secrets=1, used: secrets=1, limited: secrets=1")
    api.delete(f"{path}/one")
    used()
    api.post(path, {"metadata": {"name": "two"}})


@spec("[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a configMap.")
def test_configmaps(api: Api, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/configmaps"
    api.when(f"{path}/kube-root-ca.crt", lambda _: True)
    before = len(api.get(path)["items"])
    hard = {"count/configmaps": str(before + 1)}
    api.post(quotas(ns), quota("bound", hard))

    def used(amount: int) -> None:
        api.when(f"{quotas(ns)}/bound", lambda found: found["status"]["used"]["count/configmaps"] == str(amount))

    api.post(path, configmap("one"))
    used(before + 1)
    refused(api, path, configmap("two"), "exceeded quota: bound")
    api.delete(f"{path}/one")
    used(before)


@spec("[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a pod.")
def test_pods(api: Api, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/pods"
    used = bounded(api, ns, {"pods": "2", "cpu": "1", "memory": "500Mi", "requests.example.com/dongle": "3"})
    asks = {"cpu": "500m", "memory": "252Mi", "example.com/dongle": "2"}
    alone = {"nodeSelector": {"nobody": "has"}}
    api.post(path, sized("one", asks, {"example.com/dongle": "2"}, **alone))
    all_of_it = {"pods": "1", "cpu": "500m", "memory": "252Mi", "requests.example.com/dongle": "2"}
    api.when(f"{quotas(ns)}/bound", lambda found: found["status"]["used"] == all_of_it)
    refused(api, path, sized("big", {"cpu": "600m", "memory": "100Mi"}), "requested: cpu=600m, used: cpu=500m")
    more = sized("dongles", {"cpu": "1m", "memory": "1Mi", "example.com/dongle": "2"}, {"example.com/dongle": "2"})
    refused(api, path, more, "requested: requests.example.com/dongle=2")
    refused(api, path, pod("silent"), "failed quota: bound: must specify cpu for: main; memory for: main")
    api.patch(f"{path}/one", {"metadata": {"labels": {"a": "b"}}})
    api.when(f"{quotas(ns)}/bound", lambda found: found["status"]["used"] == all_of_it)
    api.send("DELETE", f"{path}/one?gracePeriodSeconds=0")
    used()


@spec(
    "[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a replication controller."
)
def test_controllers(api: Api, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/replicationcontrollers"
    used = bounded(api, ns, {"replicationcontrollers": "1"})
    api.post(path, controller("one", 0))
    used(replicationcontrollers="1")
    refused(api, path, controller("two", 0), "exceeded quota: bound")
    api.send("DELETE", f"{path}/one", {"propagationPolicy": "Background"})
    used()


@spec("[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a replica set.")
def test_replica_sets(api: Api, ns: str) -> None:
    path = f"/apis/apps/v1/namespaces/{ns}/replicasets"
    api.post(quotas(ns), quota("bound", {"count/replicasets.apps": "1"}))
    for name, amount in (("one", "1"), ("", "0")):
        if name:
            api.post(path, replicas(name, 0))
            refused(api, path, replicas("two", 0), "requested: count/replicasets.apps=1")
        else:
            api.delete(f"{path}/one")
        api.when(
            f"{quotas(ns)}/bound",
            lambda found, amount=amount: found.get("status", {}).get("used") == {"count/replicasets.apps": amount},
        )


@spec("[sig-api-machinery] ResourceQuota should verify ResourceQuota with terminating scopes.")
@spec("[sig-api-machinery] ResourceQuota should verify ResourceQuota with best effort scope.")
@pytest.mark.parametrize(
    ("scope", "other", "more", "requests"),
    [
        ("Terminating", "NotTerminating", {"activeDeadlineSeconds": 3600}, {"cpu": "1m"}),
        ("NotTerminating", "Terminating", {}, {"cpu": "1m"}),
        ("BestEffort", "NotBestEffort", {}, {}),
        ("NotBestEffort", "BestEffort", {}, {"cpu": "1m"}),
    ],
)
def test_scopes(api: Api, ns: str, scope: str, other: str, more: Body, requests: Body) -> None:
    path = f"/api/v1/namespaces/{ns}/pods"
    for name in (scope, other):
        api.post(quotas(ns), quota(name.lower(), {"pods": "1"}, scopes=[name]))
    made = sized("one", requests, nodeSelector={"nobody": "has"}, **more)
    api.post(path, made)

    def used(of: str) -> Any:
        return api.get(f"{quotas(ns)}/{of.lower()}").get("status", {}).get("used")

    api.until(lambda: used(scope) == {"pods": "1"} and used(other) == {"pods": "0"})
    refused(api, path, {**made, "metadata": {"name": "two"}}, f"exceeded quota: {scope.lower()}")
    api.send("DELETE", f"{path}/one?gracePeriodSeconds=0")
    api.until(lambda: used(scope) == {"pods": "0"})


def test_scopes_of_classes(api: Api, ns: str) -> None:
    """Pods of a priority class, and those whose affinity looks at other namespaces."""
    path = f"/api/v1/namespaces/{ns}/pods"
    chosen = {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": [f"{ns}-high"]}]}
    classes = {"metadata": {"name": f"{ns}-high"}, "value": 1000}
    api.post("/apis/scheduling.k8s.io/v1/priorityclasses", classes)
    api.post(quotas(ns), quota("high", {"pods": "0"}, scopeSelector=chosen))
    crossing = {"matchExpressions": [{"scopeName": "CrossNamespacePodAffinity", "operator": "Exists"}]}
    api.post(quotas(ns), quota("crossing", {"pods": "0"}, scopeSelector=crossing))
    api.post(path, pod("plain"))
    refused(api, path, pod("first", priorityClassName=f"{ns}-high"), "exceeded quota: high")
    term = {"topologyKey": "zone", "labelSelector": {}, "namespaceSelector": {}}
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    refused(api, path, pod("second", affinity=affinity), "exceeded quota: crossing")


@spec("[sig-api-machinery] ResourceQuota should be able to update and delete ResourceQuota.")
@spec("[sig-api-machinery] ResourceQuota should manage the lifecycle of a ResourceQuota")
def test_life_of_a_quota(api: Api, ns: str) -> None:
    made = api.post(quotas(ns), {**quota("one", {"cpu": "1", "memory": "500Mi"}), "metadata": {"name": "one"}})
    made["spec"]["hard"] = {"cpu": "2", "memory": "1Gi"}
    api.until(lambda: api.send("PUT", f"{quotas(ns)}/one", {**made, "metadata": {"name": "one"}}).status == 200)
    api.when(f"{quotas(ns)}/one", lambda found: found["status"]["hard"] == {"cpu": "2", "memory": "1Gi"})
    api.patch(f"{quotas(ns)}/one", {"metadata": {"labels": {"which": ns}}, "spec": {"hard": {"memory": "750Mi"}}})
    assert names(api.get(f"/api/v1/resourcequotas?labelSelector=which%3D{ns}")) == ["one"]
    api.delete(f"{quotas(ns)}?labelSelector=which%3D{ns}")
    api.gone(f"{quotas(ns)}/one")


@spec("[sig-api-machinery] ResourceQuota should apply changes to a resourcequota status")
def test_status_of_a_quota(api: Api, ns: str) -> None:
    hard = {"cpu": "500m", "memory": "500Mi"}
    bounded(api, ns, hard)
    path = f"{quotas(ns)}/bound"
    revision = api.get(path)["metadata"]["resourceVersion"]
    with api.watch(f"{quotas(ns)}?watch=1&resourceVersion={revision}") as events:
        api.patch(f"{path}/status", {"status": {"used": {"cpu": "222m"}}})
        events.until("MODIFIED", "bound", lambda found: found["status"]["used"]["cpu"] == "222m")
        events.until("MODIFIED", "bound", lambda found: found["status"]["used"]["cpu"] == "0")
    found = api.get(path)
    assert found["spec"]["hard"] == hard
    found["status"]["used"]["memory"] = "1Mi"
    assert api.put(f"{path}/status", found)["status"]["used"]["memory"] == "1Mi"
