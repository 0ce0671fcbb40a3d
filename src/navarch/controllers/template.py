"""Pod templates as workloads use them: when two are the same, what one is called for short, and a pod made of one.

Which labels and names a workload adds is left to it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec
import orjson

from navarch.base.clock import SUFFIX_ALPHABET
from navarch.controllers.controller import new_owner_reference
from navarch.controllers.plan import Create, Delete, Event
from navarch.kinds import POD
from navarch.kinds.object import Object
from navarch.objects.value import Document

_MEANINGFUL_EMPTY = frozenset(("emptyDir", "namespaceSelector", "labelSelector", "clientIP"))


@lru_cache(maxsize=4096)
def canonical(template: bytes) -> bytes:
    """The template in one form: without empty parts, keys in order. Two are the same when these are equal."""
    return canonical_form(orjson.loads(template))


def canonical_form(template: Document) -> bytes:
    return orjson.dumps(_trimmed(template), option=orjson.OPT_SORT_KEYS)


def _trimmed(value: Any) -> Any:
    """Without empty lists and objects below, which mean the same as absent ones, but for those fields in which an empty
    object says something (`emptyDir: {}`)."""
    if isinstance(value, dict):
        trimmed = {key: _trimmed(found) for key, found in value.items()}
        return {key: found for key, found in trimmed.items() if found not in ({}, []) or key in _MEANINGFUL_EMPTY}
    if isinstance(value, list):
        return [_trimmed(found) for found in value]
    return value


@lru_cache(maxsize=256)
def short_hash(form: bytes, collisions: int) -> str:
    """FNV-1a of a canonical form and the number of collisions so far, in letters that spell no words.

    Stable: it depends on the template's content only, not on the order of keys or on the version of the program.
    """
    value = 0x811C9DC5
    for byte in form + str(collisions).encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return "".join(SUFFIX_ALPHABET[ord(digit) % len(SUFFIX_ALPHABET)] for digit in str(value))


def template_of(owner: Object) -> Document:
    """The pod template of a workload; the caller's own."""
    template: Document = msgspec.json.decode(owner.view.spec.template)
    return template


def pod_of(owner: Object, template: Document) -> Document:
    """A pod of `owner`; its name is yet to be completed."""
    given = template.get("metadata", {})
    metadata = {key: given[key] for key in ("labels", "annotations", "finalizers") if given.get(key)}
    metadata |= {
        "generateName": f"{owner.name}-",
        "namespace": owner.namespace,
        "ownerReferences": [new_owner_reference(owner)],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template.get("spec", {})}


def create_pod(owner: Object, document: Document) -> Create:
    done = Event(owner, "SuccessfulCreate", "Created pod: {name}")
    refused = Event(owner, "FailedCreate", "Error creating: {error}", "Warning")
    return Create(POD, document, done, refused)


def delete_pod(owner: Object, pod: Object) -> Delete:
    done = Event(owner, "SuccessfulDelete", "Deleted pod: {name}")
    refused = Event(owner, "FailedDelete", "Error deleting: {error}", "Warning")
    return Delete(pod, done=done, refused=refused)
