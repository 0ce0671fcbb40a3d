"""The issuer's authority and the Secrets that it issues: what is made, renewed, kept, refused and removed."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import navarch
from navarch.base.certificate import read_pem
from navarch.base.clock import Clock, SystemIds, rfc3339
from navarch.base.errors import NotFound
from navarch.base.mint import Mint
from navarch.base.pki import Pair
from navarch.controllers.issuer import authority, issued, requested
from navarch.controllers.issuer.asks import LIFE, Ask
from navarch.controllers.issuer.authority import ANNOUNCED, BEFORE_THE_END, MAKE, PREPARE, ROTATE, TAKE_OVER
from navarch.controllers.issuer.declared import ISSUER, KEY, SIGNER, waiting_index
from navarch.controllers.issuer.issued import ISSUED_FOR, RENEW_AT, SIGNED_BY, Observed, held_in, reason
from navarch.controllers.issuer.root import OWN, blocks, digest_of, encoded, root_of
from navarch.controllers.plan import NOTHING, Create, Delete, Event, Plan, Status, Update
from navarch.kinds import INGRESS, SECRET
from navarch.kinds.object import Object
from tests.unit.controllers.certificates_requests import APPROVED, pem, request
from tests.unit.controllers.conftest import NOW, Make


class At(Clock):
    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"nobody sleeps here for {seconds} s")


def mint(at: datetime = NOW) -> Mint:
    return Mint(At(at), SystemIds())


CA = mint().authority("test")
OTHER = mint().authority("test")


def authority_secret(make: Make, pair: Pair = CA, *trusted: Pair, own: bool = True, **more: bytes | str) -> Object:
    data = encoded(tls_crt=pair.certificate, tls_key=pair.key, **more)
    if own or trusted:
        data |= encoded(ca_crt=b"".join(each.certificate for each in (pair, *trusted)))
    labels = {OWN: "cluster"} if own else {}
    return make.object(SECRET, KEY[1], KEY[0], metadata={"labels": labels}, type="kubernetes.io/tls", data=data)


ROOT = root_of(authority_secret(Make()))


def asking(make: Make, *hosts: str, fault: str = "", life: timedelta = LIFE) -> Ask:
    return Ask(make.object(INGRESS, "web"), "tls", hosts or ("a.example",), life, fault)


def secret(
    make: Make,
    *hosts: str,
    at: datetime = NOW,
    life: timedelta = LIFE,
    metadata: dict[str, Any] | None = None,
    **more: Any,
) -> Object:
    pair = mint(at).server(CA, hosts or ("a.example",), life)
    notes = {ISSUED_FOR: "default/tls", RENEW_AT: rfc3339(at + life * 0.7), SIGNED_BY: ROOT.digest}
    found = {"labels": {ISSUER: "cluster"}, "annotations": notes, **(metadata or {})}
    data = encoded(tls_crt=pair.certificate, tls_key=pair.key, ca_crt=ROOT.bundle)
    return make.object(SECRET, "tls", metadata=found, type="kubernetes.io/tls", **{"data": data, **more})


def observed(*asks: Ask, **more: Any) -> Observed:
    return Observed("default", "tls", asks, **{"root": ROOT, **more})


def decided(seen: Observed, now: datetime = NOW) -> Plan:
    """As the runner does: what is to be made is made, then planned."""
    return issued.plan(issued._issue(mint(now), seen, now), now)


def told(plan: Plan) -> list[str]:
    return [f"{each.reason}: {each.message}" for each in plan.actions if isinstance(each, Event)]


def test_what_is_asked_for_is_issued(make: Make) -> None:
    ask = asking(make, "a.example", "*.a.example", "192.0.2.1", life=timedelta(days=3))
    created, *_ = (plan := decided(observed(ask))).actions
    assert isinstance(created, Create)
    document = created.document
    assert (document["type"], document["metadata"]["namespace"]) == ("kubernetes.io/tls", "default")
    found = read_pem(base64.b64decode(document["data"]["tls.crt"]))
    assert found.hosts == {"a.example", "*.a.example", "192.0.2.1"}
    assert (found.not_after, found.authority) == (NOW + timedelta(days=3), False)
    assert base64.b64decode(document["data"]["ca.crt"]).decode() == ROOT.bundle
    renewed = document["metadata"]["annotations"][RENEW_AT]
    assert rfc3339(NOW + timedelta(days=2)) <= renewed <= rfc3339(NOW + timedelta(days=2, hours=4))
    assert told(plan) == [
        "CertificateIssued: Issued a certificate for a.example, *.a.example, 192.0.2.1 into Secret tls; "
        "it holds until 2030-01-04T12:00:00Z"
    ]
    assert "PRIVATE" not in repr(issued._issue(mint(), observed(ask), NOW)), "no key comes into a log"


def test_all_who_ask_for_one_secret_share_it(make: Make) -> None:
    asks = asking(make, "a.example", life=timedelta(days=9)), asking(make, "b.example", "a.example")
    both = observed(*asks, asking(make, "c.example", fault="wrong"))
    assert (both.hosts, both.life) == (("a.example", "b.example"), timedelta(days=9))
    assert "CertificateRefused: No certificate is issued: wrong" in told(decided(both))


def test_it_is_kept_until_there_is_a_reason(make: Make) -> None:
    seen = observed(asking(make), secret=secret(make))
    kept = decided(seen)
    assert not kept.actions
    assert kept.requeue_after_s == 12 * 3600
    due = NOW + LIFE * 0.7
    assert decided(seen, due - timedelta(hours=1)) == Plan(requeue_after_s=3600)
    renewed, event = decided(seen, due).actions
    assert isinstance(renewed, Update)
    assert isinstance(event, Event)
    assert event.message.startswith("Renewed the certificate in Secret tls, since its time had come; it holds until")
    before, after = seen.secret and seen.secret.document(), renewed.document
    assert before
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"], "nobody else's write is lost"
    assert after["data"]["tls.key"] != before["data"]["tls.key"]


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ({}, ""),
        ({"data": {}}, "what was in it is no certificate with its key"),
        ({"data": {"tls.crt": "////", "tls.key": "?"}}, "what was in it is no certificate with its key"),
        ({"life": LIFE * 2}, "a shorter life is asked for"),
        ({"at": NOW - LIFE}, "its time had come"),
        ({"metadata": {"annotations": {ISSUED_FOR: "default/tls", SIGNED_BY: ROOT.digest}}}, ""),
        ({"metadata": {"annotations": {ISSUED_FOR: "default/tls"}}}, "its authority is trusted no longer"),
    ],
)
def test_reasons(make: Make, found: dict[str, Any], why: str) -> None:
    assert reason(observed(asking(make), secret=secret(make, **found)), NOW) == why


def test_other_names_are_a_reason_and_another_order_is_none(make: Make) -> None:
    has = secret(make, "a.example", "b.example")
    assert reason(observed(asking(make, "b.example", "a.example"), secret=has), NOW) == ""
    assert reason(observed(asking(make, "b.example"), secret=has), NOW) == "other names are asked for"
    assert reason(observed(asking(make), secret=secret(make, "c.example")), NOW) == "other names are asked for"


def test_without_its_notes_it_is_renewed_after_two_thirds(make: Make) -> None:
    held = held_in(secret(make, metadata={"annotations": {}}))
    assert held is not None
    assert held.renew_at == NOW + LIFE * (2 / 3)


@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": {}},
        {"annotations": {}},
        {"annotations": {ISSUED_FOR: "default/another"}},
        {"labels": {ISSUER: "mine"}},
    ],
)
def test_somebody_elses_is_left_alone(make: Make, metadata: dict[str, Any]) -> None:
    foreign = secret(make, "c.example", at=NOW - 2 * LIFE, metadata=metadata)
    plan = decided(observed(asking(make), secret=foreign))
    refused = "CertificateRefused: No certificate is issued: Secret tls is there, and was not made by the issuer"
    assert told(plan) == [refused]
    assert len(plan.actions) == 1
    assert issued.seen(("default", "tls"), [], foreign, None, "") is None, "nor is it removed"


def test_the_authoritys_own_secret_is_never_issued_into(make: Make) -> None:
    notes = {"labels": {ISSUER: "cluster"}, "annotations": {ISSUED_FOR: "/".join(KEY)}}
    assert not issued.is_ours(make.object(SECRET, KEY[1], KEY[0], metadata=notes))


def test_what_nobody_asks_for_goes(make: Make) -> None:
    has = secret(make)
    [gone] = decided(observed(secret=has)).actions
    assert isinstance(gone, Delete)
    assert (gone.object, gone.guarded) == (has, True)


def test_a_slip_of_the_pen_takes_nothing_down_and_what_ends_goes(make: Make) -> None:
    slip = observed(asking(make, fault="wrong"), secret=secret(make))
    kept = decided(slip, NOW + LIFE * 0.9)
    assert told(kept) == ["CertificateRefused: No certificate is issued: wrong"]
    assert len(kept.actions) == 1
    gone, _ = decided(slip, NOW + LIFE).actions
    assert isinstance(gone, Delete)


def test_what_cannot_be_changed_is_made_anew(make: Make) -> None:
    [gone] = decided(observed(asking(make, "b.example"), secret=secret(make, immutable=True))).actions
    assert isinstance(gone, Delete)


def test_what_clients_trust_is_kept_up_to_date(make: Make) -> None:
    wider = root_of(authority_secret(make, CA, OTHER))
    [update] = decided(observed(asking(make), secret=secret(make), root=wider)).actions
    assert isinstance(update, Update)
    assert base64.b64decode(update.document["data"]["ca.crt"]).decode() == wider.bundle
    has = secret(make)
    assert update.document["data"].keys() == has.document()["data"].keys()


def test_without_an_authority_that_can_sign_nothing_is_issued(make: Make) -> None:
    assert decided(observed(asking(make), root=None)) == NOTHING
    broken = make.object(SECRET, KEY[1], KEY[0], data={})
    notes = {"annotations": {ISSUER: "cluster"}}
    source = make.object(INGRESS, "web", metadata=notes, spec={"tls": [{"hosts": ["a.example"], "secretName": "tls"}]})
    seen = issued.seen(("default", "tls"), [source], None, broken, "cluster.local")
    assert seen is not None
    [text] = told(decided(seen))
    assert text.endswith(
        "kube-system/navarch-issuer cannot be used: tls.crt and tls.key are no certificate with its key"
    )
    late = NOW + timedelta(days=4000)
    assert told(decided(observed(asking(make)), late))[0].endswith("the authority kube-system/navarch-issuer has ended")


@given(
    st.lists(st.tuples(st.sampled_from(["a.example", "b.example", "*.c.example"]), st.booleans()), max_size=4),
    st.sampled_from(["none", "ours", "foreign"]),
    st.integers(-10, 120),
    st.booleans(),
)
def test_one_plan_leads_to_rest(asks: list[tuple[str, bool]], who: str, days: int, rooted: bool) -> None:
    """Whatever there is: others' Secrets are not written, and once a plan is carried out the next writes nothing."""
    make, now = Make(), NOW + timedelta(days=days)
    has = {
        "none": None,
        "ours": secret(make, "a.example"),
        "foreign": secret(make, metadata={"labels": {}}),
    }[who]
    wanted = [asking(make, host, fault="" if good else "wrong") for host, good in asks]
    seen = observed(*wanted, secret=has, root=ROOT if rooted else None)
    if not wanted and who != "ours":
        return
    writes = [action for action in decided(seen, now).actions if not isinstance(action, Event)]
    assert len(writes) <= 1
    if who == "foreign":
        assert not writes
    for write in writes:
        if isinstance(write, Delete):
            assert not seen.good or held_in(write.object) is None or now >= held_in(write.object).ends  # type: ignore[union-attr]
            seen = replace(seen, secret=None)
            if not wanted:
                return
        else:
            document = write.document  # type: ignore[union-attr]
            seen = replace(seen, secret=Object.of(SECRET, document))
    after = [action for action in decided(seen, now).actions if not isinstance(action, Event)]
    if writes and isinstance(writes[0], Delete) and seen.good and rooted:
        assert [type(action) for action in after] == [Create]
    else:
        assert not after
    if seen.secret is not None and who != "foreign" and seen.good and rooted:
        held = held_in(seen.secret)
        assert held is not None
        assert held.hosts == set(seen.hosts)
        assert now < held.ends


