"""ClusterRole aggregation: a role that selects others gets the rules of all of them.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#aggregated-clusterroles
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from navarch.controllers.controller import Cache, Controller, Watch
from navarch.controllers.options import Setup
from navarch.controllers.plan import Patch, Plan
from navarch.kinds import CLUSTERROLE
from navarch.kinds.object import Object
from navarch.objects.selector import from_view

AGGREGATING = "aggregating"


@dataclass(frozen=True, slots=True)
class Observed:
    """parts: the roles that it selects, selector by selector, of each by name; itself never among them."""

    role: Object
    parts: Sequence[Object]


def controller(setup: Setup) -> Controller[Observed]:
    return Controller(
        name="clusterrole-aggregation",
        watches=(Watch(CLUSTERROLE, keys, indexes={AGGREGATING: aggregating}),),
        observe=observe,
        plan=plan,
        component="clusterrole-aggregation-controller",
        account="clusterrole-aggregation-controller",
        workers=1,
    )


def aggregating(role: Object) -> Iterable[str]:
    return ("yes",) if role.view.aggregation_rule is not None else ()


def keys(cache: Cache, found: Object) -> Iterable[Hashable]:
    """Any role may be selected by any that aggregates; of those there are few."""
    return [role.key for role in cache[CLUSTERROLE].by(AGGREGATING, "yes")]


def observe(cache: Cache, key: tuple[str, str]) -> Observed | None:
    role = cache[CLUSTERROLE].get(*key)
    if role is None or role.view.aggregation_rule is None:
        return None
    selectors = [from_view(selector) for selector in role.view.aggregation_rule.cluster_role_selectors]
    others = sorted((found for found in cache[CLUSTERROLE].list() if found.uid != role.uid), key=lambda one: one.name)
    return Observed(role, [found for one in selectors for found in others if one.matches(found.labels)])


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    rules: list[dict[str, Any]] = []
    for part in observed.parts:
        rules += [rule for rule in part.document().get("rules") or () if rule not in rules]
    present = observed.role.document().get("rules") or []
    return Plan((Patch(observed.role, {"rules": rules}),)) if rules != present else Plan()
