"""Nothing acknowledged is ever lost: the server is killed, its power cut, its disk full or failing.

Each test also runs, or has a twin that runs, with a weakness planted, and must find it. CI runs a slice of the cycles;
`.ci/soak durability` runs the full count.
"""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from serverprocess import CONFIGMAPS, ServerProcess, Writers, lost

HERE = Path(__file__).parent
KILLS = int(os.environ.get("NAVARCH_KILLS", "8"))
POWER_CUTS = int(os.environ.get("NAVARCH_POWER_CUTS", "4"))
READY_S = 3.0
EXT4_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2


@contextmanager
def ext4(folder: Path, size_mb: int) -> Iterator[Path]:
    """A small ext4 file system of its own on a loop device."""
    image, point = folder / "disk.img", folder / "disk"
    point.mkdir()
    with image.open("wb") as file:
        file.truncate(size_mb << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-O", "^metadata_csum_seed", str(image)], check=True)
    mount(image, point)
    try:
        yield point
    finally:
        subprocess.run(["umount", "--lazy", str(point)], check=True)


def mount(image: Path, point: Path) -> None:
    subprocess.run(["mount", "-o", "loop", str(image), str(point)], check=True)


def cut_power(image: Path, point: Path, server: ServerProcess) -> None:
    """The disk is cut off at once, with what it had; then the server dies, and the disk comes back."""
    descriptor = os.open(point, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
    finally:
        os.close(descriptor)
    server.kill()
    subprocess.run(["umount", str(point)], check=True)
    mount(image, point)


def test_kill_9_under_load_loses_nothing(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data", tmp_path / "run")
    server.start()
    history: list[Writers] = []
    slowest = 0.0
    try:
        for cycle in range(KILLS):
            writers = Writers(server, cycle)
            writers.start()
            writers.wait_for(20 + 7 * (cycle % 5))
            server.kill()
            writers.stop()
            history.append(writers)
            slowest = max(slowest, server.start())
            found = server.names()
            assert [loss for past in history for loss in lost(past, found)] == []
            tried = {name: values for past in history for name, values in past.attempted.items()}
            assert all(value in tried.get(name, ()) for name, value in found.items()), "nobody wrote this"
    finally:
        server.stop()
    print(f"{KILLS} kills, {sum(len(w.acknowledged) for w in history)} writes, slowest start {slowest:.2f} s")
    assert slowest < READY_S


def power_cuts(folder: Path, program: tuple[str, ...], cycles: int) -> list[str]:
    """Everything that was lost in so many cuts."""
    losses: list[str] = []
    with ext4(folder, 96) as point:
        server = ServerProcess(point / "data", folder / "run", program)
        try:
            for cycle in range(cycles):
                server.start()
                writers = Writers(server, cycle)
                writers.start()
                writers.wait_for(40)
                cut_power(folder / "disk.img", point, server)
                writers.stop()
                server.start()
                losses += lost(writers, server.names())
                server.stop()
        finally:
            server.stop()
    return losses


@pytest.mark.node
def test_power_loss_loses_nothing(tmp_path: Path) -> None:
    assert power_cuts(tmp_path, ("-m", "navarch.app.server"), POWER_CUTS) == []


@pytest.mark.node
def test_the_power_loss_test_finds_a_store_that_does_not_sync(tmp_path: Path) -> None:
    assert power_cuts(tmp_path, (str(HERE / "weak_server.py"), "normal"), 2) != []


def test_a_failing_sync_refuses_writes_and_loses_nothing(tmp_path: Path) -> None:
    failing = tmp_path / "fail-now"
    server = ServerProcess(tmp_path / "data", tmp_path / "run", (str(HERE / "weak_server.py"), f"eio={failing}"))
    server.start()
    try:
        before = Writers(server, 0)
        before.start()
        before.wait_for(30)
        failing.touch()
        time.sleep(0.3)
        status, said = server.ask(CONFIGMAPS, "POST", {"metadata": {"name": "refused"}})
        assert status == 503, said
        assert "disk" in said["message"]
        assert server.ask(CONFIGMAPS)[0] == 200
        before.stop()
        failing.unlink()
        after = Writers(server, 1)
        after.start()
        after.wait_for(30)
        after.stop()
        server.kill()
        server.start()
        found = server.names()
        assert lost(before, found) + lost(after, found) == []
    finally:
        server.stop()


@pytest.mark.node
def test_a_full_disk_refuses_writes_and_recovers_without_restart(tmp_path: Path) -> None:
    with ext4(tmp_path, 48) as point:
        server = ServerProcess(point / "data", tmp_path / "run")
        server.start()
        assert server.process is not None
        pid = server.process.pid
        try:
            before = Writers(server, 0)
            before.start()
            before.wait_for(50)
            before.stop()
            fill(point / "filler")
            refusals = [server.ask(CONFIGMAPS, "POST", large(f"full-{n}")) for n in range(40)]
            assert {status for status, _ in refusals} <= {201, 507}
            full = [said for status, said in refusals if status == 507]
            assert full, "the disk took everything"
            assert "free some space" in full[0]["message"]
            assert lost(before, server.names()) == []
            (point / "filler").unlink()
            time.sleep(0.2)
            status, said = server.ask(CONFIGMAPS, "POST", {"metadata": {"name": "again"}, "data": {"v": "1"}})
            assert status == 201, said
            assert server.process.pid == pid
            assert server.process.poll() is None
            server.kill()
            server.start()
            found = server.names()
            assert lost(before, found) == []
            assert found["again"] == "1"
            accepted = {f"full-{n}" for n, (status, _) in enumerate(refusals) if status == 201}
            assert accepted <= set(found)
        finally:
            server.stop()


def large(name: str) -> dict[str, object]:
    return {"metadata": {"name": name}, "data": {"v": "0", "filler": "x" * 200_000}}


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1 << 9):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
