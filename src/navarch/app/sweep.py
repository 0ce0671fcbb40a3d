"""What a containerd that was killed in the middle of its work leaves outside of its own state: networks and shims.

It looks at what there is and at the sandboxes that the runtime has. What belongs to none of them, and still does not
after longer than making one can take, belongs to nobody and is taken away. When the first look came while no sandbox
was being made, it cannot become anybody's either, and goes sooner.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from typing import Protocol

from navarch.app import containerd
from navarch.base.clock import Clock

PATIENCE_S = 150.0
"""Longer than the runtime is given to make a sandbox."""
QUIET_S = 15.0
"""Longer than a runtime needs to undo a making whose agent died."""


class Place(Protocol):
    """Where something of a sandbox may stay. The paths name it and need not be files."""

    def unowned(self, sandboxes: Set[str]) -> Iterator[Path]: ...

    def take(self, path: Path) -> bool:
        """False where it turned out to be somebody's. Raises: OSError."""
        ...


class Sweeper:
    """Call it now and then with the sandboxes that the runtime has; returns the names of what was taken away."""

    def __init__(
        self, clock: Clock, places: Sequence[Place], patience_s: float = PATIENCE_S, quiet_s: float = QUIET_S
    ) -> None:
        self._clock = clock
        self._places = places
        self._patience_s = patience_s
        self._quiet_s = quiet_s
        self._due: dict[Path, float] = {}
        """From when on each that belongs to nobody may go, by the clock that never leaps."""

    def __call__(self, sandboxes: Set[str], quiet: bool) -> list[str]:
        """quiet: no sandbox is being made. Raises: OSError."""
        now, before, taken = self._clock.monotonic(), self._due, []
        self._due = {}
        for place in self._places:
            for path in list(place.unowned(sandboxes)):
                if path in before and before[path] <= now and place.take(path):
                    taken.append(path.name)
                    continue
                latest = now + (self._quiet_s if quiet else self._patience_s)
                self._due[path] = min(before.get(path, latest), latest)
        return taken


class Shims:
    """Processes that were to hold a sandbox whose containerd died before it knew of it. Named as `/proc/<pid>`."""

    def __init__(self, settings: containerd.ContainerdSettings) -> None:
        self._settings = settings

    def unowned(self, sandboxes: Set[str]) -> Iterator[Path]:
        for pid in containerd.shims(self._settings):
            if containerd.shim_id(pid) not in sandboxes:
                yield Path("/proc", str(pid))

    def take(self, path: Path) -> bool:
        containerd.kill_shim(int(path.name))
        return True
