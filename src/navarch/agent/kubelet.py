"""How a node is run: what people set in a file of kind KubeletConfiguration, with Kubernetes' defaults where they say
nothing. `agent.kubeletfile` reads the file; whatever acts on a value only reads it here.

Source: https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from navarch.objects import quantity

Amounts = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Threshold:
    """What of a resource must be left: so many bytes (inodes, process ids), or a part of all there is.

    amount: in units. part: from 0 to 1, used where `amount` is None.
    """

    amount: int | None = None
    part: float = 0.0

    def of(self, capacity: int) -> int:
        return self.amount if self.amount is not None else int(capacity * self.part)


EVICTION_HARD = {
    "memory.available": Threshold(100 << 20),
    "nodefs.available": Threshold(part=0.10),
    "nodefs.inodesFree": Threshold(part=0.05),
    "imagefs.available": Threshold(part=0.15),
    "imagefs.inodesFree": Threshold(part=0.05),
}
"""What must be left where nothing else is said."""


@dataclass(frozen=True, slots=True)
class KubeletConfig:
    """pod_pids_limit: -1 for none. reserved_system_cpus: CPUs that no exclusive container gets.

    kube_reserved, system_reserved: quantities by resource name. eviction_…: by signal (`memory.available`).
    eviction_max_pod_grace_period_s: -1 and 0 for the pod's own. image_maximum_gc_age_s: 0 for never.
    max_container_restart_period_s: the longest wait before a container that keeps on failing runs again.
    shutdown_grace_period_s: of a node that is shut down, the part for critical pods included; 0 for none.
    shutdown_grace_period_by_pod_priority: in place of both, seconds from so high a priority on.
    registry_pull_qps: 0 for no limit. max_parallel_image_pulls: 0 for no limit. pod_logs_dir, static_pod_path,
    static_pod_url: "" for the agent's own, and none.
    """

    max_pods: int = 110
    pod_pids_limit: int = -1
    cpu_cfs_quota: bool = True
    single_process_oom_kill: bool | None = None
    """None: what the control groups are used to: version 1 kills one process, version 2 the whole container."""
    cpu_manager_policy: str = "none"
    cpu_manager_reconcile_period_s: float = 10.0
    topology_manager_policy: str = "none"
    topology_manager_scope: str = "container"
    reserved_system_cpus: frozenset[int] = frozenset()
    kube_reserved: Amounts = field(default_factory=dict)
    system_reserved: Amounts = field(default_factory=dict)
    eviction_hard: Mapping[str, Threshold] = field(default_factory=lambda: dict(EVICTION_HARD))
    eviction_soft: Mapping[str, Threshold] = field(default_factory=dict)
    eviction_soft_grace_period_s: Mapping[str, float] = field(default_factory=dict)
    eviction_minimum_reclaim: Mapping[str, Threshold] = field(default_factory=dict)
    eviction_max_pod_grace_period_s: int = 0
    eviction_pressure_transition_period_s: float = 300.0
    image_gc_high_threshold_percent: int = 85
    image_gc_low_threshold_percent: int = 80
    image_minimum_gc_age_s: float = 120.0
    image_maximum_gc_age_s: float = 0.0
    container_log_max_bytes: int = 10 << 20
    container_log_max_files: int = 5
    volume_stats_agg_period_s: float = 60.0
    serialize_image_pulls: bool = True
    max_parallel_image_pulls: int = 0
    registry_pull_qps: int = 5
    registry_burst: int = 10
    image_pull_credentials_verification_policy: str = "NeverVerifyPreloadedImages"
    preloaded_images_verification_allowlist: tuple[str, ...] = ()
    static_pod_path: str = ""
    file_check_frequency_s: float = 20.0
    static_pod_url: str = ""
    static_pod_url_header: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    http_check_frequency_s: float = 20.0
    max_container_restart_period_s: int = 300
    shutdown_grace_period_s: float = 0.0
    shutdown_grace_period_critical_pods_s: float = 0.0
    shutdown_grace_period_by_pod_priority: tuple[tuple[int, float], ...] = ()
    allowed_unsafe_sysctls: tuple[str, ...] = ()
    seccomp_default: bool = False
    pod_logs_dir: str = ""
    enable_system_log_handler: bool = True
    enable_system_log_query: bool = False

    def kept_back(self, capacity: Amounts, *, free: bool = True) -> dict[str, str]:
        """What of the node pods do not get: reserved for the system and Kubernetes' own, and what must stay free.

        free: False leaves the latter out; then it is what pods may take before they are evicted.

        Source: https://kubernetes.io/docs/tasks/administer-cluster/reserve-compute-resources/
        """
        signals = {"memory": "memory.available", "ephemeral-storage": "nodefs.available"} if free else {}
        found = {}
        for name, whole in capacity.items():
            nano = sum(quantity.nano(source.get(name, 0)) for source in (self.kube_reserved, self.system_reserved))
            if name == "cpu" and self.reserved_system_cpus:
                nano = len(self.reserved_system_cpus) * quantity.NANO
            if (kept := self.eviction_hard.get(signals.get(name, ""))) is not None:
                nano += kept.of(quantity.whole(whole)) * quantity.NANO
            if nano:
                found[name] = quantity.text(nano)
        return found
