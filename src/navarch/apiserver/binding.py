"""pods/binding: a scheduler's decision, written once and never again.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/binding-v1/
"""

from __future__ import annotations

from datetime import datetime

from navarch.apiserver import refusals
from navarch.apiserver.context import Context
from navarch.apiserver.direct import edit
from navarch.apiserver.options import Intent
from navarch.apiserver.prepare import posted
from navarch.base.errors import Cause, Conflict
from navarch.kinds import BINDING
from navarch.objects import condition
from navarch.objects.value import Document, Draft, dig

SUCCESS: Document = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


async def bind(context: Context, intent: Intent, binding: Document) -> Document:
    """Set the pod's node. Raises: NotFound, Conflict (bound or being deleted), Invalid."""
    binding = await posted(context.state, context.plugins, intent, BINDING, binding)
    node = dig(binding, "target", "name") or ""
    kind = dig(binding, "target", "kind") or "Node"
    causes = []
    if kind != "Node":
        message = f'Unsupported value: "{kind}": supported values: "Node", "<empty>"'
        causes.append(Cause("FieldValueNotSupported", message, "target.kind"))
    if not node:
        causes.append(Cause("FieldValueRequired", "Required value", "target.name"))
    if causes:
        raise refusals.invalid(BINDING, intent.name, causes)
    now = context.state.clock.now()
    await edit(
        context.state,
        intent.kind,
        intent.namespace,
        intent.name,
        lambda draft: _bind(draft, binding, node, now),
        dry_run=intent.dry_run,
    )
    return SUCCESS


def _bind(draft: Draft, binding: Document, node: str, now: datetime) -> None:
    name = draft.get("metadata", "name")
    uid, revision = dig(binding, "metadata", "uid"), dig(binding, "metadata", "resourceVersion")
    if uid and uid != draft.get("metadata", "uid"):
        raise _refused(name, f"Precondition failed: UID in precondition: {uid}, UID in object meta differs")
    if revision and revision != draft.get("metadata", "resourceVersion"):
        raise _refused(name, f"Precondition failed: ResourceVersion in precondition: {revision}")
    if draft.get("metadata", "deletionTimestamp"):
        raise _refused(name, f"pod {name} is being deleted, cannot be assigned to a host")
    if bound := draft.get("spec", "nodeName"):
        raise _refused(name, f'pod {name} is already assigned to node "{bound}"')
    if draft.get("spec", "schedulingGates"):
        raise _refused(name, f"pod {name} has non-empty .spec.schedulingGates")
    draft.set(node, "spec", "nodeName")
    for part in ("annotations", "labels"):
        for key, value in (dig(binding, "metadata", part) or {}).items():
            draft.set(value, "metadata", part, key)
    scheduled = {"type": "PodScheduled", "status": "True"}
    draft.set(condition.set(draft.get("status", "conditions"), scheduled, now), "status", "conditions")


def _refused(name: str, why: str) -> Conflict:
    message = f'Operation cannot be fulfilled on pods/binding "{name}": {why}'
    return Conflict(message, kind="pods/binding", name=name)
