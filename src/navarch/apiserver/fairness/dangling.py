"""The condition `Dangling` of FlowSchemas: whether the priority level that they name is missing.

Source: https://kubernetes.io/docs/reference/kubernetes-api/extend-resources/flow-schema-v1/#FlowSchemaStatus
"""

from __future__ import annotations

import asyncio
from collections.abc import Container
from datetime import datetime

from navarch.apiserver.call import Reads
from navarch.base.clock import Clock, rfc3339
from navarch.base.errors import ApiError, Expired, Retryable
from navarch.base.log import Log
from navarch.client.client import Client
from navarch.kinds import FLOWSCHEMA, PRIORITYLEVELCONFIGURATION
from navarch.kinds.kind import Kind
from navarch.objects.value import Document, dig

TYPE = "Dangling"
RETRY_S = 10.0

log = Log("apiserver.fairness")


def plan(schema: Document, levels: Container[str], now: datetime) -> Document | None:
    """The status that the schema should have; None when it has it."""
    level = dig(schema, "spec", "priorityLevelConfiguration", "name", default="")
    conditions = dig(schema, "status", "conditions", default=()) or ()
    missing = level not in levels
    said = f'This FlowSchema references the PriorityLevelConfiguration object named "{level}"'
    wanted = {
        "type": TYPE,
        "status": "True" if missing else "False",
        "reason": "NotFound" if missing else "Found",
        "message": f"{said} but there is no such object" if missing else f"{said} and it exists",
    }
    present: Document = next((one for one in conditions if one.get("type") == TYPE), {})
    if all(present.get(key) == value for key, value in wanted.items()):
        return None
    same = present.get("status") == wanted["status"] and "lastTransitionTime" in present
    wanted["lastTransitionTime"] = present["lastTransitionTime"] if same else rfc3339(now)
    others = [one for one in conditions if one.get("type") != TYPE]
    return {**(schema.get("status") or {}), "conditions": [*others, wanted]}


async def keep(client: Client, reads: Reads, clock: Clock) -> None:
    """Until cancelled; works when one of the two kinds changes, and waits otherwise."""
    news = asyncio.Event()
    news.set()
    async with asyncio.TaskGroup() as group:
        for kind in (FLOWSCHEMA, PRIORITYLEVELCONFIGURATION):
            group.create_task(_listen(client, clock, kind, news))
        while True:
            await news.wait()
            news.clear()
            try:
                await _settle(client, reads, clock)
            except (ApiError, Retryable) as error:
                log.info("not written, will be tried again", error=error)
                await clock.sleep(RETRY_S)
                news.set()


async def _settle(client: Client, reads: Reads, clock: Clock) -> None:
    levels = {found.name for found in reads.list(PRIORITYLEVELCONFIGURATION)}
    for found in reads.list(FLOWSCHEMA):
        schema = found.document()
        status = plan(schema, levels, clock.now())
        if status is not None:
            await client.update(FLOWSCHEMA, {**schema, "status": status}, subresource="status")


async def _listen(client: Client, clock: Clock, kind: Kind, news: asyncio.Event) -> None:
    while True:
        try:
            listed = await client.list(kind)
            news.set()
            async for batch in client.watch(kind, since=listed.revision):
                if any(event.object is not None for event in batch):
                    news.set()
        except Expired:
            continue
        except (ApiError, Retryable):
            await clock.sleep(RETRY_S)
