"""Which programs are asked for credentials, for which images: the file `CredentialProviderConfig`, read and checked.

Pure; the programs are run in `pulling.plugins`.

Source: https://kubernetes.io/docs/tasks/administer-cluster/kubelet-credential-provider/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from navarch.agent.pulling.keyring import matches

KIND = "CredentialProviderConfig"
CONFIG_VERSIONS = tuple(f"kubelet.config.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
PLUGIN_VERSIONS = tuple(f"credentialprovider.kubelet.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
CACHE_TYPES = ("ServiceAccount", "Token")

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


class BadProviders(ValueError):
    """The configuration cannot be used; the message says which part and why."""


@dataclass(frozen=True, slots=True)
class TokenAttributes:
    """The plugin is given a token of the pod's service account, for `audience`.

    required: annotations without which it is not asked; optional: passed on where there are any. by_token: what it
    answers is kept for that token alone, not for the account.
    """

    audience: str
    require_account: bool = False
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    by_token: bool = False


@dataclass(frozen=True, slots=True)
class Provider:
    """name: of the program in the plugins' folder. cache_s: how long its answers hold when they do not say."""

    name: str
    images: tuple[str, ...]
    cache_s: float
    api_version: str
    args: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    token: TokenAttributes | None = None

    def wants(self, repository: str) -> bool:
        return any(matches(pattern.rstrip("/"), repository) for pattern in self.images)


def read_providers(text: str) -> tuple[Provider, ...]:
    """Raises: BadProviders."""
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadProviders(f"it is no YAML: {error}") from error
    if not isinstance(found, dict) or found.get("kind") != KIND or found.get("apiVersion") not in CONFIG_VERSIONS:
        raise BadProviders(f"it is no {KIND} of {CONFIG_VERSIONS[0]}")
    _known(found, "the file", "kind", "apiVersion", "providers")
    listed = found.get("providers")
    if not isinstance(listed, list) or not listed:
        raise BadProviders("providers: at least one is required")
    providers = tuple(_provider(entry, f"providers[{number}]") for number, entry in enumerate(listed))
    names = [provider.name for provider in providers]
    if len(set(names)) < len(names):
        raise BadProviders(f"providers: each name must be there once, not {', '.join(sorted(names))}")
    return providers


def _known(entry: Mapping[str, Any], where: str, *fields: str) -> None:
    if unknown := sorted(entry.keys() - set(fields)):
        raise BadProviders(f"{where}: unknown field {', '.join(unknown)}")


def _provider(entry: Any, where: str) -> Provider:
    if not isinstance(entry, dict):
        raise BadProviders(f"{where} is no object")
    fields = ("name", "matchImages", "defaultCacheDuration", "apiVersion", "args", "env", "tokenAttributes")
    _known(entry, where, *fields)
    name = entry.get("name") or ""
    if not name or "/" in name or " " in name or name in (".", ".."):
        raise BadProviders(f"{where}.name: must be the file name of a program, without / and spaces, not {name!r}")
    version = entry.get("apiVersion")
    if version not in PLUGIN_VERSIONS:
        raise BadProviders(f"{where}.apiVersion: must be one of {', '.join(PLUGIN_VERSIONS)}, not {version!r}")
    images = entry.get("matchImages")
    if not isinstance(images, list) or not images or not all(isinstance(one, str) and one for one in images):
        raise BadProviders(f"{where}.matchImages: at least one pattern is required")
    if entry.get("defaultCacheDuration") is None:
        raise BadProviders(f"{where}.defaultCacheDuration: is required")
    try:
        cache_s = seconds(str(entry["defaultCacheDuration"]))
        environment = tuple((one["name"], one.get("value", "")) for one in entry.get("env") or ())
    except ValueError as error:
        raise BadProviders(f"{where}.defaultCacheDuration: {error}") from error
    except (TypeError, KeyError, AttributeError) as error:
        raise BadProviders(f"{where}.env: must be a list of name and value") from error
    args = tuple(str(word) for word in entry.get("args") or ())
    token = _token(entry.get("tokenAttributes"), f"{where}.tokenAttributes", version)
    return Provider(name, tuple(images), cache_s, version, args, environment, token)


def _token(entry: Any, where: str, version: str) -> TokenAttributes | None:
    if entry is None:
        return None
    if not isinstance(entry, dict):
        raise BadProviders(f"{where} is no object")
    if version != PLUGIN_VERSIONS[0]:
        raise BadProviders(f"{where}: is only for {PLUGIN_VERSIONS[0]}")
    keys = ("requiredServiceAccountAnnotationKeys", "optionalServiceAccountAnnotationKeys")
    _known(entry, where, "serviceAccountTokenAudience", "cacheType", "requireServiceAccount", *keys)
    if not entry.get("serviceAccountTokenAudience"):
        raise BadProviders(f"{where}.serviceAccountTokenAudience: is required")
    if entry.get("cacheType") not in CACHE_TYPES:
        raise BadProviders(f"{where}.cacheType: must be {' or '.join(CACHE_TYPES)}, not {entry.get('cacheType')!r}")
    if not isinstance(entry.get("requireServiceAccount"), bool):
        raise BadProviders(f"{where}.requireServiceAccount: must be true or false")
    required, optional = (tuple(entry.get(key) or ()) for key in keys)
    if required and not entry["requireServiceAccount"]:
        raise BadProviders(f"{where}.{keys[0]}: needs requireServiceAccount: true")
    if both := sorted(set(required) & set(optional)):
        raise BadProviders(f"{where}: annotation {', '.join(both)} is required and optional")
    return TokenAttributes(
        audience=entry["serviceAccountTokenAudience"],
        require_account=entry["requireServiceAccount"],
        required=required,
        optional=optional,
        by_token=entry["cacheType"] == "Token",
    )


def seconds(text: str) -> float:
    """`1h30m`, `45s`, `0` in seconds. Raises: ValueError."""
    if text == "0":
        return 0.0
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is no duration such as 10m or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
