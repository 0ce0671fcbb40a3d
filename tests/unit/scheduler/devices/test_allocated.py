"""Pods that claim devices, on a real API, on virtual time: placed, reserved, undone, freed."""

from __future__ import annotations

from typing import Any

from navarch.base.errors import Conflict, NotFound, Unavailable
from navarch.kinds import DEVICECLASS, POD, RESOURCECLAIM, RESOURCESLICE
from navarch.objects.patch import merge_patch
from tests.unit.scheduler.test_scheduler import World, run

V1 = {"apiVersion": "resource.k8s.io/v1"}
DRIVER = "gpu.example.com"
STILL = ". still not schedulable, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."


async def driver(world: World, node: str, devices: int, generation: int = 1) -> None:
    spec = {
        "driver": DRIVER,
        "nodeName": node,
        "pool": {"name": node, "generation": generation, "resourceSliceCount": 1},
        "devices": [{"name": f"gpu-{number}"} for number in range(devices)],
    }
    metadata = {"name": f"{node}-{generation}"}
    await world.client.create(RESOURCESLICE, {**V1, "kind": "ResourceSlice", "metadata": metadata, "spec": spec})


async def device_class(world: World, name: str = "gpu") -> None:
    spec = {"selectors": [{"cel": {"expression": f"device.driver == '{DRIVER}'"}}]}
    await world.client.create(DEVICECLASS, {**V1, "kind": "DeviceClass", "metadata": {"name": name}, "spec": spec})


async def claim(world: World, name: str, **asked: Any) -> None:
    requests = [{"name": "gpu", "exactly": {"deviceClassName": "gpu", **asked}}]
    metadata = {"name": name, "namespace": "default"}
    document = {**V1, "kind": "ResourceClaim", "metadata": metadata, "spec": {"devices": {"requests": requests}}}
    await world.client.create(RESOURCECLAIM, document)


async def pod(world: World, name: str, *claims: str) -> None:
    named = [{"name": f"c{number}", "resourceClaimName": one} for number, one in enumerate(claims)]
    await world.pod(name, cpu="100m", resourceClaims=named)


async def status(world: World, name: str) -> dict[str, Any]:
    found = (await world.client.get(RESOURCECLAIM, "default", name)).document()
    return dict(found.get("status") or {})


async def users(world: World, name: str) -> list[str]:
    return [one["name"] for one in (await status(world, name)).get("reservedFor", ())]


async def told(world: World, name: str) -> str:
    return str((await world.scheduled(name)).get("message", ""))


async def free(world: World, name: str) -> None:
    """As the controller does when nobody uses it any more."""
    found = await world.client.get(RESOURCECLAIM, "default", name)
    changed = merge_patch(found.document(), {"status": {"allocation": None, "reservedFor": None}})
    await world.client.update(RESOURCECLAIM, changed, subresource="status")


def test_a_claim_gets_its_device_before_its_pod_is_bound_and_the_next_waits_for_it() -> None:
    async def story(world: World) -> None:
        await world.node("n1")
        await world.node("n2")
        await device_class(world)
        await driver(world, "n2", 1)
        await claim(world, "first")
        await claim(world, "second")
        await pod(world, "a", "first")
        await world.rest()
        assert await world.where("a") == "n2", "only there is one"
        found = await world.client.get(RESOURCECLAIM, "default", "first")
        assert found.finalizers == ("resource.kubernetes.io/delete-protection",)
        has = await status(world, "first")
        assert has["allocation"]["devices"] == {
            "results": [{"request": "gpu", "driver": DRIVER, "pool": "n2", "device": "gpu-0"}]
        }
        (term,) = has["allocation"]["nodeSelector"]["nodeSelectorTerms"]
        assert term == {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}]}
        assert has["allocation"]["allocationTimestamp"].startswith("2030-01-01T00:00:0")
        assert has["reservedFor"] == [{"resource": "pods", "name": "a", "uid": (await world.get("a")).uid}]
        await pod(world, "b", "second")
        await world.rest()
        assert await told(world, "b") == (
            "0/2 nodes are available: 2 cannot allocate all claims. still not schedulable, preemption: 0/2 nodes are "
            "available: 2 Preemption is not helpful for scheduling."
        )
        await free(world, "first")
        await world.rest(2)
        assert await world.where("b") == "n2"

    run(story)


