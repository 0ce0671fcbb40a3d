"""The issuer's three controllers, as light as they are seldom needed: what each watches, and by which words one asks.

How it is read and decided stands in the modules beside this one, which are loaded when somebody asks for a certificate:
most clusters never do, and idle processes are to hold little.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import datetime
from typing import Any

from navarch.client.client import Client
from navarch.controllers.certificates.requests import has, issued, signer_of
from navarch.controllers.controller import Cache, Controller, Keys, Watch, custom_watches
from navarch.controllers.options import Setup
from navarch.controllers.plan import Plan
from navarch.kinds import CERTIFICATESIGNINGREQUEST, CLUSTERTRUSTBUNDLE, CONFIGMAP, INGRESS, SECRET
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object

ISSUER, CLUSTER = "navarch.dev/issuer", "cluster"
"""The annotation that asks, and the label of what was issued; and the value of both."""
GATEWAY_GROUP, GATEWAY = "gateway.networking.k8s.io", "Gateway"
SIGNER = "navarch.dev/serving"
KEY = ("kube-system", "navarch-issuer")
"""Namespace and name of the authority's Secret."""
PUBLISHED = ("kube-public", "navarch-issuer")
"""Namespace and name of the ConfigMap that clients read."""
ACCOUNT = "certificate-issuer"
BY_SECRET, ASKED, WAITING = "issued-into", "issuer-asked", "issuer-waiting"
ALL = ""
"""The only value of the last two indexes, and the only key of the authority's controller."""
ANNOTATION_MARK, SIGNER_MARK = ISSUER.encode(), SIGNER.encode()
"""What is written in every object that asks, and in few others."""


def is_gateway(kind: Kind) -> bool:
    return kind.group == GATEWAY_GROUP and kind.name == GATEWAY


def sources_of(setup: Setup) -> Callable[[], Sequence[Kind]]:
    """The kinds that ask, as they are served at the moment."""
    return lambda: (INGRESS, *(kind for kind in setup.kinds.stored() if kind.custom and is_gateway(kind)))


def secret_index(found: Object) -> Iterable[str]:
    """Namespace and name of each Secret that is asked for."""
    if ANNOTATION_MARK not in found.raw:
        return ()
    from navarch.controllers.issuer.asks import asks_of

    return {f"{found.namespace}/{ask.secret}": None for ask in asks_of(found, "")}


def asked_index(found: Object) -> Iterable[str]:
    if ANNOTATION_MARK not in found.raw:
        return ()
    from navarch.controllers.issuer.asks import asks_of

    return (ALL,) if any(not ask.fault for ask in asks_of(found, "")) else ()


def waiting_index(found: Object) -> Iterable[str]:
    """Requests that were approved, and are neither signed nor refused."""
    if SIGNER_MARK not in found.raw or signer_of(found) != SIGNER:
        return ()
    waits = has(found, "Approved") and not issued(found) and not has(found, "Denied", "Failed")
    return (ALL,) if waits else ()


def _where(true: Callable[[Object], bool]) -> Keys:
    return lambda cache, found: (ALL,) if true(found) else ()


def _own(index: Callable[[Object], Iterable[str]]) -> Keys:
    return lambda cache, found: (found.key,) if index(found) else ()


def authority(setup: Setup) -> Controller[Any]:
    """The authority for the way in: made when first asked for, announced and replaced before it ends, published."""
    sources = sources_of(setup)

    def observe(cache: Cache, key: Hashable) -> Any:
        from navarch.controllers.issuer.authority import observed_in

        return observed_in(cache, (CERTIFICATESIGNINGREQUEST, *sources()))

    async def confirm(client: Client, observed: Any) -> Any:
        from navarch.controllers.issuer.authority import with_new

        return observed if setup.mint is None else with_new(setup.mint, observed, setup.clock.now())

    def plan(observed: Any, now: datetime) -> Plan:
        from navarch.controllers.issuer import authority

        return authority.plan(observed, now)

    def watch_of(kind: Kind) -> Watch | None:
        return Watch(kind, asking, indexes={ASKED: asked_index}, seldom=True) if is_gateway(kind) else None

    asking = _where(lambda found: bool(asked_index(found)))
    return Controller(
        name="issuer-authority",
        watches=(
            Watch(SECRET, _where(lambda found: found.key == KEY), seldom=True),
            Watch(INGRESS, asking, indexes={ASKED: asked_index}, seldom=True),
            Watch(
                CERTIFICATESIGNINGREQUEST,
                _where(lambda found: bool(waiting_index(found))),
                indexes={ASKED: waiting_index},
                seldom=True,
            ),
            Watch(CLUSTERTRUSTBUNDLE, _where(lambda found: SIGNER_MARK in found.raw), seldom=True),
            Watch(CONFIGMAP, _where(lambda found: found.key == PUBLISHED), seldom=True),
        ),
        grows=custom_watches(setup.kinds, watch_of),
        observe=observe,
        confirm=confirm,
        plan=plan,
        component=ACCOUNT,
        account=ACCOUNT,
        workers=1,
    )


