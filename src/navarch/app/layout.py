"""Where a cluster's files lie on a machine, and the settings that all of its processes share.

Both are plain values. `up` writes the settings once; every process reads them and nothing else is passed around.
Imports stay light: the supervisor, which only restarts processes, reads them too.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

DATA = Path("/var/lib/navarch")
RUN = Path("/run/navarch")
API_PORT = 6443


class BadSettings(ValueError):
    """The settings file cannot be read or means nothing; the message says where and what."""


@dataclass(frozen=True, slots=True)
class Layout:
    """data: what survives a reboot. run: sockets, mounts and process ids, gone after one."""

    data: Path = DATA
    run: Path = RUN

    @property
    def settings(self) -> Path:
        return self.data / "settings.json"

    @property
    def database(self) -> Path:
        return self.data / "server" / "state.db"

    @property
    def pki(self) -> Path:
        return self.data / "pki"

    @property
    def admin_kubeconfig(self) -> Path:
        return self.data / "admin.kubeconfig"

    @property
    def agent(self) -> Path:
        """The agent's root: pod directories, volumes, container logs."""
        return self.data / "agent"

    @property
    def containerd(self) -> Path:
        return self.data / "containerd"

    @property
    def processes(self) -> Path:
        """What is known of host processes, which end with the machine's uptime."""
        return self.run / "processes"

    @property
    def cni_config(self) -> Path:
        return self.data / "cni" / "net.d"

    @property
    def cni_state(self) -> Path:
        return self.data / "cni" / "state"

    @property
    def pod_cidr(self) -> Path:
        """The range of addresses that this machine's pods have."""
        return self.data / "cni" / "pod-cidr"

    @property
    def server_socket(self) -> Path:
        return self.run / "server.sock"

    @property
    def images(self) -> Path:
        """Archives of images that the node takes in when it starts."""
        return self.data / "images"

    @property
    def logs(self) -> Path:
        return self.data / "log"

    @property
    def supervisor_state(self) -> Path:
        """What the supervisor says of its processes: JSON, replaced atomically."""
        return self.run / "supervisor.json"

    @property
    def unwritten(self) -> Path:
        """How much the machine let wait to be written before."""
        return self.data / "unwritten.json"

    @property
    def remembered(self) -> Path:
        """What `up` changed on the machine and `down` has to put back."""
        return self.data / "remembered.json"


