"""Whether this node takes a pod at all: what would harm the node, or cannot be done here, is refused for good.

A refused pod fails at once, with a reason that its controller and its owner can read. Pure.

Source: https://kubernetes.io/docs/tasks/administer-cluster/sysctl-cluster/
"""

from __future__ import annotations

from navarch.kinds.pod import Pod

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


def refusal(pod: Pod) -> tuple[str, str] | None:
    """Why the node does not take the pod, as (reason, message); None when it does."""
    spec = pod.spec
    for sysctl in spec.security_context.sysctls:
        name = sysctl.name.replace("/", ".")
        if name not in SAFE_SYSCTLS:
            return ("SysctlForbidden", f'forbidden sysctl: "{name}" not allowlisted')
        if spec.host_network and name.startswith("net."):
            return ("SysctlForbidden", f'forbidden sysctl: "{name}" not allowed with host net enabled')
        if spec.host_ipc and name.startswith("kernel."):
            return ("SysctlForbidden", f'forbidden sysctl: "{name}" not allowed with host ipc enabled')
    return None
