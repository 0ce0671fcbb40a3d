"""Has Python's garbage collector look less often while a cluster lives in the process, and as before afterwards.

A cluster makes and drops many objects, and almost all of them are freed by counting references. Python's own 700 has
the collector look at all of them again and again: a quarter of the CPU time of a large cluster, to find next to
nothing. What a test itself set, it keeps.
"""

from __future__ import annotations

import gc
import threading
from types import TracebackType

from navarch.app.process import COLLECT_AFTER


class Patience:
    """Entered by each cluster; the last one that leaves sets things back. May be entered from any thread."""

    def __init__(self) -> None:
        self._clusters = 0
        self._before: tuple[int, int, int] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self._clusters += 1
            before = gc.get_threshold()
            if self._clusters == 1 and 0 < before[0] < COLLECT_AFTER[0]:
                self._before = before
                gc.set_threshold(*COLLECT_AFTER)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._clusters -= 1
            if self._clusters == 0 and self._before is not None:
                if gc.get_threshold() == COLLECT_AFTER:
                    gc.set_threshold(*self._before)
                self._before = None


PATIENCE = Patience()
