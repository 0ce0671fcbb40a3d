"""LimitRange and ResourceQuota: how much one pod, and one namespace, may ask for.

Source: https://kubernetes.io/docs/concepts/policy/
"""

from __future__ import annotations

from datetime import datetime

from navarch.kinds.kind import CREATED_AT, Column, Kind
from navarch.kinds.quota_rules import limit_rules, quota_rules, quota_status_rules
from navarch.kinds.view import ObjectMeta, Quantity, View
from navarch.objects.value import Document, Draft, dig


class LimitRangeItem(View, frozen=True):
    """type: Container, Pod or PersistentVolumeClaim."""

    type: str
    max: dict[str, Quantity] = {}
    min: dict[str, Quantity] = {}
    default: dict[str, Quantity] = {}
    default_request: dict[str, Quantity] = {}
    max_limit_request_ratio: dict[str, Quantity] = {}


class LimitRangeSpec(View, frozen=True):
    limits: tuple[LimitRangeItem, ...] = ()


class LimitRange(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: LimitRangeSpec = LimitRangeSpec()


class ScopedRequirement(View, frozen=True):
    scope_name: str
    operator: str
    values: tuple[str, ...] = ()


class ScopeSelector(View, frozen=True):
    match_expressions: tuple[ScopedRequirement, ...] = ()


class ResourceQuotaSpec(View, frozen=True):
    hard: dict[str, Quantity] = {}
    scopes: tuple[str, ...] = ()
    scope_selector: ScopeSelector | None = None


class ResourceQuotaStatus(View, frozen=True):
    hard: dict[str, Quantity] = {}
    used: dict[str, Quantity] = {}


class ResourceQuota(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: ResourceQuotaSpec = ResourceQuotaSpec()
    status: ResourceQuotaStatus = ResourceQuotaStatus()


def default_limits(draft: Draft) -> None:
    """For containers: what is not given by default is the maximum; what is not requested is the default, else the
    minimum."""
    for index in draft.each("spec", "limits"):
        item = draft.get("spec", "limits", index)
        if item.get("type") != "Container":
            continue
        limit = {**(item.get("max") or {}), **(item.get("default") or {})}
        request = {**(item.get("min") or {}), **limit, **(item.get("defaultRequest") or {})}
        for field, value in (("default", limit), ("defaultRequest", request)):
            if value and value != item.get(field):
                draft.set(value, "spec", "limits", index, field)


def prepare_quota(draft: Draft, old: Document | None) -> None:
    if old is None:
        draft.set({}, "status")


def _usage(quota: Document, is_limit: bool) -> str:
    hard, used = dig(quota, "status", "hard", default={}), dig(quota, "status", "used", default={})
    names = sorted(name for name in hard if name.startswith("limits.") == is_limit)
    return ", ".join(f"{name}: {used.get(name, 0)}/{hard[name]}" for name in names)


def _requests(quota: Document, now: datetime) -> str:
    return _usage(quota, False)


def _limits(quota: Document, now: datetime) -> str:
    return _usage(quota, True)


LIMITRANGE = Kind(
    group="",
    version="v1",
    name="LimitRange",
    plural="limitranges",
    short=("limits",),
    view=LimitRange,
    default=default_limits,
    rules=limit_rules,
    counts_generation=False,
    columns=(CREATED_AT,),
    age=False,
)

RESOURCEQUOTA = Kind(
    group="",
    version="v1",
    name="ResourceQuota",
    plural="resourcequotas",
    short=("quota",),
    view=ResourceQuota,
    rules=quota_rules,
    prepare=prepare_quota,
    subresources=("status",),
    subresource_rules={"status": quota_status_rules},
    counts_generation=False,
    columns=(
        Column("Request", _requests, description="What is used of everything but limits."),
        Column("Limit", _limits, description="What is used of limits."),
    ),
)
