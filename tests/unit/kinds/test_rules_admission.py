"""Webhook configurations, admission policies and bindings: what is refused, where, and in which words."""

from __future__ import annotations

from typing import Any

import pytest
from kind_driver import Causes, Document, causes

from navarch.kinds import (
    MUTATINGADMISSIONPOLICY,
    MUTATINGADMISSIONPOLICYBINDING,
    MUTATINGWEBHOOKCONFIGURATION,
    VALIDATINGADMISSIONPOLICY,
    VALIDATINGADMISSIONPOLICYBINDING,
    VALIDATINGWEBHOOKCONFIGURATION,
)

RULE: Document = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
SERVICE: Document = {"name": "a", "namespace": "n"}
HOOK: Document = {
    "name": "a.example.com",
    "clientConfig": {"url": "https://a.example.com"},
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
}
POLICY: Document = {"matchConstraints": {"resourceRules": [RULE]}, "validations": [{"expression": "true"}]}
MUTATION: Document = {"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 'remove', path: '/a'}]"}}
BINDING: Document = {"policyName": "x", "validationActions": ["Deny"]}


def hook(**more: Any) -> Causes:
    return causes(VALIDATINGWEBHOOKCONFIGURATION, {"webhooks": [{**HOOK, **more}]})


def rule(**more: Any) -> Causes:
    return hook(rules=[{**RULE, **more}])


def policy(**more: Any) -> Causes:
    return causes(VALIDATINGADMISSIONPOLICY, {"spec": {**POLICY, **more}})


def mutating(**more: Any) -> Causes:
    spec = {"matchConstraints": POLICY["matchConstraints"], "reinvocationPolicy": "Never", "mutations": [MUTATION]}
    return causes(MUTATINGADMISSIONPOLICY, {"spec": {**spec, **more}})


def binding(**more: Any) -> Causes:
    return causes(VALIDATINGADMISSIONPOLICYBINDING, {"spec": {**BINDING, **more}})


def test_good_ones() -> None:
    assert hook(matchConditions=[{"name": "a", "expression": " object.kind == 'x' "}]) == []
    assert rule(resources=["pods", "pods/status", "*/scale"]) == []
    assert policy(variables=[{"name": "a", "expression": "1"}, {"name": "b", "expression": "variables.a + 1"}]) == []
    assert mutating() == []
    assert binding(paramRef={"name": "a", "parameterNotFoundAction": "Deny"}) == []


@pytest.mark.parametrize(
    ("more", "field", "message"),
    [
        ({"name": ""}, "name", "Required value"),
        ({"name": "a.b"}, "name", 'Invalid value: "a.b": should be a domain with at least three segments'),
        ({"failurePolicy": "No"}, "failurePolicy", 'Unsupported value: "No": supported values: "Fail", "Ignore"'),
        ({"matchPolicy": "No"}, "matchPolicy", 'Unsupported value: "No": supported values: "Equivalent", "Exact"'),
        ({"sideEffects": "Some"}, "sideEffects", 'Unsupported value: "Some": supported values: "None", "NoneOnDryRun"'),
        ({"timeoutSeconds": 0}, "timeoutSeconds", "Invalid value: 0: the timeout value must be between 1 and 30"),
        ({"objectSelector": {"matchLabels": {"a": "-"}}}, "objectSelector.matchLabels", 'Invalid value: "-"'),
        ({"admissionReviewVersions": ["v1", "v1"]}, "admissionReviewVersions[1]", 'Invalid value: "v1": duplicate ver'),
        ({"admissionReviewVersions": []}, "admissionReviewVersions", "Required value: must specify one of v1, v1beta1"),
        ({"matchConditions": [{"name": "a"}]}, "matchConditions[0].expression", "Required value"),
        ({"matchConditions": [{"expression": "true"}]}, "matchConditions[0].name", "Required value"),
        (
            {"matchConditions": [{"name": "a", "expression": " 1 "}]},
            "matchConditions[0].expression",
            'Invalid value: "1": must evaluate to bool',
        ),
        (
            {"matchConditions": [{"name": "a", "expression": "params.x"}]},
            "matchConditions[0].expression",
            "Invalid value: \"params.x\": compilation failed: ERROR: <input>:1:1: undeclared reference to 'params'",
        ),
        (
            {"matchConditions": [{"name": "a", "expression": "true"}, {"name": "a", "expression": "true"}]},
            "matchConditions[1].name",
            'Duplicate value: "a"',
        ),
    ],
)
def test_webhooks(more: Document, field: str, message: str) -> None:
    (found,) = hook(**more)
    assert found[0] == f"webhooks[0].{field}"
    assert found[1].startswith(message)


