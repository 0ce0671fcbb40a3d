"""Who has which CPUs and devices of the node to itself: what is taken, what is left, what a container may get of it.
Values and pure functions; `agent.allotments` asks plugins and writes down.

Source: https://kubernetes.io/docs/tasks/administer-cluster/cpu-management-policies/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from navarch.agent import resources
from navarch.agent.devices.extras import NOTHING, Extras
from navarch.agent.devices.plugins import Device
from navarch.agent.topology.cpus import Cpus, Layout, take, take_near
from navarch.agent.topology.hints import Hint, Nodes, hints
from navarch.kinds.pod import Pod
from navarch.kinds.podspec.container import Container
from navarch.objects import quantity

NO_CPUS: Cpus = frozenset()


@dataclass(frozen=True, slots=True)
class Share:
    """What one container has to itself. cpus: none for those on the CPUs that are shared. devices: ids by resource."""

    cpus: Cpus = NO_CPUS
    devices: dict[str, tuple[str, ...]] = field(default_factory=dict)
    extras: Extras = NOTHING


Shares = Mapping[str, Mapping[str, Share]]
"""By pod uid and container."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a container wants to itself. devices: how many, by resource."""

    cpus: int = 0
    devices: Mapping[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.cpus or self.devices)


def exclusive_cpus(pod: Pod, container: Container) -> int:
    """How many CPUs a container has to itself: whole ones, asked for by a pod that gets just what it asks for."""
    if resources.qos_class(pod) != "Guaranteed" or pod.spec.resources.requests or pod.spec.resources.limits:
        return 0
    listed = container.resources
    whole, rest = divmod(quantity.milli(listed.requests.get("cpu", listed.limits.get("cpu", 0))), 1000)
    return 0 if rest else whole


def in_order(pod: Pod) -> Iterator[tuple[Container, bool]]:
    """Containers as they are given their shares, and whether what each has is for later ones too."""
    for container in pod.spec.init_containers:
        yield container, not container.is_sidecar
    for container in pod.spec.containers:
        yield container, False


def most(pod: Pod, asked: Mapping[str, Asked]) -> Asked:
    """What the pod as a whole has at one time at most."""
    cpus = kept_cpus = 0
    devices: dict[str, int] = {}
    kept: dict[str, int] = {}
    for container, reusable in in_order(pod):
        wanted = asked.get(container.name, Asked())
        cpus = max(cpus, kept_cpus + wanted.cpus)
        for name, count in wanted.devices.items():
            devices[name] = max(devices.get(name, 0), kept.get(name, 0) + count)
            if not reusable:
                kept[name] = kept.get(name, 0) + count
        kept_cpus += 0 if reusable else wanted.cpus
    return Asked(cpus, devices)


def taken_cpus(shares: Shares) -> Cpus:
    return frozenset(cpu for pod in shares.values() for share in pod.values() for cpu in share.cpus)


def taken_devices(shares: Shares, resource: str) -> set[str]:
    return {name for pod in shares.values() for share in pod.values() for name in share.devices.get(resource, ())}


@dataclass(slots=True)
class Room:
    """What is left on the node, while the containers of one pod are given their shares one after the other.

    owned: all CPUs that containers may have to themselves, taken or not. free: those that nobody has. devices: those
    that work, taken or not, by resource; unused: those of them that nobody has. own_cpus, own_devices: what init
    containers of this pod had, for those after them.
    """

    layout: Layout
    owned: Cpus
    free: Cpus
    devices: Mapping[str, Mapping[str, Device]]
    unused: dict[str, set[str]]
    own_cpus: Cpus = NO_CPUS
    own_devices: dict[str, set[str]] = field(default_factory=dict)

    def parts(self, asked: Asked) -> list[Sequence[Hint] | None]:
        """Where each thing that is asked for may lie; see `hints.merge`."""
        found: list[Sequence[Hint] | None] = [self._device_hints(*each) for each in sorted(asked.devices.items())]
        if asked.cpus:
            free = self.free | self.own_cpus
            found.append(
                hints(
                    asked.cpus,
                    lambda nodes: len(self.owned & self.layout.on(nodes)),
                    lambda nodes: len(free & self.layout.on(nodes)),
                    self.layout.nodes,
                )
            )
        return found

    def _device_hints(self, resource: str, count: int) -> Sequence[Hint] | None:
        known = self.devices.get(resource, {})
        if not any(device.nodes for device in known.values()):
            return None
        usable = self.unused.get(resource, set()) | self.own_devices.get(resource, set())

        def lying(nodes: Nodes, names: Iterable[str]) -> int:
            return sum(1 for name in names if not known[name].nodes or nodes & set(known[name].nodes))

        return hints(
            count,
            lambda nodes: lying(nodes, known),
            lambda nodes: lying(nodes, usable & known.keys()),
            self.layout.nodes,
        )

    def give_cpus(self, count: int, hint: Hint, *, reusable: bool) -> Cpus:
        """Raises: ValueError, when there are not enough."""
        if not count:
            return NO_CPUS
        again = take(self.layout, self.own_cpus, min(count, len(self.own_cpus)))
        given = again | take_near(self.layout, self.free, count - len(again), hint.nodes)
        self.free -= given
        self.own_cpus = self.own_cpus | given if reusable else self.own_cpus - given
        return given

    def candidates(self, resource: str, count: int, hint: Hint) -> tuple[list[str], list[str]]:
        """(those that must be among the chosen, all that may be), the latter in the order of preference.

        Raises: ValueError, when there are not enough.
        """
        known = self.devices.get(resource, {})
        must = sorted(self.own_devices.get(resource, set()) & known.keys())[:count]
        free = sorted(self.unused.get(resource, set()))
        if not known:
            raise ValueError(f"no healthy devices present; cannot allocate unhealthy devices {resource}")
        if len(free) + len(must) < count:
            raise ValueError(
                f"requested number of devices unavailable for {resource}. "
                f"Requested: {count}, Available: {len(free) + len(must)}"
            )
        if hint.nodes is not None:
            near = [name for name in free if hint.nodes & set(known[name].nodes)]
            if len(near) + len(must) >= count:
                free = near
            else:
                free = [*near, *sorted(set(free) - set(near), key=lambda name: (bool(known[name].nodes), name))]
        return must, [*must, *free]

    def give_devices(self, resource: str, chosen: Iterable[str], *, reusable: bool) -> tuple[str, ...]:
        given = set(chosen)
        self.unused[resource] = self.unused.get(resource, set()) - given
        own = self.own_devices.get(resource, set())
        self.own_devices[resource] = own | given if reusable else own - given
        return tuple(sorted(given))
