"""The status of a pod: what users read, and that nothing is written when nothing has changed."""

from __future__ import annotations

from typing import Any

from navarch.agent.facts import Failure, Health
from navarch.agent.status import status_of, status_patch, waits_for
from navarch.agent.steps import StartSandbox
from tests.unit.agent.pods import UID, at, box, facts, instance, pod


def condition(status: Any, type: str) -> Any:
    return next(item for item in status["conditions"] if item["type"] == type)


def main(status: Any) -> Any:
    return status["containerStatuses"][0]


def test_a_new_pod_is_pending_and_its_container_being_created() -> None:
    status = status_of(pod(), {}, facts(boxes=(), images={}))
    assert status["phase"] == "Pending"
    assert main(status)["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert (main(status)["ready"], main(status)["started"], main(status)["restartCount"]) == (False, False, 0)
    assert status["startTime"] == "2026-01-01T00:00:00Z"
    assert condition(status, "PodReadyToStartContainers")["status"] == "False"
    assert condition(status, "Initialized")["status"] == "True"
    assert condition(status, "Ready")["message"] == "containers with unready status: [main]"
    assert "podIP" not in status


def test_a_running_pod_has_addresses_and_is_ready() -> None:
    status = status_of(pod(), {}, facts(instance()))
    assert (status["phase"], status["podIP"], status["hostIPs"]) == ("Running", "10.0.0.9", [{"ip": "192.0.2.7"}])
    assert condition(status, "Ready")["status"] == "True"
    assert main(status)["imageID"] == "sha256:app"
    host = status_of(pod(hostNetwork=True), {}, facts(instance()))
    assert host["podIP"] == "192.0.2.7"


def test_the_same_status_again_is_no_patch() -> None:
    for known in (
        facts(instance()),
        facts(boxes=()),
        facts(instance(code=1), now=1),
        facts(instance(attempt=1, code=1)),
    ):
        first = status_of(pod(), {}, known)
        again = status_of(pod(status=first), first, known)
        assert status_patch(UID, first, again) is None


def test_a_patch_names_only_what_differs_and_takes_old_texts_away() -> None:
    old = status_of(pod(), {}, facts(boxes=()))
    new = status_of(pod(status=old), old, facts(instance(), now=5))
    patch = status_patch(UID, old, new)
    assert patch is not None
    assert patch["metadata"] == {"uid": UID}
    assert "startTime" not in patch["status"]
    ready = condition(patch["status"], "Ready")
    assert (ready["status"], ready["reason"], ready["lastTransitionTime"]) == ("True", None, "2026-01-01T00:00:05Z")
    assert not any(item["type"] == "Initialized" for item in patch["status"]["conditions"])


def test_an_address_that_changed_is_taken_away_by_name() -> None:
    old = {"podIPs": [{"ip": "10.0.0.1"}]}
    patch = status_patch(UID, old, {"podIPs": [{"ip": "10.0.0.9"}]})
    assert patch is not None
    assert patch["status"]["podIPs"] == [{"ip": "10.0.0.9"}, {"$patch": "delete", "ip": "10.0.0.1"}]


def test_conditions_of_others_are_left_alone() -> None:
    theirs = {"type": "example.com/gate", "status": "False"}
    old = {"conditions": [theirs, {"type": "PodScheduled", "status": "True", "reason": "x"}]}
    status = status_of(pod(), old, facts(instance()))
    assert {item["type"] for item in status["conditions"]} == {
        *("PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready")
    }


def test_a_readiness_gate_must_be_true() -> None:
    gated = pod(readinessGates=[{"conditionType": "example.com/gate"}])
    status = status_of(gated, {}, facts(instance()))
    assert condition(status, "ContainersReady")["status"] == "True"
    assert condition(status, "Ready")["reason"] == "ReadinessGatesNotReady"
    old = {"conditions": [{"type": "example.com/gate", "status": "True"}]}
    assert condition(status_of(gated, old, facts(instance())), "Ready")["status"] == "True"


def test_a_crashing_container_shows_its_backoff_and_its_last_end() -> None:
    crashed = instance(attempt=2, code=3, ended=100, delay_s=10)
    status = status_of(pod(), {}, facts(crashed, now=101))
    text = f"back-off 20s restarting failed container=main pod=web_default({UID})"
    assert main(status)["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": text}}
    assert main(status)["lastState"]["terminated"]["exitCode"] == 3
    assert (main(status)["restartCount"], status["phase"]) == (2, "Running")


def test_a_restarted_container_keeps_the_end_before() -> None:
    status = status_of(pod(), {}, facts(instance(attempt=1), instance(code=3)))
    assert "running" in main(status)["state"]
    assert main(status)["lastState"]["terminated"]["containerID"] == "containerd://main-0"


def test_probes_decide_about_started_and_ready() -> None:
    running = instance()
    status = status_of(pod(), {}, facts(running, health={running.id: Health(started=False, ready=False)}))
    assert (main(status)["started"], main(status)["ready"]) == (False, False)
    status = status_of(pod(), {}, facts(running, health={running.id: Health(started=True, ready=False)}))
    assert (main(status)["started"], main(status)["ready"]) == (True, False)


def test_init_containers_hold_the_pod_back() -> None:
    made = pod(initContainers=[{"name": "init", "image": "app:1"}])
    status = status_of(made, {}, facts(instance("init")))
    assert status["phase"] == "Pending"
    assert main(status)["state"]["waiting"]["reason"] == "PodInitializing"
    initialized = condition(status, "Initialized")
    assert (initialized["status"], initialized["reason"]) == ("False", "ContainersNotInitialized")
    assert initialized["message"] == "containers with incomplete status: [init]"
    done = status_of(made, {}, facts(instance("init", code=0)))
    assert done["initContainerStatuses"][0]["ready"]
    assert condition(done, "Initialized")["status"] == "True"


