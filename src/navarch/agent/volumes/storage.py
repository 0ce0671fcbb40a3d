"""What a pod needs on the node's disk: its volumes, its hosts file, places for termination messages and logs.

`Storage` is the seam that pods see; `DiskStorage` is the real one, `NoStorage` stands in for simulated containers. All
verbs are idempotent: an agent that was restarted mounts again what is mounted already, and nothing happens.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from navarch.agent import network
from navarch.agent.config import AgentConfig, Paths
from navarch.agent.downward import Surroundings
from navarch.agent.environment import Lookup
from navarch.agent.runtime import DeviceMapping, Mount, RuntimeFailure, RuntimeInfo
from navarch.agent.volumes import shown
from navarch.agent.volumes.claims import Claims
from navarch.agent.volumes.csi.volumes import CsiVolumes
from navarch.agent.volumes.directories import EmptyDirs, HostPaths
from navarch.agent.volumes.imagevolumes import ImageVolumes
from navarch.agent.volumes.localvolumes import LocalVolumes
from navarch.agent.volumes.maker import Made, Maker, Wanted, source_of
from navarch.agent.volumes.nfs import NfsVolumes
from navarch.agent.volumes.objectfiles import ObjectFiles
from navarch.agent.volumes.removal import remove_tree
from navarch.agent.volumes.tokens import PodTokens
from navarch.agent.volumes.use import VolumeUse, on_disk
from navarch.base.clock import Clock
from navarch.client.client import Client
from navarch.kinds.pod import Pod
from navarch.kinds.podspec.container import Container

HOSTS = "/etc/hosts"
LONGEST_MESSAGE_BYTES = 4096

ON_DISK = ("local", "hostPath")
"""PersistentVolumes that are directories of this node."""

Info = Callable[[], Awaitable[RuntimeInfo]]
"""What the runtime can do."""


class Storage(Protocol):
    async def mount(self, pod: Pod, lookup: Lookup, around: Surroundings) -> None:
        """Make all volumes, or bring them up to date. Raises: RuntimeFailure, ApiError, Retryable."""
        ...

    async def mounts_of(
        self, pod: Pod, container: Container, attempt: int, around: Surroundings, environment: dict[str, str]
    ) -> tuple[Mount, ...]:
        """What the runtime mounts into an instance of the container. Raises: RuntimeFailure."""
        ...

    def devices_of(self, pod: Pod, container: Container) -> tuple[DeviceMapping, ...]:
        """The devices of volumes that the container is given. Raises: RuntimeFailure."""
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

    def devices_of(self, pod: Pod, container: Container) -> tuple[DeviceMapping, ...]:
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


def disk_makers(paths: Paths, clock: Clock, info: Info) -> dict[str, Maker]:
    """By the type of the source, of a pod's volume or a PersistentVolume: the one list of what this node can make."""
    files = ObjectFiles(clock)
    return {
        "emptyDir": EmptyDirs(),
        "hostPath": HostPaths(),
        "local": LocalVolumes(paths),
        "configMap": files,
        "secret": files,
        "downwardAPI": files,
        "projected": files,
        "nfs": NfsVolumes(),
        "image": ImageVolumes(info),
    }


def disk_storage(client: Client, config: AgentConfig, clock: Clock, info: Info, drivers: CsiVolumes) -> DiskStorage:
    """For a real node. info: of the runtime."""
    makers = {**disk_makers(config.paths, clock, info), "csi": drivers}
    return DiskStorage(config, clock, PodTokens(client, clock), Claims(client), makers, info, (drivers.renew_at,))


