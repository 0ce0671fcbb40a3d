"""Image names: read as container registries read them, with the words that clients know when one cannot be read.

Source: https://github.com/distribution/reference (grammar of references), https://github.com/opencontainers/distribution-spec
"""

from __future__ import annotations

import re
from dataclasses import dataclass

HUB = "docker.io"
OLD_HUB = "index.docker.io"
LIBRARY = "library/"
LONGEST = 255

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = rf"{_COMPONENT}(?:/{_COMPONENT})*"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[(?:[a-fA-F0-9:]+)\])(?::[0-9]+)?"
_TAG = r"[\w][\w.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(rf"(?:({_HOST})/)?({_PATH})(?::({_TAG}))?(?:@({_DIGEST}))?", re.ASCII)
_ID = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_BARE_HASH = re.compile(r"[a-f0-9]{64}", re.ASCII)
_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}


class InvalidName(ValueError):
    """The text names no image; the message is what clients show."""


@dataclass(frozen=True, slots=True)
class Reference:
    """domain: a host with its port. path: within the registry. tag, digest: "" when not given."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def repository(self) -> str:
        """Without tag and digest: what credentials are looked up and recorded by."""
        return f"{self.domain}/{self.path}"

    @property
    def full(self) -> str:
        """As runtimes know it: with a tag, or a digest."""
        tag = self.tag or ("" if self.digest else "latest")
        return self.repository + (f":{tag}" if tag else "") + (f"@{self.digest}" if self.digest else "")


def is_id(text: str) -> bool:
    """Whether the text is an image's id, which needs no registry."""
    return _ID.fullmatch(text) is not None


def parse(text: str) -> Reference:
    """`nginx` is `docker.io/library/nginx`; what comes before the first slash is a host if it looks like one.

    Raises:
        InvalidName: with the reason.
    """
    if _BARE_HASH.fullmatch(text):
        raise InvalidName(f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")
    domain, rest = _split(text)
    name = rest.partition("@")[0]
    head, colon, tail = name.rpartition(":")
    path = head if colon and "/" not in tail else name
    if path.lower() != path:
        raise InvalidName(f"invalid reference format: repository name ({path}) must be lowercase")
    found = _REFERENCE.fullmatch(f"{domain}/{rest}")
    if found is None or found[1] is None:
        raise InvalidName("invalid reference format")
    if len(found[2]) > LONGEST:
        raise InvalidName(f"repository name must not be more than {LONGEST} characters")
    digest = found[4] or ""
    algorithm, _, value = digest.partition(":")
    if digest and len(value) != _LENGTHS.get(algorithm, 0):
        known = algorithm in _LENGTHS
        raise InvalidName("invalid checksum digest length" if known else "unsupported digest algorithm")
    return Reference(found[1], found[2], found[3] or "", digest)


def _split(text: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    local = first == "localhost" or first.lower() != first
    if not slash or not ("." in first or ":" in first or local):
        domain, rest = HUB, text
    else:
        domain = HUB if first == OLD_HUB else first
    if domain == HUB and "/" not in rest:
        rest = LIBRARY + rest
    return domain, rest


def with_tag(text: str) -> str:
    """The name as it is handed to the runtime: as written, with a tag where it has neither tag nor digest.

    Raises:
        InvalidName: with the reason.
    """
    if is_id(text):
        return text
    found = parse(text)
    return text if found.tag or found.digest else f"{text}:latest"
