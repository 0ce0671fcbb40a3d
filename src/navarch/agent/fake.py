"""The runtime seam in memory: containers are records, and what they do is scripted.

For tests of everything above the seam and for simulated nodes. It keeps the rules that a real runtime keeps (a
container needs its sandbox, a name and attempt exist once, a removed sandbox takes its containers along), so that the
conformance suite holds for both. Containers end by the event loop's own timers, so virtual time makes them virtual.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from navarch.agent.imagefile import archive_names, full_name
from navarch.agent.runtime import (
    POD_NAME,
    POD_NAMESPACE,
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
from navarch.base.clock import Clock, Ids


def _exec_nothing(command: Sequence[str]) -> ExecResult:
    return ExecResult(0)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a container does once started.

    run_s: None runs until it is stopped. stop_s: how long it takes to obey the stop signal; None ignores it.
    start_error: starting it fails with this message.
    """

    run_s: float | None = None
    exit_code: int = 0
    reason: str = ""
    stop_s: float | None = 0.0
    start_error: str = ""
    execute: Callable[[Sequence[str]], ExecResult] = _exec_nothing


@dataclass(frozen=True, slots=True)
class Pull:
    """What pulling an image does: takes `seconds`, then fails with `error` unless that is ""."""

    seconds: float = 0.0
    error: str = ""


def run_on(spec: ContainerSpec) -> Behaviour:
    """Every container runs until it is stopped."""
    return Behaviour()


def pull_at_once(image: str) -> Pull:
    return Pull()


@dataclass(slots=True)
class _Running:
    spec: ContainerSpec
    behaviour: Behaviour
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    timer: asyncio.TimerHandle | None = None


