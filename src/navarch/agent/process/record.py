"""What is kept on the disk of host processes, so that an agent that starts anew knows them again.

One folder lies below `root` for each sandbox (here: a box) and each container; a record in it is replaced as a whole,
and what the kernel or a program writes beside it (an exit code, a process id) is read as it is. Nothing of it outlives
the machine's uptime: a record of an earlier boot tells of something that has ended.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from navarch.agent.runtime import Container, ContainerState, Sandbox
from navarch.base.log import Log

_log = Log("agent")

SCHEME = "host-process"
"""What a container's id begins with in its pod's status."""
BOOT = Path("/proc/sys/kernel/random/boot_id")


Record = TypeVar("Record", "Box", "Held")


class Box(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A sandbox. netns: "" on the host's own network. ready: its namespaces are there.
    stopped: they were taken down for good. boot: the kernel's id of it."""

    id: str
    namespace: str
    name: str
    uid: str
    attempt: int
    created_at: datetime
    boot: str = ""
    ready: bool = False
    stopped: bool = False
    host_ipc: bool = False
    netns: str = ""
    ips: tuple[str, ...] = ()
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}

    def shown(self) -> Sandbox:
        return Sandbox(
            self.id,
            self.namespace,
            self.name,
            self.uid,
            self.attempt,
            self.ready,
            self.created_at,
            self.ips if self.ready else (),
            self.labels,
            self.annotations,
        )


class Held(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A container. pid, birth: of its first process, and when the kernel made that; 0 before it was started.

    watcher: of the process that writes its log and waits for its end, in the same way.
    """

    id: str
    box: str
    uid: str
    name: str
    attempt: int
    image: str
    created_at: datetime
    boot: str = ""
    image_ref: str = ""
    cgroup: str = ""
    log_path: str = ""
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    pid: int = 0
    birth: int = 0
    watcher: int = 0
    watcher_birth: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}

    @property
    def state(self) -> ContainerState:
        if self.finished_at is not None:
            return ContainerState.EXITED
        return ContainerState.RUNNING if self.started_at is not None else ContainerState.CREATED

    def shown(self) -> Container:
        return Container(
            id=self.id,
            sandbox_id=self.box,
            name=self.name,
            attempt=self.attempt,
            state=self.state,
            image=self.image,
            image_ref=self.image_ref,
            created_at=self.created_at,
            started_at=self.started_at,
            finished_at=self.finished_at,
            exit_code=self.exit_code,
            reason=self.reason,
            message=self.message,
            log_path=self.log_path,
            labels=self.labels,
            annotations=self.annotations,
            scheme=SCHEME,
        )


@dataclass(frozen=True, slots=True)
class Shelf:
    """root: a folder of ours alone. All of it blocks. Raises: OSError, unless said otherwise."""

    root: Path

    def box(self, box_id: str) -> Path:
        return self.root / "boxes" / box_id

    def container(self, container_id: str) -> Path:
        """The folder that is its bundle, too."""
        return self.root / "containers" / container_id

    @property
    def exits(self) -> Path:
        """Where a file named after a container says what it ended with."""
        return self.root / "exits"

    @property
    def sockets(self) -> Path:
        return self.root / "attach"

    @property
    def runc(self) -> Path:
        return self.root / "runc"

    def prepare(self) -> None:
        for folder in (self.root, self.root / "boxes", self.root / "containers", self.exits, self.sockets, self.runc):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def keep(self, record: Box | Held) -> None:
        folder = self.box(record.id) if isinstance(record, Box) else self.container(record.id)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = folder / f".record.{threading.get_ident()}"
        fresh.write_bytes(msgspec.json.encode(record))
        fresh.replace(folder / "record.json")

    def boxes(self) -> Iterator[Box]:
        for folder in _folders(self.root / "boxes"):
            if (found := _read(folder, Box)) is not None:
                yield found

    def containers(self) -> Iterator[Held]:
        for folder in _folders(self.root / "containers"):
            if (found := _read(folder, Held)) is not None:
                yield found

    def exited(self) -> set[str]:
        """Ids of the containers whose end was written down."""
        with contextlib.suppress(FileNotFoundError):
            return {name for name in os.listdir(self.exits) if not name.startswith(".")}
        return set()

    def ending(self, held: Held) -> tuple[int, float] | None:
        """The exit code, and when it was written (seconds since 1970); None while it runs."""
        path = self.exits / held.id
        try:
            return int(path.read_text().strip() or 0), path.stat().st_mtime
        except (FileNotFoundError, ValueError):
            return None

    def out_of_memory(self, held: Held) -> bool:
        """Whether the kernel ended a process of it for lack of memory."""
        return (self.container(held.id) / "oom").exists()

    def strays(self, known: Set[str]) -> Iterator[Path]:
        """Folders of what was being made or removed when its agent died."""
        for above in ("boxes", "containers"):
            yield from (folder for folder in _folders(self.root / above) if folder.name not in known)

    def clear(self, folder: Path) -> None:
        _remove(folder)

    def forget(self, record: Box | Held) -> None:
        """Nothing may be mounted in its folder any more."""
        if isinstance(record, Box):
            _remove(self.box(record.id))
            return
        _remove(self.container(record.id))
        for path in (self.exits / record.id, self.sockets / record.id):
            path.unlink(missing_ok=True)


def _remove(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)


def _folders(above: Path) -> list[Path]:
    return sorted(above.iterdir()) if above.is_dir() else []


def _read(folder: Path, kind: type[Record]) -> Record | None:
    """None for what was being made or removed when its agent died: the folder goes with the next sweep."""
    try:
        return msgspec.json.decode((folder / "record.json").read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError) as error:
        _log.warning("what was kept of a host process cannot be read", folder=folder, error=error)
        return None


def boot_id() -> str:
    return BOOT.read_text().strip()


def birth_of(pid: int) -> int:
    """When the process was made, in the kernel's ticks since the boot; 0 where it is none, or has ended."""
    try:
        after = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if after[0] in "ZX" else int(after[19])


def lives(pid: int, birth: int) -> bool:
    return bool(pid and birth and birth_of(pid) == birth)
