"""A cluster on virtual time, a workload and faults by chance, and promises checked after every write.

One seed is one history, byte for byte: `python -m navarch.testing.simulate --seed 7` shows again what seed 7 showed.
Everything runs on `SimulationLoop`: no threads, no sockets, no real time. What is played stands in `scenes`, what may
go wrong in `faults`, what may never be in `promises`, what must be true in the end in `settled`.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from navarch.base.clock import Ids, LoopClock, SeededIds
from navarch.base.log import TextFormat
from navarch.base.loop import SimulationLoop, Standstill
from navarch.kinds import DEPLOYMENT, ENDPOINTSLICE, EVENT, JOB, POD, REPLICASET
from navarch.store.store import Change
from navarch.testing import scenes as plays
from navarch.testing import scenes_apps
from navarch.testing.faults import Fault, drawn, perturbations
from navarch.testing.heartbeats import SimulatedHeartbeats
from navarch.testing.ledger import ACTOR, Broken, Follower, Ledger, WatchedStore, differs, replayed
from navarch.testing.promises import PROMISES
from navarch.testing.settled import unsettled
from navarch.testing.user import User
from navarch.testing.weather import Weather
from navarch.testing.world import ORGANS, World, bring, new_core, prepare, start_all, stop_all

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
FOLLOWED = (POD, REPLICASET, DEPLOYMENT, EVENT, ENDPOINTSLICE, JOB)
QUIET_S = 900.0
"""How long after the last fault everything must be well."""

FAULTS_WITHIN_S = 75.0
"""Scenes that are not `rollouts` take some minutes; they are struck in the first of them."""

LATENCIES_S = (0.0, 0.02, 0.2)
"""What a request or a delivery takes at most: the seed chooses one for the whole history."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """digest: of the whole history (revision, key, value of every write)."""

    seed: int
    digest: str
    writes: int
    virtual_s: float
    faults: tuple[Fault, ...]
    scenes: tuple[str, ...] = (plays.ROLLOUTS,)


@dataclass(frozen=True, slots=True)
class _Asked:
    seed: int
    nodes: int
    steps: int
    faults: int
    scenes: tuple[str, ...]


class _Judge(logging.Handler):
    """Remembers the first broken promise. Who breaks it is an organ that would take the error for its own bug; and a
    bug that an organ has outlived and reported is a broken promise too."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.setFormatter(TextFormat())
        self.what = ""
        self._broken = asyncio.Event()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """To what is logged as an error, and nobody else hears anything meanwhile."""
        log = logging.getLogger("navarch")
        level, propagate = log.level, log.propagate
        log.setLevel(logging.ERROR)
        log.propagate = False
        log.addHandler(self)
        try:
            yield
        finally:
            log.removeHandler(self)
            log.setLevel(level)
            log.propagate = propagate

    def emit(self, record: logging.LogRecord) -> None:
        facts = "".join(f" {key}={value}" for key, value in getattr(record, "facts", {}).items())
        trace = f"\n{self.format(record)}" if record.exc_info else ""
        self.condemn(f"a bug was reported: {record.getMessage()}{facts}{trace}")

    def condemn(self, what: str) -> None:
        self.what = self.what or what
        self._broken.set()

    async def watch(self) -> None:
        await self._broken.wait()
        raise Broken(self.what)


def reproduction(seed: int, nodes: int, steps: int, faults: int, scenes: Sequence[str] = (plays.ROLLOUTS,)) -> str:
    line = f"python -m navarch.testing.simulate --seed {seed} --nodes {nodes} --steps {steps} --faults {faults}"
    return line if tuple(scenes) == (plays.ROLLOUTS,) else f"{line} --scenes {','.join(scenes)}"


def simulate(
    seed: int, *, nodes: int = 4, steps: int = 30, faults: int = 8, scenes: Sequence[str] = (plays.ROLLOUTS,)
) -> Outcome:
    """Run one history.

    steps: changes that a user makes to Deployments, over some minutes, in the scene `rollouts`; the others have their
    own length. faults: how many things go wrong meanwhile. scenes: what is played, `any` for some by chance.

    Raises: Broken, with what went wrong before and the one line that shows it again; ValueError for no such scene.
    """
    asked = _Asked(seed, nodes, steps, faults, tuple(scenes))
    judge = _Judge()
    try:
        with judge.listening(), asyncio.Runner(loop_factory=SimulationLoop) as runner:
            return runner.run(_history(asked, judge))
    except* (Broken, Standstill) as broken:
        again = reproduction(seed, nodes, steps, faults, asked.scenes)
        raise Broken(f"{_first(broken)}\n  to see it again: {again}") from None


def sieve(seed: int) -> Outcome:
    """One seed of the long run: two scenes by chance, and one or two controllers alone under most of the faults."""
    return simulate(seed, nodes=3, steps=0, faults=4, scenes=(plays.ANY,))


