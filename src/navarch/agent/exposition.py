"""What is used, as Prometheus reads it: `/metrics/resource`, `/metrics` and `/metrics/probes`.

The text is written by hand: a few families of numbers, for which a node need not hold a library in memory.

Source: https://kubernetes.io/docs/reference/instrumentation/metrics/;
https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import Literal

from navarch.agent.config import VERSION
from navarch.agent.usage import ContainerUse, PodUse, Usage
from navarch.agent.volumes.use import VolumeUse
from navarch.base.metrics import Counter, Gauge, Histogram

NANO = 1_000_000_000

Labels = Mapping[str, str]
Probed = Mapping[tuple[str, str, str, str, str, str], float]
"""How often a probe said what: by its type, the result, container, pod, namespace and the pod's uid."""


@dataclass(frozen=True, slots=True)
class Sample:
    """at: when it was measured, where that is not when it is asked for."""

    labels: Labels
    value: float
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Family:
    name: str
    type: Literal["counter", "gauge"]
    help: str
    samples: tuple[Sample, ...]


def text(families: Iterable[Family]) -> bytes:
    """Those that have samples, in the order in which they come."""
    return "".join(line for family in families if family.samples for line in _lines(family)).encode()


def _lines(family: Family) -> Iterator[str]:
    yield f"# HELP {family.name} {family.help}\n# TYPE {family.name} {family.type}\n"
    for sample in family.samples:
        at = f" {int(sample.at.timestamp() * 1000)}" if sample.at is not None else ""
        yield _line(family.name, sample.labels, sample.value, at)


def _line(name: str, labels: Labels, value: float, at: str = "") -> str:
    inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    number = int(value) if float(value).is_integer() else value
    return f"{name}{f'{{{inside}}}' if inside else ''} {number}{at}\n"


def counted(metrics: Iterable[Counter | Gauge | Histogram]) -> bytes:
    """What the agent counts of its own work, those that were counted at all."""
    return "".join(line for metric in metrics if metric.present() for line in _counted(metric)).encode()


def _counted(metric: Counter | Gauge | Histogram) -> Iterator[str]:
    kind = type(metric).__name__.lower()
    yield f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} {kind}\n"
    if not isinstance(metric, Histogram):
        for values, number in sorted(metric.present().items()):
            yield _line(metric.name, dict(zip(metric.labels, values, strict=True)), number)
        return
    for values, (*counts, total) in sorted(metric.present().items()):
        labels = dict(zip(metric.labels, values, strict=True))
        for bound, count in zip([*map(repr, metric.bounds), "+Inf"], accumulate(counts), strict=True):
            yield _line(f"{metric.name}_bucket", {**labels, "le": bound}, count)
        yield _line(f"{metric.name}_sum", labels, total)
        yield _line(f"{metric.name}_count", labels, sum(counts))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


Type = Literal["counter", "gauge"]
OfContainer = tuple[str, Type, str, Callable[[ContainerUse], float]]

CPU, MEMORY, STARTED = "Processor time, in seconds of one core.", "The working set, in bytes.", "When it was started."
CPU_S: OfContainer = ("container_cpu_usage_seconds_total", "counter", CPU, lambda one: one.cpu_ns / NANO)
WORKING_SET: OfContainer = ("container_memory_working_set_bytes", "gauge", MEMORY, lambda one: one.working_set_bytes)
START: OfContainer = ("container_start_time_seconds", "gauge", STARTED, lambda one: one.started.timestamp())
MORE: tuple[OfContainer, ...] = (
    ("container_fs_usage_bytes", "gauge", "What it has written to its own layer.", lambda one: one.disk_bytes),
    ("container_last_seen", "gauge", "When it was measured.", lambda one: one.at.timestamp()),
    ("container_memory_usage_bytes", "gauge", "Memory with all caches.", lambda one: one.memory_bytes),
)


def containers(usage: Usage, of: OfContainer, known: Callable[[PodUse, ContainerUse], Labels]) -> Family:
    name, type, help, read = of
    every = [(pod, one) for pod in usage.pods for one in pod.containers]
    return Family(name, type, help, tuple(Sample(known(pod, one), read(one), one.at) for pod, one in every))


