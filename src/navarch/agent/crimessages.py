"""Between the values of the runtime seam and CRI's protobuf messages, both ways, without IO."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from navarch.agent.runtime import (
    Container,
    ContainerSpec,
    ContainerState,
    ContainerStats,
    Image,
    RegistryAuth,
    Resources,
    RuntimeInfo,
    Sandbox,
    SandboxSpec,
    SELinux,
)
from navarch.wire import cri

MASKED_PATHS = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STATES = (ContainerState.CREATED, ContainerState.RUNNING, ContainerState.EXITED, ContainerState.UNKNOWN)
_IMAGE_VOLUMES_SINCE = {"containerd": (2, 1), "cri-o": (1, 31)}
_PROPAGATION = {"None": 0, "HostToContainer": 1, "Bidirectional": 2}
_PROTOCOLS = {"TCP": 0, "UDP": 1, "SCTP": 2}


def moment(nanoseconds: int) -> datetime | None:
    """None for 0, which CRI uses for "never"."""
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000) if nanoseconds else None


def sandbox_config(spec: SandboxSpec) -> Any:
    api = cri.stubs()
    config = api.PodSandboxConfig(
        metadata=api.PodSandboxMetadata(name=spec.name, uid=spec.uid, namespace=spec.namespace, attempt=spec.attempt),
        hostname=spec.hostname,
        log_directory=spec.log_directory,
        port_mappings=[
            api.PortMapping(
                protocol=_PROTOCOLS.get(port.protocol, 0),
                container_port=port.container_port,
                host_port=port.host_port,
                host_ip=port.host_ip,
            )
            for port in spec.ports
        ],
        labels=spec.labels,
        annotations=spec.annotations,
        linux=api.LinuxPodSandboxConfig(
            cgroup_parent=spec.cgroup_parent, sysctls=spec.sysctls, security_context=_sandbox_security(spec)
        ),
    )
    if spec.dns is not None:
        config.dns_config.CopyFrom(
            api.DNSConfig(servers=spec.dns.servers, searches=spec.dns.searches, options=spec.dns.options)
        )
    return config


def _namespaces(spec: SandboxSpec) -> Any:
    api = cri.stubs()
    pid = api.NODE if spec.host_pid else api.POD if spec.shared_pid else api.CONTAINER
    return api.NamespaceOption(
        network=api.NODE if spec.host_network else api.POD, pid=pid, ipc=api.NODE if spec.host_ipc else api.POD
    )


def _sandbox_security(spec: SandboxSpec) -> Any:
    api = cri.stubs()
    security = spec.security
    found = api.LinuxSandboxSecurityContext(
        namespace_options=_namespaces(spec),
        privileged=security.privileged,
        supplemental_groups=security.supplemental_groups,
        seccomp=_profile(security.seccomp),
        selinux_options=_selinux(security.selinux),
    )
    if security.user is not None:
        found.run_as_user.value = security.user
        if security.group is not None:
            found.run_as_group.value = security.group
    return found


def _profile(name: str) -> Any:
    api = cri.stubs()
    kinds = api.SecurityProfile.ProfileType
    if name.startswith("Localhost:"):
        return api.SecurityProfile(profile_type=kinds.Localhost, localhost_ref=name.partition(":")[2])
    return api.SecurityProfile(profile_type=kinds.RuntimeDefault if name == "RuntimeDefault" else kinds.Unconfined)


def _selinux(options: SELinux | None) -> Any:
    if options is None:
        return None
    return cri.stubs().SELinuxOption(user=options.user, role=options.role, type=options.type, level=options.level)


def container_config(sandbox: SandboxSpec, spec: ContainerSpec) -> Any:
    api = cri.stubs()
    return api.ContainerConfig(
        metadata=api.ContainerMetadata(name=spec.name, attempt=spec.attempt),
        image=api.ImageSpec(image=spec.image),
        command=spec.command,
        args=spec.args,
        working_dir=spec.working_dir,
        envs=[api.KeyValue(key=name, value=value) for name, value in spec.environment],
        mounts=[
            api.Mount(
                container_path=mount.container_path,
                host_path=mount.host_path,
                readonly=mount.readonly,
                propagation=_PROPAGATION.get(mount.propagation, 0),
                recursive_read_only=mount.recursive,
                image=api.ImageSpec(image=mount.image) if mount.image else None,
                image_sub_path=mount.part,
            )
            for mount in spec.mounts
        ],
        devices=[
            api.Device(container_path=device.container_path, host_path=device.host_path, permissions=device.permissions)
            for device in spec.devices
        ],
        labels=spec.labels,
        annotations=spec.annotations,
        log_path=spec.log_path,
        stdin=spec.stdin,
        stdin_once=spec.stdin_once,
        tty=spec.tty,
        linux=api.LinuxContainerConfig(
            resources=resources_message(spec.resources), security_context=_container_security(sandbox, spec)
        ),
    )


def resources_message(resources: Resources) -> Any:
    api = cri.stubs()
    return api.LinuxContainerResources(
        cpu_period=resources.cpu_period_us,
        cpu_quota=resources.cpu_quota_us,
        cpu_shares=resources.cpu_shares,
        memory_limit_in_bytes=resources.memory_limit_bytes,
        oom_score_adj=resources.oom_score_adj,
        cpuset_cpus=resources.cpuset_cpus,
        hugepage_limits=[api.HugepageLimit(page_size=size, limit=limit) for size, limit in resources.hugepages],
        unified={"memory.oom.group": "1"} if resources.kills_together else {},
    )


def _container_security(sandbox: SandboxSpec, spec: ContainerSpec) -> Any:
    api, security = cri.stubs(), spec.security
    namespaces = _namespaces(sandbox)
    if spec.joined_container:
        namespaces.pid, namespaces.target_id = api.TARGET, spec.joined_container
    found = api.LinuxContainerSecurityContext(
        privileged=security.privileged,
        namespace_options=namespaces,
        supplemental_groups=security.supplemental_groups,
        readonly_rootfs=security.readonly_rootfs,
        no_new_privs=security.no_new_privileges,
        capabilities=api.Capability(
            add_capabilities=security.add_capabilities, drop_capabilities=security.drop_capabilities
        ),
        seccomp=_profile(security.seccomp),
        masked_paths=() if security.privileged or security.unmask_proc else MASKED_PATHS,
        readonly_paths=() if security.privileged or security.unmask_proc else READONLY_PATHS,
        selinux_options=_selinux(security.selinux),
    )
    if security.apparmor:
        found.apparmor.CopyFrom(_profile(security.apparmor))
    if security.username:
        found.run_as_username = security.username
    elif security.user is not None:
        found.run_as_user.value = security.user
    if security.group is not None:
        found.run_as_group.value = security.group
    return found


def auth_config(auth: RegistryAuth) -> Any:
    return cri.stubs().AuthConfig(
        username=auth.username,
        password=auth.password,
        identity_token=auth.identity_token,
        registry_token=auth.registry_token,
    )


def problem(item: Any) -> str:
    """Of a condition of the runtime's that does not hold, in the words of a node's status."""
    what = "container runtime network" if item.type == "NetworkReady" else "container runtime"
    return f"{what} not ready: {item.type}=false reason:{item.reason} message:{item.message}"


def sandbox(item: Any, ips: Sequence[str]) -> Sandbox:
    """From an entry of ListPodSandbox."""
    return Sandbox(
        id=item.id,
        namespace=item.metadata.namespace,
        name=item.metadata.name,
        uid=item.metadata.uid,
        attempt=item.metadata.attempt,
        ready=item.state == 0,
        created_at=moment(item.created_at) or _EPOCH,
        ips=tuple(ips),
        labels=dict(item.labels),
        annotations=dict(item.annotations),
    )


def container(sandbox_id: str, status: Any) -> Container:
    """From a ContainerStatus message, which does not name the sandbox."""
    return Container(
        id=status.id,
        sandbox_id=sandbox_id,
        name=status.metadata.name,
        attempt=status.metadata.attempt,
        state=state(status.state),
        image=status.image.image,
        image_ref=status.image_ref,
        created_at=moment(status.created_at) or _EPOCH,
        started_at=moment(status.started_at),
        finished_at=moment(status.finished_at),
        exit_code=status.exit_code,
        reason=status.reason,
        message=status.message,
        log_path=status.log_path,
        labels=dict(status.labels),
        annotations=dict(status.annotations),
    )


def state(number: int) -> ContainerState:
    return _STATES[number] if 0 <= number < len(_STATES) else ContainerState.UNKNOWN


def image(item: Any, told: Mapping[str, str] | None = None) -> Image:
    """told: what the runtime says of the image beyond what CRI has fields for."""
    config = _own_config(told or {})
    return Image(
        id=item.id,
        names=(*item.repo_tags, *item.repo_digests),
        size_bytes=item.size,
        uid=item.uid.value if item.HasField("uid") else None,
        username=item.username,
        digests=tuple(item.repo_digests),
        labels=tuple(config.get("Labels") or ()),
        user_text=config.get("User") or "",
        working_dir=config.get("WorkingDir") or "",
    )


def _own_config(told: Mapping[str, str]) -> Mapping[str, Any]:
    """The image's configuration out of a verbose answer; empty where the runtime does not tell it."""
    try:
        config = json.loads(told.get("info", "{}"))["imageSpec"]["config"]
    except (ValueError, KeyError, TypeError):
        return {}
    return config if isinstance(config, dict) else {}