def certificates(setup: Setup) -> Controller[Any]:
    """The Secrets that Ingresses and Gateways ask the issuer for: issued, renewed, and removed when nobody asks."""
    sources, domain = sources_of(setup), setup.options.cluster_domain

    def observe(cache: Cache, key: tuple[str, str]) -> Any:
        from navarch.controllers.issuer.issued import seen

        found = [each for kind in sources() for each in cache[kind].by(BY_SECRET, "/".join(key))]
        return seen(key, found, cache[SECRET].get(*key), cache[SECRET].get(*KEY), domain)

    async def confirm(client: Client, observed: Any) -> Any:
        from navarch.controllers.issuer.issued import confirmed

        return await confirmed(client, observed, sources(), domain, setup.mint, setup.clock.now())

    def plan(observed: Any, now: datetime) -> Plan:
        from navarch.controllers.issuer import issued

        return issued.plan(observed, now)

    def watch_of(kind: Kind) -> Watch | None:
        if not is_gateway(kind):
            return None
        return Watch(kind, _of_source, _source_matters, {BY_SECRET: secret_index}, seldom=True)

    return Controller(
        name="issuer-certificates",
        watches=(
            Watch(INGRESS, _of_source, _source_matters, {BY_SECRET: secret_index}, seldom=True),
            Watch(SECRET, _of_secret(sources), seldom=True),
        ),
        grows=custom_watches(setup.kinds, watch_of),
        observe=observe,
        confirm=confirm,
        plan=plan,
        component=ACCOUNT,
        account=ACCOUNT,
        workers=1,
    )


def _of_source(cache: Cache, found: Object) -> Iterable[Hashable]:
    return [tuple(one.split("/")) for one in secret_index(found)]


def _source_matters(old: Object, new: Object) -> bool:
    was, now = old.view.metadata, new.view.metadata
    return bool(
        was.generation != now.generation or was.annotations != now.annotations or old.terminating != new.terminating
    )


def _of_secret(sources: Callable[[], Sequence[Kind]]) -> Keys:
    def keys(cache: Cache, found: Object) -> Iterable[Hashable]:
        kinds = sources()
        if found.key == KEY:
            return [key for kind in kinds for each in cache[kind].list() for key in _of_source(cache, each)]
        one = "/".join(found.key)
        return (
            (found.key,) if ISSUER in found.labels or any(cache[kind].count(BY_SECRET, one) for kind in kinds) else ()
        )

    return keys


def requests(setup: Setup) -> Controller[Any]:
    """Requests of the signer `navarch.dev/serving`: what a person approved is signed by that authority."""

    def observe(cache: Cache, key: tuple[str, str]) -> Any:
        from navarch.controllers.issuer.requested import observed_in

        return observed_in(cache, key)

    async def confirm(client: Client, observed: Any) -> Any:
        from navarch.controllers.issuer.requested import signed

        return observed if setup.mint is None else signed(setup.mint, observed)

    def plan(observed: Any, now: datetime) -> Plan:
        from navarch.controllers.issuer import requested

        return requested.plan(observed, now)

    def waiting(cache: Cache, found: Object) -> Iterable[Hashable]:
        return [each.key for each in cache[CERTIFICATESIGNINGREQUEST].by(WAITING, ALL)] if found.key == KEY else ()

    return Controller(
        name="issuer-requests",
        watches=(
            Watch(CERTIFICATESIGNINGREQUEST, _own(waiting_index), indexes={WAITING: waiting_index}, seldom=True),
            Watch(SECRET, waiting, seldom=True),
        ),
        observe=observe,
        confirm=confirm,
        plan=plan,
        account=ACCOUNT,
        workers=1,
    )
