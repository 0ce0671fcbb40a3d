"""Which runtimes are warned of, and what a distribution has mended in them."""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.agent.escapes import (
    ESCAPES,
    Package,
    lets_out,
    package_of,
    parsed,
    version_of,
    weakness,
    weaknesses,
)
from navarch.kinds import EVENT
from tests.unit.agent import cluster

OF_2025 = ["CVE-2025-31133", "CVE-2025-52565", "CVE-2025-52881"]


def concerned(runtime: str, version: str) -> list[str]:
    number = parsed(version)
    return [one.name for one in ESCAPES if one.runtime == runtime and number is not None and lets_out(one, number)]


@pytest.mark.parametrize(
    ("runtime", "version", "known"),
    [
        ("runc", "1.0.0-rc6", ["CVE-2019-5736", "CVE-2021-30465", *OF_2025]),
        ("runc", "1.0.0-rc7", ["CVE-2021-30465", *OF_2025]),
        ("runc", "1.0.0~rc93+ds1", ["CVE-2021-30465", "CVE-2024-21626", *OF_2025]),
        ("runc", "1.0.0-rc2", ["CVE-2019-5736", "CVE-2021-30465", "CVE-2025-31133", "CVE-2025-52881"]),
        ("runc", "1.0.0-rc95", ["CVE-2024-21626", *OF_2025]),
        ("runc", "1.0.0", ["CVE-2024-21626", *OF_2025]),
        ("runc", "1.1.5+ds1", ["CVE-2024-21626", *OF_2025]),
        ("runc", "1.1.12", OF_2025),
        ("runc", "1.2.7", OF_2025),
        ("runc", "1.2.8", []),
        ("runc", "1.3.2", OF_2025),
        ("runc", "1.3.3", []),
        ("runc", "1.4.0-rc.2", OF_2025),
        ("runc", "1.4.0-rc.3", []),
        ("runc", "1.4.0", []),
        ("runc", "1.5.1", []),
        ("runc", "unknown", []),
        ("crun", "1.0.0", []),
        ("containerd", "1.6.20~ds1", ["CVE-2024-40635"]),
        ("containerd", "1.6.0", ["CVE-2022-23648", "CVE-2024-40635"]),
        ("containerd", "v1.6.38", []),
        ("containerd", "1.7.26", ["CVE-2024-40635"]),
        ("containerd", "v2.0.3", ["CVE-2024-40635"]),
        ("containerd", "2.1.0", []),
        ("containerd", "1.2.0", ["CVE-2020-15257", "CVE-2022-23648", "CVE-2024-40635"]),
        ("cri-o", "1.6.20", []),
    ],
)
def test_a_runtime_with_known_escapes_is_named(runtime: str, version: str, known: list[str]) -> None:
    assert concerned(runtime, version) == known
    said = weakness(runtime, version)
    assert bool(said) == bool(known)
    assert all(name in said for name in known)


@given(st.sampled_from(ESCAPES), st.integers(0, 3), st.integers(0, 9), st.integers(0, 60))
def test_what_is_mended_stays_mended_in_its_branch(escape: object, major: int, minor: int, patch: int) -> None:
    assert isinstance(escape, type(ESCAPES[0]))
    for text in escape.fixed:
        number = parsed(text)
        assert number is not None
        assert not lets_out(escape, number)
        later = (number[0], number[1], number[2] + patch, 1 << 30)
        assert not lets_out(escape, later)
    newest = max(number for number in map(parsed, escape.fixed) if number is not None)
    if (major, minor) > newest[:2]:
        assert not lets_out(escape, (major, minor, patch, 1 << 30))


def test_what_a_distribution_has_mended_is_not_said_and_what_it_has_not_is() -> None:
    debian = Package("1.1.5+ds1-1+deb12u1", frozenset({"CVE-2024-21626"}))
    said = weakness("runc", "1.1.5+ds1", debian)
    assert "CVE-2024-21626" not in said
    assert said == (
        "runc 1.1.5+ds1 lets containers out: CVE-2025-31133, CVE-2025-52565, CVE-2025-52881; "
        "mended in 1.2.8, 1.3.3, 1.4.0-rc.3, and not in the package's 1.1.5+ds1-1+deb12u1"
    )
    assert weakness("runc", "1.1.12", Package("1.1.12-1+deb13u9", frozenset(OF_2025))) == ""
    assert weakness("runc", "1.2.0").endswith("1.4.0-rc.3, unless whoever built it has mended it")


def installed(folder: Path, changes: str, *, owned: bool = True, packed: bool = True) -> Package:
    program = folder / "sbin" / "runc"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho 'runc version 1.1.5+ds1'\necho 'commit: 7'\n")
    program.chmod(0o755)
    (folder / "info").mkdir()
    (folder / "info" / "runc.list").write_text(f"/.\n/usr\n{program if owned else '/usr/sbin/runc'}\n")
    (folder / "doc" / "runc").mkdir(parents=True)
    content = gzip.compress(changes.encode()) if packed else changes.encode()
    (folder / "doc" / "runc" / "changelog.Debian.gz").write_bytes(content)
    return package_of(program, folder / "info", folder / "doc")


CHANGES = "runc (1.1.5+ds1-1+deb12u1) bookworm-security; urgency=high\n\n  * CVE-2024-21626: several breakouts\n"


def test_a_package_says_what_it_has_mended(tmp_path: Path) -> None:
    assert installed(tmp_path, CHANGES) == Package("1.1.5+ds1-1+deb12u1", frozenset({"CVE-2024-21626"}))


@pytest.mark.parametrize("more", [{"owned": False}, {"packed": False}], ids=["another program", "damaged"])
def test_of_what_no_package_speaks_for_only_the_version_counts(tmp_path: Path, more: dict[str, bool]) -> None:
    assert installed(tmp_path, CHANGES, **more).mended is None


def test_the_node_tells_of_it_by_an_event(tmp_path: Path) -> None:
    installed(tmp_path, CHANGES)

    async def play() -> None:
        async with cluster.world(tmp_path) as world:
            world.config = replace(world.config, programs=("", str(tmp_path / "sbin" / "runc")))
            async with asyncio.timeout(90), world.running():
                found: list[str] = []
                while not found:
                    await asyncio.sleep(0.02)
                    told = [one.document() for one in (await world.client.list(EVENT, "default")).items]
                    found = [one["message"] for one in told if one["reason"] == "RuntimeWeakness"]
        assert len(found) == 1
        assert found[0].startswith("runc 1.1.5+ds1 lets containers out: CVE-2024-21626")

    asyncio.run(play())


def test_the_program_is_asked_for_its_version(tmp_path: Path) -> None:
    installed(tmp_path, CHANGES)
    program = str(tmp_path / "sbin" / "runc")
    assert asyncio.run(version_of(program)) == "1.1.5+ds1"
    assert asyncio.run(version_of(str(tmp_path / "nothing"))) == ""
    said = asyncio.run(weaknesses("containerd", "2.2.0", "", program))
    assert len(said) == 1
    assert said[0].startswith("runc 1.1.5+ds1 lets containers out: CVE-2024-21626, CVE-2025-31133")
