"""The revisions of a Deployment: which ReplicaSet has which template, what it is called and which number it bears.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#pod-template-hash-label
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import orjson

from navarch.controllers.controller import new_owner_reference
from navarch.controllers.template import canonical_form, short_hash, template_of
from navarch.kinds import REPLICASET
from navarch.kinds.object import Object
from navarch.objects.value import Document, dig

REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
ROLLBACK_TO = "deprecated.deployment.rollback.to"
HASH_LABEL = "pod-template-hash"
OUR_PREFIX = "navarch.dev/"
HISTORY_LENGTH = 2000

_NOT_COPIED = frozenset((LAST_APPLIED, REVISION, REVISION_HISTORY, DESIRED, MAXIMUM, ROLLBACK_TO))


@lru_cache(maxsize=4096)
def identity(template: bytes) -> bytes:
    """The template in one canonical form: without the hash label, without empty parts, keys in order.

    Two templates are the same revision exactly when these are equal.
    """
    return canonical_form(without_hash(orjson.loads(template)))


def identity_of(found: Object) -> bytes:
    return identity(bytes(found.view.spec.template))


def without_hash(template: Document) -> Document:
    labels = dig(template, "metadata", "labels", default={})
    if HASH_LABEL not in labels:
        return template
    kept = {key: value for key, value in labels.items() if key != HASH_LABEL}
    return {**template, "metadata": {**template["metadata"], "labels": kept}}


def pod_template_hash(template: Document, collisions: int) -> str:
    """What the template is called for short; another for each number of `collisions`."""
    return short_hash(identity(orjson.dumps(template)), collisions)


def candidate_name(deployment: Object) -> str:
    """The name that a ReplicaSet for the present template would get."""
    collisions = deployment.view.status.collision_count
    return f"{deployment.name}-{short_hash(identity_of(deployment), collisions)}"


def number(found: Object) -> int:
    """The revision that the annotation says, 0 where it says none."""
    text = found.view.metadata.annotations.get(REVISION, "")
    return int(text) if text.isdecimal() else 0


def annotated_number(found: Object, annotation: str) -> int | None:
    """The number in an annotation; None where there is none."""
    text = found.view.metadata.annotations.get(annotation, "")
    return int(text) if text.removeprefix("-").isdecimal() else None


def by_age(found: Object) -> tuple[Any, str]:
    return (found.view.metadata.creation_timestamp, found.name)


def current(deployment: Object, revisions: Sequence[Object]) -> Object | None:
    """The ReplicaSet of the present template: of several the oldest."""
    wanted = identity_of(deployment)
    same = [found for found in revisions if identity_of(found) == wanted]
    return min(same, key=by_age) if same else None


def sizing(replicas: int, most: int) -> dict[str, str]:
    """The annotations that say how large the Deployment was when a revision was last sized."""
    return {DESIRED: str(replicas), MAXIMUM: str(most)}


def copied_annotations(deployment: Object) -> dict[str, str]:
    """Those of the Deployment that its newest revision carries too, such as the cause of a change."""
    annotations = deployment.view.metadata.annotations
    return {
        key: value for key, value in annotations.items() if key not in _NOT_COPIED and not key.startswith(OUR_PREFIX)
    }


def raised_annotations(deployment: Object, found: Object, revision: int) -> dict[str, str]:
    """What to change in the annotations of the newest revision; {} when they are right.

    A revision that becomes the newest again gets a new number and remembers the old one.
    """
    present = found.view.metadata.annotations
    changes = {key: value for key, value in copied_annotations(deployment).items() if present.get(key) != value}
    old = number(found)
    if old >= revision:
        return changes
    changes[REVISION] = str(revision)
    if present.get(REVISION):
        history = [text for text in present.get(REVISION_HISTORY, "").split(",") if text]
        history.append(present[REVISION])
        while len(",".join(history)) > HISTORY_LENGTH:
            history.pop(0)
        changes[REVISION_HISTORY] = ",".join(history)
    return changes


def new_replicaset(deployment: Object, revision: int, replicas: int, sizes: dict[str, str]) -> Document:
    template = template_of(deployment)
    stamp = short_hash(identity_of(deployment), deployment.view.status.collision_count)
    metadata = template.setdefault("metadata", {})
    labels = metadata["labels"] = {**metadata.get("labels", {}), HASH_LABEL: stamp}
    document = deployment.document()
    selector: Document = document["spec"].get("selector", {})
    selector["matchLabels"] = {**selector.get("matchLabels", {}), HASH_LABEL: stamp}
    spec: Document = {"replicas": replicas, "selector": selector, "template": template}
    if deployment.view.spec.min_ready_seconds:
        spec["minReadySeconds"] = deployment.view.spec.min_ready_seconds
    return {
        "apiVersion": REPLICASET.api_version,
        "kind": REPLICASET.name,
        "metadata": {
            "name": f"{deployment.name}-{stamp}",
            "namespace": deployment.namespace,
            "labels": labels,
            "annotations": {**copied_annotations(deployment), **sizes, REVISION: str(revision)},
            "ownerReferences": [new_owner_reference(deployment)],
        },
        "spec": spec,
    }
