"""What clients may ask for in query strings and bodies, checked once, as values.

Source: https://kubernetes.io/docs/reference/kubernetes-api/common-parameters/common-parameters/
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from navarch.apiserver.call import User
from navarch.base.errors import BadRequest, Cause, Invalid
from navarch.client.client import Propagation
from navarch.kinds.kind import Kind
from navarch.objects.value import Document, dig
from navarch.wire.message import Request

Validation = Literal["Strict", "Warn", "Ignore"]

TRUE = ("1", "t", "T", "TRUE", "true", "True")
MANAGER_LONGEST = 128
REVISION_LONGEST = 20
"""Digits of the largest number of 64 bits."""
SHOWN = 80
_NUMBER = re.compile(r"[-+]?[0-9]{1,25}", re.ASCII).fullmatch


@dataclass(slots=True)
class Intent:
    """One write on its way: who wants what done to which object.

    kind: the one as which the object is stored. shown: as what the client writes and reads it, mostly the same.
    verb: create, update, patch, apply or delete. name: "" until a generated one is known.
    warnings: texts for `Warning` headers, added to by anybody on the way.
    """

    kind: Kind
    user: User
    verb: str
    namespace: str
    name: str
    subresource: str
    manager: str
    dry_run: bool
    validation: Validation
    warnings: list[str]
    force: bool = False
    shown: Kind = field(init=False)

    @property
    def judge(self) -> Kind:
        """Whose defaults and rules hold: a custom resource is judged by the version that it is written in."""
        return self.shown if self.shown.custom else self.kind

    @property
    def written(self) -> Kind:
        """As which a document of it stands while it is prepared: other versions are made when it is stored."""
        return self.shown if self.kind.conversion is not None else self.kind

    def __post_init__(self) -> None:
        self.shown = self.kind
        self.kind = self.kind.stored_as or self.kind


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """grace_s: None for the kind's own. propagation: None for the kind's own. admitted: admission was asked already,
    about what leads to the deletion."""

    grace_s: int | None = None
    propagation: Propagation | None = None
    uid: str = ""
    revision: str = ""
    dry_run: bool = False
    admitted: bool = False


@dataclass(frozen=True, slots=True)
class ListOptions:
    """revision: None for the newest, 0 for whatever is at hand. exact: at `revision` and no other."""

    labels: str = ""
    fields: str = ""
    limit: int = 0
    cont: str = ""
    revision: int | None = None
    exact: bool = False


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """since: None to begin with the newest state, 0 with any. initial: begin with that state as ADDED events, and a
    bookmark that says where it ends. timeout_s: None for the server's own."""

    labels: str = ""
    fields: str = ""
    since: int | None = None
    bookmarks: bool = False
    initial: bool | None = None
    timeout_s: int | None = None


def flag(request: Request, name: str, default: bool = False) -> bool:
    values = request.params(name)
    if not values:
        return default
    return values[0] in TRUE or values[0] == ""


def number(request: Request, name: str) -> int | None:
    """A number of 64 bits, None when it is not asked for. Raises: BadRequest."""
    text = request.param(name)
    if not text:
        return None
    if not _NUMBER(text):
        raise BadRequest(f"{name}: {text[:SHOWN]!r} is not a number")
    if not -(1 << 63) <= (found := int(text)) < 1 << 63:
        raise BadRequest(f"{name}: {text!r} is out of range")
    return found


def revision_of(text: str) -> int | None:
    """A resourceVersion as a number; None when empty. Raises: Invalid."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= REVISION_LONGEST):
        raise Invalid(
            f"resourceVersion: Invalid value: {text[:SHOWN]!r}: it must be one that the server gave",
            causes=[Cause("FieldValueInvalid", f"Invalid value: {text[:SHOWN]!r}", "resourceVersion")],
        )
    return int(text)


def dry_run(values: list[str]) -> bool:
    """Raises: Invalid, for anything but `All`."""
    for value in values:
        if value != "All":
            message = f'Unsupported value: "{value}": supported values: "All"'
            raise Invalid(
                f"DryRun is invalid: dryRun: {message}", causes=[Cause("FieldValueNotSupported", message, "dryRun")]
            )
    return bool(values)


def validation(request: Request) -> Validation:
    """Raises: Invalid. The default is Warn, as upstream's for clients that say nothing."""
    text = request.param("fieldValidation") or "Warn"
    if text not in ("Strict", "Warn", "Ignore"):
        message = f'Unsupported value: "{text}": supported values: "Ignore", "Strict", "Warn"'
        raise Invalid(
            f"fieldValidation: {message}", causes=[Cause("FieldValueNotSupported", message, "fieldValidation")]
        )
    return cast(Validation, text)


