"""Policies in CEL on writes of Deployments: those that hold, those that do not, and what is changed on the way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from conformance_api import Api
from conformance_specs import spec

REGISTRATION = "/apis/admissionregistration.k8s.io/v1"


def within(ns: str) -> dict[str, Any]:
    """matchConstraints of Deployments that are made in one namespace."""
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"]}
    selector = {"matchLabels": {"kubernetes.io/metadata.name": ns}}
    return {"namespaceSelector": selector, "resourceRules": [rule]}


@contextmanager
def bound(api: Api, sort: str, ns: str, more: dict[str, Any], **policy: Any) -> Iterator[str]:
    """The path of a policy that is bound. more: of the binding's spec."""
    name = f"policy-{ns}"
    policies, bindings = f"{REGISTRATION}/{sort}admissionpolicies", f"{REGISTRATION}/{sort}admissionpolicybindings"
    api.post(policies, {"metadata": {"name": name}, "spec": {"matchConstraints": within(ns), **policy}})
    api.post(bindings, {"metadata": {"name": name}, "spec": {"policyName": name, **more}})
    try:
        yield f"{policies}/{name}"
    finally:
        api.delete(f"{bindings}/{name}")
        api.delete(f"{policies}/{name}")


def deployment(name: str, replicas: int) -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "nginx:1"}]}}
    body = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": name}, "spec": body}


def at(ns: str) -> str:
    return f"/apis/apps/v1/namespaces/{ns}/deployments"


@spec("[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should validate against a Deployment")
def test_validated(api: Api, ns: str) -> None:
    rule = {"expression": "object.spec.replicas > 1", "messageExpression": "'wants replicas > 1'", "reason": "Invalid"}
    with bound(api, "validating", ns, {"validationActions": ["Deny"]}, validations=[rule]) as path:
        api.when(path, lambda found: found.get("status", {}).get("observedGeneration") == 1)
        assert "expressionWarnings" not in api.get(path)["status"]["typeChecking"]
        refused = api.send("POST", at(ns), deployment("one", 1))
        assert (refused.status, refused.reason) == (422, "Invalid")
        assert refused.message.endswith("denied request: wants replicas > 1")
        api.post(at(ns), deployment("two", 2))


@spec(
    "[sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should allow expressions to refer "
    "variables."
)
def test_variables(api: Api, ns: str) -> None:
    variables = [
        {"name": "replicas", "expression": "object.spec.replicas"},
        {"name": "oddReplicas", "expression": "variables.replicas % 2 == 1"},
    ]
    rules = [{"expression": "variables.replicas > 1"}, {"expression": "variables.oddReplicas"}]
    more = {"validationActions": ["Deny"]}
    with bound(api, "validating", ns, more, variables=variables, validations=rules) as path:
        api.when(path, lambda found: found.get("status", {}).get("observedGeneration") == 1)
        refused = api.send("POST", at(ns), deployment("two", 2))
        assert refused.message.endswith("denied request: failed expression: variables.oddReplicas")
        assert api.send("POST", at(ns), deployment("one", 1)).status == 422
        api.post(at(ns), deployment("three", 3))


def test_types_of_custom_resources(api: Api, ns: str) -> None:
    """What a schema does not say of a kind is no warning: custom resources are not looked at."""
    rule = {
        "apiGroups": ["stable.example.com"],
        "apiVersions": ["*"],
        "operations": ["CREATE"],
        "resources": ["crontabs"],
    }
    chosen = {"resourceRules": [rule]}
    checks = [{"expression": "object.spec.replicas > 1"}]
    more = {"validationActions": ["Deny"]}
    with bound(api, "validating", ns, more, matchConstraints=chosen, validations=checks) as path:
        found = api.when(path, lambda found: "typeChecking" in found.get("status", {}))
        assert found["status"] == {"observedGeneration": 1, "typeChecking": {}}


def test_types(api: Api, ns: str) -> None:
    checks = [{"expression": "object.spec.replicas > '1'"}, {"expression": "object.spec.maxRetries < 10"}]
    with bound(api, "validating", ns, {"validationActions": ["Deny"]}, validations=checks) as path:
        found = api.when(path, lambda found: "typeChecking" in found.get("status", {}))
        first, second = found["status"]["typeChecking"]["expressionWarnings"]
        assert first["fieldRef"] == "spec.validations[0].expression"
        assert "found no matching overload for '_>_' applied to '(int, string)'" in first["warning"]
        assert "apps/v1, Kind=Deployment: ERROR: <input>:1:12: undefined field 'maxRetries'" in second["warning"]


def apply(expression: str) -> list[dict[str, Any]]:
    return [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}]


@spec("[sig-api-machinery] MutatingAdmissionPolicy [Privileged:ClusterAdmin] should mutate a Deployment")
def test_mutated(api: Api, ns: str) -> None:
    more = apply("Object{spec: Object.spec{replicas: object.spec.replicas + 100}}")
    with bound(api, "mutating", ns, {}, mutations=more, reinvocationPolicy="Never"):
        assert api.post(at(ns), deployment("web", 1))["spec"]["replicas"] == 101
        assert api.get(f"{at(ns)}/web")["spec"]["replicas"] == 101


@spec(
    "[sig-api-machinery] MutatingAdmissionPolicy [Privileged:ClusterAdmin] should mutate a Deployment with annotations"
)
def test_annotated(api: Api, ns: str) -> None:
    more = apply("Object{metadata: Object.metadata{annotations: {'my-foo-annotation': 'myAnnotationValue'}}}")
    with bound(api, "mutating", ns, {}, mutations=more, reinvocationPolicy="Never"):
        found = api.post(at(ns), deployment("web", 1))
        assert found["metadata"]["annotations"]["my-foo-annotation"] == "myAnnotationValue"
