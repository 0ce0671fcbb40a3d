"""Views of a container as a pod's spec declares it.

What is only handed to the runtime or to a later version (windows options, resize policies) is left out.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#Container
"""

from __future__ import annotations

import msgspec

from navarch.kinds.view import Quantity, View


class ContainerPort(View, frozen=True):
    container_port: int
    name: str = ""
    host_port: int = 0
    protocol: str = "TCP"
    host_ip: str = msgspec.field(default="", name="hostIP")


class KeySelector(View, frozen=True):
    """A key of a ConfigMap or Secret in the pod's namespace."""

    key: str
    name: str = ""
    optional: bool = False


class FieldSelector(View, frozen=True):
    field_path: str
    api_version: str = "v1"


class ResourceFieldSelector(View, frozen=True):
    resource: str
    container_name: str = ""
    divisor: Quantity = "0"


class FileKeySelector(View, frozen=True):
    volume_name: str
    path: str
    key: str
    optional: bool = False


class EnvSource(View, frozen=True):
    field_ref: FieldSelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    config_map_key_ref: KeySelector | None = None
    secret_key_ref: KeySelector | None = None
    file_key_ref: FileKeySelector | None = None


class EnvVar(View, frozen=True):
    name: str
    value: str = ""
    value_from: EnvSource | None = None


class Reference(View, frozen=True):
    """A ConfigMap or Secret by name."""

    name: str = ""
    optional: bool = False


class EnvFrom(View, frozen=True):
    prefix: str = ""
    config_map_ref: Reference | None = None
    secret_ref: Reference | None = None


class ClaimUse(View, frozen=True):
    """One of the pod's claims. request: of the claim; "" for all of them."""

    name: str
    request: str = ""


class Resources(View, frozen=True):
    limits: dict[str, Quantity] = {}
    requests: dict[str, Quantity] = {}


class ContainerResources(Resources, frozen=True):
    claims: tuple[ClaimUse, ...] = ()


class VolumeMount(View, frozen=True):
    name: str
    mount_path: str
    read_only: bool = False
    recursive_read_only: str = ""
    sub_path: str = ""
    sub_path_expr: str = ""
    mount_propagation: str = "None"


class VolumeDevice(View, frozen=True):
    name: str
    device_path: str


class ExecAction(View, frozen=True):
    command: tuple[str, ...] = ()


class HTTPHeader(View, frozen=True):
    name: str
    value: str = ""


class HTTPGetAction(View, frozen=True):
    port: int | str
    path: str = "/"
    host: str = ""
    scheme: str = "HTTP"
    http_headers: tuple[HTTPHeader, ...] = ()


class TCPSocketAction(View, frozen=True):
    port: int | str
    host: str = ""


class GRPCAction(View, frozen=True):
    port: int
    service: str = ""


class SleepAction(View, frozen=True):
    seconds: int


class Probe(View, frozen=True):
    exec: ExecAction | None = None
    http_get: HTTPGetAction | None = None
    tcp_socket: TCPSocketAction | None = None
    grpc: GRPCAction | None = None
    initial_delay_seconds: int = 0
    timeout_seconds: int = 1
    period_seconds: int = 10
    success_threshold: int = 1
    failure_threshold: int = 3
    termination_grace_period_seconds: int | None = None


class LifecycleHandler(View, frozen=True):
    exec: ExecAction | None = None
    http_get: HTTPGetAction | None = None
    tcp_socket: TCPSocketAction | None = None
    sleep: SleepAction | None = None


class Lifecycle(View, frozen=True):
    post_start: LifecycleHandler | None = None
    pre_stop: LifecycleHandler | None = None
    stop_signal: str = ""


class Capabilities(View, frozen=True):
    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


class SELinuxOptions(View, frozen=True):
    user: str = ""
    role: str = ""
    type: str = ""
    level: str = ""


class ConfinementProfile(View, frozen=True):
    """Of seccomp or AppArmor. type: RuntimeDefault, Unconfined or Localhost."""

    type: str
    localhost_profile: str = ""


class SecurityContext(View, frozen=True):
    """None means that the pod's own, or the image's, holds."""

    capabilities: Capabilities | None = None
    privileged: bool = False
    se_linux_options: SELinuxOptions | None = None
    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    read_only_root_filesystem: bool = False
    allow_privilege_escalation: bool | None = None
    proc_mount: str = "Default"
    seccomp_profile: ConfinementProfile | None = None
    app_armor_profile: ConfinementProfile | None = None


class RestartExitCodes(View, frozen=True):
    operator: str
    values: tuple[int, ...] = ()


class RestartRule(View, frozen=True):
    action: str
    exit_codes: RestartExitCodes | None = None


class ResizePolicy(View, frozen=True):
    resource_name: str
    restart_policy: str


class Container(View, frozen=True):
    """restart_policy: "Always" on an init container makes it a sidecar; "" follows the pod's."""

    name: str
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    ports: tuple[ContainerPort, ...] = ()
    env_from: tuple[EnvFrom, ...] = ()
    env: tuple[EnvVar, ...] = ()
    resources: ContainerResources = ContainerResources()
    resize_policy: tuple[ResizePolicy, ...] = ()
    restart_policy: str = ""
    restart_policy_rules: tuple[RestartRule, ...] = ()
    volume_mounts: tuple[VolumeMount, ...] = ()
    volume_devices: tuple[VolumeDevice, ...] = ()
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    startup_probe: Probe | None = None
    lifecycle: Lifecycle = Lifecycle()
    termination_message_path: str = "/dev/termination-log"
    termination_message_policy: str = "File"
    image_pull_policy: str = "IfNotPresent"
    security_context: SecurityContext = SecurityContext()
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False

    @property
    def is_sidecar(self) -> bool:
        """Whether this, standing among the init containers, keeps running beside the main ones."""
        return self.restart_policy == "Always"


class EphemeralContainer(Container, frozen=True):
    """A container added to a running pod for debugging."""

    target_container_name: str = ""
