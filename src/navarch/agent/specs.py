"""From a pod's spec to what the runtime is told: sandboxes and containers, their security and resources. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from navarch.agent import network, resources
from navarch.agent.config import AgentConfig, log_name
from navarch.agent.devices.extras import NOTHING, Extras
from navarch.agent.environment import expand
from navarch.agent.imagechecks import check_image
from navarch.agent.plan import DELAY, STARTED_IMAGE
from navarch.agent.resize import STARTED_RESOURCES, noted
from navarch.agent.runtime import (
    CONTAINER_NAME,
    POD_NAME,
    POD_NAMESPACE,
    POD_UID,
    ContainerSpec,
    DeviceMapping,
    DnsSettings,
    Image,
    Mount,
    RuntimeFailure,
    SandboxSpec,
    Security,
    SELinux,
)
from navarch.agent.volumes.shown import RECURSIVE
from navarch.kinds.pod import Pod
from navarch.kinds.podspec.container import ConfinementProfile, Container, EphemeralContainer, SELinuxOptions

RESTART_COUNT = "io.kubernetes.container.restartCount"
TERMINATION_PATH = "io.kubernetes.container.terminationMessagePath"
TERMINATION_POLICY = "io.kubernetes.container.terminationMessagePolicy"


@dataclass(frozen=True, slots=True)
class Confinement:
    """seccomp_root: where `Localhost` profiles are. seccomp_default: the runtime's holds where none is named."""

    seccomp_root: Path = Path("/")
    seccomp_default: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """What only the node knows of a container about to start. mounts: volumes and files. extras: of its devices."""

    image: Image
    environment: tuple[tuple[str, str], ...]
    mounts: tuple[Mount, ...]
    terms: resources.Terms = resources.NO_TERMS
    joined_container: str = ""
    confinement: Confinement = Confinement()
    extras: Extras = NOTHING
    devices: tuple[DeviceMapping, ...] = ()


def pod_labels(pod: Pod) -> dict[str, str]:
    meta = pod.metadata
    return {**meta.labels, POD_NAME: meta.name, POD_NAMESPACE: meta.namespace, POD_UID: meta.uid}


def sandbox_spec(
    pod: Pod, attempt: int, config: AgentConfig, cgroup_parent: str, node_dns: DnsSettings, handler: str = ""
) -> SandboxSpec:
    meta, spec = pod.metadata, pod.spec
    every = (*spec.init_containers, *spec.containers, *spec.ephemeral_containers)
    context = spec.security_context
    return SandboxSpec(
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        attempt=attempt,
        hostname="" if spec.host_network else network.hostname(pod, config.node_name, config.cluster_domain),
        log_directory=str(config.paths.pod_logs(meta.namespace, meta.name, meta.uid)),
        dns=network.dns_settings(pod, config, node_dns),
        ports=network.port_mappings(pod),
        labels=pod_labels(pod),
        annotations=dict(meta.annotations),
        cgroup_parent=cgroup_parent,
        host_network=spec.host_network,
        host_pid=spec.host_pid,
        host_ipc=spec.host_ipc,
        shared_pid=spec.share_process_namespace,
        sysctls={item.name.replace("/", "."): item.value for item in context.sysctls},
        runtime_handler=handler,
        security=Security(
            user=context.run_as_user,
            group=context.run_as_group,
            supplemental_groups=_groups(pod),
            privileged=any(container.security_context.privileged for container in every),
            seccomp="RuntimeDefault",
            selinux=_selinux(context.se_linux_options),
        ),
    )


def _groups(pod: Pod) -> tuple[int, ...]:
    context = pod.spec.security_context
    own = (context.fs_group,) if context.fs_group is not None else ()
    return tuple(dict.fromkeys((*own, *context.supplemental_groups)))


