"""The Secrets that Ingresses and Gateways ask the cluster's issuer for: issued, renewed, and removed when unasked.

All who ask for one Secret of a namespace share it: one certificate for the names of all of them. A Secret without the
issuer's mark for this very name is somebody else's, and is left alone.

Source: https://cert-manager.io/docs/usage/ingress/ for what users know
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from navarch.base.certificate import read_pem
from navarch.base.clock import parse_rfc3339, rfc3339
from navarch.base.mint import Mint
from navarch.base.pki import BACKDATED, Pair
from navarch.client.client import Client
from navarch.controllers.issuer.asks import Ask, asks_of
from navarch.controllers.issuer.authority import LOOK_S
from navarch.controllers.issuer.declared import CLUSTER, ISSUER, KEY
from navarch.controllers.issuer.root import TRUSTED, Root, data_of, encoded, pair_of, root_of
from navarch.controllers.plan import NOTHING, Action, Create, Delete, Event, Plan, Update, soonest
from navarch.kinds import SECRET
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.kinds.secret import TLS
from navarch.objects.value import Document

ISSUED_FOR = "navarch.dev/issued-for"
"""The annotation that says for which namespace and name: a copy under another name is not the issuer's."""
RENEW_AT, SIGNED_BY = "navarch.dev/renew-at", "navarch.dev/signed-by"
SOON_S = 1.0
SPREAD = 1 / 20
"""Of its life, the most by which a certificate is renewed later than at two thirds of it."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a Secret of the issuer's holds. trusted: its `ca.crt`."""

    hosts: frozenset[str]
    renew_at: datetime
    ends: datetime
    signed_by: str
    trusted: str


@dataclass(frozen=True, slots=True)
class Observed:
    """asks: all for this Secret, refused ones among them. secret: whoever made it. root: None while there is none.
    trouble: why nothing can be issued. made: the new certificate, and the share of the jitter that it has."""

    namespace: str
    name: str
    asks: Sequence[Ask]
    secret: Object | None = None
    root: Root | None = None
    trouble: str = ""
    made: Pair | None = field(default=None, repr=False)
    jitter: float = 0.0

    @property
    def good(self) -> Sequence[Ask]:
        return [ask for ask in self.asks if not ask.fault]

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(host for ask in self.good for host in ask.hosts))

    @property
    def life(self) -> timedelta:
        return min(ask.life for ask in self.good)


async def confirmed(
    client: Client, observed: Observed, sources: Sequence[Kind], domain: str, mint: Mint | None, now: datetime
) -> Observed:
    """Ask again before something is removed; make what is to be issued, another each time. sources: all that ask."""
    if is_unasked(observed):
        lists = [await client.list(kind, observed.namespace) for kind in sources]
        asks = [ask for listed in lists for found in listed.items for ask in asks_of(found, domain)]
        return replace(observed, asks=[ask for ask in asks if ask.secret == observed.name])
    return observed if mint is None else _issue(mint, observed, now)


def seen(
    key: tuple[str, str], sources: Iterable[Object], secret: Object | None, authority: Object | None, domain: str
) -> Observed | None:
    """None where it is no concern of the issuer's."""
    asks = [ask for source in sources for ask in asks_of(source, domain) if ask.secret == key[1]]
    if not asks and (secret is None or not is_ours(secret)):
        return None
    observed = Observed(*key, asks, secret)
    if authority is None:
        return observed
    try:
        return replace(observed, root=root_of(authority))
    except ValueError as error:
        return replace(observed, trouble=f"the authority {'/'.join(KEY)} cannot be used: {error}")


def is_ours(secret: Object) -> bool:
    if secret.labels.get(ISSUER) != CLUSTER or secret.key == KEY:
        return False
    return bool(secret.view.metadata.annotations.get(ISSUED_FOR) == "/".join(secret.key))


def is_unasked(observed: Observed) -> bool:
    return not observed.asks and observed.secret is not None


def held_in(secret: Object) -> Held | None:
    """None where it holds no certificate with its key."""
    pair = pair_of(secret)
    if pair is None:
        return None
    found, annotations = read_pem(pair.certificate), secret.view.metadata.annotations
    begins = found.not_before + BACKDATED
    try:
        renew_at = parse_rfc3339(annotations.get(RENEW_AT, ""))
    except ValueError:
        renew_at = begins + (found.not_after - begins) * (2 / 3)
    trusted = data_of(secret).get(TRUSTED, b"").decode(errors="replace")
    return Held(found.hosts, min(renew_at, found.not_after), found.not_after, annotations.get(SIGNED_BY, ""), trusted)


def reason(observed: Observed, now: datetime) -> str:
    """Why a certificate is to be issued, "" where none is."""
    root, secret = observed.root, observed.secret
    if root is None or not observed.good or (secret is not None and not is_ours(secret)):
        return ""
    if secret is None:
        return "there was none"
    held = held_in(secret)
    if held is None:
        return "what was in it is no certificate with its key"
    if held.hosts != frozenset(observed.hosts):
        return "other names are asked for"
    if held.signed_by not in root.known:
        return "its authority is trusted no longer"
    if now >= held.renew_at:
        return "its time had come"
    return "a shorter life is asked for" if held.ends - now > observed.life else ""


