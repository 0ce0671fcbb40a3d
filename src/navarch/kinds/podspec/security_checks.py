"""The Pod Security Standards' single checks: pure functions of a pod's metadata and spec, each of one control.

A check says what is wrong in the words that upstream's users know: a reason, and the details of where. Which checks a
level and a version have is `security_levels`' to say.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from navarch.objects.value import Document, dig

APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
CAPABILITIES = frozenset(
    (
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    )
)
"""What a runtime gives a container of itself."""
VOLUMES = frozenset(
    (
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    )
)
SELINUX = ("", "container_t", "container_init_t", "container_kvm_t")
SYSCTLS = frozenset(
    (
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_unprivileged_port_start",
    )
)
SYSCTLS_1_27 = SYSCTLS | {"net.ipv4.ip_local_reserved_ports"}
SYSCTLS_1_29 = SYSCTLS_1_27 | {
    f"net.ipv4.tcp_{name}" for name in ("keepalive_time", "fin_timeout", "keepalive_intvl", "keepalive_probes")
}
SYSCTLS_1_32 = SYSCTLS_1_29 | {"net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"}


class Violation(NamedTuple):
    reason: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


Check = Callable[[Document, Document], Violation | None]
"""(metadata, spec) of a pod."""


def containers(spec: Document) -> Iterator[Document]:
    for group in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(group) or ()


def _named(found: Sequence[str], noun: str = "container") -> str:
    plural = "" if len(found) == 1 else "s"
    return f"{noun}{plural} " + ", ".join(f'"{name}"' for name in found)


def _plural(found: Sequence[object], one: str, several: str) -> str:
    return one if len(found) == 1 else several


def _quoted(values: Iterable[str]) -> str:
    return ", ".join(f'"{value}"' for value in sorted(set(values)))


def _of(spec: Document, *path: str) -> Iterator[tuple[str, object]]:
    """(name, value) of each container's security context."""
    for one in containers(spec):
        yield one.get("name", ""), dig(one, "securityContext", *path)


def _is_windows(spec: Document) -> bool:
    return bool(dig(spec, "os", "name") == "windows")


def unless_windows(check: Check) -> Check:
    """The same, of pods that Linux runs."""
    return lambda metadata, spec: None if _is_windows(spec) else check(metadata, spec)


# baseline


def host_process(metadata: Document, spec: Document) -> Violation | None:
    found = [name for name, value in _of(spec, "windowsOptions", "hostProcess") if value]
    pod = bool(dig(spec, "securityContext", "windowsOptions", "hostProcess"))
    if not (found or pod):
        return None
    who = [*(["pod"] if pod else []), *([_named(found)] if found else [])]
    return Violation("hostProcess", f"{' and '.join(who)} must not set securityContext.windowsOptions.hostProcess=true")


