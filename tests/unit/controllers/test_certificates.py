"""Whose certificate requests are approved, signed, refused and removed."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.base.clock import SystemClock, SystemIds
from navarch.base.pki import Authority
from navarch.base.signing import Signer
from navarch.client.client import Client
from navarch.client.lease import Heartbeats
from navarch.controllers.certificates import approving, cleaning, serving, signing, trust
from navarch.controllers.certificates.requests import CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY, asked, fault_of
from navarch.controllers.options import Options, Setup
from navarch.controllers.plan import Create, Delete, Patch, Plan, Status, Update
from navarch.kinds import CERTIFICATESIGNINGREQUEST, CLUSTERTRUSTBUNDLE, NODE
from navarch.kinds.object import Object
from tests.unit.controllers.certificates_requests import APPROVED, pem, request
from tests.unit.controllers.conftest import NOW, Make, ago

NODE_USAGES = ("client auth", "digital signature", "key encipherment")
SERVING = ("digital signature", "server auth")


def fault(signer: str, text: bytes, usages: tuple[str, ...]) -> str:
    found = asked(request(Make(), signer, text))
    assert found is not None
    return fault_of(signer, found, usages)


@pytest.mark.parametrize(
    ("signer", "text", "usages", "says"),
    [
        (CLIENT, pem("jane", ("devs",)), ("client auth",), ""),
        (CLIENT, pem("jane", ("devs",)), NODE_USAGES, ""),
        (CLIENT, pem("jane", ()), ("server auth",), "invalid usage for client certificate: server auth"),
        (
            CLIENT,
            pem("jane", ()),
            ("digital signature",),
            "missing required usage for client certificate: client auth",
        ),
        (KUBELET_CLIENT, pem(), NODE_USAGES, ""),
        (KUBELET_CLIENT, pem(), NODE_USAGES[:2], ""),
        (
            KUBELET_CLIENT,
            pem(),
            ("client auth",),
            "usages did not match [client auth digital signature key encipherment]",
        ),
        (KUBELET_CLIENT, pem("jane"), NODE_USAGES, "subject common name does not begin with system:node:"),
        (KUBELET_CLIENT, pem(groups=()), NODE_USAGES, "subject organization is not system:nodes"),
        (
            KUBELET_CLIENT,
            pem(groups=("system:nodes", "system:masters")),
            NODE_USAGES,
            "subject organization is not system:nodes",
        ),
        (KUBELET_CLIENT, pem(dns=("n1",)), NODE_USAGES, "DNS subjectAltNames are not allowed"),
        (KUBELET_CLIENT, pem(addresses=("10.0.0.1",)), NODE_USAGES, "IP subjectAltNames are not allowed"),
        (KUBELET_CLIENT, pem(emails=("a@b.example",)), NODE_USAGES, "Email subjectAltNames are not allowed"),
        (KUBELET_CLIENT, pem(uris=("spiffe://a/b",)), NODE_USAGES, "URI subjectAltNames are not allowed"),
        (KUBELET_SERVING, pem(dns=("n1",)), SERVING, ""),
        (KUBELET_SERVING, pem(addresses=("10.0.0.1",)), (*SERVING, "key encipherment"), ""),
        (KUBELET_SERVING, pem(), SERVING, "DNS or IP subjectAltName is required"),
        (
            KUBELET_SERVING,
            pem(dns=("n1",)),
            NODE_USAGES,
            "usages did not match [digital signature key encipherment server auth]",
        ),
        (KUBELET_SERVING, pem("n1", dns=("n1",)), SERVING, "subject common name does not begin with system:node:"),
        (KUBELET_SERVING, pem(dns=("n1",), uris=("a://b",)), SERVING, "URI subjectAltNames are not allowed"),
        (LEGACY, pem("anybody", ("anything",)), ("code signing",), ""),
    ],
)
def test_what_each_signer_signs(signer: str, text: bytes, usages: tuple[str, ...], says: str) -> None:
    assert fault(signer, text, usages) == says


def test_agents_are_recognized(make: Make) -> None:
    assert approving.recognized(request(make)) == ("nodeclient",)
    assert approving.recognized(request(make, username="system:node:n1")) == ("selfnodeclient", "nodeclient")
    assert approving.recognized(request(make, CLIENT)) == ()
    assert approving.recognized(request(make, text=pem("jane"))) == ()
    assert approving.recognized(request(make, text=b"nonsense")) == ()


class Answers:
    """A client of which permissions can be asked."""

    def __init__(self, *allowed: str) -> None:
        self.allowed = allowed
        self.questions: list[Any] = []

    async def post(self, kind: Any, namespace: str, name: str, subresource: str, document: Any) -> Any:
        self.questions.append(document["spec"])
        return {"status": {"allowed": document["spec"]["resourceAttributes"]["subresource"] in self.allowed}}


@pytest.mark.parametrize(
    ("allowed", "says"),
    [
        (("selfnodeclient", "nodeclient"), "Auto approving self kubelet client certificate after SubjectAccessReview."),
        (("nodeclient",), "Auto approving kubelet client certificate after SubjectAccessReview."),
        ((), ""),
    ],
)
def test_approval_is_a_permission(make: Make, allowed: tuple[str, ...], says: str) -> None:
    own = request(make, username="system:node:n1", groups=["system:nodes"], extra={"a": ["b"]})
    client = Answers(*allowed)
    observed = approving.Observed(own, approving.recognized(own))
    found = approving.plan(asyncio.run(approving.confirm(cast(Client, client), observed)), NOW)
    asking = client.questions[0]
    assert (asking["user"], asking["groups"], asking["extra"]) == ("system:node:n1", ["system:nodes"], {"a": ["b"]})
    if not says:
        assert found == Plan()
        return
    (patch,) = found.actions
    assert isinstance(patch, Patch)
    assert patch.subresource == "approval"
    assert patch.changes == {
        "status": {"conditions": [{"type": "Approved", "status": "True", "reason": "AutoApproved", "message": says}]}
    }


def test_what_is_due_for_signing(make: Make) -> None:
    denied = {**APPROVED, "type": "Denied"}
    assert signing.due(request(make)) is None, "nobody approved it"
    assert signing.due(request(make, conditions=(denied,))) is None
    assert signing.due(request(make, conditions=(APPROVED, {**APPROVED, "type": "Failed"}))) is None
    assert signing.due(request(make, conditions=(APPROVED,), certificate=b"x")) is None
    assert signing.due(request(make, "example.com/other", conditions=(APPROVED,))) is None, "another's to sign"
    good = request(make, conditions=(APPROVED,))
    assert signing.due(good) == signing.Observed(good)
    bad = request(make, conditions=(APPROVED,), usages=("server auth",))
    found = signing.due(bad)
    assert found is not None
    planned = signing.plan(found, NOW)
    assert isinstance(planned.status, Status)
    failed = planned.status.status["conditions"][1]
    assert (failed["type"], failed["reason"]) == ("Failed", "SignerValidationFailure")
    assert failed["message"] == "usages did not match [client auth digital signature key encipherment]"


def test_a_made_certificate_is_handed_over(make: Make) -> None:
    good = request(make, conditions=(APPROVED,))
    found = signing.plan(signing.Observed(good, certificate=b"PEM"), NOW)
    assert found.status is not None
    assert found.status.status == {"conditions": [APPROVED], "certificate": base64.b64encode(b"PEM").decode()}
    assert signing.plan(signing.Observed(good), NOW) == Plan()


@pytest.mark.parametrize(("wanted_s", "made_s"), [(None, 7200), (600, 600), (60, 600), (3600, 3600), (99_999, 7200)])
def test_how_long_it_holds(make: Make, wanted_s: int | None, made_s: int) -> None:
    spec = {} if wanted_s is None else {"expirationSeconds": wanted_s}
    assert signing.life(request(make, **spec), timedelta(hours=2)) == timedelta(seconds=made_s)


def setup(**options: Any) -> Setup:
    return Setup(SystemClock(), cast(Heartbeats, None), Options(**options))


def test_the_controller_signs_with_the_key_it_is_given(make: Make) -> None:
    authority = Authority.create("ca", SystemClock(), SystemIds())
    made = signing.controller(replace(setup(), sign=Signer(authority.pair, SystemClock(), SystemIds())))
    assert made.confirm is not None
    client = cast(Client, None)
    seen = asyncio.run(made.confirm(client, signing.Observed(request(make, conditions=(APPROVED,)))))
    assert seen.certificate.startswith(b"-----BEGIN CERTIFICATE-----")
    broken = asyncio.run(made.confirm(client, signing.Observed(request(make, text=b"nonsense"))))
    assert broken.fault
    unfit = signing.Observed(request(make), "no")
    assert asyncio.run(made.confirm(client, unfit)) == unfit
    without = signing.controller(setup())
    assert without.observe(cast(Any, {}), ("", "r")) is None, "nobody here holds a key"


def clean(found: Object) -> Plan:
    return cleaning.plan(found, NOW)


def condition(type_: str, age_s: float) -> dict[str, Any]:
    return {"type": type_, "status": "True", "lastUpdateTime": ago(age_s)}


def test_what_is_over_is_removed(make: Make) -> None:
    hour = 3600
    young = request(make, metadata={"creationTimestamp": ago(23 * hour)})
    assert clean(young) == Plan(requeue_after_s=hour)
    old = request(make, metadata={"creationTimestamp": ago(24 * hour)})
    assert clean(old) == Plan((Delete(old, guarded=True),))
    denied = request(make, conditions=(condition("Denied", hour - 60),))
    assert clean(denied) == Plan(requeue_after_s=60)
    assert clean(request(make, conditions=(condition("Denied", hour),))).actions
    assert clean(request(make, conditions=(condition("Approved", 50 * hour),))) == Plan(), "it waits for its signer"
    assert clean(request(make, conditions=(condition("Approved", hour),), certificate=b"not readable")).actions
    going = request(make, metadata={"deletionTimestamp": ago(1), "creationTimestamp": ago(99 * hour)})
    assert clean(going) == Plan()


def test_an_ended_certificate_is_no_use(make: Make) -> None:
    authority = Authority.create("ca", SystemClock(), SystemIds())
    certificate = Signer(authority.pair, SystemClock(), SystemIds())(pem(), NODE_USAGES, timedelta(minutes=10))
    fresh = condition("Approved", 1)
    found = request(make, conditions=(fresh,), certificate=certificate)
    assert clean(found) == Plan((Delete(found, guarded=True),)), "it ended long before 2030"


@given(st.floats(0, 200_000), st.sampled_from(["Approved", "Denied", ""]), st.booleans())
def test_nothing_is_removed_too_early(age_s: float, decision: str, with_certificate: bool) -> None:
    conditions = (condition(decision, age_s),) if decision else ()
    certificate = b"unreadable" if with_certificate else b""
    found = request(Make(), text=b"", conditions=conditions, certificate=certificate)
    found = request(
        Make(), text=b"", conditions=conditions, certificate=certificate, metadata={"creationTimestamp": ago(age_s)}
    )
    least_s = 3600 if decision else 86_400
    if clean(found).actions:
        assert age_s >= least_s - 1


def bundle(make: Make, text: str) -> Object:
    wanted = trust.bundle(text)
    return make.object(CLUSTERTRUSTBUNDLE, wanted["metadata"]["name"], spec=wanted["spec"])


def test_the_bundle_is_published_once(make: Make) -> None:
    wanted = trust.bundle("NEW")
    assert wanted["metadata"]["name"].startswith("kubernetes.io:kube-apiserver-serving:")
    assert trust.plan(trust.Observed(wanted, ()), NOW) == Plan((Create(CLUSTERTRUSTBUNDLE, wanted),))
    new, old = bundle(make, "NEW"), bundle(make, "OLD")
    assert new.name != old.name
    assert trust.plan(trust.Observed(wanted, (new,)), NOW) == Plan()
    assert trust.plan(trust.Observed(wanted, (old,)), NOW) == Plan((Create(CLUSTERTRUSTBUNDLE, wanted), Delete(old)))
    changed = make.object(CLUSTERTRUSTBUNDLE, new.name, spec={**wanted["spec"], "trustBundle": "BAD"})
    (mended,) = trust.plan(trust.Observed(wanted, (changed,)), NOW).actions
    assert isinstance(mended, Update)
    assert mended.document["spec"] == wanted["spec"]


class _Shelf:
    """A cache of a few objects."""

    def __init__(self, *objects: Object) -> None:
        self._objects = objects

    def __getitem__(self, kind: Any) -> _Shelf:
        return _Shelf(*(one for one in self._objects if one.kind is kind))

    def get(self, namespace: str, name: str) -> Object | None:
        return next((one for one in self._objects if one.key == (namespace, name)), None)

    def list(self) -> tuple[Object, ...]:
        return self._objects

    def by(self, index: str, key: str) -> tuple[Object, ...]:
        return tuple(one for one in self._objects if key in serving._requester(one))


def _node(make: Make, name: str, *addresses: str) -> Object:
    listed = [{"type": "InternalIP", "address": one} for one in addresses] + [{"type": "Hostname", "address": name}]
    return make.object(NODE, name, "", status={"addresses": listed})


@pytest.mark.parametrize(
    ("dns", "addresses", "more", "good"),
    [
        (("n1",), ("192.0.2.1",), {}, True),
        ((), ("192.0.2.1",), {}, True),
        (("n1",), (), {}, True),
        (("n2",), ("192.0.2.1",), {}, False),
        (("n1", "kubernetes"), ("192.0.2.1",), {}, False),
        (("n1",), ("192.0.2.9",), {}, False),
        (("n1",), ("192.0.2.2",), {}, False),
        (("n1",), ("192.0.2.7",), {}, False),
        (("n1",), ("10.96.0.1",), {}, False),
        (("n1",), ("127.0.0.1",), {}, False),
        (("n1",), ("192.0.2.1",), {"username": "system:node:n2"}, False),
        (("n1",), ("192.0.2.1",), {"groups": ["system:authenticated"]}, False),
    ],
)
def test_a_node_gets_a_serving_certificate_for_itself_alone(
    make: Make, dns: tuple[str, ...], addresses: tuple[str, ...], more: dict[str, Any], good: bool
) -> None:
    text = pem("system:node:n1", dns=dns, addresses=addresses)
    spec = {"username": "system:node:n1", "groups": ["system:nodes"], **more}
    asked_for = request(make, KUBELET_SERVING, text, usages=SERVING, **spec)
    mine = _node(make, "n1", "192.0.2.1", "192.0.2.2", "192.0.2.7", "10.96.0.1", "127.0.0.1")
    cache = cast(Any, _Shelf(asked_for, mine, _node(make, "n2", "192.0.2.2")))
    seen = serving.observe(cache, ("", "r"))
    if seen is None:
        assert more
        return
    planned = serving.plan(replace(seen, servers=frozenset({"192.0.2.7", "10.96.0.1"})), NOW)
    if good:
        [patch] = planned.actions
        assert isinstance(patch, Patch)
        assert patch.subresource == "approval"
        assert patch.changes["status"]["conditions"][-1]["type"] == "Approved"
    else:
        assert planned == Plan()


def test_a_serving_certificate_waits_for_its_node(make: Make) -> None:
    spec = {"username": "system:node:n1", "groups": ["system:nodes"]}
    asked_for = request(make, KUBELET_SERVING, pem("system:node:n1", dns=("n1",)), usages=SERVING, **spec)
    other = request(make, KUBELET_CLIENT, pem(), usages=NODE_USAGES, **spec)
    assert serving.observe(cast(Any, _Shelf(asked_for)), ("", "r")) is None
    node = _node(make, "n1", "192.0.2.1")
    assert serving.observe(cast(Any, _Shelf(other, node)), ("", "r")) is None, "it is another signer's"
    watches = serving.controller(Setup(SystemClock(), cast(Heartbeats, None))).watches
    [of_nodes] = [watch for watch in watches if watch.kind is NODE]
    assert list(of_nodes.keys(cast(Any, _Shelf(asked_for, node)), node)) == [("", "r")]
    assert of_nodes.changed is not None
    assert of_nodes.changed(node, _node(make, "n1"))
    assert not of_nodes.changed(node, _node(make, "n1", "192.0.2.1"))
    assert CERTIFICATESIGNINGREQUEST in [watch.kind for watch in watches]
