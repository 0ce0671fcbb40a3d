"""Service account tokens: issued, and checked against what they are bound to.

Signing and verifying only: reviews and requests answer clients, `authenticator` decides who is asking.

Source: https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/ (Bound service account tokens)
"""

from __future__ import annotations

import base64
import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from navarch.apiserver.authn.tracking import Notes
from navarch.apiserver.call import Reads, User
from navarch.base.clock import Clock, Ids
from navarch.base.errors import Unauthorized
from navarch.base.pki import load_key, public_key
from navarch.kinds import NODE, POD, SECRET, SERVICEACCOUNT
from navarch.kinds.object import Object
from navarch.kinds.secret import TOKEN_INVALID_SINCE

LEGACY_ISSUER = "kubernetes/serviceaccount"
PREFIX = "system:serviceaccount:"
LEEWAY_S = 10
MEMO = 4_096
MEMO_S = 60.0


@dataclass(frozen=True, slots=True)
class Bound:
    """An object that a token lives and dies with."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says. expires: seconds since the epoch, 0 for a legacy token, which does not expire."""

    namespace: str
    account: Bound
    audiences: tuple[str, ...] = ()
    expires: int = 0
    issued: int = 0
    token_id: str = ""
    pod: Bound | None = None
    node: Bound | None = None
    secret: Bound | None = None


class ServiceAccountTokens:
    """Issues and checks the tokens of one cluster.

    key: the private signing key (PEM, P-256). issuer: the URL that tokens name, also the default audience.
    """

    def __init__(self, key: bytes, issuer: str, reads: Reads, clock: Clock, ids: Ids) -> None:
        self._key = key
        self.issuer = issuer
        self._reads = reads
        self._clock = clock
        self._ids = ids
        self.notes = Notes()
        self._verified: OrderedDict[str, tuple[Claims, User, float]] = OrderedDict()

    @cached_property
    def _public(self) -> bytes:
        """Made when the first token is: a server that nobody asks for one does not load what it takes."""
        return public_key(self._key)

    @cached_property
    def key_id(self) -> str:
        return key_id(self._public)

    # --- issuing ---

    def issue(
        self,
        account: Object,
        *,
        audiences: Sequence[str] = (),
        life_s: int = 3600,
        pod: Object | None = None,
        node: Object | None = None,
        secret: Object | None = None,
    ) -> tuple[str, int]:
        """A token for a service account, and when it expires (seconds since the epoch)."""
        now = int(self._clock.now().timestamp())
        bound: dict[str, Any] = {
            "namespace": account.namespace,
            "serviceaccount": {"name": account.name, "uid": account.uid},
        }
        for key, found in (("pod", pod), ("node", node), ("secret", secret)):
            if found is not None:
                bound[key] = {"name": found.name, "uid": found.uid}
        claims = {
            "aud": list(audiences) or [self.issuer],
            "exp": now + life_s,
            "iat": now,
            "iss": self.issuer,
            "jti": self._ids.uid(),
            "kubernetes.io": bound,
            "nbf": now,
            "sub": f"{PREFIX}{account.namespace}:{account.name}",
        }
        return self._signed(claims), now + life_s

    def issue_legacy(self, account: Object, secret_name: str) -> str:
        """The token for a Secret of type `kubernetes.io/service-account-token`: it lasts as long as the Secret."""
        prefix = "kubernetes.io/serviceaccount/"
        claims = {
            "iss": LEGACY_ISSUER,
            f"{prefix}namespace": account.namespace,
            f"{prefix}secret.name": secret_name,
            f"{prefix}service-account.name": account.name,
            f"{prefix}service-account.uid": account.uid,
            "sub": f"{PREFIX}{account.namespace}:{account.name}",
        }
        return self._signed(claims)

    def _signed(self, claims: Mapping[str, Any]) -> str:
        import jwt

        return jwt.encode(dict(claims), self._key, "ES256", headers={"kid": self.key_id})

    # --- checking ---

    def mine(self, token: str) -> bool:
        """Whether the token claims to be ours (unverified): others may be somebody else's to check."""
        if token in self._verified:
            return True
        try:
            part = token.split(".")[1]
            claims = orjson.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
            return claims.get("iss") in (self.issuer, LEGACY_ISSUER)
        except (IndexError, ValueError, AttributeError):
            return False

    def check(self, token: str, audiences: Sequence[str] = ()) -> tuple[User, tuple[str, ...]]:
        """Who the token stands for, and for which of the asked `audiences` (the API server's own by default).

        Raises:
            Unauthorized: it is not ours, expired, for another audience, or what it is bound to is gone.
        """
        claims, user = self._claims(token)
        wanted = tuple(audiences) or (self.issuer,)
        if claims.audiences:
            fitting = tuple(one for one in wanted if one in claims.audiences)
            if not fitting:
                raise Unauthorized("the token is for another audience")
        else:
            fitting = (self.issuer,) if self.issuer in wanted else ()
            if not fitting:
                raise Unauthorized("the token is for the API server only")
        self._alive(claims, token)
        return user, fitting

    def _claims(self, token: str) -> tuple[Claims, User]:
        """Verify the signature once a minute at most: what comes of it depends on the token and the time alone."""
        now = self._clock.now().timestamp()
        known = self._verified.get(token)
        if known is not None and now < known[2]:
            self._verified.move_to_end(token)
            return known[:2]
        claims = self._verify(token, now)
        user = _user(claims)
        until = min(now + MEMO_S, claims.expires) if claims.expires else now + MEMO_S
        self._verified[token] = (claims, user, until)
        if len(self._verified) > MEMO:
            self._verified.popitem(last=False)
        return claims, user

    def _verify(self, token: str, now: float) -> Claims:
        import jwt

        options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}
        try:
            found = jwt.decode(token, self._public, algorithms=["ES256"], options=options)
        except jwt.PyJWTError as error:
            raise Unauthorized(f"the token is not valid: {error}") from error
        try:
            claims = _legacy(found) if found.get("iss") == LEGACY_ISSUER else _bound(found, self.issuer)
        except (KeyError, TypeError) as error:
            raise Unauthorized(f"the token lacks {error}") from error
        if claims.expires and not found.get("nbf", 0) - LEEWAY_S <= now < claims.expires:
            raise Unauthorized("the token has expired or is not valid yet")
        return claims

    def _alive(self, claims: Claims, token: str) -> None:
        """Raises: Unauthorized: the account or what the token is bound to is gone, or another by the same name."""
        namespace = claims.namespace
        found = self._reads.get(SERVICEACCOUNT, namespace, claims.account.name)
        if found is None or found.uid != claims.account.uid:
            raise Unauthorized("the service account does not exist any more")
        for kind, bound, where in (
            (POD, claims.pod, namespace),
            (NODE, None if claims.pod else claims.node, ""),
        ):
            if bound is not None:
                other = self._reads.get(kind, where, bound.name)
                if other is None or other.uid != bound.uid:
                    raise Unauthorized(f"the {kind.one} that the token is bound to does not exist any more")
        if claims.secret is not None:
            secret = self._reads.get(SECRET, namespace, claims.secret.name)
            if secret is None or (claims.secret.uid and secret.uid != claims.secret.uid):
                raise Unauthorized("the secret that the token is bound to does not exist any more")
            if not claims.secret.uid and not _holds(secret, token):
                raise Unauthorized("the secret that the token was issued for holds another one")
            if not claims.secret.uid:
                self._noted(secret, claims)

    def _noted(self, secret: Object, claims: Claims) -> None:
        """Raises: Unauthorized: it was marked, because nobody had used it for long; that it is used again is noted."""
        self.notes.used(secret, self._clock.now())
        if secret.labels.get(TOKEN_INVALID_SINCE):
            where = f"{secret.namespace}/{secret.name} for service account {secret.namespace}/{claims.account.name}"
            raise Unauthorized(
                f"the token in secret {where} has been marked invalid. Use tokens from the TokenRequest API or "
                f"manually created secret-based tokens, or remove the '{TOKEN_INVALID_SINCE}' label from the secret to "
                "temporarily allow use of this token"
            )

    # --- what others verify our tokens with ---

    def key_set(self) -> bytes:
        """`/openid/v1/jwks`: the public keys as a JWK set (RFC 7517)."""
        numbers = load_key(self._key).public_key().public_numbers()
        key = {
            "use": "sig",
            "kty": "EC",
            "kid": self.key_id,
            "alg": "ES256",
            "crv": "P-256",
            "x": _base64(numbers.x.to_bytes(32, "big")),
            "y": _base64(numbers.y.to_bytes(32, "big")),
        }
        return orjson.dumps({"keys": [key]})

    def provider(self) -> bytes:
        """`/.well-known/openid-configuration`."""
        return orjson.dumps(
            {
                "issuer": self.issuer,
                "jwks_uri": f"{self.issuer}/openid/v1/jwks",
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
            }
        )


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def key_id(public: bytes) -> str:
    """A name for a public key (PEM): its digest."""
    body = b"".join(line for line in public.splitlines() if not line.startswith(b"-----"))
    return _base64(hashlib.sha256(base64.b64decode(body)).digest())


