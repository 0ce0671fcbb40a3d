"""Volumes that have grown while pods use them: the driver grows what lies on them, and the claim says so.

That the volume itself grows is a controller's part and done before: the PersistentVolume says how large it is, and the
claim's status how much of that its user has.

Source: https://kubernetes.io/docs/concepts/storage/persistent-volumes/#resizing-an-in-use-persistentvolumeclaim
"""

from __future__ import annotations

from typing import Any

from navarch.agent.volumes.csi.calls import Asked
from navarch.agent.volumes.csi.context import Contexts
from navarch.agent.volumes.csi.driver import CallFailure
from navarch.agent.volumes.csi.records import Places
from navarch.agent.volumes.csi.volume import capability
from navarch.base.errors import ApiError, Retryable
from navarch.base.log import Log
from navarch.client.client import Client
from navarch.client.events import Recorder
from navarch.kinds import PERSISTENTVOLUMECLAIM
from navarch.objects import quantity
from navarch.objects.value import Document, dig
from navarch.wire.csi import API, NodeCan

_log = Log("agent")

PASSING = ("FileSystemResizePending", "Resizing", "ControllerResizeError", "NodeResizeError")
"""Conditions of a claim that end when it has grown."""


def lacks(claim: Document, size: str) -> bool:
    """Whether the claim's user has less than the volume holds."""
    has = dig(claim, "status", "capacity", "storage")
    return has is not None and quantity.milli(has) < quantity.milli(size)


def grown(claim: Document, size: str) -> Document:
    """What changes in the status of a claim that has grown to that size, as a merge patch."""
    status = claim.get("status") or {}
    patch: dict[str, Any] = {"capacity": {"storage": size}}
    conditions = [one for one in status.get("conditions") or () if one.get("type") not in PASSING]
    if len(conditions) != len(status.get("conditions") or ()):
        patch["conditions"] = conditions or None
    if dig(status, "allocatedResourceStatuses", "storage") is not None:
        patch["allocatedResourceStatuses"] = {"storage": None}
    return {"status": patch}


class Expander:
    """recorder: tells the claim's user. node: its name, for that."""

    def __init__(self, client: Client, contexts: Contexts, recorder: Recorder, node: str) -> None:
        self._client = client
        self._contexts = contexts
        self._recorder = recorder
        self._node = node

    async def grow(self, asked: Asked, places: Places) -> bool:
        """Grow what the pod is shown where its claim lacks some of it; whether the volume may grow at all.

        A failure is told to the claim's user and does not keep the pod from the volume.
        """
        bound = asked.wanted.bound
        if bound is None or asked.volume.read_only or NodeCan.EXPAND not in asked.can:
            return False
        if lacks(bound.claim, asked.volume.size):
            try:
                await self._grow(asked, places, bound.claim)
            except (ApiError, Retryable) as error:
                _log.warning("volume not grown, will be tried again", volume=asked.volume.name, error=error)
        return True

    async def _grow(self, asked: Asked, places: Places, claim: Document) -> None:
        """Raises: CallFailure, RuntimeFailure, ApiError, Retryable."""
        volume, meta = asked.volume, claim["metadata"]
        newest = await self._client.get(PERSISTENTVOLUMECLAIM, meta["namespace"], meta["name"])
        if newest.uid != meta["uid"] or not lacks(newest.document(), volume.size):
            return
        try:
            await asked.driver.call(
                "NodeExpandVolume",
                volume_id=volume.handle,
                volume_path=str(places.target(volume, asked.uid)),
                staging_target_path=str(places.staging(volume)) if NodeCan.STAGE in asked.can else "",
                capacity_range=API.make("CapacityRange", required_bytes=volume.size_bytes),
                volume_capability=capability(volume, asked.can),
                secrets=await self._contexts.secrets(volume, "expand"),
            )
        except CallFailure as error:
            text = f'MountVolume.NodeExpandVolume failed for volume "{volume.name}" : {error}'
            self._recorder.event(newest, "Warning", "VolumeResizeFailed", text)
            raise
        patch = grown(newest.document(), volume.size)
        await self._client.patch(
            PERSISTENTVOLUMECLAIM, meta["namespace"], meta["name"], patch, type="merge", subresource="status"
        )
        text = f'MountVolume.NodeExpandVolume succeeded for volume "{volume.name}" {self._node}'
        self._recorder.event(newest, "Normal", "FileSystemResizeSuccessful", text)
