"""Secret: configuration that not everybody may read.

Source: https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/secret-v1/
"""

from __future__ import annotations

import base64
from datetime import datetime

from navarch.kinds.kind import Column, Kind
from navarch.kinds.view import ObjectMeta, View
from navarch.objects.value import Document, Draft

OPAQUE = "Opaque"


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


def _entries(document: Document, now: datetime) -> int:
    return len(document.get("data") or ())


SECRET = Kind(
    group="",
    version="v1",
    name="Secret",
    plural="secrets",
    view=Secret,
    default=default,
    counts_generation=False,
    columns=(
        Column("Type", ".type", description="What sort of secret it is."),
        Column("Data", _entries, description="How many entries it has."),
    ),
    fields={"type": ("type",)},
)
