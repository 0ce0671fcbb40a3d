"""Rules of Ingress and IngressClass.

Source: https://kubernetes.io/docs/concepts/services-networking/ingress/
"""

from __future__ import annotations

from collections.abc import Iterable

from navarch.base.errors import Cause
from navarch.kinds.rules import Faults, address, domain_prefixed, is_ip
from navarch.objects import names
from navarch.objects.value import Document, dig

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
NOT_IN_PATHS = ("//", "/./", "/../", "%2f", "%2F")
NOT_AT_THE_END = ("/..", "/.")
SCOPES = ("Cluster", "Namespace")
CONTROLLER_MAX = 250
NOT_AN_IP = "must be a DNS name, not an IP address"


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    if old is not None and spec == old.get("spec"):
        return ()
    annotated = dig(new, "metadata", "annotations", CLASS_ANNOTATION)
    chosen = spec.get("ingressClassName")
    if not spec.get("rules") and "defaultBackend" not in spec:
        faults.invalid("spec", spec.get("rules"), "either `defaultBackend` or `rules` must be specified")
    if "defaultBackend" in spec:
        _backend(faults, spec["defaultBackend"], "spec.defaultBackend")
    for index, rule in enumerate(spec.get("rules") or ()):
        _rule(faults, rule, f"spec.rules[{index}]")
    for index, tls in enumerate(spec.get("tls") or ()):
        for number, host in enumerate(tls.get("hosts") or ()):
            _host(faults, host, f"spec.tls[{index}].hosts[{number}]")
        if name := tls.get("secretName"):
            faults.checked(f"spec.tls[{index}].secretName", name, names.dns_subdomain(name))
    if chosen is not None:
        faults.checked("spec.ingressClassName", chosen, names.dns_subdomain(chosen))
    if old is None and annotated is not None and chosen is not None and annotated != chosen:
        detail = "must match `ingressClassName` when both are specified"
        faults.invalid(f"annotations.{CLASS_ANNOTATION}", annotated, detail)
    return faults.causes


def _host(faults: Faults, host: str, field: str) -> None:
    check = names.wildcard_dns_subdomain if "*" in host else names.dns_subdomain
    faults.checked(field, host, check(host))


def _rule(faults: Faults, rule: Document, path: str) -> None:
    if host := rule.get("host"):
        if is_ip(host):
            faults.invalid(f"{path}.host", host, NOT_AN_IP)
        _host(faults, host, f"{path}.host")
    if "http" not in rule:
        return
    found = rule["http"].get("paths") or []
    if not found:
        faults.required(f"{path}.http.paths")
    for index, one in enumerate(found):
        _path(faults, one, f"{path}.http.paths[{index}]")
        if "pathType" in one:
            _backend(faults, one.get("backend") or {}, f"{path}.http.paths[{index}].backend")


def _path(faults: Faults, found: Document, path: str) -> None:
    text, type_ = found.get("path", ""), found.get("pathType")
    if type_ is None:
        faults.required(f"{path}.pathType", "pathType must be specified")
        return
    if type_ not in PATH_TYPES:
        faults.unsupported(f"{path}.pathType", type_, PATH_TYPES)
        return
    if (text or type_ != "ImplementationSpecific") and not text.startswith("/"):
        faults.invalid(f"{path}.path", text, "must be an absolute path")
    if type_ == "ImplementationSpecific":
        return
    for sequence in NOT_IN_PATHS:
        if sequence in text:
            faults.invalid(f"{path}.path", text, f"must not contain '{sequence}'")
    for sequence in NOT_AT_THE_END:
        if text.endswith(sequence):
            faults.invalid(f"{path}.path", text, f"cannot end with '{sequence}'")


def _backend(faults: Faults, found: Document, path: str) -> None:
    service, resource = found.get("service"), found.get("resource")
    if service is not None and resource is not None:
        faults.invalid(path, "", "cannot set both resource and service backends")
    elif resource is not None:
        _resource(faults, resource, f"{path}.resource")
    elif service is not None:
        _service(faults, service, path)
    else:
        faults.invalid(path, "", "resource or service backend is required")


def _service(faults: Faults, service: Document, path: str) -> None:
    if not service.get("name"):
        faults.required(f"{path}.service.name")
    else:
        faults.checked(f"{path}.service.name", service["name"], names.dns_label_1035(service["name"]))
    name, number = dig(service, "port", "name", default=""), dig(service, "port", "number", default=0)
    if name and number:
        faults.invalid(path, "", "cannot set both port name & port number")
    elif name:
        faults.checked(f"{path}.service.port.name", name, names.port_name(name))
    elif number:
        faults.checked(f"{path}.service.port.number", number, names.port(number))
    else:
        faults.required(path, "port name or number is required")


def _resource(faults: Faults, found: Document, path: str) -> None:
    """A reference to something by its group, kind and name."""
    if group := found.get("apiGroup"):
        faults.checked(f"{path}.apiGroup", group, names.dns_subdomain(group))
    for field in ("kind", "name"):
        if not found.get(field):
            faults.required(f"{path}.{field}", f"{field} is required")
        else:
            faults.checked(f"{path}.{field}", found[field], names.path_segment(found[field]))


def status_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    """Of where an Ingress is reached."""
    faults = Faults()
    path = ("status", "loadBalancer", "ingress")
    known = {point.get("ip", "") for point in dig(old, *path, default=())}
    for index, point in enumerate(dig(new, *path, default=())):
        where = f"{'.'.join(path)}[{index}]"
        if found := point.get("ip"):
            address(faults, found, f"{where}.ip", known)
        if host := point.get("hostname"):
            faults.checked(f"{where}.hostname", host, names.dns_subdomain(host))
            if is_ip(host):
                faults.invalid(f"{where}.hostname", host, NOT_AN_IP)
    return faults.causes


def class_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    controller = spec.get("controller", "")
    if old is not None:
        faults.immutable("spec.controller", controller, dig(old, "spec", "controller", default=""))
    if len(controller) > CONTROLLER_MAX:
        faults.too_long("spec.controller", CONTROLLER_MAX)
    domain_prefixed(faults, controller, "spec.controller")
    if "parameters" not in spec:
        return faults.causes
    found: Document = spec["parameters"]
    _resource(faults, found, "spec.parameters")
    scope, namespace = found.get("scope"), found.get("namespace")
    faults.one_of("spec.parameters.scope", scope, SCOPES)
    if scope == "Namespace":
        if namespace is None:
            faults.required("spec.parameters.namespace", "`parameters.scope` is set to 'Namespace'")
        else:
            faults.checked("spec.parameters.namespace", namespace, names.dns_label(namespace))
    elif scope == "Cluster" and namespace is not None:
        faults.forbidden("spec.parameters.namespace", "`parameters.scope` is set to 'Cluster'")
    return faults.causes
