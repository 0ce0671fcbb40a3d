"""When a process has caught up with the one before it: for controllers whose decisions may not contradict what was
decided already, though a cache that was just filled may show a past in which it was not.

What such a process decides itself it has to remember until the cache shows it.
"""

from __future__ import annotations

from navarch.client.client import Client
from navarch.client.informer import Informer
from navarch.kinds.kind import Kind

SOON_S = 0.1
"""When to look again."""


class Beginning:
    """Over once the cache shows every object of the kind that the API had when it was asked first."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._until: int | None = None
        self._over = False

    def over(self, informer: Informer) -> bool:
        if not self._over and self._until is not None:
            self._over = informer.has_reached(self._until)
        return self._over

    async def ask(self, client: Client) -> None:
        """Asks once. Raises: ApiError, Retryable."""
        if self._until is None:
            listed = await client.list(self._kind)
            self._until = max((found.revision for found in listed.items), default=0)
