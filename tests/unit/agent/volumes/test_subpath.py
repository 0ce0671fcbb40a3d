"""Parts of volumes: which may be named, and that no link is followed on the way to them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.agent.volumes.subpath import BadSubPath, check, open_below, prepare

STEPS = st.lists(st.sampled_from(["a", "b", ".", "..", "...", "..a", ""]), min_size=1, max_size=5)


@given(STEPS)
def test_only_a_path_without_a_step_back_is_taken(steps: list[str]) -> None:
    path = "/".join(steps)
    if path.startswith("/"):
        with pytest.raises(BadSubPath, match="must not be an absolute path"):
            check(path)
    elif ".." in steps:
        with pytest.raises(BadSubPath, match=r"must not contain '\.\.'"):
            check(path)
    else:
        check(path)


def opened(root: Path, relative: str) -> os.stat_result:
    descriptor = open_below(str(root), relative)
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def test_what_is_opened_is_what_stands_there(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "file").write_text("x")
    for path in (".", "a", "a/b", "a/file", "a//b/."):
        assert opened(tmp_path, path).st_ino == (tmp_path / path).stat().st_ino


def still_open(root: Path) -> list[str]:
    """Others of this process open and close files of their own meanwhile."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return [path for path in found if path.startswith(str(root))]


@pytest.mark.parametrize("path", ["link", "link/etc", "a/link", "a/link/etc/passwd"])
def test_a_link_that_came_after_the_path_was_resolved_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to("/")
    (tmp_path / "a" / "link").symlink_to("..")
    with pytest.raises(OSError, match="'link' turned into a symbolic link"):
        open_below(str(tmp_path), path)
    assert not still_open(tmp_path)


def test_directories_that_are_missing_get_the_rights_of_the_volume(tmp_path: Path) -> None:
    tmp_path.chmod(0o2777)
    opened(tmp_path, "new/deep")
    assert [(tmp_path / path).stat().st_mode & 0o7777 for path in ("new", "new/deep")] == [0o2777, 0o2777]
    tmp_path.chmod(0o750)
    opened(tmp_path, "other")
    assert (tmp_path / "other").stat().st_mode & 0o7777 == 0o750


def test_a_path_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotADirectoryError):
        open_below(str(tmp_path), "file/below")


def test_a_link_that_leads_out_is_named_to_the_user(tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "link").symlink_to("/etc")
    with pytest.raises(BadSubPath) as caught:
        prepare("main", "data", tmp_path / "v", "link", tmp_path / "place")
    wanted = 'failed to prepare subPath for volumeMount "data" of container "main": \'link\': not within volume path'
    assert str(caught.value).startswith(wanted)
    assert caught.value.reason == "CreateContainerConfigError"
    assert not (tmp_path / "place").exists()