def _holds(secret: Object, token: str) -> bool:
    data = secret.document().get("data") or {}
    return bool(data.get("token") == base64.b64encode(token.encode()).decode())


def _bound(found: Mapping[str, Any], issuer: str) -> Claims:
    if found["iss"] != issuer:
        raise Unauthorized("the token is another issuer's")
    said = found["kubernetes.io"]
    audiences = found["aud"]
    parts = {key: Bound(said[key]["name"], said[key]["uid"]) for key in ("pod", "node", "secret") if key in said}
    return Claims(
        said["namespace"],
        Bound(said["serviceaccount"]["name"], said["serviceaccount"]["uid"]),
        (audiences,) if isinstance(audiences, str) else tuple(audiences),
        int(found["exp"]),
        int(found["iat"]),
        found.get("jti", ""),
        **parts,
    )


def _legacy(found: Mapping[str, Any]) -> Claims:
    prefix = "kubernetes.io/serviceaccount/"
    return Claims(
        found[f"{prefix}namespace"],
        Bound(found[f"{prefix}service-account.name"], found[f"{prefix}service-account.uid"]),
        secret=Bound(found[f"{prefix}secret.name"], ""),
    )


def _user(claims: Claims) -> User:
    extra: dict[str, tuple[str, ...]] = {}
    prefix = "authentication.kubernetes.io/"
    if claims.token_id:
        extra[f"{prefix}credential-id"] = (f"JTI={claims.token_id}",)
    for key, bound in (("node", claims.node), ("pod", claims.pod)):
        if bound is not None:
            extra[f"{prefix}{key}-name"] = (bound.name,)
            extra[f"{prefix}{key}-uid"] = (bound.uid,)
    return account_user(claims.namespace, claims.account.name, claims.account.uid, extra)


def account_user(namespace: str, name: str, uid: str = "", extra: Mapping[str, tuple[str, ...]] | None = None) -> User:
    """The user that a service account is."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return User(f"{PREFIX}{namespace}:{name}", uid, groups, extra or {})
