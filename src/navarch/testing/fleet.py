"""The nodes that a simulation runs on, as a user names them: a number, a sort of machine, a file, real Node objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from navarch.base.errors import BadRequest
from navarch.objects import names, quantity
from navarch.objects.value import Document, dig
from navarch.testing.machine import LARGEST_NUMBER, Machine
from navarch.testing.yamlfile import Item, items_of

ZONE = "topology.kubernetes.io/zone"
OF_CONDITIONS = "node.kubernetes.io/"
"""Taints of this prefix follow from a node's state, which a simulation makes itself."""

Amount = str | int | float


class Group(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """Nodes that are alike. name: of one node, or what its number is put behind. resources: further ones by name."""

    name: str = ""
    count: int = 1
    cpu: Amount = "8"
    memory: Amount = "32Gi"
    pods: int = 110
    zone: str = ""
    zones: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    taints: tuple[dict[str, str], ...] = ()
    resources: dict[str, Amount] = {}
    unschedulable: bool = False


@dataclass(slots=True)
class Fleet:
    """machines: by name, in order. cordoned: those that take no new pods."""

    machines: dict[str, Machine] = field(default_factory=dict)
    cordoned: list[str] = field(default_factory=list)

    def add(self, name: str, machine: Machine, where: str, *, unschedulable: bool = False) -> None:
        """Raises: BadRequest."""
        if problems := names.dns_subdomain(name):
            raise BadRequest(f"{where}: {name!r} cannot name a node: {problems[0]}")
        if name in self.machines:
            raise BadRequest(f"{where}: there is a node {name} already; give one of them another name")
        if len(self.machines) > LARGEST_NUMBER:
            raise BadRequest(f"{where}: a simulation has at most {LARGEST_NUMBER + 1} nodes")
        amounts = {"cpu": machine.cpu, "memory": machine.memory, **machine.extra}
        for resource, amount in amounts.items():
            try:
                good = quantity.nano(amount) >= 0
            except ValueError:
                good = False
            if not good:
                raise BadRequest(f"{where}: {amount!r} is no amount of {resource}; one looks like 8, 500m or 32Gi")
        self.machines[name] = machine
        if unschedulable:
            self.cordoned.append(name)

    def add_group(self, group: Group, where: str) -> None:
        """Raises: BadRequest."""
        if group.count < 0:
            raise BadRequest(f"{where}: count: there cannot be {group.count} nodes")
        machine = Machine(
            cpu=str(group.cpu),
            memory=str(group.memory),
            pods=group.pods,
            zone=group.zone,
            labels=group.labels,
            taints=group.taints,
            extra={name: str(amount) for name, amount in group.resources.items()},
        )
        single = bool(group.name) and group.count == 1
        for number in range(group.count):
            zone = group.zones[number % len(group.zones)] if group.zones else ""
            name = group.name if single else self._free_name(group.name or "node")
            self.add(name, machine.in_zone(zone), where, unschedulable=group.unschedulable)

    def _free_name(self, stem: str) -> str:
        number = len(self.machines) if stem == "node" else 0
        while f"{stem}-{number}" in self.machines:
            number += 1
        return f"{stem}-{number}"

    def add_object(self, node: Document, where: str) -> None:
        """A Node as the API tells of it. Raises: BadRequest."""
        name = dig(node, "metadata", "name", default="")
        has = dig(node, "status", "allocatable", default=None) or dig(node, "status", "capacity", default={})
        labels = {str(k): str(v) for k, v in dig(node, "metadata", "labels", default={}).items()}
        taints = [
            taint
            for taint in dig(node, "spec", "taints", default=())
            if not str(taint.get("key", "")).startswith(OF_CONDITIONS)
        ]
        machine = Machine(
            cpu=str(has.get("cpu", "8")),
            memory=str(has.get("memory", "32Gi")),
            pods=_whole(has.get("pods", 110), where),
            zone=labels.get(ZONE, ""),
            labels=labels,
            taints=taints,
            extra={str(k): str(v) for k, v in has.items() if k not in ("cpu", "memory", "pods")},
        )
        self.add(str(name), machine, where, unschedulable=bool(dig(node, "spec", "unschedulable")))


def _whole(value: Any, where: str) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise BadRequest(f"{where}: {value!r} is no number of pods") from None


def group_of(text: str, count: int, zones: Sequence[str]) -> Group:
    """text: `cpu=8,memory=32Gi,pods=200,nvidia.com/gpu=4`. Raises: BadRequest."""
    fields: dict[str, Any] = {}
    resources: dict[str, str] = {}
    for part in filter(None, text.split(",")):
        name, equals, value = part.partition("=")
        if not (name and equals and value):
            raise BadRequest(f"{part!r} says nothing of a machine; write cpu=8,memory=32Gi")
        if name in ("cpu", "memory", "zone"):
            fields[name] = value
        elif name == "pods":
            fields[name] = _whole(value, "--machine")
        elif "/" in name or name == "ephemeral-storage":
            resources[name] = value
        else:
            raise BadRequest(
                f"{name!r} is nothing that a machine has; it has cpu, memory, pods, zone, ephemeral-storage, "
                "and resources such as nvidia.com/gpu"
            )
    return Group(**fields, count=count, zones=tuple(zones), resources=dict(resources))


def add_file(fleet: Fleet, source: str) -> None:
    """source: a YAML file of Node objects, or a list of groups. Raises: BadRequest, with file and line."""
    for item in items_of(source):
        add_item(fleet, item)


def add_item(fleet: Fleet, item: Item) -> None:
    """Raises: BadRequest."""
    value, where = item.value, item.where
    if isinstance(value, Mapping) and value.get("kind") == "Node":
        fleet.add_object(dict(value), where)
        return
    if isinstance(value, Mapping) and "kind" in value:
        raise BadRequest(f"{where}: a {value['kind']} is no node; give it as a manifest")
    try:
        group = msgspec.convert(value, Group)
    except msgspec.ValidationError as error:
        raise BadRequest(f"{where}: nodes: {error}; fields are {', '.join(_fields())}") from None
    fleet.add_group(group, where)


def _fields() -> Iterable[str]:
    return (field.encode_name for field in msgspec.structs.fields(Group))
