"""The seam between what packets should meet and what makes them meet it.

`nft` tells the kernel; `fake` keeps the rules and traces packets through them. Both pass one conformance suite.
"""

from __future__ import annotations

from typing import Protocol

from navarch.proxy.rules import Rules


class Dataplane(Protocol):
    def current(self) -> Rules | None:
        """What is in force; None when that is not known (nothing was set, or somebody else changed it)."""
        ...

    async def replace(self, old: Rules | None, new: Rules) -> None:
        """Puts `new` in force in one transaction: no packet meets a mixture, and live connections stay where they are.

        old: what `current` gave; where it does not hold any more (or is None) everything is written afresh.

        Raises: Retryable, with what was before still in force.
        """
        ...

    async def disturbed(self) -> None:
        """Waits until somebody else changed what this data plane set; `current` is None from then on."""
        ...

    async def remove(self) -> None:
        """Leaves nothing behind. Harmless when there is nothing."""
        ...
