"""What an agent is told about its node and its cluster, and where it keeps things on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from navarch.agent.devices.cdi import FOLDERS
from navarch.agent.kubelet import KubeletConfig
from navarch.agent.pulling.settings import PullSettings
from navarch.client.lease import RENEW_S

VERSION = "v1.36.0"
"""The Kubernetes version whose behaviour this agent keeps: what `kubectl get nodes` shows."""
WINDOW = "X-Navarch-Window"
"""The header of a summary of what is used that says what its rates are over, in seconds: the document has no place for
it, and users are told."""


@dataclass(frozen=True, slots=True)
class Paths:
    """root: the agent's own state (volumes, hosts files). logs: where containers' output goes.

    Layout: `root/pods/<uid>/{volumes/<name>,containers/<name>/<attempt>,etc-hosts}` and
    `logs/<namespace>_<name>_<uid>/<container>/<attempt>.log`.
    """

    root: Path
    logs: Path

    @property
    def pods(self) -> Path:
        return self.root / "pods"

    def pod(self, uid: str) -> Path:
        return self.pods / uid

    def volumes(self, uid: str) -> Path:
        return self.pod(uid) / "volumes"

    def volume(self, uid: str, name: str) -> Path:
        return self.volumes(uid) / name

    @property
    def seccomp(self) -> Path:
        """Where profiles lie that pods name as `Localhost`."""
        return self.root / "seccomp"

    def devices(self, uid: str) -> Path:
        """Where links say which loop devices were made for the pod's volumes, by volume."""
        return self.pod(uid) / "devices"

    def hosts(self, uid: str) -> Path:
        return self.pod(uid) / "etc-hosts"

    def termination_log(self, uid: str, container: str, attempt: int) -> Path:
        return self.pod(uid) / "containers" / container / str(attempt)

    def subpath(self, uid: str, container: str, index: int) -> Path:
        """Where a volume's part is bound that container mount number `index` shows."""
        return self.pod(uid) / "subpaths" / container / str(index)

    @property
    def device_plugins(self) -> Path:
        """Where device plugins have their sockets, and register."""
        return self.root / "device-plugins"

    @property
    def plugins_registry(self) -> Path:
        """Where plugins of the node lay the sockets by which they register."""
        return self.root / "plugins_registry"

    @property
    def pod_resources(self) -> Path:
        """Where monitors of devices ask who has which."""
        return self.root / "pod-resources"

    def pod_logs(self, namespace: str, name: str, uid: str) -> Path:
        return self.logs / f"{namespace}_{name}_{uid}"


def log_name(container: str, attempt: int) -> str:
    """The log file of an instance, relative to `Paths.pod_logs`."""
    return f"{container}/{attempt}.log"


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """node_ips: primary first. cluster_dns: addresses that pods with `ClusterFirst` ask; () for those of the node.

    port: of the agent's own HTTPS service; 0 when it has none. cgroup_root: the group that all pods are below; ""
    leaves groups to the runtime. taints: set when the node is registered. log_bytes, log_files: a container's log is
    rotated at that size (0: never), and so many files of it are kept. kubelet: what people set of how the node is run.
    images: how they are pulled. cdi: where drivers describe devices. programs: the runtime's own and the one that it
    starts containers with, as paths; "" where that is not known. volumes_again_s: how often volumes are looked at that
    may change though nobody tells.
    """

    node_name: str
    node_ips: tuple[str, ...]
    paths: Paths
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    port: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Mapping[str, str], ...] = ()
    provider_id: str = ""
    cgroup_root: str = "/kubepods"
    resolv_conf: Path = Path("/etc/resolv.conf")
    master_service_namespace: str = "default"
    log_bytes: int = 10 << 20
    log_files: int = 5
    images: PullSettings = field(default_factory=PullSettings)
    cdi: tuple[Path, ...] = FOLDERS
    relist_s: float = 60.0
    volumes_again_s: float = 60.0
    heartbeat_s: float = RENEW_S
    status_report_s: float = 300.0
    kubelet: KubeletConfig = field(default_factory=KubeletConfig)
    programs: tuple[str, str] = ("", "")
