"""Asks credential plugins: a request on standard input, an answer on standard output, kept as long as it says.

Which plugin is asked for which image stands in `pulling.providers`. A plugin that fails is logged and gives nothing:
the image may be pulled without.

Source: https://kubernetes.io/docs/reference/config-api/kubelet-credentialprovider.v1/
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import orjson

from navarch.agent.pulling.keyring import Credential, Origin, choose
from navarch.agent.pulling.names import Reference
from navarch.agent.pulling.providers import Provider, TokenAttributes, seconds
from navarch.agent.runtime import RegistryAuth
from navarch.base import programs
from navarch.base.clock import Clock
from navarch.base.errors import ApiError, Retryable
from navarch.base.log import Log
from navarch.kinds.pod import Pod

TIMEOUT_S = 60.0
MOST_KEPT = 1000
SCOPES = ("Image", "Registry", "Global")

_log = Log("agent")


class NoAnswer(Retryable):
    """The plugin failed, or what it said is no answer."""


@dataclass(frozen=True, slots=True)
class Account:
    """The service account that a pod runs as."""

    origin: Origin
    annotations: Mapping[str, str]


class Accounts(Protocol):
    """What plugins are told of a pod's service account. Raises: ApiError, Retryable."""

    async def find(self, pod: Pod) -> Account: ...

    async def token(self, pod: Pod, audience: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """scope: one of SCOPES. keep_s: None for the provider's default. auth: by registry pattern."""

    scope: str
    keep_s: float | None
    auth: Mapping[str, RegistryAuth]


@dataclass(frozen=True, slots=True)
class _Identity:
    """On whose behalf a plugin is asked; `key` sets what it answers apart from what it answers others."""

    key: str = ""
    token: str = ""
    annotations: tuple[tuple[str, str], ...] = ()
    origin: Origin | None = None


class Plugins:
    """folder: where the programs are. accounts: for those plugins that are given tokens."""

    def __init__(
        self, providers: Sequence[Provider], folder: Path, clock: Clock, accounts: Accounts | None = None
    ) -> None:
        self._providers = providers
        self._folder = folder
        self._clock = clock
        self._accounts = accounts
        self._kept: dict[tuple[str, str, str, str], tuple[float, Mapping[str, RegistryAuth]]] = {}
        self._asking: dict[str, asyncio.Lock] = {}

    async def credentials(self, pod: Pod, image: str, reference: Reference) -> list[Credential]:
        """What the plugins that are for this image give, in the order in which they are configured."""
        found: list[Credential] = []
        for provider in self._providers:
            if not provider.wants(reference.repository):
                continue
            try:
                who = await self._identity(provider.token, pod)
                if who is None:
                    continue
                auths = await self._auths(provider, image, reference, who)
            except (NoAnswer, ApiError, Retryable) as error:
                _log.warning("a credential plugin gave nothing", plugin=provider.name, image=image, error=error)
                continue
            found += [Credential(auth, account=who.origin) for auth in choose(reference.repository, auths)]
        return found

    async def _identity(self, wanted: TokenAttributes | None, pod: Pod) -> _Identity | None:
        """None: the plugin is not asked for this pod."""
        if wanted is None:
            return _Identity()
        if not pod.spec.service_account_name:
            return None if wanted.require_account else _Identity()
        if self._accounts is None:
            raise NoAnswer("this agent has no way to get tokens of service accounts")
        account = await self._accounts.find(pod)
        if any(key not in account.annotations for key in wanted.required):
            return None
        passed = [key for key in (*wanted.required, *wanted.optional) if key in account.annotations]
        annotations = tuple(sorted((key, account.annotations[key]) for key in passed))
        token = await self._accounts.token(pod, wanted.audience)
        parts = (account.origin.namespace, account.origin.name, account.origin.uid, annotations)
        words = orjson.dumps((*parts, token if wanted.by_token else ""))
        return _Identity(hashlib.sha256(words).hexdigest(), token, annotations, account.origin)

    async def _auths(
        self, provider: Provider, image: str, reference: Reference, who: _Identity
    ) -> Mapping[str, RegistryAuth]:
        subjects = dict(zip(SCOPES, (image, reference.domain, ""), strict=True))
        async with self._asking.setdefault(provider.name, asyncio.Lock()):
            now = self._clock.monotonic()
            for scope, subject in subjects.items():
                kept = self._kept.get((provider.name, who.key, scope, subject))
                if kept is not None and kept[0] > now:
                    return kept[1]
            answer = await self._ask(provider, image, who)
            keep_s = provider.cache_s if answer.keep_s is None else answer.keep_s
            if keep_s > 0:
                self._forget_old(now)
                key = (provider.name, who.key, answer.scope, subjects[answer.scope])
                self._kept[key] = (self._clock.monotonic() + keep_s, answer.auth)
            return answer.auth

    def _forget_old(self, now: float) -> None:
        self._kept = {key: kept for key, kept in self._kept.items() if kept[0] > now}
        while len(self._kept) >= MOST_KEPT:
            del self._kept[next(iter(self._kept))]

    async def _ask(self, provider: Provider, image: str, who: _Identity) -> Answer:
        program = self._folder / provider.name
        request: dict[str, Any] = {
            "kind": "CredentialProviderRequest",
            "apiVersion": provider.api_version,
            "image": image,
        }
        if who.token:
            request |= {"serviceAccountToken": who.token, "serviceAccountAnnotations": dict(who.annotations)}
        try:
            ended = await programs.run(
                str(program),
                *provider.args,
                timeout_s=TIMEOUT_S,
                given=orjson.dumps(request),
                environment=dict(provider.environment),
            )
        except TimeoutError as error:
            raise NoAnswer(f"{program} did not answer within {TIMEOUT_S:g} s") from error
        except OSError as error:
            raise NoAnswer(f"{program} cannot be run: {error.strerror}") from error
        if ended.code:
            said = ended.complaints.decode(errors="replace").strip()[-300:]
            raise NoAnswer(f"{program} ended with {ended.code}: {said}")
        return read_answer(ended.output, provider.api_version)


def read_answer(data: bytes, api_version: str) -> Answer:
    """Raises: NoAnswer."""
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise NoAnswer(f"the answer is no JSON: {error}") from error
    kind = found.get("kind") if isinstance(found, dict) else None
    if kind != "CredentialProviderResponse" or found.get("apiVersion") != api_version:
        raise NoAnswer(f"the answer is no CredentialProviderResponse of {api_version}")
    scope = found.get("cacheKeyType")
    if scope not in SCOPES:
        raise NoAnswer(f"cacheKeyType must be one of {', '.join(SCOPES)}, not {scope!r}")
    try:
        keep_s = None if found.get("cacheDuration") is None else seconds(found["cacheDuration"])
        given = (found.get("auth") or {}).items()
        auth = {name: RegistryAuth(entry.get("username", ""), entry.get("password", "")) for name, entry in given}
    except (ValueError, TypeError, AttributeError) as error:
        raise NoAnswer(f"the answer cannot be used: {error}") from error
    return Answer(scope, keep_s, auth)