# -- the authority


def kept(found: Object | None, *, asked: bool = True, **more: Any) -> authority.Observed:
    return authority.Observed(found, asked, **more)


def test_the_authority_is_made_when_it_is_asked_for(make: Make) -> None:
    assert authority.due(kept(None, asked=False), NOW) == ""
    assert authority.due(kept(None), NOW) == MAKE
    [create] = authority.plan(kept(None, made=CA), NOW).actions
    assert isinstance(create, Create)
    assert root_of(Object.of(SECRET, create.document)).digest == ROOT.digest
    assert "PRIVATE" not in repr(kept(None, made=CA))


def test_it_is_published_for_everybody(make: Make) -> None:
    bundle, config = authority.plan(kept(authority_secret(make)), NOW).actions
    assert isinstance(bundle, Create)
    assert isinstance(config, Create)
    assert bundle.document["spec"] == {"signerName": SIGNER, "trustBundle": ROOT.bundle}
    assert config.document["metadata"]["namespace"] == "kube-public"
    assert config.document["data"] == {"ca.crt": ROOT.bundle}


def rotated(make: Make, found: Object, now: datetime) -> Object:
    seen = kept(found)
    if authority.due(seen, now) in (MAKE, PREPARE):
        seen = replace(seen, made=mint(now).authority("test"))
    updates = [action for action in authority.plan(seen, now).actions if isinstance(action, Update)]
    return Object.of(SECRET, updates[-1].document) if updates else found


