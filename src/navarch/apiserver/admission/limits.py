"""LimitRanger: what containers of a namespace request and may use when they do not say, and at least and at most; how
small and how large its claims may be.

Source: https://kubernetes.io/docs/concepts/policy/limit-range/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from navarch.apiserver import refusals
from navarch.apiserver.admission.review import Review
from navarch.kinds import LIMITRANGE
from navarch.kinds.podspec.totals import containers_total, written
from navarch.kinds.quota import LimitRangeItem
from navarch.objects import quantity
from navarch.objects.value import Document, dig

ANNOTATION = "kubernetes.io/limit-ranger"


def _items(review: Review, *types: str) -> Iterator[LimitRangeItem]:
    for found in review.state.list(LIMITRANGE, review.namespace):
        for item in found.view.spec.limits:
            if item.type in types:
                yield item


def mutate(review: Review) -> None:
    """Fill in requests and limits."""
    if not (review.is_on("pods") and review.creates):
        return
    told: list[str] = []
    for item in _items(review, "Container"):
        for field, word in (("containers", "container"), ("initContainers", "init container")):
            for i in review.draft.each("spec", field):
                told.extend(_fill(review, item, ("spec", field, i), word))
    if told:
        review.draft.set(f"LimitRanger plugin set: {'; '.join(told)}", "metadata", "annotations", ANNOTATION)


def _fill(review: Review, item: LimitRangeItem, at: tuple[str | int, ...], word: str) -> Iterator[str]:
    draft = review.draft
    name = draft.get(*at, "name")
    for side, defaults in (("limits", item.default), ("requests", item.default_request)):
        added = [name for name in sorted(defaults) if not draft.has(*at, "resources", side, name)]
        for resource in added:
            draft.set(defaults[resource], *at, "resources", side, resource)
        if added:
            yield f"{', '.join(added)} {side.removesuffix('s')} for {word} {name}"


def validate(review: Review) -> None:
    """Raises: Forbidden, with all that is too much or too little."""
    if review.intent.verb == "delete":
        return
    if review.is_on("persistentvolumeclaims"):
        _refuse(review, _claim_broken(review))
    elif review.is_on("pods", "resize") or (review.creates and review.is_on("pods")):
        spec = review.draft.get("spec")
        found: list[str] = []
        for item in _items(review, "Container", "Pod"):
            for requests, limits in _subjects(item.type, spec):
                found.extend(_broken(item, requests, limits))
        _refuse(review, found)


def _subjects(type_: str, spec: Document) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """What is to be bounded, as requests and limits: each container, or the pod as a whole."""
    if type_ == "Pod":
        yield _whole(spec, "requests"), _whole(spec, "limits")
        return
    for one in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        yield dig(one, "resources", "requests") or {}, dig(one, "resources", "limits") or {}


def _whole(spec: Document, side: str) -> dict[str, Any]:
    """What a pod takes at its largest; what it says of itself as a whole goes before what its containers say."""
    total = containers_total(spec, side)
    return {name: written(total[name], spec, side, name) for name in total} | (dig(spec, "resources", side) or {})


def _claim_broken(review: Review) -> list[str]:
    """Of a claim only what it requests is bounded."""
    requests: Mapping[str, Any] = review.draft.get("spec", "resources", "requests") or {}
    found: list[str] = []
    for item in _items(review, "PersistentVolumeClaim"):
        for which, bounds, sign in (("minimum", item.min, -1), ("maximum", item.max, 1)):
            for resource, bound in sorted(bounds.items()):
                found.extend(_compare(which, resource, item.type, bound, "request", requests.get(resource), sign))
    return found


def _refuse(review: Review, found: list[str]) -> None:
    """Raises: Forbidden, where anything was found."""
    if found:
        said = found[0] if len(found) == 1 else f"[{', '.join(dict.fromkeys(found))}]"
        raise refusals.forbidden(review.intent.kind, review.intent.name, said)


def _broken(item: LimitRangeItem, requests: Mapping[str, Any], limits: Mapping[str, Any]) -> Iterator[str]:
    for resource, least in sorted(item.min.items()):
        yield from _compare("minimum", resource, item.type, least, "request", requests.get(resource), -1)
        if resource in limits:
            yield from _compare("minimum", resource, item.type, least, "limit", limits[resource], -1)
    for resource, most in sorted(item.max.items()):
        yield from _compare("maximum", resource, item.type, most, "limit", limits.get(resource), 1)
        if resource in requests:
            yield from _compare("maximum", resource, item.type, most, "request", requests[resource], 1)
    for resource, ratio in sorted(item.max_limit_request_ratio.items()):
        start = f"{resource} max limit to request ratio per {item.type} is {ratio}"
        request, limit = (quantity.nano(amounts.get(resource, 0)) for amounts in (requests, limits))
        if not request:
            yield f"{start}, but no request is specified or request is 0"
        elif not limit:
            yield f"{start}, but no limit is specified or limit is 0"
        elif limit > quantity.parse(ratio) * request:
            yield f"{start}, but provided ratio is {limit / request:f}"


def _compare(which: str, resource: str, type_: str, bound: Any, side: str, amount: Any, sign: int) -> Iterator[str]:
    start = f"{which} {resource} usage per {type_} is {bound}"
    if amount is None:
        yield f"{start}.  No {side} is specified"
    elif quantity.compare(amount, bound) * sign > 0:
        yield f"{start}, but {side} is {amount}"
