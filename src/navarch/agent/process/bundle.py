"""From what the agent asks for to the configuration that `runc` carries out: a host process as an OCI container. Pure.

What containerd adds to a container of an image is added here too: the same mounts, masked paths and capabilities, so
that a program finds in both what it expects. What cannot be had for a host process is refused in words.

Source: https://github.com/opencontainers/runtime-spec/blob/v1.0.2/config-linux.md
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from navarch.agent.crimessages import MASKED_PATHS, READONLY_PATHS
from navarch.agent.runtime import ContainerSpec, DnsSettings, Mount, Resources, SandboxSpec, Security

Document = dict[str, Any]

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CAPABILITIES = (
    *("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP"),
    *("LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER"),
    *("SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE"),
    *("SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP"),
    *("MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF"),
    "CHECKPOINT_RESTORE",
)
"""In the kernel's order: number n is bit n of what `/proc/self/status` says."""
GIVEN = (
    *("CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP"),
    *("NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"),
)
"""What a container has that asks for nothing else."""
PROPAGATION = {"None": "rprivate", "HostToContainer": "rslave", "Bidirectional": "rshared"}
OPEN_SYSCTLS = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}
"""In a network of its own a pod may do without privileges what harms nobody else."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What only the node knows. ceiling: the capabilities that the agent can give. least_oom_score: it cannot lower
    that. unified: control groups are of version 2. group: the user's first; groups: those
    that the host gives it besides.

    devices: (path, type, major, minor) of those that are asked for, by their path on the host.
    """

    ceiling: tuple[str, ...] = CAPABILITIES
    least_oom_score: int = -1000
    unified: bool = False
    group: int = 0
    groups: tuple[int, ...] = ()
    hidden: tuple[str, ...] = ()
    seccomp: Document | None = None
    devices: Mapping[str, tuple[str, int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a container shares with its pod, each a path on the host, "" for the host's own.

    pid: the process namespace that it joins; "" for one of its own. resolv: its resolver settings.
    """

    root: str
    cgroup: str
    network: str = ""
    ipc: str = ""
    uts: str = ""
    pid: str = ""
    shm: str = ""
    resolv: str = ""
    hostname_file: str = ""


def refused_sandbox(spec: SandboxSpec) -> str:
    """Why no host processes can be run in such a sandbox; "" when they can."""
    if spec.shared_pid:
        return "host processes of one pod cannot share their process namespace: leave out shareProcessNamespace"
    if spec.security.selinux is not None:
        return "host processes have no SELinux labels of their own: leave out seLinuxOptions"
    return ""


def refused(spec: ContainerSpec) -> str:
    """Why a container cannot be run as a host process; "" when it can."""
    security = spec.security
    if not (*spec.command, *spec.args):
        return "no command specified: a host process has no image that would say which program to run"
    if security.seccomp == "RuntimeDefault":
        return "host processes have no seccomp profile RuntimeDefault: name a profile as Localhost, or none"
    if security.apparmor == "RuntimeDefault":
        return "host processes have no AppArmor profile RuntimeDefault: name a loaded one as Localhost, or none"
    if security.selinux is not None:
        return "host processes have no SELinux labels of their own: leave out seLinuxOptions"
    if any(mount.image for mount in spec.mounts):
        return "host processes cannot mount images: there is no runtime that would unpack them"
    if any(mount.recursive for mount in spec.mounts):
        return "volumes of host processes cannot be recursively read-only"
    return ""


def document(facts: Facts, around: Surroundings, sandbox: SandboxSpec, spec: ContainerSpec) -> Document:
    """The whole of `config.json`."""
    security = spec.security
    linux: Document = {
        "cgroupsPath": around.cgroup,
        "namespaces": namespaces(facts, around, sandbox, security),
        "resources": resources(spec.resources, security, facts, spec),
        "maskedPaths": [*(() if _unmasked(security) else MASKED_PATHS), *facts.hidden],
        "readonlyPaths": [] if _unmasked(security) else list(READONLY_PATHS),
        "rootfsPropagation": _root_propagation(spec.mounts),
    }
    if sysctls := _sysctls(sandbox):
        linux["sysctl"] = sysctls
    if devices := list(_devices(facts, spec)):
        linux["devices"] = devices
    if facts.seccomp is not None:
        linux["seccomp"] = facts.seccomp
    found: Document = {
        "ociVersion": "1.0.2",
        "process": process(facts, sandbox, spec),
        "root": {"path": around.root, "readonly": security.readonly_rootfs},
        "mounts": [*base_mounts(sandbox, around, security), *(_bind(mount) for mount in spec.mounts)],
        "linux": linux,
    }
    if around.uts:
        found["hostname"] = sandbox.hostname
    return found


def _unmasked(security: Security) -> bool:
    return security.privileged or security.unmask_proc


def process(facts: Facts, sandbox: SandboxSpec, spec: ContainerSpec) -> Document:
    security = spec.security
    caps = [f"CAP_{name}" for name in capabilities(security, facts.ceiling)]
    named = {name for name, _ in spec.environment}
    given = [("PATH", DEFAULT_PATH), ("HOSTNAME", sandbox.hostname), ("TERM", "xterm" if spec.tty else "")]
    variables = [*((name, value) for name, value in given if value and name not in named), *spec.environment]
    group = security.group if security.group is not None else facts.group
    found: Document = {
        "terminal": spec.tty,
        "user": {
            "uid": security.user or 0,
            "gid": group,
            "additionalGids": sorted({group, *facts.groups, *security.supplemental_groups}),
        },
        "args": [*spec.command, *spec.args],
        "env": [f"{name}={value}" for name, value in variables],
        "cwd": spec.working_dir or "/",
        "capabilities": {"bounding": caps, "effective": caps, "permitted": caps},
        "noNewPrivileges": security.no_new_privileges,
        "oomScoreAdj": max(facts.least_oom_score, spec.resources.oom_score_adj),
    }
    if security.apparmor.startswith("Localhost:"):
        found["apparmorProfile"] = security.apparmor.partition(":")[2]
    return found


def capabilities(security: Security, ceiling: Sequence[str] = CAPABILITIES) -> list[str]:
    """Without `CAP_`, in the kernel's order; `ALL` first, single names after it, as pods mean it."""
    if security.privileged:
        return [name for name in CAPABILITIES if name in ceiling]
    held = set(GIVEN)
    added, dropped = map(_plain, (security.add_capabilities, security.drop_capabilities))
    held = set(ceiling) if "ALL" in added else held
    held = set() if "ALL" in dropped else held
    held = (held | added) - dropped
    return [name for name in CAPABILITIES if name in held]


def _plain(names: Sequence[str]) -> set[str]:
    return {name.upper().removeprefix("CAP_") for name in names}


def namespaces(facts: Facts, around: Surroundings, sandbox: SandboxSpec, security: Security) -> list[Document]:
    """Each kind that is left out is the host's."""
    found: list[Document] = [{"type": "mount"}]
    if around.pid:
        found.append({"type": "pid", "path": around.pid})
    elif not sandbox.host_pid:
        found.append({"type": "pid"})
    shared = (("network", around.network), ("ipc", around.ipc), ("uts", around.uts))
    found += [{"type": kind, "path": path} for kind, path in shared if path]
    if facts.unified and not security.privileged:
        found.append({"type": "cgroup"})
    return found


def base_mounts(sandbox: SandboxSpec, around: Surroundings, security: Security) -> list[Document]:
    """What every container has, before its volumes."""
    access = "rw" if security.privileged else "ro"
    found = [
        _mount("proc", "/proc", "proc", "nosuid", "noexec", "nodev"),
        *_dev(security),
        _mount("mqueue", "/dev/mqueue", "mqueue", "nosuid", "noexec", "nodev"),
        _mount("sysfs", "/sys", "sysfs", "nosuid", "noexec", "nodev", access),
        _mount("cgroup", "/sys/fs/cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", access),
        _mount("bind", "/dev/shm", around.shm, "rbind", "rprivate", "rw"),
        _mount("tmpfs", "/run", "tmpfs", "nosuid", "nodev", "mode=755", "size=65536k"),
        _mount("tmpfs", "/tmp", "tmpfs", "nosuid", "nodev", "mode=1777"),
    ]
    access = "ro" if security.readonly_rootfs else "rw"
    for target, source in (("/etc/resolv.conf", around.resolv), ("/etc/hostname", around.hostname_file)):
        if source:
            found.append(_mount("bind", target, source, "rbind", "rprivate", access))
    return found


def _dev(security: Security) -> Iterator[Document]:
    """The privileged see the host's devices."""
    if security.privileged:
        yield _mount("bind", "/dev", "/dev", "rbind", "rslave", "rw")
        return
    yield _mount("tmpfs", "/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k")
    yield _mount("devpts", "/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620")


def _mount(kind: str, target: str, source: str, *options: str) -> Document:
    return {"type": kind, "destination": target, "source": source, "options": list(options)}


def _bind(mount: Mount) -> Document:
    how = PROPAGATION.get(mount.propagation, "rprivate")
    return _mount("bind", mount.container_path, mount.host_path, "rbind", how, "ro" if mount.readonly else "rw")


def _root_propagation(mounts: Sequence[Mount]) -> str:
    """What is mounted below a container's mounts can be passed on only if the root lets it through."""
    ways = {mount.propagation for mount in mounts}
    return "rshared" if "Bidirectional" in ways else "rslave" if "HostToContainer" in ways else "rprivate"


def _sysctls(sandbox: SandboxSpec) -> dict[str, str]:
    opened = {} if sandbox.host_network else OPEN_SYSCTLS
    return {**opened, **sandbox.sysctls}


def limits(asked: Resources) -> Document:
    """The part of a container's limits that may change while it runs, too."""
    cpu = {
        "shares": asked.cpu_shares,
        "quota": asked.cpu_quota_us,
        "period": asked.cpu_period_us,
        "cpus": asked.cpuset_cpus,
    }
    found: Document = {}
    if cpu := {name: value for name, value in cpu.items() if value}:
        found["cpu"] = cpu
    if asked.memory_limit_bytes:
        found["memory"] = {"limit": asked.memory_limit_bytes}
    return found


def resources(asked: Resources, security: Security, facts: Facts, spec: ContainerSpec) -> Document:
    found = limits(asked)
    if asked.hugepages:
        found["hugepageLimits"] = [{"pageSize": size, "limit": limit} for size, limit in asked.hugepages]
    if asked.kills_together and facts.unified:
        found["unified"] = {"memory.oom.group": "1"}
    if security.privileged:
        found["devices"] = [{"allow": True, "access": "rwm"}]
        return found
    found["devices"] = [{"allow": False, "access": "rwm"}]
    for device in spec.devices:
        kind, major, minor = facts.devices[device.host_path]
        rule = {"allow": True, "type": kind, "major": major, "minor": minor, "access": device.permissions}
        found["devices"].append(rule)
    return found


def _devices(facts: Facts, spec: ContainerSpec) -> Iterator[Document]:
    for device in spec.devices:
        kind, major, minor = facts.devices[device.host_path]
        yield {"path": device.container_path, "type": kind, "major": major, "minor": minor, "fileMode": 0o666}


def resolver(dns: DnsSettings) -> str:
    """The text of /etc/resolv.conf."""
    lines = [f"search {' '.join(dns.searches)}"] if dns.searches else []
    lines += [f"nameserver {server}" for server in dns.servers]
    lines += [f"options {' '.join(dns.options)}"] if dns.options else []
    return "".join(f"{line}\n" for line in lines)
