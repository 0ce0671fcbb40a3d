"""Bodies into documents of a kind: known fields of the right types and no nulls, or an error that names every fault."""

from __future__ import annotations

from navarch.apiserver.options import Intent, Validation
from navarch.base.errors import BadRequest
from navarch.kinds.kind import Kind
from navarch.kinds.schema import Mode, schema_for
from navarch.kinds.schema_check import check, decode, encoded, parse
from navarch.kinds.schema_fast import accepts
from navarch.objects.value import ABSENT, Document

Body = Document | bytes
"""A parsed document, or the bytes of one as JSON (which are also searched for fields named twice)."""

MODES: dict[Validation, Mode] = {"Strict": "strict", "Warn": "warn", "Ignore": "ignore"}


def decoded(intent: Intent, body: Body) -> Document:
    """The body as an object of the intent's kind; warnings are added to the intent.

    Raises: BadRequest.
    """
    found = of_kind(intent.shown, body, intent.validation, intent.warnings)
    return intent.shown.to_stored(found) if intent.shown.to_stored else found


def of_kind(kind: Kind, body: Body, validation: Validation, warnings: list[str]) -> Document:
    """Raises: BadRequest."""
    mode = MODES[validation]
    shape = schema_for(kind)
    document = body if isinstance(body, dict) else parse(body)
    addressed = kinded(kind, document)
    if kind.decode is not None:
        found, told = kind.decode(addressed, body if isinstance(body, bytes) else b"", mode)
        warnings.extend(told)
        return found
    if isinstance(body, bytes) and addressed is document:
        found, told = decode(shape, body, mode, document)
    elif isinstance(body, bytes):
        found, told = check(shape, addressed, mode, raw=body)
    else:
        found, told = check(shape, addressed, mode)
    warnings.extend(told)
    return found


def rechecked(intent: Intent, document: Document, base: Document) -> Document:
    """What a patch made of `base`, what the client was shown, as it is stored. Only what differs is looked at.

    Raises: BadRequest.
    """
    document = kinded(intent.shown, document)
    if intent.shown.decode is not None:
        whole, told = intent.shown.decode(document, b"", MODES[intent.validation])
        intent.warnings.extend(told)
        return intent.shown.to_stored(whole) if intent.shown.to_stored else whole
    changed = {name: value for name, value in document.items() if value is not base.get(name, ABSENT)}
    if _fits(intent, changed, base):
        return intent.shown.to_stored(document) if intent.shown.to_stored else document
    named = {name: document[name] for name in ("apiVersion", "kind")}
    found, told = check(schema_for(intent.shown), named | changed, MODES[intent.validation])
    intent.warnings.extend(told)
    if any(found.get(name, ABSENT) is not value for name, value in changed.items()):
        kept = {name: value for name, value in document.items() if name not in changed or name in found}
        document = kept | {name: found[name] for name in changed if name in found}
    return intent.shown.to_stored(document) if intent.shown.to_stored else document


def _fits(intent: Intent, changed: Document, base: Document) -> bool:
    """The usual answer, sooner: of changed metadata, only what differs is encoded and looked at (most of it is field
    ownership, which a patch leaves alone). False: ask the long way."""
    metadata, was = changed.get("metadata"), base.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(was, dict):
        return False
    fresh = {name: value for name, value in metadata.items() if value is not was.get(name, ABSENT)}
    return accepts(schema_for(intent.shown), encoded({**changed, "metadata": fresh}))


def shown(intent: Intent, stored: Document) -> Document:
    """A stored document as the client sees it."""
    return intent.shown.from_stored(stored) if intent.shown.from_stored else stored


def kinded(kind: Kind, document: Document) -> Document:
    """The document with the apiVersion and kind of its endpoint, where it has none.

    Raises: BadRequest, when it has others.
    """
    api_version, name = document.get("apiVersion"), document.get("kind")
    if api_version == kind.api_version and name == kind.name:
        return document
    if api_version and api_version != kind.api_version:
        raise BadRequest(
            f"the API version in the data ({api_version}) does not match the expected API version ({kind.api_version})"
        )
    if name and name != kind.name:
        raise BadRequest(f"the kind in the data ({name}) does not match the expected kind ({kind.name})")
    return {"apiVersion": kind.api_version, "kind": kind.name, **document} | {
        "apiVersion": kind.api_version,
        "kind": kind.name,
    }
