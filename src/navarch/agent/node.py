"""The node's own object: registered at the start, its status told when it changes and now and then besides, and kept
alive by heartbeats. What follows from a silent node is a controller's business.

Source: https://kubernetes.io/docs/reference/node/node-status/
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from navarch.agent.config import VERSION, AgentConfig
from navarch.agent.escapes import weaknesses
from navarch.agent.machine import Machine, is_readonly
from navarch.agent.runtime import Image, Runtime, RuntimeFailure, RuntimeInfo
from navarch.base.clock import Clock
from navarch.base.errors import AlreadyExists, ApiError, NotFound, Retryable
from navarch.base.log import Log
from navarch.client.client import Client
from navarch.client.events import Recorder
from navarch.client.lease import Heartbeats
from navarch.kinds import NODE
from navarch.kinds.node import ATTACHED_FOR
from navarch.kinds.object import Object
from navarch.objects import condition
from navarch.objects.value import Document, dig

_log = Log("agent")

IMAGES_SHOWN = 50
CHECK_S = 30.0
AWAY_CHECK_S = 5.0
RETRY_S = 1.0
AWAY_S = 30.0
"""A runtime may be silent for so long before the node says that it is down: it is being started again, most likely."""
Side = tuple[str, str, str]
"""The reason and message of a condition, and the event when it comes to that."""
PRESSURES: Mapping[str, tuple[Side, Side]] = {
    "MemoryPressure": (
        ("KubeletHasSufficientMemory", "kubelet has sufficient memory available", "NodeHasSufficientMemory"),
        ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available", "NodeHasInsufficientMemory"),
    ),
    "DiskPressure": (
        ("KubeletHasNoDiskPressure", "kubelet has no disk pressure", "NodeHasNoDiskPressure"),
        ("KubeletHasDiskPressure", "kubelet has disk pressure", "NodeHasDiskPressure"),
    ),
    "PIDPressure": (
        ("KubeletHasSufficientPID", "kubelet has sufficient PID available", "NodeHasSufficientPID"),
        ("KubeletHasInsufficientPID", "kubelet has insufficient PID available", "NodeHasInsufficientPID"),
    ),
}
"""By condition: what is said of it while it does not hold, and while it does."""


READONLY = "ReadonlyFilesystem"
"""The condition that a node problem detector sets, too."""
_READONLY = {
    False: ("FilesystemIsNotReadOnly", "Filesystem is not read-only"),
    True: ("FilesystemIsReadOnly", "Filesystem is read-only"),
}


@dataclass(frozen=True, slots=True)
class Observed:
    """What a node's status is a function of. problems: why it is not ready. pressure: names of conditions. devices: by
    resource, how many there are and how many of them work."""

    machine: Machine
    runtime: str
    problems: tuple[str, ...]
    images: tuple[Image, ...] = ()
    info: RuntimeInfo | None = None
    pressure: frozenset[str] = frozenset()
    devices: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    readonly: bool = False
    """Whether the agent's disk takes no writes: what runs goes on, what is new cannot start."""


def labels(config: AgentConfig, machine: Machine) -> dict[str, str]:
    return {
        "beta.kubernetes.io/arch": machine.arch,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine.arch,
        "kubernetes.io/hostname": config.node_name,
        "kubernetes.io/os": "linux",
        **config.labels,
    }


def new_node(config: AgentConfig, machine: Machine) -> Document:
    annotations = {ATTACHED_FOR: "true", **config.annotations}
    meta: Document = {"name": config.node_name, "labels": labels(config, machine), "annotations": annotations}
    spec: Document = {}
    if config.taints:
        spec["taints"] = [dict(taint) for taint in config.taints]
    if config.provider_id:
        spec["providerID"] = config.provider_id
    return {"apiVersion": "v1", "kind": "Node", "metadata": meta, "spec": spec}


def node_status(config: AgentConfig, seen: Observed, old: Document, now: datetime) -> Document:
    """The status without the times of heartbeats. old: the status document that the API server has."""
    machine = seen.machine
    addresses = [{"type": "InternalIP", "address": ip} for ip in config.node_ips]
    made: Document = {
        "capacity": {
            **_of_others(old.get("capacity") or {}, seen.devices),
            **machine.capacity(config.kubelet),
            **{name: str(there) for name, (there, _) in seen.devices.items()},
        },
        "allocatable": {
            **_of_others(old.get("allocatable") or {}, seen.devices),
            **machine.allocatable(config.kubelet),
            **{name: str(working) for name, (_, working) in seen.devices.items()},
        },
        "addresses": [*addresses, {"type": "Hostname", "address": config.node_name}],
        "nodeInfo": {
            "machineID": machine.machine_id,
            "systemUUID": machine.system_uuid,
            "bootID": machine.boot_id,
            "kernelVersion": machine.kernel,
            "osImage": machine.os_image,
            "containerRuntimeVersion": seen.runtime,
            "kubeletVersion": VERSION,
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": machine.arch,
        },
        "conditions": _conditions(seen, old.get("conditions") or [], now),
        "images": [
            {"names": list(image.names), "sizeBytes": image.size_bytes}
            for image in sorted(seen.images, key=lambda image: (-image.size_bytes, image.id))[:IMAGES_SHOWN]
        ],
    }
    if seen.info is not None:
        made |= _features(seen.info)
    if config.port:
        made["daemonEndpoints"] = {"kubeletEndpoint": {"Port": config.port}}
    return made


