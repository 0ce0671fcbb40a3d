"""Admission policies as users of kubectl meet them: refused with the place, enforced, warned of, and changing."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from compat_driver import Kubectl

LIMITS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: replicalimits.policy.example.com}
spec:
  group: policy.example.com
  scope: Namespaced
  names: {plural: replicalimits, singular: replicalimit, kind: ReplicaLimit}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties: {maxReplicas: {type: integer}}
"""
POLICY = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: NAME}
spec:
  paramKind: {apiVersion: PARAM_VERSION, kind: PARAM_KIND}
  matchConstraints:
    resourceRules:
    - {apiGroups: [apps], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [deployments]}
  validations:
  - expression: object.spec.replicas <= int(params.LIMIT)
    messageExpression: "'at most %d replicas'.format([int(params.LIMIT)])"
    reason: Invalid
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: NAME}
spec:
  policyName: NAME
  validationActions: ACTIONS
  paramRef: {name: limit, parameterNotFoundAction: Deny}
  matchResources:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAMESPACE}}
"""
CUSTOM = {"PARAM_VERSION": "policy.example.com/v1", "PARAM_KIND": "ReplicaLimit", "LIMIT": "maxReplicas"}
MAP = {"PARAM_VERSION": "v1", "PARAM_KIND": "ConfigMap", "LIMIT": "data.most"}
MUTATION = """
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: NAME}
spec:
  matchConstraints:
    resourceRules:
    - {apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  matchConditions:
  - {name: once, expression: "!object.spec.containers.exists(c, c.name == 'mesh')"}
  failurePolicy: Fail
  reinvocationPolicy: IfNeeded
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration:
      expression: >
        Object{
          metadata: Object.metadata{labels: {"mesh": "yes"}},
          spec: Object.spec{containers: [Object.spec.containers{name: "mesh", image: "mesh:1"}]}
        }
  - patchType: JSONPatch
    jsonPatch:
      expression: >
        [JSONPatch{op: "add", path: "/metadata/labels/" + jsonpatch.escapeKey("example.com/seen"), value: "by-policy"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: NAME}
spec:
  policyName: NAME
  matchResources:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAMESPACE}}
"""


def filled(text: str, kubectl: Kubectl, **words: str) -> str:
    for word, value in {"NAMESPACE": kubectl.namespace, "NAME": f"p-{kubectl.namespace}", **words}.items():
        text = text.replace(word, value)
    return text


@pytest.fixture
def policies(one_kubectl: Kubectl) -> Iterator[Kubectl]:
    """kubectl, after which no policy is left."""
    yield one_kubectl
    for sort in ("validating", "mutating"):
        for what in (f"{sort}admissionpolicybinding", f"{sort}admissionpolicy"):
            one_kubectl("delete", what, f"p-{one_kubectl.namespace}", "--ignore-not-found")


def test_parameters_of_a_kind_of_ones_own(policies: Kubectl) -> None:
    policies.apply(LIMITS)
    policies("wait", "--for=condition=Established", "crd/replicalimits.policy.example.com", "--timeout=100s")
    limit = "apiVersion: policy.example.com/v1\nkind: ReplicaLimit\nmetadata: {name: limit}\nmaxReplicas: 2\n"
    policies.apply(filled(POLICY, policies, ACTIONS="[Deny]", **CUSTOM))
    make = ("create", "deployment", "web", "--image=nginx:1", "--replicas=3")
    missing = policies.refused(*make)
    assert "no params found for policy binding with `Deny` parameterNotFoundAction" in missing
    policies.apply(limit)
    name = f"p-{policies.namespace}"
    assert policies.refused(*make).strip() == (
        f'error: failed to create deployment: deployments.apps "web" is forbidden: ValidatingAdmissionPolicy '
        f"'{name}' with binding '{name}' denied request: at most 2 replicas"
    )
    policies("create", "deployment", "web", "--image=nginx:1", "--replicas=2")
    assert "at most 2 replicas" in policies.refused("patch", "deployment", "web", "-p", '{"spec":{"replicas":4}}')
    policies("patch", "replicalimit", "limit", "--type=merge", "-p", '{"maxReplicas":5}')
    policies("patch", "deployment", "web", "-p", '{"spec":{"replicas":4}}')


def test_parameters_in_a_configmap_and_warnings(policies: Kubectl) -> None:
    policies("create", "configmap", "limit", "--from-literal=most=1")
    policies.apply(filled(POLICY, policies, ACTIONS="[Warn, Audit]", **MAP))
    warned = policies.warned("create", "deployment", "web", "--image=nginx:1", "--replicas=3")
    name = f"p-{policies.namespace}"
    assert (
        f"Warning: Validation failed for ValidatingAdmissionPolicy '{name}' with binding '{name}': at most 1" in warned
    )


def test_expressions_are_checked_when_they_are_written(policies: Kubectl) -> None:
    wrong = filled(POLICY, policies, ACTIONS="[Deny]", **CUSTOM).replace(
        "object.spec.replicas <=", "object.spec.replicas <= <="
    )
    said = policies.refused("apply", "-f", "-", stdin=wrong)
    assert "spec.validations[0].expression: Invalid value:" in said
    assert "compilation failed: ERROR: <input>:1:25: Syntax error:" in said


def test_the_status_says_what_does_not_fit(policies: Kubectl) -> None:
    written = filled(POLICY, policies, ACTIONS="[Deny]", **MAP).replace("object.spec.replicas", "object.spec.replika")
    policies.apply(written)
    name = f"p-{policies.namespace}"
    where = "jsonpath={.status.typeChecking.expressionWarnings[0].warning}"
    policies("wait", "--for", f"{where}", f"validatingadmissionpolicy/{name}", "--timeout=100s")
    told = policies("get", "validatingadmissionpolicy", name, "-o", where)
    assert told.startswith("apps/v1, Kind=Deployment: ERROR: <input>:1:12: undefined field 'replika'")
    assert f"{name}" in policies("get", "validatingadmissionpolicy", name)


def test_pods_are_given_a_sidecar_and_labels(policies: Kubectl) -> None:
    policies.apply(filled(MUTATION, policies))
    policies("run", "web", "--image=nginx:1")
    found = json.loads(policies("get", "pod", "web", "-o", "json"))
    assert [one["name"] for one in found["spec"]["containers"]] == ["web", "mesh"]
    mesh = found["spec"]["containers"][1]
    assert mesh["volumeMounts"], "what is built in saw the container that the policy added"
    labels = found["metadata"]["labels"]
    assert (labels["mesh"], labels["example.com/seen"]) == ("yes", "by-policy")
