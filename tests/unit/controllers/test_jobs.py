"""Jobs end when they should, never run more pods than they may, and count every pod once, whatever interrupts them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navarch.base.errors import Forbidden
from navarch.controllers.claims import Claim
from navarch.controllers.job import Failures, Observed, Orphan, plan, plan_orphan
from navarch.controllers.job.indexes import Indexes, parse
from navarch.controllers.job.pods import FAILURES, INDEX, TRACKING, verdict
from navarch.controllers.plan import Action, Create, Delete, Event, Failure, Patch, Plan, Status
from navarch.controllers.ttl import plan as ttl_plan
from navarch.kinds import JOB, POD
from navarch.kinds.object import Object
from navarch.objects.patch import merge_patch
from tests.unit.controllers.conftest import NOW, Make, ago

TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]},
}


def job(make: Make, status: Any = None, metadata: Any = None, **spec: Any) -> Object:
    given = {"parallelism": 1, "backoffLimit": 6, "selector": {"matchLabels": {"app": "web"}}, "template": TEMPLATE}
    return make.object(JOB, "work", metadata=metadata or {}, spec={**given, **spec}, status=status or {})


def worker(
    make: Make, owner: Object, name: str, phase: str = "Running", index: int | None = None, **how: Any
) -> Object:
    notes = {} if index is None else {INDEX: str(index), FAILURES: str(how.pop("failures", 0))}
    code, held = how.pop("code", None), how.pop("tracked", True)
    found = make.pod(name, owner=owner, phase=phase, annotations=notes, **how).document()
    if held:
        found["metadata"]["finalizers"] = [TRACKING]
    if phase in ("Succeeded", "Failed"):
        ended = {"exitCode": code if code is not None else int(phase == "Failed"), "finishedAt": ago(0)}
        found["status"]["containerStatuses"][0]["state"] = {"terminated": ended}
        found["status"].pop("conditions", None)
    return Object.of(POD, found)


def look(owner: Object, *pods: Object, failures: Any = (0, None), claim: Claim | None = None) -> Plan:
    return plan(Observed(owner, claim or Claim(list(pods)), failures), NOW)


def made(found: Plan) -> list[dict[str, Any]]:
    return [action.document for action in found.actions if isinstance(action, Create)]


def deleted(found: Plan) -> list[str]:
    return [action.object.name for action in found.actions if isinstance(action, Delete)]


def status_of(found: Plan) -> dict[str, Any]:
    assert isinstance(found.status, Status)
    return found.status.status


def reasons(status: dict[str, Any]) -> dict[str, str]:
    return {one["type"]: one["reason"] for one in status.get("conditions", ())}


def test_a_new_one_makes_its_pods_and_says_when_it_began(make: Make) -> None:
    found = look(job(make, parallelism=3, completions=2))
    assert len(made(found)) == 2
    assert made(found)[0]["metadata"] == {
        "labels": {"app": "web"},
        "finalizers": [TRACKING],
        "generateName": "work-",
        "namespace": "default",
        "ownerReferences": make.owner(job(make)),
    }
    assert status_of(found) == {
        "active": 2,
        "ready": 0,
        "terminating": 0,
        "startTime": ago(0),
        "uncountedTerminatedPods": {},
    }


def test_an_end_is_written_in_three_steps(make: Make) -> None:
    owner = job(make, {"startTime": ago(60)}, completions=1)
    pod = worker(make, owner, "p", "Succeeded")
    found = look(owner, pod)
    interim, untracked = found.actions
    assert isinstance(interim, Status)
    assert interim.status["uncountedTerminatedPods"] == {"succeeded": [pod.uid]}
    assert reasons(interim.status) == {"SuccessCriteriaMet": "CompletionsReached"}
    assert untracked == Patch(pod, {"metadata": {"finalizers": None}})
    assert status_of(found)["succeeded"] == 1
    assert status_of(found)["completionTime"] == ago(0)
    assert reasons(status_of(found)) == {
        "SuccessCriteriaMet": "CompletionsReached",
        "Complete": "CompletionsReached",
    }
    assert found.status is not None
    assert found.status.done == Event(owner, "Completed", "Job completed")


def test_what_was_interrupted_goes_on(make: Make) -> None:
    owner = job(make, {"uncountedTerminatedPods": {"failed": ["uid-a", "uid-b", "gone"]}, "failed": 2}, completions=3)
    pods = [worker(make, owner, "a", "Failed", tracked=False), worker(make, owner, "b", "Failed")]
    found = look(owner, *pods)
    assert status_of(found)["failed"] == 5
    assert [action.object for action in found.actions if isinstance(action, Patch)] == [pods[1]]


def test_a_finished_one_and_one_of_others_is_left_alone(make: Make) -> None:
    over = job(make, {"conditions": [{"type": "Complete", "status": "True"}]})
    assert look(over, worker(make, over, "p")) == Plan()
    assert look(job(make, managedBy="example.com/other")) == Plan()
    assert made(look(job(make, managedBy="kubernetes.io/job-controller")))


def test_a_refused_pod_does_not_hold_back_the_status(make: Make) -> None:
    found = look(job(make, completions=1))
    assert found.failed is not None
    (written,) = found.failed([Failure(found.actions[0], Forbidden("exceeded quota"))])
    assert isinstance(written, Status)
    assert "active" not in written.status
    pod = worker(make, job(make), "p", "Failed")
    assert found.failed([Failure(Patch(pod, {}), Forbidden("no"))]) == ()


def test_one_that_fails_stops_its_pods_and_waits_for_them(make: Make) -> None:
    owner = job(make, {"startTime": ago(100)}, activeDeadlineSeconds=100)
    found = look(owner, worker(make, owner, "p"))
    assert deleted(found) == ["p"]
    assert reasons(status_of(found)) == {"FailureTarget": "DeadlineExceeded"}
    assert status_of(found)["terminating"] == 1
    target = {"type": "FailureTarget", "status": "True", "reason": "DeadlineExceeded", "message": "m"}
    owner = job(make, {"conditions": [target], "failed": 1})
    leaving = worker(make, owner, "p", deleting=True, tracked=False)
    assert reasons(status_of(look(owner, leaving))) == {"FailureTarget": "DeadlineExceeded"}
    assert reasons(status_of(look(owner))) == {"FailureTarget": "DeadlineExceeded", "Failed": "DeadlineExceeded"}


def test_a_deadline_is_waited_for(make: Make) -> None:
    owner = job(make, {"startTime": ago(40)}, activeDeadlineSeconds=100)
    assert look(owner, worker(make, owner, "p")).requeue_after_s == 60


@pytest.mark.parametrize(("failures", "wait_s"), [(1, 10), (2, 20), (3, 40), (6, 320), (7, 600), (90, 600)])
def test_new_pods_wait_longer_after_every_failure(make: Make, failures: int, wait_s: float) -> None:
    owner = job(make, completions=1, backoffLimit=100)
    found = look(owner, failures=(failures, NOW - timedelta(seconds=1)))
    assert made(found) == []
    assert found.requeue_after_s == wait_s - 1
    assert made(look(owner, failures=(failures, NOW - timedelta(seconds=wait_s))))


def test_failures_are_counted_from_the_last_success(make: Make) -> None:
    owner, failures = job(make), Failures()
    pods = [worker(make, owner, name, "Failed") for name in "ab"]
    assert failures.since_success(owner, pods) == (2, NOW)
    assert failures.since_success(owner, []) == (2, NOW), "they are remembered when they are gone"
    late = worker(make, owner, "d", "Succeeded").document()
    late["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"] = ago(-5)
    assert failures.since_success(owner, [Object.of(POD, late)]) == (0, None)
    failures.forget(owner.key)
    assert failures.since_success(owner, []) == (0, None)


def test_suspending_deletes_pods_without_counting_them(make: Make) -> None:
    owner = job(make, {"startTime": ago(10)}, suspend=True, parallelism=2)
    pods = [worker(make, owner, name) for name in "ab"]
    found = look(owner, *pods)
    assert deleted(found) == ["a", "b"]
    assert [type(action) for action in found.actions] == [Patch, Patch, Delete, Delete]
    assert "failed" not in status_of(found)
    assert reasons(status_of(found)) == {"Suspended": "JobSuspended"}
    assert "startTime" not in status_of(found)
    resumed = job(make, status_of(found), parallelism=2)
    again = look(resumed)
    assert len(made(again)) == 2
    assert status_of(again)["startTime"] == ago(0)
    assert [one["status"] for one in status_of(again)["conditions"]] == ["False"]


def test_orphans_are_adopted_with_the_finalizer_and_strangers_let_go_without(make: Make) -> None:
    owner = job(make)
    orphan, stranger = make.pod("o"), worker(make, owner, "s")
    found = look(owner, claim=Claim((), [stranger], [orphan]))
    assert found.actions == (
        Patch(orphan, {"metadata": {"ownerReferences": make.owner(owner), "finalizers": [TRACKING]}}),
        Patch(stranger, {"metadata": {"ownerReferences": None, "finalizers": None}}),
    )


def test_pods_of_no_job_lose_the_finalizer(make: Make) -> None:
    pod = worker(make, job(make), "p")
    assert plan_orphan(Orphan(pod, "work"), NOW) == Plan()
    assert plan_orphan(Orphan(pod, "work", gone=True), NOW).actions == (Patch(pod, {"metadata": {"finalizers": None}}),)


def test_doubles_of_an_index_and_strange_ones_go(make: Make) -> None:
    owner = job(make, completions=3, parallelism=3, completionMode="Indexed")
    pods = [
        worker(make, owner, "a", index=0, ready_s=None),
        worker(make, owner, "b", index=0),
        worker(make, owner, "c", index=7),
        worker(make, owner, "d"),
    ]
    found = look(owner, *pods)
    assert sorted(deleted(found)) == ["a", "c", "d"]
    assert made(found) == []
    rest = look(owner, pods[1])
    assert [pod["metadata"]["annotations"][INDEX] for pod in made(rest)] == ["1", "2"]


def test_each_index_has_its_own_failures_and_delay(make: Make) -> None:
    owner = job(
        make, completions=2, parallelism=2, completionMode="Indexed", backoffLimitPerIndex=3, backoffLimit=2**31 - 1
    )
    failed = worker(make, owner, "a", "Failed", index=0, failures=1)
    other = worker(make, owner, "b", index=1)
    found = look(owner, failed, other)
    assert made(found) == []
    assert found.requeue_after_s == 20
    assert not [action for action in found.actions if isinstance(action, Patch)], "it stays, to tell its successor"
    (pod,) = made(plan(Observed(owner, Claim([failed, other])), NOW + timedelta(seconds=20)))
    assert pod["metadata"]["annotations"] == {INDEX: "0", FAILURES: "2"}
    assert pod["spec"]["hostname"] == "work-0"
    assert pod["metadata"]["generateName"] == "work-0-"
    again = worker(make, owner, "c", index=0, failures=2)
    found = look(owner, failed, other, again)
    assert [action.object for action in found.actions if isinstance(action, Patch)] == [failed]
    assert status_of(found)["failed"] == 1


@pytest.mark.parametrize("mode", ["Indexed", "NonIndexed"])
def test_a_deleted_pod_that_ends_well_has_failed(make: Make, mode: str) -> None:
    """It was noted as failed when it was deleted, and lost its finalizer only after it had ended."""
    noted = {"startTime": ago(60), "uncountedTerminatedPods": {"failed": ["uid-a"]}}
    owner = job(make, noted, completions=1, parallelism=1, completionMode=mode)
    found = look(owner, worker(make, owner, "a", "Succeeded", index=0))
    assert len(made(found)) == 1, "another one has to do it"
    status = status_of(found)
    assert status["failed"] == 1
    assert "succeeded" not in status
    assert not status.get("conditions")


def test_long_names_leave_room_for_an_index(make: Make) -> None:
    owner = make.object(
        JOB, "j" * 63, spec={"completions": 1, "completionMode": "Indexed", "selector": {}, "template": TEMPLATE}
    )
    (pod,) = made(look(owner))
    assert pod["metadata"]["generateName"] == "j" * 55 + "-0-"


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ({"onExitCodes": {"operator": "In", "values": [3, 5]}}, True),
        ({"onExitCodes": {"operator": "In", "values": [4]}}, False),
        ({"onExitCodes": {"operator": "NotIn", "values": [4]}}, True),
        ({"onExitCodes": {"operator": "NotIn", "values": [3]}}, False),
        ({"onExitCodes": {"operator": "In", "values": [3], "containerName": "c"}}, True),
        ({"onExitCodes": {"operator": "In", "values": [3], "containerName": "x"}}, False),
        ({"onPodConditions": [{"type": "DisruptionTarget"}]}, False),
    ],
)
def test_rules_on_failures(make: Make, rule: dict[str, Any], wanted: bool) -> None:
    owner = job(make, podFailurePolicy={"rules": [{"action": "Ignore", **rule}]})
    pod = worker(make, owner, "p", "Failed", code=3)
    assert verdict(pod, owner.view.spec.pod_failure_policy) == (("Ignore", "", False) if wanted else ("", "", True))


def test_a_condition_can_fail_a_job(make: Make) -> None:
    rule = {"action": "FailJob", "onPodConditions": [{"type": "Bad", "status": "True"}]}
    owner = job(make, podFailurePolicy={"rules": [rule]})
    document = worker(make, owner, "p", "Failed").document()
    document["status"]["conditions"] = [{"type": "Bad", "status": "True"}]
    found = look(owner, Object.of(POD, document))
    assert status_of(found)["conditions"][-1]["message"] == (
        "Pod default/p has condition Bad matching FailJob rule at index 0"
    )


def test_a_finished_job_is_removed_when_its_time_is_over(make: Make) -> None:
    over = {"type": "Failed", "status": "True", "lastTransitionTime": ago(10)}
    one = job(make, {"conditions": [over]}, ttlSecondsAfterFinished=30)
    assert ttl_plan(one, NOW).requeue_after_s == 20
    (gone,) = ttl_plan(one, NOW + timedelta(seconds=20)).actions
    assert gone == Delete(one, propagation="Foreground", guarded=True)
    assert ttl_plan(job(make, ttlSecondsAfterFinished=0), NOW) == Plan()


@given(st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60)), st.integers(0, 70))
def test_indexes_are_sets(some: set[int], more: set[int], below: int) -> None:
    found = Indexes().plus(some)
    assert found.total == len(some)
    assert parse(str(found), 1000) == found
    assert parse(str(found), below) == Indexes().plus(index for index in some if index < below)
    both = found.plus(more)
    assert [index for index in range(80) if index in both] == sorted(some | more)
    assert list(both.missing(below)) == [index for index in range(below) if index not in some | more]
    assert found.common(Indexes().plus(more)) == len(some & more)


@pytest.mark.parametrize(
    ("text", "total"), [("", 0), ("1,3-5,7", 5), ("0,1", 2), ("x", 0), ("1-x", 0), ("5-3", 0), ("-1", 0)]
)
def test_indexes_as_text(text: str, total: int) -> None:
    assert parse(text, 100).total == total


def test_runs_of_two_are_written_as_two() -> None:
    assert str(Indexes().plus((0, 1, 3, 4, 5, 9))) == "0,1,3-5,9"


class World:
    """A Job and its pods as an API would hold them, a controller that may be cut off after any write, and pods that
    end as they like. Every end is noted by whoever caused it."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.make = Make()
        self.job = job(self.make, **spec)
        self.pods: dict[str, Object] = {}
        self.succeeded: set[str] = set()
        self.failed: set[str] = set()
        self.failures = Failures()
        self.now = NOW
        self.number = 0

    def control(self, writes: int) -> None:
        """One plan, of which only so many writes come about."""
        self.now += timedelta(seconds=700)
        found = plan(
            Observed(
                self.job, Claim(list(self.pods.values())), self.failures.since_success(self.job, [*self.pods.values()])
            ),
            self.now,
        )
        actions: list[Action] = [*found.actions, *([found.status] if found.status else [])]
        for action in actions[:writes]:
            self.write(action)

    def write(self, action: Action) -> None:
        if isinstance(action, Status):
            self.job = Object.of(JOB, {**self.job.document(), "status": action.status})
        elif isinstance(action, Create):
            self.number += 1
            name = f"p{self.number}"
            metadata = {**action.document["metadata"], "name": name, "uid": name, "creationTimestamp": ago(0)}
            pod = {**action.document, "metadata": metadata, "status": {"phase": "Pending"}}
            self.pods[name] = Object.of(POD, pod)
        elif isinstance(action, Patch):
            self.put(merge_patch(self.pods[action.object.name].document(), action.changes))
        elif isinstance(action, Delete):
            document = self.pods[action.object.name].document()
            document["metadata"]["deletionTimestamp"] = ago(0)
            self.put(document)

    def put(self, document: dict[str, Any]) -> None:
        name, metadata = document["metadata"]["name"], document["metadata"]
        self.pods[name] = Object.of(POD, document)
        if "deletionTimestamp" in metadata and not metadata.get("finalizers"):
            del self.pods[name]

    def end(self, choice: int, well: bool) -> None:
        live = [pod for pod in self.pods.values() if not pod.view.terminal]
        if not live:
            return
        pod = live[choice % len(live)]
        well = well and not pod.view.terminating
        state = {"terminated": {"exitCode": int(not well), "finishedAt": ago(0)}}
        status = {
            "phase": "Succeeded" if well else "Failed",
            "containerStatuses": [{"name": "c", "state": state}],
        }
        if not pod.view.terminating:
            (self.succeeded if well else self.failed).add(pod.uid)
        self.put({**pod.document(), "status": status})


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("control"), st.integers(0, 12), st.booleans()),
        st.tuples(st.just("end"), st.integers(0, 5), st.booleans()),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(STEPS, st.integers(1, 4), st.integers(1, 6), st.integers(0, 4), st.booleans())
