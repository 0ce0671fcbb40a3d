"""What Ingresses and Gateways ask for: for which Secret, which names, how long. Pure.

One asks by the annotation `navarch.dev/issuer: cluster`, and by naming a Secret where it would name one anyway.

Source: https://kubernetes.io/docs/concepts/services-networking/ingress/#tls;
https://gateway-api.sigs.k8s.io/reference/spec/#listenertlsconfig
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from navarch.controllers.issuer.declared import ANNOTATION_MARK, CLUSTER, ISSUER
from navarch.kinds import INGRESS
from navarch.kinds.object import Object
from navarch.objects import names
from navarch.objects.value import Document, dig

ALT_NAMES = "navarch.dev/alt-names"
DURATION = "navarch.dev/duration"
LIFE = timedelta(days=90)
LEAST, MOST = timedelta(minutes=10), timedelta(days=365)
MOST_HOSTS = 100
UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[hms])+")
_PART = re.compile(r"(\d+(?:\.\d+)?)([hms])")


@dataclass(frozen=True, slots=True)
class Ask:
    """source: who asks. secret: the name, "" where none is said. fault: why it is not done, "" where it is."""

    source: Object
    secret: str
    hosts: tuple[str, ...] = ()
    life: timedelta = LIFE
    fault: str = ""


def asks_of(found: Object, domain: str) -> Sequence[Ask]:
    """found: an Ingress or a Gateway. domain: the last part of the names of Services."""
    if found.terminating or ANNOTATION_MARK not in found.raw:
        return ()
    document = found.document()
    annotations: Document = dig(document, "metadata", "annotations", default={})
    if ISSUER not in annotations:
        return ()
    own = _of_ingress(found, document) if found.kind is INGRESS else _of_gateway(found, document)
    return [_judged(ask, annotations, domain) for ask in own]


def _of_ingress(found: Object, document: Document) -> Iterator[Ask]:
    for number, entry in enumerate(dig(document, "spec", "tls", default=())):
        secret = entry.get("secretName") or ""
        fault = "" if secret else f"spec.tls[{number}] names no Secret to put it into"
        yield Ask(found, secret, tuple(entry.get("hosts") or ()), fault=fault)


def _of_gateway(found: Object, document: Document) -> Iterator[Ask]:
    for listener in dig(document, "spec", "listeners", default=()):
        tls = listener.get("tls") or {}
        if tls.get("mode", "Terminate") != "Terminate":
            continue
        hosts = (listener["hostname"],) if listener.get("hostname") else ()
        for reference in tls.get("certificateRefs") or ():
            if reference.get("group", "") or reference.get("kind", "Secret") != "Secret":
                continue
            if reference.get("namespace", found.namespace) != found.namespace:
                fault = f"listener {listener.get('name')} names a Secret of another namespace"
                yield Ask(found, "", hosts, fault=fault)
            else:
                yield Ask(found, reference.get("name", ""), hosts)


def _judged(ask: Ask, annotations: Document, domain: str) -> Ask:
    if ask.fault:
        return ask
    if annotations[ISSUER] != CLUSTER:
        return replace(ask, fault=f"there is no issuer {annotations[ISSUER]!r}, there is {CLUSTER!r}")
    further = tuple(one for one in re.split(r"[,\s]+", annotations.get(ALT_NAMES, "")) if one)
    hosts = tuple(dict.fromkeys(map(_plain, (*ask.hosts, *further))))
    if not hosts:
        return replace(ask, fault=f"Secret {ask.secret} is asked for without a host")
    if len(hosts) > MOST_HOSTS:
        return replace(ask, fault=f"{len(hosts)} names are too many for one certificate, {MOST_HOSTS} are possible")
    fault = next((fault for host in hosts if (fault := _host_fault(host, ask.source.namespace, domain))), "")
    try:
        life = life_of(annotations.get(DURATION, ""))
    except ValueError as error:
        return replace(ask, fault=str(error))
    return replace(ask, hosts=hosts, life=life, fault=fault)


def _plain(host: str) -> str:
    """Addresses have several ways to be written."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host


def _host_fault(host: str, namespace: str, domain: str) -> str:
    try:
        ipaddress.ip_address(host)
        return ""
    except ValueError:
        check = names.wildcard_dns_subdomain if "*" in host else names.dns_subdomain
    if list(check(host)):
        return f"{host!r} is neither a DNS name nor an address"
    whose = namespace_of(host, domain)
    if whose is not None and whose != namespace:
        return f"{host} is a name inside the cluster, and none of namespace {namespace}"
    return ""


def namespace_of(host: str, domain: str) -> str | None:
    """Whose it is among the names that the cluster's own DNS gives: a namespace, "" where nobody's; None for others.

    host: a DNS name. domain: "" for no such names.
    """
    if not domain:
        return None
    inside = host.removesuffix(f".{domain}")
    if inside == host and not host.endswith(".svc"):
        return "" if host == domain else None
    rest, _, kind = inside.rpartition(".")
    return rest.rpartition(".")[2] if kind in ("svc", "pod") else ""


def life_of(text: str) -> timedelta:
    """text: as Go writes durations (`2160h`, `1h30m`), "" for the usual. Raises: ValueError."""
    if not text:
        return LIFE
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{DURATION} {text!r} is no duration, as 2160h is one")
    seconds = sum(float(number) * UNITS_S[unit] for number, unit in _PART.findall(text))
    if not LEAST.total_seconds() <= seconds <= MOST.total_seconds():
        raise ValueError(f"{DURATION} {text} is not between 10m and 8760h")
    return timedelta(seconds=seconds)