def test_the_next_one_is_announced_before_it_signs_and_the_last_one_trusted_to_its_end(make: Make) -> None:
    first = authority_secret(make)
    ends = root_of(first).ends
    early = ends - BEFORE_THE_END
    assert authority.due(kept(first), early - timedelta(seconds=1)) == ""
    announced = rotated(make, first, early)
    root = root_of(announced)
    assert root.digest == ROOT.digest, "the first one still signs"
    assert len(blocks(root.bundle)) == 2
    assert authority.due(kept(announced), early + ANNOUNCED - timedelta(seconds=1)) == ""
    assert authority.due(kept(announced), early + ANNOUNCED) == TAKE_OVER
    second = rotated(make, announced, early + ANNOUNCED)
    root = root_of(second)
    assert root.digest != ROOT.digest
    assert set(second.document()["data"]) == {"tls.crt", "tls.key", "ca.crt"}
    assert ROOT.digest in root.known
    assert early + ANNOUNCED + timedelta(days=365) <= ends, "whatever the first one signed last ends before it"


def test_another_one_on_demand(make: Make) -> None:
    found = authority_secret(make).document()
    found["metadata"]["annotations"] = {ROTATE: "now", "mine": "stays"}
    asked = Object.of(SECRET, found)
    assert authority.due(kept(asked), NOW) == PREPARE
    after = rotated(make, asked, NOW)
    assert after.document()["metadata"]["annotations"] == {"mine": "stays"}
    assert authority.due(kept(after), NOW) == ""


