"""What is used: read from the kernel's files, compared, and told as a kubelet tells it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.agent import exposition
from navarch.agent.config import WINDOW
from navarch.agent.measures import Measures
from navarch.agent.runtime import Container, ContainerState, ContainerStats, PodOnNode, Sandbox
from navarch.agent.summary import summary
from navarch.agent.usage import (
    APART_S,
    FRESH_S,
    LONGEST_S,
    ContainerUse,
    Gauges,
    Memory,
    PodUse,
    Traffic,
    Usage,
    busy_ns,
    compared,
    memory,
    pods,
    traffic,
)
from navarch.agent.vitals import Vitals
from navarch.agent.volumes.use import VolumeUse
from navarch.app.meter import usage_of
from navarch.base.errors import NotFound, Unavailable
from navarch.wire.message import Request

BEGIN = datetime(2026, 5, 1, 12, tzinfo=UTC)
STAT = """cpu  100 5 50 1000 20 3 2 1 0 0
cpu0 60 5 30 500 10 2 1 1 0 0
cpu1 40 0 20 500 10 1 1 0 0 0
btime 1777000000
"""
MEMINFO = """MemTotal:  1000 kB
MemFree:  400 kB
Inactive(file):  100 kB
AnonPages: 50 kB
SwapTotal: 9 kB
SwapFree: 7 kB
"""
VMSTAT = "pgfault 12\npgmajfault 3\n"
DEV = """Inter-|   Receive                            |  Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
    lo:    10       1    0    0    0     0          0         0       10       1    0    0    0     0       0          0
  cni0:     5       1    0    0    0     0          0         0        6       1    0    0    0     0       0          0
  eth0:  1000       9    2    0    0     0          0         0     2000       8    3    0    0     0       0          0
