"""Runs everything that a change must pass: `./navarch test [pytest arguments]`.

First it brings what the tests need from Debian, then the static checks, then pytest over all of `tests/`, in the order
of how soon a mistake shows: what shares nothing but the processors in one process for each of them, file by file; real
clients and the documentation in the same way, each process with servers of its own; then one after another what works
on the machine. With arguments, only pytest runs, with them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from navarch.app import provision

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent

TEST_PACKAGES = {
    "/usr/sbin/mkfs.ext4": "e2fsprogs",
    "/usr/bin/dig": "bind9-dnsutils",
    "/usr/bin/curl": "curl",
    "/usr/bin/etcd": "etcd-server",
    "/usr/bin/jq": "jq",
    "/usr/bin/openssl": "openssl",
    "/usr/bin/conmon": "conmon",
    "/usr/bin/dbus-daemon": "dbus-daemon",
    "/bin/busybox": "busybox-static",
}
BESIDE = ("house", "unit", "conformance")
CLIENTS = ("compat", "journeys")
ALONE = ("robustness", "node")
WORKERS = min(4, os.cpu_count() or 1)
CHECKS = (
    ("ruff", [str(BIN / "ruff"), "check", "."]),
    ("format", [str(BIN / "ruff"), "format", "--check", "."]),
    ("mypy", [str(BIN / "mypy"), "--strict", "src"]),
    ("imports", [str(BIN / "lint-imports")]),
)


def prepare() -> None:
    found = provision.plan(provision.observe())
    if found.refusals:
        sys.exit("navarch: the tests cannot run here:\n- " + "\n- ".join(found.refusals))
    packages = [*found.packages, *(name for path, name in TEST_PACKAGES.items() if not Path(path).exists())]
    if packages:
        print(f"installing {', '.join(packages)} ...", flush=True)
        provision.install(packages, lambda line: None)


def main(arguments: list[str]) -> int:
    prepare()
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ.get('PATH', '')}:{provision.SEARCH_PATH}"}
    if arguments:
        return subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=ROOT, env=environment).returncode
    for name, command in CHECKS:
        start = time.monotonic()
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        print(f"{name:<10} {'ok' if not done.returncode else 'FAILED'} ({time.monotonic() - start:.1f} s)", flush=True)
        if done.returncode:
            print(done.stdout + done.stderr)
            return done.returncode
    options = ("-q", "--timeout=600", "--durations=15", "--hypothesis-profile=fixed")
    shared = ("-n", str(WORKERS), "--dist=loadfile")
    for stages, more in ((BESIDE, shared), (CLIENTS, shared), (ALONE, ())):
        folders = [f"tests/{stage}" for stage in stages if (ROOT / "tests" / stage).is_dir()]
        done = subprocess.run([sys.executable, "-m", "pytest", *options, *more, *folders], cwd=ROOT, env=environment)
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
