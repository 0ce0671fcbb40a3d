"""Two taken-over connections made into one: what comes from either goes to the other.

A peer that hangs up is seen by reading. While the other side takes nothing more, nobody reads: then the kernel is asked
now and then, or else whoever left a full pipe behind would hold it, and what is at its far end, for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from navarch.wire.message import Tunnel

LOOK_S = 5.0
"""How often it is looked whether anything moves; twice nothing, from a peer that has left, is the end."""


async def join(near: Tunnel, far: Tunnel) -> None:
    """Pass bytes on in both directions until one of them ends. Neither is closed.

    A side that takes nothing more may still have something to say: it is heard to its end.
    """
    up, down = Flow(near), Flow(far)
    async with asyncio.TaskGroup() as group:
        sides = (_pump(near, far, up), _pump(far, near, down), up.until_stuck(), down.until_stuck())
        tasks = [group.create_task(side) for side in sides]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()


class Flow:
    """What is handed on from one peer. poke: says something to it, which a peer that has left answers with a reset:
    one behind a full pipe cannot say itself that it has."""

    def __init__(self, peer: Tunnel, poke: Callable[[], Awaitable[None]] | None = None) -> None:
        self._peer = peer
        self._poke = poke
        self._pieces = 0
        self._writing = False

    async def hand_on(self, write: Awaitable[None]) -> None:
        """Raises: what writing does."""
        self._pieces += 1
        self._writing = True
        try:
            await write
        finally:
            self._writing = False

    async def until_stuck(self, look_s: float = LOOK_S) -> None:
        """Returns once the peer has hung up and nothing of it moves any more. Raises: ConnectionResetError."""
        seen, gone = -1, False
        while True:
            await asyncio.sleep(look_s)
            still = seen == self._pieces
            if still and gone:
                return
            if still and self._writing and self._poke is not None:
                await self._poke()
            seen, gone = self._pieces, self._peer.gone()


async def _pump(source: Tunnel, sink: Tunnel, flow: Flow) -> None:
    takes = True
    try:
        while data := await source.read():
            if takes:
                try:
                    await flow.hand_on(sink.write(data))
                except ConnectionError:
                    takes = False
    except ConnectionError:
        return  # the source may go at any time: that ends the stream
