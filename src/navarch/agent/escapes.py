"""Known ways out of containers, by the runtime's version: who runs one of these versions is told to update.

A distribution mends old versions without calling them new ones. What it has mended stands in its package's list of
changes; of a runtime that came another way only the version speaks.

Source: https://github.com/opencontainers/runc/security/advisories
Source: https://github.com/containerd/containerd/security/advisories
"""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from navarch.base import programs

VERSION_S = 10.0
DPKG = Path("/var/lib/dpkg/info")
DOCUMENTS = Path("/usr/share/doc")
_FINAL = 1 << 30
"""A release comes behind all its candidates."""

Version = tuple[int, int, int, int]
"""Major, minor, patch, and which release candidate."""


@dataclass(frozen=True, slots=True)
class Escape:
    """since: the first version that lets out; "" for all before. fixed: the first mended version of each branch."""

    runtime: str
    name: str
    fixed: tuple[str, ...]
    since: str = ""


_OF_2025 = ("1.2.8", "1.3.3", "1.4.0-rc.3")

ESCAPES = (
    Escape("runc", "CVE-2019-5736", ("1.0.0-rc7",)),
    Escape("runc", "CVE-2021-30465", ("1.0.0-rc95",)),
    Escape("runc", "CVE-2024-21626", ("1.1.12",), since="1.0.0-rc93"),
    Escape("runc", "CVE-2025-31133", _OF_2025),
    Escape("runc", "CVE-2025-52565", _OF_2025, since="1.0.0-rc3"),
    Escape("runc", "CVE-2025-52881", _OF_2025),
    Escape("containerd", "CVE-2020-15257", ("1.3.9", "1.4.3")),
    Escape("containerd", "CVE-2022-23648", ("1.4.13", "1.5.10", "1.6.1")),
    Escape("containerd", "CVE-2024-40635", ("1.6.38", "1.7.27", "2.0.4")),
)


@dataclass(frozen=True, slots=True)
class Package:
    """How a program came to the machine. mended: the advisories that its list of changes names; None when it is of no
    distribution, or that keeps no list."""

    version: str = ""
    mended: Collection[str] | None = None


UNKNOWN = Package()


def parsed(text: str) -> Version | None:
    """None for what says no version: `1.1.5+ds1`, `v2.0.3`, `1.0.0-rc6+dev`, `1.4.0-rc.3`."""
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)(?:[-~]rc\.?(\d+))?", text)
    if found is None:
        return None
    major, minor, patch, candidate = found.groups()
    return int(major), int(minor), int(patch), _FINAL if candidate is None else int(candidate)


def lets_out(escape: Escape, version: Version) -> bool:
    """Whether a version is concerned: one older than its branch's mended one; of a branch without one, than all."""
    since = parsed(escape.since)
    if since is not None and version < since:
        return False
    fixed = [found for found in map(parsed, escape.fixed) if found is not None]
    return version < next((one for one in fixed if one[:2] == version[:2]), min(fixed))


def weakness(runtime: str, version: str, package: Package = UNKNOWN) -> str:
    """What is known of a runtime of this version that lets containers out; "" when nothing."""
    number = parsed(version)
    if number is None:
        return ""
    mended = package.mended or ()
    known = [one for one in ESCAPES if one.runtime == runtime and lets_out(one, number) and one.name not in mended]
    if not known:
        return ""
    names, fixed = ", ".join(one.name for one in known), ", ".join(dict.fromkeys(v for one in known for v in one.fixed))
    text = f"{runtime} {version} lets containers out: {names}; mended in {fixed}"
    if package.mended is not None:
        return f"{text}, and not in the package's {package.version}"
    return f"{text}, unless whoever built it has mended it"


# --- the edge


async def version_of(program: str) -> str:
    """What it calls itself: `runc version 1.1.5+ds1` and `containerd github.com/… 1.6.20~ds1 …`; "" for nothing."""
    try:
        ended = await programs.run(program, "--version", timeout_s=VERSION_S)
    except OSError:  # it is not there, or (a TimeoutError) says nothing
        return ""
    words = ended.output.decode(errors="replace").partition("\n")[0].split()
    return next((word for word in words if parsed(word) is not None), "")


def package_of(program: Path, dpkg: Path = DPKG, documents: Path = DOCUMENTS) -> Package:
    """The Debian package that has the program, by its name; `UNKNOWN` for one that came another way."""
    name = program.name
    for listed in (dpkg / f"{name}.list", *sorted(dpkg.glob(f"{name}:*.list"))):
        try:
            paths = listed.read_text().splitlines()
            if not {str(program), str(program.resolve())} & set(paths):
                continue
            changes = gzip.decompress((documents / name / "changelog.Debian.gz").read_bytes()).decode(errors="replace")
        except (OSError, EOFError):  # no such package, or a machine without documentation
            continue
        version = re.match(r"\S+ \(([^)]+)\)", changes)
        return Package(version[1] if version else "", frozenset(re.findall(r"CVE-\d+-\d+", changes)))
    return UNKNOWN


async def weaknesses(runtime: str, version: str, program: str, low_level: str) -> list[str]:
    """Of the runtime that calls itself so, and of what it starts containers with.

    program, low_level: their paths, `/usr/bin/containerd` and `/usr/sbin/runc`; "" for one that is not known.
    """
    found = [weakness(runtime, version, await asyncio.to_thread(package_of, Path(program)) if program else UNKNOWN)]
    if low_level:
        place = Path(low_level)
        package = await asyncio.to_thread(package_of, place)
        found.append(weakness(place.name, await version_of(low_level), package))
    return [text for text in found if text]
