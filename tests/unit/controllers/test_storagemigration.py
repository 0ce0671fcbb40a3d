"""Migrations of stored objects: one at a time for a resource, each object once, old versions forgotten at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import navarch
from navarch.base.errors import Conflict, Invalid, NotFound, Retryable
from navarch.controllers.plan import Apply, Failure, Plan, Status
from navarch.controllers.storagemigration import Observed, plan
from navarch.kinds import CONFIGMAP, CUSTOMRESOURCEDEFINITION, STORAGEVERSIONMIGRATION
from navarch.kinds.object import Object
from navarch.kinds.storagemigration import FAILED, RUNNING, SUCCEEDED
from tests.unit.controllers.conftest import NOW, Make, ago


def migration(make: Make, name: str = "m", revision: str = "", created_s: float = 5, **says: str) -> Object:
    status: dict[str, Any] = {"resourceVersion": revision} if revision else {}
    if says:
        status["conditions"] = [
            {"type": type_, "status": value, "reason": "R", "message": "", "lastTransitionTime": ago(60)}
            for type_, value in says.items()
        ]
    spec = {"resource": {"group": "", "resource": "configmaps"}}
    metadata = {"creationTimestamp": ago(created_s)}
    return make.object(STORAGEVERSIONMIGRATION, name, metadata=metadata, spec=spec, status=status)


def definition(make: Make, *stored: str, generation: int = 3, seen: int = 0) -> Object:
    versions = [{"name": "v1", "storage": False}, {"name": "v2", "storage": True}]
    conditions = [{"type": "StorageMigrating", "status": "True", "observedGeneration": seen}] if seen else []
    metadata = {"generation": generation}
    status = {"storedVersions": list(stored), "conditions": conditions}
    return make.object(
        CUSTOMRESOURCEDEFINITION, "ships.example.com", metadata=metadata, spec={"versions": versions}, status=status
    )


def said(found: Status | None) -> dict[str, tuple[str, str, str]]:
    assert found is not None
    return {one["type"]: (one["status"], one["reason"], one["message"]) for one in found.status["conditions"]}


def statuses(found: Plan) -> list[Status]:
    return [action for action in (*found.actions, found.status) if isinstance(action, Status)]


def test_step_by_step(make: Make) -> None:
    new = migration(make)
    marked = plan(Observed([new], CONFIGMAP, revision=77), NOW)
    assert marked.actions == (Status(new, {"resourceVersion": "77"}),)

    crd = definition(make, "v1", "v2")
    second = migration(make, revision="77")
    begun = plan(Observed([second], CONFIGMAP, crd), NOW)
    on_crd, on_it = statuses(begun)
    assert said(on_crd) == {"StorageMigrating": ("True", "MigrationRunning", "Migration m is running")}
    assert on_crd.status["conditions"][0]["observedGeneration"] == 3
    assert said(on_it) == {RUNNING: ("True", "MigrationRunning", "The migration is running")}

    third = migration(make, revision="77", Running="True")
    things = [make.object(CONFIGMAP, "a", data={"k": "v"}), make.object(CONFIGMAP, "b")]
    done = plan(Observed([third], CONFIGMAP, crd, things), NOW)
    assert [action.document for action in done.actions if isinstance(action, Apply)] == [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": name,
                "namespace": "default",
                "uid": f"uid-{name}",
                "resourceVersion": str(thing.revision),
            },
        }
        for name, thing in zip("ab", things, strict=True)
    ]
    assert said(done.status) == {
        RUNNING: ("False", "R", ""),
        SUCCEEDED: ("True", "StorageVersionMigrationSucceeded", ""),
    }

    fourth = migration(make, revision="77", Running="False", Succeeded="True")
    tidied = plan(Observed([fourth], CONFIGMAP, definition(make, "v1", "v2", seen=3)), NOW)
    on_crd, on_it = statuses(tidied)
    assert on_crd.status["storedVersions"] == ["v2"]
    message = "The migration has succeeded and the stored versions have been updated"
    assert said(on_crd) == {"StorageMigrating": ("False", "MigrationSucceeded", message)}
    assert list(said(on_it)) == [SUCCEEDED]
    assert plan(Observed([migration(make, revision="77", Succeeded="True")], CONFIGMAP, crd), NOW) == Plan()


def test_a_definition_that_changed_meanwhile_keeps_its_versions(make: Make) -> None:
    over = migration(make, revision="77", Running="False", Succeeded="True")
    on_crd = statuses(plan(Observed([over], CONFIGMAP, definition(make, "v1", "v2", generation=4, seen=3)), NOW))[0]
    assert on_crd.status["storedVersions"] == ["v1", "v2"]
    assert said(on_crd)["StorageMigrating"][2].endswith("have not been updated due to a generation mismatch")
    failed = migration(make, revision="77", Running="False", Failed="True")
    on_crd = statuses(plan(Observed([failed], CONFIGMAP, definition(make, "v1", "v2", seen=4)), NOW))[0]
    assert said(on_crd) == {"StorageMigrating": ("False", "MigrationFailed", "The migration has failed")}


def test_what_cannot_be_written_ends_it_and_what_passes_does_not(make: Make) -> None:
    running = migration(make, revision="77", Running="True")
    found = plan(Observed([running], CONFIGMAP, None, [make.object(CONFIGMAP, "a")]), NOW)
    assert found.failed is not None
    action = found.actions[0]
    assert found.failed([Failure(action, Retryable("away"))]) == ()
    (status,) = found.failed([Failure(action, Invalid("it is wrong"))])
    assert isinstance(status, Status)
    assert said(status)[FAILED][2] == "migration encountered unhandled error: it is wrong"


def test_a_resource_that_nobody_serves_is_waited_for(make: Make) -> None:
    young = plan(Observed([migration(make, created_s=20)]), NOW)
    assert young == Plan(requeue_after_s=40)
    (status,) = statuses(plan(Observed([migration(make, created_s=61)]), NOW))
    assert said(status)[FAILED][2].endswith("resource does not exist in discovery")


MIGRATIONS = st.lists(
    st.tuples(st.integers(0, 90), st.booleans(), st.sampled_from(["", "Running", "Succeeded", "Failed", "Ending"])),
    min_size=1,
    max_size=5,
)


@given(MIGRATIONS, st.booleans())
def test_never_two_at_once_and_what_is_over_stays_over(rows: Sequence[tuple[int, bool, str]], served: bool) -> None:
    make = Make()
    migrations = []
    running = False
    for number, (created_s, marked, state) in enumerate(rows):
        says = {"Ending": {"Running": "False", "Succeeded": "True"}, "": {}}.get(state, {state: "True"})
        if state == "Running":
            says, running = ({}, running) if running else (says, True)
        migrations.append(migration(make, f"m{number}", "77" if marked else "", created_s, **says))
    migrations.sort(key=lambda one: (one.view.metadata.creation_timestamp, one.name))
    found = plan(Observed(migrations, CONFIGMAP if served else None, revision=9), NOW)
    after = {one.uid: one.view for one in migrations}
    for action in statuses(found):
        document = {**action.object.document(), "status": action.status}
        after[action.object.uid] = Object.of(STORAGEVERSIONMIGRATION, document).view
    assert sum(view.says(RUNNING) for view in after.values()) <= 1
    for one in migrations:
        view = one.view
        assert not view.says(SUCCEEDED) or after[one.uid].says(SUCCEEDED)
        assert not view.says(FAILED) or after[one.uid].says(FAILED)
        assert not (after[one.uid].says(SUCCEEDED) and after[one.uid].says(FAILED))
        before = view.status.resource_version
        assert not before or after[one.uid].status.resource_version == before
    if any(isinstance(action, Apply) for action in found.actions):
        assert running


# in a cluster

CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: ships.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: ships, singular: ship, kind: Ship}
  versions:
  - name: v1
    served: true
    storage: true
    schema: &any {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
  - name: v2
    served: true
    storage: false
    schema: *any
"""
MIGRATION = """
apiVersion: storagemigration.k8s.io/v1beta1
kind: StorageVersionMigration
metadata: {name: ships-to-v2}
spec: {resource: {group: example.com, resource: ships}}
"""


