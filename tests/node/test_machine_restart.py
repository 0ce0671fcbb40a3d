"""What happens to machines, with real containers: they are started again, and their disks fill up and break."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from navarch.agent.machine import read_machine
from navarch.agent.runtime import PodOnNode
from navarch.app import cni, containerd
from navarch.kinds import EVENT, NODE, POD
from navarch.objects import condition
from navarch.objects.value import Document
from tests.node import containerd_fixture as fixture
from tests.node import test_agent_containers as base
from tests.unit.agent import cluster

pytestmark = pytest.mark.node


class Restarted(base.Node):
    """An agent whose machine can be started again."""

    boots = 1

    def start(self) -> None:
        machine = replace(read_machine(self.world.config.paths.root), boot_id=f"boot-{self.boots}")
        agent = base.Agent(
            self.client,
            self.machine.runtime,
            self.machine.clock,
            base.SeededIds(5),
            self.world.config,
            cgroups=base.Cgroups(fixture.GROUP),
            machine=machine,
        )
        self.task = asyncio.get_running_loop().create_task(agent.run())

    async def power_off(self) -> None:
        """No process, mount, namespace, interface or group is left, nor what lay in memory."""
        await self.stop()
        pods = (await self.machine.runtime.observe()).values()
        sandboxes = [box.id for pod in pods for box in pod.sandboxes]
        self.machine.process.kill()
        await self.machine.process.wait()
        containerd.kill_containers(self.machine.settings)
        for sandbox in sandboxes:
            for namespace in cni.namespaces(cni.RESULTS / f"navtest-{sandbox}-eth0"):
                cni.remove_namespace(namespace)
        await containerd.unmount_below(self.machine.settings.directory)
        await containerd.unmount_below(self.world.config.paths.pods)
        shutil.rmtree(self.machine.settings.state)
        for _ in range(500):
            if base.Cgroups(fixture.GROUP).tear_down():
                break
            await asyncio.sleep(0.02)

    async def power_on(self) -> None:
        self.boots += 1
        self.machine.settings.state.mkdir()
        self.machine.process = await containerd.start(
            self.machine.settings, self.machine.clock, self.machine.directory / "log"
        )
        self.start()

    async def observed(self, uid: str) -> PodOnNode:
        return (await self.machine.runtime.observe(uid)).get(uid, PodOnNode(uid))


Scenario = Callable[[Restarted], Coroutine[Any, Any, None]]


@pytest.fixture(scope="module")
def play() -> Iterator[Callable[[Scenario], None]]:
    assert fixture.missing() == ""
    with asyncio.Runner() as runner:
        first, end = runner.run(base._start())
        node = runner.run(_taken_over(first))
        yield lambda scenario: runner.run(scenario(node))
        runner.run(node.stop())
        first.task = node.task
        runner.run(end())


async def _taken_over(first: base.Node) -> Restarted:
    await first.stop()
    node = Restarted(first.world, first.machine)
    node.start()
    return node


VOLUMES = [{"name": "disk", "emptyDir": {}}, {"name": "memory", "emptyDir": {"medium": "Memory"}}]
MOUNTS = [{"name": one["name"], "mountPath": f"/{one['name']}"} for one in VOLUMES]


def worker(line: str = base.FOREVER) -> Document:
    return base.shell(f"echo $$ >>/disk/starts; touch /memory/here; {line}", volumeMounts=MOUNTS)


async def reasons(node: Restarted) -> list[str]:
    return [item.document()["reason"] for item in (await node.client.list(EVENT, "default")).items]


def test_a_machine_that_is_started_again_makes_its_pods_anew(play: Callable[[Scenario], None]) -> None:
    async def scenario(node: Restarted) -> None:
        world = node.world
        await world.create_pod("stays", worker(), volumes=VOLUMES, terminationGracePeriodSeconds=1)
        await world.create_pod("goes", worker(), volumes=VOLUMES, terminationGracePeriodSeconds=1)
        before = await world.until("stays", cluster.ready)
        gone = (await world.until("goes", cluster.ready))["metadata"]["uid"]
        uid = before["metadata"]["uid"]
        await node.power_off()
        await node.client.delete(POD, "default", "goes", grace_s=0)
        await node.power_on()
        after = await world.until(
            "stays", lambda pod: cluster.ready(pod) and cluster.container(pod)["restartCount"] == 1
        )
        main = cluster.container(after)
        assert main["containerID"] != cluster.container(before)["containerID"]
        assert main["lastState"]["terminated"]["containerID"] == cluster.container(before)["containerID"]
        found = await node.observed(uid)
        assert [(box.attempt, box.ready) for box in found.sandboxes][:1] == [(1, True)]
        assert after["status"]["podIP"] == found.sandboxes[0].ips[0]
        disk = world.config.paths.volume(uid, "disk")
        memory = world.config.paths.volume(uid, "memory")
        assert len((disk / "starts").read_text().split()) == 2
        assert os.path.ismount(memory)
        assert (memory / "here").exists()
        await base.nothing_left(node, "goes", gone)
        for _ in range(1_000):
            if "Rebooted" in await reasons(node) and len((await node.observed(uid)).sandboxes) == 1:
                break
            await asyncio.sleep(0.05)
        assert "Rebooted" in await reasons(node)
        assert len((await node.observed(uid)).sandboxes) == 1
        await node.client.delete(POD, "default", "stays")
        await world.until_gone("stays")
        await base.nothing_left(node, "stays", uid)

    play(scenario)


def test_a_sandbox_whose_process_dies_is_noticed_and_replaced(play: Callable[[Scenario], None]) -> None:
    async def scenario(node: Restarted) -> None:
        world = node.world
        await world.create_pod("web", base.shell(base.FOREVER), terminationGracePeriodSeconds=1)
        uid = (await world.until("web", cluster.ready))["metadata"]["uid"]
        [box] = (await node.observed(uid)).sandboxes
        address = str(node.machine.settings.socket)
        words = ["ctr", "--address", address, "-n", "k8s.io", "tasks", "kill", "-s", "SIGKILL", box.id]
        killing = await asyncio.create_subprocess_exec(*words)
        assert await killing.wait() == 0
        await world.until("web", lambda pod: cluster.ready(pod) and cluster.container(pod)["restartCount"] == 1)
        assert (await node.observed(uid)).sandboxes[0].attempt == 1
        await node.client.delete(POD, "default", "web")
        await world.until_gone("web")

    play(scenario)


def test_a_disk_that_is_full_or_takes_no_writes_holds_what_is_new_and_lets_run_what_runs(
    play: Callable[[Scenario], None],
) -> None:
    async def scenario(node: Restarted) -> None:
        world, root = node.world, node.world.config.paths.root
        await node.stop()
        root.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(root)], check=True)
        try:
            node.start()
            await world.create_pod("old", worker(), volumes=VOLUMES, terminationGracePeriodSeconds=1)
            old = await world.until("old", cluster.ready)
            fill(root / "filler")
            items = [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]
            payload = {"name": "api", "downwardAPI": {"items": items}}
            await world.create_pod("late", base.shell(base.FOREVER), volumes=[payload], terminationGracePeriodSeconds=1)
            await told(node, "No space left on device")
            await node.stop()
            subprocess.run(["mount", "-o", "remount,ro", str(root)], check=True)
            node.start()
            for _ in range(2_000):
                found = (await node.client.get(NODE, "", cluster.NODE)).document()["status"]["conditions"]
                if (condition.get(found, "ReadonlyFilesystem") or {}).get("status") == "True":
                    break
                await asyncio.sleep(0.02)
            assert condition.get(found, "ReadonlyFilesystem")["status"] == "True"  # type: ignore[index]
            await told(node, "Read-only file system")
            now = await world.pod("old")
            assert cluster.container(now)["containerID"] == cluster.container(old)["containerID"]
            assert cluster.ready(now)
            subprocess.run(["mount", "-o", "remount,rw", str(root)], check=True)
            (root / "filler").unlink()
            await world.until("late", cluster.ready)
            for name in ("old", "late"):
                await node.client.delete(POD, "default", name)
                await world.until_gone(name)
        finally:
            await node.stop()
            subprocess.run(["umount", "--lazy", str(root)], check=True)
            node.start()

    play(scenario)


def fill(file: Path) -> None:
    """Until there is no room."""
    with file.open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(b"x" * 4096)


async def told(node: Restarted, words: str) -> None:
    """Wait for an event that says so."""
    texts: list[str] = []
    for _ in range(3_000):
        texts = [item.document()["message"] for item in (await node.client.list(EVENT, "default")).items]
        if any(words in text for text in texts):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"nobody said {words!r}: {texts}")
