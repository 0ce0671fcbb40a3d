"""Bootstrap tokens: Secrets in kube-system that let a new machine say who it is, until it has a certificate.

Here is what such a Secret means; the API server asks it of each request, controllers sign with it and clear it away.

Source: https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from navarch.kinds.object import Object
from navarch.objects.value import Document

TYPE = "bootstrap.kubernetes.io/token"
NAMESPACE = "kube-system"
PREFIX = "bootstrap-token-"
USER = "system:bootstrap:"
GROUP = "system:bootstrappers"
NODE_GROUP = "system:bootstrappers:kubeadm:default-node-token"
"""The group of tokens that new nodes join with, as other tools name it."""
AUTHENTICATION, SIGNING = "authentication", "signing"
USAGES = (AUTHENTICATION, SIGNING)
INFO_NAMESPACE, INFO = "kube-public", "cluster-info"
"""The ConfigMap that says where the cluster is, readable by whoever reaches it and signed with each token."""
INFO_KEY = "kubeconfig"
SIGNATURE = "jws-kubeconfig-"
"""What a token's signature is called in it, before the token's id."""
_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})", re.ASCII)
_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]", re.ASCII)


@dataclass(frozen=True, slots=True)
class Token:
    """expires: None for one that does not."""

    id: str
    secret: str
    expires: datetime | None = None
    usages: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    description: str = ""

    @property
    def text(self) -> str:
        return f"{self.id}.{self.secret}"

    def over(self, now: datetime) -> bool:
        return self.expires is not None and self.expires <= now


def split(token: str) -> tuple[str, str] | None:
    """Id and secret; None for what is no bootstrap token."""
    found = _TOKEN.fullmatch(token)
    return (found[1], found[2]) if found else None


def read(found: Object) -> Token | None:
    """What a Secret says; None for one that is no token that counts: of another type, name or place, or gone bad."""
    if found.namespace != NAMESPACE or found.view.type != TYPE or found.view.metadata.deletion_timestamp is not None:
        return None
    data: Mapping[str, str] = found.view.data
    id_, secret = _text(data, "token-id"), _text(data, "token-secret")
    if found.name != PREFIX + id_ or split(f"{id_}.{secret}") is None:
        return None
    try:
        expires = end_of(data)
    except ValueError:
        return None
    groups = tuple(filter(None, _text(data, "auth-extra-groups").split(",")))
    if not all(_GROUP.fullmatch(group) for group in groups):
        return None
    usages = tuple(usage for usage in USAGES if _text(data, f"usage-bootstrap-{usage}") == "true")
    return Token(id_, secret, expires, usages, groups, _text(data, "description"))


def end_of(data: Mapping[str, str]) -> datetime | None:
    """When a token's data says that it ends; None where it says nothing. Raises: ValueError, for what is no time."""
    text = _text(data, "expiration")
    if not text:
        return None
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"{text!r} names no time zone")
    return found.astimezone(UTC)


def good_group(name: str) -> bool:
    return _GROUP.fullmatch(name) is not None


def secret_of(token: Token) -> Document:
    data = {"token-id": token.id, "token-secret": token.secret, "description": token.description}
    if token.expires is not None:
        data["expiration"] = token.expires.strftime("%Y-%m-%dT%H:%M:%SZ")
    data["auth-extra-groups"] = ",".join(token.groups)
    data |= {f"usage-bootstrap-{usage}": "true" for usage in token.usages}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": PREFIX + token.id, "namespace": NAMESPACE},
        "type": TYPE,
        "stringData": {key: value for key, value in data.items() if value},
    }


def _text(data: Mapping[str, str], key: str) -> str:
    try:
        return base64.b64decode(data.get(key, ""), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
