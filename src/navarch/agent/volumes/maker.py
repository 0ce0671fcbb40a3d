"""The seam between a pod's volumes and what makes them: one maker for each type of source.

`storage` resolves what a volume is (claims included), asks the maker of its type, and shows containers what was made.
Makers know nothing of each other. What they make below `Wanted.path` is unmounted and deleted with the pod's directory;
whatever else they did (a driver's staging, a loop device) they take back in `remove`, which must work for an agent that
has been restarted since: what it needs is to be found on the disk or in the kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from navarch.agent.downward import Surroundings
from navarch.agent.environment import Lookup
from navarch.agent.runtime import RuntimeFailure
from navarch.kinds.pod import Pod
from navarch.kinds.podspec.volumes import TokenProjection, Volume
from navarch.objects.value import Document, dig

Tokens = Callable[[TokenProjection], str]
"""A token for the pod's service account, valid now."""


class MountFailure(RuntimeFailure):
    """A volume cannot be made yet; the pod waits, with a FailedMount event."""

    def __init__(self, volume: str, message: str) -> None:
        super().__init__(f'MountVolume.SetUp failed for volume "{volume}" : {message}', reason="FailedMount")


@dataclass(frozen=True, slots=True)
class Bound:
    """A claim and the PersistentVolume that it is bound to, as the API server has them."""

    claim: Document
    volume: Document

    @property
    def name(self) -> str:
        return str(dig(self.volume, "metadata", "name", default=""))


@dataclass(frozen=True, slots=True)
class Wanted:
    """One volume of one pod, to be made or brought up to date.

    source: the document of the type `kind`, of the pod's volume or of the PersistentVolume that it is bound to.
    path: where it is made, below the pod's directory; its parent may be missing.
    """

    pod: Pod
    volume: Volume
    kind: str
    source: Document
    path: Path
    lookup: Lookup
    around: Surroundings
    tokens: Tokens
    bound: Bound | None = None

    @property
    def block(self) -> bool:
        """Whether containers get a device, no directory."""
        return self.bound is not None and dig(self.bound.volume, "spec", "volumeMode") == "Block"

    @property
    def read_only(self) -> bool:
        """Whether the pod asks for nothing but reading, for all of its containers."""
        claim = self.volume.persistent_volume_claim
        return bool(self.source.get("readOnly")) or (claim is not None and claim.read_only)

    @property
    def fs_group(self) -> int | None:
        return self.pod.spec.security_context.fs_group

    def failure(self, message: str) -> MountFailure:
        return MountFailure(self.volume.name, message)


@dataclass(frozen=True, slots=True)
class Made:
    """path: what containers are shown, or the device where `device` is set.

    image: it is this image, by the name that the pod gives it, which the runtime mounts itself; `path` is nowhere then.
    """

    path: Path
    read_only: bool = False
    device: bool = False
    image: str = ""


class Maker(Protocol):
    async def make(self, wanted: Wanted) -> Made:
        """Idempotent; asked again when something that the volume is made from has changed.

        Raises: RuntimeFailure (`Wanted.failure`), ApiError, Retryable; OSError and ValueError become failures.
        """
        ...

    async def remove(self, uid: str) -> None:
        """Take back what was done for the pod and does not go with its directory, which is still there. Idempotent.

        Raises: RuntimeFailure, OSError.
        """
        ...


SOURCES = (
    ("emptyDir", "empty_dir"),
    ("hostPath", "host_path"),
    ("configMap", "config_map"),
    ("secret", "secret"),
    ("downwardAPI", "downward_api"),
    ("projected", "projected"),
    ("image", "image"),
    ("nfs", "nfs"),
    ("csi", "csi"),
)
"""The types that a pod's volume may be of: (name in the document, attribute of the view)."""
PERSISTENT = ("hostPath", "local", "nfs", "csi")
"""The types of PersistentVolumes that a maker may exist for."""


def source_of(volume: Volume, bound: Bound | None) -> tuple[str, Document]:
    """The type of the volume and the document of its source; ("", {}) for a type that no maker knows."""
    if bound is not None:
        spec = bound.volume.get("spec") or {}
        return next(((kind, spec[kind]) for kind in PERSISTENT if kind in spec), ("", {}))
    for kind, attribute in SOURCES:
        if (found := getattr(volume, attribute)) is not None:
            return kind, msgspec.to_builtins(found)
    return "", {}


def mount_options(wanted: Wanted) -> list[str]:
    """What the PersistentVolume asks to be mounted with."""
    return list(dig(wanted.bound.volume, "spec", "mountOptions", default=())) if wanted.bound is not None else []
