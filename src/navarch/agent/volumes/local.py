"""What makes and checks a directory of this node: empty ones for pods, and paths that are there already.

Source: https://kubernetes.io/docs/concepts/storage/volumes/
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from navarch.agent.volumes import kernel
from navarch.agent.volumes.maker import MountFailure
from navarch.agent.volumes.ownership import own_by_group
from navarch.kinds.podspec.volumes import EmptyDirSource, HostPathSource
from navarch.objects import quantity


def make_empty_dir(
    path: Path, source: EmptyDirSource, fs_group: int | None, memory_limit_bytes: int = 0, page_bytes: int = 0
) -> None:
    """Idempotent. memory_limit_bytes: what bounds a volume in memory besides its own limit; 0 for nothing.
    page_bytes: the size of the huge pages that it is made of; 0 for none.

    Raises: OSError.
    """
    fresh = not path.exists()
    path.mkdir(parents=True, exist_ok=True)
    if page_bytes and not kernel.mounted_at(path):
        kernel.mount_hugetlbfs(path, page_bytes)
        fresh = True
    elif source.medium == "Memory" and not kernel.is_mounted(path):
        asked = quantity.whole(source.size_limit) if source.size_limit is not None else 0
        sizes = [size for size in (asked, memory_limit_bytes) if size]
        kernel.mount_tmpfs(path, min(sizes, default=0))
        fresh = True
    if fresh:
        path.chmod(0o777)
        if fs_group is not None:
            own_by_group(path, fs_group)


_TYPES = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


def check_host_path(volume: str, source: HostPathSource, *, shared: bool = False) -> None:
    """See to it that the path is what its type asks for. shared: a folder that is made is open to every user of a pod.

    Raises: MountFailure.
    """
    path = source.path
    try:
        if source.type == "DirectoryOrCreate":
            fresh = not os.path.isdir(path)
            os.makedirs(path, mode=0o755, exist_ok=True)
            if shared and fresh:
                os.chmod(path, 0o777)
        elif source.type == "FileOrCreate" and not os.path.exists(path):
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
        wanted = source.type.removesuffix("OrCreate")
        if wanted not in _TYPES:
            return
        is_it, word = _TYPES[wanted]
        if not is_it(os.stat(path).st_mode):
            raise MountFailure(volume, f"hostPath type check failed: {path} is not {word}")
    except FileNotFoundError as error:
        word = _TYPES.get(source.type, (None, "there"))[1]
        raise MountFailure(volume, f"hostPath type check failed: {path} is not {word}") from error
    except OSError as error:
        raise MountFailure(volume, f"hostPath {path}: {error.strerror}") from error
