"""The client libraries that operators are written with, on the library's kubeconfig."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import navarch

Make = Callable[..., dict[str, Any]]


def test_the_official_client(deployment: Make) -> None:
    from kubernetes import client, config, watch

    with navarch.Cluster(nodes=2) as c:
        api = config.new_client_from_config(config_file=str(c.kubeconfig))
        try:
            apps, core = client.AppsV1Api(api), client.CoreV1Api(api)
            apps.create_namespaced_deployment("default", deployment())
            ready = set()
            for event in watch.Watch().stream(core.list_namespaced_pod, "default", timeout_seconds=60):
                conditions = event["object"].status.conditions or []
                if any(one.type == "Ready" and one.status == "True" for one in conditions):
                    ready.add(event["object"].metadata.name)
                if len(ready) == 3:
                    break
            assert len(ready) == 3
            apps.patch_namespaced_deployment_scale("web", "default", {"spec": {"replicas": 1}})
            c.wait("deployment/web", lambda d: d["status"].get("replicas") == 1)
            assert len(core.list_node().items) == 2
        finally:
            api.close()


def test_lightkube(deployment: Make) -> None:
    from lightkube import Client, KubeConfig
    from lightkube.models.apps_v1 import Deployment
    from lightkube.resources.apps_v1 import Deployment as DeploymentResource
    from lightkube.resources.core_v1 import Pod

    with navarch.Cluster() as c:
        api = Client(config=KubeConfig.from_file(c.kubeconfig))
        api.create(DeploymentResource.from_dict(deployment()), namespace="default")
        api.wait(DeploymentResource, "web", for_conditions=["Available"], namespace="default")
        assert len(list(api.list(Pod, namespace="default"))) == 3
        assert isinstance(api.get(DeploymentResource, "web", namespace="default"), Deployment)


def test_kr8s(deployment: Make) -> None:
    import kr8s.asyncio
    from kr8s.asyncio.objects import Deployment, Pod

    async def main() -> None:
        async with navarch.Cluster() as c:
            api = await kr8s.asyncio.api(kubeconfig=str(c.kubeconfig))
            made = await Deployment(deployment(), api=api)
            await made.create()
            await made.wait("condition=Available", timeout=60)
            found = [pod async for pod in Pod.list(api=api, namespace="default")]
            assert len(found) == 3

    asyncio.run(main())
