"""Faults planted one after another on a real cluster of three nodes, and whether `navarch net check` names each of them
and, before and after it, none."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "node"))
sys.path.insert(0, str(Path(__file__).parents[1] / "node" / "hosts"))

import planted
from planted import FAULTS, Fault, Ground
from real_cluster import until
from shared_cluster import brought_up, nodes_of_the_machine, own_namespace, ready_nodes

COUNT = len(FAULTS)


@dataclass
class Found:
    """alarms: findings where nothing was planted. more: others than what was. Times are of whole commands."""

    planted: int = 0
    named: int = 0
    sound_checks: int = 0
    alarms: int = 0
    more: int = 0
    probes_at_most: int = 0
    longest_sound_check_s: float = 0.0
    longest_check_of_a_fault_s: float = 0.0
    wrong: list[str] = field(default_factory=list)


def play(folder: Path, seed: int) -> Found:
    """seed: where in the list of faults it begins."""
    found = Found()
    with brought_up(folder, "--nodes", "3") as kubeconfig, own_namespace(kubeconfig, "x.faults") as kubectl:
        nodes = nodes_of_the_machine()
        until("all nodes to be Ready", lambda: ready_nodes(kubectl) == {node.name for node in nodes})
        ground = planted.victims(kubectl, nodes)
        names = [*FAULTS][seed % COUNT :] + [*FAULTS][: seed % COUNT]
        _sound(found, kubeconfig, "at first")
        for name in names:
            _one(found, kubeconfig, ground, name, FAULTS[name])
        left = [one for one in kubectl("get", "namespaces", "-o", "name").split() if "net-check" in one]
        found.wrong += [f"left behind: {left}"] if left else []
    return found


def _one(found: Found, kubeconfig: Path, ground: Ground, name: str, fault: Fault) -> None:
    with planted.joined_by(ground, fault.mode):
        if fault.mode != "auto":
            _sound(found, kubeconfig, f"before {name}")
        with fault.plant(ground):
            began = time.monotonic()
            code, report = planted.check(kubeconfig, *planted.words(ground, fault))
            found.longest_check_of_a_fault_s = max(found.longest_check_of_a_fault_s, time.monotonic() - began)
        found.planted += 1
        if code == 1 and planted.named(report, fault, ground.nodes):
            found.named += 1
        else:
            found.wrong.append(f"{name}: not named among {_shown(report)}")
        found.more += max(0, len(report["findings"]) - 1)
    print(f"{name}: {code} in {time.monotonic() - began:.1f} s: {_shown(report)}", flush=True)
    _sound(found, kubeconfig, f"after {name}")


def _sound(found: Found, kubeconfig: Path, when: str) -> None:
    began = time.monotonic()
    code, report = planted.check(kubeconfig)
    found.longest_sound_check_s = max(found.longest_sound_check_s, time.monotonic() - began)
    found.sound_checks += 1
    found.probes_at_most = max(found.probes_at_most, len(report["paths"]))
    if code or report["findings"]:
        found.alarms += len(report["findings"])
        found.wrong.append(f"{when}: {_shown(report)}")
        print(found.wrong[-1], flush=True)


def _shown(report: dict[str, Any]) -> list[str]:
    with suppress(KeyError):
        return [f"{one['hop']} {one['node']} {one['what']}: {one['cause']}" for one in report["findings"]]
    return []
