"""Secret: configuration that not everybody may read.

Source: https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/secret-v1/
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from datetime import datetime

import orjson

from navarch.base.errors import Cause
from navarch.kinds.data_rules import DATA_MAX_BYTES, decoded_bytes, frozen, keys
from navarch.kinds.kind import Column, Kind
from navarch.kinds.rules import Faults
from navarch.kinds.view import ObjectMeta, View
from navarch.objects.value import Document, Draft, dig

OPAQUE = "Opaque"
BASIC_AUTH = "kubernetes.io/basic-auth"
ACCOUNT_TOKEN = "kubernetes.io/service-account-token"
ACCOUNT_NAME = "kubernetes.io/service-account.name"
TOKEN_LAST_USED = "kubernetes.io/legacy-token-last-used"
TOKEN_INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since"
TOKEN_TRACKING = "kube-apiserver-legacy-service-account-token-tracking"
"""The ConfigMap in kube-system that says since when the use of tokens in Secrets is noted."""
SSH_AUTH = "kubernetes.io/ssh-auth"
TLS = "kubernetes.io/tls"
TLS_KEYS = ("tls.crt", "tls.key")
JSON_KEYS = {
    "kubernetes.io/dockercfg": ".dockercfg",
    "kubernetes.io/dockerconfigjson": ".dockerconfigjson",
}


JSON_TYPES = {bool: "bool", int: "number", float: "number", str: "string", list: "array"}
"""What is no mapping, as Kubernetes' parser calls it."""


class Secret(View, frozen=True):
    """data: base64, as it stands in the document."""

    metadata: ObjectMeta = ObjectMeta()
    type: str = OPAQUE
    data: dict[str, str] = {}
    immutable: bool = False


def default(draft: Draft) -> None:
    """`stringData` is a way to write, never stored: it goes over `data`, encoded."""
    if not draft.get("type"):
        draft.set(OPAQUE, "type")
    plain = draft.get("stringData")
    if plain is not None:
        for key, text in plain.items():
            draft.set(base64.b64encode(text.encode()).decode(), "data", key)
        draft.remove("stringData")


def warn(new: Document, old: Document | None) -> Iterable[str]:
    """Of a certificate and a key that do not belong together."""
    data: Document = new.get("data") or {}
    if new.get("type") != TLS or (old is not None and data == old.get("data")):
        return ()
    if problem := _no_pair(*(base64.b64decode(data.get(key, "")) for key in TLS_KEYS)):
        return (problem,)
    return ()


def _no_pair(certificate: bytes, key: bytes) -> str:
    """In the words of the TLS library that Kubernetes is built with."""
    if b"-----BEGIN" not in certificate:
        return "tls: failed to find any PEM data in certificate input"
    if b"-----BEGIN" not in key:
        return "tls: failed to find any PEM data in key input"
    from cryptography import x509  # a heavy import, for few secrets
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        owner = x509.load_pem_x509_certificate(certificate).public_key()
    except ValueError as error:
        return f"x509: malformed certificate: {error}"
    try:
        private = load_pem_private_key(key, None)
    except (TypeError, ValueError):
        return "tls: failed to parse private key"
    public = private.public_key()
    if type(public) is not type(owner):
        return "tls: private key type does not match public key type"
    return "" if public == owner else "tls: private key does not match public key"


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    if old is not None:
        faults.immutable("type", new.get("type", OPAQUE), old.get("type", OPAQUE))
        frozen(faults, new, old, "data")
    data: Document = new.get("data") or {}
    keys(faults, data, "data")
    if decoded_bytes(data) > DATA_MAX_BYTES:
        faults.too_long("data", DATA_MAX_BYTES)
    type_ = new.get("type", OPAQUE)
    for key in TLS_KEYS if type_ == TLS else ():
        if key not in data:
            faults.required(f"data[{key}]")
    if type_ == SSH_AUTH and not data.get("ssh-privatekey"):
        faults.required("data[ssh-privatekey]")
    if type_ in JSON_KEYS:
        _json(faults, data, JSON_KEYS[type_])
    if type_ == BASIC_AUTH and not data.keys() & {"username", "password"}:
        faults.required("data[username]")
        faults.required("data[password]")
    if type_ == ACCOUNT_TOKEN and not dig(new, "metadata", "annotations", ACCOUNT_NAME):
        faults.required(f"metadata.annotations[{ACCOUNT_NAME}]")
    return faults.causes


def _json(faults: Faults, data: Document, key: str) -> None:
    """A mapping of registries to passwords in JSON; the message never shows what it is."""
    if key not in data:
        faults.required(f"data[{key}]")
        return
    text = base64.b64decode(data[key])
    try:
        found = orjson.loads(text)
    except ValueError as error:
        problem = str(error) if text.strip() else "unexpected end of JSON input"
    else:
        type_ = JSON_TYPES.get(type(found))
        problem = f"json: cannot unmarshal {type_} into Go value of type map[string]interface {{}}" if type_ else ""
    if problem:
        faults.invalid(f"data[{key}]", "<secret contents redacted>", problem)


def _entries(document: Document, now: datetime) -> int:
    return len(document.get("data") or ())


SECRET = Kind(
    group="",
    version="v1",
    name="Secret",
    plural="secrets",
    view=Secret,
    default=default,
    rules=rules,
    warn=warn,
    counts_generation=False,
    columns=(
        Column("Type", ".type", description="What sort of secret it is."),
        Column("Data", _entries, description="How many entries it has."),
    ),
    fields={"type": ("type",)},
)
