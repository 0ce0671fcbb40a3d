"""Writes a payload so that a reader sees the old files or the new ones, never a mixture.

The files stand in a directory with a time in its name; `..data` is a symbolic link to it that is replaced in one step,
and each visible name is a link through `..data`, as containers expect it of Kubernetes.

Source: https://kubernetes.io/docs/concepts/configuration/configmap/#mounted-configmaps-are-updated-automatically
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from navarch.agent.volumes.ownership import own_by_group
from navarch.agent.volumes.payload import Content, Payload

DATA = "..data"
FRESH = "..data_tmp"


def write(target: Path, payload: Payload, stamp: str, fs_group: int | None = None) -> bool:
    """Make `target` hold exactly `payload`; returns whether anything had to change. stamp: part of a directory's name.

    Raises:
        ValueError: a path leaves the volume.
        OSError: the disk.
    """
    for path in payload:
        check_path(path)
    target.mkdir(parents=True, exist_ok=True)
    current = _current(target)
    if current is not None and _same(current, payload):
        return False
    directory = target / f"..{stamp}"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o755)
    directory.chmod(0o755)
    for path, content in payload.items():
        _write_file(directory, path, content)
    if fs_group is not None:
        own_by_group(directory, fs_group, readonly=True)
        os.chown(target, -1, fs_group)
    link = target / FRESH
    link.unlink(missing_ok=True)
    link.symlink_to(directory.name)
    link.replace(target / DATA)
    _link_names(target, payload)
    for entry in os.scandir(target):  # the old files, and what an agent left behind that was killed while it wrote
        if entry.name.startswith("..") and entry.name not in (DATA, directory.name):
            shutil.rmtree(entry.path, ignore_errors=True)
    return True


def check_path(path: str) -> None:
    """Raises: ValueError."""
    parts = path.split("/")
    if not path or path.startswith(("/", "..")) or ".." in parts or len(path) > 4096:
        raise ValueError(f"path {path!r} must stay in the volume and not start with '..'")


def _current(target: Path) -> Path | None:
    try:
        return target / os.readlink(target / DATA)
    except OSError:
        return None


def _same(current: Path, payload: Payload) -> bool:
    present = {str(path.relative_to(current)) for path in current.rglob("*") if not path.is_dir()}
    if present != {os.path.normpath(path) for path in payload}:
        return False
    for path, content in payload.items():
        file = current / path
        try:
            if file.read_bytes() != content.data:
                return False
        except OSError:
            return False
    return True


def _write_file(directory: Path, path: str, content: Content) -> None:
    file = directory / path
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    file.write_bytes(content.data)
    if content.uid is not None:
        os.chown(file, content.uid, -1)
    file.chmod(content.mode)


def _link_names(target: Path, payload: Payload) -> None:
    wanted = {path.split("/")[0] for path in payload}
    for entry in os.scandir(target):
        if not entry.name.startswith("..") and entry.name not in wanted and entry.is_symlink():
            os.unlink(entry.path)
    for name in wanted:
        with contextlib.suppress(FileExistsError):
            os.symlink(f"{DATA}/{name}", target / name)