def container_spec(pod: Pod, container: Container, attempt: int, delay_s: int, prepared: Prepared) -> ContainerSpec:
    """Raises: RuntimeFailure, reason CreateContainerConfigError, when the pod forbids what the image wants."""
    check_image(prepared.image, container.working_dir)
    values = dict(prepared.environment)

    def expanded(words: Sequence[str]) -> tuple[str, ...]:
        return tuple(expand(word, values.get) for word in words)

    return ContainerSpec(
        name=container.name,
        image=prepared.image.id,
        attempt=attempt,
        shown_image=container.image,
        command=expanded(container.command),
        args=expanded(container.args),
        working_dir=container.working_dir,
        environment=(*prepared.environment, *prepared.extras.variables.items()),
        mounts=(*prepared.mounts, *prepared.extras.mounts),
        devices=(*prepared.devices, *prepared.extras.devices),
        labels={**_plain_labels(pod), CONTAINER_NAME: container.name},
        annotations={
            **prepared.extras.annotations,
            RESTART_COUNT: str(attempt),
            TERMINATION_PATH: container.termination_message_path,
            TERMINATION_POLICY: container.termination_message_policy,
            DELAY: str(delay_s),
            STARTED_IMAGE: container.image,
            STARTED_RESOURCES: noted(container),
            **_recursive(prepared.mounts),
        },
        log_path=log_name(container.name, attempt),
        stdin=container.stdin,
        stdin_once=container.stdin_once,
        tty=container.tty,
        resources=resources.of_container(pod, container, prepared.terms),
        security=security(pod, container, prepared.image, prepared.confinement),
        joined_container=prepared.joined_container,
    )


def _recursive(mounts: Sequence[Mount]) -> dict[str, str]:
    deep = [mount.container_path for mount in mounts if mount.recursive]
    return {RECURSIVE: ",".join(deep)} if deep else {}


def _plain_labels(pod: Pod) -> dict[str, str]:
    meta = pod.metadata
    return {POD_NAME: meta.name, POD_NAMESPACE: meta.namespace, POD_UID: meta.uid}


def security(pod: Pod, container: Container, image: Image, confinement: Confinement = Confinement()) -> Security:
    """Raises: RuntimeFailure, when the container must not run as root but would."""
    own, shared = container.security_context, pod.spec.security_context
    user = own.run_as_user if own.run_as_user is not None else shared.run_as_user
    group = own.run_as_group if own.run_as_group is not None else shared.run_as_group
    strict = own.run_as_non_root if own.run_as_non_root is not None else shared.run_as_non_root
    if strict:
        _verify_not_root(pod, container, user, image)
    username = ""
    if user is None:
        user, username = image.uid, image.username if image.uid is None else ""
    profile = own.seccomp_profile or shared.seccomp_profile
    return Security(
        user=user,
        username=username,
        group=group,
        supplemental_groups=_groups(pod),
        privileged=own.privileged,
        readonly_rootfs=own.read_only_root_filesystem,
        no_new_privileges=own.allow_privilege_escalation is False,
        add_capabilities=own.capabilities.add if own.capabilities else (),
        drop_capabilities=own.capabilities.drop if own.capabilities else (),
        seccomp="Unconfined" if own.privileged else _seccomp(profile, confinement),
        apparmor=_profile(own.app_armor_profile or shared.app_armor_profile, default=""),
        unmask_proc=own.proc_mount == "Unmasked",
        selinux=_selinux(own.se_linux_options or shared.se_linux_options),
    )


def _selinux(options: SELinuxOptions | None) -> SELinux | None:
    return None if options is None else SELinux(options.user, options.role, options.type, options.level)


def _seccomp(profile: ConfinementProfile | None, confinement: Confinement) -> str:
    if profile is not None and profile.type == "Localhost":
        return f"Localhost:{confinement.seccomp_root / profile.localhost_profile}"
    return _profile(profile, default="RuntimeDefault" if confinement.seccomp_default else "Unconfined")


def _profile(profile: ConfinementProfile | None, default: str = "Unconfined") -> str:
    if profile is None:
        return default
    return f"Localhost:{profile.localhost_profile}" if profile.type == "Localhost" else profile.type


def _verify_not_root(pod: Pod, container: Container, user: int | None, image: Image) -> None:
    where = f'(pod: "{pod.metadata.name}_{pod.metadata.namespace}({pod.metadata.uid})", container: {container.name})'
    if user == 0:
        message = f"container's runAsUser breaks non-root policy {where}"
    elif user is not None or image.uid:
        return
    elif image.uid is None and image.username:
        message = (
            f"container has runAsNonRoot and image has non-numeric user ({image.username}), "
            f"cannot verify user is non-root {where}"
        )
    else:
        message = f"container has runAsNonRoot and image will run as root {where}"
    raise RuntimeFailure(message, reason="CreateContainerConfigError")


def find_container(pod: Pod, name: str) -> Container:
    """Raises: KeyError."""
    every: tuple[Container | EphemeralContainer, ...] = (
        *pod.spec.containers,
        *pod.spec.init_containers,
        *pod.spec.ephemeral_containers,
    )
    found = next((one for one in every if one.name == name), None)
    if found is None:
        raise KeyError(f"pod {pod.metadata.namespace}/{pod.metadata.name} has no container {name!r}")
    return found
