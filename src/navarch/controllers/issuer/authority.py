"""The authority for the way in: made when it is first asked for, announced and replaced before it ends, published.

Its key lies in the Secret `kube-system/navarch-issuer`, its certificates for everybody in a ClusterTrustBundle of the
signer `navarch.dev/serving` and in a ConfigMap of `kube-public`. The next one is trusted for a month before it signs;
the last one is trusted until it ends. A Secret that a person put there is used and published, and never changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from navarch.base.certificate import read_pem
from navarch.base.mint import Mint
from navarch.base.pki import BACKDATED, Pair
from navarch.controllers.certificates import trust
from navarch.controllers.controller import Cache
from navarch.controllers.issuer.asks import MOST
from navarch.controllers.issuer.declared import ALL, ASKED, CLUSTER, ISSUER, KEY, PUBLISHED, SIGNER
from navarch.controllers.issuer.root import (
    NEXT_CERTIFICATE,
    NEXT_PRIVATE,
    OWN,
    TRUSTED,
    Root,
    blocks,
    data_of,
    encoded,
    is_own,
    pair_of,
    root_of,
)
from navarch.controllers.plan import NOTHING, Action, Create, Event, Plan, Update
from navarch.kinds import CLUSTERTRUSTBUNDLE, CONFIGMAP, SECRET
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.kinds.secret import TLS
from navarch.objects.value import Document, dig

ROTATE = "navarch.dev/rotate"
"""The annotation of the Secret by which the next authority is wanted now."""
ANNOUNCED = timedelta(days=30)
"""For so long the next one is trusted before it signs."""
BEFORE_THE_END = MOST + 2 * ANNOUNCED
LOOK_S = 12 * 3600.0
"""Clocks that were set, and machines that slept, are noticed by then."""
COMMON_NAME = "navarch-issuer"
MAKE, PREPARE, TAKE_OVER = "make", "prepare", "take over"


@dataclass(frozen=True, slots=True)
class Observed:
    """asked: whether anybody wants a certificate of it. bundles: all of the signer. made: a new authority."""

    secret: Object | None
    asked: bool = False
    bundles: Sequence[Object] = ()
    published: Object | None = None
    made: Pair | None = field(default=None, repr=False)


def observed_in(cache: Cache, sources: Sequence[Kind]) -> Observed:
    """sources: all kinds by which one asks."""
    return Observed(
        cache[SECRET].get(*KEY),
        any(cache[kind].count(ASKED, ALL) for kind in sources),
        tuple(found for found in cache[CLUSTERTRUSTBUNDLE].list() if _of_signer(found)),
        cache[CONFIGMAP].get(*PUBLISHED),
    )


def with_new(mint: Mint, observed: Observed, now: datetime) -> Observed:
    """With a new authority where one is due: another each time, so that it is nothing for a plan."""
    if due(observed, now) not in (MAKE, PREPARE):
        return observed
    return replace(observed, made=mint.authority(COMMON_NAME))


def _of_signer(found: Object) -> bool:
    return bool(dig(found.document(), "spec", "signerName") == SIGNER)


def due(observed: Observed, now: datetime) -> str:
    """What is to be done about the Secret now, "" for nothing."""
    secret = observed.secret
    if secret is None:
        return MAKE if observed.asked else ""
    if not is_own(secret) or secret.terminating:
        return ""
    root = _usable(secret)
    if root is None:
        return MAKE
    following = pair_of(secret, NEXT_CERTIFICATE, NEXT_PRIVATE)
    if following is None:
        rotate = ROTATE in secret.view.metadata.annotations
        return MAKE if now >= root.ends else PREPARE if rotate or now >= root.ends - BEFORE_THE_END else ""
    return TAKE_OVER if now >= min(root.ends, _signs_from(following)) else ""


def _usable(secret: Object) -> Root | None:
    try:
        return root_of(secret)
    except ValueError:
        return None


def _signs_from(following: Pair) -> datetime:
    return read_pem(following.certificate).not_before + BACKDATED + ANNOUNCED


def plan(observed: Observed, now: datetime) -> Plan:
    """What is stored is published, and only then the next thing is done. Never raises."""
    secret, wanted = observed.secret, due(observed, now)
    if wanted == MAKE and observed.made is not None:
        return _made(secret, observed.made, now)
    if secret is None or secret.terminating:
        return NOTHING
    root = _usable(secret)
    if root is None:
        return Plan((Event(secret, "AuthorityUnusable", _fault(secret), "Warning"),)) if not wanted else NOTHING
    actions = _publication(observed, root)
    if wanted == PREPARE and observed.made is not None:
        actions.append(_prepared(secret, observed.made, root, now))
    elif wanted == TAKE_OVER:
        actions.append(_taken_over(secret, root, now))
    return Plan(tuple(actions), requeue_after_s=LOOK_S if is_own(secret) else None)


def _fault(secret: Object) -> str:
    try:
        root_of(secret)
    except ValueError as error:
        return f"Nothing can be issued: {error}"
    return ""


def _valid(text: str, now: datetime) -> list[str]:
    return [block for block in blocks(text) if read_pem(block.encode()).not_after > now]


def _made(secret: Object | None, pair: Pair, now: datetime) -> Plan:
    text = pair.certificate.decode()
    data = encoded(tls_crt=text, tls_key=pair.key, ca_crt=text)
    if secret is None:
        metadata = {"name": KEY[1], "namespace": KEY[0], "labels": {OWN: CLUSTER}}
        document = {"apiVersion": "v1", "kind": SECRET.name, "metadata": metadata, "type": TLS, "data": data}
        return Plan((Create(SECRET, document),))
    told = Event(secret, "AuthorityMade", "Made a new authority: the last one ended, or could not be used", "Warning")
    return Plan((Update(secret, {**secret.document(), "data": data}, done=told),))


def _prepared(secret: Object, made: Pair, root: Root, now: datetime) -> Update:
    bundle = "".join((*_valid(root.bundle, now), made.certificate.decode()))
    document = secret.document()
    annotations = {**(document["metadata"].get("annotations") or {})}
    annotations.pop(ROTATE, None)
    document["metadata"] = {**document["metadata"], "annotations": annotations}
    document["data"] = document["data"] | encoded(ca_crt=bundle, next_crt=made.certificate, next_key=made.key)
    told = f"The next authority is made and published; it signs in {ANNOUNCED.days} days"
    return Update(secret, document, done=Event(secret, "AuthorityPrepared", told))


def _taken_over(secret: Object, root: Root, now: datetime) -> Update:
    data, document = data_of(secret), secret.document()
    bundle = "".join(_valid(data[TRUSTED].decode(), now))
    document["data"] = encoded(tls_crt=data[NEXT_CERTIFICATE], tls_key=data[NEXT_PRIVATE], ca_crt=bundle)
    told = "The next authority signs from now on; the last one is trusted until it ends"
    return Update(secret, document, done=Event(secret, "AuthorityTookOver", told))


def _publication(observed: Observed, root: Root) -> list[Action]:
    """The ClusterTrustBundle, and the ConfigMap unless it is somebody else's."""
    found = trust.plan(trust.Observed(trust.bundle(root.bundle, SIGNER), tuple(observed.bundles)), root.ends)
    actions = list(found.actions)
    wanted, present = {TRUSTED: root.bundle}, observed.published
    if present is None:
        metadata: Document = {"name": PUBLISHED[1], "namespace": PUBLISHED[0], "labels": {ISSUER: CLUSTER}}
        document = {"apiVersion": "v1", "kind": CONFIGMAP.name, "metadata": metadata, "data": wanted}
        actions.append(Create(CONFIGMAP, document))
    elif ISSUER in present.labels and present.view.data != wanted:
        actions.append(Update(present, {**present.document(), "data": wanted}))
    return actions
