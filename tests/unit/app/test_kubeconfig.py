"""A person's kubeconfig gains a context and loses nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from navarch.app.kubeconfig import (
    BadKubeconfig,
    build,
    default_path,
    install,
    merged,
    read,
    refresh,
    uninstall,
    without,
)

OURS = build("navarch", "https://127.0.0.1:6443", b"ca", b"cert", b"key")
NAMES = st.lists(st.sampled_from(["a", "b", "navarch", "work"]), unique=True)


def config(names: list[str], current: str) -> dict[str, object]:
    return {
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}"}} for name in names],
        "users": [{"name": name, "user": {"token": name}} for name in names],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}} for name in names],
        "current-context": current,
        "preferences": {"colors": True},
    }


@given(names=NAMES, current=st.sampled_from(["a", "b", "work", ""]))
def test_adding_and_taking_away_leaves_the_rest(names: list[str], current: str) -> None:
    current = current if current in names else ""
    before = config(names, current)
    added = merged(before, OURS)
    assert added["current-context"] == "navarch"
    assert [entry["name"] for entry in added["users"]].count("navarch") == 1
    assert added["preferences"] == {"colors": True}
    strangers = [name for name in names if name != "navarch"]
    assert without(added, "navarch", str(before["current-context"])) == config(
        strangers, str(before["current-context"])
    )
    assert merged(added, OURS) == added


def test_the_file_is_private_and_goes_when_empty(tmp_path: Path) -> None:
    path = tmp_path / "kube" / "config"
    assert install(path, OURS) == ""
    assert path.stat().st_mode & 0o777 == 0o600
    assert yaml.safe_load(path.read_text()) == OURS
    uninstall(path, "navarch", "")
    assert not path.exists()


@pytest.mark.parametrize("text", ["a: b: c", "- just\n- a list\n", "{"])
def test_what_is_no_kubeconfig_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(BadKubeconfig, match="left alone"):
        install(path, OURS)
    assert path.read_text() == text


def test_the_default_path_follows_the_environment(tmp_path: Path) -> None:
    assert default_path({"KUBECONFIG": f":{tmp_path}/a:{tmp_path}/b"}) == tmp_path / "a"
    assert default_path({}).parts[-2:] == (".kube", "config")


def test_a_folder_that_held_nothing_else_goes_with_the_file(tmp_path: Path) -> None:
    for other, stays in (("", False), ("cache", True)):
        path = tmp_path / (other or "plain") / ".kube" / "config"
        path.parent.mkdir(parents=True)
        if other:
            (path.parent / other).write_text("")
        ours = {"contexts": [{"name": "navarch"}], "clusters": [{"name": "navarch"}], "users": [{"name": "navarch"}]}
        install(path, ours | {"current-context": "navarch"})
        uninstall(path, "navarch", "")
        assert not path.exists()
        assert path.parent.exists() == stays


def test_new_keys_change_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "config"
    old = build("navarch", "https://127.0.0.1:6443", b"ca", b"old", b"key")
    new = build("navarch", "https://127.0.0.1:6443", b"ca", b"new", b"key")
    refresh(path, new)
    assert not path.exists(), "who has taken the context out does not get it back"
    install(path, old)
    other = {**read(path), "current-context": "other"}
    path.write_text(yaml.safe_dump(other))
    refresh(path, new)
    found = read(path)
    assert found["current-context"] == "other"
    assert found["users"] == new["users"]
