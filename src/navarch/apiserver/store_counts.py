"""How long the store takes for writes, under the names that Kubernetes has for its own store, whichever ours is.

Reads come from the watch cache and never get here.

Source: https://kubernetes.io/docs/reference/instrumentation/metrics/
"""

from __future__ import annotations

from collections.abc import Awaitable

from navarch.apiserver import trace
from navarch.base.clock import Clock
from navarch.base.errors import ApiError
from navarch.base.metrics import Registry
from navarch.kinds.kind import Kind

BUCKETS_S = (
    *(0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0),
    *(30.0, 45.0, 60.0),
)


class StoreCounts:
    def __init__(self, metrics: Registry, clock: Clock) -> None:
        self._clock = clock
        own = ("operation", "group", "resource")
        self._took = metrics.histogram("etcd_request_duration_seconds", "How long the store took.", own, BUCKETS_S)
        self._asked = metrics.counter("etcd_requests", "What the store was asked.", own, self._requests)
        self._errors = metrics.counter("etcd_request_errors", "What the store failed at.", own)
        self._series: dict[tuple[str, Kind], list[float]] = {}

    def _requests(self) -> dict[tuple[str, ...], float]:
        return {labels: sum(series[:-1]) for labels, series in self._took.values.items()}

    async def timed(self, operation: str, kind: Kind, asking: Awaitable[int]) -> int:
        """What `asking` gives. operation: `create`, `update` or `delete`."""
        began = self._clock.monotonic()
        try:
            return await asking
        except ApiError:
            self._errors.add(operation, kind.group, kind.plural)
            raise
        finally:
            series = self._series.get((operation, kind))
            if series is None:
                series = self._took.series(operation, kind.group, kind.plural)
                self._series[operation, kind] = series
            took_s = self._clock.monotonic() - began
            self._took.observe_in(series, took_s)
            if took_s > trace.WORTH_S:
                trace.note(f"store {operation}", took_s)