"""
TIME, MILLIS = "2026-05-01T12:01:01Z", round((BEGIN + timedelta(seconds=61)).timestamp() * 1000)


class Turned:
    """A clock that `sleep` turns."""

    def __init__(self) -> None:
        self.moment = BEGIN

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return (self.moment - BEGIN).total_seconds()

    async def sleep(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


class Busy:
    """A runtime with one pod, whose container uses a quarter of a core. It counts how often it was asked."""

    def __init__(self, clock: Turned) -> None:
        self.clock = clock
        self.asked = 0

    async def observe(self, uid: str = "") -> Mapping[str, PodOnNode]:
        box = Sandbox("box", "ns", "web", "u1", 0, True, BEGIN, ips=("10.0.0.2",))
        running = container("c1", ContainerState.RUNNING)
        return {"u1": PodOnNode("u1", "ns", "web", (box,), (running, container("c0", ContainerState.EXITED)))}

    async def stats(self) -> Sequence[ContainerStats]:
        self.asked += 1
        ns = round(self.clock.monotonic() * 250_000_000) + 7_000_000_000
        return [ContainerStats("c1", "main", "u1", self.clock.now(), ns, 2000, 1500, 30)]


def container(id: str, state: ContainerState, started: datetime = BEGIN) -> Container:
    return Container(id, "box", "main", 1, state, "img:1", "ref", started, started)


def proc(folder: Path) -> Path:
    files = {"stat": STAT, "meminfo": MEMINFO, "vmstat": VMSTAT, "net/dev": DEV}
    files["77/net/dev"] = DEV.replace("1000 ", "1234 ")
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_the_kernels_files_are_read() -> None:
    assert busy_ns(STAT, 100) == 161 * 10_000_000
    found = memory(MEMINFO, VMSTAT)
    assert found == Memory(1000 << 10, 600 << 10, 500 << 10, 50 << 10, 12, 3, 9 << 10, 2 << 10)
    assert memory("", "") == Memory()
    assert traffic(DEV) == (Traffic("eth0", 1000, 2, 2000, 3, 9, 0, 8, 0), Traffic("cni0", 5, 0, 6, 0, 1, 0, 1, 0))


def test_only_what_runs_is_told_of() -> None:
    stats = [ContainerStats("c1", "main", "u1", BEGIN, 1, 2, 3, 4), ContainerStats("gone", "x", "u9", BEGIN)]
    ready, dead = (Sandbox("b", "ns", "b", "u1", 0, up, BEGIN) for up in (True, False))
    seen = {
        "u1": PodOnNode("u1", "ns", "b", (ready,), (container("c1", ContainerState.RUNNING),)),
        "u2": PodOnNode("u2", "ns", "a", (dead,), (container("c1", ContainerState.EXITED),)),
        "u3": PodOnNode("u3", "ms", "z", (ready,), (container("c2", ContainerState.RUNNING),)),
    }
    found = pods(seen, stats, lambda path: 9)
    assert [(pod.uid, [one.id for one in pod.containers]) for pod in found] == [("u3", []), ("u1", ["c1"])]
    assert found[1].containers[0].log_bytes == 9


def usage(at_s: float, cpu_ns: int, *containers: ContainerUse) -> Usage:
    pod = PodUse("u1", "ns", "web", BEGIN, containers)
    return Usage("n", BEGIN + timedelta(seconds=at_s), BEGIN, cpu_ns=cpu_ns, pods=(pod,))


def used(id: str, at_s: float, cpu_ns: int, started_s: float = 0) -> ContainerUse:
    started = BEGIN + timedelta(seconds=started_s)
    return ContainerUse(id, "main", "i", 0, started, BEGIN + timedelta(seconds=at_s), cpu_ns)


@given(st.floats(0.5, 1e5), st.integers(0, 10**12), st.integers(0, 10**12))
def test_rates_are_over_the_time_between_two_measurements(window_s: float, before: int, more: int) -> None:
    end_s, after = 5 + window_s, before + more
    found = compared(usage(5, before, used("a", 5, before)), usage(end_s, after, used("a", end_s, after)))
    assert found.window_s == pytest.approx(window_s, abs=1e-5)
    assert found.cpu_nano == pytest.approx(more / window_s, rel=1e-4, abs=1)
    assert found.pods[0].containers[0].cpu_nano == found.cpu_nano


def test_a_container_that_is_new_is_rated_over_its_life_and_no_rate_is_negative() -> None:
    old = usage(0, 10, used("a", 0, 50))
    found = compared(old, usage(10, 0, used("b", 10, 4_000_000_000, started_s=8), used("a", 10, 20)))
    assert [one.cpu_nano for one in found.pods[0].containers] == [2_000_000_000, 0]
    assert found.cpu_nano == 0
    assert compared(old, old).pods[0].containers[0].cpu_nano == 0


def test_nothing_is_measured_twice_within_seconds_and_an_old_measurement_is_not_compared_with(tmp_path: Path) -> None:
    clock = Turned()
    runtime = Busy(clock)
    gauges = Gauges(runtime, clock, "n", tmp_path, {"u1": 77}.get, proc(tmp_path / "proc"))  # type: ignore[arg-type]

    async def play() -> None:
        first = await gauges.read()
        assert (first.window_s, runtime.asked, first.pods[0].containers[0].cpu_nano) == (APART_S, 2, 250_000_000)
        assert [wire.received_bytes for wire in first.pods[0].traffic] == [1234, 5]
        assert (first.cpus, first.processes, first.booted.timestamp()) == (2, 1, 1777000000)
        assert await gauges.read() is first
        clock.moment += timedelta(seconds=FRESH_S + 10)
        second = await gauges.read()
        assert (second.window_s, runtime.asked) == (FRESH_S + 10, 3)
        clock.moment += timedelta(seconds=LONGEST_S)
        assert (await gauges.read()).window_s == APART_S
        assert runtime.asked == 5

    asyncio.run(play())


def pages(tmp_path: Path) -> Measures:
    clock = Turned()
    clock.moment += timedelta(seconds=60)
    gauges = Gauges(Busy(clock), clock, "n", tmp_path, {"u1": 77}.get, proc(tmp_path / "proc"))  # type: ignore[arg-type]
    return Measures(gauges, lambda: {("Readiness", "failed", "main", "web", "ns", "u1"): 3}, vitals(), volumes_used)


async def volumes_used() -> list[VolumeUse]:
    claimed = VolumeUse("u1", "v", ("ns", "data"), 60, 100, 40, 6, 10, 4, abnormal=False)
    return [claimed, VolumeUse("u1", "scratch", None, 1, 2, 3), VolumeUse("gone", "v", ("ns", "data"), 60, 100, 40)]


def vitals() -> Vitals:
    made = Vitals()
    for took_s in (0.003, 0.2, 400.0):
        made.relists.observe(took_s)
    made.differences.add("missed", amount=2)
    return made


def page(measures: Measures, target: str) -> Any:
    path, _, query = target.partition("?")
    return asyncio.run(measures.page(Request("GET", path, target, {}, parse_qsl(query))))


def test_the_summary_is_a_kubelets(tmp_path: Path) -> None:
    answer = page(pages(tmp_path), "/stats/summary")
    found = orjson.loads(answer.body)
    node, [pod] = found["node"], found["pods"]
    assert set(node) == {"nodeName", "startTime", "cpu", "memory", "network", "fs", "runtime", "rlimit", "swap"}
    assert node["memory"]["availableBytes"] == 500 << 10
    assert node["network"]["name"] == "eth0"
    assert node["fs"]["capacityBytes"] >= node["fs"]["availableBytes"] > 0
    assert pod["podRef"] == {"name": "web", "namespace": "ns", "uid": "u1"}
    assert pod["cpu"] == {"time": TIME, "usageNanoCores": 250_000_000, "usageCoreNanoSeconds": 22_250_000_000}
    [main] = pod["containers"]
    assert main["name"] == "main"
    assert main["memory"] == {"time": TIME, "usageBytes": 2000, "workingSetBytes": 1500}
    assert (main["rootfs"]["usedBytes"], pod["ephemeral-storage"]["usedBytes"]) == (30, 30)
    assert pod["network"]["interfaces"][0]["rxBytes"] == 1234
    claimed, scratch = pod["volume"]
    sizes = {"availableBytes": 60, "capacityBytes": 100, "usedBytes": 40}
    files = {"inodesFree": 6, "inodes": 10, "inodesUsed": 4}
    about = {"name": "v", "pvcRef": {"name": "data", "namespace": "ns"}, "volumeHealthStats": {"abnormal": False}}
    assert claimed == {"time": claimed["time"], **sizes, **files, **about}
    assert scratch["name"] == "scratch"
    assert not {"pvcRef", "volumeHealthStats"} & set(scratch)

    brief = page(pages(tmp_path / "b"), "/stats/summary?only_cpu_and_memory=true")
    found = orjson.loads(brief.body)
    assert set(found["node"]) == {"nodeName", "startTime", "cpu", "memory"}
    assert set(found["pods"][0]["containers"][0]) == {"name", "startTime", "cpu", "memory"}
    assert dict(brief.headers)[WINDOW] == "1.000"


def test_a_summary_without_pods_and_networks_is_one(tmp_path: Path) -> None:
    found = summary(Usage("n", BEGIN, BEGIN))
    assert found["pods"] == []
    assert "network" not in found["node"]


LINE = re.compile(r'^[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? [0-9.e+]+( \d{13})?$')


OF_POD = 'namespace="ns",pod="web"'
READY = 'probe_type="Readiness",result="failed",container="main",pod="web",namespace="ns",pod_uid="u1"'


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("/metrics/resource", f'container_cpu_usage_seconds_total{{container="main",{OF_POD}}} 22.25 {MILLIS}'),
        ("/metrics/resource", f"pod_memory_working_set_bytes{{{OF_POD}}} 1500 {MILLIS}"),
        ("/metrics/resource", f"node_memory_working_set_bytes 512000 {MILLIS}"),
        ("/metrics/resource", "resource_scrape_error 0"),
        ("/metrics/cadvisor", f'container_network_receive_bytes_total{{interface="eth0",{OF_POD}}} 1234 {MILLIS}'),
        ("/metrics/cadvisor", "machine_cpu_cores 2"),
        ("/metrics", 'kubelet_running_containers{container_state="running"} 1'),
        ("/metrics", 'kubelet_node_name{node="n"} 1'),
        ("/metrics", 'kubelet_pleg_relist_duration_seconds_bucket{le="0.005"} 1'),
        ("/metrics", 'kubelet_pleg_relist_duration_seconds_bucket{le="300.0"} 2'),
        ("/metrics", 'kubelet_pleg_relist_duration_seconds_bucket{le="+Inf"} 3'),
        ("/metrics", "kubelet_pleg_relist_duration_seconds_sum 400.203"),
        ("/metrics", "kubelet_pleg_relist_duration_seconds_count 3"),
        ("/metrics", 'navarch_agent_relist_differences_total{cause="missed"} 2'),
        ("/metrics", 'kubelet_volume_stats_capacity_bytes{namespace="ns",persistentvolumeclaim="data"} 100'),
        ("/metrics/probes", f"prober_probe_total{{{READY}}} 3"),
    ],
)
def test_prometheus_pages_are_lines_of_numbers(tmp_path: Path, target: str, line: str) -> None:
    answer = page(pages(tmp_path), target)
    assert answer.headers[0][1].startswith("text/plain; version=0.0.4")
    lines = answer.body.decode().splitlines()
    assert line in lines
    told = [one for one in lines if not one.startswith("#")]
    assert [one for one in told if not LINE.match(one)] == []
    named = [one.split()[2] for one in lines if one.startswith("# TYPE ")]
    assert len(named) == len(set(named))
    families = {re.sub(r"_(bucket|sum|count)$", "", one.partition("{")[0].split()[0]) for one in told}
    assert families == {re.sub(r"_count$", "", name) for name in named}


def test_labels_are_escaped_and_empty_families_left_out() -> None:
    sample = exposition.Sample({"a": 'x"y\\z\n'}, 0.5)
    found = exposition.text(
        (exposition.Family("f", "gauge", "Help.", (sample,)), exposition.Family("none", "gauge", "Help.", ()))
    )
    assert found == b'# HELP f Help.\n# TYPE f gauge\nf{a="x\\"y\\\\z\\n"} 0.5\n'


def test_other_pages_are_not_found(tmp_path: Path) -> None:
    for target in ("/metrics/other", "/stats", "/"):
        with pytest.raises(NotFound):
            page(pages(tmp_path / target.replace("/", "_")), target)


def test_the_server_reads_what_the_agent_says(tmp_path: Path) -> None:
    answer = page(pages(tmp_path), "/stats/summary?only_cpu_and_memory=true")
    found = usage_of(answer.body, "1.000")
    assert found.at == BEGIN + timedelta(seconds=61)
    assert (found.window_s, found.total.memory_bytes) == (1.0, 500 << 10)
    main = found.pods["u1"]["main"]
    assert (main.cpu_nano, main.memory_bytes) == (250_000_000, 1500)
    for wrong in (b"", b"{}", b'{"node": {"cpu": {"time": "then"}, "memory": {}}}', b"[1]"):
        with pytest.raises(Unavailable):
            usage_of(wrong, "1")
