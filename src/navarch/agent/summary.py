"""What is used, in the words of a kubelet's `/stats/summary`. Pure; who measures stands in `usage`.

Source: https://kubernetes.io/docs/reference/instrumentation/node-metrics/#summary-api-source
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from navarch.agent.details import NO_DETAILS, Details, PodDisk
from navarch.agent.eviction.ranking import NONE_HELD, Held
from navarch.agent.usage import ContainerUse, Disk, PodUse, Traffic, Usage
from navarch.agent.volumes.use import VolumeUse, document
from navarch.base.clock import rfc3339
from navarch.objects.value import Document


def summary(
    usage: Usage,
    volumes: Sequence[VolumeUse] = (),
    details: Details = NO_DETAILS,
    *,
    only_cpu_and_memory: bool = False,
) -> Document:
    """The whole answer. volumes: of all pods, as far as anybody says what is used of them."""
    pods = {pod.uid: _pod(pod, usage, details, only_cpu_and_memory) for pod in usage.pods}
    for use in volumes:
        if use.uid in pods:
            listed = [one for one in pods[use.uid].get("volume", ()) if one["name"] != use.name]
            pods[use.uid]["volume"] = [*listed, document(use, usage.at)]
    return {"node": _node(usage, details, only_cpu_and_memory), "pods": list(pods.values())}


def _node(usage: Usage, details: Details, brief: bool) -> Document:
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
    images = _disk(details.images, usage.at) if details.images is not None else files
    rlimit: Document = {"time": at, "curproc": usage.processes}
    if details.most_processes:
        rlimit["maxpid"] = details.most_processes
    return {**found, "fs": files, "runtime": {"imageFs": images, "containerFs": images}, "rlimit": rlimit}


def _pod(pod: PodUse, usage: Usage, details: Details, brief: bool) -> Document:
    containers, on_disk = pod.containers, details.disks.get(pod.uid, PodDisk())
    at = max((one.at for one in containers), default=usage.at)
    found: Document = {
        "podRef": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
        "startTime": rfc3339(pod.started),
        "containers": [_container(one, usage.disk, details, on_disk, brief) for one in containers],
        "cpu": _cpu(at, sum(one.cpu_nano for one in containers), sum(one.cpu_ns for one in containers)),
        "memory": _memory(
            at, sum(one.memory_bytes for one in containers), sum(one.working_set_bytes for one in containers)
        ),
    }
    if brief:
        return found
    if pod.traffic:
        found["network"] = _network(pod.traffic, usage.at)
    if on_disk.volumes:
        found["volume"] = [{"name": one.name, **_held(one.files, usage.at, one.held)} for one in on_disk.volumes]
    layers = sum((Held(one.disk_bytes, one.inodes) for one in containers), NONE_HELD)
    logs = Held(sum(one.log_bytes for one in containers if one.name not in on_disk.logs))
    found["ephemeral-storage"] = _held(usage.disk, usage.at, layers + logs + on_disk.own)
    processes = [details.groups[one.id].processes for one in containers if one.id in details.groups]
    if processes:
        found["process_stats"] = {"process_count": sum(processes)}
    return found


def _container(one: ContainerUse, disk: Disk, details: Details, on_disk: PodDisk, brief: bool) -> Document:
    group = details.groups.get(one.id)
    found: Document = {
        "name": one.name,
        "startTime": rfc3339(one.started),
        "cpu": _cpu(one.at, one.cpu_nano, one.cpu_ns),
        "memory": _memory(one.at, one.memory_bytes, one.working_set_bytes),
    }
    if group is not None:
        closer = {"rssBytes": group.rss_bytes, "pageFaults": group.faults, "majorPageFaults": group.major_faults}
        found["memory"] |= closer
        found["swap"] = {"time": rfc3339(one.at), "swapUsageBytes": group.swap_bytes}
    if not brief:
        found["rootfs"] = _held(disk, one.at, Held(one.disk_bytes, one.inodes))
        found["logs"] = _held(disk, one.at, on_disk.logs.get(one.name, Held(one.log_bytes)))
    return found


def _held(disk: Disk, at: datetime, held: Held) -> Document:
    """What somebody holds of a disk; inodes where they were counted."""
    found = {**_disk(disk, at), "usedBytes": held.bytes}
    return {**found, "inodesUsed": held.inodes} if held.inodes else found


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
