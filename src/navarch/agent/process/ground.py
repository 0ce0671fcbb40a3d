"""What this machine has to say before a process of its own is run as a container: users, devices, profiles."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Sequence
from pathlib import Path

import orjson

from navarch.agent.process.bundle import CAPABILITIES, Document, Facts
from navarch.agent.runtime import ContainerSpec, RuntimeFailure, Security

PROC = Path("/proc/self")


def facts(spec: ContainerSpec, hidden: Sequence[str], unified: bool) -> Facts:
    """Blocks. Raises: RuntimeFailure, reason CreateContainerError: a device or a profile is not there."""
    group, groups = groups_of(spec.security)
    return Facts(
        ceiling=ceiling((PROC / "status").read_text()),
        least_oom_score=int((PROC / "oom_score_adj").read_text()),
        unified=unified,
        group=group,
        groups=groups,
        hidden=tuple(path for path in hidden if Path(path).is_dir()),
        seccomp=_profile(spec.security.seccomp),
        devices={one.host_path: _device(one.host_path) for one in spec.devices},
    )


def ceiling(status: str) -> tuple[str, ...]:
    """The capabilities that may be given at all, from the text of `/proc/self/status`."""
    line = next((line for line in status.splitlines() if line.startswith("CapBnd:")), "CapBnd: 0")
    bits = int(line.split()[1], 16)
    return tuple(name for number, name in enumerate(CAPABILITIES) if bits >> number & 1)


def groups_of(security: Security) -> tuple[int, tuple[int, ...]]:
    """The first group, and all others that the host's own files give the user. Those who are not there have none."""
    try:
        entry = pwd.getpwuid(security.user or 0)
    except KeyError:
        return security.group or 0, ()
    group = security.group if security.group is not None else entry.pw_gid
    return group, tuple(one.gr_gid for one in grp.getgrall() if entry.pw_name in one.gr_mem)


def _profile(name: str) -> Document | None:
    if not name.startswith("Localhost:"):
        return None
    path = name.partition(":")[2]
    try:
        return dict(orjson.loads(Path(path).read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        text = f"cannot load seccomp profile {path!r}: {error}"
        raise RuntimeFailure(text, reason="CreateContainerError") from error


def _device(path: str) -> tuple[str, int, int]:
    try:
        found = os.stat(path)
    except OSError as error:
        text = f"there is no device {path!r}: {error.strerror}"
        raise RuntimeFailure(text, reason="CreateContainerError") from error
    if not (stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode)):
        raise RuntimeFailure(f"{path!r} is no device", reason="CreateContainerError")
    kind = "b" if stat.S_ISBLK(found.st_mode) else "c"
    return kind, os.major(found.st_rdev), os.minor(found.st_rdev)
