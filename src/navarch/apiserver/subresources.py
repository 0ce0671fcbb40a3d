"""Subresources whose documents are not the object's own: scale, binding, eviction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from navarch.apiserver import refusals
from navarch.apiserver.binding import bind
from navarch.apiserver.context import Context
from navarch.apiserver.eviction import evict
from navarch.apiserver.options import Intent
from navarch.apiserver.scale import get_scale, patch_scale, put_scale
from navarch.kinds import BINDING, EVICTION, SCALE
from navarch.kinds.kind import Kind
from navarch.objects.value import Document


async def no_get(context: Context, intent: Intent) -> Document:
    raise refusals.not_allowed(intent.kind, "get")


async def no_patch(context: Context, intent: Intent, media_type: str, wanted: Any) -> Document:
    raise refusals.not_allowed(intent.kind, "patch")


@dataclass(frozen=True, slots=True)
class Act:
    """body: the kind of what is sent."""

    body: Kind
    verbs: tuple[str, ...]
    put: Callable[[Context, Intent, Document], Awaitable[Document]]
    get: Callable[[Context, Intent], Awaitable[Document]] = no_get
    patch: Callable[[Context, Intent, str, Any], Awaitable[Document]] = no_patch


_SCALE = Act(SCALE, ("get", "update", "patch"), put_scale, get_scale, patch_scale)

ACTS: Mapping[tuple[str, str], Act] = {
    ("pods", "binding"): Act(BINDING, ("create",), bind),
    ("pods", "eviction"): Act(EVICTION, ("create",), evict),
    ("deployments", "scale"): _SCALE,
    ("replicasets", "scale"): _SCALE,
    ("replicationcontrollers", "scale"): _SCALE,
    ("statefulsets", "scale"): _SCALE,
}
"""(plural, subresource) -> what is done there."""


def act_for(kind: Kind, subresource: str) -> Act | None:
    """What is done at a kind's subresource, None where it is no act but a view of the object."""
    if kind.custom:
        return _SCALE if subresource == "scale" and kind.scale is not None else None
    return ACTS.get((kind.plural, subresource))
