"""The runtime seam on a real container runtime: CRI v1 over gRPC, and containerd's events.

What never changes is remembered: the addresses of a ready sandbox, the status of a container that has exited or that
runs undisturbed. A pod that nothing happens to is observed with two short calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from navarch.agent import crimessages
from navarch.agent.imagefile import archive_names
from navarch.agent.operations import Operations
from navarch.agent.runtime import (
    POD_UID,
    Container,
    ContainerSpec,
    ContainerState,
    ContainerStats,
    ExecResult,
    Gone,
    Image,
    PodOnNode,
    RegistryAuth,
    Resources,
    RuntimeAway,
    RuntimeFailure,
    RuntimeInfo,
    Sandbox,
    SandboxSpec,
    on_node,
)
from navarch.base.clock import Clock
from navarch.wire import cri

CALL_S = 120.0
"""How long a call may take that waits for nothing but the runtime itself."""
INFO_S = 10.0
STARTED, REMOVED = "/tasks/start", "/containers/delete"
SETTLE_S = 0.02
SETTLE_TRIES = 50
SETTLE_PAUSES_S = (SETTLE_S,) * SETTLE_TRIES + (0.25,) * 80
"""containerd says that a task ended a moment before its CRI side knows it, and on a busy machine long before: how
often, and how soon each time, we look again. Nothing else would tell of the end but a relist, which may be far off."""


class CriRuntime:
    """ctr: containerd's own client program, which imports image archives (CRI has no verb for it)."""

    def __init__(self, socket: Path, clock: Clock, *, ctr: str = "ctr", snapshotter: str = "overlayfs") -> None:
        self._socket = socket
        self._clock = clock
        self._ctr = ctr
        self._snapshotter = snapshotter
        self._channel = cri.open_channel(socket)
        self._api = cri.stubs()
        self._runtime, self._images = cri.services(self._channel)
        self._containers: dict[str, Container] = {}
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._owners: dict[str, str] = {}
        self._ended: set[str] = set()
        self.operations = Operations(clock)
        self._ours: set[tuple[str, str]] = set()
        """What we start or remove ourselves, as topic and id, until an event says so."""
        self._removed: set[str] = set()
        """What others removed: containerd says so a moment before its CRI side forgets it."""

    @property
    def socket(self) -> Path:
        return self._socket

    @property
    def channel(self) -> Any:
        """The connection to the runtime, for what else asks it (`CriStreams`)."""
        return self._channel

    async def close(self) -> None:
        await self._channel.close()

    async def _call(self, method: Any, request: Any, *, timeout_s: float = CALL_S, reason: str = "RuntimeError") -> Any:
        import grpc.aio

        try:
            with self.operations.counted(request):
                return await method(request, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            code, details = error.code(), error.details() or error.code().name
            if code == grpc.StatusCode.UNAVAILABLE:
                raise RuntimeAway(f"the container runtime at {self._socket} does not answer: {details}") from error
            if code == grpc.StatusCode.NOT_FOUND:
                raise Gone(details, reason=reason) from error
            if code == grpc.StatusCode.DEADLINE_EXCEEDED:
                raise RuntimeFailure(f"the container runtime took too long: {details}", reason=reason) from error
            raise RuntimeFailure(details, reason=reason) from error

    async def info(self) -> RuntimeInfo:
        version = await self._call(self._runtime.Version, self._api.VersionRequest(), timeout_s=INFO_S)
        status = await self._call(self._runtime.Status, self._api.StatusRequest(), timeout_s=INFO_S)
        return crimessages.runtime_info(version, status)

    async def observe(self, uid: str = "") -> Mapping[str, PodOnNode]:
        labels = {POD_UID: uid} if uid else {}
        api = self._api
        removed = frozenset(self._removed) if uid else frozenset()
        listed, held = await asyncio.gather(
            self._call(
                self._runtime.ListPodSandbox,
                api.ListPodSandboxRequest(filter=api.PodSandboxFilter(label_selector=labels)),
            ),
            self._call(
                self._runtime.ListContainers,
                api.ListContainersRequest(filter=api.ContainerFilter(label_selector=labels)),
            ),
        )
        sandboxes = await asyncio.gather(*(self._sandbox(item) for item in listed.items if item.id not in removed))
        containers = await asyncio.gather(
            *(self._container(item) for item in held.containers if item.id not in removed)
        )
        if not uid:
            self._forget({item.id for item in sandboxes if item}, {item.id for item in containers if item})
        return _by_pod([item for item in sandboxes if item], [item for item in containers if item], self._owners)

    def _forget(self, sandboxes: set[str], containers: set[str]) -> None:
        """Drop what is remembered of things that are gone (called with everything there is)."""
        for gone in self._addresses.keys() - sandboxes:
            del self._addresses[gone]
        for gone in self._containers.keys() - containers:
            del self._containers[gone]
        for gone in self._owners.keys() - sandboxes - containers:
            del self._owners[gone]
        self._ours = {one for one in self._ours if one[1] in sandboxes or one[1] in containers}
        self._removed.clear()
        self._ended &= containers

    async def _sandbox(self, item: Any) -> Sandbox | None:
        self._owners[item.id] = item.metadata.uid
        ready = item.state == self._api.SANDBOX_READY
        if ready and (item.id not in self._addresses or item.id in self._ended):
            try:
                status = await self._sandbox_status(item.id)
            except Gone:
                return None
            item.state = status.state
            ready = status.state == self._api.SANDBOX_READY
            first = (status.network.ip,) if status.network.ip else ()
            self._addresses[item.id] = first + tuple(extra.ip for extra in status.network.additional_ips)
        if not ready:
            self._ended.discard(item.id)
        return crimessages.sandbox(item, self._addresses.get(item.id, ()) if ready else ())

    async def _sandbox_status(self, sandbox_id: str) -> Any:
        """Of one whose process has ended, once the CRI side knows it. Raises: Gone."""
        request = self._api.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id)
        for pause_s in SETTLE_PAUSES_S:
            status = (await self._call(self._runtime.PodSandboxStatus, request)).status
            if status.state != self._api.SANDBOX_READY or sandbox_id not in self._ended:
                break
            await self._clock.sleep(pause_s)
        return status

    async def _container(self, item: Any) -> Container | None:
        self._owners[item.id] = item.labels.get(POD_UID, "")
        state = crimessages.state(item.state)
        known = self._containers.get(item.id)
        lagging = state is not ContainerState.EXITED and item.id in self._ended
        if known is not None and known.state is state and not lagging and state is not ContainerState.UNKNOWN:
            return known
        for pause_s in SETTLE_PAUSES_S:
            request = self._api.ContainerStatusRequest(container_id=item.id)
            try:
                status = (await self._call(self._runtime.ContainerStatus, request)).status
            except Gone:
                return None
            known = self._containers[item.id] = crimessages.container(item.pod_sandbox_id, status)
            if known.state is ContainerState.EXITED or item.id not in self._ended:
                break
            await self._clock.sleep(pause_s)
        if known is not None and known.state is ContainerState.EXITED:
            self._ended.discard(item.id)
        return known

    def _strange(self, event: cri.Event) -> str:
        """Whose it is that others started or removed; "" when we did, or it is nobody's, or something else happened."""
        if event.topic not in (STARTED, REMOVED):
            return ""
        if (event.topic, event.container_id) in self._ours:
            self._ours.discard((event.topic, event.container_id))
            return ""
        if event.topic == REMOVED and event.container_id in self._owners:
            self._removed.add(event.container_id)
        return self._owners.get(event.container_id, "")

    async def changes(self) -> AsyncIterator[frozenset[str]]:
        import grpc.aio

        try:
            async for event in cri.events(self._channel):
                if event.topic == cri.SUBSCRIBED:
                    yield frozenset({""})
                elif event.topic == "/tasks/exit" and event.process_id in ("", event.container_id):
                    self._ended.add(event.container_id)
                    yield frozenset({self._owners.get(event.container_id, "")})
                elif owner := self._strange(event):
                    yield frozenset({owner})
        except grpc.aio.AioRpcError as error:
            raise RuntimeAway(f"the event stream of {self._socket} ended: {error.details()}") from error
        except TimeoutError as error:
            raise RuntimeAway(f"the event stream of {self._socket} did not open in time") from error

    async def pull(self, image: str, auth: RegistryAuth | None = None, sandbox: SandboxSpec | None = None) -> str:
        request = self._api.PullImageRequest(image=self._api.ImageSpec(image=image))
        if auth is not None:
            request.auth.CopyFrom(crimessages.auth_config(auth))
        if sandbox is not None:
            request.sandbox_config.CopyFrom(crimessages.sandbox_config(sandbox))
        answer = await self._call(self._images.PullImage, request, timeout_s=3600, reason="ErrImagePull")
        return str(answer.image_ref)

    async def image(self, name: str) -> Image | None:
        request = self._api.ImageStatusRequest(image=self._api.ImageSpec(image=name), verbose=True)
        answer = await self._call(self._images.ImageStatus, request)
        return crimessages.image(answer.image, answer.info) if answer.HasField("image") else None

    async def images(self) -> Sequence[Image]:
        answer = await self._call(self._images.ListImages, self._api.ListImagesRequest())
        return [crimessages.image(item) for item in answer.images]

    async def import_image(self, archive: Path) -> Sequence[str]:
        names = await asyncio.to_thread(archive_names, archive)
        command = (self._ctr, "--address", str(self._socket), "--namespace", cri.NAMESPACE, "images", "import")
        process = await asyncio.create_subprocess_exec(
            *command,
            "--snapshotter",
            self._snapshotter,
            str(archive),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        if process.returncode:
            raise RuntimeFailure(f"{archive} was not imported: {output.decode(errors='replace').strip()}")
        for name in names:
            await self._settled(name)
        return names

    async def _settled(self, name: str) -> None:
        """Wait until the CRI side has noticed an image that came in behind its back."""
        for _ in range(SETTLE_TRIES):
            if await self.image(name) is not None:
                return
            await self._clock.sleep(SETTLE_S)
        raise RuntimeFailure(f"image {name} was imported, but the runtime does not list it")

    async def remove_image(self, image_id: str) -> None:
        with contextlib.suppress(Gone):
            request = self._api.RemoveImageRequest(image=self._api.ImageSpec(image=image_id))
            await self._call(self._images.RemoveImage, request)

    async def start_sandbox(self, spec: SandboxSpec) -> str:
        request = self._api.RunPodSandboxRequest(
            config=crimessages.sandbox_config(spec), runtime_handler=spec.runtime_handler
        )
        try:
            answer = await self._call(self._runtime.RunPodSandbox, request, reason="CreatePodSandboxError")
        except RuntimeFailure:
            if existing := await self._existing_sandbox(spec):
                return existing
            raise
        self._owners[answer.pod_sandbox_id] = spec.uid
        return str(answer.pod_sandbox_id)

    async def _existing_sandbox(self, spec: SandboxSpec) -> str:
        pod = (await self.observe(spec.uid)).get(spec.uid, PodOnNode(spec.uid))
        return next((item.id for item in pod.sandboxes if item.attempt == spec.attempt and item.ready), "")

    async def stop_sandbox(self, sandbox_id: str) -> None:
        with contextlib.suppress(Gone):
            await self._call(self._runtime.StopPodSandbox, self._api.StopPodSandboxRequest(pod_sandbox_id=sandbox_id))

    async def remove_sandbox(self, sandbox_id: str) -> None:
        self._ours.add((REMOVED, sandbox_id))
        with contextlib.suppress(Gone):
            await self._call(
                self._runtime.RemovePodSandbox, self._api.RemovePodSandboxRequest(pod_sandbox_id=sandbox_id)
            )

    async def create_container(self, sandbox_id: str, sandbox: SandboxSpec, spec: ContainerSpec) -> str:
        request = self._api.CreateContainerRequest(
            pod_sandbox_id=sandbox_id,
            config=crimessages.container_config(sandbox, spec),
            sandbox_config=crimessages.sandbox_config(sandbox),
        )
        try:
            answer = await self._call(self._runtime.CreateContainer, request, reason="CreateContainerError")
        except RuntimeFailure:
            if existing := await self._existing_container(sandbox_id, sandbox.uid, spec):
                return existing
            raise
        self._owners[answer.container_id] = sandbox.uid
        return str(answer.container_id)

    async def _existing_container(self, sandbox_id: str, uid: str, spec: ContainerSpec) -> str:
        pod = (await self.observe(uid)).get(uid, PodOnNode(uid))
        same = (spec.name, spec.attempt, sandbox_id)
        return next((item.id for item in pod.containers if (item.name, item.attempt, item.sandbox_id) == same), "")

    async def start_container(self, container_id: str) -> None:
        request = self._api.StartContainerRequest(container_id=container_id)
        self._ours.add((STARTED, container_id))
        try:
            await self._call(self._runtime.StartContainer, request, reason="RunContainerError")
        except RuntimeFailure:
            if await self._state(container_id) is not ContainerState.RUNNING:
                raise

    async def _state(self, container_id: str) -> ContainerState:
        request = self._api.ContainerStatusRequest(container_id=container_id)
        try:
            return crimessages.state((await self._call(self._runtime.ContainerStatus, request)).status.state)
        except Gone:
            return ContainerState.UNKNOWN

    async def stop_container(self, container_id: str, grace_s: float) -> None:
        with contextlib.suppress(Gone):
            request = self._api.StopContainerRequest(container_id=container_id, timeout=math.ceil(grace_s))
            await self._call(self._runtime.StopContainer, request, timeout_s=grace_s + CALL_S)

    async def update_container(self, container_id: str, resources: Resources) -> None:
        request = self._api.UpdateContainerResourcesRequest(
            container_id=container_id, linux=crimessages.resources_message(resources)
        )
        await self._call(self._runtime.UpdateContainerResources, request, reason="ResizeError")

    async def remove_container(self, container_id: str) -> None:
        self._ours.add((REMOVED, container_id))
        with contextlib.suppress(Gone):
            await self._call(self._runtime.RemoveContainer, self._api.RemoveContainerRequest(container_id=container_id))

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout_s: float) -> ExecResult:
        request = self._api.ExecSyncRequest(container_id=container_id, cmd=command, timeout=math.ceil(timeout_s))
        try:
            async with asyncio.timeout(timeout_s + 1.0):
                answer = await self._call(self._runtime.ExecSync, request, timeout_s=timeout_s + CALL_S)
        except RuntimeFailure as error:
            if "timeout" in str(error) or "too long" in str(error):
                raise TimeoutError(f"command {' '.join(command)!r} timed out after {timeout_s:g}s") from error
            raise
        return ExecResult(answer.exit_code, answer.stdout, answer.stderr)

    async def reopen_log(self, container_id: str) -> None:
        await self._call(
            self._runtime.ReopenContainerLog, self._api.ReopenContainerLogRequest(container_id=container_id)
        )

    async def stats(self) -> Sequence[ContainerStats]:
        answer = await self._call(self._runtime.ListContainerStats, self._api.ListContainerStatsRequest())
        return [crimessages.stats(item, item.attributes.labels.get(POD_UID, "")) for item in answer.stats]


def _by_pod(
    sandboxes: Sequence[Sandbox], containers: Sequence[Container], owners: Mapping[str, str]
) -> Mapping[str, PodOnNode]:
    """Grouped by pod uid, newest first."""
    boxes: dict[str, list[Sandbox]] = {}
    held: dict[str, list[Container]] = {}
    for item in sandboxes:
        boxes.setdefault(item.uid, []).append(item)
    for one in containers:
        held.setdefault(owners.get(one.id, ""), []).append(one)
    return {uid: on_node(uid, boxes.get(uid, ()), held.get(uid, ())) for uid in dict.fromkeys([*boxes, *held])}
