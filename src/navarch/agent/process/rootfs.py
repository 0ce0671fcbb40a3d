"""The file system of a host process: the host's own, as it is, under a layer that takes what the process writes.

The layer lies in memory and ends with the container, so that neither a mount point nor a write reaches the host; what
is to stay is a `hostPath` volume. Each file system of the host that lies on a disk or a network is laid under it at
its place; one that the kernel lays under nothing is shown read-only. What is the kernel's own (`/proc`, `/sys`,
`/dev`), passing (`/run`, `/tmp`) or the cluster's is not shown: containers get their own of the former.

Source: https://docs.kernel.org/filesystems/overlayfs.html; proc_pid_mountinfo(5)
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from navarch.agent.runtime import RuntimeFailure
from navarch.agent.volumes import kernel
from navarch.base.log import Log

_log = Log("agent")

MOUNTINFO = Path("/proc/self/mountinfo")
OWN = ("/proc", "/sys", "/dev", "/run", "/tmp", "/var/run")
"""What a container has of its own."""
UNSHOWN = frozenset(
    (
        *("autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs", "efivarfs"),
        *("fusectl", "fuse.lxcfs", "hugetlbfs", "mqueue", "nsfs", "overlay", "proc", "pstore", "ramfs", "rpc_pipefs"),
        *("securityfs", "selinuxfs", "sysfs", "tmpfs", "tracefs"),
    )
)
"""Types of file systems that hold nothing that is kept, or belong to other containers."""
LAYER_SHARE = "10%"
"""Of the memory: what a container may write beside its volumes. What it takes counts as memory of the container."""


def parts(mountinfo: str, hidden: Sequence[str] = ()) -> list[str]:
    """Where the host's file systems are mounted that are to be shown, `/` first, those below others after them.

    hidden: folders below which nothing is.
    """
    found = {"/"}
    for line in mountinfo.splitlines():
        words = line.split(" ")
        if "-" not in words or len(words) < 7:
            continue
        point, kind = _unescaped(words[4]), words[words.index("-") + 1]
        if kind not in UNSHOWN and not _below(point, (*OWN, *hidden)):
            found.add(point)
    return sorted(found, key=lambda path: (path.count("/") if path != "/" else 0, path))


def _below(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in folders)


def _unescaped(text: str) -> str:
    return text.encode().decode("unicode_escape").encode("latin-1").decode() if "\\" in text else text


def layered(lower: str, upper: Path, work: Path) -> str:
    """The options of an overlay: what parts its options and folders is escaped."""

    def name(path: object) -> str:
        return str(path).replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")

    return f"lowerdir={name(lower)},upperdir={name(upper)},workdir={name(work)}"


def assemble(folder: Path, shown: Sequence[str]) -> Path:
    """Mount it all below `folder`; returns the root. Blocks.

    Raises:
        RuntimeFailure: this kernel lays nothing over the host's root.
    """
    layer, root = folder / "layer", folder / "rootfs"
    for place in (layer, root):
        place.mkdir(exist_ok=True, mode=0o755)
    try:
        kernel.mount("tmpfs", layer, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, f"mode=700,size={LAYER_SHARE}")
        for number, point in enumerate(shown):
            _lay(point, root / point.lstrip("/"), layer / str(number))
    except OSError as error:
        take_down(folder)
        text = f"the host's root cannot be the root of a process: {error.filename}: {error.strerror}"
        raise RuntimeFailure(text, reason="CreateContainerError") from error
    return root


def _lay(point: str, target: Path, layer: Path) -> None:
    """Raises: OSError, of the root alone: what else cannot be shown is left out."""
    try:
        if not Path(point).is_dir():
            _show(point, target)
            return
        upper, work = layer / "upper", layer / "work"
        for place in (layer, upper, work):
            place.mkdir()
        shutil.copystat(point, upper)
        about = os.stat(point)
        os.chown(upper, about.st_uid, about.st_gid)
        kernel.mount("overlay", target, "overlay", 0, layered(point, upper, work))
    except OSError as error:
        if point == "/":
            raise
        try:
            _show(point, target)
        except OSError:
            _log.warning("a file system of the host is not shown to its processes", path=point, error=error)


def _show(point: str, target: Path) -> None:
    """As it is, read-only. Raises: OSError."""
    kernel.mount(point, target, flags=kernel.MS_BIND)
    kernel.mount("none", target, flags=kernel.MS_BIND | kernel.MS_REMOUNT | kernel.MS_RDONLY)


def take_down(folder: Path) -> None:
    """Unmount whatever `assemble` mounted, or part of it; nothing is fine. Blocks. Raises: OSError."""
    for point in kernel.mounts_below(folder):
        kernel.unmount(point)
