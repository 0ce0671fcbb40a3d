"""Small images of folders and packages."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from navarch.agent.imagefile import ImageConfig
from navarch.app.imagebuild import BadRecipe, Recipe, build, check, pairs


def folder(tmp_path: Path, name: str = "files") -> Path:
    root = tmp_path / name
    (root / "app").mkdir(parents=True)
    (root / "app" / "main.py").write_text("print('hello')\n")
    (root / "app" / "run").symlink_to("main.py")
    (root / "secret").write_text("not for the image")
    return root


def built(root: Path, target: Path, **config: Any) -> str:
    recipe = Recipe(["app:1", "r.test/app:2"], root, config=ImageConfig(**config), exclude=["secret"])
    return build(recipe, target, target.parent / "cache", lambda text: None)


def test_the_same_folder_makes_the_same_image(tmp_path: Path) -> None:
    first = built(folder(tmp_path, "one"), tmp_path / "one.tar", entrypoint=["python3", "/app/main.py"])
    again = folder(tmp_path, "two")
    os.utime(again / "app" / "main.py", (1, 1))
    second = built(again, tmp_path / "two.tar", entrypoint=["python3", "/app/main.py"])
    assert first == second
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    assert built(again, tmp_path / "three.tar", entrypoint=["other"]) != first


def test_the_image_says_what_was_asked_for(tmp_path: Path) -> None:
    built(
        folder(tmp_path), tmp_path / "a.tar", working_dir="/app", user="1000", environment={"A": "1"}, ports=["80/tcp"]
    )
    with tarfile.open(tmp_path / "a.tar") as tar:
        [entry] = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
        assert entry["RepoTags"] == ["docker.io/library/app:1", "r.test/app:2"]
        config = json.load(tar.extractfile(entry["Config"]))["config"]  # type: ignore[arg-type]
        with tarfile.open(fileobj=tar.extractfile(entry["Layers"][0])) as layer:
            entries = {member.name: member for member in layer}
    assert (config["WorkingDir"], config["User"], list(config["ExposedPorts"])) == ("/app", "1000", ["80/tcp"])
    assert "A=1" in config["Env"]
    assert sorted(entries) == ["app", "app/main.py", "app/run"]
    assert all((entry.uid, entry.gid, entry.mtime) == (0, 0, 0) for entry in entries.values())


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"tags": []}, "needs a name"),
        ({"folder": None}, "needs something in it"),
        ({"tags": ["App"]}, "must be lowercase"),
        ({"tags": [f"a@sha256:{'0' * 64}"]}, "not a digest"),
        ({"packages": ["no/package"]}, "no name of a package"),
        ({"packages": ["--option"]}, "no name of a package"),
        ({"config": ImageConfig(environment={"": "x"})}, "must be NAME=VALUE"),
        ({"config": ImageConfig(ports=["http"])}, "must be a number"),
        ({"config": ImageConfig(user="4294967296")}, "its user 4294967296 is beyond"),
        ({"config": ImageConfig(working_dir="/proc/self/fd/7")}, "file descriptor"),
        (
            {"config": ImageConfig(labels={"containerd.io/restart.status": "running"})},
            "addresses the container runtime",
        ),
    ],
)
def test_what_makes_no_image_is_refused(tmp_path: Path, changes: Any, why: str) -> None:
    recipe = Recipe(**({"tags": ["a:1"], "folder": tmp_path} | changes))
    with pytest.raises(BadRecipe, match=why):
        check(recipe)


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(BadRecipe) as caught:
        check(Recipe([]))
    assert len(str(caught.value).splitlines()) == 2


def test_pairs() -> None:
    assert pairs(["A=1", "B=x=y", "C"]) == {"A": "1", "B": "x=y", "C": ""}
