"""A storage driver in the test's own process: serves its sockets, notes what it is asked, fails as it is told to."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from navarch.wire import csi, registration
from navarch.wire.csi import API, NodeCan

NAME = "disk.example.com"
ALL = tuple(NodeCan)


@dataclass
class FakeDriver:
    """folder: where its own socket lies. can: as it says itself. asked: the calls, but those that change nothing.

    faults: by call, the codes that the next calls of it fail with. effect: of failing calls, those that have one.
    """

    folder: Path
    name: str = NAME
    can: Iterable[int] = ALL
    node_id: str = "node-7"
    topology: dict[str, str] = field(default_factory=dict)
    most_volumes: int = 0
    versions: tuple[str, ...] = ("1.0.0",)
    asked: list[tuple[str, Any]] = field(default_factory=list)
    faults: dict[str, list[str]] = field(default_factory=dict)
    staged: set[str] = field(default_factory=set)
    published: set[tuple[str, str]] = field(default_factory=set)
    heard: list[tuple[bool, str]] = field(default_factory=list)
    lazy: int = 0
    """So many times it says that it has published, and shows nothing."""

    @property
    def calls(self) -> list[str]:
        return [call.removeprefix("Node").removesuffix("Volume") for call, _ in self.asked]

    def last(self, call: str) -> Any:
        return next(request for name, request in reversed(self.asked) if name == f"Node{call}Volume")

    async def _hear(self, call: str, request: Any, context: Any) -> Any:
        import grpc

        self.asked.append((call, request))
        if self.faults.get(call):
            code = self.faults[call].pop(0)
            await context.abort(grpc.StatusCode[code], f"{call} is not to be had")
        return API.make(f"{call}Response")

    async def _stage(self, request: Any, context: Any) -> Any:
        answer = await self._hear("NodeStageVolume", request, context)
        self.staged.add(request.volume_id)
        return answer

    async def _unstage(self, request: Any, context: Any) -> Any:
        assert not any(volume == request.volume_id for volume, _ in self.published)
        answer = await self._hear("NodeUnstageVolume", request, context)
        self.staged.discard(request.volume_id)
        return answer

    async def _publish(self, request: Any, context: Any) -> Any:
        assert not request.staging_target_path or request.volume_id in self.staged
        answer = await self._hear("NodePublishVolume", request, context)
        target = Path(request.target_path)
        if self.lazy:
            self.lazy -= 1
        elif request.volume_capability.HasField("block"):
            target.touch()
        else:
            target.mkdir(exist_ok=True)
        self.published.add((request.volume_id, request.target_path))
        return answer

    async def _unpublish(self, request: Any, context: Any) -> Any:
        answer = await self._hear("NodeUnpublishVolume", request, context)
        target = Path(request.target_path)
        if target.is_dir():
            target.rmdir()
        else:
            target.unlink(missing_ok=True)
        self.published.discard((request.volume_id, request.target_path))
        return answer

    async def _expand(self, request: Any, context: Any) -> Any:
        await self._hear("NodeExpandVolume", request, context)
        return API.make("NodeExpandVolumeResponse", capacity_bytes=request.capacity_range.required_bytes)

    async def _capabilities(self, request: Any, context: Any) -> Any:
        found = [{"rpc": {"type": int(one)}} for one in self.can]
        return API.make("NodeGetCapabilitiesResponse", capabilities=found)

    async def _info(self, request: Any, context: Any) -> Any:
        topology = API.make("Topology", segments=self.topology)
        fields = {"node_id": self.node_id, "max_volumes_per_node": self.most_volumes}
        return API.make("NodeGetInfoResponse", accessible_topology=topology, **fields)

    async def _stats(self, request: Any, context: Any) -> Any:
        usage = [
            {"available": 60, "total": 100, "used": 40, "unit": csi.BYTES},
            {"available": 6, "total": 10, "used": 4, "unit": csi.INODES},
        ]
        condition = {"abnormal": True, "message": "it rattles"}
        return API.make("NodeGetVolumeStatsResponse", usage=usage, volume_condition=condition)

    async def _plugin(self, request: Any, context: Any) -> Any:
        fields = {"type": "CSIPlugin", "name": self.name, "endpoint": str(self.endpoint)}
        return registration.API.make("PluginInfo", supported_versions=self.versions, **fields)

    async def _told(self, request: Any, context: Any) -> Any:
        self.heard.append((request.plugin_registered, request.error))
        return registration.API.make("RegistrationStatusResponse")

    @property
    def endpoint(self) -> Path:
        return self.folder / "csi.sock"

    @contextlib.asynccontextmanager
    async def serving(self, registry: Path | None = None) -> AsyncIterator[None]:
        """registry: the agent's folder, to register there."""
        import grpc.aio

        server = grpc.aio.server()
        node = {
            "NodeStageVolume": self._stage,
            "NodeUnstageVolume": self._unstage,
            "NodePublishVolume": self._publish,
            "NodeUnpublishVolume": self._unpublish,
            "NodeExpandVolume": self._expand,
            "NodeGetCapabilities": self._capabilities,
            "NodeGetInfo": self._info,
            "NodeGetVolumeStats": self._stats,
        }
        plugin = {"GetInfo": self._plugin, "NotifyRegistrationStatus": self._told}
        handlers = (API.handlers("Node", node), registration.API.handlers("Registration", plugin))
        server.add_generic_rpc_handlers(handlers)
        self.folder.mkdir(parents=True, exist_ok=True)
        sockets = [self.endpoint]
        if registry is not None:
            registry.mkdir(parents=True, exist_ok=True)
            sockets.append(registry / f"{self.name}-reg.sock")
        for socket in sockets:
            server.add_insecure_port(f"unix://{socket}")
        await server.start()
        try:
            yield
        finally:
            await server.stop(None)
            for socket in sockets:
                socket.unlink(missing_ok=True)
