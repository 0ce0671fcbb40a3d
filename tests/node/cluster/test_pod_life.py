"""A pod's life: init containers, restarts, a graceful end, and what goes wrong on the way."""

from __future__ import annotations

import time

import pytest
from real_cluster import Kubectl, pod, until

pytestmark = pytest.mark.node


def waiting(kubectl: Kubectl, name: str, container: str = "main") -> dict[str, str]:
    return kubectl.status(name, container).get("state", {}).get("waiting", {})


def test_init_containers_run_one_after_another_before_the_others(kubectl: Kubectl) -> None:
    mount = [{"name": "shared", "mountPath": "/shared"}]

    def init(name: str, script: str) -> dict[str, object]:
        return {"name": name, "image": "navarch.test/busybox:1", "command": ["sh", "-c", script], "volumeMounts": mount}

    kubectl.apply(
        pod(
            "steps",
            "cat /shared/order; exec sleep 1000",
            volumeMounts=mount,
            volumes=[{"name": "shared", "emptyDir": {}}],
            initContainers=[
                init("one", "sleep 1; echo one >>/shared/order"),
                init("two", "echo two >>/shared/order"),
            ],
        )
    )
    kubectl.ready("steps")
    assert kubectl("logs", "steps", "-c", "main") == "one\ntwo\n"
    assert kubectl.status("steps", "one")["state"]["terminated"]["reason"] == "Completed"
    conditions = {c["type"]: c["status"] for c in kubectl.get("pod", "steps")["status"]["conditions"]}
    assert conditions["Initialized"] == "True"


def test_an_init_container_that_fails_ends_a_pod_that_never_restarts(kubectl: Kubectl) -> None:
    failing = {"name": "first", "image": "navarch.test/busybox:1", "command": ["sh", "-c", "exit 4"]}
    kubectl.apply(pod("stuck", "echo never", restartPolicy="Never", initContainers=[failing]))
    kubectl.wait("pod/stuck", "jsonpath={.status.phase}=Failed")
    assert kubectl.status("stuck", "first")["state"]["terminated"]["exitCode"] == 4
    assert "Init:Error" in kubectl("get", "pod", "stuck")


def test_a_sidecar_runs_beside_the_others_and_ends_after_them(kubectl: Kubectl) -> None:
    sidecar = {
        "name": "side",
        "image": "navarch.test/busybox:1",
        "command": ["sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait"],
        "restartPolicy": "Always",
    }
    kubectl.apply(pod("beside", "sleep 1", restartPolicy="Never", initContainers=[sidecar]))
    kubectl.wait("pod/beside", "jsonpath={.status.phase}=Succeeded")
    assert kubectl.status("beside", "side")["state"]["terminated"]


def test_a_container_that_fails_again_and_again_waits_longer_each_time(kubectl: Kubectl) -> None:
    kubectl.apply(pod("crash", "exit 3"))
    told = until("a back-off", lambda: (w := waiting(kubectl, "crash")).get("reason") == "CrashLoopBackOff" and w)
    assert "back-off 10s restarting failed container=main" in told["message"]
    until("a row that says so", lambda: "CrashLoopBackOff" in kubectl("get", "pod", "crash"))
    last = kubectl.status("crash")["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"]) == (3, "Error")
    until("the event", lambda: any(reason == "BackOff" for reason, _ in kubectl.events("crash")))
    until("a longer one", lambda: "back-off 20s" in waiting(kubectl, "crash").get("message", ""))


@pytest.mark.parametrize(
    ("policy", "code", "phase"), [("Never", 0, "Succeeded"), ("Never", 1, "Failed"), ("OnFailure", 0, "Succeeded")]
)
def test_pods_end_as_their_containers_do(kubectl: Kubectl, policy: str, code: int, phase: str) -> None:
    name = f"end-{policy.lower()}-{code}"
    kubectl.apply(pod(name, f"exit {code}", restartPolicy=policy))
    kubectl.wait(f"pod/{name}", f"jsonpath={{.status.phase}}={phase}")
    assert kubectl.status(name)["restartCount"] == 0


def test_the_end_is_announced_before_it_comes(kubectl: Kubectl) -> None:
    """preStop, then SIGTERM, each with time to finish; then the pod is gone."""
    script = "trap 'echo asked to stop; sleep 1; echo done; exit 0' TERM; echo up; while true; do sleep 0.1; done"
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "echo hook >/proc/1/fd/1; sleep 1"]}}}
    kubectl.apply(pod("gentle", script, lifecycle=hook, terminationGracePeriodSeconds=120))
    kubectl.ready("gentle")
    follower = kubectl.start("logs", "-f", "gentle")
    assert follower.stdout
    assert follower.stdout.readline() == "up\n"
    start = time.monotonic()
    kubectl("delete", "pod", "gentle", "--timeout=100s")
    took_s = time.monotonic() - start
    assert follower.communicate(timeout=100)[0].splitlines() == ["hook", "asked to stop", "done"]
    assert 2 <= took_s < 100, "it is gone when it is done, not when its grace is over"


