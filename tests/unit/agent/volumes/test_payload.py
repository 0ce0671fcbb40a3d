"""What is in volumes that are made from objects, and how it is put on the disk in one step."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.agent.downward import Surroundings
from navarch.agent.volumes.maker import MountFailure
from navarch.agent.volumes.payload import Content, payload, references
from navarch.agent.volumes.writer import check_path, write
from navarch.kinds.podspec.volumes import TokenProjection
from tests.unit.agent.pods import pod

AROUND = Surroundings("n1", (), ())
DATA = {("configmaps", "cm"): {"a": b"1", "b": b"2"}, ("secrets", "sec"): {"key": b"hidden"}}


def lookup(plural: str, name: str) -> Mapping[str, bytes] | None:
    return DATA.get((plural, name))


def token(projection: TokenProjection) -> str:
    return f"for {projection.audience}"


def made(volume: Any, **spec: Any) -> dict[str, Content]:
    found = pod(volumes=[{"name": "v", **volume}], **spec)
    return dict(payload(found, found.spec.volumes[0], lookup, AROUND, token))


def test_keys_become_files_with_modes() -> None:
    assert made({"configMap": {"name": "cm"}}) == {"a": Content(b"1", 0o644), "b": Content(b"2", 0o644)}
    items = [{"key": "a", "path": "sub/x", "mode": 0o400}, {"key": "b", "path": "y"}]
    found = made({"configMap": {"name": "cm", "items": items, "defaultMode": 0o600}})
    assert found == {"sub/x": Content(b"1", 0o400), "y": Content(b"2", 0o600)}


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        ({"secret": {"secretName": "no"}}, 'secret "no" not found'),
        (
            {"configMap": {"name": "cm", "items": [{"key": "z", "path": "z"}]}},
            "references non-existent configmap key: z (in default/cm)",
        ),
        ({"projected": {"sources": [{"clusterTrustBundle": {"path": "x"}}]}}, "combination of signerName and"),
        ({"projected": {"sources": [{"podCertificate": {"keyType": "x"}}]}}, "a source of the projected volume"),
        ({"csi": {"driver": "x"}}, "the volume's type is not supported"),
    ],
)
def test_what_is_missing_stops_the_mount(volume: Any, message: str) -> None:
    with pytest.raises(MountFailure) as caught:
        made(volume)
    assert str(caught.value).startswith(f'MountVolume.SetUp failed for volume "v" : {message}')


def test_what_is_optional_may_be_missing() -> None:
    assert made({"secret": {"secretName": "no", "optional": True}}) == {}
    items = [{"key": "z", "path": "z"}]
    assert made({"configMap": {"name": "cm", "items": items, "optional": True}}) == {}


def test_a_projection_joins_sources_and_guards_tokens() -> None:
    sources = [
        {"configMap": {"name": "cm"}},
        {"secret": {"name": "sec", "items": [{"key": "key", "path": "a"}]}},
        {"serviceAccountToken": {"path": "token", "audience": "vault"}},
        {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
    ]
    volume = {"projected": {"sources": sources}}
    found = made(volume)
    assert found["a"].data == b"hidden"
    assert found["name"].data == b"web"
    assert found["token"] == Content(b"for vault", 0o644)
    assert made(volume, securityContext={"fsGroup": 5})["token"].mode == 0o600
    assert made(volume, securityContext={"runAsUser": 7})["token"] == Content(b"for vault", 0o600, 7)
    listed = pod(volumes=[{"name": "v", **volume}]).spec.volumes[0]
    assert references(listed) == [("configmaps", "cm"), ("secrets", "sec")]


def files(target: Path) -> dict[str, bytes]:
    found = {}
    for name in os.listdir(target):
        if name.startswith(".."):
            continue
        top = target / name
        paths = [top] if top.is_file() else [path for path in top.rglob("*") if path.is_file()]
        found.update({str(path.relative_to(target)): path.read_bytes() for path in paths})
    return found


def test_a_volume_is_replaced_in_one_step(tmp_path: Path) -> None:
    first = {"a": Content(b"1", 0o644), "sub/b": Content(b"2", 0o400)}
    assert write(tmp_path, first, "one")
    assert files(tmp_path) == {"a": b"1", "sub/b": b"2"}
    assert (tmp_path / "sub/b").stat().st_mode & 0o777 == 0o400
    assert os.readlink(tmp_path / "a") == "..data/a"
    assert not write(tmp_path, first, "two")
    assert os.readlink(tmp_path / "..data") == "..one"
    assert write(tmp_path, {"a": Content(b"9", 0o644)}, "three")
    assert files(tmp_path) == {"a": b"9"}
    assert sorted(os.listdir(tmp_path)) == ["..data", "..three", "a"]


names = st.text(alphabet="abc", min_size=1, max_size=3)
payloads = st.dictionaries(names, st.binary(max_size=8), max_size=4)


@given(st.lists(payloads, min_size=1, max_size=4))
def test_a_volume_holds_exactly_what_was_written_last(tmp_path_factory: pytest.TempPathFactory, given: Any) -> None:
    target = tmp_path_factory.mktemp("v")
    for number, wanted in enumerate(given):
        write(target, {name: Content(data, 0o644) for name, data in wanted.items()}, str(number))
        assert files(target) == wanted


MODES = st.sampled_from([0o400, 0o440, 0o644, 0o755])
ITEMS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "none"]), st.sampled_from("xyz"), names, st.none() | MODES),
    max_size=4,
    unique_by=lambda item: (item[1], item[2]),
)


@given(ITEMS, MODES, st.booleans())
def test_items_become_files_of_their_paths_and_modes(
    tmp_path_factory: pytest.TempPathFactory, listed: Any, default_mode: int, optional: bool
) -> None:
    items = [
        {"key": key, "path": f"{top}/{name}", **({"mode": mode} if mode is not None else {})}
        for key, top, name, mode in listed
    ]
    volume = {"configMap": {"name": "cm", "items": items, "defaultMode": default_mode, "optional": optional}}
    if not optional and any(key == "none" for key, *_ in listed):
        with pytest.raises(MountFailure, match="references non-existent configmap key: none"):
            made(volume)
        return
    target = tmp_path_factory.mktemp("v")
    write(target, made(volume), "one")
    wanted = {f"{top}/{name}": (key, mode) for key, top, name, mode in listed if key != "none" or not items}
    everything = {"a": ("a", None), "b": ("b", None)}
    for path, (key, mode) in (wanted if items else everything).items():
        file = target / path
        assert file.read_bytes() == DATA["configmaps", "cm"][key]
        assert file.stat().st_mode & 0o777 == (default_mode if mode is None else mode)
    assert files(target).keys() == (wanted if items else everything).keys()


def test_what_a_killed_agent_left_behind_goes_with_the_next_change(tmp_path: Path) -> None:
    write(tmp_path, {"a": Content(b"1", 0o644)}, "one", os.getgid())
    (tmp_path / "..half" / "deep").mkdir(parents=True)
    (tmp_path / "..data_tmp").symlink_to("..half")
    write(tmp_path, {"a": Content(b"2", 0o644)}, "two", os.getgid())
    assert sorted(os.listdir(tmp_path)) == ["..data", "..two", "a"]
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "..two").stat().st_mode & 0o7777 == 0o2755


@pytest.mark.parametrize("path", ["", "/x", "../x", "a/../../x", "..data", "a/.."])
def test_paths_stay_in_the_volume(path: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must stay in the volume"):
        check_path(path)
    with pytest.raises(ValueError, match="must stay in the volume"):
        write(tmp_path, {path: Content(b"", 0o644)}, "x")
    assert os.listdir(tmp_path) == []
