"""Sends each pod to whoever runs it: host processes by the handler of their RuntimeClass, all others to containerd.

What runs host processes is made when the first pod wants it, or when some are left from before; until then it costs
neither memory nor a descriptor.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from navarch.agent.cristreams import Dialed, Wanted
from navarch.agent.process.names import HANDLERS, IMAGE, SPELLINGS, host_image
from navarch.agent.runtime import (
    ContainerSpec,
    ContainerStats,
    ExecResult,
    Image,
    PodOnNode,
    RegistryAuth,
    Resources,
    Runtime,
    RuntimeFailure,
    RuntimeInfo,
    SandboxSpec,
)

if TYPE_CHECKING:
    from navarch.agent.process.runtime import ProcessRuntime
    from navarch.agent.process.streams import ProcessStreams

UNHEARD = 64
"""Changes that wait for whoever listens; then those who tell them wait."""


class Router:
    """others: the runtime of containers. make: the one of host processes. root: the latter's folder."""

    def __init__(self, others: Runtime, make: Callable[[], ProcessRuntime], root: Path) -> None:
        self._others = others
        self._make = make
        self._root = root
        self._made: ProcessRuntime | None = None
        self._there = asyncio.Event()
        self._turn = asyncio.Lock()
        self._looked = False

    @property
    def processes(self) -> ProcessRuntime | None:
        """None as long as there are none."""
        return self._made

    async def _wanted(self) -> ProcessRuntime:
        """Raises: RuntimeFailure."""
        async with self._turn:
            if self._made is None:
                made = self._make()
                try:
                    await made.ready()
                except OSError as error:
                    raise RuntimeFailure(f"what is known of host processes cannot be read: {error}") from error
                self._made = made
                self._there.set()
        return self._made

    async def _present(self) -> ProcessRuntime | None:
        """Once some have been there. Raises: RuntimeFailure."""
        if not self._looked:
            left = await asyncio.to_thread(self._root.is_dir)
            self._looked = True
            if left:
                return await self._wanted()
        return self._made

    async def first(self) -> ProcessRuntime:
        """Once there are some, or when some are left from before. Raises: RuntimeFailure."""
        await self._present()
        await self._there.wait()
        return await self._wanted()

    async def _of(self, some_id: str) -> Runtime:
        processes = await self._present()
        return processes if processes is not None and processes.holds(some_id) else self._others

    async def close(self) -> None:
        await self._others.close()

    async def info(self) -> RuntimeInfo:
        found = await self._others.info()
        return found if found.handlers is None else replace(found, handlers=(*found.handlers, *HANDLERS))

    async def observe(self, uid: str = "") -> Mapping[str, PodOnNode]:
        found = await self._others.observe(uid)
        processes = await self._present()
        return found if processes is None else {**found, **await processes.observe(uid)}

    async def changes(self) -> AsyncIterator[frozenset[str]]:
        """Ends when one of them goes away, as if both had."""
        told: asyncio.Queue[frozenset[str] | RuntimeFailure | None] = asyncio.Queue(UNHEARD)

        async def listen(there: Callable[[], Awaitable[Runtime]]) -> None:
            try:
                async for changed in (await there()).changes():
                    await told.put(changed)
                await told.put(None)
            except RuntimeFailure as error:
                await told.put(error)

        async def others() -> Runtime:
            return self._others

        async def processes() -> Runtime:
            return await self.first()

        group = asyncio.TaskGroup()
        await group.__aenter__()
        tasks = [group.create_task(listen(each)) for each in (others, processes)]
        try:
            while (changed := await told.get()) is not None:
                if isinstance(changed, RuntimeFailure):
                    raise changed
                yield changed
        finally:
            for task in tasks:
                task.cancel()
            await group.__aexit__(None, None, None)

    async def pull(self, image: str, auth: RegistryAuth | None = None, sandbox: SandboxSpec | None = None) -> str:
        return IMAGE if image in SPELLINGS else await self._others.pull(image, auth, sandbox)

    async def image(self, name: str) -> Image | None:
        return host_image() if name in SPELLINGS else await self._others.image(name)

    async def images(self) -> Sequence[Image]:
        return await self._others.images()

    async def import_image(self, archive: Path) -> Sequence[str]:
        return await self._others.import_image(archive)

    async def remove_image(self, image_id: str) -> None:
        await self._others.remove_image(image_id)

    async def start_sandbox(self, spec: SandboxSpec) -> str:
        if spec.runtime_handler in HANDLERS:
            return await (await self._wanted()).start_sandbox(spec)
        return await self._others.start_sandbox(spec)

    async def stop_sandbox(self, sandbox_id: str) -> None:
        await (await self._of(sandbox_id)).stop_sandbox(sandbox_id)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        await (await self._of(sandbox_id)).remove_sandbox(sandbox_id)

    async def create_container(self, sandbox_id: str, sandbox: SandboxSpec, spec: ContainerSpec) -> str:
        runtime = await self._of(sandbox_id)
        if runtime is self._others and spec.image == IMAGE:
            text = f"{spec.shown_image!r} is the host's own file system: only pods of a RuntimeClass with the handler "
            raise RuntimeFailure(f"{text}{HANDLERS[0]!r} run in it", reason="CreateContainerError")
        return await runtime.create_container(sandbox_id, sandbox, spec)

    async def start_container(self, container_id: str) -> None:
        await (await self._of(container_id)).start_container(container_id)

    async def stop_container(self, container_id: str, grace_s: float) -> None:
        await (await self._of(container_id)).stop_container(container_id, grace_s)

    async def update_container(self, container_id: str, resources: Resources) -> None:
        await (await self._of(container_id)).update_container(container_id, resources)

    async def remove_container(self, container_id: str) -> None:
        await (await self._of(container_id)).remove_container(container_id)

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout_s: float) -> ExecResult:
        return await (await self._of(container_id)).exec_sync(container_id, command, timeout_s)

    async def reopen_log(self, container_id: str) -> None:
        await (await self._of(container_id)).reopen_log(container_id)

    async def stats(self) -> Sequence[ContainerStats]:
        found = await self._others.stats()
        processes = await self._present()
        return found if processes is None else [*found, *await processes.stats()]


