"""Node: a machine (or a simulated one) that pods run on.

Source: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/node-v1/
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from navarch.base.errors import Cause
from navarch.kinds import warnings
from navarch.kinds.kind import AGE, Column, Kind
from navarch.kinds.podspec.resource_rules import resource_amount
from navarch.kinds.printing import NONE, UNKNOWN
from navarch.kinds.rules import Faults, network, repeats
from navarch.kinds.view import Condition, ObjectMeta, Quantity, View
from navarch.objects import names
from navarch.objects.value import Document, Draft, dig

ROLE_PREFIX = "node-role.kubernetes.io/"
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
ROLE_LABEL = "kubernetes.io/role"
UNBALANCED_LABEL = "node.kubernetes.io/exclude-from-external-load-balancers"
OLD_TAINTS = "scheduler.alpha.kubernetes.io/taints"
ATTACHED_FOR = "volumes.kubernetes.io/controller-managed-attach-detach"
"""The annotation of nodes whose agent leaves attaching volumes to the controller."""


class Taint(View, frozen=True):
    """effect: NoSchedule, PreferNoSchedule, NoExecute."""

    key: str
    value: str = ""
    effect: str = ""
    time_added: datetime | None = None


class NodeSpec(View, frozen=True):
    pod_cidr: str = msgspec.field(default="", name="podCIDR")
    pod_cidrs: tuple[str, ...] = msgspec.field(default=(), name="podCIDRs")
    provider_id: str = msgspec.field(default="", name="providerID")
    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()


class NodeAddress(View, frozen=True):
    """type: InternalIP, ExternalIP, Hostname, InternalDNS, ExternalDNS."""

    type: str
    address: str


class NodeSystemInfo(View, frozen=True):
    machine_id: str = msgspec.field(default="", name="machineID")
    system_uuid: str = msgspec.field(default="", name="systemUUID")
    boot_id: str = msgspec.field(default="", name="bootID")
    kernel_version: str = ""
    os_image: str = ""
    container_runtime_version: str = ""
    kubelet_version: str = ""
    operating_system: str = ""
    architecture: str = ""


class ContainerImage(View, frozen=True):
    names: tuple[str, ...] = ()
    size_bytes: int = 0


class AgentEndpoint(View, frozen=True):
    port: int = msgspec.field(default=0, name="Port")


class DaemonEndpoints(View, frozen=True):
    kubelet_endpoint: AgentEndpoint = AgentEndpoint()


class AttachedVolume(View, frozen=True):
    name: str
    device_path: str = ""


class NodeStatus(View, frozen=True):
    capacity: dict[str, Quantity] = {}
    allocatable: dict[str, Quantity] = {}
    conditions: tuple[Condition, ...] = ()
    addresses: tuple[NodeAddress, ...] = ()
    daemon_endpoints: DaemonEndpoints = DaemonEndpoints()
    node_info: NodeSystemInfo = NodeSystemInfo()
    images: tuple[ContainerImage, ...] = ()
    volumes_in_use: tuple[str, ...] = ()
    volumes_attached: tuple[AttachedVolume, ...] = ()

    def condition(self, type: str) -> Condition | None:
        return next((condition for condition in self.conditions if condition.type == type), None)

    def address(self, type: str) -> str:
        """The first address of that type, "" without one."""
        return next((found.address for found in self.addresses if found.type == type), "")


class Node(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    @property
    def ready(self) -> bool:
        condition = self.status.condition("Ready")
        return condition is not None and condition.status == "True"

    @property
    def takes_traffic(self) -> bool:
        """Whether load balancers may lead to it."""
        return self.ready and UNBALANCED_LABEL not in self.metadata.labels and self.metadata.deletion_timestamp is None


NODE_INFO = (
    "machineID",
    "systemUUID",
    "bootID",
    "kernelVersion",
    "osImage",
    "containerRuntimeVersion",
    "kubeletVersion",
    "kubeProxyVersion",
    "operatingSystem",
    "architecture",
)


def default(draft: Draft) -> None:
    """What clients find in every node, whoever made it: a status with its two structures that are never left out."""
    draft.default({}, "status")
    draft.default({"kubeletEndpoint": {"Port": 0}}, "status", "daemonEndpoints")
    draft.default(dict.fromkeys(NODE_INFO, ""), "status", "nodeInfo")
    _default_networks(draft)
    capacity = draft.get("status", "capacity")
    if capacity and not draft.get("status", "allocatable"):
        draft.set(capacity, "status", "allocatable")


def _default_networks(draft: Draft) -> None:
    """The two forms of the same; where they differ, the older one is heeded."""
    single, several = draft.get("spec", "podCIDR"), draft.get("spec", "podCIDRs")
    if single and (not several or several[0] != single):
        draft.set([single], "spec", "podCIDRs")
    elif several and not single:
        draft.set(several[0], "spec", "podCIDR")


def prepare(draft: Draft, old: Document | None) -> None:
    """Where an agent finds its configuration is no longer said here; whoever said it before may go on."""
    if draft.has("spec", "configSource") and dig(old or {}, "spec", "configSource") is None:
        draft.remove("spec", "configSource")


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    """Of a new node, of one that changes and of a write to its status."""
    faults = Faults()
    if old is not None:
        return _updated(faults, new, old.get("spec") or {})
    _taints(faults, new)
    _amounts(faults, new)
    networks: list[str] = dig(new, "spec", "podCIDRs", default=[])
    good = [network(faults, cidr, f"spec.podCIDRs[{index}]") for index, cidr in enumerate(networks)]
    if len(networks) > 1:
        if all(good) and len({":" in cidr for cidr in networks}) < len(networks):
            faults.invalid("spec.podCIDRs", networks, "may specify no more than one CIDR for each IP family")
        for index in sorted(repeats(networks)):
            faults.duplicate(f"spec.podCIDRs[{index}]", networks[index])
    return faults.causes


def _taints(faults: Faults, node: Document) -> None:
    """Of the field, and of the annotation that was before it."""
    annotated = dig(node, "metadata", "annotations", OLD_TAINTS)
    if annotated:
        path = "metadata.annotations"
        try:
            taints = msgspec.json.decode(annotated, type=list[dict[str, Any]])
        except msgspec.DecodeError as error:
            faults.invalid(path, OLD_TAINTS, str(error))
        else:
            _check_taints(faults, taints, f"{path}.{OLD_TAINTS}")
    _check_taints(faults, dig(node, "spec", "taints", default=()), "metadata.taints")  # where Kubernetes tells it


def _check_taints(faults: Faults, taints: Iterable[Document], where: str) -> None:
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        path = f"{where}[{index}]"
        key, effect = taint.get("key", ""), taint.get("effect", "")
        faults.checked(f"{path}.key", key, names.label_key(key))
        if messages := names.label_value(taint.get("value", "")):
            faults.invalid(f"{path}.value", taint["value"], ";".join(messages))
        faults.one_of(f"{path}.effect", effect, EFFECTS)
        if (key, effect) in seen:
            faults.duplicate(path, taint, "taints must be unique by key and effect pair")
        seen.add((key, effect))


def _amounts(faults: Faults, new: Document) -> None:
    for side in ("capacity", "allocatable"):
        for name, value in dig(new, "status", side, default={}).items():
            resource_amount(faults, name, value, f"status.{side}.{name}")


def _updated(faults: Faults, new: Document, was: Document) -> Iterable[Cause]:
    """was: the stored spec."""
    _amounts(faults, new)
    addresses: list[Document] = dig(new, "status", "addresses", default=[])
    for index in sorted(repeats(addresses)):
        faults.duplicate(f"status.addresses[{index}]", addresses[index])
    for field, told in (("podCIDRs", "podCIDR"), ("providerID", "providerID")):
        if was.get(field) and dig(new, "spec", field) != was[field]:
            faults.forbidden(f"spec.{field}", f'node updates may not change {told} except from "" to valid')
    _taints(faults, new)
    if dig(new, "spec", "externalID", default="") != was.get("externalID", ""):
        faults.forbidden("spec.externalID", "may not be updated")
    return faults.causes


def _status(node: Document, now: datetime) -> str:
    ready = next((c for c in dig(node, "status", "conditions", default=()) if c.get("type") == "Ready"), None)
    text = "Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"
    return f"{text},SchedulingDisabled" if dig(node, "spec", "unschedulable") else text


def _roles(node: Document, now: datetime) -> str:
    roles = set()
    for key, value in dig(node, "metadata", "labels", default={}).items():
        if key.startswith(ROLE_PREFIX):
            roles.add(key.removeprefix(ROLE_PREFIX))
        elif key == ROLE_LABEL and value:
            roles.add(value)
    return ",".join(sorted(role for role in roles if role)) or NONE


def _address(node: Document, type_: str) -> str:
    addresses = dig(node, "status", "addresses", default=())
    return next((found.get("address", "") for found in addresses if found.get("type") == type_), NONE)


def _internal(node: Document, now: datetime) -> str:
    return _address(node, "InternalIP")


def _external(node: Document, now: datetime) -> str:
    return _address(node, "ExternalIP")


def _info(node: Document, field: str) -> str:
    return dig(node, "status", "nodeInfo", field) or UNKNOWN


def _os_image(node: Document, now: datetime) -> str:
    return _info(node, "osImage")


def _kernel(node: Document, now: datetime) -> str:
    return _info(node, "kernelVersion")


def _runtime(node: Document, now: datetime) -> str:
    return _info(node, "containerRuntimeVersion")


def _version(node: Document, now: datetime) -> str:
    return str(dig(node, "status", "nodeInfo", "kubeletVersion", default=""))


NODE = Kind(
    group="",
    version="v1",
    name="Node",
    plural="nodes",
    short=("no",),
    namespaced=False,
    view=Node,
    default=default,
    rules=rules,
    prepare=prepare,
    subresource_rules={"status": rules},
    warn=warnings.node,
    subresources=("status", "proxy"),
    counts_generation=False,
    status_at_create=True,
    columns=(
        Column("Status", _status, description="Whether the node is ready and takes new pods."),
        Column("Roles", _roles, description="The roles that its labels give it."),
        AGE,
        Column("Version", _version, description="The version of the node's agent."),
        Column("Internal-IP", _internal, priority=1, description="Its address inside the cluster."),
        Column("External-IP", _external, priority=1, description="Its address outside the cluster."),
        Column("OS-Image", _os_image, priority=1, description="Its operating system."),
        Column("Kernel-Version", _kernel, priority=1, description="Its kernel."),
        Column("Container-Runtime", _runtime, priority=1, description="What runs its containers."),
    ),
    age=False,
    fields={"spec.unschedulable": ("spec", "unschedulable")},
    field_zeros={"spec.unschedulable": "false"},
)