def runtime_info(version: Any, status: Any) -> RuntimeInfo:
    """From the answers to Version and Status."""
    problems = tuple(problem(item) for item in status.status.conditions if not item.status)
    handlers = status.runtime_handlers
    return RuntimeInfo(
        version.runtime_name,
        version.runtime_version,
        problems,
        handlers=tuple(one.name for one in handlers) if handlers else None,
        user_namespaces=frozenset(one.name for one in handlers if one.features.user_namespaces),
        readonly_recursion=frozenset(one.name for one in handlers if one.features.recursive_read_only_mounts),
        strict_groups=status.features.supplemental_groups_policy if status.HasField("features") else None,
        image_volumes=_mounts_images(version.runtime_name, version.runtime_version),
    )


def _mounts_images(name: str, version: str) -> bool:
    """By the version, since no runtime says so."""
    since = _IMAGE_VOLUMES_SINCE.get(name)
    found = re.match(r"v?(\d+)\.(\d+)", version)
    return since is not None and found is not None and (int(found[1]), int(found[2])) >= since


def stats(item: Any, uid: str) -> ContainerStats:
    return ContainerStats(
        id=item.attributes.id,
        name=item.attributes.metadata.name,
        uid=uid,
        at=moment(item.cpu.timestamp) or _EPOCH,
        cpu_core_ns=item.cpu.usage_core_nano_seconds.value,
        memory_bytes=item.memory.usage_bytes.value or item.memory.working_set_bytes.value,
        working_set_bytes=item.memory.working_set_bytes.value,
        disk_bytes=item.writable_layer.used_bytes.value,
        inodes=item.writable_layer.inodes_used.value,
    )
