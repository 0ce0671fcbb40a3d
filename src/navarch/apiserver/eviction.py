"""pods/eviction: a deletion that asks the pod's disruption budget first.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/
"""

from __future__ import annotations

from dataclasses import replace

from navarch.apiserver import refusals
from navarch.apiserver.binding import SUCCESS
from navarch.apiserver.context import Context
from navarch.apiserver.direct import edit
from navarch.apiserver.options import DeleteOptions, Intent
from navarch.apiserver.prepare import posted
from navarch.apiserver.state import State
from navarch.apiserver.verb_delete import delete
from navarch.base.clock import rfc3339
from navarch.base.errors import BadRequest, Cause, Conflict, Forbidden, Internal, TooMany
from navarch.kinds import EVICTION, PODDISRUPTIONBUDGET
from navarch.kinds.object import Object
from navarch.objects import condition, selector
from navarch.objects.value import Document, Draft, dig

RETRY_S = 10
ATTEMPTS = 8
"""How often a pod that keeps changing while it is evicted is looked at again."""
DISRUPTED_MAX = 2000
"""Evictions that the budget's controller has not seen yet."""


async def evict(context: Context, intent: Intent, eviction: Document) -> Document:
    """Raises: NotFound, TooMany (with the budget's reason), Internal (several budgets), Conflict."""
    eviction = await posted(context.state, context.plugins, intent, EVICTION, eviction)
    named = dig(eviction, "metadata", "name")
    if named and named != intent.name:
        raise BadRequest("name in URL does not match name in Eviction object")
    wanted = eviction.get("deleteOptions") or {}
    options = DeleteOptions(
        wanted.get("gracePeriodSeconds"),
        wanted.get("propagationPolicy"),
        dig(wanted, "preconditions", "uid", default=""),
        dig(wanted, "preconditions", "resourceVersion", default=""),
        intent.dry_run or "All" in (wanted.get("dryRun") or ()),
        admitted=True,
    )
    for _ in range(ATTEMPTS):
        if await _evict(context, intent, options):
            return SUCCESS
    raise refusals.modified(intent.kind, intent.name)


async def _evict(context: Context, intent: Intent, options: DeleteOptions) -> bool:
    """False when the pod became ready meanwhile, and its budget is to be asked after all. Raises: as `evict`."""
    state = context.state
    await state.feed.fresh()
    pod = state.get(intent.kind, intent.namespace, intent.name)
    if pod is None:
        raise refusals.not_found(intent.kind, intent.name)
    budget = None if _needs_no_budget(pod.document()) else _budget(context, pod)
    unasked = budget is not None and _unhealthy_may_go(budget.document(), pod.document())
    if budget is not None and not unasked:
        now = rfc3339(state.clock.now())
        await edit(
            state,
            PODDISRUPTIONBUDGET,
            budget.namespace,
            budget.name,
            lambda draft: spend(draft, pod.name, now),
            dry_run=options.dry_run,
        )
    last = pod
    if not pod.view.terminating and not options.revision and options.uid in ("", pod.uid):
        last = await edit(
            state, intent.kind, pod.namespace, pod.name, lambda draft: _mark(draft, state), dry_run=options.dry_run
        )
    guarded = unasked and not options.revision and not options.dry_run
    if guarded and condition.is_true(last.document(), "Ready"):
        return False
    exact = replace(options, uid=last.uid, revision=str(last.revision)) if guarded else options
    try:
        await delete(context, replace(intent, verb="delete", subresource="", dry_run=options.dry_run), exact)
    except Conflict:
        if guarded:
            return False
        raise
    return True


def _mark(draft: Draft, state: State) -> None:
    """Say in the pod's status why it goes: Jobs and others judge its end by that."""
    said: Document = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }
    if generation := draft.get("metadata", "generation"):
        said["observedGeneration"] = generation
    conditions = draft.get("status", "conditions", default=[])
    draft.set(condition.set(conditions, said, state.clock.now()), "status", "conditions")


def _needs_no_budget(pod: Document) -> bool:
    """A pod that is over, never began or is going already disrupts nothing."""
    phase = dig(pod, "status", "phase")
    return phase in ("Succeeded", "Failed", "Pending") or dig(pod, "metadata", "deletionTimestamp") is not None


def _budget(context: Context, pod: Object) -> Object | None:
    found = [
        budget
        for budget in context.state.list(PODDISRUPTIONBUDGET, pod.namespace)
        if selector.from_document(dig(budget.document(), "spec", "selector")).matches(pod.labels)
    ]
    if len(found) > 1:
        raise Internal(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
    return found[0] if found else None


def _unhealthy_may_go(budget: Document, pod: Document) -> bool:
    if condition.is_true(pod, "Ready"):
        return False
    if dig(budget, "spec", "unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    healthy, desired = (dig(budget, "status", name, default=0) for name in ("currentHealthy", "desiredHealthy"))
    return bool(healthy >= desired > 0)


def spend(draft: Draft, pod: str, now: str) -> None:
    """Take one disruption out of the budget. Raises: TooMany, Forbidden (there is something wrong with the budget)."""
    name = draft.get("metadata", "name")
    status = draft.get("status") or {}
    if status.get("observedGeneration", 0) < draft.get("metadata", "generation", default=0):
        raise _too_many(f"The disruption budget {name} is still being processed by the server.", RETRY_S)
    allowed = status.get("disruptionsAllowed", 0)
    if allowed < 0:
        raise _out_of_order(name, "pdb disruptions allowed is negative")
    if len(status.get("disruptedPods") or ()) > DISRUPTED_MAX:
        raise _out_of_order(name, "DisruptedPods map too big - too many evictions not confirmed by PDB controller")
    if allowed == 0:
        raise _too_many(_why_none(name, status), 0)
    draft.set(allowed - 1, "status", "disruptionsAllowed")
    draft.set(now, "status", "disruptedPods", pod)


def _why_none(name: str, status: Document) -> str:
    said = condition.get(status.get("conditions"), "DisruptionAllowed") or {}
    desired, healthy = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
    if said.get("status") == "False" and said.get("reason") == "SyncFailed":
        why = f"because it failed sync: {said.get('message', '')}"
        return f"The disruption budget {name} does not allow evicting pods currently {why}"
    if healthy <= desired:
        return f"The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"
    return f"The disruption budget {name} does not allow evicting pods currently"


def _out_of_order(name: str, why: str) -> Forbidden:
    message = f'poddisruptionbudget.policy "{name}" is forbidden: {why}'
    return Forbidden(message, group="policy", kind="poddisruptionbudget", name=name)


def _too_many(why: str, retry_after_s: int) -> TooMany:
    return TooMany(
        "Cannot evict pod as it would violate the pod's disruption budget.",
        causes=[Cause("DisruptionBudget", why)],
        retry_after_s=retry_after_s,
    )
