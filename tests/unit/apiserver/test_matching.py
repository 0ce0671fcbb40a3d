"""Which writes a rule asks for, what is said of them, and what conditions make of that."""

from __future__ import annotations

from typing import Any

import pytest
from admission_reviews import review

from navarch.apiserver.admission.conditions import Undecided, bound, compiled, match
from navarch.apiserver.admission.matching import Constraints, exempt
from navarch.apiserver.admission.request import admission_request, full_request
from navarch.apiserver.call import Attributes, Decision
from navarch.base.errors import NotFound
from navarch.kinds import DEPLOYMENT, NAMESPACE, NODE, POD, VALIDATINGADMISSIONPOLICY
from navarch.kinds.kind import Kind
from navarch.kinds.registry import DEFAULT

RULE = {"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"], "operations": ["CREATE", "UPDATE"]}


def constraints(**change: Any) -> Constraints:
    return Constraints.of({"resourceRules": [{**RULE, **change}], "matchPolicy": "Exact"})


def served(group: str, version: str, plural: str) -> Kind:
    found = DEFAULT.resource(group, version, plural)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("change", "verb", "subresource", "matches"),
    [
        ({}, "create", "", True),
        ({}, "update", "", True),
        ({}, "patch", "", True),
        ({}, "apply", "", True),
        ({}, "delete", "", False),
        ({"operations": ["*"]}, "delete", "", True),
        ({}, "update", "status", False),
        ({"resources": ["deployments/status"]}, "update", "status", True),
        ({"resources": ["deployments/status"]}, "update", "", False),
        ({"resources": ["deployments/*"]}, "update", "scale", True),
        ({"resources": ["*"]}, "update", "", True),
        ({"resources": ["*"]}, "update", "scale", False),
        ({"resources": ["*/scale"]}, "update", "scale", True),
        ({"resources": ["*/*"]}, "update", "scale", True),
        ({"resources": ["pods"]}, "create", "", False),
        ({"apiGroups": ["*"]}, "create", "", True),
        ({"apiGroups": [""]}, "create", "", False),
        ({"apiVersions": ["v2"]}, "create", "", False),
        ({"apiVersions": ["*"]}, "create", "", True),
        ({"scope": "Cluster"}, "create", "", False),
        ({"scope": "Namespaced"}, "create", "", True),
        ({"resourceNames": ["web"]}, "create", "", True),
        ({"resourceNames": ["other"]}, "create", "", False),
    ],
)
def test_rules(change: dict[str, Any], verb: str, subresource: str, matches: bool) -> None:
    found = constraints(**change).match(review(DEPLOYMENT, verb, subresource=subresource))
    assert (found is DEPLOYMENT) == matches


def test_no_rules_match_everything_and_exclusion_wins() -> None:
    assert Constraints.of({}).match(review(POD)) is POD
    assert Constraints.of({"excludeResourceRules": [RULE]}).match(review(DEPLOYMENT)) is None
    assert Constraints.of({"excludeResourceRules": [RULE]}).match(review(POD)) is POD


def test_another_version_of_the_same_objects_matches_unless_it_must_be_exact() -> None:
    old, new = (served("autoscaling", version, "horizontalpodautoscalers") for version in ("v1", "v2"))
    rule = {"apiGroups": ["autoscaling"], "apiVersions": ["v2"], "resources": ["*"], "operations": ["*"]}
    asked = review(old, new={"metadata": {"name": "web"}, "spec": {"maxReplicas": 3}})
    assert Constraints.of({"rules": [rule], "matchPolicy": "Equivalent"}).match(asked) is new
    assert Constraints.of({"rules": [rule], "matchPolicy": "Exact"}).match(asked) is None
    told = admission_request(asked, new)
    assert (told["kind"]["version"], told["requestKind"]["version"]) == ("v2", "v1")


