"""Rules that ConfigMap and Secret share: keys, size, and the promise never to change.

Source: https://kubernetes.io/docs/concepts/configuration/configmap/
"""

from __future__ import annotations

from navarch.kinds.rules import Faults
from navarch.objects import names
from navarch.objects.value import Document

DATA_MAX_BYTES = 1024 * 1024
FROZEN = "field is immutable when `immutable` is set"


def keys(faults: Faults, found: Document, field: str) -> None:
    for key in found:
        if messages := names.config_key(key):
            faults.checked(f"{field}[{key}]", key, messages)


def text_bytes(found: Document) -> int:
    return sum(len(value.encode()) for value in found.values())


def decoded_bytes(found: Document) -> int:
    """Of base64 texts, without decoding them."""
    return sum(len(value) * 3 // 4 - value[-2:].count("=") for value in found.values())


def frozen(faults: Faults, new: Document, old: Document | None, *fields: str) -> None:
    """An object that says `immutable` keeps its data, and keeps saying so."""
    if not (old or {}).get("immutable") or old is None:
        return
    if not new.get("immutable"):
        faults.forbidden("immutable", FROZEN)
    for field in fields:
        if (new.get(field) or {}) != (old.get(field) or {}):
            faults.forbidden(field, FROZEN)
