"""How much of what was written this machine keeps in memory before it is on the disk.

A sync of one program waits until what others wrote before is written too. The kernel lets a fifth of the memory wait,
which takes a disk many seconds; on version 1 of control groups that is one account for all pods. So a node bounds it,
unless somebody who knows the machine has done so already.

Source: https://docs.kernel.org/admin-guide/sysctl/vm.html
"""

from __future__ import annotations

from pathlib import Path

import orjson

from navarch.app.layout import write_atomically
from navarch.base.log import Log

log = Log("machine")

SETTINGS = Path("/proc/sys/vm")
BOUNDS = {"dirty_background_bytes": 32 << 20, "dirty_bytes": 128 << 20}
"""From the first on it is written in the background; at the second whoever writes has to wait."""
RATIOS = {"dirty_background_bytes": "dirty_background_ratio", "dirty_bytes": "dirty_ratio"}
"""What holds while the other is 0, in percent of the memory that is free; setting either makes the other 0."""


def bound(memory: Path, settings: Path = SETTINGS) -> None:
    """memory: the file that says how it was before, which is on the disk before anything is changed."""
    try:
        before = {name: int((settings / name).read_text()) for name in (*BOUNDS, *RATIOS.values())}
        if any(before[name] for name in BOUNDS):  # somebody's choice, or our own of an earlier start
            return
        write_atomically(memory, orjson.dumps({ratio: before[ratio] for ratio in RATIOS.values()}).decode())
        for name, most_bytes in BOUNDS.items():
            (settings / name).write_text(str(most_bytes))
    except OSError as error:
        log.warning("what waits to be written is not bounded here", file=error.filename, error=error.strerror)


def restore(memory: Path, settings: Path = SETTINGS) -> None:
    """Harmless when nothing was changed, or when somebody has set other bounds since. Raises: OSError, ValueError."""
    if not memory.exists():
        return
    before: dict[str, int] = orjson.loads(memory.read_bytes())
    for name, most_bytes in BOUNDS.items():
        if int((settings / name).read_text()) == most_bytes:
            (settings / RATIOS[name]).write_text(str(before[RATIOS[name]]))
    memory.unlink()
