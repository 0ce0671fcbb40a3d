"""Mounting and unmounting through the C library: starting a process for each would cost more than the mount itself."""

from __future__ import annotations

import ctypes
import errno
import os
from functools import cache
from pathlib import Path
from typing import Any

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8


@cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: Path, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Raises: OSError."""
    done = _libc().mount(
        source.encode(), os.fsencode(target), kind.encode() or None, ctypes.c_ulong(flags), options.encode() or None
    )
    if done != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mount: {os.strerror(number)}", str(target))


def mount_tmpfs(target: Path, size_bytes: int = 0, mode: int = 0o777) -> None:
    """size_bytes: 0 for the kernel's default (half of the memory). Raises: OSError."""
    size = f",size={size_bytes}" if size_bytes else ""
    mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, f"mode={mode:o}{size}")


def bind(source: str, target: Path) -> None:
    """Raises: OSError."""
    mount(source, target, flags=MS_BIND | MS_REC)


def unmount(target: Path) -> None:
    """Detach what is mounted there; nothing mounted is fine. Raises: OSError."""
    if _libc().umount2(os.fsencode(target), MNT_DETACH | UMOUNT_NOFOLLOW) != 0:
        number = ctypes.get_errno()
        if number not in (errno.EINVAL, errno.ENOENT):
            raise OSError(number, f"umount: {os.strerror(number)}", str(target))


def is_mounted(target: Path) -> bool:
    """Whether something is mounted exactly there, as far as device numbers tell (not for binds of the same device)."""
    try:
        return target.stat().st_dev != target.parent.stat().st_dev
    except FileNotFoundError:
        return False
