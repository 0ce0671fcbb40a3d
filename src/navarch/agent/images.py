"""Gets a container's image: by its pull policy, with the pod's credentials, one pull of an image at a time.

When to try again after a failure is the plan's business.

Source: https://kubernetes.io/docs/concepts/containers/images/
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Callable, Mapping, Sequence

import orjson

from navarch.agent.environment import Lookup
from navarch.agent.imagefile import full_name
from navarch.agent.runtime import Image, RegistryAuth, Runtime, RuntimeFailure
from navarch.base.clock import Clock
from navarch.kinds.pod import Pod
from navarch.kinds.podspec.container import Container

PARALLEL_PULLS = 4
_REFERENCE = re.compile(
    r"^(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?(?::[0-9]+)?/)?"
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
    r"(?::[\w][\w.-]{0,127})?(?:@[a-z0-9]+:[0-9a-fA-F]{32,})?$"
)
_DIGEST = re.compile(r"^sha256:[0-9a-f]{64}$")

Tell = Callable[[str, str, str], None]
"""(type, reason, message) of an event about the container."""


class Images:
    def __init__(self, runtime: Runtime, clock: Clock) -> None:
        self._runtime = runtime
        self._clock = clock
        self._slots = asyncio.Semaphore(PARALLEL_PULLS)
        self._pulling: dict[str, asyncio.Lock] = {}

    async def ensure(self, pod: Pod, container: Container, lookup: Lookup, tell: Tell) -> Image:
        """The image, pulled if its policy says so.

        Raises:
            RuntimeFailure: reason InvalidImageName, ErrImageNeverPull or ErrImagePull.
        """
        name, policy = container.image, container.image_pull_policy
        if not (_REFERENCE.match(name) or _DIGEST.match(name)):
            message = (
                f'Failed to apply default image tag "{name}": couldn\'t parse image name "{name}": '
                "invalid reference format"
            )
            tell("Warning", "InspectFailed", message)
            raise RuntimeFailure(message, reason="InvalidImageName")
        present = await self._runtime.image(name)
        if policy == "Never" and present is None:
            message = f'Container image "{name}" is not present with pull policy of Never'
            tell("Warning", "ErrImageNeverPull", message)
            raise RuntimeFailure(message, reason="ErrImageNeverPull")
        if present is None or policy == "Always":
            pulled = await self._pull_once(name, policy, credentials(pod, name, lookup), tell)
            if pulled is not None:
                return pulled
            present = await self._runtime.image(name)
        if present is None:
            raise RuntimeFailure(f'image "{name}" vanished after it was pulled', reason="ErrImagePull")
        tell("Normal", "Pulled", f'Container image "{name}" already present on machine and can be accessed by the pod')
        return present

    async def _pull_once(
        self, name: str, policy: str, auths: Sequence[RegistryAuth | None], tell: Tell
    ) -> Image | None:
        """None when somebody else has pulled it while this one waited."""
        lock = self._pulling.setdefault(name, asyncio.Lock())
        queued_at = self._clock.monotonic()
        waited = lock.locked()
        try:
            async with lock, self._slots:
                if waited and policy != "Always" and await self._runtime.image(name) is not None:
                    return None
                return await self._pull(name, auths, tell, queued_at)
        finally:
            if not lock.locked():
                self._pulling.pop(name, None)

    async def _pull(self, name: str, auths: Sequence[RegistryAuth | None], tell: Tell, queued_at: float) -> Image:
        tell("Normal", "Pulling", f'Pulling image "{name}"')
        started_at = self._clock.monotonic()
        failure = RuntimeFailure("no credentials", reason="ErrImagePull")
        for auth in auths:
            try:
                await self._runtime.pull(name, auth)
                break
            except RuntimeFailure as error:
                failure = error
        else:
            tell("Warning", "Failed", f'Failed to pull image "{name}": {failure}')
            tell("Warning", "Failed", f"Error: {failure.reason}")
            raise RuntimeFailure(f'failed to pull image "{name}": {failure}', reason=failure.reason)
        image = await self._runtime.image(name)
        if image is None:
            raise RuntimeFailure(f'image "{name}" was pulled, but the runtime does not have it', reason="ErrImagePull")
        now = self._clock.monotonic()
        took, whole = _duration(now - started_at), _duration(now - queued_at)
        tell(
            "Normal",
            "Pulled",
            f'Successfully pulled image "{name}" in {took} ({whole} including waiting). '
            f"Image size: {image.size_bytes} bytes.",
        )
        return image


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f}ms" if seconds < 1 else f"{seconds:.3f}s"


def credentials(pod: Pod, image: str, lookup: Lookup) -> Sequence[RegistryAuth | None]:
    """What to try, best first: the pod's pull secrets that name the image's registry; without any, no credentials."""
    found: list[RegistryAuth | None] = []
    full = full_name(image)
    for reference in pod.spec.image_pull_secrets:
        data = lookup("secrets", reference.name) or {}
        for registry, auth in sorted(_auths(data).items(), key=lambda entry: -len(entry[0])):
            if _matches(registry, full):
                found.append(auth)
    return found or [None]


def _auths(data: Mapping[str, bytes]) -> dict[str, RegistryAuth]:
    """The entries of a docker configuration; a malformed one is treated as empty, as an unusable secret is."""
    try:
        if ".dockerconfigjson" in data:
            entries = orjson.loads(data[".dockerconfigjson"]).get("auths") or {}
        else:
            entries = orjson.loads(data.get(".dockercfg", b"{}"))
        return {registry: _auth(entry) for registry, entry in entries.items()}
    except (ValueError, AttributeError, TypeError):
        return {}


def _auth(entry: Mapping[str, str]) -> RegistryAuth:
    username, password = entry.get("username", ""), entry.get("password", "")
    if packed := entry.get("auth", ""):
        username, _, password = base64.b64decode(packed).decode().partition(":")
    return RegistryAuth(username, password, entry.get("identitytoken", ""), entry.get("registrytoken", ""))


def _matches(registry: str, full: str) -> bool:
    """registry: a host, perhaps with scheme, port and path; `*` stands for one label of the host."""
    plain = registry.removeprefix("https://").removeprefix("http://").rstrip("/")
    host, _, path = plain.partition("/")
    if host in ("index.docker.io", "registry-1.docker.io"):
        host = "docker.io"
    if path in ("v1", "v2"):
        path = ""
    own_host, _, own_path = full.partition("/")
    pattern = "^" + re.escape(host).replace(r"\*", "[^.]*") + "$"
    return re.match(pattern, own_host) is not None and (not path or own_path.startswith(path))
