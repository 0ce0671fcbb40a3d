"""All that is known of one pod on this node at one moment: what `agent.plan` and `agent.status` are functions of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from navarch.agent.eviction.ranking import Eviction
from navarch.agent.runtime import Container as Instance
from navarch.agent.runtime import ContainerState, PodOnNode, Sandbox
from navarch.kinds.pod import Pod
from navarch.kinds.podspec.container import Container, RestartRule
from navarch.kinds.view import Quantity

StepKey = tuple[str, str]
"""What a step is about: (verb, subject). No two steps of a pod with the same key run at once."""


Amounts = Mapping[str, Mapping[str, Quantity]]
"""`limits` and `requests`, by resource name."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A step failed. reason: as a waiting container shows it. retry_at: not to be tried again before."""

    reason: str
    message: str
    at: datetime
    retry_at: datetime
    count: int = 1


@dataclass(frozen=True, slots=True)
class Health:
    """What the probes of one container instance say. failed: "" or which probe asks for a restart, with its message.

    grace_s: the failed probe's own grace period; None: the pod's.
    """

    started: bool = True
    ready: bool = True
    failed: str = ""
    message: str = ""
    grace_s: int | None = None


HEALTHY = Health()


@dataclass(frozen=True, slots=True)
class Facts:
    """images: containers whose image is at hand for the next start -> its id. failures: by step key.

    refused: (reason, message) when the node does not take the pod. node_ips: this node's, for pods on its network.
    stale: volumes that are to be written again. messages: termination messages of instances that have exited, by
    container id. resized: what running instances were given after their start; given: what the pod as a whole was;
    crowded: why other amounts must wait until pods beside this one go. allocatable: of this node. stopping:
    until when each instance that is being stopped was given time. evicted: why the node got rid of the pod. released:
    whether what is left of a pod that has ended may go, though the pod is not deleted. allotted: whether its containers
    have what they are to have to themselves. cpus: those that containers are to run on, by name; bound: those that
    instances run on, by id; both as Linux writes them, and nothing for all. pinned: whether one of them has CPUs to
    itself. devices: what the statuses of containers say of theirs. claimed: whether the pod's claims are prepared;
    holding: whether some are to be given back before its end is told. ended: when instances did, by container id, told
    by the clock as it stands now. deleted_at: when this agent heard that the pod is to go, None if it was before its
    time. hooked: instances whose hook before the stop has run. longest_delay_s: between restarts of what keeps failing.
    delays: seconds that containers had to wait whose instances were taken away, by name. ending_at: when this agent
    first found that the pod has ended, though nobody deleted it.
    """

    now: datetime
    runtime: PodOnNode
    node_ips: tuple[str, ...] = ()
    health: Mapping[str, Health] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    volumes_ready: bool = False
    stale: bool = False
    cleaned: bool = False
    busy: frozenset[StepKey] = frozenset()
    failures: Mapping[StepKey, Failure] = field(default_factory=dict)
    messages: Mapping[str, str] = field(default_factory=dict)
    resized: Mapping[str, Amounts] = field(default_factory=dict)
    given: Amounts | None = None
    crowded: str = ""
    allocatable: Mapping[str, Quantity] = field(default_factory=dict)
    stopping: Mapping[str, datetime] = field(default_factory=dict)
    allotted: bool = True
    cpus: Mapping[str, str] = field(default_factory=dict)
    bound: Mapping[str, str] = field(default_factory=dict)
    pinned: bool = False
    devices: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    claimed: bool = True
    holding: bool = False
    ended: Mapping[str, datetime] = field(default_factory=dict)
    deleted_at: datetime | None = None
    hooked: frozenset[str] = frozenset()
    longest_delay_s: int = 300
    delays: Mapping[str, int] = field(default_factory=dict)
    ending_at: datetime | None = None
    network_ready: bool = True
    refused: tuple[str, str] | None = None
    evicted: Eviction | None = None
    released: bool = False

    @property
    def sandbox(self) -> Sandbox | None:
        """The sandbox that new containers go into."""
        newest = self.runtime.sandboxes[0] if self.runtime.sandboxes else None
        return newest if newest is not None and newest.ready else None

    def instances(self, name: str) -> Iterator[Instance]:
        """All instances of a container, newest first, in whatever sandbox."""
        return (item for item in self.runtime.containers if item.name == name)

    def latest(self, name: str) -> Instance | None:
        return next(self.instances(name), None)

    def current(self, name: str) -> Instance | None:
        """The newest instance, if it belongs to the sandbox that is in use (the newest, ready or not)."""
        found = self.latest(name)
        newest = self.runtime.sandboxes[0].id if self.runtime.sandboxes else ""
        return found if found is not None and found.sandbox_id == newest else None

    def alive(self) -> list[Instance]:
        """Instances whose process may still run."""
        return [item for item in self.runtime.containers if is_alive(item)]

    def health_of(self, instance: Instance) -> Health:
        return self.health.get(instance.id, HEALTHY)

    def failure(self, verb: str, subject: str = "") -> Failure | None:
        return self.failures.get((verb, subject))

    def waiting(self, verb: str, subject: str = "") -> bool:
        """The step is running, or failed and is not to be tried again yet."""
        key = (verb, subject)
        failed = self.failures.get(key)
        return key in self.busy or (failed is not None and failed.retry_at > self.now)


def is_alive(instance: Instance) -> bool:
    return instance.state in (ContainerState.RUNNING, ContainerState.UNKNOWN)


def is_running(instance: Instance | None) -> bool:
    return instance is not None and instance.state is ContainerState.RUNNING


def has_exited(instance: Instance | None) -> bool:
    return instance is not None and instance.state is ContainerState.EXITED


def matching_rule(container: Container, exit_code: int) -> RestartRule | None:
    """The first of its restart rules that such an end meets: whatever its action, the container runs again."""
    for rule in container.restart_policy_rules:
        if rule.exit_codes is not None:
            listed = exit_code in rule.exit_codes.values
            if listed == (rule.exit_codes.operator == "In"):
                return rule
    return None


def restarts(pod: Pod, container: Container, exit_code: int, *, init: bool = False) -> bool:
    """Whether a container that ended so is to run again.

    Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy
    """
    if init and not container.is_sidecar and exit_code == 0:
        return False
    if matching_rule(container, exit_code) is not None:
        return True
    policy = container.restart_policy or pod.spec.restart_policy
    if policy == "Always":
        return not init or container.is_sidecar or exit_code != 0
    return policy == "OnFailure" and exit_code != 0


def main_containers_started(pod: Pod, facts: Facts) -> bool:
    """Whether initialization is over: a main container has had an instance in the present sandbox."""
    return any(facts.current(container.name) is not None for container in pod.spec.containers)


def ordered(pod: Pod) -> Sequence[Container]:
    """All containers in the order in which they start, without ephemeral ones."""
    return (*pod.spec.init_containers, *pod.spec.containers)
