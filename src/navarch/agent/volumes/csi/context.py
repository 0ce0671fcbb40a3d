"""What a driver needs to know besides the volume, read from the API server: its own rules, secrets, the pod's tokens.

Source: https://kubernetes-csi.github.io/docs/csi-driver-object.html,
https://kubernetes-csi.github.io/docs/secrets-and-credentials.html
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from navarch.agent.runtime import RuntimeFailure
from navarch.agent.volumes.csi.volume import TOKENS, CsiVolume, pod_context
from navarch.agent.volumes.tokens import PodTokens
from navarch.base.clock import rfc3339
from navarch.base.errors import NotFound
from navarch.client.client import Client
from navarch.kinds import CSIDRIVER, SECRET
from navarch.kinds.csi import CSIDriverSpec
from navarch.kinds.pod import Pod
from navarch.kinds.podspec.volumes import TokenProjection

LIFE_S = 3600
"""Of a token whose request names no other."""


class Contexts:
    """tokens: kept for drivers alone, which say themselves whether they want newer ones."""

    def __init__(self, client: Client, tokens: PodTokens) -> None:
        self._client = client
        self._tokens = tokens

    async def rules(self, driver: str) -> CSIDriverSpec | None:
        """What the driver says of itself; None when nothing. Raises: ApiError, Retryable."""
        try:
            found = await self._client.get(CSIDRIVER, "", driver)
        except NotFound:
            return None
        spec: CSIDriverSpec = found.view.spec
        return spec

    async def secrets(self, volume: CsiVolume, call: str) -> dict[str, str]:
        """What the call needs. Raises: RuntimeFailure, ApiError, Retryable."""
        reference = volume.secrets.get(call)
        if reference is None:
            return {}
        namespace, name = reference
        try:
            found = (await self._client.get(SECRET, namespace, name)).document()
        except NotFound as error:
            title = f"Node{call.capitalize()}SecretRef"
            text = f'fetching {title} {namespace}/{name} failed: secrets "{name}" not found'
            raise RuntimeFailure(text, reason="FailedMount") from error
        data = found.get("data") or {}
        return {key: base64.b64decode(value).decode("utf-8", "surrogateescape") for key, value in data.items()}

    async def of_pod(
        self, pod: Pod, volume: CsiVolume, rules: CSIDriverSpec | None
    ) -> tuple[dict[str, str], dict[str, str]]:
        """The volume's attributes and what its driver wants to know of the pod besides, and what of that is secret.

        Raises: ApiError, Retryable.
        """
        attributes = dict(volume.attributes)
        if rules is None:
            return attributes, {}
        if rules.pod_info_on_mount:
            attributes |= pod_context(pod, volume)
        if not rules.token_requests:
            return attributes, {}
        text = json.dumps(await self._tokens_for(pod, rules))
        if rules.service_account_token_in_secrets:
            return attributes, {TOKENS: text}
        return {**attributes, TOKENS: text}, {}

    async def _tokens_for(self, pod: Pod, rules: CSIDriverSpec) -> Mapping[str, Mapping[str, str]]:
        """By audience, in the words of a TokenRequest's status."""
        found = {}
        for request in rules.token_requests:
            life_s = request.expiration_seconds or LIFE_S
            projection = TokenProjection(path="", audience=request.audience, expiration_seconds=life_s)
            token = await self._tokens.one(pod, projection)
            found[request.audience] = {"token": token.text, "expirationTimestamp": rfc3339(token.expires_at)}
        return found

    def forget(self, uid: str) -> None:
        """The pod is gone, and so are its tokens."""
        self._tokens.forget(uid)
