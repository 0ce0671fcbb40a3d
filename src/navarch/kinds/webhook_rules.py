"""Rules of what admission is configured with: webhooks, policies in CEL, and their bindings.

Whether an expression is one is `policy_expressions`'s to say; here it only has to be there.

Source: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/ and
https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from navarch.base.errors import Cause
from navarch.kinds.rules import Faults, repeats
from navarch.objects import names
from navarch.objects.selector import check_document
from navarch.objects.value import Document, dig

OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
SCOPES = ("*", "Cluster", "Namespaced")
FAILURES = ("Fail", "Ignore")
MATCHES = ("Equivalent", "Exact")
SIDE_EFFECTS = ("None", "NoneOnDryRun")
REINVOCATIONS = ("IfNeeded", "Never")
REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized")
ACTIONS = ("Audit", "Deny", "Warn")
NOT_FOUND_ACTIONS = ("Allow", "Deny")
PATCHES = ("ApplyConfiguration", "JSONPatch")
REVIEWS = ("v1", "v1beta1")
CONDITIONS_MAX = 64
AUDIT_MAX = 20


def webhook_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    seen: set[str] = set()
    before = {hook.get("name"): hook.get("matchConditions") for hook in (old or {}).get("webhooks") or ()}
    expressions = sum(len(hook.get("matchConditions") or ()) for hook in new.get("webhooks") or ())
    for index, hook in enumerate(new.get("webhooks") or ()):
        where, name = f"webhooks[{index}]", hook.get("name", "")
        if (conditions := hook.get("matchConditions")) and conditions != before.get(name):
            from navarch.kinds import policy_expressions

            if policy_expressions.too_many(faults, "webhooks", expressions):
                break
            policy_expressions.check_conditions(faults, conditions, f"{where}.matchConditions", {})
        _qualified(faults, name, f"{where}.name")
        if name in seen:
            faults.duplicate(f"{where}.name", name)
        seen.add(name)
        _hook(faults, hook, where)
    return faults.causes


def _qualified(faults: Faults, name: str, field: str) -> None:
    if not name:
        faults.required(field)
        return
    faults.checked(field, name, names.dns_subdomain(name))
    if name.count(".") < 2:
        faults.invalid(field, name, "should be a domain with at least three segments separated by dots")


def _hook(faults: Faults, hook: Document, path: str) -> None:
    _client(faults, hook.get("clientConfig") or {}, f"{path}.clientConfig")
    for index, rule in enumerate(hook.get("rules") or ()):
        resource_rule(faults, rule, f"{path}.rules[{index}]")
    _chosen(faults, hook, path, "failurePolicy", FAILURES)
    _chosen(faults, hook, path, "matchPolicy", MATCHES)
    _chosen(faults, hook, path, "reinvocationPolicy", REINVOCATIONS)
    if "sideEffects" not in hook:
        faults.required(f"{path}.sideEffects", f"must specify one of {', '.join(SIDE_EFFECTS)}")
    else:
        _chosen(faults, hook, path, "sideEffects", SIDE_EFFECTS)
    timeout_s = hook.get("timeoutSeconds")
    if timeout_s is not None and not 1 <= timeout_s <= 30:
        faults.invalid(f"{path}.timeoutSeconds", timeout_s, "the timeout value must be between 1 and 30 seconds")
    _selectors(faults, hook, path)
    _reviews(faults, hook.get("admissionReviewVersions") or [], f"{path}.admissionReviewVersions")
    _conditions(faults, hook.get("matchConditions") or [], f"{path}.matchConditions")


def _reviews(faults: Faults, versions: list[str], path: str) -> None:
    if not versions:
        faults.required(path, f"must specify one of {', '.join(REVIEWS)}")
        return
    twice = repeats(versions)
    for index, version in enumerate(versions):
        faults.checked(f"{path}[{index}]", version, names.dns_label_1035(version))
        if index in twice:
            faults.invalid(f"{path}[{index}]", version, "duplicate version")
    if not set(versions) & set(REVIEWS):
        faults.invalid(path, versions, f"must include at least one of {', '.join(REVIEWS)}")


def _chosen(faults: Faults, found: Document, path: str, field: str, supported: tuple[str, ...]) -> None:
    if field in found and found[field] not in supported:
        faults.unsupported(f"{path}.{field}", found[field], supported)


def _selectors(faults: Faults, found: Document, path: str) -> None:
    for field in ("namespaceSelector", "objectSelector"):
        if field in found:
            faults.causes.extend(check_document(found[field], f"{path}.{field}"))


def _client(faults: Faults, client: Document, path: str) -> None:
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        faults.required(path, "exactly one of url or service is required")
    elif url is not None:
        _url(faults, url, f"{path}.url")
    elif service is not None:
        for field in ("name", "namespace"):
            if not service.get(field):
                faults.required(f"{path}.service.{field}", f"service {field} is required")
        if messages := names.port(service.get("port", 443)):
            faults.invalid(f"{path}.service.port", service["port"], f"port is not valid: {messages[0]}")
        if (route := service.get("path")) is not None and not route.startswith("/"):
            faults.invalid(f"{path}.service.path", route, "must start with a '/'")


def _url(faults: Faults, text: str, path: str) -> None:
    try:
        url = urlsplit(text)
        host = url.hostname
    except ValueError as error:
        faults.required(path, f"url must be a valid URL: {error}")
        return
    form = "; desired format: https://host[/path]"
    if url.scheme != "https":
        faults.invalid(path, url.scheme, f"'https' is the only allowed URL scheme{form}")
    if not host:
        faults.invalid(path, "", f"host must be specified{form}")
    for part, value in (
        ("user information", url.username),
        ("query parameters", url.query),
        ("fragments", url.fragment),
    ):
        if value:
            faults.invalid(path, value, f"{part} are not permitted in the URL")


def resource_rule(faults: Faults, rule: Document, path: str) -> None:
    for field, what in (("operations", "operations"), ("apiGroups", "API groups"), ("apiVersions", "versions")):
        values = rule.get(field) or []
        if not values:
            faults.required(f"{path}.{field}")
        elif "*" in values and len(values) > 1:
            faults.invalid(f"{path}.{field}", values, f"if '*' is present, must not specify other {what}")
    for index, operation in enumerate(rule.get("operations") or ()):
        if operation not in OPERATIONS:
            faults.unsupported(f"{path}.operations[{index}]", operation, OPERATIONS)
    for index, version in enumerate(rule.get("apiVersions") or ()):
        if not version:
            faults.required(f"{path}.apiVersions[{index}]")
    _resources(faults, rule.get("resources") or [], f"{path}.resources")
    _chosen(faults, rule, path, "scope", SCOPES)


def _resources(faults: Faults, resources: list[str], path: str) -> None:
    if not resources:
        faults.required(path)
    for index, resource in enumerate(resources):
        if not resource:
            faults.required(f"{path}[{index}]")
    if "*/*" in resources and len(resources) > 1:
        faults.invalid(path, resources, "if '*/*' is present, must not specify other resources")
    elif "*" in resources and any("/" not in resource for resource in resources if resource != "*"):
        faults.invalid(path, resources, "if '*' is present, must not specify other resources without subresources")


def _conditions(faults: Faults, found: list[Document], path: str) -> None:
    if len(found) > CONDITIONS_MAX:
        faults.too_many(path, len(found), CONDITIONS_MAX)
    seen: set[str] = set()
    for index, condition in enumerate(found):
        where, name = f"{path}[{index}]", condition.get("name", "")
        _expression(faults, condition, f"{where}.expression")
        if not name:
            faults.required(f"{where}.name")
        else:
            faults.checked(f"{where}.name", name, names.qualified_name(name))
        if name in seen:
            faults.duplicate(f"{where}.name", name)
        seen.add(name)


def _expression(faults: Faults, found: Document, field: str) -> None:
    if not found.get(field.rpartition(".")[2], "").strip():
        faults.required(field)


def policy_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    """Of a ValidatingAdmissionPolicy."""
    faults = Faults()
    spec: Document = new.get("spec") or {}
    _policy(faults, spec)
    if old is None or spec != old.get("spec"):
        from navarch.kinds import policy_expressions as expressions

        expressions.check_policy(faults, spec)
    if not spec.get("validations") and not spec.get("auditAnnotations"):
        faults.required("spec.validations", "validations or auditAnnotations must be specified")
    for index, one in enumerate(spec.get("validations") or ()):
        where = f"spec.validations[{index}]"
        _expression(faults, one, f"{where}.expression")
        if "messageExpression" in one and not one["messageExpression"].strip():
            faults.invalid(f"{where}.messageExpression", one["messageExpression"], "must be non-empty if specified")
        if "message" in one and not one["message"].strip():
            faults.invalid(f"{where}.message", one["message"], "message must be non-empty if specified")
        if "\n" in one.get("message", "").strip():
            faults.invalid(f"{where}.message", one["message"], "message must not contain line breaks")
        _chosen(faults, one, where, "reason", REASONS)
    audits = spec.get("auditAnnotations") or []
    if len(audits) > AUDIT_MAX:
        faults.too_many("spec.auditAnnotations", len(audits), AUDIT_MAX)
    for index, one in enumerate(audits[:AUDIT_MAX]):
        where, key = f"spec.auditAnnotations[{index}]", one.get("key", "")
        faults.checked(f"{where}.key", key, names.qualified_name(key))
        _expression(faults, one, f"{where}.valueExpression")
        if key in [other.get("key") for other in audits[:index]]:
            faults.duplicate(f"{where}.key", key)
    return faults.causes


def mutation_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    """Of a MutatingAdmissionPolicy."""
    faults = Faults()
    spec: Document = new.get("spec") or {}
    _policy(faults, spec)
    if old is None or spec != old.get("spec"):
        from navarch.kinds import policy_expressions as expressions

        expressions.check_policy(faults, spec)
    if not spec.get("mutations"):
        faults.required("spec.mutations", "mutations must contain at least one item")
    for index, one in enumerate(spec.get("mutations") or ()):
        where, type_ = f"spec.mutations[{index}]", one.get("patchType", "")
        own, other = ("jsonPatch", "applyConfiguration") if type_ == PATCHES[1] else ("applyConfiguration", "jsonPatch")
        if type_ not in PATCHES:
            faults.one_of(f"{where}.patchType", type_, PATCHES)
        elif own not in one:
            faults.required(f"{where}.{own}", f"must be specified when patchType is {type_}")
        elif other in one:
            faults.forbidden(f"{where}.{other}", f"must not be specified when patchType is {type_}")
        else:
            _expression(faults, one[own], f"{where}.{own}.expression")
    faults.one_of("spec.reinvocationPolicy", spec.get("reinvocationPolicy"), REINVOCATIONS)
    return faults.causes


def _policy(faults: Faults, spec: Document) -> None:
    faults.one_of("spec.failurePolicy", spec.get("failurePolicy"), FAILURES)
    if "paramKind" in spec:
        for field in ("apiVersion", "kind"):
            if not spec["paramKind"].get(field):
                faults.required(f"spec.paramKind.{field}")
    if "matchConstraints" not in spec:
        faults.required("spec.matchConstraints")
    else:
        _matching(faults, spec["matchConstraints"], "spec.matchConstraints", True)
    _conditions(faults, spec.get("matchConditions") or [], "spec.matchConditions")
    seen: set[str] = set()
    for index, variable in enumerate(spec.get("variables") or ()):
        where, name = f"spec.variables[{index}]", variable.get("name", "")
        if not name:
            faults.required(f"{where}.name")
        elif names.c_identifier(name):
            faults.invalid(f"{where}.name", name, "name is not a valid CEL identifier")
        if name in seen:
            faults.duplicate(f"{where}.name", name)
        seen.add(name)
        _expression(faults, variable, f"{where}.expression")


def _matching(faults: Faults, found: Document, path: str, rules_needed: bool) -> None:
    _selectors(faults, found, path)
    faults.one_of(f"{path}.matchPolicy", found.get("matchPolicy"), MATCHES)
    if rules_needed and not found.get("resourceRules"):
        faults.required(f"{path}.resourceRules")
    for field in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(found.get(field) or ()):
            where = f"{path}.{field}[{index}]"
            resource_rule(faults, rule, where)
            chosen = rule.get("resourceNames") or []
            twice = repeats(chosen)
            for number, name in enumerate(chosen):
                faults.checked(f"{where}.resourceNames[{number}]", name, names.path_segment(name))
                if number in twice:
                    faults.duplicate(f"{where}.resourceNames[{number}]", name)


def binding_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    """Of the binding of either kind of policy."""
    faults = Faults()
    spec: Document = new.get("spec") or {}
    if not spec.get("policyName"):
        faults.required("spec.policyName")
    else:
        faults.checked("spec.policyName", spec["policyName"], names.dns_subdomain(spec["policyName"]))
    if "paramRef" in spec:
        _parameters(faults, spec["paramRef"], "spec.paramRef")
    if "matchResources" in spec:
        _matching(faults, spec["matchResources"], "spec.matchResources", False)
    if new.get("kind") != "ValidatingAdmissionPolicyBinding":
        return faults.causes
    actions = spec.get("validationActions") or []
    if not actions:
        faults.required("spec.validationActions")
    twice = repeats(actions)
    for index, action in enumerate(actions):
        if action not in ACTIONS:
            faults.unsupported(f"spec.validationActions[{index}]", action, ACTIONS)
        if index in twice:
            faults.duplicate(f"spec.validationActions[{index}]", action)
    if {"Deny", "Warn"} <= set(actions):
        detail = "must not contain both Deny and Warn (repeating the same validation failure information in the API "
        faults.invalid("spec.validationActions", actions, f"{detail}response and headers serves no purpose)")
    return faults.causes


def _parameters(faults: Faults, found: Document, path: str) -> None:
    name, selector = found.get("name", ""), found.get("selector")
    if name:
        faults.checked(f"{path}.name", name, names.path_segment(name))
        if selector is not None:
            faults.forbidden(f"{path}.name", "name and selector are mutually exclusive")
    elif selector is not None:
        faults.causes.extend(check_document(selector, f"{path}.selector"))
    else:
        faults.required(path, "one of name or selector must be specified")
    action = dig(found, "parameterNotFoundAction")
    faults.one_of(f"{path}.parameterNotFoundAction", action, NOT_FOUND_ACTIONS)
