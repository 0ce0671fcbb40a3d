"""What is true of the metadata of every kind: what the server fills in, what no client may change, what is valid.

Field ownership (`managedFields`) is `ownership.py`'s.

Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from navarch.base.clock import Ids, rfc3339
from navarch.base.errors import BadRequest, Cause
from navarch.kinds.kind import Kind
from navarch.objects import names
from navarch.objects.value import Document, Draft, dig

SUFFIX_LENGTH = 5
GENERATED_PREFIX_LONGEST = 63 - SUFFIX_LENGTH
ANNOTATIONS_BYTES = 256 << 10
NOT_AT_FIRST = frozenset(
    ("resourceVersion", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
)
NOT_COUNTED = ("apiVersion", "kind", "metadata", "status")
LENIENT = frozenset(("admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io"))
"""Groups whose objects, like custom resources, may have finalizers of any name."""
CONTENT = ("labels", "annotations", "ownerReferences", "finalizers")
STATUS_ALONE = frozenset(
    (
        "APIService",
        "CustomResourceDefinition",
        "FlowSchema",
        "MutatingAdmissionPolicy",
        "NetworkPolicy",
        "PriorityLevelConfiguration",
        "ResourceClaim",
        "StorageVersionMigration",
        "ValidatingAdmissionPolicy",
    )
)
"""Kinds of which a write to `status` changes no metadata. So it is with custom resources."""
IMMUTABLE = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


def generated_name(prefix: str, ids: Ids) -> str:
    return prefix[:GENERATED_PREFIX_LONGEST] + ids.suffix(SUFFIX_LENGTH)


def changed_by_status(kind: Kind) -> tuple[str, ...]:
    """The metadata that a write to `status` changes too: with most kinds what users write there."""
    if kind.shape is not None or kind.name in STATUS_ALONE:
        return ()
    return ("annotations",) if kind.name == "Deployment" else ("annotations", "labels")


def begin(draft: Draft, kind: Kind, name: str, ids: Ids, now: datetime) -> None:
    """What a new object's metadata is, whatever its maker wrote.

    Raises: BadRequest, for a resourceVersion.
    """
    written: Document = draft.get("metadata") or {}
    if written.get("resourceVersion"):
        raise BadRequest("resourceVersion should not be set on objects to be created")
    found = {field: value for field, value in written.items() if field not in NOT_AT_FIRST}
    if name:
        found["name"] = name
    found["uid"] = ids.uid()
    found["creationTimestamp"] = rfc3339(now)
    if kind.counts_generation:
        found["generation"] = 1
    draft.set(found, "metadata")


def carry(draft: Draft, old: Document) -> None:
    """What of the metadata an update keeps: the server's fields, where the writer left them out or may not say."""
    was, written = old["metadata"], draft.document.get("metadata") or {}
    if "selfLink" in written:
        draft.remove("metadata", "selfLink")
    for field in ("resourceVersion", "creationTimestamp", "generation"):
        _keep(draft, written, was, field)
    for field in ("name", "namespace", "uid"):
        if not written.get(field):
            _keep(draft, written, was, field)
    if "deletionTimestamp" in was:  # never undone
        _keep(draft, written, was, "deletionTimestamp")
        if written.get("deletionGracePeriodSeconds") is None:
            _keep(draft, written, was, "deletionGracePeriodSeconds")


def _keep(draft: Draft, written: Document, was: Document, field: str) -> None:
    if field not in was:
        if field in written:
            draft.remove("metadata", field)
    elif written.get(field) != was[field]:
        draft.set(was[field], "metadata", field)


def count(draft: Draft, kind: Kind, old: Document, subresource: str = "") -> None:
    """Raise `generation` where anything but metadata and status changed, or what else counts for the kind."""
    if not kind.counts_generation or kind.generation_counts is None:
        return
    new = draft.document
    if kind.generation_counts and not subresource:
        metadata, was = new["metadata"], old["metadata"]
        if any((metadata.get(field) or {}) != (was.get(field) or {}) for field in kind.generation_counts):
            draft.set((was.get("generation") or 0) + 1, "metadata", "generation")
            return
    apart = ("apiVersion", "kind", "metadata") if kind.custom and not kind.has_status else NOT_COUNTED
    for field in {**old, **new}:
        if field not in apart and old.get(field) != new.get(field):
            draft.set((dig(old, "metadata", "generation") or 0) + 1, "metadata", "generation")
            return


def rules(kind: Kind, new: Document, old: Document | None) -> Iterable[Cause]:
    """Every broken rule of the metadata."""
    metadata = new["metadata"]
    if old is None:
        yield from _name_rules(kind, metadata)
        yield from _content_rules(kind, metadata)
        return
    was = old["metadata"]
    if metadata is not was and metadata != was:
        if any(metadata.get(field) != was.get(field) for field in CONTENT):
            yield from _content_rules(kind, metadata)
        yield from _update_rules(metadata, was)


