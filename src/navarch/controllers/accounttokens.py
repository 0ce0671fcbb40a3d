"""Tokens in Secrets go with the service account that they are of.

They are filled in where they are written (`apiserver.admission.accounts`), and are no good without their account.

Source: https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#token-controller
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from navarch.base.errors import NotFound
from navarch.client.client import Client
from navarch.controllers.controller import Cache, Controller, Watch
from navarch.controllers.options import Setup
from navarch.controllers.plan import Delete, Plan
from navarch.kinds import SECRET, SERVICEACCOUNT
from navarch.kinds.object import Object
from navarch.kinds.secret import ACCOUNT_NAME, ACCOUNT_TOKEN

ACCOUNT_UID = "kubernetes.io/service-account.uid"
OF_ACCOUNT = "account"


@dataclass(frozen=True, slots=True)
class Observed:
    """orphaned: its account is gone, or another has come by the same name."""

    secret: Object
    orphaned: bool


def controller(setup: Setup) -> Controller[Observed]:
    return Controller(
        name="service-account-token",
        watches=(
            Watch(SECRET, _own_key, indexes={OF_ACCOUNT: account_index}),
            Watch(SERVICEACCOUNT, _tokens_of, _another),
        ),
        observe=observe,
        confirm=confirm,
        plan=plan,
        account="service-account-token-controller",
    )


def account_of(secret: Object) -> str:
    """The name of the account whose token it is for, "" for secrets of other sorts."""
    if secret.view.type != ACCOUNT_TOKEN:
        return ""
    return str(secret.view.metadata.annotations.get(ACCOUNT_NAME, ""))


def account_index(secret: Object) -> Iterable[str]:
    name = account_of(secret)
    return (f"{secret.namespace}/{name}",) if name else ()


def _own_key(cache: Cache, secret: Object) -> Iterable[Hashable]:
    return (secret.key,) if account_of(secret) else ()


def _tokens_of(cache: Cache, account: Object) -> Iterable[Hashable]:
    return [secret.key for secret in cache[SECRET].by(OF_ACCOUNT, f"{account.namespace}/{account.name}")]


def _another(old: Object, new: Object) -> bool:
    return old.uid != new.uid


def observe(cache: Cache, key: tuple[str, str]) -> Observed | None:
    secret = cache[SECRET].get(*key)
    if secret is None or not account_of(secret):
        return None
    account = cache[SERVICEACCOUNT].get(secret.namespace, account_of(secret))
    return None if is_of(secret, account) else Observed(secret, orphaned=True)


def is_of(secret: Object, account: Object | None) -> bool:
    return account is not None and secret.view.metadata.annotations.get(ACCOUNT_UID) in (None, "", account.uid)


async def confirm(client: Client, observed: Observed) -> Observed:
    """The account may have come just now: the API itself is asked."""
    secret = observed.secret
    try:
        account = await client.get(SERVICEACCOUNT, secret.namespace, account_of(secret))
    except NotFound:
        return observed
    return replace(observed, orphaned=not is_of(secret, account))


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    secret = observed.secret
    if not observed.orphaned or secret.view.metadata.deletion_timestamp is not None:
        return Plan()
    return Plan((Delete(secret, guarded=True),))
