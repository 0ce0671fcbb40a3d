"""Devices that are described on the node's disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from navarch.agent.devices.cdi import resolve
from navarch.agent.devices.extras import Extras
from navarch.agent.runtime import DeviceMapping, Mount, RuntimeFailure


def described(folder: Path, name: str = "a.json", **more: Any) -> Path:
    folder.mkdir(exist_ok=True)
    card = {"env": ["CARD=0=x"], "deviceNodes": [{"path": "/dev/card0"}, {"path": "/dev/c1", "hostPath": "/dev/real"}]}
    document = {
        "cdiVersion": "0.6.0",
        "kind": "vendor.com/gpu",
        "devices": [{"name": "0", "containerEdits": card}, {"name": "1", "containerEdits": more}],
        "containerEdits": {
            "mounts": [{"hostPath": "/lib/gpu", "containerPath": "/usr/gpu", "options": ["ro", "bind"]}]
        },
    }
    (folder / name).write_text(json.dumps(document))
    return folder


def test_a_device_brings_its_own_edits_and_those_of_its_kind(tmp_path: Path) -> None:
    found = resolve(["vendor.com/gpu=0", "vendor.com/gpu=0"], [described(tmp_path)])
    assert found.variables == {"CARD": "0=x"}
    assert found.devices == (DeviceMapping("/dev/card0", "/dev/card0"), DeviceMapping("/dev/real", "/dev/c1"))
    assert found.mounts == (Mount("/lib/gpu", "/usr/gpu", readonly=True),)
    assert resolve([], [tmp_path]) == Extras()


def test_a_later_folder_stands_above_the_first_and_what_is_broken_is_passed_by(tmp_path: Path) -> None:
    first, second = described(tmp_path / "etc"), described(tmp_path / "run", env=["FROM=run"])
    (second / "broken.json").write_text("{")
    (second / "list.yaml").write_text("- 1\n")
    (second / "note.txt").write_text("{}")
    assert resolve(["vendor.com/gpu=1"], [first, second]).variables == {"FROM": "run"}
    assert resolve(["vendor.com/gpu=1"], [first]).variables == {}


@pytest.mark.parametrize(
    ("name", "edits", "words"),
    [
        ("vendor.com/gpu=7", {}, "unresolvable CDI device vendor.com/gpu=7: no file in"),
        ("vendor.com/gpu", {}, "unresolvable CDI device vendor.com/gpu:"),
        (
            "vendor.com/gpu=1",
            {"hooks": [{"hookName": "createContainer", "path": "/x"}]},
            "needs hooks, which",
        ),
        ("vendor.com/gpu=1", {"deviceNodes": [{"type": "c"}]}, "is described wrongly: KeyError: 'path'"),
        ("vendor.com/gpu=1", {"mounts": "all"}, "is described wrongly: TypeError"),
    ],
)
def test_what_cannot_be_followed_is_refused_by_name(tmp_path: Path, name: str, edits: Any, words: str) -> None:
    with pytest.raises(RuntimeFailure, match="CDI") as refused:
        resolve([name], [described(tmp_path, **edits)])
    assert words in str(refused.value)
    assert refused.value.reason == "CreateContainerConfigError"
