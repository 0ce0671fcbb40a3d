"""Writes the table of goals and what was measured into `benchmarks/README.md`, from the stored results."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from ground import RESULTS

PAGE = Path(__file__).parent / "README.md"
BEGIN, END = "<!-- goals -->", "<!-- end of goals -->"


@dataclass(frozen=True)
class Goal:
    """most: what the figure may be; None where there is no goal, only something to know."""

    what: str
    result: str
    figure: str
    unit: str
    most: float | None = None


DIRECT = "beside a direct connection"

GOALS = (
    Goal("get a pod of 2 kB", "api", "get_cpu_ms", "ms of CPU", 0.065),
    Goal("create a pod, new template", "api", "create_new_template_cpu_ms", "ms of CPU", 0.45),
    Goal("create a pod, template seen before", "api", "create_known_template_cpu_ms", "ms of CPU", 0.2),
    Goal("patch a label", "api", "patch_label_cpu_ms", "ms of CPU", 0.3),
    Goal("patch the status", "api", "patch_status_cpu_ms", "ms of CPU", 0.4),
    Goal(
        "deliver to one of 200 watchers, under load",
        "api",
        "deliver_to_one_of_200_in_bursts_cpu_ms",
        "ms of CPU",
        0.005,
    ),
    Goal("deliver to one of 200 watchers, one change at a time", "api", "deliver_to_one_of_200_cpu_ms", "ms of CPU"),
    Goal("the last of 1,000 watchers has a change, median", "watchers", "last_of_1000_watchers_median_s", "s", 1),
    Goal("the same, the worst of 40 changes", "watchers", "last_of_1000_watchers_worst_s", "s", 1),
    Goal("`/livez` beside made-up hostile requests, worst", "soak-hostile", "livez_worst_s", "s", 0.5),
    Goal("`/livez` beside requests of almost 3 MB, worst", "soak-hostile", "livez_heavy_worst_s", "s", 0.5),
    Goal("list 500 pods", "api", "list_500_pods_cpu_ms", "ms of CPU", 3),
    Goal("list 10,000 pods", "api", "list_10000_pods_cpu_ms", "ms of CPU", 100),
    Goal("150,000 pods held (RSS)", "large", "rss_after_starting_MB", "MB", 2048),
    Goal("the same, as they were made", "large", "rss_after_creating_MB", "MB", 2048),
    Goal("server ready, 150,000 pods stored", "large", "start_s", "s"),
    Goal("get a pod among 150,000", "large", "get_cpu_ms", "ms of CPU", 0.1),
    Goal("list 500 pods among 150,000", "large", "list_500_cpu_ms", "ms of CPU", 3),
    Goal("list all 150,000 pods", "large", "list_all_cpu_ms", "ms of CPU"),
    Goal("gets", "api", "get_per_s", "a second"),
    Goal("creates, durable", "api", "create_known_template_per_s", "a second"),
    Goal("state in etcd: get a pod, proven to be the newest", "etcd", "get_cpu_ms", "ms of the server's CPU"),
    Goal("state in etcd: create a pod, template seen before", "etcd", "create_known_template_cpu_ms", "ms of the same"),
    Goal("the same: what etcd itself takes", "etcd", "create_known_template_etcd_cpu_ms", "ms of CPU"),
    Goal("state in etcd: patch a label", "etcd", "patch_label_cpu_ms", "ms of the server's CPU"),
    Goal("state in etcd: a get alone, from one end to the other", "etcd", "get_alone_ms", "ms"),
    Goal("state in etcd: a create alone", "etcd", "create_alone_ms", "ms"),
    Goal("library: from `import navarch` to a cluster that is ready", "library", "ready_s", "s", 1),
    Goal("the same", "library", "ready_cpu_s", "s of CPU"),
    Goal("library: one more in the same process", "library", "one_more_s", "s", 0.1),
    Goal("the same", "library", "one_more_cpu_s", "s of CPU"),
    Goal("library: 100 tests, each with a cluster and a Deployment of its own", "library", "tests_100_s", "s", 60),
    Goal("the same", "library", "tests_100_cpu_s", "s of CPU"),
    Goal("library: an idle month of 50 nodes with 500 pods", "library", "month_s", "s", 5),
    Goal("library: a day of 100 hourly CronJobs", "library", "day_s", "s", 60),
    Goal("the same", "library", "day_cpu_s", "s of CPU"),
    Goal(
        "the same, each of its 2,400 Jobs: events and what expires included", "library", "day_writes_per_job", "writes"
    ),
    Goal("server ready, a new cluster", "api", "first_start_s", "s", 3),
    Goal("server ready, 10,000 pods stored", "api", "start_with_10000_pods_s", "s", 3),
    Goal("`up` until the node is Ready, packages there", "machine", "up_to_ready_s", "s", 5),
    Goal("memory of server and agent, idle (RSS)", "machine", "server_and_agent_rss_MB", "MB", 150),
    Goal("the same, shared pages counted once (PSS)", "machine", "server_and_agent_pss_MB", "MB"),
    Goal("CPU of server and agent, idle", "machine", "server_and_agent_idle_cpu_percent", "% of a core", 1),
    Goal("`kubectl run` until Running", "machine", "kubectl_run_to_running_s", "s"),
    Goal("the same over what containerd takes", "machine", "over_containerd_s", "s", 0.3),
    Goal("30 pods of a Deployment, from `kubectl apply` until all are Ready", "agent", "30_pods_ready_s", "s"),
    Goal("one pod's start, the agent's own share", "agent", "start_agent_ms", "ms", 50),
    Goal("the same, the scheduler: made until bound", "agent", "start_scheduler_ms", "ms"),
    Goal("the same, the sandbox with its network", "agent", "start_sandbox_ms", "ms"),
    Goal("of that, the network", "agent", "start_network_ms", "ms"),
    Goal("the same, the container: made and started", "agent", "start_container_ms", "ms"),
    Goal("the same, writing the status", "agent", "start_status_ms", "ms"),
    Goal(
        "one endpoint among 10,000 Services, until the kernel has it",
        "network",
        "rules of 10000 services with 3 endpoints/one_endpoint/wall_ms",
        "ms",
        50,
    ),
    Goal(
        "the same, CPU of all that takes part",
        "network",
        "rules of 10000 services with 3 endpoints/one_endpoint/cpu_ms",
        "ms",
    ),
    Goal("a request through a Service, over one straight to the pod", "service", f"{DIRECT}/added_median_ms", "ms"),
    Goal("a stream through a Service", "service", f"{DIRECT}/service_MB_per_s", "MB a second"),
    Goal("the same stream straight to the pod", "service", f"{DIRECT}/direct_MB_per_s", "MB a second"),
    Goal(
        "ready until the first request through its Service, among 1,000, the slowest hundredth",
        "service",
        "ready until the first request/p99_ms",
        "ms",
        1000,
    ),
    Goal(
        "a rolling update of 20 replicas on three nodes under load, with preStop: requests that failed",
        "soak-rolling",
        "hooked_failed",
        "",
        0,
    ),
    Goal("the same without preStop", "soak-rolling", "bare_failed", "", 0),
    Goal("a link is healed, until the node's rules are right, slowest", "soak-links", "cut_converge_s", "s", 5),
    Goal(
        "an agent is killed amid a change of rules, until they are right, slowest",
        "soak-links",
        "killed_converge_s",
        "s",
        5,
    ),
    Goal("the kernel takes rules again, until they are right, slowest", "soak-links", "refused_converge_s", "s", 5),
    Goal(
        "a node is lost without a word, until no Service leads there, slowest", "soak-links", "lost_endpoints_s", "s", 5
    ),
    Goal("it is back, until the others lead to its pods again, slowest", "soak-links", "lost_again_s", "s", 5),
    Goal("requests that could flow and failed, through all of these faults", "soak-links", "failed", "", 0),
    Goal(
        "a sound check of the network of three nodes (`navarch net check`), slowest",
        "soak-check",
        "longest_sound_check_s",
        "s",
    ),
    Goal("a changed ConfigMap until a running pod's file shows it, of 20 pods", "volumes", "volume_update_ms", "ms"),
    Goal("the same, the last of the 20 pods", "volumes", "volume_update_last_of_20_ms", "ms"),
    Goal(
        "beside a fork bomb, a memory hog and a disk filler: a request that computes, median",
        "soak-neighbours",
        "ratio_of_medians_cpu",
        "times as long",
        2,
    ),
    Goal("the same, its slowest hundredth", "soak-neighbours", "ratio_of_p99_cpu", "times as long", 2),
    Goal(
        "the same, one that writes and syncs, median",
        "soak-neighbours",
        "ratio_of_medians_disk",
        "times as long",
        2,
    ),
    Goal("the same, its slowest hundredth", "soak-neighbours", "ratio_of_p99_disk", "times as long", 2),
    Goal("memory of the agent beside 100 pods (RSS)", "agent", "rss_MB_with_100_pods", "MB", 100),
    Goal("CPU of the agent beside 100 pods that rest", "agent", "idle_cpu_percent_with_100_pods", "% of a core", 1),
    Goal("library: 1,000 replicas on 1,000 nodes, all available", "scale", "replicas/ready_s", "s", 5),
    Goal("library: 10,000 Deployments on 1,000 nodes, all available", "scale", "deployments/ready_s", "s", 120),
    Goal("library: 150,000 pods on 5,000 nodes, all available", "scale", "crowd/ready_s", "s", 600),
    Goal("the same, memory of the whole process at most (RSS)", "scale", "crowd/peak_MB", "MB", 4096),
)


def figure_of(goal: Goal, results: dict[str, Any]) -> Any:
    """None for what was not measured yet. Figures of scenes stand below the scene's name."""
    found = results.get(goal.result, {"figures": {}})["figures"]
    for name in goal.figure.split("/"):
        found = found.get(name, {})
    return found if found != {} else None


