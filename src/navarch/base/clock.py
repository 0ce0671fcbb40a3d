"""Time, randomness and ids, as things that are handed in.

Every organ gets a `Clock` and an `Ids` from its maker, so that a test can turn the time by hand and a simulation can
be replayed. This module is the one place that asks the operating system for any of the three.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What time it is, and a way to wait.

    `now` may jump (the machine's clock is set); `monotonic` never goes back and is what durations are measured with.
    """

    def now(self) -> datetime:
        """The present, in UTC, with its time zone set."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed moment."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's own clock; `asyncio` does the waiting, so a loop with virtual time makes `sleep` virtual."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class LoopClock:
    """Time as the event loop counts it, with `epoch` for the moment when it was made: what simulation runs on.

    All three faces agree, and none moves but by the loop's own `time()`.
    """

    def __init__(self, epoch: datetime, loop: asyncio.AbstractEventLoop) -> None:
        self._epoch = epoch
        self._loop = loop
        self._begun_s = loop.time()

    def now(self) -> datetime:
        return self._epoch + timedelta(seconds=self._loop.time() - self._begun_s)

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Ids(Protocol):
    """Where random things come from."""

    def uid(self) -> str:
        """A new UUID in its text form."""
        ...

    def suffix(self, length: int = 5) -> str:
        """A random name ending of the alphabet that Kubernetes uses (no vowels, nothing that looks alike)."""
        ...

    def fraction(self) -> float:
        """A number in [0, 1), for jitter."""
        ...

    def secret(self, length_bytes: int = 32) -> bytes:
        """Random bytes; only `SystemIds` gives ones fit for keys."""
        ...


SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


class SystemIds:
    """Randomness of the operating system."""

    def __init__(self) -> None:
        self._random = random.SystemRandom()

    def uid(self) -> str:
        text = os.urandom(16).hex()
        variant = "89ab"[int(text[16], 16) & 3]
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"

    def suffix(self, length: int = 5) -> str:
        number, found = int.from_bytes(os.urandom(length + 8), "big"), ""
        for _ in range(length):  # eight bytes more than it takes leave no character likelier than another
            number, index = divmod(number, len(SUFFIX_ALPHABET))
            found += SUFFIX_ALPHABET[index]
        return found

    def fraction(self) -> float:
        return self._random.random()

    def secret(self, length_bytes: int = 32) -> bytes:
        return os.urandom(length_bytes)


class SeededIds:
    """The same sequence for the same seed: for simulation, never for keys."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def uid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def suffix(self, length: int = 5) -> str:
        return "".join(self._random.choices(SUFFIX_ALPHABET, k=length))

    def fraction(self) -> float:
        return self._random.random()

    def secret(self, length_bytes: int = 32) -> bytes:
        return self._random.randbytes(length_bytes)


SECONDS = len("2026-01-01T00:00:00")


def rfc3339(moment: datetime) -> str:
    """`metav1.Time` text: UTC, whole seconds."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return f"{moment.isoformat(timespec='seconds')[:SECONDS]}Z"


def rfc3339_micro(moment: datetime) -> str:
    """`metav1.MicroTime` text: UTC, microseconds."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_rfc3339(text: str) -> datetime:
    """The inverse of both.

    Raises:
        ValueError: `text` is no RFC 3339 time.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment.astimezone(UTC)
