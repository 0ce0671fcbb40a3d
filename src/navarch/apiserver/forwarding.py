"""Which headers of a request go on to somebody else, and which of the answer come back.

Credentials, and headers by which proxies vouch for users, are meant for us and never leave; neither does what belongs
to one connection only.

Source: RFC 9110, section 7.6.1; https://kubernetes.io/docs/reference/access-authn-authz/authentication/#authenticating-proxy
"""

from __future__ import annotations

from collections.abc import Sequence

from navarch.apiserver.authn.authenticator import WEBSOCKET_BEARER
from navarch.wire.message import Request, Response

Headers = Sequence[tuple[str, str]]

HOP_BY_HOP = frozenset(
    (
        "connection",
        "proxy-connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
MADE_ANEW = frozenset(("content-length", "expect"))
"""What the next connection says of a body that was received whole. Of one that is handed on as it comes it cannot know
how long it is, so that is told."""
CREDENTIALS = frozenset(("authorization", "x-remote-user", "x-remote-group", "x-remote-uid"))
CREDENTIAL_PREFIXES = ("x-remote-extra-", "impersonate-")


def sent_on(request: Request) -> list[tuple[str, str]]:
    """The headers of a request for whoever is to answer it, with the client's address added to `X-Forwarded-For`."""
    upgrading = request.upgrade is not None
    made_anew = MADE_ANEW if request.stream is None else MADE_ANEW - {"content-length"}
    dropped = _of_connection(request.headers.get("connection", "")) | HOP_BY_HOP
    if upgrading:
        dropped -= {"connection", "upgrade"}
    found = []
    for name, value in request.headers.items():
        if name in dropped or name in made_anew or _vouches(name):
            continue
        if name == "sec-websocket-protocol":
            value = own_protocols(value)
            if not value:
                continue
        if name != "x-forwarded-for":
            found.append((name, value))
    if upgrading:
        found = [(name, value) for name, value in found if name != "connection"] + [("connection", "Upgrade")]
    seen = [request.headers.get("x-forwarded-for", ""), request.peer.host]
    if told := ", ".join(filter(None, seen)):
        found.append(("x-forwarded-for", told))
    return found


def _vouches(name: str) -> bool:
    """Some servers cannot tell an underscore in a name from a dash."""
    plain = name.replace("_", "-")
    return plain in CREDENTIALS or plain.startswith(CREDENTIAL_PREFIXES)


def own_protocols(value: str) -> str:
    """Tokens that browsers send as a WebSocket protocol are for us alone."""
    offered = [protocol.strip() for protocol in value.split(",")]
    return ", ".join(protocol for protocol in offered if not protocol.startswith(WEBSOCKET_BEARER))


def returned(answer: Response) -> Response:
    """The answer without what was said of its connection only. Its date is ours, since our server says one."""
    named = next((value for name, value in answer.headers if name.lower() == "connection"), "")
    dropped = _of_connection(named) | HOP_BY_HOP | {"date"}
    headers = [(name, value) for name, value in answer.headers if name.lower() not in dropped]
    if isinstance(answer.body, bytes):
        headers = [(name, value) for name, value in headers if name.lower() != "content-length"]
    return Response(answer.status, headers, answer.body)


def _of_connection(value: str) -> set[str]:
    return {name.strip().lower() for name in value.split(",") if name.strip()}