def test_whatever_interrupts_it_every_pod_is_counted_once(
    steps: list[Any], parallelism: int, completions: int, limit: int, indexed: bool
) -> None:
    mode = "Indexed" if indexed else "NonIndexed"
    spec = {"parallelism": parallelism, "completions": completions, "backoffLimit": limit, "completionMode": mode}
    world = World({**spec, "podReplacementPolicy": "Failed"})
    for what, number, flag in steps:
        if what == "control":
            world.control(number)
        else:
            world.end(number, flag)
        live = [pod for pod in world.pods.values() if not pod.view.terminal]
        assert len(live) <= parallelism
        status = world.job.view.status
        assert status.succeeded <= len(world.succeeded)
        assert status.succeeded <= completions
    for _ in range(2 * completions + 10):
        world.control(100)
        world.end(0, True)
        world.end(0, False)
    view = world.job.view
    assert view.finished is not None
    assert not any(TRACKING in pod.view.metadata.finalizers for pod in world.pods.values())
    assert view.status.uncounted_terminated_pods.failed == ()
    assert view.status.uncounted_terminated_pods.succeeded == ()
    if view.status.condition("Complete"):
        assert view.status.succeeded == completions
        assert view.status.failed == len(world.failed)
    else:
        # A Job that fails counts pods that still run as failed, whatever becomes of them before they are gone.
        assert view.status.succeeded + view.status.failed == world.number
        assert view.status.succeeded <= len(world.succeeded)
        assert view.status.failed > limit


