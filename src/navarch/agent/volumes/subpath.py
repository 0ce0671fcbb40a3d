"""Shows a part of a volume to a container without letting a symbolic link in it lead out.

The path is resolved first, then opened step by step without following links, and what was opened (not the path, which
might have changed meanwhile) is bound to a place of the agent's own that the runtime mounts.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from navarch.agent.runtime import RuntimeFailure
from navarch.agent.volumes import kernel


class BadSubPath(RuntimeFailure):
    def __init__(self, container: str, message: str) -> None:
        super().__init__(
            f'failed to prepare subPath for volumeMount of container "{container}": {message}',
            reason="CreateContainerConfigError",
        )


def check(container: str, path: str) -> None:
    """Raises: BadSubPath, for an absolute path or one with `..`."""
    if path.startswith("/") or ".." in re.split(r"[/\\]", path):
        raise BadSubPath(container, f"{path!r} must be relative and must not contain '..'")


def prepare(container: str, volume: Path, path: str, place: Path) -> Path:
    """Bind `path` below `volume` to `place`; a missing directory is made. Returns `place`. Idempotent.

    Raises: BadSubPath.
    """
    check(container, path)
    root = os.path.realpath(volume)
    wanted = os.path.realpath(os.path.join(root, path))
    if wanted != root and not wanted.startswith(root.rstrip("/") + "/"):
        raise BadSubPath(container, f"{path!r} leads out of the volume")
    try:
        descriptor = _open_below(root, os.path.relpath(wanted, root))
    except OSError as error:
        raise BadSubPath(container, f"{path!r}: {error.strerror}") from error
    try:
        kernel.unmount(place)
        is_directory = os.path.isdir(f"/proc/self/fd/{descriptor}")
        _make_place(place, is_directory)
        kernel.bind(f"/proc/self/fd/{descriptor}", place)
    except OSError as error:
        raise BadSubPath(container, f"{path!r}: {error.strerror or error}") from error
    finally:
        os.close(descriptor)
    return place


def _open_below(root: str, relative: str) -> int:
    """A descriptor of the path, every step opened without following a link."""
    here = os.open(root, os.O_PATH | os.O_DIRECTORY)
    try:
        for name in [part for part in relative.split("/") if part not in ("", ".")]:
            try:
                below = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=here)
            except FileNotFoundError:
                os.mkdir(name, 0o750, dir_fd=here)
                below = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = below
    except OSError:
        os.close(here)
        raise
    return here


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
