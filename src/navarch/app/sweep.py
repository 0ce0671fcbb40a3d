"""What a containerd that was killed in the middle of its work leaves behind: networks, shims, leases.

It looks at what there is and at the sandboxes that the runtime has. What belongs to none of them, and still does not
after longer than making one can take, belongs to nobody and is taken away. When the first look came while no sandbox
was being made, it cannot become anybody's either, and goes sooner.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from typing import Protocol

from navarch.app import containerd
from navarch.base.clock import Clock, parse_rfc3339
from navarch.base.errors import Retryable
from navarch.wire.cri import NAMESPACE

PATIENCE_S = 150.0
"""Longer than the runtime is given to make a sandbox."""
QUIET_S = 15.0
"""Longer than a runtime needs to undo a making whose agent died."""
EXPIRES = "containerd.io/gc.expire"
"""The label of a lease that was meant for one thing that is being made."""
ANSWER_S = 10.0
NANO = 1e9


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


class Leases:
    """What held parts of containers and images together while they were made: a containerd that was killed meanwhile
    keeps them, and what they hold, for a day.

    Only those from before it was started are nobody's; so they are listed once after each start. Named `<socket>/<id>`.
    """

    def __init__(self, settings: containerd.ContainerdSettings, *, ctr: str = "ctr") -> None:
        self._socket = settings.socket
        self._ctr = ctr
        self._born_ns = 0
        self._found: list[Path] = []

    def unowned(self, sandboxes: Set[str]) -> Iterator[Path]:
        """Raises: Retryable: containerd does not say which there are."""
        try:
            born_ns = self._socket.stat().st_ctime_ns
        except FileNotFoundError:  # it is not there just now
            return
        if born_ns != self._born_ns:
            self._found = [self._socket / name for name in self._older(born_ns / NANO)]
            self._born_ns = born_ns
        yield from self._found

    def _older(self, born_s: float) -> Iterator[str]:
        for line in self._ask("ls").splitlines()[1:]:
            name, made, labels = (*line.split(maxsplit=2), "", "")[:3]
            if EXPIRES in labels and parse_rfc3339(made).timestamp() < born_s - 1:  # told in whole seconds
                yield name

    def take(self, path: Path) -> bool:
        """Raises: Retryable."""
        self._found.remove(path)
        self._ask("rm", path.name)
        return True

    def _ask(self, *words: str) -> str:
        command = [self._ctr, "--address", str(self._socket), "--namespace", NAMESPACE, "leases", *words]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Retryable(f"{shlex.join(command)}: {error}") from error
        if done.returncode:
            raise Retryable(f"{shlex.join(command)}: {done.stderr.strip()}")
        return done.stdout