def test_what_ended_or_is_spoilt_is_made_anew(make: Make) -> None:
    assert authority.due(kept(authority_secret(make)), NOW + timedelta(days=3650)) == MAKE
    spoilt = make.object(SECRET, KEY[1], KEY[0], metadata={"labels": {OWN: "cluster"}}, data={"tls.crt": "////"})
    assert authority.due(kept(spoilt), NOW) == MAKE
    after = rotated(make, spoilt, NOW)
    assert root_of(after).ends > NOW


def test_a_persons_own_authority_is_used_and_never_changed(make: Make) -> None:
    brought = authority_secret(make, own=False)
    for days in (0, 3649, 3651):
        assert authority.due(kept(brought), NOW + timedelta(days=days)) == ""
    plan = authority.plan(kept(brought), NOW)
    assert all(isinstance(action, Create) for action in plan.actions)
    nothing = make.object(SECRET, KEY[1], KEY[0], data={})
    [event] = authority.plan(kept(nothing), NOW).actions
    assert isinstance(event, Event)
    assert event.message == "Nothing can be issued: tls.crt and tls.key are no certificate with its key"
    leaf = mint().server(CA, ["a.example"], LIFE)
    with pytest.raises(ValueError, match=r"tls\.crt is not the certificate of an authority"):
        root_of(authority_secret(make, leaf, own=False))


