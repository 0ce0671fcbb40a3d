"""What a container is shown of its pod's volumes: which paths, how much of them, and what it may do there.

Source: https://kubernetes.io/docs/concepts/storage/volumes/#read-only-mounts
Source: https://kubernetes.io/docs/concepts/storage/volumes/#mount-propagation
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from navarch.agent.config import Paths
from navarch.agent.environment import expand
from navarch.agent.runtime import Container as Instance
from navarch.agent.runtime import DeviceMapping, Mount, RuntimeFailure
from navarch.agent.volumes import kernel, subpath
from navarch.agent.volumes.maker import Made
from navarch.kinds.podspec.container import Container, VolumeMount
from navarch.objects.value import Document

RECURSIVE = "navarch.dev/recursive-read-only"
"""Annotation of a container: the mount paths that are read-only down to the last mount below them."""
_PROBLEM = "CreateContainerConfigError"


def mounts(
    container: Container,
    volumes: Mapping[str, Made],
    paths: Paths,
    uid: str,
    environment: Mapping[str, str],
    recursive: bool,
) -> list[Mount]:
    """volumes: the pod's, by name. recursive: whether the runtime can make mounts read-only with all below them.

    Raises: RuntimeFailure, OSError.
    """
    found = []
    for number, wanted in enumerate(container.volume_mounts):
        made = _named(volumes, wanted.name, container, "mount")
        if made.device:
            text = f'volume "{wanted.name}" has volumeMode Block, but is specified in volumeMounts'
            raise RuntimeFailure(text, reason=_PROBLEM)
        if made.image:
            part = part_of(wanted, environment)
            found.append(Mount("", wanted.mount_path, readonly=True, image=made.image, part=part))
            continue
        deep = recursion(wanted, recursive)
        source = made.path
        if part := part_of(wanted, environment):
            place = paths.subpath(uid, container.name, number)
            source = subpath.prepare(container.name, wanted.name, source, part, place)
        if wanted.mount_propagation != "None" and source.is_relative_to(paths.pods):
            kernel.share(source)
        readonly = wanted.read_only or made.read_only
        found.append(Mount(str(source), wanted.mount_path, readonly, wanted.mount_propagation, deep))
    return found


def devices(container: Container, volumes: Mapping[str, Made]) -> tuple[DeviceMapping, ...]:
    """Raises: RuntimeFailure."""
    found = []
    for wanted in container.volume_devices:
        made = _named(volumes, wanted.name, container, "map")
        if not made.device:
            text = f'volume "{wanted.name}" has volumeMode Filesystem, but is specified in volumeDevices'
            raise RuntimeFailure(text, reason=_PROBLEM)
        host = str(Path(made.path).resolve())
        found.append(DeviceMapping(host, wanted.device_path, "r" if made.read_only else "mrw"))
    return tuple(found)


def _named(volumes: Mapping[str, Made], name: str, container: Container, verb: str) -> Made:
    made = volumes.get(name)
    if made is None:
        text = f'cannot find volume "{name}" to {verb} into container "{container.name}"'
        raise RuntimeFailure(text, reason=_PROBLEM)
    return made


def part_of(wanted: VolumeMount, environment: Mapping[str, str]) -> str:
    """The part of the volume that is mounted; "" for all. Raises: RuntimeFailure, when a variable has no value."""
    if not wanted.sub_path_expr:
        return wanted.sub_path
    missing: set[str] = set()

    def value_of(name: str) -> str:
        value = environment.get(name, "")
        if not value:
            missing.add(name)
        return value

    part = expand(wanted.sub_path_expr, value_of)
    if missing:
        raise RuntimeFailure(f"missing value for {', '.join(sorted(missing))}", reason=_PROBLEM)
    return part


def recursion(wanted: VolumeMount, supported: bool) -> bool:
    """Whether everything mounted below is to be read-only too. Raises: RuntimeFailure."""
    mode = wanted.recursive_read_only
    if mode in ("", "Disabled"):
        return False
    problem = ""
    if not wanted.read_only:
        problem = "it is not read-only"
    elif wanted.mount_propagation != "None":
        problem = f'it is not compatible with propagation "{wanted.mount_propagation}"'
    elif mode == "Enabled" and not supported:
        problem = "it is not supported by the runtime"
    if problem:
        text = f'volume "{wanted.name}" requested recursive read-only mode, but {problem}'
        raise RuntimeFailure(f"failed to resolve recursive read-only mode: {text}", reason=_PROBLEM)
    return supported


def asks_for_recursion(container: Container) -> bool:
    return any(one.recursive_read_only not in ("", "Disabled") for one in container.volume_mounts)


def statuses(container: Container, instance: Instance) -> list[Document]:
    """What the container's status says of its mounts."""
    deep = instance.annotations.get(RECURSIVE, "").split(",")
    found: list[Document] = []
    for one in container.volume_mounts:
        entry: Document = {"name": one.name, "mountPath": one.mount_path}
        if one.read_only:
            entry["readOnly"] = True
            entry["recursiveReadOnly"] = "Enabled" if one.mount_path in deep else "Disabled"
        found.append(entry)
    return found
