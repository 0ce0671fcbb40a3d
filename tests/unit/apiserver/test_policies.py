"""Policies in CEL: what they refuse, warn of and let through, and with which words."""

from __future__ import annotations

from typing import Any

import pytest
from api_driver import CONFIGMAPS, Api, Refused, config, run
from policy_driver import GROUP, binding, policy, validating

BOUND = "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: "


def refused(says: str, code: int = 422, **spec: Any) -> None:
    """A ConfigMap under the policy is refused with these words."""

    async def test(api: Api) -> None:
        await validating(api, **spec)
        with pytest.raises(Refused) as error:
            await api.post(CONFIGMAPS, config("c"))
        assert error.value.message == f'configmaps "c" is forbidden: {says}'
        assert error.value.code == code
        assert error.value.causes == [{"message": says}]

    run(test)


def test_a_rule_that_does_not_hold_refuses() -> None:
    refused(
        f"{BOUND}failed expression: size(object.metadata.name) > 9",
        validations=[{"expression": "size(object.metadata.name) > 9"}],
    )


@pytest.mark.parametrize(
    ("validation", "says"),
    [
        ({"message": " no "}, "no"),
        ({"messageExpression": "'no ' + object.metadata.name", "message": "x"}, "no c"),
        ({"messageExpression": "object.none + ''", "message": "x"}, "x"),
        ({"messageExpression": "' '", "message": "x"}, "x"),
        ({"messageExpression": "'a\\nb'"}, "failed expression: false"),
    ],
)
def test_what_it_says(validation: dict[str, Any], says: str) -> None:
    refused(BOUND + says, validations=[{"expression": "false", **validation}])


@pytest.mark.parametrize(("reason", "code"), [("Forbidden", 403), ("RequestEntityTooLarge", 413), ("Invalid", 422)])
def test_reasons(reason: str, code: int) -> None:
    refused(f"{BOUND}failed expression: false", code, validations=[{"expression": "false", "reason": reason}])


@pytest.mark.parametrize(
    "expression",
    [
        "object.metadata.name == 'c'",
        "oldObject == null",
        "request.operation == 'CREATE' && request.userInfo.username == 'admin'",
        "namespaceObject.metadata.name == 'default'",
        "variables.twice == 'cc' && variables.name == 'c'",
        "!has(object.spec)",
        "object.?spec.hasValue() == false",
        "authorizer.requestResource.check('create').allowed()",
    ],
)
def test_what_expressions_may_read(expression: str) -> None:
    async def test(api: Api) -> None:
        variables = [
            {"name": "name", "expression": "object.metadata.name"},
            {"name": "twice", "expression": "variables.name + variables.name"},
        ]
        await validating(api, variables=variables, validations=[{"expression": expression}])
        await api.post(CONFIGMAPS, config("c"))

    run(test)


def test_updates_and_deletions_see_what_was() -> None:
    async def test(api: Api) -> None:
        grown = "oldObject == null || object == null || object.data.size() >= oldObject.data.size()"
        kept = "object != null || oldObject.data.a != 'keep'"
        await validating(api, validations=[{"expression": grown}, {"expression": kept, "message": "it is kept"}])
        await api.post(CONFIGMAPS, config("c", a="keep"))
        await api.merge(f"{CONFIGMAPS}/c", {"data": {"b": "2"}})
        with pytest.raises(Refused, match="failed expression"):
            await api.merge(f"{CONFIGMAPS}/c", {"data": {"a": "x", "b": None}})
        with pytest.raises(Refused, match="it is kept"):
            await api.delete(f"{CONFIGMAPS}/c")
        await api.merge(f"{CONFIGMAPS}/c", {"data": {"a": "go"}})
        await api.delete(f"{CONFIGMAPS}/c")

    run(test)


def test_a_policy_holds_at_once_while_it_is_there_and_bound() -> None:
    async def test(api: Api) -> None:
        await api.post(f"{GROUP}/validatingadmissionpolicies", policy(validations=[{"expression": "false"}]))
        await api.post(CONFIGMAPS, config("first"))
        bindings = f"{GROUP}/validatingadmissionpolicybindings"
        await api.post(bindings, binding(validationActions=["Deny"]))
        with pytest.raises(Refused):
            await api.post(CONFIGMAPS, config("second"))
        changed = {"spec": {"validations": [{"expression": "true"}]}}
        await api.merge(f"{GROUP}/validatingadmissionpolicies/p", changed)
        await api.post(CONFIGMAPS, config("second"))
        await api.merge(f"{GROUP}/validatingadmissionpolicies/p", {"spec": {"validations": [{"expression": "false"}]}})
        await api.delete(f"{bindings}/b")
        await api.post(CONFIGMAPS, config("third"))

    run(test)


def test_warnings_and_notes_refuse_nothing() -> None:
    async def test(api: Api) -> None:
        await validating(api, actions=("Warn", "Audit"), validations=[{"expression": "false", "message": "hm"}])
        await api.post(CONFIGMAPS, config("c"))
        assert api.warnings == ["Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': hm"]

    run(test)


