"""Tokens in Secrets that nobody uses."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.base.errors import NotFound
from navarch.client.client import Client
from navarch.controllers.accounttokens import ACCOUNT_UID
from navarch.controllers.controller import Cache
from navarch.controllers.plan import NOTHING, Delete, Patch, Plan
from navarch.controllers.tokencleaner import LATER, Observed, confirm, observe, plan, secrets_of
from navarch.kinds import CONFIGMAP, POD, SECRET, SERVICEACCOUNT
from navarch.kinds.object import Object
from navarch.kinds.secret import ACCOUNT_NAME, ACCOUNT_TOKEN, TOKEN_INVALID_SINCE, TOKEN_LAST_USED
from tests.unit.controllers.conftest import NOW, Make, ago

YEAR_S = 8760 * 3600
OLD = ago(3 * YEAR_S)
LONG_AGO = "2026-05-05"


def day(years: float) -> str:
    return (NOW - timedelta(seconds=years * YEAR_S)).date().isoformat()


def token(make: Make, created: str = OLD, labels: dict[str, str] | None = None, **metadata: Any) -> Object:
    notes = {ACCOUNT_NAME: "robot", ACCOUNT_UID: "uid-robot"}
    metadata = {"annotations": notes, "creationTimestamp": created, "labels": labels or {}, **metadata}
    return make.object(SECRET, "t", type=ACCOUNT_TOKEN, metadata=metadata)


def marking(found: Object) -> Plan:
    changes = {"metadata": {"labels": {TOKEN_INVALID_SINCE: "2030-01-01"}}}
    return Plan((Patch(found, changes),), requeue_after_s=86_400)


def test_one_that_nobody_used_for_a_year_is_marked(make: Make) -> None:
    for labels in ({}, {TOKEN_LAST_USED: day(1.01)}, {TOKEN_INVALID_SINCE: "some time ago"}):
        found = token(make, labels=labels)
        assert plan(Observed(found, mounted=False, since=LONG_AGO), NOW) == marking(found)


@pytest.mark.parametrize(
    ("labels", "created", "mounted", "since"),
    [
        ({TOKEN_LAST_USED: day(0.99)}, OLD, False, LONG_AGO),
        ({TOKEN_LAST_USED: day(1)}, OLD, False, LONG_AGO),
        ({TOKEN_LAST_USED: "who knows"}, OLD, False, LONG_AGO),
        ({}, ago(YEAR_S), False, LONG_AGO),
        ({}, OLD, True, LONG_AGO),
        ({}, OLD, False, day(0.99)),
        ({}, OLD, False, day(1)),
        ({}, OLD, False, ""),
        ({}, OLD, False, "who knows"),
        ({TOKEN_INVALID_SINCE: day(0.5)}, OLD, False, LONG_AGO),
        ({TOKEN_INVALID_SINCE: LONG_AGO, TOKEN_LAST_USED: day(0.1)}, OLD, False, LONG_AGO),
    ],
)
def test_others_are_looked_at_again_tomorrow(
    make: Make, labels: dict[str, str], created: str, mounted: bool, since: str
) -> None:
    assert plan(Observed(token(make, created, labels), mounted, since), NOW) == LATER


def test_one_that_was_marked_a_year_ago_goes(make: Make) -> None:
    found = token(make, labels={TOKEN_INVALID_SINCE: day(1.01), TOKEN_LAST_USED: day(2)})
    assert plan(Observed(found, mounted=False, since=LONG_AGO), NOW) == Plan((Delete(found, guarded=True),))
    going = token(make, labels={TOKEN_INVALID_SINCE: day(1.01)}, deletionTimestamp=ago(1), finalizers=["a/b"])
    assert plan(Observed(going, mounted=False, since=LONG_AGO), NOW) == NOTHING


def test_how_long_one_may_be_unused_can_be_said(make: Make) -> None:
    found = token(make, ago(7200))
    hour = Observed(found, mounted=False, since=LONG_AGO, period=timedelta(hours=1))
    assert plan(hour, NOW) == marking(found)
    assert plan(Observed(found, mounted=False, since=LONG_AGO), NOW) == LATER


@given(st.text(max_size=12), st.text(max_size=12), st.text(max_size=12), st.booleans())
def test_it_never_raises(used: str, invalid: str, since: str, mounted: bool) -> None:
    found = token(Make(), labels={TOKEN_LAST_USED: used, TOKEN_INVALID_SINCE: invalid})
    assert not any(isinstance(one, Delete) for one in plan(Observed(found, mounted, since), NOW).actions) or not mounted


def test_its_life_day_by_day(make: Make) -> None:
    """Noted since the first day, never used: marked after a year and a day, gone after another."""
    start = datetime(2030, 1, 1, 12, tzinfo=UTC)
    found, marked = token(make, "2030-01-01T12:00:00Z"), 0
    for number in range(800):
        planned = plan(Observed(found, mounted=False, since="2030-01-01"), start + timedelta(days=number))
        for action in planned.actions:
            if isinstance(action, Delete):
                assert (marked, number) == (366, 366 + 366)
                return
            assert isinstance(action, Patch)
            marked = number
            found = token(make, "2030-01-01T12:00:00Z", labels=action.changes["metadata"]["labels"])
    raise AssertionError("it never went")


class Held:
    def __init__(self, *objects: Object) -> None:
        self._objects = {one.key: one for one in objects}

    def get(self, namespace: str, name: str) -> Object | None:
        return self._objects.get((namespace, name))

    def list(self, namespace: str) -> list[Object]:
        return [one for one in self._objects.values() if one.namespace == namespace]


def seen(secret: Object, account: Object, *pods: Object) -> Observed | None:
    cache = {SECRET: Held(secret), SERVICEACCOUNT: Held(account), POD: Held(*pods)}
    return observe(cast(Cache, cache), secret.key)


def test_only_tokens_that_their_account_names(make: Make) -> None:
    found, named = token(make), make.object(SERVICEACCOUNT, "robot", secrets=[{"name": "t"}])
    assert seen(found, named) == Observed(found, mounted=False)
    assert seen(found, make.object(SERVICEACCOUNT, "robot")) is None, "somebody made it by hand"
    assert seen(found, make.object(SERVICEACCOUNT, "robot", secrets=[{"name": "t"}], metadata={"uid": "new"})) is None
    assert seen(make.object(SECRET, "t", type="Opaque"), named) is None
    user = make.object(POD, "p", spec={"containers": [], "volumes": [{"name": "v", "secret": {"secretName": "t"}}]})
    assert seen(found, named, user) == Observed(found, mounted=True)
    other = make.object(POD, "p", "elsewhere", spec={"volumes": [{"name": "v", "secret": {"secretName": "t"}}]})
    assert seen(found, named, other) == Observed(found, mounted=False)


def test_secrets_are_found_wherever_a_pod_names_them() -> None:
    spec = {
        "imagePullSecrets": [{"name": "pull"}, {}],
        "containers": [
            {
                "name": "c",
                "env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "env", "key": "k"}}}],
                "envFrom": [{"secretRef": {"name": "all"}}, {"configMapRef": {"name": "none"}}],
            }
        ],
        "initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "first"}}]}],
        "volumes": [
            {"name": "a", "secret": {"secretName": "volume"}},
            {"name": "b", "projected": {"sources": [{"secret": {"name": "projected"}}, {"configMap": {"name": "n"}}]}},
            {"name": "c", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "driver"}}},
            {"name": "d", "azureFile": {"shareName": "s", "secretName": "azure"}},
        ],
    }
    assert sorted(secrets_of(spec)) == ["all", "azure", "driver", "env", "first", "projected", "pull", "volume"]
    assert list(secrets_of(None)) == []


class Api:
    def __init__(self, found: Object | None) -> None:
        self.found = found

    async def get(self, kind: Any, namespace: str, name: str) -> Object:
        if self.found is None:
            raise NotFound(name)
        return self.found


def test_since_when_uses_are_noted_is_asked(make: Make) -> None:
    observed = Observed(token(make), mounted=False)
    told = make.object(CONFIGMAP, "c", "kube-system", data={"since": LONG_AGO})
    assert asyncio.run(confirm(cast(Client, Api(told)), observed)).since == LONG_AGO
    assert asyncio.run(confirm(cast(Client, Api(None)), observed)).since == ""
    assert asyncio.run(confirm(cast(Client, Api(make.object(CONFIGMAP, "c"))), observed)).since == ""
