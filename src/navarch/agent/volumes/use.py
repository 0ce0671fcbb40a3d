"""What is used of a pod's volume, in the form in which it is told: in the summary, and to Prometheus."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from navarch.base.clock import rfc3339
from navarch.objects.value import Document


@dataclass(frozen=True, slots=True)
class VolumeUse:
    """uid: of the pod. name: the pod's for the volume. claim: (namespace, name); None for a volume without a claim.

    abnormal: whether something is wrong with it; None where nobody says.
    """

    uid: str
    name: str
    claim: tuple[str, str] | None = None
    free_bytes: int = 0
    total_bytes: int = 0
    used_bytes: int = 0
    inodes_free: int = 0
    inodes: int = 0
    inodes_used: int = 0
    abnormal: bool | None = None


def on_disk(places: Iterable[tuple[str, str, tuple[str, str], Path]]) -> list[VolumeUse]:
    """places: (pod uid, volume, claim, directory). What the whole file system has, as a kubelet says it of such a
    volume; one that is not there any more is left out. Blocks for as long as the disk does."""
    found = []
    for uid, name, claim, path in places:
        try:
            files = os.statvfs(path)
        except OSError:
            continue
        unit = files.f_frsize
        found.append(
            VolumeUse(
                uid,
                name,
                claim,
                free_bytes=files.f_bavail * unit,
                total_bytes=files.f_blocks * unit,
                used_bytes=(files.f_blocks - files.f_bfree) * unit,
                inodes_free=files.f_ffree,
                inodes=files.f_files,
                inodes_used=files.f_files - files.f_ffree,
            )
        )
    return found


def document(use: VolumeUse, at: datetime) -> Document:
    """As one of a pod's in `/stats/summary`."""
    found: Document = {
        "time": rfc3339(at),
        "availableBytes": use.free_bytes,
        "capacityBytes": use.total_bytes,
        "usedBytes": use.used_bytes,
        "inodesFree": use.inodes_free,
        "inodes": use.inodes,
        "inodesUsed": use.inodes_used,
        "name": use.name,
    }
    if use.claim is not None:
        found["pvcRef"] = {"name": use.claim[1], "namespace": use.claim[0]}
    if use.abnormal is not None:
        found["volumeHealthStats"] = {"abnormal": use.abnormal}
    return found
