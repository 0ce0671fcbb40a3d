"""Storage version: a StorageVersionMigration has every object of a resource written once more, so that it is stored in
the present version; then a definition of custom resources forgets the versions that nothing is stored in any more.

One migration of a resource runs at a time, the oldest first. The writes change nothing that anybody sees.

Source: https://kubernetes.io/docs/tasks/manage-kubernetes-objects/storage-version-migration/
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from navarch.base.errors import ApiError, Internal, TooMany, Unavailable
from navarch.client.client import Client
from navarch.controllers.controller import Cache, Controller, Watch
from navarch.controllers.options import Setup
from navarch.controllers.plan import Action, Apply, Failure, Plan, Status
from navarch.kinds import CUSTOMRESOURCEDEFINITION, STORAGEVERSIONMIGRATION
from navarch.kinds.customresourcedefinition import storage_version
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.kinds.registry import Kinds
from navarch.kinds.storagemigration import FAILED, RUNNING, SUCCEEDED
from navarch.objects import condition
from navarch.objects.value import Document, dig

RESOURCE = "resource"
MIGRATING = "StorageMigrating"
MANAGER = "storage-version-migrator-controller"
PASSING = (TooMany, Unavailable, Internal)
"""What is tried again; any other refusal ends the migration."""
UNKNOWN_FOR = timedelta(minutes=1)
"""A resource that is not served may be about to be, while its migration is young."""

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Observed:
    """migrations: of one resource, the oldest first. kind: as which it is served, None where it is not. definition: of
    a custom resource. objects: what there is to write; revision: what the API had at last, 0 where nobody asked."""

    migrations: Sequence[Object]
    kind: Kind | None = None
    definition: Object | None = None
    objects: Sequence[Object] = ()
    revision: int = 0

    @property
    def open(self) -> Sequence[Object]:
        return [found for found in self.migrations if not over(found)]

    @property
    def running(self) -> Object | None:
        return next((found for found in self.open if found.view.says(RUNNING)), None)


def over(found: Object) -> bool:
    return bool(found.view.says(SUCCEEDED) or found.view.says(FAILED))


def controller(setup: Setup) -> Controller[Observed]:
    def observe(cache: Cache, key: Key) -> Observed | None:
        found = [one for one in cache[STORAGEVERSIONMIGRATION].by(RESOURCE, "/".join(key)) if not one.terminating]
        if not found:
            return None
        found.sort(key=lambda one: (one.view.metadata.creation_timestamp, one.name))
        definition = cache[CUSTOMRESOURCEDEFINITION].get("", f"{key[1]}.{key[0]}")
        return Observed(found, served(setup.kinds, key), definition)

    return Controller(
        name="storage-version-migrator",
        watches=(
            Watch(STORAGEVERSIONMIGRATION, _resource_of, indexes={RESOURCE: _index}),
            Watch(CUSTOMRESOURCEDEFINITION, _migrated),
        ),
        observe=observe,
        confirm=confirm,
        plan=plan,
        account=MANAGER,
        workers=2,
    )


def served(kinds: Kinds, key: Key) -> Kind | None:
    return next(
        (kind for kind in kinds if (kind.group, kind.plural) == key and {"list", "patch"} <= set(kind.verbs)), None
    )


def _index(found: Object) -> Iterable[str]:
    resource = found.view.spec.resource
    return (f"{resource.group}/{resource.resource}",)


def _resource_of(cache: Cache, found: Object) -> Iterable[Hashable]:
    resource = found.view.spec.resource
    return ((resource.group, resource.resource),)


def _migrated(cache: Cache, definition: Object) -> Iterable[Hashable]:
    spec: Document = definition.document().get("spec") or {}
    key = (spec.get("group", ""), dig(spec, "names", "plural", default=""))
    return (key,) if cache[STORAGEVERSIONMIGRATION].count(RESOURCE, "/".join(key)) else ()


async def confirm(client: Client, observed: Observed) -> Observed:
    """What there is to be migrated is asked of the API itself: nothing may be left out because a cache is behind."""
    kind, running = observed.kind, observed.running
    if kind is None:
        return observed
    if running is None or not running.view.status.resource_version:
        if all(found.view.status.resource_version for found in observed.open):
            return observed
        return replace(observed, revision=(await client.list(kind, limit=1)).revision)
    until = int(running.view.status.resource_version)
    listed = await client.list(kind)
    return replace(observed, objects=[found for found in listed.items if found.revision <= until])


def plan(observed: Observed, now: datetime) -> Plan:
    """One step, which leads here again. Never raises."""
    for found in observed.migrations:
        if over(found) and condition.get(_conditions(found), RUNNING) is not None:
            return _tidied(observed, found, now)
    if observed.kind is None:
        return _not_served(observed, now)
    unmarked = [found for found in observed.open if not found.view.status.resource_version]
    if unmarked:
        revision = str(observed.revision)
        return Plan(tuple(Status(one, {**_status(one), "resourceVersion": revision}) for one in unmarked))
    if observed.running is not None:
        return _migration(observed.running, observed.kind, observed.objects, now)
    if not observed.open:
        return Plan()
    return _begun(observed, observed.open[0], now)


def _status(found: Object) -> Document:
    return found.document().get("status") or {}


def _conditions(found: Object) -> list[Document]:
    return list(_status(found).get("conditions") or ())


def _not_served(observed: Observed, now: datetime) -> Plan:
    waits: list[float] = []
    failed: list[Action] = []
    for found in observed.open:
        created = found.view.metadata.creation_timestamp or now
        left_s = (created + UNKNOWN_FOR - now).total_seconds()
        if left_s > 0:
            waits.append(left_s)
        else:
            failed.append(_failed(found, "resource does not exist in discovery", now))
    return Plan(tuple(failed), requeue_after_s=min(waits, default=None))


def _begun(observed: Observed, found: Object, now: datetime) -> Plan:
    """The definition says first that it is being migrated: as of which generation is what counts at the end."""
    actions: list[Action] = []
    if observed.definition is not None:
        message = f"Migration {found.name} is running"
        actions.append(_marked(observed.definition, "True", "MigrationRunning", message, now))
    running = {"type": RUNNING, "status": "True", "reason": "MigrationRunning", "message": "The migration is running"}
    conditions = condition.set(_conditions(found), running, now)
    return Plan(tuple(actions), Status(found, {**_status(found), "conditions": conditions}))


def _marked(
    definition: Object, status: str, reason: str, message: str, now: datetime, stored: Sequence[str] = ()
) -> Status:
    generation = definition.view.metadata.generation
    new = {"type": MIGRATING, "status": status, "reason": reason, "message": message, "observedGeneration": generation}
    made = {**_status(definition), "conditions": condition.set(_conditions(definition), new, now)}
    if stored:
        made["storedVersions"] = list(stored)
    return Status(definition, made)


def _migration(found: Object, kind: Kind, objects: Sequence[Object], now: datetime) -> Plan:
    """An empty apply of each object, of this very revision: whoever is newer is stored anew already."""
    writes = [
        Apply(
            kind,
            {
                "apiVersion": kind.api_version,
                "kind": kind.name,
                "metadata": {
                    "name": one.name,
                    **({"namespace": one.namespace} if one.namespace else {}),
                    "uid": one.uid,
                    "resourceVersion": str(one.revision),
                },
            },
            MANAGER,
        )
        for one in objects
    ]
    done = _over(found, SUCCEEDED, "StorageVersionMigrationSucceeded", "", now)

    def failed(failures: Sequence[Failure]) -> Sequence[Action]:
        final = [one for one in failures if isinstance(one.error, ApiError) and not isinstance(one.error, PASSING)]
        return (_failed(found, final[0].message, now),) if final else ()

    return Plan(tuple(writes), done, failed)


def _failed(found: Object, why: str, now: datetime) -> Status:
    message = f"migration encountered unhandled error: {why}"
    return _over(found, FAILED, "StorageVersionMigrationFailed", message, now)


def _over(found: Object, type_: str, reason: str, message: str, now: datetime) -> Status:
    conditions = _conditions(found)
    running = condition.get(conditions, RUNNING)
    if running is not None:
        kept = {key: value for key, value in running.items() if key != "lastTransitionTime"}
        conditions = condition.set(conditions, {**kept, "status": "False"}, now)
    new = {"type": type_, "status": "True", "reason": reason, "message": message}
    return Status(found, {**_status(found), "conditions": condition.set(conditions, new, now)})


def _tidied(observed: Observed, found: Object, now: datetime) -> Plan:
    """The definition says how it ended, and forgets old versions if it is still the one that was migrated."""
    actions: list[Action] = []
    definition = observed.definition
    if definition is not None:
        before = condition.get(_conditions(definition), MIGRATING) or {}
        same = before.get("observedGeneration") == definition.view.metadata.generation
        version = storage_version(definition.document())
        if found.view.says(SUCCEEDED):
            message = "The migration has succeeded"
            message += (
                " and the stored versions have been updated"
                if same
                else " but the stored versions have not been updated due to a generation mismatch"
            )
            reason = "MigrationSucceeded"
        else:
            reason, message = "MigrationFailed", "The migration has failed"
        actions.append(_marked(definition, "False", reason, message, now, (version,) if same and version else ()))
    left = condition.remove(_conditions(found), RUNNING)
    return Plan(tuple(actions), Status(found, {**_status(found), "conditions": left}))
