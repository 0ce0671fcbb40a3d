"""How much of what was written this machine keeps in memory before it is on the disk.

A sync of one program waits until what others wrote before is written too. The kernel lets a fifth of the memory wait,
which takes a disk many seconds; on version 1 of control groups that is one account for all pods. So a node bounds it,
unless somebody who knows the machine has done so already.

Source: https://docs.kernel.org/admin-guide/sysctl/vm.html
"""

from __future__ import annotations

from navarch.app.originals import Originals
from navarch.base.log import Log

log = Log("machine")

BOUNDS = {"vm/dirty_background_bytes": 32 << 20, "vm/dirty_bytes": 128 << 20}
"""From the first on it is written in the background; at the second whoever writes has to wait."""
RATIOS = {"vm/dirty_background_bytes": "vm/dirty_background_ratio", "vm/dirty_bytes": "vm/dirty_ratio"}
"""What holds while the other is 0, in percent of the memory that is free; setting either makes the other 0."""


def bound(originals: Originals) -> None:
    """Not where somebody has chosen bounds, or an earlier start of ours; nor where the machine does not let us."""
    try:
        if any(originals.read(key) != "0" for key in BOUNDS):
            return
        originals.note({ratio: originals.read(ratio) or "" for ratio in RATIOS.values()})
        originals.write({key: str(most_bytes) for key, most_bytes in BOUNDS.items()})
    except OSError as error:
        log.warning("what waits to be written is not bounded here", file=error.filename, error=error.strerror)


def restore(originals: Originals) -> None:
    """Harmless when nothing was changed; what somebody else has set since stays. Raises: OSError."""
    ours = [key for key, most_bytes in BOUNDS.items() if originals.read(key) == str(most_bytes)]
    originals.restore([RATIOS[key] for key in ours])
    originals.file.unlink(missing_ok=True)
