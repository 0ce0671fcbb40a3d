"""The seam between what paths there should be and what makes packets take them.

`netlink` tells the kernel; `fake` keeps them. Both pass one conformance suite.
"""

from __future__ import annotations

from typing import Protocol

from navarch.net.paths import Seen, Step


class Kernel(Protocol):
    async def observe(self) -> Seen:
        """What there is now. Only what is ours is told of routes: others' are neither seen nor touched.

        Raises: Retryable.
        """
        ...

    async def apply(self, step: Step) -> None:
        """Idempotent: what is there already is added, and what is gone is removed, without complaint.

        Raises: Retryable, with what is not possible and why.
        """
        ...

    async def disturbed(self) -> None:
        """Waits until something changed that may be about links or paths, by whomever."""
        ...
