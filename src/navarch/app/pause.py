"""The image of every sandbox: a program of under 300 bytes that holds the pod's namespaces, made here, not pulled.

The program blocks SIGINT, SIGTERM and SIGCHLD, then waits for them: the first two end it, the third makes it reap what
was orphaned to it (it is process 1 of pods that share their process namespace). The machine code was assembled from:

    rt_sigprocmask(SIG_BLOCK, mask, 0, 8)
    loop:  s = rt_sigtimedwait(mask, 0, 0, 8);  if s is SIGTERM or SIGINT: exit_group(0)
           while wait4(-1, 0, WNOHANG, 0) > 0;  goto loop
"""

from __future__ import annotations

import struct
from pathlib import Path

from navarch.agent.imagefile import File, ImageConfig, architecture, write_archive

PAUSE_IMAGE = "navarch.dev/pause:1"

_X86_64 = bytes.fromhex(
    "6a0e5831ff488d354800000031d26a08415a0f05b880000000488d3d34000000"
    "31f631d26a08415a0f0583f80f741c83f80274176a3d584883cfff31f66a015a"
    "4531d20f0585c07febebc9b8e700000031ff0f05024001000000000000000000"
)[:92]
_AARCH64 = bytes.fromhex(
    "000080d261030010020080d2030180d2e81080d2010000d4c0020010010080d2"
    "020080d2030180d2281180d2010000d41f3c0071800100541f08007140010054"
    "00008092010080d2220080d2030080d2882080d2010000d41f0000712cffff54"
    "eeffff17000080d2c80b80d2010000d40240010000000000"
)
PROGRAMS = {"amd64": (62, _X86_64), "arm64": (183, _AARCH64)}
"""Architecture -> (ELF machine number, position-independent code)."""

_LOAD_ADDRESS = 0x400000
_HEADERS_BYTES = 64 + 56


def program(arch: str) -> bytes:
    """A static ELF executable.

    Raises:
        KeyError: there is no machine code for this architecture.
    """
    machine, code = PROGRAMS[arch]
    size = _HEADERS_BYTES + len(code)
    ident = b"\x7fELF" + bytes((2, 1, 1)) + bytes(9)
    entry = _LOAD_ADDRESS + _HEADERS_BYTES
    header = ident + struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, entry, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _LOAD_ADDRESS, _LOAD_ADDRESS, size, size, 0x1000)
    return header + segment + code


def write_pause_image(target: Path, arch: str = "") -> str:
    """Write the archive of `PAUSE_IMAGE`; returns the image's id."""
    arch = arch or architecture()
    files = {"pause": File(program(arch), mode=0o755)}
    return write_archive(target, [PAUSE_IMAGE], [files], ImageConfig(entrypoint=["/pause"]), arch=arch)
