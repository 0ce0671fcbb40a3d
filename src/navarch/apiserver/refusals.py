"""The refusals that several verbs share, in the words of Kubernetes.

Only wording: when to refuse is decided where these are raised.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import orjson

from navarch.apiserver.stored import MOST_BYTES
from navarch.base.errors import (
    MOST_CAUSES,
    AlreadyExists,
    Cause,
    Conflict,
    Forbidden,
    Invalid,
    MethodNotAllowed,
    NotFound,
    TooLarge,
)
from navarch.kinds.kind import Kind

SHOWN = 8192
"""Characters of a refused patch that are told back."""


def check_size(value: bytes) -> None:
    """Whether an object can be stored, by its JSON. What is only escaped in it is not counted: text of many lines is as
    long as it is elsewhere. Raises: TooLarge, with the words that clients know."""
    if len(value) > MOST_BYTES and (size := len(value) - value.count(b"\\")) > MOST_BYTES:
        raise TooLarge(f"etcdserver: request is too large: the object has {size} bytes, the limit is {MOST_BYTES}")


def check_growth(value: bytes) -> None:
    """Whether an object is worth judging, by its JSON: none that a request may bring is too large for that, so that its
    faults are told first, as by Kubernetes, whose store is the last to look. Raises: TooLarge."""
    if len(value) > 2 * MOST_BYTES:
        check_size(value)


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
    """All causes, each once, in their order; of very many the first."""
    distinct = list(islice(dict.fromkeys(causes), MOST_CAUSES + 1))
    if more := len(distinct) > MOST_CAUSES:
        distinct.pop()
    texts = [told(cause) for cause in distinct]
    said = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}{', and more' if more else ''}]"
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