def manager(request: Request) -> str:
    """The field manager: as asked for, else the program's name out of the user agent. Raises: Invalid."""
    text = request.param("fieldManager")
    if not text:
        return request.headers.get("user-agent", "").split("/", 1)[0][:MANAGER_LONGEST] or "unknown"
    if len(text) > MANAGER_LONGEST or not text.isprintable():
        message = f"Invalid value: {text!r}: must be printable and no longer than {MANAGER_LONGEST} characters"
        raise Invalid(f"fieldManager: {message}", causes=[Cause("FieldValueInvalid", message, "fieldManager")])
    return text


def list_options(request: Request) -> ListOptions:
    """Raises: BadRequest, Invalid."""
    revision = revision_of(request.param("resourceVersion"))
    match = request.param("resourceVersionMatch")
    cont = request.param("continue")
    limit = max(0, number(request, "limit") or 0)
    if request.params("sendInitialEvents"):
        raise _forbidden("sendInitialEvents", "is forbidden for list")
    if match:
        if revision is None:
            raise _forbidden("resourceVersionMatch", "is forbidden unless resourceVersion is provided")
        if cont:
            raise _forbidden("resourceVersionMatch", "is forbidden when continue is provided")
        if match not in ("Exact", "NotOlderThan"):
            raise _forbidden("resourceVersionMatch", f"{match!r} is none of Exact, NotOlderThan")
        if match == "Exact" and revision == 0:
            raise _forbidden("resourceVersionMatch", 'Exact is forbidden for the resourceVersion "0"')
    if cont and revision:
        raise BadRequest("specifying resource version is not allowed when using continue")
    return ListOptions(
        request.param("labelSelector"),
        request.param("fieldSelector"),
        limit,
        cont,
        revision,
        match == "Exact" or (not match and limit > 0 and bool(revision)),
    )


def watch_options(request: Request) -> WatchOptions:
    """Raises: BadRequest, Invalid."""
    initial = flag(request, "sendInitialEvents") if request.params("sendInitialEvents") else None
    match = request.param("resourceVersionMatch")
    if initial is not None and match != "NotOlderThan":
        raise _forbidden(
            "resourceVersionMatch", "NotOlderThan is required when sendInitialEvents is provided", "sendInitialEvents"
        )
    if match and initial is None:
        raise _forbidden("resourceVersionMatch", "is forbidden for watch unless sendInitialEvents is provided")
    bookmarks = flag(request, "allowWatchBookmarks")
    return WatchOptions(
        request.param("labelSelector"),
        request.param("fieldSelector"),
        revision_of(request.param("resourceVersion")),
        bookmarks,
        initial,
        number(request, "timeoutSeconds"),
    )


def _forbidden(field: str, message: str, also: str = "") -> Invalid:
    text = f"Forbidden: {field} {message}"
    return Invalid(
        f"ListOptions is invalid: {also or field}: {text}", causes=[Cause("FieldValueForbidden", text, field)]
    )


def delete_options(request: Request, body: Document | None) -> DeleteOptions:
    """From the body (a `DeleteOptions`) where there is one, else from the query. Raises: BadRequest, Invalid."""
    if body is None:
        body = {}
        if (grace := number(request, "gracePeriodSeconds")) is not None:
            body["gracePeriodSeconds"] = grace
        if propagation := request.param("propagationPolicy"):
            body["propagationPolicy"] = propagation
        if orphan := request.param("orphanDependents"):
            body["orphanDependents"] = orphan in TRUE
    if dry := request.params("dryRun"):
        body = {**body, "dryRun": dry}
    _typed(body, dict, "preconditions")
    if body.get("kind", "DeleteOptions") != "DeleteOptions":
        raise BadRequest(f"the body of a DELETE is a DeleteOptions, not a {body['kind']}")
    return DeleteOptions(
        _typed(body, int, "gracePeriodSeconds"),
        _propagation(body),
        _typed(body, str, "preconditions", "uid") or "",
        _typed(body, str, "preconditions", "resourceVersion") or "",
        dry_run(_typed(body, list, "dryRun") or []),
    )


def _propagation(body: Document) -> Propagation | None:
    text = _typed(body, str, "propagationPolicy")
    orphan = _typed(body, bool, "orphanDependents")
    if text is None:
        return None if orphan is None else "Orphan" if orphan else "Background"
    if orphan is not None:
        message = "Invalid value: orphanDependents and propagationPolicy cannot be both set"
        raise Invalid(
            f"DeleteOptions is invalid: {message}", causes=[Cause("FieldValueInvalid", message, "propagationPolicy")]
        )
    if text not in ("Background", "Foreground", "Orphan"):
        message = f'Unsupported value: "{text}": supported values: "Foreground", "Background", "Orphan"'
        raise Invalid(
            f"DeleteOptions is invalid: propagationPolicy: {message}",
            causes=[Cause("FieldValueNotSupported", message, "propagationPolicy")],
        )
    return cast(Propagation, text)


def _typed(body: Document, type_: type, *path: str) -> Any:
    value = dig(body, *path)
    if value is not None and (not isinstance(value, type_) or (type_ is int and isinstance(value, bool))):
        raise BadRequest(f"DeleteOptions: {'.'.join(path)} must be of type {type_.__name__}, not {value!r}")
    return value