def test_the_replacement_policy_decides_what_failed_is(make: Make) -> None:
    leaving = worker(make, job(make), "p", deleting=True)
    assert made(look(job(make, completions=1), leaving))
    waiting = job(make, completions=1, podReplacementPolicy="Failed")
    found = look(waiting, leaving)
    assert made(found) == []
    assert "failed" not in status_of(found)


def test_more_successes_than_asked_for_are_told_of(make: Make) -> None:
    owner = job(make, {"startTime": ago(60), "succeeded": 1}, completions=1)
    found = look(owner, worker(make, owner, "late", "Succeeded"))
    assert status_of(found)["succeeded"] == 2
    told = [action for action in found.actions if isinstance(action, Event)]
    assert [(event.reason, event.type) for event in told] == [("TooManySucceededPods", "Warning")]
    assert told[0].message == "Too many succeeded pods running after completion count reached"


def test_one_that_ends_while_suspended_has_begun(make: Make) -> None:
    owner = job(make, completions=1, suspend=True, backoffLimit=0)
    found = look(owner, worker(make, owner, "p", "Failed"))
    assert reasons(status_of(found))["Failed"] == "BackoffLimitExceeded"
    assert status_of(found)["startTime"] == ago(0)
    nothing = look(job(make, completions=0, suspend=True))
    assert "startTime" not in status_of(nothing)


@given(
    st.integers(0, 1000), st.integers(0, 2000), st.sampled_from(["", "Complete", "Failed", "Suspended"]), st.booleans()
)
def test_no_finished_job_goes_before_its_time(ttl_s: int, ended_s: int, over: str, forgotten: bool) -> None:
    make = Make()
    held = [{"type": over, "status": "True", "lastTransitionTime": ago(ended_s)}] if over else []
    found = ttl_plan(job(make, {"conditions": held}, **({} if forgotten else {"ttlSecondsAfterFinished": ttl_s})), NOW)
    finished = over in ("Complete", "Failed") and not forgotten
    gone = [action for action in found.actions if isinstance(action, Delete)]
    assert bool(gone) == (finished and ended_s >= ttl_s)
    assert found.requeue_after_s == (ttl_s - ended_s if finished and ended_s < ttl_s else None)
