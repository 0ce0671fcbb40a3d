"""Gives containers what they have to themselves, CPUs and devices, and keeps what was given through restarts.

A pod is given everything at once, before anything of it starts, or it is refused. What is given is written down before
it is used. Who shares CPUs is told again whenever their number changes (see `BindContainer`).

Source: https://kubernetes.io/docs/tasks/administer-cluster/cpu-management-policies/
Source: https://kubernetes.io/docs/tasks/administer-cluster/topology-manager/
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from navarch.agent.config import AgentConfig
from navarch.agent.devices import cdi
from navarch.agent.devices.extras import NOTHING, Extras, together
from navarch.agent.devices.plugins import PluginFailure, Plugins
from navarch.agent.kubelet import KubeletConfig
from navarch.agent.runtime import RuntimeFailure
from navarch.agent.topology import cpusets
from navarch.agent.topology.cpus import Cpus, Layout, read_layout, take
from navarch.agent.topology.hints import ANYWHERE, MOST_NODES, NEAR, Hint, admits, merge
from navarch.agent.topology.shares import (
    NO_CPUS,
    Asked,
    Room,
    Share,
    exclusive_cpus,
    in_order,
    most,
    taken_cpus,
    taken_devices,
)
from navarch.base.clock import Clock
from navarch.base.errors import Retryable
from navarch.base.log import Log
from navarch.base.pki import write_private
from navarch.kinds.pod import Pod
from navarch.kinds.podspec.container import Container
from navarch.objects import quantity

_log = Log("agent")


class NotAllotted(Exception):
    """The node cannot give the pod what it asks for; reason and message are for its status."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Written:
    """What stands on the disk. resources: those that plugins offered."""

    resources: tuple[str, ...] = ()
    pods: dict[str, dict[str, Share]] = field(default_factory=dict)


