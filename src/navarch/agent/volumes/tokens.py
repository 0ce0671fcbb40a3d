"""Tokens of service accounts for pods: asked for when first needed, kept, and renewed long before they expire.

Source: https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#serviceaccount-token-volume-projection
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from navarch.base.clock import Clock, parse_rfc3339
from navarch.base.errors import Retryable
from navarch.client.client import Client
from navarch.kinds import SERVICEACCOUNT
from navarch.kinds.pod import Pod
from navarch.kinds.podspec.volumes import TokenProjection, Volume
from navarch.objects.value import dig

RENEW_AT = 0.8
"""The share of its life after which a token is renewed, unless it is older than a day before."""
OLDEST = timedelta(hours=24)

SKEW = timedelta(minutes=1)
"""Who checks a token lets it be so much too young."""

LONG_AGO = datetime.min.replace(tzinfo=UTC)

_Key = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Token:
    text: str
    asked_at: datetime
    renew_at: datetime
    expires_at: datetime

    def due_at(self, now: datetime) -> datetime:
        """When it is to be renewed: long ago if the clock was set back before it was made, since then it counts as not
        yet valid."""
        return LONG_AGO if now < self.asked_at - SKEW else self.renew_at


class PodTokens:
    """The tokens of all pods of this node, by pod uid, audience and life time."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._tokens: dict[_Key, Token] = {}

    async def ensure(self, pod: Pod) -> dict[TokenProjection, str]:
        """Valid tokens for every projection of the pod.

        Raises:
            ApiError, Retryable: the API server gave none.
        """
        return {projection: (await self.one(pod, projection)).text for projection in projections(pod)}

    async def one(self, pod: Pod, projection: TokenProjection) -> Token:
        """One that is valid, whatever it is for. Raises: ApiError, Retryable."""
        key = (pod.metadata.uid, projection.audience, projection.expiration_seconds)
        token = self._tokens.get(key)
        if token is None or token.due_at(self._clock.now()) <= self._clock.now():
            token = self._tokens[key] = await self._ask(pod, projection)
        return token

    def renew_at(self, uid: str) -> datetime | None:
        """When the first token of this pod is to be renewed."""
        now = self._clock.now()
        return min((token.due_at(now) for key, token in self._tokens.items() if key[0] == uid), default=None)

    def forget(self, uid: str) -> None:
        for key in [key for key in self._tokens if key[0] == uid]:
            del self._tokens[key]

    async def _ask(self, pod: Pod, projection: TokenProjection) -> Token:
        meta = pod.metadata
        spec = {
            "expirationSeconds": projection.expiration_seconds,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": meta.name, "uid": meta.uid},
            "audiences": [projection.audience] if projection.audience else [],
        }
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        account = pod.spec.service_account_name or "default"
        asked_at = self._clock.now()
        answer = await self._client.post(SERVICEACCOUNT, meta.namespace, account, "token", request)
        text, expires = dig(answer, "status", "token"), dig(answer, "status", "expirationTimestamp")
        if not text or not expires:
            raise Retryable(f"the API server gave no token for service account {meta.namespace}/{account}")
        expires_at = parse_rfc3339(expires)
        life = expires_at - asked_at
        return Token(text, asked_at, min(asked_at + life * RENEW_AT, asked_at + OLDEST), expires_at)


def projections(pod: Pod) -> list[TokenProjection]:
    def of(volume: Volume) -> list[TokenProjection]:
        sources = volume.projected.sources if volume.projected is not None else ()
        return [source.service_account_token for source in sources if source.service_account_token is not None]

    return [projection for volume in pod.spec.volumes for projection in of(volume)]
