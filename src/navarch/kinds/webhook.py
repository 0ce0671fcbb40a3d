"""What admission is configured with: webhook configurations, admission policies, and the bindings of those.

Source: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/ and
https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from navarch.kinds.kind import Column, Kind
from navarch.kinds.policy_rules import binding_rules, mutation_rules, policy_rules, status_rules
from navarch.kinds.printing import UNSET
from navarch.kinds.webhook_rules import webhook_rules
from navarch.objects.value import Document, Draft, dig

GROUP = "admissionregistration.k8s.io"


def default_validating(draft: Draft) -> None:
    for index in draft.each("webhooks"):
        hook = ("webhooks", index)
        draft.default("Fail", *hook, "failurePolicy")
        draft.default("Equivalent", *hook, "matchPolicy")
        draft.default({}, *hook, "namespaceSelector")
        draft.default({}, *hook, "objectSelector")
        draft.default(10, *hook, "timeoutSeconds")
        if draft.has(*hook, "clientConfig", "service"):
            draft.default(443, *hook, "clientConfig", "service", "port")
        for rule in draft.each(*hook, "rules"):
            draft.default("*", *hook, "rules", rule, "scope")


def default_mutating(draft: Draft) -> None:
    default_validating(draft)
    for index in draft.each("webhooks"):
        draft.default("Never", "webhooks", index, "reinvocationPolicy")


def default_policy(draft: Draft) -> None:
    draft.default("Fail", "spec", "failurePolicy")
    _default_matching(draft, "matchConstraints")


def default_binding(draft: Draft) -> None:
    _default_matching(draft, "matchResources")


def _default_matching(draft: Draft, field: str) -> None:
    if not draft.has("spec", field):
        return
    draft.default("Equivalent", "spec", field, "matchPolicy")
    draft.default({}, "spec", field, "namespaceSelector")
    draft.default({}, "spec", field, "objectSelector")
    for rules in ("resourceRules", "excludeResourceRules"):
        for index in draft.each("spec", field, rules):
            draft.default("*", "spec", field, rules, index, "scope")


def prepare_policy(draft: Draft, old: Document | None) -> None:
    if old is None:
        draft.set({}, "status")


def _hooks(found: Document, now: datetime) -> int:
    return len(found.get("webhooks") or ())


def _validations(found: Document, now: datetime) -> int:
    return len(dig(found, "spec", "validations", default=()))


def _mutations(found: Document, now: datetime) -> int:
    return len(dig(found, "spec", "mutations", default=()))


def _parameters(found: Document, now: datetime) -> str:
    kind = dig(found, "spec", "paramKind")
    return UNSET if kind is None else f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}"


def _reference(found: Document, now: datetime) -> str:
    reference = dig(found, "spec", "paramRef")
    if reference is None:
        return UNSET
    if reference.get("name"):
        return f"{reference.get('namespace') or '*'}/{reference['name']}"
    selector = reference.get("selector")
    return UNSET if selector is None else _as_go(selector)


def _as_go(selector: Document) -> str:
    """A label selector as Kubernetes prints this one."""
    labels = "".join(f"{key}: {value}," for key, value in sorted((selector.get("matchLabels") or {}).items()))
    terms = "".join(
        f"LabelSelectorRequirement{{Key:{one.get('key', '')},Operator:{one.get('operator', '')},"
        f"Values:[{' '.join(one.get('values') or ())}],}},"
        for one in selector.get("matchExpressions") or ()
    )
    both = f"MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{terms}}}"
    return f"&LabelSelector{{{both},}}"


VALIDATINGWEBHOOKCONFIGURATION = Kind(
    group=GROUP,
    version="v1",
    name="ValidatingWebhookConfiguration",
    plural="validatingwebhookconfigurations",
    categories=("api-extensions",),
    namespaced=False,
    default=default_validating,
    rules=webhook_rules,
    columns=(Column("Webhooks", _hooks, type="integer", description="How many webhooks it names."),),
)

MUTATINGWEBHOOKCONFIGURATION = replace(
    VALIDATINGWEBHOOKCONFIGURATION,
    name="MutatingWebhookConfiguration",
    plural="mutatingwebhookconfigurations",
    default=default_mutating,
)

VALIDATINGADMISSIONPOLICY = Kind(
    group=GROUP,
    version="v1",
    name="ValidatingAdmissionPolicy",
    plural="validatingadmissionpolicies",
    categories=("api-extensions",),
    namespaced=False,
    default=default_policy,
    rules=policy_rules,
    prepare=prepare_policy,
    subresources=("status",),
    subresource_rules={"status": status_rules},
    columns=(
        Column("Validations", _validations, type="integer", description="How many things it checks."),
        Column("ParamKind", _parameters, description="The kind of its parameters."),
    ),
)

VALIDATINGADMISSIONPOLICYBINDING = Kind(
    group=GROUP,
    version="v1",
    name="ValidatingAdmissionPolicyBinding",
    plural="validatingadmissionpolicybindings",
    categories=("api-extensions",),
    namespaced=False,
    default=default_binding,
    rules=binding_rules,
    columns=(
        Column("PolicyName", ".spec.policyName", description="The policy."),
        Column("ParamRef", _reference, description="Its parameters."),
    ),
)

MUTATINGADMISSIONPOLICY = replace(
    VALIDATINGADMISSIONPOLICY,
    name="MutatingAdmissionPolicy",
    plural="mutatingadmissionpolicies",
    rules=mutation_rules,
    prepare=None,
    subresources=(),
    subresource_rules={},
    columns=(
        Column("Mutations", _mutations, type="integer", description="How many things it changes."),
        Column("ParamKind", _parameters, description="The kind of its parameters."),
    ),
)

MUTATINGADMISSIONPOLICYBINDING = replace(
    VALIDATINGADMISSIONPOLICYBINDING,
    name="MutatingAdmissionPolicyBinding",
    plural="mutatingadmissionpolicybindings",
)
