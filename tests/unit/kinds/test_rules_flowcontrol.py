"""FlowSchemas, priority levels and APIServices: what is filled in, what is refused, where, and in which words."""

from __future__ import annotations

from typing import Any

import pytest
from kind_driver import Causes, Document, causes, complete

from navarch.apiserver.fairness import suggested
from navarch.kinds import APISERVICE, FLOWSCHEMA, PRIORITYLEVELCONFIGURATION

GROUP: Document = {"kind": "Group", "group": {"name": "g"}}
RESOURCES: Document = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "namespaces": ["a"]}
URLS: Document = {"verbs": ["*"], "nonResourceURLs": ["/a", "/a/*", "/"]}
QUEUE: Document = {"type": "Queue", "queuing": {}}


def schema(name: str = "x", **more: Any) -> Causes:
    spec = {"priorityLevelConfiguration": {"name": "l"}, **more}
    return causes(FLOWSCHEMA, {"metadata": {"name": name}, "spec": spec})


def rule(**more: Any) -> Causes:
    return schema(rules=[{"subjects": [GROUP], "resourceRules": [RESOURCES], **more}])


def limited(**more: Any) -> Causes:
    spec = {"type": "Limited", "limited": {"limitResponse": QUEUE, **more}}
    return causes(PRIORITYLEVELCONFIGURATION, {"spec": spec})


def queuing(**more: Any) -> Causes:
    return limited(limitResponse={"type": "Queue", "queuing": more})


def test_good_ones() -> None:
    assert rule(nonResourceRules=[URLS]) == []
    assert rule(resourceRules=[{**RESOURCES, "namespaces": [], "clusterScope": True}]) == []
    assert limited(borrowingLimitPercent=0, nominalConcurrencyShares=0) == []


def test_zero_is_filled_in() -> None:
    assert complete(FLOWSCHEMA, {"spec": {"matchingPrecedence": 0}})["spec"]["matchingPrecedence"] == 1000
    spec = {"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {"queues": 0}}}}
    filled = complete(PRIORITYLEVELCONFIGURATION, {"spec": spec})["spec"]["limited"]["limitResponse"]["queuing"]
    assert filled == {"queues": 64, "handSize": 8, "queueLengthLimit": 50}
    assert complete(PRIORITYLEVELCONFIGURATION, {"spec": {"type": "Exempt"}})["spec"] == {"type": "Exempt"}


@pytest.mark.parametrize(
    ("more", "field", "message"),
    [
        ({"matchingPrecedence": -1}, "matchingPrecedence", "Invalid value: -1: must be a positive value"),
        ({"matchingPrecedence": 10_001}, "matchingPrecedence", "Invalid value: 10001: must not be greater than 10000"),
        ({"matchingPrecedence": 1}, "matchingPrecedence", "Invalid value: 1: only the schema named 'exempt' may have"),
        (
            {"distinguisherMethod": {"type": "X"}},
            "distinguisherMethod.type",
            'Unsupported value: {"type":"X"}: supported values: "ByNamespace", "ByUser"',
        ),
        (
            {"priorityLevelConfiguration": {}},
            "priorityLevelConfiguration.name",
            "Required value: must reference a priority level",
        ),
        (
            {"priorityLevelConfiguration": {"name": "A"}},
            "priorityLevelConfiguration.name",
            'Invalid value: "A": a lowe',
        ),
    ],
)
def test_schemas(more: Document, field: str, message: str) -> None:
    (found,) = schema(**more)
    assert found[0] == f"spec.{field}"
    assert found[1].startswith(message)


ACCOUNT: Document = {"name": "a", "namespace": "n"}


@pytest.mark.parametrize(
    ("more", "field", "message"),
    [
        ({"subjects": []}, ".subjects", "Required value: subjects must contain at least one value"),
        (
            {"resourceRules": []},
            "",
            "Required value: at least one of resourceRules and nonResourceRules has to be non-empty",
        ),
        (
            {"subjects": [{"kind": "X"}]},
            ".subjects[0].kind",
            'Unsupported value: "X": supported values: "Group", "ServiceAccount", "User"',
        ),
        (
            {"subjects": [{"kind": "User"}]},
            ".subjects[0].user",
            "Required value: user is required when subject kind is 'User'",
        ),
        ({"subjects": [{"kind": "User", "user": {"name": ""}}]}, ".subjects[0].user.name", "Required value"),
        (
            {"subjects": [{**GROUP, "user": {"name": "u"}}]},
            ".subjects[0].user",
            "Forbidden: user is forbidden when subject kind is not 'User'",
        ),
        (
            {"subjects": [{"kind": "ServiceAccount", "serviceAccount": {**ACCOUNT, "name": "A"}}]},
            ".subjects[0].serviceAccount.name",
            'Invalid value: "A": a lowercase RFC 1123 subdomain',
        ),
        (
            {"subjects": [{"kind": "ServiceAccount", "serviceAccount": {"name": "*"}}]},
            ".subjects[0].serviceAccount.namespace",
            "Required value: must specify namespace for service account",
        ),
        (
            {"resourceRules": [{**RESOURCES, "verbs": []}]},
            ".resourceRules[0].verbs",
            "Required value: verbs must contai",
        ),
        (
            {"resourceRules": [{**RESOURCES, "verbs": ["bind"]}]},
            ".resourceRules[0].verbs",
            'Unsupported value: ["bind"]: supported values: "create", "delete", "deletecollection", "get", "list", '
            '"patch", "proxy", "update", "watch"',
        ),
        (
            {"resourceRules": [{**RESOURCES, "verbs": ["*", "get"]}]},
            ".resourceRules[0].verbs",
            'Invalid value: ["*","get"]: if \'*\' is present, must not specify other verbs',
        ),
        (
            {"resourceRules": [{**RESOURCES, "apiGroups": ["*", "a"]}]},
            ".resourceRules[0].apiGroups",
            'Invalid value: ["*","a"]: if \'*\' is present, must not specify other api groups',
        ),
        (
            {"resourceRules": [{**RESOURCES, "resources": []}]},
            ".resourceRules[0].resources",
            "Required value: resource rules must supply at least one resource",
        ),
        (
            {"resourceRules": [{**RESOURCES, "namespaces": []}]},
            ".resourceRules[0].namespaces",
            "Required value: resource rules that are not cluster scoped must supply at least one namespace",
        ),
        (
            {"resourceRules": [{**RESOURCES, "namespaces": ["A"]}]},
            ".resourceRules[0].namespaces[0]",
            "Invalid value: \"A\": each member of this list must be '*' or a DNS-1123 label; a lowercase RFC",
        ),
        (
            {"nonResourceRules": [{**URLS, "nonResourceURLs": []}]},
            ".nonResourceRules[0].nonResourceURLs",
            "Required value: nonResourceURLs must contain at least one value",
        ),
        (
            {"nonResourceRules": [{**URLS, "nonResourceURLs": ["*", "/a"]}]},
            ".nonResourceRules[0].nonResourceURLs",
            'Invalid value: ["*","/a"]: if \'*\' is present, must not specify other non-resource URLs',
        ),
    ],
)
def test_rules_of_schemas(more: Document, field: str, message: str) -> None:
    (found,) = rule(**more)
    assert found[0] == f"spec.rules[0]{field}"
    assert found[1].startswith(message)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "must not be empty"),
        ("a", "must start with slash"),
        ("/a b", "must not contain white-space"),
        ("/a//b", "must not contain double slash"),
        ("/*/a", "wildcard can only do suffix matching"),
        ("/*/*", "wildcard can only do suffix matching"),
        ("/a*", "wildcard can only do suffix matching"),
    ],
)
def test_paths(url: str, problem: str) -> None:
    ((field, message),) = rule(nonResourceRules=[{**URLS, "nonResourceURLs": [url]}])
    assert field == "spec.rules[0].nonResourceRules[0].nonResourceURLs[0]"
    assert message == f'Invalid value: "{url}": {problem}'


