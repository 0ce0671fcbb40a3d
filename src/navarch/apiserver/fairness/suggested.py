"""The FlowSchemas and priority levels that every cluster begins with, as a table.

Two are mandatory: whoever changes them finds them as they were at the next start. The others are a suggestion, kept as
it is here for as long as its annotation says so.

Source: https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#defaults
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from navarch.apiserver.fairness.matching import ANY, CATCH_ALL, EXEMPT
from navarch.objects.value import Document

API_VERSION = "flowcontrol.apiserver.k8s.io/v1"
AUTOUPDATE = "apf.kubernetes.io/autoupdate-spec"
MANDATORY = (EXEMPT, CATCH_ALL)

LEVELS = (
    # name, shares, lendable percent, queues, hand size
    ("global-default", 20, 50, 128, 6),
    ("leader-election", 10, 0, 16, 4),
    ("node-high", 40, 25, 64, 6),
    ("system", 30, 33, 64, 6),
    ("workload-high", 40, 50, 128, 6),
    ("workload-low", 100, 90, 128, 6),
)
LENGTH = 50

EVERYBODY = ("g:system:unauthenticated", "g:system:authenticated")
LEASES = "coordination.k8s.io leases get,create,update"
NODES = ("core nodes,nodes/status * cluster", "coordination.k8s.io leases * *", "core events * *")

SCHEMAS: tuple[tuple[str, str, int, str, Sequence[tuple[Sequence[str], Sequence[str], Sequence[str]]]], ...] = (
    # name, level, precedence, distinguisher, rules: (subjects, resources, paths); "*" is everything there is
    (EXEMPT, EXEMPT, 1, "", [(("g:system:masters",), ("*",), ("*",))]),
    ("probes", EXEMPT, 2, "", [(EVERYBODY, (), ("get /healthz", "get /readyz", "get /livez"))]),
    (
        "system-leader-election",
        "leader-election",
        100,
        "ByUser",
        [
            (
                ("u:system:kube-controller-manager", "u:system:kube-scheduler"),
                (f"{LEASES} kube-system",),
                (),
            )
        ],
    ),
    (
        "endpoint-controller",
        "workload-high",
        150,
        "ByUser",
        [
            (
                ("u:system:kube-controller-manager", "s:kube-system:endpoint-controller"),
                ("core endpoints get,create,update *", "discovery.k8s.io endpointslices get,create,update *"),
                (),
            )
        ],
    ),
    ("workload-leader-election", "leader-election", 200, "ByUser", [(("s:kube-system:*",), (f"{LEASES} *",), ())]),
    ("system-node-high", "node-high", 400, "ByUser", [(("g:system:nodes",), NODES, ())]),
    ("system-nodes", "system", 500, "ByUser", [(("g:system:nodes",), ("*",), ("*",))]),
    (
        "kube-controller-manager",
        "workload-high",
        800,
        "ByNamespace",
        [(("u:system:kube-controller-manager",), ("*",), ("*",))],
    ),
    ("kube-scheduler", "workload-high", 800, "ByNamespace", [(("u:system:kube-scheduler",), ("*",), ("*",))]),
    (
        "kube-system-service-accounts",
        "workload-high",
        900,
        "ByNamespace",
        [(("s:kube-system:*",), ("*",), ("*",))],
    ),
    ("service-accounts", "workload-low", 9000, "ByUser", [(("g:system:serviceaccounts",), ("*",), ("*",))]),
    ("global-default", "global-default", 9900, "ByUser", [(EVERYBODY, ("*",), ("*",))]),
    (CATCH_ALL, CATCH_ALL, 10_000, "ByUser", [(EVERYBODY, ("*",), ("*",))]),
)


def levels() -> list[Document]:
    exempt: Document = {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}
    rejecting = _limited(5, 0, {"type": "Reject"})
    found = [_object("PriorityLevelConfiguration", EXEMPT, exempt)]
    found.append(_object("PriorityLevelConfiguration", CATCH_ALL, rejecting))
    for name, shares, lendable, queues, hand in LEVELS:
        queuing = {"queues": queues, "handSize": hand, "queueLengthLimit": LENGTH}
        spec = _limited(shares, lendable, {"type": "Queue", "queuing": queuing})
        found.append(_object("PriorityLevelConfiguration", name, spec))
    return found


def _limited(shares: int, lendable: int, response: Document) -> Document:
    limited = {"nominalConcurrencyShares": shares, "lendablePercent": lendable, "limitResponse": response}
    return {"type": "Limited", "limited": limited}


def schemas() -> list[Document]:
    found = []
    for name, level, precedence, by, rules in SCHEMAS:
        spec: Document = {
            "matchingPrecedence": precedence,
            "priorityLevelConfiguration": {"name": level},
            "rules": [_rule(*rule) for rule in rules],
        }
        if by:
            spec["distinguisherMethod"] = {"type": by}
        found.append(_object("FlowSchema", name, spec))
    return found


def _object(kind: str, name: str, spec: Document) -> Document:
    autoupdate = "true"
    metadata = {"name": name, "annotations": {AUTOUPDATE: autoupdate}}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def _rule(subjects: Sequence[str], resources: Sequence[str], paths: Sequence[str]) -> Document:
    rule: Document = {"subjects": [_subject(text) for text in subjects]}
    if resources:
        rule["resourceRules"] = [_resources(text) for text in resources]
    if paths:
        rule["nonResourceRules"] = [_paths(paths)]
    return rule


def _subject(text: str) -> Document:
    kind, _, name = text.partition(":")
    if kind == "s":
        space, _, account = name.partition(":")
        return {"kind": "ServiceAccount", "serviceAccount": {"namespace": space, "name": account}}
    return {"kind": "User", "user": {"name": name}} if kind == "u" else {"kind": "Group", "group": {"name": name}}


def _resources(text: str) -> Document:
    """`group resources verbs where`; where: namespaces, `*` for all of them, `cluster` for what is in none."""
    if text == ANY:
        return {"verbs": [ANY], "apiGroups": [ANY], "resources": [ANY], "namespaces": [ANY], "clusterScope": True}
    group, resources, verbs, where = text.split()
    found: dict[str, Any] = {
        "verbs": verbs.split(","),
        "apiGroups": ["" if group == "core" else group],
        "resources": resources.split(","),
    }
    return found | ({"clusterScope": True} if where == "cluster" else {"namespaces": where.split(",")})


def _paths(texts: Sequence[str]) -> Document:
    if ANY in texts:
        return {"verbs": [ANY], "nonResourceURLs": [ANY]}
    verb = texts[0].partition(" ")[0]
    return {"verbs": [verb], "nonResourceURLs": [text.partition(" ")[2] for text in texts]}


def kept(found: Document, wanted: Document) -> Document | None:
    """A stored object as it is to be; None when it is good as it is, or its owner's to decide."""
    name = found["metadata"]["name"]
    notes = found["metadata"].get("annotations") or {}
    if name not in MANDATORY and notes.get(AUTOUPDATE) == "false":
        return None
    return None if _agrees(found["spec"], wanted["spec"]) else {**found, "spec": wanted["spec"]}


def _agrees(found: Any, wanted: Any) -> bool:
    """Whether all that is wanted is there; defaults may have been added."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(_agrees(found.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(_agrees, found, wanted))
    return bool(found == wanted)
