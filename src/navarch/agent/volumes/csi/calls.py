"""The calls of a driver's node service, with what each needs to be told.

Source: https://github.com/container-storage-interface/spec/blob/master/spec.md#node-service-rpc
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from navarch.agent.volumes.csi.context import Contexts
from navarch.agent.volumes.csi.driver import Driver
from navarch.agent.volumes.csi.order import Call, Step
from navarch.agent.volumes.csi.records import Note, Places
from navarch.agent.volumes.csi.volume import CsiVolume, capability
from navarch.agent.volumes.maker import Wanted
from navarch.kinds.csi import CSIDriverSpec
from navarch.wire.csi import NodeCan


@dataclass(frozen=True, slots=True)
class Asked:
    """A volume of a pod and all that is known of it and of its driver.

    rules: None where the driver says nothing of itself. can: as `wire.csi.NodeCan`. attachment: what its attacher told.
    """

    wanted: Wanted
    volume: CsiVolume
    rules: CSIDriverSpec | None
    driver: Driver
    can: frozenset[int]
    attachment: Mapping[str, str]
    attached: bool

    @property
    def uid(self) -> str:
        return self.wanted.pod.metadata.uid

    def note(self, step: Step) -> Note:
        volume, staging = self.volume, not step.uid
        attached = self.attached and staging
        return Note(volume.driver, volume.handle, volume.name, volume.block, volume.ephemeral, step.uid, attached)


class Calls:
    def __init__(self, contexts: Contexts, places: Places) -> None:
        self._contexts = contexts
        self._places = places

    async def request(self, call: Call, asked: Asked) -> Mapping[str, Any] | None:
        """What the driver is to be told; None when it has no such call, and nothing is to be done.

        Raises: RuntimeFailure, ApiError, Retryable.
        """
        if call is Call.STAGE:
            return await self._stage(asked) if NodeCan.STAGE in asked.can else None
        return await self._publish(asked)

    async def _stage(self, asked: Asked) -> Mapping[str, Any]:
        volume = asked.volume
        return {
            "volume_id": volume.handle,
            "publish_context": asked.attachment,
            "staging_target_path": str(self._places.staging(volume)),
            "volume_capability": capability(volume, asked.can, asked.wanted.fs_group),
            "secrets": await self._contexts.secrets(volume, "stage"),
            "volume_context": volume.attributes,
        }

    async def _publish(self, asked: Asked) -> Mapping[str, Any]:
        volume = asked.volume
        staged = not volume.ephemeral and NodeCan.STAGE in asked.can
        attributes, secret = await self._contexts.of_pod(asked.wanted.pod, volume, asked.rules)
        return {
            "volume_id": volume.handle,
            "publish_context": asked.attachment,
            "staging_target_path": str(self._places.staging(volume)) if staged else "",
            "target_path": str(self._places.target(volume, asked.uid)),
            "volume_capability": capability(volume, asked.can, asked.wanted.fs_group),
            "readonly": volume.read_only,
            "secrets": {**await self._contexts.secrets(volume, "publish"), **secret},
            "volume_context": attributes,
        }

    async def make(self, call: Call, asked: Asked, request: Mapping[str, Any]) -> None:
        """The driver makes what it is to show; of the target only what is around it. Raises: CallFailure, OSError."""
        staging = self._places.staging(asked.volume)
        place = staging if call is Call.STAGE else self._places.target(asked.volume, asked.uid).parent
        await asyncio.to_thread(_make_directory, place)
        await asked.driver.call(call.value, **request)

    async def take_back(self, call: Call, driver: Driver, note: Note) -> None:
        """Raises: CallFailure."""
        if call is Call.UNPUBLISH:
            target = str(self._places.target(note, note.uid))
            await driver.call(call.value, volume_id=note.handle, target_path=target)
        elif NodeCan.STAGE in await driver.capabilities():
            staging = str(self._places.staging(note))
            await driver.call(call.value, volume_id=note.handle, staging_target_path=staging)


def _make_directory(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True, mode=0o750)
