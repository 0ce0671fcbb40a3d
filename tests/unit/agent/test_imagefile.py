"""Image archives: the same bytes for the same input, names as runtimes know them, and nothing lost from a folder."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from navarch.agent.imagefile import File, Folder, ImageConfig, archive_names, full_name, write_archive


def read(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar.getmembers() if m.isreg()}  # type: ignore[union-attr]


def layer_of(archive: Path) -> tarfile.TarFile:
    members = read(archive)
    [entry] = json.loads(members["manifest.json"])
    return tarfile.open(fileobj=io.BytesIO(members[entry["Layers"][0]]))


def test_an_archive_is_the_same_bytes_for_the_same_input(tmp_path: Path) -> None:
    files = {"bin/a": File(b"x", 0o755), "etc/b": File(link="/bin/a")}
    first = write_archive(tmp_path / "1", ["r.test/a:1"], [files], ImageConfig(command=["/bin/a"]))
    second = write_archive(
        tmp_path / "2", ["r.test/a:1"], [dict(reversed(files.items()))], ImageConfig(command=["/bin/a"])
    )
    assert first == second
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


@pytest.mark.parametrize("compress", [False, True])
def test_every_digest_in_an_archive_is_that_of_its_content(tmp_path: Path, compress: bool) -> None:
    image = write_archive(tmp_path / "a", ["r.test/a:1"], [{"f": File(b"x")}], ImageConfig(), compress=compress)
    members = read(tmp_path / "a")
    blobs = {name.rpartition("/")[2]: content for name, content in members.items() if name.startswith("blobs/")}
    for digest, content in blobs.items():
        assert hashlib.sha256(content).hexdigest() == digest
    index = json.loads(members["index.json"])
    manifest = json.loads(blobs[index["manifests"][0]["digest"].removeprefix("sha256:")])
    assert manifest["config"]["digest"] == image
    for part in (manifest["config"], *manifest["layers"]):
        assert len(blobs[part["digest"].removeprefix("sha256:")]) == part["size"]


def test_a_folder_keeps_links_modes_and_leaves_out_what_is_excluded(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "usr/share/doc").mkdir(parents=True)
    (root / "usr/share/doc/x").write_text("x")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o4755)
    os.symlink("run.sh", root / "link")
    os.mkfifo(root / "pipe")
    write_archive(
        tmp_path / "a", ["r.test/a:1"], [Folder(root, keep_owners=False, exclude=["usr/share/doc"])], ImageConfig()
    )
    with layer_of(tmp_path / "a") as layer:
        entries = {member.name: member for member in layer.getmembers()}
    assert sorted(entries) == ["link", "pipe", "run.sh", "usr", "usr/share"]
    assert entries["link"].linkname == "run.sh"
    assert entries["run.sh"].mode & 0o7777 == 0o4755
    assert {member.uid for member in entries.values()} == {0}


def test_the_names_of_an_archive_are_read_back(tmp_path: Path) -> None:
    write_archive(tmp_path / "a", ["r.test/a:1", "r.test/a:latest"], [{"f": File(b"x")}], ImageConfig())
    assert archive_names(tmp_path / "a") == ["r.test/a:1", "r.test/a:latest"]


def test_what_is_no_archive_is_refused_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "junk").write_bytes(b"no tar at all")
    with pytest.raises(ValueError, match="junk is no image archive"):
        archive_names(tmp_path / "junk")
    with tarfile.open(tmp_path / "empty.tar", "w"):
        pass
    with pytest.raises(ValueError, match="names no image"):
        archive_names(tmp_path / "empty.tar")


def test_a_name_without_a_tag_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no tag"):
        write_archive(tmp_path / "a", ["r.test:5000/a"], [], ImageConfig())


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1", "docker.io/library/nginx:1"),
        ("me/app", "docker.io/me/app:latest"),
        ("localhost/app:1", "localhost/app:1"),
        ("localhost:5000/app", "localhost:5000/app:latest"),
        ("r.test/a/b@sha256:00", "r.test/a/b@sha256:00"),
    ],
)
def test_names_are_completed_as_runtimes_do(short: str, full: str) -> None:
    assert full_name(short) == full
