"""Ingress and IngressClass: who answers HTTP from outside, and for which hosts and paths.

Source: https://kubernetes.io/docs/concepts/services-networking/ingress/
"""

from __future__ import annotations

from datetime import datetime

from navarch.kinds import warnings
from navarch.kinds.ingress_rules import class_rules, rules, status_rules
from navarch.kinds.kind import Column, Kind
from navarch.kinds.printing import NONE
from navarch.objects.value import Document, Draft, dig

GROUP = "networking.k8s.io"
SHOWN_HOSTS = 3


def prepare(draft: Draft, old: Document | None) -> None:
    if old is None:
        draft.set({"loadBalancer": {}}, "status")


def default_class(draft: Draft) -> None:
    if draft.has("spec", "parameters"):
        draft.default("Cluster", "spec", "parameters", "scope")


def _class(found: Document, now: datetime) -> str:
    return str(dig(found, "spec", "ingressClassName", default=NONE))


def _hosts(found: Document, now: datetime) -> str:
    """More are told of where a rule follows the last host that is shown, whether it has a host or not."""
    rules = dig(found, "spec", "rules", default=())
    hosts: list[str] = []
    for rule in rules:
        if len(hosts) == SHOWN_HOSTS:
            return f"{','.join(hosts)} + {len(rules) - SHOWN_HOSTS} more..."
        if rule.get("host"):
            hosts.append(rule["host"])
    return ",".join(hosts) or "*"


def _address(found: Document, now: datetime) -> str:
    points = dig(found, "status", "loadBalancer", "ingress", default=())
    return ",".join(sorted({point.get("ip") or point.get("hostname") or "" for point in points} - {""}))


def _ports(found: Document, now: datetime) -> str:
    return "80, 443" if dig(found, "spec", "tls") else "80"


def _parameters(found: Document, now: datetime) -> str:
    reference = dig(found, "spec", "parameters")
    if reference is None:
        return NONE
    group = f".{reference['apiGroup']}" if "apiGroup" in reference else ""
    return f"{reference.get('kind', '')}{group}/{reference.get('name', '')}"


INGRESS = Kind(
    group=GROUP,
    version="v1",
    name="Ingress",
    plural="ingresses",
    short=("ing",),
    rules=rules,
    warn=warnings.ingress,
    prepare=prepare,
    subresources=("status",),
    subresource_rules={"status": status_rules},
    columns=(
        Column("Class", _class, description="The class whose controller serves it."),
        Column("Hosts", _hosts, description="The hosts that it answers for."),
        Column("Address", _address, description="Where it is reached."),
        Column("Ports", _ports, description="On which ports."),
    ),
)

INGRESSCLASS = Kind(
    group=GROUP,
    version="v1",
    name="IngressClass",
    plural="ingressclasses",
    namespaced=False,
    default=default_class,
    rules=class_rules,
    columns=(
        Column("Controller", ".spec.controller", description="Who serves Ingresses of the class."),
        Column("Parameters", _parameters, description="What configures it."),
    ),
)