@pytest.mark.parametrize(
    ("client", "field", "message"),
    [
        ({}, "", "Required value: exactly one of url or service is required"),
        ({"url": "https://a", "service": SERVICE}, "", "Required value: exactly one of url or service is required"),
        (
            {"url": "https:///a"},
            ".url",
            'Invalid value: "": host must be specified; desired format: https://host[/path]',
        ),
        ({"url": "https://u@a"}, ".url", 'Invalid value: "u": user information is not permitted in the URL'),
        ({"url": "https://a/#f"}, ".url", 'Invalid value: "f": fragments are not permitted in the URL'),
        ({"url": "https://a/?q=1"}, ".url", 'Invalid value: "q=1": query parameters are not permitted in the URL'),
        ({"url": "https://[a"}, ".url", "Required value: url must be a valid URL: "),
        ({"service": {"name": "a"}}, ".service.namespace", "Required value: service namespace is required"),
        (
            {"service": {**SERVICE, "port": 0}},
            ".service.port",
            "Invalid value: 0: port is not valid: must be between 1",
        ),
        ({"service": {**SERVICE, "path": "a"}}, ".service.path", "Invalid value: \"a\": must start with a '/'"),
        ({"service": {**SERVICE, "path": "//"}}, ".service.path", 'Invalid value: "//": segment[0] may not be empty'),
        (
            {"service": {**SERVICE, "path": "/a//b"}},
            ".service.path",
            'Invalid value: "/a//b": segment[1] may not be em',
        ),
        (
            {"service": {**SERVICE, "path": "/a/B"}},
            ".service.path",
            'Invalid value: "/a/B": segment[1]: a lowercase RFC',
        ),
    ],
)
def test_where_a_webhook_is(client: Document, field: str, message: str) -> None:
    found = hook(clientConfig=client)[0]
    assert found[0] == f"webhooks[0].clientConfig{field}"
    assert found[1].startswith(message)


@pytest.mark.parametrize(
    ("more", "field", "message"),
    [
        ({"operations": []}, "operations", "Required value"),
        ({"operations": ["READ"]}, "operations[0]", 'Unsupported value: "READ": supported values: "*", "CONNECT", '),
        ({"apiGroups": ["*", "a"]}, "apiGroups", "if '*' is present, must not specify other API groups"),
        ({"apiVersions": ["*", "v1"]}, "apiVersions", "if '*' is present, must not specify other API versions"),
        ({"apiVersions": [""]}, "apiVersions[0]", "Required value"),
        ({"resources": []}, "resources", "Required value"),
        ({"resources": [""]}, "resources[0]", "Required value"),
        ({"resources": ["pods/*", "pods/log"]}, "resources[1]", "if 'pods/*' is present, must not specify pods/log"),
        ({"resources": ["*/log", "pods/log"]}, "resources[1]", "if '*/log' is present, must not specify pods/log"),
        ({"resources": ["*/*", "pods"]}, "resources", "if '*/*' is present, must not specify other resources"),
        ({"resources": ["*", "pods"]}, "resources", "must not specify other resources without subresources"),
        ({"scope": "Some"}, "scope", 'Unsupported value: "Some": supported values: "*", "Cluster", "Namespaced"'),
    ],
)
def test_rules_of_requests(more: Document, field: str, message: str) -> None:
    (found,) = rule(**more)
    assert found[0] == f"webhooks[0].rules[0].{field}"
    assert message in found[1]


