"""Rules of the annotations of pods and of their templates that say something to the system itself.

Source: https://kubernetes.io/docs/reference/labels-annotations-taints/
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from navarch.kinds.podspec.placement_rules import tolerations
from navarch.kinds.podspec.security_checks import APPARMOR, SECCOMP_CONTAINER, SECCOMP_POD
from navarch.kinds.rules import INT32_MAX, Faults
from navarch.objects.value import Document

MIRROR = "kubernetes.io/config.mirror"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
TOLERATIONS = "scheduler.alpha.kubernetes.io/tolerations"
SECCOMP_PROFILES = ("runtime/default", "docker/default", "unconfined")
APPARMOR_PROFILES = ("", "runtime/default", "unconfined")
LOCAL = "localhost/"
CONTAINERS = ("initContainers", "containers", "ephemeralContainers")


def annotated(faults: Faults, found: Document, spec: Document, path: str, was: Document | None = None) -> None:
    """path: of the annotations. was: those that are stored, of which a broken cost may stay."""
    if MIRROR in found and not spec.get("nodeName"):
        faults.invalid(f"{path}[{MIRROR}]", found[MIRROR], "must set spec.nodeName if mirror pod annotation is set")
    if found.get(TOLERATIONS):
        _tolerations(faults, found[TOLERATIONS], path)
    cost = found.get(DELETION_COST)
    if cost is not None and cost != (was or {}).get(DELETION_COST) and not _is_cost(cost):
        faults.invalid(f"{path}[{DELETION_COST}]", cost, "must be a 32bit integer")
    for key, profile in found.items():
        if key == SECCOMP_POD or key.startswith(SECCOMP_CONTAINER):
            _seccomp(faults, profile, f"{path}.{key}")
    for key, profile in found.items():
        if key.startswith(APPARMOR):
            _apparmor(faults, key.removeprefix(APPARMOR), profile, spec, f"{path}[{key}]")


def changed(faults: Faults, found: Document, was: Document, path: str) -> None:
    """What nobody may change in a pod that is there."""
    for key in was:
        what = _fixed(key)
        if what and found.get(key) != was[key]:
            faults.forbidden(f"{path}[{key}]", f"may not remove or update {what}")
    for key in found:
        what = _fixed(key)
        if what and key not in was:
            faults.forbidden(f"{path}[{key}]", f"may not add {what}")


def _fixed(key: str) -> str:
    if key.startswith(APPARMOR):
        return "AppArmor annotations"
    return "mirror pod annotation" if key == MIRROR else ""


def _is_cost(text: str) -> bool:
    return re.fullmatch("-?[1-9][0-9]*|0", text) is not None and -INT32_MAX - 1 <= int(text) <= INT32_MAX


def _tolerations(faults: Faults, text: str, path: str) -> None:
    try:
        found = msgspec.json.decode(text, type=list[dict[str, Any]])
    except msgspec.DecodeError as error:
        faults.invalid(path, TOLERATIONS, str(error))
    else:
        tolerations(faults, found, f"{path}.{TOLERATIONS}")


def _seccomp(faults: Faults, profile: str, field: str) -> None:
    if profile in SECCOMP_PROFILES:
        return
    if not profile.startswith(LOCAL):
        faults.invalid(field, profile, "must be a valid seccomp profile")
        return
    place = profile.removeprefix(LOCAL)
    if place.startswith("/"):
        faults.invalid(field, place, "must be a relative path")
    if ".." in place.split("/"):
        faults.invalid(field, place, "must not contain '..'")


def _apparmor(faults: Faults, name: str, profile: str, spec: Document, field: str) -> None:
    if all(one.get("name") != name for group in CONTAINERS for one in spec.get(group) or ()):
        faults.invalid(field, name, "container not found")
    if profile not in APPARMOR_PROFILES and not profile.startswith(LOCAL):
        faults.invalid(field, profile, f'invalid AppArmor profile name: "{profile}"')
