"""Gets a container's image: by its pull policy, with the pod's credentials, one pull of an image at a time.

When to try again after a failure is the plan's business. What may be used by whom stands in `pulling.records`, how many
pulls run at once in `pulling.queue`.

Source: https://kubernetes.io/docs/concepts/containers/images/
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

from navarch.agent.environment import Lookup
from navarch.agent.pulling import keyring, names
from navarch.agent.pulling.keyring import Credential, Origin
from navarch.agent.pulling.plugins import Accounts, Plugins
from navarch.agent.pulling.queue import PullQueue
from navarch.agent.pulling.records import NEVER, PullRecords, permits
from navarch.agent.pulling.settings import PullSettings
from navarch.agent.runtime import Image, Runtime, RuntimeFailure
from navarch.base.clock import Clock
from navarch.kinds.pod import Pod
from navarch.kinds.podspec.container import Container

Tell = Callable[[str, str, str], None]
"""(type, reason, message) of an event about the container."""
Identify = Callable[[str], str]
"""The name of a Secret in the pod's namespace -> its uid, "" when it is not there."""

NAMED_FAILURES = {
    "RegistryUnavailable": "the registry is unavailable",
    "SignatureValidationFailed": "the signature validation failed",
}
"""What runtimes begin a message with, and how it is said to users."""


def nobody(secret: str) -> str:
    """Secrets have no uid where none can be asked for."""
    return ""


class Images:
    def __init__(
        self, runtime: Runtime, clock: Clock, settings: PullSettings | None = None, accounts: Accounts | None = None
    ) -> None:
        settings = settings if settings is not None else PullSettings()
        self._runtime = runtime
        self._clock = clock
        self._queue = PullQueue(settings.limits, clock)
        self._verification = settings.verification
        folder = settings.records if settings.verification.policy != NEVER else None
        self._records = PullRecords(folder, clock) if folder is not None else None
        self._plugins = Plugins(settings.providers, settings.plugins, clock, accounts) if settings.providers else None
        self._pulling: dict[str, asyncio.Lock] = {}

    async def ensure(
        self, pod: Pod, container: Container, lookup: Lookup, tell: Tell, identify: Identify = nobody
    ) -> Image:
        """The image, pulled if its policy or who wants it asks for that.

        Raises:
            RuntimeFailure: reason InvalidImageName, ErrImageNeverPull, ErrImagePull or one of NAMED_FAILURES.
        """
        name, policy = container.image, container.image_pull_policy
        pulled_name = self._checked(name, tell)
        if self._records is not None and not self._records.ready:
            await self._records.load(await self._runtime.images())
        present = await self._runtime.image(pulled_name)
        if present is not None and present.fixed:
            return present
        shown: Sequence[Credential] | None = None
        if present is not None and policy != "Always" and self._must_verify(name, present):
            shown = await self._credentials(pod, name, lookup, identify)
            if not self._permits(name, present, shown):
                present = None
        if policy == "Never" and present is None:
            message = f'Container image "{name}" is not present with pull policy of Never'
            tell("Warning", "ErrImageNeverPull", message)
            raise RuntimeFailure(message, reason="ErrImageNeverPull")
        if present is None or policy == "Always":
            if shown is None:
                shown = await self._credentials(pod, name, lookup, identify)
            present = await self._pull_once(container, pulled_name, shown, tell)
            if present is not None:
                return present
            present = await self._runtime.image(pulled_name)
        if present is None:
            raise RuntimeFailure(f'image "{name}" vanished after it was pulled', reason="ErrImagePull")
        tell("Normal", "Pulled", f'Container image "{name}" already present on machine and can be accessed by the pod')
        return present

    async def forget_gone(self, images: Sequence[Image], listed_at: datetime) -> None:
        """images: all that were on the node at `listed_at`; what others were pulled with is forgotten."""
        if self._records is not None:
            await self._records.load(images)
            await self._records.prune([image.id for image in images], listed_at)

    def _checked(self, name: str, tell: Tell) -> str:
        try:
            return names.with_tag(name)
        except names.InvalidName as error:
            message = f'Failed to apply default image tag "{name}": couldn\'t parse image name "{name}": {error}'
            tell("Warning", "InspectFailed", message)
            raise RuntimeFailure(message, reason="InvalidImageName") from error

    def _must_verify(self, name: str, image: Image) -> bool:
        if self._records is None or names.is_id(name):
            return False
        return self._verification.required(names.parse(name).repository, self._records.is_ours(name, image.id))

    def _permits(self, name: str, image: Image, shown: Sequence[Credential]) -> bool:
        record = self._records.of(image.id) if self._records is not None else None
        return permits(record, names.parse(name).repository, shown)

    async def _credentials(self, pod: Pod, name: str, lookup: Lookup, identify: Identify) -> Sequence[Credential]:
        if names.is_id(name):
            return ()
        reference = names.parse(name)
        found = credentials(pod, reference, lookup, identify)
        if self._plugins is not None:
            found += await self._plugins.credentials(pod, name, reference)
        return keyring.unique(found)

    async def _pull_once(
        self, container: Container, name: str, shown: Sequence[Credential], tell: Tell
    ) -> Image | None:
        """None when somebody else has pulled it while this one waited, and this one may use it."""
        lock = self._pulling.setdefault(name, asyncio.Lock())
        queued_at = self._clock.monotonic()
        waited = lock.locked()
        try:
            async with lock:
                if waited and container.image_pull_policy != "Always" and await self._usable(name, shown):
                    return None
                async with self._queue.turn():
                    return await self._pull(container.image, name, shown, tell, queued_at)
        finally:
            if not lock.locked():
                self._pulling.pop(name, None)

    async def _usable(self, name: str, shown: Sequence[Credential]) -> bool:
        image = await self._runtime.image(name)
        return image is not None and (not self._must_verify(name, image) or self._permits(name, image, shown))

    async def _pull(self, named: str, name: str, shown: Sequence[Credential], tell: Tell, queued_at: float) -> Image:
        """named: as the pod says it. Raises: RuntimeFailure."""
        tell("Normal", "Pulling", f'Pulling image "{named}"')
        started_at = self._clock.monotonic()
        if self._records is not None:
            await self._records.begin(name)
        try:
            used = await self._fetch(name, shown)
            image = await self._runtime.image(name)
            if image is None:
                text = f'image "{named}" was pulled, but the runtime does not have it'
                raise RuntimeFailure(text, reason="ErrImagePull")
            if self._records is not None and not names.is_id(name):
                await self._records.pulled(image.id, names.parse(name).repository, used)
        except RuntimeFailure as failure:
            tell("Warning", "Failed", f'Failed to pull image "{named}": {failure}')
            tell("Warning", "Failed", f"Error: {_reason(failure)}")
            raise _said(named, failure) from failure
        finally:
            if self._records is not None:
                await self._records.end(name)
        now = self._clock.monotonic()
        took, whole = _duration(now - started_at), _duration(now - queued_at)
        tell(
            "Normal",
            "Pulled",
            f'Successfully pulled image "{named}" in {took} ({whole} including waiting). '
            f"Image size: {image.size_bytes} bytes.",
        )
        return image

    async def _fetch(self, name: str, shown: Sequence[Credential]) -> Credential | None:
        """Pull with one credential after another until one does; returns that, None when none was needed."""
        failures: list[RuntimeFailure] = []
        for credential in shown or (None,):
            try:
                await self._runtime.pull(name, credential.auth if credential is not None else None)
            except RuntimeFailure as failure:
                failures.append(failure)
            else:
                return credential
        raise failures[0] if len(failures) == 1 else _together(failures)


