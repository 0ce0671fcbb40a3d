"""Pages on the agent's port about the node itself: its pods, how it is run, its logs.

Source: https://kubernetes.io/docs/reference/access-authn-authz/kubelet-authn-authz/
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from navarch.agent import kubeletfile
from navarch.agent.kubelet import KubeletConfig, Threshold
from navarch.agent.nodelogs import NodeLogs
from navarch.agent.runtime import ContainerState, PodOnNode, Runtime
from navarch.agent.topology import cpusets
from navarch.kinds.object import Object
from navarch.objects import quantity
from navarch.objects.value import Document
from navarch.wire.message import Request, Response

JSON = [("Content-Type", "application/json")]
TEXT = [("Content-Type", "text/plain; charset=utf-8")]


@dataclass(frozen=True, slots=True)
class NodePages:
    """pods: those that the API server has put here."""

    runtime: Runtime
    kubelet: KubeletConfig
    pods: Callable[[], Iterable[Object]]
    logs: NodeLogs

    async def page(self, request: Request, parts: Sequence[str]) -> Response | None:
        """None for what stands elsewhere. Raises: NotFound, BadRequest, RuntimeFailure."""
        match parts:
            case ["healthz", "ping" | "log" | "syncloop"]:
                return Response(200, TEXT, b"ok")
            case ["pods"]:
                return _json(_list([one.document() for one in self.pods()]))
            case ["runningpods"]:
                return _json(_list([_running(pod) for pod in (await self.runtime.observe()).values() if _runs(pod)]))
            case ["configz"]:
                return _json({"kubeletconfig": settings(self.kubelet)})
            case ["logs", *rest]:
                return await asyncio.to_thread(self.logs.page, request, rest)
        return None


def _json(document: Document) -> Response:
    return Response(200, JSON, orjson.dumps(document))


def _list(items: Sequence[Document]) -> Document:
    return {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": list(items)}


def _runs(pod: PodOnNode) -> bool:
    return any(one.state is ContainerState.RUNNING for one in pod.containers)


def _running(pod: PodOnNode) -> Document:
    containers = [one for one in pod.containers if one.state is ContainerState.RUNNING]
    return {
        "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
        "spec": {"containers": [{"name": one.name, "image": one.image, "resources": {}} for one in containers]},
        "status": {},
    }


def settings(config: KubeletConfig) -> Document:
    """The document that would have said all of it."""
    made: Document = {"kind": kubeletfile.KIND, "apiVersion": kubeletfile.API_VERSION}
    for name, field in kubeletfile.FIELDS.items():
        value = getattr(config, field.attribute)
        if value is not None:
            made[name] = _shown(value, seconds=field.attribute.endswith("_s"))
    return made


def _shown(value: Any, *, seconds: bool = False) -> Any:
    if isinstance(value, Mapping):
        return {key: _shown(inner, seconds=seconds) for key, inner in value.items()}
    if isinstance(value, Threshold):
        amount = value.amount
        return f"{value.part * 100:g}%" if amount is None else quantity.text(amount * quantity.NANO, "binary")
    if isinstance(value, frozenset):
        return cpusets.text(value)
    if isinstance(value, tuple):
        return list(value)
    return f"{value:g}s" if seconds and isinstance(value, float) else value
