"""Pods with volumes of a driver, on the whole agent: what the driver is asked, in which order, and what users see."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

from navarch.agent.agent import Agent
from navarch.agent.pluginwatch import Plugin
from navarch.agent.volumes.csi.driver import Drivers
from navarch.agent.volumes.csi.register import CsiRegistry
from navarch.base.clock import SystemClock
from navarch.kinds import (
    CSIDRIVER,
    CSINODE,
    EVENT,
    NODE,
    PERSISTENTVOLUME,
    PERSISTENTVOLUMECLAIM,
    POD,
    SECRET,
    VOLUMEATTACHMENT,
)
from navarch.wire.csi import Access, NodeCan
from tests.unit.agent import cluster
from tests.unit.agent.cluster import World, ready
from tests.unit.agent.volumes.fakedriver import NAME, FakeDriver

HANDLE = "vol-1"
Scene = Callable[[World, FakeDriver], Coroutine[Any, Any, None]]


def play(scene: Scene, *, again_s: float = 60.0, **driver: Any) -> None:
    """again_s: how often the agent looks at volumes of which nothing was heard."""

    async def run(folder: Path) -> None:
        async with cluster.world(folder) as world:
            world.config = dataclasses.replace(world.config, volumes_again_s=again_s)
            fake = FakeDriver(folder / "d", **driver)
            async with fake.serving(world.config.paths.plugins_registry):
                await scene(world, fake)

    with tempfile.TemporaryDirectory(prefix="csi", dir="/tmp") as folder:  # a socket's path is at most 107 bytes long
        asyncio.run(run(Path(folder)))


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - any state of the test
            await asyncio.sleep(0.01)


async def eventually(holds: Callable[[], Coroutine[Any, Any, bool]]) -> None:
    async with asyncio.timeout(60):
        while not await holds():  # noqa: ASYNC110 - what the API server has
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def agent(world: World, fake: FakeDriver) -> AsyncIterator[Agent]:
    """An agent on a real disk, once it has taken the driver."""
    before = len(fake.heard)
    async with world.running(storage=None) as running:
        await until(lambda: len(fake.heard) > before)
        yield running


async def declare(world: World, **spec: Any) -> None:
    """What the driver says of itself; by default it needs no attaching."""
    made = {"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": NAME}}
    await world.client.create(CSIDRIVER, {**made, "spec": {"attachRequired": False, **spec}})


async def disk(world: World, name: str = "data", handle: str = HANDLE, **spec: Any) -> None:
    """A volume and the claim that it is bound to. csi: what its source says besides."""
    csi, size = spec.pop("csi", {}), spec.pop("capacity", "1Gi")
    common = {"accessModes": ["ReadWriteOnce"], **spec}
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "volumeName": f"pv-{name}",
            "resources": {"requests": {"storage": size}},
            "storageClassName": "",
            **{key: value for key, value in common.items() if key != "mountOptions"},
        },
    }
    made = await world.client.create(PERSISTENTVOLUMECLAIM, claim)
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"pv-{name}"},
        "spec": {
            "capacity": {"storage": size},
            "csi": {"driver": NAME, "volumeHandle": handle, "fsType": "ext4", **csi},
            "claimRef": {"namespace": "default", "name": name, "uid": made.uid},
            **common,
        },
    }
    await world.client.create(PERSISTENTVOLUME, volume)
    await set_capacity(world, size, name)


async def set_capacity(world: World, size: str, name: str = "data") -> None:
    status = {"status": {"phase": "Bound", "capacity": {"storage": size}}}
    await world.client.patch(PERSISTENTVOLUMECLAIM, "default", name, status, type="merge", subresource="status")


def claimed(name: str = "data", **more: Any) -> dict[str, Any]:
    return {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": name, **more}}]}


def uses(source: dict[str, Any]) -> dict[str, Any]:
    return {"volumes": [{"name": "v", "csi": {"driver": NAME, **source}}]}


async def told(world: World, reason: str, text: str = "") -> str:
    async with asyncio.timeout(60):
        while True:
            for item in (await world.client.list(EVENT, "default")).items:
                found = item.document()
                if found["reason"] == reason and text in found["message"]:
                    return str(found["message"])
            await asyncio.sleep(0.02)


async def removed(world: World, name: str) -> None:
    await world.client.delete(POD, "default", name, grace_s=1)


def test_a_driver_registers_and_the_node_tells_of_it() -> None:
    async def scene(world: World, fake: FakeDriver) -> None:
        async with agent(world, fake):
            assert fake.heard == [(True, "")]
            node = (await world.client.get(NODE, "", cluster.NODE)).document()
            assert json.loads(node["metadata"]["annotations"]["csi.volume.kubernetes.io/nodeid"]) == {NAME: "node-7"}
            assert node["metadata"]["labels"]["topology.example.com/rack"] == "r1"
            found = (await world.client.get(CSINODE, "", cluster.NODE)).document()
            [entry] = found["spec"]["drivers"]
            keys = {"topologyKeys": ["topology.example.com/rack"], "allocatable": {"count": 5}}
            assert entry == {"name": NAME, "nodeID": "node-7", **keys}
            assert found["metadata"]["ownerReferences"][0]["uid"] == node["metadata"]["uid"]
            (world.config.paths.plugins_registry / f"{NAME}-reg.sock").unlink()

            async def gone() -> bool:
                return not (await world.client.get(CSINODE, "", cluster.NODE)).document()["spec"].get("drivers")

            await eventually(gone)
            left = (await world.client.get(NODE, "", cluster.NODE)).document()["metadata"]["annotations"]
            assert "csi.volume.kubernetes.io/nodeid" not in left

    play(scene, topology={"topology.example.com/rack": "r1"}, most_volumes=5)


def test_a_driver_that_wishes_it_is_asked_again_how_much_the_node_takes() -> None:
    async def scene(world: World, fake: FakeDriver) -> None:
        drivers = Drivers()
        registry = CsiRegistry(world.client, cluster.NODE, drivers, lambda name: None)
        meta = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": cluster.NODE}}
        await world.client.create(NODE, meta)
        assert not await registry.ask_again(NAME)
        await registry.register(Plugin(Path("/r"), "CSIPlugin", NAME, str(fake.endpoint), ("1.0.0",)))
        fake.most_volumes = 3
        assert await registry.ask_again(NAME)
        [entry] = (await world.client.get(CSINODE, "", cluster.NODE)).document()["spec"]["drivers"]
        assert entry["allocatable"] == {"count": 3}

    play(scene, most_volumes=5)


def test_how_often_a_driver_is_asked_again() -> None:
    class Quick(SystemClock):
        def monotonic(self) -> float:
            return super().monotonic() * 1000

    async def scene(world: World, fake: FakeDriver) -> None:
        await declare(world, nodeAllocatableUpdatePeriodSeconds=10)
        world.clock = Quick()
        async with agent(world, fake):
            fake.most_volumes = 4

            async def known() -> bool:
                found = (await world.client.get(CSINODE, "", cluster.NODE)).document()
                return any(one.get("allocatable") == {"count": 4} for one in found["spec"]["drivers"])

            other = FakeDriver(fake.folder / "o", name="other.example.com")
            async with other.serving(world.config.paths.plugins_registry):  # whose coming makes the agent look
                await eventually(known)

    play(scene)


def test_a_driver_of_another_csi_is_refused_and_told_why() -> None:
    async def scene(world: World, fake: FakeDriver) -> None:
        async with agent(world, fake):
            registered, error = fake.heard[0]
            assert not registered
            assert 'None of the versions specified ["0.3.0"] are supported' in error
            assert not (await world.client.list(CSINODE)).items[0].document()["spec"].get("drivers")

    play(scene, versions=("0.3.0",))


def test_a_volume_is_staged_and_published_and_all_is_taken_back() -> None:
    async def scene(world: World, fake: FakeDriver) -> None:
        await declare(world)
        attributes = {"volumeAttributes": {"colour": "red"}}
        await disk(world, csi=attributes, mountOptions=["noatime"])
        async with agent(world, fake) as running:
            made = await world.create_pod("web", **claimed())
            await world.until("web", ready)
            root = world.config.paths.root
            stage, publish = fake.last("Stage"), fake.last("Publish")
            assert stage.staging_target_path.startswith(f"{root}/plugins/kubernetes.io/csi/{NAME}/")
            assert stage.staging_target_path.endswith("/globalmount")
            assert publish.staging_target_path == stage.staging_target_path
            target = f"{root}/pods/{made.uid}/volumes/kubernetes.io~csi/pv-data/mount"
            assert publish.target_path == target
            assert dict(publish.volume_context) == dict(stage.volume_context) == {"colour": "red"}
            mount = publish.volume_capability.mount
            assert (mount.fs_type, list(mount.mount_flags)) == ("ext4", ["noatime"])
            assert publish.volume_capability.access_mode.mode == Access.SINGLE_NODE_MULTI_WRITER
            assert not publish.readonly
            [use] = await running.volumes_used()
            assert (use.uid, use.name, use.claim) == (made.uid, "v", ("default", "data"))
            assert (use.total_bytes, use.free_bytes, use.used_bytes) == (100, 60, 40)
            assert (use.inodes, use.inodes_free, use.inodes_used, use.abnormal) == (10, 6, 4, True)
            await removed(world, "web")
            await world.until_gone("web")
            assert fake.calls == ["Stage", "Publish", "Unpublish", "Unstage"]
            assert fake.asked[2][1].target_path == target
            assert not (root / "pods" / made.uid).exists()
            assert not list((root / "plugins").rglob("vol_data.json"))

    play(scene)


def test_two_pods_share_a_staged_volume() -> None:
    async def scene(world: World, fake: FakeDriver) -> None:
        await declare(world)
        await disk(world)
        async with agent(world, fake):
            await world.create_pod("one", **claimed())
            await world.create_pod("two", **claimed(readOnly=True))
            await world.until("one", ready)
            await world.until("two", ready)
            assert sorted(fake.calls) == ["Publish", "Publish", "Stage"]
            assert {request.readonly for call, request in fake.asked if call == "NodePublishVolume"} == {False, True}
            await removed(world, "one")
            await world.until_gone("one")
            assert fake.calls[3:] == ["Unpublish"]
            await removed(world, "two")
            await world.until_gone("two")
            assert fake.calls[4:] == ["Unpublish", "Unstage"]

    play(scene)


def test_a_driver_that_does_not_stage_is_not_asked_to() -> None:
    async def scene(world: World, fake: FakeDriver) -> None:
        await declare(world)
        await disk(world)
        async with agent(world, fake):
            await world.create_pod("web", **claimed())
            await world.until("web", ready)
            await removed(world, "web")
            await world.until_gone("web")
            assert fake.calls == ["Publish", "Unpublish"]
            assert fake.last("Publish").staging_target_path == ""
            assert fake.last("Publish").volume_capability.access_mode.mode == Access.SINGLE_NODE_WRITER

    play(scene, can=())


def test_an_inline_volume_lives_with_its_pod_and_its_driver_knows_the_pod() -> None:
    async def scene(world: World, fake: FakeDriver) -> None:
        await declare(world, volumeLifecycleModes=["Ephemeral"], podInfoOnMount=True)
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "default"}}
        await world.client.create(SECRET, {**secret, "data": {"key": base64.b64encode(b"word").decode()}})
        async with agent(world, fake):
            source = {"volumeAttributes": {"size": "1Mi"}, "readOnly": True, "nodePublishSecretRef": {"name": "s"}}
            made = await world.create_pod("web", **uses(source))
            await world.until("web", ready)
            asked = fake.last("Publish")
            about = {key.removeprefix("csi.storage.k8s.io/"): value for key, value in asked.volume_context.items()}
            assert about == {
                "size": "1Mi",
                "pod.name": "web",
                "pod.namespace": "default",
                "pod.uid": made.uid,
                "serviceAccount.name": "default",
                "ephemeral": "true",
            }
            assert asked.readonly
            assert dict(asked.secrets) == {"key": "word"}
            assert asked.volume_id.startswith("csi-")
            await removed(world, "web")
            await world.until_gone("web")
            assert fake.calls == ["Publish", "Unpublish"]

    play(scene)


def test_a_mode_that_the_driver_lacks_is_told() -> None:
    async def scene(world: World, fake: FakeDriver) -> None:
        async with agent(world, fake):
            await world.create_pod("web", **uses({}))
            want = f'MountVolume.SetUp failed for volume "v" : volume mode "Ephemeral" not supported by driver {NAME} '
            assert await told(world, "FailedMount") == f"{want}(no CSIDriver object)"
            await declare(world)
            assert await told(world, "FailedMount", "only") == f'{want}(only supports ["Persistent"])'
            assert fake.asked == []

    play(scene)


def test_a_driver_that_is_not_there_is_named() -> None:
    async def scene(world: World, fake: FakeDriver) -> None:
        await disk(world, csi={"driver": "other.example.com"})
        made = {"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": "other.example.com"}}
        await world.client.create(CSIDRIVER, {**made, "spec": {"attachRequired": False}})
        async with agent(world, fake):
            await world.create_pod("web", **claimed())
            text = "driver name other.example.com not found in the list of registered CSI drivers"
            assert await told(world, "FailedMount") == f'MountVolume.SetUp failed for volume "pv-data" : {text}'

    play(scene)


def test_an_attached_volume_is_waited_for_and_told_to_be_in_use() -> None:
    async def scene(world: World, fake: FakeDriver) -> None:
        await disk(world)
        title = f"kubernetes.io/csi/{NAME}^{HANDLE}"

        async def in_use() -> list[str]:
            node = (await world.client.get(NODE, "", cluster.NODE)).document()
            return list(node["status"].get("volumesInUse") or ())

        async def told_of(titles: list[str]) -> bool:
            return await in_use() == titles

        async with agent(world, fake):
            await world.create_pod("web", **claimed())
            await eventually(lambda: told_of([title]))
            assert fake.asked == []
            name = "csi-" + hashlib.sha256(f"{HANDLE}{NAME}{cluster.NODE}".encode()).hexdigest()
            meta = {"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment", "metadata": {"name": name}}
            source = {"persistentVolumeName": "pv-data"}
            spec = {"attacher": NAME, "nodeName": cluster.NODE, "source": source}
            await world.client.create(VOLUMEATTACHMENT, {**meta, "spec": spec})
            status = {"status": {"attached": True, "attachmentMetadata": {"device": "/dev/x"}}}
            await world.client.patch(VOLUMEATTACHMENT, "", name, status, type="merge", subresource="status")
            await world.until("web", ready)
            assert dict(fake.last("Stage").publish_context) == {"device": "/dev/x"}
            assert dict(fake.last("Publish").publish_context) == {"device": "/dev/x"}
            assert await in_use() == [title]
            await removed(world, "web")
            await world.until_gone("web")
            assert await in_use() == []

    play(scene)


def test_a_pod_that_goes_while_its_volume_is_waited_for_leaves_nothing() -> None:
    async def scene(world: World, fake: FakeDriver) -> None:
        await disk(world)
        async with agent(world, fake):
            await world.create_pod("web", **claimed())
            await world.until("web", lambda found: found["status"].get("startTime"))
            await removed(world, "web")
            await world.until_gone("web")
            assert fake.asked == []

    play(scene)


def test_what_failed_is_told_and_asked_for_again() -> None:
    async def scene(world: World, fake: FakeDriver) -> None:
        await declare(world)
        await disk(world)
        fake.faults = {"NodeStageVolume": ["INTERNAL"], "NodePublishVolume": ["UNAVAILABLE"]}
        async with agent(world, fake):
            await world.create_pod("web", **claimed())
            await world.until("web", ready)
            assert fake.calls == ["Stage", "Stage", "Publish", "Publish"]
            want = 'MountVolume.SetUp failed for volume "pv-data" : rpc error: code = Internal desc = '
            assert await told(world, "FailedMount", "Internal") == f"{want}NodeStageVolume is not to be had"
            fake.faults = {"NodeUnpublishVolume": ["INTERNAL"], "NodeUnstageVolume": ["ABORTED"]}
            await removed(world, "web")
            await world.until_gone("web")
            assert fake.calls[4:] == ["Unpublish", "Unpublish", "Unstage", "Unstage"]

    play(scene)


def test_an_agent_that_starts_anew_finds_what_the_one_before_left() -> None:
    async def scene(world: World, fake: FakeDriver) -> None:
        await declare(world)
        await disk(world)
        await disk(world, "other", "vol-2")
        async with agent(world, fake):
            await world.create_pod("stays", **claimed())
            await world.create_pod("goes", **claimed("other"))
            await world.until("stays", ready)
            await world.until("goes", ready)
        await world.client.delete(POD, "default", "goes", grace_s=0)
        left = {volume for volume, _ in fake.published}
        assert left == {HANDLE, "vol-2"}
        async with agent(world, fake):
            await until(lambda: fake.staged == {HANDLE})
            assert {volume for volume, _ in fake.published} == {HANDLE}
            await removed(world, "stays")
            await until(lambda: not fake.staged)
            await until(lambda: not list((world.config.paths.root / "plugins").rglob("vol_data.json")))
        assert not fake.published

    play(scene)


def test_what_is_staged_for_nobody_is_unstaged_when_the_driver_comes() -> None:
    async def scene(world: World, fake: FakeDriver) -> None:
        place = world.config.paths.root / "plugins" / "kubernetes.io" / "csi" / NAME / "hash"
        (place / "globalmount").mkdir(parents=True)
        note = {"driverName": NAME, "volumeHandle": "gone", "specVolID": "pv-gone"}
        (place / "vol_data.json").write_text("{")
        async with agent(world, fake):
            await until(lambda: bool(fake.heard))
            assert fake.asked == []
        assert (place / "vol_data.json").exists()
        place = place.rename(place.parent / hashlib.sha256(b"gone").hexdigest())
        (place / "vol_data.json").write_text(json.dumps(note))
        async with agent(world, fake):
            await until(lambda: fake.calls == ["Unstage"])
            await until(lambda: not place.exists())

    play(scene)


def test_a_volume_that_grew_is_grown_on_the_node() -> None:
    async def scene(world: World, fake: FakeDriver) -> None:
        await declare(world)
        await disk(world)
        async with agent(world, fake):
            await world.create_pod("web", **claimed())
            await world.until("web", ready)
            assert "Expand" not in fake.calls
            fake.faults = {"NodeExpandVolume": ["INTERNAL"]}
            pending = {"conditions": [{"type": "FileSystemResizePending", "status": "True"}]}
            patch = {"status": {"allocatedResourceStatuses": {"storage": "NodeResizePending"}, **pending}}
            await world.client.patch(
                PERSISTENTVOLUMECLAIM, "default", "data", patch, type="merge", subresource="status"
            )
            larger = {"spec": {"capacity": {"storage": "2Gi"}}}
            await world.client.patch(PERSISTENTVOLUME, "", "pv-data", larger, type="merge")
            text = await told(world, "FileSystemResizeSuccessful")
            assert text == f'MountVolume.NodeExpandVolume succeeded for volume "pv-data" {cluster.NODE}'
            assert await told(world, "VolumeResizeFailed", "Internal")
            status = (await world.client.get(PERSISTENTVOLUMECLAIM, "default", "data")).document()["status"]
            assert status["capacity"] == {"storage": "2Gi"}
            assert not status.get("conditions")
            assert not status.get("allocatedResourceStatuses")
            asked = fake.last("Expand")
            assert asked.capacity_range.required_bytes == 2 << 30
            assert asked.volume_path.endswith("/mount")

    play(scene, again_s=0.2)


def test_a_driver_that_asks_for_it_is_asked_again_and_again() -> None:
    async def scene(world: World, fake: FakeDriver) -> None:
        await declare(world, requiresRepublish=True, volumeLifecycleModes=["Ephemeral"])
        async with agent(world, fake):
            await world.create_pod("web", **uses({}))
            await world.until("web", ready)
            await until(lambda: len(fake.calls) >= 3)
            assert set(fake.calls) == {"Publish"}

    play(scene, again_s=0.2, can=())


def test_a_second_pod_waits_for_a_volume_of_one_pod() -> None:
    async def scene(world: World, fake: FakeDriver) -> None:
        await declare(world)
        await disk(world, accessModes=["ReadWriteOncePod"])
        async with agent(world, fake):
            await world.create_pod("one", **claimed())
            await world.until("one", ready)
            assert fake.last("Publish").volume_capability.access_mode.mode == Access.SINGLE_NODE_SINGLE_WRITER
            await world.create_pod("two", **claimed())
            assert "is already in use by another pod" in await told(world, "FailedMount")
            await removed(world, "one")
            await world.until("two", ready)

    play(scene)


def test_a_driver_that_mounts_with_a_group_is_given_it() -> None:
    async def scene(world: World, fake: FakeDriver) -> None:
        await declare(world)
        await disk(world)
        async with agent(world, fake):
            await world.create_pod("web", securityContext={"fsGroup": 1234}, **claimed())
            await world.until("web", ready)
            for call in ("Stage", "Publish"):
                assert fake.last(call).volume_capability.mount.volume_mount_group == "1234"

    play(scene, can=(NodeCan.STAGE, NodeCan.MOUNT_GROUP))


def test_a_group_is_given_the_files_before_the_pod_starts_whatever_fails() -> None:
    async def scene(world: World, fake: FakeDriver) -> None:
        await declare(world)
        await disk(world)
        fake.lazy = 1
        async with agent(world, fake):
            await world.create_pod("web", securityContext={"fsGroup": os.getgid()}, **claimed())
            await world.until("web", ready)
            assert fake.calls == ["Stage", "Publish", "Publish"]
            assert Path(fake.last("Publish").target_path).stat().st_mode & 0o2770 == 0o2770

    play(scene, can=(NodeCan.STAGE,))


def test_blocks_are_published_as_a_device_and_leave_no_folder() -> None:
    async def scene(world: World, fake: FakeDriver) -> None:
        await declare(world)
        await disk(world, volumeMode="Block")
        devices = [{"name": "v", "devicePath": "/dev/disk"}]
        async with agent(world, fake):
            await world.create_pod("raw", {"name": "main", "image": "app:1", "volumeDevices": devices}, **claimed())
            await until(lambda: "Publish" in fake.calls)
            root = world.config.paths.root / "plugins/kubernetes.io/csi/volumeDevices"
            assert fake.last("Stage").staging_target_path == str(root / "staging" / "pv-data")
            assert fake.last("Publish").target_path.startswith(str(root / "publish" / "pv-data"))
            assert fake.last("Publish").volume_capability.HasField("block")
            await removed(world, "raw")
            await world.until_gone("raw")
            assert not fake.published
            assert not fake.staged
            assert not list(root.glob("*/*"))

    play(scene)