class FakeRuntime:
    """behave: the script of each container instance. pulls: the script of each pull. handlers: those that there are,
    without the new features of runtimes; None for all, with them.

    away: set it to make every call fail. sandbox_error: set it to make sandboxes fail. deaf: set it to lose events.
    calls: every changing verb with its main argument, in order, for tests to look at.
    """

    def __init__(
        self,
        clock: Clock,
        ids: Ids,
        *,
        behave: Callable[[ContainerSpec], Behaviour] = run_on,
        pulls: Callable[[str], Pull] = pull_at_once,
        images: Sequence[str] = (),
        subnet: str = "10.42.0",
        handlers: Sequence[str] | None = None,
    ) -> None:
        self.behave = behave
        self.pulls = pulls
        self.handlers = handlers
        self.away = False
        self.deaf = False
        self.sandbox_error = ""
        self.calls: list[tuple[str, str]] = []
        self.resources: dict[str, Resources] = {}
        self.memory_bytes: dict[str, int] = {}
        """What containers use, by their name; nothing by default."""
        self._clock = clock
        self._ids = ids
        self._subnet = subnet
        self._next_ip = 1
        self._sandboxes: dict[str, Sandbox] = {}
        self._containers: dict[str, Container] = {}
        self._running: dict[str, _Running] = {}
        self._images: dict[str, Image] = {}
        self._listeners: list[tuple[set[str], asyncio.Event]] = []
        for name in images:
            self._add_image(name)

    def _check(self) -> None:
        if self.away:
            raise RuntimeAway("the container runtime does not answer")

    def _did(self, verb: str, subject: str) -> None:
        self._check()
        self.calls.append((verb, subject))

    def _changed(self, uid: str) -> None:
        for pending, event in self._listeners if not self.deaf else ():
            pending.add(uid)
            event.set()

    def _id(self) -> str:
        return self._ids.uid().replace("-", "") * 2

    async def close(self) -> None:
        for running in self._running.values():
            if running.timer is not None:
                running.timer.cancel()

    async def info(self) -> RuntimeInfo:
        self._check()
        able = self.handlers is None
        return RuntimeInfo(
            "fake",
            "1",
            handlers=tuple(self.handlers or ("",)),
            user_namespaces=frozenset(("",) if able else ()),
            strict_groups=able,
            image_volumes=able,
        )

    async def observe(self, uid: str = "") -> Mapping[str, PodOnNode]:
        self._check()
        boxes: dict[str, list[Sandbox]] = {}
        held: dict[str, list[Container]] = {}
        for box in self._sandboxes.values():
            if uid in ("", box.uid):
                boxes.setdefault(box.uid, []).append(box)
        for item in self._containers.values():
            owner = item.labels.get(POD_UID, "")
            if uid in ("", owner):
                held.setdefault(owner, []).append(item)
        found = dict.fromkeys([*boxes, *held])
        return {owner: on_node(owner, boxes.get(owner, ()), held.get(owner, ())) for owner in found}

    async def changes(self) -> AsyncIterator[frozenset[str]]:
        pending: set[str] = {""}
        event = asyncio.Event()
        event.set()
        listener = (pending, event)
        self._listeners.append(listener)
        try:
            while True:
                await event.wait()
                self._check()
                event.clear()
                delivered = frozenset(pending)
                pending.clear()
                yield delivered
        finally:
            self._listeners.remove(listener)

    def end_changes(self) -> None:
        """The runtime goes away under its listeners."""
        self.away = True
        for _, event in self._listeners:
            event.set()

    async def pull(self, image: str, auth: RegistryAuth | None = None, sandbox: SandboxSpec | None = None) -> str:
        self._did("pull", image)
        script = self.pulls(image)
        if script.seconds:
            await self._clock.sleep(script.seconds)
        if script.error:
            raise RuntimeFailure(script.error, reason="ErrImagePull")
        return self._add_image(image).ref

    def _add_image(self, name: str) -> Image:
        full = full_name(name)
        known = self._images.get(full)
        if known is None:
            known = self._images[full] = Image(id=f"sha256:{self._id()}", names=(full,), size_bytes=1 << 20)
        return known

    async def image(self, name: str) -> Image | None:
        self._check()
        by_id = next((image for image in self._images.values() if name in (image.id, *image.digests)), None)
        return by_id or self._images.get(full_name(name))

    async def images(self) -> Sequence[Image]:
        self._check()
        return list(self._images.values())

    async def import_image(self, archive: Path) -> Sequence[str]:
        self._did("import", str(archive))
        names = await asyncio.to_thread(archive_names, archive)
        for name in names:
            self._add_image(name)
        return names

    async def remove_image(self, image_id: str) -> None:
        self._did("remove_image", image_id)
        self._images = {name: image for name, image in self._images.items() if image_id not in (name, image.id)}

    async def start_sandbox(self, spec: SandboxSpec) -> str:
        self._did("start_sandbox", spec.name)
        for box in self._sandboxes.values():
            if (box.uid, box.attempt) == (spec.uid, spec.attempt):
                if not box.ready:
                    raise RuntimeFailure(
                        f"sandbox {spec.attempt} of pod {spec.name} has ended", reason="CreatePodSandboxError"
                    )
                return box.id
        if self.handlers is not None and spec.runtime_handler not in self.handlers:
            raise RuntimeFailure(
                f'failed to get sandbox runtime: no runtime for "{spec.runtime_handler}" is configured',
                reason="CreatePodSandboxError",
            )
        if self.sandbox_error:
            raise RuntimeFailure(self.sandbox_error, reason="CreatePodSandboxError")
        self._next_ip += 1
        address = () if spec.host_network else (f"{self._subnet}.{self._next_ip}",)
        own = {POD_NAME: spec.name, POD_NAMESPACE: spec.namespace, POD_UID: spec.uid}
        box = Sandbox(
            id=self._id(),
            namespace=spec.namespace,
            name=spec.name,
            uid=spec.uid,
            attempt=spec.attempt,
            ready=True,
            created_at=self._clock.now(),
            ips=address,
            labels={**own, **spec.labels},
            annotations=dict(spec.annotations),
        )
        self._sandboxes[box.id] = box
        return box.id

    async def stop_sandbox(self, sandbox_id: str) -> None:
        self._did("stop_sandbox", sandbox_id)
        for container in [item for item in self._containers.values() if item.sandbox_id == sandbox_id]:
            self._exit(container.id, 137, "Error")
        self.break_sandbox(sandbox_id)

    def break_sandbox(self, sandbox_id: str) -> None:
        """The sandbox's own process dies; its containers live on."""
        box = self._sandboxes.get(sandbox_id)
        if box is not None and box.ready:
            self._sandboxes[sandbox_id] = replace(box, ready=False, ips=())
            self._changed(box.uid)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        await self.stop_sandbox(sandbox_id)
        self._did("remove_sandbox", sandbox_id)
        for container in [item for item in self._containers.values() if item.sandbox_id == sandbox_id]:
            del self._containers[container.id]
            self._running.pop(container.id, None)
        self._sandboxes.pop(sandbox_id, None)

    async def create_container(self, sandbox_id: str, sandbox: SandboxSpec, spec: ContainerSpec) -> str:
        self._did("create_container", spec.name)
        box = self._sandboxes.get(sandbox_id)
        if box is None or not box.ready:
            raise Gone(f"sandbox {sandbox_id} is not running", reason="CreateContainerError")
        for item in self._containers.values():
            if (item.sandbox_id, item.name, item.attempt) == (sandbox_id, spec.name, spec.attempt):
                return item.id
        image = await self.image(spec.image)
        if image is None:
            raise Gone(f"image {spec.image} is not here", reason="CreateContainerError")
        container = Container(
            id=self._id(),
            sandbox_id=sandbox_id,
            name=spec.name,
            attempt=spec.attempt,
            state=ContainerState.CREATED,
            image=spec.shown_image or spec.image,
            image_ref=image.ref,
            created_at=self._clock.now(),
            log_path=f"{sandbox.log_directory}/{spec.log_path}" if spec.log_path else "",
            labels={POD_UID: sandbox.uid, **spec.labels},
            annotations=dict(spec.annotations),
        )
        self._containers[container.id] = container
        self._running[container.id] = _Running(spec, self.behave(spec))
        return container.id

    async def start_container(self, container_id: str) -> None:
        self._did("start_container", container_id)
        container = self._containers.get(container_id)
        if container is None:
            raise Gone(f"container {container_id} does not exist", reason="RunContainerError")
        if container.state is ContainerState.RUNNING:
            return
        if container.state is not ContainerState.CREATED:
            raise RuntimeFailure(f"container {container_id} has exited", reason="RunContainerError")
        running = self._running[container_id]
        script = running.behaviour
        now = self._clock.now()
        if script.start_error:
            self._containers[container_id] = replace(
                container,
                state=ContainerState.EXITED,
                finished_at=now,
                exit_code=128,
                reason="StartError",
                message=script.start_error,
            )
            running.ended.set()
            raise RuntimeFailure(script.start_error, reason="RunContainerError")
        self._containers[container_id] = replace(container, state=ContainerState.RUNNING, started_at=now)
        if script.run_s is not None:
            loop = asyncio.get_running_loop()
            running.timer = loop.call_later(script.run_s, self._exit, container_id, script.exit_code, script.reason)

    def _exit(self, container_id: str, code: int, reason: str = "") -> None:
        container = self._containers.get(container_id)
        if container is None or container.state is ContainerState.EXITED:
            return
        running = self._running[container_id]
        if running.timer is not None:
            running.timer.cancel()
        self._containers[container_id] = replace(
            container,
            state=ContainerState.EXITED,
            finished_at=self._clock.now(),
            exit_code=code,
            reason=reason or ("Error" if code else "Completed"),
        )
        running.ended.set()
        self._changed(container.labels.get(POD_UID, ""))

    def crash(self, container_id: str, code: int = 1, reason: str = "Error") -> None:
        """The container's process ends by itself."""
        self._exit(container_id, code, reason)

    async def stop_container(self, container_id: str, grace_s: float) -> None:
        self._did("stop_container", container_id)
        container = self._containers.get(container_id)
        if container is None or container.state is ContainerState.EXITED:
            return
        stop_s = self._running[container_id].behaviour.stop_s
        if stop_s is None or stop_s > grace_s:
            await self._wait_end(container_id, grace_s)
            self._exit(container_id, 137, "Error")
        else:
            await self._wait_end(container_id, stop_s)
            self._exit(container_id, 143, "Error")

    async def _wait_end(self, container_id: str, seconds: float) -> None:
        if seconds > 0:
            try:
                async with asyncio.timeout(seconds):
                    await self._running[container_id].ended.wait()
            except TimeoutError:
                return

    async def update_container(self, container_id: str, resources: Resources) -> None:
        self._did("update_container", container_id)
        container = self._containers.get(container_id)
        if container is None or container.state is not ContainerState.RUNNING:
            raise Gone(f"container {container_id} is not running", reason="ResizeError")
        self.resources[container_id] = resources

    async def remove_container(self, container_id: str) -> None:
        self._did("remove_container", container_id)
        self._exit(container_id, 137)
        self._containers.pop(container_id, None)
        self._running.pop(container_id, None)

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout_s: float) -> ExecResult:
        self._check()
        container = self._containers.get(container_id)
        if container is None or container.state is not ContainerState.RUNNING:
            raise Gone(f"container {container_id} is not running")
        return self._running[container_id].behaviour.execute(command)

    async def reopen_log(self, container_id: str) -> None:
        self._did("reopen_log", container_id)

    def running(self) -> list[Container]:
        return [item for item in self._containers.values() if item.state is ContainerState.RUNNING]

    async def stats(self) -> Sequence[ContainerStats]:
        self._check()
        now = self._clock.now()
        return [
            ContainerStats(
                item.id,
                item.name,
                item.labels.get(POD_UID, ""),
                now,
                memory_bytes=self.memory_bytes.get(item.name, 0),
                working_set_bytes=self.memory_bytes.get(item.name, 0),
            )
            for item in self.running()
        ]
