"""What to do next about a Deployment: pure, one step at a time; the next change of a ReplicaSet brings the next step.

Sizes are worked out in `sizes`, revisions in `revision`, conditions in `status`, the automatic undo in `rollback`.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/deployment/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from navarch.controllers.claims import Claim, adopt, release
from navarch.controllers.deployment import revision, rollback, sizes, status
from navarch.controllers.deployment.sizes import Bounds, Size
from navarch.controllers.deployment.status import Conditions
from navarch.controllers.plan import Action, Create, Delete, Event, Failure, Patch, Plan, Status, soonest
from navarch.kinds import REPLICASET
from navarch.kinds.object import Object

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Observed:
    """claim: ReplicaSets. pods: of each revision by uid, only of Deployments whose plan looks at pods. namesake: the
    ReplicaSet that has the name which a new revision would get."""

    deployment: Object
    claim: Claim
    pods: Mapping[str, Sequence[Object]] = field(default_factory=dict)
    namesake: Object | None = None


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    deployment = observed.deployment
    if not deployment.view.spec.selector.match_labels and not deployment.view.spec.selector.match_expressions:
        message = "This deployment is selecting all pods. A non-empty selector is required."
        return Plan((Event(deployment, "SelectingAll", message, "Warning"),))
    if deployment.view.metadata.deletion_timestamp is not None:
        return _Rollout(observed, now).status_only()
    claims = [adopt(found, deployment) for found in observed.claim.orphans]
    claims += [release(found, deployment) for found in observed.claim.lost]
    if claims:
        return Plan(tuple(claims))
    return _Rollout(observed, now).step()


class _Rollout:
    """One look at a Deployment: collects the actions of the step that is due, and the status after it."""

    def __init__(self, observed: Observed, now: datetime) -> None:
        self.observed = observed
        self.deployment = deployment = observed.deployment
        self.now = now
        self.revisions = sorted(observed.claim.kept, key=revision.by_age)
        self.new = revision.current(deployment, self.revisions)
        self.old = [found for found in self.revisions if found is not self.new]
        self.conditions = Conditions(deployment, now)
        self.actions: list[Action] = []
        self.collisions = deployment.view.status.collision_count
        self.look_again_s: float | None = None
        strategy = deployment.view.spec.strategy
        self.rolling = strategy.type == "RollingUpdate"
        update = strategy.rolling_update
        self.bounds: Bounds = sizes.bounds(
            deployment.view.spec.replicas, update.max_surge, update.max_unavailable, self.rolling
        )

    # the parts of a step

    def step(self) -> Plan:
        status.pausing(self.deployment, self.conditions)
        if self.deployment.view.spec.paused:
            self.number_new()
            self.resize()
            self.clean_up()
            return self.finish(progressing=False)
        if self.was_scaled():
            self.number_new()
            self.resize()
            return self.finish(progressing=False)
        if self.rolling:
            self.roll()
        else:
            self.recreate()
        return self.finish(progressing=True)

    def status_only(self) -> Plan:
        return self.finish(progressing=False)

    def roll(self) -> None:
        if not self.ensure_new():
            return
        new = self.new
        if new is None:
            return
        total = sum(found.view.spec.replicas for found in self.revisions)
        wanted = sizes.new_size(self.bounds, new.view.spec.replicas, total)
        if self.set_size(new, wanted):
            return
        lowered = sizes.old_sizes(self.bounds, _size(new), [_size(found) for found in self.old])
        for found in self.old:
            if found.uid in lowered:
                self.set_size(found, lowered[found.uid])
        if not lowered:
            self.clean_up_when_complete()

    def recreate(self) -> None:
        lowered = [self.set_size(found, 0) for found in self.old]
        if any(lowered):
            self.number_new()
            return
        if self.old_pods_run():
            self.number_new()
            return
        if not self.ensure_new() or self.new is None:
            return
        if not self.set_size(self.new, self.bounds.replicas):
            self.clean_up_when_complete()

    def old_pods_run(self) -> bool:
        """Whether a pod of another revision may still be running, even one that is on its way out."""
        if any(found.view.status.replicas > 0 for found in self.old):
            return True
        new_uid = self.new.uid if self.new is not None else ""
        return any(not pod.view.terminal for uid, pods in self.observed.pods.items() if uid != new_uid for pod in pods)

    def was_scaled(self) -> bool:
        """Whether the Deployment's own size changed since its revisions were last sized."""
        for found in self.revisions:
            desired = revision.annotated_number(found, revision.DESIRED)
            if found.view.spec.replicas > 0 and desired is not None and desired != self.bounds.replicas:
                return True
        return False

    def resize(self) -> None:
        """Bring a scaled Deployment to its new size without a step of the rollout."""
        active = [found for found in self.revisions if found.view.spec.replicas > 0]
        if len(active) <= 1:
            one = active[0] if active else self.new or (self.revisions[-1] if self.revisions else None)
            if one is not None:
                self.set_size(one, self.bounds.replicas, annotate=True)
        elif self.is_saturated():
            for found in active:
                if found is not self.new:
                    self.set_size(found, 0)
        elif self.rolling:
            existing = self.deployment.view.status.replicas
            wanted = sizes.proportional(self.bounds, [_size(found) for found in active], existing)
            for found in active:
                self.set_size(found, wanted[found.uid], annotate=True)

    def is_saturated(self) -> bool:
        if self.new is None:
            return False
        replicas = self.bounds.replicas
        desired = revision.annotated_number(self.new, revision.DESIRED)
        available = self.new.view.status.available_replicas
        return bool(self.new.view.spec.replicas == desired == available == replicas)

    # the newest revision

    def ensure_new(self) -> bool:
        """Number the newest revision, or make it; whether the rollout may go on in this step."""
        if self.new is not None:
            return self.number_new()
        deployment = self.deployment
        if self.observed.namesake is not None:
            self.collisions += 1
            return False
        highest = max((revision.number(found) for found in self.old), default=0)
        total = sum(found.view.spec.replicas for found in self.old)
        replicas = sizes.new_size(self.bounds, 0, total) if self.rolling else self.bounds.replicas
        annotations = revision.sizing(self.bounds.replicas, self.bounds.most)
        document = revision.new_replicaset(deployment, highest + 1, replicas, annotations)
        name = document["metadata"]["name"]
        message = f"Scaled up replica set {name} from 0 to {replicas}"
        done = Event(deployment, "ScalingReplicaSet", message) if replicas else None
        refused = Event(
            deployment, status.CREATE_ERROR, f'Failed to create new replica set "{name}": {{error}}', "Warning"
        )
        self.actions.append(Create(REPLICASET, document, done, refused))
        self.number_deployment(highest + 1)
        if status.has_deadline(deployment):
            self.conditions.set(status.PROGRESSING, "True", status.CREATED, f'Created new replica set "{name}"')
        return False

    def number_new(self) -> bool:
        """Have the newest revision bear the highest number and the Deployment's annotations."""
        new = self.new
        if new is None:
            return True
        highest = max((revision.number(found) for found in self.old), default=0)
        annotations = revision.raised_annotations(self.deployment, new, highest + 1)
        seconds = self.deployment.view.spec.min_ready_seconds
        if annotations or new.view.spec.min_ready_seconds != seconds:
            changes: dict[str, object] = {"metadata": {"annotations": annotations}} if annotations else {}
            if new.view.spec.min_ready_seconds != seconds:
                changes["spec"] = {"minReadySeconds": seconds}
            self.actions.append(Patch(new, changes))
        self.number_deployment(int(annotations.get(revision.REVISION, revision.number(new))))
        if status.has_deadline(self.deployment) and self.conditions.get(status.PROGRESSING) is None:
            self.conditions.set(status.PROGRESSING, "True", status.FOUND, f'Found new replica set "{new.name}"')
        return True

    def number_deployment(self, revision_number: int) -> None:
        if revision.number(self.deployment) != revision_number:
            changes: dict[str, object] = {"metadata": {"annotations": {revision.REVISION: str(revision_number)}}}
            self.actions.append(Patch(self.deployment, changes, "status"))  # which makes no new generation of it

    # writing

    def set_size(self, found: Object, replicas: int, *, annotate: bool = False) -> bool:
        """Size a revision; whether that changes anything. annotate: note the Deployment's size in any case."""
        present = found.view.spec.replicas
        noted = revision.sizing(self.bounds.replicas, self.bounds.most)
        annotations = {key: value for key, value in noted.items() if found.view.metadata.annotations.get(key) != value}
        if present == replicas and not (annotate and annotations):
            return False
        changes: dict[str, object] = {"metadata": {"annotations": annotations}} if annotations else {}
        done = None
        if present != replicas:
            changes["spec"] = {"replicas": replicas}
            direction = "up" if replicas > present else "down"
            message = f"Scaled {direction} replica set {found.name} from {present} to {replicas}"
            done = Event(self.deployment, "ScalingReplicaSet", message)
        self.actions.append(Patch(found, changes, done=done))
        return True

    def clean_up_when_complete(self) -> None:
        if status.is_complete(self.deployment, status.counts(self.revisions, self.new)):
            self.clean_up()

    def clean_up(self) -> None:
        """Delete the oldest revisions beyond the history limit, if nothing is left of them."""
        limit = self.deployment.view.spec.revision_history_limit
        if limit == status.NO_LIMIT:
            return
        spared = rollback.spared(self.deployment, self.new, self.old)
        dying = [found for found in self.old if found.view.metadata.deletion_timestamp is not None]
        cleanable = [found for found in self.old if found is not spared and found not in dying]
        surplus = len(cleanable) - limit
        for found in sorted(cleanable, key=revision.number)[: max(0, surplus)]:
            view = found.view
            observed = view.metadata.generation <= view.status.observed_generation
            if view.status.replicas == 0 and view.spec.replicas == 0 and observed:
                self.actions.append(Delete(found))

    def finish(self, *, progressing: bool) -> Plan:
        deployment, conditions = self.deployment, self.conditions
        found = status.counts(self.revisions, self.new)
        status.availability(self.bounds, found, conditions)
        if progressing:
            created = any(isinstance(action, Create) for action in self.actions)
            if not created:
                wait_s = status.progress(deployment, self.new, found, conditions, self.now)
                self.look_again_s = soonest(self.look_again_s, wait_s)
            status.replica_failure(self.revisions, self.new, conditions)
            self.judge(found)
        made = status.document(deployment, found, conditions, collisions=self.collisions)
        return Plan(
            tuple(self.actions),
            status=Status(deployment, made),
            failed=self.failed,
            requeue_after_s=self.look_again_s,
        )

    def judge(self, found: status.Counts) -> None:
        pods = self.observed.pods.get(self.new.uid, ()) if self.new is not None else ()
        complete = status.is_complete(self.deployment, found)
        verdict = rollback.judge(self.deployment, self.new, self.old, pods, complete, self.conditions, self.now)
        self.look_again_s = soonest(self.look_again_s, verdict.look_again_s)
        if verdict.undone:
            self.actions = list(verdict.actions)
        else:
            self.actions += verdict.actions

    def failed(self, failures: Sequence[Failure]) -> Sequence[Action]:
        """A revision that cannot be made is a condition."""
        for failure in failures:
            if isinstance(failure.action, Create) and status.has_deadline(self.deployment):
                name = failure.action.document["metadata"]["name"]
                conditions = Conditions(self.deployment, self.now)
                message = f'Failed to create new replica set "{name}": {failure.message}'
                conditions.set(status.PROGRESSING, "False", status.CREATE_ERROR, message)
                found = status.counts(self.revisions, self.new)
                status.availability(self.bounds, found, conditions)
                made = status.document(self.deployment, found, conditions, collisions=self.collisions)
                return (Status(self.deployment, made),)
        return ()


def _size(found: Object) -> Size:
    """A revision that was just made smaller still counts the pods that it is about to lose: they are left out."""
    view = found.view
    return Size(
        uid=found.uid,
        replicas=view.spec.replicas,
        available=min(view.status.available_replicas, view.spec.replicas),
        created=view.metadata.creation_timestamp or _LONG_AGO,
        name=found.name,
        limit=revision.annotated_number(found, revision.MAXIMUM) or 0,
    )
