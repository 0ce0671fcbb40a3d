"""The pause program: a loadable ELF file that waits, ignores what it should and ends when told."""

from __future__ import annotations

import os
import platform
import signal
import struct
import subprocess
import time
from pathlib import Path

import pytest

from navarch.agent.imagefile import archive_names
from navarch.app.pause import PAUSE_IMAGE, PROGRAMS, program, write_pause_image


@pytest.mark.parametrize("arch", sorted(PROGRAMS))
def test_the_headers_describe_the_whole_file(arch: str) -> None:
    binary = program(arch)
    assert binary[:4] == b"\x7fELF"
    entry, offset = struct.unpack_from("<QQ", binary, 24)
    assert offset == 64
    _, flags, start, address, _, size, _, _ = struct.unpack_from("<IIQQQQQQ", binary, 64)
    assert (flags, start, size) == (5, 0, len(binary))
    assert entry == address + 120


@pytest.mark.skipif(platform.machine() != "x86_64", reason="runs this machine's program only where tests are run")
def test_it_waits_and_ends_at_sigterm(tmp_path: Path) -> None:
    path = tmp_path / "pause"
    path.write_bytes(program("amd64"))
    path.chmod(0o755)
    process = subprocess.Popen([path])
    deadline = time.monotonic() + 30
    while b"State:\tS" not in Path(f"/proc/{process.pid}/status").read_bytes():  # nothing but the wait puts it to sleep
        assert time.monotonic() < deadline
        os.sched_yield()
    process.send_signal(signal.SIGCHLD)
    assert process.poll() is None
    process.terminate()
    assert process.wait(30) == 0


def test_the_image_carries_its_name(tmp_path: Path) -> None:
    write_pause_image(tmp_path / "pause.tar", "amd64")
    assert archive_names(tmp_path / "pause.tar") == [PAUSE_IMAGE]


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(KeyError):
        program("z80")
