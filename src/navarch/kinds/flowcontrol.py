"""FlowSchema and PriorityLevelConfiguration: which requests wait for which others when the server is busy.

Source: https://kubernetes.io/docs/concepts/cluster-administration/flow-control/
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from navarch.kinds.flowcontrol_rules import level_rules, schema_rules, status_rules
from navarch.kinds.kind import AGE, Column, Kind
from navarch.kinds.printing import NONE
from navarch.objects.value import Document, Draft, dig

GROUP = "flowcontrol.apiserver.k8s.io"
PRECEDENCE = 1000
QUEUING = {"queues": 64, "handSize": 8, "queueLengthLimit": 50}


def default_schema(draft: Draft) -> None:
    _default_number(draft, PRECEDENCE, "spec", "matchingPrecedence")


def default_level(draft: Draft) -> None:
    for own, shares in (("exempt", 0), ("limited", 30)):
        if draft.has("spec", own):
            draft.default(shares, "spec", own, "nominalConcurrencyShares")
            draft.default(0, "spec", own, "lendablePercent")
    if draft.has("spec", "limited", "limitResponse", "queuing"):
        for field, value in QUEUING.items():
            _default_number(draft, value, "spec", "limited", "limitResponse", "queuing", field)


def _default_number(draft: Draft, value: int, *path: str) -> None:
    """Zero is the same as nothing to these fields."""
    if not draft.get(*path):
        draft.set(value, *path)


def prepare(draft: Draft, old: Document | None) -> None:
    if old is None:
        draft.set({}, "status")


def _method(found: Document, now: datetime) -> str:
    return str(dig(found, "spec", "distinguisherMethod", "type", default=NONE))


def _missing(found: Document, now: datetime) -> str:
    conditions = dig(found, "status", "conditions", default=())
    return next((one.get("status", "?") for one in conditions if one.get("type") == "Dangling"), "?")


def _shares(found: Document, now: datetime) -> Any:
    """Only of what is limited."""
    return dig(found, "spec", "limited", "nominalConcurrencyShares", default=NONE)


def _queues(found: Document, now: datetime) -> Any:
    return _of_queuing(found, "queues")


def _hand(found: Document, now: datetime) -> Any:
    return _of_queuing(found, "handSize")


def _length(found: Document, now: datetime) -> Any:
    return _of_queuing(found, "queueLengthLimit")


def _of_queuing(found: Document, field: str) -> Any:
    return dig(found, "spec", "limited", "limitResponse", "queuing", field, default=NONE)


def _precedence(found: Document) -> tuple[int, str]:
    return dig(found, "spec", "matchingPrecedence", default=0), dig(found, "metadata", "name", default="")


FLOWSCHEMA = Kind(
    row_order=_precedence,
    group=GROUP,
    version="v1",
    name="FlowSchema",
    plural="flowschemas",
    namespaced=False,
    default=default_schema,
    rules=schema_rules,
    prepare=prepare,
    subresources=("status",),
    subresource_rules={"status": status_rules},
    columns=(
        Column("PriorityLevel", ".spec.priorityLevelConfiguration.name", description="The level of what it matches."),
        Column("MatchingPrecedence", ".spec.matchingPrecedence", description="Lower ones match first."),
        Column("DistinguisherMethod", _method, description="How its requests are told apart."),
        AGE,
        Column("MissingPL", _missing, description="Whether its level does not exist."),
    ),
    age=False,
)

PRIORITYLEVELCONFIGURATION = Kind(
    group=GROUP,
    version="v1",
    name="PriorityLevelConfiguration",
    plural="prioritylevelconfigurations",
    namespaced=False,
    default=default_level,
    rules=level_rules,
    prepare=prepare,
    subresources=("status",),
    subresource_rules={"status": status_rules},
    columns=(
        Column("Type", ".spec.type", description="Whether it is limited."),
        Column("NominalConcurrencyShares", _shares, description="Its share of the seats."),
        Column("Queues", _queues, description="How many queues it has."),
        Column("HandSize", _hand, description="Among how many of them a flow may choose."),
        Column("QueueLengthLimit", _length, description="How many requests wait in one."),
    ),
)
