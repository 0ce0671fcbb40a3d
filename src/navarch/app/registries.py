"""Where images are pulled from when it is not where their name says: a registry of one's own, without TLS, or a mirror.

containerd reads one `hosts.toml` for each registry at every pull, so that a registry can be added while the cluster
runs. Registries on loopback need none: containerd asks them over plain HTTP by itself.

Source: https://github.com/containerd/containerd/blob/release/1.6/docs/hosts.md
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?", re.ASCII)


class BadRegistry(ValueError):
    """What was given is not NAME=URL."""


def parse(texts: Iterable[str]) -> dict[str, str]:
    """`registry.lan:5000=http://192.0.2.7:5000` -> name: URL; `registry.lan:5000` alone means plain HTTP there.

    Raises:
        BadRegistry: a name that no image could have, or no http(s) URL.
    """
    found = {}
    for text in texts:
        name, _, url = text.partition("=")
        url = url or f"http://{name}"
        if not NAME.fullmatch(name):
            raise BadRegistry(f"{name!r} is no registry: a host name with or without a port is, as images begin with")
        try:
            parts = urlsplit(url)
            whole = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
        except ValueError:
            whole = False
        if not whole:
            raise BadRegistry(f"{url!r} is no URL of a registry: http://HOST:PORT or https://HOST:PORT is")
        found[name] = url.rstrip("/")
    return found
