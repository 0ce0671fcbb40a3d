"""Rules of a pod's spec, in a Pod or in a template.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#PodSpec
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from navarch.kinds.podspec.container_rules import (
    container,
    image,
    init_container,
    main_container,
    mounted,
    trimmed_image,
)
from navarch.kinds.podspec.placement_rules import affinity, spread_constraints, tolerations
from navarch.kinds.podspec.resource_rules import pod_resources, resources
from navarch.kinds.podspec.security_rules import pod_security
from navarch.kinds.podspec.volume_rules import volumes
from navarch.kinds.podspec.windows_rules import windows_pod
from navarch.kinds.rules import INT32_MAX, Faults, Passed, address, check_labels
from navarch.objects import names
from navarch.objects.value import Document

RESTART_POLICIES = ("Always", "OnFailure", "Never")
DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
PREEMPTION_POLICIES = ("PreemptLowerPriority", "Never")
NAMESERVERS_MAX = 3
SEARCHES_MAX = 32
SEARCHES_MAX_BYTES = 2048
CLAIM_SOURCES = ("resourceClaimName", "resourceClaimTemplateName")
SYSTEMS = ("linux", "windows")
EPHEMERAL_FORBIDDEN = ("ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "resizePolicy")


def pod_spec(faults: Faults, spec: Document, path: str, is_pod: bool = False) -> None:
    """spec: with defaults filled in. is_pod: whether it is a pod's own, not a template's."""
    by_name = volumes(faults, spec["volumes"], f"{path}.volumes") if "volumes" in spec else {}
    if "resourceClaims" in spec:
        _resource_claims(faults, spec["resourceClaims"], f"{path}.resourceClaims")
    _containers(faults, spec, path, by_name, is_pod)
    if "resources" in spec:
        pod_resources(faults, spec, f"{path}.resources")
    if spec.get("hostNetwork"):
        _same_ports(faults, spec, f"{path}.containers", is_pod)
    faults.one_of(f"{path}.restartPolicy", spec.get("restartPolicy"), RESTART_POLICIES)
    faults.one_of(f"{path}.dnsPolicy", spec.get("dnsPolicy"), DNS_POLICIES)
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        detail = "ShareProcessNamespace and HostPID cannot both be enabled"
        faults.invalid(f"{path}.securityContext.shareProcessNamespace", True, detail)
    if spec.get("securityContext"):
        pod_security(faults, spec, f"{path}.securityContext")
    if spec.get("dnsPolicy") == "None" and not (spec.get("dnsConfig") or {}).get("nameservers"):
        _no_nameserver(faults, spec, f"{path}.dnsConfig")
    for field in _DETAILED:
        if field in spec:
            _DETAILS[field](faults, spec, spec[field], f"{path}.{field}")


def _no_nameserver(faults: Faults, spec: Document, field: str) -> None:
    if "dnsConfig" not in spec:
        faults.required(field, "must provide `dnsConfig` when `dnsPolicy` is None")
    else:
        faults.required(f"{field}.nameservers", "must provide at least one DNS nameserver when `dnsPolicy` is None")


def _same_ports(faults: Faults, spec: Document, path: str, is_pod: bool) -> None:
    """On the node's own network a port cannot be mapped; a template may leave it to its pods."""
    for number, found in enumerate(spec.get("containers") or ()):
        for index, port in enumerate(found.get("ports") or ()):
            outside = port.get("hostPort", 0)
            if (is_pod or outside) and outside != port.get("containerPort", 0):
                detail = "must match `containerPort` when `hostNetwork` is true"
                faults.invalid(f"{path}[{number}].ports[{index}].hostPort", outside, detail)


def _containers(faults: Faults, spec: Document, path: str, by_name: dict[str, Document], is_pod: bool) -> None:
    taken: set[str] = set()
    host_ports: set[tuple[Any, ...]] = set()
    if not spec.get("containers"):
        faults.required(f"{path}.containers")
    for field, own in (("containers", main_container), ("initContainers", init_container)):
        for index, found in enumerate(spec.get(field) or ()):
            where = f"{path}.{field}[{index}]"
            encoded = _apart(found, field, spec)
            if encoded in _PASSED:
                image(faults, found, where)
                mounted(faults, found, where, by_name)
            else:
                before = len(faults.causes)
                container(faults, found, where, by_name, spec)
                own(faults, found, where, spec.get("terminationGracePeriodSeconds"))
                if len(faults.causes) == before:
                    _PASSED.add(encoded)
            _unique(faults, found, where, taken)
            if "ports" in found:
                shared = host_ports if field == "containers" else set()
                _host_ports(faults, found["ports"], f"{where}.ports", shared)
            if is_pod:
                trimmed_image(faults, found, where)
    for index, found in enumerate(spec.get("ephemeralContainers") or ()):
        where = f"{path}.ephemeralContainers[{index}]"
        container(faults, found, where, by_name, spec)
        trimmed_image(faults, found, where)
        _unique(faults, found, where, taken)
        _ephemeral(faults, found, where, spec)


