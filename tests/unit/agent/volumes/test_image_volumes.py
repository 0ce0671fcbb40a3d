"""Volumes that are an image: pulled as containers' own are, shown where the runtime can, refused where it cannot."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from navarch.agent import crimessages
from navarch.agent.fake import FakeRuntime, Pull
from navarch.agent.runtime import ContainerSpec, Mount, RuntimeInfo, SandboxSpec
from navarch.agent.volumes.imagevolumes import ImageVolumes, by_id, pulled_for
from navarch.agent.volumes.maker import MountFailure, Wanted
from navarch.agent.volumes.storage import NoStorage
from tests.unit.agent.cluster import container, ready, world
from tests.unit.agent.pods import pod

VOLUME = {"name": "v", "image": {"reference": "pictures:1", "pullPolicy": "IfNotPresent"}}
MAIN = {"name": "main", "image": "app:1", "volumeMounts": [{"name": "v", "mountPath": "/pictures", "subPath": "a"}]}


class Shows(NoStorage):
    async def mounts_of(self, *_: Any) -> tuple[Mount, ...]:
        return (Mount("/host", "/else"), Mount("", "/pictures", readonly=True, image="pictures:1", part="a"))


class Noting(FakeRuntime):
    """Keeps what containers were made of."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.made: list[ContainerSpec] = []

    async def create_container(self, sandbox_id: str, sandbox: SandboxSpec, spec: ContainerSpec) -> str:
        self.made.append(spec)
        return await super().create_container(sandbox_id, sandbox, spec)


def test_it_is_pulled_before_the_container_that_mounts_it_and_mounted_by_its_id(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path, Noting) as made, made.running(storage=Shows()):
            await made.create_pod("web", MAIN, volumes=[VOLUME])
            await made.until("web", ready)
            pulled = [name for verb, name in made.runtime.calls if verb == "pull"]
            assert pulled == ["pictures:1", "app:1"]
            image = await made.runtime.image("pictures:1")
            assert image is not None
            (spec,) = made.runtime.made
            assert spec.mounts == (Mount("/host", "/else"), Mount("", "/pictures", True, image=image.id, part="a"))

    asyncio.run(run())


def test_a_picture_that_cannot_be_pulled_keeps_the_container_from_starting(tmp_path: Path) -> None:
    async def run() -> None:
        pulls = {"pictures:1": Pull(error="no such image"), "app:1": Pull()}
        async with world(tmp_path, pulls=pulls.__getitem__) as made, made.running(storage=Shows()):
            await made.create_pod("web", MAIN, volumes=[VOLUME])

            def waits(document: dict[str, Any]) -> bool:
                found = document.get("status", {}).get("containerStatuses", [{}])[0].get("state", {}).get("waiting", {})
                return found.get("reason") in ("ErrImagePull", "ImagePullBackOff")

            found = await made.until("web", waits)
            assert "pictures:1" in container(found)["state"]["waiting"]["message"]

    asyncio.run(run())


def test_only_those_who_mount_it_wait_for_it() -> None:
    found = pod({"name": "main", "image": "app:1"}, volumes=[VOLUME])
    assert pulled_for(found, found.spec.containers[0]) == []
    mounting = pod(MAIN, volumes=[VOLUME, {"name": "other", "emptyDir": {}}])
    (asked,) = pulled_for(mounting, mounting.spec.containers[0])
    assert (asked.name, asked.image, asked.image_pull_policy) == ("main", "pictures:1", "IfNotPresent")
    assert by_id((Mount("/a", "/b"),), {}) == (Mount("/a", "/b"),)


def made_by(info: RuntimeInfo, tmp_path: Path) -> Any:
    async def asked() -> RuntimeInfo:
        return info

    found = pod(MAIN, volumes=[VOLUME])
    none: Any = None
    wanted = Wanted(found, found.spec.volumes[0], "image", VOLUME["image"], tmp_path, none, none, none)  # type: ignore[arg-type]
    return asyncio.run(ImageVolumes(asked).make(wanted))


def test_who_cannot_mount_images_says_so(tmp_path: Path) -> None:
    with pytest.raises(MountFailure, match="image volumes are not supported with the container runtime of this node"):
        made_by(RuntimeInfo("containerd", "1.6.20"), tmp_path)
    found = made_by(RuntimeInfo("containerd", "2.1.0", image_volumes=True), tmp_path)
    assert (found.image, found.read_only) == ("pictures:1", True)


@pytest.mark.parametrize(
    ("name", "version", "able"),
    [
        ("containerd", "1.6.20~ds1", False),
        ("containerd", "v2.0.5", False),
        ("containerd", "v2.1.0", True),
        ("containerd", "10.0.0", True),
        ("cri-o", "1.30.4", False),
        ("cri-o", "1.31.0", True),
        ("containerd", "main", False),
        ("docker", "99.0", False),
    ],
)
def test_which_runtimes_can(name: str, version: str, able: bool) -> None:
    status = SimpleNamespace(
        status=SimpleNamespace(conditions=()),
        runtime_handlers=(),
        features=None,
        HasField=lambda field: False,
    )
    said = SimpleNamespace(runtime_name=name, runtime_version=version)
    assert crimessages.runtime_info(said, status).image_volumes is able


def test_what_the_runtime_is_told() -> None:
    sandbox = SandboxSpec("default", "web", "u")
    spec = ContainerSpec("main", "app:1", mounts=(Mount("", "/p", True, image="sha256:1", part="a"), Mount("/h", "/c")))
    first, second = crimessages.container_config(sandbox, spec).mounts
    assert (first.image.image, first.image_sub_path, first.host_path, first.readonly) == ("sha256:1", "a", "", True)
    assert not second.HasField("image")
