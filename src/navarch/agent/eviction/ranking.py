"""Which pod goes when the node is short of something, and what it is told. Pure.

Those that use more than they asked for go first, among them those of lower priority, among those the ones furthest
above what they asked for. Critical pods stay.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from navarch.agent.eviction.judge import Observed
from navarch.agent.eviction.thresholds import CONTAINER_DISK, CONTAINER_INODES, IMAGE_DISK, IMAGE_INODES, Threshold
from navarch.agent.resources import pod_total, qos_class
from navarch.kinds.node import Taint
from navarch.kinds.pod import Pod
from navarch.kinds.podspec.fits import tolerates
from navarch.objects import quantity

EVICTED = "Evicted"
HARD_GRACE_S = 1
CRITICAL_PRIORITY = 2_000_000_000
CONFIG_SOURCE = "kubernetes.io/config.source"
CONFIG_MIRROR = "kubernetes.io/config.mirror"
STORAGE = "ephemeral-storage"
_ON_IMAGES = frozenset((IMAGE_DISK, IMAGE_INODES, CONTAINER_DISK, CONTAINER_INODES))
"""Signals of the disk that containers write their own layers to."""


@dataclass(frozen=True, slots=True)
class Held:
    """On a disk."""

    bytes: int = 0
    inodes: int = 0

    def __add__(self, other: Held) -> Held:
        return Held(self.bytes + other.bytes, self.inodes + other.inodes)


NONE_HELD = Held()


@dataclass(frozen=True, slots=True)
class ContainerUse:
    """layer: what it wrote to its own files. memory_bytes: the working set."""

    memory_bytes: int = 0
    layer: Held = NONE_HELD
    logs: Held = NONE_HELD

    @property
    def disk_bytes(self) -> int:
        return self.layer.bytes + self.logs.bytes


@dataclass(frozen=True, slots=True)
class PodUse:
    """volumes: those that lie on the node's disk and belong to the pod alone, by name."""

    containers: Mapping[str, ContainerUse] = field(default_factory=dict)
    volumes: Mapping[str, Held] = field(default_factory=dict)
    processes: int = 0

    @property
    def memory_bytes(self) -> int:
        return sum(one.memory_bytes for one in self.containers.values())

    def held(self, *, layers: bool, rest: bool) -> Held:
        """rest: logs and volumes."""
        every = self.containers.values()
        parts = [one.layer for one in every] if layers else []
        if rest:
            parts += [*(one.logs for one in every), *self.volumes.values()]
        return sum(parts, NONE_HELD)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pod that runs here. use: None when it could not be measured."""

    pod: Pod
    use: PodUse | None = None


@dataclass(frozen=True, slots=True)
class Eviction:
    """disrupts: whether the pod gets the condition that budgets and Jobs look for. cause: a signal, for counting.

    reason: that the pod's status shows. notes: annotations of the event that tells of it.
    """

    uid: str
    message: str
    grace_s: int = HARD_GRACE_S
    disrupts: bool = False
    cause: str = ""
    reason: str = EVICTED
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def of_disk(self) -> bool:
        """Whether it goes for what it holds on a disk."""
        return "fs." in self.cause


def is_critical(pod: Pod) -> bool:
    """Whether the node needs it to work: static pods, their mirrors, and the highest priorities."""
    notes = pod.metadata.annotations
    static = notes.get(CONFIG_SOURCE, "api") != "api" or CONFIG_MIRROR in notes
    return static or pod.spec.priority >= CRITICAL_PRIORITY


def rank(candidates: Iterable[Candidate], threshold: Threshold, *, split: bool) -> list[Candidate]:
    """The one to evict first comes first. split: containers' own layers lie on another disk than the rest."""

    def key(one: Candidate) -> tuple[bool, bool, int, int]:
        priority = one.pod.spec.priority
        if threshold.resource == "pids":
            return (False, False, priority, -one.use.processes if one.use is not None else 0)
        if one.use is None:
            return (False, False, priority, 0)
        over = _used(one.use, threshold, split) - _asked(one.pod, threshold.resource)
        return (True, over <= 0, priority, -over)

    return sorted(candidates, key=key)


