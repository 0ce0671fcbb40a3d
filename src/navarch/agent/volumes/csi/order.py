"""In which order a driver is asked to stage, publish, unpublish and unstage a volume. Pure.

A volume is staged before it is published and unstaged only when nobody has it. What was begun and not heard of to the
end counts as done by half: asked for again when it is wanted, taken back when it is not. Calls may be repeated.

Source: https://github.com/container-storage-interface/spec/blob/master/spec.md#volume-lifecycle
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum


class Call(Enum):
    STAGE = "NodeStageVolume"
    PUBLISH = "NodePublishVolume"
    UNPUBLISH = "NodeUnpublishVolume"
    UNSTAGE = "NodeUnstageVolume"


@dataclass(frozen=True, slots=True)
class Step:
    """uid: of the pod that the volume is published for; "" where the call is about no pod."""

    call: Call
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a volume: False for what was begun, True for what is sure. staged: None when not even begun."""

    staged: bool | None = None
    published: Mapping[str, bool] = field(default_factory=dict)

    @property
    def nothing(self) -> bool:
        return self.staged is None and not self.published


def towards_published(known: Known, uid: str, *, stages: bool = True, again: bool = False) -> tuple[Step, ...]:
    """stages: False for a volume that lives as long as its pod. again: publish also what is published already, so that
    the driver brings it up to date."""
    steps = []
    if stages and not known.staged:
        steps.append(Step(Call.STAGE))
    if again or not known.published.get(uid):
        steps.append(Step(Call.PUBLISH, uid))
    return tuple(steps)


def towards_removed(known: Known, uid: str) -> tuple[Step, ...]:
    steps = [Step(Call.UNPUBLISH, uid)] if uid in known.published else []
    others = [other for other in known.published if other != uid]
    if known.staged is not None and not others:
        steps.append(Step(Call.UNSTAGE))
    return tuple(steps)


def begun(known: Known, step: Step) -> Known:
    """What is known from just before the call on, until its end is heard: what is to be on the disk by then."""
    if step.call is Call.STAGE:
        return replace(known, staged=False)
    if step.call is Call.PUBLISH:
        return replace(known, published={**known.published, step.uid: False})
    return doubted(known, step)


def doubted(known: Known, step: Step) -> Known:
    """Of something that is being taken back, nothing is sure any more."""
    if step.call is Call.UNSTAGE:
        return replace(known, staged=False)
    return replace(known, published={**known.published, step.uid: False})


def done(known: Known, step: Step) -> Known:
    """The call has succeeded."""
    if step.call is Call.STAGE:
        return replace(known, staged=True)
    if step.call is Call.PUBLISH:
        return replace(known, published={**known.published, step.uid: True})
    if step.call is Call.UNSTAGE:
        return replace(known, staged=None)
    return replace(known, published={key: sure for key, sure in known.published.items() if key != step.uid})


def failed(before: Known, known: Known, step: Step, *, final: bool) -> Known:
    """The call has failed. final: it surely has no effect, now or later; what was not there before is not there now.

    before: what was known before it began.
    """
    if not final:
        return known
    if step.call is Call.STAGE and before.staged is None:
        return replace(known, staged=None)
    if step.call is Call.PUBLISH and step.uid not in before.published:
        return replace(known, published=before.published)
    return known
