"""What clients may ask for in query strings and bodies, checked once, as values.

Source: https://kubernetes.io/docs/reference/kubernetes-api/common-parameters/common-parameters/
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import orjson

from navarch.apiserver import refusals
from navarch.apiserver.aside import Aside
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
    warnings: texts for `Warning` headers, added to by anybody on the way. aside: where what takes long is worked on,
    None where nothing about it is large.
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
    aside: Aside | None = None
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
        shown = orjson.dumps(text[:SHOWN]).decode()
        message = f"Invalid value: {shown}: strconv.ParseUint: parsing {shown}: invalid syntax"
        raise Invalid(f"resourceVersion: {message}", causes=[Cause("FieldValueInvalid", message, "resourceVersion")])
    return int(text)


ASKED_IN = {
    "create": "CreateOptions",
    "update": "UpdateOptions",
    "patch": "PatchOptions",
    "apply": "PatchOptions",
    "delete": "DeleteOptions",
    "deletecollection": "DeleteOptions",
}
"""What Kubernetes calls that which a verb is asked with."""


def dry_run(values: list[str], verb: str = "delete") -> bool:
    """Raises: Invalid, for anything but `All`."""
    for value in values:
        if value != "All":
            message = f'Unsupported value: "{value}": supported values: "All"'
            raise refusals.unfit_options(
                ASKED_IN.get(verb, "CreateOptions"), [Cause("FieldValueNotSupported", message, "dryRun")]
            )
    return bool(values)


def validation(request: Request, verb: str = "create") -> Validation:
    """Raises: Invalid. The default is Warn, as upstream's for clients that say nothing."""
    text = request.param("fieldValidation") or "Warn"
    if text not in ("Strict", "Warn", "Ignore"):
        message = f'Unsupported value: "{text}": supported values: "", "Ignore", "Strict", "Warn"'
        raise refusals.unfit_options(
            ASKED_IN.get(verb, "CreateOptions"), [Cause("FieldValueNotSupported", message, "fieldValidation")]
        )
    return cast(Validation, text)


def manager(request: Request, verb: str = "create") -> str:
    """The field manager: as asked for, else the program's name out of the user agent. Raises: Invalid."""
    text = request.param("fieldManager")
    if not text:
        return request.headers.get("user-agent", "").split("/", 1)[0][:MANAGER_LONGEST] or "unknown"
    causes = []
    if len(text.encode()) > MANAGER_LONGEST:
        message = f"Too long: may not be more than {MANAGER_LONGEST} bytes"
        causes.append(Cause("FieldValueTooLong", message, "fieldManager"))
    if not text.isprintable():
        shown = orjson.dumps(text).decode()
        message = f"Invalid value: {shown}: should only contain printable characters"
        causes.append(Cause("FieldValueInvalid", message, "fieldManager"))
    if causes:
        raise refusals.unfit_options(ASKED_IN.get(verb, "CreateOptions"), causes)
    return text


def check_patch_options(request: Request, *, applies: bool) -> None:
    """What only an apply patch may ask for, and what it must. Raises: Invalid."""
    if applies and not request.param("fieldManager"):
        cause = Cause("FieldValueRequired", "Required value: is required for apply patch", "fieldManager")
    elif not applies and request.params("force"):
        cause = Cause("FieldValueForbidden", "Forbidden: may not be specified for non-apply patch", "force")
    else:
        return
    raise refusals.unfit_options("PatchOptions", [cause])


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
            message = f'Unsupported value: "{match}": supported values: "Exact", "NotOlderThan", ""'
            cause = Cause("FieldValueNotSupported", message, "resourceVersionMatch")
            raise refusals.unfit_options("ListOptions", [cause])
        if match == "Exact" and revision == 0:
            raise _forbidden("resourceVersionMatch", '"exact" is forbidden for resourceVersion "0"')
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
        message = "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        raise refusals.unfit_options("ListOptions", [Cause("FieldValueForbidden", message, "resourceVersionMatch")])
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


def _forbidden(field: str, why: str) -> Invalid:
    return refusals.unfit_options("ListOptions", [Cause("FieldValueForbidden", f"Forbidden: {field} {why}", field)])


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
