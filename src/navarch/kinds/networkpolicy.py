"""NetworkPolicy: who may talk to which pods, and to whom they may.

Source: https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from ipaddress import ip_network

import msgspec

from navarch.base.errors import Cause
from navarch.kinds import warnings
from navarch.kinds.kind import Column, Kind
from navarch.kinds.printing import selector_text
from navarch.kinds.rules import Faults, is_network, network
from navarch.kinds.view import LabelSelector, ObjectMeta, View
from navarch.objects import names
from navarch.objects.selector import check_document
from navarch.objects.value import Document, Draft, dig

PROTOCOLS = ("TCP", "UDP", "SCTP")
TYPES = ("Ingress", "Egress")
DIRECTIONS = (("ingress", "from"), ("egress", "to"))


class IPBlock(View, frozen=True):
    cidr: str = ""
    except_: tuple[str, ...] = msgspec.field(default=(), name="except")


class NetworkPolicyPeer(View, frozen=True):
    """An absent selector and an empty one differ: without `namespace_selector` the policy's own namespace is meant."""

    pod_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None
    ip_block: IPBlock | None = None


class NetworkPolicyPort(View, frozen=True):
    """port: a number, or the name of a port of the pods that are spoken to; None is every port."""

    protocol: str = "TCP"
    port: int | str | None = None
    end_port: int | None = None


class IngressRule(View, frozen=True):
    """from_: none of them means everybody; ports: none of them means every one."""

    ports: tuple[NetworkPolicyPort, ...] = ()
    from_: tuple[NetworkPolicyPeer, ...] = msgspec.field(default=(), name="from")


class EgressRule(View, frozen=True):
    """to: none of them means everybody; ports: none of them means every one."""

    ports: tuple[NetworkPolicyPort, ...] = ()
    to: tuple[NetworkPolicyPeer, ...] = ()


class NetworkPolicySpec(View, frozen=True):
    pod_selector: LabelSelector = LabelSelector()
    policy_types: tuple[str, ...] = ()
    ingress: tuple[IngressRule, ...] = ()
    egress: tuple[EgressRule, ...] = ()


class NetworkPolicy(View, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: NetworkPolicySpec = NetworkPolicySpec()


def default(draft: Draft) -> None:
    draft.default({}, "spec", "podSelector")
    if not draft.get("spec", "policyTypes"):
        draft.set(["Ingress", "Egress"] if draft.get("spec", "egress") else ["Ingress"], "spec", "policyTypes")
    for direction, _ in DIRECTIONS:
        for index in draft.each("spec", direction):
            for port in draft.each("spec", direction, index, "ports"):
                draft.default("TCP", "spec", direction, index, "ports", port, "protocol")


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    spec: Document = new.get("spec") or {}
    known = _networks(old) if old is not None else frozenset[str]()
    faults.causes.extend(check_document(spec.get("podSelector") or {}, "spec.podSelector"))
    for direction, peers in DIRECTIONS:
        for index, rule in enumerate(spec.get(direction) or ()):
            where = f"spec.{direction}[{index}]"
            for number, port in enumerate(rule.get("ports") or ()):
                _port(faults, port, f"{where}.ports[{number}]")
            for number, peer in enumerate(rule.get(peers) or ()):
                _peer(faults, peer, f"{where}.{peers}[{number}]", known)
    types = spec.get("policyTypes") or []
    if len(types) > len(TYPES):
        faults.invalid("spec.policyTypes", types, "may not specify more than two policyTypes")
        return faults.causes
    for index, type_ in enumerate(types):
        if type_ not in TYPES:
            faults.unsupported(f"spec.policyTypes[{index}]", type_, TYPES)
    return faults.causes


def _port(faults: Faults, found: Document, path: str) -> None:
    if (protocol := found.get("protocol")) is not None and protocol not in PROTOCOLS:
        faults.unsupported(f"{path}.protocol", protocol, PROTOCOLS)
    port, end = found.get("port"), found.get("endPort")
    if port is None:
        if end is not None:
            faults.invalid(f"{path}.endPort", end, "may not be specified when `port` is not specified")
    elif isinstance(port, str):
        if end is not None:
            faults.invalid(f"{path}.endPort", end, "may not be specified when `port` is non-numeric")
        faults.checked(f"{path}.port", port, names.port_name(port))
    else:
        faults.checked(f"{path}.port", port, names.port(port))
        if end is not None:
            if end < port:
                faults.invalid(f"{path}.endPort", port, "must be greater than or equal to `port`")  # sic
            faults.checked(f"{path}.endPort", end, names.port(end))


def _networks(policy: Document) -> frozenset[str]:
    """Those that a policy names: what was once let in may stay."""
    found: list[str] = []
    for direction, peers in DIRECTIONS:
        for rule in dig(policy, "spec", direction, default=()):
            for block in (peer.get("ipBlock") or {} for peer in rule.get(peers) or ()):
                found += [block.get("cidr", ""), *(block.get("except") or ())]
    return frozenset(found)


def _peer(faults: Faults, peer: Document, path: str, known: Collection[str]) -> None:
    for field in ("podSelector", "namespaceSelector"):
        if field in peer:
            faults.causes.extend(check_document(peer[field], f"{path}.{field}"))
    if "ipBlock" in peer:
        _block(faults, peer["ipBlock"], f"{path}.ipBlock", known)
    if not peer:
        faults.required(path, "must specify a peer")
    elif len(peer) > 1 and "ipBlock" in peer:
        faults.forbidden(path, "may not specify both ipBlock and another peer")


def _block(faults: Faults, block: Document, path: str, known: Collection[str]) -> None:
    cidr = block.get("cidr", "")
    if not cidr:
        faults.required(f"{path}.cidr")
        return
    network(faults, cidr, f"{path}.cidr", known)
    if not is_network(cidr):
        return
    whole = ip_network(cidr, strict=False)
    for index, text in enumerate(block.get("except") or ()):
        network(faults, text, f"{path}.except[{index}]", known)
        if not is_network(text):
            continue
        part = ip_network(text, strict=False)
        inside = whole.version == part.version and part.prefixlen > whole.prefixlen
        if not inside or part.network_address not in whole:
            faults.invalid(f"{path}.except[{index}]", text, "must be a strict subset of `cidr`")


def _pods(found: Document, now: datetime) -> str:
    return selector_text(dig(found, "spec", "podSelector"))


NETWORKPOLICY = Kind(
    group="networking.k8s.io",
    version="v1",
    name="NetworkPolicy",
    plural="networkpolicies",
    short=("netpol",),
    view=NetworkPolicy,
    default=default,
    rules=rules,
    warn=warnings.network_policy,
    columns=(Column("Pod-Selector", _pods, description="The pods that it holds for."),),
)
