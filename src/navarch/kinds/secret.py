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
REQUIRED_KEYS = {
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}
JSON_KEYS = {
    "kubernetes.io/dockercfg": ".dockercfg",
    "kubernetes.io/dockerconfigjson": ".dockerconfigjson",
}


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


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    data: Document = new.get("data") or {}
    keys(faults, data, "data")
    if decoded_bytes(data) > DATA_MAX_BYTES:
        faults.too_long("data", DATA_MAX_BYTES)
    type_ = new.get("type", OPAQUE)
    for key in REQUIRED_KEYS.get(type_, ()):
        if key not in data:
            faults.required(f"data[{key}]")
    if type_ in JSON_KEYS:
        _json(faults, data, JSON_KEYS[type_])
    if type_ == BASIC_AUTH and not data.keys() & {"username", "password"}:
        faults.required("data[username]")
        faults.required("data[password]")
    if type_ == ACCOUNT_TOKEN and not dig(new, "metadata", "annotations", ACCOUNT_NAME):
        faults.required(f"metadata.annotations[{ACCOUNT_NAME}]")
    if old is not None:
        faults.immutable("type", type_, old.get("type", OPAQUE))
    frozen(faults, new, old, "data")
    return faults.causes


def _json(faults: Faults, data: Document, key: str) -> None:
    """A list of registries' passwords, which is JSON; the message never shows what it is."""
    if key not in data:
        faults.required(f"data[{key}]")
        return
    try:
        orjson.loads(base64.b64decode(data[key]))
    except ValueError as error:
        faults.invalid(f"data[{key}]", "<secret contents redacted>", str(error))


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
    counts_generation=False,
    columns=(
        Column("Type", ".type", description="What sort of secret it is."),
        Column("Data", _entries, description="How many entries it has."),
    ),
    fields={"type": ("type",)},
)
