"""Running another program to its end: what it is given, what it says, and how long it may take.

What its exit code means, and in which words its failure is told, is the caller's matter.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    output: bytes
    complaints: bytes


async def run(
    *words: str, timeout_s: float, given: bytes | None = None, environment: Mapping[str, str] | None = None
) -> Ended:
    """given: its standard input; None: it has none. environment: beside what this process has.

    Raises: OSError, when it cannot be run; TimeoutError, after killing it.
    """
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.DEVNULL if given is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=None if environment is None else {**os.environ, **environment},
    )
    try:
        async with asyncio.timeout(timeout_s):
            output, complaints = await process.communicate(given)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Ended(process.returncode or 0, output, complaints)
