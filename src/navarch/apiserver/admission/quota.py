"""ResourceQuota: what the objects of a namespace may add up to, counted from what is there.

Counts come from the caches at the moment of the write, so that nothing can drift, and from what is on its way into
them, so that a burst of concurrent creates does not overshoot.

Source: https://kubernetes.io/docs/concepts/policy/resource-quotas/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from navarch.apiserver import keys, refusals
from navarch.apiserver.admission.review import Review
from navarch.apiserver.state import State
from navarch.kinds import POD, RESOURCEQUOTA
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.kinds.quota import ResourceQuota
from navarch.objects import quantity
from navarch.objects.value import Document, dig
from navarch.store.store import Change

COUNTED = frozenset(
    (
        "configmaps",
        "persistentvolumeclaims",
        "pods",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "services",
    )
)
"""Kinds that `hard` names by their plural alone; every kind is counted as `count/<resource>` too."""
COMPUTE = ("cpu", "memory", "ephemeral-storage")
OVER = ("Succeeded", "Failed")


class Quotas:
    """Knows which objects were admitted and are not stored yet."""

    def __init__(self, state: State) -> None:
        self._admitted: dict[Kind, dict[str, Document]] = {}
        state.listeners.append(self._stored)

    def _stored(self, kind: Kind, change: Change) -> None:
        if waiting := self._admitted.get(kind):
            waiting.pop(keys.split(change.key)[1], None)

    def validate(self, review: Review) -> None:
        """Raises: Forbidden."""
        intent = review.intent
        if not review.creates or intent.subresource or not intent.kind.namespaced:
            return
        quotas = review.state.list(RESOURCEQUOTA, review.namespace)
        if not quotas:
            return
        review.alone = True  # the next one is counted on top
        waiting = self._admitted.setdefault(intent.kind, {})
        _admit(review, quotas, [one for one in waiting.values() if _namespace(one) == review.namespace])
        document = review.draft.document
        place = keys.place(review.namespace, dig(document, "metadata", "name", default=""))
        waiting[place] = document
        review.undo.append(lambda: self._give_up(waiting, place, document))

    def _give_up(self, waiting: dict[str, Document], place: str, document: Document) -> None:
        if waiting.get(place) is document:
            del waiting[place]


def _namespace(document: Document) -> str:
    return str(dig(document, "metadata", "namespace", default=""))


def _admit(review: Review, quotas: Sequence[Object], waiting: Sequence[Document]) -> None:
    """waiting: what was admitted to the namespace and is not in the caches. Raises: Forbidden."""
    intent = review.intent
    for found in quotas:
        quota: ResourceQuota = found.view
        asked = _asked(intent.kind, review.draft.document, quota.spec.hard)
        if not asked or not _in_scope(quota, intent.kind, review.draft.document):
            continue
        missing = [name for name, amount in asked.items() if amount is None]
        if missing:
            why = f"failed quota: {found.name}: must specify {','.join(sorted(missing))}"
            raise refusals.forbidden(intent.kind, intent.name, why)
        _check(review, found.name, quota, {name: amount or 0 for name, amount in asked.items()}, waiting)


def _check(
    review: Review, name: str, quota: ResourceQuota, asked: Mapping[str, int], waiting: Sequence[Document]
) -> None:
    kind = review.intent.kind
    used = dict.fromkeys(asked, 0)
    for document in (*(one.document() for one in review.state.list(kind, review.namespace)), *waiting):
        if not _in_scope(quota, kind, document) or (kind is POD and dig(document, "status", "phase") in OVER):
            continue
        for resource, amount in _asked(kind, document, asked).items():
            used[resource] += amount or 0
    over = [r for r in sorted(asked) if used[r] + asked[r] > quantity.nano(quota.spec.hard[r])]
    if over:
        said = "; ".join(
            (
                f"requested: {_listed(over, asked)}",
                f"used: {_listed(over, used)}",
                f"limited: {','.join(f'{r}={quota.spec.hard[r]}' for r in over)}",
            )
        ).replace("; ", ", ")
        raise refusals.forbidden(kind, review.intent.name, f"exceeded quota: {name}, {said}")


def _listed(resources: list[str], amounts: Mapping[str, int]) -> str:
    return ",".join(f"{resource}={quantity.text(amounts[resource])}" for resource in resources)


def _asked(kind: Kind, document: Document, hard: Mapping[str, object]) -> dict[str, int | None]:
    """What of the quota's resources one object takes, in nano-units; None where it must say and does not."""
    found: dict[str, int | None] = {}
    for resource in hard:
        plainly = resource in COUNTED and resource == kind.plural and not kind.group
        if plainly or resource == f"count/{kind.resource}":
            found[resource] = quantity.NANO
    if kind is POD:
        found.update(_compute(document, hard))
    elif kind.plural == "services" and not kind.group:
        found.update(_service(document, hard))
    return found


def _compute(pod: Document, hard: Mapping[str, object]) -> Iterator[tuple[str, int | None]]:
    containers = dig(pod, "spec", "containers") or ()
    for resource in hard:
        side, _, name = resource.rpartition(".") if resource not in COMPUTE else ("requests", "", resource)
        if side not in ("requests", "limits") or name == "storage":
            continue
        amounts = [dig(container, "resources", side, name) for container in containers]
        if any(amount is None for amount in amounts) and name in COMPUTE:
            yield resource, None
        else:
            yield resource, sum(quantity.nano(amount) for amount in amounts if amount is not None)


def _service(service: Document, hard: Mapping[str, object]) -> Iterator[tuple[str, int | None]]:
    type_ = dig(service, "spec", "type")
    ports = len(dig(service, "spec", "ports") or ()) if type_ in ("NodePort", "LoadBalancer") else 0
    if "services.nodeports" in hard:
        yield "services.nodeports", ports * quantity.NANO
    if "services.loadbalancers" in hard:
        yield "services.loadbalancers", quantity.NANO if type_ == "LoadBalancer" else 0


def _in_scope(quota: ResourceQuota, kind: Kind, document: Document) -> bool:
    scopes = quota.spec.scopes
    if not scopes:
        return True
    if kind is not POD:
        return False
    best_effort = dig(document, "status", "qosClass") == "BestEffort"
    terminating = dig(document, "spec", "activeDeadlineSeconds") is not None
    facts = {
        "BestEffort": best_effort,
        "NotBestEffort": not best_effort,
        "Terminating": terminating,
        "NotTerminating": not terminating,
        "PriorityClass": bool(dig(document, "spec", "priorityClassName")),
    }
    return all(facts.get(scope, True) for scope in scopes)
