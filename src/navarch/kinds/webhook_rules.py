"""Rules of webhook configurations, and what they share with admission policies: which requests are meant.

Whether an expression is one is `policy_expressions`'s to say; here it only has to be there.

Source: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from navarch.base.errors import Cause
from navarch.kinds.rules import Faults, repeats
from navarch.objects import names
from navarch.objects.selector import check_document
from navarch.objects.value import Document

OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
SCOPES = ("*", "Cluster", "Namespaced")
FAILURES = ("Fail", "Ignore")
MATCHES = ("Equivalent", "Exact")
SIDE_EFFECTS = ("None", "NoneOnDryRun")
REINVOCATIONS = ("IfNeeded", "Never")
REVIEWS = ("v1", "v1beta1")
CONDITIONS_MAX = 64


def webhook_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    hooks: list[Document] = new.get("webhooks") or []
    before: list[Document] = (old or {}).get("webhooks") or []
    seen: set[str] = set()
    count = sum(len(hook.get("matchConditions") or ()) for hook in hooks)
    known = [hook.get("matchConditions") for hook in before] == [hook.get("matchConditions") for hook in hooks]
    if not known and count > CONDITIONS_MAX:
        from navarch.kinds import policy_expressions

        known = policy_expressions.too_many(faults, "webhooks", count)
    for index, hook in enumerate(hooks):
        where, name = f"webhooks[{index}]", hook.get("name", "")
        _hook(faults, hook, where)
        if not known:
            conditions(faults, hook.get("matchConditions") or [], f"{where}.matchConditions", {})
        _reviews(faults, hook.get("admissionReviewVersions") or [], f"{where}.admissionReviewVersions")
        if name and name in seen:
            faults.duplicate(f"{where}.name", name)
        seen.add(name)
    return faults.causes


def _qualified(faults: Faults, name: str, field: str) -> None:
    if not name:
        faults.required(field)
    elif messages := names.dns_subdomain(name):
        faults.invalid(field, name, ",".join(messages))
    elif name.count(".") < 2:
        faults.invalid(field, name, "should be a domain with at least three segments separated by dots")


def _hook(faults: Faults, hook: Document, path: str) -> None:
    _qualified(faults, hook.get("name", ""), f"{path}.name")
    for index, rule in enumerate(hook.get("rules") or ()):
        resource_rule(faults, rule, f"{path}.rules[{index}]")
    chosen(faults, hook, path, "failurePolicy", FAILURES)
    chosen(faults, hook, path, "matchPolicy", MATCHES)
    if "sideEffects" not in hook:
        faults.required(f"{path}.sideEffects", f"must specify one of {', '.join(SIDE_EFFECTS)}")
    else:
        chosen(faults, hook, path, "sideEffects", SIDE_EFFECTS)
    timeout_s = hook.get("timeoutSeconds")
    if timeout_s is not None and not 1 <= timeout_s <= 30:
        faults.invalid(f"{path}.timeoutSeconds", timeout_s, "the timeout value must be between 1 and 30 seconds")
    selectors(faults, hook, path)
    chosen(faults, hook, path, "reinvocationPolicy", REINVOCATIONS)
    _client(faults, hook.get("clientConfig") or {}, f"{path}.clientConfig")


def _reviews(faults: Faults, versions: list[str], path: str) -> None:
    if not versions:
        faults.required(path, f"must specify one of {', '.join(REVIEWS)}")
        return
    twice = repeats(versions)
    for index, version in enumerate(versions):
        if index in twice:
            faults.invalid(f"{path}[{index}]", version, "duplicate version")
        else:
            faults.checked(f"{path}[{index}]", version, names.dns_label_1035(version))
    if not set(versions) & set(REVIEWS):
        faults.invalid(path, versions, f"must include at least one of {', '.join(REVIEWS)}")


def chosen(faults: Faults, found: Document, path: str, field: str, supported: tuple[str, ...]) -> None:
    if field in found and found[field] not in supported:
        faults.unsupported(f"{path}.{field}", found[field], supported)


def selectors(faults: Faults, found: Document, path: str) -> None:
    for field in ("namespaceSelector", "objectSelector"):
        if field in found:
            faults.causes.extend(check_document(found[field], f"{path}.{field}"))


def _client(faults: Faults, client: Document, path: str) -> None:
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        faults.required(path, "exactly one of url or service is required")
    elif url is not None:
        webhook_url(faults, url, f"{path}.url")
    elif service is not None:
        webhook_service(faults, service, f"{path}.service")


def webhook_service(faults: Faults, service: Document, path: str) -> None:
    for field in ("name", "namespace"):
        if not service.get(field):
            faults.required(f"{path}.{field}", f"service {field} is required")
    if messages := names.port(service.get("port", 443)):
        faults.invalid(f"{path}.port", service["port"], f"port is not valid: {messages[0]}")
    route = service.get("path", "")
    if route in ("", "/"):
        return
    if route == "//":
        faults.invalid(f"{path}.path", route, "segment[0] may not be empty")
        return
    if not route.startswith("/"):
        faults.invalid(f"{path}.path", route, "must start with a '/'")
    for index, step in enumerate(route[1:].removesuffix("/").split("/")):
        if not step:
            faults.invalid(f"{path}.path", route, f"segment[{index}] may not be empty")
        for message in names.dns_subdomain(step) if step else ():
            faults.invalid(f"{path}.path", route, f"segment[{index}]: {message}")


def webhook_url(faults: Faults, text: str, path: str) -> None:
    form = "; desired format: https://host[/path]"
    try:
        url = urlsplit(text)
        host = url.netloc.rpartition("@")[2]
    except ValueError as error:
        faults.required(path, f"url must be a valid URL: {error}{form}")
        return
    if url.scheme != "https":
        faults.invalid(path, url.scheme, f"'https' is the only allowed URL scheme{form}")
    if not host:
        faults.invalid(path, "", f"host must be specified{form}")
    if "@" in url.netloc:
        faults.invalid(path, url.netloc.rpartition("@")[0], "user information is not permitted in the URL")
    if url.fragment:
        faults.invalid(path, url.fragment, "fragments are not permitted in the URL")
    if url.query:
        faults.invalid(path, url.query, "query parameters are not permitted in the URL")


def resource_rule(faults: Faults, rule: Document, path: str) -> None:
    _listed(faults, rule, path, "operations", "operations")
    for index, operation in enumerate(rule.get("operations") or ()):
        if operation not in OPERATIONS:
            faults.unsupported(f"{path}.operations[{index}]", operation, OPERATIONS)
    _listed(faults, rule, path, "apiGroups", "API groups")
    _listed(faults, rule, path, "apiVersions", "API versions")
    for index, version in enumerate(rule.get("apiVersions") or ()):
        if not version:
            faults.required(f"{path}.apiVersions[{index}]")
    _resources(faults, rule.get("resources") or [], f"{path}.resources")
    chosen(faults, rule, path, "scope", SCOPES)


def _listed(faults: Faults, rule: Document, path: str, field: str, what: str) -> None:
    values = rule.get(field) or []
    if not values:
        faults.required(f"{path}.{field}")
    elif "*" in values and len(values) > 1:
        faults.invalid(f"{path}.{field}", values, f"if '*' is present, must not specify other {what}")


def _resources(faults: Faults, resources: list[str], path: str) -> None:
    if not resources:
        faults.required(path)
    whole: set[str] = set()
    everywhere: set[str] = set()
    for index, resource in enumerate(resources):
        owner, slash, sub = resource.partition("/")
        if not resource:
            faults.required(f"{path}[{index}]")
        elif not slash:
            continue
        if slash and owner in whole:
            detail = f"if '{owner}/*' is present, must not specify {resource}"
            faults.invalid(f"{path}[{index}]", resource, detail)
        if slash and sub in everywhere:
            detail = f"if '*/{sub}' is present, must not specify {resource}"
            faults.invalid(f"{path}[{index}]", resource, detail)
        if sub == "*":
            whole.add(owner)
        if slash and owner == "*":
            everywhere.add(sub)
    if "*/*" in resources and len(resources) > 1:
        faults.invalid(path, resources, "if '*/*' is present, must not specify other resources")
    plain = [resource for resource in resources if resource and "/" not in resource]
    if "*" in plain and plain[-1] != "*":  # only the last of them counts, as in Kubernetes
        faults.invalid(path, resources, "if '*' is present, must not specify other resources without subresources")


def conditions(faults: Faults, found: list[Document], path: str, spec: Document) -> None:
    """`matchConditions`. spec: the policy's whose they are; {} for a webhook."""
    if len(found) > CONDITIONS_MAX:
        faults.too_many(path, len(found), CONDITIONS_MAX)
    seen: set[str] = set()
    for index, condition in enumerate(found[:CONDITIONS_MAX]):
        where, name = f"{path}[{index}]", condition.get("name", "")
        if text := condition.get("expression", "").strip():
            from navarch.kinds import policy_expressions

            policy_expressions.check_condition(faults, f"{where}.expression", text, spec)
        else:
            faults.required(f"{where}.expression")
        if not name:
            faults.required(f"{where}.name")
            continue
        faults.checked(f"{where}.name", name, names.qualified_name(name))
        if name in seen:
            faults.duplicate(f"{where}.name", name)
        seen.add(name)
