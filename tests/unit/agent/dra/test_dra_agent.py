"""Pods with claims, on the whole agent: what drivers are asked and when, what containers get, and what users see."""

from __future__ import annotations

import json

from navarch.agent.runtime import POD_NAME, ContainerSpec
from navarch.kinds import POD, RESOURCECLAIM
from navarch.objects.value import Document, dig
from tests.unit.agent.cluster import World, container, ready
from tests.unit.agent.dra.lamps import (
    BadDriver,
    allocate,
    create_claim,
    play,
    pod_with,
    result,
    serving,
    told,
    until,
)


def environment(world: World, pod: str, name: str = "main") -> dict[str, str]:
    """With what the newest container of that name was started."""
    specs: list[ContainerSpec] = world.runtime.behave.specs  # type: ignore[attr-defined]
    return dict([spec for spec in specs if spec.name == name and spec.labels[POD_NAME] == pod][-1].environment)


def health(document: Document) -> str:
    return str(container(document)["allocatedResourcesStatus"][0]["resources"][0]["health"])


def checkpoint(world: World) -> list[Document]:
    found = json.loads((world.config.paths.root / "device-claims.json").read_text())
    return list(found["claims"])


def test_a_pod_gets_the_devices_of_its_claim_and_they_are_taken_back_before_its_end_is_told() -> None:
    async def scene(world: World) -> None:
        await create_claim(world, "mine", "left", "right")
        await pod_with(world, "a", "mine", "left")
        await allocate(world, "mine", [result("lamp-1", "left"), result("lamp-2", "right")], "a", config="80")
        async with serving(world) as driver, world.running(storage=None):
            document = await world.until("a", ready)
            assert environment(world, "a")["LAMP_1"] == "green at 80%"
            assert "LAMP_2" not in environment(world, "a")
            assert driver.asked == [("prepare", ("mine",))]
            [device] = container(document)["allocatedResourcesStatus"]
            assert device["name"] == "claim:c/left"
            [lamp] = device["resources"]
            assert lamp["resourceID"].startswith("lamps.navarch.dev/lamp=")
            await world.until("a", lambda found: health(found) == "Healthy")
            await driver.set_health("lamp-1", False)
            await world.until("a", lambda found: health(found) == "Unhealthy")
            [kept] = checkpoint(world)
            assert (kept["name"], kept["prepared"], len(kept["pods"])) == ("mine", True, 1)
            await world.client.delete(POD, "default", "a", grace_s=1)
            await world.until_gone("a")
            assert driver.asked == [("prepare", ("mine",)), ("unprepare", ("mine",))]
            assert checkpoint(world) == []
            assert not list(world.config.cdi[0].iterdir())

    play(scene)


def test_pods_share_a_claim_and_the_last_one_gives_it_back() -> None:
    async def scene(world: World) -> None:
        await create_claim(world, "shared")
        for name in ("a", "b"):
            await pod_with(world, name, "shared")
        await allocate(world, "shared", [result("lamp-0")], "a", "b")
        async with serving(world) as driver, world.running(storage=None):
            await world.until("a", ready)
            await world.until("b", ready)
            assert environment(world, "a")["LAMP_0"] == environment(world, "b")["LAMP_0"]
            await world.client.delete(POD, "default", "a", grace_s=1)
            await world.until_gone("a")
            assert driver.asked == [("prepare", ("shared",))]
            await world.client.delete(POD, "default", "b", grace_s=1)
            await world.until_gone("b")
            assert driver.asked == [("prepare", ("shared",)), ("unprepare", ("shared",))]

    play(scene)


def test_an_agent_that_starts_anew_neither_prepares_again_nor_forgets() -> None:
    async def scene(world: World) -> None:
        for name in ("a", "b"):
            await create_claim(world, name)
            await pod_with(world, name, name)
            await allocate(world, name, [result("lamp-0")], name)
        async with serving(world) as driver:
            async with world.running(storage=None):
                await world.until("a", ready)
                await world.until("b", ready)
            await world.client.delete(POD, "default", "b", grace_s=0)
            async with world.running(storage=None):
                await until(lambda: ("unprepare", ("b",)) in driver.asked)
                await world.until("a", ready)
                await world.client.delete(POD, "default", "a", grace_s=1)
                await world.until_gone("a")
        asked = [("prepare", ("a",)), ("prepare", ("b",)), ("unprepare", ("b",)), ("unprepare", ("a",))]
        assert sorted(driver.asked) == sorted(asked)
        assert driver.asked[-2:] == asked[-2:]

    play(scene)