def _pods(usage: Usage, name: str, of: OfContainer) -> Family:
    """Sums over their containers."""
    _, type, help, read = of
    return Family(
        name, type, help, tuple(Sample(of_pod(pod), sum(map(read, pod.containers)), usage.at) for pod in usage.pods)
    )


def _node(usage: Usage, name: str, type: Type, help: str, value: float) -> Family:
    return Family(name, type, help, (Sample({}, value, usage.at),))


def resource(usage: Usage) -> bytes:
    """`/metrics/resource`: what metrics servers read."""

    def known(pod: PodUse, one: ContainerUse) -> Labels:
        return {"container": one.name, **of_pod(pod)}

    memory = usage.memory
    return text(
        (
            *(containers(usage, of, known) for of in (CPU_S, WORKING_SET, START)),
            _node(usage, "node_cpu_usage_seconds_total", "counter", CPU, usage.cpu_ns / NANO),
            _node(usage, "node_memory_working_set_bytes", "gauge", MEMORY, memory.working_set_bytes),
            _node(usage, "node_swap_usage_bytes", "gauge", "Memory that was moved to disk.", memory.swap_used_bytes),
            _pods(usage, "pod_cpu_usage_seconds_total", CPU_S),
            _pods(usage, "pod_memory_working_set_bytes", WORKING_SET),
            Family("resource_scrape_error", "gauge", "1 when something could not be measured.", (Sample({}, 0),)),
        )
    )


def of_pod(pod: PodUse) -> dict[str, str]:
    return {"namespace": pod.namespace, "pod": pod.name}


def agent(usage: Usage, cpu_s: float, resident_bytes: int, evicted: Mapping[str, int]) -> bytes:
    """`/metrics`: the agent itself. cpu_s, resident_bytes: what its process uses. evicted: pods, by what for."""
    gone = tuple(Sample({"eviction_signal": signal}, count) for signal, count in sorted(evicted.items()))
    running = sum(len(pod.containers) for pod in usage.pods)
    build = {"git_version": VERSION, "platform": "linux"}
    return text(
        (
            Family("kubelet_evictions", "counter", "Pods that had to go, by signal.", gone),
            Family("kubelet_node_name", "gauge", "The node's name.", (Sample({"node": usage.node}, 1),)),
            Family(
                "kubelet_running_containers",
                "gauge",
                "Containers by state.",
                (Sample({"container_state": "running"}, running),),
            ),
            Family("kubelet_running_pods", "gauge", "Pods that have a sandbox.", (Sample({}, len(usage.pods)),)),
            Family("kubernetes_build_info", "gauge", "What runs here.", (Sample(build, 1),)),
            Family("process_cpu_seconds_total", "counter", "Processor time of the agent.", (Sample({}, cpu_s),)),
            Family("process_resident_memory_bytes", "gauge", "Memory of the agent.", (Sample({}, resident_bytes),)),
        )
    )


OF_CLAIM: tuple[tuple[str, str, Callable[[VolumeUse], int]], ...] = (
    ("capacity_bytes", "Capacity in bytes of the volume", lambda use: use.total_bytes),
    ("available_bytes", "Number of available bytes in the volume", lambda use: use.free_bytes),
    ("used_bytes", "Number of used bytes in the volume", lambda use: use.used_bytes),
    ("inodes", "Maximum number of inodes in the volume", lambda use: use.inodes),
    ("inodes_free", "Number of free inodes in the volume", lambda use: use.inodes_free),
    ("inodes_used", "Number of used inodes in the volume", lambda use: use.inodes_used),
)


def volumes(uses: Sequence[VolumeUse]) -> bytes:
    """Of claims; one that several pods use is told of once."""
    by_claim = {use.claim: use for use in uses if use.claim is not None}
    named = [({"namespace": claim[0], "persistentvolumeclaim": claim[1]}, use) for claim, use in by_claim.items()]
    return text(
        Family(f"kubelet_volume_stats_{name}", "gauge", help, tuple(Sample(labels, of(use)) for labels, use in named))
        for name, help, of in OF_CLAIM
    )


def probes(probed: Probed) -> bytes:
    """`/metrics/probes`."""
    names = ("probe_type", "result", "container", "pod", "namespace", "pod_uid")
    samples = (Sample(dict(zip(names, labels, strict=True)), count) for labels, count in sorted(probed.items()))
    return text((Family("prober_probe_total", "counter", "Probes by what they said.", tuple(samples)),))