def test_a_shared_claim_keeps_its_pods_together() -> None:
    async def story(world: World) -> None:
        for name in ("n1", "n2", "n3"):
            await world.node(name)
            await driver(world, name, 1)
        await device_class(world)
        await claim(world, "shared")
        for name in ("a", "b", "c"):
            await pod(world, name, "shared")
        await world.rest(15)
        assert len({await world.where(name) for name in ("a", "b", "c")}) == 1
        assert sorted(await users(world, "shared")) == ["a", "b", "c"]

    run(story)


def test_pods_wait_for_what_is_not_there_and_are_told() -> None:
    async def story(world: World) -> None:
        await world.node("n1")
        await pod(world, "a", "mine")
        await world.rest()
        start, end = "0/1 nodes are available: ", ". no new claims to deallocate, preemption: "
        assert (await told(world, "a")).startswith(f'{start}resourceclaim.resource.k8s.io "mine" not found{end}')
        await claim(world, "mine")
        await world.rest(5)
        assert (await told(world, "a")).startswith(f"{start}request gpu: device class gpu does not exist{end}")
        await device_class(world)
        await world.rest(15)
        assert await told(world, "a") == f"{start}1 cannot allocate all claims{STILL}"
        await driver(world, "n1", 1)
        await world.rest(15)
        assert await world.where("a") == "n1"
        await world.client.delete(RESOURCECLAIM, "default", "mine")
        await pod(world, "b", "mine")
        await world.rest()
        assert (await told(world, "b")).startswith(f'{start}resourceclaim "mine" is being deleted{end}')

    run(story)


def test_a_claim_that_is_made_for_the_pod_is_awaited_in_silence() -> None:
    async def story(world: World) -> None:
        await world.node("n1")
        await device_class(world)
        await driver(world, "n1", 1)
        made = [{"name": "one", "resourceClaimTemplateName": "t"}, {"name": "none", "resourceClaimTemplateName": "t"}]
        await world.pod("a", cpu="1m", resourceClaims=made)
        await world.rest(30)
        assert not await world.events("FailedScheduling")
        uid = (await world.get("a")).uid
        owner = {"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": uid, "controller": True}
        names = [{"name": "one", "resourceClaimName": "a-one"}, {"name": "none"}]
        change = {"status": {"resourceClaimStatuses": names}}
        await world.client.patch(POD, "default", "a", change, subresource="status")
        await world.rest(1)
        assert not await world.events("FailedScheduling")
        requests = [{"name": "gpu", "exactly": {"deviceClassName": "gpu"}}]
        metadata = {"name": "a-one", "namespace": "default", "ownerReferences": [owner]}
        document = {**V1, "kind": "ResourceClaim", "metadata": metadata, "spec": {"devices": {"requests": requests}}}
        await world.client.create(RESOURCECLAIM, document)
        await world.rest(0.2)
        assert await world.where("a") == "n1", "at once"
        taking = [{"name": "one", "resourceClaimTemplateName": "t"}]
        await world.pod("thief", cpu="1m", resourceClaims=taking)
        change = {"status": {"resourceClaimStatuses": [{"name": "one", "resourceClaimName": "a-one"}]}}
        await world.client.patch(POD, "default", "thief", change, subresource="status")
        await world.rest()
        assert "ResourceClaim default/a-one was not created for pod default/thief (pod is not owner)" in await told(
            world, "thief"
        )

    run(story)


def test_what_a_failed_binding_had_taken_is_given_back() -> None:
    async def story(world: World) -> None:
        await world.node("n1")
        await device_class(world)
        await driver(world, "n1", 1)
        await claim(world, "first")
        await claim(world, "second")
        world.client.failures = [NotFound("the pod is another one")]
        await pod(world, "a", "first")
        await world.rest(0.5)
        assert world.client.bindings == 1
        assert not await status(world, "first"), "neither allocated nor reserved"
        await world.client.delete(POD, "default", "a", grace_s=0)
        await pod(world, "b", "second")
        await world.rest(2)
        assert await world.where("b") == "n1", "the device is free again"

    run(story)


