"""Type checking of ValidatingAdmissionPolicies: what in one does not fit the kinds that it is for, in its status.

Source: https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#type-checking
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from datetime import datetime

from navarch.controllers.controller import Cache, Controller, Watch
from navarch.controllers.options import Setup
from navarch.controllers.plan import NOTHING, Plan, Status
from navarch.kinds import VALIDATINGADMISSIONPOLICY
from navarch.kinds.object import Object
from navarch.kinds.registry import Kinds
from navarch.objects.value import dig


@dataclass(frozen=True, slots=True)
class Observed:
    policy: Object
    kinds: Kinds


def controller(setup: Setup) -> Controller[Observed]:
    def observe(cache: Cache, key: tuple[str, str]) -> Observed | None:
        found = cache[VALIDATINGADMISSIONPOLICY].get(*key)
        return None if found is None else Observed(found, setup.kinds)

    return Controller(
        name="validatingadmissionpolicy-status",
        watches=(Watch(VALIDATINGADMISSIONPOLICY, keys),),
        observe=observe,
        plan=plan,
        component="validatingadmissionpolicy-status-controller",
        account="validatingadmissionpolicy-status-controller",
        workers=1,
    )


def keys(cache: Cache, found: Object) -> Iterable[Hashable]:
    return (found.key,)


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    document = observed.policy.document()
    generation = dig(document, "metadata", "generation")
    status = document.get("status") or {}
    if status.get("observedGeneration") == generation:
        return NOTHING
    from navarch.kinds.policy_types import warnings

    found = warnings(document.get("spec") or {}, observed.kinds)
    checking = {"expressionWarnings": found} if found else {}
    wanted = {**status, "observedGeneration": generation, "typeChecking": checking}
    return Plan(status=Status(observed.policy, wanted))
