"""The typed view of a Pod and of its status."""

from __future__ import annotations

from datetime import datetime

import msgspec

from navarch.kinds.podspec.container import Resources
from navarch.kinds.podspec.spec import PodSpec
from navarch.kinds.view import Condition, ObjectMeta, Quantity, View

TERMINAL_PHASES = ("Succeeded", "Failed")


class WaitingState(View, frozen=True):
    reason: str = ""
    message: str = ""


class RunningState(View, frozen=True):
    started_at: datetime | None = None


class TerminatedState(View, frozen=True):
    exit_code: int
    signal: int = 0
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    container_id: str = msgspec.field(default="", name="containerID")


class ContainerState(View, frozen=True):
    """One of the three; none of them means waiting."""

    waiting: WaitingState | None = None
    running: RunningState | None = None
    terminated: TerminatedState | None = None


class ContainerStatus(View, frozen=True):
    name: str
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()
    ready: bool = False
    started: bool | None = None
    restart_count: int = 0
    image: str = ""
    image_id: str = msgspec.field(default="", name="imageID")
    container_id: str = msgspec.field(default="", name="containerID")
    allocated_resources: dict[str, Quantity] = {}
    resources: Resources | None = None


class HostAddress(View, frozen=True):
    ip: str = ""


class ResourceClaimStatus(View, frozen=True):
    """resource_claim_name: of the claim that was made; "" where none is needed."""

    name: str
    resource_claim_name: str = ""


class ExtendedRequest(View, frozen=True):
    """Which request of the claim stands for an extended resource of a container."""

    container_name: str = ""
    resource_name: str = ""
    request_name: str = ""


class ExtendedResourceClaimStatus(View, frozen=True):
    """The claim that was made for extended resources which are devices of drivers."""

    resource_claim_name: str = ""
    request_mappings: tuple[ExtendedRequest, ...] = ()


class PodStatus(View, frozen=True):
    """phase: Pending, Running, Succeeded, Failed, Unknown."""

    phase: str = "Pending"
    conditions: tuple[Condition, ...] = ()
    message: str = ""
    reason: str = ""
    observed_generation: int = 0
    nominated_node_name: str = ""
    host_ip: str = msgspec.field(default="", name="hostIP")
    host_ips: tuple[HostAddress, ...] = msgspec.field(default=(), name="hostIPs")
    pod_ip: str = msgspec.field(default="", name="podIP")
    pod_ips: tuple[HostAddress, ...] = msgspec.field(default=(), name="podIPs")
    start_time: datetime | None = None
    init_container_statuses: tuple[ContainerStatus, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    ephemeral_container_statuses: tuple[ContainerStatus, ...] = ()
    qos_class: str = ""
    resize: str = ""
    resource_claim_statuses: tuple[ResourceClaimStatus, ...] = ()
    extended_resource_claim_status: ExtendedResourceClaimStatus | None = None
    resources: Resources | None = None

    def condition(self, type: str) -> Condition | None:
        return next((condition for condition in self.conditions if condition.type == type), None)


class Pod(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def terminal(self) -> bool:
        """Whether it has run to its end, well or not: no container of it will run again."""
        return self.status.phase in TERMINAL_PHASES

    @property
    def terminating(self) -> bool:
        return self.metadata.deletion_timestamp is not None

    @property
    def live(self) -> bool:
        """Whether a controller counts it: neither at its end nor on its way out."""
        return self.status.phase not in TERMINAL_PHASES and self.metadata.deletion_timestamp is None

    @property
    def scheduled(self) -> bool:
        return bool(self.spec.node_name)

    @property
    def ready(self) -> bool:
        condition = self.status.condition("Ready")
        return condition is not None and condition.status == "True"

    @property
    def ready_since(self) -> datetime | None:
        """When it became ready; None while it is not, or where that was not noted."""
        condition = self.status.condition("Ready")
        return condition.last_transition_time if condition is not None and condition.status == "True" else None
