"""What a simulated node is made of: the documents it registers with, and the addresses it hands out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_address

from navarch.base.clock import rfc3339
from navarch.kinds.node import ATTACHED_FOR
from navarch.objects.value import Document

NODES_FROM = int(IPv4Address("172.16.0.0"))
PODS_FROM = int(IPv4Address("10.128.0.0"))
PODS_A_NODE = 512
LARGEST_NUMBER = 16383

BEHIND = int(IPv6Address("fd00::"))
"""Every address of IPv4 that is handed out here has one of IPv6 that goes with it: this one, and its number more."""
ONLY_IPV4 = ("IPv4",)

CONDITIONS = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "simulated node is ready"),
)


@dataclass(frozen=True, slots=True)
class Machine:
    """Of what sort a node is.

    cpu, memory, pods: what it has to give, as quantities. zone: its label `topology.kubernetes.io/zone`. labels:
    further ones. taints: as in a Node's spec. extra: further resources by name.
    """

    cpu: str = "8"
    memory: str = "32Gi"
    pods: int = 110
    zone: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: Sequence[Mapping[str, str]] = ()
    extra: Mapping[str, str] = field(default_factory=dict)

    def in_zone(self, zone: str) -> Machine:
        """The same elsewhere; "" stays where it is."""
        return replace(self, zone=zone) if zone else self

    def document(self, name: str, number: int) -> Document:
        """number: unique among nodes, from 0; addresses follow from it."""
        labels = {
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            "navarch.dev/simulated": "true",
        }
        if self.zone:
            labels["topology.kubernetes.io/zone"] = self.zone
        spec: Document = {"podCIDR": pod_range(number), "podCIDRs": [pod_range(number)]}
        if self.taints:
            spec["taints"] = [dict(taint) for taint in self.taints]
        metadata = {"name": name, "labels": labels | dict(self.labels), "annotations": {ATTACHED_FOR: "true"}}
        return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec}

    def status(self, name: str, number: int, now: datetime, version: str) -> Document:
        resources = {"cpu": self.cpu, "memory": self.memory, "pods": str(self.pods), "ephemeral-storage": "100Gi"}
        resources |= dict(self.extra)
        return {
            "capacity": resources,
            "allocatable": resources,
            "conditions": ready_conditions(now),
            "addresses": [
                {"type": "InternalIP", "address": node_address(number)},
                {"type": "Hostname", "address": name},
            ],
            "nodeInfo": {
                "machineID": f"{number:032x}",
                "systemUUID": f"{number:032x}",
                "bootID": f"{number:032x}",
                "kernelVersion": "simulated",
                "osImage": "Simulated",
                "containerRuntimeVersion": "simulated://1",
                "kubeletVersion": version,
                "kubeProxyVersion": version,
                "operatingSystem": "linux",
                "architecture": "amd64",
            },
        }


def ready_conditions(now: datetime) -> list[Document]:
    stamp = rfc3339(now)
    times = {"lastHeartbeatTime": stamp, "lastTransitionTime": stamp}
    return [{"type": t, "status": s, "reason": r, "message": m, **times} for t, s, r, m in CONDITIONS]


def node_address(number: int) -> str:
    return str(IPv4Address(NODES_FROM + number + 1))


def pod_range(number: int) -> str:
    """Raises: ValueError, when there are too many nodes for the address space."""
    if number > LARGEST_NUMBER:
        raise ValueError(f"simulated nodes are numbered up to {LARGEST_NUMBER}, not {number}")
    return f"{IPv4Address(PODS_FROM + number * PODS_A_NODE)}/23"


def in_family(address: str, family: str) -> str:
    """What goes with an address of IPv4 (with or without a prefix) in a family."""
    if family == "IPv4":
        return address
    text, _, prefix = address.partition("/")
    found = str(IPv6Address(BEHIND + int(IPv4Address(text))))
    return f"{found}/{int(prefix) + 96}" if prefix else found


def plain(address: str) -> str:
    """The address of IPv4 that one goes with; "" for none."""
    return str(IPv4Address(int(ip_address(address)) & 0xFFFFFFFF)) if address else ""


def node_in_families(node: Document, families: Sequence[str]) -> Document:
    """A node's document and status with addresses of these families, the first one first."""
    ranges = [in_family(node["spec"]["podCIDR"], family) for family in families]
    first, *others = node["status"]["addresses"]
    addresses = [{**first, "address": in_family(first["address"], family)} for family in families]
    spec = {**node["spec"], "podCIDR": ranges[0], "podCIDRs": ranges}
    return {**node, "spec": spec, "status": {**node["status"], "addresses": [*addresses, *others]}}


def pod_in_families(status: Document, families: Sequence[str]) -> Document:
    """A pod's status with addresses of these families, the first one first."""
    made = dict(status)
    for one, several in (("hostIP", "hostIPs"), ("podIP", "podIPs")):
        addresses = [in_family(status[one], family) for family in families]
        made |= {one: addresses[0], several: [{"ip": address} for address in addresses]}
    return made


class Addresses:
    """Hands out a node's pod addresses, the longest unused first."""

    def __init__(self, number: int) -> None:
        self._first = PODS_FROM + number * PODS_A_NODE
        self._next = 2
        self._taken: dict[int, str] = {}
        self._of: dict[str, int] = {}

    def of(self, uid: str, before: str = "") -> str:
        """The pod's address. before: the one it has, if it had one already. Raises: ValueError when none is left."""
        offset = self._of.get(uid)
        if offset is None:
            offset = int(IPv4Address(before)) - self._first if before else self._free()
            self._of[uid] = offset
            self._taken[offset] = uid
        return str(IPv4Address(self._first + offset))

    def release(self, uid: str) -> None:
        offset = self._of.pop(uid, None)
        if offset is not None:
            del self._taken[offset]

    def _free(self) -> int:
        for _ in range(PODS_A_NODE):
            offset = self._next
            self._next = offset + 1 if offset + 1 < PODS_A_NODE - 1 else 2
            if offset not in self._taken:
                return offset
        raise ValueError(f"a simulated node has no more than {PODS_A_NODE - 3} pod addresses")