APART = ("volumeMounts", "volumeDevices", "image")
AROUND = ("restartPolicy", "terminationGracePeriodSeconds", "hostUsers", "resourceClaims")
"""What a container's own rules look at of the spec around it."""

_PASSED = Passed()


def _apart(found: Document, field: str, spec: Document) -> bytes:
    """Everything that a container's own rules look at, apart from its mounts, whose volumes have their own names, and
    its image, which is what differs from one version of a template to the next."""
    content = {name: value for name, value in found.items() if name not in APART}
    around = [spec[name] for name in AROUND if name in spec]
    return orjson.dumps((field, around, content))


def _unique(faults: Faults, found: Document, path: str, taken: set[str]) -> None:
    name = found.get("name", "")
    if name in taken and name:
        faults.duplicate(f"{path}.name", name)
    taken.add(name)


def _host_ports(faults: Faults, ports: list[Document], path: str, taken: set[tuple[Any, ...]]) -> None:
    for index, port in enumerate(ports):
        if outside := port.get("hostPort"):
            key = (port.get("protocol"), port.get("hostIP", ""), outside)
            if key in taken:
                faults.duplicate(f"{path}[{index}].hostPort", "/".join(map(str, key)))
            taken.add(key)


def _ephemeral(faults: Faults, found: Document, path: str, spec: Document) -> None:
    """A debugging container gets no ports, no probes and no resources of its own."""
    target = found.get("targetContainerName")
    known = {one.get("name") for field in ("containers", "initContainers") for one in spec.get(field) or ()}
    if target and target not in known:
        faults.not_found(f"{path}.targetContainerName", target)
    for field in (*EPHEMERAL_FORBIDDEN, *(("resources",) if found.get("resources") else ())):
        if field in found:
            faults.forbidden(f"{path}.{field}", "cannot be set for an Ephemeral Container")
    for index, mount in enumerate(found.get("volumeMounts") or ()):
        for inner in ("subPath", "subPathExpr"):
            if mount.get(inner):
                faults.forbidden(f"{path}.volumeMounts[{index}].{inner}", "cannot be set for an Ephemeral Container")


def _resource_claims(faults: Faults, found: list[Document], path: str) -> None:
    seen: set[str] = set()
    for index, claim in enumerate(found):
        name, where = claim.get("name", ""), f"{path}[{index}]"
        if not name:
            faults.required(f"{where}.name")
        elif name in seen:
            faults.duplicate(f"{where}.name", name)
        else:
            faults.checked(f"{where}.name", name, names.dns_label(name))
        seen.add(name)
        given = [field for field in CLAIM_SOURCES if field in claim]
        if len(given) > 1:
            detail = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            faults.invalid(where, claim, detail)
        if not given:
            detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            faults.invalid(where, claim, detail)
        for field in given:
            faults.checked(f"{where}.{field}", claim[field], names.dns_subdomain(claim[field]))


def _subdomain(faults: Faults, spec: Document, value: str, field: str) -> None:
    if value and (messages := names.dns_subdomain(value)):
        faults.checked(field, value, messages)


def _runtime_class(faults: Faults, spec: Document, value: str, field: str) -> None:
    faults.checked(field, value, names.dns_subdomain(value))


def _host_users(faults: Faults, spec: Document, value: bool, field: str) -> None:
    """A pod with users of its own cannot share other namespaces of the node's."""
    path = field.rpartition(".")[0]
    for shared, told in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
        if value is False and spec.get(shared):
            faults.forbidden(f"{path}.{told}", "when `pod.Spec.HostUsers` is false")


def _os(faults: Faults, spec: Document, value: Document, field: str) -> None:
    name, path = value.get("name", ""), field.rpartition(".")[0]
    if not name:
        faults.required(f"{field}.name", "cannot be empty")
    elif name not in SYSTEMS:
        faults.unsupported(field, name, SYSTEMS)
    elif name == "linux":
        for found, where in _secured(spec, path):
            if "windowsOptions" in found["securityContext"]:
                detail = "windows options cannot be set for a linux pod"
                faults.forbidden(f"{where}.securityContext.windowsOptions", detail)
    else:
        windows_pod(faults, spec, path, _secured(spec, path))


