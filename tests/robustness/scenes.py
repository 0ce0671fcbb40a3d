"""What is done to a server, as functions of the program and a seed: CI plays a few of each, `soak.py` all of them.

Each returns what was found wrong (nothing, for the real program) and figures.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from disks import disk
from serverprocess import CONFIGMAPS, REAL, ServerProcess, serving, weak
from writers import Writers, losses

READY_S = 3.0


@dataclass
class Found:
    wrong: list[str] = field(default_factory=list)
    writes: int = 0
    """Acknowledged."""
    slowest_start_s: float = 0.0

    def started(self, seconds: float) -> None:
        self.slowest_start_s = max(self.slowest_start_s, seconds)
        if seconds > READY_S:
            self.wrong.append(f"ready after {seconds:.1f} s")


def kills(folder: Path, seed: int, cycles: int, program: tuple[str, ...] = REAL) -> Found:
    """kill -9 at a random moment under load, again and again on the same data."""
    random, found, past = Random(seed), Found(), []
    with serving(folder, program) as server:
        for cycle in range(cycles):
            writers = Writers(server, cycle).start()
            past.append(writers)
            writers.wait_for(random.randrange(20, 120))
            time.sleep(random.random() * 0.02)
            server.kill()
            writers.stop()
            found.writes += writers.count
            found.started(server.start())
            found.wrong += losses(past, server.values())
    return found


def power_cuts(folder: Path, seed: int, cycles: int, program: tuple[str, ...] = REAL) -> Found:
    """The power fails under load: the machine stops, the disk keeps what it had; then both come back.

    The server is stopped before the disk is cut off: a sync that is under way at that moment may return as if all were
    well (ext4 finds no transaction to wait for any more), and the server would acknowledge what no machine without
    power can acknowledge.
    """
    random, found, past = Random(seed), Found(), []
    with disk(folder, 96) as drive, serving(folder, program, drive.point / "data") as server:
        for cycle in range(cycles):
            writers = Writers(server, cycle).start()
            past.append(writers)
            writers.wait_for(random.randrange(20, 120))
            time.sleep(random.random() * 0.02)
            server.freeze()
            drive.cut_off()
            server.kill()
            writers.stop()
            found.writes += writers.count
            drive.come_back()
            found.started(server.start())
            found.wrong += losses(past, server.values())
        server.kill()
    return found


def failing_syncs(folder: Path, seed: int, cycles: int, *weaknesses: str) -> Found:
    """Every sync fails with EIO for a while, again and again; then a kill. Reads go on meanwhile."""
    random, found, past = Random(seed), Found(), []
    flag = folder / "fail-now"
    with serving(folder, weak(f"eio={flag}", *weaknesses)) as server:
        for cycle in range(cycles):
            writers = Writers(server, cycle).start()
            past.append(writers)
            writers.wait_for(random.randrange(10, 60))
            flag.touch()
            time.sleep(0.05)
            found.wrong += refusal_is_clear(server, 503, "disk", f"refused-{cycle}")
            time.sleep(random.random() * 0.1)
            flag.unlink()
            writers.wait_for(writers.count + 20)
            if cycle % 2:
                server.kill()
            writers.stop()
            found.writes += writers.count
            if cycle % 2:
                found.started(server.start())
            found.wrong += losses(past, server.values())
    return found


def full_disks(
    folder: Path, seed: int, cycles: int, program: tuple[str, ...] = REAL, patience_s: float = 60.0
) -> Found:
    """The disk is full under load and gets room again, without a restart; a kill at the end.

    patience_s: until the disk is noticed to be full, and to be so no more.
    """
    random, found, past = Random(seed), Found(), []
    with disk(folder, 64) as drive, serving(folder, program, drive.point / "data") as server:
        pid = server.process.pid if server.process else 0
        for cycle in range(cycles):
            writers = Writers(server, cycle, padding=20_000).start()
            past.append(writers)
            writers.wait_for(random.randrange(20, 60))
            drive.fill()
            deadline = time.monotonic() + patience_s
            while not writers.refused and time.monotonic() < deadline:
                time.sleep(0.01)
            if not writers.refused:
                found.wrong.append("the full disk took everything")
            found.wrong += refusal_is_clear(server, 507, "free some space", f"full-{cycle}", padding=200_000)
            if strange := sorted(set(writers.refused) - {507}):
                found.wrong.append(f"a full disk was answered with {strange}: {writers.errors[-3:]}")
            drive.make_room()
            try:
                writers.wait_for(writers.count + 20, patience_s)
            except AssertionError as error:
                found.wrong.append(f"no writes again: {error}")
            writers.stop()
            found.writes += writers.count
            found.wrong += losses(past, server.values())
        if server.process is None or server.process.poll() is not None or server.process.pid != pid:
            found.wrong.append("the server did not stay up")
        server.kill()
        found.started(server.start())
        found.wrong += losses(past, server.values())
        server.kill()
    return found


def refusal_is_clear(server: ServerProcess, wanted: int, words: str, name: str, padding: int = 0) -> list[str]:
    """Asks for a write that cannot be done now: refused with a reason, and reads go on."""
    document = {"metadata": {"name": name}, "data": {"filler": "x" * padding}}
    status, said = server.ask(CONFIGMAPS, "POST", document)
    wrong = []
    if status != wanted or words not in said.get("message", ""):
        wrong.append(f"{name} was answered with {status} {said.get('message')}")
    if (status := server.ask(CONFIGMAPS)[0]) != 200:
        wrong.append(f"reading was answered with {status}")
    return wrong
