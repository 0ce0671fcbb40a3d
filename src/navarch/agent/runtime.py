"""The seam to whatever runs containers on this node.

The agent says what it wants in the frozen values below; `agent.cri` carries it out on containerd, `agent.process` with
processes of the host itself, `agent.fake` in memory. All pass `tests/conformance/test_runtime.py`. Nothing here knows
pods beyond the names and the uid that a sandbox carries: those stand in its labels, so that an agent which was
restarted reads its state back from the runtime.

Every verb is idempotent: stopping what is stopped and removing what is gone succeeds; creating a sandbox or a container
whose name and attempt exist already returns the one that is there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Protocol

from navarch.base.errors import Retryable

POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"
"""Labels that every sandbox and container carries, as CRI clients expect them."""


class RuntimeFailure(Retryable):
    """The runtime refused or failed; `reason` is what a container status shows (`ErrImagePull`)."""

    def __init__(self, message: str, *, reason: str = "RuntimeError") -> None:
        super().__init__(message)
        self.reason = reason


class RuntimeAway(RuntimeFailure):
    """The runtime does not answer at all."""


class Gone(RuntimeFailure):
    """The sandbox, container or image that was named does not exist."""


class ContainerState(Enum):
    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Mount:
    """propagation: `None`, `HostToContainer` or `Bidirectional`, as pods say it.

    recursive: what is mounted below is read-only too; only for runtimes that say that they can. image: what is mounted
    is this image (an id) and nothing of the host, whose path is "" then, and of it the `part`, all if "".
    """

    host_path: str
    container_path: str
    readonly: bool = False
    propagation: str = "None"
    recursive: bool = False
    image: str = ""
    part: str = ""


@dataclass(frozen=True, slots=True)
class DeviceMapping:
    host_path: str
    container_path: str
    permissions: str = "rwm"


@dataclass(frozen=True, slots=True)
class PortMapping:
    """protocol: TCP, UDP or SCTP. host_port 0: not published on the host."""

    container_port: int
    host_port: int = 0
    protocol: str = "TCP"
    host_ip: str = ""


@dataclass(frozen=True, slots=True)
class DnsSettings:
    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resources:
    """Zero means "not limited" (shares: the runtime's default). cpuset_cpus: as Linux writes them (`0-3`); "" for all.

    hugepages: (page size as control groups name it, limit in bytes); sizes that are left out are not limited.
    kills_together: running out of memory ends every process of the container (control groups of version 2).
    """

    cpu_shares: int = 0
    cpu_quota_us: int = 0
    cpu_period_us: int = 0
    memory_limit_bytes: int = 0
    oom_score_adj: int = 0
    cpuset_cpus: str = ""
    hugepages: tuple[tuple[str, int], ...] = ()
    kills_together: bool = False


@dataclass(frozen=True, slots=True)
class SELinux:
    user: str = ""
    role: str = ""
    type: str = ""
    level: str = ""


@dataclass(frozen=True, slots=True)
class Security:
    """user, group: None for what the image says. username: a user of the image by name, instead of `user`.

    seccomp, apparmor: `RuntimeDefault`, `Unconfined` or `Localhost:<profile>`, of seccomp with its whole path.
    """

    user: int | None = None
    username: str = ""
    group: int | None = None
    supplemental_groups: tuple[int, ...] = ()
    privileged: bool = False
    readonly_rootfs: bool = False
    no_new_privileges: bool = False
    add_capabilities: tuple[str, ...] = ()
    drop_capabilities: tuple[str, ...] = ()
    seccomp: str = "Unconfined"
    apparmor: str = ""
    unmask_proc: bool = False
    selinux: SELinux | None = None


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """What the containers of a pod share. log_directory: where `ContainerSpec.log_path` is relative to.

    cgroup_parent: "" leaves it to the runtime. attempt: counts the sandboxes that this pod has had.
    """

    namespace: str
    name: str
    uid: str
    attempt: int = 0
    hostname: str = ""
    log_directory: str = ""
    dns: DnsSettings | None = None
    ports: tuple[PortMapping, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    cgroup_parent: str = ""
    host_network: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    shared_pid: bool = False
    sysctls: Mapping[str, str] = field(default_factory=dict)
    security: Security = field(default_factory=Security)
    runtime_handler: str = ""


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """attempt: the restart count that this instance will have. image: an image id or name the runtime has.

    shown_image: the image as the pod names it. mounts: later ones cover earlier ones. joined_container: the id of one
    whose process namespace this one shares; "" for its own, or the pod's.
    """

    name: str
    image: str
    attempt: int = 0
    shown_image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    mounts: tuple[Mount, ...] = ()
    devices: tuple[DeviceMapping, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    log_path: str = ""
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    resources: Resources = field(default_factory=Resources)
    security: Security = field(default_factory=Security)
    joined_container: str = ""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """ips: the pod's addresses, primary first; () when not ready or on the host's network."""

    id: str
    namespace: str
    name: str
    uid: str
    attempt: int
    ready: bool
    created_at: datetime
    ips: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Container:
    """One instance of a container, alive or dead.

    reason: as the runtime says it, `Completed`, `Error`, `OOMKilled`, `StartError` when it exited.
    image: the image as the pod names it; image_ref: digest or id of what runs. scheme: what its id is shown with.
    """

    id: str
    sandbox_id: str
    name: str
    attempt: int
    state: ContainerState
    image: str
    image_ref: str
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    log_path: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    scheme: str = "containerd"


@dataclass(frozen=True, slots=True)
class PodOnNode:
    """All that the runtime has of one pod: newest first in both tuples."""

    uid: str
    namespace: str = ""
    name: str = ""
    sandboxes: tuple[Sandbox, ...] = ()
    containers: tuple[Container, ...] = ()


def on_node(uid: str, sandboxes: Sequence[Sandbox], containers: Sequence[Container]) -> PodOnNode:
    """Put together what belongs to one pod, in any order."""
    boxes = sorted(sandboxes, key=lambda item: (item.attempt, item.created_at), reverse=True)
    held = sorted(containers, key=lambda item: (item.attempt, item.created_at), reverse=True)
    labels = (boxes or held)[0].labels if boxes or held else {}
    return PodOnNode(uid, labels.get(POD_NAMESPACE, ""), labels.get(POD_NAME, ""), tuple(boxes), tuple(held))


@dataclass(frozen=True, slots=True)
class Image:
    """names: tags and digests it is known by. user_text: whom it says to run as, `user[:group]`, as it is written.

    fixed: it is the node's own and in no registry, so that nobody pulls it.
    """

    id: str
    names: tuple[str, ...]
    size_bytes: int = 0
    uid: int | None = None
    username: str = ""
    digests: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    user_text: str = ""
    working_dir: str = ""
    fixed: bool = False

    @property
    def ref(self) -> str:
        """What `imageID` of a container status shows: a digest where there is one."""
        return self.digests[0] if self.digests else self.id


@dataclass(frozen=True, slots=True)
class RegistryAuth:
    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""


@dataclass(frozen=True, slots=True)
class ExecResult:
    exit_code: int
    stdout: bytes = b""
    stderr: bytes = b""


@dataclass(frozen=True, slots=True)
class ContainerStats:
    """cpu_core_ns: cumulated since the start, in nanoseconds of one core. disk_bytes, inodes: of its own layer."""

    id: str
    name: str
    uid: str
    at: datetime
    cpu_core_ns: int = 0
    memory_bytes: int = 0
    working_set_bytes: int = 0
    disk_bytes: int = 0
    inodes: int = 0


@dataclass(frozen=True, slots=True)
class RuntimeInfo:
    """problems: why the runtime or its network is not ready, in words; () when both are.

    handlers: names of what can run sandboxes, "" for the default; None when the runtime does not tell. Of these,
    user_namespaces and readonly_recursion are those that can map users, or mount whole trees read-only. strict_groups:
    whether it can leave out the groups that an image gives its user; None when it does not tell. image_volumes: whether
    it can mount images into containers.
    """

    name: str
    version: str
    problems: tuple[str, ...] = ()
    handlers: tuple[str, ...] | None = None
    user_namespaces: frozenset[str] = frozenset()
    readonly_recursion: frozenset[str] = frozenset()
    strict_groups: bool | None = None
    image_volumes: bool = False


class Runtime(Protocol):
    """All verbs raise `RuntimeFailure`; `RuntimeAway` when the runtime does not answer."""

    async def info(self) -> RuntimeInfo: ...

    async def observe(self, uid: str = "") -> Mapping[str, PodOnNode]:
        """What there is, by pod uid: of all pods, or of one (absent from the answer when there is nothing)."""
        ...

    def changes(self) -> AsyncIterator[frozenset[str]]:
        """Pod uids for which something may have changed since the last delivery; "" among them: any pod may have.

        Ends when the runtime goes away (observe everything, and ask again).
        """
        ...

    async def pull(self, image: str, auth: RegistryAuth | None = None, sandbox: SandboxSpec | None = None) -> str:
        """Fetch the image; returns its ref. Cancelling gives up.

        Raises: RuntimeFailure with reason `ErrImagePull` or `RegistryUnavailable`.
        """
        ...

    async def image(self, name: str) -> Image | None:
        """The image of that name, digest or id, if it is here."""
        ...

    async def images(self) -> Sequence[Image]: ...

    async def import_image(self, archive: Path) -> Sequence[str]:
        """Take in an OCI or docker archive; returns the names it held, ready to be used."""
        ...

    async def remove_image(self, image_id: str) -> None: ...

    async def start_sandbox(self, spec: SandboxSpec) -> str:
        """Returns the sandbox's id."""
        ...

    async def stop_sandbox(self, sandbox_id: str) -> None:
        """Kill what still runs in it and take its network down."""
        ...

    async def remove_sandbox(self, sandbox_id: str) -> None:
        """Forget it and all its containers."""
        ...

    async def create_container(self, sandbox_id: str, sandbox: SandboxSpec, spec: ContainerSpec) -> str:
        """Returns the container's id. Raises: RuntimeFailure, reason `CreateContainerError`."""
        ...

    async def start_container(self, container_id: str) -> None:
        """Raises: RuntimeFailure, reason `RunContainerError`."""
        ...

    async def stop_container(self, container_id: str, grace_s: float) -> None:
        """The stop signal, then after `grace_s` the kill; returns when it has exited."""
        ...

    async def update_container(self, container_id: str, resources: Resources) -> None:
        """Change what a running container may use, without restarting it. Raises: RuntimeFailure; Gone."""
        ...

    async def remove_container(self, container_id: str) -> None: ...

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout_s: float) -> ExecResult:
        """Raises: TimeoutError when the command ran longer."""
        ...

    async def reopen_log(self, container_id: str) -> None:
        """The log file was renamed: go on in a new one."""
        ...

    async def stats(self) -> Sequence[ContainerStats]: ...

    async def close(self) -> None: ...
