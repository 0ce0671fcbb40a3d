"""Namespace: when one is deleted, everything in it goes, pods first; then the namespace itself.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/, KEP-5080
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from navarch.client.client import Client
from navarch.controllers.controller import Cache, Controller, Watch, custom_watches, own_key
from navarch.controllers.options import Setup
from navarch.controllers.plan import Action, Delete, Failure, Plan, Status, Update
from navarch.kinds import EVENT, NAMESPACE, POD
from navarch.kinds.kind import Kind
from navarch.kinds.namespace import FINALIZER
from navarch.kinds.object import Object
from navarch.objects import condition
from navarch.objects.value import Document

LOOK_AGAIN_S = 5.0
"""While a namespace is being emptied, for what goes without a sign."""


@dataclass(frozen=True, slots=True)
class Observed:
    """content: by kind, what the API itself still has in it; caches may be behind."""

    namespace: Object
    content: Mapping[Kind, Sequence[Object]] = field(default_factory=dict)


def controller(setup: Setup) -> Controller[Observed]:
    def emptied() -> list[Kind]:
        return [kind for kind in setup.kinds.stored() if kind.namespaced and "delete" in kind.verbs]

    def watch_of(kind: Kind) -> Watch | None:
        return Watch(kind, _terminating_namespace, _never) if kind.namespaced else None

    async def confirm(client: Client, observed: Observed) -> Observed:
        content: dict[Kind, Sequence[Object]] = {}
        for kind in emptied():
            found = await client.list(kind, observed.namespace.name)
            if found.items:
                content[kind] = found.items
        return replace(observed, content=content)

    watches = [Watch(NAMESPACE, own_key)]
    watches += [
        Watch(kind, _terminating_namespace, _never) for kind in emptied() if kind is not EVENT and not kind.custom
    ]
    return Controller(
        name="namespace",
        watches=tuple(watches),
        grows=custom_watches(setup.kinds, watch_of),
        observe=observe,
        confirm=confirm,
        plan=plan,
        component="namespace-controller",
        account="namespace-controller",
    )


def _terminating_namespace(cache: Cache, found: Object) -> Iterable[Hashable]:
    """Something in a namespace that is being emptied came or went."""
    namespace = cache[NAMESPACE].get("", found.namespace)
    if namespace is None or namespace.view.metadata.deletion_timestamp is None:
        return ()
    return (namespace.key,)


def _never(old: Object, new: Object) -> bool:
    return False


def observe(cache: Cache, key: tuple[str, str]) -> Observed | None:
    namespace = cache[NAMESPACE].get(*key)
    if namespace is None or namespace.view.metadata.deletion_timestamp is None:
        return None
    return Observed(namespace) if FINALIZER in namespace.view.spec.finalizers else None


def plan(observed: Observed, now: datetime) -> Plan:
    """Never raises."""
    namespace, content = observed.namespace, observed.content
    if not content:
        status = Status(namespace, _status(observed, now, {}, {}))
        return Plan((status, Update(namespace, _released(namespace), subresource="finalize")))
    due = {POD: content[POD]} if POD in content else content
    left = {kind: why for kind in due if (why := _unexpected(namespace, kind, due[kind], now))}
    actions: list[Action] = [
        Delete(found, propagation="Background")
        for kind in due
        for found in due[kind]
        if found.view.metadata.deletion_timestamp is None
    ]
    return Plan(
        tuple(actions),
        status=Status(namespace, _status(observed, now, due, left)),
        failed=lambda failures: (Status(namespace, _status(observed, now, due, {**left, **_refused(failures)})),),
        requeue_after_s=0.0 if actions else LOOK_AGAIN_S,
    )


def _released(namespace: Object) -> Document:
    document = namespace.document()
    left = [name for name in document["spec"].get("finalizers", ()) if name != FINALIZER]
    document["metadata"] = {key: value for key, value in document["metadata"].items() if key != "resourceVersion"}
    return {**document, "spec": {**document["spec"], "finalizers": left}}


def _refused(failures: Sequence[Failure]) -> dict[Kind, str]:
    """Of each kind, why the first of it could not be deleted."""
    deletions = [one for one in reversed(failures) if isinstance(one.action, Delete)]
    return {one.action.object.kind: one.message for one in deletions if isinstance(one.action, Delete)}


def _unexpected(namespace: Object, kind: Kind, found: Sequence[Object], now: datetime) -> str:
    """What is to be said of objects that were all deleted, and are there though nothing is known to hold them."""
    if any(one.view.metadata.deletion_timestamp is None or one.view.metadata.finalizers for one in found):
        return ""
    patience_s = 0
    if kind is POD:
        graces_s = (pod.view.spec.termination_grace_period_seconds for pod in found if not pod.glance.terminal)
        patience_s = max(graces_s, default=0)
    if (now - namespace.view.metadata.deletion_timestamp).total_seconds() < patience_s:
        return ""
    resource = f"{kind.group}/{kind.version}, Resource={kind.plural}"
    return f"unexpected items still remain in namespace: {namespace.name} for gvr: {resource}"


def _status(
    observed: Observed, now: datetime, due: Mapping[Kind, Sequence[Object]], failures: Mapping[Kind, str]
) -> Document:
    """due: whose turn it is; while there are pods, the rest is not looked at."""
    old = observed.namespace.document().get("status") or {}
    remaining = {kind: len(found) for kind, found in due.items()}
    finalizers = Counter(name for found in due.values() for one in found for name in one.view.metadata.finalizers)
    conditions = old.get("conditions")
    for type_, bad, reason, message in _findings(remaining, finalizers, sorted(failures.values())):
        status = "True" if bad else "False"
        new = {"type": type_, "status": status, "reason": reason, "message": message}
        conditions = condition.set(conditions, new, now)
    return {**old, "phase": "Terminating", "conditions": conditions}


def _findings(
    remaining: Mapping[Kind, int], finalizers: Mapping[str, int], failures: Sequence[str]
) -> Iterable[tuple[str, bool, str, str]]:
    """(type, whether it is True, reason, message) of each condition."""
    yield (
        "NamespaceDeletionDiscoveryFailure",
        False,
        "ResourcesDiscovered",
        "All resources successfully discovered",
    )
    yield (
        "NamespaceDeletionGroupVersionParsingFailure",
        False,
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    )
    if failures:
        message = f"Failed to delete all resource types, {len(failures)} remaining: {', '.join(failures)}"
        yield "NamespaceDeletionContentFailure", True, "ContentDeletionFailed", message
    else:
        message = "All content successfully deleted, may be waiting on finalization"
        yield "NamespaceDeletionContentFailure", False, "ContentDeleted", message
    if remaining:
        texts = sorted(f"{_named(kind)} has {number} resource instances" for kind, number in remaining.items())
        message = f"Some resources are remaining: {', '.join(texts)}"
        yield "NamespaceContentRemaining", True, "SomeResourcesRemain", message
    else:
        yield "NamespaceContentRemaining", False, "ContentRemoved", "All content successfully removed"
    if finalizers:
        texts = [f"{name} in {finalizers[name]} resource instances" for name in sorted(finalizers)]
        message = f"Some content in the namespace has finalizers remaining: {', '.join(texts)}"
        yield "NamespaceFinalizersRemaining", True, "SomeFinalizersRemain", message
    else:
        message = "All content-preserving finalizers finished"
        yield "NamespaceFinalizersRemaining", False, "ContentHasNoFinalizers", message


def _named(kind: Kind) -> str:
    """`pods.`, `deployments.apps`: as upstream writes a resource."""
    return f"{kind.plural}.{kind.group}"
