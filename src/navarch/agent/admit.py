"""Whether this node takes a pod at all: what would harm the node, or cannot be done here, is refused for good.

The scheduler asks the same, and better; but whoever names a node in a pod passes it by, and two of them may want one
port. A refused pod fails at once, with a reason that its controller and its owner can read. Pure.

Source: https://kubernetes.io/docs/tasks/administer-cluster/sysctl-cluster/
Source: https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#nodename
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from navarch.agent.resources import pod_total
from navarch.kinds.node import Node
from navarch.kinds.pod import Pod
from navarch.kinds.podspec.container import ConfinementProfile, Container
from navarch.kinds.podspec.fits import selected, untolerated
from navarch.kinds.view import Quantity
from navarch.objects import quantity

Refusal = tuple[str, str]
"""(reason, message)."""

OS_LABEL = "kubernetes.io/os"
SAFE_SYSCTLS = frozenset(
    (
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    )
)


@dataclass(frozen=True, slots=True)
class Abilities:
    """unsafe_sysctls: kernel parameters that pods may set though others feel it; a `*` ends a name's beginning."""

    unsafe_sysctls: tuple[str, ...] = ()
    apparmor: bool = True
    strict_groups: bool = True


ABLE = Abilities()


def refusal(pod: Pod, able: Abilities = ABLE) -> Refusal | None:
    """Why no node of this kind takes the pod; None when one does."""
    return _forbidden_sysctl(pod, able) or _unsupported(pod, able)


def _unsupported(pod: Pod, able: Abilities) -> Refusal | None:
    spec = pod.spec
    if spec.os.name not in ("", "linux"):
        return ("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")
    if spec.security_context.supplemental_groups_policy == "Strict" and not able.strict_groups:
        text = "SupplementalGroupsPolicy=Strict is not supported in this node"
        return ("SupplementalGroupsPolicyNotSupported", text)
    if not able.apparmor and any(profile.type != "Unconfined" for profile in _armours(pod)):
        return ("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host")
    return None


def _armours(pod: Pod) -> Iterator[ConfinementProfile]:
    spec = pod.spec
    every = (*spec.init_containers, *spec.containers, *spec.ephemeral_containers)
    own = (container.security_context.app_armor_profile for container in every)
    return (profile for profile in (spec.security_context.app_armor_profile, *own) if profile is not None)


def _forbidden_sysctl(pod: Pod, able: Abilities) -> Refusal | None:
    spec = pod.spec
    for sysctl in spec.security_context.sysctls:
        name = sysctl.name.replace("/", ".")
        if name not in SAFE_SYSCTLS and not any(_covers(allowed, name) for allowed in able.unsafe_sysctls):
            return ("SysctlForbidden", f'forbidden sysctl: "{name}" not allowlisted')
        if spec.host_network and name.startswith("net."):
            return ("SysctlForbidden", f'forbidden sysctl: "{name}" not allowed with host net enabled')
        if spec.host_ipc and name.startswith("kernel."):
            return ("SysctlForbidden", f'forbidden sysctl: "{name}" not allowed with host ipc enabled')
    return None


def _covers(allowed: str, name: str) -> bool:
    return name.startswith(allowed[:-1]) if allowed.endswith("*") else name == allowed


def misfit(pod: Pod, node: Node | None, others: Sequence[Pod], allocatable: Mapping[str, str]) -> Refusal | None:
    """Why this node does not take the pod beside `others`, which it has taken and which have not ended.

    node: None while it is not known; then its labels and taints are not asked for.
    """
    return _elsewhere(pod, node) or _no_room(pod, others, allocatable) or _repelled(pod, node) or _taken(pod, others)


def _failed(name: str, text: str) -> Refusal:
    return (name, f"Predicate {name} failed: {text}")


def _elsewhere(pod: Pod, node: Node | None) -> Refusal | None:
    wanted = pod.spec.node_selector.get(OS_LABEL)
    if node is None or wanted is None or wanted == node.metadata.labels.get(OS_LABEL):
        return None
    text = "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"
    return ("PodOSSelectorNodeLabelDoesNotMatch", text)


def _no_room(pod: Pod, others: Sequence[Pod], allocatable: Mapping[str, str]) -> Refusal | None:
    for name, amount in allocatable.items():
        thousandths = 1 if name == "cpu" else 1000
        if name == "pods":
            asked, used, capacity = 1, len(others), quantity.whole(amount)
        else:
            asked = pod_total(pod, name, limits=False) // thousandths
            used = sum(pod_total(one, name, limits=False) for one in others) // thousandths if asked else 0
            capacity = quantity.milli(amount) // thousandths
        if asked and asked > capacity - used:
            text = f"{name}, requested: {asked}, used: {used}, capacity: {capacity}"
            return (f"OutOf{name}", f"Node didn't have enough resource: {text}")
    return None


def as_given(pod: Pod) -> Pod:
    """The pod with the requests that its status says it was given, whatever its spec asks for by now."""
    status, spec = pod.status, pod.spec
    statuses = (*status.container_statuses, *status.init_container_statuses)
    given = {each.name: each.allocated_resources for each in statuses if each.allocated_resources}
    whole = status.resources if status.resources is not None else spec.resources
    every = (*spec.init_containers, *spec.containers)
    same = all(given.get(one.name, one.resources.requests) == one.resources.requests for one in every)
    if same and whole == spec.resources:
        return pod
    inits = tuple(_with_requests(one, given.get(one.name)) for one in spec.init_containers)
    mains = tuple(_with_requests(one, given.get(one.name)) for one in spec.containers)
    return replace(pod, spec=replace(spec, init_containers=inits, containers=mains, resources=whole))


def _with_requests(container: Container, requests: Mapping[str, Quantity] | None) -> Container:
    if not requests:
        return container
    return replace(container, resources=replace(container.resources, requests=dict(requests)))


def crowding(pod: Pod, others: Sequence[Pod], allocatable: Mapping[str, str]) -> str:
    """Why the node cannot give the pod now what its spec asks for beside `others`; "" when it can."""
    found = _no_room(pod, others, {name: amount for name, amount in allocatable.items() if name in ("cpu", "memory")})
    return found[1] if found is not None else ""


def _repelled(pod: Pod, node: Node | None) -> Refusal | None:
    if node is None:
        return None
    name, labels, affinity = node.metadata.name, node.metadata.labels, pod.spec.affinity.node_affinity
    if any(labels.get(key) != value for key, value in pod.spec.node_selector.items()) or (
        affinity is not None and not selected(affinity.required, name, labels)
    ):
        return _failed("NodeAffinity", "node(s) didn't match Pod's node affinity/selector")
    if untolerated(node.spec.taints, pod.spec.tolerations, "NoExecute"):
        return _failed("TaintToleration", "node(s) had untolerated taint(s)")
    return None


def _taken(pod: Pod, others: Iterable[Pod]) -> Refusal | None:
    wanted = set(_host_ports(pod))
    for one in others if wanted else ():
        for protocol, port, ip in _host_ports(one):
            if any((protocol, port) == mine[:2] and _meet(ip, mine[2]) for mine in wanted):
                return _failed("NodePorts", "node(s) didn't have free ports for the requested pod ports")
    return None


def _host_ports(pod: Pod) -> Iterator[tuple[str, int, str]]:
    for container in (*pod.spec.containers, *(one for one in pod.spec.init_containers if one.is_sidecar)):
        for port in container.ports:
            if port.host_port:
                yield port.protocol, port.host_port, port.host_ip or "0.0.0.0"


def _meet(one: str, other: str) -> bool:
    return one == other or "0.0.0.0" in (one, other)
