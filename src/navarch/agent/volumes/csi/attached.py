"""Volumes that must be attached to the node first: waiting for that, and telling that the node uses them.

Who attaches is a controller and the driver's attacher; they take nothing away that a node says it uses. So the node
says so before it begins to use a volume, and takes it back once it has let go.

Source: https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/volume-attachment-v1/
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from navarch.agent.runtime import RuntimeFailure
from navarch.agent.volumes.csi.volume import CsiVolume, attachment_name
from navarch.base.clock import Clock
from navarch.base.errors import NotFound
from navarch.client.client import Client
from navarch.kinds import NODE, VOLUMEATTACHMENT
from navarch.objects.value import Document, dig

FIRST_LOOK_S, LONGEST_LOOK_S, GROWTH = 0.25, 4.0, 1.3
WAIT_S = 120.0


class WaitFailure(RuntimeFailure):
    """The volume is not attached (yet)."""

    def __init__(self, volume: CsiVolume, message: str) -> None:
        text = f'MountVolume.WaitForAttach failed for volume "{volume.name}" : {message}'
        super().__init__(text, reason="FailedMount")


class Attachments:
    def __init__(self, client: Client, clock: Clock, node: str) -> None:
        self._client = client
        self._clock = clock
        self._node = node
        self._told: tuple[str, ...] | None = None
        self._one_at_a_time = asyncio.Lock()

    @property
    def has_told(self) -> bool:
        """Whether the node ever said anything, or is known to have."""
        return self._told is not None

    async def tell(self, titles: Callable[[], Iterable[str]]) -> None:
        """Say that the node uses these volumes. titles: asked when it is this call's turn to say.

        Raises: ApiError, Retryable.
        """
        async with self._one_at_a_time:
            wanted = tuple(sorted(set(titles())))
            if self._told is None:
                node = (await self._client.get(NODE, "", self._node)).document()
                self._told = tuple(dig(node, "status", "volumesInUse", default=()))
            if wanted == self._told:
                return
            patch: Document = {"status": {"volumesInUse": list(wanted) or None}}
            await self._client.patch(NODE, "", self._node, patch, type="merge", subresource="status")
            self._told = wanted

    async def wait(self, volume: CsiVolume, given_up: Callable[[], bool]) -> Mapping[str, str]:
        """What the attacher tells the driver's node service. given_up: whether nobody waits any more.

        Raises: WaitFailure, ApiError, Retryable.
        """
        name, pause_s = attachment_name(volume, self._node), FIRST_LOOK_S
        until = self._clock.monotonic() + WAIT_S
        while True:
            found = await self._find(name)
            if found is not None and (metadata := attached(volume, found)) is not None:
                return metadata
            if given_up() or self._clock.monotonic() >= until:
                text = "timed out waiting for external-attacher of {} CSI driver to attach volume {}"
                raise WaitFailure(volume, text.format(volume.driver, volume.handle))
            await self._clock.sleep(pause_s)
            pause_s = min(LONGEST_LOOK_S, pause_s * GROWTH)

    async def _find(self, name: str) -> Document | None:
        try:
            return (await self._client.get(VOLUMEATTACHMENT, "", name)).document()
        except NotFound:
            return None


def attached(volume: CsiVolume, found: Document) -> Mapping[str, str] | None:
    """The attachment's metadata; None while it is not attached. Raises: WaitFailure, when that will not come about."""
    status = found.get("status") or {}
    if "deletionTimestamp" in found["metadata"]:
        raise WaitFailure(volume, "volume attachment is being deleted")
    if status.get("attached"):
        return dict(status.get("attachmentMetadata") or {})
    if error := dig(status, "attachError", "message"):
        raise WaitFailure(volume, error)
    return None
