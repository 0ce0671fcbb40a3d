"""What a killed run leaves of its disks, the next one takes away; those of a run that lives stay."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from disks import PREFIX, sweep

pytestmark = pytest.mark.node


def device_of(file: Path) -> str:
    said = subprocess.run(["losetup", "-j", str(file), "-n", "-O", "NAME"], capture_output=True, text=True, check=True)
    return said.stdout.strip()


def test_the_disk_of_a_run_that_was_killed_goes(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    files = {pid: tmp_path / f"{PREFIX}{pid}.img" for pid in (ended.pid, os.getpid())}
    point = tmp_path / "point"
    point.mkdir()
    for file in files.values():
        with file.open("wb") as made:
            made.truncate(4 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(file)], check=True)
    subprocess.run(["mount", "-o", "loop", str(files[ended.pid]), str(point)], check=True)
    subprocess.run(["losetup", "--find", str(files[os.getpid()])], check=True)
    mine = device_of(files[os.getpid()])
    try:
        sweep()
        assert not point.is_mount()
        assert device_of(files[ended.pid]) == ""
        assert device_of(files[os.getpid()]) == mine
    finally:
        subprocess.run(["losetup", "--detach", mine], check=True)
