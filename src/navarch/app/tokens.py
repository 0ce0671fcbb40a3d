"""Bootstrap tokens as a person handles them on the server's machine: made, listed, deleted, over its own socket.

Source: https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from navarch.app import ask
from navarch.app.layout import Layout, Settings, load_settings
from navarch.app.provision import NotProvisioned
from navarch.base.clock import Ids
from navarch.kinds import SECRET, bootstraptoken
from navarch.kinds.bootstraptoken import NODE_GROUP, USAGES, Token
from navarch.kinds.object import Object

SECRETS = f"/api/v1/namespaces/{bootstraptoken.NAMESPACE}/secrets"
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
WHOLE = 256 - 256 % len(ALPHABET)
LIFE = timedelta(hours=24)


def new_text(ids: Ids) -> str:
    """`id.secret`, of which every character is as likely as every other."""
    found = ""
    while len(found) < 22:
        found += "".join(ALPHABET[byte % len(ALPHABET)] for byte in ids.secret(32) if byte < WHOLE)
    return f"{found[:6]}.{found[6:22]}"


def make(
    text: str,
    now: datetime,
    life: timedelta = LIFE,
    *,
    usages: Sequence[str] = USAGES,
    groups: Sequence[str] = (NODE_GROUP,),
    description: str = "",
) -> Token:
    """life: 0 for one that does not end. Raises: ValueError, saying which part is no good."""
    parts = bootstraptoken.split(text)
    if parts is None:
        raise ValueError(
            f"{text!r} is no token: one is 6 and 16 of a-z and 0-9 with a dot between, as abcdef.0123456789abcdef"
        )
    if wrong := [usage for usage in usages if usage not in USAGES]:
        raise ValueError(f"no usage is called {wrong[0]!r}: there are {' and '.join(USAGES)}")
    if bad := [group for group in groups if not bootstraptoken.good_group(group)]:
        raise ValueError(f"{bad[0]!r} can be no group of a token: it must begin with system:bootstrappers:")
    return Token(*parts, now + life if life else None, tuple(usages), tuple(groups), description)


def settings_of(layout: Layout) -> Settings:
    """Of the cluster whose server is here. Raises: NotProvisioned."""
    settings = load_settings(layout)
    if settings is None or settings.server:
        raise NotProvisioned("there is no server on this machine: do this where `navarch up` was called")
    return settings


def create(layout: Layout, token: Token) -> None:
    """Raises: NotProvisioned, Unavailable."""
    status, said = ask.ask(layout.server_socket, SECRETS, method="POST", body=bootstraptoken.secret_of(token))
    if status == 409:
        raise NotProvisioned(f"a token {token.id} is there already: `navarch token delete {token.id}` removes it")
    _check(status, said)


def listed(layout: Layout) -> list[Token]:
    """Those that count, by their ids. Raises: NotProvisioned, Unavailable."""
    status, said = ask.ask(layout.server_socket, f"{SECRETS}?fieldSelector=type%3D{bootstraptoken.TYPE}")
    _check(status, said)
    found = (bootstraptoken.read(Object.of(SECRET, {**SECRET_HEAD, **item})) for item in said["items"])
    return sorted((token for token in found if token is not None), key=lambda one: one.id)


SECRET_HEAD = {"apiVersion": "v1", "kind": "Secret"}


def delete(layout: Layout, id_or_token: str) -> str:
    """Its id. Raises: NotProvisioned, Unavailable."""
    id_ = id_or_token.partition(".")[0]
    target = f"{SECRETS}/{bootstraptoken.PREFIX}{id_}"
    if len(id_) != 6 or not id_.isalnum():
        raise NotProvisioned(f"{id_or_token!r} is neither a token nor the id of one: `navarch token list` shows them")
    status, said = ask.ask(layout.server_socket, target, method="DELETE")
    if status == 404:
        raise NotProvisioned(f"there is no token {id_}: `navarch token list` shows those that there are")
    _check(status, said)
    return id_


def _check(status: int, said: Any) -> None:
    if status >= 300:
        message = said.get("message", said) if isinstance(said, dict) else said
        raise NotProvisioned(f"the server refuses: {message}")


def join_command(layout: Layout, settings: Settings, token: Token, program: str = "navarch") -> str:
    """What to type on another machine."""
    return f"{program} join {settings.public_url} --token {token.text} --ca-hash {hash_of(layout.pki / 'ca.crt')}"


def hash_of(certificate: Path) -> str:
    """Of the public key that a certificate holds, as other tools write it: `sha256:` and hexadecimal."""
    return key_hash(certificate.read_bytes())


def key_hash(pem: bytes) -> str:
    """Raises: ValueError: it is no certificate."""
    import hashlib

    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = x509.load_pem_x509_certificate(pem).public_key()
    return "sha256:" + hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
