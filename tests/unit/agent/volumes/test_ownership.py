"""Who may read and write a volume's files once they belong to a pod's group."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from navarch.agent.volumes.ownership import is_owned, own_by_group

GROUP = os.getgid()


def tree(root: Path) -> None:
    (root / "a" / "b").mkdir(parents=True)
    for path, mode in (("f", 0o600), ("a/f", 0o644), ("a/b/run", 0o700)):
        (root / path).write_text("x")
        (root / path).chmod(mode)
    (root / "out").symlink_to("/etc/passwd")
    for path in ("", "a", "a/b"):
        (root / path).chmod(0o700)


def modes(root: Path) -> dict[str, int]:
    return {str(path.relative_to(root)): path.lstat().st_mode & 0o7777 for path in (root, *root.rglob("*"))}


def test_files_are_the_groups_and_directories_hand_it_on(tmp_path: Path) -> None:
    tree(tmp_path)
    before = os.stat("/etc/passwd")
    own_by_group(tmp_path, GROUP)
    found = modes(tmp_path)
    assert {name: found[name] for name in (".", "a", "a/b")} == dict.fromkeys((".", "a", "a/b"), 0o2770)
    assert {name: found[name] for name in ("f", "a/f", "a/b/run")} == {"f": 0o660, "a/f": 0o664, "a/b/run": 0o760}
    after = os.stat("/etc/passwd")
    assert (after.st_mode, after.st_gid) == (before.st_mode, before.st_gid), "a link's target is nobody's business"


def test_files_to_be_read_alone_are_not_made_writable(tmp_path: Path) -> None:
    tree(tmp_path)
    own_by_group(tmp_path, GROUP, readonly=True)
    assert modes(tmp_path)["f"] == 0o640
    assert modes(tmp_path)["a"] == 0o2750


@pytest.mark.parametrize("policy", ["Always", "OnRootMismatch"])
def test_a_root_that_is_right_says_that_all_is(tmp_path: Path, policy: str) -> None:
    own_by_group(tmp_path, GROUP)
    (tmp_path / "later").write_text("x")
    (tmp_path / "later").chmod(0o600)
    own_by_group(tmp_path, GROUP, policy=policy)
    assert (modes(tmp_path)["later"] == 0o600) == (policy == "OnRootMismatch")
    tmp_path.chmod(0o755)
    own_by_group(tmp_path, GROUP, policy=policy)
    assert modes(tmp_path)["later"] == 0o660


def test_the_root_is_right_only_with_group_rights_and_the_inherited_group(tmp_path: Path) -> None:
    for mode, right in ((0o2770, True), (0o2777, True), (0o770, False), (0o2750, False)):
        tmp_path.chmod(mode)
        assert is_owned(tmp_path.stat(), GROUP, readonly=False) is right
    tmp_path.chmod(0o2770)
    assert not is_owned(tmp_path.stat(), GROUP + 1, readonly=False)
    tmp_path.chmod(0o2750)
    assert is_owned(tmp_path.stat(), GROUP, readonly=True)


def test_a_tree_without_a_bottom_is_refused_and_leaves_no_file_open(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_PATH)
    for _ in range(350):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_PATH, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    with pytest.raises(OSError, match="more than 300 deep"):
        own_by_group(tmp_path, GROUP)
    assert _open_below(tmp_path) == []
    _remove_deep(tmp_path)


def _open_below(root: Path) -> list[str]:
    """What this process holds open there; other tests' files may come and go meanwhile."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the one that the list itself was read from
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return [path for path in found if path.startswith(str(root))]


def _remove_deep(root: Path) -> None:
    """Level by level from the top: paths this long cannot be named."""
    while (root / "d").exists():
        os.rename(root / "d", root / "old")
        if (root / "old" / "d").exists():
            os.rename(root / "old" / "d", root / "d")
        os.rmdir(root / "old")
