"""How webhooks fare, under the names that dashboards know.

Source: https://kubernetes.io/docs/reference/instrumentation/metrics/
"""

from __future__ import annotations

from types import TracebackType

from navarch.apiserver import trace
from navarch.base.clock import Clock
from navarch.base.metrics import Registry

BOUNDS_S = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 25.0)


class HookCounts:
    """The metrics of both types of webhooks (`admit` and `validating`)."""

    def __init__(self, metrics: Registry, clock: Clock) -> None:
        self.clock = clock
        self.durations = metrics.histogram(
            "apiserver_admission_webhook_admission_duration_seconds",
            "How long webhooks took.",
            ("name", "type", "operation", "rejected"),
            BOUNDS_S,
        )
        # Counters by nature, but a counter's name ends in `_total` and these do not.
        self.rejections = metrics.gauge(
            "apiserver_admission_webhook_rejection_count",
            "Writes that webhooks refused, or that were refused for want of them.",
            ("name", "type", "operation", "error_type", "rejection_code"),
        )
        self.open = metrics.gauge(
            "apiserver_admission_webhook_fail_open_count", "Failed calls after which writes went on.", ("name", "type")
        )
        self.requests = metrics.counter(
            "apiserver_admission_webhook_request",
            "Calls of webhooks.",
            ("name", "type", "operation", "code", "rejected"),
        )
        self.exclusions = metrics.counter(
            "apiserver_admission_match_condition_exclusions",
            "Writes about which webhooks were not asked, for their conditions did not hold.",
            ("name", "kind", "type", "operation"),
        )

    def call(self, name: str, type_: str, operation: str) -> Counted:
        """To be entered while a webhook is asked."""
        return Counted(self, (name, type_, operation))

    def excluded(self, name: str, type_: str, operation: str) -> None:
        self.exclusions.add(name, "webhook", type_, operation)


class Counted:
    """One call; a success unless it is told otherwise."""

    def __init__(self, counts: HookCounts, labels: tuple[str, str, str]) -> None:
        self._counts = counts
        self._labels = labels
        self._code = 200
        self._rejected = "false"
        self._started_s = 0.0

    def __enter__(self) -> Counted:
        self._started_s = self._counts.clock.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        took_s = self._counts.clock.monotonic() - self._started_s
        self._counts.durations.observe(took_s, *self._labels, self._rejected)
        trace.note(f"webhook {self._labels[0]}", took_s)
        self._counts.requests.add(*self._labels, str(self._code), self._rejected)

    def failed_open(self, code: int) -> None:
        self._code = code
        self._counts.open.add(*self._labels[:2])

    def failed(self, code: int) -> None:
        self._refused("calling_webhook_error", code)

    def denied(self, code: int) -> None:
        self._refused("no_error", code)

    def broken(self) -> None:
        self._refused("apiserver_internal_error", 0)

    def _refused(self, type_: str, code: int) -> None:
        self._code, self._rejected = code, "true"
        self._counts.rejections.add(*self._labels, type_, str(min(code, 600)))
