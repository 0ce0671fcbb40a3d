"""Volumes of a real driver, a process of its own, in real containers: files, memory, blocks, growth, new agents."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from navarch.kinds import PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, POD
from tests.node.test_agent_containers import FOREVER, Node, node, shell
from tests.unit.agent.cluster import container, ready
from tests.unit.agent.volumes.fakedriver import NAME
from tests.unit.agent.volumes.test_csi_agent import claimed, declare, disk, told, uses

__all__ = ["node"]

pytestmark = pytest.mark.node

DRIVER = Path(__file__).parents[2] / "examples" / "csi-driver" / "driver.py"
SOURCES = Path(__file__).parents[2] / "src"


@contextlib.asynccontextmanager
async def driver(node: Node) -> AsyncIterator[Path]:
    """The example's driver beside the agent; gives the folder of its volumes."""
    state = node.machine.directory / "disks"
    words = ["--name", NAME, "--node", "n1", "--state", state, "--record", node.machine.directory / "calls"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        DRIVER,
        *map(str, words),
        "--kubelet",
        str(node.world.config.paths.root),
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            while b"is registered" not in (line := await process.stdout.readline()):
                assert line, "the driver has ended"
        yield state
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


def calls(node: Node) -> list[str]:
    file = node.machine.directory / "calls"
    found = [json.loads(line)["call"] for line in file.read_text().splitlines()] if file.exists() else []
    return [call for call in found if call.endswith("Volume")]


async def until(what: str, holds: Callable[[], Any]) -> None:
    try:
        async with asyncio.timeout(90):
            while not holds():  # noqa: ASYNC110 - what the kernel and the driver have
                await asyncio.sleep(0.05)
    except TimeoutError as error:
        raise AssertionError(f"not so: {what}") from error


def mounts(node: Node) -> list[str]:
    """What the driver has mounted for the agent."""
    points = (line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return [point for point in points if "csi" in point and point.startswith(str(node.world.config.paths.root))]


def make(state: Path, volume: str, *, size_bytes: int = 8 << 20, block: bool = False) -> None:
    """A volume, as the driver's controller makes it."""
    state.mkdir(exist_ok=True)
    if block:
        with (state / f"{volume}.img").open("wb") as file:
            file.truncate(size_bytes)
    else:
        (state / volume).mkdir()
    (state / f"{volume}.json").write_text(json.dumps({"bytes": size_bytes, "block": block}))


async def restarted(node: Node, **changes: Any) -> None:
    await node.stop()
    node.world.config = dataclasses.replace(node.world.config, **changes)
    node.start()


def mounted(script: str, **mount: Any) -> dict[str, Any]:
    return shell(f"{script}; {FOREVER}", volumeMounts=[{"name": "v", "mountPath": "/data", **mount}])


def test_files_memory_and_blocks_of_a_driver(node: Callable[..., None]) -> None:
    async def scenario(node: Node) -> None:
        await declare(node.world, volumeLifecycleModes=["Persistent", "Ephemeral"])
        async with driver(node) as state:
            await files_outlive_agents_and_go_with_the_last_pod(node, state)
            await memory_lives_with_its_pod(node)
            await blocks_are_a_device_and_grow(node, state)

    node(scenario)


async def files_outlive_agents_and_go_with_the_last_pod(node: Node, state: Path) -> None:
    world = node.world
    make(state, "files")
    await disk(world, "files", "files")
    writes = mounted("echo kept > /data/file; stat -c '%g %a' /data/file /data > /data/rights")
    group = {"securityContext": {"fsGroup": 4321}}
    await world.create_pod("writer", writes, **group, **claimed("files"))
    await world.until("writer", ready)
    await until("the rights are told", lambda: (state / "files" / "rights").exists())
    assert (state / "files" / "file").read_text() == "kept\n"
    reads = mounted("grep -q kept /data/file || exit 7; touch /data/no && exit 8")
    await world.create_pod("reader", reads, **claimed("files", readOnly=True))
    before = await world.until("reader", ready)
    assert (state / "files" / "rights").read_text().split() == ["4321", "644", "4321", "2775"]
    assert len(mounts(node)) == 3
    await node.stop()
    await world.client.delete(POD, "default", "writer", grace_s=0)
    node.start()
    await until("the pod that went is unpublished", lambda: len(mounts(node)) == 2)
    after = await world.until("reader", ready)
    assert container(after)["restartCount"] == 0
    assert container(after)["containerID"] == container(before)["containerID"]
    await world.client.delete(POD, "default", "reader", grace_s=1)
    await world.until_gone("reader")
    assert mounts(node) == []
    assert (state / "files" / "file").read_text() == "kept\n"
    assert not (state / "files" / "no").exists()
    found = calls(node)
    assert (found[0], found[-1]) == ("NodeStageVolume", "NodeUnstageVolume")
    assert found.count("NodeUnpublishVolume") == 2


async def memory_lives_with_its_pod(node: Node) -> None:
    world = node.world
    script = "df -k /data | tail -n 1 > /data/size"
    await world.create_pod("fleeting", mounted(script), **uses({"volumeAttributes": {"size": "3Mi"}}))
    await world.until("fleeting", ready)
    [point] = mounts(node)
    size = Path(point) / "size"
    await until("the size is told", lambda: size.exists() and size.read_text())
    assert size.read_text().split()[1] == str(3 << 10)
    await world.client.delete(POD, "default", "fleeting", grace_s=1)
    await world.until_gone("fleeting")
    assert mounts(node) == []


async def blocks_are_a_device_and_grow(node: Node, state: Path) -> None:
    world = node.world
    make(state, "blocks", block=True)
    await disk(world, "blocks", "blocks", volumeMode="Block", capacity="8Mi")
    write_end = "while ! echo end | dd of=/dev/disk bs=1M seek=12; do sleep 0.1; done"
    script = f"echo written | dd of=/dev/disk conv=notrunc; {write_end}"
    device = shell(f"{script}; {FOREVER}", volumeDevices=[{"name": "v", "devicePath": "/dev/disk"}])
    await restarted(node, volumes_again_s=0.5)
    await world.create_pod("raw", device, **claimed("blocks"))
    await world.until("raw", ready)
    image = state / "blocks.img"
    await until("the device is written to", lambda: image.open("rb").read(8) == b"written\n")
    (state / "blocks.json").write_text(json.dumps({"bytes": 16 << 20, "block": True}))
    with image.open("ab") as file:
        file.truncate(16 << 20)
    larger = {"spec": {"capacity": {"storage": "16Mi"}}}
    await world.client.patch(PERSISTENTVOLUME, "", "pv-blocks", larger, type="merge")
    await told(world, "FileSystemResizeSuccessful")
    claim = (await world.client.get(PERSISTENTVOLUMECLAIM, "default", "blocks")).document()
    assert claim["status"]["capacity"] == {"storage": "16Mi"}
    await until("the new end is written to", lambda: image.read_bytes()[12 << 20 :].startswith(b"end\n"))
    await world.client.delete(POD, "default", "raw", grace_s=1)
    await world.until_gone("raw")
    assert mounts(node) == []
    assert not loop_devices(image)


def loop_devices(image: Path) -> list[Path]:
    """Those that show the file."""
    backing = Path("/sys/block").glob("loop*/loop/backing_file")
    return [one for one in backing if one.read_text().strip() == str(image)]
