"""Rules of admission policies in CEL and of their bindings.

What is wrong with an expression is `policy_expressions`'s to say, which is asked only when a policy's spec is another:
compiling takes milliseconds.

Source: https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/ and
https://kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from navarch.base.errors import Cause
from navarch.kinds.condition_rules import conditions as status_conditions
from navarch.kinds.rules import Faults, repeats
from navarch.kinds.webhook_rules import FAILURES, MATCHES, chosen, conditions, resource_rule, selectors
from navarch.objects import names
from navarch.objects.selector import check_document
from navarch.objects.value import Document, dig

if TYPE_CHECKING:
    from navarch.kinds.policy_expressions import Compiler

REINVOCATIONS = ("Never", "IfNeeded")
REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
ACTIONS = ("Audit", "Deny", "Warn")
NOT_FOUND_ACTIONS = ("Deny", "Allow")
PATCHES = ("ApplyConfiguration", "JSONPatch")
MUTABLE = ("*", "CONNECT", "CREATE", "UPDATE")
AUDIT_MAX = 20
AUDIT_EXPRESSION_MAX = 5 * 1024
RESERVED = re.compile(
    "true|false|null|in|as|break|const|continue|else|for|function|if|import|let|loop|package|namespace|return|var|void"
    "|while"
)
_LINE_BREAK = re.compile("[\n\r]")


def _compiler(faults: Faults, spec: Document, old: Document | None) -> Compiler | None:
    """None where the spec is as it was: its expressions were good then; and where there are too many of them."""
    if old is not None and spec == (old.get("spec") or {}):
        return None
    from navarch.kinds.policy_expressions import LISTS, Compiler, too_many

    return None if too_many(faults, "spec", sum(len(spec.get(field) or ()) for field in LISTS)) else Compiler(spec)


def policy_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    """Of a ValidatingAdmissionPolicy."""
    faults = Faults()
    spec: Document = new.get("spec") or {}
    compiler = _compiler(faults, spec, old)
    _policy(faults, spec, old, compiler)
    audits = spec.get("auditAnnotations") or []
    if not spec.get("validations") and not audits:
        for field in ("validations", "auditAnnotations"):
            faults.required(f"spec.{field}", "validations or auditAnnotations must contain at least one item")
    for index, one in enumerate(spec.get("validations") or ()):
        _validation(faults, one, f"spec.validations[{index}]", compiler)
    if len(audits) > AUDIT_MAX:
        faults.invalid("spec.auditAnnotations", audits, f"must not have more than {AUDIT_MAX} auditAnnotations")
    name = dig(new, "metadata", "name", default="")
    seen: set[str] = set()
    for index, one in enumerate(audits[:AUDIT_MAX]):
        where, key = f"spec.auditAnnotations[{index}]", one.get("key", "")
        if name:
            faults.checked(f"{where}.key", f"{name}/{key}", names.qualified_name(f"{name}/{key}"))
        else:
            faults.invalid(f"{where}.key", key, "requires metadata.name be non-empty")
        _annotation(faults, one.get("valueExpression", ""), f"{where}.valueExpression", compiler)
        if key in seen:
            faults.duplicate(f"{where}.key", key)
        seen.add(key)
    return faults.causes


def _validation(faults: Faults, one: Document, path: str, compiler: Compiler | None) -> None:
    text, said, words = one.get("expression", ""), one.get("messageExpression", ""), one.get("message", "")
    if not text.strip():
        faults.required(f"{path}.expression", "expression is not specified")
    elif compiler is not None:
        compiler.check(faults, f"{path}.expression", text, ("bool",))
    if said and not said.strip():
        faults.invalid(f"{path}.messageExpression", said, "must be non-empty if specified")
    elif said and compiler is not None:
        compiler.check_message(faults, f"{path}.messageExpression", said)
    if words and not words.strip():
        faults.invalid(f"{path}.message", words, "message must be non-empty if specified")
    elif _LINE_BREAK.search(words.strip()):
        faults.invalid(f"{path}.message", words, "message must not contain line breaks")
    chosen(faults, one, path, "reason", REASONS)


def _annotation(faults: Faults, text: str, field: str, compiler: Compiler | None) -> None:
    if not text.strip():
        faults.required(field, "valueExpression is not specified")
    elif len(text.strip().encode()) > AUDIT_EXPRESSION_MAX:
        faults.required(field, f"must not exceed {AUDIT_EXPRESSION_MAX} bytes in length")
    elif compiler is not None:
        compiler.check(faults, field, text, ("string", "null_type"))


def mutation_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    """Of a MutatingAdmissionPolicy."""
    faults = Faults()
    spec: Document = new.get("spec") or {}
    compiler = _compiler(faults, spec, old)
    _policy(faults, spec, old, compiler, mutating=True)
    if not spec.get("mutations"):
        faults.required("spec.mutations", "mutations must contain at least one item")
    for index, one in enumerate(spec.get("mutations") or ()):
        _mutation(faults, one, f"spec.mutations[{index}]", compiler)
    faults.one_of("spec.reinvocationPolicy", spec.get("reinvocationPolicy"), REINVOCATIONS)
    return faults.causes


def _mutation(faults: Faults, one: Document, path: str, compiler: Compiler | None) -> None:
    type_ = one.get("patchType", "")
    if type_ not in PATCHES:
        faults.one_of(f"{path}.patchType", type_, PATCHES)
        return
    own, other = ("jsonPatch", "applyConfiguration") if type_ == "JSONPatch" else ("applyConfiguration", "jsonPatch")
    if own not in one:
        faults.required(f"{path}.{own}", f"must be specified when patchType is {type_}")
    elif not (text := one[own].get("expression", "")).strip():
        faults.required(f"{path}.{own}.expression")
    elif compiler is not None:
        wanted = ("list(JSONPatch)",) if type_ == "JSONPatch" else ("Object",)
        compiler.check(faults, f"{path}.{own}.expression", text, wanted)
    if other in one:
        faults.invalid(f"{path}.{other}", f"{{{other}}}", f"must not be specified when patchType is {type_}")


def _policy(
    faults: Faults, spec: Document, old: Document | None, compiler: Compiler | None, mutating: bool = False
) -> None:
    """What both sorts of policies have."""
    faults.one_of("spec.failurePolicy", spec.get("failurePolicy"), FAILURES)
    if "paramKind" in spec:
        _parameter_kind(faults, spec["paramKind"], "spec.paramKind")
    if "matchConstraints" not in spec:
        faults.required("spec.matchConstraints")
    else:
        _matching(faults, spec["matchConstraints"], "spec.matchConstraints")
        if not spec["matchConstraints"].get("resourceRules"):
            faults.required("spec.matchConstraints.resourceRules")
        if mutating:
            _mutable(faults, spec["matchConstraints"], "spec.matchConstraints")
    was: Document = (old or {}).get("spec") or {}
    if old is None or any(spec.get(field) != was.get(field) for field in ("paramKind", "matchConditions")):
        conditions(faults, spec.get("matchConditions") or [], "spec.matchConditions", spec)
    for index, variable in enumerate(spec.get("variables") or ()):
        where, name, text = f"spec.variables[{index}]", variable.get("name", ""), variable.get("expression", "")
        if not name.strip():
            faults.required(f"{where}.name", "name is not specified")
        elif names.c_identifier(name) or RESERVED.fullmatch(name):
            faults.invalid(f"{where}.name", name, "name is not a valid CEL identifier")
        if not text.strip():
            faults.required(f"{where}.expression", "expression is not specified")
        elif compiler is not None:
            compiler.check_variable(faults, f"{where}.expression", name, text)


def _mutable(faults: Faults, found: Document, path: str) -> None:
    """Nothing is changed of what is being deleted."""
    for rule in found.get("resourceRules") or ():
        for operation in rule.get("operations") or ():
            if operation not in MUTABLE:
                faults.unsupported(f"{path}.resourceRules.operations", operation, MUTABLE)


def _parameter_kind(faults: Faults, found: Document, path: str) -> None:
    api_version, kind = found.get("apiVersion", ""), found.get("kind", "")
    group, _, version = api_version.rpartition("/")
    if not api_version:
        faults.required(f"{path}.apiVersion")
    elif "/" in group:
        faults.invalid(f"{path}.apiVersion", api_version, f"unexpected GroupVersion string: {api_version}")
    else:
        if group and (messages := names.dns_subdomain(group)):
            faults.invalid(f"{path}.apiVersion", group, ",".join(messages))
        if not version:
            faults.invalid(f"{path}.apiVersion", api_version, "version must be specified")
        elif messages := names.dns_label_1035(version):
            faults.invalid(f"{path}.apiVersion", version, ",".join(messages))
    if not kind:
        faults.required(f"{path}.kind")
    elif messages := names.dns_label_1035(kind.lower()):
        detail = f"may have mixed case, but should otherwise match: {','.join(messages)}"
        faults.invalid(f"{path}.kind", kind, detail)


def _matching(faults: Faults, found: Document, path: str) -> None:
    faults.one_of(f"{path}.matchPolicy", found.get("matchPolicy"), MATCHES)
    selectors(faults, found, path)
    for field in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(found.get(field) or ()):
            where = f"{path}.{field}[{index}]"
            named = rule.get("resourceNames") or []
            twice = repeats(named)
            for number, name in enumerate(named):
                faults.checked(f"{where}.resourceNames[{number}]", name, names.path_segment(name))
                if number in twice:
                    faults.duplicate(f"{where}.resourceNames[{number}]", name)
            resource_rule(faults, rule, where)


def binding_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    """Of the binding of either kind of policy."""
    faults = Faults()
    spec: Document = new.get("spec") or {}
    validating = new.get("kind") == "ValidatingAdmissionPolicyBinding"
    if not spec.get("policyName"):
        faults.required("spec.policyName")
    else:
        faults.checked("spec.policyName", spec["policyName"], names.dns_subdomain(spec["policyName"]))
    if "paramRef" in spec:
        _parameters(faults, spec["paramRef"], "spec.paramRef")
    if "matchResources" in spec:
        _matching(faults, spec["matchResources"], "spec.matchResources")
        if not validating:
            _mutable(faults, spec["matchResources"], "spec.matchResources")
    if validating:
        _actions(faults, spec.get("validationActions") or [], "spec.validationActions")
    return faults.causes


def _actions(faults: Faults, actions: list[str], path: str) -> None:
    twice = repeats(actions)
    for index, action in enumerate(actions):
        if action not in ACTIONS:
            faults.unsupported(f"{path}[{index}]", action, ACTIONS)
        if index in twice:
            faults.duplicate(f"{path}[{index}]", action)
    if {"Deny", "Warn"} <= set(actions):
        detail = "must not contain both Deny and Warn (repeating the same validation failure information in the API "
        faults.invalid(path, actions, f"{detail}response and headers serves no purpose)")
    if not actions:
        faults.required(path, "at least one validation action is required")


def _parameters(faults: Faults, found: Document, path: str) -> None:
    name, selector = found.get("name", ""), found.get("selector")
    both = "name and selector are mutually exclusive"
    if name:
        faults.checked(f"{path}.name", name, names.path_segment(name))
        if selector is not None:
            faults.forbidden(f"{path}.name", both)
    if selector is not None:
        faults.causes.extend(check_document(selector, f"{path}.selector"))
        if name:
            faults.forbidden(f"{path}.selector", both)
    if not name and selector is None:
        faults.required(path, "one of name or selector must be specified")
    faults.one_of(f"{path}.parameterNotFoundAction", found.get("parameterNotFoundAction"), NOT_FOUND_ACTIONS)


def status_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    """Of what the type checker says about a ValidatingAdmissionPolicy."""
    faults = Faults()
    warnings: list[Document] = dig(new, "status", "typeChecking", "expressionWarnings", default=[])
    for index, warning in enumerate(warnings):
        for field in ("warning", "fieldRef"):
            if not warning.get(field, "").strip():
                faults.required(f"status.typeChecking.expressionWarnings[{index}].{field}")
    status_conditions(faults, dig(new, "status", "conditions", default=[]), "status.conditions")
    return faults.causes