def test_who_does_not_listen_is_killed_when_the_grace_is_over(kubectl: Kubectl) -> None:
    kubectl.apply(pod("deaf", "trap '' TERM; while true; do sleep 0.1; done", terminationGracePeriodSeconds=3))
    kubectl.ready("deaf")
    start = time.monotonic()
    kubectl("delete", "pod", "deaf", "--timeout=100s")
    assert 2.5 <= time.monotonic() - start < 100
    kubectl.apply(pod("deaf", "trap '' TERM; while true; do sleep 0.1; done", terminationGracePeriodSeconds=300))
    kubectl.ready("deaf")
    kubectl("delete", "pod", "deaf", "--grace-period=0", "--force", "--timeout=100s")


def test_a_container_over_its_memory_is_killed_for_it(kubectl: Kubectl) -> None:
    kubectl.apply(
        pod("hungry", "head -c 200m /dev/zero | sort", restartPolicy="Never", resources={"limits": {"memory": "20Mi"}})
    )
    ended = until("its end", lambda: kubectl.status("hungry").get("state", {}).get("terminated"))
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)


def test_an_image_that_cannot_be_pulled_is_tried_again_and_named(kubectl: Kubectl) -> None:
    kubectl.apply(pod("unknown", image="127.0.0.1:9/nothing:1"))
    until("an error", lambda: waiting(kubectl, "unknown").get("reason") in ("ErrImagePull", "ImagePullBackOff"))
    until("a back-off", lambda: waiting(kubectl, "unknown").get("reason") == "ImagePullBackOff")
    assert 'Back-off pulling image "127.0.0.1:9/nothing:1"' in waiting(kubectl, "unknown")["message"]
    until("the back-off's event", lambda: ("Failed", "Error: ImagePullBackOff") in kubectl.events("unknown"))
    told = kubectl.events("unknown")
    assert ("Pulling", 'Pulling image "127.0.0.1:9/nothing:1"') in told
    assert any(reason == "Failed" and 'Failed to pull image "127.0.0.1:9/nothing:1"' in text for reason, text in told)
    assert ("Failed", "Error: ErrImagePull") in told
    assert kubectl.get("pod", "unknown")["status"]["phase"] == "Pending"


def test_an_image_that_may_not_be_pulled_must_be_there(kubectl: Kubectl) -> None:
    kubectl.apply(pod("absent", image="navarch.test/none:1", pull="Never"))
    until("an error", lambda: waiting(kubectl, "absent").get("reason") == "ErrImageNeverPull")
    text = 'Container image "navarch.test/none:1" is not present with pull policy of Never'
    until("an event", lambda: ("ErrImageNeverPull", text) in kubectl.events("absent"))


def test_a_name_that_is_no_image_is_told_so(kubectl: Kubectl) -> None:
    kubectl.apply(pod("misnamed", image="Not/An:Image:Name"))
    until("an error", lambda: waiting(kubectl, "misnamed").get("reason") == "InvalidImageName")
    until("an event", lambda: any(reason == "InspectFailed" for reason, _ in kubectl.events("misnamed")))


def test_a_mended_image_starts_the_pod(kubectl: Kubectl) -> None:
    kubectl.apply(pod("mended", "exec sleep 1000", image="navarch.test/none:1", pull="Never"))
    until("an error", lambda: waiting(kubectl, "mended").get("reason") == "ErrImageNeverPull")
    kubectl("set", "image", "pod/mended", "main=navarch.test/busybox:1")
    kubectl.ready("mended")


def test_a_program_that_does_not_exist_is_a_start_error(kubectl: Kubectl) -> None:
    kubectl.apply(pod("typo", ["no-such-program"], restartPolicy="Never"))
    ended = until("its end", lambda: kubectl.status("typo").get("state", {}).get("terminated"))
    assert ended["reason"] in ("StartError", "ContainerCannotRun")
    assert 'exec: "no-such-program": executable file not found' in ended["message"]
    assert ended["exitCode"] == 128


def test_the_last_words_of_a_container_are_in_its_status(kubectl: Kubectl) -> None:
    kubectl.apply(pod("words", "echo farewell >/dev/termination-log; exit 1", restartPolicy="Never"))
    ended = until("its end", lambda: kubectl.status("words").get("state", {}).get("terminated"))
    assert ended["message"] == "farewell\n"


def test_a_pod_that_has_a_deadline_ends_at_it(kubectl: Kubectl) -> None:
    kubectl.apply(pod("late", "exec sleep 1000", activeDeadlineSeconds=3))
    kubectl.wait("pod/late", "jsonpath={.status.reason}=DeadlineExceeded")
    assert kubectl.get("pod", "late")["status"]["phase"] == "Failed"
    assert kubectl.status("late")["state"].keys() == {"terminated"}
