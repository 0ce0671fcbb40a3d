"""Disks that a test may fill and cut off: ext4 on a loop device, in a file of the test's own folder."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

EXT4_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2
PREFIX = "navarch-disk-"
"""Of the files, before the id of the process that made them."""


@dataclass
class Disk:
    image: Path
    point: Path

    def mount(self) -> None:
        subprocess.run(["mount", "-o", "loop", str(self.image), str(self.point)], check=True)

    def cut_off(self) -> None:
        """From now on nothing reaches it, and what the kernel still held for it is gone."""
        descriptor = os.open(self.point, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(descriptor)

    def come_back(self) -> None:
        """Once nobody uses it: as after power has returned."""
        subprocess.run(["umount", str(self.point)], check=True)
        self.mount()

    def fill(self) -> None:
        """To the last byte."""
        with (self.point / "filler").open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1 << 9):
                full = False
                while not full:
                    try:
                        file.write(b"\0" * size)
                    except OSError:
                        full = True

    def make_room(self) -> None:
        (self.point / "filler").unlink()


def sweep() -> None:
    """Take away what a run left that was killed: a disk of ours whose maker has ended."""
    said = subprocess.run(
        ["losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE"], capture_output=True, text=True
    )
    for line in said.stdout.splitlines():
        device, _, file = line.partition(" ")
        maker = re.fullmatch(rf".*/{PREFIX}(\d+)\.img(?: \(deleted\))?", file.strip())
        if maker is None or Path(f"/proc/{maker[1]}").exists():
            continue
        for mounted in Path("/proc/self/mounts").read_text().splitlines():
            source, point, *_ = mounted.split()
            if source == device:
                subprocess.run(["umount", "--lazy", point], check=False)
        subprocess.run(["losetup", "--detach", device], check=False, capture_output=True)


@contextmanager
def disk(folder: Path, size_mb: int) -> Iterator[Disk]:
    sweep()
    made = Disk(folder / f"{PREFIX}{os.getpid()}.img", folder / "disk")
    made.point.mkdir()
    with made.image.open("wb") as file:
        file.truncate(size_mb << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(made.image)], check=True)
    made.mount()
    try:
        yield made
    finally:
        subprocess.run(["umount", "--lazy", str(made.point)], check=True)
        made.image.unlink()
