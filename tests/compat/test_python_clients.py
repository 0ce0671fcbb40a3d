"""Client libraries of others, as their users use them."""

from __future__ import annotations

import threading
from typing import Any

import kr8s
import kubernetes
import lightkube
import pytest
from compat_server import Cluster
from kr8s.objects import ConfigMap as Kr8sConfigMap
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap, Namespace


def test_kubernetes_client(cluster: Cluster) -> None:
    api = kubernetes.config.new_client_from_config(str(cluster.kubeconfig))
    core = kubernetes.client.CoreV1Api(api)
    core.create_namespace({"metadata": {"name": "python"}})
    seen: list[tuple[str, str]] = []
    started = threading.Event()

    def watch() -> None:
        watcher = kubernetes.watch.Watch()
        started.set()
        for event in watcher.stream(core.list_namespaced_config_map, "python", timeout_seconds=20):
            seen.append((event["type"], event["object"].metadata.name))
            if event["type"] == "DELETED":
                watcher.stop()

    thread = threading.Thread(target=watch)
    thread.start()
    started.wait(5)
    made = core.create_namespaced_config_map("python", {"metadata": {"name": "a"}, "data": {"k": "v"}})
    assert made.metadata.uid
    core.patch_namespaced_config_map("a", "python", {"data": {"k": "w"}})
    assert core.read_namespaced_config_map("a", "python").data == {"k": "w"}
    core.delete_namespaced_config_map("a", "python")
    thread.join(20)
    assert seen == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    with pytest.raises(kubernetes.client.ApiException) as error:
        core.read_namespaced_config_map("a", "python")
    assert error.value.status == 404
    assert kubernetes.client.VersionApi(api).get_code().minor == "36"
    dynamic: Any = kubernetes.dynamic.DynamicClient(api)
    assert dynamic.resources.get(api_version="apps/v1", kind="Deployment").name == "deployments"
    api.close()


def test_lightkube(cluster: Cluster) -> None:
    client = lightkube.Client(lightkube.KubeConfig.from_file(str(cluster.kubeconfig)), namespace="default")
    client.create(Namespace(metadata=ObjectMeta(name="light")))
    client.create(ConfigMap(metadata=ObjectMeta(name="a", namespace="light"), data={"k": "v"}))
    applied = client.apply(
        ConfigMap(metadata=ObjectMeta(name="a", namespace="light"), data={"l": "w"}), field_manager="me"
    )
    assert applied.data == {"k": "v", "l": "w"}
    assert [found.metadata.name for found in client.list(ConfigMap, namespace="light") if found.metadata] == ["a"]


def test_kr8s(cluster: Cluster) -> None:
    api = kr8s.api(kubeconfig=str(cluster.kubeconfig))
    assert api.version()["minor"] == "36"
    document = {"metadata": {"name": "kr8s", "namespace": "default"}, "data": {"k": "v"}}
    found: Any = Kr8sConfigMap(document, api=api)
    found.create()
    found.patch({"data": {"k": "w"}})
    assert Kr8sConfigMap.get("kr8s", namespace="default", api=api).data.k == "w"
    found.delete()
    assert "deployments" in {entry["name"] for entry in api.api_resources()}
