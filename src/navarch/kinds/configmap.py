"""ConfigMap: configuration that pods read.

Source: https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/config-map-v1/
"""

from __future__ import annotations

from datetime import datetime

from navarch.kinds.kind import Column, Kind
from navarch.kinds.view import ObjectMeta, View
from navarch.objects.value import Document


class ConfigMap(View, frozen=True):
    """binary_data: base64, as it stands in the document."""

    metadata: ObjectMeta = ObjectMeta()
    data: dict[str, str] = {}
    binary_data: dict[str, str] = {}
    immutable: bool = False


def _entries(document: Document, now: datetime) -> int:
    return len(document.get("data") or ()) + len(document.get("binaryData") or ())


CONFIGMAP = Kind(
    group="",
    version="v1",
    name="ConfigMap",
    plural="configmaps",
    short=("cm",),
    view=ConfigMap,
    counts_generation=False,
    columns=(Column("Data", _entries, description="How many entries it has."),),
)
