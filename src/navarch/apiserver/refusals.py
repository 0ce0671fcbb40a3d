"""The refusals that several verbs share, in the words of Kubernetes.

Only wording: when to refuse is decided where these are raised.
"""

from __future__ import annotations

from collections.abc import Sequence

from navarch.base.errors import AlreadyExists, Cause, Conflict, Forbidden, Invalid, MethodNotAllowed, NotFound
from navarch.kinds.kind import Kind


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


def not_allowed(kind: Kind, verb: str) -> MethodNotAllowed:
    return MethodNotAllowed(
        f"{verb} is not supported on resources of kind {kind.resource!r}", group=kind.group, kind=kind.plural
    )