def test_a_pod_waits_until_its_claim_is_its_own_and_its_driver_has_come() -> None:
    async def scene(world: World) -> None:
        begin = "Failed to prepare dynamic resources: prepare dynamic resources: "
        async with world.running(storage=None):
            await pod_with(world, "a", "late")
            text = await told(world, "fetch ResourceClaim")
            assert text == begin + 'fetch ResourceClaim late: resourceclaims.resource.k8s.io "late" not found'
            await create_claim(world, "late")
            assert "is not allowed to use ResourceClaim late" in await told(world, "is not allowed")
            await allocate(world, "late", [result("lamp-0")], "a")
            assert await told(world, "registered") == f"{begin}DRA driver lamps.navarch.dev is not registered"
            assert dig(await world.pod("a"), "status", "phase") == "Pending"
            assert {verb for verb, _ in world.runtime.calls} <= {"pull"}
            async with serving(world):
                await world.until("a", ready)

    play(scene)


def test_a_driver_that_fails_is_asked_again_and_users_are_told() -> None:
    async def scene(world: World) -> None:
        await create_claim(world, "mine")
        await pod_with(world, "a", "mine")
        await allocate(world, "mine", [result("lamp-0")], "a")
        async with serving(world, BadDriver, faults=["the lamp is broken"]) as driver, world.running(storage=None):
            assert "failed for ResourceClaim mine: the lamp is broken" in await told(world, "NodePrepareResources")
            await world.until("a", ready)
            driver.faults[:] = ["it cannot be switched off"]
            await world.client.delete(POD, "default", "a", grace_s=1)
            await world.until_gone("a")
            assert driver.asked == [("prepare", ("mine",))] * 2 + [("unprepare", ("mine",))] * 2

    play(scene)


def test_a_driver_that_hangs_holds_up_nobody_else_and_what_it_began_is_taken_back() -> None:
    async def scene(world: World) -> None:
        for name, lamps in (("slow", "slow.navarch.dev"), ("quick", "lamps.navarch.dev")):
            await create_claim(world, name)
            await pod_with(world, name, name)
            await allocate(world, name, [result("lamp-0", driver=lamps)], name)
        slow = serving(world, BadDriver, faults=["hang"], name="slow.navarch.dev")
        async with slow as hanging, serving(world) as driver:
            async with world.running(storage=None):
                await until(lambda: hanging.asked == [("prepare", ("slow",))])
                await world.until("quick", ready)
            await world.client.delete(POD, "default", "slow", grace_s=0)
            async with world.running(storage=None):
                await until(lambda: hanging.asked == [("prepare", ("slow",)), ("unprepare", ("slow",))])
                await world.until("quick", ready)
            assert driver.asked == [("prepare", ("quick",))]

    play(scene)


def test_a_claim_without_devices_of_a_driver_asks_nobody() -> None:
    async def scene(world: World) -> None:
        await create_claim(world, "empty")
        await pod_with(world, "a", "empty")
        await allocate(world, "empty", [], "a")
        async with world.running(storage=None):
            await world.until("a", ready)
            assert checkpoint(world)[0]["drivers"] == {}
            await world.client.delete(POD, "default", "a", grace_s=1)
            await world.until_gone("a")
            assert checkpoint(world) == []

    play(scene)


def test_a_job_does_not_end_while_its_devices_are_not_taken_back() -> None:
    async def scene(world: World) -> None:
        await create_claim(world, "mine")
        await pod_with(world, "a", "mine", restartPolicy="Never")
        await allocate(world, "mine", [result("lamp-0")], "a")
        async with serving(world, BadDriver, faults=["", "hang"]) as driver, world.running(storage=None):
            await until(lambda: not driver.faults)
            state = await world.until("a", lambda found: dig(container(found), "state", "terminated"))
            assert driver.asked[-1] == ("unprepare", ("mine",))
            assert state["status"]["phase"] == "Running"

    play(scene, run_s=0.05)


def test_a_job_ends_once_its_devices_are_taken_back() -> None:
    async def scene(world: World) -> None:
        await create_claim(world, "mine")
        await pod_with(world, "a", "mine", restartPolicy="Never")
        await allocate(world, "mine", [result("lamp-0")], "a")
        async with serving(world) as driver, world.running(storage=None):
            await world.until("a", lambda found: dig(found, "status", "phase") == "Succeeded")
            assert driver.asked == [("prepare", ("mine",)), ("unprepare", ("mine",))]

    play(scene, run_s=0.05)


def test_a_file_that_cannot_be_read_costs_no_pod_its_devices() -> None:
    async def scene(world: World) -> None:
        await create_claim(world, "mine")
        await pod_with(world, "a", "mine")
        await allocate(world, "mine", [result("lamp-0")], "a")
        async with serving(world) as driver:
            async with world.running(storage=None):
                before = await world.until("a", ready)
            (world.config.paths.root / "device-claims.json").write_text("{")
            async with world.running(storage=None):
                await until(lambda: driver.asked == [("prepare", ("mine",))] * 2)
                await until(lambda: checkpoint(world)[0]["prepared"])
                after = await world.pod("a")
            assert container(after)["containerID"] == container(before)["containerID"]
            claim = await world.client.get(RESOURCECLAIM, "default", "mine")
            assert dig(claim.document(), "status", "reservedFor")

    play(scene)
