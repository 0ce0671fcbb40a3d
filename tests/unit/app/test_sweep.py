"""What a containerd that was killed leaves behind: who it belongs to, and when it goes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Set
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from navarch.app import bandwidth, cnisweep
from navarch.app.cni import PodNetwork
from navarch.app.containerd import ContainerdSettings
from navarch.app.sweep import PATIENCE_S, QUIET_S, Leases, Sweeper
from navarch.base.clock import rfc3339
from navarch.base.errors import Retryable

ALIVE, DEAD, STRANGE = "a" * 64, "d" * 64, "5" * 64


class Turned:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> datetime:
        return datetime(2030, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody waits here")


class Shelf:
    """A place with things of sandboxes, some of which turn out to be somebody's."""

    def __init__(self, *things: str, kept: Set[str] = frozenset()) -> None:
        self.things = set(things)
        self.kept = kept

    def unowned(self, sandboxes: Set[str]) -> Iterator[Path]:
        yield from (Path("/shelf", one) for one in sorted(self.things - sandboxes))

    def take(self, path: Path) -> bool:
        if path.name in self.kept:
            return False
        self.things.discard(path.name)
        return True


def test_what_belongs_to_nobody_goes_at_a_look_late_enough() -> None:
    clock, shelf = Turned(), Shelf(ALIVE, DEAD)
    sweep = Sweeper(clock, [shelf])
    assert sweep({ALIVE}, False) == []
    clock.seconds += PATIENCE_S - 1
    assert sweep({ALIVE}, False) == []
    clock.seconds += 1
    assert sweep({ALIVE}, False) == [DEAD]
    assert shelf.things == {ALIVE}
    clock.seconds += 10 * PATIENCE_S
    assert sweep({ALIVE}, False) == []


def test_what_got_its_sandbox_meanwhile_stays() -> None:
    clock, shelf = Turned(), Shelf(DEAD)
    sweep = Sweeper(clock, [shelf])
    sweep(set(), False)
    clock.seconds += PATIENCE_S
    assert sweep({DEAD}, False) == []
    clock.seconds += PATIENCE_S
    assert sweep(set(), False) == [], "it is without one only since now"
    clock.seconds += PATIENCE_S
    assert sweep(set(), False) == [DEAD]


def test_what_belongs_to_nobody_while_nothing_is_made_goes_sooner() -> None:
    clock, shelf = Turned(), Shelf(DEAD)
    sweep = Sweeper(clock, [shelf])
    assert sweep(set(), False) == []
    clock.seconds += 10
    assert sweep(set(), True) == []
    clock.seconds += QUIET_S - 1
    assert sweep(set(), False) == []
    clock.seconds += 1
    assert sweep(set(), False) == [DEAD]


def test_what_turns_out_to_be_somebodys_is_left() -> None:
    clock, shelf = Turned(), Shelf(DEAD, kept={DEAD})
    sweep = Sweeper(clock, [shelf])
    sweep(set(), False)
    clock.seconds += PATIENCE_S
    assert sweep(set(), False) == []
    assert shelf.things == {DEAD}


class World:
    """A machine's folders, with a sandbox of ours and perhaps things of others."""

    def __init__(self, folder: Path) -> None:
        self.interfaces = ["lo", "navarch0"]
        self.network = PodNetwork("10.1.0.0/24", folder / "net.d", folder / "state")
        self.results, self.namespaces, self.proc = folder / "results", folder / "netns", folder / "proc"
        self.addresses = folder / "state" / "addresses" / "navarch"
        for one in (self.results, self.namespaces, self.proc, self.addresses):
            one.mkdir(parents=True)
        (self.addresses / "lock").touch()
        (self.addresses / "last_reserved_ip.0").write_text("10.1.0.9")
        self.networks = cnisweep.Networks(
            self.network,
            results=self.results,
            namespaces=self.namespaces,
            proc=self.proc,
            interfaces=lambda: self.interfaces,
        )

    def has(self, sandbox: str, address: str, network: str = "navarch") -> None:
        namespace = self.namespaces / f"cni-{sandbox[:8]}"
        namespace.touch()
        interfaces = [{"name": "eth0", "sandbox": str(namespace)}]
        (self.results / f"{network}-{sandbox}-eth0").write_text(json.dumps({"result": {"interfaces": interfaces}}))
        (self.results / f"cni-loopback-{sandbox}-lo").write_text("{}")
        if network == "navarch":
            (self.addresses / address).write_text(f"{sandbox}\r\neth0")

    def unowned(self, *sandboxes: str) -> set[str]:
        return {path.name for path in self.networks.unowned(set(sandboxes))}