def row(goal: Goal, results: dict[str, Any]) -> str:
    figure = figure_of(goal, results)
    wanted = "" if goal.most is None else f"{goal.most:g}"
    verdict = "" if goal.most is None else ("yes" if figure <= goal.most else "**no**")
    measured = f"{figure:g} {goal.unit}".strip()
    return f"| {goal.what} | {measured} | {wanted} | {verdict} |"


def soaks() -> list[str]:
    """What they counted beside stands in the result files, or among the goals."""
    rows = ["| what, at full count | n | found wrong | acknowledged writes | slowest start |", "|---|---|---|---|---|"]
    for path in sorted(RESULTS.glob("soak-*.json")):
        found = json.loads(path.read_text())
        figures = found["figures"]
        slowest = figures.get("slowest_start_s")
        start = "" if slowest is None else f"{slowest} s"
        cells = (found["what"], found["n"], found["wrong"], figures.get("writes", ""), start)
        rows.append("| " + " | ".join(map(str, cells)) + " |")
    return rows


def table() -> str:
    results = {path.stem: json.loads(path.read_text()) for path in RESULTS.glob("*.json")}
    known = [goal for goal in GOALS if figure_of(goal, results) is not None]
    rows = ["| | measured | goal | met |", "|---|---|---|---|", *(row(goal, results) for goal in known)]
    seen = results["api"]["conditions"]
    about = f"On {seen['cpu']}, kernel {seen['kernel']}, CPython {seen['python']}; commits in the result files."
    return "\n".join([about, "", *rows, "", *soaks()])


def main() -> int:
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
