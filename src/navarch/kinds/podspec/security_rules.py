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


def _ids(faults: Faults, context: Document, path: str, *fields: str) -> None:
    for field in fields:
        value = context.get(field)
        if value is not None and not 0 <= value <= INT32_MAX:
            faults.between(f"{path}.{field}", value, 0, INT32_MAX)


def _profile(faults: Faults, profile: Document, path: str) -> None:
    type_ = profile.get("type")
    faults.one_of(f"{path}.type", type_, PROFILES)
    local = profile.get("localhostProfile")
    if type_ == "Localhost" and not local:
        faults.required(f"{path}.localhostProfile", "must be set when type is Localhost")
    elif type_ != "Localhost" and local is not None:
        faults.invalid(f"{path}.localhostProfile", local, "can only be set when type is Localhost")
    elif local and (local.startswith("/") or ".." in local.split("/")):
        faults.invalid(f"{path}.localhostProfile", local, "must be a relative path")


def _profiles(faults: Faults, context: Document, path: str) -> None:
    for field in ("seccompProfile", "appArmorProfile"):
        if field in context:
            _profile(faults, context[field], f"{path}.{field}")


def container_security(faults: Faults, context: Document, path: str) -> None:
    _ids(faults, context, path, "runAsUser", "runAsGroup")
    _profiles(faults, context, path)
    mount = context.get("procMount")
    if mount is not None and mount not in PROC_MOUNTS:
        faults.unsupported(f"{path}.procMount", mount, PROC_MOUNTS)
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            faults.invalid(path, context, detail)
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            faults.invalid(path, context, detail)


def pod_security(faults: Faults, context: Document, path: str) -> None:
    _ids(faults, context, path, "runAsUser", "runAsGroup", "fsGroup")
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        faults.between(f"{path}.supplementalGroups[{index}]", group, 0, INT32_MAX)
    _profiles(faults, context, path)
    for field, allowed in (("fsGroupChangePolicy", FS_GROUP_POLICIES), ("supplementalGroupsPolicy", GROUP_POLICIES)):
        value = context.get(field)
        if value is not None and value not in allowed:
            faults.unsupported(f"{path}.{field}", value, allowed)
    seen: set[str] = set()
    for index, sysctl in enumerate(context.get("sysctls") or ()):
        name = sysctl.get("name", "")
        field = f"{path}.sysctls[{index}].name"
        if not name:
            faults.required(field)
        elif len(name) > SYSCTL_MAX_BYTES or not SYSCTL.fullmatch(name):
            detail = f"must have at most {SYSCTL_MAX_BYTES} characters and match regex ^{SYSCTL.pattern}$"
            faults.invalid(field, name, detail)
        elif name in seen:
            faults.duplicate(field, name)
        seen.add(name)
