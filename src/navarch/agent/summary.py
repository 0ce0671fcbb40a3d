"""What is used, in the words of a kubelet's `/stats/summary`. Pure; who measures stands in `usage`.

Source: https://kubernetes.io/docs/reference/instrumentation/node-metrics/#summary-api-source
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from navarch.agent.usage import ContainerUse, Disk, PodUse, Traffic, Usage
from navarch.agent.volumes.use import VolumeUse, document
from navarch.base.clock import rfc3339
from navarch.objects.value import Document


def summary(usage: Usage, volumes: Sequence[VolumeUse] = (), *, only_cpu_and_memory: bool = False) -> Document:
    """The whole answer. volumes: of all pods, as far as anybody says what is used of them."""
    pods = {pod.uid: _pod(pod, usage, only_cpu_and_memory) for pod in usage.pods}
    for use in volumes:
        if use.uid in pods:
            pods[use.uid].setdefault("volume", []).append(document(use, usage.at))
    return {"node": _node(usage, only_cpu_and_memory), "pods": list(pods.values())}


def _node(usage: Usage, brief: bool) -> Document:
    at, memory = rfc3339(usage.at), usage.memory
    found: Document = {
        "nodeName": usage.node,
        "startTime": rfc3339(usage.booted),
        "cpu": _cpu(usage.at, usage.cpu_nano, usage.cpu_ns),
        "memory": {
            "time": at,
            "availableBytes": memory.total_bytes - memory.working_set_bytes,
            "usageBytes": memory.used_bytes,
            "workingSetBytes": memory.working_set_bytes,
            "rssBytes": memory.rss_bytes,
            "pageFaults": memory.faults,
            "majorPageFaults": memory.major_faults,
        },
    }
    if brief:
        return found
    files = _disk(usage.disk, usage.at)
    found["swap"] = {
        "time": at,
        "swapAvailableBytes": memory.swap_total_bytes - memory.swap_used_bytes,
        "swapUsageBytes": memory.swap_used_bytes,
    }
    if usage.traffic:
        found["network"] = _network(usage.traffic, usage.at)
    return {
        **found,
        "fs": files,
        "runtime": {"imageFs": files, "containerFs": files},
        "rlimit": {"time": at, "curproc": usage.processes},
    }


def _pod(pod: PodUse, usage: Usage, brief: bool) -> Document:
    containers = pod.containers
    at = max((one.at for one in containers), default=usage.at)
    found: Document = {
        "podRef": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
        "startTime": rfc3339(pod.started),
        "containers": [_container(one, usage.disk, brief) for one in containers],
        "cpu": _cpu(at, sum(one.cpu_nano for one in containers), sum(one.cpu_ns for one in containers)),
        "memory": _memory(
            at, sum(one.memory_bytes for one in containers), sum(one.working_set_bytes for one in containers)
        ),
    }
    if not brief:
        if pod.traffic:
            found["network"] = _network(pod.traffic, usage.at)
        held = sum(one.disk_bytes + one.log_bytes for one in containers)
        found["ephemeral-storage"] = {**_disk(usage.disk, usage.at), "usedBytes": held}
    return found


def _container(one: ContainerUse, disk: Disk, brief: bool) -> Document:
    found: Document = {
        "name": one.name,
        "startTime": rfc3339(one.started),
        "cpu": _cpu(one.at, one.cpu_nano, one.cpu_ns),
        "memory": _memory(one.at, one.memory_bytes, one.working_set_bytes),
    }
    if not brief:
        files = _disk(disk, one.at)
        found["rootfs"] = {**files, "usedBytes": one.disk_bytes}
        found["logs"] = {**files, "usedBytes": one.log_bytes}
    return found


def _cpu(at: datetime, nano: int, ns: int) -> Document:
    return {"time": rfc3339(at), "usageNanoCores": nano, "usageCoreNanoSeconds": ns}


def _memory(at: datetime, used: int, working_set: int) -> Document:
    return {"time": rfc3339(at), "usageBytes": used, "workingSetBytes": working_set}


def _disk(disk: Disk, at: datetime) -> Document:
    return {
        "time": rfc3339(at),
        "availableBytes": disk.free_bytes,
        "capacityBytes": disk.total_bytes,
        "usedBytes": disk.used_bytes,
        "inodes": disk.inodes,
        "inodesFree": disk.inodes_free,
        "inodesUsed": disk.inodes - disk.inodes_free,
    }


def _network(traffic: Sequence[Traffic], at: datetime) -> Document:
    """The first one's figures stand for the whole, as the interface that leads outside."""
    listed = [
        {
            "name": one.name,
            "rxBytes": one.received_bytes,
            "rxErrors": one.received_errors,
            "txBytes": one.sent_bytes,
            "txErrors": one.sent_errors,
        }
        for one in traffic
    ]
    return {"time": rfc3339(at), **listed[0], "interfaces": listed}
