"""What a pod needs on the node's disk: its volumes, its hosts file, places for termination messages and logs.

`Storage` is the seam that pods see; `DiskStorage` is the real one, `NoStorage` stands in for simulated containers. All
verbs are idempotent: an agent that was restarted mounts again what is mounted already, and nothing happens.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from navarch.agent import network
from navarch.agent.config import AgentConfig
from navarch.agent.downward import Surroundings
from navarch.agent.environment import Lookup, expand
from navarch.agent.runtime import Mount, RuntimeFailure
from navarch.agent.volumes import kernel, local, subpath, writer
from navarch.agent.volumes.claims import Claims
from navarch.agent.volumes.payload import MountFailure, is_made_from_objects, payload
from navarch.agent.volumes.tokens import PodTokens
from navarch.base.clock import Clock
from navarch.kinds.pod import Pod
from navarch.kinds.podspec.container import Container
from navarch.kinds.podspec.volumes import Volume
from navarch.objects import quantity

HOSTS = "/etc/hosts"
LONGEST_MESSAGE_BYTES = 4096


class Storage(Protocol):
    async def mount(self, pod: Pod, lookup: Lookup, around: Surroundings) -> None:
        """Make all volumes, or bring them up to date. Raises: RuntimeFailure, ApiError, Retryable."""
        ...

    async def mounts_of(
        self, pod: Pod, container: Container, attempt: int, around: Surroundings, environment: dict[str, str]
    ) -> tuple[Mount, ...]:
        """What the runtime mounts into an instance of the container. Raises: RuntimeFailure."""
        ...

    def termination_message(self, pod: Pod, container: str, attempt: int) -> str:
        """What the container left behind for its last words; "" when nothing."""
        ...

    def renew_at(self, pod: Pod) -> datetime | None:
        """When a volume gets stale by time alone."""
        ...

    async def remove(self, uid: str) -> None:
        """Unmount and delete everything but logs. Raises: RuntimeFailure."""
        ...

    async def remove_logs(self, namespace: str, name: str, uid: str) -> None: ...

    def pods(self) -> Sequence[str]:
        """Uids of all pods that something is kept of."""
        ...


class NoStorage:
    """Pods without a disk, for simulated containers."""

    async def mount(self, pod: Pod, lookup: Lookup, around: Surroundings) -> None:
        return None

    async def mounts_of(
        self, pod: Pod, container: Container, attempt: int, around: Surroundings, environment: dict[str, str]
    ) -> tuple[Mount, ...]:
        return ()

    def termination_message(self, pod: Pod, container: str, attempt: int) -> str:
        return ""

    def renew_at(self, pod: Pod) -> datetime | None:
        return None

    async def remove(self, uid: str) -> None:
        return None

    async def remove_logs(self, namespace: str, name: str, uid: str) -> None:
        return None

    def pods(self) -> Sequence[str]:
        return ()


class DiskStorage:
    def __init__(self, config: AgentConfig, clock: Clock, tokens: PodTokens, claims: Claims) -> None:
        self._config = config
        self._paths = config.paths
        self._clock = clock
        self._tokens = tokens
        self._claims = claims
        self._local: dict[tuple[str, str], Path] = {}
        """Volumes that lie elsewhere: (pod uid, volume) -> path."""

    def pods(self) -> Sequence[str]:
        return sorted(entry.name for entry in self._paths.pods.iterdir()) if self._paths.pods.exists() else ()

    async def mount(self, pod: Pod, lookup: Lookup, around: Surroundings) -> None:
        tokens = await self._tokens.ensure(pod)
        for volume in pod.spec.volumes:
            if volume.persistent_volume_claim is not None or volume.ephemeral is not None:
                source, shared = await self._claims.path_of(pod, volume)
                self._local[pod.metadata.uid, volume.name] = Path(source.path)
                await asyncio.to_thread(local.check_host_path, volume.name, source, shared=shared)

        def make() -> None:
            for volume in pod.spec.volumes:
                self._make(pod, volume, lookup, around, tokens.__getitem__)

        await asyncio.to_thread(make)

    def _make(self, pod: Pod, volume: Volume, lookup: Lookup, around: Surroundings, tokens: Callable[..., str]) -> None:
        uid, group = pod.metadata.uid, pod.spec.security_context.fs_group
        path = self._paths.volume(uid, volume.name)
        try:
            if volume.host_path is not None:
                self._local[uid, volume.name] = Path(volume.host_path.path)
                local.check_host_path(volume.name, volume.host_path)
            elif volume.empty_dir is not None:
                local.make_empty_dir(path, volume.empty_dir, group, _memory_limit(pod))
            elif is_made_from_objects(volume):
                files = payload(pod, volume, lookup, around, tokens)
                if _secret(volume) and not kernel.is_mounted(path):
                    path.mkdir(parents=True, exist_ok=True)
                    kernel.mount_tmpfs(path, mode=0o755)
                writer.write(path, files, self._clock.now().strftime("%Y_%m_%d_%H_%M_%S.%f"), group)
            elif (uid, volume.name) not in self._local:
                raise MountFailure(volume.name, "the volume's type is not supported on this node")
        except (OSError, ValueError) as error:
            raise MountFailure(volume.name, str(error)) from error

    async def mounts_of(
        self, pod: Pod, container: Container, attempt: int, around: Surroundings, environment: dict[str, str]
    ) -> tuple[Mount, ...]:
        return await asyncio.to_thread(self._mounts_of, pod, container, attempt, around, environment)

    def _mounts_of(
        self, pod: Pod, container: Container, attempt: int, around: Surroundings, environment: dict[str, str]
    ) -> tuple[Mount, ...]:
        uid = pod.metadata.uid
        found = []
        for number, wanted in enumerate(container.volume_mounts):
            volume = next((one for one in pod.spec.volumes if one.name == wanted.name), None)
            if volume is None:
                raise RuntimeFailure(
                    f'cannot find volume "{wanted.name}" to mount into container "{container.name}"',
                    reason="CreateContainerConfigError",
                )
            source = self._local.get((uid, volume.name), self._paths.volume(uid, volume.name))
            part = wanted.sub_path or expand(wanted.sub_path_expr, environment.get)
            if part:
                place = self._paths.subpath(uid, container.name, number)
                source = subpath.prepare(container.name, source, part, place)
            readonly = wanted.read_only or _readonly(volume)
            found.append(Mount(str(source), wanted.mount_path, readonly, wanted.mount_propagation))
        taken = {mount.container_path.rstrip("/") for mount in found}
        if HOSTS not in taken:
            found.append(Mount(str(self._write_hosts(pod, around)), HOSTS))
        if container.termination_message_path and container.termination_message_path not in taken:
            place = self._paths.termination_log(uid, container.name, attempt)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
            place.chmod(0o666)
            found.append(Mount(str(place), container.termination_message_path))
        return tuple(found)

    def _write_hosts(self, pod: Pod, around: Surroundings) -> Path:
        path = self._paths.hosts(pod.metadata.uid)
        short = network.hostname(pod, self._config.node_name, "")
        full = network.domain_name(pod, short, self._config.cluster_domain)
        node_hosts = Path(HOSTS).read_text() if pod.spec.host_network and Path(HOSTS).exists() else ""
        text = network.hosts_file(pod, around.pod_ips, short, full, node_hosts)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            path.chmod(0o644)
        return path

    def termination_message(self, pod: Pod, container: str, attempt: int) -> str:
        try:
            with self._paths.termination_log(pod.metadata.uid, container, attempt).open("rb") as file:
                return file.read(LONGEST_MESSAGE_BYTES).decode("utf-8", "replace")
        except OSError:  # nothing was left, or the pod's directory is gone
            return ""

    def renew_at(self, pod: Pod) -> datetime | None:
        return self._tokens.renew_at(pod.metadata.uid)

    async def remove(self, uid: str) -> None:
        self._tokens.forget(uid)
        for key in [key for key in self._local if key[0] == uid]:
            del self._local[key]
        try:
            await asyncio.to_thread(_remove_tree, self._paths.pod(uid))
        except OSError as error:
            raise RuntimeFailure(f"the pod's directory cannot be removed: {error}") from error

    async def remove_logs(self, namespace: str, name: str, uid: str) -> None:
        await asyncio.to_thread(shutil.rmtree, self._paths.pod_logs(namespace, name, uid), True)


def _memory_limit(pod: Pod) -> int:
    limits = [container.resources.limits.get("memory") for container in pod.spec.containers]
    return sum(quantity.whole(limit) for limit in limits if limit is not None) if all(limits) else 0


def _secret(volume: Volume) -> bool:
    """Whether its content should never reach the disk."""
    return volume.secret is not None or volume.projected is not None


def _readonly(volume: Volume) -> bool:
    claim = volume.persistent_volume_claim
    return is_made_from_objects(volume) or (claim is not None and claim.read_only)


def _remove_tree(path: Path) -> None:
    """Detach every mount in it first: what is mounted must not be deleted along.

    Raises: OSError.
    """
    if not path.exists():
        return
    for point in mounted_below(path):
        kernel.unmount(point)
    shutil.rmtree(path)


def mounted_below(path: Path) -> list[Path]:
    """Mount points in and below it, deepest first."""
    prefix = str(path.resolve())
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split(" ")[4]
        if "\\" in point:
            point = point.encode().decode("unicode_escape")
        if point == prefix or point.startswith(prefix + "/"):
            found.append(Path(point))
    return sorted(found, key=lambda one: len(str(one)), reverse=True)
