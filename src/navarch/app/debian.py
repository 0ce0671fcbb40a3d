"""Root file systems from Debian packages, for images on machines that reach no image registry.

apt works out what a package needs on an empty system and fetches it; the files are unpacked without running any of the
packages' scripts. What only serves installing and maintaining a system is left out, and so are manuals.

Source: https://manpages.debian.org/bookworm/apt/apt-get.8.en.html (--download-only, Dir::State::status)
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

MAINTENANCE = (
    "adduser",
    "debconf",
    "dpkg",
    "init-system-helpers",
    "iproute2",
    "libperl5.36",
    "lsb-base",
    "passwd",
    "perl",
    "sysvinit-utils",
    "tar",
    "usrmerge",
)
"""Packages (and, for perl, name beginnings) that a container does without."""

CACHE = Path("/var/cache/navarch")
"""Where packages and roots made of them are kept."""

SHELL = "busybox-static"
APPLETS = (
    *("sh", "ls", "cat", "cp", "mv", "rm", "mkdir", "ln", "ps", "kill", "sleep", "env", "id", "echo", "printf", "grep"),
    *("sed", "awk", "head", "tail", "wc", "sort", "tar", "gzip", "gunzip", "wget", "nc", "ping", "nslookup", "ip"),
    *("hostname", "date", "df", "du", "mount", "umount", "chmod", "chown", "touch", "find", "xargs", "tr", "cut"),
    *("tee", "stat", "test", "true", "false", "top", "vi", "which", "dd", "seq", "od", "md5sum", "sha256sum"),
    *("base64", "uname", "whoami", "pwd", "readlink", "dirname", "basename"),
)
LEFT_OUT = tuple(f"usr/share/{name}" for name in ("doc", "man", "locale", "lintian", "bug", "info"))


class CannotFetch(RuntimeError):
    """apt could not bring the packages; the message ends with the last it said."""


def fetch(packages: Sequence[str], folder: Path) -> list[Path]:
    """The package files of `packages` and of all they depend on, in `folder` (which keeps them for the next time).

    Raises:
        CannotFetch: a package is unknown or the archive cannot be reached.
    """
    (folder / "partial").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "partial").mkdir()
        (Path(scratch) / "status").touch()
        listed = _apt(["--print-uris", "-qq", *packages], Path(scratch), scratch)
        names = [line.split()[1] for line in listed.splitlines() if line.startswith("'")]
        if not all((folder / name).exists() for name in names):
            _apt(["--download-only", *packages], Path(scratch), str(folder))
    return [folder / name for name in names]


def _apt(words: Sequence[str], empty_system: Path, archives: str) -> str:
    """`apt-get install` as if nothing were installed; fetches the package lists when it does not know a package."""
    options = {
        "Dir::State::status": str(empty_system / "status"),
        "Dir::Cache::archives": archives,
        "Debug::NoLocking": "1",
        "APT::Sandbox::User": "root",
    }
    command = ["apt-get", "install", "-y", "--no-install-recommends"]
    for name, value in options.items():
        command += ["-o", f"{name}={value}"]
    done = subprocess.run([*command, *words], capture_output=True, text=True)
    if done.returncode:
        update = subprocess.run(["apt-get", "update"], capture_output=True, text=True)
        done = update if update.returncode else subprocess.run([*command, *words], capture_output=True, text=True)
    if done.returncode:
        raise CannotFetch(f"apt cannot bring {' '.join(words)}: {(done.stderr or done.stdout).strip()[-600:]}")
    return done.stdout


def unpack(debs: Sequence[Path], root: Path) -> None:
    """Unpack package files over one another into `root`, without what a container does without.

    Raises:
        CannotFetch: a file is no package.
    """
    root.mkdir(parents=True, exist_ok=True)
    for deb in debs:
        if maintains_only(deb.name.partition("_")[0]):
            continue
        done = subprocess.run(["dpkg-deb", "--extract", str(deb), str(root)], capture_output=True, text=True)
        if done.returncode:
            raise CannotFetch(f"cannot unpack {deb.name}: {done.stderr.strip()}")
    for below in LEFT_OUT:
        shutil.rmtree(root / below, ignore_errors=True)


def maintains_only(package: str) -> bool:
    return package in MAINTENANCE or package.startswith("perl-") or package.endswith("-perl")


def add_shell(root: Path) -> None:
    """Link busybox's applets for what nothing else in `root` provides, so that a person can look around."""
    folder = root / "bin"
    for name in APPLETS:
        if not any((root / place / name).exists() for place in ("bin", "usr/bin", "sbin", "usr/sbin")):
            (folder / name).symlink_to("busybox")


def add_accounts(root: Path) -> None:
    """The files that programs look users up in: root, and `app` (1000) to run as."""
    etc = root / "etc"
    etc.mkdir(exist_ok=True)
    (etc / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home:/bin/sh\n")
    (etc / "group").write_text("root:x:0:\napp:x:1000:\n")
    (etc / "nsswitch.conf").write_text("hosts: files dns\n")
    (root / "tmp").mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)


def build_root(packages: Sequence[str], cache: Path) -> Path:
    """A root file system with `packages` and a shell: made once for each set of package versions, kept in `cache`."""
    debs = fetch([*packages, SHELL], cache / "packages")
    mark = hashlib.sha256("\n".join(sorted(deb.name for deb in debs)).encode()).hexdigest()[:16]
    root = cache / "roots" / mark
    if not root.exists():
        fresh = root.with_name(f"{mark}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        unpack(debs, fresh)
        add_shell(fresh)
        add_accounts(fresh)
        fresh.rename(root)
    return root