@pytest.mark.parametrize("found", [*suggested.schemas(), *suggested.levels()], ids=lambda one: one["metadata"]["name"])
def test_what_clusters_begin_with_is_good(found: Document) -> None:
    kind = FLOWSCHEMA if found["kind"] == "FlowSchema" else PRIORITYLEVELCONFIGURATION
    assert causes(kind, found) == []
    if found["metadata"]["name"] in suggested.MANDATORY:
        assert complete(kind, found)["spec"] == found["spec"], "nothing is added to what cannot be changed"


def test_mandatory_ones_stay_as_they_are() -> None:
    exempt = next(one for one in suggested.schemas() if one["metadata"]["name"] == "exempt")
    changed = {**exempt, "spec": {**exempt["spec"], "rules": []}}
    ((field, message),) = causes(FLOWSCHEMA, changed, exempt)
    assert field == "spec"
    assert message.endswith(": spec of 'exempt' must equal the fixed value")
    level = {"metadata": {"name": "exempt"}, "spec": {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 7}}}
    assert causes(PRIORITYLEVELCONFIGURATION, level) == []
    level["spec"]["limited"] = {"limitResponse": {"type": "Reject"}}
    found = causes(PRIORITYLEVELCONFIGURATION, level)
    assert found[0] == ("spec.limited", "Forbidden: must be nil if the type is not Limited")
    assert found[1][1].endswith("spec of 'exempt' except the 'spec.exempt' field must equal the fixed value")
    caught = next(one for one in suggested.levels() if one["metadata"]["name"] == "catch-all")
    other = {**caught, "spec": {**caught["spec"], "limited": {**caught["spec"]["limited"], "lendablePercent": 1}}}
    ((field, message),) = causes(PRIORITYLEVELCONFIGURATION, other, caught)
    assert message.endswith("spec of 'catch-all' must equal the fixed value")