class Streams(Protocol):
    """As `agent.port` wants them. All raise RuntimeFailure."""

    async def exec(
        self, container_id: str, command: Sequence[str], wanted: Wanted, offered: Sequence[str] = ()
    ) -> Dialed: ...

    async def attach(self, container_id: str, wanted: Wanted, offered: Sequence[str] = ()) -> Dialed: ...

    async def port_forward(self, sandbox_id: str) -> Dialed: ...


class StreamRouter:
    """others: of containers. It runs what serves streams of host processes, once there are some."""

    def __init__(self, router: Router, others: Streams) -> None:
        self._router = router
        self._others = others
        self._own: ProcessStreams | None = None

    async def run(self) -> None:
        """Until cancelled."""
        processes = await self._router.first()
        from navarch.agent.process.streams import ProcessStreams

        self._own = ProcessStreams(processes)
        await self._own.run()

    def _of(self, some_id: str) -> Streams:
        processes = self._router.processes
        return self._own if self._own and processes is not None and processes.holds(some_id) else self._others

    async def exec(
        self, container_id: str, command: Sequence[str], wanted: Wanted, offered: Sequence[str] = ()
    ) -> Dialed:
        return await self._of(container_id).exec(container_id, command, wanted, offered)

    async def attach(self, container_id: str, wanted: Wanted, offered: Sequence[str] = ()) -> Dialed:
        return await self._of(container_id).attach(container_id, wanted, offered)

    async def port_forward(self, sandbox_id: str) -> Dialed:
        return await self._of(sandbox_id).port_forward(sandbox_id)
