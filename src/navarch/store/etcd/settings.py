"""Where etcd is and how it is spoken with. Light: servers read it before they know which store they have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

PREFIX = "/registry"
COMPACTION_S = 300.0


class BadEndpoint(ValueError):
    """The message says which and why."""


@dataclass(frozen=True, slots=True)
class Settings:
    """endpoints: URLs of the members, `http` or `https`. ca, certificate, key: PEM files; without a CA those of the
    machine are trusted. prefix: what all keys start with, so that others may use the same etcd. compaction_s: how often
    history is forgotten, 0 for never (where somebody else does it)."""

    endpoints: Sequence[str]
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    prefix: str = PREFIX
    compaction_s: float = COMPACTION_S


@dataclass(frozen=True, slots=True)
class Endpoint:
    """target: host and port, as gRPC names them."""

    url: str
    target: str
    secure: bool


def endpoint(url: str) -> Endpoint:
    """Raises: BadEndpoint."""
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise BadEndpoint(f"{url!r} is no URL of an etcd member: {error}") from None
    if parts.scheme not in ("http", "https") or not host or parts.path.strip("/") or parts.query or parts.username:
        raise BadEndpoint(f"{url!r} is no URL of an etcd member; one looks like https://10.0.0.1:2379")
    name = f"[{host}]" if ":" in host else host
    return Endpoint(url.strip(), f"{name}:{port or 2379}", parts.scheme == "https")
