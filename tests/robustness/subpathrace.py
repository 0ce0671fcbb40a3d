"""A racer against subPaths: it swaps a directory and a symbolic link to `/` while the agent prepares parts of a volume.

The volume is a file system of its own, so whatever is shown to a container and lies on another one has escaped; so has
anything made outside. A process of its own swaps, as fast as the kernel lets it: what a container could do.

`play` counts; it needs root. How strong the racer is shows the careless way (look at the path, then bind the path),
which is raced for some turns too.
"""

from __future__ import annotations

import ctypes
import os
import random
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

from navarch.agent.volumes import kernel, subpath
from navarch.agent.volumes.subpath import BadSubPath

EXCHANGE = 2
LONGEST_PAUSE = 5_000
"""Of the racer between two rounds, in empty loops: always at once, and every look would find a link somewhere."""
CARELESS_TURNS = 500
"""For each thousand of the real ones."""


def swap(pairs: list[tuple[str, str]]) -> int:
    """Exchange the names of each pair again and again until the standard input ends; returns how often."""
    libc, random_ = ctypes.CDLL(None, use_errno=True), random.Random(1)
    swaps = 0
    while True:
        for _ in range(200):
            for one, other in pairs:
                done = libc.renameat2(-100, one.encode(), -100, other.encode(), EXCHANGE)
                if done != 0:
                    raise OSError(ctypes.get_errno(), f"cannot swap {one} and {other}")
                swaps += 1
            for _ in range(random_.randrange(LONGEST_PAUSE)):
                pass
        if select.select([sys.stdin], [], [], 0)[0]:
            return swaps


class Course:
    """Where it is raced: `volume` (a file system), what must not be reached, and the places that are shown."""

    def __init__(self, folder: Path) -> None:
        self.volume, self.outside, self.places = folder / "volume", folder / "outside", folder / "places"
        for path in (self.volume, self.outside / "b" / "c", self.places):
            path.mkdir(parents=True)
        (self.outside / "file").write_text("secret")
        kernel.mount_tmpfs(self.volume, 16 << 20)
        (self.volume / "a" / "b" / "c").mkdir(parents=True)
        (self.volume / "to-root").symlink_to("/")
        (self.volume / "d" / "b" / "c").mkdir(parents=True)
        (self.volume / "d" / "file").write_text("open")
        (self.volume / "to-outside").symlink_to(self.outside)
        (self.volume / "file").write_text("open")
        (self.volume / "to-file").symlink_to("/etc/passwd")
        self.pairs = [
            (str(self.volume / one), str(self.volume / other))
            for one, other in (("a", "to-root"), ("d", "to-outside"), ("file", "to-file"))
        ]
        self.device = self.volume.stat().st_dev
        self._before = self._left_outside()

    def _left_outside(self) -> list[str]:
        found = sorted(str(path) for path in self.outside.rglob("*"))
        return found + sorted(name for name in os.listdir("/") if name.startswith("made-"))

    def escaped(self, place: Path) -> bool:
        """Whether a runtime that mounts the place would show what is not in the volume."""
        return place.stat().st_dev != self.device

    def await_start(self, path: str) -> None:
        """Until the path does not lead out for a moment, so that the race is for what comes after the first look."""
        first = self.volume / path.split("/")[0]
        for _ in range(10_000):
            if not first.is_symlink():
                return

    def soiled(self) -> list[str]:
        """What was made outside of the volume."""
        return [path for path in self._left_outside() if path not in self._before]

    def close(self) -> None:
        kernel.unmount(self.volume)


PATHS = ("a", "a/b", "a/b/c", "d", "d/b", "d/b/c", "d/file", "file", "a/made-{}", "d/made-{}/deep")


def careless(volume: Path, path: str, place: Path) -> None:
    """What is not to be done: what was looked at need not be what is bound."""
    wanted = os.path.realpath(volume / path)
    if not wanted.startswith(f"{os.path.realpath(volume)}/"):
        raise BadSubPath("leads out")
    place.touch() if os.path.isfile(wanted) else place.mkdir()
    kernel.bind(str(volume / path), place)


def race(course: Course, turns: int, random_: random.Random, show: Callable[[str, Path], Any]) -> dict[str, int]:
    shown = refused = escapes = 0
    for turn in range(turns):
        path = random_.choice(PATHS).format(turn % 50)
        place = course.places / str(turn)
        course.await_start(path)
        try:
            show(path, place)
            shown += 1
            escapes += course.escaped(place)
        except (BadSubPath, OSError):
            refused += 1
        finally:
            kernel.unmount(place)
            if place.exists():
                place.rmdir() if place.is_dir() else place.unlink()
    return {"shown": shown, "refused": refused, "escapes": escapes}


def play(folder: Path, seed: int, turns: int) -> dict[str, Any]:
    """Race for `turns`; the answer's `wrong` names what escaped."""
    course = Course(folder)
    random_ = random.Random(seed)
    arguments = [sys.executable, __file__, *[name for pair in course.pairs for name in pair]]
    racer = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:

        def show(path: str, place: Path) -> None:
            subpath.prepare("main", "v", course.volume, path, place)

        found = race(course, turns, random_, show)
        soiled = course.soiled()
        easy = turns * CARELESS_TURNS // 1000
        naive = race(course, easy, random_, lambda path, place: careless(course.volume, path, place))
        said, _ = racer.communicate("")
    finally:
        if racer.poll() is None:
            racer.kill()
            racer.wait()
        course.close()
    wrong = [f"{found['escapes']} parts shown that lie outside of the volume"] if found["escapes"] else []
    wrong += [f"made outside of the volume: {path}" for path in soiled]
    careless_way = {"careless_turns": easy, "careless_escapes": naive["escapes"]}
    return {"turns": turns, **found, "swaps": int(said or 0), **careless_way, "wrong": wrong}


if __name__ == "__main__":
    names = sys.argv[1:]
    print(swap(list(zip(names[::2], names[1::2], strict=True))))
