"""Tokens and the other ways to say who one is."""

from __future__ import annotations

import base64
import itertools
from datetime import timedelta
from typing import Any

import jwt
import orjson
import pytest
from api_driver import HandClock
from fakes import FakeReads, named
from hypothesis import given
from hypothesis import strategies as st

from navarch.apiserver.authn.authenticator import SOCKET_USER, Credentials, bearer_token
from navarch.apiserver.authn.bootstraptokens import BootstrapTokens
from navarch.apiserver.authn.tokens import ServiceAccountTokens
from navarch.apiserver.call import ANONYMOUS
from navarch.base.clock import SeededIds
from navarch.base.errors import Unauthorized
from navarch.base.pki import new_key, public_key
from navarch.kinds import NODE, POD, SECRET, SERVICEACCOUNT, bootstraptoken
from navarch.wire.message import Peer, Request

KEY, OTHER_KEY = new_key(), new_key()
ISSUER = "https://issuer"


class World:
    def __init__(self) -> None:
        self.clock = HandClock()
        self.reads = FakeReads()
        self.tokens = ServiceAccountTokens(KEY, ISSUER, self.reads, self.clock, SeededIds(1))
        self.account = self.reads.put(SERVICEACCOUNT, named("robot", "ns"))

    def request(self, token: str, **more: Any) -> Request:
        return Request("GET", "/api", "/api", {"authorization": f"Bearer {token}"}, **more)


def test_a_token_says_who_and_ends() -> None:
    world = World()
    token, expires = world.tokens.issue(world.account, life_s=600)
    user, audiences = world.tokens.check(token)
    assert user.name == "system:serviceaccount:ns:robot"
    assert user.uid == world.account.uid
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated")
    assert audiences == (ISSUER,)
    assert expires == world.clock.now().timestamp() + 600
    world.clock.turn(601)
    with pytest.raises(Unauthorized):
        world.tokens.check(token)


def test_audiences_must_fit() -> None:
    world = World()
    token, _ = world.tokens.issue(world.account, audiences=["vault", "x"])
    assert world.tokens.check(token, ["y", "vault"])[1] == ("vault",)
    with pytest.raises(Unauthorized, match="audience"):
        world.tokens.check(token)


def test_a_token_dies_with_what_it_is_bound_to() -> None:
    for kind, key in ((POD, "pod"), (SECRET, "secret"), (NODE, "node")):
        world = World()
        bound = world.reads.put(kind, named("b", "ns" if kind.namespaced else ""))
        token, _ = world.tokens.issue(world.account, **{key: bound})
        user, _ = world.tokens.check(token)
        assert (f"authentication.kubernetes.io/{key}-name" in user.extra) == (key != "secret")
        world.reads.put(
            kind,
            {**named("b", "ns" if kind.namespaced else ""), "metadata": {**bound.document()["metadata"], "uid": "new"}},
        )
        with pytest.raises(Unauthorized, match="does not exist any more"):
            world.tokens.check(token)
    world = World()
    token, _ = world.tokens.issue(world.account)
    world.reads.remove(SERVICEACCOUNT, "ns", "robot")
    with pytest.raises(Unauthorized, match="service account"):
        world.tokens.check(token)


def test_legacy_tokens_live_in_their_secret() -> None:
    world = World()
    token = world.tokens.issue_legacy(world.account, "robot-token")
    with pytest.raises(Unauthorized):
        world.tokens.check(token)
    data = {"token": base64.b64encode(token.encode()).decode()}
    world.reads.put(SECRET, named("robot-token", "ns", data=data))
    world.clock.turn(10**9)
    assert world.tokens.check(token)[0].name == "system:serviceaccount:ns:robot"
    world.reads.put(SECRET, named("robot-token", "ns", data={"token": "eA=="}))
    with pytest.raises(Unauthorized):
        world.tokens.check(token)


def test_forged_tokens_are_refused() -> None:
    world = World()
    good, _ = world.tokens.issue(world.account)
    claims = jwt.decode(good, options={"verify_signature": False})
    head, body, signature = good.split(".")
    none = jwt.encode(claims, None, "none")
    confused = jwt.encode(claims, "x" * 32, "HS256")
    other_body = base64.urlsafe_b64encode(orjson.dumps({**claims, "sub": "x"})).rstrip(b"=").decode()
    for bad in (
        jwt.encode(claims, OTHER_KEY, "ES256"),
        jwt.encode({**claims, "iss": "https://else"}, KEY, "ES256"),
        jwt.encode({key: claims[key] for key in claims if key != "kubernetes.io"}, KEY, "ES256"),
        jwt.encode({**claims, "nbf": claims["nbf"] + 1000}, KEY, "ES256"),
        none,
        confused,
        f"{head}.{other_body}.{signature}",
        f"{head}.{body}.",
        "",
        "a.b.c",
    ):
        with pytest.raises(Unauthorized):
            world.tokens.check(bad)
    assert world.tokens.check(good)


