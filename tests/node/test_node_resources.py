"""What a node bounds and gives away, with real containers: processes, CPUs of one's own, devices of a plugin."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from navarch.agent.allotments import reserved_cpus
from navarch.agent.kubelet import KubeletConfig
from navarch.agent.topology import cpusets
from navarch.agent.topology.cpus import read_layout
from navarch.base.clock import SeededIds, SystemClock
from navarch.kinds import DEVICECLASS, NODE, POD, RESOURCECLAIM
from navarch.scheduler.scheduler import Scheduler
from tests.node.test_agent_containers import GROUP, Node, _start, eventually, shell
from tests.unit.agent import cluster
from tests.unit.agent.devices.example import DevicePlugin
from tests.unit.agent.dra import lamps

pytestmark = pytest.mark.node

PIDS = 60
KUBELET = KubeletConfig(
    pod_pids_limit=PIDS,
    cpu_manager_policy="static",
    kube_reserved={"cpu": "100m"},
)
"""One CPU is nobody's own for that tenth of it."""
WHOLE = {"resources": {"limits": {"cpu": "1", "memory": "64Mi"}}}
WEIGHTY = {"resources": {"requests": {"cpu": "300m"}}}
"""Whoever shares one CPU of a busy machine must weigh something to get on."""
QUIET = "trap 'exit 0' TERM; sleep 1000 & wait"


@pytest.fixture(scope="module")
def node() -> Iterator[Callable[[Callable[[Node], Coroutine[Any, Any, None]]], None]]:
    """Of its own: with a limit on processes, and CPUs that can be given away."""
    with asyncio.Runner() as runner:
        started, stop = runner.run(_start())
        runner.run(started.stop())
        cdi = (started.machine.directory / "cdi",)
        started.world.config = replace(started.world.config, kubelet=KUBELET, cdi=cdi)

        async def begin() -> None:
            started.start()

        runner.run(begin())
        yield lambda scenario: runner.run(scenario(started))
        runner.run(stop())


async def cpus_of(at: Node, name: str) -> frozenset[int]:
    """Those that the kernel lets the pod's only container run on."""
    found = await at.world.pod(name)
    identity = cluster.container(found)["containerID"].rpartition("/")[2]
    answer = await at.machine.runtime.exec_sync(identity, ["cat", "/sys/fs/cgroup/cpuset/cpuset.cpus"], 10)
    return cpusets.parse(answer.stdout.decode())


async def remove(at: Node, *names: str) -> None:
    for name in names:
        await at.client.delete(POD, "default", name, grace_s=1)
    for name in names:
        await at.world.until_gone(name)


def test_a_container_has_whole_cpus_to_itself_also_after_a_restart_of_the_agent(node: Callable[..., None]) -> None:
    async def scenario(at: Node) -> None:
        every = read_layout().all
        await at.world.create_pod("shared", shell(QUIET, **WEIGHTY))
        await at.world.until("shared", cluster.ready)
        assert await cpus_of(at, "shared") == every
        await at.world.create_pod("own", shell(QUIET, **WHOLE))
        await at.world.until("own", cluster.ready)
        own = await cpus_of(at, "own")
        assert len(own) == 1
        assert not own & reserved_cpus(KUBELET, read_layout())

        async def has_left() -> bool:
            return await cpus_of(at, "shared") == every - own

        await eventually(has_left)
        await at.stop()
        at.start()
        await at.world.create_pod("late", shell(QUIET, **WEIGHTY))
        await at.world.until("late", cluster.ready)
        assert await cpus_of(at, "late") == every - own
        assert await cpus_of(at, "own") == own
        assert cluster.container(await at.world.pod("own"))["restartCount"] == 0
        await remove(at, "own", "late")

        async def is_back() -> bool:
            return await cpus_of(at, "shared") == every

        await eventually(is_back)
        await remove(at, "shared")

    node(scenario)


def test_a_fork_bomb_meets_the_limit_of_its_pod_and_nobody_else_does(node: Callable[..., None]) -> None:
    async def scenario(at: Node) -> None:
        await at.world.create_pod("neighbour", shell(QUIET))
        bomb = "while true; do sleep 1000 & done"
        made = await at.world.create_pod("bomb", shell(bomb), restartPolicy="Never")
        ended = await at.world.until("bomb", lambda pod: pod["status"].get("phase") == "Failed")
        assert cluster.container(ended)["state"]["terminated"]["exitCode"] != 0
        log = at.world.config.paths.pod_logs("default", "bomb", made.uid) / "main" / "0.log"
        assert "can't fork" in log.read_text()
        found = await at.world.until("neighbour", cluster.ready)
        group = Path(f"/sys/fs/cgroup/pids{GROUP}/besteffort/pod{found['metadata']['uid']}")
        assert (group / "pids.max").read_text().strip() == str(PIDS)
        identity = cluster.container(found)["containerID"].rpartition("/")[2]
        answer = await at.machine.runtime.exec_sync(identity, ["sh", "-c", "for i in 1 2 3; do true & done; wait"], 10)
        assert answer.exit_code == 0
        await remove(at, "bomb", "neighbour")

    node(scenario)