def test_a_binding_that_failed_in_doubt_is_looked_at_before_anything_is_taken_back() -> None:
    async def story(world: World) -> None:
        await world.node("n1")
        await device_class(world)
        await driver(world, "n1", 2)
        await claim(world, "first")
        inner = world.client._inner
        post = inner.post

        async def lost(*args: Any) -> Any:
            await post(*args)
            raise Unavailable("the answer was lost")

        inner.post = lost
        await pod(world, "a", "first")
        await world.rest(5)
        assert await world.where("a") == "n1"
        assert await users(world, "first") == ["a"], "it runs there, with its device"
        inner.post = post
        world.client.failures = [Unavailable("away"), Conflict("no")]
        await claim(world, "second")
        await pod(world, "b", "second")
        await world.rest(20)
        assert await world.where("b") == "n1"
        assert await users(world, "second") == ["b"]
        assert (await status(world, "second"))["allocation"]["devices"]["results"][0]["device"] == "gpu-1"

    run(story)


def test_a_claim_that_others_write_to_is_written_again_from_the_newest() -> None:
    async def story(world: World) -> None:
        await world.node("n1")
        await device_class(world)
        await driver(world, "n1", 1)
        await claim(world, "mine")
        inner, update = world.client._inner, world.client._inner.update
        label = {"metadata": {"labels": {"seen": "yes"}}}
        meddled: list[str] = []

        async def meddling(kind: Any, document: Any, **more: Any) -> Any:
            if kind is RESOURCECLAIM and not meddled:
                meddled.append("once")
                await inner.patch(RESOURCECLAIM, "default", "mine", label)
            return await update(kind, document, **more)

        inner.update = meddling
        await pod(world, "a", "mine")
        await world.rest(0.5)
        assert await world.where("a") == "n1"
        assert world.client.bindings == 1, "at the first try"
        assert meddled
        assert await users(world, "mine") == ["a"]

    run(story)


def test_an_idle_claim_is_freed_where_its_pod_cannot_go() -> None:
    async def story(world: World) -> None:
        await world.node("n1")
        await world.node("n2")
        await device_class(world)
        await driver(world, "n2", 1)
        await claim(world, "mine")
        await pod(world, "a", "mine")
        await world.rest()
        found = await world.client.get(RESOURCECLAIM, "default", "mine")
        nobody = merge_patch(found.document(), {"status": {"reservedFor": None}})
        await world.client.update(RESOURCECLAIM, nobody, subresource="status")
        await world.client.delete(POD, "default", "a", grace_s=0)
        await driver(world, "n1", 1)
        metadata = {"resourceClaims": [{"name": "c", "resourceClaimName": "mine"}]}
        await world.pod("b", cpu="1m", nodeSelector={"kubernetes.io/hostname": "n1"}, **metadata)
        node = await world.client.get(POD, "default", "b")
        assert node is not None
        await world.rest(3)
        said = [event["message"] for event in await world.events("FailedScheduling")]
        assert any("deallocation of ResourceClaim completed" in one for one in said), said

    run(story)


def test_a_claim_has_room_for_256_pods() -> None:
    async def story(world: World) -> None:
        await world.node("n1")
        await device_class(world)
        await driver(world, "n1", 1)
        await claim(world, "full")
        await pod(world, "a", "full")
        await world.rest()
        found = await world.client.get(RESOURCECLAIM, "default", "full")
        crowd = [{"resource": "pods", "name": f"p{number}", "uid": f"u{number}"} for number in range(256)]
        changed = merge_patch(found.document(), {"status": {"reservedFor": crowd}})
        await world.client.update(RESOURCECLAIM, changed, subresource="status")
        await pod(world, "b", "full")
        await world.rest()
        assert "resourceclaim in use" in await told(world, "b")
        changed["status"]["reservedFor"] = crowd[1:]
        del changed["metadata"]["resourceVersion"]
        await world.client.update(RESOURCECLAIM, changed, subresource="status")
        await world.rest(5)
        assert await world.where("b") == "n1"
        assert len(await users(world, "full")) == 256

    run(story)


def test_only_the_newest_and_complete_generation_is_drawn_from() -> None:
    async def story(world: World) -> None:
        await world.node("n1")
        await device_class(world)
        await driver(world, "n1", 4)
        await driver(world, "n1", 0, generation=2)
        await claim(world, "mine")
        await pod(world, "a", "mine")
        await world.rest()
        assert "1 cannot allocate all claims" in await told(world, "a")
        await world.client.delete(RESOURCESLICE, "", "n1-2")
        await world.rest(5)
        assert await world.where("a") == "n1"

    run(story)