def _features(info: RuntimeInfo) -> Document:
    """What the runtime says it can do; nothing of what it does not speak of."""
    made: Document = {}
    if info.handlers is not None:
        made["runtimeHandlers"] = [
            {
                "name": name,
                "features": {
                    "recursiveReadOnlyMounts": name in info.readonly_recursion,
                    "userNamespaces": name in info.user_namespaces,
                },
            }
            for name in info.handlers
        ]
    if info.strict_groups is not None:
        made["features"] = {"supplementalGroupsPolicy": info.strict_groups}
    return made


def _of_others(listed: Mapping[str, Any], devices: Mapping[str, Any]) -> dict[str, Any]:
    """Resources that somebody else said this node has: those of an agent's own plugins and of machines are not."""
    return {name: amount for name, amount in listed.items() if "/" in name and name not in devices}


def _conditions(seen: Observed, old: list[dict[str, Any]], now: datetime) -> list[dict[str, Any]]:
    if seen.problems:
        message = seen.problems[0] if len(seen.problems) == 1 else f"[{', '.join(seen.problems)}]"
        ready = {"status": "False", "reason": "KubeletNotReady", "message": message}
    else:
        ready = {"status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status"}
    wanted = [
        {"type": kind, "status": str(kind in seen.pressure), "reason": reason, "message": text}
        for kind, sides in PRESSURES.items()
        for reason, text, _ in (sides[kind in seen.pressure],)
    ]
    if seen.readonly or condition.get(old, READONLY) is not None:  # nobody is told who never had it
        reason, message = _READONLY[seen.readonly]
        wanted.append({"type": READONLY, "status": str(seen.readonly), "reason": reason, "message": message})
    found = []
    for new in [*wanted, {"type": "Ready", **ready}]:
        before = condition.get(old, new["type"])
        found += condition.set([before] if before else [], new, now, heartbeat="lastHeartbeatTime")
    return found


