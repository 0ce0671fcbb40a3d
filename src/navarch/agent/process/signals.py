"""Signals to processes, and waiting for their end, by handles of the kernel's that never mean another process."""

from __future__ import annotations

import asyncio
import os
import select
import signal

from navarch.agent.process.record import lives


def send(pid: int, birth: int, number: int) -> bool:
    """Signal the very process that was meant; False when it has ended."""
    try:
        handle = os.pidfd_open(pid)
    except (ProcessLookupError, OSError):
        return False
    try:
        if not lives(pid, birth):
            return False
        signal.pidfd_send_signal(handle, number)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)


async def ended(pid: int, birth: int, within_s: float) -> bool:
    """Wait for a process to end, whoever's child it is; False when it still runs after so long."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:  # it has ended
        return True
    try:
        if not lives(pid, birth):
            return True
        gone = asyncio.Event()
        asyncio.get_running_loop().add_reader(handle, gone.set)
        try:
            async with asyncio.timeout(within_s):
                await gone.wait()
        except TimeoutError:
            return bool(select.select([handle], [], [], 0)[0])
        finally:
            asyncio.get_running_loop().remove_reader(handle)
        return True
    finally:
        os.close(handle)
