"""ResourceQuota: what the objects of a namespace may add up to, counted from what is there.

Counts come from the caches at the moment of the write, so that nothing can drift, and from what is on its way into
them, so that a burst of concurrent creates does not overshoot. `status.used` is for people: a controller writes it.

Source: https://kubernetes.io/docs/concepts/policy/resource-quotas/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from navarch.apiserver import keys, refusals
from navarch.apiserver.admission.review import Review
from navarch.apiserver.state import State
from navarch.kinds import POD, RESOURCEQUOTA
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.kinds.quota import ResourceQuota
from navarch.kinds.quota_usage import Share, Shares, is_counted, is_subject, share, traits, unsaid, usage
from navarch.objects import quantity
from navarch.objects.value import Document, dig
from navarch.store.store import Change

CHANGING = frozenset(("pods/resize", "services", "persistentvolumeclaims"))
"""What may come to take more by an update."""


class Quotas:
    """Knows which objects were admitted and are not stored yet, and what those that are stored take."""

    def __init__(self, state: State) -> None:
        self._admitted: dict[Kind, dict[str, Document]] = {}
        self._shares = Shares()
        state.listeners.append(self._stored)

    def _stored(self, kind: Kind, change: Change) -> None:
        if waiting := self._admitted.get(kind):
            waiting.pop(keys.split(change.key)[1], None)

    def validate(self, review: Review) -> None:
        """Raises: Forbidden."""
        intent = review.intent
        if not is_counted(intent.kind) or intent.verb == "delete":
            return
        where = f"{intent.kind.resource}/{intent.subresource}" if intent.subresource else intent.kind.resource
        if not (where in CHANGING if review.old is not None else not intent.subresource):
            return
        quotas = review.state.list(RESOURCEQUOTA, review.namespace)
        if not quotas:
            self._shares.forget(review.namespace)
            return
        review.alone = True  # the next one is counted on top
        review.fences.add(f"quota/{review.namespace}")
        for quota in quotas:
            self._admit(review, quota)
        if review.old is None:
            self._note(review)

    def _note(self, review: Review) -> None:
        waiting = self._admitted.setdefault(review.intent.kind, {})
        document = review.draft.document
        place = keys.place(review.namespace, dig(document, "metadata", "name", default=""))
        waiting[place] = document
        review.undo.append(lambda: self._give_up(waiting, place, document))

    def _give_up(self, waiting: dict[str, Document], place: str, document: Document) -> None:
        if waiting.get(place) is document:
            del waiting[place]

    def _admit(self, review: Review, found: Object) -> None:
        """Raises: Forbidden."""
        intent, document, now = review.intent, review.draft.document, review.state.clock.now()
        quota: ResourceQuota = found.view
        if not is_subject(quota.spec, traits(intent.kind, document)):
            return
        if intent.kind is POD and review.old is None:
            missing = unsaid(document, quota.spec.hard)
            if missing:
                why = f"failed quota: {found.name}: must specify {missing}"
                raise refusals.forbidden(intent.kind, intent.name, why)
        asked = usage(intent.kind, document, now)
        if review.old is not None and is_subject(quota.spec, traits(intent.kind, review.old)):
            before = usage(intent.kind, review.old, now)
            asked = {name: amount - before.get(name, 0) for name, amount in asked.items()}
        asked = {name: asked[name] for name in sorted(asked) if name in quota.spec.hard and asked[name] > 0}
        if asked:
            self._check(review, found.name, quota, asked, now)

    def _check(self, review: Review, name: str, quota: ResourceQuota, asked: Mapping[str, int], now: datetime) -> None:
        """Raises: Forbidden."""
        used = dict.fromkeys(asked, 0)
        for one in self._taken(review, now):
            if is_subject(quota.spec, one.traits):
                for resource in asked:
                    used[resource] += one.usage.get(resource, 0)
        hard = quota.spec.hard
        over = [resource for resource in asked if used[resource] + asked[resource] > quantity.nano(hard[resource])]
        if over:
            limits = ",".join(f"{resource}={quantity.canonical(hard[resource])}" for resource in over)
            requested, taken = _listed(over, asked, hard), _listed(over, used, hard)
            said = f"exceeded quota: {name}, requested: {requested}, used: {taken}, limited: {limits}"
            raise refusals.forbidden(review.intent.kind, review.intent.name, said)

    def _taken(self, review: Review, now: datetime) -> Iterator[Share]:
        """What each object of the kind in the namespace takes, those on their way included."""
        kind, namespace = review.intent.kind, review.namespace
        yield from self._shares.of(kind, namespace, review.state.list(kind, namespace), now)
        for document in self._admitted.get(kind, {}).values():
            if dig(document, "metadata", "namespace", default="") == namespace:
                yield share(kind, document, 0, now)


def _listed(resources: list[str], amounts: Mapping[str, int], hard: Mapping[str, quantity.Quantity]) -> str:
    return ",".join(
        f"{resource}={quantity.text(amounts[resource], quantity.style_of(hard[resource]))}" for resource in resources
    )
