"""An operator on kopf, and the asyncio client: watches, finalizers, status, owned objects, events, timers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kopf
import kubernetes_asyncio as k8s
import pytest
from compat_driver import Kubectl, kubectl_in, newest, until

from navarch.testing.cluster import RunningCluster

GROUP, VERSION, PLURAL = "kopf.example.com", "v1", "websites"
DEFINITION = f"""
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {PLURAL}.{GROUP}}}
spec:
  group: {GROUP}
  scope: Namespaced
  names: {{plural: {PLURAL}, singular: website, kind: Website, shortNames: [site]}}
  versions:
  - name: {VERSION}
    served: true
    storage: true
    subresources: {{status: {{}}}}
    additionalPrinterColumns:
    - {{name: Children, type: integer, jsonPath: .status.create.children}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [image]
            properties:
              image: {{type: string}}
              replicas: {{type: integer, minimum: 0, default: 1}}
          status: {{type: object, x-kubernetes-preserve-unknown-fields: true}}
"""
SITE = f"""
apiVersion: {GROUP}/{VERSION}
kind: Website
metadata: {{name: mine}}
spec: {{image: "nginx:1"}}
"""


def operator(deleted: list[str], ticks: list[str]) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()
    where = (GROUP, VERSION, PLURAL)

    @kopf.on.login(registry=registry)
    def login(**told: Any) -> Any:
        return kopf.login_with_kubeconfig(**told)

    @kopf.on.startup(registry=registry)
    def quiet(settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.posting.level = 20
        settings.persistence.finalizer = f"{GROUP}/finalizer"

    @kopf.on.create(*where, id="create", registry=registry)
    async def create(spec: Any, name: str, namespace: str, body: Any, patch: Any, **_: Any) -> Any:
        labels = {"site": name}
        child = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "replicas": spec["replicas"],
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "web", "image": spec["image"]}]},
                },
            },
        }
        kopf.adopt(child, owner=body)
        async with k8s.client.ApiClient() as api:
            await k8s.client.AppsV1Api(api).create_namespaced_deployment(namespace, child)
        kopf.event(body, type="Normal", reason="Made", message="the site has its deployment")
        return {"children": 1}

    @kopf.on.field(*where, field="spec.replicas", old=kopf.PRESENT, registry=registry)
    async def scale(new: int, name: str, namespace: str, **_: Any) -> None:
        async with k8s.client.ApiClient() as api:
            apps = k8s.client.AppsV1Api(api)
            await apps.patch_namespaced_deployment_scale(name, namespace, {"spec": {"replicas": new}})

    @kopf.on.delete(*where, registry=registry)
    async def delete(name: str, **_: Any) -> None:
        deleted.append(name)

    @kopf.timer(*where, interval=0.2, registry=registry)
    async def tick(name: str, patch: Any, **_: Any) -> None:
        ticks.append(name)
        patch.status["ticked"] = True

    return registry


@pytest.fixture
def kubectl(whole: RunningCluster, home: Path, tmp_path: Path) -> Kubectl:
    return kubectl_in(whole, newest(), home, tmp_path)


class Running:
    """The operator in a thread with a loop of its own."""

    def __init__(self, kubectl: Kubectl) -> None:
        self.deleted: list[str] = []
        self.ticks: list[str] = []
        self._kubectl = kubectl
        self._ready = threading.Event()
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        await k8s.config.load_kube_config(str(self._kubectl.kubeconfig))
        ready = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tell(ready))
            await kopf.operator(
                registry=operator(self.deleted, self.ticks),
                namespaces=[self._kubectl.namespace],
                stop_flag=self._stop,
                ready_flag=ready,
                standalone=True,
                memo=None,
            )

    async def _tell(self, ready: asyncio.Event) -> None:
        await ready.wait()
        self._ready.set()

    def __enter__(self) -> Running:
        self._thread.start()
        assert self._ready.wait(30), "the operator did not start"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        assert not self._thread.is_alive(), "the operator did not stop"


@pytest.fixture
def running(kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setenv("KUBECONFIG", str(kubectl.kubeconfig))
    kubectl.apply(DEFINITION)
    kubectl("wait", "--for=condition=Established", f"crd/{PLURAL}.{GROUP}")
    with Running(kubectl) as found:
        yield found


def test_an_operator_on_kopf(kubectl: Kubectl, running: Running) -> None:
    kubectl.apply(SITE)
    until(lambda: kubectl("get", "deployment", "-o", "name") == "deployment.apps/mine\n")
    kubectl("rollout", "status", "deployment/mine", "--timeout=100s")
    until(lambda: kubectl.read("site", "mine")["status"].get("create") == {"children": 1})
    assert kubectl.rows("get", "site")[1][:2] == ["mine", "1"]
    found = kubectl.read("site", "mine")
    assert found["metadata"]["finalizers"] == [f"{GROUP}/finalizer"]
    until(lambda: "the site has its deployment" in kubectl("get", "events"))
    kubectl("patch", "site", "mine", "--type=merge", "-p", '{"spec":{"replicas":3}}')
    until(lambda: kubectl.read("deployment", "mine")["status"].get("readyReplicas") == 3)
    until(lambda: len(running.ticks) > 2)
    kubectl("delete", "site", "mine")
    assert running.deleted == ["mine"]
    until(lambda: kubectl("get", "deployment", "-o", "name") == "")


def test_the_asyncio_client(kubectl: Kubectl) -> None:
    async def scene() -> None:
        await k8s.config.load_kube_config(str(kubectl.kubeconfig))
        async with k8s.client.ApiClient() as api:
            core = k8s.client.CoreV1Api(api)
            namespace = kubectl.namespace
            made = await core.create_namespaced_config_map(namespace, {"metadata": {"name": "a"}, "data": {"k": "v"}})
            seen = []
            async with k8s.watch.Watch() as watch:
                since = made.metadata.resource_version
                stream = watch.stream(
                    core.list_namespaced_config_map, namespace, resource_version=since, timeout_seconds=20
                )
                await core.patch_namespaced_config_map("a", namespace, {"data": {"k": "w"}})
                await core.delete_namespaced_config_map("a", namespace)
                async for event in stream:
                    seen.append((event["type"], event["object"].data["k"]))
                    if event["type"] == "DELETED":
                        break
            assert seen == [("MODIFIED", "w"), ("DELETED", "w")]
            with pytest.raises(k8s.client.ApiException) as missing:
                await core.read_namespaced_config_map("a", namespace)
            assert missing.value.status == 404
            nodes = await core.list_node()
            assert len(nodes.items) == 3

    asyncio.run(scene())
