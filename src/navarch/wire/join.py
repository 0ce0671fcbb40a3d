"""Two taken-over connections made into one: what comes from either goes to the other."""

from __future__ import annotations

import asyncio

from navarch.wire.message import Tunnel


async def join(near: Tunnel, far: Tunnel) -> None:
    """Pass bytes on in both directions until one of them ends. Neither is closed."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_pump(near, far)), group.create_task(_pump(far, near))]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()


async def _pump(source: Tunnel, sink: Tunnel) -> None:
    try:
        while data := await source.read():
            await sink.write(data)
    except ConnectionError:
        return  # either end may go at any time: that ends the stream
