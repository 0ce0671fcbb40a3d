"""The fields of pods and nodes that placing reads, and no others.

Narrower than `kinds.pod.Pod`, because every pod of the cluster is decoded into the scheduler's table and decoding what
is not read would be most of the cost.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from navarch.kinds.pod.view import ResourceClaimStatus
from navarch.kinds.podspec.spec import PodResourceClaim
from navarch.kinds.view import LabelSelector, OwnerReference, Quantity, View


class Resources(View, frozen=True):
    requests: dict[str, Quantity] = {}
    limits: dict[str, Quantity] = {}


class ContainerPort(View, frozen=True):
    host_port: int = 0
    host_ip: str = msgspec.field(name="hostIP", default="")
    protocol: str = "TCP"
    container_port: int = 0


class Container(View, frozen=True):
    image: str = ""
    restart_policy: str = ""
    resources: Resources = msgspec.field(default_factory=Resources)
    ports: tuple[ContainerPort, ...] = ()


class Toleration(View, frozen=True):
    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""


class NodeSelectorRequirement(View, frozen=True):
    key: str
    operator: str
    values: tuple[str, ...] = ()


class NodeSelectorTerm(View, frozen=True):
    match_expressions: tuple[NodeSelectorRequirement, ...] = ()
    match_fields: tuple[NodeSelectorRequirement, ...] = ()


class NodeSelector(View, frozen=True):
    node_selector_terms: tuple[NodeSelectorTerm, ...] = ()


class PreferredNodeTerm(View, frozen=True):
    weight: int
    preference: NodeSelectorTerm


class NodeAffinity(View, frozen=True):
    required: NodeSelector | None = msgspec.field(name="requiredDuringSchedulingIgnoredDuringExecution", default=None)
    preferred: tuple[PreferredNodeTerm, ...] = msgspec.field(
        name="preferredDuringSchedulingIgnoredDuringExecution", default=()
    )


class PodAffinityTerm(View, frozen=True):
    topology_key: str
    label_selector: LabelSelector | None = None
    namespaces: tuple[str, ...] = ()
    namespace_selector: LabelSelector | None = None
    match_label_keys: tuple[str, ...] = ()
    mismatch_label_keys: tuple[str, ...] = ()


class WeightedPodAffinityTerm(View, frozen=True):
    weight: int
    pod_affinity_term: PodAffinityTerm


class PodAffinity(View, frozen=True):
    required: tuple[PodAffinityTerm, ...] = msgspec.field(
        name="requiredDuringSchedulingIgnoredDuringExecution", default=()
    )
    preferred: tuple[WeightedPodAffinityTerm, ...] = msgspec.field(
        name="preferredDuringSchedulingIgnoredDuringExecution", default=()
    )


class Affinity(View, frozen=True):
    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAffinity | None = None


class TopologySpreadConstraint(View, frozen=True):
    max_skew: int
    topology_key: str
    when_unsatisfiable: str
    label_selector: LabelSelector | None = None
    min_domains: int = 1
    node_affinity_policy: str = "Honor"
    node_taints_policy: str = "Ignore"
    match_label_keys: tuple[str, ...] = ()


class SchedulingGate(View, frozen=True):
    name: str


class Spec(View, frozen=True):
    node_name: str = ""
    scheduler_name: str = "default-scheduler"
    priority: int = 0
    preemption_policy: str = "PreemptLowerPriority"
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    overhead: dict[str, Quantity] = {}
    resources: Resources = msgspec.field(default_factory=Resources)
    tolerations: tuple[Toleration, ...] = ()
    node_selector: dict[str, str] = {}
    affinity: Affinity = msgspec.field(default_factory=Affinity)
    topology_spread_constraints: tuple[TopologySpreadConstraint, ...] = ()
    scheduling_gates: tuple[SchedulingGate, ...] = ()
    host_network: bool = False


class Condition(View, frozen=True):
    type: str
    status: str
    reason: str = ""
    message: str = ""


class Status(View, frozen=True):
    phase: str = ""
    nominated_node_name: str = ""
    start_time: datetime | None = None
    conditions: tuple[Condition, ...] = ()


class Meta(View, frozen=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    labels: dict[str, str] = {}
    owner_references: tuple[OwnerReference, ...] = ()
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None


class PodShape(View, frozen=True):
    metadata: Meta
    spec: Spec = msgspec.field(default_factory=Spec)
    status: Status = msgspec.field(default_factory=Status)


class StatusGist(View, frozen=True):
    phase: str = ""
    nominated_node_name: str = ""
    start_time: datetime | None = None
    resource_claim_statuses: tuple[ResourceClaimStatus, ...] = ()


class ClaimName(View, frozen=True):
    claim_name: str = ""


class OwnClaim(View, frozen=True):
    """Its name follows from the pod's and the volume's."""


class PodVolume(View, frozen=True):
    name: str = ""
    persistent_volume_claim: ClaimName | None = None
    ephemeral: OwnClaim | None = None


class VolumesSpec(View, frozen=True):
    volumes: tuple[PodVolume, ...] = ()


class PodVolumes(View, frozen=True):
    """Of a pod, the claims that it uses; apart from `Spec`, because volumes' names make every pod's spec its own."""

    spec: VolumesSpec = msgspec.field(default_factory=VolumesSpec)


class DevicesSpec(View, frozen=True):
    resource_claims: tuple[PodResourceClaim, ...] = ()


class DevicesStatus(View, frozen=True):
    resource_claim_statuses: tuple[ResourceClaimStatus, ...] = ()


class PodDevices(View, frozen=True):
    """Of a pod, the claims of devices that it uses, and what they are called."""

    spec: DevicesSpec = msgspec.field(default_factory=DevicesSpec)
    status: DevicesStatus = msgspec.field(default_factory=DevicesStatus)


class VolumeAffinity(View, frozen=True):
    required: NodeSelector | None = None


class VolumeSpec(View, frozen=True):
    node_affinity: VolumeAffinity | None = None


class VolumeShape(View, frozen=True):
    """Of a PersistentVolume, from where it can be reached."""

    spec: VolumeSpec = msgspec.field(default_factory=VolumeSpec)


class PodGist(View, frozen=True):
    """All that `PodShape` is made of, not taken apart: enough to see that nothing of it has changed (most changes
    of a pod are its conditions and containers' states)."""

    metadata: Meta
    spec: msgspec.Raw = msgspec.Raw()
    status: StatusGist = msgspec.field(default_factory=StatusGist)


class Taint(View, frozen=True):
    key: str
    effect: str
    value: str = ""


class NodeSpec(View, frozen=True):
    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()


class Image(View, frozen=True):
    names: tuple[str, ...] = ()
    size_bytes: int = 0


class NodeStatus(View, frozen=True):
    allocatable: dict[str, Quantity] = {}
    capacity: dict[str, Quantity] = {}
    images: tuple[Image, ...] = ()


class NodeShape(View, frozen=True):
    metadata: Meta
    spec: NodeSpec = msgspec.field(default_factory=NodeSpec)
    status: NodeStatus = msgspec.field(default_factory=NodeStatus)
