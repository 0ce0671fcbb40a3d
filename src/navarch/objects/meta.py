"""Metadata as controllers edit it: owner references, finalizers, labels and annotations.

All functions are pure and return new values that share what did not change. What the API server fills in (uid,
creationTimestamp, generation) is not here.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/owners-dependents/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from navarch.objects.value import ABSENT, Document, dig

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


def owner_reference(owner: Document, *, controller: bool = True, blocks: bool = True) -> dict[str, Any]:
    """A reference to the object of this document, which must carry apiVersion, kind, name and uid.

    controller: it manages the dependent. blocks: foreground deletion of the owner waits for the dependent.
    """
    found: dict[str, Any] = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }
    if controller:
        found["controller"] = True
    if blocks:
        found["blockOwnerDeletion"] = True
    return found


def owner_references(document: Document) -> Sequence[dict[str, Any]]:
    found: Sequence[dict[str, Any]] = dig(document, "metadata", "ownerReferences", default=())
    return found


def controller_of(document: Document) -> dict[str, Any] | None:
    """The reference to the owner that manages this object."""
    return next((owner for owner in owner_references(document) if owner.get("controller")), None)


def is_controlled_by(document: Document, owner: Document) -> bool:
    controller = controller_of(document)
    return controller is not None and controller["uid"] == owner["metadata"]["uid"]


def owned(document: Document, reference: Mapping[str, Any]) -> Document:
    """The document with the reference in it, in the place of an older one to the same uid."""
    others = [owner for owner in owner_references(document) if owner.get("uid") != reference["uid"]]
    return with_metadata(document, ownerReferences=[*others, dict(reference)])


def disowned(document: Document, uids: Iterable[str]) -> Document:
    """The document without references to these uids."""
    gone = frozenset(uids)
    left = [owner for owner in owner_references(document) if owner.get("uid") not in gone]
    return with_metadata(document, ownerReferences=left or ABSENT)


def finalizers(document: Document) -> Sequence[str]:
    found: Sequence[str] = dig(document, "metadata", "finalizers", default=())
    return found


def with_finalizer(document: Document, finalizer: str) -> Document:
    """The document with the finalizer; the same one when it has it already."""
    present = finalizers(document)
    return document if finalizer in present else with_metadata(document, finalizers=[*present, finalizer])


def without_finalizer(document: Document, finalizer: str) -> Document:
    """The document without the finalizer; the same one when it never had it."""
    present = finalizers(document)
    if finalizer not in present:
        return document
    return with_metadata(document, finalizers=[name for name in present if name != finalizer] or ABSENT)


def labels_of(document: Document) -> Mapping[str, str]:
    found: Mapping[str, str] = dig(document, "metadata", "labels", default={})
    return found


def annotations_of(document: Document) -> Mapping[str, str]:
    found: Mapping[str, str] = dig(document, "metadata", "annotations", default={})
    return found


def with_labels(document: Document, values: Mapping[str, str | None]) -> Document:
    """Labels added or changed; None takes one away."""
    return with_metadata(document, labels=_edited(labels_of(document), values))


def with_annotations(document: Document, values: Mapping[str, str | None]) -> Document:
    """Annotations added or changed; None takes one away."""
    return with_metadata(document, annotations=_edited(annotations_of(document), values))


def with_metadata(document: Document, **fields: Any) -> Document:
    """Fields of the metadata replaced; `ABSENT` takes one away."""
    metadata = {**dig(document, "metadata", default={}), **fields}
    return {**document, "metadata": {key: value for key, value in metadata.items() if value is not ABSENT}}


def is_terminating(document: Document) -> bool:
    return dig(document, "metadata", "deletionTimestamp") is not None


def reference(document: Document) -> dict[str, str]:
    """An ObjectReference to the object of this document, as events carry; empty parts are left out."""
    metadata = document.get("metadata", {})
    found = {
        "kind": document.get("kind", ""),
        "namespace": metadata.get("namespace", ""),
        "name": metadata.get("name", ""),
        "uid": metadata.get("uid", ""),
        "apiVersion": document.get("apiVersion", ""),
        "resourceVersion": metadata.get("resourceVersion", ""),
    }
    return {key: value for key, value in found.items() if value}


def _edited(present: Mapping[str, str], values: Mapping[str, str | None]) -> Any:
    merged = {**present, **values}
    return {key: value for key, value in merged.items() if value is not None} or ABSENT
