"""From calls to FlowSchemas: the rules of matching, one by one."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.apiserver.call import Attributes, User
from navarch.apiserver.fairness.matching import LevelSpec, SchemaSpec, level_of, matches, ordered, schema_of

JANE = User("jane", groups=("devs", "system:authenticated"))
ROBOT = User("system:serviceaccount:ns:robot", groups=("system:serviceaccounts", "system:serviceaccounts:ns"))


def schema(subject: dict[str, Any], *rules: dict[str, Any], paths: Any = ()) -> SchemaSpec:
    rule = {"subjects": [subject], "resourceRules": list(rules), "nonResourceRules": list(paths)}
    return schema_of(
        {
            "metadata": {"name": "tried", "uid": "u"},
            "spec": {
                "priorityLevelConfiguration": {"name": "level"},
                "matchingPrecedence": 7,
                "distinguisherMethod": {"type": "ByUser"},
                "rules": [rule],
            },
        }
    )


ALL = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True}
PODS = Attributes(JANE, "list", "", "v1", "pods", namespace="ns")


@pytest.mark.parametrize(
    ("subject", "user", "fits"),
    [
        ({"kind": "User", "user": {"name": "jane"}}, JANE, True),
        ({"kind": "User", "user": {"name": "*"}}, JANE, True),
        ({"kind": "User", "user": {"name": "bob"}}, JANE, False),
        ({"kind": "Group", "group": {"name": "devs"}}, JANE, True),
        ({"kind": "Group", "group": {"name": "*"}}, JANE, True),
        ({"kind": "Group", "group": {"name": "ops"}}, JANE, False),
        ({"kind": "ServiceAccount", "serviceAccount": {"namespace": "ns", "name": "robot"}}, ROBOT, True),
        ({"kind": "ServiceAccount", "serviceAccount": {"namespace": "ns", "name": "*"}}, ROBOT, True),
        ({"kind": "ServiceAccount", "serviceAccount": {"namespace": "other", "name": "*"}}, ROBOT, False),
        ({"kind": "ServiceAccount", "serviceAccount": {"namespace": "ns", "name": "x"}}, ROBOT, False),
        ({"kind": "Nonsense"}, JANE, False),
    ],
)
def test_subjects(subject: dict[str, Any], user: User, fits: bool) -> None:
    assert matches(schema(subject, ALL), Attributes(user, "get", "apps", "v1", "deployments", "", "ns", "x")) is fits


ANYBODY = {"kind": "Group", "group": {"name": "*"}}


@pytest.mark.parametrize(
    ("change", "asked", "fits"),
    [
        ({}, PODS, True),
        ({"verbs": ["get"]}, PODS, False),
        ({"verbs": ["get", "list"]}, PODS, True),
        ({"apiGroups": ["apps"]}, PODS, False),
        ({"apiGroups": [""]}, PODS, True),
        ({"resources": ["pods"]}, PODS, True),
        ({"resources": ["pods/status"]}, PODS, False),
        ({"resources": ["pods/status"]}, Attributes(JANE, "list", "", "v1", "pods", "status", "ns"), True),
        ({"resources": ["pods"]}, Attributes(JANE, "list", "", "v1", "pods", "status", "ns"), False),
        ({"namespaces": ["other"]}, PODS, False),
        ({"namespaces": [], "clusterScope": True}, PODS, False),
        ({"clusterScope": False}, Attributes(JANE, "list", "", "v1", "nodes"), False),
        ({"namespaces": [], "clusterScope": True}, Attributes(JANE, "list", "", "v1", "nodes"), True),
        ({}, Attributes(JANE, "get", path="/healthz", is_resource=False), False),
    ],
)
def test_resource_rules(change: dict[str, Any], asked: Attributes, fits: bool) -> None:
    assert matches(schema(ANYBODY, {**ALL, **change}), asked) is fits


@pytest.mark.parametrize(
    ("url", "fits"), [("*", True), ("/livez/etcd", True), ("/livez/*", True), ("/livez", False), ("/live*", False)]
)
def test_paths(url: str, fits: bool) -> None:
    asked = Attributes(JANE, "get", path="/livez/etcd", is_resource=False)
    assert matches(schema(ANYBODY, paths=[{"verbs": ["get"], "nonResourceURLs": [url]}]), asked) is fits


def test_the_mandatory_ones_are_there_and_dangling_ones_are_not() -> None:
    low, high, lost = (SchemaSpec(name, level, 500, ()) for name, level in (("b", "l"), ("a", "l"), ("c", "gone")))
    order, levels = ordered([low, high, lost], [LevelSpec("l")])
    assert [one.name for one in order] == ["exempt", "a", "b", "catch-all"]
    assert set(levels) == {"exempt", "catch-all", "l"}
    root = User("root", groups=("system:masters",))
    assert matches(order[0], Attributes(root, "delete", "", "v1", "nodes", name="n"))
    assert not matches(order[0], PODS)
    assert matches(order[-1], PODS)
    assert matches(order[-1], Attributes(User("system:anonymous", groups=("system:unauthenticated",)), "get", path="/"))


def test_levels_are_read() -> None:
    limited = {
        "nominalConcurrencyShares": 10,
        "lendablePercent": 50,
        "borrowingLimitPercent": 20,
        "limitResponse": {"type": "Queue", "queuing": {"queues": 4, "handSize": 2, "queueLengthLimit": 9}},
    }
    found = level_of({"metadata": {"name": "l", "uid": "u"}, "spec": {"type": "Limited", "limited": limited}})
    assert found == LevelSpec("l", "u", False, 10, 50, 20, 4, 2, 9)
    assert level_of({"metadata": {"name": "x"}, "spec": {"type": "Exempt"}}).exempt
    rejecting = {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}
    assert level_of({"metadata": {"name": "x"}, "spec": rejecting}).queues == 0
