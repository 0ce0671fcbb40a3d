"""What a machine still holds of pods that are gone, found by looking at what is there.

An agent that dies in the middle of its work leaves things behind which nobody would name again: directories with mounts
in them, control groups, logs, and what the runtime was making when it died itself. Whatever can be traced to a uid
becomes the business of a worker for that pod; logs and networks are taken away here.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterable, Sequence, Set
from pathlib import Path

from navarch.agent.act import Tools
from navarch.agent.vitals import Vitals
from navarch.base.errors import Retryable
from navarch.base.log import Log

_log = Log("agent")

Sweep = Callable[[Set[str], bool], Sequence[str]]
"""(ids of the sandboxes and containers that the runtime has, whether no sandbox is being made) -> what was taken away
that a runtime made for others and forgot: networks, processes. Blocks. Raises: OSError, Retryable."""


class Leftovers:
    """sweep: takes networks of sandboxes away that the runtime no longer has; None where nobody can."""

    def __init__(self, tools: Tools, vitals: Vitals, sweep: Sweep | None) -> None:
        self._tools = tools
        self._vitals = vitals
        self._sweep = sweep
        self._found: tuple[str, ...] = ()

    async def uids(self) -> Sequence[str]:
        """Pods of which the disk or the control groups hold something."""
        if not self._tools.cgroups.active:  # a simulated node, which has neither
            return self._tools.storage.pods()
        return await asyncio.to_thread(self._uids)

    def _uids(self) -> Sequence[str]:
        try:
            return tuple(dict.fromkeys((*self._tools.storage.pods(), *self._tools.cgroups.pods())))
        except OSError as error:
            _log.warning("pods' directories cannot be listed", file=error.filename, error=error.strerror)
            return ()

    async def clear(self, alive: Callable[[str], bool], had: Iterable[str], *, quiet: bool) -> None:
        """Take away what no pod's worker will. alive: whether somebody still cares for a pod, by uid. quiet: no sandbox
        is being made."""
        if not self._tools.cgroups.active:
            return
        for folder in await asyncio.to_thread(self._logs):
            if not alive(folder.name.rpartition("_")[2]):
                await asyncio.to_thread(shutil.rmtree, folder, True)
                self._took("logs", folder.name)
        if self._sweep is None:
            return
        try:
            for name in await asyncio.to_thread(self._sweep, frozenset(had), quiet):
                self._took("sandbox", name)
        except (OSError, Retryable) as error:
            _log.warning("networks of pods that are gone could not be cleared away", error=error)

    def _logs(self) -> list[Path]:
        """Directories as the agent names them: `<namespace>_<name>_<uid>`."""
        try:
            return [folder for folder in self._tools.config.paths.logs.iterdir() if folder.name.count("_") == 2]
        except OSError:  # no pod has had one yet, or the disk cannot be read, which is not said here
            return []

    def _took(self, kind: str, name: str) -> None:
        self._vitals.cleared.add(kind)
        _log.info("cleared away what was left of a pod that is gone", kind=kind, name=name)
