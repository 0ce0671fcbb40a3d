"""The runtime seam on processes of the host itself: `runc` makes them, `conmon` stays with each, records tell of them.

A container is a program of the host's own file system, in the same namespaces and control groups, on the same network
and with the same log as one of an image. Nothing here keeps it alive: the agent may be ended and started again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from signal import SIGKILL, SIGTERM

import msgspec
import orjson

from navarch.agent import bandwidth
from navarch.agent.cgroups import find_hierarchy
from navarch.agent.inotify import watched
from navarch.agent.process import bundle, cni, ground, measure, namespaces, rootfs, signals
from navarch.agent.process.launch import Launcher, Programs, find_programs, words
from navarch.agent.process.names import HANDLERS, IMAGE, SPELLINGS, host_image
from navarch.agent.process.record import Box, Held, Shelf, birth_of, boot_id, lives
from navarch.agent.runtime import (
    ContainerSpec,
    ContainerState,
    ContainerStats,
    ExecResult,
    Gone,
    Image,
    PodOnNode,
    RegistryAuth,
    Resources,
    RuntimeFailure,
    RuntimeInfo,
    SandboxSpec,
    on_node,
)
from navarch.base.clock import Clock, Ids
from navarch.base.log import Log

_log = Log("agent")

KILLED_S = 30.0
TOLD_S = 5.0
"""How long a watcher may take to write down how its process ended."""
LOST = 255
"""The exit code of what nobody watched when it ended."""


class ProcessRuntime:
    """root: a folder of its own. hidden: folders of the host that no process is shown. handlers: of sandboxes that it
    makes. names: what images are called that mean the host."""

    def __init__(
        self,
        root: Path,
        plugins: cni.Plugins,
        clock: Clock,
        ids: Ids,
        *,
        hidden: Sequence[str] = (),
        handlers: Sequence[str] = HANDLERS,
        names: frozenset[str] = SPELLINGS,
        programs: Programs | None = None,
    ) -> None:
        self._shelf = Shelf(root)
        self._plugins = plugins
        self._clock = clock
        self._ids = ids
        self._hidden = (*hidden, str(root))
        self._handlers = handlers
        self._names = names
        self._launcher = Launcher(self._shelf, programs if programs is not None else find_programs())
        self._hierarchy = find_hierarchy()
        self._boxes: dict[str, Box] = {}
        self._containers: dict[str, Held] = {}
        self._loaded = asyncio.Lock()
        self._boot = ""

    async def close(self) -> None:
        """What runs goes on."""

    # what there is

    async def _load(self) -> None:
        async with self._loaded:
            if not self._boot:
                await asyncio.to_thread(self._read)

    def _read(self) -> None:
        """Raises: OSError."""
        self._shelf.prepare()
        boot = boot_id()
        for box in self._shelf.boxes():
            self._boxes[box.id] = box if box.boot == boot else msgspec.structs.replace(box, ready=False)
        for held in self._shelf.containers():
            self._containers[held.id] = held
        for folder in self._shelf.strays({*self._boxes, *self._containers}):
            rootfs.take_down(folder)
            self._shelf.clear(folder)
        self._boot = boot

    def holds(self, some_id: str) -> bool:
        """Whether a sandbox or a container is one of ours."""
        return some_id in self._boxes or some_id in self._containers

    async def ready(self) -> None:
        """Know what there is: to be awaited once before `holds` is asked. Raises: OSError."""
        await self._load()

    async def info(self) -> RuntimeInfo:
        missing = self._launcher.programs.missing
        return RuntimeInfo("process", "1.0", (missing,) if missing else (), handlers=tuple(self._handlers))

    async def observe(self, uid: str = "") -> Mapping[str, PodOnNode]:
        await self._load()
        wanted = [held for held in self._containers.values() if uid in ("", held.uid)]
        seen = await asyncio.to_thread(lambda: [self._seen(one) for one in wanted])
        for before, held in zip(wanted, seen, strict=True):
            if held is not before:
                await self._take_ended(before, held)
        uids = dict.fromkeys([box.uid for box in self._boxes.values()])
        uids |= dict.fromkeys([held.uid for held in self._containers.values()])
        return {
            each: on_node(
                each,
                [box.shown() for box in self._boxes.values() if box.uid == each],
                [held.shown() for held in self._containers.values() if held.uid == each],
            )
            for each in uids
            if uid in ("", each)
        }

    def _seen(self, held: Held) -> Held:
        """The same, or as it has ended. Blocks."""
        if held.state is ContainerState.EXITED or (not held.pid and held.boot == self._boot):
            return held
        ending = self._shelf.ending(held)
        if ending is None and held.boot == self._boot:
            if lives(held.pid, held.birth) or lives(held.watcher, held.watcher_birth):
                return held
            ending = self._shelf.ending(held)  # it was written while we looked
        now = self._clock.now()
        if ending is None:
            return msgspec.structs.replace(held, finished_at=now, exit_code=LOST, reason="Unknown")
        code, at_s = ending
        reason = "OOMKilled" if code and self._shelf.out_of_memory(held) else "Error" if code else "Completed"
        at = max(datetime.fromtimestamp(at_s, UTC), held.started_at or held.created_at)
        return msgspec.structs.replace(held, finished_at=at, exit_code=code, reason=reason)

    async def _take_ended(self, before: Held, held: Held) -> None:
        """Keep how it ended, unless somebody else has, and free what only a running one needs."""
        if self._containers.get(held.id) is not before:
            return
        try:
            await self._keep(held)
            await self._launcher.delete(held.id)
            await asyncio.to_thread(rootfs.take_down, self._shelf.container(held.id))
        except (RuntimeFailure, OSError) as error:
            _log.warning("a host process left something behind", container=held.id, error=error)

    async def _keep(self, record: Box | Held) -> None:
        if isinstance(record, Box):
            self._boxes[record.id] = record
        else:
            self._containers[record.id] = record
        await asyncio.to_thread(self._shelf.keep, record)

    async def changes(self) -> AsyncIterator[frozenset[str]]:
        await self._load()
        changed = asyncio.Event()
        with watched(self._shelf.exits, changed.set):
            known = await asyncio.to_thread(self._shelf.exited)
            yield frozenset({""})
            while True:
                await changed.wait()
                changed.clear()
                now = await asyncio.to_thread(self._shelf.exited)
                told = frozenset(self._containers[one].uid for one in now - known if one in self._containers)
                known = now
                if told:
                    yield told

    # images: there is one, the host

    async def pull(self, image: str, auth: RegistryAuth | None = None, sandbox: SandboxSpec | None = None) -> str:
        if image in self._names:
            return IMAGE
        raise RuntimeFailure(f"host processes have no images but {IMAGE!r}: {image!r} is none", reason="ErrImagePull")

    async def image(self, name: str) -> Image | None:
        return host_image() if name in self._names else None

    async def images(self) -> Sequence[Image]:
        return ()

    async def import_image(self, archive: Path) -> Sequence[str]:
        raise RuntimeFailure(f"host processes have no images: {archive} is of no use to them")

    async def remove_image(self, image_id: str) -> None:
        """There is none to remove."""

    # sandboxes

    async def start_sandbox(self, spec: SandboxSpec) -> str:
        await self._load()
        if spec.runtime_handler not in self._handlers:
            text = f'no runtime for "{spec.runtime_handler}" is configured'
            raise RuntimeFailure(text, reason="CreatePodSandboxError")
        if problem := self._launcher.programs.missing or bundle.refused_sandbox(spec):
            raise RuntimeFailure(problem, reason="CreatePodSandboxError")
        for box in self._boxes.values():
            if (box.uid, box.attempt) == (spec.uid, spec.attempt):
                if box.ready:
                    return box.id
                await self.remove_sandbox(box.id)
                break
        box_id = self._ids.secret(32).hex()
        netns = "" if spec.host_network else str(namespaces.NETNS / f"cni-{self._ids.uid()}")
        box = Box(
            id=box_id,
            namespace=spec.namespace,
            name=spec.name,
            uid=spec.uid,
            attempt=spec.attempt,
            created_at=self._clock.now(),
            boot=self._boot,
            netns=netns,
            host_ipc=spec.host_ipc,
            labels=dict(spec.labels),
            annotations=dict(spec.annotations),
        )
        await self._keep(box)
        try:
            await self._set_up(box, spec)
        except (RuntimeFailure, OSError) as error:
            try:
                await self.remove_sandbox(box_id)
            except RuntimeFailure as left:  # its record stays, so that it is tried again
                _log.warning("a sandbox that was not made left something behind", sandbox=box_id, error=left)
            raise RuntimeFailure(str(error), reason="CreatePodSandboxError") from error
        return box_id

    async def _set_up(self, box: Box, spec: SandboxSpec) -> None:
        """Raises: RuntimeFailure, OSError."""
        folder = self._shelf.box(box.id)
        await namespaces.make(self._shared(box), spec.hostname)
        if spec.dns is not None:
            await asyncio.to_thread((folder / "resolv.conf").write_text, bundle.resolver(spec.dns))
        if spec.hostname:
            await asyncio.to_thread((folder / "hostname").write_text, f"{spec.hostname}\n")
        ips = await self._plugins.add(_endpoint(box, spec)) if box.netns else ()
        await self._keep(msgspec.structs.replace(box, ips=ips, ready=True))

    def _shared(self, box: Box) -> namespaces.Shared:
        net = Path(box.netns) if box.netns else None
        return namespaces.Shared(self._shelf.box(box.id), net, ipc=not box.host_ipc, uts=net is not None)

    async def stop_sandbox(self, sandbox_id: str) -> None:
        await self._load()
        box = self._boxes.get(sandbox_id)
        if box is None or box.stopped:
            return
        for held in [held for held in self._containers.values() if held.box == sandbox_id]:
            await self.stop_container(held.id, 0)
        if box.netns:
            await self._plugins.remove(_endpoint(box))
        try:
            await asyncio.to_thread(namespaces.remove, self._shared(box))
        except OSError as error:
            raise RuntimeFailure(f"the namespaces of {box.namespace}/{box.name} are not removed: {error}") from error
        await self._keep(msgspec.structs.replace(box, ready=False, stopped=True))

    async def remove_sandbox(self, sandbox_id: str) -> None:
        await self.stop_sandbox(sandbox_id)
        for held in [held for held in self._containers.values() if held.box == sandbox_id]:
            await self.remove_container(held.id)
        if (box := self._boxes.pop(sandbox_id, None)) is not None:
            await asyncio.to_thread(self._shelf.forget, box)

    # containers

    async def create_container(self, sandbox_id: str, sandbox: SandboxSpec, spec: ContainerSpec) -> str:
        await self._load()
        box = self._boxes.get(sandbox_id)
        if box is None or not box.ready:
            raise Gone(f"sandbox {sandbox_id} is not there", reason="CreateContainerError")
        for held in self._containers.values():
            if (held.box, held.name, held.attempt) == (sandbox_id, spec.name, spec.attempt):
                return held.id
        if spec.image not in self._names:
            text = f"a host process has no image of its own: say `image: {IMAGE}`, not {spec.shown_image!r}"
            raise RuntimeFailure(text, reason="CreateContainerError")
        if problem := bundle.refused(spec):
            raise RuntimeFailure(problem, reason="CreateContainerError")
        held = self._record(box, sandbox, spec)
        joined = self._joined(spec.joined_container)
        await self._keep(held)
        try:
            await asyncio.to_thread(self._write_bundle, held, box, sandbox, spec, joined)
        except (RuntimeFailure, OSError) as error:
            await self.remove_container(held.id)
            raise RuntimeFailure(str(error), reason="CreateContainerError") from error
        return held.id

    def _record(self, box: Box, sandbox: SandboxSpec, spec: ContainerSpec) -> Held:
        new_id = self._ids.secret(32).hex()
        return Held(
            id=new_id,
            box=box.id,
            uid=box.uid,
            name=spec.name,
            attempt=spec.attempt,
            image=spec.shown_image or spec.image,
            image_ref=IMAGE,
            created_at=self._clock.now(),
            boot=self._boot,
            cgroup=f"{sandbox.cgroup_parent or '/navarch-processes'}/{new_id}",
            log_path=str(Path(sandbox.log_directory, spec.log_path)) if spec.log_path else "",
            stdin=spec.stdin,
            stdin_once=spec.stdin_once,
            tty=spec.tty,
            labels=dict(spec.labels),
            annotations=dict(spec.annotations),
        )

    def _joined(self, container_id: str) -> str:
        """The process namespace of another container. Raises: RuntimeFailure."""
        if not container_id:
            return ""
        target = self._containers.get(container_id)
        if target is None or not lives(target.pid, target.birth):
            text = f"container {container_id} does not run: its processes cannot be joined"
            raise RuntimeFailure(text, reason="CreateContainerError")
        return f"/proc/{target.pid}/ns/pid"

    def _write_bundle(self, held: Held, box: Box, sandbox: SandboxSpec, spec: ContainerSpec, joined: str) -> None:
        """Blocks. Raises: RuntimeFailure, OSError."""
        facts = ground.facts(spec, self._hidden, self._hierarchy.unified is not None)
        shared, folder = self._shared(box), self._shelf.box(box.id)
        files = {kind: str(path) for kind, path in shared.files.items()}
        around = bundle.Surroundings(
            root=str(self._shelf.container(held.id) / "rootfs"),
            cgroup=held.cgroup,
            network=files.get("net", ""),
            ipc=files.get("ipc", ""),
            uts=files.get("uts", ""),
            pid=joined,
            shm=str(shared.shm) if shared.ipc else "/dev/shm",
            resolv=_if_there(folder / "resolv.conf"),
            hostname_file=_if_there(folder / "hostname"),
        )
        config = bundle.document(facts, around, sandbox, spec)
        shown = rootfs.parts(rootfs.MOUNTINFO.read_text(), self._hidden)
        rootfs.assemble(self._shelf.container(held.id), shown)
        (self._shelf.container(held.id) / "config.json").write_bytes(orjson.dumps(config))
        if held.log_path:
            Path(held.log_path).parent.mkdir(parents=True, exist_ok=True)

    def _held(self, container_id: str, reason: str = "RuntimeError") -> Held:
        """Raises: Gone."""
        held = self._containers.get(container_id)
        if held is None:
            raise Gone(f"container {container_id} is not there", reason=reason)
        return held

    async def start_container(self, container_id: str) -> None:
        await self._load()
        held = self._held(container_id, "RunContainerError")
        if held.state is ContainerState.RUNNING:
            return
        if held.state is ContainerState.EXITED:
            text = f"container {container_id} has ended and cannot be started again"
            raise RuntimeFailure(text, reason="RunContainerError")
        try:
            held = await self._made(held)
            now = self._clock.now()
            if (self._shelf.runc / held.id / "exec.fifo").exists():  # else an agent before us has started it
                await self._launcher.start(held.id)
        except RuntimeFailure as error:
            ended = {"finished_at": self._clock.now(), "exit_code": 128, "reason": "StartError", "message": str(error)}
            await self._take_ended(held, msgspec.structs.replace(held, **ended))
            raise
        await self._keep(msgspec.structs.replace(held, started_at=now))

    async def _made(self, held: Held) -> Held:
        """With its process, which was perhaps made before by an agent that did not live to write it down.

        Raises: RuntimeFailure.
        """
        pid, watcher = await asyncio.to_thread(self._launcher.left, held.id)
        if not birth_of(pid):
            await self._launcher.delete(held.id)
            pid, watcher = await self._launcher.create(held)
        births = {"birth": birth_of(pid), "watcher_birth": birth_of(watcher)}
        held = msgspec.structs.replace(held, pid=pid, watcher=watcher, **births)
        await self._keep(held)
        return held

    async def stop_container(self, container_id: str, grace_s: float) -> None:
        await self._load()
        held = self._containers.get(container_id)
        if held is None or not held.pid or held.state is ContainerState.EXITED:
            return
        if grace_s > 0 and signals.send(held.pid, held.birth, SIGTERM):
            await signals.ended(held.pid, held.birth, grace_s)
        if signals.send(held.pid, held.birth, SIGKILL) and not await signals.ended(held.pid, held.birth, KILLED_S):
            raise RuntimeFailure(f"container {container_id} did not end within {KILLED_S:g} s of being killed")
        await signals.ended(held.watcher, held.watcher_birth, TOLD_S)
        held = self._containers.get(container_id, held)
        seen = await asyncio.to_thread(self._seen, held)
        if seen is held:  # the process has gone, and what was to tell of it hangs
            seen = msgspec.structs.replace(held, finished_at=self._clock.now(), exit_code=137, reason="Error")
        await self._take_ended(held, seen)

    async def update_container(self, container_id: str, resources: Resources) -> None:
        held = self._running(container_id)
        given = orjson.dumps(bundle.limits(resources))
        done = await self._launcher.runc("update", "--resources", "-", held.id, given=given, reason="ResizeError")
        if done.exit_code:
            raise RuntimeFailure(f"limits were not taken: {words(done)}", reason="ResizeError")

    def _running(self, container_id: str) -> Held:
        """Raises: RuntimeFailure."""
        held = self._held(container_id)
        if held.state is not ContainerState.RUNNING or not lives(held.pid, held.birth):
            raise RuntimeFailure(f"container {container_id} does not run")
        return held

    async def remove_container(self, container_id: str) -> None:
        await self.stop_container(container_id, 0)
        held = self._containers.get(container_id)
        if held is None:
            return
        await self._launcher.delete(container_id)
        try:
            await asyncio.to_thread(rootfs.take_down, self._shelf.container(container_id))
            await asyncio.to_thread(self._shelf.forget, held)
        except OSError as error:
            raise RuntimeFailure(f"container {container_id} is not removed: {error}") from error
        self._containers.pop(container_id, None)

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout_s: float) -> ExecResult:
        await self._load()
        return await self._launcher.exec(self._running(container_id).id, command, timeout_s)

    # what streams lead to: see `reach.Reachable`

    def exec_command(self, container_id: str, command: Sequence[str], *, tty: bool) -> list[str]:
        held = self._running(container_id)
        return self._launcher.command("exec", *(["--tty"] if tty else []), held.id, *command)

    def attach_address(self, container_id: str) -> str:
        return str(self._shelf.sockets / self._running(container_id).id / "attach")

    def resize(self, container_id: str, rows: int, columns: int) -> None:
        self._launcher.tell(container_id, f"1 {rows} {columns}\n")

    def netns(self, sandbox_id: str) -> str:
        box = self._boxes.get(sandbox_id)
        if box is None or not box.ready:
            raise Gone(f"sandbox {sandbox_id} is not there")
        return box.netns

    async def reopen_log(self, container_id: str) -> None:
        held = self._running(container_id)
        try:
            await asyncio.to_thread(self._launcher.reopen_log, held.id)
        except OSError as error:
            raise RuntimeFailure(f"the log of {container_id} is not opened anew: {error.strerror}") from error

    async def stats(self) -> Sequence[ContainerStats]:
        await self._load()
        now = self._clock.now()
        running = [held for held in self._containers.values() if held.state is ContainerState.RUNNING]
        return await asyncio.to_thread(
            lambda: [measure.stats(held, self._shelf, self._hierarchy, now) for held in running]
        )


def _endpoint(box: Box, spec: SandboxSpec | None = None) -> cni.Endpoint:
    told = tuple(cni.arguments(box.namespace, box.name, box.uid, box.id))
    if spec is None:
        return cni.Endpoint(box.id, box.netns, told)
    return cni.Endpoint(box.id, box.netns, told, spec.ports, bandwidth.limits_of(spec.annotations))


def _if_there(path: Path) -> str:
    return str(path) if path.exists() else ""