@dataclass(frozen=True, slots=True)
class Settings:
    """What makes one cluster differ from another.

    api_port, agent_port: where server and agent listen. cluster_cidr: addresses of pods; service_cidr: of services;
    both of one family or of two, parted by a comma, in order. node_ip: of the first family; other_ip: of the second.
    dns_ip: of the Service `kube-dns`. bridge: the interface that pods hang on. table: the name of the nftables table.
    context: in the kubeconfig. log_level: `debug`, `info`, `warning` or `error`. log_format: `text` or `json`.
    shutdown_delay_s: how long the server serves on, no longer ready, once it is told to stop.
    node_lines: whether a connection to each node's agent, on which nothing is said, tells that its machine is gone
    before `node_grace_s` is over.
    """

    node_name: str
    node_ip: str
    api_port: int = API_PORT
    agent_port: int = 10250
    cluster_cidr: str = "10.244.0.0/16"
    service_cidr: str = "10.96.0.0/16"
    dns_ip: str = "10.96.0.10"
    cluster_domain: str = "cluster.local"
    bridge: str = "navarch0"
    table: str = "navarch"
    context: str = "navarch"
    log_level: str = "info"
    log_format: str = "text"
    shutdown_delay_s: float = 0.0
    node_grace_s: float = 12.0
    """Silence of a node after which it counts as lost (Kubernetes: 40)."""
    node_lines: bool = True
    node_patience_s: int = 10
    """How long pods that say nothing about it stay on a lost node (Kubernetes: 300)."""
    node_evictions_s: float = 1.0
    """How many lost nodes of a zone are emptied in a second (Kubernetes: 0.1)."""
    registries: dict[str, str] = field(default_factory=dict)
    """As images name them (`mirror.lan:5000`) -> URL to pull from."""
    etcd_servers: tuple[str, ...] = ()
    """URLs of the members of the etcd that the server keeps its state in; none: in a file of its own (SQLite)."""
    etcd_cafile: str = ""
    etcd_certfile: str = ""
    etcd_keyfile: str = ""
    etcd_prefix: str = "/registry"
    etcd_compaction_interval_s: float = 300.0
    """How often etcd is made to forget old revisions; 0: never by this server."""
    audit_policy_file: str = ""
    """What of each request is recorded; "": nothing."""
    audit_log_path: str = ""
    """The file that it is written to, `-` for standard output; "": `audit.log` among the other logs."""
    audit_log_maxsize: int = 100
    """Megabytes; a larger file is put aside."""
    audit_log_maxbackup: int = 10
    """How many files that were put aside stay; 0: all."""
    audit_log_maxage: int = 0
    """Days that they stay; 0: for ever."""
    kubelet_config_file: str = ""
    """How the node is run (kind KubeletConfiguration); "": with Kubernetes' defaults."""
    image_credential_provider_config: str = ""
    """Which programs know credentials for registries (kind CredentialProviderConfig); "": none."""
    image_credential_provider_bin_dir: str = ""
    """Where these programs are; "": where the kubelet has them."""

    cni_conf_dir: str = ""
    """Where other CNI plugins' configuration is, or will be; "": the network of pods is Navarch's own."""
    cni_bin_dir: str = ""
    """Where CNI plugins are; "": where they are usually installed."""

    server: str = ""
    """URL of the API server that this machine has joined; "": it is here."""
    api_names: tuple[str, ...] = ()
    """More names and addresses by which others reach the API server that is here."""

    nodes: int = 1
    """How many nodes this machine plays."""
    cgroup: str = "navarch"
    """The control group that holds every container."""
    network: str = "navarch"
    """The name of the pods' network, by which its plugins keep what they did."""
    other_ip: str = ""
    """This machine's address of the cluster's second family; "": it has none, or the cluster has one family."""

    def having(self, **changes: Any) -> Settings:
        return replace(self, **changes)

    @property
    def node_ips(self) -> tuple[str, ...]:
        return (self.node_ip, self.other_ip) if self.other_ip else (self.node_ip,)

    @property
    def every_address(self) -> tuple[str, ...]:
        """What a server listens on that is to be reached by every family of the cluster."""
        return ("0.0.0.0", "::") if ":" in self.service_cidr else ("0.0.0.0",)

    @property
    def api_url(self) -> str:
        return self.server or f"https://127.0.0.1:{self.api_port}"

    @property
    def public_url(self) -> str:
        """As other machines reach the API server."""
        return self.server or f"https://{in_url((*self.api_names, self.node_ip)[0])}:{self.api_port}"


def in_url(host: str) -> str:
    """A name or an address as URLs have it."""
    return f"[{host}]" if ":" in host else host


def write_atomically(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace `path` so that a reader sees the old text or the new, and a crash leaves one of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def save_settings(layout: Layout, settings: Settings) -> None:
    write_atomically(layout.settings, json.dumps(asdict(settings), indent=2) + "\n", 0o644)


def load_settings(layout: Layout) -> Settings | None:
    """The cluster's settings, or None where no cluster was set up.

    Raises:
        BadSettings: the file is no JSON object of known settings.
    """
    try:
        text = layout.settings.read_text()
    except FileNotFoundError:
        return None
    try:
        found: dict[str, Any] = json.loads(text)
        known = {each.name for each in fields(Settings)}
        if unknown := sorted(set(found) - known):
            raise BadSettings(f"{layout.settings}: unknown settings {', '.join(unknown)}; remove them")
        lists = {name: tuple(value) for name, value in found.items() if isinstance(value, list)}
        return Settings(**{**found, **lists})
    except (ValueError, TypeError) as error:
        raise BadSettings(f"{layout.settings}: {error}; mend it, or remove the cluster with `navarch down`") from error
