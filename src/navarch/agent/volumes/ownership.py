"""Gives a volume's files to the pod's `fsGroup`.

Another pod may share the volume and write to it meanwhile, so no path is looked up twice: every step is opened below
the one before, no link is followed, and what was opened is what gets the rights.

Source: https://kubernetes.io/docs/tasks/configure-pod-container/security-context/
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

READ_WRITE_GROUP = 0o660
READ_GROUP = 0o440
DIRECTORY_GROUP = 0o110
SETGID = 0o2000
DEEPEST = 300
"""Each level costs an open file."""
_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def own_by_group(root: Path, group: int, *, readonly: bool = False, policy: str = "Always") -> None:
    """Give everything below to the group; directories hand the group on to what is made in them.

    The root comes last: with the policy `OnRootMismatch`, a root that is as it should be says that all is.

    Raises: OSError.
    """
    if policy == "OnRootMismatch" and is_owned(root.stat(), group, readonly=readonly):
        return
    bits = READ_GROUP if readonly else READ_WRITE_GROUP
    here = os.open(root, os.O_PATH | os.O_CLOEXEC)
    stack = [(here, _names(here))]
    try:
        while stack:
            here, names = stack[-1]
            name = next(names, None)
            if name is None:
                _give(here, group, bits | DIRECTORY_GROUP | SETGID)
                os.close(stack.pop()[0])
                continue
            below = _entry(here, name, group, bits)
            if below is not None:
                stack.append((below, _names(below)))
                if len(stack) > DEEPEST:
                    raise OSError(errno.ELOOP, f"directories lie more than {DEEPEST} deep", str(root))
    finally:
        for left, _ in stack:
            os.close(left)


def _names(descriptor: int) -> Iterator[str]:
    """Of what lies in the directory; nothing when the root of all is a file."""
    path = descriptor_path(descriptor)
    return iter(os.listdir(path) if os.path.isdir(path) else ())


def _entry(directory: int, name: str, group: int, bits: int) -> int | None:
    """See to one entry, but hand a directory back open, to be seen to after what is in it."""
    try:
        here = os.open(name, _LOOK, dir_fd=directory)
    except FileNotFoundError:  # somebody else's, gone meanwhile
        return None
    try:
        mode = os.fstat(here).st_mode
        if stat.S_ISDIR(mode):
            kept, here = here, -1
            return kept
        if stat.S_ISLNK(mode):
            os.chown(name, -1, group, dir_fd=directory, follow_symlinks=False)
        else:
            _give(here, group, bits)
        return None
    finally:
        if here >= 0:
            os.close(here)


def _give(descriptor: int, group: int, bits: int) -> None:
    path, mode = descriptor_path(descriptor), os.fstat(descriptor).st_mode
    if not stat.S_ISDIR(mode):
        bits &= ~(DIRECTORY_GROUP | SETGID)
    os.chown(path, -1, group)
    os.chmod(path, stat.S_IMODE(mode) | bits)


def is_owned(found: os.stat_result, group: int, *, readonly: bool) -> bool:
    """Whether a directory has the group and the rights that it would be given."""
    wanted = (READ_GROUP if readonly else READ_WRITE_GROUP) | DIRECTORY_GROUP | SETGID
    return found.st_gid == group and found.st_mode & wanted == wanted


def descriptor_path(descriptor: int) -> str:
    """A path that leads to what is open, whatever its name leads to by now."""
    return f"/proc/self/fd/{descriptor}"
