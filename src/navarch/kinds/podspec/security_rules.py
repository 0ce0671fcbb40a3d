"""Rules of security contexts, of pods and of containers.

Source: https://kubernetes.io/docs/tasks/configure-pod-container/security-context/
"""

from __future__ import annotations

import re

from navarch.kinds.rules import INT32_MAX, Faults
from navarch.objects.value import Document

PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
PROC_MOUNTS = ("Default", "Unmasked")
FS_GROUP_POLICIES = ("Always", "OnRootMismatch")
GROUP_POLICIES = ("Merge", "Strict")
_SYSCTL_PART = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
SYSCTL = re.compile(rf"({_SYSCTL_PART}[\./])*{_SYSCTL_PART}")
SYSCTL_MAX_BYTES = 253
IPC_SYSCTLS = ("fs.mqueue.", "kernel.msg", "kernel.sem", "kernel.shm")
SELINUX_POLICIES = ("MountOption", "Recursive")
PATH_MAX_BYTES = 4095


def _ids(faults: Faults, context: Document, path: str, *fields: str) -> None:
    for field in fields:
        value = context.get(field)
        if value is not None and not 0 <= value <= INT32_MAX:
            faults.between(f"{path}.{field}", value, 0, INT32_MAX)


def _seccomp(faults: Faults, profile: Document, path: str) -> None:
    local = profile.get("localhostProfile")
    if _profile_type(faults, profile.get("type", ""), path, "seccompProfile") == "Localhost":
        if local is None:
            faults.required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost")
            return
        if local.startswith("/"):
            faults.invalid(f"{path}.localhostProfile", local, "must be a relative path")
        if ".." in local.split("/"):
            faults.invalid(f"{path}.localhostProfile", local, "must not contain '..'")
    elif local is not None:
        faults.invalid(f"{path}.localhostProfile", profile, "can only be set when seccomp type is Localhost")


def _apparmor(faults: Faults, profile: Document, path: str) -> None:
    local, field = profile.get("localhostProfile"), f"{path}.localhostProfile"
    match _profile_type(faults, profile.get("type", ""), path, "appArmorProfile"):
        case "Localhost":
            if local is not None and local != local.strip():
                faults.invalid(field, local, "must not be padded with whitespace")
            elif not local:
                faults.required(field, "must be set when AppArmor type is Localhost")
            if local and len(local.encode()) > PATH_MAX_BYTES:
                faults.too_long(field, PATH_MAX_BYTES)
        case "RuntimeDefault" | "Unconfined" if local is not None:
            faults.invalid(field, local, "can only be set when AppArmor type is Localhost")


def _profile_type(faults: Faults, type_: str, path: str, what: str) -> str:
    if not type_:
        faults.required(f"{path}.type", f"type is required when {what} is set")
    elif type_ not in PROFILES:
        faults.unsupported(f"{path}.type", type_, PROFILES)
    return type_


def container_security(faults: Faults, context: Document, path: str, host_users: bool = True) -> None:
    """host_users: whether the pod shares the node's users."""
    _ids(faults, context, path, "runAsUser", "runAsGroup")
    mount = context.get("procMount")
    if mount is not None and mount not in PROC_MOUNTS:
        faults.unsupported(f"{path}.procMount", mount, PROC_MOUNTS)
    if mount == "Unmasked" and host_users:
        faults.invalid(f"{path}.procMount", mount, "`hostUsers` must be false to use `Unmasked`")
    if "seccompProfile" in context:
        _seccomp(faults, context["seccompProfile"], f"{path}.seccompProfile")
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            faults.invalid(path, context, detail)
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            faults.invalid(path, context, detail)
    if "appArmorProfile" in context:
        _apparmor(faults, context["appArmorProfile"], f"{path}.appArmorProfile")


def pod_security(faults: Faults, spec: Document, path: str) -> None:
    """Of the security context of a pod's spec."""
    context: Document = spec["securityContext"]
    _ids(faults, context, path, "fsGroup", "runAsUser", "runAsGroup")
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        faults.between(f"{path}.supplementalGroups[{index}]", group, 0, INT32_MAX)
    _sysctls(faults, context.get("sysctls") or [], spec, f"{path}.sysctls")
    _policy(faults, context, path, "fsGroupChangePolicy", FS_GROUP_POLICIES)
    if "seccompProfile" in context:
        _seccomp(faults, context["seccompProfile"], f"{path}.seccompProfile")
    if "appArmorProfile" in context:
        _apparmor(faults, context["appArmorProfile"], f"{path}.appArmorProfile")
    _policy(faults, context, path, "supplementalGroupsPolicy", GROUP_POLICIES)
    _policy(faults, context, path, "seLinuxChangePolicy", SELINUX_POLICIES)


def _policy(faults: Faults, context: Document, path: str, field: str, allowed: tuple[str, ...]) -> None:
    value = context.get(field)
    if value is not None and value not in allowed:
        faults.unsupported(f"{path}.{field}", value, allowed)


def _sysctls(faults: Faults, found: list[Document], spec: Document, path: str) -> None:
    """What a namespace of the kernel keeps cannot be set by a pod that shares the node's own."""
    seen: set[str] = set()
    for index, sysctl in enumerate(found):
        name = sysctl.get("name", "")
        field = f"{path}[{index}].name"
        if not name:
            faults.required(field)
        elif len(name) > SYSCTL_MAX_BYTES or not SYSCTL.fullmatch(name):
            detail = f"must have at most {SYSCTL_MAX_BYTES} characters and match regex ^{SYSCTL.pattern}$"
            faults.invalid(field, name, detail)
        elif name in seen:
            faults.duplicate(field, name)
        plain = name.replace("/", ".")
        if spec.get("hostNetwork") and plain.startswith("net."):
            faults.invalid(field, name, "may not be specified when 'hostNetwork' is true")
        elif spec.get("hostIPC") and plain.startswith(IPC_SYSCTLS):
            faults.invalid(field, name, "may not be specified when 'hostIPC' is true")
        seen.add(name)
