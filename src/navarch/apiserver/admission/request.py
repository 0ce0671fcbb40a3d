"""A write as those see it who are asked about it: the AdmissionRequest, and the objects before and after.

Source: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#request
"""

from __future__ import annotations

from navarch.apiserver.admission.review import Review
from navarch.apiserver.call import user_info
from navarch.kinds import NAMESPACE, SCALE
from navarch.kinds.kind import Kind
from navarch.objects.value import Document

_OPERATIONS = {"create": "CREATE", "delete": "DELETE", "deletecollection": "DELETE", "connect": "CONNECT"}
_OPTIONS = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions", "apply": "PatchOptions"}


def operation(review: Review) -> str:
    """CREATE, UPDATE, DELETE or CONNECT. An apply or an update that makes the object is a CREATE."""
    found = _OPERATIONS.get(review.intent.verb)
    return found or ("CREATE" if review.old is None else "UPDATE")


def namespace_of(review: Review) -> str:
    """Where the write takes place; for a Namespace, its own name."""
    intent = review.intent
    return intent.name if intent.kind is NAMESPACE else intent.namespace


def written(review: Review) -> tuple[Document | None, Document | None]:
    """The object after the write (None for a deletion) and before it (None for a creation), as they are stored."""
    return None if operation(review) == "DELETE" else review.draft.document, review.old


def shown(kind: Kind, document: Document | None, subresource: str = "") -> Document | None:
    """A stored document as `kind`, one of the kinds in which it is served, has it."""
    if document is None or document.get("kind", kind.name) != kind.name:
        return document  # nothing, or what was sent to a subresource
    if subresource == "scale":
        from navarch.apiserver.scale import of

        return of(kind.stored_as or kind, document)
    return document if kind.from_stored is None else kind.from_stored(document)


def admission_request(review: Review, kind: Kind) -> Document:
    """What expressions know as `request`. kind: as which the write matched, maybe another than it was made as."""
    intent = review.intent
    asked = intent.shown
    found: Document = {
        "kind": _kind(review.body or kind, intent.subresource),
        "resource": _resource(kind),
        "requestKind": _kind(review.body or asked, intent.subresource),
        "requestResource": _resource(asked),
        "name": intent.name,
        "operation": operation(review),
        "userInfo": user_info(review.intent.user),
        "dryRun": intent.dry_run,
        "options": _options(review),
    }
    if intent.subresource:
        found["subResource"] = found["requestSubResource"] = intent.subresource
    if namespace := namespace_of(review):
        found["namespace"] = namespace
    return found


def full_request(review: Review, kind: Kind, uid: str) -> Document:
    """What webhooks are sent: the same, with an id, the object and the old one."""
    new, old = written(review)
    sub = review.intent.subresource
    return {
        "uid": uid,
        **admission_request(review, kind),
        "object": shown(kind, new, sub),
        "oldObject": shown(kind, old, sub),
    }


def _kind(kind: Kind, subresource: str) -> Document:
    said = SCALE if subresource == "scale" else kind
    return {"group": said.group, "version": said.version, "kind": said.name}


def _resource(kind: Kind) -> Document:
    return {"group": kind.group, "version": kind.version, "resource": kind.plural}


def _options(review: Review) -> Document:
    intent = review.intent
    made: Document = {"kind": _OPTIONS.get(intent.verb, "DeleteOptions"), "apiVersion": "meta.k8s.io/v1"}
    if intent.dry_run:
        made["dryRun"] = ["All"]
    if made["kind"] != "DeleteOptions":
        if intent.manager:
            made["fieldManager"] = intent.manager
        made["fieldValidation"] = intent.validation
        if intent.force:
            made["force"] = True
    return made
