"""What the search found, as it is to stand in `status.allocation` of a claim.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/resource-claim-v1/ (AllocationResult)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from navarch.base.clock import rfc3339
from navarch.objects import quantity
from navarch.objects.value import Document, dig
from navarch.scheduler.devices.search import Pick
from navarch.scheduler.devices.shapes import ClassShape, Wanted
from navarch.scheduler.views import NodeSelector, NodeSelectorRequirement

NewId = Callable[[], str]
Chosen = Mapping[str, Pick]
"""By the name of a request, one of its picks: all are of one of its alternatives."""


def allocation(
    claim: Document,
    wanted: Wanted,
    picks: Sequence[Pick],
    classes: Mapping[str, ClassShape],
    node: str,
    now: datetime,
    new_id: NewId,
) -> Document:
    """claim: its document; wanted: the same, read. new_id: for shares of devices that several use."""
    chosen = {pick.request.name: pick for pick in picks}
    devices: Document = {"results": [_result(claim, pick, new_id) for pick in picks]}
    if config := [*_of_classes(wanted, chosen, classes), *_of_claim(wanted, chosen)]:
        for one in config:
            if len(one["requests"]) in (0, len(wanted.requests)):
                del one["requests"]  # all of them
        devices["config"] = config
    found: Document = {"devices": devices, "allocationTimestamp": rfc3339(now)}
    if selector := _selector(picks, node):
        found["nodeSelector"] = {"nodeSelectorTerms": [selector]}
    return found


def _result(claim: Document, pick: Pick, new_id: NewId) -> Document:
    id, shape = pick.device.id, pick.device.shape
    found: Document = {"request": pick.request.label(pick.asked), "driver": id.driver, "pool": id.pool}
    found["device"] = id.name
    if pick.asked.admin_access:
        found["adminAccess"] = True
    if tolerations := _written(claim, pick).get("tolerations"):
        found["tolerations"] = tolerations
    if pick.amounts is not None:
        found["shareID"] = new_id()
        found["consumedCapacity"] = {
            name: quantity.text(amount, quantity.style_of(shape.capacity[name].value))
            for name, amount in sorted(pick.amounts.items())
        }
        if not pick.amounts:
            del found["consumedCapacity"]
    return found


def _written(claim: Document, pick: Pick) -> Document:
    """The alternative as it stands in the claim."""
    requests: list[Document] = dig(claim, "spec", "devices", "requests", default=[])
    request = next(one for one in requests if one.get("name") == pick.request.name)
    if not pick.request.first_available:
        return request.get("exactly") or {}
    return next(one for one in request["firstAvailable"] if one.get("name") == pick.asked.name)


def _of_classes(wanted: Wanted, chosen: Chosen, classes: Mapping[str, ClassShape]) -> Iterable[Document]:
    """Those of each class once, for all requests that use it."""
    users: dict[str, list[str]] = {}
    for request in wanted.requests:
        if pick := chosen.get(request.name):
            users.setdefault(pick.asked.device_class_name, []).append(request.label(pick.asked))
    for name, labels in users.items():
        for config in classes[name].spec.config:
            yield {"source": "FromClass", "requests": list(labels), "opaque": config.opaque}


def _of_claim(wanted: Wanted, chosen: Chosen) -> Iterable[Document]:
    labels = {one for pick in chosen.values() for one in (pick.request.name, pick.request.label(pick.asked))}
    for config in wanted.config:
        if not config.requests or labels.intersection(config.requests):
            yield {"source": "FromClaim", "requests": list(config.requests), "opaque": config.opaque}


def _selector(picks: Iterable[Pick], node: str) -> Document:
    """A term that holds where all of the devices can be had; {} where that is everywhere."""
    fields: list[Document] = []
    expressions: list[Document] = []
    for pick in picks:
        reach = pick.device.reach
        if reach.node or pick.device.shape.binds_to_node:
            return {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
        for term in (reach.selector or NodeSelector()).node_selector_terms:
            _join(fields, term.match_fields)
            _join(expressions, term.match_expressions)
    named: tuple[tuple[str, Any], ...] = (("matchFields", fields), ("matchExpressions", expressions))
    return {name: found for name, found in named if found}


def _join(found: list[Document], more: Iterable[NodeSelectorRequirement]) -> None:
    for one in more:
        document: Document = {"key": one.key, "operator": one.operator}
        if one.values:
            document["values"] = list(one.values)
        if document not in found:
            found.append(document)
