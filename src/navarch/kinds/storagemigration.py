"""StorageVersionMigration: everything of one resource is to be stored anew, in the version that it is stored in now.

Source: https://kubernetes.io/docs/tasks/manage-kubernetes-objects/storage-version-migration/
"""

from __future__ import annotations

from collections.abc import Iterable

from navarch.base.errors import Cause
from navarch.kinds.condition_rules import conditions
from navarch.kinds.kind import Kind
from navarch.kinds.rules import Faults
from navarch.kinds.view import Condition, ObjectMeta, View
from navarch.objects import condition
from navarch.objects.value import Document, Draft, dig

GROUP = "storagemigration.k8s.io"
RUNNING, SUCCEEDED, FAILED = "Running", "Succeeded", "Failed"


class GroupResource(View, frozen=True):
    group: str = ""
    resource: str = ""


class MigrationSpec(View, frozen=True):
    resource: GroupResource = GroupResource()


class MigrationStatus(View, frozen=True):
    resource_version: str = ""
    conditions: tuple[Condition, ...] = ()


class StorageVersionMigration(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: MigrationSpec = MigrationSpec()
    status: MigrationStatus = MigrationStatus()

    def says(self, type: str) -> bool:
        """Whether it has that condition with the status True."""
        return any(found.type == type and found.status == "True" for found in self.status.conditions)


def prepare(draft: Draft, old: Document | None) -> None:
    if old is None:
        draft.remove("status")


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    if not dig(new, "spec", "resource", "resource"):
        faults.required("spec.resource.resource", "resource is required")
    if old is not None:
        for field in ("group", "resource"):
            path = ("spec", "resource", field)
            faults.immutable(field, dig(new, *path, default=""), dig(old, *path, default=""))
    return faults.causes


def status_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    revision: str = dig(new, "status", "resourceVersion", default="")
    if revision and not revision.isdecimal():
        faults.invalid("status.resourceVersion", revision, "resource version should be a non-negative integer")
    found: list[Document] = dig(new, "status", "conditions", default=[])
    conditions(faults, found, "status.conditions")
    before: str = dig(old, "status", "resourceVersion", default="") if old else ""
    if before and before != revision:
        faults.invalid("status.resourceVersion", revision, "cannot be updated")
    says = {type_: condition.status(found, type_) == "True" for type_ in (RUNNING, SUCCEEDED, FAILED)}
    contradictions = (
        (SUCCEEDED, FAILED, "Both success and failed conditions cannot be true at the same time"),
        (SUCCEEDED, RUNNING, "Running condition cannot be true when success condition is true"),
        (FAILED, RUNNING, "Running condition cannot be true when failed condition is true"),
    )
    for one, other, detail in contradictions:
        if says[one] and says[other]:
            faults.invalid("status.conditions", found, detail)
    for type_, word in ((SUCCEEDED, "Success"), (FAILED, "Failed")):
        if old is not None and condition.is_true(old, type_) and not says[type_]:
            faults.invalid("status.conditions", found, f"{word} condition cannot be set to false once it is true")
    return faults.causes


STORAGEVERSIONMIGRATION = Kind(
    group=GROUP,
    version="v1beta1",
    name="StorageVersionMigration",
    plural="storageversionmigrations",
    namespaced=False,
    view=StorageVersionMigration,
    prepare=prepare,
    rules=rules,
    subresources=("status",),
    subresource_rules={"status": status_rules},
)