def test_an_old_version_can_go_after_a_migration() -> None:
    with navarch.Cluster(nodes=0, frozen=True) as c:
        c.apply(CRD)
        c.clock.advance(seconds=5)
        for number in range(5):
            metadata = {"name": f"ship-{number}", "namespace": "default"}
            c.apply({"apiVersion": "example.com/v1", "kind": "Ship", "metadata": metadata, "cargo": number})
        c.apply(CRD.replace("storage: true", "storage: x").replace("false", "true").replace(": x", ": false"))
        c.clock.advance(seconds=5)

        def crd() -> dict[str, Any]:
            return c.client.get("customresourcedefinition", "", "ships.example.com").document()

        assert crd()["status"]["storedVersions"] == ["v1", "v2"]
        before = {one.name: one.revision for one in c.client.list("ships", "default").items}
        c.apply(MIGRATION)
        c.clock.advance(seconds=30)
        found = c.client.get("storageversionmigration", "", "ships-to-v2").document()
        assert [(one["type"], one["status"]) for one in found["status"]["conditions"]] == [("Succeeded", "True")]
        assert crd()["status"]["storedVersions"] == ["v2"]
        after = c.client.list("ships", "default").items
        assert [one.document()["cargo"] for one in after] == list(range(5))
        assert all(one.revision > before[one.name] for one in after), "they were written anew"
        only = crd()
        only["spec"]["versions"] = [one for one in only["spec"]["versions"] if one["name"] == "v2"]
        c.client.patch("customresourcedefinition", "", "ships.example.com", {"spec": only["spec"]})
        c.clock.advance(seconds=5)
        assert len(c.client.list("ships", "default").items) == 5


def test_an_object_that_went_meanwhile_is_not_made_again() -> None:
    """By the apply of a migration, which names its uid."""
    with navarch.Cluster(nodes=0, frozen=True) as c:
        c.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}})
        found = c.client.get("configmap", "default", "a")
        c.client.delete("configmap", "default", "a")
        seen = plan(Observed([migration(Make(), revision="77", Running="True")], CONFIGMAP, None, [found]), NOW)
        action = seen.actions[0]
        assert isinstance(action, Apply)
        with pytest.raises((Conflict, NotFound)):
            c.client.apply(CONFIGMAP, action.document, manager=action.manager, force=True)
        assert "a" not in [one.name for one in c.client.list("configmaps", "default").items]