def test_a_pod_gets_a_device_that_a_plugin_offers(node: Callable[..., None]) -> None:
    async def scenario(at: Node) -> None:
        plugin = DevicePlugin(at.world.config.paths.device_plugins, count=1)
        await plugin.start()

        async def offered() -> bool:
            status = (await at.client.get(NODE, "", cluster.NODE)).document()["status"]
            return bool(status["allocatable"].get(plugin.resource) == "1")

        await eventually(offered)
        asked = {"resources": {"limits": {plugin.resource: "1"}}}
        line = "test -c /dev/$NULL_DEVICES && echo x > /dev/$NULL_DEVICES && test ! -s /dev/$NULL_DEVICES && " + QUIET
        await at.world.create_pod("card", shell(line, **asked))
        found = await at.world.until("card", cluster.ready)
        status = cluster.container(found)
        assert status["allocatedResourcesStatus"] == [
            {"name": plugin.resource, "resources": [{"resourceID": "null-0", "health": "Healthy"}]}
        ]
        assert plugin.asked == [("Allocate", ("null-0",)), ("PreStartContainer", ("null-0",))]
        await at.world.create_pod("second", shell(QUIET, **asked))
        refused = await at.world.until("second", lambda pod: pod["status"].get("phase") == "Failed")
        assert refused["status"]["reason"] == "UnexpectedAdmissionError"
        await remove(at, "card", "second")
        await plugin.stop()

    node(scenario)


def test_a_pod_gets_the_devices_that_the_scheduler_found_for_its_claim(node: Callable[..., None]) -> None:
    async def scenario(at: Node) -> None:
        root, clock = at.world.config.paths.root, SystemClock()
        driver = lamps.Driver(at.client, clock, cluster.NODE, root, cdi=at.world.config.cdi[0])
        await driver.start()
        async with asyncio.TaskGroup() as group:
            organs = [group.create_task(driver.publish()), group.create_task(_schedule(at))]
            await lamps.registered(driver)
            await claim_a_green_lamp(at)
            main, spec = lamps.with_claim("mine", "lamp")
            await at.world.create_pod("reader", {**shell(QUIET), "resources": main["resources"]}, nodeName="", **spec)
            found = await at.world.until("reader", cluster.ready)
            assert [call for call, _ in driver.asked] == ["prepare"]
            identity = cluster.container(found)["containerID"].rpartition("/")[2]
            words = await at.machine.runtime.exec_sync(identity, ["sh", "-c", "echo $LAMP_1; cat /lamps/lamp-1"], 10)
            assert words.stdout.decode().splitlines() == ["green at 80%", "lamp-1 is green"]
            refused = await at.machine.runtime.exec_sync(identity, ["sh", "-c", "echo x > /lamps/lamp-1"], 10)
            assert refused.exit_code != 0
            await at.stop()
            at.start()
            await lamps.registered(driver, 2)
            await driver.set_health("lamp-1", False)
            told = [{"name": "claim:c/lamp", "resources": [{"resourceID": _lamp(found), "health": "Unhealthy"}]}]
            found = await at.world.until(
                "reader", lambda pod: cluster.container(pod)["allocatedResourcesStatus"] == told
            )
            assert cluster.container(found)["restartCount"] == 0
            await remove(at, "reader")
            assert [call for call, _ in driver.asked] == ["prepare", "unprepare"]
            assert not list(at.world.config.cdi[0].iterdir())
            for organ in organs:
                organ.cancel()
        await driver.stop()

    node(scenario)


async def _schedule(at: Node) -> None:
    await Scheduler(at.client, SystemClock(), SeededIds(9)).run()


def _lamp(pod: dict[str, Any]) -> str:
    """What its container's status calls the lamp."""
    return str(cluster.container(pod)["allocatedResourcesStatus"][0]["resources"][0]["resourceID"])


async def claim_a_green_lamp(at: Node) -> None:
    selector = {"cel": {"expression": 'device.driver == "lamps.navarch.dev"'}}
    group = {"apiVersion": "resource.k8s.io/v1"}
    made = {**group, "kind": "DeviceClass", "metadata": {"name": "lamp"}, "spec": {"selectors": [selector]}}
    await at.client.create(DEVICECLASS, made)
    green = {"cel": {"expression": 'device.attributes["lamps.navarch.dev"].color == "green"'}}
    request = {"name": "lamp", "exactly": {"deviceClassName": "lamp", "selectors": [green]}}
    config = [{"opaque": {"driver": "lamps.navarch.dev", "parameters": {"brightness": "80"}}}]
    claim = {"metadata": {"name": "mine", "namespace": "default"}, "spec": {"devices": {"requests": [request]}}}
    claim["spec"]["devices"]["config"] = config
    await at.client.create(RESOURCECLAIM, {**group, "kind": "ResourceClaim", **claim})