async def _history(asked: _Asked, judge: _Judge) -> Outcome:
    ids = SeededIds(asked.seed)
    clock = LoopClock(EPOCH, asyncio.get_running_loop())
    weather = Weather(clock)
    ledger = Ledger(clock.monotonic, weather.lag_s)
    store = WatchedStore(lambda key, revision, value: _check(ledger, judge, weather, key, revision, value))
    core = new_core(store, clock, ids)
    await core.start()
    names = [f"node-{n}" for n in range(asked.nodes)]
    scenes = plays.chosen(ids, asked.scenes)
    victims = plays.victims(ids, scenes)
    faults = _faults(asked, ids, names, scenes, victims)
    if scenes != (plays.ROLLOUTS,):
        weather.latency_s = LATENCIES_S[int(ids.fraction() * len(LATENCIES_S))]
    seen: list[Change] = []
    try:
        async with asyncio.TaskGroup() as group:
            world = World(ids, clock, core, weather, SimulatedHeartbeats(clock), ledger, group)
            beside = [group.create_task(_follow(store, seen)), group.create_task(judge.watch())]
            start_all(world, victims)
            await prepare(world, names)
            followers = [Follower(world.user(), kind) for kind in FOLLOWED]
            beside += [group.create_task(follower.run()) for follower in followers]
            await _play(world, asked, scenes, faults)
            for follower in followers:
                await follower.check()
            wrong = differs(replayed(seen), (await store.list("")).rows)
            if wrong:
                raise Broken(f"a watcher believes something else than a list about {wrong[:5]}")
            stop_all(world)
            for task in beside:
                task.cancel()
            virtual_s = clock.monotonic()
    except* Broken as broken:
        raise Broken(f"{_first(broken)}\n{_schedule(scenes, victims, faults)}") from None
    await core.close()
    return Outcome(asked.seed, ledger.digest, ledger.writes, virtual_s, faults, scenes)


def _first(found: BaseException) -> BaseException:
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


def _faults(
    asked: _Asked, ids: Ids, names: Sequence[str], scenes: Sequence[str], victims: Sequence[str]
) -> tuple[Fault, ...]:
    if tuple(scenes) == (plays.ROLLOUTS,):
        return drawn(ids, names, ORGANS, asked.steps * 10.0, asked.faults)
    return perturbations(ids, names, victims, ORGANS, FAULTS_WITHIN_S, asked.faults)


def _schedule(scenes: Sequence[str], victims: Sequence[str], faults: Sequence[Fault]) -> str:
    lines = [f"  played: {', '.join(scenes)}; controllers alone: {', '.join(victims) or 'none'}; what went wrong:"]
    return "\n".join([*lines, *(f"    {fault}" for fault in faults)])


async def _play(world: World, asked: _Asked, scenes: Sequence[str], faults: Sequence[Fault]) -> None:
    """The scenes, beside each other, under the faults; then a long quiet, and everything must be as it was asked for.

    Raises: Broken.
    """
    before = ACTOR.set("user")
    users: list[User] = []
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(bring(world, faults))
            for number, name in enumerate(scenes):
                own = SeededIds(asked.seed * 1000 + number) if name != plays.ROLLOUTS else world.ids
                user = User(world.user(), own, world.clock, name, kinds=world.core.kinds)
                users.append(user)
                if name == plays.ROLLOUTS:
                    group.create_task(scenes_apps.rollouts(user, asked.steps))
                else:
                    group.create_task(plays.run(name, user))
    finally:
        ACTOR.reset(before)
    world.weather.crashing.clear()
    await world.clock.sleep(QUIET_S)
    wrong = [*unsettled(world.ledger), *(what for user in users for what in user.unexpected(world.ledger))]
    if wrong:
        raise Broken(f"after {QUIET_S:g} s of quiet: " + "\n  ".join(wrong) + "\n" + _stories(world.ledger, wrong))


def _stories(ledger: Ledger, wrong: Sequence[str]) -> str:
    """The last writes of the objects that the first complaint names."""
    words = wrong[0].replace(",", " ").replace(":", " ").split()
    keys = [key for key in ledger.history if any(word == key.split("/", 3)[3] for word in words)]
    return "\n".join(f"  {key}\n{ledger.story(key)}" for key in keys[:3])


def _check(ledger: Ledger, judge: _Judge, weather: Weather, key: str, revision: int, value: bytes | None) -> None:
    """Of every write."""
    ledger.actor = ACTOR.get()
    ledger.travelling = weather.travelling()
    before, old = ledger.values.get(key), ledger.objects.get(key)
    new = ledger.read(value)
    wrong = [f"the write of {key} changed nothing"] if before == value else []
    for promise in PROMISES:
        wrong += promise(ledger, old, new)
    ledger.take(key, revision, value, new)
    if wrong:
        at = f"at {ledger.now_s:.3f} s, revision {revision}, by {ledger.actor}: "
        judge.condemn(f"{at}{'; '.join(wrong)}\n  {key}\n{ledger.story(key)}")


async def _follow(store: WatchedStore, seen: list[Change]) -> None:
    async for batch in store.watch(1):
        seen.extend(batch)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run simulated histories and check the promises.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1, help="how many seeds, from --seed on")
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--faults", type=int, default=8)
    parser.add_argument(
        "--scenes", default=plays.ROLLOUTS, help=f"by name, with commas; {plays.ANY} for some by chance"
    )
    asked = parser.parse_args(arguments)
    scenes = tuple(asked.scenes.split(","))
    for seed in range(asked.seed, asked.seed + asked.count):
        try:
            outcome = simulate(seed, nodes=asked.nodes, steps=asked.steps, faults=asked.faults, scenes=scenes)
        except Broken as broken:
            print(f"seed {seed}: {broken}", file=sys.stderr)
            return 1
        played = ", ".join(outcome.scenes)
        length = f"{outcome.writes} writes in {outcome.virtual_s:.0f} s of virtual time"
        print(f"seed {seed}: {outcome.digest} {length}: {played}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