def test_a_pods_network_is_told_by_its_address_its_answers_and_its_namespace(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.has(ALIVE, "10.1.0.2")
    world.has(DEAD, "10.1.0.3")
    assert world.unowned(ALIVE, DEAD) == set()
    assert world.unowned(ALIVE) == {
        "10.1.0.3",
        f"navarch-{DEAD}-eth0",
        f"cni-loopback-{DEAD}-lo",
        f"cni-{DEAD[:8]}",
    }


def test_interfaces_that_limit_nobody_any_more_are_told_by_their_names(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.has(ALIVE, "10.1.0.2")
    world.has(STRANGE, "", network="their-own")
    mine, theirs, gone = (
        bandwidth.interface(network, sandbox)
        for network, sandbox in (("navarch", ALIVE), ("their-own", STRANGE), ("navarch", DEAD))
    )
    world.interfaces += [mine, theirs, gone]
    assert world.unowned(ALIVE) == {gone}


def test_what_another_networks_answers_name_is_not_ours(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.has(STRANGE, "", network="theirs")
    assert world.unowned() == set()


def test_a_namespace_without_an_answer_may_be_left_of_a_making_that_was_cut_short(tmp_path: Path) -> None:
    world = World(tmp_path)
    (world.namespaces / "cni-1234").touch()
    (world.namespaces / "of-somebody-else").touch()
    assert world.unowned() == {"cni-1234"}


def test_a_namespace_in_which_somebody_lives_is_left(tmp_path: Path) -> None:
    world = World(tmp_path)
    path = world.namespaces / "cni-1234"
    path.touch()
    (world.proc / "77" / "ns").mkdir(parents=True)
    os.link(path, world.proc / "77" / "ns" / "net")
    assert not world.networks.take(path)
    assert path.exists()
    (world.proc / "77" / "ns" / "net").unlink()
    assert world.networks.take(path)
    assert not path.exists()


def test_files_that_were_cut_short_by_a_crash_do_no_harm(tmp_path: Path) -> None:
    world = World(tmp_path)
    (world.addresses / "10.1.0.7").write_text("")
    (world.results / f"navarch-{DEAD}-eth0").write_text('{"result": {"inter')
    assert world.unowned() == {"10.1.0.7", f"navarch-{DEAD}-eth0"}
    for path in list(world.networks.unowned(set())):
        assert world.networks.take(path)
    assert world.unowned() == set()


def test_leases_of_a_containerd_that_is_gone_are_looked_for_once_after_each_start(tmp_path: Path) -> None:
    settings = ContainerdSettings(tmp_path)
    settings.socket.parent.mkdir(parents=True, exist_ok=True)
    listed, asked = tmp_path / "listed", tmp_path / "asked"
    ctr = tmp_path / "ctr"
    ctr.write_text(f'#!/bin/sh\necho "$*" >>{asked}\nif [ "$6" = ls ]; then cat {listed}; fi\n')
    ctr.chmod(0o755)
    later, before = rfc3339(datetime.now(UTC) + timedelta(hours=1)), "2026-01-01T00:00:00+02:00"
    listed.write_text(
        "ID CREATED AT LABELS\n"
        f"1-old {before} containerd.io/gc.expire={later}\n"
        f"2-new {later} containerd.io/gc.expire={later}\n"
        f"3-kept {before} \n"
        f"4-old {before} a=b,containerd.io/gc.expire={later}\n"
    )
    leases = Leases(settings, ctr=str(ctr))
    assert list(leases.unowned(frozenset())) == [], "there is no containerd"
    settings.socket.touch()
    for _ in range(2):
        assert [path.name for path in leases.unowned(frozenset())] == ["1-old", "4-old"]
    clock = Turned()
    sweep = Sweeper(clock, [leases])
    assert sweep(frozenset(), True) == []
    clock.seconds += QUIET_S
    assert sweep(frozenset(), True) == ["1-old", "4-old"]
    assert sweep(frozenset(), True) == []
    common = f"--address {settings.socket} --namespace k8s.io leases"
    assert asked.read_text().splitlines() == [f"{common} {rest}" for rest in ("ls", "rm 1-old", "rm 4-old")]
    settings.socket.unlink()
    (tmp_path / "another").touch()
    settings.socket.touch()
    assert [path.name for path in leases.unowned(frozenset())] == ["1-old", "4-old"], "it was started again"
    for broken in ("#!/bin/sh\necho no >&2\nexit 1\n", None):
        ctr.write_text(broken) if broken else ctr.unlink()
        with pytest.raises(Retryable, match="leases ls"):
            list(Leases(settings, ctr=str(ctr)).unowned(frozenset()))
