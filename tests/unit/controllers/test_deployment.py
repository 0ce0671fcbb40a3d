"""A Deployment's plan, played against a small world: what it writes is applied, and its pods come up or fail."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navarch.base.clock import rfc3339
from navarch.base.errors import Forbidden
from navarch.controllers.claims import Claim
from navarch.controllers.deployment.plan import Observed, plan
from navarch.controllers.deployment.revision import HASH_LABEL, REVISION, candidate_name, identity, pod_template_hash
from navarch.controllers.deployment.sizes import bounds
from navarch.controllers.plan import Create, Delete, Event, Failure, Patch, Plan, Status
from navarch.kinds import DEPLOYMENT, REPLICASET
from navarch.kinds.object import Object
from tests.unit.conftest import merged
from tests.unit.controllers.conftest import NOW, Make


def template(image: str = "v1", **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"labels": {"app": "web", **labels}},
        "spec": {"containers": [{"name": "c", "image": image}], "volumes": [{"name": "v", "emptyDir": {}}]},
    }


class World:
    """One Deployment and its revisions. broken: images whose pods never become ready."""

    def __init__(self, replicas: int = 3, annotations: dict[str, str] | None = None, **spec: Any) -> None:
        self.make = Make()
        self.now: datetime = NOW
        self.ready_s = 3600.0
        self.broken: set[str] = set()
        self.told: list[str] = []
        self.pods: dict[str, list[Object]] = {}
        spec = {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": template(),
            "progressDeadlineSeconds": 600,
            **spec,
        }
        metadata = {"annotations": annotations or {}}
        self.deployment = self.make.object(DEPLOYMENT, "web", metadata=metadata, spec=spec, status={})
        self.revisions: dict[str, Object] = {}

    # what a test does

    def change(self, **spec: Any) -> None:
        generation = self.deployment.view.metadata.generation + 1
        self._deployment({"spec": spec, "metadata": {"generation": generation}})

    def image(self, image: str) -> None:
        self.change(template=template(image))

    def plan(self) -> Plan:
        revisions = list(self.revisions.values())
        pods = {found.uid: self.pods.get(found.name, self._healthy(found)) for found in revisions}
        namesake = self.revisions.get(candidate_name(self.deployment))
        return plan(Observed(self.deployment, Claim(revisions), pods, namesake), self.now)

    def _healthy(self, found: Object) -> list[Object]:
        """Pods of a revision as its status counts them."""
        count = found.view.status.available_replicas
        return [self.make.pod(f"{found.name}-{number}", owner=found, ready_s=self.ready_s) for number in range(count)]

    def step(self) -> Plan:
        """One plan, carried out."""
        found = self.plan()
        for action in found.actions:
            self._apply(action)
        assert found.status is not None
        self._deployment({"status": None})
        self._deployment({"status": found.status.status})
        return found

    def settle(self) -> None:
        """Until nothing changes any more."""
        for _ in range(200):
            before = (self.deployment.document(), [found.document() for found in self.revisions.values()])
            self.step()
            self.pods_come_up()
            after = (self.deployment.document(), [found.document() for found in self.revisions.values()])
            if _same(before, after):
                return
        pytest.fail("never came to rest")

    def pods_come_up(self, most: int = 1000) -> None:
        for name, found in list(self.revisions.items()):
            self._pods_come_up(name, found, most)

    def _pods_come_up(self, name: str, found: Object, most: int) -> None:
        document = found.document()
        wanted = document["spec"]["replicas"]
        fine = document["spec"]["template"]["spec"]["containers"][0]["image"] not in self.broken
        available = min(wanted, found.view.status.available_replicas + most) if fine else 0
        status = {"replicas": wanted, "readyReplicas": available, "availableReplicas": available}
        status |= {"observedGeneration": document["metadata"]["generation"]}
        self._revision(name, {"status": status})

    # what tests ask

    def sizes(self) -> dict[str, int]:
        """image -> replicas, of those with pods."""
        found = {}
        for one in self.revisions.values():
            document = one.document()
            if document["spec"]["replicas"]:
                found[document["spec"]["template"]["spec"]["containers"][0]["image"]] = document["spec"]["replicas"]
        return found

    def condition(self, type: str) -> tuple[str, str]:
        found = self.deployment.view.status.condition(type)
        return (found.status, found.reason) if found else ("", "")

    def by_image(self, image: str) -> Object:
        for found in self.revisions.values():
            if found.document()["spec"]["template"]["spec"]["containers"][0]["image"] == image:
                return found
        raise KeyError(image)

    def annotation(self, name: str) -> str | None:
        value: str | None = self.deployment.view.metadata.annotations.get(name)
        return value

    # carrying out

    def _apply(self, action: Any) -> None:
        if isinstance(action, Event):
            self.told.append(action.message)
            return
        if getattr(action, "done", None):
            self.told.append(action.done.message)
        if isinstance(action, Create):
            document = action.document
            name = document["metadata"]["name"]
            parts = {key: value for key, value in document["metadata"].items() if key != "namespace"}
            parts["creationTimestamp"] = rfc3339(self.now + timedelta(seconds=len(self.revisions)))
            assert name not in self.revisions
            self.revisions[name] = self.make.object(
                REPLICASET, name, metadata=parts, spec=document["spec"], status={"replicas": 0}
            )
        elif isinstance(action, Delete):
            del self.revisions[action.object.name]
        elif isinstance(action, Patch) and action.object.kind is REPLICASET:
            self._revision(action.object.name, dict(action.changes))
        elif isinstance(action, Patch):
            changes = dict(action.changes)
            if "spec" in changes:
                generation = self.deployment.view.metadata.generation + 1
                changes = merged(changes, {"metadata": {"generation": generation}})
            self._deployment(changes)
        else:
            raise AssertionError(action)

    def _revision(self, name: str, changes: dict[str, Any]) -> None:
        self.make.revision += 1
        document = merged(self.revisions[name].document(), changes)
        document["metadata"]["resourceVersion"] = str(self.make.revision)
        self.revisions[name] = Object.of(REPLICASET, document)

    def _deployment(self, changes: dict[str, Any]) -> None:
        self.make.revision += 1
        document = merged(self.deployment.document(), changes)
        document["metadata"]["resourceVersion"] = str(self.make.revision)
        self.deployment = Object.of(DEPLOYMENT, document)


def _same(before: Any, after: Any) -> bool:
    def plain(value: Any) -> Any:
        text = orjson.dumps(value).decode()
        return [part for part in text.split('"') if not part.isdecimal()]

    return plain(before) == plain(after)


def test_a_new_deployment_gets_its_first_revision() -> None:
    world = World(3, {"kubernetes.io/change-cause": "first", "kubectl.kubernetes.io/last-applied-configuration": "{}"})
    found = world.step()
    (created,) = [action for action in found.actions if isinstance(action, Create)]
    name = created.document["metadata"]["name"]
    stamp = created.document["metadata"]["labels"][HASH_LABEL]
    assert name == f"web-{stamp}"
    assert created.document["spec"]["selector"]["matchLabels"] == {"app": "web", HASH_LABEL: stamp}
    assert created.document["spec"]["template"]["metadata"]["labels"] == {"app": "web", HASH_LABEL: stamp}
    assert created.document["metadata"]["annotations"] == {
        "kubernetes.io/change-cause": "first",
        "deployment.kubernetes.io/desired-replicas": "3",
        "deployment.kubernetes.io/max-replicas": "4",
        REVISION: "1",
    }
    assert world.annotation(REVISION) == "1"
    assert world.told == [f"Scaled up replica set {name} from 0 to 3"]
    assert world.condition("Progressing") == ("True", "NewReplicaSetCreated")
    assert world.condition("Available") == ("False", "MinimumReplicasUnavailable")
    world.settle()
    assert world.condition("Progressing") == ("True", "NewReplicaSetAvailable")
    assert world.condition("Available") == ("True", "MinimumReplicasAvailable")
    status = world.deployment.document()["status"]
    assert status["replicas"] == status["updatedReplicas"] == status["availableReplicas"] == 3
    assert "unavailableReplicas" not in status


def test_at_rest_nothing_is_written() -> None:
    world = World(3)
    world.settle()
    found = world.plan()
    assert found.actions == ()
    assert found.status is not None
    assert found.status.status == world.deployment.document()["status"]
    assert found.requeue_after_s is None


def test_a_rollout_moves_every_pod_and_keeps_the_old_revision_for_undo() -> None:
    world = World(4)
    world.settle()
    world.image("v2")
    world.settle()
    assert world.sizes() == {"v2": 4}
    assert len(world.revisions) == 2
    assert world.annotation(REVISION) == "2"
    world.image("v1")
    world.settle()
    assert world.sizes() == {"v1": 4}
    assert len(world.revisions) == 2, "an undo takes up the old revision again"
    assert world.annotation(REVISION) == "3"
    annotations = world.by_image("v1").view.metadata.annotations
    assert annotations["deployment.kubernetes.io/revision-history"] == "1"


@settings(deadline=None, max_examples=30)
@given(
    st.integers(1, 12),
    st.sampled_from([0, 1, 3, "25%", "100%"]),
    st.sampled_from([0, 1, 2, "25%", "100%"]),
    st.data(),
)
def test_a_rollout_keeps_its_bounds(replicas: int, surge: Any, unavailable: Any, data: st.DataObject) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    world = World(replicas, strategy=strategy)
    world.settle()
    world.image("v2")
    limits = bounds(replicas, surge, unavailable)
    for _ in range(100):
        world.step()
        assert sum(world.sizes().values()) <= limits.most
        kept = sum(
            min(found.view.status.available_replicas, found.view.spec.replicas) for found in world.revisions.values()
        )
        assert kept >= limits.fewest
        names = data.draw(st.permutations(sorted(world.revisions)), label="which revision's pods come up")
        world._pods_come_up(names[0], world.revisions[names[0]], data.draw(st.integers(1, 3)))
        if world.sizes() == {"v2": replicas}:
            break
    world.settle()
    assert world.sizes() == {"v2": replicas}
    assert world.condition("Progressing") == ("True", "NewReplicaSetAvailable")


def test_a_rollover_drops_the_revision_that_was_being_rolled_out() -> None:
    world = World(4)
    world.settle()
    world.broken = {"v2"}
    world.image("v2")
    world.settle()
    assert world.sizes() == {"v1": 3, "v2": 2}
    world.image("v3")
    world.settle()
    assert world.sizes() == {"v3": 4}


def test_recreate_waits_until_the_old_pods_are_gone() -> None:
    world = World(2, strategy={"type": "Recreate"})
    world.settle()
    old = world.by_image("v1")
    world.image("v2")
    world.step()
    assert world.sizes() == {}
    world.pods[old.name] = [world.make.pod("old", owner=old, deleting=True)]
    world.pods_come_up()
    world.step()
    assert len(world.revisions) == 1, "a pod is still on its way out"
    world.pods.clear()
    world.step()
    assert world.sizes() == {"v2": 2}


def test_paused_rolls_nothing_out_but_scales() -> None:
    world = World(3)
    world.settle()
    world.change(paused=True)
    world.image("v2")
    world.settle()
    assert world.sizes() == {"v1": 3}
    assert world.condition("Progressing") == ("Unknown", "DeploymentPaused")
    world.change(replicas=5)
    world.settle()
    assert world.sizes() == {"v1": 5}
    world.change(paused=False)
    world.settle()
    assert world.sizes() == {"v2": 5}


def test_scaling_in_the_middle_of_a_rollout_keeps_the_proportions() -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}
    world = World(10, strategy=strategy)
    world.settle()
    world.broken = {"v2"}
    world.image("v2")
    world.settle()
    assert world.sizes() == {"v1": 8, "v2": 5}
    world.change(replicas=15)
    world.step()
    assert world.sizes() == {"v1": 11, "v2": 7}


def test_the_history_has_a_limit() -> None:
    world = World(1, revisionHistoryLimit=2)
    for number in range(1, 6):
        world.image(f"v{number}")
        world.settle()
    images = sorted(
        found.document()["spec"]["template"]["spec"]["containers"][0]["image"] for found in world.revisions.values()
    )
    assert images == ["v3", "v4", "v5"]


def test_a_rollout_that_makes_no_progress_times_out_once() -> None:
    world = World(2)
    world.settle()
    world.broken = {"v2"}
    world.image("v2")
    world.settle()
    assert world.condition("Progressing") == ("True", "ReplicaSetUpdated")
    wait_s = world.plan().requeue_after_s
    assert wait_s == 601
    world.now += timedelta(seconds=wait_s)
    world.settle()
    assert world.condition("Progressing") == ("False", "ProgressDeadlineExceeded")
    assert world.plan().requeue_after_s is None
    world.broken = set()
    world.settle()
    assert world.condition("Progressing") == ("True", "NewReplicaSetAvailable")


def test_resuming_starts_the_deadline_anew() -> None:
    world = World(2)
    world.settle()
    world.broken = {"v2"}
    world.image("v2")
    world.settle()
    world.change(paused=True)
    world.settle()
    world.now += timedelta(hours=5)
    world.change(paused=False)
    world.step()
    assert world.condition("Progressing") == ("Unknown", "DeploymentResumed")
    assert world.plan().requeue_after_s == 601


def test_no_deadline_no_condition() -> None:
    world = World(2, progressDeadlineSeconds=2**31 - 1)
    world.settle()
    assert world.condition("Progressing") == ("", "")


def test_a_name_that_another_has_is_a_collision() -> None:
    world = World(1)
    other = world.make.object(REPLICASET, candidate_name(world.deployment), spec={"template": template("other")})
    found = plan(Observed(world.deployment, Claim(), {}, other), NOW)
    assert found.actions == ()
    assert isinstance(found.status, Status)
    assert found.status.status["collisionCount"] == 1
    world._deployment({"status": found.status.status})
    assert candidate_name(world.deployment) != other.name
    world.settle()
    assert world.sizes() == {"v1": 1}


def test_a_refused_revision_is_a_condition() -> None:
    world = World(1)
    found = world.plan()
    assert found.failed is not None
    (written,) = found.failed([Failure(found.actions[0], Forbidden("exceeded quota"))])
    assert isinstance(written, Status)
    progressing = next(c for c in written.status["conditions"] if c["type"] == "Progressing")
    assert (progressing["status"], progressing["reason"]) == ("False", "ReplicaSetCreateError")
    assert progressing["message"].endswith(": exceeded quota")


def test_a_failure_of_a_revision_shows() -> None:
    world = World(1)
    world.settle()
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "quota"}
    world._revision(world.by_image("v1").name, {"status": {"conditions": [failure]}})
    world.step()
    assert world.condition("ReplicaFailure") == ("True", "FailedCreate")


def test_an_empty_selector_is_told_and_nothing_done() -> None:
    world = World(1, selector={})
    assert [type(action) for action in world.plan().actions] == [Event]


def test_the_hash_depends_on_content_only() -> None:
    one = template()
    turned = orjson.loads(orjson.dumps(one))
    turned["metadata"] = {"labels": dict(reversed(turned["metadata"]["labels"].items())), "annotations": {}}
    assert pod_template_hash(one, 0) == pod_template_hash(turned, 0) == "6cddb66cc"
    assert pod_template_hash(one, 0) != pod_template_hash(one, 1)
    assert pod_template_hash(one, 0) != pod_template_hash(template("v2"), 0)
    assert pod_template_hash(template("v1", **{HASH_LABEL: "x"}), 0) == pod_template_hash(one, 0)


def test_an_empty_directory_is_not_nothing() -> None:
    with_volume, without = template(), template()
    without["spec"]["volumes"] = [{"name": "v"}]
    assert identity(orjson.dumps(with_volume)) != identity(orjson.dumps(without))
