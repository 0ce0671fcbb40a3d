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
MS_SHARED = 1 << 20
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


def mount_hugetlbfs(target: Path, page_bytes: int, mode: int = 0o777) -> None:
    """Raises: OSError."""
    mount("hugetlbfs", target, "hugetlbfs", MS_NOSUID | MS_NODEV, f"pagesize={page_bytes >> 10}K,mode={mode:o}")


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


def share(target: Path) -> None:
    """See to it that mounts made below the directory show up wherever else it is shown, and the other way round.

    Raises: OSError.
    """
    if _shared_around(target):
        return
    if not mounted_at(target):
        bind(str(target), target)
    mount("none", target, flags=MS_SHARED)


def mounts_below(path: Path) -> list[Path]:
    """Mount points in and below it, deepest first."""
    prefix = str(path.resolve())
    found = [point for point, _ in _mounts() if point == prefix or point.startswith(prefix.rstrip("/") + "/")]
    return [Path(point) for point in sorted(found, key=len, reverse=True)]


def mounted_at(path: Path) -> bool:
    """Whether something is mounted exactly there, whatever it is: also what does not answer."""
    wanted = str(path.parent.resolve() / path.name)
    return any(point == wanted for point, _ in _mounts())


def known(filesystem: str) -> bool:
    """Whether the kernel can mount it now."""
    return filesystem in Path("/proc/filesystems").read_text().split()


def _shared_around(path: Path) -> bool:
    """Whether the mount that the path lies in is shared."""
    wanted, best, shared = str(path.resolve()), "", False
    for point, tags in _mounts():
        if (wanted == point or wanted.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, shared = point, any(tag.startswith("shared:") for tag in tags)
    return shared


def _mounts() -> list[tuple[str, list[str]]]:
    """(where, its optional fields) of every mount, in the kernel's order."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        words = line.split(" ")
        point = words[4]
        if "\\" in point:
            point = point.encode().decode("unicode_escape")
        found.append((point, words[6 : words.index("-")]))
    return found
