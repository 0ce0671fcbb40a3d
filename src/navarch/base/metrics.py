"""Counts and durations, kept as plain numbers and turned into Prometheus' text only when somebody asks for it.

`prometheus_client` is imported by `render` alone: a process that nobody scrapes does not pay for it, and an
observation on a hot path is one addition. Metrics live in a `Registry` that the process' wiring makes, so that two
clusters in one process do not mix theirs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

DURATIONS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

Labels = tuple[str, ...]
Read = Callable[[], float | Mapping[Labels, float]]
"""Asked when the metrics are rendered: a number, or one for each set of labels."""

ReadSeries = Callable[[], Mapping[Labels, list[float]]]

_Metric = TypeVar("_Metric", "Counter", "Gauge", "Histogram")


class Counter:
    """Only goes up. name: without the `_total` that Prometheus adds. read: who counts instead, if given."""

    __slots__ = ("help", "labels", "name", "read", "values")

    def __init__(self, name: str, help: str, labels: Sequence[str] = (), read: Read | None = None) -> None:
        self.name = name
        self.help = help
        self.labels = tuple(labels)
        self.values: dict[Labels, float] = {}
        self.read = read

    def add(self, *labels: str, amount: float = 1.0) -> None:
        self.values[labels] = self.values.get(labels, 0.0) + amount

    def value(self, *labels: str) -> float:
        return self.present().get(labels, 0.0)

    def present(self) -> Mapping[Labels, float]:
        return _asked(self.read) if self.read is not None else self.values


class Gauge:
    """A number that goes up and down; `read`, if given, is asked when the metrics are rendered."""

    __slots__ = ("help", "labels", "name", "read", "values")

    def __init__(self, name: str, help: str, labels: Sequence[str] = (), read: Read | None = None) -> None:
        self.name = name
        self.help = help
        self.labels = tuple(labels)
        self.values: dict[Labels, float] = {}
        self.read = read

    def set(self, amount: float, *labels: str) -> None:
        self.values[labels] = amount

    def add(self, *labels: str, amount: float = 1.0) -> None:
        self.values[labels] = self.values.get(labels, 0.0) + amount

    def value(self, *labels: str) -> float:
        return self.present().get(labels, 0.0)

    def present(self) -> Mapping[Labels, float]:
        return _asked(self.read) if self.read is not None else self.values


def _asked(read: Read) -> Mapping[Labels, float]:
    found = read()
    return found if isinstance(found, Mapping) else {(): found}


class Histogram:
    """How often a measured value fell at or below each bound. read: who counts instead, if given; as `series`."""

    __slots__ = ("bounds", "help", "labels", "name", "read", "values")

    def __init__(
        self,
        name: str,
        help: str,
        labels: Sequence[str] = (),
        bounds: Sequence[float] = DURATIONS_S,
        read: ReadSeries | None = None,
    ) -> None:
        self.read = read
        self.name = name
        self.help = help
        self.labels = tuple(labels)
        self.bounds = tuple(bounds)
        self.values: dict[Labels, list[float]] = {}

    def observe(self, amount: float, *labels: str) -> None:
        series = self.values.get(labels)
        self.observe_in(self.series(*labels) if series is None else series, amount)

    def series(self, *labels: str) -> list[float]:
        """What hot paths keep, to look it up once: the counts, one a bound and one for the rest, and last the sum."""
        return self.values.setdefault(labels, [0.0] * (len(self.bounds) + 2))

    def observe_in(self, series: list[float], amount: float) -> None:
        series[bisect_left(self.bounds, amount)] += 1
        series[-1] += amount

    def present(self) -> Mapping[Labels, list[float]]:
        return self.values if self.read is None else self.read()

    def count(self, *labels: str) -> int:
        return int(sum(self.values.get(labels, [0.0])[:-1]))


class Registry:
    """The metrics of one process or one cluster. Asking twice for the same name gives the same metric."""

    def __init__(self) -> None:
        self._metrics: dict[str, Counter | Gauge | Histogram] = {}

    def counter(self, name: str, help: str, labels: Sequence[str] = (), read: Read | None = None) -> Counter:
        return self._known(Counter(name, help, labels, read))

    def gauge(self, name: str, help: str, labels: Sequence[str] = (), read: Read | None = None) -> Gauge:
        return self._known(Gauge(name, help, labels, read))

    def histogram(
        self,
        name: str,
        help: str,
        labels: Sequence[str] = (),
        bounds: Sequence[float] = DURATIONS_S,
        read: ReadSeries | None = None,
    ) -> Histogram:
        return self._known(Histogram(name, help, labels, bounds, read))

    def _known(self, metric: _Metric) -> _Metric:
        known = self._metrics.setdefault(metric.name, metric)
        if type(known) is not type(metric) or known.labels != metric.labels:
            raise ValueError(f"metric {metric.name} is already known as another type or with other labels")
        return known

    def render(self, *, open_metrics: bool = False, only: str = "") -> bytes:
        """Prometheus' text exposition format, version 0.0.4, or OpenMetrics 1.0. only: names that start so."""
        from prometheus_client import generate_latest
        from prometheus_client.openmetrics import exposition

        # Registered by hand: prometheus_client's own registry would describe each family first, by collecting it.
        found = _Collector([metric for metric in self._metrics.values() if metric.name.startswith(only)])
        return exposition.generate_latest(found) if open_metrics else generate_latest(found)  # type: ignore[no-untyped-call]


class _Collector:
    """What `prometheus_client` renders from: one family for each metric, in the order of names."""

    def __init__(self, metrics: Sequence[Counter | Gauge | Histogram]) -> None:
        self._metrics = sorted(metrics, key=lambda metric: metric.name)

    def collect(self) -> Iterable[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        for metric in self._metrics:
            if isinstance(metric, Counter):
                counts = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
                for labels, amount in metric.present().items():
                    counts.add_metric(labels, amount)
                yield counts
            elif isinstance(metric, Gauge):
                levels = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
                for labels, amount in metric.present().items():
                    levels.add_metric(labels, amount)
                yield levels
            else:
                shares = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
                for labels, series in metric.present().items():
                    shares.add_metric(labels, list(_cumulative(metric.bounds, series)), series[-1])
                yield shares


def _cumulative(bounds: Sequence[float], series: Sequence[float]) -> Iterable[tuple[str, float]]:
    total = 0.0
    for bound, count in zip([*map(repr, bounds), "+Inf"], series, strict=False):
        total += count
        yield bound, total