class DiskStorage:
    """renewals: when the volumes of a pod, by its uid, are to be made again although nothing was heard of them."""

    def __init__(
        self,
        config: AgentConfig,
        clock: Clock,
        tokens: PodTokens,
        claims: Claims,
        makers: Mapping[str, Maker],
        info: Info,
        renewals: Sequence[Callable[[str], datetime | None]] = (),
    ) -> None:
        self._config = config
        self._paths = config.paths
        self._clock = clock
        self._tokens = tokens
        self._claims = claims
        self._makers = makers
        self._info = info
        self._renewals = renewals
        self._made: dict[tuple[str, str], Made] = {}
        """By (pod uid, volume)."""
        self._claimed: dict[tuple[str, str], tuple[str, str]] = {}
        """The claims of those that lie on a disk of this node: namespace and name."""

    def pods(self) -> Sequence[str]:
        return sorted(entry.name for entry in self._paths.pods.iterdir()) if self._paths.pods.exists() else ()

    async def mount(self, pod: Pod, lookup: Lookup, around: Surroundings) -> None:
        tokens = await self._tokens.ensure(pod)
        uid = pod.metadata.uid
        for volume in pod.spec.volumes:
            bound = await self._claims.bound(pod, volume)
            kind, source = source_of(volume, bound)
            path = self._paths.volume(uid, volume.name)
            wanted = Wanted(pod, volume, kind, source, path, lookup, around, tokens.__getitem__, bound)
            made = self._made[uid, volume.name] = await self._make(wanted)
            if bound is not None and kind in ON_DISK and not made.device:
                meta = bound.claim["metadata"]
                self._claimed[uid, volume.name] = (meta.get("namespace", ""), meta["name"])

    async def used(self) -> Sequence[VolumeUse]:
        """Of claims' volumes on this node's disks: what their file systems say."""
        places = [(*key, claim, self._made[key].path) for key, claim in self._claimed.items()]
        return await asyncio.to_thread(on_disk, places) if places else ()

    async def _make(self, wanted: Wanted) -> Made:
        maker = self._makers.get(wanted.kind)
        if maker is None:
            what = f'the type of persistent volume "{wanted.bound.name}"' if wanted.bound else "the volume's type"
            raise wanted.failure(f"{what} is not supported on this node")
        try:
            return await maker.make(wanted)
        except (OSError, ValueError) as error:
            raise wanted.failure(str(error)) from error

    async def mounts_of(
        self, pod: Pod, container: Container, attempt: int, around: Surroundings, environment: dict[str, str]
    ) -> tuple[Mount, ...]:
        recursive = shown.asks_for_recursion(container) and "" in (await self._info()).readonly_recursion
        return await asyncio.to_thread(self._mounts_of, pod, container, attempt, around, environment, recursive)

    def devices_of(self, pod: Pod, container: Container) -> tuple[DeviceMapping, ...]:
        return shown.devices(container, self._volumes(pod)) if container.volume_devices else ()

    def _volumes(self, pod: Pod) -> dict[str, Made]:
        return {name: made for (uid, name), made in self._made.items() if uid == pod.metadata.uid}

    def _mounts_of(
        self,
        pod: Pod,
        container: Container,
        attempt: int,
        around: Surroundings,
        environment: dict[str, str],
        recursive: bool,
    ) -> tuple[Mount, ...]:
        uid = pod.metadata.uid
        try:
            found = shown.mounts(container, self._volumes(pod), self._paths, uid, environment, recursive)
        except OSError as error:
            raise RuntimeFailure(f"volumes cannot be shown: {error}", reason="CreateContainerConfigError") from error
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
                file.seek(max(0, os.fstat(file.fileno()).st_size - LONGEST_MESSAGE_BYTES))
                return file.read(LONGEST_MESSAGE_BYTES).decode("utf-8", "replace")
        except OSError:  # nothing was left, or the pod's directory is gone
            return ""

    def renew_at(self, pod: Pod) -> datetime | None:
        uid = pod.metadata.uid
        moments = (self._tokens.renew_at(uid), *(renewal(uid) for renewal in self._renewals))
        return min((moment for moment in moments if moment is not None), default=None)

    async def remove(self, uid: str) -> None:
        self._tokens.forget(uid)
        for key in [key for key in self._made if key[0] == uid]:
            del self._made[key]
            self._claimed.pop(key, None)
        try:
            for maker in self._makers.values():
                await maker.remove(uid)
            await remove_tree(self._paths.pod(uid), self._clock)
        except OSError as error:
            raise RuntimeFailure(f"the pod's directory cannot be removed: {error}") from error

    async def remove_logs(self, namespace: str, name: str, uid: str) -> None:
        await asyncio.to_thread(shutil.rmtree, self._paths.pod_logs(namespace, name, uid), True)
