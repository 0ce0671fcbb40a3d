"""Tokens of accounts that are gone."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from navarch.base.errors import NotFound
from navarch.client.client import Client
from navarch.controllers.accounttokens import ACCOUNT_UID, Observed, account_index, confirm, is_of, plan
from navarch.controllers.plan import Delete, Plan
from navarch.kinds import SECRET, SERVICEACCOUNT
from navarch.kinds.object import Object
from navarch.kinds.secret import ACCOUNT_NAME, ACCOUNT_TOKEN
from tests.unit.controllers.conftest import NOW, Make, ago


def token(make: Make, uid: str = "uid-robot", **metadata: Any) -> Object:
    annotations = {ACCOUNT_NAME: "robot", ACCOUNT_UID: uid}
    return make.object(SECRET, "t", type=ACCOUNT_TOKEN, metadata={"annotations": annotations, **metadata})


class Api:
    def __init__(self, account: Object | None) -> None:
        self.account = account

    async def get(self, kind: Any, namespace: str, name: str) -> Object:
        if self.account is None:
            raise NotFound(name)
        return self.account


def test_whose_a_token_is(make: Make) -> None:
    account = make.object(SERVICEACCOUNT, "robot")
    assert is_of(token(make), account)
    assert not is_of(token(make, "uid-of-an-older-one"), account)
    assert not is_of(token(make), None)
    assert list(account_index(token(make))) == ["default/robot"]
    assert list(account_index(make.object(SECRET, "s", type="Opaque"))) == []


def test_it_goes_when_the_api_says_that_its_account_is_gone(make: Make) -> None:
    secret, account = token(make), make.object(SERVICEACCOUNT, "robot")
    seen = Observed(secret, orphaned=True)
    there = asyncio.run(confirm(cast(Client, Api(account)), seen))
    assert plan(there, NOW) == Plan()
    gone = asyncio.run(confirm(cast(Client, Api(None)), seen))
    assert plan(gone, NOW) == Plan((Delete(secret, guarded=True),))
    going = Observed(token(make, deletionTimestamp=ago(1), finalizers=["a/b"]), orphaned=True)
    assert plan(going, NOW) == Plan()