def test_webhooks_as_a_whole() -> None:
    assert causes(VALIDATINGWEBHOOKCONFIGURATION, {"webhooks": [HOOK, HOOK]}) == [
        ("webhooks[1].name", 'Duplicate value: "a.example.com"')
    ]
    never = {"webhooks": [{**HOOK, "reinvocationPolicy": "Always"}]}
    ((field, message),) = causes(MUTATINGWEBHOOKCONFIGURATION, never)
    assert field == "webhooks[0].reinvocationPolicy"
    assert message == 'Unsupported value: "Always": supported values: "IfNeeded", "Never"'


def test_conditions_that_stay_are_not_judged_again() -> None:
    stored = {"webhooks": [{**HOOK, "matchConditions": [{"name": "a", "expression": "1"}]}]}
    changed = {"webhooks": [{**stored["webhooks"][0], "timeoutSeconds": 3}]}
    assert causes(VALIDATINGWEBHOOKCONFIGURATION, changed, stored) == []
    assert causes(VALIDATINGWEBHOOKCONFIGURATION, {"webhooks": [*changed["webhooks"], HOOK]}, stored) != []


@pytest.mark.parametrize(
    ("more", "field", "message"),
    [
        ({"failurePolicy": "No"}, "failurePolicy", 'Unsupported value: "No": supported values: "Fail", "Ignore"'),
        ({"paramKind": {"kind": "X"}}, "paramKind.apiVersion", "Required value"),
        ({"paramKind": {"apiVersion": "v1"}}, "paramKind.kind", "Required value"),
        (
            {"paramKind": {"apiVersion": "a/b/c", "kind": "X"}},
            "paramKind.apiVersion",
            'Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c',
        ),
        (
            {"paramKind": {"apiVersion": "a/", "kind": "X"}},
            "paramKind.apiVersion",
            'Invalid value: "a/": version must be specified',
        ),
        ({"paramKind": {"apiVersion": "A/v1", "kind": "X"}}, "paramKind.apiVersion", 'Invalid value: "A": a lowercase'),
        ({"paramKind": {"apiVersion": "a/V", "kind": "X"}}, "paramKind.apiVersion", 'Invalid value: "V": a DNS-1035'),
        (
            {"paramKind": {"apiVersion": "v1", "kind": "1X"}},
            "paramKind.kind",
            'Invalid value: "1X": may have mixed case, but should otherwise match: a DNS-1035 label',
        ),
        ({"matchConstraints": {}}, "matchConstraints.resourceRules", "Required value"),
        (
            {"matchConstraints": {"resourceRules": [{**RULE, "resourceNames": ["a", "a"]}]}},
            "matchConstraints.resourceRules[0].resourceNames[1]",
            'Duplicate value: "a"',
        ),
        (
            {"matchConstraints": {"resourceRules": [{**RULE, "resourceNames": ["a/b"]}]}},
            "matchConstraints.resourceRules[0].resourceNames[0]",
            "Invalid value: \"a/b\": may not contain '/'",
        ),
        ({"variables": [{"expression": "1"}]}, "variables[0].name", "Required value: name is not specified"),
        ({"variables": [{"name": "a"}]}, "variables[0].expression", "Required value: expression is not specified"),
        (
            {"variables": [{"name": "in", "expression": "1"}]},
            "variables[0].name",
            'Invalid value: "in": name is not a valid CEL identifier',
        ),
        (
            {"variables": [{"name": "a", "expression": "variables.b"}, {"name": "b", "expression": "1"}]},
            "variables[0].expression",
            "Invalid value: \"variables.b\": compilation failed: ERROR: <input>:1:10: undefined field 'b'",
        ),
        (
            {"validations": [{"expression": "true", "message": " "}]},
            "validations[0].message",
            'Invalid value: " ": message must be non-empty if specified',
        ),
        (
            {"validations": [{"expression": "true", "message": "a\rb"}]},
            "validations[0].message",
            'Invalid value: "a\rb": message must not contain line breaks',
        ),
        (
            {"validations": [{"expression": "true", "messageExpression": "  "}]},
            "validations[0].messageExpression",
            'Invalid value: "  ": must be non-empty if specified',
        ),
        (
            {"validations": [{"expression": "true", "messageExpression": "1"}]},
            "validations[0].messageExpression",
            'Invalid value: "1": must evaluate to string',
        ),
        (
            {"validations": [{"expression": "true", "messageExpression": "string(authorizer)"}]},
            "validations[0].messageExpression",
            "undeclared reference to 'authorizer'",
        ),
        (
            {"validations": [{"expression": "true", "reason": "Unauthorized"}]},
            "validations[0].reason",
            'Unsupported value: "Unauthorized": supported values: "Forbidden", "Invalid", "RequestEntityTooLarge"',
        ),
        (
            {"auditAnnotations": [{"key": "a/b", "valueExpression": "'x'"}]},
            "auditAnnotations[0].key",
            'Invalid value: "x/a/b": a valid label key',
        ),
        (
            {"auditAnnotations": [{"key": "a"}]},
            "auditAnnotations[0].valueExpression",
            "Required value: valueExpression is not specified",
        ),
        (
            {"auditAnnotations": [{"key": "a", "valueExpression": f"'{'x' * 5120}'"}]},
            "auditAnnotations[0].valueExpression",
            "Required value: must not exceed 5120 bytes in length",
        ),
        (
            {"auditAnnotations": [{"key": "a", "valueExpression": "1"}]},
            "auditAnnotations[0].valueExpression",
            'Invalid value: "1": must evaluate to one of [string null_type]',
        ),
        (
            {"auditAnnotations": [{"key": "a", "valueExpression": "'x'"}] * 2},
            "auditAnnotations[1].key",
            'Duplicate value: "a"',
        ),
        (
            {"auditAnnotations": [{"key": f"k{n}", "valueExpression": "'x'"} for n in range(21)]},
            "auditAnnotations",
            "must not have more than 20 auditAnnotations",
        ),
    ],
)
def test_validating_policies(more: Document, field: str, message: str) -> None:
    (found,) = policy(**more)
    assert found[0] == f"spec.{field}"
    assert message in found[1]


