"""What a user does to a simulated cluster, by chance: deployments come, change, scale and go, pods are deleted."""

from __future__ import annotations

from typing import Any

from navarch.base.clock import Clock, Ids
from navarch.base.errors import ApiError, Retryable
from navarch.client.client import Client
from navarch.kinds import DEPLOYMENT, POD
from navarch.objects.value import Document


async def workload(admin: Client, ids: Ids, clock: Clock, steps: int) -> dict[str, int]:
    """What a user does: deployments come, change, scale and go. Requests of the user do not fail.

    Returns which deployments there must be in the end, with their replicas.
    """
    alive: dict[str, int] = {}
    for step in range(steps):
        await clock.sleep(ids.fraction() * 20.0)
        choice = ids.fraction()
        if not alive or choice < 0.25:
            name = f"app-{step}"
            alive[name] = 1 + int(ids.fraction() * 6)
            await admin.create(DEPLOYMENT, _deployment(name, alive[name], "web:v1"))
            continue
        name = sorted(alive)[int(ids.fraction() * len(alive))]
        if choice < 0.55:
            image = ("web:v2", "web:slow", "web:crash", "web:lost", f"web:v{step}")[int(ids.fraction() * 5)]
            containers: list[Any] = [{"name": "main", "image": image}]
            template = {"spec": {"containers": containers}}
            await admin.patch(DEPLOYMENT, "default", name, {"spec": {"template": template}}, type="strategic")
        elif choice < 0.8:
            alive[name] = int(ids.fraction() * 8)
            await admin.patch(DEPLOYMENT, "default", name, {"spec": {"replicas": alive[name]}})
        elif choice < 0.9:
            del alive[name]
            await admin.delete(DEPLOYMENT, "default", name, propagation="Background")
        else:
            pods = sorted(pod.name for pod in (await admin.list(POD, "default")).items)
            if pods:
                try:
                    await admin.delete(POD, "default", pods[int(ids.fraction() * len(pods))])
                except (ApiError, Retryable) as error:
                    if getattr(error, "code", 404) != 404:
                        raise
    for name in sorted(alive):
        containers = [{"name": "main", "image": "web:last"}]
        template = {"spec": {"containers": containers}}
        await admin.patch(DEPLOYMENT, "default", name, {"spec": {"template": template}}, type="strategic")
    return alive


def _deployment(name: str, replicas: int, image: str) -> Document:
    labels = {"app": name}
    resources = {"requests": {"cpu": "100m", "memory": "64Mi"}}
    container = {"name": "main", "image": image, "resources": resources}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
