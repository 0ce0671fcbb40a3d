"""The typed view of a StatefulSet: what its controller reads of it."""

from __future__ import annotations

import msgspec

from navarch.kinds.view import LabelSelector, ObjectMeta, View


class RollingUpdate(View, frozen=True):
    """partition: below it, counted from the start, pods keep the version before. max_unavailable: or a percentage."""

    partition: int = 0
    max_unavailable: int | str = 1


class StatefulSetStrategy(View, frozen=True):
    """type: RollingUpdate or OnDelete."""

    type: str = "RollingUpdate"
    rolling_update: RollingUpdate = RollingUpdate()


class Ordinals(View, frozen=True):
    start: int = 0


class ClaimRetention(View, frozen=True):
    """Retain or Delete, each."""

    when_deleted: str = "Retain"
    when_scaled: str = "Retain"


class StatefulSetSpec(View, frozen=True):
    """template, volume_claim_templates: documents. pod_management_policy: OrderedReady or Parallel."""

    replicas: int = 1
    service_name: str = ""
    selector: LabelSelector = LabelSelector()
    template: msgspec.Raw = msgspec.Raw(b"{}")
    volume_claim_templates: tuple[msgspec.Raw, ...] = ()
    pod_management_policy: str = "OrderedReady"
    update_strategy: StatefulSetStrategy = StatefulSetStrategy()
    min_ready_seconds: int = 0
    revision_history_limit: int = 10
    ordinals: Ordinals = Ordinals()
    persistent_volume_claim_retention_policy: ClaimRetention = ClaimRetention()


class StatefulSetStatus(View, frozen=True):
    """current_revision: of the last rollout that was completed; update_revision: of the present template."""

    observed_generation: int = 0
    replicas: int = 0
    ready_replicas: int = 0
    current_replicas: int = 0
    updated_replicas: int = 0
    available_replicas: int = 0
    current_revision: str = ""
    update_revision: str = ""
    collision_count: int = 0


class StatefulSet(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: StatefulSetSpec = StatefulSetSpec()
    status: StatefulSetStatus = StatefulSetStatus()