def test_a_policy_must_say_something() -> None:
    told = "Required value: validations or auditAnnotations must contain at least one item"
    assert policy(validations=[]) == [("spec.validations", told), ("spec.auditAnnotations", told)]


def test_parameters_are_known_to_conditions_of_policies_that_have_them() -> None:
    asks = [{"name": "a", "expression": "params.x == 1"}]
    assert [field for field, _ in policy(matchConditions=asks)] == ["spec.matchConditions[0].expression"]
    assert policy(matchConditions=asks, paramKind={"apiVersion": "v1", "kind": "ConfigMap"}) == []


@pytest.mark.parametrize(
    ("more", "field", "message"),
    [
        ({"mutations": []}, "mutations", "Required value: mutations must contain at least one item"),
        ({"mutations": [{}]}, "mutations[0].patchType", "Required value"),
        (
            {"mutations": [{"patchType": "Merge"}]},
            "mutations[0].patchType",
            'Unsupported value: "Merge": supported values: "ApplyConfiguration", "JSONPatch"',
        ),
        (
            {"mutations": [{"patchType": "ApplyConfiguration"}]},
            "mutations[0].applyConfiguration",
            "Required value: must be specified when patchType is ApplyConfiguration",
        ),
        (
            {"mutations": [{**MUTATION, "applyConfiguration": {"expression": "Object{}"}}]},
            "mutations[0].applyConfiguration",
            'Invalid value: "{applyConfiguration}": must not be specified when patchType is JSONPatch',
        ),
        ({"mutations": [{**MUTATION, "jsonPatch": {}}]}, "mutations[0].jsonPatch.expression", "Required value"),
        ({"reinvocationPolicy": ""}, "reinvocationPolicy", "Required value"),
        (
            {"reinvocationPolicy": "Always"},
            "reinvocationPolicy",
            'Unsupported value: "Always": supported values: "Never", "IfNeeded"',
        ),
        (
            {"matchConstraints": {"resourceRules": [{**RULE, "operations": ["DELETE"]}]}},
            "matchConstraints.resourceRules.operations",
            'Unsupported value: "DELETE": supported values: "*", "CONNECT", "CREATE", "UPDATE"',
        ),
    ],
)
def test_mutating_policies(more: Document, field: str, message: str) -> None:
    assert mutating(**more) == [(f"spec.{field}", message)]


