"""What the agent counts of its own work: how it learns what the runtime does, and what it had to clear away.

Under the names that a kubelet has, where it has one; the others are ours and begin with `navarch_agent_`.

Source: https://kubernetes.io/docs/reference/instrumentation/metrics/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from navarch.base.metrics import Counter, Gauge, Histogram

BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


def _histogram(name: str, help: str, labels: Sequence[str] = ()) -> Histogram:
    return Histogram(name, help, labels, bounds=BOUNDS_S)


@dataclass(frozen=True, slots=True)
class Vitals:
    """relists: seconds that each took. intervals: seconds between the ends of two. seen: when the last succeeded.

    starts: seconds from when the agent knew of a pod until the API server knew that it runs, by part of `timeline`.
    began, created, promised: the same, from where a kubelet counts.
    opened: how long the event stream took to open. cut: times that it broke. differences: pods in which a relist found
    what no event had told, by cause: `missed`, or `cut` while there was no stream. rejected: pods that the node did not
    take, by the reason in their status. shutdown_ended: 0 while it lasts.
    """

    starts: Histogram = field(
        default_factory=lambda: _histogram(
            "navarch_agent_pod_start_seconds",
            "From when the agent knew of a pod until the API server knew that it runs, by part.",
            ("part",),
        )
    )
    began: Histogram = field(
        default_factory=lambda: _histogram(
            "kubelet_pod_start_duration_seconds",
            "Duration in seconds from kubelet seeing a pod for the first time to the pod starting to run",
        )
    )
    created: Histogram = field(
        default_factory=lambda: _histogram(
            "kubelet_pod_start_total_duration_seconds",
            "Duration in seconds to start a pod since creation, including time to pull images and run init containers.",
        )
    )
    promised: Histogram = field(
        default_factory=lambda: _histogram(
            "kubelet_pod_start_sli_duration_seconds",
            "Duration in seconds to start a pod, excluding time to pull images; of pods without init containers.",
        )
    )
    relists: Histogram = field(
        default_factory=lambda: _histogram(
            "kubelet_pleg_relist_duration_seconds", "Duration in seconds for relisting pods in PLEG."
        )
    )
    intervals: Histogram = field(
        default_factory=lambda: _histogram(
            "kubelet_pleg_relist_interval_seconds", "Interval in seconds between relisting in PLEG."
        )
    )
    seen: Gauge = field(
        default_factory=lambda: Gauge(
            "kubelet_pleg_last_seen_seconds", "Timestamp in seconds when PLEG was last seen active."
        )
    )
    opened: Histogram = field(
        default_factory=lambda: _histogram(
            "kubelet_evented_pleg_connection_latency_seconds",
            "The latency of streaming connection with the runtime, measured in seconds.",
        )
    )
    connected: Counter = field(
        default_factory=lambda: Counter(
            "kubelet_evented_pleg_connection_success_count",
            "The number of times a streaming client was obtained to receive runtime events.",
        )
    )
    cut: Counter = field(
        default_factory=lambda: Counter(
            "kubelet_evented_pleg_connection_error_count",
            "The number of errors encountered during the establishment of streaming connection with the runtime.",
        )
    )
    events: Counter = field(
        default_factory=lambda: Counter(
            "navarch_agent_runtime_events_total", "Times that the runtime told that something of a pod has changed."
        )
    )
    differences: Counter = field(
        default_factory=lambda: Counter(
            "navarch_agent_relist_differences_total",
            "Pods in which a relist found what no event had told, by cause.",
            ("cause",),
        )
    )
    orphans: Counter = field(
        default_factory=lambda: Counter(
            "kubelet_orphaned_runtime_pods_total",
            "Number of pods that have been detected in the container runtime without being already known.",
        )
    )
    cleared: Counter = field(
        default_factory=lambda: Counter(
            "navarch_agent_leftovers_removed_total",
            "What was found of pods that no longer exist and taken away, by kind.",
            ("kind",),
        )
    )

    rejected: Counter = field(
        default_factory=lambda: Counter(
            "kubelet_admission_rejections_total",
            "Cumulative number pod admission rejections by the Kubelet.",
            ("reason",),
        )
    )
    shutdown_begun: Gauge = field(
        default_factory=lambda: Gauge(
            "kubelet_graceful_shutdown_start_time_seconds",
            "Last graceful shutdown start time since unix epoch in seconds",
        )
    )
    shutdown_ended: Gauge = field(
        default_factory=lambda: Gauge(
            "kubelet_graceful_shutdown_end_time_seconds",
            "Last graceful shutdown end time since unix epoch in seconds",
        )
    )

    @property
    def all(self) -> tuple[Counter | Gauge | Histogram, ...]:
        return tuple(getattr(self, each.name) for each in fields(self))