def test_selectors_look_at_the_object_before_and_after_and_at_its_namespace() -> None:
    chosen = {"matchLabels": {"a": "b"}}
    labelled, plain = ({"metadata": {"name": "web", "labels": labels}} for labels in ({"a": "b"}, {}))
    objects = Constraints.of({"objectSelector": chosen})
    assert objects.match(review(POD, new=labelled))
    assert not objects.match(review(POD, new=plain))
    assert objects.match(review(POD, "update", new=plain, old=labelled))
    assert objects.match(review(POD, "delete", old=labelled))
    spaces = Constraints.of({"namespaceSelector": chosen})
    assert spaces.match(review(POD, namespaces={"default": {"a": "b"}}))
    assert not spaces.match(review(POD))
    assert spaces.match(review(NODE)), "what is in no namespace is never left out"
    assert spaces.match(review(NAMESPACE, new=labelled))
    assert not spaces.match(review(NAMESPACE, new=plain))
    with pytest.raises(NotFound):
        spaces.match(review(POD, namespace="gone"))


def test_what_admission_is_configured_with_is_exempt() -> None:
    assert exempt(review(VALIDATINGADMISSIONPOLICY))
    assert not exempt(review(POD))


def test_a_request_says_who_does_what_to_which() -> None:
    told = full_request(review(DEPLOYMENT, "update", subresource="scale", dry_run=True), DEPLOYMENT, "u")
    assert told["uid"] == "u"
    assert told["operation"] == "UPDATE"
    assert told["dryRun"] is True
    assert told["kind"] == told["requestKind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    assert told["resource"] == {"group": "apps", "version": "v1", "resource": "deployments"}
    assert (told["subResource"], told["name"], told["namespace"]) == ("scale", "web", "default")
    assert told["userInfo"] == {"username": "amy", "uid": "7", "groups": ["devs"], "extra": {"team": ["red"]}}
    assert told["object"]["kind"] == told["oldObject"]["kind"] == "Scale"
    assert told["options"]["kind"] == "UpdateOptions"
    assert told["options"]["dryRun"] == ["All"]
    gone = full_request(review(NAMESPACE, "delete"), NAMESPACE, "u")
    assert gone["object"] is None
    assert gone["oldObject"]
    assert gone["namespace"] == "web"


class Only:
    """Allows one verb."""

    def decide(self, attributes: Attributes) -> Decision:
        return Decision(attributes.verb == "get" and attributes.user.name == "amy", "so it is")


@pytest.mark.parametrize(
    ("texts", "fails", "found"),
    [
        ([], True, True),
        (["object.metadata.name == 'web'", "oldObject == null"], True, True),
        (["request.operation == 'UPDATE'"], True, False),
        (["object.none == 1", "false"], True, False),
        (["object.none == 1"], False, False),
        (["authorizer.group('').resource('pods').check('get').allowed()"], True, True),
        (["authorizer.requestResource.check('list').allowed()"], True, False),
        (["authorizer.serviceAccount('a', 'b').path('/x').check('get').allowed()"], True, False),
        (["authorizer.path('/x').check('get').reason() == 'so it is'"], True, True),
        (["nonsense("], False, False),
    ],
)
def test_conditions(texts: list[str], fails: bool, found: bool) -> None:
    conditions = compiled({"name": str(i), "expression": text} for i, text in enumerate(texts))
    assert match(conditions, bound(review(POD), POD, Only()), fails) is found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("object.none == 1", "expression 'object.none == 1' resulted in error: no such key: none"),
        ("nonsense(", "compilation error"),
        ("'text'", "it is no bool"),
        ("authorizer.path('').check('get').allowed()", "path must not be empty"),
        ("lists.range(100000).all(i, i >= 0)", "running out of cost budget"),
    ],
)
def test_conditions_that_cannot_be_decided(text: str, why: str) -> None:
    conditions = compiled([{"name": "a", "expression": "true"}, {"name": "b", "expression": text}])
    with pytest.raises(Undecided) as undecided:
        match(conditions, bound(review(POD), POD), True)
    assert why in str(undecided.value)
