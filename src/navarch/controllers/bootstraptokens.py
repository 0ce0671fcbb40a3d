"""Bootstrap tokens: those that have ended are removed, and each of the others signs where the cluster is.

Whoever has a token can so tell that the `cluster-info` it was shown is from its cluster, before trusting anything else.

Source: https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from navarch.base import jws
from navarch.controllers.controller import Cache, Controller, Watch, own_key
from navarch.controllers.options import Setup
from navarch.controllers.plan import NOTHING, Delete, Patch, Plan
from navarch.kinds import CONFIGMAP, SECRET, bootstraptoken
from navarch.kinds.bootstraptoken import INFO, INFO_KEY, INFO_NAMESPACE, SIGNATURE, SIGNING, Token
from navarch.kinds.object import Object
from navarch.objects.value import dig

LEAST_S = 1.0


@dataclass(frozen=True, slots=True)
class Signed:
    """What `signer` looks at. tokens: those that sign, by their ids."""

    info: Object
    tokens: tuple[Token, ...]


def cleaner(setup: Setup) -> Controller[Object]:
    return Controller(
        name="token-cleaner",
        watches=(Watch(SECRET, _token_key, seldom=True),),
        observe=lambda cache, key: cache[SECRET].get(*key),
        plan=clean,
        workers=1,
    )


def signer(setup: Setup) -> Controller[Signed]:
    return Controller(
        name="bootstrap-signer",
        watches=(Watch(SECRET, _info_key, seldom=True), Watch(CONFIGMAP, _if_info)),
        observe=observe,
        plan=plan,
        workers=1,
    )


def _token_key(cache: Cache, secret: Object) -> Iterable[Hashable]:
    ours = secret.namespace == bootstraptoken.NAMESPACE and secret.view.type == bootstraptoken.TYPE
    return own_key(cache, secret) if ours else ()


def _info_key(cache: Cache, secret: Object) -> Iterable[Hashable]:
    return ((INFO_NAMESPACE, INFO),) if list(_token_key(cache, secret)) else ()


def _if_info(cache: Cache, found: Object) -> Iterable[Hashable]:
    return (found.key,) if found.key == (INFO_NAMESPACE, INFO) else ()


def clean(secret: Object, now: datetime) -> Plan:
    """Never raises. A token whose end cannot be read has ended."""
    if secret.view.metadata.deletion_timestamp is not None:
        return NOTHING
    try:
        end = bootstraptoken.end_of(secret.view.data)
    except ValueError:
        end = now
    if end is None:
        return NOTHING
    if end > now:
        return Plan(requeue_after_s=max(LEAST_S, (end - now) / timedelta(seconds=1)))
    return Plan((Delete(secret, guarded=True),))


def observe(cache: Cache, key: tuple[str, str]) -> Signed | None:
    info = cache[CONFIGMAP].get(*key)
    if info is None:
        return None
    secrets = cache[SECRET].list(bootstraptoken.NAMESPACE)
    tokens = [token for one in secrets if list(_token_key(cache, one)) and (token := bootstraptoken.read(one))]
    return Signed(info, tuple(sorted((token for token in tokens if SIGNING in token.usages), key=lambda one: one.id)))


def plan(observed: Signed, now: datetime) -> Plan:
    """Never raises."""
    data = dig(observed.info.document(), "data", default={})
    text = data.get(INFO_KEY)
    if not text:
        return NOTHING
    live = [token for token in observed.tokens if not token.over(now)]
    wanted = {SIGNATURE + token.id: jws.sign(text, token.id, token.secret) for token in live}
    stale = [key for key in data if key.startswith(SIGNATURE) and key not in wanted]
    changes = {key: value for key, value in wanted.items() if data.get(key) != value} | dict.fromkeys(stale)
    if not changes:
        return NOTHING
    return Plan((Patch(observed.info, {"data": changes}),))