def _secured(spec: Document, path: str) -> list[tuple[Document, str]]:
    """The pod and its containers that say something of their security, with their paths; the pod first."""
    whole = [(spec, path)]
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        whole += [(found, f"{path}.{kind}[{index}]") for index, found in enumerate(spec.get(kind) or ())]
    return [(found, where) for found, where in whole if found.get("securityContext")]


def _deadline(faults: Faults, spec: Document, value: int, field: str) -> None:
    faults.between(field, value, 1, INT32_MAX)


def _node_selector(faults: Faults, spec: Document, value: Document, field: str) -> None:
    check_labels(faults, value, field)


def _tolerations(faults: Faults, spec: Document, value: list[Document], field: str) -> None:
    tolerations(faults, value, field)


def _spreading(faults: Faults, spec: Document, value: list[Document], field: str) -> None:
    spread_constraints(faults, value, field)


def _affinity(faults: Faults, spec: Document, value: Document, field: str) -> None:
    affinity(faults, value, field)


def _host_label(faults: Faults, spec: Document, value: str, field: str) -> None:
    """Of `hostname` and `subdomain`."""
    if value:
        faults.checked(field, value, names.dns_label(value))


def _aliases(faults: Faults, spec: Document, value: list[Document], field: str) -> None:
    for index, alias in enumerate(value):
        address(faults, alias.get("ip", ""), f"{field}[{index}].ip")
        for number, name in enumerate(alias.get("hostnames") or ()):
            faults.checked(f"{field}[{index}].hostnames[{number}]", name, names.dns_subdomain(name))


def _preemption(faults: Faults, spec: Document, value: str, field: str) -> None:
    faults.one_of(field, value, PREEMPTION_POLICIES)


def _readiness_gates(faults: Faults, spec: Document, value: list[Document], field: str) -> None:
    for index, gate in enumerate(value):
        condition = gate.get("conditionType", "")
        faults.checked(f"{field}[{index}].conditionType", condition, names.qualified_name(condition))


def _scheduling_gates(faults: Faults, spec: Document, value: list[Document], field: str) -> None:
    seen: set[str] = set()
    for index, gate in enumerate(value):
        name = gate.get("name", "")
        faults.checked(f"{field}[{index}]", name, names.qualified_name(name))
        if name in seen:
            faults.duplicate(f"{field}[{index}]", name)
        seen.add(name)


def _dns_config(faults: Faults, spec: Document, value: Document, field: str) -> None:
    servers, searches = value.get("nameservers") or (), value.get("searches") or ()
    if len(servers) > NAMESERVERS_MAX:
        faults.invalid(f"{field}.nameservers", servers, f"must not have more than {NAMESERVERS_MAX} nameservers")
    for index, server in enumerate(servers):
        address(faults, server, f"{field}.nameservers[{index}]")
    if len(searches) > SEARCHES_MAX:
        faults.invalid(f"{field}.searches", searches, f"must not have more than {SEARCHES_MAX} search paths")
    if len(" ".join(searches)) > SEARCHES_MAX_BYTES:
        detail = f"must not have more than {SEARCHES_MAX_BYTES} characters (including spaces) in the search list"
        faults.invalid(f"{field}.searches", searches, detail)
    for index, search in enumerate(searches):
        plain = search.removesuffix(".").replace("_", "a")
        if search != "." and (messages := names.dns_subdomain(plain)):
            faults.checked(f"{field}.searches[{index}]", search, messages)
    for index, option in enumerate(value.get("options") or ()):
        if not option.get("name"):
            faults.required(f"{field}.options[{index}]", "must not be empty")


def _overhead(faults: Faults, spec: Document, value: Document, field: str) -> None:
    resources(faults, {"limits": value}, field)


_DETAILS: dict[str, Callable[[Faults, Document, Any, str], None]] = {
    "nodeSelector": _node_selector,
    "affinity": _affinity,
    "dnsConfig": _dns_config,
    "readinessGates": _readiness_gates,
    "schedulingGates": _scheduling_gates,
    "topologySpreadConstraints": _spreading,
    "hostUsers": _host_users,
    "serviceAccountName": _subdomain,
    "nodeName": _subdomain,
    "activeDeadlineSeconds": _deadline,
    "hostname": _host_label,
    "subdomain": _host_label,
    "tolerations": _tolerations,
    "hostAliases": _aliases,
    "priorityClassName": _subdomain,
    "runtimeClassName": _runtime_class,
    "preemptionPolicy": _preemption,
    "overhead": _overhead,
    "os": _os,
}
"""Rules of fields that most pods do not have: (faults, the whole spec, the field's value, its path)."""

_DETAILED = tuple(_DETAILS)
