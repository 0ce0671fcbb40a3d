"""What simulated pods look like from the outside, moment by moment."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.base.clock import parse_rfc3339
from navarch.base.errors import BadRequest
from navarch.kinds.pod.columns import summary
from navarch.objects import condition
from navarch.testing.behaviour import DONE, WELL, Behaviour, behaviours_from_yaml
from navarch.testing.life import NEVER, backoff_s, live, run_at

ARRIVED = parse_rfc3339("2030-01-01T00:00:00Z")


def pod(*, init: list[dict[str, Any]] | None = None, **spec: Any) -> dict[str, Any]:
    made = {"containers": [{"name": "main", "image": "web"}], **spec}
    if init:
        made["initContainers"] = init
    return {"metadata": {"name": "p"}, "spec": made, "status": {}}


def at(document: dict[str, Any], seconds: float, *hows: Behaviour) -> tuple[dict[str, Any], float]:
    """The status, and the text that kubectl would show folded into it under `shown`."""

    def choose(container: dict[str, Any], init: bool) -> Behaviour:
        found = next((h for h in hows if h.concerns(container["image"], {}, container["name"])), None)
        return found or (DONE if init else WELL)

    moment = live(document, choose, ARRIVED, ARRIVED + timedelta(seconds=seconds), "172.16.0.1", "10.128.0.2")
    line = summary({**document, "status": moment.status})
    return {**moment.status, "shown": f"{line.ready}/{line.total} {line.status} {line.restarts}"}, moment.change_s


def shown(document: dict[str, Any], seconds: float, *hows: Behaviour) -> str:
    return str(at(document, seconds, *hows)[0]["shown"])


def test_a_well_pod_runs_at_once_and_for_ever() -> None:
    status, change_s = at(pod(), 0.0)
    assert (status["shown"], status["phase"], change_s) == ("1/1 Running 0", "Running", NEVER)
    assert condition.status(status["conditions"], "Ready") == "True"
    assert status["podIPs"] == [{"ip": "10.128.0.2"}]


def test_stages_take_the_time_they_are_given() -> None:
    how = Behaviour(pull_s=2, start_s=1, ready_s=5)
    assert [(s, shown(pod(), s, how)) for s in (0, 2, 3, 7.9, 8)] == [
        (0, "0/1 ContainerCreating 0"),
        (2, "0/1 ContainerCreating 0"),
        (3, "0/1 Running 0"),
        (7.9, "0/1 Running 0"),
        (8, "1/1 Running 0"),
    ]
    assert [at(pod(), s, how)[1] for s in (0, 2, 3, 8)] == [2, 3, 8, NEVER]


def test_readiness_waits_for_its_probe() -> None:
    probed = pod(containers=[{"name": "main", "image": "web", "readinessProbe": {"initialDelaySeconds": 4}}])
    assert [shown(probed, s) for s in (3, 4)] == ["0/1 Running 0", "1/1 Running 0"]


def test_crashes_back_off() -> None:
    how = Behaviour(runs_s=5, exit_code=1)
    assert [(s, shown(pod(), s, how)) for s in (4, 5, 10, 19, 20, 25, 44, 45)] == [
        (4, "1/1 Running 0"),
        (5, "1/1 Running 1"),
        (10, "0/1 CrashLoopBackOff 1"),
        (19, "0/1 CrashLoopBackOff 1"),
        (20, "1/1 Running 2"),
        (25, "0/1 CrashLoopBackOff 2"),
        (44, "0/1 CrashLoopBackOff 2"),
        (45, "1/1 Running 3"),
    ]
    last = at(pod(), 45, how)[0]["containerStatuses"][0]["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"], last["finishedAt"]) == (1, "Error", "2030-01-01T00:00:25Z")


def test_crashes_may_stop() -> None:
    how = Behaviour(runs_s=5, exit_code=1, times=2)
    assert at(pod(), 1e6, how)[1] == NEVER
    assert shown(pod(), 1e6, how).startswith("1/1 Running 2")


@pytest.mark.parametrize(
    ("policy", "exit_code", "expected"),
    [
        ("Never", 0, "0/1 Completed 0"),
        ("Never", 3, "0/1 Error 0"),
        ("OnFailure", 0, "0/1 Completed 0"),
        ("OnFailure", 3, "0/1 CrashLoopBackOff 1"),
    ],
)
def test_restart_policies(policy: str, exit_code: int, expected: str) -> None:
    assert shown(pod(restartPolicy=policy), 11, Behaviour(runs_s=5, exit_code=exit_code)) == expected


def test_images_that_never_come() -> None:
    how = Behaviour(image_error="ErrImagePull", pull_s=1)
    assert [shown(pod(), s, how) for s in (0, 1, 4)] == [
        "0/1 ContainerCreating 0",
        "0/1 ErrImagePull 0",
        "0/1 ImagePullBackOff 0",
    ]
    assert at(pod(), 4, how)[0]["phase"] == "Pending"


def test_readiness_that_fails_for_a_while() -> None:
    how = Behaviour(unready=((10, 20),))
    assert [shown(pod(), s, how) for s in (9, 10, 20)] == ["1/1 Running 0", "0/1 Running 0", "1/1 Running 0"]
    why = condition.get(at(pod(), 12, how)[0]["conditions"], "Ready")
    assert why is not None
    assert why["message"] == "containers with unready status: [main]"


def test_init_containers_run_in_turn_and_sidecars_stay() -> None:
    many = pod(
        init=[
            {"name": "one", "image": "one"},
            {"name": "side", "image": "side", "restartPolicy": "Always"},
            {"name": "two", "image": "two"},
        ]
    )
    hows = (Behaviour(image="one", runs_s=2), Behaviour(image="side", start_s=1), Behaviour(image="two", runs_s=4))
    assert [(s, shown(many, s, *hows)) for s in (0, 2, 3, 7)] == [
        (0, "0/2 Init:0/3 0"),
        (2, "0/2 Init:1/3 0"),
        (3, "1/2 Init:2/3 0"),
        (7, "2/2 Running 0"),
    ]


def test_an_init_container_that_fails_keeps_the_others_waiting() -> None:
    document = pod(init=[{"name": "one", "image": "one"}])
    assert shown(document, 12, Behaviour(image="one", runs_s=5, exit_code=1)) == "0/1 Init:CrashLoopBackOff 1"
    assert shown(document, 20, Behaviour(image="one", runs_s=5, exit_code=1, times=1)).startswith("1/1 Running")


def test_readiness_gates() -> None:
    gated = pod(readinessGates=[{"conditionType": "example.com/lb"}])
    assert condition.status(at(gated, 0)[0]["conditions"], "Ready") == "False"
    gated["status"] = {"conditions": [{"type": "example.com/lb", "status": "True"}]}
    assert condition.status(at(gated, 0)[0]["conditions"], "Ready") == "True"


@given(
    st.floats(0.5, 400),
    st.one_of(st.none(), st.integers(0, 40)),
    st.lists(st.floats(0, 20000), min_size=2, max_size=20),
)
def test_time_may_leap(runs_s: float, times: int | None, moments: list[float]) -> None:
    """Restarts never go back, changes lie ahead, and the closed form agrees with counting run by run."""
    how = Behaviour(runs_s=runs_s, exit_code=1, times=times)
    before = 0
    for now_s in sorted(moments):
        run = run_at(how, now_s, 0.0, "Always")
        assert run.restarts >= before
        assert run.change_s > now_s
        before = run.restarts
        ended, start_s = 0, 0.0
        while (times is None or ended < times) and now_s >= start_s + runs_s:
            wait_s = backoff_s(ended + 1)
            if now_s < start_s + runs_s + wait_s:
                break
            start_s += runs_s + wait_s
            ended += 1
        if run.state == "running":
            assert run.restarts == ended


def test_yaml() -> None:
    text = "- {image: '*:broken', readySeconds: 5, unready: [[1, 2]], imageError: ErrImagePull}"
    assert behaviours_from_yaml(text) == (
        Behaviour(image="*:broken", ready_s=5, unready=((1, 2),), image_error="ErrImagePull"),
    )
    assert behaviours_from_yaml("") == ()
    for bad in ("- {image: 3}", "- {imagee: x}", "{image: x}", "- [", "- {readySeconds: soon}"):
        with pytest.raises(BadRequest, match="simulated containers"):
            behaviours_from_yaml(bad)


def test_a_pod_whose_time_is_up_has_failed() -> None:
    document = pod(activeDeadlineSeconds=60)
    found, change_s = at(document, 59)
    assert (found["phase"], found["observedGeneration"], change_s) == ("Running", 1, 60.0)
    found, change_s = at(document, 90)
    assert (found["phase"], found["reason"], change_s) == ("Failed", "DeadlineExceeded", NEVER)
    assert found["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 137
    assert found["containerStatuses"][0]["state"]["terminated"]["finishedAt"] == "2030-01-01T00:01:00Z"
    assert at(document, 90, DONE)[0]["phase"] == "Failed", "it is started again and again"
    once = pod(activeDeadlineSeconds=60, restartPolicy="Never")
    assert at(once, 90, DONE)[0]["phase"] == "Succeeded", "it was over before"


def test_ephemeral_containers_keep_their_beginning() -> None:
    document = pod(ephemeralContainers=[{"name": "debug", "image": "busybox"}])
    first = at(document, 5)[0]["ephemeralContainerStatuses"]
    assert first[0]["state"] == {"running": {"startedAt": "2030-01-01T00:00:05Z"}}
    document["status"] = {"ephemeralContainerStatuses": first}
    assert at(document, 50)[0]["ephemeralContainerStatuses"] == first


def test_each_run_may_end_with_a_code_of_its_own() -> None:
    how = Behaviour(runs_s=5, exit_codes=(2, 3, 0))
    job = pod(restartPolicy="OnFailure")
    ended = [at(job, s, how)[0]["containerStatuses"][0] for s in (6, 11, 25)]
    assert ended[0]["lastState"]["terminated"]["exitCode"] == 2
    assert ended[1]["lastState"]["terminated"]["exitCode"] == 3
    assert ended[2]["state"]["terminated"]["exitCode"] == 0
    assert (shown(job, 25, how), at(job, 25, how)[1]) == ("0/1 Completed 2", NEVER)
    start = pod(init=[{"name": "one", "image": "one"}])
    assert shown(start, 12, Behaviour(image="one", runs_s=5, exit_codes=(1, 0))) == "1/1 Running 0"
    assert shown(start, 12, Behaviour(image="one", runs_s=5, exit_codes=(1, 4))) == "0/1 Init:CrashLoopBackOff 1"


def test_what_an_end_leaves_behind() -> None:
    how = Behaviour(runs_s=5, exit_code=137, exit_reason="OOMKilled", exit_message="too much")
    found = at(pod(restartPolicy="Never"), 6, how)[0]["containerStatuses"][0]["state"]["terminated"]
    assert (found["exitCode"], found["reason"], found["message"]) == (137, "OOMKilled", "too much")
    before = at(pod(), 21, how)[0]["containerStatuses"][0]["lastState"]["terminated"]
    assert (before["reason"], before["message"]) == ("OOMKilled", "too much")


def test_containers_of_one_pod_behave_by_their_names() -> None:
    two = pod(containers=[{"name": "main", "image": "web"}, {"name": "log", "image": "web"}])
    how = Behaviour(container="lo*", never_ready=True)
    statuses = at(two, 5, how)[0]["containerStatuses"]
    assert [(one["name"], one["ready"]) for one in statuses] == [("main", True), ("log", False)]


def test_readiness_that_comes_and_goes() -> None:
    how = Behaviour(ready_s=5, flaps=(10, 3))
    seen = [(s, shown(pod(), s, how)[:3], at(pod(), s, how)[1]) for s in (4, 5, 14, 15, 17, 18, 28, 31)]
    assert seen == [
        (4, "0/1", 5),
        (5, "1/1", 15),
        (14, "1/1", 15),
        (15, "0/1", 18),
        (17, "0/1", 18),
        (18, "1/1", 28),
        (28, "0/1", 31),
        (31, "1/1", 41),
    ]
    for bad in ("- {flaps: [0, 3]}", "- {runsSeconds: -1}", "- {exitCodes: [a]}"):
        with pytest.raises(BadRequest, match="simulated containers"):
            behaviours_from_yaml(bad)


@given(st.floats(0.1, 50), st.floats(0.1, 50), st.floats(0, 30), st.floats(0, 1e5))
def test_flapping_always_goes_on(up_s: float, down_s: float, ready_s: float, now_s: float) -> None:
    """The next change lies ahead and is one."""
    how = Behaviour(ready_s=ready_s, flaps=(up_s, down_s))
    run = run_at(how, now_s, 0.0, "Always")
    assert now_s < run.change_s <= now_s + max(up_s, down_s, ready_s) + 1e-3
    assert run_at(how, run.change_s, 0.0, "Always").ready is not run.ready
