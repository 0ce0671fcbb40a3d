"""Writing policies: expressions that are none are refused, with the place and the words of Kubernetes."""

from __future__ import annotations

from typing import Any

import pytest
from api_driver import Api, Refused, run
from policy_driver import GROUP, MUTABLE_RULE, policy

VALIDATING = f"{GROUP}/validatingadmissionpolicies"
MUTATING = f"{GROUP}/mutatingadmissionpolicies"
HOLDS = [{"expression": "true"}]


def causes(path: str, **spec: Any) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []

    async def test(api: Api) -> None:
        try:
            await api.post(path, policy(**spec))
        except Refused as refused:
            found.extend((cause["field"], cause["message"]) for cause in refused.causes)

    run(test)
    return found


@pytest.mark.parametrize(
    ("spec", "field", "says"),
    [
        (
            {"validations": [{"expression": "object.x =="}]},
            "spec.validations[0].expression",
            'Invalid value: "object.x ==": compilation failed: ERROR: <input>:1:12: Syntax error: ',
        ),
        (
            {"validations": [{"expression": "request.nam == 'x'"}]},
            "spec.validations[0].expression",
            "Invalid value: \"request.nam == 'x'\": compilation failed: ERROR: <input>:1:8: undefined field 'nam'\n"
            " | request.nam == 'x'\n | .......^",
        ),
        (
            {"validations": [{"expression": "params.x == 1"}]},
            "spec.validations[0].expression",
            "undeclared reference to 'params' (in container '')",
        ),
        ({"validations": [{"expression": "object.spec"}]}, "spec.validations[0].expression", "must evaluate to bool"),
        ({"validations": [{"expression": "'a'"}]}, "spec.validations[0].expression", "must evaluate to bool"),
        (
            {"validations": [{"expression": "true", "messageExpression": "1"}]},
            "spec.validations[0].messageExpression",
            "must evaluate to string",
        ),
        (
            {
                "validations": [
                    {"expression": "true", "messageExpression": "authorizer.path('/').check('get').reason()"}
                ]
            },
            "spec.validations[0].messageExpression",
            "undeclared reference to 'authorizer'",
        ),
        (
            {"validations": HOLDS, "matchConditions": [{"name": "a", "expression": "variables.x"}]},
            "spec.matchConditions[0].expression",
            "undeclared reference to 'variables'",
        ),
        (
            {"validations": HOLDS, "variables": [{"name": "a", "expression": "variables.b"}]},
            "spec.variables[0].expression",
            "undefined field 'b'",
        ),
        (
            {
                "variables": [{"name": "a", "expression": "'text'"}],
                "validations": [{"expression": "variables.a == 1"}],
            },
            "spec.validations[0].expression",
            "found no matching overload for '_==_' applied to '(string, int)'",
        ),
        (
            {"auditAnnotations": [{"key": "k", "valueExpression": "1"}]},
            "spec.auditAnnotations[0].valueExpression",
            "must evaluate to one of [string null_type]",
        ),
        (
            {"validations": [{"expression": "authorizer.group('apps').check('get').allowed()"}]},
            "spec.validations[0].expression",
            "found no matching overload for 'check' applied to 'kubernetes.authorization.GroupCheck.(string)'",
        ),
    ],
)
def test_validating(spec: dict[str, Any], field: str, says: str) -> None:
    ((found, message),) = causes(VALIDATING, **spec)
    assert found == field
    assert says in message


@pytest.mark.parametrize(
    ("type_", "expression", "says"),
    [
        ("ApplyConfiguration", "{'spec': 1}", "must evaluate to Object"),
        ("ApplyConfiguration", "Other{}", "undeclared reference to 'Other'"),
        ("JSONPatch", "[1]", "must evaluate to list(JSONPatch)"),
        ("JSONPatch", "[JSONPatch{op: 1}]", ""),
    ],
)
def test_mutating(type_: str, expression: str, says: str) -> None:
    field = type_[0].lower() + type_[1:] if type_ != "JSONPatch" else "jsonPatch"
    mutations = [{"patchType": type_, field: {"expression": expression}}]
    found = causes(MUTATING, mutations=mutations, reinvocationPolicy="Never", rule=MUTABLE_RULE)
    if not says:
        assert not found
        return
    ((where, message),) = found
    assert where == f"spec.mutations[0].{field}.expression"
    assert says in message


def test_what_is_stored_stays_as_it_is_until_its_spec_changes() -> None:
    async def test(api: Api) -> None:
        await api.post(VALIDATING, policy(validations=HOLDS))
        await api.merge(f"{VALIDATING}/p", {"metadata": {"labels": {"a": "b"}}})
        with pytest.raises(Refused, match="compilation failed"):
            await api.merge(f"{VALIDATING}/p", {"spec": {"validations": [{"expression": "("}]}})

    run(test)


def test_conditions_of_webhooks() -> None:
    hook = {
        "name": "a.b.c",
        "clientConfig": {"url": "https://localhost/x"},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "matchConditions": [{"name": "x", "expression": "object.a == params.b"}],
    }

    async def test(api: Api) -> None:
        with pytest.raises(Refused, match="undeclared reference to 'params'"):
            await api.post(f"{GROUP}/validatingwebhookconfigurations", {"metadata": {"name": "w"}, "webhooks": [hook]})

    run(test)
