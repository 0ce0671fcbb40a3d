"""Rules of a Service, and what an update inherits of the addresses and ports that were allocated.

Allocation itself is the API server's business; a document that asks for none has none yet when rules run on it.

Source: https://kubernetes.io/docs/reference/kubernetes-api/service-resources/service-v1/
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from navarch.base.errors import Cause
from navarch.kinds.podspec.probe_rules import port_or_name
from navarch.kinds.rules import IMMUTABLE, Faults, address, check_labels, is_ip, network, not_special, repeats
from navarch.objects import names
from navarch.objects.value import Document, Draft

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
PROTOCOLS = ("SCTP", "TCP", "UDP")
AFFINITIES = ("ClientIP", "None")
POLICIES = ("Cluster", "Local")
DISTRIBUTIONS = ("PreferClose", "PreferSameNode", "PreferSameZone")
OUTSIDE = ("LoadBalancer", "NodePort")
HEADLESS = "None"
HINTS, TOPOLOGY = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"
RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
IP_MODES = ("Proxy", "VIP")
FIXED = "may not change once set"
RELEASED = "must be set to 'SingleStack' when releasing the secondary {}"
AFFINITY_MAX_S = 86400
FAMILIES = ("IPv4", "IPv6")
NOT_FOR_NAMES = "may not be set for ExternalName services"
ONLY_BALANCED = "may only be used when `type` is 'LoadBalancer'"


def drop_unfit(draft: Draft, old: Document | None) -> None:
    """When the type changes, what only the old type has goes away, unless the update changed that too."""
    spec: Document = draft.get("spec", default={})
    was: Document = (old or {}).get("spec") or {}
    now, before = spec.get("type", "ClusterIP"), was.get("type", "ClusterIP")
    if old is None or now == before:
        return
    gone: list[str] = []
    if now == "ExternalName":
        gone += ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"]
    if now not in OUTSIDE:
        gone += ["externalTrafficPolicy", "healthCheckNodePort"]
    if now != "LoadBalancer":
        gone += ["allocateLoadBalancerNodePorts", "loadBalancerClass", "healthCheckNodePort"]
    kept = {field: value for field, value in spec.items() if field not in gone or value != was.get(field)}
    if now not in OUTSIDE and before in OUTSIDE and _node_ports(spec) == _node_ports(was) and "ports" in kept:
        kept["ports"] = [{k: v for k, v in port.items() if k != "nodePort"} for port in kept["ports"]]
    if kept != spec:
        draft.set(kept, "spec")


def _node_ports(spec: Document) -> set[Any]:
    return {port.get("nodePort") for port in spec.get("ports") or ()}


def inherit(draft: Draft, old: Document | None) -> None:
    """Carry over what was allocated where an update says nothing of it; keep the two forms of clusterIP in step."""
    spec: Document = draft.get("spec", default={})
    was: Document = (old or {}).get("spec") or {}
    now, before = spec.get("type", "ClusterIP"), was.get("type", "ClusterIP")
    changes: Document = {}
    if old is not None and now != "ExternalName" and before != "ExternalName":
        for field in ("clusterIP", "clusterIPs"):
            if not spec.get(field) and was.get(field):
                changes[field] = was[field]
        for field in ("ipFamilies", "ipFamilyPolicy"):
            if field not in spec and field in was:
                changes[field] = was[field]
    if now in OUTSIDE and before in OUTSIDE and was.get("ports") and spec.get("ports"):
        ports = _same_node_ports(spec["ports"], was["ports"])
        if ports != spec["ports"]:
            changes["ports"] = ports
    if spec.get("externalTrafficPolicy") == "Local" and now == "LoadBalancer" and was.get("healthCheckNodePort"):
        changes.setdefault("healthCheckNodePort", spec.get("healthCheckNodePort") or was["healthCheckNodePort"])
    single, several = (changes.get(field, spec.get(field)) for field in ("clusterIP", "clusterIPs"))
    if single and not several:
        changes["clusterIPs"] = [single]
    elif single and several and several[0] != single and several == was.get("clusterIPs"):
        changes["clusterIPs"] = [single, *several[1:]]
    if changes:
        draft.set({**spec, **changes}, "spec")


def _same_node_ports(ports: list[Document], was: list[Document]) -> list[Document]:
    """Each port that names no node port keeps the one that the same port had."""
    by_port = {(port.get("protocol", "TCP"), port.get("port")): port.get("nodePort") for port in was}
    wanted = {port["nodePort"] for port in ports if port.get("nodePort")}
    found = []
    for port in ports:
        kept = by_port.get((port.get("protocol", "TCP"), port.get("port")))
        take = kept and not port.get("nodePort") and kept not in wanted
        found.append({**port, "nodePort": kept} if take else port)
    return found


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    was: Document = (old or {}).get("spec") or {}
    annotations: Document = (new.get("metadata") or {}).get("annotations") or {}
    if old is not None and spec == was and annotations == ((old.get("metadata") or {}).get("annotations") or {}):
        return ()
    if old is not None:
        _update(faults, spec, was)
    _topology(faults, annotations)
    type_ = spec.get("type")
    headless = spec.get("clusterIP") == HEADLESS
    ports = spec.get("ports") or []
    if not ports and not headless and type_ != "ExternalName":
        faults.required("spec.ports")
    _by_type(faults, spec, headless)
    seen: set[str] = set()
    for index, port in enumerate(ports):
        _port(faults, port, f"spec.ports[{index}]", seen, many=len(ports) > 1)
    check_labels(faults, spec.get("selector"), "spec.selector")
    _affinity(faults, spec)
    if type_ != "ExternalName":
        cluster_addresses(faults, spec, was)
    for index, found in enumerate(spec.get("externalIPs") or ()):
        field = f"spec.externalIPs[{index}]"
        if address(faults, found, field, was.get("externalIPs") or ()) and is_ip(found):
            not_special(faults, found, field)
    faults.one_of("spec.type", type_, TYPES)
    _pairs(faults, ports, type_)
    _load_balancer(faults, spec, was, annotations)
    _policies(faults, spec, type_)
    return faults.causes


def _update(faults: Faults, spec: Document, was: Document) -> None:
    """What a service was given it keeps, unless it becomes, or was, a mere name."""
    now, before = spec.get("type"), was.get("type")
    if now != "ExternalName" and before != "ExternalName":
        _kept_addresses(faults, spec, was)
        _kept_families(faults, spec, was)
    if now == before == "LoadBalancer":
        chosen = spec.get("loadBalancerClass")
        if chosen != was.get("loadBalancerClass"):
            faults.invalid("spec.loadBalancerClass", chosen, FIXED)
        port, had = spec.get("healthCheckNodePort"), was.get("healthCheckNodePort")
        if spec.get("externalTrafficPolicy") == was.get("externalTrafficPolicy") == "Local" and port != had and port:
            faults.forbidden("spec.healthCheckNodePort", IMMUTABLE)


def _kept_addresses(faults: Faults, spec: Document, was: Document) -> None:
    """One of a second family may come and go; a service without addresses may become another such."""
    now: list[str] = spec.get("clusterIPs") or []
    before: list[str] = was.get("clusterIPs") or []
    if now == before == [HEADLESS]:
        return
    if len(now) == len(before):
        for index, found in enumerate(before):
            if found != now[index]:
                faults.invalid(f"spec.clusterIPs[{index}]", now, FIXED)
        return
    if not now:
        faults.invalid("spec.clusterIPs[0]", now, "primary clusterIP can not be unset")
    elif before and now[0] != before[0]:
        faults.invalid("spec.clusterIPs[0]", now, FIXED)
    if len(now) == 1 and before and spec.get("ipFamilyPolicy") != "SingleStack":
        faults.invalid("spec.ipFamilyPolicy", spec.get("ipFamilyPolicy"), RELEASED.format("clusterIP"))


def _kept_families(faults: Faults, spec: Document, was: Document) -> None:
    if [HEADLESS] in (spec.get("clusterIPs"), was.get("clusterIPs")):
        return
    now: list[str] = spec.get("ipFamilies") or []
    before: list[str] = was.get("ipFamilies") or []
    if len(now) == len(before):
        if now != before:
            faults.invalid("spec.ipFamilies[0]", now, FIXED)
        return
    if len(now) < len(before) and not spec.get("clusterIPs"):
        faults.invalid("spec.ipFamilies[0]", now, "primary ipFamily can not be unset")
    if now and before and now[0] != before[0]:
        faults.invalid("spec.ipFamilies[0]", spec.get("clusterIPs"), FIXED)
    if len(now) == 1 and before and spec.get("ipFamilyPolicy") != "SingleStack":
        faults.invalid("spec.ipFamilyPolicy", spec.get("ipFamilyPolicy"), RELEASED.format("ipFamily"))


def _topology(faults: Faults, annotations: Document) -> None:
    """The two names of one annotation say the same."""
    mode, hints = annotations.get(TOPOLOGY), annotations.get(HINTS)
    if None not in (mode, hints) and mode != hints:
        detail = f"must match annotations[{HINTS}] when both are specified"
        faults.invalid(f"metadata.annotations[{TOPOLOGY}]", mode, detail)


def _by_type(faults: Faults, spec: Document, headless: bool) -> None:
    match spec.get("type"):
        case "LoadBalancer" | "NodePort" as type_:
            if headless:
                faults.invalid("spec.clusterIPs[0]", HEADLESS, f"may not be set to 'None' for {type_} services")
        case "ExternalName":
            if spec.get("clusterIPs") or spec.get("clusterIP"):
                faults.forbidden("spec.clusterIPs", NOT_FOR_NAMES)
            if spec.get("ipFamilies"):
                faults.forbidden("spec.ipFamilies", NOT_FOR_NAMES)
            if "ipFamilyPolicy" in spec:
                faults.forbidden("spec.ipFamilyPolicy", NOT_FOR_NAMES)
            external = (spec.get("externalName") or "").removesuffix(".")
            if not external:
                faults.required("spec.externalName")
            else:
                faults.checked("spec.externalName", external, names.dns_subdomain(external))


def _affinity(faults: Faults, spec: Document) -> None:
    affinity = spec.get("sessionAffinity")
    faults.one_of("spec.sessionAffinity", affinity, AFFINITIES)
    if affinity == "ClientIP":
        timeout_s = ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds", 1)
        if not 0 < timeout_s <= AFFINITY_MAX_S:
            detail = f"must be greater than 0 and less than {AFFINITY_MAX_S}"
            faults.invalid("spec.sessionAffinityConfig.clientIP.timeoutSeconds", timeout_s, detail)


def _port(faults: Faults, port: Document, path: str, seen: set[str], *, many: bool) -> None:
    name = port.get("name", "")
    if many and not name:
        faults.required(f"{path}.name")
    elif name:
        faults.checked(f"{path}.name", name, names.dns_label(name))
        if name in seen:
            faults.duplicate(f"{path}.name", name)
        seen.add(name)
    faults.checked(f"{path}.port", port.get("port", 0), names.port(port.get("port", 0)))
    faults.one_of(f"{path}.protocol", port.get("protocol"), PROTOCOLS)
    port_or_name(faults, port.get("targetPort"), f"{path}.targetPort")
    if (protocol := port.get("appProtocol")) is not None:
        faults.checked(f"{path}.appProtocol", protocol, names.qualified_name(protocol))


def _pairs(faults: Faults, ports: list[Document], type_: Any) -> None:
    """No two ports of one protocol are the same, inside or on the nodes."""
    for index, port in enumerate(ports):
        if port.get("nodePort") and type_ == "ClusterIP":
            faults.forbidden(f"spec.ports[{index}].nodePort", "may not be used when `type` is 'ClusterIP'")
    outside: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        pair = (port.get("protocol"), port.get("nodePort"))
        if pair[1] and pair in outside:
            faults.duplicate(f"spec.ports[{index}].nodePort", pair[1])
        outside.add(pair)
    inside: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        pair = (port.get("protocol"), port.get("port"))
        if pair in inside:
            faults.duplicate(f"spec.ports[{index}]", {"protocol": pair[0], "port": pair[1]})
        inside.add(pair)


def cluster_addresses(faults: Faults, spec: Document, was: Document) -> None:
    """What is wrong with addresses and families in themselves, whatever a cluster has."""
    single, several = spec.get("clusterIP"), spec.get("clusterIPs") or []
    if several and not single:
        faults.invalid("spec.clusterIPs", several, "must be empty when `clusterIP` is not specified")
    elif several and single != several[0]:
        faults.invalid("spec.clusterIPs", several, "first value must match `clusterIP`")
    families: list[str] = spec.get("ipFamilies") or []
    again = repeats(families)
    for index, family in enumerate(families):
        if family not in FAMILIES:
            faults.unsupported(f"spec.ipFamilies[{index}]", family, FAMILIES)
        if index in again:
            faults.duplicate(f"spec.ipFamilies[{index}]", family)
    policy = spec.get("ipFamilyPolicy")
    if policy is not None and policy not in FAMILY_POLICIES:
        faults.unsupported("spec.ipFamilyPolicy", policy, FAMILY_POLICIES)
    good = True
    for index, found in enumerate(several):
        if index == 0 and found == HEADLESS:
            if len(several) > 1:
                faults.invalid("spec.clusterIPs", several, "'None' must be the first and only value")
                good = False
        else:
            good = address(faults, found, f"spec.clusterIPs[{index}]", was.get("clusterIPs") or ()) and good
    if len(several) > len(FAMILIES):
        faults.invalid("spec.clusterIPs", several, "may only hold up to 2 values")
    if not good or single == HEADLESS:
        return
    if len(several) > 1 and len({":" in found for found in several}) == 1:
        faults.invalid("spec.clusterIPs", several, "may specify no more than one IP for each IP family")
    for index, (found, family) in enumerate(zip(several, families, strict=False)):
        if found and family in FAMILIES and (":" in found) != (family == "IPv6"):
            detail = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
            faults.invalid(f"spec.clusterIPs[{index}]", found, detail)


def _load_balancer(faults: Faults, spec: Document, was: Document, annotations: Document) -> None:
    type_ = spec.get("type")
    field = "spec.LoadBalancerSourceRanges"  # in this spelling
    ranges = spec.get("loadBalancerSourceRanges") or ()
    if ranges and type_ != "LoadBalancer":
        faults.forbidden(field, ONLY_BALANCED)
    for index, found in enumerate(ranges):
        if found not in (was.get("loadBalancerSourceRanges") or ()):
            network(faults, found.strip(), f"{field}[{index}]")
    if not ranges and (annotated := annotations.get(RANGES)) is not None:
        field = f"metadata.annotations[{RANGES}]"
        if type_ != "LoadBalancer":
            faults.forbidden(field, ONLY_BALANCED)
        for found in annotated.split(",") if annotated.strip() else ():
            network(faults, found.strip(), field)
    chosen = spec.get("loadBalancerClass")
    if type_ != "LoadBalancer":
        for name in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if spec.get(name) is not None:
                faults.forbidden(f"spec.{name}", ONLY_BALANCED)
    elif chosen is not None:
        faults.checked("spec.loadBalancerClass", chosen, names.qualified_name(chosen))


def _policies(faults: Faults, spec: Document, type_: Any) -> None:
    external = spec.get("externalTrafficPolicy")
    if type_ in OUTSIDE or (type_ == "ClusterIP" and spec.get("externalIPs")):
        faults.one_of("spec.externalTrafficPolicy", external, POLICIES)
    elif external:
        faults.invalid("spec.externalTrafficPolicy", external, "may only be set for externally-accessible services")
    if (port := spec.get("healthCheckNodePort")) and not (type_ == "LoadBalancer" and external == "Local"):
        detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        faults.invalid("spec.healthCheckNodePort", port, detail)
    elif port:
        faults.checked("spec.healthCheckNodePort", port, names.port(port))
    internal = spec.get("internalTrafficPolicy")
    if internal is not None and internal not in POLICIES:
        faults.unsupported("spec.internalTrafficPolicy", internal, POLICIES)
    distribution = spec.get("trafficDistribution")
    if distribution is not None and distribution not in DISTRIBUTIONS:
        faults.unsupported("spec.trafficDistribution", distribution, DISTRIBUTIONS)


def status_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    """Of where load balancers say that a service is reached."""
    faults = Faults()
    path = "status.loadBalancer.ingress"
    points = ((new.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    before = (((old or {}).get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    if points and (new.get("spec") or {}).get("type") != "LoadBalancer":
        faults.forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'")
        return faults.causes
    known = {point.get("ip", "") for point in before}
    for index, point in enumerate(points):
        _reached(faults, point, f"{path}[{index}]", known)
    return faults.causes


def _reached(faults: Faults, point: Document, where: str, known: set[str]) -> None:
    ip, mode, host = point.get("ip"), point.get("ipMode"), point.get("hostname")
    if ip:
        address(faults, ip, f"{where}.ip", known)
    if mode is None:
        if ip:
            faults.required(f"{where}.ipMode", "must be specified when `ip` is set")
    elif not ip:
        faults.forbidden(f"{where}.ipMode", "may not be specified when `ip` is not set")
    elif mode not in IP_MODES:
        faults.unsupported(f"{where}.ipMode", mode, IP_MODES)
    if host:
        faults.checked(f"{where}.hostname", host, names.dns_subdomain(host))
        if is_ip(host):
            faults.invalid(f"{where}.hostname", host, "must be a DNS name, not an IP address")
