"""The refusals that several verbs share, in the words of Kubernetes.

Only wording: when to refuse is decided where these are raised.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from navarch.base.errors import AlreadyExists, Cause, Conflict, Forbidden, Invalid, MethodNotAllowed, NotFound
from navarch.kinds.kind import Kind

SHOWN = 8192
"""Characters of a refused patch that are told back."""


def not_found(kind: Kind, name: str) -> NotFound:
    return NotFound(f'{kind.resource} "{name}" not found', group=kind.group, kind=kind.plural, name=name)


def no_such_path() -> NotFound:
    return NotFound("the server could not find the requested resource")


def already_exists(kind: Kind, name: str) -> AlreadyExists:
    return AlreadyExists(f'{kind.resource} "{name}" already exists', group=kind.group, kind=kind.plural, name=name)


def conflict(kind: Kind, name: str, why: str) -> Conflict:
    message = f'Operation cannot be fulfilled on {kind.resource} "{name}": {why}'
    return Conflict(message, group=kind.group, kind=kind.plural, name=name)


def modified(kind: Kind, name: str) -> Conflict:
    return conflict(
        kind,
        name,
        "the object has been modified; please apply your changes to the latest version and try again",
    )


def forbidden(kind: Kind, name: str, why: str, causes: Sequence[Cause] = ()) -> Forbidden:
    message = f'{kind.resource} "{name}" is forbidden: {why}' if name else f"{kind.resource} is forbidden: {why}"
    return Forbidden(message, group=kind.group, kind=kind.plural, name=name, causes=causes)


def told(cause: Cause) -> str:
    return f"{cause.field}: {cause.message}" if cause.field else cause.message


def invalid(kind: Kind, name: str, causes: Sequence[Cause]) -> Invalid:
    """All causes, each once, in their order."""
    distinct = list(dict.fromkeys(causes))
    texts = [told(cause) for cause in distinct]
    said = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    return Invalid(
        f'{kind.name}{"." + kind.group if kind.group else ""} "{name}" is invalid: {said}',
        group=kind.group,
        kind=kind.name,
        name=name,
        causes=distinct,
    )


def unfit_options(kind: str, causes: Sequence[Cause]) -> Invalid:
    """Of what a query or a body asks besides the object. kind: `ListOptions`, `PatchOptions`, …"""
    texts = [told(cause) for cause in causes]
    said = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    return Invalid(f'{kind}.meta.k8s.io "" is invalid: {said}', group="meta.k8s.io", kind=kind, causes=causes)


def unfit_patch(value: str, why: str) -> Invalid:
    """Of a patch that makes something which is no object of its kind. value: what it is, or makes, as JSON."""
    shown = orjson.dumps(value if len(value) <= SHOWN else value[:SHOWN] + "…").decode()
    cause = Cause("FieldValueInvalid", f"Invalid value: {shown}: {why}", "patch")
    return Invalid(f' "" is invalid: {told(cause)}', causes=[cause])


def not_allowed(kind: Kind, verb: str) -> MethodNotAllowed:
    if not verb:
        return MethodNotAllowed("the server does not allow this method on the requested resource")
    return MethodNotAllowed(
        f"{verb} is not supported on resources of kind {kind.resource!r}", group=kind.group, kind=kind.plural
    )