def _used(use: PodUse, threshold: Threshold, split: bool) -> int:
    if threshold.resource == "memory":
        return use.memory_bytes
    on_images = threshold.signal in _ON_IMAGES
    held = use.held(layers=not split or on_images, rest=not split or not on_images)
    return held.inodes if threshold.resource == "inodes" else held.bytes


def _asked(pod: Pod, resource: str) -> int:
    return pod_total(pod, resource, limits=False) // 1000 if resource in ("memory", STORAGE) else 0


def choose(
    candidates: Iterable[Candidate], due: Sequence[Threshold], observed: Observed, *, longest_s: int, split: bool
) -> Eviction | None:
    """The pod that goes for the most urgent of `due`; None when only critical ones are left.

    longest_s: how much of its time to stop a pod gets when the threshold is a soft one; below 0: all of it.
    """
    if not due:
        return None
    threshold = due[0]
    for one in rank(candidates, threshold, split=split):
        if not is_critical(one.pod):
            own_s = one.pod.spec.termination_grace_period_seconds
            softly_s = max(HARD_GRACE_S, own_s if longest_s < 0 else min(longest_s, own_s))
            grace_s = HARD_GRACE_S if threshold.hard else softly_s
            text, notes = message(one, threshold, observed), notes_of(one, threshold)
            return Eviction(one.pod.metadata.uid, text, grace_s, disrupts=True, cause=threshold.signal, notes=notes)
    return None


def message(one: Candidate, threshold: Threshold, observed: Observed) -> str:
    """In the words that clients know, the space at the end included."""
    resource = threshold.resource
    said = f"The node was low on resource: {resource}. "
    seen = observed.get(threshold.signal)
    if seen is not None:
        least = threshold.least.of(seen.capacity)
        said += f"Threshold quantity: {amount(least)}, available: {amount(seen.available)}. "
    for name, used, asked in _greedy(one, resource):
        said += (
            f"Container {name} was using {amount(used)}, request is {quantity.canonical(asked)}, "
            f"has larger consumption of {resource}. "
        )
    return said


def notes_of(one: Candidate, threshold: Threshold) -> dict[str, str]:
    """The same for machines; empty where containers cannot be blamed."""
    resource = threshold.resource
    if one.use is None or resource not in ("memory", STORAGE):
        return {}
    greedy = list(_greedy(one, resource))
    return {
        "offending_containers": ",".join(name for name, _, _ in greedy),
        "offending_containers_usage": ",".join(amount(used) for _, used, _ in greedy),
        "starved_resource": resource,
    }


def _greedy(one: Candidate, resource: str) -> Iterator[tuple[str, int, quantity.Quantity]]:
    """Containers that use more than they asked for: name, bytes used, quantity asked for."""
    if one.use is None or resource not in ("memory", STORAGE):
        return
    for container in (*one.pod.spec.init_containers, *one.pod.spec.containers, *one.pod.spec.ephemeral_containers):
        use = one.use.containers.get(container.name)
        if use is None:
            continue
        asked = container.resources.requests.get(resource, "0")
        used = use.memory_bytes if resource == "memory" else use.disk_bytes
        if used > quantity.whole(asked):
            yield container.name, used, asked


def amount(number: int) -> str:
    """As Kubernetes writes what it has measured."""
    return quantity.text(number * quantity.NANO, "binary")


def refusal(pod: Pod, pressure: frozenset[str]) -> tuple[str, str] | None:
    """Why the node takes no such pod while it is under pressure, as (reason, message); None when it does."""
    if not pressure or is_critical(pod):
        return None
    if pressure == {"MemoryPressure"}:
        taint = Taint(key="node.kubernetes.io/memory-pressure", effect="NoSchedule")
        if qos_class(pod) != "BestEffort" or any(tolerates(one, taint) for one in pod.spec.tolerations):
            return None
    return (EVICTED, f"The node had condition: [{' '.join(sorted(pressure))}]. ")
