"""The promises about issued certificates can be broken."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

from navarch.base.clock import SystemClock, SystemIds, rfc3339
from navarch.base.mint import Mint
from navarch.base.pki import Pair
from navarch.controllers.issuer.declared import ACCOUNT, ISSUER, KEY
from navarch.controllers.issuer.issued import ISSUED_FOR, RENEW_AT, SIGNED_BY
from navarch.controllers.issuer.root import OWN, blocks, digest_of
from navarch.objects.value import Document
from navarch.testing import promises_issuer as promises
from navarch.testing.promises import PROMISES
from tests.unit.testing.test_promises import going, judged, ledger_of, new

CLOCK = SystemClock()
MINT = Mint(CLOCK, SystemIds())
CA, NEXT = MINT.authority("test"), MINT.authority("test")


def data(pair: Pair, *trusted: Pair) -> dict[str, str]:
    bundle = b"".join(each.certificate for each in trusted)
    parts = {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": bundle}
    return {name: base64.b64encode(part).decode() for name, part in parts.items()}


def secret(*hosts: str, renew_in: timedelta = timedelta(days=60), by: Pair = CA, **more: Any) -> Document:
    pair = MINT.server(by, hosts or ("a.example",), timedelta(days=90))
    signed_by = digest_of(blocks(by.certificate.decode())[0])
    notes = {
        ISSUED_FOR: "default/tls",
        RENEW_AT: rfc3339(CLOCK.now() + renew_in),
        SIGNED_BY: signed_by,
    }
    metadata = {"labels": {ISSUER: "cluster"}, "annotations": notes}
    return new("Secret", "tls", **{"metadata": metadata, "data": data(pair, CA), **more})


def authority(pair: Pair, *trusted: Pair, **labels: str) -> Document:
    metadata = {"name": KEY[1], "namespace": KEY[0], "labels": labels or {OWN: "cluster"}}
    return new("Secret", KEY[1], metadata=metadata, data=data(pair, *trusted))


def ingress(**metadata: Any) -> Document:
    spec = {"tls": [{"hosts": ["a.example"], "secretName": "tls"}]}
    return new("Ingress", "web", metadata={"annotations": {ISSUER: "cluster"}, **metadata}, spec=spec)


def test_all_of_them_are_asked() -> None:
    assert set(promises.PROMISES) <= set(PROMISES)


def test_others_secrets_are_left_alone() -> None:
    ledger, foreign = ledger_of(actor=ACCOUNT), secret(metadata={"labels": {}})
    said = judged(promises.only_own_secrets, ledger, foreign, secret())
    assert said == "the issuer changes Secret tls, which somebody else made"
    assert "removes" in judged(promises.only_own_secrets, ledger, foreign, None)
    assert not judged(promises.only_own_secrets, ledger, secret(), None)
    assert not judged(promises.only_own_secrets, ledger_of(actor="user"), foreign, None)
    brought = authority(CA, CA, mine="true")
    assert judged(promises.only_own_secrets, ledger, brought, authority(NEXT, NEXT))
    assert not judged(promises.only_own_secrets, ledger, authority(CA, CA), authority(CA, CA))


def test_what_is_asked_for_stays() -> None:
    asked = ledger_of(ingress(), actor=ACCOUNT)
    said = "Secret tls is removed, Ingress web asks for it"
    assert judged(promises.asked_for_stay, asked, secret(), None) == said
    assert judged(promises.asked_for_stay, asked, secret(), going(secret())) == said
    assert not judged(promises.asked_for_stay, ledger_of(actor=ACCOUNT), secret(), None)
    other = ledger_of(ingress(annotations={ISSUER: "other"}), actor=ACCOUNT)
    assert not judged(promises.asked_for_stay, other, secret(), None)
    assert not judged(promises.asked_for_stay, asked, secret(data={}), None)


def test_keys_change_for_a_reason() -> None:
    ledger, promise = ledger_of(actor=ACCOUNT), promises.keys_change_for_a_reason
    assert "gets another key" in judged(promise, ledger, secret(), secret())
    assert not judged(promise, ledger, secret(renew_in=timedelta(seconds=-60)), secret())
    assert not judged(promise, ledger, secret(), secret("b.example"))
    assert not judged(promise, ledger, secret(data={}), secret())
    assert not judged(promise, ledger, secret(by=NEXT), secret())
    assert not judged(promise, ledger, None, secret())
    assert "of an authority" in judged(promise, ledger, None, secret(by=NEXT))
    assert "no certificate" in judged(promise, ledger, None, secret(data={}))


def test_authorities_are_trusted_to_their_end() -> None:
    ledger, promise = ledger_of(actor=ACCOUNT), promises.authorities_are_trusted_to_their_end
    alone, both, over = authority(CA, CA), authority(CA, CA, NEXT), authority(NEXT, CA, NEXT)
    assert not judged(promise, ledger, alone, both)
    assert not judged(promise, ledger, both, over)
    assert judged(promise, ledger, alone, over) == "an authority signs that was not trusted before"
    assert "trusted no longer" in judged(promise, ledger, both, authority(NEXT, NEXT))