def test_others_can_verify_our_tokens() -> None:
    world = World()
    token, _ = world.tokens.issue(world.account)
    (key,) = orjson.loads(world.tokens.key_set())["keys"]
    assert jwt.get_unverified_header(token)["kid"] == key["kid"]
    options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
    found = jwt.decode(token, jwt.PyJWK(key).key, ["ES256"], options, audience=ISSUER)
    assert found["kubernetes.io"]["serviceaccount"]["name"] == "robot"
    assert orjson.loads(world.tokens.provider())["issuer"] == ISSUER
    assert public_key(KEY).startswith(b"-----BEGIN PUBLIC KEY")


def test_the_order_of_credentials() -> None:
    world = World()
    credentials = Credentials(world.tokens)
    token, _ = world.tokens.issue(world.account)
    certified = Peer(common_name="jane", organizations=("devs",), certificate=b"der")
    assert credentials.authenticate(world.request(token, peer=certified)).name == "jane"
    assert credentials.authenticate(world.request(token, peer=certified)).groups == ("devs", "system:authenticated")
    assert credentials.authenticate(world.request(token)).name == "system:serviceaccount:ns:robot"
    local = Peer(local=True)
    assert credentials.authenticate(Request("GET", "/api", "", {}, peer=local)) is SOCKET_USER
    assert credentials.authenticate(world.request(token, peer=local)).name == "system:serviceaccount:ns:robot"
    assert credentials.authenticate(Request("GET", "/version", "", {})) is ANONYMOUS
    for request in (
        Request("GET", "/api", "", {}),
        Request("POST", "/version", "", {}),
        Request("GET", "/api", "", {}, peer=Peer(certificate=b"no name")),
        world.request("a.b.c", peer=local),
    ):
        with pytest.raises(Unauthorized):
            credentials.authenticate(request)


def test_bearer_tokens_of_browsers() -> None:
    text = base64.urlsafe_b64encode(b"tok.en").rstrip(b"=").decode()
    protocols = f"v4.channel.k8s.io, base64url.bearer.authorization.k8s.io.{text}"
    assert bearer_token(Request("GET", "/", "", {"sec-websocket-protocol": protocols})) == "tok.en"
    assert bearer_token(Request("GET", "/", "", {"sec-websocket-protocol": protocols + "\xff"})) in ("", "tok.en")


@given(st.text(max_size=60))
def test_no_token_is_too_strange(text: str) -> None:
    world = World()
    assert not world.tokens.mine(text)
    with pytest.raises(Unauthorized):
        world.tokens.check(text)


def test_verified_once_a_minute_but_checked_each_time() -> None:
    world = World()
    calls = itertools.count()
    verify = world.tokens._verify

    def counting(token: str, now: float) -> Any:
        next(calls)
        return verify(token, now)

    world.tokens._verify = counting  # type: ignore[method-assign]
    token, _ = world.tokens.issue(world.account)
    for _ in range(5):
        world.tokens.check(token)
    assert next(calls) == 1


def test_a_bootstrap_token_is_a_credential_until_it_ends() -> None:
    world = World()
    credentials = Credentials(world.tokens, BootstrapTokens(world.reads, world.clock))
    end = world.clock.now() + timedelta(seconds=60)
    token = bootstraptoken.Token("abcdef", "0123456789abcdef", end, ("authentication",), (bootstraptoken.NODE_GROUP,))
    document = bootstraptoken.secret_of(token)
    plain = document.pop("stringData")
    document["data"] = {key: base64.b64encode(text.encode()).decode() for key, text in plain.items()}
    request = world.request(token.text)

    def refused(wrong: Request = request) -> bool:
        with pytest.raises(Unauthorized) as caught:
            credentials.authenticate(wrong)
        return caught.value.message == "Unauthorized"

    assert refused()
    world.reads.put(SECRET, document)
    user = credentials.authenticate(request)
    assert user.name == "system:bootstrap:abcdef"
    assert user.groups == ("system:bootstrappers", bootstraptoken.NODE_GROUP, "system:authenticated")
    assert refused(world.request("abcdef.0123456789abcdeg"))
    assert refused(world.request("abcdeg.0123456789abcdef"))
    world.clock.turn(60)
    assert refused()
    world.clock.turn(-60)
    world.reads.put(SECRET, {**document, "data": {**document["data"], "usage-bootstrap-authentication": "ZmFsc2U="}})
    assert refused(), "it is for signing alone"
    world.reads.put(SECRET, document)
    assert credentials.authenticate(request)
    world.reads.remove(SECRET, "kube-system", "bootstrap-token-abcdef")
    assert refused()
    with pytest.raises(Unauthorized):
        Credentials(world.tokens).authenticate(request)


def test_nobody_in_particular_may_ask_where_the_cluster_is() -> None:
    world = World()
    path = "/api/v1/namespaces/kube-public/configmaps/cluster-info"
    assert Credentials(world.tokens).authenticate(Request("GET", path, path, {})) is ANONYMOUS
    for method, other in (("PUT", path), ("DELETE", path), ("GET", path + "x"), ("GET", path.rpartition("/")[0])):
        with pytest.raises(Unauthorized):
            Credentials(world.tokens).authenticate(Request(method, other, other, {}))
