"""Who gets what to itself, with an agent around it: refusals, statuses, restarts, and CPUs that are shared."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from navarch.agent.allotments import Allotments, NotAllotted, reserved_cpus
from navarch.agent.devices.extras import Extras
from navarch.agent.devices.plugins import Device, Plugin, PluginFailure, Plugins
from navarch.agent.kubelet import KubeletConfig
from navarch.agent.runtime import DeviceMapping, RuntimeFailure
from navarch.base.clock import SystemClock
from navarch.base.errors import Retryable
from navarch.kinds import NODE, POD
from tests.unit.agent import cluster
from tests.unit.agent.pods import pod
from tests.unit.agent.topology.test_cpus import MACHINE, machine

GPU = "example.com/gpu"
STATIC = KubeletConfig(cpu_manager_policy="static", reserved_system_cpus=frozenset({0, 4}))
BIG = {"limits": {"cpu": "2", "memory": "1Gi"}}


def asking(**amounts: str) -> dict[str, Any]:
    limits = {GPU if name == "gpu" else name: amount for name, amount in amounts.items()}
    return {"name": "main", "image": "app:1", "resources": {"limits": limits, "requests": limits}}


class Offered(Plugins):
    """A plugin without sockets. refuse: why it gives nothing."""

    def __init__(self, devices: Sequence[Device]) -> None:
        super().__init__(Path("/none"), SystemClock())
        self.refuse = ""
        self.started: list[Any] = []
        self._plugins[GPU] = Plugin("gpu.sock", object(), devices={each.id: each for each in devices})

    async def run(self) -> None:
        await asyncio.get_running_loop().create_future()

    def tell(self, *devices: Device) -> None:
        self._plugins[GPU].devices = {each.id: each for each in devices}
        self.changed()

    async def allocate(self, resource: str, ids: Sequence[str]) -> Extras:
        if self.refuse:
            raise PluginFailure(self.refuse)
        devices = tuple(DeviceMapping(f"/dev/{name}", f"/dev/{name}") for name in ids)
        return Extras({"GPUS": ",".join(ids)}, (), devices, {GPU: "given"})

    async def before_start(self, resource: str, ids: Sequence[str]) -> None:
        self.started.append(ids)
        if self.refuse:
            raise PluginFailure(self.refuse)


def gpus(*names: str, nodes: dict[str, int] = {}) -> Offered:  # noqa: B006 - read only
    return Offered([Device(name, True, (nodes[name],) if name in nodes else ()) for name in names])


# without an agent


def test_what_was_given_is_written_down_and_read_again(tmp_path: Path) -> None:
    file = tmp_path / "allotments.json"
    made = pod(asking(cpu="2", memory="1Gi", gpu="1"))

    async def scenario() -> None:
        first = Allotments(STATIC, MACHINE, gpus("a", "b"), file)
        await first.load()
        assert first.concerns(made)
        await first.allot(made)
        again = Allotments(STATIC, MACHINE, plugins := Offered([]), file)
        await again.load()
        assert not again.concerns(made)
        assert again.cpus(made.metadata.uid, "main") == "1,5"
        assert again.cpus("another", "main") == "0,2-4,6-7"
        assert (await again.before_start(made.metadata.uid, "main")).devices == (DeviceMapping("/dev/a", "/dev/a"),)
        assert plugins.started == [("a",)]
        assert plugins.knows(GPU)
        assert again.health(made.metadata.uid, "main")[0]["resources"] == [{"resourceID": "a", "health": "Unknown"}]
        await again.release(made.metadata.uid)
        await again.release(made.metadata.uid)
        assert again.cpus("another", "main") == "0-7"
        assert again.pods() == ()
        file.write_text("{")
        broken = Allotments(STATIC, MACHINE, None, file)
        await broken.load()
        assert broken.pods() == ()

    asyncio.run(scenario())


def refused(allotments: Allotments, *made: Any) -> NotAllotted:
    async def scenario() -> None:
        for each in made:
            await allotments.allot(each)

    with pytest.raises(NotAllotted) as error:
        asyncio.run(scenario())
    return error.value


def test_refusals_are_kubernetes_own() -> None:
    other = pod(asking(cpu="5", memory="1Gi"), meta={"uid": "other"})
    error = refused(Allotments(STATIC, MACHINE), pod(asking(cpu="2", memory="1Gi")), other)
    text = "not enough cpus available to satisfy request: requested=5, available=4"
    assert (error.reason, str(error)) == (
        "UnexpectedAdmissionError",
        f"Allocate failed due to {text}, which is unexpected",
    )
    plugins = gpus("a")
    plugins.refuse = "the card is on fire"
    assert "due to the card is on fire, which" in str(
        refused(Allotments(STATIC, MACHINE, plugins), pod(asking(gpu="1")))
    )
    assert "Requested: 2, Available: 1" in str(refused(Allotments(STATIC, MACHINE, gpus("a")), pod(asking(gpu="2"))))


@pytest.mark.parametrize(
    ("policy", "scope", "fits"),
    [
        ("none", "container", True),
        ("best-effort", "container", True),
        ("restricted", "container", False),
        ("single-numa-node", "container", False),
        ("single-numa-node", "pod", False),
    ],
)
def test_policies_say_what_near_means(policy: str, scope: str, fits: bool) -> None:
    """The device lies at node 1, whose CPUs are taken."""
    config = replace(STATIC, topology_manager_policy=policy, topology_manager_scope=scope)
    allotments = Allotments(config, MACHINE, gpus("a", nodes={"a": 1}))
    wanted = pod(asking(cpu="1", memory="1Gi", gpu="1"))
    taker = pod(asking(cpu="4", memory="1Gi"), meta={"uid": "other"})
    if fits:
        asyncio.run(allotments.allot(taker))
        asyncio.run(allotments.allot(wanted))
    else:
        error = refused(allotments, taker, wanted)
        assert (error.reason, str(error)) == (
            "TopologyAffinityError",
            "Resources cannot be allocated with Topology locality",
        )


def test_the_scope_of_a_pod_keeps_its_containers_together() -> None:
    two = pod(asking(cpu="1", memory="1Gi", gpu="1"), {**asking(cpu="1", memory="1Gi"), "name": "next"})
    for scope, together in (("container", False), ("pod", True)):
        config = replace(STATIC, topology_manager_policy="single-numa-node", topology_manager_scope=scope)
        allotments = Allotments(config, MACHINE, gpus("a", nodes={"a": 1}))
        asyncio.run(allotments.allot(two))
        first, second = (allotments.cpus(two.metadata.uid, name) for name in ("main", "next"))
        assert first in ("2", "6")
        assert (second in ("2", "3", "6", "7")) is together


def test_what_is_kept_for_the_system() -> None:
    by_amount = KubeletConfig(kube_reserved={"cpu": "500m"}, system_reserved={"cpu": "600m"})
    assert reserved_cpus(by_amount, MACHINE) == {0, 4}
    assert reserved_cpus(STATIC, MACHINE) == {0, 4}
    with pytest.raises(Retryable, match="reservedSystemCPUs: this machine has no CPU 9, only 0-7"):
        reserved_cpus(KubeletConfig(reserved_system_cpus=frozenset({9})), MACHINE)
    with pytest.raises(Retryable, match="ask for more CPUs than there are"):
        reserved_cpus(KubeletConfig(kube_reserved={"cpu": "9"}), MACHINE)
    many = Allotments(KubeletConfig(topology_manager_policy="restricted"), machine(sockets=9, cores=1))
    with pytest.raises(Retryable, match="has 9 NUMA nodes"):
        asyncio.run(many.load())


# with an agent


@asynccontextmanager
async def running(tmp_path: Path, allotments: Allotments) -> AsyncIterator[Any]:
    async with cluster.world(tmp_path) as world, world.running(allotments=allotments):
        yield world


def test_containers_get_their_devices_and_statuses_tell_how_those_are(tmp_path: Path) -> None:
    async def scenario() -> None:
        plugins = gpus("a", "b")
        async with running(tmp_path, Allotments(KubeletConfig(), MACHINE, plugins)) as world:
            await world.create_pod("web", asking(gpu="1"))
            found = await world.until("web", cluster.ready)
            told = cluster.container(found)["allocatedResourcesStatus"]
            assert told == [{"name": GPU, "resources": [{"resourceID": "a", "health": "Healthy"}]}]
            [spec] = [each.spec for each in world.runtime._running.values()]
            assert spec.devices == (DeviceMapping("/dev/a", "/dev/a"),)
            assert ("GPUS", "a") in spec.environment
            assert spec.annotations[GPU] == "given"
            node = (await world.client.get(NODE, "", cluster.NODE)).document()["status"]
            assert (node["capacity"][GPU], node["allocatable"][GPU]) == ("2", "2")
            plugins.tell(Device("a", False), Device("b", True))

            def sick(document: Any) -> bool:
                health = cluster.container(document)["allocatedResourcesStatus"][0]["resources"][0]["health"]
                return bool(health == "Unhealthy")

            await world.until("web", sick)
            async with asyncio.timeout(60):
                while node["allocatable"][GPU] != "1":
                    await asyncio.sleep(0.01)
                    node = (await world.client.get(NODE, "", cluster.NODE)).document()["status"]
            await world.create_pod("next", asking(gpu="2"))
            failed = await world.until("next", lambda found: found["status"].get("phase") == "Failed")
            assert failed["status"]["reason"] == "UnexpectedAdmissionError"
            assert failed["status"]["message"].startswith(
                "Pod was rejected: Allocate failed due to requested number of"
            )
            await world.client.delete(POD, "default", "web", grace_s=0)
            await world.until_gone("web")
            await world.create_pod("after", asking(gpu="1"))
            await world.until("after", cluster.ready)

    asyncio.run(scenario())


def test_a_plugin_that_cannot_prepare_a_device_keeps_the_container_waiting(tmp_path: Path) -> None:
    allotments = Allotments(KubeletConfig(), MACHINE, plugins := gpus("a"))
    made = pod(asking(gpu="1"))
    asyncio.run(allotments.allot(made))
    plugins.refuse = "not yet"
    with pytest.raises(RuntimeFailure, match="not yet") as failure:
        asyncio.run(allotments.before_start(made.metadata.uid, "main"))
    assert failure.value.reason == "PreStartHookError"


def test_those_who_share_cpus_leave_those_that_one_has_to_itself(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path, Allotments(STATIC, MACHINE)) as world:
            shared = await world.create_pod("shared", {"name": "main", "image": "app:1"})
            await world.until("shared", cluster.ready)

            def bound(uid: str) -> str:
                found = next(each for each in world.runtime._containers.values() if each.labels[LABEL] == uid)
                given = world.runtime.resources.get(found.id, world.runtime._running[found.id].spec.resources)
                return str(given.cpuset_cpus)

            assert bound(shared.uid) == "0-7"
            own = await world.create_pod("own", asking(cpu="2", memory="1Gi"))
            await world.until("own", cluster.ready)
            assert bound(own.uid) == "1,5"
            await eventually(lambda: bound(shared.uid) == "0,2-4,6-7")
            patch = {
                "spec": {"containers": [{"name": "main", "resources": asking(cpu="3", memory="1Gi")["resources"]}]}
            }
            await world.client.patch(POD, "default", "own", patch, type="strategic", subresource="resize")
            found = await world.until("own", lambda pod: _condition(pod, "PodResizePending"))
            assert "alongside CPU Manager static policy" in _condition(found, "PodResizePending")["message"]
            await world.client.delete(POD, "default", "own", grace_s=0)
            await world.until_gone("own")
            await eventually(lambda: bound(shared.uid) == "0-7")

    asyncio.run(scenario())


LABEL = "io.kubernetes.pod.uid"


def _condition(document: Any, kind: str) -> Any:
    return next((each for each in document["status"]["conditions"] if each["type"] == kind), None)


async def eventually(holds: Any) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - the runtime tells nobody
            await asyncio.sleep(0.01)