class Allotments:
    """file: where it is written down; None: nowhere. plugins: None where no devices are offered."""

    def __init__(
        self, kubelet: KubeletConfig, layout: Layout, plugins: Plugins | None = None, file: Path | None = None
    ) -> None:
        self.plugins = plugins
        self.shared_changed: Callable[[], None] = lambda: None
        """Called when the CPUs change that containers share."""
        self._kubelet = kubelet
        self._layout = layout
        self._file = file
        self._pods: dict[str, dict[str, Share]] = {}
        self._lock = asyncio.Lock()
        self._static = kubelet.cpu_manager_policy == "static"
        self._owned: Cpus = layout.all - reserved_cpus(kubelet, layout) if self._static else NO_CPUS

    async def load(self) -> None:
        """Read what an agent before this one wrote. Raises: Retryable, when the machine and its settings do not fit."""
        if self._kubelet.topology_manager_policy in NEAR and len(self._layout.nodes) > MOST_NODES:
            text = f"this machine has {len(self._layout.nodes)} NUMA nodes, and places are weighed for {MOST_NODES}"
            raise Retryable(f"topologyManagerPolicy: {text}; set it to none")
        if self._file is None:
            return
        try:
            found = msgspec.json.decode(await asyncio.to_thread(self._file.read_bytes), type=Written)
        except FileNotFoundError:
            return
        except (OSError, msgspec.MsgspecError) as error:
            text = "what containers had to themselves cannot be read, and is given anew"
            _log.error(text, file=self._file, error=error)
            return
        self._pods = found.pods
        if self.plugins is not None:
            self.plugins.remember(found.resources)

    async def _save(self) -> None:
        if self._file is not None:
            known = tuple(sorted(self.plugins.amounts())) if self.plugins is not None else ()
            await asyncio.to_thread(write_private, self._file, msgspec.json.encode(Written(known, self._pods)))

    # what is known

    def pods(self) -> tuple[str, ...]:
        """The uids of those that have something."""
        return tuple(self._pods)

    def concerns(self, pod: Pod) -> bool:
        """Whether the pod is to be given something, and was not yet."""
        return pod.metadata.uid not in self._pods and any(self._asked(pod, each) for each, _ in in_order(pod))

    def facts(self, pod: Pod, *, refused: bool) -> dict[str, Any]:
        """What a plan is to know, as members of `Facts`. refused: nothing is given to the pod any more."""
        uid = pod.metadata.uid
        if not self._static and uid not in self._pods and (self.plugins is None or not self.plugins.amounts()):
            return {}
        names = [container.name for container, _ in in_order(pod)]
        return {
            "allotted": refused or not self.concerns(pod),
            "cpus": {name: self.cpus(uid, name) for name in names} if self._static else {},
            "pinned": self._static and any(share.cpus for share in self._pods.get(uid, {}).values()),
            "devices": {name: told for name in names if (told := self.health(uid, name))},
        }

    def cpus(self, uid: str, container: str) -> str:
        """Those that the container runs on, as Linux writes them; "" for all."""
        if not self._static:
            return ""
        own = self.share(uid, container).cpus
        return cpusets.text(own or self._layout.all - taken_cpus(self._pods))

    def health(self, uid: str, container: str) -> list[dict[str, Any]]:
        """What the container's status says of its devices."""
        return [
            {
                "name": resource,
                "resources": [{"resourceID": name, "health": self._health(resource, name)} for name in ids],
            }
            for resource, ids in sorted(self.share(uid, container).devices.items())
        ]

    def _health(self, resource: str, name: str) -> str:
        device = self.plugins.devices(resource).get(name) if self.plugins is not None else None
        return "Unknown" if device is None else "Healthy" if device.healthy else "Unhealthy"

    @property
    def owned(self) -> Cpus:
        """Those that containers can have to themselves."""
        return self._owned

    def share(self, uid: str, container: str) -> Share:
        """What the container has to itself."""
        return self._pods.get(uid, {}).get(container, Share())

    def _asked(self, pod: Pod, container: Container) -> Asked:
        plugins = self.plugins
        listed = container.resources.limits or container.resources.requests
        devices = {
            name: quantity.whole(amount)
            for name, amount in listed.items()
            if plugins is not None and plugins.knows(name) and quantity.whole(amount) > 0
        }
        return Asked(exclusive_cpus(pod, container) if self._static else 0, devices)

    # giving and taking

    async def allot(self, pod: Pod) -> None:
        """Raises: NotAllotted."""
        uid = pod.metadata.uid
        async with self._lock:
            if uid in self._pods:
                return
            try:
                shares = await self._shares(pod)
            except (ValueError, PluginFailure) as error:
                text = f"Allocate failed due to {error}, which is unexpected"
                raise NotAllotted("UnexpectedAdmissionError", text) from error
            self._pods[uid] = shares
            await self._save()
        if any(share.cpus for share in shares.values()):
            self.shared_changed()

    async def release(self, uid: str) -> None:
        """The pod has ended: others may have what it had."""
        if uid not in self._pods:
            return
        async with self._lock:
            gone = self._pods.pop(uid, {})
            await self._save()
        if any(share.cpus for share in gone.values()):
            self.shared_changed()

    async def _shares(self, pod: Pod) -> dict[str, Share]:
        asked = {container.name: self._asked(pod, container) for container, _ in in_order(pod)}
        room = self._room({name for each in asked.values() for name in each.devices})
        policy, scope = self._kubelet.topology_manager_policy, self._kubelet.topology_manager_scope
        whole = self._place(room, most(pod, asked)) if scope == "pod" and policy in NEAR else None
        shares = {}
        for container, reusable in in_order(pod):
            wanted = asked[container.name]
            if not wanted:
                continue
            place = whole if whole is not None else self._place(room, wanted)
            devices = {
                resource: await self._give(room, resource, count, place, reusable=reusable)
                for resource, count in wanted.devices.items()
            }
            cpus = room.give_cpus(wanted.cpus, place, reusable=reusable)
            shares[container.name] = Share(cpus, devices, await self._extras(devices))
        return shares

    def _room(self, resources: set[str]) -> Room:
        devices = {name: self.plugins.healthy(name) if self.plugins is not None else {} for name in resources}
        unused = {name: set(found) - taken_devices(self._pods, name) for name, found in devices.items()}
        return Room(self._layout, self._owned, self._owned - taken_cpus(self._pods), devices, unused)

    def _place(self, room: Room, asked: Asked) -> Hint:
        """Raises: NotAllotted."""
        policy = self._kubelet.topology_manager_policy
        if policy not in NEAR:
            return ANYWHERE
        hint = merge(room.parts(asked), policy, self._layout.nodes)
        if not admits(policy, hint):
            raise NotAllotted("TopologyAffinityError", "Resources cannot be allocated with Topology locality")
        return hint

    async def _give(self, room: Room, resource: str, count: int, place: Hint, *, reusable: bool) -> tuple[str, ...]:
        must, may = room.candidates(resource, count, place)
        chosen = may[:count]
        if len(may) > count and self.plugins is not None:
            liked = await self.plugins.preferred(resource, may, must, count)
            if len(set(liked)) == count and set(must) <= set(liked) <= set(may):
                chosen = liked
        return room.give_devices(resource, chosen, reusable=reusable)

    async def _extras(self, devices: Mapping[str, tuple[str, ...]]) -> Extras:
        if self.plugins is None:
            return NOTHING
        return together([await self.plugins.allocate(resource, ids) for resource, ids in devices.items()])

    async def before_start(self, uid: str, container: str) -> Extras:
        """What the container is started with besides what its pod says. Raises: RuntimeFailure."""
        share = self.share(uid, container)
        if self.plugins is not None:
            try:
                for resource, ids in share.devices.items():
                    await self.plugins.before_start(resource, ids)
            except PluginFailure as error:
                raise RuntimeFailure(str(error), reason="PreStartHookError") from error
        if not share.extras.cdi:
            return share.extras
        return together([share.extras, await asyncio.to_thread(cdi.resolve, share.extras.cdi)])


def reserved_cpus(kubelet: KubeletConfig, layout: Layout) -> Cpus:
    """The CPUs that no container has to itself: those that are named, or as many as are kept for the system.

    Raises: Retryable, when the machine has fewer.
    """
    if kubelet.reserved_system_cpus:
        if unknown := kubelet.reserved_system_cpus - layout.all:
            text = f"this machine has no CPU {cpusets.text(unknown)}, only {cpusets.text(layout.all)}"
            raise Retryable(f"reservedSystemCPUs: {text}")
        return kubelet.reserved_system_cpus
    milli = sum(quantity.milli(each.get("cpu", 0)) for each in (kubelet.kube_reserved, kubelet.system_reserved))
    try:
        return take(layout, layout.all, -(-milli // 1000))
    except ValueError as error:
        raise Retryable(f"kubeReserved and systemReserved ask for more CPUs than there are: {error}") from error


def of_node(config: AgentConfig, clock: Clock, *, real: bool) -> Allotments:
    """real: whether there is a machine with plugins; simulated nodes have none."""
    kubelet = config.kubelet
    near = kubelet.cpu_manager_policy == "static" or kubelet.topology_manager_policy in NEAR
    layout = read_layout() if near else Layout()
    if not real:
        return Allotments(kubelet, layout)
    plugins = Plugins(config.paths.device_plugins, clock)
    return Allotments(kubelet, layout, plugins, config.paths.root / "allotments.json")
