"""Who may ask the agent's own port for what: authenticated by certificate or token, authorized by the API server.

Asking for what a node measures, its logs or its pods is a right of its own (`nodes/metrics`, `nodes/stats`,
`nodes/log`, `nodes/pods`, `nodes/healthz`, `nodes/configz`); everything else, and those last three as well, is had
with `nodes/proxy`. Answers of the API server are remembered for a while. Nobody is let in without a name.

Source: https://kubernetes.io/docs/reference/access-authn-authz/kubelet-authn-authz/
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from navarch.base.clock import Clock
from navarch.client.client import Client
from navarch.kinds import SUBJECTACCESSREVIEW, TOKENREVIEW
from navarch.objects.value import Document, dig
from navarch.wire.message import Request, Response

TEXT = [("Content-Type", "text/plain; charset=utf-8")]
KNOWN_S, ALLOWED_S, DENIED_S = 120.0, 300.0, 30.0
"""How long it is remembered who a token belongs to, that somebody may ask for something, and that they may not."""
MOST = 1024

OWN = {"stats": "stats", "metrics": "metrics", "logs": "log", "checkpoint": "checkpoint", "statusz": "statusz"}
"""By the first part of a path: the right that it needs, and no other will do."""
OWN_OR_PROXY = {"pods": "pods", "runningpods": "pods", "healthz": "healthz", "configz": "configz"}
VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class User:
    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, Sequence[str]] = field(default_factory=dict, hash=False)


class Remembered(Generic[Value]):
    """What was answered, until it gets old."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: OrderedDict[object, tuple[float, Value]] = OrderedDict()

    def get(self, key: object) -> Value | None:
        until, value = self._held.get(key, (0.0, None))
        return value if self._clock.monotonic() < until else None

    def put(self, key: object, value: Value, seconds: float) -> None:
        self._held[key] = (self._clock.monotonic() + seconds, value)
        self._held.move_to_end(key)
        while len(self._held) > MOST:
            self._held.popitem(last=False)


def rights(parts: Sequence[str]) -> tuple[str, ...]:
    """The subresources of nodes of which one is needed for a path, as it is split at its slashes."""
    first = parts[0] if parts else ""
    if first in OWN:
        return (OWN[first],)
    return (OWN_OR_PROXY[first], "proxy") if first in OWN_OR_PROXY else ("proxy",)


class Doorman:
    """node: its name; rights can be given for one node alone."""

    def __init__(self, client: Client, node: str, clock: Clock) -> None:
        self._client = client
        self._node = node
        self._users: Remembered[User] = Remembered(clock)
        self._verdicts: Remembered[bool] = Remembered(clock)

    async def turns_away(self, request: Request, parts: Sequence[str]) -> Response | None:
        """What whoever is not let in is told; None for who is. Raises: ApiError, Retryable."""
        user = await self._user(request)
        if user is None:
            return Response(401, TEXT, b"Unauthorized")
        verb, wanted = VERBS.get(request.method, ""), rights(parts)
        for subresource in wanted:
            if verb and await self._may(user, verb, subresource):
                return None
        listed = " ".join(wanted)
        said = f"Forbidden (user={user.name}, verb={verb}, resource=nodes, subresource(s)=[{listed}])\n"
        return Response(403, TEXT, said.encode())

    async def _user(self, request: Request) -> User | None:
        peer = request.peer
        if peer.common_name:
            return User(peer.common_name, (*peer.organizations, "system:authenticated"))
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            return None
        key = hashlib.sha256(token.encode()).digest()
        known = self._users.get(key)
        if known is None:
            known = await self._owner_of(token)
            if known is not None:
                self._users.put(key, known, KNOWN_S)
        return known

    async def _owner_of(self, token: str) -> User | None:
        asked = _review("authentication.k8s.io/v1", "TokenReview", {"token": token})
        answer = await self._client.post(TOKENREVIEW, "", "", "", asked)
        if not dig(answer, "status", "authenticated", default=False):
            return None
        found = answer["status"].get("user") or {}
        groups = tuple(found.get("groups") or ())
        return User(found.get("username", ""), groups, found.get("uid", ""), found.get("extra") or {})

    async def _may(self, user: User, verb: str, subresource: str) -> bool:
        key = (user, verb, subresource)
        verdict = self._verdicts.get(key)
        if verdict is None:
            spec: Document = {
                "user": user.name,
                "groups": list(user.groups),
                "resourceAttributes": {
                    "verb": verb,
                    "version": "v1",
                    "resource": "nodes",
                    "subresource": subresource,
                    "name": self._node,
                },
            }
            if user.uid:
                spec["uid"] = user.uid
            if user.extra:
                spec["extra"] = {name: list(values) for name, values in user.extra.items()}
            asked = _review("authorization.k8s.io/v1", "SubjectAccessReview", spec)
            answer = await self._client.post(SUBJECTACCESSREVIEW, "", "", "", asked)
            verdict = bool(dig(answer, "status", "allowed", default=False))
            self._verdicts.put(key, verdict, ALLOWED_S if verdict else DENIED_S)
        return verdict


def _review(version: str, kind: str, spec: Document) -> Document:
    return {"apiVersion": version, "kind": kind, "spec": spec}
