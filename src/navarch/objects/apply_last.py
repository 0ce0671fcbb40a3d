"""Moving from client-side to server-side apply: the annotation in which `kubectl apply` remembers what it applied.

Client-side apply owns its fields as an updater, so the first server-side apply of the same user would be in conflict
with itself. For the manager `kubectl` alone, fields that the annotation names and that are still as it says may be
taken over; and where there is an annotation, it is kept current, so that one can go back.

Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/#upgrading-from-client-side-apply-to-server-side-apply
"""

from __future__ import annotations

import orjson

from navarch.base.errors import BadRequest
from navarch.objects.apply_fields import applied, compare
from navarch.objects.apply_sets import FieldSet, difference
from navarch.objects.shape import Shape
from navarch.objects.value import Document, dig

MANAGER = "kubectl"
ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
MAX_ANNOTATIONS_BYTES = 256 * 1024


def takeable(shape: Shape, live: Document) -> FieldSet:
    """The fields of the last client-side apply that nobody has changed since."""
    text = dig(live, "metadata", "annotations", ANNOTATION, default="")
    try:
        last = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(last, dict) or last.get("apiVersion") != live.get("apiVersion"):
        return {}
    try:
        changed, removed = compare(shape, last, live)
        return difference(difference(applied(shape, last), changed), removed)
    except BadRequest:  # somebody wrote nonsense into the annotation
        return {}


def remembered(result: Document, config: Document) -> Document:
    """`result` with the annotation, if it has one, saying what `config` says."""
    annotations = dig(result, "metadata", "annotations", default={})
    if ANNOTATION not in annotations:
        return result
    text = orjson.dumps(_plain(config)).decode() + "\n"
    if len(text) + sum(len(key) + len(value) for key, value in annotations.items()) > MAX_ANNOTATIONS_BYTES:
        text = ""
    metadata = {**result["metadata"], "annotations": {**annotations, ANNOTATION: text}}
    return {**result, "metadata": metadata}


def _plain(config: Document) -> Document:
    """Without the annotation itself."""
    annotations = dig(config, "metadata", "annotations", default={})
    if ANNOTATION not in annotations:
        return config
    others = {key: value for key, value in annotations.items() if key != ANNOTATION}
    return {**config, "metadata": {**config["metadata"], "annotations": others}}
