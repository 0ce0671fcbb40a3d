"""The authority that certificates for the way in are issued by, as it stands in its Secret. Pure.

The Secret is of the type `kubernetes.io/tls`: `tls.crt` and `tls.key` sign; `ca.crt` is what clients trust; `next.crt`
and `next.key` are announced in `ca.crt`, and will sign. One that a person made needs the first two only, and is never
changed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field
from datetime import datetime

from navarch.base.certificate import read_pem
from navarch.base.pki import Pair, matches
from navarch.kinds.object import Object

OWN = "navarch.dev/authority"
"""The label of the one that is kept here."""
CERTIFICATE, PRIVATE, TRUSTED, NEXT_CERTIFICATE, NEXT_PRIVATE = "tls.crt", "tls.key", "ca.crt", "next.crt", "next.key"
DIGEST_LENGTH = 32
_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Root:
    """pair: what signs; its key is in no `repr`. ends: when it holds no longer. digest: of its certificate. chain: what
    is shown behind a certificate (PEM, "" for nothing). bundle: what clients trust (PEM). known: digests of the
    bundle."""

    pair: Pair = field(repr=False)
    ends: datetime
    digest: str
    bundle: str
    chain: str = ""
    known: frozenset[str] = frozenset()


def blocks(text: str) -> tuple[str, ...]:
    """The certificates of a PEM file, one by one, each once."""
    return tuple(dict.fromkeys(f"{block}\n" for block in _BLOCK.findall(text)))


def digest_of(block: str) -> str:
    """block: the certificate as PEM."""
    body = "".join(block.split("-----")[2].split())
    return hashlib.sha256(body.encode()).hexdigest()[:DIGEST_LENGTH]


def data_of(secret: Object) -> dict[str, bytes]:
    """Without what is no base64, which the API server does not take."""
    found = {}
    for name, text in secret.view.data.items():
        try:
            found[name] = base64.b64decode(text, validate=True)
        except binascii.Error:
            continue
    return found


def encoded(**parts: bytes | str) -> dict[str, str]:
    """For a Secret's data; `tls_crt` is `tls.crt`."""
    raw = {name.replace("_", "."): text.encode() if isinstance(text, str) else text for name, text in parts.items()}
    return {name: base64.b64encode(text).decode() for name, text in raw.items()}


def pair_of(secret: Object, certificate: str = CERTIFICATE, key: str = PRIVATE) -> Pair | None:
    """None where they are not there, or do not belong together."""
    data = data_of(secret)
    pair = Pair(data.get(certificate, b""), data.get(key, b""))
    return pair if matches(pair) else None


def root_of(secret: Object) -> Root:
    """Raises: ValueError: nothing can be signed with it, and why."""
    pair = pair_of(secret)
    if pair is None:
        raise ValueError(f"{CERTIFICATE} and {PRIVATE} are no certificate with its key")
    said = read_pem(pair.certificate)
    if not said.authority:
        raise ValueError(f"{CERTIFICATE} is not the certificate of an authority")
    own = blocks(pair.certificate.decode())
    trusted = blocks(data_of(secret).get(TRUSTED, b"").decode(errors="replace")) or own[-1:]
    return Root(
        pair,
        said.not_after,
        digest_of(own[0]),
        "".join(trusted),
        "".join(block for block in own if block not in trusted),
        frozenset(map(digest_of, (*own, *trusted))),
    )


def is_own(secret: Object) -> bool:
    return OWN in secret.labels
