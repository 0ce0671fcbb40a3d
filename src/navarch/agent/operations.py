"""What the agent asks of the runtime: how often, how long it took, what failed, under the names that a kubelet has.

Source: https://kubernetes.io/docs/reference/instrumentation/metrics/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from navarch.base.clock import Clock
from navarch.base.metrics import Counter, Histogram

FIRST_S, GROWTH, BUCKETS = 0.005, 2.5, 14
NAMED = {
    "list_pod_sandbox": "list_podsandbox",
    "run_pod_sandbox": "run_podsandbox",
    "stop_pod_sandbox": "stop_podsandbox",
    "remove_pod_sandbox": "remove_podsandbox",
    "pod_sandbox_status": "podsandbox_status",
    "update_container_resources": "update_container",
}
"""Where a kubelet's word is not that of CRI."""
LABELS = ("operation_type",)


@cache
def operation(request: str) -> str:
    """By the name of CRI's request: `ListContainersRequest` is `list_containers`."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", request.removesuffix("Request")).lower()
    return NAMED.get(words, words)


class Operations:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.asked = Counter(
            "kubelet_runtime_operations_total", "Cumulative number of runtime operations by operation type.", LABELS
        )
        self.failed = Counter(
            "kubelet_runtime_operations_errors_total",
            "Cumulative number of runtime operation errors by operation type.",
            LABELS,
        )
        self.took = Histogram(
            "kubelet_runtime_operations_duration_seconds",
            "Duration in seconds of runtime operations. Broken down by operation type.",
            LABELS,
            bounds=[round(FIRST_S * GROWTH**step, 6) for step in range(BUCKETS)],
        )

    @property
    def all(self) -> tuple[Counter | Histogram, ...]:
        return (self.asked, self.failed, self.took)

    @contextmanager
    def counted(self, request: object) -> Iterator[None]:
        """Around one call with this request."""
        name = operation(type(request).__name__)
        began_s = self._clock.monotonic()
        self.asked.add(name)
        try:
            yield
        except Exception:
            self.failed.add(name)
            raise
        finally:
            self.took.observe(self._clock.monotonic() - began_s, name)
