"""The typed view of a DaemonSet: what its controller reads of it."""

from __future__ import annotations

import msgspec

from navarch.kinds.view import LabelSelector, ObjectMeta, View


class RollingUpdate(View, frozen=True):
    """Numbers of nodes, or percentages of those that the pods belong on."""

    max_surge: int | str = 0
    max_unavailable: int | str = 1


class DaemonSetStrategy(View, frozen=True):
    """type: RollingUpdate or OnDelete."""

    type: str = "RollingUpdate"
    rolling_update: RollingUpdate = RollingUpdate()


class DaemonSetSpec(View, frozen=True):
    """template: the pod template's document."""

    selector: LabelSelector = LabelSelector()
    template: msgspec.Raw = msgspec.Raw(b"{}")
    update_strategy: DaemonSetStrategy = DaemonSetStrategy()
    min_ready_seconds: int = 0
    revision_history_limit: int = 10


class DaemonSetStatus(View, frozen=True):
    observed_generation: int = 0
    desired_number_scheduled: int = 0
    updated_number_scheduled: int = 0
    number_available: int = 0
    collision_count: int = 0


class DaemonSet(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: DaemonSetSpec = DaemonSetSpec()
    status: DaemonSetStatus = DaemonSetStatus()
