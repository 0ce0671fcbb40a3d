"""Automatic rollback: what counts as a failure, what is restored, and that it never goes back and forth."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from navarch.controllers.deployment import rollback
from navarch.controllers.deployment.revision import REVISION
from navarch.controllers.plan import Patch, Plan
from navarch.kinds import DEPLOYMENT
from navarch.kinds.object import Object
from tests.unit.controllers.test_deployment import World, template


def failing(image: str = "v2", **spec: Any) -> World:
    world = World(3, {rollback.AUTO_ROLLBACK: "true"}, **spec)
    world.settle()
    world.broken = {"v2", "v3"}
    world.image(image)
    world.settle()
    return world


def crash(world: World, image: str, restarts: int = 3, waiting: str = "CrashLoopBackOff", age_s: float = 60) -> None:
    found = world.by_image(image)
    pod = world.make.pod(f"{found.name}-x", owner=found, restarts=restarts, waiting=waiting, created_s=age_s)
    world.pods[found.name] = [pod]


def test_a_passed_deadline_restores_the_last_good_template() -> None:
    world = failing()
    assert "v2" in world.sizes()
    world.now += timedelta(seconds=601)
    world.settle()
    assert world.sizes() == {"v1": 3}
    assert world.condition("RolledBack") == ("True", "ProgressDeadlineExceeded")
    assert world.condition("Progressing") == ("True", "NewReplicaSetAvailable")
    assert any(message.startswith("Revision 2") and "revision 1" in message for message in world.told)
    assert world.annotation(REVISION) == "3"
    document = world.deployment.document()
    assert document["spec"]["template"] == template("v1")


@pytest.mark.parametrize(
    ("restarts", "waiting", "age_s", "undone"),
    [
        (3, "CrashLoopBackOff", 60, True),
        (2, "CrashLoopBackOff", 60, False),
        (9, "", 60, False),
        (0, "ImagePullBackOff", 60, True),
        (0, "ErrImagePull", 5, False),
        (0, "InvalidImageName", 1, True),
        (0, "ContainerCreating", 500, False),
    ],
)
def test_what_counts_as_a_failed_rollout(restarts: int, waiting: str, age_s: float, undone: bool) -> None:
    world = failing()
    crash(world, "v2", restarts, waiting, age_s)
    world.settle()
    assert (world.sizes() == {"v1": 3}) is undone
    assert (world.condition("RolledBack")[0] == "True") is undone


def test_an_image_that_cannot_be_had_is_looked_at_again_in_time() -> None:
    world = failing()
    crash(world, "v2", 0, "ErrImagePull", 10)
    assert world.plan().requeue_after_s == 20


def test_without_the_annotation_nothing_is_undone() -> None:
    world = failing()
    world._deployment({"metadata": {"annotations": {rollback.AUTO_ROLLBACK: "false"}}})
    crash(world, "v2")
    world.now += timedelta(seconds=601)
    world.settle()
    assert "v2" in world.sizes()


def test_a_good_revision_that_breaks_later_is_not_undone() -> None:
    world = World(3, {rollback.AUTO_ROLLBACK: "true"})
    world.settle()
    world.image("v2")
    world.settle()
    crash(world, "v2")
    world.broken = {"v2"}
    world.now += timedelta(seconds=6000)
    world.settle()
    assert world.sizes() == {"v2": 3}


def test_a_revision_is_good_only_after_a_while() -> None:
    world = World(3, {rollback.AUTO_ROLLBACK: "true"})
    world.settle()
    world.ready_s = 5
    world.image("v2")
    world.settle()
    assert world.sizes() == {"v2": 3}, "by its numbers the rollout is complete"
    assert world.plan().requeue_after_s == 55
    crash(world, "v2")
    world.settle()
    assert world.sizes() == {"v1": 3}


def test_a_rollback_is_not_rolled_back() -> None:
    world = failing()
    crash(world, "v2")
    world.broken |= {"v1"}
    for _ in range(5):
        world.step()
        world.pods_come_up()
        if "v1" in world.sizes():
            crash(world, "v1")
    world.now += timedelta(seconds=6000)
    world.settle()
    assert world.deployment.document()["spec"]["template"] == template("v1")


def test_the_same_failed_template_applied_again_is_left_alone() -> None:
    world = failing()
    crash(world, "v2")
    world.settle()
    world.image("v2")
    world.settle()
    world.now += timedelta(seconds=601)
    world.settle()
    assert "v2" in world.sizes(), "somebody insists"
    assert world.condition("Progressing") == ("False", "ProgressDeadlineExceeded")
    world.broken = set()
    world.pods.clear()
    world.settle()
    assert world.sizes() == {"v2": 3}
    assert world.annotation(rollback.FAILED_REVISIONS) is None, "it proved good in the end"
    assert world.condition("RolledBack") == ("", "")


def test_a_second_bad_version_is_undone_too() -> None:
    world = failing()
    crash(world, "v2")
    world.settle()
    world.image("v3")
    world.settle()
    crash(world, "v3")
    world.settle()
    assert world.sizes() == {"v1": 3}
    failed = world.annotation(rollback.FAILED_REVISIONS)
    assert failed is not None
    assert len(failed.split(",")) == 2


def test_without_a_good_revision_it_says_so() -> None:
    world = World(2, {rollback.AUTO_ROLLBACK: "true"})
    world.broken = {"v1"}
    world.settle()
    crash(world, "v1")
    world.settle()
    assert world.condition("RolledBack") == ("False", "NoGoodRevision")


def test_a_serving_revision_counts_as_good_when_none_is_known() -> None:
    world = World(3)
    world.settle()
    world.broken = {"v2"}
    world._deployment({"metadata": {"annotations": {rollback.AUTO_ROLLBACK: "true"}}})
    world.image("v2")
    world.settle()
    crash(world, "v2")
    world.settle()
    assert world.sizes() == {"v1": 3}


def test_a_failed_template_stays_failed_when_the_deployment_is_replaced() -> None:
    """`kubectl replace` takes all annotations away that its file does not have."""
    world = failing()
    crash(world, "v2")
    world.settle()
    assert world.sizes() == {"v1": 3}
    gone = {rollback.FAILED_REVISIONS: None, rollback.RESTORED_REVISION: None}
    world._deployment({"metadata": {"annotations": gone}})
    world.image("v2")
    world.settle()
    assert "v2" in world.sizes()
    assert world.condition("RolledBack") == ("False", "AppliedAgain")
    assert len([message for message in world.told if "applied again" in message]) == 1


def test_going_back_to_what_works_ends_the_insistence() -> None:
    world = failing()
    crash(world, "v2")
    world.settle()
    world.image("v2")
    world.settle()
    assert world.annotation(rollback.RESTORED_REVISION) is None
    world.image("v1")
    world.settle()
    assert world.condition("RolledBack") == ("", "")
    assert world.annotation(rollback.FAILED_REVISIONS) is not None, "it still has not proved good"


def test_a_deadline_that_another_revision_missed_is_not_held_against_this_one() -> None:
    """As the revision was made, but the status that says so was lost."""
    world = World(3)
    world.settle()
    world.broken = {"v2"}
    world.image("v2")
    world.settle()
    world.now += timedelta(seconds=601)
    world.settle()
    assert world.condition("Progressing") == ("False", "ProgressDeadlineExceeded")
    world._deployment({"metadata": {"annotations": {rollback.AUTO_ROLLBACK: "true"}}})
    world.image("v3")
    for action in world.plan().actions:
        world._apply(action)
    world.step()
    assert world.deployment.document()["spec"]["template"] == template("v3")
    world.settle()
    assert world.sizes() == {"v3": 3}


def test_the_condition_is_made_good_when_only_the_template_was_written() -> None:
    world = failing()
    crash(world, "v2")
    for action in world.plan().actions:
        world._apply(action)
    assert world.condition("RolledBack") == ("", "")
    world.ready_s = 5
    world.settle()
    assert world.sizes() == {"v1": 3}
    assert world.condition("RolledBack")[0] == "True"


def test_pods_that_an_autoscaler_adds_do_not_put_the_proof_off() -> None:
    world = World(3, {rollback.AUTO_ROLLBACK: "true"})
    world.settle()
    found = world.by_image("v1")
    fresh = world.make.pod("fresh", owner=found, ready_s=2)
    old = [world.make.pod(f"old-{number}", owner=found, ready_s=61) for number in range(2)]
    world._revision(found.name, {"metadata": {"annotations": {rollback.GOOD: None}}})
    world.pods[found.name] = [fresh, *old]
    world.settle()
    assert rollback.is_good(world.by_image("v1"))


def test_at_no_size_nothing_is_proved() -> None:
    world = failing()
    crash(world, "v2")
    world.settle()
    world.image("v2")
    world.change(replicas=0)
    world.pods.clear()
    world.settle()
    assert world.condition("RolledBack") == ("False", "AppliedAgain")
    assert world.annotation(rollback.FAILED_REVISIONS) is not None


def test_what_a_rollback_would_restore_outlives_the_history_limit() -> None:
    world = World(2, {rollback.AUTO_ROLLBACK: "true"}, revisionHistoryLimit=0)
    world.settle()
    world.ready_s = 5
    world.image("v2")
    world.settle()
    assert len(world.revisions) == 2, "v2 is complete, but not proved good"
    crash(world, "v2")
    world.settle()
    assert world.sizes() == {"v1": 2}
    world.ready_s = 3600
    world.image("v3")
    world.settle()
    assert len(world.revisions) == 1, "v3 is good, and the limit is kept"


def test_of_unproved_revisions_the_one_that_was_complete_is_restored() -> None:
    world = World(4, {rollback.AUTO_ROLLBACK: "true"})
    world.ready_s = 5
    world.settle()
    world.broken = {"v3"}
    world.image("v2")
    world.step()
    world.step()
    world._pods_come_up(world.by_image("v2").name, world.by_image("v2"), 1)
    world.image("v3")
    world.settle()
    assert world.by_image("v2").view.status.available_replicas == 0 or world.sizes().get("v2")
    crash(world, "v3")
    world.settle()
    assert world.sizes() == {"v1": 4}


IMAGES = ("v1", "v2", "v3")
BAD = st.sampled_from([(), ("v2",), ("v3",), ("v2", "v3"), ("v1", "v2", "v3")])
APPLY = st.tuples(st.sampled_from(["apply", "apply", "replace"]), st.sampled_from(IMAGES))
OTHER = st.one_of(
    st.tuples(st.sampled_from(["break", "crash"]), BAD),
    st.tuples(st.just("wait"), st.sampled_from([5, 61, 700])),
    st.tuples(st.just("scale"), st.integers(0, 5)),
    st.tuples(st.just("pause"), st.booleans()),
    st.tuples(st.just("die"), st.integers(0, 3)),
)
MOVES = st.lists(st.tuples(APPLY, st.lists(OTHER, max_size=2)), max_size=5).map(
    lambda rounds: [move for apply, others in rounds for move in (apply, *others)]
)


class Town(World):
    """crashing: images whose pods crash over and over."""

    crashing: frozenset[str] = frozenset()
    rollbacks = 0

    def _apply(self, action: Any) -> None:
        if isinstance(action, Patch) and action.object.kind is DEPLOYMENT and "spec" in action.changes:
            self.rollbacks += 1
        super()._apply(action)

    def image_of(self, found: Object) -> str:
        image: str = found.document()["spec"]["template"]["spec"]["containers"][0]["image"]
        return image

    def plan(self) -> Plan:
        self.pods = {}
        for found in self.revisions.values():
            if self.image_of(found) in self.crashing and found.view.spec.replicas:
                pod = self.make.pod(f"{found.name}-x", owner=found, restarts=5, waiting="CrashLoopBackOff")
                self.pods[found.name] = [pod]
        return super().plan()

    def do(self, move: str, how: Any) -> None:
        """What users, containers and time do."""
        if move == "break":
            self.broken = set(how)
        elif move == "crash":
            self.crashing = frozenset(how)
            self.broken = set(how)
        elif move == "wait":
            self.now += timedelta(seconds=how)
        elif move == "scale":
            self.change(replicas=how)
        elif move == "pause":
            self.change(paused=how)
        elif move == "die":  # the controller, after so many writes of one plan
            for action in self.plan().actions[:how]:
                self._apply(action)
        else:
            if move == "replace":
                gone = {rollback.FAILED_REVISIONS: None, rollback.RESTORED_REVISION: None}
                self._deployment({"metadata": {"annotations": gone}})
            self.image(how)


@settings(max_examples=60, deadline=None)
@example((), [("apply", "v2"), ("crash", ("v2",))], 3600.0, 10)
@example((), [("apply", "v2"), ("apply", "v3"), ("crash", ("v1", "v2", "v3"))], 5.0, 10)
@example(("v2",), [("apply", "v2"), ("replace", "v2"), ("apply", "v1"), ("die", 1), ("apply", "v2")], 5.0, 0)
@given(BAD, MOVES, st.sampled_from([5.0, 3600.0]), st.integers(0, 10))
def test_it_cannot_go_back_and_forth(bad: Any, moves: list[tuple[str, Any]], ready_s: float, history: int) -> None:
    """Whatever happens and wherever the controller dies: after a template of a user's at most one rollback, none when
    that template was undone before and did not prove good since, none of a good one, and then it comes to rest."""
    town = Town(3, {rollback.AUTO_ROLLBACK: "true"}, revisionHistoryLimit=history)
    town.ready_s = ready_s
    town.settle()
    town.do("crash", bad)
    for move, how in moves:
        known = {town.image_of(found): found for found in town.revisions.values()}
        present = town.image_of(town.deployment)
        if move == "replace" or (move == "apply" and how != present):
            undone = how in known and rollback.UNDONE in known[how].view.metadata.annotations
            town.rollbacks = 1 if undone else 0
        elif present in known and rollback.is_good(known[present]):
            town.rollbacks = 1
        town.do(move, how)
        town.settle()
        assert town.rollbacks <= 1
