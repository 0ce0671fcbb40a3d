"""The view of a pod's spec, and of a pod template that a controller only compares or copies.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#PodSpec
"""

from __future__ import annotations

import msgspec

from navarch.kinds.podspec.container import (
    ConfinementProfile,
    Container,
    EphemeralContainer,
    Resources,
    SELinuxOptions,
)
from navarch.kinds.podspec.placement import Affinity, Toleration, TopologySpreadConstraint
from navarch.kinds.podspec.volumes import Volume
from navarch.kinds.view import ObjectMeta, Quantity, View


class Sysctl(View, frozen=True):
    name: str
    value: str


class PodSecurityContext(View, frozen=True):
    se_linux_options: SELinuxOptions | None = None
    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    supplemental_groups: tuple[int, ...] = ()
    supplemental_groups_policy: str = "Merge"
    fs_group: int | None = None
    fs_group_change_policy: str = "Always"
    sysctls: tuple[Sysctl, ...] = ()
    seccomp_profile: ConfinementProfile | None = None
    app_armor_profile: ConfinementProfile | None = None


class DNSOption(View, frozen=True):
    name: str = ""
    value: str | None = None


class DNSConfig(View, frozen=True):
    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[DNSOption, ...] = ()


class HostAlias(View, frozen=True):
    ip: str
    hostnames: tuple[str, ...] = ()


class LocalReference(View, frozen=True):
    name: str = ""


class ReadinessGate(View, frozen=True):
    condition_type: str


class PodResourceClaim(View, frozen=True):
    """One of the two names."""

    name: str
    resource_claim_name: str = ""
    resource_claim_template_name: str = ""


class PodSpec(View, frozen=True):
    """init_containers run in order before `containers`, sidecars among them stay; node_name "" is not yet scheduled."""

    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    ephemeral_containers: tuple[EphemeralContainer, ...] = ()
    volumes: tuple[Volume, ...] = ()
    restart_policy: str = "Always"
    termination_grace_period_seconds: int = 30
    active_deadline_seconds: int | None = None
    dns_policy: str = "ClusterFirst"
    dns_config: DNSConfig = DNSConfig()
    node_selector: dict[str, str] = {}
    service_account_name: str = ""
    automount_service_account_token: bool | None = None
    node_name: str = ""
    host_network: bool = False
    host_pid: bool = msgspec.field(default=False, name="hostPID")
    host_ipc: bool = msgspec.field(default=False, name="hostIPC")
    host_users: bool = True
    share_process_namespace: bool = False
    security_context: PodSecurityContext = PodSecurityContext()
    image_pull_secrets: tuple[LocalReference, ...] = ()
    hostname: str = ""
    hostname_override: str | None = None
    subdomain: str = ""
    set_hostname_as_fqdn: bool = msgspec.field(default=False, name="setHostnameAsFQDN")
    affinity: Affinity = Affinity()
    scheduler_name: str = "default-scheduler"
    tolerations: tuple[Toleration, ...] = ()
    host_aliases: tuple[HostAlias, ...] = ()
    priority_class_name: str = ""
    priority: int = 0
    preemption_policy: str = "PreemptLowerPriority"
    readiness_gates: tuple[ReadinessGate, ...] = ()
    runtime_class_name: str = ""
    enable_service_links: bool = True
    overhead: dict[str, Quantity] = {}
    resources: Resources = Resources()
    topology_spread_constraints: tuple[TopologySpreadConstraint, ...] = ()
    scheduling_gates: tuple[LocalReference, ...] = ()
    resource_claims: tuple[PodResourceClaim, ...] = ()
    os: LocalReference = LocalReference()


class PodTemplateSpec(View, frozen=True):
    """A template, typed: for what must look inside. What only copies one keeps it as `msgspec.Raw`."""

    metadata: ObjectMeta = ObjectMeta()
    spec: PodSpec = PodSpec()
