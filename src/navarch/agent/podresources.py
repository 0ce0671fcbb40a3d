"""Who on the node has which device and CPU to itself, for monitors of devices, over a socket: a kubelet's pod resources
API. What they are given is decided elsewhere (`allotments`, `dra`).

Source: https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/device-plugins/#monitoring-device-plugin-resources
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from navarch.agent.allotments import Allotments
from navarch.agent.devices.plugins import Device
from navarch.agent.dra.claims import DeviceClaims
from navarch.base.clock import Clock
from navarch.base.log import Log
from navarch.kinds.pod import Pod
from navarch.kinds.podspec.container import Container
from navarch.wire.podresources import API, SERVICE

_log = Log("agent")

SOCKET = "kubelet.sock"
RETRY_S = 10.0
"""Between tries to open the socket."""


class PodResources:
    """pods: those of the node that have not ended. folder: where the socket is."""

    def __init__(
        self,
        pods: Callable[[], Iterable[Pod]],
        allotments: Allotments,
        claims: DeviceClaims,
        folder: Path,
        clock: Clock,
    ) -> None:
        self._pods = pods
        self._allotments = allotments
        self._claims = claims
        self._folder = folder
        self._clock = clock

    async def run(self) -> None:
        """Until cancelled."""
        server = await self._opened()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await server.stop(None)

    async def _opened(self) -> Any:
        """The server; tried until the disk lets its socket be made."""
        import grpc.aio

        functions = {
            "List": self._list,
            "Get": self._get,
            "GetAllocatableResources": self._allocatable,
        }
        while True:
            server = grpc.aio.server()
            server.add_generic_rpc_handlers((API.handlers(SERVICE, functions),))
            try:
                await asyncio.to_thread(_clear, self._folder)
                server.add_insecure_port(f"unix://{self._folder / SOCKET}")
            except (OSError, RuntimeError) as error:  # the latter is how gRPC says the former
                _log.warning("who has which device cannot be asked", folder=self._folder, error=error)
                await self._clock.sleep(RETRY_S)
                continue
            await server.start()
            return server

    # what is asked

    async def _list(self, request: Any, context: Any) -> Any:
        return API.make("ListPodResourcesResponse", pod_resources=[self._of_pod(pod) for pod in self._pods()])

    async def _get(self, request: Any, context: Any) -> Any:
        import grpc

        key = (request.pod_namespace, request.pod_name)
        for pod in self._pods():
            if (pod.metadata.namespace, pod.metadata.name) == key:
                return API.make("GetPodResourcesResponse", pod_resources=self._of_pod(pod))
        text = f"pod {request.pod_name} in namespace {request.pod_namespace} not found"
        await context.abort(grpc.StatusCode.UNKNOWN, text)

    async def _allocatable(self, request: Any, context: Any) -> Any:
        plugins = self._allotments.plugins
        known = plugins.amounts() if plugins is not None else ()
        every = {name: plugins.devices(name) for name in known} if plugins is not None else {}
        listed = [one for name, devices in sorted(every.items()) for one in _devices(name, devices, devices)]
        return API.make("AllocatableResourcesResponse", devices=listed, cpu_ids=sorted(self._allotments.owned))

    def _of_pod(self, pod: Pod) -> Any:
        sidecars = (one for one in pod.spec.init_containers if one.is_sidecar)
        containers = [self._of_container(pod, one) for one in (*sidecars, *pod.spec.containers)]
        meta = pod.metadata
        return API.make("PodResources", name=meta.name, namespace=meta.namespace, containers=containers)

    def _of_container(self, pod: Pod, container: Container) -> Any:
        share, plugins = self._allotments.share(pod.metadata.uid, container.name), self._allotments.plugins
        devices = [
            one
            for resource, ids in sorted(share.devices.items())
            for one in _devices(resource, ids, plugins.devices(resource) if plugins is not None else {})
        ]
        return API.make(
            "ContainerResources",
            name=container.name,
            devices=devices,
            cpu_ids=sorted(share.cpus),
            dynamic_resources=[self._claim(*one) for one in self._claims.given(pod, container).items()],
        )

    def _claim(self, key: tuple[str, str], given: Iterable[tuple[str, Any]]) -> Any:
        resources = [
            API.make(
                "ClaimResource",
                cdi_devices=[API.make("CDIDevice", name=name) for name in device.cdi],
                driver_name=driver,
                pool_name=device.pool,
                device_name=device.name,
                share_id=device.share,
            )
            for driver, device in given
        ]
        return API.make("DynamicResource", claim_namespace=key[0], claim_name=key[1], claim_resources=resources)


def _devices(resource: str, ids: Iterable[str], known: Mapping[str, Device]) -> Iterator[Any]:
    """Each by itself, with the nodes of memory that it lies at."""
    for name in sorted(ids):
        device = known.get(name)
        nodes = [API.make("NUMANode", ID=node) for node in device.nodes] if device is not None else []
        place = {"topology": API.make("TopologyInfo", nodes=nodes)} if nodes else {}
        yield API.make("ContainerDevices", resource_name=resource, device_ids=[name], **place)


def _clear(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o750)
    (folder / SOCKET).unlink(missing_ok=True)
