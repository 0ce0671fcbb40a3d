"""ConfigMap: configuration that pods read.

Source: https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/config-map-v1/
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from navarch.base.errors import Cause
from navarch.kinds.data_rules import DATA_MAX_BYTES, decoded_bytes, frozen, keys, text_bytes
from navarch.kinds.kind import Column, Kind
from navarch.kinds.rules import Faults
from navarch.kinds.view import ObjectMeta, View
from navarch.objects.value import Document


class ConfigMap(View, frozen=True):
    """binary_data: base64, as it stands in the document."""

    metadata: ObjectMeta = ObjectMeta()
    data: dict[str, str] = {}
    binary_data: dict[str, str] = {}
    immutable: bool = False


def rules(new: Document, old: Document | None) -> Iterable[Cause]:
    faults = Faults()
    frozen(faults, new, old, "data", "binaryData")
    text: Document = new.get("data") or {}
    binary: Document = new.get("binaryData") or {}
    keys(faults, text, "data")
    keys(faults, binary, "binaryData")
    for key in sorted(text.keys() & binary.keys()):
        faults.invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
    if text_bytes(text) + decoded_bytes(binary) > DATA_MAX_BYTES:
        faults.too_long("[]", DATA_MAX_BYTES)  # how Kubernetes writes the path of the object itself
    return faults.causes


def _entries(document: Document, now: datetime) -> int:
    return len(document.get("data") or ()) + len(document.get("binaryData") or ())


CONFIGMAP = Kind(
    group="",
    version="v1",
    name="ConfigMap",
    plural="configmaps",
    short=("cm",),
    view=ConfigMap,
    rules=rules,
    counts_generation=False,
    columns=(Column("Data", _entries, description="How many entries it has."),),
)
