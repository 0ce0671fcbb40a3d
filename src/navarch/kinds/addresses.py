"""IPAddress and ServiceCIDR: which addresses Services have, and out of which networks.

Source: https://kubernetes.io/docs/concepts/services-networking/cluster-ip-allocation/
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from ipaddress import ip_address, ip_network

from navarch.base.errors import Cause
from navarch.kinds.kind import Column, Kind
from navarch.kinds.printing import NONE
from navarch.kinds.rules import Faults, is_ip, is_network
from navarch.objects import names
from navarch.objects.value import Document, dig

GROUP = "networking.k8s.io"
FAMILIES = 2
NO_NETWORK = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


def address_name(name: str) -> names.Messages:
    """An IPAddress is named after its address, as it is usually written."""
    if not is_ip(name):
        return ("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",)
    usual = str(ip_address(name))
    return () if name == usual else (f'must be in canonical form ("{usual}")',)


def address_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    parent = dig(new, "spec", "parentRef")
    if old is not None:
        faults.immutable("spec.parentRef", parent, dig(old, "spec", "parentRef"))
        return faults.causes
    if parent is None:
        faults.required("spec.parentRef")
        return faults.causes
    path = "spec.parentRef"
    if group := parent.get("group"):
        faults.checked(f"{path}.group", group, names.dns_subdomain(group))
    for field in ("resource", "name"):
        if not parent.get(field):
            faults.required(f"{path}.{field}")
        else:
            faults.checked(f"{path}.{field}", parent[field], names.path_segment(parent[field]))
    if namespace := parent.get("namespace"):
        faults.checked(f"{path}.namespace", namespace, names.path_segment(namespace))
    return faults.causes


def network_rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    cidrs: list[str] = dig(new, "spec", "cidrs", default=[])
    if old is not None:
        was: list[str] = dig(old, "spec", "cidrs", default=[])
        if len(cidrs) == len(was):
            for index, cidr in enumerate(cidrs):
                faults.immutable(f"spec.cidrs[{index}]", cidr, was[index])
            return faults.causes
        if (len(was), len(cidrs)) != (1, FAMILIES):  # a second family may come later
            faults.immutable("spec.cidrs", cidrs, was)
            return faults.causes
        faults.immutable("spec.cidrs[0]", cidrs[0], was[0])
    if not cidrs:
        faults.required("spec.cidrs", "at least one CIDR required")
        return faults.causes
    if len(cidrs) > FAMILIES:
        faults.invalid("spec.cidrs", cidrs, "may only hold up to 2 values")
        return faults.causes
    versions = []
    for index, cidr in enumerate(cidrs):
        if not is_network(cidr):
            faults.invalid(f"spec.cidrs[{index}]", cidr, NO_NETWORK)
            continue
        found = ip_network(cidr, strict=False)
        versions.append(found.version)
        if str(found) != cidr:
            faults.invalid(f"spec.cidrs[{index}]", cidr, f'must be in canonical form ("{found}")')
    if len(versions) == FAMILIES and len(set(versions)) < FAMILIES:
        detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
        faults.invalid("spec.cidrs", cidrs, detail)
    return faults.causes


def _parent(found: Document, now: datetime) -> str:
    parent = dig(found, "spec", "parentRef")
    if parent is None:
        return NONE
    group = f".{parent['group']}" if parent.get("group") else ""
    whose = (f"{parent.get('resource', '')}{group}".lower(), parent.get("namespace"), parent.get("name"))
    return "/".join(part for part in whose if part)


def _networks(found: Document, now: datetime) -> str:
    return ",".join(dig(found, "spec", "cidrs", default=()))


IPADDRESS = Kind(
    group=GROUP,
    version="v1",
    name="IPAddress",
    plural="ipaddresses",
    short=("ip",),
    namespaced=False,
    rules=address_rules,
    name_rule=address_name,
    counts_generation=False,
    columns=(Column("ParentRef", _parent, description="What has the address."),),
    age=False,
)

SERVICECIDR = Kind(
    group=GROUP,
    version="v1",
    name="ServiceCIDR",
    plural="servicecidrs",
    namespaced=False,
    rules=network_rules,
    subresources=("status",),
    counts_generation=False,
    columns=(Column("CIDRs", _networks, description="Its networks."),),
)