def test_what_cannot_be_evaluated_is_refused_or_ignored() -> None:
    broken = {"validations": [{"expression": "object.none == 1"}]}
    says = "expression 'object.none == 1' resulted in error: no such key: none"
    refused(BOUND + says, **broken)
    refused(
        f"{BOUND}expression 'variables.v == 1' resulted in error: composited variable \"v\" fails to evaluate: "
        "expression 'object.none' resulted in error: no such key: none",
        variables=[{"name": "v", "expression": "object.none"}],
        validations=[{"expression": "variables.v == 1"}],
    )

    async def ignored(api: Api) -> None:
        await validating(api, failurePolicy="Ignore", **broken)
        await api.post(CONFIGMAPS, config("c"))

    run(ignored)


def test_what_costs_too_much_ends() -> None:
    refused(
        f"{BOUND}validation failed due to running out of cost budget, no further validation rules will be run",
        validations=[{"expression": "lists.range(1000).all(i, lists.range(1000).all(j, i + j >= 0))"}],
    )


def test_conditions_choose() -> None:
    async def test(api: Api) -> None:
        chosen = [{"name": "named", "expression": "object.metadata.name == 'c'"}]
        await validating(api, matchConditions=chosen, validations=[{"expression": "false"}])
        await api.post(CONFIGMAPS, config("other"))
        with pytest.raises(Refused):
            await api.post(CONFIGMAPS, config("c"))

    run(test)


def test_the_binding_narrows() -> None:
    async def test(api: Api) -> None:
        only = {"matchResources": {"objectSelector": {"matchLabels": {"strict": "yes"}}}}
        await validating(api, bound=only, validations=[{"expression": "false"}])
        await api.post(CONFIGMAPS, config("other"))
        with pytest.raises(Refused):
            await api.post(CONFIGMAPS, {"metadata": {"name": "c", "labels": {"strict": "yes"}}})

    run(test)


PARAMS = {"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}
AT_MOST = [{"expression": "params == null || object.data.size() <= int(params.data.most)"}]
SECRETS = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["secrets"], "operations": ["*"]}
SECRETS_PATH = "/api/v1/namespaces/default/secrets"
SECRET = {"metadata": {"name": "s"}, "data": {"a": "", "b": ""}}


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        (None, ""),
        ({"name": "limits"}, "failed expression"),
        ({"name": "limits", "namespace": "default"}, "failed expression"),
        ({"name": "limits", "namespace": "kube-system"}, ""),
        ({"name": "ghost"}, ""),
        (
            {"name": "ghost", "parameterNotFoundAction": "Deny"},
            "failed to configure binding: no params found for policy",
        ),
        ({"selector": {"matchLabels": {"limits": "yes"}}}, "failed expression"),
        ({"selector": {"matchLabels": {"limits": "no"}}}, ""),
        ({"selector": {}}, "failed expression"),
    ],
)
def test_parameters(reference: dict[str, Any] | None, says: str) -> None:
    async def test(api: Api) -> None:
        limits = {"metadata": {"name": "limits", "labels": {"limits": "yes"}}, "data": {"most": "1"}}
        await api.post(CONFIGMAPS, limits)
        if reference is not None and "parameterNotFoundAction" not in reference:
            reference["parameterNotFoundAction"] = "Allow"
        bound = {"paramRef": reference} if reference is not None else {}
        await validating(api, rule=SECRETS, bound=bound, validations=AT_MOST, **PARAMS)
        if not says:
            await api.post(SECRETS_PATH, SECRET)
            return
        with pytest.raises(Refused) as error:
            await api.post(SECRETS_PATH, SECRET)
        assert BOUND + says in error.value.message

    run(test)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (
            {"apiVersion": "example.com/v1", "kind": "Limit"},
            "'p' denied request: failed to configure policy: failed to find resource referenced by paramKind: "
            "'example.com/v1, Kind=Limit'",
        ),
        ({"apiVersion": "v1", "kind": "Namespace"}, "paramRef.namespace must not be provided for a cluster-scoped"),
    ],
)
def test_parameters_that_cannot_be(kind: dict[str, str], says: str) -> None:
    async def test(api: Api) -> None:
        bound = {"paramRef": {"name": "x", "namespace": "default", "parameterNotFoundAction": "Allow"}}
        await validating(api, bound=bound, paramKind=kind, validations=[{"expression": "true"}])
        with pytest.raises(Refused) as error:
            await api.post(CONFIGMAPS, config("c"))
        assert says in error.value.message

    run(test)


def test_annotations_are_noted_or_refuse() -> None:
    refused(
        f"{BOUND}valueExpression 'dyn(1)' resulted in unsupported return type: int. "
        "Return type must be either string or null.",
        auditAnnotations=[
            {"key": "a", "valueExpression": "'noted'"},
            {"key": "b", "valueExpression": "null"},
            {"key": "c", "valueExpression": "dyn(1)"},
        ],
    )


def test_policies_themselves_are_beyond_policies() -> None:
    async def test(api: Api) -> None:
        rule = {"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "operations": ["*"]}
        await validating(api, rule=rule, validations=[{"expression": "false"}])
        with pytest.raises(Refused):
            await api.post(CONFIGMAPS, config("c"))
        await api.delete(f"{GROUP}/validatingadmissionpolicies/p")
        await api.post(CONFIGMAPS, config("c"))

    run(test)
