"""What is used of volumes of drivers, as the drivers say: asked when somebody wants to know, and not before.

Source: https://kubernetes.io/docs/reference/instrumentation/node-metrics/#summary-api-source
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from navarch.agent.runtime import RuntimeFailure
from navarch.agent.volumes.csi.driver import Driver
from navarch.agent.volumes.use import VolumeUse
from navarch.wire.csi import BYTES, INODES, NodeCan

ANSWER_S = 5.0
"""A driver that does not answer by then says nothing."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A volume that a pod has. name: the pod's for it. claim: (namespace, name); None for one without a claim."""

    uid: str
    name: str
    claim: tuple[str, str] | None
    handle: str
    path: str
    staging: str


async def measured(pairs: Iterable[tuple[Driver, Shown]]) -> list[VolumeUse]:
    """Of the volumes whose driver answers."""
    found = await asyncio.gather(*(_measured(driver, shown) for driver, shown in pairs))
    return [use for use in found if use is not None]


async def _measured(driver: Driver, shown: Shown) -> VolumeUse | None:
    try:
        async with asyncio.timeout(ANSWER_S):
            can = await driver.capabilities()
            if NodeCan.GET_STATS not in can:
                return None
            staging = shown.staging if NodeCan.STAGE in can else ""
            about = {"volume_id": shown.handle, "volume_path": shown.path, "staging_target_path": staging}
            return use_of(shown, await driver.call("NodeGetVolumeStats", **about), tells=NodeCan.TELL_CONDITION in can)
    except (RuntimeFailure, TimeoutError):  # who measures is told of the others
        return None


def use_of(shown: Shown, answer: Any, *, tells: bool) -> VolumeUse | None:
    """tells: whether the driver says how its volumes are. None for an answer that says nothing of what is used."""
    usages = {usage.unit: usage for usage in answer.usage}
    space, files = usages.get(BYTES), usages.get(INODES)
    if space is None and files is None:
        return None
    return VolumeUse(
        uid=shown.uid,
        name=shown.name,
        claim=shown.claim,
        free_bytes=space.available if space is not None else 0,
        total_bytes=space.total if space is not None else 0,
        used_bytes=space.used if space is not None else 0,
        inodes_free=files.available if files is not None else 0,
        inodes=files.total if files is not None else 0,
        inodes_used=files.used if files is not None else 0,
        abnormal=answer.volume_condition.abnormal if tells else None,
    )
