"""Rules of pods for Windows, which knows nothing of Linux's users and namespaces.

Source: https://kubernetes.io/docs/concepts/windows/intro/#compatibility-v1-pod-spec-containers-securitycontext
"""

from __future__ import annotations

from collections.abc import Sequence

from navarch.kinds.rules import Faults
from navarch.objects.value import Document

OF_THE_POD = (
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "fsGroup",
    "fsGroupChangePolicy",
    "sysctls",
    "runAsUser",
    "runAsGroup",
    "supplementalGroups",
    "supplementalGroupsPolicy",
    "seLinuxChangePolicy",
)
OF_THE_SPEC = ("hostUsers", "hostPID", "hostIPC", "shareProcessNamespace")
OF_A_CONTAINER = (
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
)
ONLY_WHEN_TRUE = ("hostPID", "hostIPC")
DETAIL = "cannot be set for a windows pod"


def windows_pod(faults: Faults, spec: Document, path: str, secured: Sequence[tuple[Document, str]]) -> None:
    """secured: the pod and its containers that have a security context, with their paths."""
    for field in OF_THE_SPEC:
        if field in spec and (spec[field] or field not in ONLY_WHEN_TRUE):
            faults.forbidden(f"{path}.{field}", DETAIL)
    for found, where in secured:
        for field in OF_THE_POD if found is spec else OF_A_CONTAINER:
            if field in found["securityContext"] and found["securityContext"][field] not in ([], None):
                faults.forbidden(f"{where}.securityContext.{field}", DETAIL)