def host_namespaces(metadata: Document, spec: Document) -> Violation | None:
    found = [f"{name}=true" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    return Violation("host namespaces", ", ".join(found)) if found else None


def privileged(metadata: Document, spec: Document) -> Violation | None:
    found = [name for name, value in _of(spec, "privileged") if value]
    return Violation("privileged", f"{_named(found)} must not set securityContext.privileged=true") if found else None


def capabilities(metadata: Document, spec: Document) -> Violation | None:
    found = {n: [c for c in _listed(v) if c not in CAPABILITIES] for n, v in _of(spec, "capabilities", "add")}
    bad = [name for name, wrong in found.items() if wrong]
    if not bad:
        return None
    added = _quoted(cap for wrong in found.values() for cap in wrong)
    return Violation(
        "non-default capabilities", f"{_named(bad)} must not include {added} in securityContext.capabilities.add"
    )


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def host_paths(metadata: Document, spec: Document) -> Violation | None:
    found = [one.get("name", "") for one in spec.get("volumes") or () if "hostPath" in one]
    return Violation("hostPath volumes", _named(found, "volume")) if found else None


def host_ports(metadata: Document, spec: Document) -> Violation | None:
    ports = {
        one.get("name", ""): [str(port["hostPort"]) for port in one.get("ports") or () if port.get("hostPort")]
        for one in containers(spec)
    }
    bad = [name for name, found in ports.items() if found]
    if not bad:
        return None
    listed = sorted({port for found in ports.values() for port in found})
    return Violation(
        "hostPort",
        f"{_named(bad)} {_plural(bad, 'uses', 'use')} {_plural(listed, 'hostPort', 'hostPorts')} {', '.join(listed)}",
    )


def host_of_probes(metadata: Document, spec: Document) -> Violation | None:
    bad: list[str] = []
    hosts: list[str] = []
    for one in containers(spec):
        asked = [one.get(name) or {} for name in ("livenessProbe", "readinessProbe", "startupProbe")]
        asked += [dig(one, "lifecycle", name) or {} for name in ("postStart", "preStop")]
        found = [dig(each, way, "host") for each in asked for way in ("httpGet", "tcpSocket")]
        wrong = [host for host in found if host]
        if wrong:
            bad.append(one.get("name", ""))
            hosts += wrong
    if not bad:
        return None
    said = f"{_named(bad)} {_plural(bad, 'uses', 'use')} probe or lifecycle {_plural(hosts, 'host', 'hosts')}"
    return Violation("probe or lifecycle host", f"{said} {_quoted(hosts)}")


def apparmor(metadata: Document, spec: Document) -> Violation | None:
    found = [
        f'annotation{{s}} "{key}"="{value}"'
        for key, value in sorted((metadata.get("annotations") or {}).items())
        if key.startswith(APPARMOR) and value not in ("", "runtime/default") and not value.startswith("localhost/")
    ]
    types = [("pod", dig(spec, "securityContext", "appArmorProfile", "type"))]
    types += [(f'container "{name}"', value) for name, value in _of(spec, "appArmorProfile", "type")]
    found += [
        f'{who} must not set AppArmor profile type to "{value}"'
        for who, value in types
        if value not in (None, "RuntimeDefault", "Localhost")
    ]
    if not found:
        return None
    reason = _plural(found, "forbidden AppArmor profile", "forbidden AppArmor profiles")
    return Violation(reason, ", ".join(text.replace("{s}", "") for text in found))


def selinux_of(types: Sequence[str]) -> Check:
    def selinux(metadata: Document, spec: Document) -> Violation | None:
        bad: list[str] = []
        wrong: set[str] = set()
        extra: dict[str, None] = {}
        for name, options in [("", dig(spec, "securityContext", "seLinuxOptions")), *_of(spec, "seLinuxOptions")]:
            found = options if isinstance(options, dict) else {}
            type_ = found.get("type", "")
            said = [field for field in ("user", "role") if found.get(field)]
            if type_ not in types:
                wrong.add(type_)
            extra.update(dict.fromkeys(said))
            if type_ not in types or said:
                bad.append(name)
        if not bad:
            return None
        named = [name for name in bad if name]
        who = [*(["pod"] if "" in bad else []), *([_named(named)] if named else [])]
        told = [f"{_plural(sorted(wrong), 'type', 'types')} {_quoted(wrong)}"] if wrong else []
        told += [f"{field} may not be set" for field in extra]
        return Violation(
            "seLinuxOptions", f"{' and '.join(who)} set forbidden securityContext.seLinuxOptions: {'; '.join(told)}"
        )

    return selinux


def proc_mount(metadata: Document, spec: Document) -> Violation | None:
    found = [(name, str(value)) for name, value in _of(spec, "procMount") if value not in (None, "Default")]
    if not found:
        return None
    set_ = _quoted(value for _, value in found)
    return Violation(
        "procMount", f"{_named([name for name, _ in found])} must not set securityContext.procMount to {set_}"
    )


def proc_mount_of_hosts_users(metadata: Document, spec: Document) -> Violation | None:
    """In a user namespace of its own a pod may see all of /proc."""
    return None if spec.get("hostUsers") is False else proc_mount(metadata, spec)


def seccomp_annotations(metadata: Document, spec: Document) -> Violation | None:
    found = []
    for key, value in sorted((metadata.get("annotations") or {}).items()):
        known = value in ("runtime/default", "docker/default") or value.startswith("localhost/")
        if (key == SECCOMP_POD or key.startswith(SECCOMP_CONTAINER)) and not known:
            found.append(f'{key}="{value}"')
    if not found:
        return None
    return Violation("seccompProfile", f"forbidden {_plural(found, 'annotation', 'annotations')} {', '.join(found)}")


def seccomp_baseline(metadata: Document, spec: Document) -> Violation | None:
    types = [("", dig(spec, "securityContext", "seccompProfile", "type")), *_of(spec, "seccompProfile", "type")]
    bad = [(name, str(value)) for name, value in types if value not in (None, "RuntimeDefault", "Localhost")]
    if not bad:
        return None
    named = [name for name, _ in bad if name]
    who = [*(["pod"] if len(named) < len(bad) else []), *([_named(named)] if named else [])]
    set_ = _quoted(value for _, value in bad)
    return Violation(
        "seccompProfile", f"{' and '.join(who)} must not set securityContext.seccompProfile.type to {set_}"
    )


def sysctls_of(allowed: frozenset[str]) -> Check:
    def sysctls(metadata: Document, spec: Document) -> Violation | None:
        set_ = [one.get("name", "") for one in dig(spec, "securityContext", "sysctls") or ()]
        found = [name for name in set_ if name.replace("/", ".") not in allowed]
        return Violation("forbidden sysctls", ", ".join(found)) if found else None

    return sysctls


# restricted


def volume_types(metadata: Document, spec: Document) -> Violation | None:
    bad: list[str] = []
    types: set[str] = set()
    for one in spec.get("volumes") or ():
        wrong = {key for key in one if key != "name"} - VOLUMES
        if wrong:
            bad.append(one.get("name", ""))
            types |= wrong
    if not bad:
        return None
    uses = f"{_plural(bad, 'uses', 'use')} restricted volume {_plural(sorted(types), 'type', 'types')}"
    return Violation("restricted volume types", f"{_named(bad, 'volume')} {uses} {_quoted(types)}")


def privilege_escalation(metadata: Document, spec: Document) -> Violation | None:
    found = [name for name, value in _of(spec, "allowPrivilegeEscalation") if value is not False]
    if not found:
        return None
    must = "must set securityContext.allowPrivilegeEscalation=false"
    return Violation("allowPrivilegeEscalation != false", f"{_named(found)} {must}")


def not_root(metadata: Document, spec: Document) -> Violation | None:
    whole = dig(spec, "securityContext", "runAsNonRoot")
    said = list(_of(spec, "runAsNonRoot"))
    explicit = [name for name, value in said if value is False]
    implicit = [name for name, value in said if value is None] if whole is not True else []
    details = []
    if whole is False and implicit:
        details.append("pod must not set securityContext.runAsNonRoot=false")
    if explicit:
        details.append(f"{_named(explicit)} must not set securityContext.runAsNonRoot=false")
    if implicit and whole is None:
        details.append(f"pod or {_named(implicit)} must set securityContext.runAsNonRoot=true")
    if whole is False and not details:
        details.append("pod must not set securityContext.runAsNonRoot=false")
    return Violation("runAsNonRoot != true", "; ".join(details)) if details else None


def not_user_zero(metadata: Document, spec: Document) -> Violation | None:
    found = [name for name, value in _of(spec, "runAsUser") if value == 0 and value is not False]
    details = ["pod must not set runAsUser=0"] if dig(spec, "securityContext", "runAsUser") == 0 else []
    if found:
        details.append(f"{_named(found)} must not set runAsUser=0")
    return Violation("runAsUser=0", "; ".join(details)) if details else None


def seccomp_restricted(metadata: Document, spec: Document) -> Violation | None:
    whole = dig(spec, "securityContext", "seccompProfile", "type")
    good = ("RuntimeDefault", "Localhost")
    said = list(_of(spec, "seccompProfile", "type"))
    details = []
    bad = [(name, str(value)) for name, value in said if value not in (None, *good)]
    implicit = [name for name, value in said if value is None]
    if whole not in (None, *good):
        details.append(f'pod must not set securityContext.seccompProfile.type to "{whole}"')
    if bad:
        set_ = _quoted(value for _, value in bad)
        details.append(f"{_named([n for n, _ in bad])} must not set securityContext.seccompProfile.type to {set_}")
    if implicit and whole is None:
        wanted = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
        details.append(f"pod or {_named(implicit)} {wanted}")
    return Violation("seccompProfile", "; ".join(details)) if details else None


def capabilities_restricted(metadata: Document, spec: Document) -> Violation | None:
    keep = [name for name, value in _of(spec, "capabilities", "drop") if "ALL" not in _listed(value)]
    added = {
        name: [cap for cap in value if cap != "NET_BIND_SERVICE"]
        for name, value in _of(spec, "capabilities", "add")
        if isinstance(value, list)
    }
    wrong = [name for name, found in added.items() if found]
    details = [f'{_named(keep)} must set securityContext.capabilities.drop=["ALL"]'] if keep else []
    if wrong:
        caps = _quoted(cap for found in added.values() for cap in found)
        details.append(f"{_named(wrong)} must not include {caps} in securityContext.capabilities.add")
    return Violation("unrestricted capabilities", "; ".join(details)) if details else None