def _name_rules(kind: Kind, metadata: Document) -> Iterator[Cause]:
    check = kind.name_rule or names.dns_subdomain
    name = metadata.get("name", "")
    prefix = metadata.get("generateName", "")
    for message in names.generated(lambda text: tuple(check(text)))(prefix) if prefix else ():
        yield Cause("FieldValueInvalid", f'Invalid value: "{prefix}": {message}', "metadata.generateName")
    if not name:
        yield Cause("FieldValueRequired", "Required value: name or generateName is required", "metadata.name")
    else:
        for message in check(name):
            yield Cause("FieldValueInvalid", f'Invalid value: "{name}": {message}', "metadata.name")
    namespace = metadata.get("namespace", "")
    if kind.namespaced and not namespace:
        yield Cause("FieldValueRequired", "Required value", "metadata.namespace")
    elif namespace and not kind.namespaced:
        yield Cause("FieldValueForbidden", "Forbidden: not allowed on this type", "metadata.namespace")


def _content_rules(kind: Kind, metadata: Document) -> Iterator[Cause]:
    for key, value in (metadata.get("labels") or {}).items():
        for message in names.label_key(key):
            yield Cause("FieldValueInvalid", f'Invalid value: "{key}": {message}', "metadata.labels")
        for message in names.label_value(value):
            yield Cause("FieldValueInvalid", f'Invalid value: "{value}": {message}', "metadata.labels")
    size = 0
    for key, value in (metadata.get("annotations") or {}).items():
        size += len(key.encode()) + len(value.encode())
        for message in names.label_key(key.lower()):
            yield Cause("FieldValueInvalid", f'Invalid value: "{key}": {message}', "metadata.annotations")
    if size > ANNOTATIONS_BYTES:
        message = f"Too long: may not be more than {ANNOTATIONS_BYTES} bytes"
        yield Cause("FieldValueTooLong", message, "metadata.annotations")
    yield from _owner_rules(metadata.get("ownerReferences") or ())
    yield from _finalizer_rules(metadata.get("finalizers") or (), strict=not kind.custom and kind.group not in LENIENT)


def _owner_rules(owners: Iterable[Document]) -> Iterator[Cause]:
    controllers: list[str] = []
    for number, owner in enumerate(owners):
        at = f"metadata.ownerReferences[{number}]"
        if not owner.get("apiVersion"):
            yield Cause("FieldValueInvalid", 'Invalid value: "": version must not be empty', f"{at}.apiVersion")
        for field in ("kind", "name", "uid"):
            if not owner.get(field):
                yield Cause("FieldValueInvalid", f'Invalid value: "": {field} must not be empty', f"{at}.{field}")
        if owner.get("apiVersion") in ("v1", "events.k8s.io/v1") and owner.get("kind") == "Event":
            yield Cause("FieldValueInvalid", "Invalid value: an Event is disallowed from being an owner", at)
        if owner.get("controller"):
            controllers.append(f"{owner.get('kind')}/{owner.get('name')}")
    if len(controllers) > 1:
        message = f"Invalid value: only one reference can have Controller set to true, found {', '.join(controllers)}"
        yield Cause("FieldValueInvalid", message, "metadata.ownerReferences")


def _finalizer_rules(finalizers: Iterable[str], strict: bool) -> Iterator[Cause]:
    """strict: whether one without a domain must be one that Kubernetes knows."""
    present = list(finalizers)
    for finalizer in present:
        for message in names.qualified_name(finalizer):
            yield Cause("FieldValueInvalid", f'Invalid value: "{finalizer}": {message}', "metadata.finalizers")
    if strict:
        for index, finalizer in enumerate(present):
            if not names.is_finalizer(finalizer):
                message = f'Invalid value: "{finalizer}": {names.NO_FINALIZER}'
                yield Cause("FieldValueInvalid", message, f"metadata.finalizers[{index}]")
    if "orphan" in present and "foregroundDeletion" in present:
        message = "Invalid value: finalizers orphan and foregroundDeletion cannot be both set"
        yield Cause("FieldValueInvalid", message, "metadata.finalizers")


def _update_rules(metadata: Document, was: Document) -> Iterator[Cause]:
    for field in IMMUTABLE:
        if metadata.get(field) != was.get(field):
            message = f"Invalid value: {_shown(metadata.get(field))}: field is immutable"
            yield Cause("FieldValueInvalid", message, f"metadata.{field}")
    if "deletionTimestamp" in was:
        before = set(was.get("finalizers") or ())
        added = [name for name in metadata.get("finalizers") or () if name not in before]
        if added:
            listed = ", ".join(f'"{name}"' for name in added)
            message = (
                "Forbidden: no new finalizers can be added if the object is being deleted, "
                f"found new finalizers []string{{{listed}}}"
            )
            yield Cause("FieldValueForbidden", message, "metadata.finalizers")


def _shown(value: object) -> str:
    return "null" if value is None else f'"{value}"' if isinstance(value, str) else str(value)
