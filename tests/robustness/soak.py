"""The robustness scenes at their full count: `.ci/soak NAME` runs this; a run that was stopped goes on where it was.

One unit is one scene on a fresh server with its own seed. What is done lies in `.state/soak/NAME.json` until the run is
complete; then `benchmarks/results/soak-NAME.json` has the commit, n, the seeds and the figures. A unit that found
something wrong ends the run with its seed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import addresses
import endurance
import hostile
import neighbours
import netfaults
import packets
import scenes
import subpathrace
from history import record
from masters import masters
from serverprocess import serving
from sifting import sift

ROOT = Path(__file__).parents[2]
Unit = Callable[[Path, int], dict[str, Any]]


@dataclass(frozen=True)
class Soak:
    """each: cycles of one unit; n: cycles of all. counts: what a cycle is."""

    counts: str
    n: int
    each: int
    play: Unit


def _scene(scene: Callable[..., scenes.Found], each: int) -> Unit:
    return lambda folder, seed: asdict(scene(folder, seed, each))


def _history(folder: Path, seed: int) -> dict[str, Any]:
    with serving(folder) as server:
        return asdict(record(server, seed, seconds=12, kill=3))


def _history_etcd(folder: Path, seed: int) -> dict[str, Any]:
    with masters(folder, seed=seed) as pair:
        return asdict(record(pair, seed, seconds=12, kill=4))


def _matrix(folder: Path, seed: int) -> dict[str, Any]:
    from matrix import play as playing_policies

    return playing_policies(folder, seed)


def _rotations(folder: Path, seed: int) -> dict[str, Any]:
    sys.path.insert(0, str(ROOT / "tests" / "node"))
    from rotation import play as rotating

    return asdict(rotating(folder, 20))


def _rolling(folder: Path, seed: int) -> dict[str, Any]:
    sys.path.insert(0, str(ROOT / "tests" / "node"))
    import rolling

    return rolling.play(folder, seed)


def _links(folder: Path, seed: int) -> dict[str, Any]:
    sys.path.insert(0, str(ROOT / "tests" / "node"))
    import faults

    return faults.play(folder, seed)


SOAKS = {
    "check": Soak(
        "faults planted on the network of a real cluster of three nodes, a check of a sound one before and after each",
        netfaults.COUNT,
        netfaults.COUNT,
        lambda folder, seed: asdict(netfaults.play(folder, seed)),
    ),
    "rotations": Soak("rotations of every certificate of a cluster under exec and logs", 20, 20, _rotations),
    "kills": Soak("kill -9 under load", 100, 10, _scene(scenes.kills, 10)),
    "power": Soak("power cuts under load", 20, 5, _scene(scenes.power_cuts, 5)),
    "syncs": Soak("times that every sync failed with EIO under load", 20, 5, _scene(scenes.failing_syncs, 5)),
    "full": Soak("times that the disk was full under load", 20, 5, _scene(scenes.full_disks, 5)),
    "hostile": Soak("rounds of three made-up requests to every operation and of the heavy ones", 2, 1, hostile.play),
    "history": Soak("recorded histories of 12 s, three kills in each", 20, 1, _history),
    "history-etcd": Soak(
        "recorded histories of two servers on one etcd, 12 s and four faults in each (a server killed, etcd killed, "
        "compaction, everything killed)",
        20,
        1,
        _history_etcd,
    ),
    "subpath": Soak(
        "parts of a volume prepared while a racer swaps a directory and a link to / under them",
        10_000,
        1_000,
        lambda folder, seed: subpathrace.play(folder, seed, 1_000),
    ),
    "addresses": Soak(
        "pods whose network the CNI plugins made and removed, by turns of IPv4, of both families and of IPv6, four of "
        "ten under a kill of the plugin or of its caller",
        10_000,
        500,
        lambda folder, seed: asdict(addresses.play(seed, 500)),
    ),
    "endurance": Soak(
        "kill -9 of the agent over 50 running pods while others come and go, with two of containerd to each ten; five "
        "of the pods and every other guest have volumes of a driver",
        100,
        10,
        lambda folder, seed: asdict(endurance.play(folder, seed)),
    ),
    "neighbours": Soak(
        "windows of 25 s beside a fork bomb, a memory hog and a disk filler in one pod, each between two quiet ones",
        8,
        2,
        lambda folder, seed: asdict(neighbours.play(folder, seed)),
    ),
    "matrix": Soak(
        "times the whole matrix of network policies between pods of three nodes, by real connections and by traces",
        3,
        1,
        _matrix,
    ),
    "rolling": Soak(
        "times that 20 replicas behind a Service on three nodes were updated under load, with a preStop hook and "
        "without, until at least 20,000 requests were sent each way",
        1,
        1,
        _rolling,
    ),
    "links": Soak(
        "faults on three nodes under requests: links cut and healed, agents killed amid a change of rules, rules of "
        "others in the way, kernels that refuse, and nodes lost",
        30,
        10,
        _links,
    ),
    "policies": Soak("times the whole matrix of network policies, by real connections", 10, 1, packets.matrix),
    "packets": Soak(
        "made-up sets of services, endpoints and policies of which every packet was sent and traced",
        1_000,
        50,
        lambda folder, seed: packets.agreement(folder, seed, 50),
    ),
    "sieve": Soak(
        "seeds of the simulation: two scenes, every controller alone in its turn, four faults in each",
        10_000,
        100,
        lambda folder, number: sift(folder, number, 100),
    ),
}


def commit() -> str:
    said = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    return said.stdout.strip()


def cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{os.cpu_count()} x {line.partition(':')[2].strip()}"
    return f"{os.cpu_count()} x {platform.machine()}"


AT_ONCE = ("pods", "with_volumes_of_a_driver")
"""Figures that are the same in every unit."""


def total(units: list[dict[str, Any]]) -> dict[str, Any]:
    """Sums, but of times, ratios and what is there at once the largest."""
    found: dict[str, Any] = {}
    for name in [key for key in units[0] if key not in ("wrong", "seed", "commit")]:
        values = [unit[name] for unit in units]
        largest = name in AT_ONCE or name.endswith(("_s", "_ms", "_at_most")) or name.startswith("ratio_")
        found[name] = round(max(values) if largest else sum(values), 2)
    return found


def play(name: str, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="navarch-soak-") as folder:
        return SOAKS[name].play(Path(folder), seed)


@contextmanager
def playing(name: str, seeds: range, beside: int) -> Iterator[Iterator[dict[str, Any]]]:
    """What the seeds found, in their order. beside: so many at one time, each in a process and a session of its own,
    since that is what the kernel divides a busy machine by."""
    if beside == 1:
        yield (play(name, seed) for seed in seeds)
        return
    with ProcessPoolExecutor(beside, initializer=os.setsid) as pool:
        waiting = [pool.submit(play, name, seed) for seed in seeds]
        try:
            yield (one.result() for one in waiting)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=SOAKS)
    parser.add_argument("--n", type=int, default=0, help="cycles, if not the full count")
    parser.add_argument("--beside", type=int, default=1, help="units at one time, of sieve alone")
    parser.add_argument("--go-on", action="store_true", help="from what another commit did; the result names both")
    parser.add_argument("--date", default="", help="what the result is dated with")
    asked = parser.parse_args()
    if asked.beside != 1 and asked.name != "sieve":
        parser.error("--beside is for sieve alone: the other scenes measure and strain the machine they are on")
    soak = SOAKS[asked.name]
    units = -(-(asked.n or soak.n) // soak.each)
    state = ROOT / ".state" / "soak" / f"{asked.name}.json"
    state.parent.mkdir(parents=True, exist_ok=True)
    now = commit()
    done: dict[str, Any] = json.loads(state.read_text()) if state.exists() else {}
    if done.get("commit") != now and not (asked.go_on and done):
        done = {"commit": now, "units": []}
    for unit in done["units"]:
        unit.setdefault("commit", done["commit"])
    done["commit"] = now
    seeds = range(len(done["units"]) + 1, units + 1)
    with playing(asked.name, seeds, asked.beside) as found_by_seed:
        for seed, found in zip(seeds, found_by_seed, strict=True):
            print(f"{asked.name} {seed}/{units}: {found}", flush=True)
            if found["wrong"]:
                return 1
            done["units"].append({"seed": seed, "commit": now, **found})
            state.write_text(json.dumps(done))
    result = {
        "what": soak.counts,
        "n": units * soak.each,
        "wrong": 0,
        "seeds": [unit["seed"] for unit in done["units"]],
        "commits": dict(Counter(unit["commit"] for unit in done["units"])),
        "figures": total(done["units"]),
        "conditions": {"commit": now, "cpu": cpu(), "python": platform.python_version(), "date": asked.date},
    }
    path = ROOT / "benchmarks" / "results" / f"soak-{asked.name}.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(f"{path.relative_to(ROOT)}: {json.dumps(result['figures'])}")
    state.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
