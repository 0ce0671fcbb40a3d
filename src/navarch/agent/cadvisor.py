"""`/metrics/cadvisor`: containers by id, and what goes over pods' networks, under the names that dashboards read.

Source: https://github.com/google/cadvisor/blob/master/docs/storage/prometheus.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from navarch.agent.exposition import (
    CPU_S,
    MORE,
    NANO,
    START,
    WORKING_SET,
    Family,
    Labels,
    Sample,
    Type,
    containers,
    of_pod,
    text,
)
from navarch.agent.groupstats import GroupUse
from navarch.agent.usage import ContainerUse, PodUse, Traffic, Usage

OfGroup = tuple[str, Type, str, Callable[[GroupUse], float]]
GROUP: tuple[OfGroup, ...] = (
    ("container_cpu_user_seconds_total", "counter", "Processor time of programs.", lambda one: one.user_ns / NANO),
    (
        "container_cpu_system_seconds_total",
        "counter",
        "The kernel's for it.",
        lambda one: one.system_ns / NANO,
    ),
    ("container_cpu_cfs_periods_total", "counter", "Periods of enforcing its limit.", lambda one: one.periods),
    ("container_cpu_cfs_throttled_periods_total", "counter", "Of those, throttled.", lambda one: one.throttled_periods),
    (
        "container_cpu_cfs_throttled_seconds_total",
        "counter",
        "How long it was throttled.",
        lambda one: one.throttled_ns / NANO,
    ),
    ("container_memory_rss", "gauge", "Memory that no file stands behind.", lambda one: one.rss_bytes),
    ("container_memory_cache", "gauge", "Files that the kernel holds for it.", lambda one: one.cache_bytes),
    ("container_memory_mapped_file", "gauge", "Files that are mapped.", lambda one: one.mapped_bytes),
    ("container_memory_swap", "gauge", "Memory that was moved to disk.", lambda one: one.swap_bytes),
    ("container_memory_max_usage_bytes", "gauge", "The most that it ever used.", lambda one: one.peak_bytes),
    ("container_memory_failcnt", "counter", "How often its limit was met.", lambda one: one.refused),
    ("container_oom_events_total", "counter", "Processes killed for want of memory.", lambda one: one.oom_kills),
    ("container_fs_reads_bytes_total", "counter", "Bytes read from disks.", lambda one: one.read_bytes),
    ("container_fs_writes_bytes_total", "counter", "Bytes written to disks.", lambda one: one.written_bytes),
    ("container_fs_reads_total", "counter", "Reads from disks.", lambda one: one.reads),
    ("container_fs_writes_total", "counter", "Writes to disks.", lambda one: one.writes),
    ("container_processes", "gauge", "Processes.", lambda one: one.processes),
    ("container_threads", "gauge", "Threads.", lambda one: one.threads),
    ("container_spec_cpu_shares", "gauge", "Its weight.", lambda one: one.shares),
    ("container_spec_cpu_period", "gauge", "The period of its limit, in microseconds.", lambda one: one.period_us),
    ("container_spec_memory_limit_bytes", "gauge", "Its limit; 0 for none.", lambda one: one.limit_bytes),
)
QUOTA: OfGroup = ("container_spec_cpu_quota", "gauge", "Processor time in a period.", lambda one: one.quota_us)
"""Only of those that have one."""
FAULTS = "container_memory_failures_total"

OfWire = tuple[str, str, Callable[[Traffic], float]]
WIRES: tuple[OfWire, ...] = (
    ("container_network_receive_bytes_total", "Bytes received.", lambda wire: wire.received_bytes),
    ("container_network_receive_errors_total", "Errors of receiving.", lambda wire: wire.received_errors),
    ("container_network_receive_packets_total", "Packets received.", lambda wire: wire.received_packets),
    ("container_network_receive_packets_dropped_total", "Packets not taken.", lambda wire: wire.received_dropped),
    ("container_network_transmit_bytes_total", "Bytes sent.", lambda wire: wire.sent_bytes),
    ("container_network_transmit_errors_total", "Errors of sending.", lambda wire: wire.sent_errors),
    ("container_network_transmit_packets_total", "Packets sent.", lambda wire: wire.sent_packets),
    ("container_network_transmit_packets_dropped_total", "Packets not sent.", lambda wire: wire.sent_dropped),
)


def cadvisor(usage: Usage, groups: Mapping[str, GroupUse]) -> bytes:
    """groups: what is known of containers' control groups, by container id."""

    def processors(pod: PodUse, one: ContainerUse) -> Labels:
        return {"cpu": "total", **_known(pod, one)}

    wires = [({"interface": wire.name, **of_pod(pod)}, wire) for pod in usage.pods for wire in pod.traffic]
    return text(
        (
            containers(usage, CPU_S, processors),
            *(containers(usage, of, _known) for of in (*MORE, WORKING_SET, START)),
            *_grouped(usage, groups),
            *(
                Family(name, "counter", help, tuple(Sample(labels, read(wire), usage.at) for labels, wire in wires))
                for name, help, read in WIRES
            ),
            Family("machine_cpu_cores", "gauge", "Processors of the machine.", (Sample({}, usage.cpus),)),
            Family("machine_memory_bytes", "gauge", "Memory of the machine.", (Sample({}, usage.memory.total_bytes),)),
        )
    )


def _known(pod: PodUse, one: ContainerUse) -> Labels:
    return {"container": one.name, "id": one.id, "image": one.image, "name": one.id, **of_pod(pod)}


def _grouped(usage: Usage, groups: Mapping[str, GroupUse]) -> Iterator[Family]:
    every = [
        (_known(pod, one), groups[one.id], one.at) for pod in usage.pods for one in pod.containers if one.id in groups
    ]
    for name, type, help, read in GROUP:
        yield Family(name, type, help, tuple(Sample(labels, read(group), at) for labels, group, at in every))
    name, type, help, read = QUOTA
    limited = (Sample(labels, read(group), at) for labels, group, at in every if group.quota_us)
    yield Family(name, type, help, tuple(limited))
    faults = []
    for labels, group, at in every:
        for kind, count in (("pgfault", group.faults), ("pgmajfault", group.major_faults)):
            faults.append(Sample({**labels, "failure_type": kind, "scope": "container"}, count, at))
    yield Family(FAULTS, "counter", "Pages that were not at hand.", tuple(faults))
