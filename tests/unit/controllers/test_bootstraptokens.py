"""Bootstrap tokens that end, and what the others sign."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest

from navarch.base import jws
from navarch.base.clock import SystemClock, rfc3339
from navarch.client.lease import Heartbeats
from navarch.controllers import ALL, JOINING, bootstraptokens
from navarch.controllers.bootstraptokens import Signed, clean, plan
from navarch.controllers.options import Setup
from navarch.controllers.plan import NOTHING, Delete, Patch, Plan
from navarch.kinds import CONFIGMAP, SECRET
from navarch.kinds.bootstraptoken import TYPE, Token
from navarch.kinds.object import Object
from tests.unit.controllers.conftest import NOW, Make, ago

TEXT = "apiVersion: v1\nkind: Config\n"
ONE, TWO = Token("aaaaaa", "0" * 16), Token("bbbbbb", "1" * 16)


def secret(make: Make, **data: str) -> Object:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return make.object(SECRET, "bootstrap-token-aaaaaa", "kube-system", type=TYPE, data=encoded)


def info(make: Make, **data: Any) -> Object:
    return make.object(CONFIGMAP, "cluster-info", "kube-public", data=data)


def test_one_that_has_ended_is_removed(make: Make) -> None:
    for end in (ago(1), ago(0), "at some time", "2030-01-01"):
        found = secret(make, expiration=end)
        assert clean(found, NOW) == Plan((Delete(found, guarded=True),)), end


def test_one_that_has_not_is_looked_at_when_it_does(make: Make) -> None:
    assert clean(secret(make, expiration=ago(-90)), NOW) == Plan(requeue_after_s=90)
    assert clean(secret(make), NOW) == NOTHING


def test_one_that_is_going_is_let_go(make: Make) -> None:
    metadata = {"deletionTimestamp": rfc3339(NOW)}
    assert clean(make.object(SECRET, "x", "kube-system", type=TYPE, metadata=metadata), NOW) == NOTHING


def test_every_live_token_signs(make: Make) -> None:
    ended = Token("cccccc", "2" * 16, NOW - timedelta(seconds=1))
    found = info(make, kubeconfig=TEXT)
    planned = plan(Signed(found, (ONE, TWO, ended)), NOW)
    [patch] = planned.actions
    assert isinstance(patch, Patch)
    assert sorted(patch.changes["data"]) == ["jws-kubeconfig-aaaaaa", "jws-kubeconfig-bbbbbb"]
    for token in (ONE, TWO):
        assert jws.verify(patch.changes["data"][f"jws-kubeconfig-{token.id}"], TEXT, token.id, token.secret)


def test_what_is_signed_well_is_left_and_what_is_not_is_mended(make: Make) -> None:
    good = {"kubeconfig": TEXT, "jws-kubeconfig-aaaaaa": jws.sign(TEXT, ONE.id, ONE.secret), "note": "mine"}
    assert plan(Signed(info(make, **good), (ONE,)), NOW) == NOTHING
    gone = plan(Signed(info(make, **good), ()), NOW)
    assert [one.changes for one in gone.actions if isinstance(one, Patch)] == [
        {"data": {"jws-kubeconfig-aaaaaa": None}}
    ]
    changed = plan(Signed(info(make, **{**good, "kubeconfig": TEXT + "x"}), (ONE,)), NOW)
    [patch] = changed.actions
    assert isinstance(patch, Patch)
    assert jws.verify(patch.changes["data"]["jws-kubeconfig-aaaaaa"], TEXT + "x", ONE.id, ONE.secret)


def test_nothing_is_signed_where_nothing_is_said(make: Make) -> None:
    assert plan(Signed(info(make), (ONE,)), NOW) == NOTHING


@pytest.mark.parametrize("name", ["token-cleaner", "bootstrap-signer", "kubelet-serving-approver"])
def test_they_run_where_machines_may_join(name: str) -> None:
    setup = Setup(SystemClock(), _Silent())
    assert name in [make(setup).name for make in JOINING]
    assert not set(JOINING) & set(ALL)


class _Silent(Heartbeats):
    """Nobody lives."""


def test_only_bootstrap_tokens_are_looked_at(make: Make) -> None:
    setup = Setup(SystemClock(), _Silent())
    [watch] = bootstraptokens.cleaner(setup).watches
    cache: Any = None
    assert list(watch.keys(cache, secret(make))) == [("kube-system", "bootstrap-token-aaaaaa")]
    assert list(watch.keys(cache, make.object(SECRET, "x", "kube-system", type="Opaque"))) == []
    assert list(watch.keys(cache, make.object(SECRET, "x", "default", type=TYPE))) == []
