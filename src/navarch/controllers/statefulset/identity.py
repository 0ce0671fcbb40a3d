"""What makes a StatefulSet's pod this one and no other: its ordinal, its name, its labels and its claims.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#pod-identity
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from navarch.controllers.controller import new_owner_reference
from navarch.controllers.template import pod_of
from navarch.kinds.object import Object
from navarch.kinds.statefulset_view import StatefulSet
from navarch.objects.value import Document, dig

NAME_LABEL = "statefulset.kubernetes.io/pod-name"
INDEX_LABEL = "apps.kubernetes.io/pod-index"
REVISION_LABEL = "controller-revision-hash"
HASH_LABEL = "controller.kubernetes.io/hash"


def pod_name(owner: Object, ordinal: int) -> str:
    return f"{owner.name}-{ordinal}"


def ordinal_of(pod: Object, owner: Object) -> int | None:
    """None where the name is none that the StatefulSet gives."""
    head, _, tail = pod.name.rpartition("-")
    return int(tail) if head == owner.name and tail.isdecimal() and tail == str(int(tail)) else None


def labels(owner: Object, ordinal: int) -> dict[str, str]:
    return {NAME_LABEL: pod_name(owner, ordinal), INDEX_LABEL: str(ordinal)}


def new_pod(owner: Object, ordinal: int, template: Document, revision: str) -> Document:
    view: StatefulSet = owner.view
    made = pod_of(owner, template)
    name = pod_name(owner, ordinal)
    metadata = {key: value for key, value in made["metadata"].items() if key != "generateName"}
    metadata |= {
        "name": name,
        "labels": {**metadata.get("labels", {}), **labels(owner, ordinal), REVISION_LABEL: revision},
    }
    spec = {**made["spec"], "hostname": name}
    if view.spec.service_name:
        spec["subdomain"] = view.spec.service_name
    if view.spec.volume_claim_templates:
        claims = claim_names(owner, ordinal)
        kept = [volume for volume in spec.get("volumes", ()) if volume.get("name") not in claims]
        added = [{"name": name, "persistentVolumeClaim": {"claimName": claim}} for name, claim in claims.items()]
        spec["volumes"] = [*added, *kept]
    return {**made, "metadata": metadata, "spec": spec}


def claim_names(owner: Object, ordinal: int) -> Mapping[str, str]:
    """The names of a pod's claims by those of their templates."""
    view: StatefulSet = owner.view
    templates = [
        dig(orjson.loads(bytes(raw)), "metadata", "name", default="") for raw in view.spec.volume_claim_templates
    ]
    return {name: f"{name}-{pod_name(owner, ordinal)}" for name in templates}


def new_claims(owner: Object, ordinal: int) -> list[Document]:
    view: StatefulSet = owner.view
    found: list[Document] = []
    for raw in view.spec.volume_claim_templates:
        template = orjson.loads(bytes(raw))
        given = template.get("metadata") or {}
        metadata: Document = {
            "name": f"{given.get('name', '')}-{pod_name(owner, ordinal)}",
            "namespace": owner.namespace,
            "labels": {**(given.get("labels") or {}), **view.spec.selector.match_labels},
        }
        if given.get("annotations"):
            metadata["annotations"] = given["annotations"]
        if view.spec.persistent_volume_claim_retention_policy.when_deleted == "Delete":
            metadata["ownerReferences"] = [new_owner_reference(owner)]
        found.append(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {key: value for key, value in metadata.items() if value},
                "spec": template.get("spec", {}),
            }
        )
    return found