def differs(old: Document, new: Document) -> bool:
    """Whether there is more to tell than that the node still lives."""

    def timeless(conditions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return [{key: value for key, value in item.items() if not key.endswith("Time")} for item in conditions]

    names = {item["type"] for item in new["conditions"]}
    before = [item for item in old.get("conditions") or () if item.get("type") in names]
    if sorted(timeless(before), key=_type) != sorted(timeless(new["conditions"]), key=_type):
        return True
    return any((old.get(key) or type(value)()) != value for key, value in new.items() if key != "conditions")


def _type(item: Mapping[str, Any]) -> str:
    return str(item.get("type"))


class NodeReporter:
    """Registers the node and keeps its status current. `ready` is what the agent asks before it starts sandboxes."""

    def __init__(
        self,
        client: Client,
        runtime: Runtime,
        clock: Clock,
        config: AgentConfig,
        machine: Machine,
        heartbeats: Heartbeats,
        recorder: Recorder,
        checks: Sequence[Callable[[], str]] = (),
        pressure: Callable[[], frozenset[str]] = frozenset,
        devices: Callable[[], Mapping[str, tuple[int, int]]] = dict,
    ) -> None:
        """checks: each says what is wrong with the node, "" for nothing. devices: see `Observed`."""
        self._devices = devices
        self._checks = checks
        self._client = client
        self._pressure = pressure
        self._runtime = runtime
        self._clock = clock
        self._config = config
        self._machine = machine
        self._heartbeats = heartbeats
        self._recorder = recorder
        self._info: RuntimeInfo | None = None
        self._images: tuple[Image, ...] = ()
        self._away_since: float | None = None
        self.informed = asyncio.Event()
        """Set once the runtime has said what it can do."""
        self._problems: tuple[str, ...] = ("the node's agent has just started",)
        self._reported_at = float("-inf")
        self._announced = False

    @property
    def network_ready(self) -> bool:
        return not any("NetworkReady" in problem for problem in self._problems)

    @property
    def info(self) -> RuntimeInfo | None:
        """What the runtime last said of itself; None before it has."""
        return self._info

    async def register(self) -> Object:
        """Make the Node, or bring its labels up to date; tried until the API server takes it."""
        while True:
            try:
                return await self._register()
            except (ApiError, Retryable) as error:
                _log.warning("node not registered, will be tried again", node=self._config.node_name, error=error)
                await self._clock.sleep(RETRY_S)

    async def _register(self) -> Object:
        document = new_node(self._config, self._machine)
        try:
            found = await self._client.get(NODE, "", self._config.node_name)
        except NotFound:
            try:
                return await self._client.create(NODE, document)
            except AlreadyExists as error:
                raise Retryable("the node was registered by somebody else at the same moment") from error
        wanted = document["metadata"]["labels"]
        if any(found.labels.get(key) != value for key, value in wanted.items()):
            patch = {"metadata": {"labels": wanted}}
            return await self._client.patch(NODE, "", self._config.node_name, patch, type="strategic")
        return found

    async def report(self) -> None:
        """Look at the runtime and tell what has changed; without a change, only when the last report is old.

        Raises: ApiError, Retryable.
        """
        problems = self._problems = await self._look()
        info = self._info
        shown = f"{info.name}://{info.version}" if info is not None else "unknown"
        found = await self._client.get(NODE, "", self._config.node_name)
        old: Document = found.document().get("status") or {}
        readonly = is_readonly(self._config.paths.root)
        devices = self._devices()
        seen = Observed(self._machine, shown, problems, self._images, info, self._pressure(), devices, readonly)
        new = node_status(self._config, seen, old, self._clock.now())
        due = self._clock.monotonic() - self._reported_at >= self._config.status_report_s
        if not due and not differs(old, new):
            return
        patch: Document = {"status": {**new, "addresses": _replaced(old.get("addresses") or [], new["addresses"])}}
        told = await self._client.patch(NODE, "", self._config.node_name, patch, type="strategic", subresource="status")
        self._reported_at = self._clock.monotonic()
        if not self._announced and not problems and self._info is not None:
            await self._warn(told, self._info)
        self._announce(told, not problems)
        self._announce_pressure(told, old, seen.pressure)
        self._announce_events(told, old, readonly)

    async def _look(self) -> tuple[str, ...]:
        """What is wrong. A runtime that has not answered for a moment leaves things as they were."""
        try:
            self._info = await self._runtime.info()
            self.informed.set()
            problems = self._info.problems
            self._images = tuple(await self._runtime.images())
            self._away_since = None
        except RuntimeFailure as error:
            now = self._clock.monotonic()
            if self._away_since is None:
                self._away_since = now
                _log.warning("the runtime does not say how it is", node=self._config.node_name, error=error)
            if self._info is not None and now - self._away_since < AWAY_S:
                return self._problems
            problems = ("container runtime is down",)
        return (*problems, *filter(None, (check() for check in self._checks)))

    def _announce(self, node: Object, ready: bool) -> None:
        if ready != self._announced:
            self._announced = ready
            word = "NodeReady" if ready else "NodeNotReady"
            self._recorder.event(node, "Normal", word, f"Node {node.name} status is now: {word}")
            _log.info("node's state", node=node.name, ready=ready, problems="; ".join(self._problems))

    async def _warn(self, node: Object, info: RuntimeInfo) -> None:
        for known in await weaknesses(info.name, info.version, *self._config.programs):
            self._recorder.event(node, "Warning", "RuntimeWeakness", known)
            _log.warning("containers may break out of this runtime: update it", known=known)

    def _announce_pressure(self, node: Object, old: Document, pressure: frozenset[str]) -> None:
        """What has just come or gone; nothing the first time, when there is nothing to say."""
        for kind, sides in PRESSURES.items():
            before = condition.get(old.get("conditions") or [], kind)
            now = kind in pressure
            if now != (before is not None and before.get("status") == "True"):
                word = sides[now][2]
                self._recorder.event(node, "Normal", word, f"Node {node.name} status is now: {word}")

    def _announce_events(self, node: Object, old: Document, readonly: bool) -> None:
        """What has happened to the machine since the last report, also if that was an earlier agent's."""
        boot_id = self._machine.boot_id
        if boot_id and dig(old, "nodeInfo", "bootID", default="") not in ("", boot_id):
            text = f"Node {node.name} has been rebooted, boot id: {boot_id}"
            self._recorder.event(node, "Warning", "Rebooted", text)
        before = condition.get(old.get("conditions") or [], READONLY)
        if readonly and (before is None or before.get("status") != "True"):
            reason, message = _READONLY[True]
            self._recorder.event(node, "Warning", reason, f"{message}: {self._config.paths.root}")

    async def run(self, wait: Callable[[float], Awaitable[None]]) -> None:
        """Report until cancelled. wait: returns after so many seconds, or sooner when the runtime came or went."""
        while True:
            try:
                await self.report()
                waits = self._away_since is not None or not self.network_ready
                pause_s = AWAY_CHECK_S if waits else CHECK_S
            except NotFound:
                await self.register()
                pause_s = 0.0
            except (ApiError, Retryable) as error:
                _log.warning("node's status not told, will be tried again", node=self._config.node_name, error=error)
                pause_s = RETRY_S
            await wait(pause_s)

    async def beat(self) -> None:
        """Renew the node's lease until cancelled."""
        while True:
            try:
                await self._heartbeats.renew(self._config.node_name)
                pause_s = self._config.heartbeat_s
            except (ApiError, Retryable) as error:
                _log.warning("heartbeat not taken, will be tried again", node=self._config.node_name, error=error)
                pause_s = RETRY_S
            await self._clock.sleep(pause_s)


def _replaced(old: Sequence[Mapping[str, str]], new: Sequence[Mapping[str, str]]) -> list[Mapping[str, Any]]:
    """A strategic patch merges addresses by their type: say it as a replacement when the old ones are others."""
    return [*new] if list(old) in ([], list(new)) else [{"$patch": "replace"}, *new]
