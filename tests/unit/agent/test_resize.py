"""Changing what a running container may use, in the plan and in the status."""

from __future__ import annotations

from typing import Any

import orjson

from navarch.agent.facts import Failure
from navarch.agent.plan import plan
from navarch.agent.resize import STARTED_RESOURCES, condition, given_whole, lacking
from navarch.agent.status import status_of, status_patch
from navarch.agent.steps import ResizeContainer, ResizePod, StopContainer
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
