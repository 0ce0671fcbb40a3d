"""The scale subresource: the one number of a workload that autoscalers and `kubectl scale` change.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/ (operations on scale)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from navarch.apiserver import bodies, decode, ownership, refusals
from navarch.apiserver.context import Context
from navarch.apiserver.options import Intent
from navarch.apiserver.verb_read import get
from navarch.apiserver.verb_update import change
from navarch.base.errors import Cause, UnsupportedMediaType
from navarch.kinds import SCALE
from navarch.kinds.kind import Kind
from navarch.kinds.object import Object
from navarch.kinds.schema import schema_for
from navarch.objects import patch as algorithms
from navarch.objects import selector
from navarch.objects.patch_strategic import strategic
from navarch.objects.value import Document, Draft, dig

KEPT = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def _path(text: str) -> tuple[str, ...]:
    return tuple(text.strip(".").split("."))


def of(kind: Kind, document: Document) -> Document:
    """The Scale of a workload."""
    assert kind.scale is not None
    wanted, has, chosen = kind.scale
    metadata = {name: document["metadata"][name] for name in KEPT if name in document["metadata"]}
    status: Document = {"replicas": dig(document, *_path(has), default=0)}
    labels = dig(document, *_path(chosen)) if chosen else None
    if isinstance(labels, str):  # a custom resource writes it as text
        status["selector"] = labels
    elif isinstance(labels, dict):
        if "matchLabels" in labels or "matchExpressions" in labels:
            status["selector"] = str(selector.from_document(labels))
        else:
            status["selector"] = str(selector.from_labels(labels))
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": dig(document, *_path(wanted), default=0)},
        "status": status,
    }


async def get_scale(context: Context, intent: Intent) -> Document:
    """Raises: NotFound."""
    return of(intent.judge, (await get(context.state, intent.judge, intent.namespace, intent.name)).document())


async def put_scale(context: Context, intent: Intent, written: Document) -> Document:
    """Raises: NotFound, Conflict, Invalid."""
    replicas = _checked(intent, written)
    found = await change(context, intent, lambda stored: _scaled(intent.judge, stored, written, replicas))
    return await _shown(context, intent, found)


async def patch_scale(context: Context, intent: Intent, media_type: str, wanted: Any) -> Document:
    """Raises: NotFound, Conflict, Invalid, BadRequest, UnsupportedMediaType."""

    now, kinds, known = context.state.clock.now(), context.state.kinds, ownership.Known()

    def patched(stored: Document) -> Document:
        if media_type == bodies.APPLY_YAML:
            return _applied(intent, wanted, lambda draft: ownership.applied(intent, stored, draft, now, kinds, known))
        before = of(intent.judge, stored)
        if media_type == bodies.JSON_PATCH:
            after = algorithms.json_patch(before, wanted)
        elif media_type == bodies.MERGE_PATCH:
            after = algorithms.merge_patch(before, wanted)
        elif media_type == bodies.STRATEGIC_PATCH:
            after = strategic(before, wanted, schema_for(SCALE))
        else:
            raise UnsupportedMediaType(f"{media_type} is no kind of patch that is known here")
        checked = decode.of_kind(SCALE, after, intent.validation, intent.warnings)
        return _scaled(intent.judge, stored, checked, _checked(intent, checked))

    return await _shown(context, intent, await change(context, intent, patched))


def _applied(intent: Intent, wanted: Document, laid: Callable[[Document], Document]) -> Document:
    """The workload after its Scale was applied: as if the one field had been applied to itself. laid: applies that.

    Raises: BadRequest, Invalid, Conflict (others own the number, and the intent does not force it).
    """
    kind = intent.judge
    assert kind.scale is not None
    checked = decode.of_kind(SCALE, wanted, intent.validation, intent.warnings)
    draft = Draft({"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": intent.name}})
    if dig(checked, "spec", "replicas") is not None:
        draft.set(_checked(intent, checked), *_path(kind.scale[0]))
    for field in ("uid", "resourceVersion"):
        if value := dig(checked, "metadata", field):
            draft.set(value, "metadata", field)
    return laid(draft.document)


def _checked(intent: Intent, written: Document) -> int:
    replicas = dig(written, "spec", "replicas", default=0)
    if replicas < 0:
        message = f"Invalid value: {replicas}: must be greater than or equal to 0"
        raise refusals.invalid(SCALE, intent.name, [Cause("FieldValueInvalid", message, "spec.replicas")])
    return int(replicas)


def _scaled(kind: Kind, stored: Document, written: Document, replicas: int) -> Document:
    assert kind.scale is not None
    draft = Draft(stored)
    draft.set(replicas, *_path(kind.scale[0]))
    for field in ("uid", "resourceVersion"):  # what the writer says it saw
        if value := dig(written, "metadata", field):
            draft.set(value, "metadata", field)
    return draft.document


async def _shown(context: Context, intent: Intent, found: Object) -> Document:
    if intent.kind.conversion is not None:
        found = await context.state.conversions.one(intent.shown, found)
    return of(intent.judge, found.document())
