"""Who is asking: the server's own socket, a client certificate, a bearer token of either sort, or nobody.

What nobody may read is named here; everything else without credentials is 401. What somebody may do is for `authz`.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/
"""

from __future__ import annotations

import base64
import hashlib
from typing import Protocol

from navarch.apiserver.authn.bootstraptokens import BootstrapTokens
from navarch.apiserver.authn.tokens import ServiceAccountTokens
from navarch.apiserver.call import ANONYMOUS, User
from navarch.base.errors import Unauthorized
from navarch.wire.message import Peer, Request

PUBLIC_PATHS = frozenset(("/healthz", "/livez", "/readyz", "/version", "/version/"))
CLUSTER_INFO = "/api/v1/namespaces/kube-public/configmaps/cluster-info"
"""Where the cluster is and by which authority it is known, for whoever is to join it: signed, and nothing secret. Read
by nobody in particular as far as RBAC lets them."""
AUTHENTICATED = "system:authenticated"
SOCKET_USER = User("system:admin", groups=("system:masters", AUTHENTICATED))
WEBSOCKET_BEARER = "base64url.bearer.authorization.k8s.io."
MEMO = 1_024


class Authenticator(Protocol):
    def authenticate(self, request: Request) -> User:
        """Raises: Unauthorized."""
        ...


class Credentials:
    """The authenticator of a real server. TLS has already checked client certificates against the client CA."""

    def __init__(self, tokens: ServiceAccountTokens, bootstrap: BootstrapTokens | None = None) -> None:
        """bootstrap: None where no machines join."""
        self._tokens = tokens
        self._bootstrap = bootstrap
        self._users: dict[bytes, User] = {}

    def authenticate(self, request: Request) -> User:
        peer = request.peer
        if peer.certificate:
            return self._users.get(peer.certificate) or self._by_certificate(peer)
        token = bearer_token(request)
        if token:
            return self._by_token(token)
        if peer.local:
            return SOCKET_USER
        if request.method in ("GET", "HEAD") and (request.path in PUBLIC_PATHS or request.path == CLUSTER_INFO):
            return ANONYMOUS
        raise Unauthorized("Unauthorized")

    def _by_token(self, token: str) -> User:
        try:
            if self._bootstrap is not None and self._bootstrap.mine(token):
                return self._bootstrap.check(token)
            if self._tokens.mine(token):
                return self._tokens.check(token)[0]
        except Unauthorized as error:
            raise Unauthorized("Unauthorized") from error
        raise Unauthorized("Unauthorized")

    def _by_certificate(self, peer: Peer) -> User:
        if not peer.common_name:
            raise Unauthorized("Unauthorized")
        digest = hashlib.sha256(peer.certificate).hexdigest()
        groups = tuple(dict.fromkeys((*peer.organizations, AUTHENTICATED)))
        extra = {"authentication.kubernetes.io/credential-id": (f"X509SHA256={digest}",)}
        found = User(peer.common_name, groups=groups, extra=extra)
        if len(self._users) >= MEMO:
            self._users.clear()
        self._users[peer.certificate] = found
        return found


def bearer_token(request: Request) -> str:
    """From the Authorization header, or from the protocol that browsers' WebSockets carry it in; "" without one."""
    scheme, _, token = request.headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    for protocol in request.headers.get("sec-websocket-protocol", "").split(","):
        protocol = protocol.strip()
        if protocol.startswith(WEBSOCKET_BEARER):
            text = protocol.removeprefix(WEBSOCKET_BEARER)
            try:
                return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
            except ValueError:
                return ""
    return ""
