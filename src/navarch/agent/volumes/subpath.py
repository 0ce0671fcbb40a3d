"""Shows a part of a volume to a container without letting a symbolic link in it lead out.

Containers that write to the volume may change it at any moment. So the path is resolved once, then opened step by step
from the volume's root without following a link, and what was opened (not the path, which might have changed meanwhile)
is bound to a place of the agent's own that the runtime mounts. A link that took a directory's place after the path was
resolved is found out by its type: opened, it would lead on from wherever it is mounted.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from navarch.agent.runtime import RuntimeFailure
from navarch.agent.volumes import kernel
from navarch.agent.volumes.ownership import descriptor_path

_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_INHERITED = 0o2777
"""The rights that a directory which is made takes over from the volume's."""


class BadSubPath(RuntimeFailure):
    def __init__(self, message: str) -> None:
        super().__init__(message, reason="CreateContainerConfigError")


def check(path: str) -> None:
    """Raises: BadSubPath, for an absolute path or one with `..`."""
    if path.startswith("/"):
        raise BadSubPath(f"error SubPath `{path}` must not be an absolute path")
    if ".." in path.split("/"):
        raise BadSubPath(f"unable to provision SubPath `{path}`: must not contain '..'")


def prepare(container: str, name: str, volume: Path, path: str, place: Path) -> Path:
    """Bind `path` below `volume` to `place`; a missing directory is made. Returns `place`. Idempotent.

    name: the volume's.

    Raises: BadSubPath.
    """
    check(path)
    try:
        _prepare(volume, path, place)
    except OSError as error:
        text = f'failed to prepare subPath for volumeMount "{name}" of container "{container}"'
        raise BadSubPath(f"{text}: {path!r}: {error.strerror or error}") from error
    return place


def _prepare(volume: Path, path: str, place: Path) -> None:
    """Raises: OSError."""
    root = os.path.realpath(volume)
    wanted = os.path.realpath(os.path.join(root, path))
    if wanted != root and not wanted.startswith(root.rstrip("/") + "/"):
        raise OSError(f"not within volume path {volume}: a link leads out of it")
    descriptor = open_below(root, os.path.relpath(wanted, root))
    try:
        opened = os.fstat(descriptor)
        kernel.unmount(place)
        _make_place(place, stat.S_ISDIR(opened.st_mode))
        kernel.bind(descriptor_path(descriptor), place)
        _verify(place, opened)
    finally:
        os.close(descriptor)


def open_below(root: str, relative: str) -> int:
    """A descriptor of the path, every step opened without following a link; missing directories are made on the way.

    Raises: OSError, where a step is a link or lies below a file.
    """
    here = os.open(root, os.O_PATH | os.O_CLOEXEC)
    try:
        rights = stat.S_IMODE(os.fstat(here).st_mode) & _INHERITED
        for name in [part for part in relative.split("/") if part not in ("", ".")]:
            below = _step(here, name, rights)
            os.close(here)
            here = below
            if stat.S_ISLNK(os.fstat(here).st_mode):
                raise OSError(f"{name!r} turned into a symbolic link")
    except OSError:
        os.close(here)
        raise
    return here


def _step(directory: int, name: str, rights: int) -> int:
    try:
        return os.open(name, _LOOK, dir_fd=directory)
    except FileNotFoundError:
        os.mkdir(name, rights, dir_fd=directory)
    made = os.open(name, _LOOK, dir_fd=directory)
    if stat.S_ISDIR(os.fstat(made).st_mode):  # the mask for new files took rights away
        os.chmod(descriptor_path(made), rights)
    return made


def _verify(place: Path, opened: os.stat_result) -> None:
    """See that what stands at the place is what was opened, before anybody is shown it. Raises: OSError."""
    found = os.stat(place, follow_symlinks=False)
    if (found.st_dev, found.st_ino) != (opened.st_dev, opened.st_ino) or stat.S_ISLNK(found.st_mode):
        kernel.unmount(place)
        raise OSError("it changed while it was mounted")


def _make_place(place: Path, directory: bool) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if directory:
        if place.is_file():
            place.unlink()
        place.mkdir(exist_ok=True)
    else:
        if place.is_dir():
            place.rmdir()
        place.touch()