SELECTOR: Document = {"parameterNotFoundAction": "Deny", "selector": {}}


@pytest.mark.parametrize(
    ("more", "field", "message"),
    [
        ({"policyName": ""}, "policyName", "Required value"),
        ({"policyName": "X"}, "policyName", 'Invalid value: "X": a lowercase RFC 1123 subdomain'),
        ({"validationActions": []}, "validationActions", "Required value: at least one validation action is required"),
        ({"validationActions": ["No"]}, "validationActions[0]", 'Unsupported value: "No": supported values: "Audit", '),
        ({"validationActions": ["Deny", "Deny"]}, "validationActions[1]", 'Duplicate value: "Deny"'),
        ({"paramRef": {"selector": {}}}, "paramRef.parameterNotFoundAction", "Required value"),
        (
            {"paramRef": {**SELECTOR, "parameterNotFoundAction": "No"}},
            "paramRef.parameterNotFoundAction",
            'Unsupported value: "No": supported values: "Deny", "Allow"',
        ),
        (
            {"paramRef": {**SELECTOR, "name": "a"}},
            "paramRef.name",
            "Forbidden: name and selector are mutually exclusive",
        ),
        ({"matchResources": {"matchPolicy": "No"}}, "matchResources.matchPolicy", 'Unsupported value: "No"'),
    ],
)
def test_bindings(more: Document, field: str, message: str) -> None:
    found = binding(**more)[0]
    assert found[0] == f"spec.{field}"
    assert found[1].startswith(message)


def test_a_reference_by_name_and_selector_is_told_twice() -> None:
    found = [field for field, _ in binding(paramRef={**SELECTOR, "name": "a"})]
    assert found == ["spec.paramRef.name", "spec.paramRef.selector"]


def test_a_binding_of_a_mutating_policy_names_no_deletion() -> None:
    matched = {"resourceRules": [{**RULE, "operations": ["DELETE"]}]}
    found = causes(MUTATINGADMISSIONPOLICYBINDING, {"spec": {"policyName": "x", "matchResources": matched}})
    assert [field for field, _ in found] == ["spec.matchResources.resourceRules.operations"]
    assert causes(VALIDATINGADMISSIONPOLICYBINDING, {"spec": {**BINDING, "matchResources": matched}}) == []


def test_status() -> None:
    condition = {"type": "A", "status": "True", "reason": "B", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    warned = {"typeChecking": {"expressionWarnings": [{"fieldRef": " "}]}, "conditions": [condition, condition]}
    told = causes(VALIDATINGADMISSIONPOLICY, {"status": warned}, {}, "status")
    assert told == [
        ("status.typeChecking.expressionWarnings[0].warning", "Required value"),
        ("status.typeChecking.expressionWarnings[0].fieldRef", "Required value"),
        ("status.conditions[1].type", 'Duplicate value: "A"'),
    ]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("type", "a b", 'Invalid value: "a b": name part must consist of'),
        ("status", "Maybe", 'Unsupported value: "Maybe": supported values: "False", "True", "Unknown"'),
        ("observedGeneration", -1, "Invalid value: -1: must be greater than or equal to zero"),
        ("lastTransitionTime", "", "Required value: must be set"),
        ("reason", "", "Required value: must be set"),
        ("reason", "a-b", 'Invalid value: "a-b": a condition reason must start with alphabetic character'),
        ("reason", "a" * 1025, "Too long: may not be more than 1024 bytes"),
        ("message", "a" * 32769, "Too long: may not be more than 32768 bytes"),
    ],
)
def test_conditions(field: str, value: Any, message: str) -> None:
    good = {"type": "A", "status": "True", "reason": "B", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    status = {"conditions": [{**good, field: value}]}
    (found,) = causes(VALIDATINGADMISSIONPOLICY, {"status": status}, {}, "status")
    assert found[0] == f"status.conditions[0].{field}"
    assert found[1].startswith(message)