def test_what_stands_behind_a_certificate_is_shown_with_it(make: Make) -> None:
    """One below another: clients trust the upper one, and are shown the lower one."""
    pair = Pair(CA.certificate + OTHER.certificate, CA.key)
    brought = authority_secret(make, pair, own=False)
    root = root_of(brought)
    assert root.bundle == "".join(blocks(OTHER.certificate.decode()))
    assert root.chain == "".join(blocks(CA.certificate.decode()))
    assert root.digest in root.known
    assert root.digest == digest_of(root.chain)


# -- requests


@pytest.mark.parametrize(
    ("text", "usages", "says"),
    [
        (pem("web", (), dns=("a.example",)), ("server auth", "digital signature"), ""),
        (pem("web", (), dns=("a.example",)), ("server auth", "digital signature", "key encipherment"), ""),
        (
            pem("web", (), dns=("a.example",)),
            ("client auth",),
            "usages did not match [digital signature key encipherment server auth]",
        ),
        (pem("web", ()), ("server auth", "digital signature"), "DNS or IP subjectAltName is required"),
        (
            pem("web", (), dns=("a",), emails=("a@b.example",)),
            ("server auth", "digital signature"),
            "Email subjectAltNames are not allowed",
        ),
        (
            pem("web", (), dns=("a",), uris=("a://b",)),
            ("server auth", "digital signature"),
            "URI subjectAltNames are not allowed",
        ),
        (b"nonsense", ("server auth", "digital signature"), "the request cannot be read"),
    ],
)
def test_which_requests_are_signed(make: Make, text: bytes, usages: tuple[str, ...], says: str) -> None:
    found = request(make, SIGNER, text, usages, conditions=(APPROVED,))
    assert requested.fault_of(found) == says
    plan = requested.plan(requested.Observed(found, says), NOW)
    assert (plan == NOTHING) == (says == "")
    if says:
        assert isinstance(plan.status, Status)
        assert plan.status.status["conditions"][1]["message"] == says


def test_only_what_was_approved_and_is_ours_waits(make: Make) -> None:
    assert list(waiting_index(request(make, SIGNER, conditions=(APPROVED,)))) == [""]
    for found in (
        request(make, SIGNER),
        request(make, SIGNER, conditions=(APPROVED, {**APPROVED, "type": "Denied"})),
        request(make, SIGNER, conditions=(APPROVED,), certificate=b"x"),
        request(make, conditions=(APPROVED,)),
    ):
        assert not list(waiting_index(found))


# -- in a cluster

INGRESS_WEB = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "Ingress",
    "metadata": {"name": "web", "annotations": {ISSUER: "cluster"}},
    "spec": {
        "tls": [{"hosts": ["a.example"], "secretName": "tls"}],
        "defaultBackend": {"service": {"name": "web", "port": {"number": 80}}},
    },
}


def test_months_of_one_certificate() -> None:
    with navarch.Cluster(nodes=0, frozen=True) as c:
        c.apply(INGRESS_WEB)
        c.clock.advance(seconds=1)
        keys = []
        for _ in range(14):
            found = c.client.get("secret", "default", "tls").document()
            keys.append(found["data"]["tls.key"])
            said = read_pem(base64.b64decode(found["data"]["tls.crt"]))
            assert timedelta(days=20) < said.not_after - c.clock.now() <= LIFE
            c.clock.advance(days=10)
        changed = [after for before, after in pairwise(keys) if before != after]
        assert len(changed) == len(set(changed)) == 2, "every two months, and never back to an earlier one"
        c.client.delete("secret", *KEY)
        c.clock.advance(seconds=1)
        new = c.client.get("secret", "default", "tls").document()
        assert new["data"]["ca.crt"] != found["data"]["ca.crt"], "another authority, and what it issued at once"
        c.client.delete("ingress", "default", "web")
        c.clock.advance(seconds=1)
        with pytest.raises(NotFound):
            c.client.get("secret", "default", "tls")
