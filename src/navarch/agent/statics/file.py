"""From a file to a static pod: named after the node, with defaults and a uid of its content. Pure.

The uid stands for the content, so that an agent which starts anew knows its containers again, and a changed file is
another pod.

Source: https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any

import orjson
import yaml

from navarch.agent.references import referred_by
from navarch.base.clock import rfc3339
from navarch.base.errors import BadRequest
from navarch.kinds import POD
from navarch.kinds.object import Object
from navarch.kinds.pod import Pod
from navarch.kinds.schema import schema_for
from navarch.kinds.schema_check import check
from navarch.objects.value import Document, Draft, dig

HASH = "kubernetes.io/config.hash"
SOURCE = "kubernetes.io/config.source"
SEEN = "kubernetes.io/config.seen"
MIRROR = "kubernetes.io/config.mirror"
PRIORITIES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
"""Of the classes that are always there: nobody can be asked for others."""
STAYS = {"operator": "Exists", "effect": "NoExecute"}


class BadFile(Exception):
    """What is wrong with a file, in words."""


def read_pod(text: str, node: str, now: datetime) -> Object:
    """text: YAML or JSON of one Pod. Raises: BadFile."""
    return _pod(_loaded(text), node, now, "file")


def read_pods(text: str, node: str, now: datetime, source: str) -> list[Object]:
    """text: YAML or JSON of one Pod, or of a PodList, whose items need not say what they are. source: as the annotation
    names it. Raises: BadFile."""
    found = _loaded(text)
    if not isinstance(found, dict) or (found.get("apiVersion"), found.get("kind")) not in (
        ("v1", "PodList"),
        ("v1", "List"),
    ):
        return [_pod(found, node, now, source)]
    items = found.get("items", [])
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise BadFile("items must be a list of objects")
    return [_pod({"apiVersion": "v1", "kind": "Pod", **item}, node, now, source) for item in items]


def _loaded(text: str) -> Any:
    """Raises: BadFile."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadFile(f"it is neither YAML nor JSON: {error}") from error


def _pod(found: Any, node: str, now: datetime, source: str) -> Object:
    """Raises: BadFile."""
    if not isinstance(found, dict) or (found.get("apiVersion"), found.get("kind")) != ("v1", "Pod"):
        raise BadFile("it holds no object with apiVersion: v1 and kind: Pod")
    try:
        document, _ = check(schema_for(POD), found)
    except BadRequest as error:
        raise BadFile(str(error)) from error
    return Object.of(POD, _completed(document, node, now, source))


def _completed(document: Document, node: str, now: datetime, source: str) -> Document:
    """As the API server would have completed it, with what makes it this node's. Raises: BadFile."""
    given: Document = document.get("metadata") or {}
    if not given.get("name"):
        raise BadFile("metadata.name is missing")
    told = [node, document] if source == "file" else [node, document, source]
    digest = hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]
    notes = {**(given.get("annotations") or {}), HASH: digest, SEEN: rfc3339(now), SOURCE: source}
    kept = {key: given[key] for key in ("labels",) if given.get(key)}
    meta: Document = {
        "name": f"{given['name']}-{node.lower()}",
        "namespace": given.get("namespace") or "default",
        "uid": digest,
        "annotations": notes,
        "creationTimestamp": rfc3339(now),
        "generation": 1,
        **kept,
    }
    spec: Document = {**(document.get("spec") or {}), "nodeName": node}
    spec["tolerations"] = [*(spec.get("tolerations") or ()), STAYS]
    if spec.get("priorityClassName") in PRIORITIES:
        spec["priority"] = PRIORITIES[spec["priorityClassName"]]
    made: Document = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec, "status": {"phase": "Pending"}}
    draft = Draft(made)
    POD.default(draft)
    _judge(draft.document)
    return draft.document


def _judge(document: Document) -> None:
    """Raises: BadFile."""
    if causes := list(POD.rules(document, None)):
        raise BadFile("; ".join(f"{cause.field}: {cause.message}" for cause in causes))
    pod: Pod = Object.of(POD, document).view
    for plural, _, name in sorted(referred_by(pod)):
        raise BadFile(f"static pods may not reference {plural}: it names {name!r}")
    if pod.spec.service_account_name:
        raise BadFile("static pods may not reference serviceaccounts")
    if any(one.persistent_volume_claim is not None or one.ephemeral is not None for one in pod.spec.volumes):
        raise BadFile("static pods may not reference persistentvolumeclaims")
    if pod.spec.resource_claims:
        raise BadFile("static pods may not reference resourceclaims")


def hash_of(found: Object) -> str:
    """Which static pod a pod of the API server's shows; "" when it shows none."""
    return str(found.view.metadata.annotations.get(MIRROR, ""))


def mirror(found: Object, node: str, node_uid: str) -> Document:
    """What the API server is to show of a static pod."""
    document = found.document()
    meta = document["metadata"]
    owner = {"apiVersion": "v1", "kind": "Node", "name": node, "uid": node_uid, "controller": True}
    shown: Document = {
        "name": meta["name"],
        "namespace": meta["namespace"],
        "annotations": {**meta["annotations"], MIRROR: found.uid},
        "ownerReferences": [owner],
    }
    if labels := dig(meta, "labels"):
        shown["labels"] = labels
    return {"apiVersion": "v1", "kind": "Pod", "metadata": shown, "spec": document["spec"]}


def ending(found: Object, now: datetime) -> Object:
    """The static pod as if it had been deleted."""
    document = found.document()
    grace_s = int(dig(document, "spec", "terminationGracePeriodSeconds", default=30))
    last = rfc3339(now + timedelta(seconds=grace_s))
    gone = {"deletionTimestamp": last, "deletionGracePeriodSeconds": grace_s}
    return Object.of(POD, {**document, "metadata": {**document["metadata"], **gone}})


def with_status(found: Object, status: Document) -> Object:
    """Conditions that `status` does not speak of stay."""
    document = found.document()
    old: Document = document.get("status") or {}
    told = {one["type"] for one in status.get("conditions") or ()}
    kept = [one for one in old.get("conditions") or () if one["type"] not in told]
    conditions = [*kept, *(status.get("conditions") or ())]
    return Object.of(POD, {**document, "status": {**status, "conditions": conditions}})