@pytest.mark.parametrize(
    ("found", "field", "message"),
    [
        (limited(nominalConcurrencyShares=-1), "nominalConcurrencyShares", "-1: must be a non-negative integer"),
        (limited(lendablePercent=101), "lendablePercent", "101: must be between 0 and 100, inclusive"),
        (
            limited(borrowingLimitPercent=-1),
            "borrowingLimitPercent",
            "-1: if specified, must be a non-negative integer",
        ),
        (queuing(queueLengthLimit=-1), "limitResponse.queuing.queueLengthLimit", "-1: must be positive"),
        (queuing(queues=-1), "limitResponse.queuing.queues", "-1: must be positive"),
        (queuing(handSize=-1), "limitResponse.queuing.handSize", "-1: must be positive"),
        (queuing(queues=4), "limitResponse.queuing.handSize", "8: should not be greater than queues (4)"),
        (
            queuing(queues=10_000_001, handSize=1),
            "limitResponse.queuing.queues",
            "10000001: must not be greater than 10000000",
        ),
        (
            queuing(queues=512, handSize=7),
            "limitResponse.queuing.handSize",
            "7: required entropy bits of deckSize 512 and handSize 7 should not be greater than 60",
        ),
    ],
)
def test_levels(found: Causes, field: str, message: str) -> None:
    assert found[0] == (f"spec.limited.{field}", f"Invalid value: {message}")


def test_entropy_is_rounded_up_once() -> None:
    assert queuing(queues=65, handSize=9) == [], "9 times 6.02 bits are 54.2"


def test_types_of_levels() -> None:
    assert causes(PRIORITYLEVELCONFIGURATION, {"spec": {"type": "Exempt"}}) == [
        ("spec.type", "Invalid value: \"Exempt\": type must be 'Exempt' if and only if name is 'exempt'")
    ]
    assert causes(PRIORITYLEVELCONFIGURATION, {"spec": {"type": "X"}}) == [
        ("spec.type", 'Unsupported value: "X": supported values: "Exempt", "Limited"')
    ]
    assert limited(limitResponse={"type": "X"}) == [
        ("spec.limited.limitResponse.type", 'Unsupported value: "X": supported values: "Queue", "Reject"')
    ]
    assert limited(limitResponse={"type": "Reject", "queuing": {}}) == [
        (
            "spec.limited.limitResponse.queuing",
            "Forbidden: must be nil if limited.limitResponse.type is not Limited",
        )
    ]


@pytest.mark.parametrize("kind", [FLOWSCHEMA, PRIORITYLEVELCONFIGURATION])
def test_status(kind: Any) -> None:
    status = {"status": {"conditions": [{"type": "A"}, {"type": "A"}, {"type": ""}]}}
    assert causes(kind, status, {}, "status") == [
        ("status.conditions[1].type", 'Duplicate value: "A"'),
        ("status.conditions[2].type", "Required value: must not be empty"),
    ]


def apiservice(name: str = "v1.a.io", **more: Any) -> Causes:
    spec = {"group": "a.io", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1, **more}
    return causes(APISERVICE, {"metadata": {"name": name}, "spec": spec})


BACKEND: Document = {"namespace": "n", "name": "a"}


@pytest.mark.parametrize(
    ("found", "field", "message"),
    [
        (
            apiservice("v2.", version="v2", group=""),
            "group",
            "Required value: only v1 may have an empty group and it b",
        ),
        (apiservice("v1.A", group="A"), "group", 'Invalid value: "A": a lowercase RFC 1123 subdomain'),
        (apiservice(".a.io", version=""), "version", 'Invalid value: "": a DNS-1035 label must consist of'),
        (apiservice(groupPriorityMinimum=20_001), "groupPriorityMinimum", "Invalid value: 20001: must be positive and"),
        (
            apiservice(versionPriority=1_001),
            "versionPriority",
            "Invalid value: 1001: must be positive and less than 10",
        ),
        (
            apiservice(caBundle="cGVt"),
            "caBundle",
            'Invalid value: "3 bytes": local APIServices may not have a caBundle',
        ),
        (apiservice(service={"name": "a"}), "service.namespace", "Required value"),
        (
            apiservice(service={**BACKEND, "port": 70_000}),
            "service.port",
            "Invalid value: 70000: port is not valid: mus",
        ),
        (
            apiservice(service=BACKEND, caBundle="cGVt", insecureSkipTLSVerify=True),
            "insecureSkipTLSVerify",
            "Invalid value: true: may not be true if caBundle is present",
        ),
    ],
)
def test_apiservices(found: Causes, field: str, message: str) -> None:
    assert [(where, told[: len(message)]) for where, told in found] == [(f"spec.{field}", message)]


def test_apiservices_as_a_whole() -> None:
    assert apiservice(service=BACKEND) == []
    told = {"status": {"conditions": [{"type": "Available", "status": "Maybe"}]}}
    assert causes(APISERVICE, told, {}, "status") == [
        ("status.conditions[0].status", 'Unsupported value: "Maybe": supported values: "True", "False", "Unknown"')
    ]
