"""The plan of one pod: what is to be done next, for every state that it may be found in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navarch.agent.facts import Failure, Health, has_exited
from navarch.agent.plan import (
    DELAY,
    backoff_until,
    delays_after,
    next_attempt,
    next_delay_s,
    outcome,
    plan,
    plan_orphan,
)
from navarch.agent.runtime import ContainerState
from navarch.agent.steps import (
    CleanUp,
    EnsureImage,
    Finish,
    MountVolumes,
    RefreshVolumes,
    RemoveContainer,
    RemoveSandbox,
    RunPreStop,
    StartContainer,
    StartSandbox,
    StopContainer,
    StopSandbox,
)
from tests.unit.agent.pods import at, box, facts, instance, pod

DELETED = {"deletionTimestamp": "2026-01-01T00:00:30Z", "deletionGracePeriodSeconds": 30}


def steps(*given: Any) -> tuple[Any, ...]:
    return plan(*given).steps


# the way up


def test_a_new_pod_gets_volumes_a_sandbox_and_its_image_at_once() -> None:
    found = steps(pod(), facts(boxes=(), volumes_ready=False, images={}))
    assert found == (MountVolumes(), StartSandbox(0), EnsureImage("main"))


def test_a_container_starts_only_with_sandbox_volumes_and_image() -> None:
    assert steps(pod(), facts()) == (StartContainer("main", "box0", 0),)
    assert steps(pod(), facts(images={})) == (EnsureImage("main"),)
    assert steps(pod(), facts(volumes_ready=False)) == (MountVolumes(),)
    assert steps(pod(), facts(boxes=())) == (StartSandbox(0),)


def test_a_pod_that_runs_has_nothing_to_do() -> None:
    assert plan(pod(), facts(instance())) == plan(pod(), facts(instance(), images={}))
    assert steps(pod(), facts(instance())) == ()
    assert plan(pod(), facts(instance())).wake_at is None


def test_what_runs_already_is_not_planned_again() -> None:
    busy = frozenset({("start", "main")})
    assert steps(pod(), facts(busy=busy)) == ()


def test_a_failed_step_waits_and_wakes_the_plan() -> None:
    failures = {("sandbox", ""): Failure("x", "y", at(0), at(5))}
    waiting = plan(pod(), facts(boxes=(), failures=failures, now=1))
    assert waiting.steps == ()
    assert waiting.wake_at == at(5)
    assert steps(pod(), facts(boxes=(), failures=failures, now=5)) == (StartSandbox(0),)


def test_without_a_network_only_pods_of_the_nodes_own_get_a_sandbox() -> None:
    assert steps(pod(), facts(boxes=(), network_ready=False)) == ()
    assert steps(pod(hostNetwork=True), facts(boxes=(), network_ready=False)) == (StartSandbox(0),)


def test_an_instance_that_was_made_but_not_started_is_started() -> None:
    made = instance(attempt=2, state=ContainerState.CREATED, delay_s=10)
    assert steps(pod(), facts(made)) == (StartContainer("main", "box0", 2, 10),)


def test_stale_volumes_are_refreshed() -> None:
    assert steps(pod(), facts(instance(), stale=True)) == (RefreshVolumes(),)


# init containers

INITS = [{"name": "one", "image": "app:1"}, {"name": "two", "image": "app:1"}]
IMAGES = {"main": "i", "one": "i", "two": "i", "side": "i"}


def test_init_containers_run_in_order() -> None:
    found = pod(initContainers=INITS)
    assert steps(found, facts(images=IMAGES)) == (StartContainer("one", "box0", 0),)
    assert steps(found, facts(instance("one"), images=IMAGES)) == ()
    one = instance("one", code=0)
    assert steps(found, facts(one, images=IMAGES)) == (StartContainer("two", "box0", 0),)
    two = instance("two", code=0)
    assert steps(found, facts(one, two, images=IMAGES)) == (StartContainer("main", "box0", 0),)


def test_a_failed_init_container_is_tried_again_or_ends_the_pod() -> None:
    one = instance("one", code=1)
    assert steps(pod(initContainers=INITS), facts(one, images=IMAGES)) == (StartContainer("one", "box0", 1),)
    never = pod(initContainers=INITS, restartPolicy="Never")
    assert outcome(never, facts(one)) == ("Failed", "", "")
    assert steps(never, facts(one)) == (StopSandbox("box0"),)


def test_init_containers_are_not_run_again_once_main_ones_have_started() -> None:
    assert steps(pod(initContainers=INITS), facts(instance(), images=IMAGES)) == ()


def test_a_new_sandbox_runs_init_containers_again() -> None:
    old = [instance("one", code=0), instance("two", code=0), instance(code=137)]
    found = steps(pod(initContainers=INITS), facts(*old, boxes=(box(1), box(0, False)), images=IMAGES))
    assert found == (StartContainer("one", "box1", 1),)


def test_a_sidecar_must_have_started_before_the_next_one() -> None:
    side = {"name": "side", "image": "app:1", "restartPolicy": "Always"}
    found = pod(initContainers=[side])
    running = instance("side")
    waiting = {"health": {running.id: Health(started=False)}, "images": IMAGES}
    assert steps(found, facts(images=IMAGES)) == (StartContainer("side", "box0", 0),)
    assert steps(found, facts(running, **waiting)) == ()
    assert steps(found, facts(running, images=IMAGES)) == (StartContainer("main", "box0", 0),)
    crashed = instance("side", code=0)
    assert steps(found, facts(crashed, instance(), images=IMAGES)) == (StartContainer("side", "box0", 1),)


# restarts


@pytest.mark.parametrize(
    ("policy", "code", "ended"),
    [
        ("Always", 0, None),
        ("Always", 1, None),
        ("OnFailure", 0, "Succeeded"),
        ("OnFailure", 1, None),
        ("Never", 0, "Succeeded"),
        ("Never", 1, "Failed"),
    ],
)
def test_the_restart_policy_decides(policy: str, code: int, ended: str | None) -> None:
    found = outcome(pod(restartPolicy=policy), facts(instance(code=code)))
    assert (found[0] if found else None) == ended


def test_a_containers_own_rules_come_before_the_policy() -> None:
    rule = {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}
    listed = {"name": "main", "image": "app:1", "restartPolicy": "Never", "restartPolicyRules": [rule]}
    assert outcome(pod(listed, restartPolicy="Never"), facts(instance(code=42))) is None
    assert outcome(pod(listed, restartPolicy="Never"), facts(instance(code=1))) == ("Failed", "", "")


ALL = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}


def asking(name: str = "main", **more: Any) -> Any:
    """A container whose end with 88 restarts all."""
    return {"name": name, "image": "app:1", "restartPolicy": "Never", "restartPolicyRules": [ALL], **more}


def test_the_first_rule_that_an_end_meets_decides() -> None:
    other = {"action": "Restart", "exitCodes": {"operator": "NotIn", "values": [0, 1]}}
    made = pod(asking(restartPolicyRules=[other, ALL]), restartPolicy="Never")
    assert steps(made, facts(instance(code=88))) == (StartContainer("main", "box0", 1),)
    made = pod(asking(restartPolicyRules=[ALL, other]), restartPolicy="Never")
    assert steps(made, facts(instance(code=88))) == (RemoveContainer("main-0"),)
    assert outcome(made, facts(instance(code=1))) == ("Failed", "", "")


def test_an_end_that_restarts_all_stops_and_forgets_the_others_first() -> None:
    init = [{"name": "init", "image": "app:1"}, *sidecars("side")]
    made = pod({"name": "a", "image": "app:1"}, asking("b"), initContainers=init, restartPolicy="Never")
    done, side, b = instance("init", code=0), instance("side"), instance("b", code=88)
    found = steps(made, facts(done, side, instance("a"), b))
    assert [(step.container, step.grace_s, step.hook) for step in found] == [("side", 2.0, False), ("a", 2.0, False)]
    stopped = (done, instance("side", code=137), instance("a", code=137), b)
    assert steps(made, facts(*stopped)) == tuple(RemoveContainer(f"{name}-0") for name in ("init", "side", "a"))
    assert steps(made, facts(b)) == (RemoveContainer("b-0"),)
    names = ("init", "side", "a", "b")
    again = facts(images=dict.fromkeys(names, "i"))
    assert steps(made, again) == (StartContainer("init", "box0", 0),)
    assert outcome(made, facts(done, instance("a", code=1), b)) is None


def test_all_are_not_restarted_over_and_over_without_a_pause() -> None:
    made = pod(asking(), {"name": "other", "image": "app:1"}, restartPolicy="Never")
    again = [instance(attempt=1, code=88, ended=100), instance("other", 1)]
    held = plan(made, facts(*again, now=101))
    assert (held.steps, held.wake_at) == ((), at(110))
    assert [step.container for step in steps(made, facts(*again, now=110))] == ["other"]


def test_debugging_containers_start_once_and_in_a_pod_that_does_not_come_up() -> None:
    made = pod(initContainers=[{"name": "init", "image": "a"}], ephemeralContainers=[{"name": "debug", "image": "a"}])
    images = {"debug": "i"}
    failing = instance("init", attempt=3, code=1, delay_s=40)
    assert steps(made, facts(failing, images=images)) == (StartContainer("debug", "box0", 0),)
    assert steps(made, facts(failing, instance("debug", code=0), images=images)) == ()
    assert steps(made, facts(failing, instance("debug", code=1, sandbox="gone"), images=images)) == ()


def test_a_hook_after_the_start_holds_back_who_comes_later() -> None:
    first = {"name": "a", "image": "i", "lifecycle": {"postStart": {"sleep": {"seconds": 1}}}}
    made = pod(first, {"name": "b", "image": "i"})
    both = {"a": "i", "b": "i"}
    assert steps(made, facts(images=both)) == (StartContainer("a", "box0", 0),)
    assert steps(made, facts(images={})) == (EnsureImage("a"), EnsureImage("b"))
    assert steps(made, facts(images={"b": "i"})) == (EnsureImage("a"),)
    running = instance("a")
    assert steps(made, facts(running, images=both, busy=frozenset({("start", "a")}))) == ()
    assert steps(made, facts(running, images=both)) == (StartContainer("b", "box0", 0),)
    failed = {("image", "a"): Failure("ErrImagePull", "no", at(0), at(60))}
    assert steps(made, facts(images={"b": "i"}, failures=failed)) == (StartContainer("b", "box0", 0),)


def test_a_probe_that_ends_a_container_for_good_does_not_speak_of_a_restart() -> None:
    health = {"health": {"main-0": Health(failed="liveness")}}
    rule = {"action": "Restart", "exitCodes": {"operator": "In", "values": [9]}}
    own = {"name": "main", "image": "app:1"}
    for made, again in (
        (pod(), True),
        (pod(restartPolicy="Never"), False),
        (pod({**own, "restartPolicy": "Never"}), False),
        (pod({**own, "restartPolicy": "OnFailure"}, restartPolicy="Never"), True),
        (pod({**own, "restartPolicy": "Never", "restartPolicyRules": [rule]}), True),
    ):
        [step] = steps(made, facts(instance(), **health))
        assert step.message == "Container main failed liveness probe" + (", will be restarted" if again else "")


def test_a_node_can_bound_the_pauses() -> None:
    assert [next_delay_s(instance(attempt=n, code=1, delay_s=before), 3) for n, before in enumerate((0, 0, 3))] == [
        0,
        3,
        3,
    ]
    crashed = facts(instance(attempt=4, code=1, ended=10), now=11, longest_delay_s=1)
    assert steps(pod(), crashed) == (StartContainer("main", "box0", 5, 1),)


def test_delays_double_up_to_five_minutes_and_start_afresh_after_ten() -> None:
    delays, before = [], 0
    for attempt in range(9):
        before = next_delay_s(instance(attempt=attempt, code=1, delay_s=before))
        delays.append(before)
    assert delays == [0, 10, 20, 40, 80, 160, 300, 300, 300]
    assert next_delay_s(instance(attempt=7, code=1, delay_s=300, ran_s=600)) == 0


def test_a_container_in_backoff_waits_for_its_end() -> None:
    crashed = instance(attempt=1, code=1, ended=100)
    waiting = plan(pod(), facts(crashed, now=105))
    assert waiting.steps == ()
    assert waiting.wake_at == at(110)
    assert steps(pod(), facts(crashed, now=110)) == (StartContainer("main", "box0", 2, 10),)


def test_a_start_that_failed_with_its_sandbox_is_tried_again_at_once() -> None:
    lost = replace(instance(attempt=1, code=128, ended=100), reason="StartError")
    boxes = (box(1), box(0, False))
    assert steps(pod(), facts(lost, boxes=boxes, now=101)) == (StartContainer("main", "box1", 2, 10),)
    assert steps(pod(), facts(lost, now=101)) == ()


def test_the_restart_count_goes_on_when_the_runtime_lost_the_instances() -> None:
    status = {"containerStatuses": [{"name": "main", "restartCount": 4, "containerID": "containerd://x"}]}
    assert next_attempt(pod(status=status), None, "main") == (5, 0)
    assert next_attempt(pod(), None, "main") == (0, 0)


def test_a_container_whose_probe_failed_is_stopped_with_the_probes_grace() -> None:
    running = instance()
    found = facts(running, health={running.id: Health(failed="liveness", ready=False, grace_s=3)})
    [step] = steps(pod(), found)
    assert step == StopContainer("main", running.id, 3.0, "Container main failed liveness probe, will be restarted")


def test_a_changed_image_restarts_the_container() -> None:
    running = instance(annotations={"navarch.dev/image": "app:0"})
    [step] = steps(pod(), facts(running))
    assert step.message == "Container main definition changed, will be restarted"


def test_old_instances_and_sandboxes_are_removed() -> None:
    many = [instance(attempt=3), *(instance(attempt=n, code=1) for n in (2, 1, 0))]
    assert steps(pod(), facts(*many)) == (RemoveContainer("main-1"), RemoveContainer("main-0"))
    replaced = facts(instance(attempt=1, sandbox="box1"), boxes=(box(1), box(0, False)))
    assert steps(pod(), replaced) == (RemoveSandbox("box0"),)


def test_what_outlived_its_sandbox_is_stopped_before_a_new_one() -> None:
    [step] = steps(pod(), facts(instance(), boxes=(box(0, False),)))
    assert isinstance(step, StopContainer)
    assert steps(pod(), facts(instance(code=137), boxes=(box(0, False),))) == (StartSandbox(1),)


# the way down


def test_a_deleted_pod_goes_step_by_step() -> None:
    dying = pod(meta=DELETED)
    [stop] = steps(dying, facts(instance(), now=10))
    assert stop == StopContainer("main", "main-0", 20.0, "Stopping container main")
    dead = instance(code=0)
    assert steps(dying, facts(dead)) == (StopSandbox("box0"),)
    assert steps(dying, facts(dead, boxes=(box(0, False),))) == (CleanUp(),)
    assert steps(dying, facts(dead, boxes=(box(0, False),), cleaned=True)) == (RemoveSandbox("box0"),)
    assert steps(dying, facts(boxes=(), cleaned=True)) == (Finish(),)


def test_a_pod_deleted_before_it_was_started_leaves_at_once() -> None:
    assert steps(pod(meta=DELETED), facts(boxes=())) == (CleanUp(),)
    starting = frozenset({("sandbox", "")})
    assert steps(pod(meta=DELETED), facts(boxes=(), busy=starting)) == ()


def test_a_stop_that_has_less_time_now_is_hurried() -> None:
    busy = {"busy": frozenset({("stop", "main-0")}), "stopping": {"main-0": at(30)}}
    assert steps(pod(meta=DELETED), facts(instance(), now=10, **busy)) == ()
    shorter = {"deletionTimestamp": "2026-01-01T00:00:11Z", "deletionGracePeriodSeconds": 1}
    [step] = steps(pod(meta=shorter), facts(instance(), now=10, **busy))
    assert step.hurry
    assert step.grace_s == 2.0


def sidecars(*names: str, **more: Any) -> list[Any]:
    return [{"name": name, "image": "app:1", "restartPolicy": "Always", **more} for name in names]


def test_hooks_of_sidecars_run_at_once_and_their_turn_to_stop_comes_later() -> None:
    hook = {"lifecycle": {"preStop": {"sleep": {"seconds": 1}}}}
    dying = pod(initContainers=[*sidecars("one", **hook), *sidecars("two")], meta=DELETED)
    alive = [instance(), instance("one"), instance("two")]
    text = "Stopping container {}"
    assert steps(dying, facts(*alive)) == (
        StopContainer("main", "main-0", 30.0, text.format("main")),
        RunPreStop("one", "one-0", 30.0, text.format("one")),
    )
    busy = frozenset({("stop", "main-0"), ("stop", "one-0")})
    assert steps(dying, facts(*alive, busy=busy, stopping={"main-0": at(30)})) == ()
    hooked = frozenset({"one-0"})
    assert steps(dying, facts(instance(code=0), *alive[1:], hooked=hooked)) == (
        StopContainer("two", "two-0", 30.0, text.format("two")),
    )
    [last] = steps(dying, facts(instance(code=0), alive[1], hooked=hooked, now=20))
    assert last == StopContainer("one", "one-0", 10.0, text.format("one"), hook=False)


def test_the_last_moment_is_two_seconds() -> None:
    [step] = steps(pod(meta=DELETED), facts(instance(), now=29.5))
    assert step.grace_s == 2.0


def test_sidecars_are_stopped_last_and_in_reverse() -> None:
    inits = [{"name": name, "image": "app:1", "restartPolicy": "Always"} for name in ("one", "two")]
    dying = pod(initContainers=inits, meta=DELETED)
    sides = [instance("one"), instance("two")]
    assert [step.container for step in steps(dying, facts(instance(), *sides))] == ["main"]
    assert [step.container for step in steps(dying, facts(instance(code=0), *sides))] == ["two"]
    assert [step.container for step in steps(dying, facts(instance(code=0), sides[0]))] == ["one"]


def test_a_pod_that_has_ended_by_itself_has_one_grace_for_all_its_sidecars() -> None:
    over = pod(initContainers=sidecars("one", "two"), restartPolicy="Never")
    sides = [instance("one"), instance("two")]
    made = plan(over, facts(instance(code=0), *sides, now=5))
    assert made.ends
    assert [(step.container, step.grace_s) for step in made.steps] == [("two", 30.0)]
    [last] = steps(over, facts(instance(code=0), sides[0], now=25, ending_at=at(5)))
    assert (last.container, last.grace_s) == ("one", 10.0)
    [last] = steps(over, facts(instance(code=0), sides[0], now=60, ending_at=at(5)))
    assert last.grace_s == 2.0
    assert not plan(over, facts(instance(), *sides)).ends


def test_a_pod_that_begins_anew_waits_longer_each_time() -> None:
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}
    asking = pod(containers=[{"name": "main", "image": "app:1", "restartPolicyRules": [rule]}], restartPolicy="Never")
    waited, seen = 0, []
    for attempt in range(8):
        ended = instance(code=88, attempt=attempt, annotations={DELAY: str(waited)})
        seen.append(waited := delays_after(asking, facts(ended)).get("main", 0))
        [begins] = [step for step in steps(asking, facts(delays={"main": waited})) if isinstance(step, StartContainer)]
        assert begins.delay_s == waited
    assert seen == [0, 10, 20, 40, 80, 160, 300, 300]
    assert delays_after(asking, facts(instance(code=1))) == {}


def test_a_pod_over_its_deadline_is_stopped() -> None:
    status = {"startTime": "2026-01-01T00:00:00Z"}
    late = pod(activeDeadlineSeconds=60, status=status)
    assert plan(late, facts(instance(), now=10)).wake_at == at(60)
    assert outcome(late, facts(instance(), now=60)) == (
        "Failed",
        "DeadlineExceeded",
        "Pod was active on the node longer than the specified deadline",
    )
    assert isinstance(steps(late, facts(instance(), now=60))[0], StopContainer)


def test_a_finished_pod_keeps_its_containers_until_it_is_deleted() -> None:
    ended = pod(restartPolicy="Never", status={"phase": "Succeeded"})
    dead = instance(code=0)
    assert steps(ended, facts(dead, boxes=(box(0, False),), cleaned=True)) == ()
    deleted = pod(restartPolicy="Never", status={"phase": "Succeeded"}, meta=DELETED)
    assert steps(deleted, facts(dead, boxes=(box(0, False),), cleaned=True)) == (RemoveSandbox("box0"),)


def test_orphans_are_stopped_removed_and_cleaned_up() -> None:
    [stop] = plan_orphan(facts(instance())).steps
    assert (stop.grace_s, stop.message) == (1.0, "Stopping container main")
    assert plan_orphan(facts(instance(code=0))).steps == (RemoveSandbox("box0"),)
    assert plan_orphan(facts(instance(code=0), boxes=())).steps == (RemoveContainer("main-0"),)
    assert plan_orphan(facts(boxes=())).steps == (CleanUp(),)
    assert plan_orphan(facts(boxes=(), cleaned=True)).steps == ()


# what holds for every plan

_codes = st.one_of(st.none(), st.integers(0, 2))


@st.composite
def situations(draw: st.DrawFn) -> tuple[Any, Any]:
    inits = draw(st.lists(st.sampled_from(["", "Always"]), max_size=2))
    sidecar = {"": {}, "Always": {"restartPolicy": "Always"}}
    listed = [{"name": f"i{n}", "image": "app:1", **sidecar[policy]} for n, policy in enumerate(inits)]
    mains = [{"name": f"m{n}", "image": "app:1"} for n in range(draw(st.integers(1, 2)))]
    meta = DELETED if draw(st.booleans()) else {}
    policy = draw(st.sampled_from(["Always", "OnFailure", "Never"]))
    made = pod(*mains, initContainers=listed, restartPolicy=policy, meta=meta)
    names = [one["name"] for one in (*listed, *mains)]
    boxes = draw(st.sampled_from([(), (box(0),), (box(0, False),), (box(1), box(0, False))]))
    held = []
    for name in names:
        for attempt in range(draw(st.integers(0, 3)) - 1, -1, -1):
            code = draw(_codes) if attempt == 0 or not held else draw(st.integers(0, 2))
            held.append(instance(name, attempt, code=code, ended=draw(st.integers(0, 50))))
    known = facts(
        *held,
        boxes=boxes,
        now=draw(st.integers(0, 400)),
        images={name: "i" for name in names if draw(st.booleans())},
        volumes_ready=draw(st.booleans()),
        cleaned=draw(st.booleans()),
        health={item.id: Health(failed=draw(st.sampled_from(["", "liveness"]))) for item in held},
    )
    return made, known


@settings(max_examples=300, deadline=None)
@given(situations())
def test_no_plan_contradicts_itself(situation: tuple[Any, Any]) -> None:
    made, known = situation
    found = plan(made, known)
    keys = [step.key for step in found.steps]
    assert len(keys) == len(set(keys))
    alive = {item.id for item in known.alive()}
    for step in found.steps:
        if isinstance(step, StartContainer):
            assert not made.terminating
            assert outcome(made, known) is None
            assert known.volumes_ready
            assert known.sandbox is not None
            assert step.sandbox_id == known.sandbox.id
            assert all(item.attempt < step.attempt for item in known.instances(step.container))
            latest = known.latest(step.container)
            until = backoff_until(latest)
            assert until is None or until <= known.now or (latest is not None and latest.reason == "StartError")
        if isinstance(step, StopContainer):
            assert step.container_id in alive
        if isinstance(step, RemoveContainer | RemoveSandbox | CleanUp | Finish) and made.terminating:
            assert not alive
    assert found.wake_at is None or found.wake_at > known.now


@settings(max_examples=300, deadline=None)
@given(situations())
def test_every_plan_leads_somewhere(situation: tuple[Any, Any]) -> None:
    """A pod that is not where it should be has a step, or a moment to wake at, or a container that will end."""
    made, known = situation
    found = plan(made, known)
    if found.steps or found.wake_at:
        return
    if made.terminating:
        raise AssertionError("a deleted pod must always have a next step")
    if outcome(made, known) is not None:
        assert known.cleaned
        assert not known.alive()
        return
    initialized = any(known.current(one.name) for one in made.spec.containers)
    running = [item for item in known.runtime.containers if not has_exited(item)]
    assert running or initialized
