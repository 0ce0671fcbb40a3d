"""One seed is one history, and broken promises are found and can be seen again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from navarch.base.clock import SeededIds
from navarch.controllers import account
from navarch.objects.value import Document
from navarch.testing import simulate as simulation
from navarch.testing.faults import drawn, perturbations
from navarch.testing.ledger import Broken, Ledger
from navarch.testing.promises import addresses_are_unique, bound_once, nodes_have_room, surge_is_kept
from navarch.testing.scenes import SCENES
from navarch.testing.simulate import reproduction, sieve, simulate
from navarch.testing.world import ORGANS

SOURCE = Path(__file__).parents[3] / "src"
SEEDS = (1, 2, 3)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_run_twice_gives_the_same_history(seed: int) -> None:
    first = simulate(seed, steps=6, faults=6)
    again = simulate(seed, steps=6, faults=6)
    assert first == again
    assert first.writes > 50


EVERYTHING = ("--seed", "20", "--count", "3", "--nodes", "3", "--steps", "0", "--faults", "4", "--scenes", "any")


@pytest.mark.parametrize(
    ("arguments", "digest"),
    [
        (("--seed", "1", "--steps", "6", "--faults", "6"), lambda: simulate(1, steps=6, faults=6).digest),
        (EVERYTHING, lambda: sieve(22).digest),
    ],
)
def test_neither_hashes_nor_addresses_of_the_process_matter(
    arguments: tuple[str, ...], digest: Callable[[], str]
) -> None:
    """Sets are ordered by hashes, which differ from one process to the next."""
    digests = set()
    for hash_seed in ("1", "2"):
        ran = subprocess.run(
            [sys.executable, "-m", "navarch.testing.simulate", *arguments],
            env={**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        digests.add(ran.stdout)
    assert len(digests) == 1
    assert digest() in digests.pop()


def test_seeds_differ() -> None:
    assert simulate(1, steps=6, faults=6).digest != simulate(2, steps=6, faults=6).digest


def test_a_broken_promise_says_how_to_see_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_pods(ledger: Ledger, old: Document | None, new: Document | None) -> Iterator[str]:
        if new is not None and new.get("kind") == "Pod":
            yield "there is a pod"

    monkeypatch.setattr(simulation, "PROMISES", (no_pods,))
    with pytest.raises(Broken) as broken:
        simulate(4, steps=3, faults=0)
    assert "there is a pod" in str(broken.value)
    assert reproduction(4, 4, 3, 0) in str(broken.value)


@pytest.mark.parametrize(
    ("seed", "nodes", "steps", "faults"),
    [
        (1, 4, 6, 6),  # two pods with one address, after the nodes' organ was started afresh
        (311, 4, 30, 15),  # a pod that was never ready, because the write that said so had failed once
        (504, 6, 30, 30),  # a pod that never went, because a write that changed nothing came back with its deletion
    ],
)
def test_seeds_that_once_found_something(seed: int, nodes: int, steps: int, faults: int) -> None:
    simulate(seed, nodes=nodes, steps=steps, faults=faults)


def test_faults_are_drawn_from_the_seed() -> None:
    def draw(seed: int) -> object:
        return drawn(SeededIds(seed), ("n1", "n2"), ORGANS, 100.0, 12)

    assert draw(1) == draw(1) != draw(2)
    times = [fault.at_s for fault in drawn(SeededIds(3), ("n1",), ORGANS, 100.0, 12)]
    assert times == sorted(times)
    assert all(0 <= at_s < 100 for at_s in times)


def test_most_perturbations_are_aimed_at_the_victims() -> None:
    def draw(seed: int) -> object:
        return perturbations(SeededIds(seed), ("n1",), ("job",), ("controllers",), 50.0, 200)

    assert draw(1) == draw(1) != draw(2)
    aimed = [fault.organ for fault in draw(1) if hasattr(fault, "organ")]  # type: ignore[attr-defined]
    assert aimed.count("job") > aimed.count("controllers") > 0


@pytest.mark.parametrize("name", sorted(SCENES))
def test_every_scene_ends_well_when_nothing_goes_wrong(name: str) -> None:
    outcome = simulate(5, nodes=3, faults=0, scenes=(name,))
    assert outcome.scenes == (name,)
    assert outcome.writes > 10


def test_there_is_no_such_scene() -> None:
    with pytest.raises(ValueError, match="there is no scene 'opera': use any, rollouts or one of deployment, "):
        simulate(1, scenes=("opera",))


def test_what_is_wrong_in_the_end_is_told_with_its_faults_and_its_last_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    def unhappy(ledger: Ledger) -> Iterator[str]:
        yield "ConfigMap default/owners is not to anybody's taste"

    monkeypatch.setattr(simulation, "unsettled", unhappy)
    with pytest.raises(Broken) as broken:
        simulate(1, nodes=1, faults=2, scenes=("owners",))
    said = str(broken.value)
    assert "after 900 s of quiet: ConfigMap default/owners is not" in said
    assert "/core/configmaps/default/owners\n    " in said
    assert "played: owners; controllers alone: garbagecollector; what went wrong:" in said
    assert reproduction(1, 1, 30, 2, ("owners",)) in said


def test_a_bug_that_an_organ_outlives_is_a_broken_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken_plan(observed: object, now: object) -> object:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(account.Plan, "__init__", broken_plan)
    with pytest.raises(Broken, match="a bug was reported"):
        simulate(1, nodes=1, steps=1, faults=0)


def meta(name: str, uid: str, owner: str = "") -> Document:
    found: Document = {"name": name, "namespace": "default", "uid": uid}
    if owner:
        found["ownerReferences"] = [{"uid": owner, "controller": True}]
    return found


def test_promises_can_be_broken() -> None:
    ledger = Ledger()
    deployment = {"kind": "Deployment", "metadata": meta("web", "d"), "spec": {"replicas": 4}}
    ledger.put("d", deployment | {"spec": {"replicas": 4, "strategy": {"rollingUpdate": {"maxSurge": "25%"}}}})
    ledger.put("old", {"kind": "ReplicaSet", "metadata": meta("old", "o", "d"), "spec": {"replicas": 4}})
    new = {"kind": "ReplicaSet", "metadata": meta("new", "n", "d"), "spec": {"replicas": 1}}
    assert list(surge_is_kept(ledger, None, new)) == []
    assert list(surge_is_kept(ledger, None, new | {"spec": {"replicas": 2}})) == [
        "surge of deployment web: 6 replicas asked for, 5 allowed"
    ]
    here = {"kind": "Pod", "metadata": meta("p", "p"), "spec": {"nodeName": "n1"}}
    assert list(bound_once(ledger, here, here)) == []
    assert list(bound_once(ledger, here, here | {"spec": {"nodeName": "n2"}})) == ["pod p moved from n1 to n2"]
    addressed = here | {"status": {"podIP": "10.0.0.1"}}
    ledger.put("r", {"kind": "Pod", "metadata": meta("r", "r"), "status": {"podIP": "10.0.0.1"}})
    assert list(addresses_are_unique(ledger, here, addressed)) == ["pods r and p both have the address 10.0.0.1"]
    assert list(addresses_are_unique(ledger, addressed, addressed)) == []
    asks = {"containers": [{"name": "c", "resources": {"requests": {"cpu": "3"}}}], "nodeName": "n1"}
    allocatable = {"cpu": "4", "memory": "1Gi", "pods": "9"}
    ledger.put("n1", {"kind": "Node", "metadata": {"name": "n1"}, "status": {"allocatable": allocatable}})
    assert list(nodes_have_room(ledger, None, here | {"spec": asks})) == []
    ledger.put("q", {"kind": "Pod", "metadata": meta("q", "q"), "spec": asks})
    assert list(nodes_have_room(ledger, None, here | {"spec": asks})) == [
        "node n1 is asked for 2000 cpu more than it has, by pod p"
    ]