def test_ended_pods_say_how() -> None:
    never = pod(restartPolicy="Never")
    good = status_of(never, {}, facts(instance(code=0)))
    assert (good["phase"], condition(good, "Ready")["reason"]) == ("Succeeded", "PodCompleted")
    bad = status_of(never, {}, facts(instance(code=2)))
    assert (bad["phase"], condition(bad, "Ready")["reason"]) == ("Failed", "PodFailed")
    assert main(bad)["state"]["terminated"]["exitCode"] == 2


def test_a_terminal_phase_waits_until_nothing_runs() -> None:
    late = pod(activeDeadlineSeconds=10, status={"startTime": "2026-01-01T00:00:00Z", "phase": "Running"})
    status = status_of(late, {}, facts(instance(), now=20))
    assert status["phase"] == "Running"
    assert not status.get("reason")
    status = status_of(late, {}, facts(instance(code=143), now=21))
    assert (status["phase"], status["reason"]) == ("Failed", "DeadlineExceeded")


def test_an_ended_pod_whose_containers_are_gone_keeps_what_was_told() -> None:
    never = pod(restartPolicy="Never")
    old = status_of(never, {}, facts(instance(code=2)))
    again = status_of(pod(restartPolicy="Never", status=old), old, facts(boxes=(), now=500))
    patch = status_patch(UID, old, again)
    assert again["phase"] == "Failed"
    assert main(again) == main(old)
    assert patch is None or set(patch["status"]) == {"conditions"}


def test_a_failed_pull_is_fresh_at_first_then_a_backoff() -> None:
    failures = {("image", "main"): Failure("ErrImagePull", "no such image", at(0), at(10))}
    fresh = status_of(pod(), {}, facts(images={}, failures=failures, now=1))
    assert main(fresh)["state"]["waiting"] == {"reason": "ErrImagePull", "message": "no such image"}
    assert waits_for(facts(failures=failures, now=1)) == at(2)
    later = status_of(pod(), {}, facts(images={}, failures=failures, now=3))
    assert main(later)["state"]["waiting"]["reason"] == "ImagePullBackOff"
    assert waits_for(facts(failures=failures, now=3)) is None


def test_a_sandbox_that_is_gone_keeps_the_address_until_there_is_a_new_one() -> None:
    old = {"podIPs": [{"ip": "10.0.0.9"}]}
    assert status_of(pod(), old, facts(instance(code=137), boxes=(box(0, False),)))["podIP"] == "10.0.0.9"
    assert StartSandbox(1).key == ("sandbox", "")


def test_limits_are_repeated_for_those_who_watch_them() -> None:
    limited = {"name": "main", "image": "app:1", "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "500m"}}}
    status = status_of(pod(limited), {}, facts(instance()))
    assert main(status)["resources"] == {"limits": {"cpu": "1"}, "requests": {"cpu": "500m"}}
    assert main(status)["allocatedResources"] == {"cpu": "500m"}
    assert status["qosClass"] == "Burstable"


RULE = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}
ASKING = {"name": "main", "image": "app:1", "restartPolicy": "Never", "restartPolicyRules": [RULE]}


def test_a_restart_of_all_shows_in_a_condition_and_in_what_waits() -> None:
    made = pod(ASKING, initContainers=[{"name": "init", "image": "app:1"}], restartPolicy="Never")
    begun = status_of(made, {}, facts(instance(code=88), instance("init", code=0)))
    found = condition(begun, "AllContainersRestarting")
    assert (found["status"], found["reason"]) == ("True", "RestartAllContainersStarted")
    assert found["message"] == "container exited with restart policy rule"
    assert begun["phase"] == "Running"
    cleared = pod(
        ASKING,
        initContainers=[{"name": "init", "image": "app:1"}],
        restartPolicy="Never",
        status={**begun, "phase": "Running"},
    )
    status = status_of(cleared, begun, facts())
    assert condition(status, "AllContainersRestarting")["status"] == "False"
    for found in (main(status), status["initContainerStatuses"][0]):
        assert found["state"] == {"waiting": {"reason": "RestartingAllContainers"}}
    assert main(status)["lastState"]["terminated"]["exitCode"] == 88
    assert condition(status, "Initialized")["status"] == "False"
    again = pod(ASKING, initContainers=[{"name": "init", "image": "app:1"}], restartPolicy="Never", status=status)
    running = status_of(again, status, facts(instance(attempt=1), instance("init", 1, code=0)))
    assert main(running)["restartCount"] == 1
    assert main(running)["lastState"]["terminated"]["exitCode"] == 88
    assert running["phase"] == "Running"
    never = status_of(again, status, facts(instance(attempt=1, code=0), instance("init", 1, code=0)))
    assert condition(never, "AllContainersRestarting")["reason"] == "PodCompleted"
    plain = status_of(pod(), {}, facts(instance()))
    assert "AllContainersRestarting" not in {item["type"] for item in plain["conditions"]}


def test_last_words_are_joined_with_the_runtimes_and_share_what_room_there_is() -> None:
    many = [{"name": f"c{n}", "image": "app:1"} for n in range(6)]
    made = pod(*many, restartPolicy="Never")
    ended = [instance(f"c{n}", code=1, message="why" if n == 0 else "") for n in range(6)]
    words = {"c0-0": "mine", "c1-0": "x" * 4096, "c2-0": "é" * 2048}
    found = status_of(made, {}, facts(*ended, messages=words))["containerStatuses"]
    said = [one["state"]["terminated"].get("message", "") for one in found]
    assert said[0] == "why: mine"
    assert said[1] == "x" * 2048
    assert said[2] == "é" * 1024
    assert said[3] == ""
