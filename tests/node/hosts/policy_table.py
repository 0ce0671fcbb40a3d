"""The matrix of network policies on three hosts: every pair of the crew's nine pods, TCP and UDP, two ports, for case
after case, by real connections; and beside them what `navarch net trace` says of each."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crew import PREFIX, Crew, Probe, http, udp
from netpol_cases import ADDRESSES, SPACES, Ask, Case, anybody, asks
from real_cluster import Kubectl

from navarch.app.layout import Layout, load_settings
from navarch.app.nettrace.explain import explain
from navarch.app.nettrace.question import question
from navarch.app.nettrace.world import World, read
from navarch.client.http import HttpClient
from navarch.client.target import read_kubeconfig

CONVERGED_S = 30.0
SILENT_S = 0.6
"""How long an attempt that should come to nothing waits, while the nodes may still be about to change their rules."""
STAYS_SILENT_S = 1.0
STAYS_OPEN_S = 15.0
WHOLE = "10.244.0.0/24"
"""What the cases call the network of all pods."""


@dataclass
class Tally:
    """connections: that were judged, twice each: once when they had converged, and once more. traced: those of which
    the trace was asked as well."""

    cases: int = 0
    connections: int = 0
    traced: int = 0
    slowest_s: float = 0.0
    wrong: list[str] = field(default_factory=list)


class Table:
    """Plays cases one after the other, each replacing the last."""

    def __init__(self, crew: Crew) -> None:
        settings = load_settings(Layout())
        assert settings
        self._crew = crew
        self._everywhere = Kubectl(crew.kubeconfig)
        self._real = {f"{ADDRESSES[each.name]}/32": f"{each.address}/32" for each in crew.pods}
        self._real[WHOLE] = settings.cluster_cidr
        self._policies: set[str] = set()
        self._labels: Mapping[str, Mapping[str, str]] = {}
        self._asks = list(asks())

    def play(self, cases: Sequence[Case], *, trace: bool = True) -> Tally:
        tally = Tally()
        for case in cases:
            self._put(case)
            began = time.monotonic()
            self._judge(tally, case, "after so long", self._probes(case, settling=True))
            tally.slowest_s = max(tally.slowest_s, round(time.monotonic() - began, 2))
            self._judge(tally, case, "a moment later", self._probes(case, settling=False))
            if trace:
                self._trace(tally, case)
            tally.cases += 1
        return tally

    def clear(self) -> None:
        self._put(Case("nothing", {}, anybody))

    def _put(self, case: Case) -> None:
        """Labels, then policies that are new or changed, then those that go."""
        for name in {*self._labels, *case.labels}:
            before, after = self._labels.get(name, {}), case.labels.get(name, {})
            words = [f"{key}={value}" for key, value in after.items()] + [f"{key}-" for key in before.keys() - after]
            space, _, pod = name.partition("/")
            whose = self._crew.kubectl(space) if pod else self._everywhere
            what = f"pod/{pod}" if pod else f"namespace/{PREFIX}{space}"
            if words:
                whose("label", "--overwrite", what, *words)
        for space in SPACES:
            documents = [self._policy(name, spec) for name, spec in case.policies.items() if name[0] == space]
            if documents:
                self._crew.kubectl(space).apply(*documents)
            gone = [name[2:] for name in self._policies - case.policies.keys() if name[0] == space]
            if gone:
                self._crew.kubectl(space)("delete", "networkpolicy", *gone)
        self._policies, self._labels = set(case.policies), case.labels

    def _policy(self, name: str, spec: Any) -> dict[str, Any]:
        """With the addresses that pods have here."""
        text = json.dumps(spec)
        for said, real in self._real.items():
            text = text.replace(f'"{said}"', f'"{real}"')
        metadata = {"name": name[2:], "namespace": PREFIX + name[0]}
        return {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": metadata,
            "spec": json.loads(text),
        }

    def _probes(self, case: Case, *, settling: bool) -> dict[str, list[Probe]]:
        found: dict[str, list[Probe]] = {each.name: [] for each in self._crew.pods}
        for ask in self._asks:
            come = case.expects(ask)
            kind = http if ask.protocol == "tcp" else udp
            probe = kind(self._crew.address(ask.target), ask.port)
            if settling:
                wait_s = 2.0 if come else SILENT_S
                probe = probe._replace(wait_s=wait_s, come=int(come), patience_s=CONVERGED_S)
            else:
                probe = probe._replace(wait_s=STAYS_OPEN_S if come else STAYS_SILENT_S, come=-1)
            found[ask.source].append(probe)
        return found

    def _judge(self, tally: Tally, case: Case, when: str, probes: Mapping[str, Sequence[Probe]]) -> None:
        answers = {name: iter(said) for name, said in self._crew.ask(probes).items()}
        for ask in self._asks:
            said = next(answers[ask.source])
            tally.connections += 1
            if said.name != (ask.target if case.expects(ask) else ""):
                tally.wrong.append(f"{case.name}: {ask} {when}: {said}")

    def _trace(self, tally: Tally, case: Case) -> None:
        world = world_of(self._crew.kubeconfig)
        for ask in self._asks:
            tally.traced += 1
            found = explain(world, question(*_ends(ask), port=str(ask.port), protocol=ask.protocol))
            if found.fate != ("arrives" if case.expects(ask) else "stopped"):
                tally.wrong.append(f"{case.name}: {ask}: the trace says: {found.verdict}")


def _ends(ask: Ask) -> tuple[str, str]:
    return f"{PREFIX}{ask.source}", f"pod/{PREFIX}{ask.target}"


def world_of(kubeconfig: Path) -> World:
    """All that a trace is made from, as it is now."""

    async def reading() -> World:
        async with HttpClient(read_kubeconfig(kubeconfig, ""), "navarch-tests") as client:
            return await read(client)

    return asyncio.run(reading())
