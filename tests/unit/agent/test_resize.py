"""Changing what a running container may use, in the plan and in the status."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson

from navarch.agent.admit import as_given, crowding
from navarch.agent.facts import Failure
from navarch.agent.plan import plan
from navarch.agent.resize import STARTED_RESOURCES, condition, given_whole, lacking
from navarch.agent.status import status_of, status_patch
from navarch.agent.steps import ResizeContainer, ResizePod, StopContainer
from navarch.kinds import POD
from tests.unit.agent import cluster
from tests.unit.agent.pods import UID, at, facts, instance, pod

SMALL = {"requests": {"cpu": "100m"}, "limits": {"memory": "1Gi"}}
LARGE = {"requests": {"cpu": "500m"}, "limits": {"memory": "1Gi"}}
NODE = {"cpu": "2", "memory": "4Gi"}


def sized(resources: Any, **more: Any) -> Any:
    return pod({"name": "main", "image": "app:1", "resources": resources, **more})


def started(resources: Any) -> Any:
    return instance(annotations={STARTED_RESOURCES: orjson.dumps(resources).decode()})


def test_a_difference_is_carried_out_in_place() -> None:
    known = facts(started(SMALL), allocatable=NODE)
    assert plan(sized(LARGE), known).steps == (ResizeContainer("main", "main-0"),)
    assert plan(sized(SMALL), known).steps == ()
    same = {"requests": {"cpu": "0.1"}, "limits": {"memory": "1024Mi"}}
    assert plan(sized(same), known).steps == ()
    done = facts(started(SMALL), allocatable=NODE, resized={"main-0": LARGE})
    assert plan(sized(LARGE), done).steps == ()


def test_an_instance_without_a_note_is_left_alone() -> None:
    assert plan(sized(LARGE), facts(instance(), allocatable=NODE)).steps == ()


def test_a_policy_may_ask_for_a_restart() -> None:
    policy = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
    [step] = plan(sized(LARGE, resizePolicy=policy), facts(started(SMALL), allocatable=NODE)).steps
    assert isinstance(step, StopContainer)
    assert step.message == "Container main resize requires restart"


def test_what_the_node_can_never_give_is_said_and_not_tried() -> None:
    huge = sized({"requests": {"cpu": "3"}})
    known = facts(started(SMALL), allocatable=NODE)
    assert plan(huge, known).steps == ()
    assert lacking(huge, known) == "Node didn't have enough capacity: cpu, requested: 3000, capacity: 2000"
    found = condition(huge, known)
    assert found is not None
    assert (found["type"], found["reason"]) == ("PodResizePending", "Infeasible")


def test_the_status_tells_what_the_container_really_has() -> None:
    known = facts(started(SMALL), allocatable=NODE)
    status = status_of(sized(LARGE), {}, known)
    assert status["containerStatuses"][0]["resources"] == SMALL
    assert [item["type"] for item in status["conditions"]][-2:] == ["PodResizeInProgress", "PodScheduled"]
    failures = {("resize", "main"): Failure("ResizeError", "too small", at(0), at(9))}
    failed = condition(sized(LARGE), facts(started(SMALL), allocatable=NODE, failures=failures))
    assert failed is not None
    assert (failed["reason"], failed["message"]) == ("Error", "too small")
    done = status_of(sized(LARGE), status, facts(started(SMALL), allocatable=NODE, resized={"main-0": LARGE}))
    patch = status_patch(UID, status, done)
    assert patch is not None
    assert patch["status"]["conditions"] == [{"$patch": "delete", "type": "PodResizeInProgress"}]
    assert patch["status"]["containerStatuses"][0]["allocatedResources"] == {"cpu": "500m"}


# the pod as a whole

WHOLE = {"requests": {"cpu": "500m"}, "limits": {"cpu": "1", "memory": "1Gi"}}
WIDER = {"requests": {"cpu": "750m"}, "limits": {"cpu": "1500m", "memory": "2Gi"}}


def test_what_the_pod_as_a_whole_asks_for_is_changed_in_place() -> None:
    wider = pod(resources=WIDER)
    known = facts(instance(), allocatable=NODE, given=WHOLE)
    assert plan(wider, known).steps == (ResizePod(),)
    told = condition(wider, known)
    assert told is not None
    assert (told["type"], told["status"]) == ("PodResizeInProgress", "True")
    status = status_of(wider, {}, known)
    assert (status["resources"], status["allocatedResources"]) == (WHOLE, {"cpu": "500m"})
    done = facts(instance(), allocatable=NODE, given=WIDER)
    assert plan(wider, done).steps == ()
    assert condition(wider, done) is None
    assert status_of(wider, {}, done)["resources"] == WIDER


def test_a_whole_that_never_fits_waits_and_one_that_failed_says_why() -> None:
    huge = pod(resources={"requests": {"cpu": "5"}})
    known = facts(instance(), allocatable=NODE, given=WHOLE)
    assert plan(huge, known).steps == ()
    told = condition(huge, known)
    assert told is not None
    assert (told["type"], told["reason"]) == ("PodResizePending", "Infeasible")
    failure = Failure("ResizeError", "below current usage", at(0), at(9), 1)
    failed = condition(pod(resources=WIDER), facts(instance(), given=WHOLE, failures={("resize", ""): failure}))
    assert failed is not None
    assert (failed["reason"], failed["message"]) == ("Error", "below current usage")


def test_an_agent_that_was_started_anew_reads_from_the_status_what_the_pod_has() -> None:
    assert given_whole(pod(resources=WIDER, status={"resources": WHOLE}), None) == WHOLE
    assert given_whole(pod(resources=WIDER, status={"resources": WHOLE}), WIDER) == WIDER
    assert given_whole(pod(resources=WIDER), None) is None
    assert plan(pod(resources=WIDER), facts(instance())).steps == ()
    assert "resources" not in status_of(pod(), {}, facts(instance(), given={}))


# room beside others


def test_what_there_is_no_room_for_now_waits() -> None:
    known = facts(started(SMALL), allocatable=NODE, crowded="Node didn't have enough resource: cpu, ...")
    assert plan(sized(LARGE), known).steps == ()
    told = condition(sized(LARGE), known)
    assert told is not None
    assert (told["type"], told["reason"], told["message"]) == ("PodResizePending", "Deferred", known.crowded)
    assert condition(sized(SMALL), known) is None


def test_others_count_with_what_they_were_given() -> None:
    status = {"containerStatuses": [{"name": "main", "allocatedResources": {"cpu": "100m"}}]}
    grown = pod({"name": "main", "image": "a", "resources": {"requests": {"cpu": "1500m"}}}, status=status)
    assert crowding(sized(LARGE), [as_given(grown)], NODE) == ""
    words = "Node didn't have enough resource: cpu, requested: 600, used: 1500, capacity: 2000"
    assert crowding(sized({"requests": {"cpu": "600m"}}), [grown], NODE) == words
    whole = pod(resources={"requests": {"cpu": "2"}}, status={"resources": {"requests": {"cpu": "1"}}})
    assert crowding(sized(LARGE), [as_given(whole)], NODE) == ""
    assert crowding(sized(LARGE), [whole], NODE)


def test_a_pod_grows_once_another_one_has_gone(tmp_path: Path) -> None:
    """The simulated machine has 8 CPUs."""

    def of(cpu: str) -> dict[str, Any]:
        return {"name": "main", "image": "app:1", "resources": {"requests": {"cpu": cpu}}}

    async def scenario() -> None:
        async with cluster.world(tmp_path) as world, world.running():
            await world.create_pod("first", of("3"))
            await world.create_pod("second", of("4"))
            for name in ("first", "second"):
                await world.until(name, cluster.ready)
            patch = {"spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "5"}}}]}}
            await world.client.patch(POD, "default", "first", patch, type="strategic", subresource="resize")

            def pending(found: Any) -> Any:
                return next((c for c in found["status"]["conditions"] if c["type"] == "PodResizePending"), None)

            told = pending(await world.until("first", pending))
            assert told["reason"] == "Deferred"
            assert (
                told["message"] == "Node didn't have enough resource: cpu, requested: 5000, used: 4000, capacity: 8000"
            )
            await world.client.delete(POD, "default", "second", grace_s=0)
            done = await world.until("first", lambda found: not pending(found))
            assert cluster.container(done)["restartCount"] == 0
            given = {"requests": {"cpu": "5"}}
            await world.until("first", lambda found: cluster.container(found)["resources"] == given)

    asyncio.run(scenario())
