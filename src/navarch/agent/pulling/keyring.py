"""Credentials for registries: read from pull secrets, chosen by the image's name, with where each came from.

Pure. Several may fit an image: all are tried, the most specific entry of each source first. A malformed secret counts
as empty, as it does in Kubernetes: the pull that fails then says what is wrong.

Source: https://kubernetes.io/docs/concepts/containers/images/#config-json
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import orjson

from navarch.agent.pulling.names import HUB, OLD_HUB
from navarch.agent.runtime import RegistryAuth

HUB_HOSTS = (OLD_HUB, "registry-1.docker.io")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a credential comes from: a Secret or a ServiceAccount. uid "": not known."""

    uid: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Credential:
    """secret, account: whose it is; neither for what every pod of the node may use (a node's own plugin)."""

    auth: RegistryAuth
    secret: Origin | None = None
    account: Origin | None = None

    @property
    def hash(self) -> str:
        """Tells credentials apart without giving them away."""
        auth = self.auth
        words = (auth.username, auth.password, auth.identity_token, auth.registry_token)
        return hashlib.sha256(orjson.dumps(words)).hexdigest()


def entries(data: Mapping[str, bytes]) -> dict[str, RegistryAuth]:
    """The entries of a Secret `kubernetes.io/dockerconfigjson` or `kubernetes.io/dockercfg`, by registry."""
    try:
        if ".dockerconfigjson" in data:
            found = orjson.loads(data[".dockerconfigjson"]).get("auths") or {}
        else:
            found = orjson.loads(data.get(".dockercfg", b"{}"))
        return {registry: auth(entry) for registry, entry in found.items()}
    except (ValueError, AttributeError, TypeError):
        return {}


def auth(entry: Mapping[str, str]) -> RegistryAuth:
    """Raises: ValueError, TypeError, AttributeError, when it is none."""
    username, password = entry.get("username") or "", entry.get("password") or ""
    if packed := entry.get("auth") or "":
        try:
            whole = "".join(packed.split())
            whole += "=" * (-len(whole) % 4)
            username, _, password = base64.b64decode(whole, validate=True).decode().partition(":")
        except binascii.Error as error:
            raise ValueError(f"auth is no base64: {error}") from error
    return RegistryAuth(
        username, password.strip("\0"), entry.get("identitytoken") or "", entry.get("registrytoken") or ""
    )


def choose(repository: str, found: Mapping[str, RegistryAuth]) -> list[RegistryAuth]:
    """Those entries that fit, the longest name first."""
    fitting = [registry for registry in found if matches(plain(registry), repository)]
    return [found[registry] for registry in sorted(fitting, key=lambda name: (len(plain(name)), name), reverse=True)]


def unique(found: Iterable[Credential]) -> list[Credential]:
    """Each once: trying the same twice only makes a failure slower."""
    return list(dict.fromkeys(found))


def plain(registry: str) -> str:
    """An entry's key as host and path: `https://index.docker.io/v1/` is `docker.io`."""
    text = registry.removeprefix("https://").removeprefix("http://")
    host, slash, path = text.partition("/")
    for version in ("v1", "v2"):
        if path == version or path.startswith(f"{version}/"):
            path = path[len(version) :].lstrip("/")
    host = HUB if host in HUB_HOSTS else host
    return f"{host}{slash}{path}".rstrip("/")


def matches(pattern: str, repository: str) -> bool:
    """Whether `pattern` (a host, perhaps with port and path) covers the repository.

    `*` and `?` stand within one label of the host; ports must be the same; the path is a beginning.
    """
    host, _, path = pattern.partition("/")
    own_host, _, own_path = repository.partition("/")
    return own_path.startswith(path) and _host_pattern(host).fullmatch(own_host) is not None


@lru_cache(maxsize=1024)
def _host_pattern(host: str) -> re.Pattern[str]:
    name, colon, port = host.partition(":")
    labels = [_label(label) for label in name.split(".")]
    return re.compile(r"\.".join(labels) + (f":{re.escape(port)}" if colon else ""))


def _label(label: str) -> str:
    words = {"*": "[^./:]*", "?": "[^./:]"}
    return "".join(words.get(letter) or re.escape(letter) for letter in label)
