"""Where volumes of drivers lie on the node, and the notes beside them by which an agent that starts anew finds them.

Paths and notes are a kubelet's: drivers read the pod's uid in the one, and tools the others. A note is written before
the driver is asked for anything, and goes when the driver has taken everything back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from navarch.agent.config import Paths
from navarch.agent.volumes.csi.volume import CsiVolume, attachment_name
from navarch.base.log import Log
from navarch.base.pki import write_private

_log = Log("agent")

NOTE = "vol_data.json"
PLUGIN = "kubernetes.io~csi"


@dataclass(frozen=True, slots=True)
class Note:
    """uid: of the pod that the volume is published for; "" when the note is of its staging. attached: whether it had to
    be attached first."""

    driver: str
    handle: str
    name: str
    block: bool = False
    ephemeral: bool = False
    uid: str = ""
    attached: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return (self.driver, self.handle)


class Places:
    def __init__(self, paths: Paths, node: str) -> None:
        self._paths = paths
        self._node = node
        self._plugin = paths.root / "plugins" / "kubernetes.io" / "csi"
        self._devices = self._plugin / "volumeDevices"

    def staging(self, volume: CsiVolume | Note) -> Path:
        if volume.block:
            return self._devices / "staging" / volume.name
        return self._plugin / volume.driver / hashlib.sha256(volume.handle.encode()).hexdigest() / "globalmount"

    def target(self, volume: CsiVolume | Note, uid: str) -> Path:
        if volume.block:
            return self._devices / "publish" / volume.name / uid
        return self._of_pod(uid, block=False) / volume.name / "mount"

    def _of_pod(self, uid: str, *, block: bool) -> Path:
        return self._paths.pod(uid) / ("volumeDevices" if block else "volumes") / PLUGIN

    def _file(self, note: Note) -> Path:
        if note.uid:
            return self._of_pod(note.uid, block=note.block) / note.name / NOTE
        return (self._devices / note.name / "data" if note.block else self.staging(note).parent) / NOTE

    def write(self, note: Note) -> None:
        """Raises: OSError."""
        file = self._file(note)
        volume = CsiVolume(note.name, note.driver, note.handle)
        data = {
            "specVolID": note.name,
            "volumeHandle": note.handle,
            "driverName": note.driver,
            "nodeName": self._node,
            "attachmentID": attachment_name(volume, self._node),
            "volumeLifecycleMode": "Ephemeral" if note.ephemeral else "Persistent",
            "attached": "true" if note.attached else "false",
        }
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        write_private(file, json.dumps(data).encode())

    def forget(self, note: Note) -> None:
        """And the empty directories around it; what is left in one stays. Raises: OSError."""
        file = self._file(note)
        file.unlink(missing_ok=True)
        place = self.target(note, note.uid) if note.uid else self.staging(note)
        around = (place.parent, file.parent, file.parent.parent) if note.block else (file.parent,)
        for directory in (place, *around):
            if directory.is_dir() and not directory.is_mount() and not any(directory.iterdir()):
                directory.rmdir()

    def read_all(self) -> list[Note]:
        """All notes that are on the disk; one that cannot be read is told of and left alone. Raises: OSError."""
        return list(self._read_all())

    def _read_all(self) -> Iterator[Note]:
        for block, folder in ((False, "volumes"), (True, "volumeDevices")):
            for file in self._paths.pods.glob(f"*/{folder}/{PLUGIN}/*/{NOTE}"):
                yield from _read(file, block=block, uid=file.relative_to(self._paths.pods).parts[0])
        for file in self._plugin.glob(f"*/*/{NOTE}"):
            yield from _read(file, block=False)
        for file in self._devices.glob(f"*/data/{NOTE}"):
            yield from _read(file, block=True)


def _read(file: Path, *, block: bool, uid: str = "") -> Iterator[Note]:
    try:
        data = json.loads(file.read_text())
        yield Note(
            driver=data["driverName"],
            handle=data["volumeHandle"],
            name=data["specVolID"],
            block=block,
            ephemeral=data.get("volumeLifecycleMode") == "Ephemeral",
            uid=uid,
            attached=data.get("attached") == "true",
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("a note on a volume cannot be read", file=str(file), error=error)
