"""The Pod Security Standards: which checks each level has in each version, and what of a pod breaks them.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from navarch.kinds.podspec import security_checks as checks
from navarch.kinds.podspec.security_checks import Check, Violation, unless_windows
from navarch.objects.value import Document

PRIVILEGED, BASELINE, RESTRICTED = LEVELS = ("privileged", "baseline", "restricted")
NEWEST = 36
"""The minor version that `latest` is."""
SINCE_THE_FIRST = 0


@dataclass(frozen=True, slots=True)
class Policy:
    """version: the minor one, NEWEST for `latest`."""

    level: str
    version: int = NEWEST
    text: str = "latest"

    def __str__(self) -> str:
        return f"{self.level}:{self.text}"


@dataclass(frozen=True, slots=True)
class Control:
    """Checks by the version from which each holds; the last that is not later counts. replaces: a control of the level
    below that is not asked besides this one."""

    name: str
    level: str
    versions: tuple[tuple[int, Check | None], ...]
    replaces: str = ""

    def of(self, version: int) -> Check | None:
        found = [check for since, check in self.versions if since <= version]
        return found[-1] if found else None


FIRST = SINCE_THE_FIRST
CONTROLS: tuple[Control, ...] = (
    Control("windowsHostProcess", BASELINE, ((FIRST, checks.host_process),)),
    Control("hostNamespaces", BASELINE, ((FIRST, checks.host_namespaces),)),
    Control("privileged", BASELINE, ((FIRST, checks.privileged),)),
    Control("capabilities_baseline", BASELINE, ((FIRST, checks.capabilities),)),
    Control("hostPathVolumes", BASELINE, ((FIRST, checks.host_paths),)),
    Control("hostPorts", BASELINE, ((FIRST, checks.host_ports),)),
    Control("hostProbesAndHostLifecycle", BASELINE, ((34, checks.host_of_probes),)),
    Control("appArmorProfile", BASELINE, ((FIRST, checks.apparmor),)),
    Control(
        "seLinuxOptions",
        BASELINE,
        (
            (FIRST, checks.selinux_of(checks.SELINUX)),
            (31, checks.selinux_of((*checks.SELINUX, "container_engine_t"))),
        ),
    ),
    Control("procMount", BASELINE, ((FIRST, checks.proc_mount), (35, checks.proc_mount_of_hosts_users))),
    Control(
        "seccompProfile_baseline",
        BASELINE,
        ((FIRST, checks.seccomp_annotations), (19, checks.seccomp_baseline)),
    ),
    Control(
        "sysctls",
        BASELINE,
        (
            (FIRST, checks.sysctls_of(checks.SYSCTLS)),
            (27, checks.sysctls_of(checks.SYSCTLS_1_27)),
            (29, checks.sysctls_of(checks.SYSCTLS_1_29)),
            (32, checks.sysctls_of(checks.SYSCTLS_1_32)),
        ),
    ),
    Control("restrictedVolumes", RESTRICTED, ((FIRST, checks.volume_types),), "hostPathVolumes"),
    Control(
        "allowPrivilegeEscalation",
        RESTRICTED,
        ((8, checks.privilege_escalation), (25, unless_windows(checks.privilege_escalation))),
    ),
    Control("runAsNonRoot", RESTRICTED, ((FIRST, checks.not_root),)),
    Control("runAsUser", RESTRICTED, ((23, checks.not_user_zero),)),
    Control("procMount_restricted", RESTRICTED, ((35, checks.proc_mount),), "procMount"),
    Control(
        "seccompProfile_restricted",
        RESTRICTED,
        ((19, checks.seccomp_restricted), (25, unless_windows(checks.seccomp_restricted))),
        "seccompProfile_baseline",
    ),
    Control(
        "capabilities_restricted",
        RESTRICTED,
        ((22, checks.capabilities_restricted), (25, unless_windows(checks.capabilities_restricted))),
        "capabilities_baseline",
    ),
)


@lru_cache(maxsize=128)
def checks_of(level: str, version: int) -> Sequence[Check]:
    if level == PRIVILEGED:
        return ()
    chosen = {
        control.name: check
        for control in CONTROLS
        if (control.level == BASELINE or level == RESTRICTED) and (check := control.of(version)) is not None
    }
    for control in CONTROLS:
        if control.name in chosen and control.replaces:
            chosen.pop(control.replaces, None)
    return tuple(
        chosen[control.name] for control in sorted(CONTROLS, key=lambda one: one.name) if control.name in chosen
    )


def violations(policy: Policy, metadata: Document, spec: Document) -> list[Violation]:
    """What of the pod breaks the policy, in a steady order."""
    found = (check(metadata, spec) for check in checks_of(policy.level, policy.version))
    return [violation for violation in found if violation is not None]


def policy(level: str, version: str) -> tuple[Policy, str]:
    """From the values of a namespace's labels, and what is wrong with them; what is wrong is held to be strict."""
    wrong = []
    text, minor = version or "latest", NEWEST
    if text != "latest":
        match = re.fullmatch(r"v1\.(0|[1-9]\d*)", text)
        if match is None:
            wrong.append(f'"{version}": must be "latest" or "v1.x"')
            text = "latest"
        else:
            minor = min(int(match[1]), NEWEST)
    if level and level not in LEVELS:
        wrong.append(f'"{level}": must be one of {", ".join(LEVELS)}')
        level = RESTRICTED
    return Policy(level or PRIVILEGED, minor, text), "; ".join(wrong)