def _issue(mint: Mint, observed: Observed, now: datetime) -> Observed:
    if observed.root is None or not reason(observed, now):
        return observed
    if now >= observed.root.ends:
        return replace(observed, root=None, trouble=f"the authority {'/'.join(KEY)} has ended")
    try:
        made = mint.server(observed.root.pair, observed.hosts, observed.life)
    except ValueError as error:
        return replace(observed, root=None, trouble=f"the authority {'/'.join(KEY)} cannot sign: {error}")
    return replace(observed, made=made, jitter=mint.fraction())


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    secret = observed.secret
    if secret is not None and (not is_ours(secret) or secret.terminating):
        foreign = f"Secret {secret.name} is there, and was not made by the issuer"
        told = [*_refusals(observed), *(_refused(ask, foreign) for ask in observed.good)]
        return Plan(tuple(told)) if not secret.terminating else NOTHING
    if is_unasked(observed) and secret is not None:
        gone = Event(secret, "CertificateRemoved", "Nobody asks for it any more")
        return Plan((Delete(secret, guarded=True, done=gone),))
    told = _refusals(observed)
    why = reason(observed, now)
    if why and observed.made is not None and observed.root is not None:
        return Plan((*_written(observed, observed.made, observed.root, why, now), *told), requeue_after_s=SOON_S)
    if secret is None or why:
        return Plan(tuple(told), requeue_after_s=SOON_S if why else None)
    return _kept(observed, secret, told, now)


def _refusals(observed: Observed) -> list[Action]:
    found = [_refused(ask, ask.fault) for ask in observed.asks if ask.fault]
    if observed.trouble:
        found += [_refused(ask, observed.trouble) for ask in observed.good]
    return list(found)


def _refused(ask: Ask, why: str) -> Event:
    return Event(ask.source, "CertificateRefused", f"No certificate is issued: {why}", "Warning")


def _kept(observed: Observed, secret: Object, told: Sequence[Action], now: datetime) -> Plan:
    """What nobody could renew goes when it ends; what clients trust is kept up to date beside it."""
    held, root = held_in(secret), observed.root
    if held is None:
        return Plan(tuple(told))
    if now >= held.ends:
        return Plan((Delete(secret, guarded=True), *told))
    actions = list(told)
    if root is not None and held.trusted != root.bundle and held.signed_by in root.known and not _frozen(secret):
        document = secret.document()
        document["data"] = {**document["data"], **encoded(ca_crt=root.bundle)}
        actions.insert(0, Update(secret, document))
    at = held.renew_at if observed.good and now < held.renew_at else held.ends
    return Plan(tuple(actions), requeue_after_s=soonest(max(SOON_S, (at - now).total_seconds()), LOOK_S))


def _frozen(secret: Object) -> bool:
    return bool(secret.view.immutable)


def _written(observed: Observed, made: Pair, root: Root, why: str, now: datetime) -> list[Action]:
    secret, found = observed.secret, read_pem(made.certificate)
    if secret is not None and _frozen(secret):
        return [Delete(secret, guarded=True)]  # it comes anew when it is gone
    life = found.not_after - now
    renew_at = now + life * (2 / 3) + life * SPREAD * observed.jitter
    data = encoded(tls_crt=made.certificate.decode() + root.chain, tls_key=made.key, ca_crt=root.bundle)
    notes = {ISSUED_FOR: f"{observed.namespace}/{observed.name}", RENEW_AT: rfc3339(renew_at), SIGNED_BY: root.digest}
    until = f"it holds until {rfc3339(found.not_after)}"
    if secret is None:
        metadata: Document = {"name": observed.name, "namespace": observed.namespace}
        metadata |= {"labels": {ISSUER: CLUSTER}, "annotations": notes}
        document = {"apiVersion": "v1", "kind": SECRET.name, "metadata": metadata, "type": TLS, "data": data}
        names = ", ".join(observed.hosts)
        text = f"Issued a certificate for {names} into Secret {observed.name}; {until}"
        return [Create(SECRET, document), *_told(observed, "CertificateIssued", text)]
    found_metadata = secret.document()["metadata"]
    merged = {**found_metadata, "annotations": {**(found_metadata.get("annotations") or {}), **notes}}
    kept = {**secret.document(), "metadata": merged, "data": {**secret.view.data, **data}}
    text = f"Renewed the certificate in Secret {observed.name}, since {why}; {until}"
    return [Update(secret, kept), *_told(observed, "CertificateRenewed", text)]


def _told(observed: Observed, reason: str, text: str) -> list[Event]:
    sources = {ask.source.uid: ask.source for ask in observed.good}
    return [Event(source, reason, text) for source in sources.values()]
