"""What a container is shown of its pod's volumes, and why some mounts are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from navarch.agent.config import Paths
from navarch.agent.runtime import DeviceMapping, Mount, RuntimeFailure
from navarch.agent.specs import Prepared, container_spec
from navarch.agent.volumes import shown
from navarch.agent.volumes.maker import Made
from navarch.kinds.podspec.container import Container, VolumeMount
from tests.unit.agent.pods import UID, instance, pod
from tests.unit.agent.test_specs import ROOT

VOLUMES = {
    "data": Made(Path("/d")),
    "map": Made(Path("/m"), read_only=True),
    "disk": Made(Path("/dev/null"), device=True),
}


def of(*mounts: Any, **more: Any) -> Container:
    listed = [{"name": "data", "mountPath": "/x", **mount} for mount in mounts]
    return pod({"name": "main", "image": "app:1", "volumeMounts": listed, **more}).spec.containers[0]


def mounted(container: Container, folder: Path, recursive: bool = False) -> list[Mount]:
    paths = Paths(folder / "agent", folder / "logs")
    return shown.mounts(container, VOLUMES, paths, UID, {"NAME": "web", "EMPTY": ""}, recursive)


def test_a_mount_is_read_only_when_the_container_or_the_volume_says_so(tmp_path: Path) -> None:
    found = mounted(of({}, {"readOnly": True}, {"name": "map", "mountPropagation": "HostToContainer"}), tmp_path)
    assert [(one.host_path, one.readonly) for one in found] == [("/d", False), ("/d", True), ("/m", True)]
    assert [one.propagation for one in found] == ["None", "None", "HostToContainer"]


@pytest.mark.parametrize(
    ("mount", "message"),
    [
        ({"name": "none"}, 'cannot find volume "none" to mount into container "main"'),
        ({"name": "disk"}, 'volume "disk" has volumeMode Block, but is specified in volumeMounts'),
        ({"subPathExpr": "$(NAME)/$(MISSING)/$(EMPTY)"}, "missing value for EMPTY, MISSING"),
        ({"subPath": "/etc"}, "error SubPath `/etc` must not be an absolute path"),
        ({"subPathExpr": "../$(NAME)"}, "unable to provision SubPath `../web`: must not contain '..'"),
        (
            {"readOnly": True, "recursiveReadOnly": "Enabled"},
            'failed to resolve recursive read-only mode: volume "data" requested recursive read-only mode, but it is '
            "not supported by the runtime",
        ),
    ],
)
def test_what_cannot_be_shown_is_said(tmp_path: Path, mount: Any, message: str) -> None:
    with pytest.raises(RuntimeFailure) as caught:
        mounted(of(mount), tmp_path)
    assert str(caught.value) == message
    assert caught.value.reason == "CreateContainerConfigError"


@pytest.mark.parametrize("supported", [True, False])
@pytest.mark.parametrize("mode", ["", "Disabled", "IfPossible"])
def test_mounts_below_are_read_only_too_where_it_is_possible(tmp_path: Path, mode: str, supported: bool) -> None:
    container = of({"readOnly": True, "recursiveReadOnly": mode}, {"mountPath": "/y"})
    [found, other] = mounted(container, tmp_path, supported)
    assert found.recursive == (supported and mode == "IfPossible")
    assert not other.recursive
    prepared = Prepared(ROOT, (), (found, other))
    spec = container_spec(pod(), container, 0, 0, prepared)
    run = instance(annotations={key: value for key, value in spec.annotations.items() if key == shown.RECURSIVE})
    assert shown.statuses(container, run) == [
        {
            "name": "data",
            "mountPath": "/x",
            "readOnly": True,
            "recursiveReadOnly": "Enabled" if found.recursive else "Disabled",
        },
        {"name": "data", "mountPath": "/y"},
    ]


@pytest.mark.parametrize(
    "mount", [{"recursiveReadOnly": "Enabled"}, {"readOnly": True, "mountPropagation": "HostToContainer"}]
)
def test_recursion_needs_a_mount_that_is_read_only_and_keeps_to_itself(mount: Any) -> None:
    wanted = of({**mount, "recursiveReadOnly": "Enabled"}).volume_mounts[0]
    with pytest.raises(RuntimeFailure, match=r"it is not read-only|not compatible with propagation"):
        shown.recursion(wanted, True)
    assert not shown.recursion(VolumeMount(name="v", mount_path="/"), True)


def test_a_device_is_handed_over_with_the_rights_of_its_claim() -> None:
    listed = [{"name": "disk", "devicePath": "/dev/x"}]
    assert shown.devices(of(volumeDevices=listed), VOLUMES) == (DeviceMapping("/dev/null", "/dev/x", "mrw"),)
    volumes = {"disk": Made(Path("/dev/null"), read_only=True, device=True)}
    assert shown.devices(of(volumeDevices=listed), volumes)[0].permissions == "r"
    with pytest.raises(RuntimeFailure, match="has volumeMode Filesystem, but is specified in volumeDevices"):
        shown.devices(of(volumeDevices=[{"name": "data", "devicePath": "/dev/x"}]), VOLUMES)
    with pytest.raises(RuntimeFailure, match='cannot find volume "no" to map'):
        shown.devices(of(volumeDevices=[{"name": "no", "devicePath": "/dev/x"}]), VOLUMES)