def _together(failures: Sequence[RuntimeFailure]) -> RuntimeFailure:
    """As the kubelet says several failures at once."""
    texts = list(dict.fromkeys(str(failure) for failure in failures))
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    return RuntimeFailure(text, reason=failures[-1].reason)


def _reason(failure: RuntimeFailure) -> str:
    return next((name for name in NAMED_FAILURES if str(failure).startswith(name)), failure.reason)


def _said(named: str, failure: RuntimeFailure) -> RuntimeFailure:
    """The failure as a container's status tells of it."""
    text, reason = str(failure), _reason(failure)
    if reason in NAMED_FAILURES:
        text = f"image pull failed for {named} because {NAMED_FAILURES[reason]}{text.removeprefix(reason)}"
        return RuntimeFailure(text, reason=reason)
    return RuntimeFailure(f'failed to pull image "{named}": {text}', reason=reason)


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f}ms" if seconds < 1 else f"{seconds:.3f}s"


def credentials(pod: Pod, reference: names.Reference, lookup: Lookup, identify: Identify = nobody) -> list[Credential]:
    """What the pod's pull secrets hold for the image's registry, in the order in which the pod names them."""
    found: list[Credential] = []
    for wanted in pod.spec.image_pull_secrets:
        chosen = keyring.choose(reference.repository, keyring.entries(lookup("secrets", wanted.name) or {}))
        if chosen:
            origin = Origin(identify(wanted.name), pod.metadata.namespace, wanted.name)
            found += [Credential(auth, secret=origin) for auth in chosen]
    return found
