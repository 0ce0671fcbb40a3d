"""What a path on the node must be, and what is made where nothing is."""

from __future__ import annotations

from pathlib import Path

import pytest

from navarch.agent.volumes.local import check_host_path
from navarch.agent.volumes.maker import MountFailure
from navarch.kinds.podspec.volumes import HostPathSource


def test_a_folder_that_is_made_is_open_to_all_only_where_it_is_to_be_shared(tmp_path: Path) -> None:
    for name, shared, mode in (("own", False, 0o755), ("shared", True, 0o777)):
        path = tmp_path / "deep" / name
        check_host_path("v", HostPathSource(path=str(path), type="DirectoryOrCreate"), shared=shared)
        assert path.stat().st_mode & 0o777 == mode
    assert (tmp_path / "deep").stat().st_mode & 0o777 == 0o755


def test_what_is_there_already_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "there"
    path.mkdir(mode=0o700)
    check_host_path("v", HostPathSource(path=str(path), type="DirectoryOrCreate"), shared=True)
    assert path.stat().st_mode & 0o777 == 0o700


def test_what_is_not_what_it_should_be_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for source in (
        HostPathSource(path=str(file), type="Directory"),
        HostPathSource(path=str(tmp_path / "none"), type="File"),
        HostPathSource(path=str(file / "below"), type="DirectoryOrCreate"),
    ):
        with pytest.raises(MountFailure):
            check_host_path("v", source)
