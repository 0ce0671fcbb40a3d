"""Remembered pod templates of DaemonSets and StatefulSets, as ControllerRevisions: numbering, undoing, forgetting.

Pure. `kubectl rollout history` and `undo` read and apply what stands in `data`: a strategic merge patch that puts the
whole template back.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/controller-revision-v1/
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from navarch.controllers.claims import Claim, adopt, controlled_by, release
from navarch.controllers.controller import new_owner_reference
from navarch.controllers.plan import Action, Create, Delete, Patch
from navarch.controllers.template import canonical_form, short_hash, template_of
from navarch.kinds import CONTROLLERREVISION
from navarch.kinds.object import Object
from navarch.objects.value import Document, dig

LONGEST_NAME_BASE = 223


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a revision of the owner's present template would be. form: its template, canonical."""

    name: str
    hash: str
    form: bytes


@dataclass(slots=True)
class History:
    """current: the revision of the present template; None where it is only about to be made, or cannot be, because
    another object has its name (`collided`). old: by number, lowest first. doubles: of the present template as well."""

    candidate: Candidate
    current: Object | None = None
    old: list[Object] = field(default_factory=list)
    doubles: list[Object] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    collided: bool = False

    @property
    def name(self) -> str:
        """Of the revision of the present template, which may be about to be made."""
        return self.current.name if self.current is not None else self.candidate.name

    def hash(self, label: str) -> str:
        return self.current.labels.get(label, "") if self.current is not None else self.candidate.hash


def candidate(owner: Object) -> Candidate:
    return _candidate(owner.name, bytes(owner.view.spec.template), owner.view.status.collision_count)


@lru_cache(maxsize=1024)
def _candidate(owner: str, template: bytes, collisions: int) -> Candidate:
    form = canonical_form(orjson.loads(template))
    stamp = short_hash(form, collisions)
    return Candidate(f"{owner[:LONGEST_NAME_BASE]}-{stamp}", stamp, form)


@lru_cache(maxsize=4096)
def _form(data: bytes) -> bytes:
    template: Any = dig(orjson.loads(data), "spec", "template", default={})
    return canonical_form({key: value for key, value in template.items() if key != "$patch"})


def form_of(revision: Object) -> bytes:
    """The template that a revision remembers, canonical."""
    return _form(bytes(revision.view.data))


def template_in(revision: Object) -> Document:
    """The same as a document, the caller's own."""
    found: Document = dig(orjson.loads(bytes(revision.view.data)), "spec", "template", default={})
    found.pop("$patch", None)
    return found


def history(owner: Object, claim: Claim, namesake: Object | None, label: str) -> History:
    """What is remembered of `owner`, and what to do so that its present template is, under the highest number.

    claim: ControllerRevisions. namesake: the object that has the candidate's name. label: that holds the hash.
    """
    found = History(candidate(owner))
    found.actions += [adopt(orphan, owner) for orphan in claim.orphans]
    found.actions += [release(lost, owner) for lost in claim.lost]
    known = sorted((*claim.kept, *claim.orphans), key=by_number)
    same = [revision for revision in known if form_of(revision) == found.candidate.form]
    found.old = [revision for revision in known if revision not in same]
    number = (found.old[-1].view.revision if found.old else 0) + 1
    if same:
        found.current, found.doubles = same[-1], same[:-1]
        changes: Document = {}
        if found.current.view.revision < number:
            changes["revision"] = number
        if label not in found.current.labels:
            changes["metadata"] = {"labels": {label: found.current.name}}
        if changes:
            found.actions.append(Patch(found.current, changes))
    elif namesake is not None:
        found.collided = not controlled_by(namesake, owner) or form_of(namesake) != found.candidate.form
    else:
        found.actions.append(Create(CONTROLLERREVISION, _document(owner, found.candidate, number, label)))
    return found


def by_number(revision: Object) -> tuple[Any, ...]:
    return (revision.view.revision, revision.view.metadata.creation_timestamp, revision.name)


def _document(owner: Object, wanted: Candidate, number: int, label: str) -> Document:
    template = template_of(owner)
    labels: Mapping[str, str] = dig(template, "metadata", "labels", default={})
    annotations = owner.view.metadata.annotations
    return {
        "apiVersion": CONTROLLERREVISION.api_version,
        "kind": CONTROLLERREVISION.name,
        "metadata": {
            "name": wanted.name,
            "namespace": owner.namespace,
            "labels": {**labels, label: wanted.hash},
            "ownerReferences": [new_owner_reference(owner)],
            **({"annotations": dict(annotations)} if annotations else {}),
        },
        "data": _in_order({"spec": {"template": {**template, "$patch": "replace"}}}),
        "revision": number,
    }


def _in_order(data: Document) -> Document:
    """`kubectl rollout undo` compares bytes, of keys in order, to find that there is nothing to undo."""
    ordered: Document = orjson.loads(orjson.dumps(data, option=orjson.OPT_SORT_KEYS))
    return ordered


def surplus(old: Sequence[Object], limit: int, in_use: Collection[str]) -> list[Delete]:
    """The oldest revisions beyond `limit`. in_use: names of those that pods still have."""
    spare = len(old) - max(0, limit)
    return [Delete(revision) for revision in old if revision.name not in in_use][: max(0, spare)]
