"""Client libraries of others, as their users use them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import kr8s
import kubernetes
import lightkube
import pytest
import yaml
from compat_driver import SERVICE, WEB, until
from kr8s.objects import ConfigMap as Kr8sConfigMap
from kr8s.objects import Deployment as Kr8sDeployment
from kr8s.objects import Pod as Kr8sPod
from lightkube import codecs
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Pod, Service
from lightkube.types import CascadeType, PatchType

from navarch.testing.cluster import RunningCluster

_numbers = count(1)


@pytest.fixture
def namespace(whole: RunningCluster) -> str:
    name = f"python-{next(_numbers)}"
    whole.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    whole.wait("serviceaccount/default", namespace=name)
    return name


@pytest.fixture
def api(whole: RunningCluster) -> Iterator[kubernetes.client.ApiClient]:
    """The official client."""
    with kubernetes.config.new_client_from_config(str(whole.kubeconfig)) as made:
        yield made


@pytest.fixture
def light(whole: RunningCluster, namespace: str) -> lightkube.Client:
    return lightkube.Client(lightkube.KubeConfig.from_file(str(whole.kubeconfig)), namespace=namespace)


def in_background(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_official_objects(api: kubernetes.client.ApiClient, namespace: str) -> None:
    core = kubernetes.client.CoreV1Api(api)
    made = core.create_namespaced_config_map(namespace, {"metadata": {"name": "a"}, "data": {"k": "v"}})
    assert made.metadata.uid
    core.patch_namespaced_config_map("a", namespace, {"data": {"k": "w"}})
    assert core.read_namespaced_config_map("a", namespace).data == {"k": "w"}
    made.data = {"k": "stale"}
    with pytest.raises(kubernetes.client.ApiException) as conflict:
        core.replace_namespaced_config_map("a", namespace, made)
    assert (conflict.value.status, conflict.value.reason) == (409, "Conflict")
    core.delete_namespaced_config_map("a", namespace)
    with pytest.raises(kubernetes.client.ApiException) as missing:
        core.read_namespaced_config_map("a", namespace)
    assert missing.value.status == 404
    assert kubernetes.client.VersionApi(api).get_code().minor == "36"
    for number in range(5):
        core.create_namespaced_config_map(namespace, {"metadata": {"name": f"c{number}"}})
    page = core.list_namespaced_config_map(namespace, limit=2)
    assert (len(page.items), page.metadata.remaining_item_count >= 3) == (2, True)
    rest = core.list_namespaced_config_map(namespace, _continue=page.metadata._continue)
    assert {"c2", "c3", "c4"} <= {found.metadata.name for found in rest.items}


def test_official_watch(api: kubernetes.client.ApiClient, namespace: str) -> None:
    core = kubernetes.client.CoreV1Api(api)
    seen: list[tuple[str, str]] = []
    since = core.list_namespaced_config_map(namespace).metadata.resource_version

    def watch() -> None:
        watcher = kubernetes.watch.Watch()
        more = {"timeout_seconds": 20, "resource_version": since}
        for event in watcher.stream(core.list_namespaced_config_map, namespace, **more):
            seen.append((event["type"], event["object"].metadata.name))
            if event["type"] == "DELETED":
                watcher.stop()

    watching = in_background(watch)
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "a"}, "data": {"k": "v"}})
    core.patch_namespaced_config_map("a", namespace, {"data": {"k": "w"}})
    core.delete_namespaced_config_map("a", namespace)
    watching.join(20)
    assert seen == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


def test_official_workloads(api: kubernetes.client.ApiClient, namespace: str) -> None:
    apps, core = kubernetes.client.AppsV1Api(api), kubernetes.client.CoreV1Api(api)
    documents = [yaml.safe_load(WEB), yaml.safe_load(SERVICE)]
    kubernetes.utils.create_from_yaml(api, yaml_objects=documents, namespace=namespace)
    until(lambda: apps.read_namespaced_deployment_status("web", namespace).status.ready_replicas == 2)
    apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 3}})
    assert apps.read_namespaced_deployment_scale("web", namespace).spec.replicas == 3
    until(lambda: len(core.list_namespaced_pod(namespace, label_selector="app=web").items) == 3)
    pod = core.list_namespaced_pod(namespace).items[0]
    assert pod.spec.containers[0].resources.requests == {"cpu": "10m", "memory": "16Mi"}
    assert pod.metadata.creation_timestamp.tzinfo is not None
    eviction = {"metadata": {"name": pod.metadata.name, "namespace": namespace}}
    core.create_namespaced_pod_eviction(pod.metadata.name, namespace, eviction)
    options = kubernetes.client.V1DeleteOptions(propagation_policy="Foreground")
    apps.delete_namespaced_deployment("web", namespace, body=options)
    until(lambda: not core.list_namespaced_pod(namespace).items)
    assert "web" in [found.metadata.name for found in core.list_namespaced_service(namespace).items]
    assert len(core.list_node().items) == 3


def test_official_dynamic_client(api: kubernetes.client.ApiClient, namespace: str) -> None:
    dynamic: Any = kubernetes.dynamic.DynamicClient(api)
    deployments = dynamic.resources.get(api_version="apps/v1", kind="Deployment")
    assert deployments.name == "deployments"
    body = {**yaml.safe_load(WEB)}
    applied = dynamic.server_side_apply(deployments, body=body, namespace=namespace, name="web", field_manager="me")
    assert applied.spec.replicas == 2
    body["spec"]["replicas"] = 1
    with pytest.raises(kubernetes.dynamic.exceptions.ConflictError):
        dynamic.server_side_apply(deployments, body=body, namespace=namespace, name="web", field_manager="other")
    assert deployments.get(name="web", namespace=namespace).spec.replicas == 2
    deployments.delete(name="web", namespace=namespace)


def test_official_identity(whole: RunningCluster, api: kubernetes.client.ApiClient, namespace: str) -> None:
    core = kubernetes.client.CoreV1Api(api)
    core.create_namespaced_service_account(namespace, {"metadata": {"name": "robot"}})
    request = {"spec": {"expirationSeconds": 600, "audiences": []}}
    token = core.create_namespaced_service_account_token("robot", namespace, request).status.token
    reviewed = kubernetes.client.AuthenticationV1Api(api).create_token_review({"spec": {"token": token}})
    assert reviewed.status.user.username == f"system:serviceaccount:{namespace}:robot"
    configuration = kubernetes.client.Configuration()
    kubernetes.config.load_kube_config(str(whole.kubeconfig), client_configuration=configuration)
    configuration.cert_file = configuration.key_file = None
    configuration.api_key = {"authorization": f"Bearer {token}"}
    with kubernetes.client.ApiClient(configuration) as as_robot:
        with pytest.raises(kubernetes.client.ApiException) as refused:
            kubernetes.client.CoreV1Api(as_robot).list_namespaced_pod(namespace)
        assert refused.value.status == 403
    configuration.api_key = {}
    with kubernetes.client.ApiClient(configuration) as as_nobody:
        with pytest.raises(kubernetes.client.ApiException) as refused:
            kubernetes.client.CoreV1Api(as_nobody).list_namespaced_pod(namespace)
        assert refused.value.status == 401


def test_official_leader_election(api: kubernetes.client.ApiClient, namespace: str) -> None:
    """Two operators take turns by a Lease, as they do by client-go."""
    leases = kubernetes.client.CoordinationV1Api(api)
    spec = {"holderIdentity": "one", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z"}
    lease = leases.create_namespaced_lease(namespace, {"metadata": {"name": "leader"}, "spec": spec})
    assert lease.spec.renew_time.microsecond == 0
    lease.spec.holder_identity = "two"
    leases.replace_namespaced_lease("leader", namespace, lease)
    lease.spec.holder_identity = "three"
    with pytest.raises(kubernetes.client.ApiException) as refused:
        leases.replace_namespaced_lease("leader", namespace, lease)
    assert refused.value.status == 409
    assert leases.read_namespaced_lease("leader", namespace).spec.holder_identity == "two"


def test_lightkube(light: lightkube.Client, namespace: str) -> None:
    light.create(ConfigMap(metadata=ObjectMeta(name="a", namespace=namespace), data={"k": "v"}))
    mine = ConfigMap(metadata=ObjectMeta(name="a", namespace=namespace), data={"l": "w"})
    assert light.apply(mine, field_manager="me").data == {"k": "v", "l": "w"}
    assert "a" in [found.metadata.name for found in light.list(ConfigMap) if found.metadata]
    patched = light.patch(ConfigMap, "a", {"data": {"k": None}}, patch_type=PatchType.MERGE)
    assert patched.data == {"l": "w"}
    with pytest.raises(lightkube.ApiError) as refused:
        light.get(ConfigMap, "nope")
    assert (refused.value.status.code, refused.value.status.reason) == (404, "NotFound")


def test_lightkube_workloads(light: lightkube.Client) -> None:
    for document in codecs.load_all_yaml("---".join((WEB, SERVICE))):
        light.create(document)
    light.wait(Deployment, "web", for_conditions=["Available"])
    pods = list(light.list(Pod, labels={"app": "web"}))
    assert len(pods) == 2
    scale = light.get(Deployment.Scale, "web")
    assert scale.spec is not None
    assert scale.spec.replicas == 2
    light.delete(Deployment, "web", cascade=CascadeType.FOREGROUND)
    until(lambda: not list(light.list(Pod)))
    assert [found.metadata.name for found in light.list(Service) if found.metadata] == ["web"]


def test_kr8s(whole: RunningCluster, namespace: str) -> None:
    api = kr8s.api(kubeconfig=str(whole.kubeconfig), namespace=namespace)
    assert api.version()["minor"] == "36"
    assert "deployments" in {entry["name"] for entry in api.api_resources()}
    document = {"metadata": {"name": "a", "namespace": namespace}, "data": {"k": "v"}}
    found: Any = Kr8sConfigMap(document, api=api)
    found.create()
    found.patch({"data": {"k": "w"}})
    assert Kr8sConfigMap.get("a", namespace=namespace, api=api).data.k == "w"
    found.label({"x": "y"})
    assert [one.name for one in api.get("configmaps", namespace=namespace, label_selector={"x": "y"})] == ["a"]
    found.delete()
    with pytest.raises(kr8s.NotFoundError):
        Kr8sConfigMap.get("a", namespace=namespace, api=api)


def test_kr8s_workloads(whole: RunningCluster, namespace: str) -> None:
    api = kr8s.api(kubeconfig=str(whole.kubeconfig), namespace=namespace)
    document = yaml.safe_load(WEB)
    document["metadata"]["namespace"] = namespace
    deployment: Any = Kr8sDeployment(document, api=api)
    deployment.create()
    deployment.wait("condition=Available", timeout=60)
    deployment.scale(3)
    until(lambda: len(deployment.pods()) == 3)
    pods: list[Any] = list(Kr8sPod.list(label_selector={"app": "web"}, namespace=namespace, api=api))
    assert len(pods) == 3
    until(lambda: all(pod.ready() for pod in pods))
    deployment.delete(propagation_policy="Foreground")
    deployment.wait("delete", timeout=60)
    assert not list(api.get("pods", namespace=namespace))
