"""`navarch simulate`: what is asked on the command line becomes a scenario, its report table and picture."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from navarch.base.clock import parse_rfc3339
from navarch.base.errors import BadRequest
from navarch.cli import chart, output
from navarch.cli.chart import Series, told
from navarch.cli.picture import svg
from navarch.testing import scenario as scenarios
from navarch.testing import trace as traces
from navarch.testing.behaviour import behaviours_from_yaml
from navarch.testing.fleet import Fleet, add_file, group_of
from navarch.testing.report import NodeUse, Report, Trouble, Workload
from navarch.testing.scenario import Progress, Scenario, Tell

FEW_NODES = 3
"""How many there are when nobody says."""
NODES_SHOWN = 24
ROWS_SHOWN = 20
EVENTS_SHOWN = 10
LENGTH_S = 600.0
"""From the last step of the trace to the end, when nobody says how long."""
COLUMNS = 72
WORDS = 100


@dataclass(frozen=True, slots=True)
class Asked:
    """The words of the command line. nodes: None when not said."""

    manifests: Sequence[str]
    nodes: int | None = None
    machine: str = ""
    zones: Sequence[str] = ()
    nodes_file: str = ""
    behaviours: str = ""
    length: str = ""
    seed: int = 0
    start: str = ""
    fail: Sequence[str] = ()
    form: str = "table"
    plot: str = ""
    check: bool = False


def run(asked: Asked) -> int:
    """The exit code. Raises: BadRequest."""
    if asked.plot and Path(asked.plot).suffix != ".svg":
        raise BadRequest(f"--plot {asked.plot}: pictures are written as SVG: name a file that ends in .svg")
    scenario, left_out = scenario_of(asked)
    began_s = time.monotonic()
    with bar() as tell:
        found = scenarios.play(scenario, tell)
    took_s = time.monotonic() - began_s
    title = title_of(found)
    if asked.plot:
        try:
            Path(asked.plot).write_text(svg(found, title))
        except OSError as error:
            raise BadRequest(f"--plot {asked.plot}: cannot be written: {error.strerror}") from None
    if asked.form == "json":
        print(json.dumps(found.document(), indent=2))
    elif asked.form == "yaml":
        print(yaml.safe_dump(found.document(), sort_keys=False, allow_unicode=True), end="")
    else:
        show(found, title, left_out)
        if sys.stdout.isatty():
            output.done(f"simulated in {took_s:.1f} s" + (f"; {asked.plot} was written" if asked.plot else ""))
    return int(asked.check and not found.well)


def scenario_of(asked: Asked) -> tuple[Scenario, int]:
    """And how many objects were left out. Raises: BadRequest."""
    trace = traces.read(asked.manifests)
    fleet = Fleet()
    if asked.nodes_file:
        add_file(fleet, asked.nodes_file)
    for name, machine in trace.fleet.machines.items():
        fleet.add(name, machine, "the manifests", unschedulable=name in trace.fleet.cordoned)
    number = asked.nodes
    if number is None:
        number = 0 if fleet.machines else FEW_NODES
    fleet.add_group(group_of(asked.machine, number, asked.zones), "--nodes")
    steps = trace.ordered()
    for text in asked.fail:
        steps += traces.outage(text)
    steps.sort(key=lambda step: step.at_s)
    for step in steps:
        node = getattr(step.action, "node", None)
        if node is not None and node not in fleet.machines:
            raise BadRequest(f"{step.where}: there is no node {node}; {_some(list(fleet.machines))}")
    last_s = max((step.at_s for step in steps), default=0.0)
    length_s = traces.duration(asked.length, "--for", "length") if asked.length else last_s + LENGTH_S
    if length_s <= 0:
        raise BadRequest(f"--for {asked.length}: a simulation lasts longer than that")
    behaviours = behaviours_from_yaml(_read(asked.behaviours)) if asked.behaviours else ()
    start = scenarios.START
    if asked.start:
        try:
            start = parse_rfc3339(asked.start)
        except ValueError:
            raise BadRequest(f"--start {asked.start}: write a moment such as 2030-01-01T08:00:00Z") from None
    return Scenario(fleet, steps, length_s, asked.seed, start, behaviours), trace.left_out


def _some(names: Sequence[str]) -> str:
    return f"there are {', '.join(names[:5])}{' and others' if len(names) > 5 else ''}" if names else "there are none"


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError as error:
        raise BadRequest(f"--behaviours {path}: cannot be read: {error.strerror}") from None


@contextmanager
def bar() -> Iterator[Tell]:
    """Virtual time going by, on a terminal."""
    if not sys.stderr.isatty():
        yield lambda progress: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("simulating"), BarColumn(), TextColumn("{task.fields[told]}"), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("", total=1.0, told="")

        def tell(now: Progress) -> None:
            text = f"{told(now.at_s)} of {told(now.length_s)}, {now.pods} pods, {now.pending} pending"
            shown.update(task, completed=now.at_s / now.length_s, told=text)

        yield tell


# -- the table


def title_of(found: Report) -> str:
    last = found.samples[-1]
    pending = f", {last.pending} pending" if last.pending else ""
    return f"{_count(len(found.nodes), 'node')} and {_count(last.pods, 'pod')}{pending}, after {told(found.seconds)}"


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def show(found: Report, title: str, left_out: int) -> None:
    coloured, plain = sys.stdout.isatty(), not _blocks()
    _heading(f"{title} (seed {found.seed})")
    for note in found.notes:
        print(f"note: {note}")
    if left_out:
        print(f"note: {_count(left_out, 'object')} left out: those that others made, and events, leases, endpoints")
    print()
    show_nodes(found)
    show_workloads(found)
    show_troubles("Pending", found.pending)
    show_troubles("Not ready", found.unwell)
    show_events(found)
    if found.refused:
        _heading("Refused")
        print("\n".join(found.refused) + "\n")
    columns = min(COLUMNS, max(20, shutil.get_terminal_size((COLUMNS + 12, 24)).columns - 12))
    for series in plots(found):
        print("\n".join(chart.drawn(series, found.seconds, columns, plain=plain, coloured=coloured)))
    print("\n".join(chart.time_axis(found.seconds, columns, plain=plain)))


def _blocks() -> bool:
    """Whether standard output can show block characters."""
    try:
        chart.BLOCKS.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _heading(text: str) -> None:
    print(f"\033[1m{text}\033[0m" if sys.stdout.isatty() else text)


def share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f}%" if whole else "-"


def cores(milli: int) -> str:
    return f"{milli / 1000:.1f}".removesuffix(".0")


def size(amount_bytes: int) -> str:
    amount = float(amount_bytes)
    for unit in ("", "Ki", "Mi", "Gi", "Ti"):
        if amount < 1024 or unit == "Ti":
            break
        amount /= 1024
    return f"{amount:.1f}".removesuffix(".0") + unit


def _use(node: Mapping[str, int]) -> tuple[str, str, str, str]:
    cpu, memory = node["cpu_requested"], node["memory_requested"]
    cpu_has, memory_has = node["cpu_allocatable"], node["memory_allocatable"]
    return (
        f"{cores(cpu)}/{cores(cpu_has)}",
        share(cpu, cpu_has),
        f"{size(memory)}/{size(memory_has)}",
        share(memory, memory_has),
    )


SUMMED = ("pods", "pods_allocatable", "cpu_requested", "cpu_allocatable", "memory_requested", "memory_allocatable")
HEADS = ("PODS", "CPU", "CPU%", "MEMORY", "MEMORY%")


def _summed(nodes: Sequence[NodeUse]) -> dict[str, int]:
    return {name: sum(getattr(node, name) for node in nodes) for name in SUMMED}


def show_nodes(found: Report) -> None:
    """One by one when there are few; else by zone."""
    nodes = found.nodes
    if not nodes:
        print("There are no nodes.\n")
        return
    rows: list[tuple[str, ...]] = []
    if len(nodes) <= NODES_SHOWN:
        for node in nodes:
            sums = _summed([node])
            zone = node.zone or "-"
            rows.append((node.name, node.status, zone, f"{node.pods}/{node.pods_allocatable}", *_use(sums)))
        sums = _summed(nodes)
        rows.append(("all", "", "", f"{sums['pods']}/{sums['pods_allocatable']}", *_use(sums)))
        output.table(("NODE", "STATUS", "ZONE", *HEADS), rows)
        print()
        return
    zones: dict[str, list[NodeUse]] = defaultdict(list)
    for node in nodes:
        zones[node.zone or "-"].append(node)
    groups = [(name, zones[name]) for name in sorted(zones)]
    if len(groups) > 1:
        groups.append(("all", list(nodes)))
    for name, some in groups:
        sums = _summed(some)
        ready = sum(node.status.startswith("Ready") for node in some)
        busy = sorted(node.cpu_requested / node.cpu_allocatable if node.cpu_allocatable else 0.0 for node in some)
        span = f"{busy[0]:.0%}..{busy[-1]:.0%}"
        pods = f"{sums['pods']}/{sums['pods_allocatable']}"
        rows.append((name, f"{ready}/{len(some)}", pods, *_use(sums), span))
    output.table(("ZONE", "READY", *HEADS, "CPU% OF A NODE"), rows)
    print()


def show_workloads(found: Report) -> None:
    if not found.workloads:
        return
    troubled = sorted(found.workloads, key=lambda one: (one.well, one.namespace, one.name))
    rows = []
    for one in troubled[:ROWS_SHOWN]:
        after = told(one.took_seconds) if one.took_seconds is not None else "-"
        ready = "-" if one.name.startswith("cronjob/") else f"{one.ready}/{one.wanted}"
        rows.append((one.namespace, one.name, ready, after, _state(one), one.note))
    output.table(("NAMESPACE", "WORKLOAD", "READY", "AFTER", "STATE", "NOTE"), rows)
    _more(len(troubled) - ROWS_SHOWN, "workloads")


def _state(one: Workload) -> str:
    if one.well:
        return "well"
    return "not done" if one.name.startswith("job/") and not one.note else "not well"


def show_troubles(title: str, found: Sequence[Trouble]) -> None:
    if not found:
        return
    _heading(f"{title}: {_count(sum(one.pods for one in found), 'pod')}")
    rows = [
        (str(one.pods), f"{one.namespace}/{one.workload}", told(one.since_seconds), one.reason, _cut(one.message))
        for one in found[:ROWS_SHOWN]
    ]
    output.table(("PODS", "OF", "SINCE", "REASON", "MESSAGE"), rows)
    _more(len(found) - ROWS_SHOWN, "groups")


def show_events(found: Report) -> None:
    if not found.events:
        return
    _heading("Events of note")
    rows = [
        (str(one.times), one.type, one.reason, _span(one.first_seconds, one.last_seconds), one.last, _cut(one.message))
        for one in found.events[:EVENTS_SHOWN]
    ]
    output.table(("TIMES", "TYPE", "REASON", "WHEN", "LAST OBJECT", "MESSAGE"), rows)
    _more(len(found.events) - EVENTS_SHOWN, "reasons")


def _span(first_s: float, last_s: float) -> str:
    return told(first_s) if told(first_s) == told(last_s) else f"{told(first_s)}..{told(last_s)}"


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= WORDS else line[: WORDS - 1] + "…"


def _more(number: int, what: str) -> None:
    print(f"… and {number} more {what}; -o json tells all\n" if number > 0 else "")


def plots(found: Report) -> list[Series]:
    def over(value: Any) -> list[tuple[float, float]]:
        return [(sample.at_seconds, value(sample)) for sample in found.samples]

    last = found.samples[-1]
    most_pods = max(sample.pods for sample in found.samples)
    most_pending = max(sample.pending for sample in found.samples)
    share_now = f"now {last.cpu_share:.0%} of {cores(last.cpu_allocatable)} cores"
    memory_now = f"now {last.memory_share:.0%} of {size(last.memory_allocatable)}"
    series = [
        Series(f"CPU requested, {share_now}", over(lambda one: one.cpu_share * 100), 100, "%", "34"),
        Series(f"Memory requested, {memory_now}", over(lambda one: one.memory_share * 100), 100, "%", "33"),
        Series(f"Pods ready, now {last.ready}", over(lambda one: one.ready), most_pods, "", "32"),
    ]
    if most_pending:
        pending = over(lambda one: one.pending)
        series.append(Series(f"Pods pending, now {last.pending}", pending, most_pending, "", "31"))
    return series
