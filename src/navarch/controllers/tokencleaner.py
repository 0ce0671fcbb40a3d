"""Tokens in Secrets that nobody has used for a year are marked, and refused from then on; a year later they go.

Only those that were made along with an account, which names them: what people made themselves is theirs to remove.
When a token was used last is noted by the API server (`apiserver.authn.tracking`).

Source: https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#legacy-serviceaccount-token-cleaner
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from navarch.base.errors import NotFound
from navarch.client.client import Client
from navarch.controllers.accounttokens import account_of, is_of
from navarch.controllers.controller import Cache, Controller, Watch
from navarch.controllers.options import Setup
from navarch.controllers.plan import NOTHING, Delete, Patch, Plan
from navarch.kinds import CONFIGMAP, POD, SECRET, SERVICEACCOUNT
from navarch.kinds.object import Object
from navarch.kinds.secret import TOKEN_INVALID_SINCE, TOKEN_LAST_USED, TOKEN_TRACKING
from navarch.objects.value import dig

PERIOD = timedelta(hours=8760)
DAY = timedelta(days=1)
LATER = Plan(requeue_after_s=DAY.total_seconds())


@dataclass(frozen=True, slots=True)
class Observed:
    """mounted: a pod refers to it. since: the day from which on uses are noted, "" while that is not known. period: for
    how long it may be unused."""

    secret: Object
    mounted: bool
    since: str = ""
    period: timedelta = PERIOD


def controller(setup: Setup) -> Controller[Observed]:
    period = timedelta(seconds=setup.options.unused_tokens_s)

    def look(cache: Cache, key: tuple[str, str]) -> Observed | None:
        found = observe(cache, key)
        return None if found is None else replace(found, period=period)

    return Controller(
        name="legacy-service-account-token-cleaner",
        watches=(
            Watch(SECRET, _own_key, seldom=True),
            Watch(SERVICEACCOUNT, _named, seldom=True),
            Watch(POD, _nothing, seldom=True),
        ),
        observe=look,
        confirm=confirm,
        plan=plan,
    )


def _own_key(cache: Cache, secret: Object) -> Iterable[Hashable]:
    return (secret.key,) if account_of(secret) else ()


def _named(cache: Cache, account: Object) -> Iterable[Hashable]:
    return [(account.namespace, one.name) for one in account.view.secrets]


def _nothing(cache: Cache, pod: Object) -> Iterable[Hashable]:
    """Pods are looked at when a token is: once a day."""
    return ()


def observe(cache: Cache, key: tuple[str, str]) -> Observed | None:
    secret = cache[SECRET].get(*key)
    if secret is None or not account_of(secret):
        return None
    account = cache[SERVICEACCOUNT].get(secret.namespace, account_of(secret))
    if account is None or not is_of(secret, account) or all(one.name != secret.name for one in account.view.secrets):
        return None
    pods = cache[POD].list(secret.namespace)
    return Observed(secret, any(secret.name in secrets_of(pod.document().get("spec")) for pod in pods))


def secrets_of(spec: Any) -> Iterator[str]:
    """The names of all secrets that a pod spec refers to, wherever in it."""
    if isinstance(spec, list):
        for one in spec:
            yield from secrets_of(one)
    elif isinstance(spec, dict):
        for key, value in spec.items():
            if key == "secretName":
                yield value
            elif key == "imagePullSecrets":
                yield from (one["name"] for one in value if "name" in one)
            elif key.lower().endswith(("secret", "secretref", "secretkeyref")) and isinstance(value, dict):
                yield from (value[field] for field in ("name", "secretName") if field in value)
            else:
                yield from secrets_of(value)


async def confirm(client: Client, observed: Observed) -> Observed:
    """Since when uses are noted stands in a ConfigMap, which is asked for when it is needed."""
    try:
        found = await client.get(CONFIGMAP, "kube-system", TOKEN_TRACKING)
    except NotFound:
        return observed
    return replace(observed, since=dig(found.document(), "data", "since", default=""))


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    secret = observed.secret
    created = secret.view.metadata.creation_timestamp
    if secret.view.metadata.deletion_timestamp is not None or created is None:
        return NOTHING
    border = now - observed.period
    begun = _day(observed.since)
    if begun is None or _midnight(begun + DAY) > border or created >= border or observed.mounted:
        return LATER
    if TOKEN_LAST_USED in secret.labels:
        used = _day(secret.labels[TOKEN_LAST_USED])
        if used is None or used >= border.date():
            return LATER
    invalid = _day(secret.labels.get(TOKEN_INVALID_SINCE, ""))
    if invalid is None:
        label = {TOKEN_INVALID_SINCE: now.date().isoformat()}
        return Plan((Patch(secret, {"metadata": {"labels": label}}),), requeue_after_s=LATER.requeue_after_s)
    return LATER if invalid >= border.date() else Plan((Delete(secret, guarded=True),))


def _day(text: str) -> date | None:
    """None for what is no date."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
